// Orthonormal coordinates of a column space without LAPACK, so that the same data give the same
// bits on every machine.
#pragma once

#include <cstddef>
#include <vector>

#include "convexnn/base/monitor.hpp"
#include "convexnn/base/views.hpp"

namespace convexnn {

// A(:, pivots) = Q R of a matrix of numerical rank r, by Gram-Schmidt with column pivoting, each
// column orthogonalised twice.
struct PivotedQR {
    std::size_t rank = 0;
    std::vector<std::size_t> pivots;  // the r columns, in the order they were taken
    std::vector<double> R;            // r x r, column-major, upper triangular, positive diagonal
    std::vector<double> Q;            // n x r, column-major
};

// Factors A (n x d). Columns whose remainder is below `tolerance` times their own length, or
// below it times the longest, count as dependent. Cost 8 n d r. Throws Stopped.
PivotedQR pivoted_qr(MatrixView<const double> A, double tolerance,
                     Monitor& monitor = unmonitored());

// Inverse of the upper triangular R (r x r, column-major), column-major.
std::vector<double> inverse_of_triangle(const std::vector<double>& R, std::size_t r);

// |a - Q Q' a| / |a|.
double distance_to_span(const PivotedQR& qr, std::vector<double> a);

}  // namespace convexnn
