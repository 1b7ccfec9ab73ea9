// The hinge loss, sum_k s_k (1 - y_k f_k)_+, by the method of multipliers: it has no curvature, and
// where margins are 1 no gradient, but it is the maximum over lambda in [0, 1] of
// sum_k s_k lambda_k (1 - y_k f_k). With a centre c and a width mu > 0,
//
//   max_lambda  sum_k s_k (lambda_k (1 - y_k f_k) - mu (lambda_k^2 / 2 - c_k lambda_k))
//     = mu sum_k s_k l(f_k / mu, y_k (1 / mu + c_k)),
//
// l the huberized hinge. So in units of mu this is a program like any other, with targets of
// another size. Its dual point lambda becomes the next centre: a proximal-point step (Rockafellar
// 1976) towards the largest sum_k s_k lambda_k, the dual of the hinge itself. A few of them get
// there with a mu that is far from zero, where mu -> 0 alone, with c = 0, meets ever worse
// conditioned programs. mu falls only where the gap falls slowly.
#pragma once

#include <functional>

#include "convexnn/solve/group_lasso.hpp"

namespace convexnn {

// A solver of the same program, same blocks and same penalty, with another loss and targets.
using SmoothSolver =
    std::function<GroupLassoResult(const GroupLasso& problem, const SolverSettings& settings,
                                   const Start& start, Monitor& monitor)>;

// Solves a problem whose loss is the hinge, without an offset. Block i is D_i X u_i,
// D_i = slope I + (1 - slope) diag(pattern i), and block P + i, where `solve` has any, -D_i X u_i.
// Objective, dual point and gap are those of the hinge, at the ends of the smooth programs to
// rounding, and between them, for the monitor, bounds of these. Iterations: those of `solve`, and
// one for each smooth program. Allocates at each.
GroupLassoResult solve_hinge(const GroupLasso& problem, double slope,
                             const SolverSettings& settings, const Start& start, Monitor& monitor,
                             const SmoothSolver& solve);

}  // namespace convexnn
