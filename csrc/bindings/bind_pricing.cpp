#include <utility>

#include "arrays.hpp"
#include "convexnn/pricing/ascent.hpp"
#include "convexnn/pricing/branch_and_bound.hpp"
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
                      const RowMajorMatrix& starts, double time_limit, std::size_t threads) {
    require(starts.ndim() == 2 && starts.shape(1) > 0, "`starts` must have columns");
    require(threads > 0, "`threads` must be > 0");
    const auto count = static_cast<std::size_t>(starts.shape(0));
    const auto r = static_cast<std::size_t>(starts.shape(1));
    const MatrixView<const double> p = signed_rows(plus, r, "plus");
    const MatrixView<const double> q = signed_rows(minus, r, "minus");
    RowMajorMatrix U({count, r});
    Vector values(count);
    std::copy_n(starts.data(), count * r, U.mutable_data());
    AscentSettings settings;
    settings.seconds = time_limit;
    PythonMonitor monitor;
    const std::span<double> found(values.mutable_data(), count);
    const MatrixView<double> climbing(U.mutable_data(), r, count);
    if (!run_released(monitor, [&](Monitor& asked) {
            return ascend(p, q, climbing, found, threads, settings, asked);
        })) {
        throw std::runtime_error("the ascent was stopped");
    }
    return py::make_tuple(U, values);
}

// A few steps at a time, so that it can be stopped.
ZonotopeDistance nearest_while(ZonotopeProjection& projection, std::span<const double> p,
                               double tolerance, std::size_t most_steps, Monitor& monitor) {
    constexpr std::size_t kSome = 20;
    for (std::size_t steps = 0;; steps += kSome) {
        const std::size_t now = std::min(kSome, most_steps - steps);
        const ZonotopeDistance distance = projection.nearest(p, tolerance, now);
        if (distance.steps < kSome || steps + kSome >= most_steps) {
            return distance;
        }
        check(monitor);
    }
}

// (z, |p - z|, what no point of the zonotope is nearer than).
py::tuple nearest_in_zonotope(const FortranMatrix& rows, const Vector& p, double tolerance,
                              std::size_t most_steps) {
    require(p.ndim() == 1 && p.size() > 0, "`p` must be a non-empty vector");
    const auto r = static_cast<std::size_t>(p.size());
    const std::span<const double> target = vector(p, r, "p");
    ZonotopeProjection projection(signed_rows(rows, r, "rows"));
    PythonMonitor monitor;
    const ZonotopeDistance distance = run_released(monitor, [&](Monitor& asked) {
        return nearest_while(projection, target, tolerance, most_steps, asked);
    });
    Vector z(r);
    std::copy_n(projection.point().data(), r, z.mutable_data());
    return py::make_tuple(z, distance.upper, distance.lower);
}

py::tuple bound_boxes(const FortranMatrix& plus, const FortranMatrix& minus,
                      const RowMajorMatrix& starts, double floor, double rtol,
                      std::pair<double, double> ceilings, std::size_t max_nodes, double time_limit,
                      std::size_t threads, const py::object& callback) {
    require(plus.ndim() == 2 && plus.shape(1) > 0, "`plus` must be a matrix with columns");
    const auto r = static_cast<std::size_t>(plus.shape(1));
    const BranchAndBoundSettings settings{floor,     rtol,       {ceilings.first, ceilings.second},
                                          max_nodes, time_limit, threads};
    const MatrixView<const double> p = signed_rows(plus, r, "plus");
    const MatrixView<const double> q = signed_rows(minus, r, "minus");
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
               py::arg("floor"), py::arg("rtol"), py::arg("ceilings"), py::arg("max_nodes"),
               py::arg("time_limit"), py::arg("threads") = 1, py::arg("callback") = py::none(),
               "Bound, rounding, value, sign, neuron, boxes, status.");
    module.def("ascend", &ascend_from, py::arg("plus").noconvert(), py::arg("minus").noconvert(),
               py::arg("starts").noconvert(), py::kw_only(), py::arg("time_limit") = 1e300,
               py::arg("threads") = 1, "Unit neurons that the starts climb to, and their values.");
    module.def("nearest_in_zonotope", &nearest_in_zonotope, py::arg("rows").noconvert(),
               py::arg("p").noconvert(), py::kw_only(), py::arg("tolerance") = 1e-10,
               py::arg("most_steps") = 1000,
               "Point of the sum of the segments [0, row] near p, its distance, a lower bound.");
}

}  // namespace convexnn::bindings
