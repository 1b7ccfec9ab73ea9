// Pseudo-random numbers that are the same on every machine (splitmix64).
#pragma once

#include <cmath>
#include <cstdint>

namespace convexnn {

class SplitMix {
public:
    explicit SplitMix(std::uint64_t seed) : state_(seed) {}

    std::uint64_t operator()() {
        std::uint64_t z = (state_ += 0x9E3779B97F4A7C15U);
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9U;
        z = (z ^ (z >> 27)) * 0x94D049BB133111EBU;
        return z ^ (z >> 31);
    }
    // Uniform in (-1, 1).
    double symmetric() { return std::ldexp(static_cast<double>((*this)() >> 11) + 0.5, -52) - 1.0; }

private:
    std::uint64_t state_;
};

}  // namespace convexnn
