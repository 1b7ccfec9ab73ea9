// Numbers of twice the precision: the unevaluated sum hi + lo, |lo| <= ulp(hi) / 2.
//
// Relative error of a sum, product or quotient about 2^-104. std::fma gives the same bits with or
// without hardware support; built without contraction, so no other product is ever fused.
#pragma once

#include <cmath>

#include "convexnn/base/simd.hpp"

namespace convexnn {

struct DoubleDouble {
    double hi = 0.0;
    double lo = 0.0;

    DoubleDouble() = default;
    DoubleDouble(double value) : hi(value) {}  // NOLINT: every double is one
    DoubleDouble(double hi_, double lo_) : hi(hi_), lo(lo_) {}
};

// a + b exactly.
inline DoubleDouble two_sum(double a, double b) {
    const double s = a + b;
    const double t = s - a;
    return {s, (a - (s - t)) + (b - t)};
}

// a + b exactly, for |a| >= |b| or a = 0.
inline DoubleDouble quick_two_sum(double a, double b) {
    const double s = a + b;
    return {s, b - (s - a)};
}

// a * b exactly (no underflow).
inline DoubleDouble two_product(double a, double b) {
    const double p = a * b;
    return {p, std::fma(a, b, -p)};
}

inline DoubleDouble operator-(DoubleDouble a) { return {-a.hi, -a.lo}; }

inline DoubleDouble operator+(DoubleDouble a, DoubleDouble b) {
    DoubleDouble s = two_sum(a.hi, b.hi);
    const DoubleDouble t = two_sum(a.lo, b.lo);
    s = quick_two_sum(s.hi, s.lo + t.hi);
    return quick_two_sum(s.hi, s.lo + t.lo);
}

inline DoubleDouble operator-(DoubleDouble a, DoubleDouble b) { return a + (-b); }

inline DoubleDouble operator*(DoubleDouble a, DoubleDouble b) {
    const DoubleDouble p = two_product(a.hi, b.hi);
    return quick_two_sum(p.hi, p.lo + (a.hi * b.lo + a.lo * b.hi));
}

inline DoubleDouble operator/(DoubleDouble a, DoubleDouble b) {
    const double first = a.hi / b.hi;
    const DoubleDouble rest = a - b * first;
    const double second = rest.hi / b.hi;
    const DoubleDouble last = rest - b * second;
    return quick_two_sum(first, second) + DoubleDouble(last.hi / b.hi);
}

inline DoubleDouble scale_by_power(DoubleDouble a, int exponent) {
    return {std::ldexp(a.hi, exponent), std::ldexp(a.lo, exponent)};
}

}  // namespace convexnn
