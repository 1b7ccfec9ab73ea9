// What stands for N^-1, N the systems of kernel_system.hpp, in conjugate gradients: N~^-1 for an N~
// that is N or near it. With a free part all solutions are those orthogonal to H^1/2 E, E the free
// columns (free_columns.hpp), and so is what these return.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <vector>

#include "convexnn/base/dense.hpp"
#include "convexnn/base/monitor.hpp"
#include "convexnn/base/views.hpp"
#include "convexnn/program/free_columns.hpp"
#include "convexnn/solve/group_lasso.hpp"
#include "convexnn/solve/kernel_system.hpp"

namespace convexnn {

// The part that all of them share is the free one: what they factor is N~ without it, each sample's
// free constant is projected out, and the columns of E border the system.
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
    // x less what each sample has of H^1/2 1 over its outputs, where constants of the samples are
    // free.
    void keep_rows(std::span<double> x) const;

    // Some x with E^T (H^1/2 x + change) = 0, written to `out`.
    void along_border(std::span<const double> change, std::span<double> out) const;

    virtual bool exact() const = 0;  // whether N~ is N

protected:
    // `build`, `apply` and `gram` without a free part.
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
