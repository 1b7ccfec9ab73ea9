// One step of the variational second-order method in the group norms eta of some blocks F:
//
//   minimise  g' delta + delta' (B^T N^-1 B + R) delta / 2   subject to  delta >= -eta,
//   B_i = dc_i/deta_i H^1/2 D_i X X^T D_i a,
//
// dc_i/deta_i = 1 / (beta w_i) where the program has no ridge of its own,
// and x = -N^-1 B delta, the change H^-1/2 (change of a) that follows it.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <vector>

#include "convexnn/base/dense.hpp"
#include "convexnn/solve/group_lasso.hpp"
#include "convexnn/solve/kernel_system.hpp"
#include "convexnn/solve/nonnegative_qp.hpp"
#include "convexnn/solve/preconditioner.hpp"

namespace convexnn {

class NewtonStep {
public:
    NewtonStep(const GroupLasso& problem, std::size_t threads);

    // B and H~ = B^T N~^-1 B of the blocks, at the adjoints X^T D_i a (d K x P) of all patterns;
    // `factors` are their dc_i/deta_i, `bends` >= 0 what c_i's own second derivatives add to the
    // diagonal.
    // Allocates where there are more blocks than ever before.
    dense::Outcome prepare(std::span<const std::size_t> blocks, MatrixView<const double> adjoints,
                           std::span<const double> factors, std::span<const double> bends,
                           const KernelSystem& system, Preconditioner& preconditioner,
                           Monitor& monitor);

    // The step for the gradient g and the norms eta of the blocks. With an exact preconditioner one
    // quadratic program; else that says only which blocks may enter, and the step is solved for by
    // projected conjugate gradients (Gould, Hribar and Nocedal 2001), for a set of blocks that is
    // revised until it holds. `ridge` is relative to H~'s diagonal.
    dense::Outcome solve(std::span<const double> g, std::span<const double> eta, double ridge,
                         KernelSystem& system, Preconditioner& preconditioner,
                         std::span<double> delta, std::span<double> x, Monitor& monitor);

private:
    dense::Outcome solve_for_set(std::span<const double> g, std::span<const double> eta,
                                 KernelSystem& system, Preconditioner& preconditioner,
                                 std::span<double> delta, std::span<double> x, Monitor& monitor);
    bool revise_set(std::span<const double> g, std::span<const double> eta,
                    std::span<const double> delta, std::span<const double> x);

    // Products with the columns of B in the set; `out` += and gathered, respectively.
    void multiply_set(std::span<const double> w, std::span<double> out);
    void multiply_set_transposed(std::span<const double> t, std::span<double> out);
    void solve_schur(std::span<double> w) const;

    const GroupLasso& problem_;
    std::size_t n_, d_, count_ = 0;
    dense::Workspace work_;
    std::unique_ptr<NonnegativeQp> qp_;
    std::size_t capacity_ = 0;
    std::vector<double> gathered_;    // d K x k
    std::unique_ptr<double[]> B_;     // n K x k, much of it never touched
    std::vector<double> H_, factor_;  // k x k
    std::vector<double> bends_, ridge_, lower_, padded_, products_;  // k
    std::vector<char> free_, in_set_;                                // k
    std::vector<std::size_t> set_;
    std::vector<double> w_, correction_, root_ridge_;  // |set|
    std::vector<double> z_, residual_z_, direction_z_, step_z_;
    std::vector<double> b_, residual_, preconditioned_, direction_, image_;  // n
};

}  // namespace convexnn
