// The inner loops of projections onto cones, on numbers aligned to 64 bytes. Read by the files of
// the projections only.
#pragma once

#include <cstddef>
#include <cstdint>

#include "convexnn/base/simd.hpp"

namespace convexnn::cone {

inline constexpr std::size_t kLanes = 8;
inline constexpr std::size_t kTile = 32;  // rows; two tiles to a word of bits

constexpr std::size_t round_up(std::size_t n, std::size_t to) { return (n + to - 1) / to * to; }

// slack = s_k x_k'u for `tiles` tiles, s_k as bit k of the pattern says; returns the least slack,
// at most 0.
double signed_slack(const double* X, std::size_t tiles, std::size_t d, const std::uint64_t* pattern,
                    const double* u, double* slack);

// z = z - Q c, c = Q'z, by two sweeps of Gram-Schmidt: orthogonal to rounding. Returns ||z||. Q has
// m columns of length `padded`; c and c2 have room for m numbers.
double orthogonal_part(const double* Q, std::size_t padded, std::size_t m, double* z, double* c,
                       double* c2);

// x = R^-1 x for the leading m x m part.
void solve_upper(const double* R, std::size_t stride, std::size_t m, double* x);

// Rotates two vectors in their plane.
void rotate(double* a, double* b, std::size_t n, double c, double s);

CONVEXNN_INLINE double square(const double* z, std::size_t padded) {
    double sum = 0.0;
#pragma omp simd reduction(+ : sum)
    for (std::size_t i = 0; i < padded; ++i) {
        sum += z[i] * z[i];
    }
    return sum;
}

}  // namespace convexnn::cone
