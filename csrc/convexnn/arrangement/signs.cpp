#include "convexnn/arrangement/signs.hpp"

#include <algorithm>
#include <cstdint>
#include <vector>

#include "convexnn/base/parallel.hpp"
#include "convexnn/base/simd.hpp"

namespace convexnn {
namespace {

constexpr std::size_t kRows = kWordBits;  // rows of one tile: one word of every pattern
constexpr std::size_t kGates = 4;         // gates that share one pass over a tile

// One vector register, or as many as the instruction set needs for eight doubles.
typedef double Vector __attribute__((vector_size(64), aligned(8), may_alias));
constexpr std::size_t kLanes = 8;

CONVEXNN_INLINE std::uint64_t nonnegative_bits(const double* values) {
    std::uint64_t word = 0;
    for (std::size_t k = 0; k < kRows; ++k) {
        word |= static_cast<std::uint64_t>(values[k] >= 0.0) << k;
    }
    return word;
}

// words[q] = bits of the 64 rows of `tile` (leading dimension `stride`) for gates q = 0..3.
CONVEXNN_MULTIVERSION
void tile_signs(const double* tile, std::size_t stride, std::size_t d, const double* const* gates,
                std::uint64_t* words) {
    double sums[kGates][kRows];
    constexpr std::size_t kStep = 2 * kLanes;
    for (std::size_t row = 0; row < kRows; row += kStep) {
        Vector low[kGates] = {};
        Vector high[kGates] = {};
        for (std::size_t j = 0; j < d; ++j) {
            const double* x = tile + row + j * stride;
            const Vector x_low = *reinterpret_cast<const Vector*>(x);
            const Vector x_high = *reinterpret_cast<const Vector*>(x + kLanes);
            for (std::size_t q = 0; q < kGates; ++q) {
                low[q] += x_low * gates[q][j];
                high[q] += x_high * gates[q][j];
            }
        }
        for (std::size_t q = 0; q < kGates; ++q) {
            *reinterpret_cast<Vector*>(&sums[q][row]) = low[q];
            *reinterpret_cast<Vector*>(&sums[q][row + kLanes]) = high[q];
        }
    }
    for (std::size_t q = 0; q < kGates; ++q) words[q] = nonnegative_bits(sums[q]);
}

}  // namespace

bool sign_patterns(MatrixView<const double> X, MatrixView<const double> gates,
                   MutableBitColumns patterns, std::size_t threads, Monitor& monitor) {
    const std::size_t n = X.rows;
    const std::size_t d = X.columns;
    const std::size_t full_words = n / kRows;
    const std::size_t tail_rows = n % kRows;
    std::vector<double> tail(tail_rows != 0 ? kRows * d : 0, 0.0);
    if (tail_rows != 0) {
        for (std::size_t j = 0; j < d; ++j) {
            std::copy_n(X.column(j).data() + full_words * kRows, tail_rows, &tail[j * kRows]);
        }
    }
    const std::uint64_t tail_mask = (std::uint64_t{1} << tail_rows) - 1;

    const auto fill = [&](std::size_t begin, std::size_t end) {
        for (std::size_t i = begin; i < end; i += kGates) {
            // A group at the end repeats its last gate: the same bits are written again.
            const double* group[kGates];
            std::uint64_t* out[kGates];
            for (std::size_t q = 0; q < kGates; ++q) {
                const std::size_t gate = std::min(i + q, end - 1);
                group[q] = gates.column(gate).data();
                out[q] = patterns.column(gate).data();
            }
            std::uint64_t words[kGates];
            for (std::size_t w = 0; w < full_words; ++w) {
                tile_signs(X.data + w * kRows, X.stride, d, group, words);
                for (std::size_t q = 0; q < kGates; ++q) out[q][w] = words[q];
            }
            if (tail_rows != 0) {
                tile_signs(tail.data(), kRows, d, group, words);
                for (std::size_t q = 0; q < kGates; ++q) out[q][full_words] = words[q] & tail_mask;
            }
        }
    };
    // A range takes a few milliseconds at most, so that a stop is answered at once.
    const std::size_t chunk = std::clamp<std::size_t>((std::size_t{1} << 22) / (n * d), 1, 64);
    return parallel_for(gates.columns, chunk * kGates, threads, monitor, fill);
}

}  // namespace convexnn
