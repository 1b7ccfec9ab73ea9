// A = [D_1 X ... D_P X], D_i = diag(pattern i), which is never formed: it would have n P d entries
// where X has n d and the patterns n P bits. Products with single blocks; with many of them at
// once, see masked_products.hpp.
#pragma once

#include <cstddef>
#include <span>

#include "convexnn/base/bits.hpp"
#include "convexnn/base/views.hpp"

namespace convexnn {

// A as a view of X (n x d) and of the patterns (n x P).
struct MaskedMatrix {
    MatrixView<const double> X;
    BitColumns patterns;

    std::size_t rows() const { return X.rows; }
    std::size_t width() const { return X.columns; }  // d, the columns of one block
    std::size_t blocks() const { return patterns.columns; }
};

// A bound of ||fl(X^T D_i v) - X^T D_i v|| that holds for every i and for every order of summation,
// ours or another's: (n + 4) u || |X|^T |v| ||, u = 2^-53 (Lange and Rump, BIT 2017), where two of
// the four cover a rounded multiple of v and this sum itself. Cost 2 n d; allocates nothing.
//
// With K outputs v has n K entries, and the norm is that of all of them.
double adjoint_rounding(const MaskedMatrix& A, std::span<const double> v);

// X^T D_i v for one block i, and of each of v's K parts of n entries. `masked` is work space of n
// entries. Cost 2 n d K; allocates nothing.
void adjoint_block(const MaskedMatrix& A, std::size_t i, std::span<const double> v,
                   std::span<double> masked, std::span<double> out);

// D_i X u for one block i, written to `out` (n entries), and of each of u's K parts of d entries.
// Cost 2 n d K; allocates nothing.
void forward_block(const MaskedMatrix& A, std::size_t i, std::span<const double> u,
                   std::span<double> out);

// X^T a for each of the parts of n entries of a, written to `out`.
void transposed_parts(MatrixView<const double> X, std::span<const double> a, std::span<double> out);

}  // namespace convexnn
