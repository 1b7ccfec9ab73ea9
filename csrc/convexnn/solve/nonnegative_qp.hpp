// A small convex quadratic program with lower bounds:
//
//     minimise  g'd + d'Hd / 2   subject to  d >= lower
//
// Block principal pivoting: Portugal, Judice, Vicente (1994), "A comparison of block pivoting and
// interior-point algorithms for linear least squares problems with nonnegative variables". Where
// it stops making progress, as on nearly singular H, projected Newton steps follow, which cannot
// cycle: Bertsekas (1982), "Projected Newton methods for optimization problems with simple
// constraints".
#pragma once

#include <cstddef>
#include <memory>
#include <span>

#include "convexnn/base/dense.hpp"

namespace convexnn {

struct QpSettings {
    // Least relative ridge tried once a free part of H has no Cholesky factor; then 100 times more.
    double least_ridge = 1e-12;
    // A pivot of a factor not above this times its diagonal entry of H counts as none.
    double pivot_tolerance = 1e-13;
    std::size_t max_rounds = 200;
};

struct QpResult {
    dense::Outcome outcome = dense::Outcome::done;
    bool solved = false;     // the conditions of optimality hold, to rounding, for H + ridge
    std::size_t rounds = 0;  // factorisations
    double ridge = 0.0;      // what H's diagonal had to be multiplied by, less 1
};

// Work space for up to `capacity` unknowns (capacity^2 + O(capacity) numbers), allocated once.
class NonnegativeQp {
public:
    explicit NonnegativeQp(std::size_t capacity);

    // k = g.size() <= capacity unknowns; H (k x k, only its lower triangle is read) positive
    // semidefinite with a diagonal > 0; lower <= 0, finite. `free` says which unknowns are off
    // their bounds: on entry a guess (all zero is one), on return those of the answer. d is output
    // only. One Cholesky factor of the free part of H a round, few rounds from a good guess.
    //
    // If no optimum is found within max_rounds, d is feasible with an objective <= 0, and `solved`
    // false. `not_positive`: something is not finite; `stopped`: the monitor said so; then d and
    // `free` are unspecified. Allocates nothing.
    QpResult solve(MatrixView<const double> H, std::span<const double> g,
                   std::span<const double> lower, std::span<char> free, std::span<double> d,
                   const QpSettings& settings, dense::Workspace& workspace, Monitor& monitor);

private:
    enum class Step { done, ridge, stopped };
    Step solve_free(MatrixView<const double> H, std::span<const double> g,
                    std::span<const double> lower, std::span<const char> free, std::span<double> d,
                    double ridge, const QpSettings& settings, dense::Workspace& workspace,
                    Monitor& monitor);
    // w_ = g + (H + ridge) d; returns the objective.
    double refresh_gradient(MatrixView<const double> H, std::span<const double> g,
                            std::span<const double> d, double ridge);
    // best_ = d put above its bounds, or 0 if that is better. Returns the objective.
    double start_descent(MatrixView<const double> H, std::span<const double> g,
                         std::span<const double> lower, std::span<const double> d, double ridge);
    // Moves best_ towards d along the bounds until the objective falls; the length of the step, 0
    // if none.
    double descend(MatrixView<const double> H, std::span<const double> g,
                   std::span<const double> lower, std::span<const double> d, double ridge,
                   double& value);

    std::size_t capacity_;
    std::unique_ptr<double[]> factor_, right_, w_, best_, trial_;
    std::unique_ptr<std::size_t[]> index_;
    std::unique_ptr<char[]> wrong_;
};

}  // namespace convexnn
