#include "convexnn/base/simd.hpp"

namespace convexnn::simd {

CONVEXNN_MULTIVERSION
double dot(const double* a, const double* b, std::size_t n) {
    double sum = 0.0;
#pragma omp simd reduction(+ : sum)
    for (std::size_t k = 0; k < n; ++k) sum += a[k] * b[k];
    return sum;
}

CONVEXNN_MULTIVERSION
void axpy(double alpha, const double* x, double* y, std::size_t n) {
#pragma omp simd
    for (std::size_t k = 0; k < n; ++k) y[k] += alpha * x[k];
}

namespace {

// Calls body(first row, rows, word) for every word of a pattern of n rows.
template <typename Body>
CONVEXNN_INLINE void for_each_word(const std::uint64_t* words, std::size_t n, const Body& body) {
    std::size_t first = 0;
    for (; first + 64 <= n; first += 64) body(first, std::size_t{64}, words[first / 64]);
    if (first < n)
        body(first, n - first, words[first / 64]);
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
void add_selected(const std::uint64_t* words, const double* a, double* out, std::size_t n) {
    for_each_word(words, n,
                  [&](std::size_t first, std::size_t rows, std::uint64_t word)
                      __attribute__((always_inline)) {
#pragma omp simd
                          for (std::size_t k = 0; k < rows; ++k) {
                              out[first + k] += ((word >> k) & 1U) != 0 ? a[first + k] : 0.0;
                          }
                      });
}

const char* isa_level() {
#if defined(__x86_64__) && defined(__GNUC__) && !defined(CONVEXNN_NO_MULTIVERSION) && \
    !defined(__clang__)
    if (__builtin_cpu_supports("x86-64-v4"))
        return "x86-64-v4";
    if (__builtin_cpu_supports("x86-64-v3"))
        return "x86-64-v3";
#endif
    return "baseline";
}

}  // namespace convexnn::simd
