// Objective, dual point and duality gap of
//
//   min_{u, b} sum_k s_k l((A u)_k + b, y_k) + beta sum_i w_i ||u_i||,    b = 0 without an offset.
//
// With v = -loss gradient at the fit, the point t v is dual feasible for 0 <= t <= beta / M,
// M = max_i ||X^T D_i v|| / w_i (and sum_k v_k = 0 with an offset), and
// D(t v) = sum_k s_k (-l*(-t v_k / s_k)) is a lower bound of the optimum. Every gap the solvers
// report is computed from these functions.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <span>
#include <vector>

#include "convexnn/base/simd.hpp"
#include "convexnn/program/loss.hpp"

namespace convexnn {

// Targets y and weights s >= 0 of the n samples.
struct Samples {
    std::span<const double> y;
    std::span<const double> s;
};

// The data term as a function of the fit f of the blocks alone,
//
//   L(f) = min_b sum_k s_k l(f_k + b, y_k),       b = 0 without an offset,
//
// which is as smooth as the loss: its gradient is that of the loss at the best b.
template <typename Loss>
class DataTerm {
public:
    DataTerm(const Samples& samples, const Loss& loss, bool has_offset)
        : samples_(samples), loss_(loss), has_offset_(has_offset) {
        TargetSums sums;
        for (std::size_t k = 0; k < samples.s.size(); ++k) {
            (samples.y[k] > 0.0 ? sums.above : sums.below) += samples.s[k];
        }
        total_weight_ = sums.above + sums.below;
        for (std::size_t k = 0; k < samples.s.size(); ++k) {
            sums.mean += samples.s[k] / total_weight_ * samples.y[k];
        }
        level_ = Loss::level(sums);
        if (!has_offset || !Loss::kShifts) {
            return;
        }
        // Targets about zero: f + b - y and v^T y would cancel where all y are large.
        centre_ = sums.mean;
        centred_.resize(samples.y.size());
        std::ranges::transform(samples.y, centred_.begin(),
                               [this](double y) { return y - centre_; });
        samples_.y = centred_;
    }
    DataTerm(const DataTerm&) = delete;  // samples_ may view centred_
    DataTerm& operator=(const DataTerm&) = delete;

    const Loss& loss() const { return loss_; }
    bool has_offset() const { return has_offset_; }
    double total_weight() const { return total_weight_; }
    double offset() const { return offset_ + centre_; }  // the b that the last call found best

    double value(std::span<const double> f) {
        find_offset(f);
        double sum = 0.0;
        for (std::size_t k = 0; k < f.size(); ++k) {
            sum += samples_.s[k] * loss_.value(f[k] + offset_, samples_.y[k]);
        }
        return sum;
    }

    // v_k = -s_k l'(f_k + b, y_k)
    void negative_gradient(std::span<const double> f, std::span<double> v) {
        find_offset(f);
        for (std::size_t k = 0; k < f.size(); ++k) {
            v[k] = -samples_.s[k] * loss_.slope(f[k] + offset_, samples_.y[k]);
        }
        balance(v);
    }

    // h_k = s_k l''(f_k + b, y_k)
    void curvature(std::span<const double> f, std::span<double> h) {
        find_offset(f);
        for (std::size_t k = 0; k < f.size(); ++k) {
            h[k] = samples_.s[k] * loss_.curvature(f[k] + offset_, samples_.y[k]);
        }
    }

    // The same of a parabola that touches L at f and is nowhere below it.
    void majorant(std::span<const double> f, std::span<double> h) {
        find_offset(f);
        for (std::size_t k = 0; k < f.size(); ++k) {
            h[k] = samples_.s[k] * loss_.majorant(f[k] + offset_, samples_.y[k]);
        }
    }

    // At least 2 (L(f + t) - L(f) - L'(f) t) for a change t of the fit, to rounding.
    double curvature_along(std::span<const double> f, std::span<const double> t) {
        if constexpr (Loss::kCurvature < std::numeric_limits<double>::infinity()) {
            return Loss::kCurvature * simd::weighted_square(samples_.s.data(), t.data(), t.size());
        } else {
            find_offset(f);
            double sum = 0.0;
            for (std::size_t k = 0; k < t.size(); ++k) {
                sum += samples_.s[k] * loss_.excess(f[k] + offset_, t[k]);
            }
            return 2.0 * sum;
        }
    }

    // The slope between f and the fit whose negative gradient is a (in the dual's domain), where
    // they differ: h_k (f*_k - f_k - b) = v_k - a_k; elsewhere the curvature at f.
    void secant(std::span<const double> f, std::span<const double> a, std::span<double> h) {
        find_offset(f);
        for (std::size_t k = 0; k < f.size(); ++k) {
            const double s = samples_.s[k];
            const double y = samples_.y[k];
            const double at = f[k] + offset_;
            if (s == 0.0) {
                h[k] = 0.0;
                continue;
            }
            const double change = loss_.fit(a[k] / s, y) - at;
            const double fall = -loss_.slope(at, y) - a[k] / s;
            const bool near = std::abs(change) <= 1e-6 * (1.0 + std::abs(at));
            h[k] = s * (near ? loss_.curvature(at, y)
                             : std::clamp(fall / change, 0.0, Loss::kCurvature));
        }
    }

    // v becomes the point of the dual's domain next to it.
    void clip(std::span<double> v) const {
        for (std::size_t k = 0; k < v.size(); ++k) {
            const double s = samples_.s[k];
            v[k] = s > 0.0 ? s * loss_.clip(v[k] / s, samples_.y[k]) : 0.0;
        }
        balance(v);
    }

    // With an offset: makes sum_k v_k zero to rounding, which the dual asks for, by shrinking the
    // positive or the negative entries; entries shrunk stay in the dual's domain. Else nothing.
    void balance(std::span<double> v) const {
        if (!has_offset_) {
            return;
        }
        // Twice: the first round leaves the rounding of large sums.
        for (int round = 0; round < 2; ++round) {
            double positive = 0.0;
            double negative = 0.0;
            for (const double x : v) {
                (x > 0.0 ? positive : negative) += x;
            }
            const bool shrink_positive = positive > -negative;
            const double from = shrink_positive ? positive : -negative;
            const double to = shrink_positive ? -negative : positive;
            const double factor = from > 0.0 ? to / from : 1.0;
            for (double& x : v) {
                x *= (x > 0.0) == shrink_positive ? factor : 1.0;
            }
        }
    }

    // D(t v); rows of weight zero carry v_k = 0 and do not count.
    double dual_value(std::span<const double> v, double t) const {
        double sum = 0.0;
        for (std::size_t k = 0; k < v.size(); ++k) {
            const double s = samples_.s[k];
            if (s > 0.0) {
                sum += s * loss_.dual(t * v[k] / s, samples_.y[k]);
            }
        }
        return sum;
    }

    // The t of largest D(t v) among the feasible ones, |t| <= limit = beta / M; for losses whose
    // dual is not quadratic min(1, limit), which is the best once v is near the optimum.
    double best_dual_scale(std::span<const double> v, double limit) const {
        if constexpr (!Loss::kQuadraticDual) {
            return std::min(1.0, limit);
        }
        double linear = 0.0;
        double quadratic = 0.0;
        double largest = 0.0;
        for (std::size_t k = 0; k < v.size(); ++k) {
            const double s = samples_.s[k];
            linear += v[k] * samples_.y[k];
            if (s > 0.0) {
                quadratic += v[k] * v[k] / s;
                largest = std::max(largest, std::abs(v[k]) / s);
            }
        }
        if (quadratic == 0.0) {  // v = 0, or its squares vanish
            return std::min(1.0, limit);
        }
        limit = std::min(limit, loss_.reach() / largest);
        return std::clamp(linear / quadratic, -limit, limit);
    }

private:
    // Newton's method in b from the last offset, kept between points where the slope changes sign.
    // Ends where the slope is zero to the rounding of its own sum or of f + b.
    void find_offset(std::span<const double> f) {
        if (!has_offset_) {
            return;
        }
        constexpr int kRounds = 300;
        constexpr double kRounding = std::numeric_limits<double>::epsilon();
        double low = std::numeric_limits<double>::infinity();
        double high = -low;
        for (std::size_t k = 0; k < f.size(); ++k) {
            if (samples_.s[k] > 0.0) {
                const double b = loss_.settled(samples_.y[k], level_) - f[k];
                low = std::min(low, b);
                high = std::max(high, b);
            }
        }
        if (!std::isfinite(low) || !std::isfinite(high)) {
            return;
        }
        offset_ = std::clamp(offset_, low, high);
        double last_slope = std::numeric_limits<double>::infinity();
        for (int round = 0; round < kRounds; ++round) {
            double slope = 0.0;
            double size = 0.0;
            double curvature = 0.0;
            double largest = 0.0;
            for (std::size_t k = 0; k < f.size(); ++k) {
                const double at = f[k] + offset_;
                const double part = samples_.s[k] * loss_.slope(at, samples_.y[k]);
                slope += part;
                size += std::abs(part);
                curvature += samples_.s[k] * loss_.curvature(at, samples_.y[k]);
                largest = std::max(largest, std::abs(at));
            }
            if (!(std::abs(slope) > 4.0 * kRounding * size)) {
                return;
            }
            (slope > 0.0 ? high : low) = offset_;
            const double newton = curvature > 0.0 ? offset_ - slope / curvature : high;
            // Where the slope hardly fell, Newton's steps overshoot.
            const bool trusted =
                newton > low && newton < high && std::abs(slope) <= 0.5 * last_slope;
            const bool small = std::abs(newton - offset_) <= kRounding * largest;
            if (curvature > 0.0 && small) {
                offset_ = std::clamp(newton, low, high);
                return;
            }
            const double next = trusted ? newton : 0.5 * low + 0.5 * high;
            if (next == offset_) {
                return;
            }
            last_slope = std::abs(slope);
            offset_ = next;
        }
    }

    Samples samples_;
    Loss loss_;
    bool has_offset_;
    double total_weight_ = 0.0;
    double level_ = 0.0;
    std::vector<double> centred_;  // targets less centre_
    double centre_ = 0.0;
    double offset_ = 0.0;  // less centre_
};

// gap / max(|objective|, 1e-10 objective at zero); 0 where both are 0.
inline double relative_gap(double objective, double dual_objective, double objective_at_zero) {
    const double scale = std::max(std::abs(objective), 1e-10 * objective_at_zero);
    const double gap = objective - dual_objective;
    return scale > 0.0 ? gap / scale : (gap > 0.0 ? std::numeric_limits<double>::infinity() : 0.0);
}

}  // namespace convexnn
