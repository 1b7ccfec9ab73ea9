#include "convexnn/arrangement/draw.hpp"

namespace convexnn {

CellsDrawn cells_at(const Chart& chart, std::span<const std::size_t> sets,
                    MutableBitColumns patterns, Monitor& monitor) {
    CellsDrawn drawn;
    drawn.undecided = chart.rows();
    const std::size_t m = patterns.columns == 0 ? 0 : sets.size() / patterns.columns;
    std::unique_ptr<Flats> flats;
    for (std::size_t i = 0; i < patterns.columns; ++i) {
        if (monitor.stop_requested()) {
            drawn.finished = false;
            return drawn;
        }
        const Decision found =
            chart.cell_at(sets.subspan(i * m, m), flats, patterns.column(drawn.count));
        if (found.verdict == Verdict::undecided) {
            drawn.undecided = found.row;
            return drawn;
        }
        drawn.is_cell.push_back(found.verdict == Verdict::cell ? 1 : 0);
        drawn.count += drawn.is_cell.back();
    }
    return drawn;
}

}  // namespace convexnn
