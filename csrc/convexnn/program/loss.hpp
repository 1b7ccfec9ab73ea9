// The losses sum_k s_k l(f_k, y_k), each as one small struct of functions of one sample.
//
//   value(f, y)      l
//   slope(f, y)      dl/df
//   curvature(f, y)  d2l/df2
//   dual(p, y)       -l*(-p); only asked for p = -slope scaled by a factor in [0, 1]
//   kCurvature       an upper bound of d2l/df2
//   kLinearSlope     whether dl/df = f - y, so that v = -s (f - y) follows f by s times its change
//   kScaleBeyondOne  whether the dual's domain is the whole line, so that v may be scaled up too
//
// The Python reference (pyconvexnn/losses.py) holds the same formulas and shares no code.
#pragma once

#include <cmath>

namespace convexnn {

enum class LossKind : int { squared = 0, logistic = 1 };

struct SquaredLoss {
    static constexpr double kCurvature = 1.0;
    static constexpr bool kLinearSlope = true;
    static constexpr bool kScaleBeyondOne = true;
    static double value(double f, double y) { return 0.5 * (f - y) * (f - y); }
    static double slope(double f, double y) { return f - y; }
    static double curvature(double /*f*/, double /*y*/) { return 1.0; }
    static double dual(double p, double y) { return p * y - 0.5 * p * p; }
};

// y in {-1, +1}
struct LogisticLoss {
    static constexpr double kCurvature = 0.25;
    static constexpr bool kLinearSlope = false;
    static constexpr bool kScaleBeyondOne = false;
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
    static double dual(double p, double y) {
        const double q = y * p < 1.0 ? y * p : 1.0;
        // log1p: 1 - q is not exact where q is tiny, and D is a sum of such terms there.
        const double rest = q < 1.0 ? (1.0 - q) * std::log1p(-q) : 0.0;
        return -((q > 0.0 ? q * std::log(q) : 0.0) + rest);
    }
};

}  // namespace convexnn
