#include "convexnn/arrangement/draw.hpp"

namespace convexnn {

CellsDrawn cells_at(const Chart& chart, std::span<const std::size_t> sets,
                    MutableBitColumns patterns, Monitor& monitor) {
    CellsDrawn drawn;
    drawn.dependent = chart.rows();
    const std::size_t m = patterns.columns == 0 ? 0 : sets.size() / patterns.columns;
    for (std::size_t i = 0; i < patterns.columns; ++i) {
        if (monitor.stop_requested()) {
            drawn.finished = false;
            return drawn;
        }
        drawn.dependent = chart.decide(sets.subspan(i * m, m), patterns.column(i));
        if (drawn.dependent != chart.rows()) {
            return drawn;
        }
        ++drawn.count;
    }
    return drawn;
}

}  // namespace convexnn
