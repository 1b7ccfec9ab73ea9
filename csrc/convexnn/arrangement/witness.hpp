// A point of every cell, as far from all hyperplanes as the cell allows.
#pragma once

#include <cstddef>

#include "convexnn/base/bits.hpp"
#include "convexnn/base/monitor.hpp"
#include "convexnn/base/views.hpp"

namespace convexnn {

// Column i of `points` becomes the unit vector u that maximises min_k sigma_k a_k . u, where
// sigma_k = 1 if bit k of pattern i is set, else -1: the direction of the shortest vector of
// conv{sigma_k a_k} (Wolfe's algorithm). Rows that are zero do not count.
//
//   rows      n x r, each row of length 1 or 0, not all 0
//   patterns  n x P; of a pattern that is no cell the point is some unit vector, or zero
//   points    r x P, written whole
//
// Every pattern is treated alone, in plain double arithmetic: the points are the same on every
// instruction set and for every number of threads. Accurate down to cells about 1e-14 wide.
// Cost about 2 n r flops for each of some r steps. False: stopped by the monitor.
bool cell_witnesses(MatrixView<const double> rows, BitColumns patterns, MatrixView<double> points,
                    std::size_t threads, Monitor& monitor);

}  // namespace convexnn
