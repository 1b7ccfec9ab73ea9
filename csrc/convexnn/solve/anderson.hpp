// Anderson acceleration of a fixed-point iteration (Bertrand and Massias, AISTATS 2021).
#pragma once

#include <array>
#include <cmath>
#include <cstddef>
#include <memory>
#include <span>

#include "convexnn/base/simd.hpp"

namespace convexnn {

// Keeps the last kDepth + 1 iterates x_0..x_K (each a vector of the same length) and finds the
// affine combination sum_k c_k x_{k+1}, sum c = 1, whose residual sum_k c_k (x_{k+1} - x_k) is
// smallest. Every vector linear in x (here: the fit) combines with the same c.
class Anderson {
public:
    static constexpr std::size_t kDepth = 5;

    // Room for iterates of `capacity` entries; pages that are never used are never touched.
    explicit Anderson(std::size_t capacity)
        : capacity_(capacity), store_(new double[capacity * (kDepth + 1)]) {}

    void restart() { count_ = 0; }
    bool full() const { return count_ == kDepth + 1; }
    void push(std::span<const double> x) {
        double* slot = store_.get() + count_ * capacity_;
        for (std::size_t k = 0; k < x.size(); ++k) {
            slot[k] = x[k];
        }
        ++count_;
    }
    std::span<const double> iterate(std::size_t k, std::size_t size) const {
        return {store_.get() + k * capacity_, size};
    }

    // Coefficients c_1..c_K for the iterates x_1..x_K of `size` entries. False when the residuals
    // are too dependent to say. Needs full().
    bool coefficients(std::size_t size, std::array<double, kDepth>& c) const {
        // Normal equations of the residuals R: (R'R + ridge) z = 1, c = z / sum z.
        std::array<std::array<double, kDepth>, kDepth> gram{};
        for (std::size_t a = 0; a < kDepth; ++a) {
            for (std::size_t b = 0; b <= a; ++b) {
                double sum = 0.0;
                const double* xa = store_.get() + a * capacity_;
                const double* xb = store_.get() + b * capacity_;
#pragma omp simd reduction(+ : sum)
                for (std::size_t k = 0; k < size; ++k) {
                    sum += (xa[k + capacity_] - xa[k]) * (xb[k + capacity_] - xb[k]);
                }
                gram[a][b] = gram[b][a] = sum;
            }
        }
        double trace = 0.0;
        for (std::size_t a = 0; a < kDepth; ++a) {
            trace += gram[a][a];
        }
        if (!(trace > 0.0)) {
            return false;
        }
        for (std::size_t a = 0; a < kDepth; ++a) {
            gram[a][a] += 1e-14 * trace;
        }
        c.fill(1.0);
        if (!solve(gram, c)) {
            return false;
        }
        double total = 0.0;
        for (const double z : c) {
            total += z;
        }
        if (!(std::abs(total) > 0.0) || !std::isfinite(total)) {
            return false;
        }
        for (double& z : c) {
            z /= total;
        }
        return true;
    }

private:
    // Cholesky solve in place; false when the matrix is not positive definite to rounding.
    static bool solve(std::array<std::array<double, kDepth>, kDepth>& a,
                      std::array<double, kDepth>& x) {
        for (std::size_t j = 0; j < kDepth; ++j) {
            for (std::size_t k = 0; k < j; ++k) {
                a[j][j] -= a[j][k] * a[j][k];
            }
            if (!(a[j][j] > 0.0)) {
                return false;
            }
            a[j][j] = std::sqrt(a[j][j]);
            for (std::size_t i = j + 1; i < kDepth; ++i) {
                for (std::size_t k = 0; k < j; ++k) {
                    a[i][j] -= a[i][k] * a[j][k];
                }
                a[i][j] /= a[j][j];
            }
        }
        for (std::size_t i = 0; i < kDepth; ++i) {
            for (std::size_t k = 0; k < i; ++k) {
                x[i] -= a[i][k] * x[k];
            }
            x[i] /= a[i][i];
        }
        for (std::size_t i = kDepth; i-- > 0;) {
            for (std::size_t k = i + 1; k < kDepth; ++k) {
                x[i] -= a[k][i] * x[k];
            }
            x[i] /= a[i][i];
        }
        return true;
    }

    std::size_t capacity_;
    std::size_t count_ = 0;
    std::unique_ptr<double[]> store_;
};

}  // namespace convexnn
