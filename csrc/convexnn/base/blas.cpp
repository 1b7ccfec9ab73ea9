#include "convexnn/base/blas.hpp"

#include <algorithm>
#include <atomic>

namespace convexnn::blas {
namespace {

// Only what `multiply` asks of it: no transposes, alpha = 1, beta = 0 or 1.
void portable_dgemm(char*, char*, int* m, int* n, int* k, double*, double* a, int* lda, double* b,
                    int* ldb, double* beta, double* c, int* ldc) {
    for (int j = 0; j < *n; ++j) {
        double* cj = c + static_cast<std::ptrdiff_t>(j) * *ldc;
        if (*beta == 0.0) {
            std::fill(cj, cj + *m, 0.0);
        }
        for (int l = 0; l < *k; ++l) {
            const double b_lj = b[l + static_cast<std::ptrdiff_t>(j) * *ldb];
            const double* al = a + static_cast<std::ptrdiff_t>(l) * *lda;
            for (int i = 0; i < *m; ++i) {
                cj[i] += al[i] * b_lj;
            }
        }
    }
}

const Table portable{portable_dgemm, "portable"};
Table installed{portable_dgemm, "portable"};
std::atomic<const Table*> current{&portable};

}  // namespace

const Table& table() { return *current.load(std::memory_order_acquire); }

void install(Dgemm dgemm, const char* source) {
    installed = Table{dgemm, source};
    current.store(&installed, std::memory_order_release);
}

void multiply(const double* a, std::size_t lda, const double* b, double* c, std::size_t m,
              std::size_t k, std::size_t n) {
    // OpenBLAS runs m n k <= 4 * 65536 on the calling thread.
    constexpr std::size_t kSingleThreadVolume = 4 * 65536;
    constexpr std::size_t kDepth = 256;
    const Dgemm dgemm = table().dgemm;
    const std::size_t depth = std::min(k, kDepth);
    const std::size_t width = std::max<std::size_t>(1, kSingleThreadVolume / (m * depth));
    for (std::size_t j0 = 0; j0 < n; j0 += width) {
        for (std::size_t l0 = 0; l0 < k; l0 += depth) {
            char none = 'N';
            int mm = static_cast<int>(m);
            int nn = static_cast<int>(std::min(width, n - j0));
            int kk = static_cast<int>(std::min(depth, k - l0));
            int lda32 = static_cast<int>(lda);
            int ldb32 = static_cast<int>(k);
            double one = 1.0;
            double beta = l0 == 0 ? 0.0 : 1.0;
            dgemm(&none, &none, &mm, &nn, &kk, &one, const_cast<double*>(a + l0 * lda), &lda32,
                  const_cast<double*>(b + l0 + j0 * k), &ldb32, &beta, c + j0 * m, &mm);
        }
    }
}

}  // namespace convexnn::blas
