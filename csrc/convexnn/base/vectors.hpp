// Inner product and norm, summed from the first entry to the last: the same on every CPU. The ones
// that are summed as is fastest are in simd.hpp.
#pragma once

#include <cmath>
#include <cstddef>
#include <span>

namespace convexnn {

// Of vectors of the same length.
inline double inner_product(std::span<const double> a, std::span<const double> b) {
    double sum = 0.0;
    for (std::size_t k = 0; k < a.size(); ++k) {
        sum += a[k] * b[k];
    }
    return sum;
}

inline double norm(std::span<const double> a) { return std::sqrt(inner_product(a, a)); }

}  // namespace convexnn
