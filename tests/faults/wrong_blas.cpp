// Preloaded: plain loops in place of the double-precision products that NumPy takes from its BLAS,
// under each of the names that its builds know them by, with some entries made wrong.
#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstring>

namespace {

std::atomic<std::int64_t> entries{0};  // of all products, since arm()
std::int64_t wrong_entry = 0;          // which of them is wrong, from 1 on, ...
std::int64_t period = 0;               // ... and every so many after it; 0: none
std::uint64_t seed = 0;                // of which bit is

std::uint64_t mix(std::uint64_t x) {  // splitmix64
    x += 0x9e3779b97f4a7c15;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
    x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
    return x ^ (x >> 31);
}

// An entry of a product as it is told: now and then a bit of it is flipped, the sign, one of the
// exponent's, or one of the leading half of the mantissa.
double told(double x) {
    const std::int64_t index = ++entries;
    const std::int64_t after = index - wrong_entry;
    if (wrong_entry == 0 || after < 0 || (after > 0 && (period == 0 || after % period != 0))) {
        return x;
    }
    std::uint64_t bits;
    std::memcpy(&bits, &x, sizeof bits);
    bits ^= std::uint64_t{1} << (63 - mix(seed + static_cast<std::uint64_t>(index)) % 38);
    std::memcpy(&x, &bits, sizeof x);
    return x;
}

constexpr int kRowMajor = 101, kNoTrans = 111, kUpper = 121;

// Entry (i, k) of op(A) for a matrix stored in rows, or in columns.
template <typename Int>
double entry(const double* A, Int stride, bool in_rows, bool transposed, Int i, Int k) {
    return transposed == in_rows ? A[k * stride + i] : A[i * stride + k];
}

// What is there already plays no part where its factor is 0: it may be NaN.
double scaled(double beta, double there) { return beta == 0.0 ? 0.0 : beta * there; }

// C = alpha A B + beta C, where `wanted(i, j)`; rows and columns as `order` has them.
template <typename Int, typename Wanted>
void multiply(bool rows, bool turn_a, bool turn_b, Int m, Int n, Int depth, double alpha,
              const double* A, Int lda, const double* B, Int ldb, double beta, double* C, Int ldc,
              const Wanted& wanted) {
    for (Int i = 0; i < m; ++i) {
        for (Int j = 0; j < n; ++j) {
            if (!wanted(i, j)) {
                continue;
            }
            double sum = 0.0;
            for (Int k = 0; k < depth; ++k) {
                sum += entry(A, lda, rows, turn_a, i, k) * entry(B, ldb, rows, turn_b, k, j);
            }
            double& c = rows ? C[i * ldc + j] : C[j * ldc + i];
            c = told(alpha * sum + scaled(beta, c));
        }
    }
}

template <typename Int>
void gemm(int order, int trans_a, int trans_b, Int m, Int n, Int depth, double alpha,
          const double* A, Int lda, const double* B, Int ldb, double beta, double* C, Int ldc) {
    multiply(order == kRowMajor, trans_a != kNoTrans, trans_b != kNoTrans, m, n, depth, alpha, A,
             lda, B, ldb, beta, C, ldc, [](Int, Int) { return true; });
}

template <typename Int>
void syrk(int order, int triangle, int trans, Int n, Int depth, double alpha, const double* A,
          Int lda, double beta, double* C, Int ldc) {
    multiply(order == kRowMajor, trans != kNoTrans, trans == kNoTrans, n, n, depth, alpha, A, lda,
             A, lda, beta, C, ldc,
             [triangle](Int i, Int j) { return triangle == kUpper ? i <= j : j <= i; });
}

template <typename Int>
void gemv(int order, int trans, Int m, Int n, double alpha, const double* A, Int lda,
          const double* x, Int step_x, double beta, double* y, Int step_y) {
    const bool rows = order == kRowMajor, transposed = trans != kNoTrans;
    const Int length = transposed ? n : m, depth = transposed ? m : n;
    // With a negative step the first entry is at the end.
    const double* first_x = step_x < 0 ? x - (depth - 1) * step_x : x;
    double* first_y = step_y < 0 ? y - (length - 1) * step_y : y;
    for (Int i = 0; i < length; ++i) {
        double sum = 0.0;
        for (Int k = 0; k < depth; ++k) {
            sum += entry(A, lda, rows, transposed, i, k) * first_x[k * step_x];
        }
        double& out = first_y[i * step_y];
        out = told(alpha * sum + scaled(beta, out));
    }
}

template <typename Int>
double dot(Int n, const double* x, Int step_x, const double* y, Int step_y) {
    const double* first_x = step_x < 0 ? x - (n - 1) * step_x : x;
    const double* first_y = step_y < 0 ? y - (n - 1) * step_y : y;
    double sum = 0.0;
    for (Int k = 0; k < n; ++k) {
        sum += first_x[k * step_x] * first_y[k * step_y];
    }
    return told(sum);
}

}  // namespace

extern "C" {

void arm(std::int64_t first, std::int64_t every, std::uint64_t chosen) {
    entries = 0;
    wrong_entry = first;
    period = every;
    seed = chosen;
}

// From now on all are right; how many entries there were.
std::int64_t disarm() {
    wrong_entry = 0;
    return entries;
}
}

#define PRODUCTS(PREFIX, SUFFIX, Int)                                                             \
    extern "C" void PREFIX##cblas_dgemm##SUFFIX(                                                  \
        int order, int a, int b, Int m, Int n, Int k, double alpha, const double* A, Int lda,     \
        const double* B, Int ldb, double beta, double* C, Int ldc) {                              \
        gemm<Int>(order, a, b, m, n, k, alpha, A, lda, B, ldb, beta, C, ldc);                     \
    }                                                                                             \
    extern "C" void PREFIX##cblas_dsyrk##SUFFIX(int order, int triangle, int trans, Int n, Int k, \
                                                double alpha, const double* A, Int lda,           \
                                                double beta, double* C, Int ldc) {                \
        syrk<Int>(order, triangle, trans, n, k, alpha, A, lda, beta, C, ldc);                     \
    }                                                                                             \
    extern "C" void PREFIX##cblas_dgemv##SUFFIX(int order, int trans, Int m, Int n, double alpha, \
                                                const double* A, Int lda, const double* x,        \
                                                Int step_x, double beta, double* y, Int step_y) { \
        gemv<Int>(order, trans, m, n, alpha, A, lda, x, step_x, beta, y, step_y);                 \
    }                                                                                             \
    extern "C" double PREFIX##cblas_ddot##SUFFIX(Int n, const double* x, Int step_x,              \
                                                 const double* y, Int step_y) {                   \
        return dot<Int>(n, x, step_x, y, step_y);                                                 \
    }

PRODUCTS(scipy_, 64_, std::int64_t)  // NumPy's wheels
PRODUCTS(, 64_, std::int64_t)
PRODUCTS(, , int)
