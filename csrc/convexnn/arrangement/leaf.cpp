#include "convexnn/arrangement/leaf.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

#include "convexnn/base/simd.hpp"

// As CONVEXNN_MULTIVERSION, for kernels written by hand.
#if defined(__x86_64__) && defined(__linux__) && defined(__GLIBC__) && defined(__GNUC__) && \
    !defined(__clang__) && !defined(__SANITIZE_THREAD__) && !defined(CONVEXNN_NO_MULTIVERSION)
#define CONVEXNN_LEAF_BY_HAND
#include <immintrin.h>
#endif

namespace convexnn {
namespace {

typedef double Vector __attribute__((vector_size(64)));
typedef std::int64_t Bits __attribute__((vector_size(64)));
constexpr std::int64_t kSign = std::numeric_limits<std::int64_t>::min();

CONVEXNN_INLINE const Vector* vectors_of(const double* a) {
    return reinterpret_cast<const Vector*>(a);
}
CONVEXNN_INLINE Vector* vectors_of(double* a) { return reinterpret_cast<Vector*>(a); }

// Signs and the smallest |value| of lane group `v` for one j; the sign bit of d beta - c is the
// bit of the pattern.
CONVEXNN_INLINE std::uint8_t signs_of(const double* c, const double* d, double beta,
                                      std::size_t skipped, double& least) {
    unsigned byte = 0;
    for (std::size_t lane = 0; lane < kLeafLanes; ++lane) {
        const double value = d[lane] * beta - c[lane];
        byte |= static_cast<unsigned>(std::bit_cast<std::uint64_t>(value) >> 63) << lane;
        if (lane != skipped) {
            least = std::min(least, std::abs(value));
        }
    }
    return static_cast<std::uint8_t>(byte);
}

void leaf_portable(const double* c, const double* d, std::size_t vectors, std::size_t first,
                   std::size_t last, const double* beta, const double* tolerance, std::uint8_t* out,
                   std::size_t stride, std::uint64_t* suspicious) {
    for (std::size_t j = first; j < last; ++j, out += stride) {
        double least = kForced;
        for (std::size_t v = 0; v < vectors; ++v) {
            const std::size_t skipped = v == j / kLeafLanes ? j % kLeafLanes : kLeafLanes;
            out[v] = signs_of(c + v * kLeafLanes, d + v * kLeafLanes, beta[j], skipped, least);
        }
        suspicious[j] |= static_cast<std::uint64_t>(!(least > tolerance[j]));
    }
}

// Rows for which `chosen` holds; `mask_of(v)` has bit l set for lane l of vector v.
template <typename MaskOf>
CONVEXNN_INLINE std::size_t rows_of(std::size_t vectors, std::size_t* rows, const MaskOf& mask_of) {
    std::size_t count = 0;
    for (std::size_t v = 0; v < vectors; ++v) {
        for (unsigned mask = mask_of(v); mask != 0; mask &= mask - 1) {
            rows[count++] = v * kLeafLanes + static_cast<std::size_t>(std::countr_zero(mask));
        }
    }
    return count;
}

std::size_t near_portable(const double* c, const double* d, std::size_t vectors, double beta,
                          double tolerance, std::size_t skipped, std::size_t* rows) {
    return rows_of(vectors, rows, [&](std::size_t v) {
        unsigned mask = 0;
        for (std::size_t i = v * kLeafLanes; i < (v + 1) * kLeafLanes; ++i) {
            const bool near = std::abs(c[i] - d[i] * beta) <= tolerance && i != skipped;
            mask |= static_cast<unsigned>(near) << (i % kLeafLanes);
        }
        return mask;
    });
}

std::size_t vanishing_portable(const double* c, const double* d, std::size_t vectors,
                               double tolerance_c, double tolerance_d, std::size_t* rows) {
    return rows_of(vectors, rows, [&](std::size_t v) {
        unsigned mask = 0;
        for (std::size_t i = v * kLeafLanes; i < (v + 1) * kLeafLanes; ++i) {
            const bool near = std::abs(c[i]) <= tolerance_c && std::abs(d[i]) <= tolerance_d;
            mask |= static_cast<unsigned>(near) << (i % kLeafLanes);
        }
        return mask;
    });
}

#ifdef CONVEXNN_LEAF_BY_HAND
#define CONVEXNN_AVX512 __attribute__((target("avx512f,avx512dq,avx512vl,avx512bw")))
#define CONVEXNN_AVX2 __attribute__((target("avx2")))

// G neighbours j of one vector share each pass over the rows.
template <int G>
CONVEXNN_AVX512 inline void group_avx512(const double* c, const double* d, std::size_t vectors,
                                         std::size_t j, const double* beta, const double* tolerance,
                                         std::uint8_t* out, std::size_t stride,
                                         std::uint64_t* suspicious) {
    constexpr int kLeastSize = 0b1010;  // the smaller absolute value, sign cleared
    __m512d slope[G];
    __m512d least[G];
    for (int g = 0; g < G; ++g) {
        slope[g] = _mm512_set1_pd(beta[g]);
        least[g] = _mm512_set1_pd(kForced);
    }
    const std::size_t own = j / kLeafLanes;
    const auto pass = [&](std::size_t begin, std::size_t end) CONVEXNN_AVX512 {
        for (std::size_t v = begin; v < end; ++v) {
            const __m512d offset = _mm512_load_pd(c + v * kLeafLanes);
            const __m512d direction = _mm512_load_pd(d + v * kLeafLanes);
            for (int g = 0; g < G; ++g) {
                const __m512d value = _mm512_sub_pd(_mm512_mul_pd(direction, slope[g]), offset);
                out[v + static_cast<std::size_t>(g) * stride] =
                    _mm512_movepi64_mask(_mm512_castpd_si512(value));
                least[g] = _mm512_range_pd(least[g], value, kLeastSize);
            }
        }
    };
    pass(0, own);
    const __m512d offset = _mm512_load_pd(c + own * kLeafLanes);
    const __m512d direction = _mm512_load_pd(d + own * kLeafLanes);
    for (int g = 0; g < G; ++g) {
        const __m512d value = _mm512_sub_pd(_mm512_mul_pd(direction, slope[g]), offset);
        out[own + static_cast<std::size_t>(g) * stride] =
            _mm512_movepi64_mask(_mm512_castpd_si512(value));
        const auto others =
            static_cast<__mmask8>(~(1U << (j % kLeafLanes + static_cast<unsigned>(g))));
        least[g] = _mm512_mask_range_pd(least[g], others, least[g], value, kLeastSize);
    }
    pass(own + 1, vectors);
    for (int g = 0; g < G; ++g) {
        suspicious[g] |= _mm512_cmp_pd_mask(least[g], _mm512_set1_pd(tolerance[g]), _CMP_NGT_UQ);
    }
}

CONVEXNN_AVX512
void leaf_avx512(const double* c, const double* d, std::size_t vectors, std::size_t first,
                 std::size_t last, const double* beta, const double* tolerance, std::uint8_t* out,
                 std::size_t stride, std::uint64_t* suspicious) {
    for (std::size_t j = first; j < last;) {
        const std::size_t end = std::min(last, (j / kLeafLanes + 1) * kLeafLanes);
        const std::size_t count = end - j;
        std::uint8_t* row = out + (j - first) * stride;
        if (count >= 4) {
            group_avx512<4>(c, d, vectors, j, beta + j, tolerance + j, row, stride, suspicious + j);
            j += 4;
        } else if (count >= 2) {
            group_avx512<2>(c, d, vectors, j, beta + j, tolerance + j, row, stride, suspicious + j);
            j += 2;
        } else {
            group_avx512<1>(c, d, vectors, j, beta + j, tolerance + j, row, stride, suspicious + j);
            j += 1;
        }
    }
}

CONVEXNN_AVX512
std::size_t near_avx512(const double* c, const double* d, std::size_t vectors, double beta,
                        double tolerance, std::size_t skipped, std::size_t* rows) {
    const __m512d slope = _mm512_set1_pd(beta);
    const __m512d bound = _mm512_set1_pd(tolerance);
    std::size_t count = 0;
    for (std::size_t v = 0; v < vectors; ++v) {
        const __m512d product = _mm512_mul_pd(_mm512_load_pd(d + v * kLeafLanes), slope);
        const __m512d value = _mm512_sub_pd(_mm512_load_pd(c + v * kLeafLanes), product);
        unsigned mask = _mm512_cmp_pd_mask(_mm512_abs_pd(value), bound, _CMP_LE_OQ);
        for (; mask != 0; mask &= mask - 1) {
            const std::size_t i = v * kLeafLanes + static_cast<std::size_t>(std::countr_zero(mask));
            rows[count] = i;
            count += i != skipped;
        }
    }
    return count;
}

CONVEXNN_AVX512
std::size_t vanishing_avx512(const double* c, const double* d, std::size_t vectors,
                             double tolerance_c, double tolerance_d, std::size_t* rows) {
    const __m512d bound_c = _mm512_set1_pd(tolerance_c);
    const __m512d bound_d = _mm512_set1_pd(tolerance_d);
    std::size_t count = 0;
    for (std::size_t v = 0; v < vectors; ++v) {
        const __m512d size_c = _mm512_abs_pd(_mm512_load_pd(c + v * kLeafLanes));
        const __m512d size_d = _mm512_abs_pd(_mm512_load_pd(d + v * kLeafLanes));
        unsigned mask = _mm512_mask_cmp_pd_mask(_mm512_cmp_pd_mask(size_c, bound_c, _CMP_LE_OQ),
                                                size_d, bound_d, _CMP_LE_OQ);
        for (; mask != 0; mask &= mask - 1) {
            rows[count++] = v * kLeafLanes + static_cast<std::size_t>(std::countr_zero(mask));
        }
    }
    return count;
}

// Lanes l of four and four with |value| <= bound.
CONVEXNN_AVX2 inline unsigned small_avx2(__m256d first, __m256d second, __m256d bound) {
    const __m256d sign = _mm256_set1_pd(-0.0);
    const __m256d low = _mm256_cmp_pd(_mm256_andnot_pd(sign, first), bound, _CMP_LE_OQ);
    const __m256d high = _mm256_cmp_pd(_mm256_andnot_pd(sign, second), bound, _CMP_LE_OQ);
    return static_cast<unsigned>(_mm256_movemask_pd(low) | (_mm256_movemask_pd(high) << 4));
}

CONVEXNN_AVX2
std::size_t near_avx2(const double* c, const double* d, std::size_t vectors, double beta,
                      double tolerance, std::size_t skipped, std::size_t* rows) {
    const __m256d slope = _mm256_set1_pd(beta);
    const __m256d bound = _mm256_set1_pd(tolerance);
    std::size_t count = 0;
    for (std::size_t i = 0; i < vectors * kLeafLanes; i += kLeafLanes) {
        const __m256d first = _mm256_mul_pd(_mm256_load_pd(d + i), slope);
        const __m256d second = _mm256_mul_pd(_mm256_load_pd(d + i + 4), slope);
        unsigned mask = small_avx2(_mm256_sub_pd(_mm256_load_pd(c + i), first),
                                   _mm256_sub_pd(_mm256_load_pd(c + i + 4), second), bound);
        for (; mask != 0; mask &= mask - 1) {
            const std::size_t row = i + static_cast<std::size_t>(std::countr_zero(mask));
            rows[count] = row;
            count += row != skipped;
        }
    }
    return count;
}

CONVEXNN_AVX2
std::size_t vanishing_avx2(const double* c, const double* d, std::size_t vectors,
                           double tolerance_c, double tolerance_d, std::size_t* rows) {
    const __m256d bound_c = _mm256_set1_pd(tolerance_c);
    const __m256d bound_d = _mm256_set1_pd(tolerance_d);
    std::size_t count = 0;
    for (std::size_t i = 0; i < vectors * kLeafLanes; i += kLeafLanes) {
        unsigned mask = small_avx2(_mm256_load_pd(c + i), _mm256_load_pd(c + i + 4), bound_c) &
                        small_avx2(_mm256_load_pd(d + i), _mm256_load_pd(d + i + 4), bound_d);
        for (; mask != 0; mask &= mask - 1) {
            rows[count++] = i + static_cast<std::size_t>(std::countr_zero(mask));
        }
    }
    return count;
}

template <int G>
CONVEXNN_AVX2 inline void group_avx2(const double* c, const double* d, std::size_t vectors,
                                     std::size_t j, const double* beta, const double* tolerance,
                                     std::uint8_t* out, std::size_t stride,
                                     std::uint64_t* suspicious) {
    const __m256d sign = _mm256_set1_pd(-0.0);
    const __m256d forced = _mm256_set1_pd(kForced);
    __m256d slope[G];
    __m256d least[G];
    for (int g = 0; g < G; ++g) {
        slope[g] = _mm256_set1_pd(beta[g]);
        least[g] = forced;
    }
    const std::size_t own = j / kLeafLanes;
    const auto pass = [&](std::size_t begin, std::size_t end) CONVEXNN_AVX2 {
        for (std::size_t v = begin; v < end; ++v) {
            const __m256d c0 = _mm256_load_pd(c + v * kLeafLanes);
            const __m256d c1 = _mm256_load_pd(c + v * kLeafLanes + 4);
            const __m256d d0 = _mm256_load_pd(d + v * kLeafLanes);
            const __m256d d1 = _mm256_load_pd(d + v * kLeafLanes + 4);
            for (int g = 0; g < G; ++g) {
                const __m256d v0 = _mm256_sub_pd(_mm256_mul_pd(d0, slope[g]), c0);
                const __m256d v1 = _mm256_sub_pd(_mm256_mul_pd(d1, slope[g]), c1);
                out[v + static_cast<std::size_t>(g) * stride] = static_cast<std::uint8_t>(
                    _mm256_movemask_pd(v0) | (_mm256_movemask_pd(v1) << 4));
                const __m256d smaller =
                    _mm256_min_pd(_mm256_andnot_pd(sign, v0), _mm256_andnot_pd(sign, v1));
                least[g] = _mm256_min_pd(least[g], smaller);
            }
        }
    };
    pass(0, own);
    pass(own + 1, vectors);
    for (int g = 0; g < G; ++g) {
        alignas(32) double lanes[4];
        _mm256_store_pd(lanes, least[g]);
        double smallest = std::min(std::min(lanes[0], lanes[1]), std::min(lanes[2], lanes[3]));
        out[own + static_cast<std::size_t>(g) * stride] =
            signs_of(c + own * kLeafLanes, d + own * kLeafLanes, beta[g],
                     j % kLeafLanes + static_cast<std::size_t>(g), smallest);
        suspicious[g] |= static_cast<std::uint64_t>(!(smallest > tolerance[g]));
    }
}

CONVEXNN_AVX2
void leaf_avx2(const double* c, const double* d, std::size_t vectors, std::size_t first,
               std::size_t last, const double* beta, const double* tolerance, std::uint8_t* out,
               std::size_t stride, std::uint64_t* suspicious) {
    for (std::size_t j = first; j < last;) {
        const std::size_t end = std::min(last, (j / kLeafLanes + 1) * kLeafLanes);
        std::uint8_t* row = out + (j - first) * stride;
        if (end - j >= 2) {
            group_avx2<2>(c, d, vectors, j, beta + j, tolerance + j, row, stride, suspicious + j);
            j += 2;
        } else {
            group_avx2<1>(c, d, vectors, j, beta + j, tolerance + j, row, stride, suspicious + j);
            j += 1;
        }
    }
}
#endif

}  // namespace

CONVEXNN_MULTIVERSION
void eliminate(const double* const* source, double* const* target, std::size_t free, std::size_t m,
               std::size_t row, std::size_t from, std::size_t vectors, double* sizes) {
    const std::size_t pivot = free - 1;
    const double inverse = 1.0 / source[pivot][row];
    const Vector* pivots = vectors_of(source[pivot]);
    Vector* f = vectors_of(target[pivot]);
    // |f| is compared as bits: whole numbers in the same order.
    Bits top[4] = {};
    for (std::size_t v = 0; v < vectors; ++v) {
        f[v] = pivots[v] * inverse;
        const Bits size = reinterpret_cast<Bits>(f[v]) & ~kSign;
        top[3] = size > top[3] ? size : top[3];
    }
    top[2] = top[3];
    const auto subtract = [&](std::size_t q, std::size_t first, Bits& largest)
                              __attribute__((always_inline)) {
                                  const double factor = source[q][row];
                                  const Vector* a = vectors_of(source[q]);
                                  Vector* b = vectors_of(target[q]);
                                  Bits most = largest;
                                  for (std::size_t v = first; v < vectors; ++v) {
                                      const Vector value = a[v] - f[v] * factor;
                                      b[v] = value;
                                      const Bits size = reinterpret_cast<Bits>(value) & ~kSign;
                                      most = size > most ? size : most;
                                  }
                                  largest = most;
                              };
    for (std::size_t q = 0; q < pivot; ++q) {
        subtract(q, 0, top[1]);
        target[q][row] = 0.0;
    }
    for (std::size_t q = free; q < m; ++q) {
        subtract(q, from, top[2]);
    }
    subtract(m, 0, top[0]);
    target[m][row] = 0.0;
    for (int kind = 0; kind < 4; ++kind) {
        std::int64_t most = 0;
        for (std::size_t lane = 0; lane < kLeafLanes; ++lane) {
            most = top[kind][lane] > most ? top[kind][lane] : most;
        }
        sizes[kind] = std::bit_cast<double>(most);
    }
}

CONVEXNN_MULTIVERSION
void prepare_leaf(const LeafInput& leaf, std::size_t first, std::size_t last, double* beta,
                  double* tolerance, std::uint64_t* negative, std::uint64_t* suspicious) {
    constexpr double kRounding = std::numeric_limits<double>::epsilon();
    // Copies: what is written below might be these numbers, for all the compiler knows.
    const LeafInput in = leaf;
    const LeafErrors error = {in.errors * in.error.c, in.errors * in.error.d,
                              in.errors * in.error.basic, in.errors * in.error.objective};
    const double rounding = in.errors * kRounding;
    const double c0 = rounding * in.size_c;
    const double c1 = rounding * in.size_d;
    const double objective0 = error.objective + rounding * in.size_objective;
    const double objective1 = error.basic + rounding * in.size_basic;
    const std::int64_t flat = !(std::abs(in.objective_d) > error.objective) ? -1 : 0;
    for (std::size_t v = first; v < last; ++v) {
        const Vector d = vectors_of(in.d)[v];
        const Vector size = reinterpret_cast<Vector>(reinterpret_cast<Bits>(d) & ~kSign);
        Bits doubt = (size <= in.least_pivot) | flat;
        // A pivot of zero never reaches a quotient.
        const Vector one = Vector{} + 1.0;
        const Vector inverse = 1.0 / (size <= in.least_pivot ? one : d);
        const Vector inverse_size =
            reinterpret_cast<Vector>(reinterpret_cast<Bits>(inverse) & ~kSign);
        const Vector slope = vectors_of(in.c)[v] * inverse;
        const Vector slope_size = reinterpret_cast<Vector>(reinterpret_cast<Bits>(slope) & ~kSign);
        vectors_of(beta)[v] = slope;
        // Errors of c and d, at every row and in the slope, and of taking the value.
        vectors_of(tolerance)[v] =
            (error.c + slope_size * error.d) * (1.0 + in.size_d * inverse_size) +
            (c0 + slope_size * c1);
        const Vector own = in.objective_d * inverse;
        const Vector own_size = reinterpret_cast<Vector>(reinterpret_cast<Bits>(own) & ~kSign);
        const Vector bound =
            objective0 + own_size * objective1 +
            in.size_basic * ((error.objective + own_size * error.d) * inverse_size);
        Bits signs = {};
        for (std::size_t q = 0; q < in.chosen; ++q) {
            const Vector value = in.objective[q] - own * vectors_of(in.basic[q])[v];
            const Vector value_size =
                reinterpret_cast<Vector>(reinterpret_cast<Bits>(value) & ~kSign);
            doubt |= value_size <= bound;
            signs |= ((reinterpret_cast<Bits>(value) >> 63) & 1) << static_cast<std::int64_t>(q);
        }
        signs |= ((reinterpret_cast<Bits>(own) >> 63) & 1) << static_cast<std::int64_t>(in.chosen);
        *reinterpret_cast<Bits*>(negative + v * kLeafLanes) = signs;
        *reinterpret_cast<Bits*>(suspicious + v * kLeafLanes) = doubt;
    }
}

CONVEXNN_MULTIVERSION
double subtract_multiple(const double* a, const double* f, std::size_t row, std::size_t vectors,
                         double* target) {
    const double factor = a[row];
    Bits top = {};
    for (std::size_t v = 0; v < vectors; ++v) {
        const Vector value = vectors_of(a)[v] - vectors_of(f)[v] * factor;
        vectors_of(target)[v] = value;
        const Bits size = reinterpret_cast<Bits>(value) & ~kSign;
        top = size > top ? size : top;
    }
    target[row] = 0.0;
    std::int64_t most = 0;
    for (std::size_t lane = 0; lane < kLeafLanes; ++lane) {
        most = top[lane] > most ? top[lane] : most;
    }
    return std::bit_cast<double>(most);
}

std::vector<LeafKernels> leaf_kernels() {
    std::vector<LeafKernels> kernels;
#ifdef CONVEXNN_LEAF_BY_HAND
    if (__builtin_cpu_supports("x86-64-v4")) {
        kernels.push_back({leaf_avx512, near_avx512, vanishing_avx512});
    }
    if (__builtin_cpu_supports("x86-64-v3")) {
        kernels.push_back({leaf_avx2, near_avx2, vanishing_avx2});
    }
#endif
    kernels.push_back({leaf_portable, near_portable, vanishing_portable});
    return kernels;
}

}  // namespace convexnn
