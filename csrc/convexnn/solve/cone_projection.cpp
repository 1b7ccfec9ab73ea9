#include "convexnn/solve/cone_projection.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <mutex>
#include <new>

#include "convexnn/base/parallel.hpp"
#include "convexnn/base/simd.hpp"

namespace convexnn {
namespace {

constexpr std::size_t kLanes = 8;
constexpr std::size_t kTile = 32;  // rows; two tiles to a word of bits
constexpr double kEpsilon = std::numeric_limits<double>::epsilon();
constexpr double kInfinity = std::numeric_limits<double>::infinity();

// A row this close (sine of the angle) to the span of the active ones counts as dependent.
constexpr double kDependent = 1e-11;
constexpr double kTolerance = 1e-12;                    // of violations, relative to ||g||
constexpr double kFineTolerance = 1e-14;                // of the last ones, relative to ||u||
constexpr double kNothing = 2e-15;                      // ||u|| / ||g|| that is rounding alone
constexpr std::size_t kUnasked = std::size_t{1} << 19;  // flops between two looks at the monitor

typedef double Vector __attribute__((vector_size(64), may_alias));
typedef std::uint64_t Bits __attribute__((vector_size(64), may_alias));

// slack = s_k x_k'u for `tiles` tiles; returns the least slack. The signs meet the sums as bits.
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

CONVEXNN_INLINE double square(const double* z, std::size_t padded) {
    double sum = 0.0;
#pragma omp simd reduction(+ : sum)
    for (std::size_t i = 0; i < padded; ++i) {
        sum += z[i] * z[i];
    }
    return sum;
}

// z = z - Q c, c = Q'z, by two sweeps of Gram-Schmidt: orthogonal to rounding. Returns ||z||.
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

// x = R^-1 x for the leading m x m part.
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

// Rotates two vectors in their plane.
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

CONVEXNN_MULTIVERSION
double dot(const double* a, const double* b, std::size_t n) {
    double sum = 0.0;
#pragma omp simd reduction(+ : sum)
    for (std::size_t i = 0; i < n; ++i) {
        sum += a[i] * b[i];
    }
    return sum;
}

// ||x||, of squares that neither overflow nor vanish.
double safe_norm(const double* x, std::size_t n) {
    double largest = 0.0;
    for (std::size_t i = 0; i < n; ++i) {
        largest = std::max(largest, std::abs(x[i]));
    }
    if (largest == 0.0) {
        return 0.0;
    }
    double sum = 0.0;
    for (std::size_t i = 0; i < n; ++i) {
        const double part = x[i] / largest;
        sum += part * part;
    }
    return largest * std::sqrt(sum);
}

std::size_t round_up(std::size_t n, std::size_t to) { return (n + to - 1) / to * to; }

}  // namespace

void ConeRows::Free::operator()(double* memory) const {
    ::operator delete[](memory, std::align_val_t{64});
}

ConeRows::Aligned ConeRows::aligned(std::size_t count) {
    count = std::max<std::size_t>(count, 1);
    void* memory = ::operator new[](count * sizeof(double), std::align_val_t{64});
    Aligned values(static_cast<double*>(memory));
    std::fill_n(values.get(), count, 0.0);
    return values;
}

ConeRows::ConeRows(MatrixView<const double> X)
    : rows_(X.rows),
      columns_(X.columns),
      padded_(round_up(X.columns, kLanes)),
      tiles_((X.rows + kTile - 1) / kTile),
      tiled_(aligned(tiles_ * kTile * X.columns)),
      by_row_(aligned(X.rows * padded_)),
      norms_(X.rows) {
    for (std::size_t k = 0; k < rows_; ++k) {
        double* row = by_row_.get() + k * padded_;
        for (std::size_t j = 0; j < columns_; ++j) {
            row[j] = X(k, j);
        }
        norms_[k] = safe_norm(row, columns_);
        double* tile = tiled_.get() + (k / kTile) * kTile * columns_ + k % kTile;
        for (std::size_t j = 0; j < columns_ && norms_[k] > 0.0; ++j) {
            tile[j * kTile] = row[j] / norms_[k];
        }
    }
}

ConeProjector::ConeProjector(const ConeRows& rows)
    : rows_(rows),
      d_(rows.columns()),
      padded_(rows.padded_columns()),
      pool_capacity_(round_up(2 * d_, kTile)),
      q_(ConeRows::aligned(padded_ * d_)),
      r_(ConeRows::aligned(padded_ * d_)),
      g_(ConeRows::aligned(padded_)),
      u_(ConeRows::aligned(padded_)),
      z_(ConeRows::aligned(padded_)),
      c_(ConeRows::aligned(padded_)),
      c2_(ConeRows::aligned(padded_)),
      x_(ConeRows::aligned(padded_)),
      mu_(ConeRows::aligned(padded_)),
      normal_(ConeRows::aligned(padded_)),
      slack_(ConeRows::aligned(rows.tiles() * kTile)),
      pool_(ConeRows::aligned(pool_capacity_ * d_)),
      pool_slack_(ConeRows::aligned(pool_capacity_)),
      pool_row_(ConeRows::aligned(padded_)),
      index_(d_),
      candidates_(rows.rows() + 1),
      pool_index_(pool_capacity_),
      ignored_rows_(2 * d_ + 2),
      all_(pool_capacity_ / kTile, ~std::uint64_t{0}) {}

// out = s_k x_k / ||x_k||
void ConeProjector::signed_row(std::size_t k, double* out) const {
    const bool on = (pattern_[k / kWordBits] >> (k % kWordBits)) & 1U;
    // The numbers of the tiles, which would cost a cache line each.
    const double* row = rows_.row(k);
    const double norm = on ? rows_.norm(k) : -rows_.norm(k);
    for (std::size_t j = 0; j < d_; ++j) {
        out[j] = row[j] / norm;
    }
}

// z = the part of a that is orthogonal to the active normals, c = Q'a; returns ||z||.
double ConeProjector::orthogonalise(const double* a) {
    std::copy_n(a, padded_, z_.get());
    return orthogonal_part(q_.get(), padded_, active_, z_.get(), c_.get(), c2_.get());
}

// The row just orthogonalised, ||z|| = norm, becomes the last column of QR.
void ConeProjector::append(double norm) {
    double* q = q_.get() + active_ * padded_;
    double* r = r_.get() + active_ * padded_;
    for (std::size_t i = 0; i < d_; ++i) {
        q[i] = z_[i] / norm;
    }
    std::copy_n(c_.get(), active_, r);
    r[active_] = norm;
    ++active_;
}

// Takes column j out of QR, by Givens rotations, and out of the active set.
void ConeProjector::drop(std::size_t j) {
    --active_;
    for (std::size_t k = j; k < active_; ++k) {
        std::copy_n(r_.get() + (k + 1) * padded_, k + 2, r_.get() + k * padded_);
        index_[k] = index_[k + 1];
        mu_[k] = mu_[k + 1];
    }
    for (std::size_t i = j; i < active_; ++i) {
        double* pivot = r_.get() + i * padded_ + i;
        // pivot[1] was a diagonal entry of R: above kDependent.
        const double h = std::sqrt(pivot[0] * pivot[0] + pivot[1] * pivot[1]);
        const double c = pivot[0] / h;
        const double s = pivot[1] / h;
        for (std::size_t k = i; k < active_; ++k) {
            double* r = r_.get() + k * padded_ + i;
            const double x = r[0];
            r[0] = c * x + s * r[1];
            r[1] = c * r[1] - s * x;
        }
        rotate(q_.get() + i * padded_, q_.get() + (i + 1) * padded_, padded_, c, s);
    }
}

// Row k, a violated one with signed normal a, enters the active set; rows whose multipliers would
// turn negative leave it. `none`: the violation was rounding, the active set is unchanged or
// smaller and u is the projection for it.
ConeProjector::Added ConeProjector::add(const double* a, std::size_t k) {
    double entering = 0.0;  // multiplier of the row
    bool dropped = false;
    for (;;) {
        const double norm = orthogonalise(a);
        std::copy_n(c_.get(), active_, x_.get());
        solve_upper(r_.get(), padded_, active_, x_.get());

        // The step at which a multiplier of the active rows reaches 0.
        double largest = 0.0;
        for (std::size_t j = 0; j < active_; ++j) {
            largest = std::max(largest, std::abs(x_[j]));
        }
        double blocked = kInfinity;
        std::size_t blocking = 0;
        for (std::size_t j = 0; j < active_; ++j) {
            if (x_[j] > 8.0 * kEpsilon * largest && mu_[j] < blocked * x_[j]) {
                blocked = mu_[j] / x_[j];
                blocking = j;
            }
        }
        // The step at which the row is satisfied: a'u = z'u, as u is orthogonal to the others.
        double full = kInfinity;
        double along = 0.0;  // u along z / ||z||
        if (norm > kDependent) {
            along = dot(z_.get(), u_.get(), padded_) / norm;
            if (along >= 0.0 && !dropped) {
                return Added::none;
            }
            along = std::min(along, 0.0);
            full = -along / norm;
        }
        if (blocked == kInfinity && full == kInfinity) {
            // a = N x with x <= 0 and a'u < 0 = N'u: impossible but for rounding.
            if (dropped) {
                settle();
            }
            return Added::none;
        }
        const double step = std::min(blocked, full);
        for (std::size_t j = 0; j < active_; ++j) {
            mu_[j] = std::max(0.0, mu_[j] - step * x_[j]);
        }
        entering += step;
        ++steps_;
        if (full <= blocked) {
            simd::axpy(-along / norm, z_.get(), u_.get(), d_);
            index_[active_] = static_cast<std::int32_t>(k);
            mu_[active_] = entering;
            append(norm);
            return Added::full;
        }
        if (full < kInfinity) {
            simd::axpy(step, z_.get(), u_.get(), d_);
        }
        drop(blocking);
        dropped = true;
    }
}

// mu = -R^-1 Q'g and u = g - Q Q'g.
void ConeProjector::multipliers() {
    std::copy_n(g_.get(), padded_, u_.get());
    orthogonal_part(q_.get(), padded_, active_, u_.get(), c_.get(), c2_.get());
    for (std::size_t j = 0; j < active_; ++j) {
        mu_[j] = -c_[j];
    }
    solve_upper(r_.get(), padded_, active_, mu_.get());
}

// The most negative multiplier leaves until there is none: u is then the projection onto the cone
// of the active rows.
void ConeProjector::settle() {
    for (;;) {
        multipliers();
        double* const least = std::min_element(mu_.get(), mu_.get() + active_);
        if (active_ == 0 || *least >= 0.0) {
            return;
        }
        drop(static_cast<std::size_t>(least - mu_.get()));
        ++steps_;
    }
}

void ConeProjector::start(std::size_t count, std::span<const std::int32_t> active) {
    active_ = 0;
    for (std::size_t j = 0; j < count && active_ < d_ && !told_to_stop(8 * active_ * d_); ++j) {
        const std::size_t k = static_cast<std::size_t>(active[j]);
        signed_row(k, normal_.get());
        const double norm = orthogonalise(normal_.get());
        if (norm > 1e3 * kDependent) {
            index_[active_] = active[j];
            append(norm);
        }
    }
    settle();
}

bool ConeProjector::told_to_stop(std::size_t flops) {
    unasked_ += flops;
    if (monitor_ == nullptr || unasked_ < kUnasked) {
        return false;
    }
    if (!monitor_->stop_requested()) {
        unasked_ = 0;
        return false;
    }
    return true;  // from now on
}

double ConeProjector::scan() {
    return signed_slack(rows_.tiled(), rows_.tiles(), d_, pattern_.data(), u_.get(), slack_.get());
}

void ConeProjector::ignore(std::size_t k) {
    if (ignored_ < ignored_rows_.size()) {
        ignored_rows_[ignored_++] = static_cast<std::int32_t>(k);
    }
}

bool ConeProjector::ignored(std::size_t k) const {
    const auto last = ignored_rows_.begin() + static_cast<std::ptrdiff_t>(ignored_);
    return std::find(ignored_rows_.begin(), last, static_cast<std::int32_t>(k)) != last;
}

// The worst violated rows, at most 2 d, signed, in tiles; returns how many.
std::size_t ConeProjector::fill_pool(double tolerance) {
    std::size_t count = 0;
    for (std::size_t k = 0; k < rows_.rows(); ++k) {
        candidates_[count] = static_cast<std::int32_t>(k);
        count += slack_[k] < -tolerance ? 1 : 0;
    }
    if (ignored_ > 0) {
        const auto last = candidates_.begin() + static_cast<std::ptrdiff_t>(count);
        const auto kept = std::remove_if(candidates_.begin(), last, [&](std::int32_t k) {
            return ignored(static_cast<std::size_t>(k));
        });
        count = static_cast<std::size_t>(kept - candidates_.begin());
    }
    const std::size_t wanted = std::min(count, 2 * d_);
    if (wanted < count) {
        // Equal slacks by number, so that the answer is the same everywhere.
        std::nth_element(candidates_.begin(),
                         candidates_.begin() + static_cast<std::ptrdiff_t>(wanted),
                         candidates_.begin() + static_cast<std::ptrdiff_t>(count),
                         [&](std::int32_t a, std::int32_t b) {
                             const double x = slack_[static_cast<std::size_t>(a)];
                             const double y = slack_[static_cast<std::size_t>(b)];
                             return x < y || (x == y && a < b);
                         });
    }
    const std::size_t filled = round_up(wanted, kTile);
    for (std::size_t r = 0; r < filled; ++r) {
        double* to = pool_.get() + (r / kTile) * kTile * d_ + r % kTile;
        if (r < wanted) {
            pool_index_[r] = candidates_[r];
            signed_row(static_cast<std::size_t>(candidates_[r]), pool_row_.get());
        }
        for (std::size_t j = 0; j < d_; ++j) {
            to[j * kTile] = r < wanted ? pool_row_[j] : 0.0;
        }
    }
    return wanted;
}

// Rigorous bound from the multipliers of this moment, clipped.
double ConeProjector::bound() const {
    // No class member is touched: z_ and c_ belong to the step under way.
    double sum = 0.0;
    double size = std::sqrt(square(g_.get(), d_));
    for (std::size_t j = 0; j < active_; ++j) {
        size += std::max(mu_[j], 0.0);
    }
    for (std::size_t i = 0; i < d_; ++i) {
        double entry = g_[i];
        for (std::size_t j = 0; j < active_; ++j) {
            const std::size_t k = static_cast<std::size_t>(index_[j]);
            const bool on = (pattern_[k / kWordBits] >> (k % kWordBits)) & 1U;
            const double nu = std::max(mu_[j], 0.0) / rows_.norm(k);
            entry += (on ? nu : -nu) * rows_.row(k)[i];
        }
        sum += entry * entry;
    }
    // Each entry takes 2 m roundings, relative to its absolute terms; the norm d + 2 more, and the
    // multipliers as returned one.
    const double m = static_cast<double>(active_);
    const double rounding = (m + 3.0) * kEpsilon * size * (1.0 + 1e-9);
    return (std::sqrt(sum) + rounding) * (1.0 + (static_cast<double>(d_) + 8.0) * kEpsilon);
}

ConeProjection ConeProjector::project(std::span<const std::uint64_t> pattern,
                                      std::span<const double> g, double threshold,
                                      std::size_t count, std::span<std::int32_t> active,
                                      std::span<double> mu, std::span<double> u) {
    pattern_ = pattern;
    active_ = steps_ = ignored_ = 0;
    ConeProjection result;

    // Scaled by a power of two, which rounds nothing.
    double largest = 0.0;
    for (const double value : g) {
        largest = std::max(largest, std::abs(value));
    }
    int exponent = 0;
    std::frexp(largest, &exponent);
    for (std::size_t j = 0; j < d_; ++j) {
        g_[j] = std::ldexp(g[j], -exponent);
    }
    const double size = std::sqrt(square(g_.get(), padded_));
    const double low = threshold < 0.0 ? -1.0 : std::ldexp(threshold, -exponent);
    const double nothing = kNothing * size;
    const double fine = kFineTolerance * std::max(1.0, static_cast<double>(d_) / 32.0);

    start(count, active);
    const std::size_t most = 100 * (d_ + 10);
    double length = std::sqrt(square(u_.get(), padded_));
    bool fresh = true;  // u is orthogonal to the active rows to rounding of its own size
    std::size_t rounds = 0;
    bool below = false;
    const auto certified = [&] { return length <= low && bound() <= low; };
    const auto vanished = [&] { return active_ == d_ || length <= nothing; };

    below = certified();
    while (!below && !vanished()) {
        if (told_to_stop(2 * rows_.rows() * d_)) {
            result.outcome = Projected::stalled;
            break;
        }
        const double worst = scan();
        ++result.scans;
        const bool last = -worst <= fine * length;
        if (last && fresh) {
            break;
        }
        const double coarse = std::max(kTolerance * size, fine * length);
        double tolerance = coarse;
        if (-worst <= coarse) {
            if (!fresh) {
                // What the steps have rounded goes, then one more look at the rows.
                multipliers();
                for (std::size_t j = 0; j < active_; ++j) {
                    mu_[j] = std::max(mu_[j], 0.0);
                }
                orthogonal_part(q_.get(), padded_, active_, u_.get(), c_.get(), c2_.get());
                length = std::sqrt(square(u_.get(), padded_));
                fresh = true;
                continue;
            }
            tolerance = fine * length;
            if (++rounds > 2 * d_ + 10) {
                result.outcome = Projected::stalled;
                break;
            }
        }
        const std::size_t pool = fill_pool(tolerance);
        if (pool == 0) {
            result.outcome = Projected::stalled;  // what is left is none that a step can mend
            break;
        }
        while (!below && !vanished()) {
            signed_slack(pool_.get(), round_up(pool, kTile) / kTile, d_, all_.data(), u_.get(),
                         pool_slack_.get());
            const double* const first = pool_slack_.get();
            const double* const least = std::min_element(first, first + pool);
            if (*least >= -tolerance || steps_ > most || told_to_stop(8 * (active_ + pool) * d_)) {
                break;
            }
            const std::size_t r = static_cast<std::size_t>(least - first);
            const double* from = pool_.get() + (r / kTile) * kTile * d_ + r % kTile;
            for (std::size_t j = 0; j < d_; ++j) {
                normal_[j] = from[j * kTile];
            }
            const std::size_t before = steps_;
            if (add(normal_.get(), static_cast<std::size_t>(pool_index_[r])) == Added::none) {
                ignore(static_cast<std::size_t>(pool_index_[r]));
                double* gone = pool_.get() + (r / kTile) * kTile * d_ + r % kTile;
                for (std::size_t j = 0; j < d_; ++j) {
                    gone[j * kTile] = 0.0;
                }
            } else {
                ignored_ = 0;
            }
            if (steps_ != before) {
                fresh = tolerance < coarse;
                if (fresh) {
                    // Steps this small are taken on the u at hand, kept orthogonal.
                    orthogonal_part(q_.get(), padded_, active_, u_.get(), c_.get(), c2_.get());
                }
                length = std::sqrt(square(u_.get(), padded_));
                below = certified();
            }
        }
        if (steps_ > most) {
            result.outcome = Projected::stalled;
            break;
        }
    }

    if (below) {
        result.outcome = Projected::below;
    } else if (vanished()) {
        std::fill_n(u_.get(), padded_, 0.0);
        length = 0.0;
    } else {
        if (result.outcome == Projected::stalled) {
            result.violation = std::max(0.0, -scan());
            ++result.scans;
        } else {
            result.violation =
                std::max(0.0, -*std::min_element(slack_.get(), slack_.get() + rows_.rows()));
        }
    }
    result.bound = std::ldexp(bound(), exponent);
    result.norm = std::ldexp(length, exponent);
    result.violation = std::ldexp(result.violation, exponent);
    result.active = active_;
    result.steps = steps_;
    for (std::size_t j = 0; j < d_; ++j) {
        u[j] = std::ldexp(u_[j], exponent);
    }
    for (std::size_t j = 0; j < active_; ++j) {
        active[j] = index_[j];
        const double norm = rows_.norm(static_cast<std::size_t>(index_[j]));
        mu[j] = std::ldexp(std::max(mu_[j], 0.0) / norm, exponent);
    }
    return result;
}

double ConeProjector::bound(std::span<const std::uint64_t> pattern, std::span<const double> g,
                            bool negative, std::span<const std::int32_t> active,
                            std::span<const double> mu) {
    std::ranges::copy(g, g_.get());  // the padding is 0
    double* const normals = z_.get();
    std::fill_n(normals, padded_, 0.0);
    double length = 0.0;  // sum_j mu_j ||x_j||
    for (std::size_t j = 0; j < active.size(); ++j) {
        const std::size_t k = static_cast<std::size_t>(active[j]);
        const bool on = ((pattern[k / kWordBits] >> (k % kWordBits)) & 1U) != (negative ? 1U : 0U);
        simd::axpy(on ? mu[j] : -mu[j], rows_.row(k), normals, d_);
        length += mu[j] * rows_.norm(k);
    }
    const double curvature = square(normals, padded_);
    const double slope = -dot(g_.get(), normals, padded_);
    const double t = curvature > 0.0 && slope > 0.0 ? slope / curvature : 0.0;
    const double size = std::sqrt(square(g_.get(), padded_));
    if (!(t > 0.0 && std::isfinite(t))) {
        return size * (1.0 + (static_cast<double>(d_) + 8.0) * kEpsilon);
    }
    simd::axpy(t, normals, g_.get(), d_);
    // As in bound(), and two roundings more of the multiple.
    const double m = static_cast<double>(active.size());
    const double rounding = (m + 5.0) * kEpsilon * (size + t * length) * (1.0 + 1e-9);
    return (std::sqrt(square(g_.get(), padded_)) + rounding) *
           (1.0 + (static_cast<double>(d_) + 8.0) * kEpsilon);
}

ConeProjections::ConeProjections(MatrixView<const double> X, BitColumns patterns,
                                 std::size_t threads)
    : rows_(X),
      patterns_(patterns),
      capacity_(std::min(X.rows, X.columns)),
      active_(blocks() * capacity_),
      counts_(blocks(), 0),
      mu_(blocks() * capacity_) {
    for (std::size_t t = 0; t < std::max<std::size_t>(threads, 1); ++t) {
        projectors_.push_back(std::make_unique<ConeProjector>(rows_));
    }
}

template <typename Work>
bool ConeProjections::each(std::size_t count, Monitor& monitor, const Work& work) {
    constexpr std::size_t kGroup = 8;
    std::mutex mutex;
    std::vector<ConeProjector*> idle;
    for (const auto& projector : projectors_) {
        idle.push_back(projector.get());
    }
    const auto take = [&] {
        const std::lock_guard<std::mutex> lock(mutex);
        ConeProjector* const projector = idle.back();
        idle.pop_back();
        return projector;
    };
    const auto give_back = [&](ConeProjector* projector) {
        const std::lock_guard<std::mutex> lock(mutex);
        idle.push_back(projector);
    };
    SharedStop stop(monitor);
    const auto body = [&](std::size_t begin, std::size_t end) {
        ConeProjector* const projector = take();
        projector->watch(&stop);
        for (std::size_t t = begin; t < end; ++t) {
            work(*projector, t);
        }
        projector->watch(nullptr);
        give_back(projector);
    };
    return parallel_for(count, kGroup, projectors_.size(), stop, body) && !stop.stop_requested();
}

bool ConeProjections::project(std::span<const std::size_t> blocks, MatrixView<const double> G,
                              double threshold, MatrixView<double> U,
                              std::span<ConeProjection> results, Monitor& monitor) {
    return each(blocks.size(), monitor, [&](ConeProjector& projector, std::size_t t) {
        const std::size_t b = blocks[t];
        const std::span<const double> g = G.column(b / 2);
        const std::span<double> u = U.column(t);
        // u holds -g until the projector has read it.
        for (std::size_t j = 0; j < u.size(); ++j) {
            u[j] = b % 2 == 1 ? -g[j] : g[j];
        }
        results[t] = projector.project(patterns_.column(b / 2), u, threshold,
                                       static_cast<std::size_t>(counts_[b]),
                                       {active_.data() + b * capacity_, capacity_},
                                       {mu_.data() + b * capacity_, capacity_}, u);
        counts_[b] = static_cast<std::int32_t>(results[t].active);
    });
}

bool ConeProjections::bound(std::span<const std::size_t> blocks, MatrixView<const double> G,
                            std::span<double> bounds, Monitor& monitor) {
    return each(blocks.size(), monitor, [&](ConeProjector& projector, std::size_t t) {
        const std::size_t b = blocks[t];
        bounds[t] = projector.bound(patterns_.column(b / 2), G.column(b / 2), b % 2 == 1, active(b),
                                    multipliers(b));
    });
}

void ConeProjections::forget() { std::fill(counts_.begin(), counts_.end(), 0); }

}  // namespace convexnn
