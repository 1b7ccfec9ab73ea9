// Coordinates in which an arrangement is enumerated, and its signs decided in twice the precision.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "convexnn/arrangement/double_double.hpp"
#include "convexnn/base/monitor.hpp"

namespace convexnn {

// Rows p_i = (power of two) y_i T of an arrangement of n distinct hyperplanes of rank r, for one
// fixed non-singular matrix T that makes p_0 nearly (1, 0, ..., 0) and the rest a random
// orthonormal chart. Kept to 32 digits: both tiers of the enumeration see the same arrangement.
class Chart {
public:
    // `basis` is n x r, row-major, of rank r, no two rows parallel, none zero. Throws Stopped.
    Chart(std::span<const double> basis, std::size_t n, std::size_t r,
          Monitor& monitor = unmonitored());

    std::size_t rows() const { return n_; }
    std::size_t rank() const { return r_; }
    // The r coordinates of row i, rounded to doubles; the largest is in [1/2, 1).
    double coordinate(std::size_t i, std::size_t k) const { return points_[i * r_ + k].hi; }

    // A cell candidate of the bijection: level m and m rows (ascending, none is 0).
    //
    // Let f_0 = p_0, f_k = e_k (k >= 1) and c = r - 1 - m. The direction u has p_s.u = 0 for the
    // rows s of S, f_k.u = 0 for k < c, and f_c.u = 1 if c = 0, else -1. The bit of row i outside S
    // is [p_i.u > 0], that of s in S is [lambda_s > 0], where e_{c+1} = sum lambda_s p_s up to
    // f_0, ..., f_c; the bit of row 0 is 1.
    //
    // Writes the n bits (words_for(n) words, padding zero) and returns n; or returns the number of
    // a row i that depends on S and row 0 .. as far as 32 digits tell (then the arrangement is
    // degenerate, the words are not specified, and i is a row of S if S itself is dependent).
    std::size_t decide(std::span<const std::size_t> S, std::span<std::uint64_t> words) const;

private:
    std::size_t n_;
    std::size_t r_;
    double rounding_ = 0.0;             // relative error of a value, but for small pivots
    std::vector<DoubleDouble> points_;  // n x r, row-major
};

}  // namespace convexnn
