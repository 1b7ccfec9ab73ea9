#include "arrays.hpp"
#include "convexnn/pricing/branch_and_bound.hpp"
#include "python_monitor.hpp"
#include "register.hpp"

namespace convexnn::bindings {
namespace {

MatrixView<const double> rows_of(const FortranMatrix& a, std::size_t r, const char* name) {
    require(a.ndim() == 2 && static_cast<std::size_t>(a.shape(1)) == r,
            std::string("`") + name + "` must have one column for each column of `plus`");
    return {a.data(), static_cast<std::size_t>(a.shape(0)), r};
}

py::tuple bound_boxes(const FortranMatrix& plus, const FortranMatrix& minus,
                      const RowMajorMatrix& starts, double floor, double rtol,
                      std::size_t max_nodes, double time_limit, std::size_t threads,
                      const py::object& callback) {
    require(plus.ndim() == 2 && plus.shape(1) > 0, "`plus` must be a matrix with columns");
    const auto r = static_cast<std::size_t>(plus.shape(1));
    const BranchAndBoundSettings settings{floor, rtol, max_nodes, time_limit, threads};
    const MatrixView<const double> p = rows_of(plus, r, "plus");
    const MatrixView<const double> q = rows_of(minus, r, "minus");
    const MatrixView<const double> u = columns(starts, r, "starts");
    PythonMonitor monitor(callback);
    const BranchAndBoundResult result = run_released(
        monitor, [&](Monitor& asked) { return branch_and_bound(p, q, u, settings, asked); });
    Vector neuron(result.neuron.size());
    std::copy(result.neuron.begin(), result.neuron.end(), neuron.mutable_data());
    return py::make_tuple(result.bound, result.rounding, result.value, result.sign, neuron,
                          result.nodes, static_cast<int>(result.status));
}

}  // namespace

void register_pricing(py::module_& module) {
    module.def("branch_and_bound", &bound_boxes, py::arg("plus").noconvert(),
               py::arg("minus").noconvert(), py::arg("starts").noconvert(), py::kw_only(),
               py::arg("floor"), py::arg("rtol"), py::arg("max_nodes"), py::arg("time_limit"),
               py::arg("threads") = 1, py::arg("callback") = py::none(),
               "Bound, rounding, value, sign, neuron, boxes, status.");
}

}  // namespace convexnn::bindings
