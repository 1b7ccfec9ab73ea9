#include "convexnn/solve/face_system.hpp"

#include <algorithm>
#include <cmath>

#include "convexnn/base/simd.hpp"

namespace convexnn {

using dense::Outcome;

FaceSystem::FaceSystem(MatrixView<const double> X, std::size_t threads)
    : X_(X), n_(X.rows), d_(X.columns), workspace_(threads) {}

bool FaceSystem::same_rows(const Face& face, std::span<const std::int32_t> rows) {
    return face.rows.size() == rows.size() && std::ranges::is_permutation(face.rows, rows);
}

// Z from Householder's QR of the active rows as columns (d x k): the last d - k columns of Q. And
// X Z, not masked yet.
void FaceSystem::find_directions(Face& face, std::span<const std::int32_t> rows) {
    const std::size_t k = std::min(rows.size(), d_);
    face.rows.assign(rows.begin(), rows.end());
    face.known = true;
    face.directions = d_ - k;
    face.Z.assign(d_ * face.directions, 0.0);
    face.features.resize(n_ * face.directions);
    reflectors_.resize(d_ * k);
    const MatrixView<double> A(reflectors_.data(), d_, k);
    const auto reflect = [&](std::size_t i, double* x) {  // I - v v' with |v|^2 = 2
        const double* v = A.data + i * d_;
        double sum = 0.0;
        for (std::size_t j = i; j < d_; ++j) {
            sum += v[j] * x[j];
        }
        for (std::size_t j = i; j < d_; ++j) {
            x[j] -= sum * v[j];
        }
    };
    for (std::size_t i = 0; i < k; ++i) {
        double* const a = A.data + i * d_;
        double largest = 0.0;
        for (std::size_t j = 0; j < d_; ++j) {
            a[j] = X_(static_cast<std::size_t>(face.rows[i]), j);
            largest = std::max(largest, std::abs(a[j]));
        }
        for (std::size_t j = 0; j < d_ && largest > 0.0; ++j) {
            a[j] /= largest;  // only its direction matters
        }
        for (std::size_t before = 0; before < i; ++before) {
            reflect(before, a);
        }
        double square = 0.0;
        for (std::size_t j = i; j < d_; ++j) {
            square += a[j] * a[j];
        }
        std::fill_n(a, i, 0.0);
        if (square == 0.0) {  // depends on those before: any reflection will do
            a[i] = std::sqrt(2.0);
            continue;
        }
        a[i] += std::copysign(std::sqrt(square), a[i]);
        double length = 0.0;
        for (std::size_t j = i; j < d_; ++j) {
            length += a[j] * a[j];
        }
        const double scale = std::sqrt(2.0 / length);
        for (std::size_t j = i; j < d_; ++j) {
            a[j] *= scale;
        }
    }
    for (std::size_t j = 0; j < face.directions; ++j) {
        double* const z = face.Z.data() + j * d_;
        z[k + j] = 1.0;
        for (std::size_t i = k; i-- > 0;) {
            reflect(i, z);
        }
        simd::product(X_.data, X_.stride, n_, d_, z, face.features.data() + j * n_);
    }
}

Outcome FaceSystem::build(const CurvatureMetric& metric, Monitor& monitor) {
    const std::size_t m = directions_;
    scaled_.resize(n_ * m);
    std::size_t at = 0;
    for (const Face& face : faces_) {
        const double root = std::sqrt(face.c);
        for (std::size_t j = 0; j < face.directions; ++j, ++at) {
            const std::span<double> column(scaled_.data() + at * n_, n_);
            for (std::size_t i = 0; i < n_; ++i) {
                column[i] = root * face.features[j * n_ + i];
            }
            metric.scale(column);
        }
    }
    by_sample_ = m > n_;
    const std::size_t size = by_sample_ ? n_ : m;
    factor_.resize(size * size);
    const MatrixView<double> L(factor_.data(), size, size);
    const Outcome outcome = dense::symmetric_product(
        1.0, {scaled_.data(), n_, m}, by_sample_ ? dense::Op::plain : dense::Op::transposed, 0.0, L,
        workspace_, monitor);
    if (outcome != Outcome::done) {
        return outcome;
    }
    for (std::size_t i = 0; i < size; ++i) {
        L(i, i) += 1.0;
    }
    return dense::cholesky(L, 0.0, workspace_, monitor);
}

// da = r - H E (I + E'HE)^-1 E'r, and (I + E'HE)^-1 = I - (C E)'(I + C K C')^-1 C E.
double FaceSystem::solve_step(std::span<const double> r, const CurvatureMetric& metric,
                              std::span<double> change) {
    const std::size_t m = directions_;
    const std::size_t size = by_sample_ ? n_ : m;
    const MatrixView<const double> L(factor_.data(), size, size);
    const MatrixView<const double> CE(scaled_.data(), n_, m);
    by_sample_work_.resize(n_);
    solution_.assign(right_.begin(), right_.end());
    if (by_sample_) {
        dense::multiply(CE, right_, by_sample_work_);
        dense::solve_lower(L, by_sample_work_);
        dense::solve_lower_transposed(L, by_sample_work_);
        dense::multiply_transposed(CE, by_sample_work_, solution_);
        for (std::size_t i = 0; i < m; ++i) {
            solution_[i] = right_[i] - solution_[i];
        }
    } else {
        dense::solve_lower(L, solution_);
        dense::solve_lower_transposed(L, solution_);
    }
    dense::multiply(CE, solution_, by_sample_work_);
    double fall = 0.0;
    for (std::size_t i = 0; i < m; ++i) {
        fall += right_[i] * solution_[i];
    }
    for (std::size_t k = 0; k < n_; ++k) {
        change[k] = r[k] - metric.root()[k] * by_sample_work_[k];
    }
    return fall;
}

Outcome FaceSystem::reduce(MatrixView<const double> CB, MatrixView<double> HB, Monitor& monitor) {
    const std::size_t k = CB.columns;
    const std::size_t size = by_sample_ ? n_ : directions_;
    const MatrixView<const double> L(factor_.data(), size, size);
    product_.resize(size * k);
    const MatrixView<double> V(product_.data(), size, k);
    Outcome outcome = Outcome::done;
    if (by_sample_) {
        std::copy_n(CB.data, n_ * k, V.data);
    } else {
        outcome = dense::product(1.0, {scaled_.data(), n_, directions_}, dense::Op::transposed, CB,
                                 dense::Op::plain, 0.0, V, workspace_, monitor);
    }
    if (outcome == Outcome::done) {
        outcome = dense::solve_lower(L, V, workspace_, monitor);
    }
    if (outcome == Outcome::done && !by_sample_) {
        outcome =
            dense::symmetric_product(1.0, CB, dense::Op::transposed, 0.0, HB, workspace_, monitor);
    }
    if (outcome == Outcome::done) {
        outcome = dense::symmetric_product(by_sample_ ? 1.0 : -1.0, dense::constant(V),
                                           dense::Op::transposed, by_sample_ ? 0.0 : 1.0, HB,
                                           workspace_, monitor);
    }
    return outcome;
}

}  // namespace convexnn
