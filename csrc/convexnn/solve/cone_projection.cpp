#include "convexnn/solve/cone_projection.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "convexnn/base/simd.hpp"
#include "convexnn/solve/cone_kernels.hpp"

namespace convexnn {
namespace {

using namespace cone;

constexpr double kEpsilon = std::numeric_limits<double>::epsilon();
constexpr double kInfinity = std::numeric_limits<double>::infinity();

// A row this close (sine of the angle) to the span of the active ones counts as dependent.
constexpr double kDependent = 1e-11;
constexpr double kTolerance = 1e-12;                    // of violations, relative to ||g||
constexpr double kFineTolerance = 1e-14;                // of the last ones, relative to ||u||
constexpr double kNothing = 2e-15;                      // ||u|| / ||g|| that is rounding alone
constexpr std::size_t kUnasked = std::size_t{1} << 19;  // flops between two looks at the monitor

}  // namespace

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
            along = simd::inner_product(z_.get(), u_.get(), padded_) / norm;
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
    const double slope = -simd::inner_product(g_.get(), normals, padded_);
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

}  // namespace convexnn
