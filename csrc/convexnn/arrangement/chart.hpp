// Coordinates in which an arrangement is enumerated, and its signs decided in twice the precision,
// or exactly.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "convexnn/arrangement/double_double.hpp"
#include "convexnn/arrangement/flats.hpp"
#include "convexnn/base/monitor.hpp"

namespace convexnn {

// What is known of a set of rows: whether it is the lowest vertex of a cell.
enum class Verdict { cell, none, undecided };
struct Decision {
    Verdict verdict;
    std::size_t row;  // undecided: one whose side is not told, though it has one
};

// Rows p_i = (power of two) y_i T of an arrangement of n distinct hyperplanes of rank r, for one
// fixed non-singular matrix T that makes p_0 nearly (1, 0, ..., 0) and the rest a random
// orthonormal chart. Kept to 32 digits: both tiers of the enumeration see the same arrangement.
class Chart {
public:
    // `basis` is n x r, row-major, of rank r, no two rows parallel, none zero; `seed` chooses the
    // chart. Throws Stopped.
    Chart(std::span<const double> basis, std::size_t n, std::size_t r, std::uint64_t seed = 0,
          Monitor& monitor = unmonitored());

    std::size_t rows() const { return n_; }
    std::size_t rank() const { return r_; }
    // The coordinates of row i, p_i = sum_k (coordinate k) f_k with f_0 = p_0 and f_k = e_k,
    // rounded to doubles; none is much larger than 1, and those of row 0 are (1, 0, ..., 0).
    double coordinate(std::size_t i, std::size_t k) const {
        const DoubleDouble along = points_[i * r_] / points_[0];
        return (k == 0 ? along : points_[i * r_ + k] - along * points_[k]).hi;
    }
    // The same rows in integers.
    const ResidueChart& residues() const { return residues_; }

    // A cell candidate: level m and a set S of m rows (ascending, none is 0).
    //
    // Let f_0 = p_0, f_k = e_k (k >= 1) and c = r - 1 - m. The direction u has p_s.u = 0 for the
    // rows s of S, f_k.u = 0 for k < c, and f_c.u = 1 if c = 0, else -1. The bit of row 0 is 1;
    // of s in S [lambda_s > 0], where e_{c+1} = sum lambda_s p_s up to f_0, ..., f_c; of a row i
    // with p_i.u != 0 [p_i.u > 0]. Other rows depend on S and row 0: p_i = sum J_s p_s + J_0 p_0.
    // If J_0 != 0 the bit is [J_0 > 0]; else it is the leader's, the largest s with J_s != 0, or
    // the opposite of it if J_s < 0. (As if the hyperplanes were moved by very different amounts,
    // the last the farthest.) No cell if a row i with J_0 = 0 is larger than its leader, or S and
    // row 0 are dependent; all other sets give all half cells, each once.
    //
    // Writes the n bits (words_for(n) words, padding zero); they are not specified if the verdict
    // is not `cell`. `flats` stands at level m with all rows of S but the last chosen; without it
    // sets with other rows near their vertices are undecided.
    Decision decide(std::span<const std::size_t> S, Flats* flats,
                    std::span<std::uint64_t> words) const;
    // The same with flats made where they are needed; they are kept in `flats` for the next set.
    Decision cell_at(std::span<const std::size_t> S, std::unique_ptr<Flats>& flats,
                     std::span<std::uint64_t> words) const;

private:
    // Of the rows f_0, ..., f_c, S, that at `place` being p_i (f_{i-n} for i >= n): the sign of the
    // determinant, from the doubles given without rounding. 0 if the rank is too large for that.
    int exact_determinant(std::span<const std::size_t> S, std::size_t place, std::size_t i) const;

    std::size_t n_;
    std::size_t r_;
    ResidueChart residues_;
    std::vector<double> basis_;         // y, n x r, row-major
    std::vector<double> whitening_;     // T is the product of two r x r matrices, column-major,
    std::vector<double> turn_;          // exactly
    double rounding_ = 0.0;             // relative error of a value, but for small pivots
    std::vector<DoubleDouble> points_;  // n x r, row-major
};

}  // namespace convexnn
