// Columns of data that were meant as whole multiples of a step: decimals, standardised counts.
#pragma once

#include <span>

namespace convexnn {

// Finds a step h (and, with `shift`, an offset c, the least entry) with every entry of `column`
// within 1e-9 h of a whole multiple of h (of c plus one), and writes the multiples to `out`.
// Steps that are tried: 1, powers 10^-1 .. 10^-6, and the smallest gap between two entries (and 0,
// without `shift`). Multiples stay below 2^40, those of a gap below 10^6, and some is not 0.
// Returns false, with `out` unspecified, if there is none. Sorts a copy: allocates n doubles.
bool read_lattice(std::span<const double> column, bool shift, std::span<double> out);

}  // namespace convexnn
