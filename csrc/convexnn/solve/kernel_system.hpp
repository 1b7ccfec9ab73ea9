// The linear systems of the variational second-order method: with blocks of weight c_a > 0 and a
// loss of curvature h,
//
//   N = I + H^1/2 K H^1/2,    K = sum_a c_a D_a X X^T D_a,    H = diag(h),
//
// as an operator; what stands for N^-1 is in preconditioner.hpp. With several outputs K is the same
// for each.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <vector>

#include "convexnn/base/monitor.hpp"
#include "convexnn/program/masked_products.hpp"
#include "convexnn/solve/group_lasso.hpp"
#include "convexnn/solve/single_kernel.hpp"

namespace convexnn {

// N as an operator: 4 n d operations a block, by tables a fraction of them.
//
// Where X is large, what conjugate gradients multiply is multiplied in single precision, until
// `leave_single`: most of a solver's time goes there, and what it claims does not depend on it. Who
// solves with N starts from residuals of `multiply_kernel`, which is always exact, trusts the
// recurrence of the residual for a few digits only (kSingleReach), and leaves single precision once
// its rounding shows in the result.
class KernelSystem {
public:
    // `monitor` is for the copy of X in single precision, as MaskedProducts has it.
    KernelSystem(const GroupLasso& problem, MaskedProducts<double>& products, std::size_t threads,
                 Monitor& monitor);

    // The blocks of K, which become the active ones of the products, and their weights c_a > 0.
    void set_blocks(std::span<const std::size_t> blocks, std::span<const double> c);
    // H, n K entries; rows whose curvature is zero next to the largest get an H^1/2 of exactly
    // zero.
    void set_curvature(std::span<const double> h);

    std::span<const std::size_t> blocks() const { return masked_.active(); }
    std::span<const double> weights() const { return c_; }
    std::span<const double> root() const { return root_; }  // the diagonal of H^1/2

    // By how much a residual may fall before single precision asks for a new one.
    static constexpr double kSingleReach = 1e-3;
    bool is_single() const { return single_ != nullptr; }
    bool leave_single();  // for good; false if that was so already

    // out = K x, out = N x, and the latter in single precision while that lasts. False: stopped.
    bool multiply_kernel(std::span<const double> x, std::span<double> out, Monitor& monitor);
    bool multiply_exactly(std::span<const double> x, std::span<double> out, Monitor& monitor);
    bool multiply(std::span<const double> x, std::span<double> out, Monitor& monitor);

    std::size_t products() const { return products_; }  // with K or N, so far

private:
    template <typename Kernel>
    bool multiply_with(const Kernel& kernel, std::span<const double> x, std::span<double> out);

    MaskedProducts<double>& masked_;
    std::unique_ptr<SingleKernel> single_;
    std::size_t threads_;
    std::size_t products_ = 0;
    std::vector<double> c_, root_, scaled_;
    std::unique_ptr<double[]> adjoints_;  // d K x P
    const GroupLasso& problem_;
};

}  // namespace convexnn
