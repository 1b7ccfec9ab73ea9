// The ReLU program: the gated program with two blocks for each pattern, both in the pattern's cone,
//
//   min_{v_i, w_i in K_i, b}  sum_k s_k l((sum_i D_i X (v_i - w_i))_k + b, y_k)
//                             + beta sum_i p_i (||v_i|| + ||w_i||)
//                             + ridge sum_i (||v_i||^2 + ||w_i||^2) / 2,
//   K_i = {u : x_k'u >= 0 where pattern i is on, <= 0 where it is off},
//
// D_i = diag(pattern i) with `slope` in place of 0, so that D_i X u is the activation of X u for u
// in K_i: 0 for ReLU, in (0, 1) for the leaky one, -1 for the absolute value.
#pragma once

#include "convexnn/solve/group_lasso.hpp"

namespace convexnn {

struct ConeLasso {
    GroupLasso base;     // the p_i are its weights
    double slope = 0.0;  // in [-1, 1)
    // A last pattern, with all bits set, is a linear part: its blocks have no cone.
    bool linear_part = false;
};

// Cutting planes over neurons, then a second-order method on the faces of the cones
// (cutting_plane.hpp). Block i of the start and of the result is v_i, block P + i is w_i; those of
// the start are projected onto their cones, in which those of the result lie to rounding.
// Iterations: pricings of all patterns. Otherwise as the solvers of group_lasso.hpp, but that it
// allocates as the neurons that it looks at become more.
GroupLassoResult cutting_plane(const ConeLasso& problem, const SolverSettings& settings,
                               const Start& start, Monitor& monitor);

}  // namespace convexnn
