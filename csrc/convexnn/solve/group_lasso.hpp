// Group lasso over masked blocks, the gated ReLU program
//
//   min_{u_1..u_P}  sum_k s_k l((sum_i D_i X u_i)_k, y_k)  +  beta sum_i w_i ||u_i||_2,
//
// by block coordinate descent on working sets, with Newton steps on the blocks that it finds
// active, stopped by its duality gap.
#pragma once

#include <cstddef>
#include <limits>
#include <span>
#include <vector>

#include "convexnn/base/monitor.hpp"
#include "convexnn/base/status.hpp"
#include "convexnn/program/gap.hpp"
#include "convexnn/program/loss.hpp"
#include "convexnn/program/masked_matrix.hpp"

namespace convexnn {

struct GroupLasso {
    MaskedMatrix A;                   // n x P blocks of d columns
    Samples samples;                  // n targets and weights s_k >= 0
    std::span<const double> weights;  // P, w_i > 0
    double beta;                      // > 0
    LossKind loss;
};

struct CoordinateDescentSettings {
    double tol = 1e-6;               // on the relative gap, > 0
    std::size_t max_iter = 100'000;  // epochs: passes over the working set, Newton's inner ones too
    double time_limit = std::numeric_limits<double>::infinity();  // seconds
    std::size_t threads = 1;  // for the passes over all patterns
};

struct GroupLassoResult {
    std::vector<std::size_t> active;  // blocks that are not zero, ascending
    std::vector<double> values;       // d x active.size(), column-major: u_i of the active blocks
    std::vector<double> dual;         // n: feasible, D(dual) == dual_objective
    double objective = 0.0;
    double dual_objective = 0.0;
    Status status = Status::max_iter;
    std::size_t n_iter = 0;  // epochs done
    double seconds = 0.0;
    std::vector<Progress> history;  // one entry for every check of the gap, at most kHistory
};

// Longest history kept; later checks replace the last entry.
inline constexpr std::size_t kHistory = 4096;

// Starts from the blocks `start` (distinct indices) with values `start_values`
// (d x start.size(), column-major), or at zero if they are empty or no better. Returns exactly zero
// whenever zero is optimal. Inputs are finite and of matching sizes (checked by the caller) and
// must not change meanwhile. Everything is allocated before the first epoch; the loop allocates
// nothing but the threads it is allowed. Cost of an epoch: 4 n d for each block of the working set.
GroupLassoResult coordinate_descent(const GroupLasso& problem,
                                    const CoordinateDescentSettings& settings,
                                    std::span<const std::size_t> start,
                                    std::span<const double> start_values, Monitor& monitor);

}  // namespace convexnn
