// Single cells of an arrangement in general position, by the rows that meet at their vertices.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "convexnn/arrangement/chart.hpp"
#include "convexnn/base/bits.hpp"
#include "convexnn/base/monitor.hpp"

namespace convexnn {

// How far cells_at came.
struct CellsDrawn {
    std::size_t count = 0;      // patterns written
    std::size_t dependent = 0;  // a row that depends on the next set; chart.rows() if all is well
    bool finished = true;       // false: the monitor said stop
};

// Column i of `patterns` (chart.rows() rows) becomes the half cell whose lowest vertex is the i-th
// of the sets: m = sets.size() / patterns.columns rows each (m < rank, every set ascending and
// without row 0), one after the other. Stops at the first set that is not in general position.
// Every sign is decided in 32 digits: cost about 100 (r^3 / 3 + 2 r^2) + 2 n r operations a cell.
// Does not allocate.
CellsDrawn cells_at(const Chart& chart, std::span<const std::size_t> sets,
                    MutableBitColumns patterns, Monitor& monitor);

}  // namespace convexnn
