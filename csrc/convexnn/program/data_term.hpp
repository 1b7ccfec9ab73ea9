// The data term of a program and its dual: lower bounds of the optimum, for duality gaps, of
//
//   min_{U, b} sum_k s_k l((A U)_k + b, y_k) + beta sum_i w_i ||U_i||,    b = 0 without an offset.
//
// With v = -loss gradient at the fit, the point t v is dual feasible for 0 <= t <= beta / M,
// M = max_i ||X^T D_i v|| / w_i (and sum_k v_k = 0 with an offset), and
// D(t v) = sum_k s_k (-l*(-t v_k / s_k)) is a lower bound of the optimum. Every gap the solvers
// report (solve/gap_record.hpp) is computed from these functions.
//
// With K outputs a fit has n K entries, those of the first output before those of the second, and
// an offset for each output. The loss is a sum over all of them, but for the cross entropy: that is
// the Poisson loss with an offset for each sample, log sum exp f = min_b sum exp(f + b) - b - 1.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <span>
#include <vector>

#include "convexnn/base/simd.hpp"
#include "convexnn/base/views.hpp"
#include "convexnn/program/free_part.hpp"
#include "convexnn/program/loss.hpp"

namespace convexnn {

// The data term as a function of the fit f of the blocks alone,
//
//   L(f) = min_b sum_k s_k l(f_k + b, y_k),       b = 0 without an offset,
//
// which is as smooth as the loss: its gradient is that of the loss at the best b. b may also be a
// combination Z c of the columns of a matrix (`skip`), one for each output.
template <typename Loss>
class DataTerm {
public:
    DataTerm(const Samples& samples, const Loss& loss, bool has_offset, std::size_t outputs = 1,
             MatrixView<const double> skip = {})
        : loss_(loss),
          free_(samples, loss, has_offset, outputs, skip),
          samples_(free_.samples()),
          shift_(free_.shift()) {}

    const Loss& loss() const { return loss_; }
    const FreeColumns& free_columns() const { return free_.columns(); }
    // Whether anything beside the blocks follows them, and whether that is an offset alone.
    bool has_free_part() const { return !free_.empty(); }
    bool one_offset() const { return free_.one_offset(); }
    double total_weight(std::size_t output) const { return free_.total_weight(output); }
    // The free part of the fit that the last call found best, but for constants of the rows.
    std::vector<double> free_part() const {
        std::vector<double> all(shift_.size());
        free_part(all);
        return all;
    }
    void free_part(std::span<double> out) const { free_.write(out); }

    double value(std::span<const double> f) {
        free_.fit(f);
        double sum = 0.0;
        for (std::size_t k = 0; k < f.size(); ++k) {
            sum += samples_.s[k] * loss_.value(f[k] + shift_[k], samples_.y[k]);
        }
        return sum;
    }

    // v_k = -s_k l'(f_k + b, y_k)
    void negative_gradient(std::span<const double> f, std::span<double> v) {
        free_.fit(f);
        for (std::size_t k = 0; k < f.size(); ++k) {
            v[k] = -samples_.s[k] * loss_.slope(f[k] + shift_[k], samples_.y[k]);
        }
        free_.balance(v);
    }

    // h_k = s_k l''(f_k + b, y_k)
    void curvature(std::span<const double> f, std::span<double> h) {
        free_.fit(f);
        for (std::size_t k = 0; k < f.size(); ++k) {
            h[k] = samples_.s[k] * loss_.curvature(f[k] + shift_[k], samples_.y[k]);
        }
    }

    // The same of a parabola that touches L at f and is nowhere below it.
    void majorant(std::span<const double> f, std::span<double> h) {
        free_.fit(f);
        for (std::size_t k = 0; k < f.size(); ++k) {
            h[k] = samples_.s[k] * loss_.majorant(f[k] + shift_[k], samples_.y[k]);
        }
    }

    // At least 2 (L(f + t) - L(f) - L'(f) t) for a change t of the fit, to rounding.
    double curvature_along(std::span<const double> f, std::span<const double> t) {
        if constexpr (Loss::kCurvature < std::numeric_limits<double>::infinity()) {
            return Loss::kCurvature * simd::weighted_square(samples_.s.data(), t.data(), t.size());
        } else {
            free_.fit(f);
            double sum = 0.0;
            for (std::size_t k = 0; k < t.size(); ++k) {
                sum += samples_.s[k] * loss_.excess(f[k] + shift_[k], t[k]);
            }
            return 2.0 * sum;
        }
    }

    // The slope between f and the fit whose negative gradient is a (in the dual's domain), where
    // they differ: h_k (f*_k - f_k - b) = v_k - a_k; elsewhere the curvature at f.
    void secant(std::span<const double> f, std::span<const double> a, std::span<double> h) {
        free_.fit(f);
        for (std::size_t k = 0; k < f.size(); ++k) {
            const double s = samples_.s[k];
            const double y = samples_.y[k];
            const double at = f[k] + shift_[k];
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
    void clip(std::span<double> v) {
        for (std::size_t k = 0; k < v.size(); ++k) {
            const double s = samples_.s[k];
            v[k] = s > 0.0 ? s * loss_.clip(v[k] / s, samples_.y[k]) : 0.0;
        }
        free_.balance(v);
    }

    // Whether v is orthogonal to the free part as far as a dual point must be.
    bool balanced(std::span<const double> v) const { return free_.balanced(v); }

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
    Loss loss_;
    FreePart<Loss> free_;
    const Samples samples_;                // as free_ has them
    const std::span<const double> shift_;  // of the last fit
};

}  // namespace convexnn
