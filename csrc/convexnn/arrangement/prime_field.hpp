// Arithmetic modulo a prime of 58 bits: linear algebra whose zeros are zeros.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>

namespace convexnn {

// The field of p = 2^58 - c elements, 0, ..., p - 1; 0 < c < 64 such that p is prime.
class PrimeField {
public:
    explicit PrimeField(std::uint64_t c = 27) : c_(c) {}

    std::uint64_t size() const { return kPower - c_; }

    std::uint64_t subtract(std::uint64_t a, std::uint64_t b) const {
        return a >= b ? a - b : a + (size() - b);
    }
    std::uint64_t multiply(std::uint64_t a, std::uint64_t b) const {
        __extension__ using Product = unsigned __int128;
        const Product product = static_cast<Product>(a) * b;
        // 2^58 = c, twice: the first sum is below 2^64, the second below 2 p.
        const std::uint64_t once = static_cast<std::uint64_t>(product >> 58) * c_ +
                                   (static_cast<std::uint64_t>(product) & (kPower - 1));
        const std::uint64_t twice = (once >> 58) * c_ + (once & (kPower - 1));
        return twice >= size() ? twice - size() : twice;
    }
    std::uint64_t power(std::uint64_t a, std::uint64_t exponent) const {
        std::uint64_t result = 1;
        for (; exponent > 0; exponent >>= 1, a = multiply(a, a)) {
            result = (exponent & 1) != 0 ? multiply(result, a) : result;
        }
        return result;
    }
    // Of a != 0.
    std::uint64_t inverse(std::uint64_t a) const { return power(a, size() - 2); }

    // The element that a finite double is: a whole number times a power of two, either sign.
    std::uint64_t of(double a) const {
        int exponent = 0;
        const double mantissa = std::ldexp(std::frexp(std::abs(a), &exponent), 53);
        const int shift = exponent - 53;
        const std::uint64_t whole = static_cast<std::uint64_t>(mantissa);
        const std::uint64_t scale = shift >= 0
                                        ? power(2, static_cast<std::uint64_t>(shift))
                                        : power(inverse(2), static_cast<std::uint64_t>(-shift));
        const std::uint64_t size_of_a = multiply(whole, scale);
        return a < 0.0 ? subtract(0, size_of_a) : size_of_a;
    }

private:
    static constexpr std::uint64_t kPower = std::uint64_t{1} << 58;
    std::uint64_t c_;
};

}  // namespace convexnn
