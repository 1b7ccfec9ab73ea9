// The table of convexnn_capi.h: checks what the C caller could not have meant, makes views, calls,
// and turns exceptions into codes. No Python in the functions, which run without the GIL.
#include <algorithm>
#include <new>
#include <optional>
#include <vector>

#include "convexnn/arrangement/signs.hpp"
#include "convexnn/program/masked_products.hpp"
#include "convexnn/solve/group_lasso.hpp"
#include "convexnn_capi.h"
#include "register.hpp"

namespace convexnn::bindings {
namespace {

// What `body` returns, or the code of what it throws.
template <typename Body>
int guarded(const Body& body) noexcept {
    try {
        return body();
    } catch (const std::bad_alloc&) {
        return CONVEXNN_NO_MEMORY;
    } catch (...) {
        return CONVEXNN_FAILED;
    }
}

bool all_given(std::initializer_list<const void*> pointers) {
    return std::ranges::find(pointers, nullptr) == pointers.end();
}

bool is_positive(double x) { return x > 0.0 && x < std::numeric_limits<double>::infinity(); }

// The numbers as sizes; nothing where one is not below P.
std::optional<std::vector<std::size_t>> listed(const std::int64_t* indices, std::size_t count,
                                               std::size_t P) {
    const std::span<const std::int64_t> numbers(indices, count);
    if (!std::ranges::all_of(
            numbers, [&](std::int64_t i) { return i >= 0 && static_cast<std::size_t>(i) < P; })) {
        return std::nullopt;
    }
    return std::vector<std::size_t>(numbers.begin(), numbers.end());
}

int sign_patterns_c(const double* X, std::size_t n, std::size_t d, const double* gates,
                    std::size_t P, std::size_t threads, std::uint64_t* packed) {
    if (n == 0 || d == 0 || !all_given({X, gates, packed})) {
        return CONVEXNN_BAD_ARGUMENT;
    }
    return guarded([&] {
        sign_patterns({X, n, d}, {gates, d, P}, {packed, n, P}, threads, unmonitored());
        return 0;
    });
}

int masked_adjoint_c(const double* X, std::size_t n, std::size_t d, const std::uint64_t* packed,
                     std::size_t P, const double* V, std::size_t K, std::size_t threads,
                     double* U) {
    if (n == 0 || d == 0 || K == 0 || !all_given({X, packed, V, U})) {
        return CONVEXNN_BAD_ARGUMENT;
    }
    return guarded([&] {
        MaskedProducts<double>({X, n, d}, {packed, n, P})
            .adjoint({V, n, K}, {U, d * K, P}, threads, unmonitored());
        return 0;
    });
}

int masked_adjoint_listed_c(const double* X, std::size_t n, std::size_t d,
                            const std::uint64_t* packed, std::size_t P, const double* V,
                            std::size_t K, const std::int64_t* indices, std::size_t count,
                            std::size_t threads, double* U) {
    if (n == 0 || d == 0 || K == 0 || !all_given({X, packed, V}) ||
        (count > 0 && !all_given({indices, U}))) {
        return CONVEXNN_BAD_ARGUMENT;
    }
    return guarded([&] {
        const auto blocks = listed(indices, count, P);
        if (!blocks) {
            return static_cast<int>(CONVEXNN_BAD_ARGUMENT);
        }
        MaskedProducts<double>({X, n, d}, {packed, n, P})
            .adjoint({V, n, K}, *blocks, {U, d * K, count}, threads, unmonitored());
        return 0;
    });
}

int masked_forward_c(const double* X, std::size_t n, std::size_t d, const std::uint64_t* packed,
                     std::size_t P, const std::int64_t* indices, std::size_t count, const double* U,
                     std::size_t K, std::size_t threads, double* F) {
    if (n == 0 || d == 0 || K == 0 || !all_given({X, packed, F}) ||
        (count > 0 && !all_given({indices, U}))) {
        return CONVEXNN_BAD_ARGUMENT;
    }
    return guarded([&] {
        const auto blocks = listed(indices, count, P);
        if (!blocks) {
            return static_cast<int>(CONVEXNN_BAD_ARGUMENT);
        }
        MaskedProducts<double> products({X, n, d}, {packed, n, P});
        products.set_active(*blocks);
        products.active_forward({U, d * K, count}, {F, n, K}, threads, unmonitored());
        return 0;
    });
}

int coordinate_descent_c(const double* X, std::size_t n, std::size_t d, const std::uint64_t* packed,
                         std::size_t P, const double* y, const double* sample_weight,
                         const double* pattern_weight, double beta, int loss, double loss_parameter,
                         int output_offset, double tol, std::size_t max_iter, double time_limit,
                         std::size_t threads, double* u, double* dual, convexnn_fit* fit) {
    if (n == 0 || d == 0 || P == 0 || !all_given({X, packed, y, u, fit}) || !is_positive(beta) ||
        !is_positive(tol) || loss < 0 || loss >= kLossKinds ||
        static_cast<LossKind>(loss) == LossKind::cross_entropy ||
        (static_cast<LossKind>(loss) == LossKind::huber && !is_positive(loss_parameter)) ||
        (static_cast<LossKind>(loss) == LossKind::hinge && output_offset != 0)) {
        return CONVEXNN_BAD_ARGUMENT;
    }
    return guarded([&] {
        const std::vector<double> ones(std::max(n, P), 1.0);
        const GroupLasso problem{
            {{X, n, d}, {packed, n, P}},
            {{y, n}, {sample_weight != nullptr ? sample_weight : ones.data(), n}},
            {pattern_weight != nullptr ? pattern_weight : ones.data(), P},
            beta,
            static_cast<LossKind>(loss),
            loss_parameter,
            output_offset != 0};
        const GroupLassoResult result =
            coordinate_descent(problem, {tol, max_iter, time_limit, threads}, {}, unmonitored());
        std::fill_n(u, P * d, 0.0);
        for (std::size_t a = 0; a < result.active.size(); ++a) {
            std::copy_n(result.values.data() + a * d, d, u + result.active[a] * d);
        }
        if (dual != nullptr) {
            std::ranges::copy(result.dual, dual);
        }
        *fit = {result.objective, result.dual_objective, result.free_part.front(), result.n_iter};
        return static_cast<int>(result.status);
    });
}

constexpr convexnn_capi_v1 kTable{
    sizeof(convexnn_capi_v1), &sign_patterns_c,  &masked_adjoint_c,
    &masked_adjoint_listed_c, &masked_forward_c, &coordinate_descent_c,
};

}  // namespace

void register_capi(pybind11::module_& module) {
    module.attr("capi_v1") = pybind11::capsule(&kTable, CONVEXNN_CAPI_V1);
}

}  // namespace convexnn::bindings
