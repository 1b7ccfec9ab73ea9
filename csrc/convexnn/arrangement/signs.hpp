// Activation patterns of gates: which side of each gate's hyperplane every sample lies on.
#pragma once

#include <cstddef>

#include "convexnn/base/bits.hpp"
#include "convexnn/base/monitor.hpp"
#include "convexnn/base/views.hpp"

namespace convexnn {

// Bit k of column i of `patterns` becomes 1[sum_j X(k, j) gates(j, i) >= 0].
//
//   X         n x d, finite, products with the gates finite
//   gates     d x P, one gate a column
//   patterns  n x P, written whole, padding bits zero; must not overlap the inputs
//
// The sum runs over j = 0, 1, ... in this order, each product and each sum rounded once, for one
// sample at a time: the bits are the same on every instruction set and for every number of threads.
// (Built with -ffp-contract=off; never to be replaced by a BLAS product.)
// Cost 2 n d P operations; allocates one tile of 64 x d. False: stopped by the monitor.
bool sign_patterns(MatrixView<const double> X, MatrixView<const double> gates,
                   MutableBitColumns patterns, std::size_t threads, Monitor& monitor);

}  // namespace convexnn
