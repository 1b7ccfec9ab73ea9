#include "arrays.hpp"
#include "convexnn/program/masked_matrix.hpp"
#include "convexnn/solve/group_prox.hpp"
#include "python_monitor.hpp"
#include "register.hpp"

namespace convexnn::bindings {
namespace {

RowMajorMatrix masked_adjoint(const FortranMatrix& X, const Words& packed, const Vector& v,
                              std::size_t threads) {
    const MatrixView<const double> x = matrix(X, "X");
    const MaskedMatrix A{x, patterns(packed, x.rows)};
    const std::span<const double> residual = vector(v, x.rows, "v");
    RowMajorMatrix out({static_cast<py::ssize_t>(A.blocks()), static_cast<py::ssize_t>(A.width())});
    const MatrixView<double> view(out.mutable_data(), A.width(), A.blocks());
    PythonMonitor monitor;
    run_released(monitor,
                 [&](Monitor& asked) { return adjoint(A, residual, view, threads, asked); });
    return out;
}

RowMajorMatrix masked_adjoint_listed(const FortranMatrix& X, const Words& packed, const Vector& v,
                                     const Indices& indices) {
    const MatrixView<const double> x = matrix(X, "X");
    const MaskedMatrix A{x, patterns(packed, x.rows)};
    const std::span<const double> residual = vector(v, x.rows, "v");
    const std::vector<std::size_t> listed = block_numbers(indices, A.blocks());
    RowMajorMatrix out(
        {static_cast<py::ssize_t>(listed.size()), static_cast<py::ssize_t>(A.width())});
    std::vector<double> masked(A.rows());
    double* rows = out.mutable_data();
    PythonMonitor monitor;
    run_released(monitor, [&](Monitor& asked) {
        for (std::size_t k = 0; k < listed.size(); ++k) {
            if (asked.stop_requested()) {
                return false;
            }
            adjoint_block(A, listed[k], residual, masked, {rows + k * A.width(), A.width()});
        }
        return true;
    });
    return out;
}

Vector masked_forward(const FortranMatrix& X, const Words& packed, const Indices& indices,
                      const RowMajorMatrix& U) {
    const MatrixView<const double> x = matrix(X, "X");
    const MaskedMatrix A{x, patterns(packed, x.rows)};
    const std::vector<std::size_t> listed = block_numbers(indices, A.blocks());
    const MatrixView<const double> blocks = columns(U, A.width(), "U");
    require(blocks.columns == listed.size(), "`U` must have one row for each of `indices`");
    Vector f(static_cast<py::ssize_t>(A.rows()));
    const std::span<double> out(f.mutable_data(), A.rows());
    ForwardBuffer buffer;
    PythonMonitor monitor;
    run_released(monitor,
                 [&](Monitor& asked) { return forward(A, listed, blocks, out, buffer, asked); });
    return f;
}

double group_norm_max(const FortranMatrix& X, const Words& packed, const Vector& v,
                      const Vector& weights, std::size_t threads) {
    const MatrixView<const double> x = matrix(X, "X");
    const MaskedMatrix A{x, patterns(packed, x.rows)};
    const std::span<const double> residual = vector(v, x.rows, "v");
    const std::span<const double> w = vector(weights, A.blocks(), "weights");
    std::vector<double> store(A.blocks() * A.width());
    const MatrixView<double> all(store.data(), A.width(), A.blocks());
    PythonMonitor monitor;
    run_released(monitor,
                 [&](Monitor& asked) { return adjoint(A, residual, all, threads, asked); });
    double largest = 0.0;
    for (std::size_t i = 0; i < A.blocks(); ++i) {
        largest = std::max(largest, norm(all.column(i)) / w[i]);
    }
    return largest;
}

}  // namespace

void register_program(py::module_& module) {
    module.def("masked_adjoint", &masked_adjoint, py::arg("X").noconvert(),
               py::arg("packed").noconvert(), py::arg("v").noconvert(), py::kw_only(),
               py::arg("threads") = 1, "Rows X^T D_i v for every pattern i.");
    module.def("masked_adjoint_listed", &masked_adjoint_listed, py::arg("X").noconvert(),
               py::arg("packed").noconvert(), py::arg("v").noconvert(),
               py::arg("indices").noconvert(), "Rows X^T D_i v for the listed patterns i.");
    module.def("masked_forward", &masked_forward, py::arg("X").noconvert(),
               py::arg("packed").noconvert(), py::arg("indices").noconvert(),
               py::arg("U").noconvert(), "sum_k D_{indices[k]} X U[k].");
    module.def("group_norm_max", &group_norm_max, py::arg("X").noconvert(),
               py::arg("packed").noconvert(), py::arg("v").noconvert(),
               py::arg("weights").noconvert(), py::kw_only(), py::arg("threads") = 1,
               "max_i ||X^T D_i v|| / weights[i].");
}

}  // namespace convexnn::bindings
