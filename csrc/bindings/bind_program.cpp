#include <pybind11/stl.h>

#include <algorithm>
#include <mutex>
#include <optional>
#include <shared_mutex>

#include "arrays.hpp"
#include "convexnn/base/vectors.hpp"
#include "convexnn/program/masked_products.hpp"
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

// A result of this shape: the caller's array, or a new one.
template <typename Array>
Array result(const std::optional<Array>& out, const std::vector<std::size_t>& shape) {
    if (!out) {
        return Array(shape);
    }
    require(
        std::ranges::equal(std::span(out->shape(), static_cast<std::size_t>(out->ndim())), shape,
                           {}, [](py::ssize_t k) { return static_cast<std::size_t>(k); }),
        "`out` must have the shape of the result, " +
            std::string(py::str(py::tuple(py::cast(shape)))));
    require(out->writeable(), "`out` must be writeable");
    return *out;
}

// MaskedProducts<T> for Python; holds the patterns that it views. Products run without the GIL:
// where one with the active patterns meets set_active of another thread, the later call raises;
// waiting with the GIL held might never end.
template <typename T>
class Products {
public:
    Products(const Columns<T>& X, const Words& packed)
        : packed_(packed), products_(prepared(X, packed)) {}

    Blocks<T> adjoint(const Columns<T>& V, const std::optional<Blocks<T>>& out,
                      std::size_t threads) const {
        return blocks_of(V, products_.blocks(), out, [&](auto vectors, auto blocks, auto& asked) {
            return products_.adjoint(vectors, blocks, threads, asked);
        });
    }

    Blocks<T> adjoint_listed(const Columns<T>& V, const Indices& indices,
                             const std::optional<Blocks<T>>& out, std::size_t threads) const {
        const std::vector<std::size_t> listed = block_numbers(indices, products_.blocks());
        return blocks_of(V, listed.size(), out, [&](auto vectors, auto blocks, auto& asked) {
            return products_.adjoint(vectors, listed, blocks, threads, asked);
        });
    }

    void set_active(const Indices& indices) {
        const std::vector<std::size_t> listed = block_numbers(indices, products_.blocks());
        const auto lock = locked<std::unique_lock<std::shared_mutex>>();
        PythonMonitor monitor;
        run_released(monitor, [&](Monitor&) {
            products_.set_active(listed);
            return true;
        });
    }

    Blocks<T> active_adjoint(const Columns<T>& V, const std::optional<Blocks<T>>& out,
                             std::size_t threads) const {
        const auto lock = locked<std::shared_lock<std::shared_mutex>>();
        return blocks_of(V, products_.active().size(), out,
                         [&](auto vectors, auto blocks, auto& asked) {
                             return products_.active_adjoint(vectors, blocks, threads, asked);
                         });
    }

    // U as (|active|, d) or (|active|, K, d).
    Columns<T> active_forward(const Blocks<T>& U, const std::optional<Columns<T>>& out,
                              std::size_t threads) const {
        const auto lock = locked<std::shared_lock<std::shared_mutex>>();
        const std::size_t count = products_.active().size();
        require((U.ndim() == 2 || U.ndim() == 3) &&
                    static_cast<std::size_t>(U.shape(U.ndim() - 1)) == products_.width(),
                "`U` must have one column for each column of X");
        require(static_cast<std::size_t>(U.shape(0)) == count,
                "`U` must have one row for each active pattern");
        std::vector<std::size_t> shape{products_.rows()};
        if (U.ndim() == 3) {
            shape.push_back(static_cast<std::size_t>(U.shape(1)));
        }
        const std::size_t outputs = U.ndim() == 3 ? shape[1] : 1;
        Columns<T> F = result(out, shape);
        const MatrixView<T> view(F.mutable_data(), products_.rows(), outputs);
        const MatrixView<const T> blocks(U.data(), products_.width() * outputs, count);
        PythonMonitor monitor;
        run_released(monitor, [&](Monitor& asked) {
            return products_.active_forward(blocks, view, threads, asked);
        });
        return F;
    }

private:
    static MaskedProducts<T> prepared(const Columns<T>& X, const Words& packed) {
        const MatrixView<const T> x = matrix_of(X);
        const BitColumns all = patterns(packed, x.rows);
        PythonMonitor monitor;
        return run_released(
            monitor, [&](Monitor& asked) { return MaskedProducts<T>(x, all, T{1}, &asked); });
    }

    // X^T D_i V for `count` patterns as (count, d), or (count, K, d) where V has two dimensions.
    template <typename Product>
    Blocks<T> blocks_of(const Columns<T>& V, std::size_t count, const std::optional<Blocks<T>>& out,
                        const Product& product) const {
        const std::size_t n = products_.rows();
        require((V.ndim() == 1 || V.ndim() == 2) && static_cast<std::size_t>(V.shape(0)) == n,
                "`V` must have " + std::to_string(n) + " rows");
        const std::size_t outputs = V.ndim() == 1 ? 1 : static_cast<std::size_t>(V.shape(1));
        std::vector<std::size_t> shape{count, products_.width()};
        if (V.ndim() == 2) {
            shape.insert(shape.begin() + 1, outputs);
        }
        Blocks<T> blocks = result(out, shape);
        const MatrixView<const T> vectors(V.data(), n, outputs);
        const MatrixView<T> view(blocks.mutable_data(), products_.width() * outputs, count);
        PythonMonitor monitor;
        run_released(monitor, [&](Monitor& asked) { return product(vectors, view, asked); });
        return blocks;
    }

    template <typename Lock>
    Lock locked() const {
        Lock lock(active_, std::try_to_lock);
        if (!lock) {
            throw std::runtime_error("another thread uses or changes the active patterns");
        }
        return lock;
    }

    Words packed_;
    MaskedProducts<T> products_;
    mutable std::shared_mutex active_;  // of the patterns that are active
};

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
        return MaskedProducts<double>(x, bits, 1.0, &asked).adjoint(residual, all, threads, asked);
    });
    double largest = 0.0;
    for (std::size_t i = 0; i < bits.columns; ++i) {
        largest = std::max(largest, norm(all.column(i)) / w[i]);
    }
    return largest;
}

template <typename T>
void register_products(py::module_& module, const char* name) {
    using Bound = Products<T>;
    const auto out = py::arg("out").noconvert() = py::none();
    const auto threads = py::arg("threads") = 1;
    py::class_<Bound>(module, name, "Products with the masked data [D_1 X ... D_P X].")
        .def(py::init<const Columns<T>&, const Words&>(), py::arg("X").noconvert(),
             py::arg("packed").noconvert(), "Copies X; views the patterns.")
        .def("adjoint", &Bound::adjoint, py::arg("V").noconvert(), py::kw_only(), out, threads,
             "Rows X^T D_i V for every pattern i.")
        .def("adjoint_listed", &Bound::adjoint_listed, py::arg("V").noconvert(),
             py::arg("indices").noconvert(), py::kw_only(), out, threads,
             "Rows X^T D_i V for the listed patterns i.")
        .def("set_active", &Bound::set_active, py::arg("indices").noconvert(),
             "Makes these patterns, in any order, those of the two products below.")
        .def("active_adjoint", &Bound::active_adjoint, py::arg("V").noconvert(), py::kw_only(), out,
             threads, "Rows X^T D_i V for the active patterns i.")
        .def("active_forward", &Bound::active_forward, py::arg("U").noconvert(), py::kw_only(), out,
             threads, "Sum of D_i X U[a] over the active patterns i = active[a].");
}

}  // namespace

void register_program(py::module_& module) {
    register_products<double>(module, "MaskedProducts");
    register_products<float>(module, "MaskedProducts32");
    module.def("group_norm_max", &group_norm_max, py::arg("X").noconvert(),
               py::arg("packed").noconvert(), py::arg("v").noconvert(),
               py::arg("weights").noconvert(), py::kw_only(), py::arg("threads") = 1,
               "max_i ||X^T D_i v|| / weights[i].");
}

}  // namespace convexnn::bindings
