// The BLAS routines that the library calls, as a table of Fortran entry points.
//
// The table starts with portable loops, so that the C++ tests need no BLAS. Python replaces the
// entries once, before the first solve, by those of SciPy's own BLAS.
#pragma once

#include <cstddef>

namespace convexnn::blas {

// Fortran dgemm: C = alpha op(A) op(B) + beta C, column-major, 32-bit integers.
using Dgemm = void (*)(char* transa, char* transb, int* m, int* n, int* k, double* alpha, double* a,
                       int* lda, double* b, int* ldb, double* beta, double* c, int* ldc);

struct Table {
    Dgemm dgemm;
    const char* source;  // where the entries come from: "portable" or "scipy"
};

// The table in use. Written only by `install`; reads are safe from any thread.
const Table& table();

// Replaces the table for the life of the process. Not to be called while a kernel runs.
void install(Dgemm dgemm, const char* source);

// C = A B for column-major A (m x k, leading dimension lda), B (k x n), C (m x n), each B and C
// packed. Every call to BLAS is kept below the size at which OpenBLAS starts its own threads, so
// that the work stays on the calling thread. Allocates nothing.
void multiply(const double* a, std::size_t lda, const double* b, double* c, std::size_t m,
              std::size_t k, std::size_t n);

}  // namespace convexnn::blas
