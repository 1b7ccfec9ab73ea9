#include "arrays.hpp"
#include "convexnn/program/masked_products.hpp"
#include "convexnn/solve/group_prox.hpp"
#include "python_monitor.hpp"
#include "register.hpp"

namespace convexnn::bindings {
namespace {

// X (n, d) and vectors (n,) or (n, K), Fortran order; blocks (d,) or (K, d), C order; T: both
// types.
template <typename T>
using Columns = py::array_t<T, py::array::f_style>;
template <typename T>
using Blocks = py::array_t<T, py::array::c_style>;

template <typename T>
MatrixView<const T> matrix_of(const Columns<T>& X) {
    require(X.ndim() == 2 && X.size() > 0, "`X` must be a non-empty matrix");
    return {X.data(), static_cast<std::size_t>(X.shape(0)), static_cast<std::size_t>(X.shape(1))};
}

// v as n x K, K = 1 for a vector.
template <typename T>
MatrixView<const T> vectors(const Columns<T>& v, std::size_t n) {
    require((v.ndim() == 1 || v.ndim() == 2) && static_cast<std::size_t>(v.shape(0)) == n,
            "`v` must have " + std::to_string(n) + " rows");
    return {v.data(), n, v.ndim() == 1 ? 1 : static_cast<std::size_t>(v.shape(1))};
}

// X^T D_i v as (count, d), or (count, K, d) where v has two dimensions.
template <typename T>
Blocks<T> new_blocks(std::size_t count, std::size_t d, const Columns<T>& v) {
    std::vector<std::size_t> shape{count};
    if (v.ndim() == 2) {
        shape.push_back(static_cast<std::size_t>(v.shape(1)));
    }
    shape.push_back(d);
    return Blocks<T>(shape);
}

template <typename T>
Blocks<T> masked_adjoint(const Columns<T>& X, const Words& packed, const Columns<T>& v,
                         std::size_t threads) {
    const MatrixView<const T> x = matrix_of(X);
    const BitColumns all = patterns(packed, x.rows);
    const MatrixView<const T> V = vectors(v, x.rows);
    Blocks<T> out = new_blocks(all.columns, x.columns, v);
    const MatrixView<T> view(out.mutable_data(), x.columns * V.columns, all.columns);
    PythonMonitor monitor;
    run_released(monitor, [&](Monitor& asked) {
        return MaskedProducts<T>(x, all).adjoint(V, view, threads, asked);
    });
    return out;
}

template <typename T>
Blocks<T> masked_adjoint_listed(const Columns<T>& X, const Words& packed, const Columns<T>& v,
                                const Indices& indices, std::size_t threads) {
    const MatrixView<const T> x = matrix_of(X);
    const BitColumns all = patterns(packed, x.rows);
    const MatrixView<const T> V = vectors(v, x.rows);
    const std::vector<std::size_t> listed = block_numbers(indices, all.columns);
    Blocks<T> out = new_blocks(listed.size(), x.columns, v);
    const MatrixView<T> view(out.mutable_data(), x.columns * V.columns, listed.size());
    PythonMonitor monitor;
    run_released(monitor, [&](Monitor& asked) {
        return MaskedProducts<T>(x, all).adjoint(V, listed, view, threads, asked);
    });
    return out;
}

template <typename T>
Columns<T> masked_forward(const Columns<T>& X, const Words& packed, const Indices& indices,
                          const Blocks<T>& U, std::size_t threads) {
    const MatrixView<const T> x = matrix_of(X);
    const BitColumns all = patterns(packed, x.rows);
    const std::vector<std::size_t> listed = block_numbers(indices, all.columns);
    require((U.ndim() == 2 || U.ndim() == 3) &&
                static_cast<std::size_t>(U.shape(U.ndim() - 1)) == x.columns,
            "`U` must have one column for each column of X");
    require(static_cast<std::size_t>(U.shape(0)) == listed.size(),
            "`U` must have one row for each of `indices`");
    std::vector<std::size_t> shape{x.rows};
    if (U.ndim() == 3) {
        shape.push_back(static_cast<std::size_t>(U.shape(1)));
    }
    const std::size_t outputs = U.ndim() == 3 ? shape[1] : 1;
    Columns<T> F(shape);
    const MatrixView<T> view(F.mutable_data(), x.rows, outputs);
    const MatrixView<const T> blocks(U.data(), x.columns * outputs, listed.size());
    PythonMonitor monitor;
    run_released(monitor, [&](Monitor& asked) {
        MaskedProducts<T> products(x, all);
        products.set_active(listed);
        return products.active_forward(blocks, view, threads, asked);
    });
    return F;
}

double group_norm_max(const FortranMatrix& X, const Words& packed, const Vector& v,
                      const Vector& weights, std::size_t threads) {
    const MatrixView<const double> x = matrix(X, "X");
    const BitColumns bits = patterns(packed, x.rows);
    const MatrixView<const double> residual(vector(v, x.rows, "v").data(), x.rows, 1);
    const std::span<const double> w = vector(weights, bits.columns, "weights");
    std::vector<double> store(bits.columns * x.columns);
    const MatrixView<double> all(store.data(), x.columns, bits.columns);
    PythonMonitor monitor;
    run_released(monitor, [&](Monitor& asked) {
        return MaskedProducts<double>(x, bits).adjoint(residual, all, threads, asked);
    });
    double largest = 0.0;
    for (std::size_t i = 0; i < bits.columns; ++i) {
        largest = std::max(largest, norm(all.column(i)) / w[i]);
    }
    return largest;
}

template <typename T>
void register_products(py::module_& module) {
    module.def("masked_adjoint", &masked_adjoint<T>, py::arg("X").noconvert(),
               py::arg("packed").noconvert(), py::arg("v").noconvert(), py::kw_only(),
               py::arg("threads") = 1, "Rows X^T D_i v for every pattern i.");
    module.def("masked_adjoint_listed", &masked_adjoint_listed<T>, py::arg("X").noconvert(),
               py::arg("packed").noconvert(), py::arg("v").noconvert(),
               py::arg("indices").noconvert(), py::kw_only(), py::arg("threads") = 1,
               "Rows X^T D_i v for the listed patterns i.");
    module.def("masked_forward", &masked_forward<T>, py::arg("X").noconvert(),
               py::arg("packed").noconvert(), py::arg("indices").noconvert(),
               py::arg("U").noconvert(), py::kw_only(), py::arg("threads") = 1,
               "sum_k D_{indices[k]} X U[k].");
}

}  // namespace

void register_program(py::module_& module) {
    register_products<double>(module);
    register_products<float>(module);
    module.def("group_norm_max", &group_norm_max, py::arg("X").noconvert(),
               py::arg("packed").noconvert(), py::arg("v").noconvert(),
               py::arg("weights").noconvert(), py::kw_only(), py::arg("threads") = 1,
               "max_i ||X^T D_i v|| / weights[i].");
}

}  // namespace convexnn::bindings
