// The proximal step of one group.
#pragma once

#include <span>

#include "convexnn/base/vectors.hpp"

namespace convexnn {

// z <- prox of threshold ||.||: (1 - threshold / ||z||)_+ z. Exactly zero for ||z|| <= threshold.
inline void group_soft_threshold(std::span<double> z, double threshold) {
    const double size = norm(z);
    const double factor = size > threshold ? 1.0 - threshold / size : 0.0;
    for (double& x : z) {
        x *= factor;
    }
}

}  // namespace convexnn
