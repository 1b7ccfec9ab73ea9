// From data to an arrangement without repetitions: what every enumeration starts with.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "convexnn/base/monitor.hpp"
#include "convexnn/base/views.hpp"

namespace convexnn {

// The distinct hyperplanes x_i . u = 0 of a matrix, in as many coordinates as its rank.
struct ReducedRows {
    std::size_t samples = 0;                   // rows of the data
    std::size_t count = 0;                     // n, distinct hyperplanes
    std::size_t rank = 0;                      // r
    std::vector<std::int64_t> representative;  // of each sample: its distinct row, -1 for zero
    std::vector<std::uint8_t> flipped;         // of each sample: 1 if it points the other way
    std::vector<std::size_t> rows;             // of each distinct row: its first sample
    std::vector<std::size_t> columns;          // basis of the column space; d means a column of 1
    std::vector<double> basis;                 // n x r, row-major
    bool columns_left_out = false;             // a non-zero column is not in `columns`
};

// Reduces X (n x d, finite).
//
// With `snap`, columns near a lattice are read as that lattice (lattice.hpp; offsets only where the
// column of ones lies in the column space), and rows are merged that are multiples of each other up
// to the rounding of their entries. Without it, only exact multiples are merged.
// The columns of `basis` are columns of X, those of snapped columns whole numbers; rows and columns
// are scaled by powers of two, which is exact. Columns that depend on the basis to 1e-10 are left
// out: their cells are those of the basis. Throws Stopped.
ReducedRows reduce_rows(MatrixView<const double> X, bool snap, Monitor& monitor = unmonitored());

}  // namespace convexnn
