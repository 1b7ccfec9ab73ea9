#include <array>

#include "arrays.hpp"
#include "convexnn/solve/cone_lasso.hpp"
#include "python_monitor.hpp"
#include "register.hpp"

namespace convexnn::bindings {
namespace {

// A GroupLassoResult as NumPy arrays.
struct ResultArrays {
    Indices indices;
    RowMajorMatrix values;
    Vector free_part;
    Vector dual;
    double objective;
    double dual_objective;
    int status;
    std::size_t n_iter;
    double seconds;
    RowMajorMatrix history;
};

ResultArrays to_arrays(const GroupLassoResult& result, std::size_t d) {
    const auto count = static_cast<py::ssize_t>(result.active.size());
    ResultArrays arrays{Indices(count),
                        RowMajorMatrix({count, static_cast<py::ssize_t>(d)}),
                        Vector(static_cast<py::ssize_t>(result.free_part.size())),
                        Vector(static_cast<py::ssize_t>(result.dual.size())),
                        result.objective,
                        result.dual_objective,
                        static_cast<int>(result.status),
                        result.n_iter,
                        result.seconds,
                        RowMajorMatrix({static_cast<py::ssize_t>(result.history.size()),
                                        static_cast<py::ssize_t>(5)})};
    std::ranges::transform(result.active, arrays.indices.mutable_data(),
                           [](std::size_t i) { return static_cast<std::int64_t>(i); });
    std::ranges::copy(result.values, arrays.values.mutable_data());
    std::ranges::copy(result.free_part, arrays.free_part.mutable_data());
    std::ranges::copy(result.dual, arrays.dual.mutable_data());
    double* row = arrays.history.mutable_data();
    for (const Progress& at : result.history) {
        *row++ = static_cast<double>(at.iteration);
        *row++ = at.objective;
        *row++ = at.dual_objective;
        *row++ = static_cast<double>(at.active);
        *row++ = at.seconds;
    }
    return arrays;
}

GroupLasso group_lasso(const FortranMatrix& X, const Words& packed, const Vector& y,
                       const Vector& sample_weight, const Vector& pattern_weight, double beta,
                       int loss, double loss_parameter, bool output_offset, double ridge,
                       std::size_t outputs, bool skip) {
    require(0 <= loss && loss < kLossKinds, "`loss` must be the code of a loss");
    require(outputs > 0, "`outputs` must be > 0");
    require(static_cast<LossKind>(loss) != LossKind::hinge || !output_offset,
            "`output_offset` must be false for the hinge loss");
    const MatrixView<const double> x = matrix(X, "X");
    const MaskedMatrix A{x, patterns(packed, x.rows)};
    require(A.blocks() > 0, "`packed` must hold at least one pattern");
    const std::size_t fits = A.rows() * outputs;
    return {A,
            {vector(y, fits, "y"), vector(sample_weight, fits, "sample_weight")},
            vector(pattern_weight, A.blocks(), "pattern_weight"),
            beta,
            static_cast<LossKind>(loss),
            loss_parameter,
            output_offset,
            ridge,
            outputs,
            skip ? A.X : MatrixView<const double>()};
}

// solve(start, monitor), started from `indices` (each below `blocks`) and their `values`.
template <typename Solve>
ResultArrays run(std::size_t d, std::size_t blocks, const Indices& indices,
                 const RowMajorMatrix& values, const py::object& callback, const Solve& solve) {
    const std::vector<std::size_t> start = block_numbers(indices, blocks);
    const MatrixView<const double> start_values = columns(values, d, "values");
    require(start_values.columns == start.size(), "`values` must have a row for each of `indices`");
    PythonMonitor monitor(callback);
    const GroupLassoResult result = run_released(monitor, [&](Monitor& asked) {
        return solve(Start{start, {start_values.data, start.size() * d}}, asked);
    });
    return to_arrays(result, d);
}

constexpr std::array kMethods{&coordinate_descent, &newton, &fista};

ResultArrays solve_group_lasso(const FortranMatrix& X, const Words& packed, const Vector& y,
                               const Vector& sample_weight, const Vector& pattern_weight,
                               double beta, int method, int loss, double loss_parameter,
                               bool output_offset, double tol, std::size_t max_iter,
                               double time_limit, std::size_t threads, const Indices& indices,
                               const RowMajorMatrix& values, const py::object& callback,
                               double ridge, std::size_t outputs, bool skip) {
    require(0 <= method && method < static_cast<int>(kMethods.size()),
            "`method` must be the code of a solver");
    const GroupLasso problem = group_lasso(X, packed, y, sample_weight, pattern_weight, beta, loss,
                                           loss_parameter, output_offset, ridge, outputs, skip);
    return run(problem.block_size(), problem.A.blocks(), indices, values, callback,
               [&](const Start& start, Monitor& monitor) {
                   return kMethods[static_cast<std::size_t>(method)](
                       problem, {tol, max_iter, time_limit, threads}, start, monitor);
               });
}

ResultArrays solve_cone_lasso(const FortranMatrix& X, const Words& packed, const Vector& y,
                              const Vector& sample_weight, const Vector& pattern_weight,
                              double beta, double slope, int loss, double loss_parameter,
                              bool output_offset, double tol, std::size_t max_iter,
                              double time_limit, std::size_t threads, const Indices& indices,
                              const RowMajorMatrix& values, const py::object& callback,
                              double ridge, bool skip, bool linear_part) {
    require(-1.0 <= slope && slope < 1.0, "`slope` must lie in [-1, 1)");
    const ConeLasso problem{group_lasso(X, packed, y, sample_weight, pattern_weight, beta, loss,
                                        loss_parameter, output_offset, ridge, 1, skip),
                            slope, linear_part};
    const MaskedMatrix& A = problem.base.A;
    return run(A.width(), 2 * A.blocks(), indices, values, callback,
               [&](const Start& start, Monitor& monitor) {
                   return cutting_plane(problem, {tol, max_iter, time_limit, threads}, start,
                                        monitor);
               });
}

}  // namespace

void register_solve(py::module_& module) {
    py::class_<ResultArrays>(module, "GroupLassoResult", "What a group-lasso kernel returns.")
        .def_readonly("indices", &ResultArrays::indices)
        .def_readonly("values", &ResultArrays::values)
        .def_readonly("free_part", &ResultArrays::free_part)
        .def_readonly("dual", &ResultArrays::dual)
        .def_readonly("objective", &ResultArrays::objective)
        .def_readonly("dual_objective", &ResultArrays::dual_objective)
        .def_readonly("status", &ResultArrays::status)
        .def_readonly("n_iter", &ResultArrays::n_iter)
        .def_readonly("seconds", &ResultArrays::seconds)
        .def_readonly("history", &ResultArrays::history);
    module.def("solve_group_lasso", &solve_group_lasso, py::arg("X").noconvert(),
               py::arg("packed").noconvert(), py::arg("y").noconvert(),
               py::arg("sample_weight").noconvert(), py::arg("pattern_weight").noconvert(),
               py::arg("beta"), py::kw_only(), py::arg("method"), py::arg("loss"),
               py::arg("loss_parameter"), py::arg("output_offset"), py::arg("tol"),
               py::arg("max_iter"), py::arg("time_limit"), py::arg("threads"),
               py::arg("indices").noconvert(), py::arg("values").noconvert(), py::arg("callback"),
               py::arg("ridge") = 0.0, py::arg("outputs") = 1, py::arg("skip") = false,
               "Gated ReLU program by the solver of that code; fits and blocks output by output.");
    module.def("solve_cone_lasso", &solve_cone_lasso, py::arg("X").noconvert(),
               py::arg("packed").noconvert(), py::arg("y").noconvert(),
               py::arg("sample_weight").noconvert(), py::arg("pattern_weight").noconvert(),
               py::arg("beta"), py::kw_only(), py::arg("slope"), py::arg("loss"),
               py::arg("loss_parameter"), py::arg("output_offset"), py::arg("tol"),
               py::arg("max_iter"), py::arg("time_limit"), py::arg("threads"),
               py::arg("indices").noconvert(), py::arg("values").noconvert(), py::arg("callback"),
               py::arg("ridge") = 0.0, py::arg("skip") = false, py::arg("linear_part") = false,
               "ReLU program; blocks i and P + i are v_i and w_i.");
}

}  // namespace convexnn::bindings
