// The proximal step of one group.
#pragma once

#include <cmath>
#include <cstddef>
#include <span>

namespace convexnn {

inline double norm(std::span<const double> u) {
    double sum = 0.0;
    for (const double x : u) {
        sum += x * x;
    }
    return std::sqrt(sum);
}

// z <- prox of threshold ||.||: (1 - threshold / ||z||)_+ z. Exactly zero for ||z|| <= threshold.
inline void group_soft_threshold(std::span<double> z, double threshold) {
    const double size = norm(z);
    const double factor = size > threshold ? 1.0 - threshold / size : 0.0;
    for (double& x : z) {
        x *= factor;
    }
}

}  // namespace convexnn
