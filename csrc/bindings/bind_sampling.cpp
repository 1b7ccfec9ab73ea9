#include <algorithm>

#include "arrays.hpp"
#include "convexnn/arrangement/draw.hpp"
#include "convexnn/arrangement/reduce.hpp"
#include "python_monitor.hpp"
#include "register.hpp"

namespace convexnn::bindings {
namespace {

Chart chart_of(const ReducedRows& rows) {
    require(rows.rank >= 1 && rows.rank <= 63, "the rank must lie between 1 and 63");
    PythonMonitor monitor;
    return run_released(monitor, [&](Monitor& asked) {
        return Chart(rows.basis, rows.count, rows.rank, 0, asked);
    });
}

// (half cells of the distinct rows, which of the sets looked at are one, a row whose side is left
// open at the next set or the number of rows); `count` sets of equal size stand one after the
// other.
py::tuple cells_of(const Chart& chart, const Indices& sets, std::size_t count) {
    const std::vector<std::size_t> rows = block_numbers(sets, chart.rows());
    const std::size_t m = count == 0 ? 0 : rows.size() / count;
    require(m < chart.rank() && m * count == rows.size(),
            "`sets` must hold `count` sets of one size below the rank");
    for (std::size_t k = 0; k < rows.size(); ++k) {
        require(rows[k] > (k % m == 0 ? 0 : rows[k - 1]),
                "every set must ascend and not hold row 0");
    }
    Words packed(
        {static_cast<py::ssize_t>(count), static_cast<py::ssize_t>(words_for(chart.rows()))});
    const MutableBitColumns out(packed.mutable_data(), chart.rows(), count);
    PythonMonitor monitor;
    const CellsDrawn drawn =
        run_released(monitor, [&](Monitor& asked) { return cells_at(chart, rows, out, asked); });
    py::array_t<bool> is_cell(static_cast<py::ssize_t>(drawn.is_cell.size()));
    std::ranges::transform(drawn.is_cell, is_cell.mutable_data(), [](auto x) { return x != 0; });
    return py::make_tuple(packed[py::slice(0, static_cast<py::ssize_t>(drawn.count), 1)], is_cell,
                          drawn.undecided);
}

}  // namespace

void register_sampling(py::module_& module) {
    py::class_<Chart>(module, "Chart", "Half cells by their vertices.")
        .def(py::init(&chart_of), py::arg("rows"))
        .def("cells", &cells_of, py::arg("sets").noconvert(), py::arg("count"),
             "Packed half cells whose lowest vertices lie on the rows of each set, if any.");
}

}  // namespace convexnn::bindings
