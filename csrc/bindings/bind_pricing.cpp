#include "arrays.hpp"
#include "convexnn/pricing/ascent.hpp"
#include "python_monitor.hpp"
#include "register.hpp"

namespace convexnn::bindings {
namespace {

// (m, r) in Fortran order, m may be 0.
MatrixView<const double> signed_rows(const FortranMatrix& a, std::size_t r, const char* name) {
    require(a.ndim() == 2 && static_cast<std::size_t>(a.shape(1)) == r,
            std::string("`") + name + "` must have one column for each column of the starts");
    return {a.data(), static_cast<std::size_t>(a.shape(0)), r};
}

py::tuple ascend_from(const FortranMatrix& plus, const FortranMatrix& minus,
                      const RowMajorMatrix& starts, std::size_t threads) {
    require(starts.ndim() == 2 && starts.shape(1) > 0, "`starts` must have columns");
    require(threads > 0, "`threads` must be > 0");
    const auto count = static_cast<std::size_t>(starts.shape(0));
    const auto r = static_cast<std::size_t>(starts.shape(1));
    const MatrixView<const double> p = signed_rows(plus, r, "plus");
    const MatrixView<const double> q = signed_rows(minus, r, "minus");
    RowMajorMatrix U({count, r});
    Vector values(count);
    std::copy_n(starts.data(), count * r, U.mutable_data());
    PythonMonitor monitor;
    const std::span<double> found(values.mutable_data(), count);
    const MatrixView<double> climbing(U.mutable_data(), r, count);
    if (!run_released(monitor, [&](Monitor& asked) {
            return ascend(p, q, climbing, found, threads, AscentSettings{}, asked);
        })) {
        throw std::runtime_error("the ascent was stopped");
    }
    return py::make_tuple(U, values);
}

}  // namespace

void register_pricing(py::module_& module) {
    module.def("ascend", &ascend_from, py::arg("plus").noconvert(), py::arg("minus").noconvert(),
               py::arg("starts").noconvert(), py::kw_only(), py::arg("threads") = 1,
               "Unit neurons that the starts climb to, and their values.");
}

}  // namespace convexnn::bindings
