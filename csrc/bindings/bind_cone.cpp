#include "arrays.hpp"
#include "convexnn/solve/cone_projection.hpp"
#include "convexnn/solve/nonnegative_lasso.hpp"
#include "python_monitor.hpp"
#include "register.hpp"

namespace convexnn::bindings {
namespace {

// The projections, and the patterns that they read.
struct OwnedProjections {
    Words words;
    std::size_t d;
    ConeProjections projections;

    OwnedProjections(const FortranMatrix& X, const Words& packed, std::size_t threads)
        : words(packed),
          d(matrix(X, "X").columns),
          projections(matrix(X, "X"), patterns(packed, matrix(X, "X").rows), threads) {}
};

std::size_t block_number(const OwnedProjections& self, std::size_t block) {
    require(block < self.projections.blocks(),
            "`block` must lie in [0, " + std::to_string(self.projections.blocks()) + ")");
    return block;
}

py::tuple project(OwnedProjections& self, const Indices& blocks, const RowMajorMatrix& G,
                  double threshold) {
    const std::vector<std::size_t> listed = block_numbers(blocks, self.projections.blocks());
    const MatrixView<const double> g = columns(G, self.d, "G");
    require(2 * g.columns == self.projections.blocks(), "`G` must have one row for each pattern");
    const std::size_t count = listed.size();
    RowMajorMatrix U({count, self.d});
    const MatrixView<double> u(U.mutable_data(), self.d, count);
    std::vector<ConeProjection> results(count);
    PythonMonitor monitor;
    if (!run_released(monitor, [&](Monitor& asked) {
            return self.projections.project(listed, g, threshold, u, results, asked);
        })) {
        throw std::runtime_error("the projections were stopped");
    }
    Vector bound(count);
    Vector violation(count);
    Indices counts({count, std::size_t{4}});
    for (std::size_t t = 0; t < count; ++t) {
        bound.mutable_data()[t] = results[t].bound;
        violation.mutable_data()[t] = results[t].violation;
        std::int64_t* row = counts.mutable_data() + 4 * t;
        row[0] = static_cast<std::int64_t>(results[t].outcome);
        row[1] = static_cast<std::int64_t>(results[t].active);
        row[2] = static_cast<std::int64_t>(results[t].steps);
        row[3] = static_cast<std::int64_t>(results[t].scans);
    }
    return py::make_tuple(U, bound, violation, counts);
}

py::tuple active(const OwnedProjections& self, std::size_t block) {
    const std::span<const std::int32_t> rows = self.projections.active(block_number(self, block));
    const std::span<const double> mu = self.projections.multipliers(block);
    Indices indices(rows.size());
    std::copy(rows.begin(), rows.end(), indices.mutable_data());
    Vector multipliers(mu.size());
    std::copy(mu.begin(), mu.end(), multipliers.mutable_data());
    return py::make_tuple(indices, multipliers);
}

void lasso_add(NonnegativeLasso& self, const Vector& column, double b) {
    self.add(vector(column, self.atoms() + 1, "column"), b);
}

void lasso_prune(NonnegativeLasso& self, const Indices& kept) {
    std::vector<char> keep(self.atoms());
    for (const std::size_t a : block_numbers(kept, self.atoms())) {
        keep[a] = 1;
    }
    self.prune(keep);
}

py::tuple lasso_solve(NonnegativeLasso& self, double beta, double tolerance,
                      std::size_t most_entering) {
    NonnegativeLassoSettings settings;
    settings.tolerance = tolerance;
    settings.most_entering = most_entering;
    PythonMonitor monitor;
    const NonnegativeLassoResult result =
        run_released(monitor, [&](Monitor& asked) { return self.solve(beta, settings, asked); });
    const std::span<const double> c = self.coefficients();
    Vector coefficients(c.size());
    std::copy(c.begin(), c.end(), coefficients.mutable_data());
    return py::make_tuple(coefficients, result.objective, result.excess,
                          static_cast<int>(result.outcome), result.rounds);
}

}  // namespace

void register_cone(py::module_& module) {
    py::class_<OwnedProjections>(module, "ConeProjections")
        .def(py::init<const FortranMatrix&, const Words&, std::size_t>(), py::arg("X").noconvert(),
             py::arg("packed").noconvert(), py::kw_only(), py::arg("threads") = 1)
        .def("project", &project, py::arg("blocks").noconvert(), py::arg("G").noconvert(),
             py::kw_only(), py::arg("threshold") = -1.0,
             "Projections, bounds, violations, and (outcome, active, steps, scans) by row.")
        .def("active", &active, py::arg("block"), "Last active rows and their multipliers.")
        .def("forget", [](OwnedProjections& self) { self.projections.forget(); });
    py::class_<NonnegativeLasso>(module, "NonnegativeLasso")
        .def(py::init<std::size_t>(), py::kw_only(), py::arg("capacity") = 64)
        .def_property_readonly("atoms", &NonnegativeLasso::atoms)
        .def("add", &lasso_add, py::arg("column").noconvert(), py::arg("b"))
        .def("prune", &lasso_prune, py::arg("kept").noconvert(), "Keeps these atoms.")
        .def(
            "set_linear",
            [](NonnegativeLasso& self, const Vector& b) {
                self.set_linear(vector(b, self.atoms(), "b"));
            },
            py::arg("b").noconvert())
        .def("solve", &lasso_solve, py::arg("beta"), py::kw_only(), py::arg("tolerance") = 1e-13,
             py::arg("most_entering") = 30, "Coefficients, objective, excess, outcome, rounds.");
}

}  // namespace convexnn::bindings
