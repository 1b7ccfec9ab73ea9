// The vector loops of level one: one body each, compiled for several instruction sets.
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

// sum_k a_k b_k, in an order that depends on the instruction set.
double dot(const double* a, const double* b, std::size_t n);

// y += alpha x.
void axpy(double alpha, const double* x, double* y, std::size_t n);

// out_k = a_k where bit k is set, else 0; `words` holds ceil(n / 64) words.
void select(const std::uint64_t* words, const double* a, double* out, std::size_t n);

// out_k += a_k where bit k is set.
void add_selected(const std::uint64_t* words, const double* a, double* out, std::size_t n);

// Best instruction set that the running processor offers to the kernels above:
// "x86-64-v4", "x86-64-v3" or "baseline".
const char* isa_level();

}  // namespace convexnn::simd
