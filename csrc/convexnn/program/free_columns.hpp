// The free part of a fit, which no penalty holds: Z c_j in every output j, for the q columns of Z,
// and where `rows` says so a constant over all outputs of each sample. As a linear space it is the
// range of E = [I_K (x) Z, 1_K (x) I_n]; in weights h, H = diag(h), what matters is
//
//   H (I - E (E'HE)^+ E'H),    the curvature of min_c L(f + E c) where that of L is H.
//
// With `rows` the constant columns of the last output are dropped: the rows' own make up for them.
#pragma once

#include <cmath>
#include <cstddef>
#include <span>
#include <vector>

#include "convexnn/base/views.hpp"

namespace convexnn {

// Work space is allocated by the constructor.
class FreeColumns {
public:
    FreeColumns() = default;
    // `has_constant`: a column of ones is in Z; `skip`: n rows, its columns are too. Columns that
    // depend on those before them to rounding count for nothing.
    FreeColumns(std::size_t n, std::size_t outputs, bool has_constant,
                MatrixView<const double> skip, bool rows);

    std::size_t width() const { return width_; }  // q
    std::size_t count() const { return width_ * used_; }
    bool rows() const { return rows_; }
    bool empty() const { return count() == 0 && !rows_; }
    // An orthonormal basis of Z's columns, n x q.
    MatrixView<const double> basis() const { return {basis_.data(), n_, width_}; }

    // Column j of I_K (x) Z, j < count().
    void column(std::size_t j, std::span<double> out) const;

    // To be called when h >= 0 has changed. False where E'HE has no inverse to rounding; regress
    // and step then leave out columns that depend on others in these weights.
    bool set(std::span<const double> h);

    // x <- x - E (E'HE)^+ E'H x.
    void regress(std::span<double> x) const;
    // x <- R (x - E (E'HE)^+ E'H x), R = H^1/2 =: diag(root).
    void scale(std::span<const double> root, std::span<double> x) const;

    // c with (E'HE) (c, .) = E'g, count() entries, for g whose rows sum to zero where the rows are
    // free; returns c'Z'g, twice what a quadratic model falls by.
    double step(std::span<const double> g, std::span<double> c) const;
    // x = (I_K (x) Z) c; as Z is orthonormal, of the length of c.
    void combine(std::span<const double> c, std::span<double> x) const;
    // g <- g - Z Z'g for each output, twice: orthogonal to Z to the rounding of what is left.
    void project(std::span<double> g) const;
    // Largest |z_j'g| / |z_j|'|g| over the columns, 0 for g = 0; of |z_j'g| what may be rounding of
    // g's entries, some units in the last place of max |z_j| sum |g|, does not count.
    double imbalance(std::span<const double> g) const;
    double imbalance(std::span<const double> g, std::size_t output) const;

private:
    void solve(std::span<double> c) const;
    void multiply(std::span<const double> c, double factor, std::span<double> x) const;

    std::size_t n_ = 0, outputs_ = 1, width_ = 0, used_ = 0;
    bool rows_ = false;
    std::vector<double> basis_;
    std::vector<double> h_, row_sums_;
    std::vector<double> gram_;                  // count x count: Cholesky factor, lower triangle
    mutable std::vector<double> c_, products_;  // count
    std::vector<double> work_;                  // n
};

}  // namespace convexnn
