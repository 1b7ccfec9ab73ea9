// Newton's method on the group norms eta (newton.cpp, cone_newton.hpp): what it needs to know of g,
//
//   g(eta) = max_a D(a) - sum_i c_i p_i^2 / 2 + sum_i s_i eta_i / 2,    c_i = eta_i / held_i,
//   held_i = s_i + r_i eta_i,
//
// with the price p_i of block i at a, its penalty s_i ||u_i|| (s_i = beta times its weight) and its
// ridge r_i ||u_i||^2 / 2.
#pragma once

#include <algorithm>

namespace convexnn::group_norms {

inline constexpr double kSmallest = 1e-14;       // of the largest norm; less is zero
inline constexpr double kSmallestRidge = 1e-10;  // of the Hessian's diagonal
inline constexpr double kNearOptimum = 0.01;     // relative gap: where flat samples stay flat

// How well a is solved for, where the relative gap is `gap`.
inline double inner_accuracy(double gap) { return std::clamp(0.03 * gap, 1e-13, 1e-2); }

// Of g in one norm.
struct Slope {
    double plain;  // dg/deta
    // What does better in its place where p > held: Newton's method on 1 / p, exact in one step for
    // a single block. Elsewhere `plain`.
    double secular;
    double weight;  // dc/deta
    double bend;    // -d2c/deta2 p^2 / 2
};

inline Slope slope_at(double eta, double size, double ridge, double price) {
    constexpr double kSecularCap = 4.0;  // of p / held
    const double held = size + ridge * eta;
    const double ratio = price / held;
    const double plain = 0.5 * size * (1.0 - ratio * ratio);
    const double capped = std::min(ratio, kSecularCap);
    const double secular = -size * (ratio - 1.0) * std::max(capped * capped, 0.5 * (ratio + 1.0));
    return {plain, ratio <= 1.0 ? plain : secular, size / held / held,
            ridge * size * ratio * ratio / held};
}

}  // namespace convexnn::group_norms
