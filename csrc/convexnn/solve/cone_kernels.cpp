#include "convexnn/solve/cone_kernels.hpp"

#include <cmath>

namespace convexnn::cone {
namespace {

typedef double Vector __attribute__((vector_size(64), may_alias));
typedef std::uint64_t Bits __attribute__((vector_size(64), may_alias));

// c = Q'a and z -= Q c for m columns of length `padded`, which may be z = a.
CONVEXNN_INLINE void sweep(const double* Q, std::size_t padded, std::size_t m, double* z,
                           double* c) {
    std::size_t j = 0;
    for (; j + 4 <= m; j += 4) {
        const Vector* q0 = reinterpret_cast<const Vector*>(Q + j * padded);
        const Vector* q1 = reinterpret_cast<const Vector*>(Q + (j + 1) * padded);
        const Vector* q2 = reinterpret_cast<const Vector*>(Q + (j + 2) * padded);
        const Vector* q3 = reinterpret_cast<const Vector*>(Q + (j + 3) * padded);
        const Vector* x = reinterpret_cast<const Vector*>(z);
        Vector s0 = {};
        Vector s1 = {};
        Vector s2 = {};
        Vector s3 = {};
        for (std::size_t i = 0; i < padded / kLanes; ++i) {
            s0 += q0[i] * x[i];
            s1 += q1[i] * x[i];
            s2 += q2[i] * x[i];
            s3 += q3[i] * x[i];
        }
        for (std::size_t h = 4; h > 0; h /= 2) {
            for (std::size_t l = 0; l < h; ++l) {
                s0[l] += s0[l + h];
                s1[l] += s1[l + h];
                s2[l] += s2[l + h];
                s3[l] += s3[l + h];
            }
        }
        c[j] = s0[0];
        c[j + 1] = s1[0];
        c[j + 2] = s2[0];
        c[j + 3] = s3[0];
    }
    for (; j < m; ++j) {
        const double* q = Q + j * padded;
        double sum = 0.0;
#pragma omp simd reduction(+ : sum)
        for (std::size_t i = 0; i < padded; ++i) {
            sum += q[i] * z[i];
        }
        c[j] = sum;
    }
    for (std::size_t i = 0; i < padded / kLanes; ++i) {
        Vector sum = {};
        const Vector* q = reinterpret_cast<const Vector*>(Q) + i;
        for (j = 0; j < m; ++j, q += padded / kLanes) {
            sum += c[j] * *q;
        }
        reinterpret_cast<Vector*>(z)[i] -= sum;
    }
}

}  // namespace

// The signs meet the sums as bits.
CONVEXNN_MULTIVERSION
double signed_slack(const double* X, std::size_t tiles, std::size_t d, const std::uint64_t* pattern,
                    const double* u, double* slack) {
    Vector least = {};
    const Bits lanes = {0, 1, 2, 3, 4, 5, 6, 7};
    for (std::size_t t = 0; t < tiles; ++t) {
        const Vector* x = reinterpret_cast<const Vector*>(X + t * kTile * d);
        Vector s0 = {};
        Vector s1 = {};
        Vector s2 = {};
        Vector s3 = {};
        for (std::size_t j = 0; j < d; ++j) {
            const double c = u[j];
            s0 += c * x[4 * j];
            s1 += c * x[4 * j + 1];
            s2 += c * x[4 * j + 2];
            s3 += c * x[4 * j + 3];
        }
        const std::uint64_t off = ~pattern[t / 2] >> (t % 2 * kTile);
        const Bits o = {off, off, off, off, off, off, off, off};
        Vector* out = reinterpret_cast<Vector*>(slack + t * kTile);
        const Vector v0 = (Vector)((Bits)s0 ^ ((o >> lanes) << 63));
        const Vector v1 = (Vector)((Bits)s1 ^ ((o >> (lanes + 8)) << 63));
        const Vector v2 = (Vector)((Bits)s2 ^ ((o >> (lanes + 16)) << 63));
        const Vector v3 = (Vector)((Bits)s3 ^ ((o >> (lanes + 24)) << 63));
        out[0] = v0;
        out[1] = v1;
        out[2] = v2;
        out[3] = v3;
        const Vector m0 = v0 < v1 ? v0 : v1;
        const Vector m1 = v2 < v3 ? v2 : v3;
        const Vector m2 = m0 < m1 ? m0 : m1;
        least = m2 < least ? m2 : least;
    }
    double answer = 0.0;
    for (std::size_t l = 0; l < kLanes; ++l) {
        answer = least[l] < answer ? least[l] : answer;
    }
    return answer;
}

CONVEXNN_MULTIVERSION
double orthogonal_part(const double* Q, std::size_t padded, std::size_t m, double* z, double* c,
                       double* c2) {
    sweep(Q, padded, m, z, c);
    sweep(Q, padded, m, z, c2);
    for (std::size_t j = 0; j < m; ++j) {
        c[j] += c2[j];
    }
    return std::sqrt(square(z, padded));
}

CONVEXNN_MULTIVERSION
void solve_upper(const double* R, std::size_t stride, std::size_t m, double* x) {
    for (std::size_t j = m; j-- > 0;) {
        const double* column = R + j * stride;
        const double value = x[j] / column[j];
        x[j] = value;
#pragma omp simd
        for (std::size_t i = 0; i < j; ++i) {
            x[i] -= value * column[i];
        }
    }
}

CONVEXNN_MULTIVERSION
void rotate(double* a, double* b, std::size_t n, double c, double s) {
#pragma omp simd
    for (std::size_t i = 0; i < n; ++i) {
        const double x = a[i];
        const double y = b[i];
        a[i] = c * x + s * y;
        b[i] = c * y - s * x;
    }
}

}  // namespace convexnn::cone
