// The free part of a fit, b = E c (free_columns.hpp), at its best for a loss:
//
//   min_c sum_k s_k l((f + E c)_k, y_k),       E = 1 for each output where there is just an offset,
//
// by Newton's method, from where it was for the last f. Its optimality is what the dual asks for:
// v = -loss gradient is orthogonal to E. `balance` makes other points so.
//
// A loss that depends on f - y alone is given the targets less what the free part has of them, so
// that f + b - y and v^T y do not cancel where all targets are large.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <functional>
#include <limits>
#include <span>
#include <vector>

#include "convexnn/base/views.hpp"
#include "convexnn/program/free_columns.hpp"
#include "convexnn/program/loss.hpp"

namespace convexnn {

// Targets y and weights s >= 0 of the n samples; with K outputs, of the n K entries of a fit.
struct Samples {
    std::span<const double> y;
    std::span<const double> s;
};

template <typename Loss>
class FreePart {
public:
    // A constant for each output, the columns of `skip` for each, and constants of the samples if
    // the loss has them.
    FreePart(const Samples& samples, const Loss& loss, bool has_offset, std::size_t outputs,
             MatrixView<const double> skip)
        : samples_(samples),
          loss_(loss),
          one_offset_(has_offset && skip.columns == 0 && !Loss::kRowOffsets),
          n_(samples.s.size() / outputs),
          columns_(n_, outputs, has_offset, skip, Loss::kRowOffsets),
          columns_of_one_(n_, 1, has_offset, skip, false),
          shift_(samples.s.size(), 0.0),
          outputs_(outputs) {
        if (!one_offset_ && !columns_.empty()) {
            for (std::vector<double>* each : {&combination_, &g_, &h_}) {
                each->resize(samples.s.size());
            }
            for (std::vector<double>* each : {&coefficients_, &last_, &change_}) {
                each->resize(columns_.count());
            }
        }
        if (Loss::kShifts && columns_.width() > 0) {
            centred_.assign(samples.y.begin(), samples.y.end());
            samples_.y = centred_;
            if (!one_offset_) {  // less their projection on the free columns
                columns_.project(centred_);
                projected_.resize(centred_.size());
                std::ranges::transform(samples.y, centred_, projected_.begin(), std::minus<>());
            }
        }
        for (std::size_t j = 0; j < outputs; ++j) {
            Output& output = outputs_[j];
            const std::span<const double> y = samples.y.subspan(j * n_, n_);
            const std::span<const double> s = samples.s.subspan(j * n_, n_);
            TargetSums sums;
            for (std::size_t k = 0; k < n_; ++k) {
                (y[k] > 0.0 ? sums.above : sums.below) += s[k];
            }
            output.total_weight = sums.above + sums.below;
            for (std::size_t k = 0; k < n_; ++k) {
                sums.mean += s[k] / output.total_weight * y[k];
            }
            output.level = Loss::level(sums);
            if (one_offset_ && Loss::kShifts) {
                output.centre = sums.mean;
                std::ranges::transform(y, centred_.begin() + static_cast<std::ptrdiff_t>(j * n_),
                                       [&](double target) { return target - sums.mean; });
            }
        }
    }
    FreePart(const FreePart&) = delete;  // samples_ may view centred_
    FreePart& operator=(const FreePart&) = delete;

    // The samples with the targets that fits are compared to, valid as long as this object.
    const Samples& samples() const { return samples_; }
    const FreeColumns& columns() const { return columns_; }
    double total_weight(std::size_t output) const { return outputs_[output].total_weight; }
    bool empty() const { return columns_.empty(); }
    // Whether an offset for each output is all there is.
    bool one_offset() const { return one_offset_; }

    // What the last `fit` found, n K entries to be added to f, next to samples().
    std::span<const double> shift() const { return shift_; }
    // The same next to the targets themselves, but for constants of the samples.
    void write(std::span<double> out) const {
        for (std::size_t k = 0; k < out.size(); ++k) {
            const double fitted = one_offset_            ? shift_[k]
                                  : combination_.empty() ? 0.0
                                                         : combination_[k];
            const double taken = projected_.empty() ? outputs_[k / n_].centre : projected_[k];
            out[k] = fitted + taken;
        }
    }

    // shift() at the best free part of f.
    void fit(std::span<const double> f) {
        if (one_offset_) {
            for (std::size_t j = 0; j < outputs_.size(); ++j) {
                find_offset(j, f.subspan(j * n_, n_));
                std::fill_n(shift_.begin() + static_cast<std::ptrdiff_t>(j * n_), n_,
                            outputs_[j].offset);
            }
        } else if (!columns_.empty()) {
            fit_columns(f);
        }
    }

    // Makes v orthogonal to the free part, to rounding, which the dual asks for, within the dual's
    // domain: with an offset by shrinking the positive or the negative entries of each output, else
    // by fitting the free part to the fit that v belongs to.
    void balance(std::span<double> v) {
        if (one_offset_) {
            for (std::size_t j = 0; j < outputs_.size(); ++j) {
                balance_output(v.subspan(j * n_, n_));
            }
        } else if (!columns_.empty()) {
            balance_columns(v);
        }
    }

    // Whether v is orthogonal to the free part as far as a dual point must be.
    bool balanced(std::span<const double> v) const {
        return one_offset_ || columns_.imbalance(v) <= kBalanced;
    }

private:
    struct Output {
        double total_weight = 0.0;
        double level = 0.0;
        double centre = 0.0;  // of the targets
        double offset = 0.0;  // less centre
        // Loss at the last fit of free columns, of all outputs in the first where rows are free.
        double value = std::numeric_limits<double>::infinity();
    };

    // shift_ = combination_ and the best constants of the rows, -log sum exp, for the entries of f,
    // `first` on. Returns their loss.
    double settle(std::size_t first, std::span<const double> f) {
        const std::span<const double> combination(combination_.data() + first, f.size());
        const std::span<double> shift(shift_.data() + first, f.size());
        std::ranges::copy(combination, shift.begin());
        if constexpr (Loss::kRowOffsets) {
            for (std::size_t k = 0; k < n_; ++k) {
                double largest = -std::numeric_limits<double>::infinity();
                for (std::size_t i = k; i < f.size(); i += n_) {
                    largest = std::max(largest, f[i] + combination[i]);
                }
                double sum = 0.0;
                for (std::size_t i = k; i < f.size(); i += n_) {
                    sum += std::exp(f[i] + combination[i] - largest);
                }
                for (std::size_t i = k; i < f.size(); i += n_) {
                    shift[i] -= largest + std::log(sum);
                }
            }
        }
        double value = 0.0;
        for (std::size_t k = 0; k < f.size(); ++k) {
            value += samples_.s[first + k] * loss_.value(f[k] + shift[k], samples_.y[first + k]);
        }
        return value;
    }

    // The outputs have each their own columns; constants of the rows join them.
    void fit_columns(std::span<const double> f) {
        if (Loss::kRowOffsets) {
            fit_columns(columns_, coefficients_, 0, f);
            return;
        }
        for (std::size_t j = 0; j < outputs_.size(); ++j) {
            const std::size_t width = columns_.width();
            fit_columns(columns_of_one_, std::span(coefficients_).subspan(j * width, width), j * n_,
                        f.subspan(j * n_, n_));
        }
    }

    // Newton's method in the coefficients of free columns, from the last ones, until -g, the
    // gradient, is orthogonal to them to rounding, or comes no nearer; as much of a parabola above
    // the loss is added to its curvature as makes a step worth while (Levenberg, Marquardt). The
    // fit is always that of the coefficients, which never become so large that rounding of it is
    // what lowers the loss.
    void fit_columns(FreeColumns& columns, std::span<double> coefficients, std::size_t first,
                     std::span<const double> f) {
        constexpr int kRounds = 300;
        constexpr double kRounding = std::numeric_limits<double>::epsilon();
        const std::size_t size = f.size();
        const std::span<double> combination(combination_.data() + first, size);
        const std::span<const double> shift(shift_.data() + first, size);
        const std::span<double> g(g_.data(), size), h(h_.data(), size);
        const std::span<double> change(change_.data(), coefficients.size());
        const std::span<double> last(last_.data(), coefficients.size());
        const std::span<const double> s = samples_.s.subspan(first, size);
        const std::span<const double> y = samples_.y.subspan(first, size);
        double value = settle(first, f);
        double& known = outputs_[first / n_].value;
        if (!std::isfinite(value) || value > kFarOff * known) {  // zero may be nearer
            std::ranges::copy(coefficients, last.begin());
            std::ranges::fill(coefficients, 0.0);
            std::ranges::fill(combination, 0.0);
            const double at_zero = settle(first, f);
            if (at_zero > value) {
                std::ranges::copy(last, coefficients.begin());
                columns.combine(coefficients, combination);
                settle(first, f);
            } else {
                value = at_zero;
            }
        }
        double scale = Loss::kShifts ? 0.0 : 1.0;  // of the fits that matter
        for (std::size_t k = 0; k < size; ++k) {
            scale = std::max({scale, std::abs(f[k]), std::abs(y[k])});
        }
        // Whether a step was taken; none that changes nothing is, nor a short one that is not the
        // parabola's own.
        const auto move = [&](double damping) {
            // With some of the parabola, columns that depend on others do so on all rows that
            // count.
            if (!columns.set(h) && damping == 0.0) {
                return false;
            }
            const double shortest = damping < 1.0 ? 0.2 : 1e-8;
            const double fall = columns.step(g, change);
            double largest = 0.0;
            for (std::size_t k = 0; k < size; ++k) {
                largest = std::max(largest, std::abs(f[k] + combination[k]));
            }
            const double moves = largest_of(change);
            const double length = largest_of(coefficients);
            if (!(moves > 4.0 * kRounding * largest) || !std::isfinite(moves) ||
                (moves > kNoise * (scale + length) && fall < kRounding * std::abs(value))) {
                return false;
            }
            std::ranges::copy(coefficients, last.begin());
            const double whole = std::min(1.0, kLongest * (scale + length) / moves);
            for (double t = whole; t >= shortest * whole; t *= 0.5) {
                for (std::size_t j = 0; j < change.size(); ++j) {
                    coefficients[j] = last[j] + t * change[j];
                }
                columns.combine(coefficients, combination);
                const double next = settle(first, f);
                if (next <= value - 1e-4 * t * fall + 1e-14 * std::abs(value)) {
                    value = next;
                    return true;
                }
            }
            std::ranges::copy(last, coefficients.begin());
            columns.combine(coefficients, combination);
            settle(first, f);
            return false;
        };
        double best = std::numeric_limits<double>::infinity();
        for (int round = 0; round < kRounds && columns.count() > 0; ++round) {
            for (std::size_t k = 0; k < size; ++k) {
                const double at = f[k] + shift[k];
                g[k] = -s[k] * loss_.slope(at, y[k]);
                h[k] = s[k] * loss_.curvature(at, y[k]);
            }
            known = value;
            const double imbalance = columns.imbalance(g);
            if (!(imbalance > 4.0 * kRounding) || (imbalance < 1e-10 && imbalance > 0.5 * best)) {
                return;
            }
            best = std::min(best, imbalance);
            bool moved = false;
            for (const double damping : kDampings) {
                for (std::size_t k = 0; k < size && damping > 0.0; ++k) {
                    const double at = f[k] + shift[k];
                    h[k] = s[k] * (loss_.curvature(at, y[k]) + damping * loss_.majorant(at, y[k]));
                }
                moved = move(damping);
                if (moved) {
                    break;
                }
            }
            if (!moved) {
                return;
            }
        }
        known = value;
    }

    void balance_columns(std::span<double> v) {
        if (columns_.count() == 0) {  // y - v / s is a distribution in each row
            for (std::size_t k = 0; k < n_; ++k) {
                double sum = 0.0;
                for (std::size_t i = k; i < v.size(); i += n_) {
                    sum += samples_.s[i] > 0.0 ? samples_.y[i] - v[i] / samples_.s[i] : 0.0;
                }
                for (std::size_t i = k; i < v.size() && sum > 0.0; i += n_) {
                    const double s = samples_.s[i];
                    // From y where v is tiny next to it: nothing cancels.
                    v[i] = s > 0.0 ? (v[i] + s * samples_.y[i] * (sum - 1.0)) / sum : 0.0;
                }
            }
            return;
        }
        if (!Loss::kRowOffsets && (columns_.imbalance(v) <= kExact || corrected(v))) {
            return;
        }
        std::vector<double> fit(v.size());
        for (std::size_t k = 0; k < v.size(); ++k) {
            const double s = samples_.s[k];
            fit[k] = s > 0.0 ? loss_.fit(v[k] / s, samples_.y[k]) : 0.0;
        }
        // From no combination: the one of the iterate stays.
        const std::vector<double> kept_combination = combination_;
        const std::vector<double> kept_coefficients = coefficients_;
        const std::vector<double> kept_shift = shift_;
        std::ranges::fill(combination_, 0.0);
        std::ranges::fill(coefficients_, 0.0);
        fit_columns(fit);
        for (std::size_t k = 0; k < v.size(); ++k) {
            v[k] = -samples_.s[k] * loss_.slope(fit[k] + shift_[k], samples_.y[k]);
        }
        // What is left of an output whose loss vanishes is rounding; zero is in every domain.
        for (std::size_t j = 0; j < outputs_.size() && !Loss::kRowOffsets; ++j) {
            if (columns_.imbalance(v, j) > kBalanced) {
                std::ranges::fill(v.subspan(j * n_, n_), 0.0);
            }
        }
        std::ranges::copy(kept_combination, combination_.begin());
        std::ranges::copy(kept_coefficients, coefficients_.begin());
        std::ranges::copy(kept_shift, shift_.begin());
    }

    // Whether one step, on the rows of a curvature, made v orthogonal to the free part: enough for
    // a gradient that is so but for rounding. Otherwise v is as it was.
    bool corrected(std::span<double> v) {
        if (columns_.imbalance(v) > kNearlyBalanced) {
            return false;
        }
        const std::vector<double> before(v.begin(), v.end());
        for (std::size_t k = 0; k < v.size(); ++k) {
            const double s = samples_.s[k];
            const double y = samples_.y[k];
            h_[k] = v[k] != 0.0 ? s * loss_.curvature(loss_.fit(v[k] / s, y), y) : 0.0;
        }
        columns_.set(h_);
        columns_.step(v, change_);
        columns_.combine(change_, g_);
        bool inside = true;
        for (std::size_t k = 0; k < v.size() && inside; ++k) {
            if (h_[k] > 0.0) {
                v[k] -= h_[k] * g_[k];
                const double slope = v[k] / samples_.s[k];
                inside = loss_.clip(slope, samples_.y[k]) == slope;
            }
        }
        if (inside && columns_.imbalance(v) <= kBalanced) {
            return true;
        }
        std::ranges::copy(before, v.begin());
        return false;
    }

    // Newton's method in b from the last offset, kept between points where the slope changes sign.
    // Ends where the slope is zero to the rounding of its own sum or of f + b.
    void find_offset(std::size_t j, std::span<const double> f) {
        constexpr int kRounds = 300;
        constexpr double kRounding = std::numeric_limits<double>::epsilon();
        const std::span<const double> targets = samples_.y.subspan(j * n_, n_);
        const std::span<const double> weights = samples_.s.subspan(j * n_, n_);
        double& offset = outputs_[j].offset;
        double low = std::numeric_limits<double>::infinity();
        double high = -low;
        for (std::size_t k = 0; k < n_; ++k) {
            if (weights[k] > 0.0) {
                const double b = loss_.settled(targets[k], outputs_[j].level) - f[k];
                low = std::min(low, b);
                high = std::max(high, b);
            }
        }
        if (!std::isfinite(low) || !std::isfinite(high)) {
            return;
        }
        offset = std::clamp(offset, low, high);
        double last_slope = std::numeric_limits<double>::infinity();
        for (int round = 0; round < kRounds; ++round) {
            double slope = 0.0;
            double size = 0.0;
            double curvature = 0.0;
            double largest = 0.0;
            for (std::size_t k = 0; k < n_; ++k) {
                const double at = f[k] + offset;
                const double part = weights[k] * loss_.slope(at, targets[k]);
                slope += part;
                size += std::abs(part);
                curvature += weights[k] * loss_.curvature(at, targets[k]);
                largest = std::max(largest, std::abs(at));
            }
            if (!(std::abs(slope) > 4.0 * kRounding * size)) {
                return;
            }
            (slope > 0.0 ? high : low) = offset;
            const double newton = curvature > 0.0 ? offset - slope / curvature : high;
            // Where the slope hardly fell, Newton's steps overshoot.
            const bool trusted =
                newton > low && newton < high && std::abs(slope) <= 0.5 * last_slope;
            const bool small = std::abs(newton - offset) <= kRounding * largest;
            if (curvature > 0.0 && small) {
                offset = std::clamp(newton, low, high);
                return;
            }
            const double next = trusted ? newton : 0.5 * low + 0.5 * high;
            if (next == offset) {
                return;
            }
            last_slope = std::abs(slope);
            offset = next;
        }
    }

    static void balance_output(std::span<double> v) {
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

    static double largest_of(std::span<const double> a) {
        double largest = 0.0;
        for (const double x : a) {
            largest = std::max(largest, std::abs(x));
        }
        return largest;
    }

    static constexpr double kFarOff = 4.0;   // times the last loss: no fit next to the last one
    static constexpr double kLongest = 1e3;  // of a step, over the sizes of fit and targets
    static constexpr double kNoise = 1.0;    // likewise: a step that long lowers the loss, or errs
    static constexpr double kDampings[] = {0.0, 1e-6, 1e-4, 1e-2, 0.1, 1.0};  // of the parabola
    static constexpr double kExact = 1e-14;
    static constexpr double kBalanced = 1e-13;
    static constexpr double kNearlyBalanced = 1e-8;

    Samples samples_;
    Loss loss_;
    bool one_offset_;
    std::size_t n_;
    FreeColumns columns_, columns_of_one_;  // of all outputs, and of any one
    std::vector<double> shift_;             // of every entry of the fit
    std::vector<double> coefficients_;      // of the columns, output by output,
    std::vector<double> combination_;       // and the fit that they make
    std::vector<double> last_, g_, h_, change_;
    std::vector<double> centred_, projected_;  // targets less their output's centre, or less these
    std::vector<Output> outputs_;
};

}  // namespace convexnn
