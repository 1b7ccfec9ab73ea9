#include "convexnn/program/masked_matrix.hpp"

#include <cmath>

#include "convexnn/base/simd.hpp"

namespace convexnn {

double adjoint_rounding(const MaskedMatrix& A, std::span<const double> v) {
    constexpr double kUnit = 0x1p-53;
    double squares = 0.0;
    for (std::size_t first = 0; first < v.size(); first += A.rows()) {
        for (std::size_t j = 0; j < A.width(); ++j) {
            const std::span<const double> x = A.X.column(j);
            const double* part = v.data() + first;
            double sum = 0.0;
#pragma omp simd reduction(+ : sum)
            for (std::size_t k = 0; k < A.rows(); ++k) {
                sum += std::abs(x[k] * part[k]);
            }
            squares += sum * sum;
        }
    }
    return (static_cast<double>(A.rows()) + 4.0) * kUnit * std::sqrt(squares);
}

void adjoint_block(const MaskedMatrix& A, std::size_t i, std::span<const double> v,
                   std::span<double> masked, std::span<double> out) {
    const std::size_t n = A.rows();
    for (std::size_t part = 0; part * n < v.size(); ++part) {
        simd::select(A.patterns.column(i).data(), v.data() + part * n, masked.data(), n);
        simd::transposed_product(A.X.data, A.X.stride, n, A.width(), masked.data(),
                                 out.data() + part * A.width());
    }
}

void forward_block(const MaskedMatrix& A, std::size_t i, std::span<const double> u,
                   std::span<double> out) {
    const std::size_t n = A.rows();
    for (std::size_t part = 0; part * n < out.size(); ++part) {
        double* f = out.data() + part * n;
        simd::product(A.X.data, A.X.stride, n, A.width(), u.data() + part * A.width(), f);
        simd::select(A.patterns.column(i).data(), f, f, n);
    }
}

void transposed_parts(MatrixView<const double> X, std::span<const double> a,
                      std::span<double> out) {
    for (std::size_t part = 0; part * X.rows < a.size(); ++part) {
        simd::transposed_product(X.data, X.stride, X.rows, X.columns, a.data() + part * X.rows,
                                 out.data() + part * X.columns);
    }
}

}  // namespace convexnn
