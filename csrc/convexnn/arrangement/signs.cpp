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
typedef double Vector __attribute__((vector_size(64)));
typedef double UnalignedVector __attribute__((vector_size(64), aligned(8), may_alias));
constexpr std::size_t kLanes = 8;

typedef std::uint64_t Bits __attribute__((vector_size(64)));

// words[q] = bits of the 64 rows of `tile` (leading dimension `stride`) for gates q = 0..3.
CONVEXNN_MULTIVERSION
void tile_signs(const double* tile, std::size_t stride, std::size_t d, const double* const* gates,
                std::uint64_t* words) {
    constexpr std::size_t kStep = 2 * kLanes;  // rows whose sums stay in registers
    // Lane l collects the bits l, l + 8, l + 16, ... of the word, as its bits 0, 8, 16, ...
    Bits collected[kGates] = {};
    for (std::size_t row = kRows; row > 0;) {
        row -= kStep;
        Vector low[kGates] = {};
        Vector high[kGates] = {};
        for (std::size_t j = 0; j < d; ++j) {
            const double* x = tile + row + j * stride;
            const Vector x_low = *reinterpret_cast<const UnalignedVector*>(x);
            const Vector x_high = *reinterpret_cast<const UnalignedVector*>(x + kLanes);
            for (std::size_t q = 0; q < kGates; ++q) {
                low[q] += x_low * gates[q][j];
                high[q] += x_high * gates[q][j];
            }
        }
        // >= 0 is read off the sign bits: a sum that starts at +0.0 never becomes -0.0.
        for (std::size_t q = 0; q < kGates; ++q) {
            collected[q] = (collected[q] << kLanes) | (~reinterpret_cast<Bits>(high[q]) >> 63);
            collected[q] = (collected[q] << kLanes) | (~reinterpret_cast<Bits>(low[q]) >> 63);
        }
    }
    for (std::size_t q = 0; q < kGates; ++q) {
        std::uint64_t word = 0;
        for (std::size_t lane = 0; lane < kLanes; ++lane) {
            word |= collected[q][lane] << lane;
        }
        words[q] = word;
    }
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
                for (std::size_t q = 0; q < kGates; ++q) {
                    out[q][w] = words[q];
                }
            }
            if (tail_rows != 0) {
                tile_signs(tail.data(), kRows, d, group, words);
                for (std::size_t q = 0; q < kGates; ++q) {
                    out[q][full_words] = words[q] & tail_mask;
                }
            }
        }
    };
    // A range takes a few milliseconds at most, so that a stop is answered at once.
    const std::size_t chunk = std::clamp<std::size_t>((std::size_t{1} << 22) / (n * d), 1, 64);
    return parallel_for(gates.columns, chunk * kGates, threads, monitor, fill);
}

}  // namespace convexnn
