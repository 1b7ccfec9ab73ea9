// Group lasso over masked blocks, the gated ReLU program
//
//   min_{U_1..U_P, b}  sum_k s_k l((sum_i D_i X U_i)_k + b, y_k)
//                      + sum_i (beta w_i ||U_i||_F + ridge ||U_i||_F^2 / 2),
//
// U_i a vector, or a matrix d x K for K outputs; b = 0 without an output offset; and what every
// solver of it takes and returns.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <span>
#include <vector>

#include "convexnn/base/monitor.hpp"
#include "convexnn/base/status.hpp"
#include "convexnn/base/views.hpp"
#include "convexnn/program/data_term.hpp"
#include "convexnn/program/loss.hpp"
#include "convexnn/program/masked_matrix.hpp"

namespace convexnn {

struct GroupLasso {
    MaskedMatrix A;                   // n x P blocks of d columns
    Samples samples;                  // n K targets and weights s_k >= 0, output by output
    std::span<const double> weights;  // P, w_i > 0
    double beta;                      // > 0
    LossKind loss;
    double loss_parameter = 0.0;  // Huber's delta
    bool output_offset = false;
    double ridge = 0.0;                  // >= 0
    std::size_t outputs = 1;             // K
    MatrixView<const double> skip = {};  // columns that are free beside the offset, n rows

    std::size_t fits() const { return A.rows() * outputs; }
    std::size_t block_size() const { return A.width() * outputs; }
    // A vector of n K entries with a column for each output.
    template <typename T>
    MatrixView<T> by_output(std::span<T> f) const {
        return {f.data(), A.rows(), outputs};
    }
};

// ridge ||u||^2 / 2 for ||u|| = size.
inline double ridge_penalty(const GroupLasso& problem, double size) {
    return 0.5 * problem.ridge * size * size;
}

// sum_i (|t| q_i - beta w_i)_+^2 / 2 over some blocks of prices q_i / w_i.
inline double price_excess(const GroupLasso& problem, std::span<const std::size_t> blocks,
                           std::span<const double> prices, double t) {
    double sum = 0.0;
    for (const std::size_t i : blocks) {
        const double over =
            problem.weights[i] * std::max(0.0, std::abs(t) * prices[i] - problem.beta);
        sum += over * over;
    }
    return 0.5 * sum;
}

struct SolverSettings {
    double tol = 1e-6;               // on the relative gap, > 0
    std::size_t max_iter = 100'000;  // what counts as one is said beside each solver
    double time_limit = std::numeric_limits<double>::infinity();  // seconds
    std::size_t threads = 1;  // for the passes over all patterns
};

// Where to start: distinct blocks and their values, d K x blocks.size(), column-major.
struct Start {
    std::span<const std::size_t> blocks;
    std::span<const double> values;
};

struct GroupLassoResult {
    std::vector<std::size_t> active;  // blocks that are not zero, ascending
    std::vector<double> values;       // d K x active.size(), column-major: the active blocks
    std::vector<double> free_part;    // n K: the fit of the offset and the free columns
    std::vector<double> dual;         // n K: feasible, D(dual) == dual_objective
    double objective = 0.0;
    double dual_objective = 0.0;
    Status status = Status::max_iter;
    std::size_t n_iter = 0;
    double seconds = 0.0;
    std::vector<Progress> history;  // one entry for every check of the gap, at most kHistory
};

// Longest history kept; later checks replace the last entry.
inline constexpr std::size_t kHistory = 4096;

// The solvers. Each starts from `start`, or at zero where that is empty or no better, stops when
// its relative gap is at most tol, and returns exactly zero whenever zero is optimal. Inputs are
// finite and of matching sizes (checked by the caller) and must not change meanwhile.

// Block coordinate descent on working sets, with gap-safe screening (coordinate_descent.cpp).
// Iterations: epochs, that is passes over the working set; a conjugate-gradient iteration of its
// Newton steps counts as one.
// Everything is allocated before the first epoch; the loop allocates nothing but the threads it is
// allowed. Cost of an epoch: 4 n d for each block of the working set.
GroupLassoResult coordinate_descent(const GroupLasso& problem, const SolverSettings& settings,
                                    const Start& start, Monitor& monitor);

// The variational second-order method (newton.cpp). Iterations: Newton steps in the group norms,
// and fits to norms that no step led to (those of a start, or at the next penalty of a cold one);
// each a few passes over all patterns and some tens of products with the active ones. Memory beside
// the patterns: 8 n bytes for each block that a step may move, or 16 n^2 where n is small; and two
// copies of X, one of them in single precision, which conjugate gradients multiply with.
// Allocates where more blocks take part in a step than ever before. Of the hinge's smooth programs
// (hinge.hpp) those that take long, and all after them, go to `fista`.
GroupLassoResult newton(const GroupLasso& problem, const SolverSettings& settings,
                        const Start& start, Monitor& monitor);

// Accelerated proximal gradient on working sets (fista.cpp), for loose tolerances and many samples.
// Iterations: proximal steps. Everything is allocated before the first step; the loop allocates
// nothing but the threads it is allowed. Cost of a step on a working set of W blocks: two products
// of n d W / 4 additions, or more of the second where the step has to be shortened.
GroupLassoResult fista(const GroupLasso& problem, const SolverSettings& settings,
                       const Start& start, Monitor& monitor);

}  // namespace convexnn
