// Which rows of an arrangement depend on rows chosen one after the other: exactly, in integers.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "convexnn/arrangement/prime_field.hpp"
#include "convexnn/base/monitor.hpp"

namespace convexnn {

// The rows modulo a prime, in random coordinates in which row 0 is (1, 0, ..., 0).
//
// Rows that depend on each other do so modulo the prime. Rows that do not may still seem to: for
// data that were not made for it, once in 2^58 decisions.
class ResidueChart {
public:
    // `basis` is n x r, row-major, finite, of rank r; row 0 is not zero. `seed` chooses the prime
    // and the coordinates.
    ResidueChart(std::span<const double> basis, std::size_t n, std::size_t r, std::uint64_t seed,
                 Monitor& monitor = unmonitored());

    std::size_t rows() const { return n_; }
    std::size_t rank() const { return r_; }
    const PrimeField& field() const { return field_; }
    // Coordinate k of the n rows.
    const std::uint64_t* column(std::size_t k) const { return residues_.data() + k * n_; }

private:
    PrimeField field_;
    std::size_t n_;
    std::size_t r_;
    std::vector<std::uint64_t> residues_;  // n x r, column-major
};

// The flats spanned by the rows chosen so far, a stack, and work space for it.
//
// At level m at most m rows s_0 < s_1 < ... are chosen (none is 0). The span of the first k is
// written F_k. A set of rows is the lowest vertex of a cell (enumerate.hpp) if and only if the rows
// are independent together with row 0 and no row i > s_k lies in F_{k+1}, for any k: in the terms
// of matroids, if it holds no broken circuit.
class Flats {
public:
    explicit Flats(const ResidueChart& chart);

    // Begins at level m < rank, with no row chosen.
    void start(std::size_t m);
    // Chooses row s > s_{depth-1} as s_depth, depth < m - 1; rows chosen there or later are
    // forgotten. Only rows among `suspects` (ascending) are looked at when the last is chosen that
    // may be, s_{m-2}: all others that lie in its flat and no earlier one must be among them. False
    // if no cell's vertex begins with these rows; then only rows up to `depth` - 1 count.
    bool choose(std::size_t depth, std::size_t s, std::span<const std::size_t> suspects);
    // The same, with every row a suspect.
    bool choose(std::size_t depth, std::size_t s) { return choose(depth, s, all_); }

    // The leader of row i: k if it lies in F_{k+1} but not in F_k, and -1 if it lies in no flat of
    // the rows chosen.
    std::int16_t leader(std::size_t i) const { return leaders_[i]; }
    // The rows that have leaders, those chosen among them, by rising leader.
    std::span<const std::size_t> members() const { return members_; }

    // When all rows but the last are chosen (m >= 1): whether j may be the last, as far as it must
    // be independent of them and row 0;
    bool may_be_last(std::size_t j) { return entries(j).direction != 0; }
    // how row i depends on the rows chosen and the last row j: not at all, without row 0, or with
    // it. Row i has no leader, j may be last.
    enum class Relation { none, flat, with_row_0 };
    Relation relation(std::size_t i, std::size_t j) {
        const PrimeField& field = chart_.field();
        const Entries& one = entries(i);
        const Entries& other = entries(j);
        const auto parallel = [&](std::uint64_t a, std::uint64_t b) {
            return field.multiply(a, other.direction) == field.multiply(b, one.direction);
        };
        if (!parallel(one.offset, other.offset)) {
            return Relation::none;
        }
        return parallel(one.row_0, other.row_0) ? Relation::flat : Relation::with_row_0;
    }
    // Whether row i, which has no leader, depends on the rows chosen and row 0, so that its side is
    // that of row 0's coefficient. False at the first level, m = rank - 1, where such a row lies on
    // one side of all.
    bool only_row_0(std::size_t i) {
        return below_ && entries(i).direction == 0 && entries(i).offset == 0;
    }

private:
    // A row at the last node, up to a factor of each column: the coordinate left, the offset, and
    // (below the first level; else 0) row 0's coefficient.
    struct Entries {
        std::uint64_t direction;
        std::uint64_t offset;
        std::uint64_t row_0;
        std::uint64_t node;  // for which they were computed
    };
    static constexpr std::size_t kColumns = 3;

    // Computed from the node before the last when they are asked for.
    const Entries& entries(std::size_t i) {
        Entries& row = entries_[i];
        if (row.node != node_) {
            row = {entry(0, i), entry(1, i), below_ ? entry(2, i) : 0, node_};
        }
        return row;
    }
    std::uint64_t entry(std::size_t column, std::size_t i) const {
        const PrimeField& field = chart_.field();
        return field.subtract(field.multiply(last_[column][i], scale_),
                              field.multiply(factors_[column], pivots_[i]));
    }
    std::uint64_t* own(std::size_t depth, std::size_t column) {
        return memory_.data() + ((depth - 1) * (chart_.rank() + 1) + column) * chart_.rows();
    }
    bool join(std::size_t i, std::size_t s, std::size_t depth);

    const ResidueChart& chart_;
    std::size_t m_ = 0;
    bool below_ = false;                                      // the first level
    std::vector<std::vector<const std::uint64_t*>> columns_;  // by depth: left, offset, row 0
    std::vector<std::size_t> counts_;                         // by depth: members
    std::vector<std::int16_t> leaders_;
    std::vector<std::size_t> members_;
    std::vector<std::size_t> all_;  // rows but the first
    std::vector<Entries> entries_;
    std::vector<std::uint64_t> memory_;
    const std::uint64_t* last_[kColumns] = {};
    const std::uint64_t* pivots_ = nullptr;
    std::uint64_t scale_ = 1;
    std::uint64_t factors_[kColumns] = {};
    std::uint64_t node_ = 1;  // number of the last node
};

}  // namespace convexnn
