#include "convexnn/program/masked_matrix.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "convexnn/base/blas.hpp"
#include "convexnn/base/parallel.hpp"
#include "convexnn/base/simd.hpp"

namespace convexnn {
namespace {

// Eight columns of X at a time: one vector register, or as many as the instruction set needs.
typedef double Vector __attribute__((vector_size(64)));
constexpr std::size_t kLanes = 8;
constexpr std::size_t kTilePatterns = 256;  // patterns that share one set of tables
constexpr std::size_t kTileWords = 2;       // words of rows that share one set of tables
constexpr std::size_t kTileRows = kTileWords * kWordBits;
constexpr std::size_t kNibbles = kTileRows / 4;  // tables of one tile, 16 sums each: 32 KB

// tables[b][m] = sum of the rows k of nibble b whose bit is set in m of v_k X(k, columns).
CONVEXNN_INLINE void build_tables(MatrixView<const double> X, const double* v,
                                  std::size_t first_row, std::size_t first_column,
                                  Vector (*tables)[16]) {
    const std::size_t rows = std::min(kTileRows, X.rows - first_row);
    const std::size_t columns = std::min(kLanes, X.columns - first_column);
    alignas(64) double scaled[kTileRows][kLanes] = {};
    for (std::size_t c = 0; c < columns; ++c) {
        const double* x = X.data + first_row + (first_column + c) * X.stride;
        for (std::size_t k = 0; k < rows; ++k) {
            scaled[k][c] = v[first_row + k] * x[k];
        }
    }
    for (std::size_t b = 0; b < kNibbles; ++b) {
        const Vector* row = reinterpret_cast<const Vector*>(scaled[4 * b]);
        Vector* table = tables[b];
        table[0] = Vector{};
        for (std::size_t bit = 0; bit < 4; ++bit) {
            const std::size_t half = std::size_t{1} << bit;
            for (std::size_t m = 0; m < half; ++m) {
                table[half + m] = table[m] + row[bit];
            }
        }
    }
}

// out(columns, i) for the patterns [begin, end), end - begin <= kTilePatterns.
CONVEXNN_MULTIVERSION
void adjoint_tile(const MaskedMatrix& A, const double* v, std::size_t begin, std::size_t end,
                  std::size_t first_column, double* out, std::size_t out_stride) {
    Vector sums[kTilePatterns];
    Vector tables[kNibbles][16];
    const std::size_t words = A.patterns.words_per_column();
    for (std::size_t i = begin; i < end; ++i) {
        sums[i - begin] = Vector{};
    }
    for (std::size_t w = 0; w < words; w += kTileWords) {
        build_tables(A.X, v, w * kWordBits, first_column, tables);
        const std::size_t tile_words = std::min(kTileWords, words - w);
        for (std::size_t i = begin; i < end; ++i) {
            const std::uint64_t* pattern = A.patterns.words + i * words + w;
            Vector even = sums[i - begin];
            Vector odd = Vector{};
            for (std::size_t t = 0; t < tile_words; ++t) {
                const std::uint64_t word = pattern[t];
                const Vector(*table)[16] = tables + 16 * t;
#pragma GCC unroll 8
                for (std::size_t b = 0; b < 16; b += 2) {
                    even += table[b][(word >> (4 * b)) & 15U];
                    odd += table[b + 1][(word >> (4 * b + 4)) & 15U];
                }
            }
            sums[i - begin] = even + odd;
        }
    }
    const std::size_t columns = std::min(kLanes, A.width() - first_column);
    for (std::size_t i = begin; i < end; ++i) {
        for (std::size_t c = 0; c < columns; ++c) {
            out[i * out_stride + first_column + c] = sums[i - begin][c];
        }
    }
}

}  // namespace

bool adjoint(const MaskedMatrix& A, std::span<const double> v, MatrixView<double> out,
             std::size_t threads, Monitor& monitor) {
    // One unit of work is a tile of patterns and a chunk of columns.
    const std::size_t chunks = (A.width() + kLanes - 1) / kLanes;
    const std::size_t tiles = (A.blocks() + kTilePatterns - 1) / kTilePatterns;
    return parallel_for(
        tiles * chunks, 1, threads, monitor, [&](std::size_t unit, std::size_t /*end*/) {
            const std::size_t begin = (unit / chunks) * kTilePatterns;
            adjoint_tile(A, v.data(), begin, std::min(begin + kTilePatterns, A.blocks()),
                         (unit % chunks) * kLanes, out.data, out.stride);
        });
}

double adjoint_rounding(const MaskedMatrix& A, std::span<const double> v) {
    constexpr double kUnit = 0x1p-53;
    double squares = 0.0;
    for (std::size_t j = 0; j < A.width(); ++j) {
        const std::span<const double> x = A.X.column(j);
        double sum = 0.0;
#pragma omp simd reduction(+ : sum)
        for (std::size_t k = 0; k < v.size(); ++k) {
            sum += std::abs(x[k] * v[k]);
        }
        squares += sum * sum;
    }
    return (static_cast<double>(A.rows()) + 4.0) * kUnit * std::sqrt(squares);
}

void adjoint_block(const MaskedMatrix& A, std::size_t i, std::span<const double> v,
                   std::span<double> masked, std::span<double> out) {
    simd::select(A.patterns.column(i).data(), v.data(), masked.data(), A.rows());
    simd::transposed_product(A.X.data, A.X.stride, A.rows(), A.width(), masked.data(), out.data());
}

void forward_block(const MaskedMatrix& A, std::size_t i, std::span<const double> u,
                   std::span<double> out) {
    simd::product(A.X.data, A.X.stride, A.rows(), A.width(), u.data(), out.data());
    simd::select(A.patterns.column(i).data(), out.data(), out.data(), A.rows());
}

bool forward(const MaskedMatrix& A, std::span<const std::size_t> blocks, MatrixView<const double> U,
             std::span<double> f, ForwardBuffer& buffer, Monitor& monitor) {
    std::fill(f.begin(), f.end(), 0.0);
    for (std::size_t first = 0; first < A.rows(); first += kWordBits) {
        const std::size_t rows = std::min(kWordBits, A.rows() - first);
        for (std::size_t k0 = 0; k0 < blocks.size(); k0 += ForwardBuffer::kBlocks) {
            if (monitor.stop_requested()) {
                return false;
            }
            const std::size_t count = std::min(ForwardBuffer::kBlocks, blocks.size() - k0);
            blas::multiply(A.X.data + first, A.X.stride, U.data + k0 * U.stride, buffer.data(),
                           rows, A.width(), count);
            for (std::size_t k = 0; k < count; ++k) {
                const std::uint64_t word = A.patterns.column(blocks[k0 + k])[first / kWordBits];
                simd::add_selected(&word, buffer.data() + k * rows, f.data() + first, rows);
            }
        }
    }
    return true;
}

}  // namespace convexnn
