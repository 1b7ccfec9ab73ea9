// The vector loops of the block steps: one body each, compiled for several instruction sets.
#pragma once

#include <cstddef>
#include <cstdint>

// One body, several instruction sets, chosen once when the library is loaded. Only for plain
// functions in a .cpp (not for templates); what they call has to be inlined into them.
#if defined(__x86_64__) && defined(__linux__) && defined(__GLIBC__) && defined(__GNUC__) && \
    !defined(__clang__) && !defined(__SANITIZE_THREAD__) && !defined(CONVEXNN_NO_MULTIVERSION)
#define CONVEXNN_MULTIVERSION \
    __attribute__((target_clones("default", "arch=x86-64-v3", "arch=x86-64-v4")))
#else
#define CONVEXNN_MULTIVERSION
#endif

#define CONVEXNN_INLINE inline __attribute__((always_inline))

namespace convexnn::simd {

// out_j = sum_k X(k, j) a_k for the d columns of X (n rows, leading dimension `stride`). The order
// of summation depends on the instruction set.
void transposed_product(const double* X, std::size_t stride, std::size_t n, std::size_t d,
                        const double* a, double* out);

// out_k = sum_j X(k, j) u_j, likewise.
void product(const double* X, std::size_t stride, std::size_t n, std::size_t d, const double* u,
             double* out);

// y += alpha x.
void axpy(double alpha, const double* x, double* y, std::size_t n);

// sum_k a_k b_k, in an order that depends on the instruction set.
double inner_product(const double* a, const double* b, std::size_t n);

// sum_k s_k t_k^2, likewise.
double weighted_square(const double* s, const double* t, std::size_t n);

// y_k -= s_k t_k
void subtract_product(const double* s, const double* t, double* y, std::size_t n);

// out_k = a_k where bit k is set, else 0; `words` holds ceil(n / 64) words.
void select(const std::uint64_t* words, const double* a, double* out, std::size_t n);

// out_k += c where bit k is set.
void add_constant(const std::uint64_t* words, double c, double* out, std::size_t n);

// Best instruction set that the running processor offers to the kernels above:
// "x86-64-v4", "x86-64-v3" or "baseline".
const char* isa_level();

}  // namespace convexnn::simd
