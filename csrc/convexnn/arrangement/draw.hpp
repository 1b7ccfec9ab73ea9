// Single cells of an arrangement, by the rows that meet at their vertices.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "convexnn/arrangement/chart.hpp"
#include "convexnn/base/bits.hpp"
#include "convexnn/base/monitor.hpp"

namespace convexnn {

// How far cells_at came.
struct CellsDrawn {
    std::vector<std::uint8_t> is_cell;  // of each set looked at
    std::size_t count = 0;              // patterns written
    std::size_t undecided = 0;  // a row whose side is left open; chart.rows() if all is well
    bool finished = true;       // false: the monitor said stop
};

// The next column of `patterns` (chart.rows() rows) becomes the half cell whose lowest vertex is
// the next of the sets that are one: m = sets.size() / patterns.columns rows each (m < rank, every
// set ascending and without row 0), one after the other. Stops at a set that is left open. Every
// sign is decided in 32 digits, or exactly where these do not tell: cost about
// 100 (r^3 / 3 + 2 r^2) + 2 n r operations a cell, and about 5 n r^2 for its flats where other rows
// are near its vertex.
CellsDrawn cells_at(const Chart& chart, std::span<const std::size_t> sets,
                    MutableBitColumns patterns, Monitor& monitor);

}  // namespace convexnn
