// Columns of data that were meant as whole multiples of a step: decimals, standardised counts.
#pragma once

#include <span>

namespace convexnn {

// Finds a step h (and, with `shift`, an offset c, the least entry) with every entry of `column`
// within 1e-9 h of a whole multiple of h (of c plus one), and writes the multiples to `out`. No
// entry may move by more than 1e-9 of itself either, but for rounding (7e-15 of the median entry).
// Steps that are tried: without `shift` 1 and the powers 10^-1, ..., 10^-6 (multiples up to 10^12),
// then the largest common step of the entries less their offset (multiples up to 10^6). A column of
// zeros is no lattice. Returns false, with `out` unspecified, if there is none.
bool read_lattice(std::span<const double> column, bool shift, std::span<double> out);

}  // namespace convexnn
