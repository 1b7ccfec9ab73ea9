#include "convexnn/arrangement/orthogonal.hpp"

#include <algorithm>
#include <span>

#include "convexnn/base/vectors.hpp"

namespace convexnn {
namespace {

void subtract(double factor, const double* a, double* b, std::size_t n) {
    for (std::size_t i = 0; i < n; ++i) {
        b[i] -= factor * a[i];
    }
}

}  // namespace

PivotedQR pivoted_qr(MatrixView<const double> A, double tolerance, Monitor& monitor) {
    const std::size_t n = A.rows;
    const std::size_t d = A.columns;
    std::vector<double> rest(n * d);
    std::vector<double> length(d);
    std::vector<double> remaining(d);
    for (std::size_t j = 0; j < d; ++j) {
        check(monitor);
        std::ranges::copy(A.column(j), &rest[j * n]);
        remaining[j] = length[j] = norm({&rest[j * n], n});
    }
    const double longest = d == 0 ? 0.0 : *std::ranges::max_element(length);

    PivotedQR qr;
    std::vector<double> coefficients(d * std::min(n, d), 0.0);  // of column j on q_k: [j + k d]
    std::vector<bool> taken(d, false);
    while (qr.rank < std::min(n, d)) {
        std::size_t best = d;
        for (std::size_t j = 0; j < d; ++j) {
            if (!taken[j] && remaining[j] > tolerance * longest &&
                remaining[j] > tolerance * length[j] &&
                (best == d || remaining[j] > remaining[best])) {
                best = j;
            }
        }
        if (best == d) {
            break;
        }
        const std::size_t k = qr.rank++;
        taken[best] = true;
        qr.pivots.push_back(best);
        double* q = &rest[best * n];
        for (std::size_t i = 0; i < k; ++i) {  // once more against the earlier ones
            const double* earlier = &qr.Q[i * n];
            check(monitor);
            const double again = inner_product({earlier, n}, {q, n});
            coefficients[best + i * d] += again;
            subtract(again, earlier, q, n);
        }
        const double size = norm({q, n});
        coefficients[best + k * d] = size;
        for (std::size_t i = 0; i < n; ++i) {
            qr.Q.push_back(q[i] / size);
        }
        q = &qr.Q[k * n];
        for (std::size_t j = 0; j < d; ++j) {
            if (taken[j]) {
                continue;
            }
            check(monitor);
            const double factor = inner_product({q, n}, {&rest[j * n], n});
            coefficients[j + k * d] = factor;
            subtract(factor, q, &rest[j * n], n);
            remaining[j] = norm({&rest[j * n], n});
        }
    }
    qr.R.assign(qr.rank * qr.rank, 0.0);
    for (std::size_t j = 0; j < qr.rank; ++j) {
        for (std::size_t i = 0; i <= j; ++i) {
            qr.R[i + j * qr.rank] = coefficients[qr.pivots[j] + i * d];
        }
    }
    return qr;
}

std::vector<double> inverse_of_triangle(const std::vector<double>& R, std::size_t r) {
    std::vector<double> inverse(r * r, 0.0);
    for (std::size_t j = 0; j < r; ++j) {
        inverse[j + j * r] = 1.0 / R[j + j * r];
        for (std::size_t i = j; i-- > 0;) {
            double sum = 0.0;
            for (std::size_t k = i + 1; k <= j; ++k) {
                sum += R[i + k * r] * inverse[k + j * r];
            }
            inverse[i + j * r] = -sum / R[i + i * r];
        }
    }
    return inverse;
}

double distance_to_span(const PivotedQR& qr, std::vector<double> a) {
    const std::size_t n = a.size();
    const double size = norm(a);
    for (int pass = 0; pass < 2; ++pass) {
        for (std::size_t k = 0; k < qr.rank; ++k) {
            const double* q = &qr.Q[k * n];
            subtract(inner_product({q, n}, a), q, a.data(), n);
        }
    }
    return norm(a) / size;
}

}  // namespace convexnn
