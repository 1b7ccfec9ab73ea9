#include "convexnn/base/simd.hpp"

namespace convexnn::simd {

// Four columns share each pass: four independent sums hide the latency of one, and the vector that
// all columns meet is loaded or stored once.
CONVEXNN_MULTIVERSION
void transposed_product(const double* X, std::size_t stride, std::size_t n, std::size_t d,
                        const double* a, double* out) {
    std::size_t j = 0;
    for (; j + 4 <= d; j += 4) {
        const double* x0 = X + j * stride;
        const double* x1 = x0 + stride;
        const double* x2 = x1 + stride;
        const double* x3 = x2 + stride;
        double s0 = 0.0;
        double s1 = 0.0;
        double s2 = 0.0;
        double s3 = 0.0;
#pragma omp simd reduction(+ : s0, s1, s2, s3)
        for (std::size_t k = 0; k < n; ++k) {
            s0 += x0[k] * a[k];
            s1 += x1[k] * a[k];
            s2 += x2[k] * a[k];
            s3 += x3[k] * a[k];
        }
        out[j] = s0;
        out[j + 1] = s1;
        out[j + 2] = s2;
        out[j + 3] = s3;
    }
    for (; j < d; ++j) {
        const double* x = X + j * stride;
        double sum = 0.0;
#pragma omp simd reduction(+ : sum)
        for (std::size_t k = 0; k < n; ++k) {
            sum += x[k] * a[k];
        }
        out[j] = sum;
    }
}

CONVEXNN_MULTIVERSION
void product(const double* X, std::size_t stride, std::size_t n, std::size_t d, const double* u,
             double* out) {
    std::size_t j = 0;
    for (std::size_t k = 0; k < n; ++k) {
        out[k] = 0.0;
    }
    for (; j + 4 <= d; j += 4) {
        const double* x0 = X + j * stride;
        const double* x1 = x0 + stride;
        const double* x2 = x1 + stride;
        const double* x3 = x2 + stride;
#pragma omp simd
        for (std::size_t k = 0; k < n; ++k) {
            out[k] += (u[j] * x0[k] + u[j + 1] * x1[k]) + (u[j + 2] * x2[k] + u[j + 3] * x3[k]);
        }
    }
    for (; j < d; ++j) {
        const double* x = X + j * stride;
#pragma omp simd
        for (std::size_t k = 0; k < n; ++k) {
            out[k] += u[j] * x[k];
        }
    }
}

CONVEXNN_MULTIVERSION
void axpy(double alpha, const double* x, double* y, std::size_t n) {
#pragma omp simd
    for (std::size_t k = 0; k < n; ++k) {
        y[k] += alpha * x[k];
    }
}

CONVEXNN_MULTIVERSION
double inner_product(const double* a, const double* b, std::size_t n) {
    double sum = 0.0;
#pragma omp simd reduction(+ : sum)
    for (std::size_t k = 0; k < n; ++k) {
        sum += a[k] * b[k];
    }
    return sum;
}

CONVEXNN_MULTIVERSION
double weighted_square(const double* s, const double* t, std::size_t n) {
    double sum = 0.0;
#pragma omp simd reduction(+ : sum)
    for (std::size_t k = 0; k < n; ++k) {
        sum += s[k] * t[k] * t[k];
    }
    return sum;
}

CONVEXNN_MULTIVERSION
void subtract_product(const double* s, const double* t, double* y, std::size_t n) {
#pragma omp simd
    for (std::size_t k = 0; k < n; ++k) {
        y[k] -= s[k] * t[k];
    }
}

namespace {

// Calls body(first row, rows, word) for every word of a pattern of n rows.
template <typename Body>
CONVEXNN_INLINE void for_each_word(const std::uint64_t* words, std::size_t n, const Body& body) {
    std::size_t first = 0;
    for (; first + 64 <= n; first += 64) {
        body(first, std::size_t{64}, words[first / 64]);
    }
    if (first < n) {
        body(first, n - first, words[first / 64]);
    }
}

}  // namespace

CONVEXNN_MULTIVERSION
void select(const std::uint64_t* words, const double* a, double* out, std::size_t n) {
    for_each_word(words, n,
                  [&](std::size_t first, std::size_t rows, std::uint64_t word)
                      __attribute__((always_inline)) {
#pragma omp simd
                          for (std::size_t k = 0; k < rows; ++k) {
                              out[first + k] = ((word >> k) & 1U) != 0 ? a[first + k] : 0.0;
                          }
                      });
}

CONVEXNN_MULTIVERSION
void add_constant(const std::uint64_t* words, double c, double* out, std::size_t n) {
    for_each_word(words, n,
                  [&](std::size_t first, std::size_t rows, std::uint64_t word)
                      __attribute__((always_inline)) {
#pragma omp simd
                          for (std::size_t k = 0; k < rows; ++k) {
                              out[first + k] += ((word >> k) & 1U) != 0 ? c : 0.0;
                          }
                      });
}

const char* isa_level() {
#if defined(__x86_64__) && defined(__GNUC__) && !defined(CONVEXNN_NO_MULTIVERSION) && \
    !defined(__clang__)
    if (__builtin_cpu_supports("x86-64-v4")) {
        return "x86-64-v4";
    }
    if (__builtin_cpu_supports("x86-64-v3")) {
        return "x86-64-v3";
    }
#endif
    return "baseline";
}

}  // namespace convexnn::simd
