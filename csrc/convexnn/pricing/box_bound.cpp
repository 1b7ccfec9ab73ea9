#include "convexnn/pricing/box_bound.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <new>

#include "convexnn/base/simd.hpp"

// Bounds have room for rounding, whichever it is; no pattern is decided here.
#if defined(__clang__)
#pragma clang fp contract(fast)
#elif defined(__GNUC__)
#pragma GCC optimize("fp-contract=fast", "no-math-errno", "no-trapping-math")
#endif

namespace convexnn {
namespace {

constexpr int kAlphaSteps = 6;
constexpr double kFirst = 1.5;  // the first step is 1 / that; from alphas of a box around it
constexpr double kNext = 3.0;   // 1 / that
constexpr double kHope = 4.0;   // no further step where even that often its gain would not do
constexpr int kThetaSteps = 4;
constexpr double kMiddle = 0.5;  // of s^2 in the first alphas
constexpr std::size_t T = RowTiles::kTile;
constexpr std::size_t kLanes = 8;
constexpr std::align_val_t kAlignment{64};
constexpr double kTiniest = 1e-60;
constexpr double kAbove = 1.0 + 1e-9;

// Vectors are arguments of functions that are always inlined: no ABI is at stake.
#pragma GCC diagnostic ignored "-Wpsabi"

using Vector __attribute__((vector_size(64))) = double;
using Integers __attribute__((vector_size(64))) = std::int64_t;
constexpr std::size_t kVectors = T / kLanes;

CONVEXNN_INLINE Vector load(const double* from) {
    Vector v;
    __builtin_memcpy(&v, from, sizeof v);
    return v;
}

CONVEXNN_INLINE void store(double* to, const Vector& v) { __builtin_memcpy(to, &v, sizeof v); }

// a where the mask is set, else b. (The ternary operator makes scalar code of masks used twice.)
CONVEXNN_INLINE Vector select(const Integers& mask, const Vector& a, const Vector& b) {
    Integers x, y;
    __builtin_memcpy(&x, &a, sizeof x);
    __builtin_memcpy(&y, &b, sizeof y);
    x = (x & mask) | (y & ~mask);
    Vector chosen;
    __builtin_memcpy(&chosen, &x, sizeof chosen);
    return chosen;
}

CONVEXNN_INLINE double sum_lanes(const Vector& v) {
    return ((v[0] + v[4]) + (v[1] + v[5])) + ((v[2] + v[6]) + (v[3] + v[7]));
}

CONVEXNN_INLINE double sum_lanes(const double* lanes) {
    return ((lanes[0] + lanes[4]) + (lanes[1] + lanes[5])) +
           ((lanes[2] + lanes[6]) + (lanes[3] + lanes[7]));
}

// m_j = row_j . u0, rho_j = sum_k |row_jk| d_k, q_j = m_j^2 + spread sum_k row_jk^2 d_k^2 for a
// tile.
CONVEXNN_INLINE void intervals(const double* tile, std::size_t r, const double* u0, const double* d,
                               double spread, Vector* m, Vector* rho, Vector* q) {
    const Vector none = {};
    for (std::size_t v = 0; v < kVectors; ++v) {
        m[v] = rho[v] = q[v] = none;
    }
    for (std::size_t k = 0; k < r; ++k) {
        const double* column = tile + k * T;
        for (std::size_t v = 0; v < kVectors; ++v) {
            const Vector x = load(column + v * kLanes);
            const Vector part = x * d[k];
            m[v] += x * u0[k];
            rho[v] += part > none ? part : -part;
            q[v] += part * part;
        }
    }
    for (std::size_t v = 0; v < kVectors; ++v) {
        q[v] = m[v] * m[v] + spread * q[v] + kTiniest;
    }
}

// 1 / (2 sqrt(q)), to a relative 1e-10, from its exponent by Newton's method; q is at least
// kTiniest. (A compiler makes no vectors of square roots that could set errno.)
CONVEXNN_INLINE Vector half_inverse_root(const Vector& q) {
    Integers bits;
    __builtin_memcpy(&bits, &q, sizeof bits);
    bits = 0x5fe6eb50c7b537a9 - (bits >> 1);
    Vector root;
    __builtin_memcpy(&root, &bits, sizeof root);
    const Vector half = q * 0.5;
    for (int step = 0; step < 3; ++step) {
        root *= 1.5 - half * root * root;
    }
    return root * 0.5;
}

CONVEXNN_MULTIVERSION
std::uint32_t cut_rows(const double* tile, std::size_t r, const double* u0, const double* d,
                       double* products) {
    Vector m[kVectors], rho[kVectors], q[kVectors];
    intervals(tile, r, u0, d, 0.0, m, rho, q);
    std::uint32_t bits = 0;
    for (std::size_t j = 0; j < T; ++j) {
        const double product = m[j / kLanes][j % kLanes];
        products[j] = product;
        bits |= static_cast<std::uint32_t>(__builtin_fabs(product) < rho[j / kLanes][j % kLanes])
                << j;
    }
    return bits;
}

// The plus rows: returns the constant of their majorants; sums[k] and sums[r + pair(k, l)] get the
// lanes of their gradient and Hessian, pairs k <= l in order.
CONVEXNN_MULTIVERSION
double plus_majorants(const double* tiles, std::size_t count, std::size_t r, const double* u0,
                      const double* d, double* sums, double& cut) {
    Vector m[kVectors], rho[kVectors], q[kVectors];
    const Vector none = {};
    const Vector one = none + 1.0;
    Vector constant = {};
    Vector number = {};
    __builtin_memset(sums, 0, (r + r * (r + 1) / 2) * kLanes * sizeof(double));
    for (std::size_t t = 0; t < count; ++t) {
        const double* tile = tiles + t * r * T;
        intervals(tile, r, u0, d, 1.0, m, rho, q);
        // With h = 1 / (2 a): (t + a)^2 / (4 a) = h t^2 / 2 + t / 2 + 1 / (8 h), the last of which
        // is at most (q h / 2) (1 + 1e-9), as h is 1 / (2 sqrt(q)) to 1e-10.
        Vector half[kVectors];
        Vector slope[kVectors];
        for (std::size_t v = 0; v < kVectors; ++v) {
            const Vector h = half_inverse_root(q[v]);
            const Vector size = m[v] > none ? m[v] : -m[v];
            const Vector on = select(m[v] > none, one, none);
            const Vector line = h * m[v] + 0.5;
            const Vector height = 0.5 * (m[v] * (line + 0.5) + kAbove * q[v] * h);
            const Integers cuts = size < rho[v];
            constant += select(cuts, height, on * m[v]);
            slope[v] = select(cuts, line, on);
            half[v] = select(cuts, h, none);
            number += select(cuts, one, none);
        }
        double* pairs = sums + r * kLanes;
        for (std::size_t k = 0; k < r; ++k) {
            const double* left = tile + k * T;
            Vector scaled[kVectors];
            Vector gradient = load(sums + k * kLanes);
            for (std::size_t v = 0; v < kVectors; ++v) {
                const Vector x = load(left + v * kLanes);
                gradient += slope[v] * x;
                scaled[v] = half[v] * x;
            }
            store(sums + k * kLanes, gradient);
            std::size_t l = k;
            for (; l + 4 <= r; l += 4) {
                Vector sum[4];
                for (std::size_t i = 0; i < 4; ++i) {
                    sum[i] = load(pairs + i * kLanes);
                }
                for (std::size_t v = 0; v < kVectors; ++v) {
                    for (std::size_t i = 0; i < 4; ++i) {
                        sum[i] += scaled[v] * load(tile + (l + i) * T + v * kLanes);
                    }
                }
                for (std::size_t i = 0; i < 4; ++i) {
                    store(pairs + i * kLanes, sum[i]);
                }
                pairs += 4 * kLanes;
            }
            for (; l < r; ++l) {
                Vector sum = load(pairs);
                for (std::size_t v = 0; v < kVectors; ++v) {
                    sum += scaled[v] * load(tile + l * T + v * kLanes);
                }
                store(pairs, sum);
                pairs += kLanes;
            }
        }
    }
    cut = sum_lanes(number);
    return sum_lanes(constant);
}

// g_k = sum_j alpha_j row_jk (lanes), and returns sum_j alpha_j m_j.
CONVEXNN_INLINE void add_minus(const double* tile, std::size_t r, const double* alpha,
                               const double* m, Vector& constant, double* sums) {
    Vector a[kVectors];
    for (std::size_t v = 0; v < kVectors; ++v) {
        a[v] = load(alpha + v * kLanes);
        constant += a[v] * load(m + v * kLanes);
    }
    for (std::size_t k = 0; k < r; ++k) {
        Vector sum = load(sums + k * kLanes);
        for (std::size_t v = 0; v < kVectors; ++v) {
            sum += a[v] * load(tile + k * T + v * kLanes);
        }
        store(sums + k * kLanes, sum);
    }
}

// The minus rows at their first alphas, those of `given` where there are any: returns the constant
// sum alpha m, `sums` gets the lanes of sum alpha row.
CONVEXNN_MULTIVERSION
double minus_lines(const double* tiles, std::size_t count, std::size_t r, const double* u0,
                   const double* d, const double* given, double* alpha, double* products,
                   double* sums, double& cut) {
    Vector m[kVectors], rho[kVectors], q[kVectors];
    alignas(64) double reach[T], is_cut[T];
    Vector constant = {};
    Vector number = {};
    __builtin_memset(sums, 0, r * kLanes * sizeof(double));
    for (std::size_t t = 0; t < count; ++t) {
        const double* tile = tiles + t * r * T;
        double* a = alpha + t * T;
        intervals(tile, r, u0, d, kMiddle, m, rho, q);
        Vector inside[kVectors];
        if (given != nullptr) {
            for (std::size_t v = 0; v < kVectors; ++v) {
                inside[v] = load(given + t * T + v * kLanes);
            }
        } else {
            for (std::size_t v = 0; v < kVectors; ++v) {
                inside[v] = 0.5 + m[v] * half_inverse_root(q[v]);
            }
        }
        double* product = products + t * T;
        for (std::size_t v = 0; v < kVectors; ++v) {
            store(product + v * kLanes, m[v]);
            store(reach + v * kLanes, rho[v]);
            store(a + v * kLanes, inside[v]);
        }
#pragma omp simd
        for (std::size_t j = 0; j < T; ++j) {
            const bool cuts = __builtin_fabs(product[j]) < reach[j];
            a[j] = cuts ? a[j] : (product[j] > 0.0 ? 1.0 : 0.0);
            is_cut[j] = cuts ? 1.0 : 0.0;
        }
        for (std::size_t v = 0; v < kVectors; ++v) {
            number += load(is_cut + v * kLanes);
        }
        add_minus(tile, r, a, products + t * T, constant, sums);
    }
    cut = sum_lanes(number);
    return sum_lanes(constant);
}

// The same after alpha_j has moved by `step` towards 1 where m_j + row_j . z > 0, else towards 0.
CONVEXNN_MULTIVERSION
double move_alphas(const double* tiles, std::size_t count, std::size_t r, const double* z,
                   double step, const double* products, double* alpha, double* sums) {
    Vector constant = {};
    __builtin_memset(sums, 0, r * kLanes * sizeof(double));
    for (std::size_t t = 0; t < count; ++t) {
        const double* tile = tiles + t * r * T;
        const double* m = products + t * T;
        double* a = alpha + t * T;
        Vector at[kVectors];
        for (std::size_t v = 0; v < kVectors; ++v) {
            at[v] = load(m + v * kLanes);
        }
        for (std::size_t k = 0; k < r; ++k) {
            for (std::size_t v = 0; v < kVectors; ++v) {
                at[v] += load(tile + k * T + v * kLanes) * z[k];
            }
        }
        const Vector none = {};
        const Vector one = none + 1.0;
        for (std::size_t v = 0; v < kVectors; ++v) {
            const Vector old = load(a + v * kLanes);
            const Vector goal = select(at[v] > none, one, none);
            store(a + v * kLanes, old + step * (goal - old));  // in [0, 1], rounded or not
        }
        add_minus(tile, r, a, m, constant, sums);
    }
    return sum_lanes(constant);
}

std::size_t tiles_for(std::size_t rows) { return (rows + T - 1) / T; }

}  // namespace

std::uint32_t BoxBound::cut(const RowTiles& rows, std::size_t t, const Box& box,
                            std::span<double> products) {
    return cut_rows(rows.tile(t), rows.r(), box.centre.data(), box.half_width.data(),
                    products.data());
}

RowTiles::RowTiles(std::size_t plus, std::size_t minus, std::size_t r)
    : linear(r, 0.0),
      r_(r),
      values_(static_cast<double*>(::operator new[](
          std::max<std::size_t>((tiles_for(plus) + tiles_for(minus)) * r * T, 1) * sizeof(double),
          kAlignment))),
      numbers_((tiles_for(plus) + tiles_for(minus)) * T) {}

void RowTiles::Free::operator()(double* memory) const { ::operator delete[](memory, kAlignment); }

void RowTiles::clear() { plus_tiles_ = tiles_ = rows_ = next_ = 0; }

void RowTiles::add(std::size_t place, const double* entries, std::size_t stride,
                   std::int32_t number) {
    if (place % T == 0) {
        double* tile = values_.get() + place / T * r_ * T;
        std::memset(tile, 0, r_ * T * sizeof(double));
        std::fill_n(numbers_.begin() + static_cast<std::ptrdiff_t>(place), T, -1);
        tiles_ = place / T + 1;
    }
    double* to = values_.get() + place / T * r_ * T + place % T;
    for (std::size_t k = 0; k < r_; ++k) {
        to[k * T] = entries[k * stride];
    }
    numbers_[place] = number;
    ++rows_;
}

void RowTiles::add_plus(const double* entries, std::size_t stride, std::int32_t number) {
    add(next_++, entries, stride, number);
    plus_tiles_ = tiles_;
}

void RowTiles::add_minus(const double* entries, std::size_t stride, std::int32_t number) {
    next_ = std::max(next_, plus_tiles_ * T);
    add(next_++, entries, stride, number);
}

BoxBound::BoxBound(std::size_t tiles, std::size_t r)
    : r_(r),
      products_(tiles * T),
      sums_((r + r * (r + 1) / 2) * kLanes),
      hessian_(r * r),
      w_(r),
      linear_(r),
      gradient_(r),
      best_(r),
      curvature_(r),
      maximiser_(r) {}

// max over the box of gradient_.z + z'Hz / 2, a bound, H's coordinates being in curvature_.
double BoxBound::majorant(const Box& box) {
    double sum = 0.0;
    for (std::size_t k = 0; k < r_; ++k) {
        const double g = gradient_[k] * box.half_width[k];
        const double c = curvature_[k];
        double y = g >= 0.0 ? 1.0 : -1.0;
        if (std::abs(g) < -c) {
            y = -g / c;
            sum += -0.5 * g * g / c;
        } else {
            sum += std::abs(g) + 0.5 * c;
        }
        maximiser_[k] = y * box.half_width[k];
    }
    return sum;
}

// The coordinates of H that the parts of it, and those of the length's bound, come to.
void BoxBound::bend(const Box& box, double by) {
    const double* d = box.half_width.data();
    for (std::size_t k = 0; k < r_; ++k) {
        curvature_[k] = 0.0;
    }
    for (std::size_t k = 0; k < r_; ++k) {
        curvature_[k] += (hessian_[k * r_ + k] - by * (1.0 - w_[k] * w_[k])) * d[k] * d[k];
        for (std::size_t l = k + 1; l < r_; ++l) {
            const double pair = std::abs(hessian_[k * r_ + l] + by * w_[k] * w_[l]) * d[k] * d[l];
            curvature_[k] += pair;
            curvature_[l] += pair;
        }
    }
}

double BoxBound::operator()(const RowTiles& rows, const Box& box, double theta,
                            const BoxState* around, BoxState& state) {
    const double* u0 = box.centre.data();
    const double* d = box.half_width.data();
    double square = 0.0;
    double longest = 0.0;
    double shortest = 0.0;
    for (std::size_t k = 0; k < r_; ++k) {
        square += u0[k] * u0[k];
        const double far = std::abs(u0[k]) + d[k];
        const double near = std::max(0.0, std::abs(u0[k]) - d[k]);
        longest += far * far;
        shortest += near * near;
    }
    const double length = std::sqrt(square);
    longest = std::sqrt(longest);
    shortest = std::sqrt(shortest);

    const std::size_t plus = rows.plus_tiles();
    const std::size_t minus = rows.tiles() - plus;
    double cut_plus = 0.0;
    double cut_minus = 0.0;
    double height = plus_majorants(rows.tile(0), plus, r_, u0, d, sums_.data(), cut_plus);
    const double* pairs = sums_.data() + r_ * kLanes;
    for (std::size_t k = 0; k < r_; ++k) {
        w_[k] = u0[k] / length;
        height += rows.linear[k] * u0[k];
        linear_[k] = rows.linear[k] + sum_lanes(sums_.data() + k * kLanes);
        for (std::size_t l = k; l < r_; ++l, pairs += kLanes) {
            hessian_[k * r_ + l] = sum_lanes(pairs);
        }
    }
    bend(box, theta / longest);
    double* alpha = state.alpha.data();
    double lines = minus_lines(rows.tile(plus), minus, r_, u0, d,
                               around == nullptr ? nullptr : around->alpha.data(), alpha,
                               products_.data(), sums_.data(), cut_minus);
    double least = 0.0;
    double rest = 0.0;  // of the majorants at the centre, for the alphas of `least`
    for (int step = 0;; ++step) {
        for (std::size_t k = 0; k < r_; ++k) {
            gradient_[k] = linear_[k] - sum_lanes(sums_.data() + k * kLanes) - theta * w_[k];
        }
        const double bound = height - lines - theta * length + majorant(box);
        const double before = least;
        if (step == 0 || bound < least) {
            least = bound;
            rest = height - lines;
            std::copy(gradient_.begin(), gradient_.end(), best_.begin());
        }
        if (least <= 0.0 || step == kAlphaSteps || minus == 0 ||
            (step > 0 && kHope * (before - least) * (kAlphaSteps - step) / step < least)) {
            break;
        }
        lines = move_alphas(rows.tile(plus), minus, r_, maximiser_.data(),
                            1.0 / (step + (around == nullptr ? kFirst : kNext)), products_.data(),
                            alpha, sums_.data());
    }
    // The coordinate that the bound owes most to.
    double widest = 0.0;
    for (std::size_t k = 0; k < r_; ++k) {
        // Never nothing, however u0 lies, or a coordinate would stay whole for ever.
        const double width =
            curvature_[k] + 1.1 * theta / longest * d[k] * d[k] + std::abs(gradient_[k]) * d[k];
        if (width > widest) {
            widest = width;
            state.branch = k;
        }
    }
    state.cut_rows = static_cast<std::size_t>(cut_plus + cut_minus);
    double bound = theta + least / (least > 0.0 ? shortest : longest);
    // The same majorants prove less than that where they do not prove theta: for any other theta
    // the bound is one as well, and costs nothing by the rows.
    for (int step = 0; step < kThetaSteps && least > 0.0; ++step) {
        bend(box, bound / longest);
        for (std::size_t k = 0; k < r_; ++k) {
            gradient_[k] = best_[k] - (bound - theta) * w_[k];
        }
        const double above = rest - bound * length + majorant(box);
        if (above >= 0.0) {
            break;
        }
        bound += above / longest;
    }
    for (std::size_t k = 0; k < r_; ++k) {
        maximiser_[k] += u0[k];
    }
    return bound;
}

}  // namespace convexnn
