#include <algorithm>
#include <memory>

#include "arrays.hpp"
#include "convexnn/arrangement/enumerate.hpp"
#include "convexnn/arrangement/signs.hpp"
#include "convexnn/arrangement/witness.hpp"
#include "python_monitor.hpp"
#include "register.hpp"

namespace convexnn::bindings {
namespace {

Words sign_patterns_of(const FortranMatrix& X, const RowMajorMatrix& G, std::size_t threads) {
    const MatrixView<const double> x = matrix(X, "X");
    const MatrixView<const double> gates = columns(G, x.columns, "G");
    Words packed(
        {static_cast<py::ssize_t>(gates.columns), static_cast<py::ssize_t>(words_for(x.rows))});
    const MutableBitColumns out(packed.mutable_data(), x.rows, gates.columns);
    PythonMonitor monitor;
    run_released(monitor,
                 [&](Monitor& asked) { return sign_patterns(x, gates, out, threads, asked); });
    return packed;
}

template <typename T>
Indices as_indices(const std::vector<T>& numbers) {
    Indices out(static_cast<py::ssize_t>(numbers.size()));
    std::ranges::transform(numbers, out.mutable_data(),
                           [](T i) { return static_cast<std::int64_t>(i); });
    return out;
}

ReducedRows reduced_rows_of(const FortranMatrix& X, bool snap) {
    PythonMonitor monitor;
    const MatrixView<const double> x = matrix(X, "X");
    return run_released(monitor, [&](Monitor& asked) { return reduce_rows(x, snap, asked); });
}

std::unique_ptr<HalfCells> half_cells_of(const ReducedRows& rows, std::uint64_t seed) {
    PythonMonitor monitor;
    return run_released(
        monitor, [&](Monitor& asked) { return std::make_unique<HalfCells>(rows, seed, asked); });
}

RowMajorMatrix basis_of(const ReducedRows& rows) {
    RowMajorMatrix basis(
        {static_cast<py::ssize_t>(rows.count), static_cast<py::ssize_t>(rows.rank)});
    std::ranges::copy(rows.basis, basis.mutable_data());
    return basis;
}

// Writes half cells, then complements, block by block, to `out` (no patterns: nowhere); returns how
// many half cells each block kept, and samples whose dependence is left open.
py::tuple list_half_cells(const HalfCells& cells, std::uint64_t first, std::uint64_t count,
                          std::uint64_t block, Words& out, std::size_t threads) {
    const std::size_t samples = cells.rows().samples;
    const BitColumns room = patterns(out, samples);
    const MutableBitColumns packed(out.mutable_data(), samples, room.columns);
    PythonMonitor monitor;
    const Listing listing = run_released(monitor, [&](Monitor& asked) {
        return cells.list(first, count, block, packed, threads, asked);
    });
    return py::make_tuple(as_indices(listing.kept), as_indices(listing.undecided));
}

RowMajorMatrix witnesses_of(const FortranMatrix& rows, const Words& packed, std::size_t threads) {
    const MatrixView<const double> unit = matrix(rows, "rows");
    const BitColumns cells = patterns(packed, unit.rows);
    require(std::ranges::any_of(std::span(unit.data, unit.rows * unit.columns),
                                [](double x) { return x != 0.0; }),
            "`rows` must not all be zero");
    RowMajorMatrix points(
        {static_cast<py::ssize_t>(cells.columns), static_cast<py::ssize_t>(unit.columns)});
    const MatrixView<double> out(points.mutable_data(), unit.columns, cells.columns);
    PythonMonitor monitor;
    run_released(monitor,
                 [&](Monitor& asked) { return cell_witnesses(unit, cells, out, threads, asked); });
    return points;
}

}  // namespace

void register_arrangement(py::module_& module) {
    py::class_<ReducedRows>(module, "ReducedRows", "The distinct hyperplanes of a matrix.")
        .def(py::init(&reduced_rows_of), py::arg("X").noconvert(), py::kw_only(), py::arg("snap"))
        .def_readonly("count", &ReducedRows::count)
        .def_readonly("rank", &ReducedRows::rank)
        .def_readonly("columns_left_out", &ReducedRows::columns_left_out)
        .def_property_readonly(
            "representative",
            [](const ReducedRows& rows) { return as_indices(rows.representative); })
        .def_property_readonly("flipped",
                               [](const ReducedRows& rows) { return as_indices(rows.flipped); })
        .def_property_readonly("rows",
                               [](const ReducedRows& rows) { return as_indices(rows.rows); })
        .def_property_readonly("columns",
                               [](const ReducedRows& rows) { return as_indices(rows.columns); })
        .def_property_readonly("basis", &basis_of);
    py::class_<HalfCells>(module, "HalfCells", "The half cells of distinct rows.")
        .def(py::init(&half_cells_of), py::arg("rows"), py::kw_only(), py::arg("seed") = 0)
        .def_property_readonly("total", &HalfCells::total)
        .def("list", &list_half_cells, py::arg("first"), py::arg("count"), py::kw_only(),
             py::arg("block"), py::arg("out").noconvert(), py::arg("threads") = 1,
             "Half cells, then complements, by blocks into out; returns the half cells kept of "
             "each block, and samples whose dependence is left open.");
    module.def("cell_witnesses", &witnesses_of, py::arg("rows").noconvert(),
               py::arg("packed").noconvert(), py::kw_only(), py::arg("threads") = 1,
               "For each pattern the unit vector farthest from all hyperplanes inside its cell.");
    module.def("sign_patterns", &sign_patterns_of, py::arg("X").noconvert(),
               py::arg("G").noconvert(), py::kw_only(), py::arg("threads") = 1,
               "Packed patterns 1[X g >= 0] of the rows g of G.");
}

}  // namespace convexnn::bindings
