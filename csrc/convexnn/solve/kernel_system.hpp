// The linear systems of the variational second-order method: with blocks of weight c_a > 0 and a
// loss of curvature h,
//
//   N = I + H^1/2 K H^1/2,    K = sum_a c_a D_a X X^T D_a,    H = diag(h),
//
// as an operator, and what stands for N^-1. With a free part the loss' curvature is less than H,
// and all solutions are those orthogonal to H^1/2 E, E the free columns (free_columns.hpp). With
// several outputs K is the same for each.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <vector>

#include "convexnn/base/dense.hpp"
#include "convexnn/base/monitor.hpp"
#include "convexnn/base/views.hpp"
#include "convexnn/program/free_columns.hpp"
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

// x less what each sample has of H^1/2 1 over its outputs, root = diag(H^1/2): the projection that
// free constants of the samples ask for.
void project_rows(std::span<const double> root, std::size_t rows, std::span<double> x);

// N~, which is N or near it.
class Preconditioner {
public:
    Preconditioner(const GroupLasso& problem, const FreeColumns& columns);
    virtual ~Preconditioner() = default;

    // To be called whenever the blocks, their weights or the curvature have changed. Stopped, or
    // not_positive where N~ overflowed.
    dense::Outcome build(const KernelSystem& system, Monitor& monitor);

    // out = N~^-1 r, orthogonal to H^1/2 E; `out` must not be `r`.
    void apply(std::span<const double> r, std::span<double> out);

    // Lower triangle of C = B^T N~^-1 B, for columns that keep_rows has been applied to. B may
    // change by its rounding.
    dense::Outcome gram(MatrixView<double> B, MatrixView<double> C, Monitor& monitor);
    void keep_rows(std::span<double> x) const;

    // Some x with E^T (H^1/2 x + change) = 0, written to `out`.
    void along_border(std::span<const double> change, std::span<double> out) const;

    virtual bool exact() const = 0;  // whether N~ is N

protected:
    virtual dense::Outcome factor(const KernelSystem& system, Monitor& monitor) = 0;
    virtual void solve(std::span<const double> r, std::span<double> out) = 0;
    virtual dense::Outcome product(MatrixView<double> B, MatrixView<double> C,
                                   Monitor& monitor) = 0;

    const GroupLasso& problem_;

private:
    void invert(std::span<const double> r, std::span<double> out);  // N~^-1, rows kept

    const FreeColumns& columns_;
    std::span<const double> root_;  // of the system built for
    // The columns of E, combined so that H^1/2 E is orthonormal in N~^-1, and N~^-1 H^1/2 times
    // them; the first `borders_` of both.
    std::vector<double> combined_, border_;
    std::size_t borders_ = 0;
    std::vector<double> projected_;  // n K
    std::vector<double> product_;    // B^T border
};

// "Mean field": the masks in K are replaced by their mean and the variance of each row,
//
//   K ~ U U^T + diag_r(||x_r||^2 (m_r - m_r^2 / sum c)),    U = diag(m) X / sqrt(sum c),
//   m_r = sum_a c_a d_ra,
//
// which a d x d factor inverts, one for each output unless they have the same curvature. Build
// n d^2, apply 4 n d, for each output.
std::unique_ptr<Preconditioner> mean_field(const GroupLasso& problem, const FreeColumns& columns,
                                           std::size_t threads);

// N itself by n x n Cholesky factors, one for each output unless they have the same curvature; with
// free constants of the samples, which join the outputs, only near N. Build n^2 |A| + n^3 / 3,
// apply 2 n^2; memory 8 n^2 bytes and as many for each factor, and 8 n |A|.
std::unique_ptr<Preconditioner> dense_factor(const GroupLasso& problem, const FreeColumns& columns,
                                             std::size_t threads);

}  // namespace convexnn
