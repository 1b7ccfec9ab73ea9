#include <algorithm>

#include "arrays.hpp"
#include "convexnn/arrangement/enumerate.hpp"
#include "convexnn/arrangement/signs.hpp"
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
    return run_released(monitor, [&](Monitor&) { return reduce_rows(x, snap); });
}

RowMajorMatrix basis_of(const ReducedRows& rows) {
    RowMajorMatrix basis(
        {static_cast<py::ssize_t>(rows.count), static_cast<py::ssize_t>(rows.rank)});
    std::ranges::copy(rows.basis, basis.mutable_data());
    return basis;
}

// (packed patterns, dependent samples): half cells, then complements, block by block.
py::tuple list_half_cells(const HalfCells& cells, std::uint64_t first, std::uint64_t count,
                          std::uint64_t block, bool keep, std::size_t threads) {
    require(count <= cells.total(), "`count` must be at most the number of half cells");
    const std::size_t samples = cells.rows().samples;
    const std::uint64_t kept = keep ? 2 * count : 0;
    Words packed({static_cast<py::ssize_t>(kept), static_cast<py::ssize_t>(words_for(samples))});
    const MutableBitColumns out(packed.mutable_data(), samples, kept);
    PythonMonitor monitor;
    const Listing listing = run_released(monitor, [&](Monitor& asked) {
        return cells.list(first, count, block, out, threads, asked);
    });
    return py::make_tuple(packed, as_indices(listing.dependent));
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
    py::class_<HalfCells>(module, "HalfCells", "The half cells of rows in general position.")
        .def(py::init<ReducedRows>(), py::arg("rows"))
        .def_property_readonly("total", &HalfCells::total)
        .def("list", &list_half_cells, py::arg("first"), py::arg("count"), py::kw_only(),
             py::arg("block"), py::arg("keep") = true, py::arg("threads") = 1,
             "Packed half cells and complements by blocks, and samples found dependent.");
    module.def("sign_patterns", &sign_patterns_of, py::arg("X").noconvert(),
               py::arg("G").noconvert(), py::kw_only(), py::arg("threads") = 1,
               "Packed patterns 1[X g >= 0] of the rows g of G.");
}

}  // namespace convexnn::bindings
