// The losses sum_k s_k l(f_k, y_k), each as one small struct of functions of one sample.
//
//   value(f, y)      l
//   slope(f, y)      dl/df
//   curvature(f, y)  d2l/df2 (from one side where it jumps)
//   majorant(f, y)   curvature of a parabola that touches l at f and is nowhere below it (Poisson:
//                    not below it between f and the best fit, log y)
//   fit(p, y)        an f with -dl/df = p, for p inside of the dual's domain; any one at its ends
//   dual(p, y)       -l*(-p); only asked for p = -slope scaled by a factor >= 0 that `reach` allows
//   clip(p, y)       the p of the dual's domain next to p
//   reach()          the largest |p| of the dual's domain; infinite where there is none
//   level(sums)      what all targets and weights say, for `settled`
//   settled(y, l)    the c for which sum_k s_k l(f_k + b, y_k) rises in b once all f_k + b >= c_k,
//                    and falls while all f_k + b <= c_k; l = level(...)
//   kCurvature       an upper bound of d2l/df2; infinite where there is none, and then
//                    excess(f, t) = l(f + t) - l(f) - t dl/df
//   kLinearTails     whether l is linear, its curvature zero, where the fit is far from y
//   kLinearSlope     whether dl/df = f - y, so that v = -s (f - y) follows f by s times its change
//   kShifts          whether l depends on f - y alone
//   kQuadraticDual   whether dual(p, y) = p y - p^2 / 2 on its domain
//   kRowOffsets      whether a constant over all outputs of a sample is free
//
// The Python reference (pyconvexnn/losses/) holds the same formulas and shares no code.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>

namespace convexnn {

enum class LossKind : int {
    squared = 0,
    logistic = 1,
    huber = 2,
    squared_hinge = 3,
    poisson = 4,
    hinge = 5,  // (1 - y f)_+, which the solvers meet as a sequence of (solve/hinge.hpp)
    cross_entropy = 6,
    huberized_hinge = 7,  // the former, of targets of any size; of no public name
};
inline constexpr int kLossKinds = 7;  // of public names

// Of the samples of positive weight: the weights where y > 0 and elsewhere, and the mean of y.
struct TargetSums {
    double above = 0.0;
    double below = 0.0;
    double mean = 0.0;
};

// What holds for a loss that does not say otherwise.
struct PlainLoss {
    static constexpr bool kLinearTails = false;
    static constexpr bool kLinearSlope = false;
    static constexpr bool kShifts = false;
    static constexpr bool kQuadraticDual = false;
    static constexpr bool kRowOffsets = false;
    static double reach() { return std::numeric_limits<double>::infinity(); }
};

// Losses that are (f - y)^2 / 2 wherever -slope is inside of the dual's domain, and a line where it
// is at one of its ends.
struct PartlySquaredLoss : PlainLoss {
    static constexpr double kCurvature = 1.0;
    static constexpr bool kQuadraticDual = true;
    static double majorant(double /*f*/, double /*y*/) { return 1.0; }
    static double fit(double p, double y) { return y - p; }
    static double dual(double p, double y) { return p * y - 0.5 * p * p; }
    static double level(const TargetSums& /*sums*/) { return 0.0; }
    static double settled(double y, double /*level*/) { return y; }
};

struct SquaredLoss : PartlySquaredLoss {
    static constexpr bool kLinearSlope = true;
    static constexpr bool kShifts = true;
    static double value(double f, double y) { return 0.5 * (f - y) * (f - y); }
    static double slope(double f, double y) { return f - y; }
    static double curvature(double /*f*/, double /*y*/) { return 1.0; }
    static double clip(double p, double /*y*/) { return p; }
};

// y in {-1, +1}
struct LogisticLoss : PlainLoss {
    static constexpr double kCurvature = 0.25;
    static double value(double f, double y) {
        const double margin = y * f;
        const double tail = std::log1p(std::exp(-std::abs(margin)));
        return margin >= 0 ? tail : tail - margin;
    }
    static double slope(double f, double y) {
        const double margin = y * f;
        const double small = std::exp(-std::abs(margin));  // never overflows
        return -y * (margin >= 0 ? small : 1.0) / (1.0 + small);
    }
    static double curvature(double f, double /*y*/) {
        const double small = std::exp(-std::abs(f));
        return small / ((1.0 + small) * (1.0 + small));
    }
    // tanh(f / 2) / (2 f), Jaakkola and Jordan (2000)
    static double majorant(double f, double /*y*/) {
        const double size = std::abs(f);
        return size < 1e-4 ? 0.25 : std::tanh(0.5 * size) / (2.0 * size);
    }
    static double fit(double p, double y) {
        const double q = std::clamp(y * p, 1e-300, 1.0 - 0x1p-53);
        return y * (std::log1p(-q) - std::log(q));
    }
    static double dual(double p, double y) {
        const double q = y * p < 1.0 ? y * p : 1.0;
        // log1p: 1 - q is not exact where q is tiny, and D is a sum of such terms there.
        const double rest = q < 1.0 ? (1.0 - q) * std::log1p(-q) : 0.0;
        return -((q > 0.0 ? q * std::log(q) : 0.0) + rest);
    }
    static double clip(double p, double y) { return y * std::clamp(y * p, 0.0, 1.0); }
    static double reach() { return 1.0; }
    static double level(const TargetSums& sums) {
        return std::log(sums.above) - std::log(sums.below);
    }
    static double settled(double /*y*/, double level) { return level; }
};

// r^2 / 2 for |r| <= delta, else delta |r| - delta^2 / 2, r = f - y
struct HuberLoss : PartlySquaredLoss {
    static constexpr bool kLinearTails = true;
    static constexpr bool kShifts = true;
    double delta;
    explicit HuberLoss(double delta_) : delta(delta_) {}

    double value(double f, double y) const {
        const double r = std::abs(f - y);
        return r <= delta ? 0.5 * r * r : delta * (r - 0.5 * delta);
    }
    double slope(double f, double y) const {
        const double r = f - y;
        return r > delta ? delta : (r < -delta ? -delta : r);
    }
    double curvature(double f, double y) const { return std::abs(f - y) <= delta ? 1.0 : 0.0; }
    double majorant(double f, double y) const { return std::min(1.0, delta / std::abs(f - y)); }
    double clip(double p, double /*y*/) const { return std::clamp(p, -delta, delta); }
    double reach() const { return delta; }
};

// (1 - y f)_+^2 / 2, y in {-1, +1}
struct SquaredHingeLoss : PartlySquaredLoss {
    static double value(double f, double y) {
        const double short_of = 1.0 - y * f;
        return short_of > 0.0 ? 0.5 * short_of * short_of : 0.0;
    }
    static double slope(double f, double y) {
        const double short_of = 1.0 - y * f;
        return short_of > 0.0 ? -y * short_of : 0.0;
    }
    static double curvature(double f, double y) { return y * f < 1.0 ? 1.0 : 0.0; }
    static double clip(double p, double y) { return y * p > 0.0 ? p : 0.0; }
};

// Of the shortfall r = |y| - sign(y) f:  0 for r <= 0, r^2 / 2 for r <= 1, else r - 1/2. It is half
// of Huber's loss and half of a line, both in r - 1/2.
struct HuberizedHingeLoss : PartlySquaredLoss {
    static constexpr bool kLinearTails = true;
    static double shortfall(double f, double y) { return y > 0.0 ? y - f : f - y; }
    static double value(double f, double y) {
        const double r = shortfall(f, y);
        return r > 1.0 ? r - 0.5 : (r > 0.0 ? 0.5 * r * r : 0.0);
    }
    static double slope(double f, double y) {
        const double part = std::clamp(shortfall(f, y), 0.0, 1.0);
        return y > 0.0 ? -part : part;
    }
    static double curvature(double f, double y) {
        const double r = shortfall(f, y);
        return r > 0.0 && r < 1.0 ? 1.0 : 0.0;
    }
    static double majorant(double f, double y) {
        return std::min(1.0, 0.5 / std::abs(shortfall(f, y) - 0.5));
    }
    static double clip(double p, double y) {
        return y > 0.0 ? std::clamp(p, 0.0, 1.0) : std::clamp(p, -1.0, 0.0);
    }
    static double reach() { return 1.0; }
};

// exp(f) - y f + y log y - y, y >= 0
struct PoissonLoss : PlainLoss {
    static constexpr double kCurvature = std::numeric_limits<double>::infinity();
    // How far f is from the best fit, log y; 0 where y = 0 has none.
    static double distance(double f, double y) { return y > 0.0 ? f - std::log(y) : 0.0; }
    // Near the best fit exp(f) - y (1 + r) and exp(f) - y, r = f - log y, would be small
    // differences of terms as large as y; with expm1(r) no term is larger than about y |r|.
    static bool is_near(double r, double y) { return y > 0.0 && std::abs(r) < 1.0; }
    static double value(double f, double y) {
        const double r = distance(f, y);
        return is_near(r, y) ? y * (std::expm1(r) - r) : std::exp(f) - y * (1.0 + r);
    }
    static double slope(double f, double y) {
        const double r = distance(f, y);
        return is_near(r, y) ? y * std::expm1(r) : std::exp(f) - y;
    }
    static double curvature(double f, double /*y*/) { return std::exp(f); }
    // Below log y the mean curvature on the way there: Newton's steps would be far too long.
    static double majorant(double f, double y) {
        const double r = distance(f, y);
        return r < -1e-8 ? y * (std::expm1(r) / r) : std::exp(f);
    }
    static double excess(double f, double t) {
        const bool tiny = std::abs(t) < 1e-4;  // where expm1(t) - t would cancel
        return std::exp(f) *
               (tiny ? t * t * (0.5 + t * (1.0 / 6.0 + t / 24.0)) : std::expm1(t) - t);
    }
    static double fit(double p, double y) { return std::log(std::max(y - p, 1e-300)); }
    static double dual(double p, double y) {
        const double q = std::max(y - p, 0.0);
        if (std::abs(p) < y) {  // in p, as sums of small terms
            return p * (std::log(y) - 1.0) - q * std::log1p(-p / y);
        }
        return q - (q > 0.0 ? q * std::log(q) : 0.0) + (y > 0.0 ? y * std::log(y) : 0.0) - y;
    }
    static double clip(double p, double y) { return std::min(p, y); }
    static double level(const TargetSums& sums) { return std::log(sums.mean); }
    static double settled(double /*y*/, double level) { return level; }
};

// log sum_j exp(f_j) - f_y over the outputs j, y of 0 and 1: with an offset for each sample the
// Poisson loss is that. p = softmax f is at most 1, and its Hessian, diag(p) - p p^T, at most 1/2.
struct CrossEntropyLoss : PoissonLoss {
    static constexpr double kCurvature = 0.5;
    static constexpr bool kRowOffsets = true;
    static double majorant(double /*f*/, double /*y*/) { return 0.5; }
    static double clip(double p, double y) { return std::clamp(p, y - 1.0, y); }
};

// Length of a probe of second derivatives: of those at the fit, where they have no bound.
template <typename Loss>
inline constexpr double kProbeLength =
    Loss::kCurvature < std::numeric_limits<double>::infinity() ? 1.0 : 1e-6;

// body(loss) for the loss of that kind; `parameter` is Huber's delta.
template <typename Body>
auto with_loss(LossKind kind, double parameter, const Body& body) {
    switch (kind) {
        case LossKind::logistic:
            return body(LogisticLoss{});
        case LossKind::huber:
            return body(HuberLoss{parameter});
        case LossKind::squared_hinge:
            return body(SquaredHingeLoss{});
        case LossKind::poisson:
            return body(PoissonLoss{});
        case LossKind::cross_entropy:
            return body(CrossEntropyLoss{});
        case LossKind::hinge:  // is not met here
        case LossKind::huberized_hinge:
            return body(HuberizedHingeLoss{});
        case LossKind::squared:
            break;
    }
    return body(SquaredLoss{});
}

}  // namespace convexnn
