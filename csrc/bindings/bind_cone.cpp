#include "arrays.hpp"
#include "convexnn/solve/cone_projection.hpp"
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
}

}  // namespace convexnn::bindings
