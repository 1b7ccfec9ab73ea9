#include "arrays.hpp"
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

}  // namespace

void register_arrangement(py::module_& module) {
    module.def("sign_patterns", &sign_patterns_of, py::arg("X").noconvert(),
               py::arg("G").noconvert(), py::kw_only(), py::arg("threads") = 1,
               "Packed patterns 1[X g >= 0] of the rows g of G.");
}

}  // namespace convexnn::bindings
