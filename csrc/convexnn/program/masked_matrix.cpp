#include "convexnn/program/masked_matrix.hpp"

#include <cmath>

#include "convexnn/base/simd.hpp"

namespace convexnn {

double adjoint_rounding(const MaskedMatrix& A, std::span<const double> v) {
    constexpr double kUnit = 0x1p-53;
    double squares = 0.0;
    for (std::size_t j = 0; j < A.width(); ++j) {
        const std::span<const double> x = A.X.column(j);
        double sum = 0.0;
#pragma omp simd reduction(+ : sum)
        for (std::size_t k = 0; k < v.size(); ++k) {
            sum += std::abs(x[k] * v[k]);
        }
        squares += sum * sum;
    }
    return (static_cast<double>(A.rows()) + 4.0) * kUnit * std::sqrt(squares);
}

void adjoint_block(const MaskedMatrix& A, std::size_t i, std::span<const double> v,
                   std::span<double> masked, std::span<double> out) {
    simd::select(A.patterns.column(i).data(), v.data(), masked.data(), A.rows());
    simd::transposed_product(A.X.data, A.X.stride, A.rows(), A.width(), masked.data(), out.data());
}

void forward_block(const MaskedMatrix& A, std::size_t i, std::span<const double> u,
                   std::span<double> out) {
    simd::product(A.X.data, A.X.stride, A.rows(), A.width(), u.data(), out.data());
    simd::select(A.patterns.column(i).data(), out.data(), out.data(), A.rows());
}

}  // namespace convexnn
