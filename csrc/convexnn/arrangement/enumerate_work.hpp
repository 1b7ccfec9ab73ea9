// What one thread holds while it lists half cells: the tableaux on the way to a vertex, the flats,
// and where patterns go. Read by the files of the enumeration only.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "convexnn/arrangement/enumerate.hpp"
#include "convexnn/base/monitor.hpp"

namespace convexnn {

inline constexpr double kLeastPivot = 1e-6;  // relative; below it everything is left to the chart,
inline constexpr double kSurePivot = 64.0;   // and so it does below this many errors of its own
inline constexpr double kErrors = 4.0;       // a value of more errors than this has its sign
inline constexpr std::size_t kBatch = 64;    // candidates whose signs are taken at once

// Thrown where neither 32 digits nor exact arithmetic tell a sign: samples that may depend on each
// other.
struct UndecidedRows {
    std::vector<std::size_t> samples;
};

// The tableau of level m after k rows were chosen: columns of the m - k coordinates left, of the
// rows chosen (the last first), of the offsets, and (of degenerate data below the first level) of
// row 0's coefficients.
struct HalfCells::Node {
    std::vector<const double*> columns;
    std::vector<double*> own;       // where this node's columns live (none at depth 0)
    std::vector<double> objective;  // the first coordinate, in terms of the columns
    double size_c = 0.0;            // largest entries on the way here: of offsets,
    double size_d = 0.0;            // of coordinates left,
    double size_basic = 0.0;        // of columns of rows chosen,
    double size_objective = 0.0;    // of the objective,
    double size_chart = 0.0;        // and of row 0's coefficients
    LeafErrors error;               // bounds of what rounding has done to them,
    double error_chart = 0.0;       // to row 0's coefficients,
    double error_f = 0.0;           // and to the column of the row chosen last when it was new
    bool doubtful = false;          // a pivot on the way was too small
};

struct HalfCells::Workspace {
    Workspace(std::size_t r, std::size_t vectors, std::size_t words)
        : nodes(r),
          memory((r > 2 ? (r - 2) * (r + 1) : 0) * vectors * kLeafLanes),
          leaf((3 * vectors) * kLeafLanes),
          negative(vectors * kLeafLanes + kLeafLanes),
          suspicious(vectors * kLeafLanes + kLeafLanes),
          source(r + 1),
          candidates(kBatch * words),
          masks(r * words),
          near(vectors * kLeafLanes),
          relations(vectors * kLeafLanes),
          suspects(vectors * kLeafLanes),
          S(r),
          begin(r) {
        const std::size_t size = vectors * kLeafLanes;
        for (std::size_t depth = 0; depth < r; ++depth) {
            Node& node = nodes[depth];
            node.columns.resize(r + 1);
            node.objective.resize(r);
            for (std::size_t q = 0; depth > 0 && depth + 1 < r && q <= r; ++q) {
                node.own.push_back(memory.data() + ((depth - 1) * (r + 1) + q) * size);
                node.columns[q] = node.own[q];
            }
        }
        offsets = leaf.data();
        beta = offsets + size;
        tolerance = beta + size;
    }
    static std::uint64_t* aligned(std::vector<std::uint64_t>& a) {
        const auto address = reinterpret_cast<std::uintptr_t>(a.data());
        return a.data() + ((64 - address % 64) % 64) / sizeof(std::uint64_t);
    }

    std::size_t m = 0;
    Monitor* monitor = nullptr;  // asked where a candidate takes long
    std::vector<Node> nodes;
    AlignedDoubles memory;
    AlignedDoubles leaf;
    double* offsets;
    double* beta;
    double* tolerance;
    std::vector<std::uint64_t> negative;
    std::vector<std::uint64_t> suspicious;
    std::vector<const double*> source;
    std::vector<std::uint64_t> candidates;
    std::vector<std::uint64_t> masks;        // by row chosen: the rows that it leads
    std::vector<std::size_t> near;           // rows near a vertex
    std::vector<Flats::Relation> relations;  // of these rows
    std::vector<std::size_t> suspects;       // rows that may depend on those chosen
    std::vector<std::size_t> S;
    std::vector<std::uint64_t> begin;  // by depth: rank of the first candidate of the node
    bool carries_chart = false;        // the tableaux hold row 0's coefficients
    std::unique_ptr<Flats> flats;      // made when they are asked for first
    std::size_t followed = 0;          // rows of S that the flats know
    bool eager = false;                // flats are asked for before the signs are taken
    std::size_t laid = 0;              // rows whose sides the rows chosen decide
    bool unsure = false;               // doubles do not tell one of these sides
    std::size_t calm = 0;              // leaves since they last were of use
};

// Where patterns go: the samples' bits, and their complements.
struct HalfCells::Sink {
    const HalfCells& cells;
    std::uint64_t* half;  // null: nowhere
    std::uint64_t* complement;
    std::uint64_t kept = 0;

    void put(const std::uint64_t* words) {
        ++kept;
        if (half == nullptr) {
            return;
        }
        const std::size_t width = cells.full_.size();
        if (cells.plain_) {
            for (std::size_t w = 0; w < width; ++w) {
                half[w] = words[w];
                complement[w] = ~words[w] & cells.full_[w];
            }
        } else if (cells.spread_.empty()) {
            const std::vector<std::int64_t>& of = cells.rows_.representative;
            for (std::size_t w = 0; w < width; ++w) {
                const std::size_t first = w * kWordBits;
                const std::size_t count = std::min(kWordBits, of.size() - first);
                std::uint64_t turned = 0;
                for (std::size_t k = 0; k < count; ++k) {
                    // A zero row reads row 0; what it reads is overwritten.
                    const auto row =
                        static_cast<std::size_t>(std::max<std::int64_t>(of[first + k], 0));
                    turned |= ((words[row / kWordBits] >> (row % kWordBits)) & 1U) << k;
                }
                half[w] = (turned ^ cells.sides_[w]) | cells.zero_rows_[w];
                complement[w] = (~half[w] & cells.full_[w]) | cells.zero_rows_[w];
            }
        } else {
            std::copy_n(cells.sides_.data(), width, half);
            const std::uint64_t* spread = cells.spread_.data();
            for (std::size_t row = 0; row < cells.n_; row += 4, spread += 16 * width) {
                const std::uint64_t nibble = (words[row / kWordBits] >> (row % kWordBits)) & 15U;
                for (std::size_t w = 0; w < width; ++w) {
                    half[w] ^= spread[nibble * width + w];
                }
            }
            for (std::size_t w = 0; w < width; ++w) {
                complement[w] = (~half[w] & cells.full_[w]) | cells.zero_rows_[w];
            }
        }
        half += width;
        complement += width;
    }
};

}  // namespace convexnn
