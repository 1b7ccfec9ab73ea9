// Objective, dual point and duality gap of min_u sum_k s_k l((A u)_k, y_k) + beta sum_i w_i
// ||u_i||.
//
// With v = -loss gradient at the fit, the point t v is dual feasible for 0 <= t <= beta / M,
// M = max_i ||X^T D_i v|| / w_i, and D(t v) = sum_k s_k (-l*(-t v_k / s_k)) is a lower bound of the
// optimum. Every gap the solvers report is computed here.
#pragma once

#include <algorithm>
#include <cstddef>
#include <limits>
#include <span>

namespace convexnn {

// Targets y and weights s >= 0 of the n samples.
struct Samples {
    std::span<const double> y;
    std::span<const double> s;
};

template <typename Loss>
double loss_value(const Samples& samples, std::span<const double> f) {
    double sum = 0.0;
    for (std::size_t k = 0; k < f.size(); ++k) {
        sum += samples.s[k] * Loss::value(f[k], samples.y[k]);
    }
    return sum;
}

// v_k = -s_k l'(f_k, y_k)
template <typename Loss>
void negative_gradient(const Samples& samples, std::span<const double> f, std::span<double> v) {
    for (std::size_t k = 0; k < f.size(); ++k) {
        v[k] = -samples.s[k] * Loss::slope(f[k], samples.y[k]);
    }
}

// D(t v); rows of weight zero carry v_k = 0 and do not count.
template <typename Loss>
double dual_value(const Samples& samples, std::span<const double> v, double t) {
    double sum = 0.0;
    for (std::size_t k = 0; k < v.size(); ++k) {
        const double s = samples.s[k];
        if (s > 0.0) {
            sum += s * Loss::dual(t * v[k] / s, samples.y[k]);
        }
    }
    return sum;
}

// The t of largest D(t v) among the feasible ones, |t| <= limit = beta / M; for losses with a
// bounded dual domain min(1, limit), which is the best once v is near the optimum.
template <typename Loss>
double best_dual_scale(const Samples& samples, std::span<const double> v, double limit) {
    if constexpr (!Loss::kScaleBeyondOne) {
        return std::min(1.0, limit);
    }
    double linear = 0.0;
    double quadratic = 0.0;
    for (std::size_t k = 0; k < v.size(); ++k) {
        linear += v[k] * samples.y[k];
        if (samples.s[k] > 0.0) {
            quadratic += v[k] * v[k] / samples.s[k];
        }
    }
    if (quadratic == 0.0) {
        return 1.0;
    }
    return std::clamp(linear / quadratic, -limit, limit);
}

// gap / max(|objective|, 1e-10 objective at zero); 0 where both are 0.
inline double relative_gap(double objective, double dual_objective, double objective_at_zero) {
    const double scale = std::max(std::abs(objective), 1e-10 * objective_at_zero);
    const double gap = objective - dual_objective;
    return scale > 0.0 ? gap / scale : (gap > 0.0 ? std::numeric_limits<double>::infinity() : 0.0);
}

}  // namespace convexnn
