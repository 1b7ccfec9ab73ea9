// Exact sums and products of doubles: the last resort of sign decisions.
#pragma once

#include <bit>
#include <cmath>
#include <cstddef>
#include <span>
#include <utility>
#include <vector>

#include "convexnn/arrangement/double_double.hpp"

namespace convexnn {

// A number as the exact sum of doubles of rising size that do not overlap (Shewchuk 1997). Exact as
// long as no product is so small that its rounding error vanishes, or too large for a double: then
// `exact` turns false.
class Expansion {
public:
    Expansion() = default;
    explicit Expansion(double value) { add(value); }

    bool exact() const { return exact_; }
    // -1, 0 or 1.
    int sign() const { return terms_.empty() ? 0 : terms_.back() > 0.0 ? 1 : -1; }

    void add(double value) {
        std::size_t kept = 0;
        for (const double term : terms_) {
            const DoubleDouble sum = two_sum(value, term);
            value = sum.hi;
            if (sum.lo != 0.0) {
                terms_[kept++] = sum.lo;
            }
        }
        terms_.resize(kept);
        if (value != 0.0) {
            terms_.push_back(value);
        }
    }
    // *this += factor a b.
    void add_product(const Expansion& a, const Expansion& b, double factor = 1.0) {
        exact_ = exact_ && a.exact_ && b.exact_;
        for (const double x : a.terms_) {
            for (const double y : b.terms_) {
                const DoubleDouble product = two_product(factor * x, y);  // factor is 1 or -1
                exact_ = exact_ && is_safe(product.hi);
                add(product.lo);
                add(product.hi);
            }
        }
    }
    // *this *= 2^power.
    void scale(int power) {
        for (double& term : terms_) {
            term = std::ldexp(term, power);
            exact_ = exact_ && is_safe(term);
        }
    }
    // 2^exponent is larger than the number, but not by much; 0 for zero.
    int exponent() const {
        int exponent = 0;
        std::frexp(terms_.empty() ? 0.0 : terms_.back(), &exponent);
        return exponent;
    }
    // The same number in as few terms as possible.
    void compress() {
        std::vector<double> few;
        while (!terms_.empty()) {
            double sum = 0.0;
            for (const double term : terms_) {
                sum += term;
            }
            few.push_back(sum);
            add(-sum);
        }
        for (std::size_t k = few.size(); k-- > 0;) {
            add(few[k]);
        }
    }

private:
    static bool is_safe(double a) { return std::abs(a) > 1e-290 && std::abs(a) < 1e290; }

    std::vector<double> terms_;
    bool exact_ = true;
};

inline constexpr std::size_t kLargestExactRank = 12;

// The sign of the determinant of an r x r matrix (row-major), r <= kLargestExactRank; 0 also where
// it was not exact. Minors of the first rows, 2^r of them: slow, and allocates.
inline int exact_sign_of_determinant(std::span<const Expansion> a, std::size_t r) {
    std::vector<Expansion> minors(std::size_t{1} << r);
    minors[0] = Expansion(1.0);
    for (std::size_t columns = 1; columns < minors.size(); ++columns) {
        const auto row = static_cast<std::size_t>(std::popcount(columns)) - 1;
        double factor = row % 2 == 0 ? 1.0 : -1.0;
        for (std::size_t j = 0; j < r; ++j) {
            const std::size_t bit = std::size_t{1} << j;
            if ((columns & bit) != 0) {
                minors[columns].add_product(a[row * r + j], minors[columns ^ bit], factor);
                factor = -factor;
            }
        }
        minors[columns].compress();
    }
    return minors.back().exact() ? minors.back().sign() : 0;
}

}  // namespace convexnn
