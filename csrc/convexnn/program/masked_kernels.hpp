// The inner loops of masked products: sums of table entries that bits choose, and scaled rows. Read
// by the files of the products only.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "convexnn/base/bits.hpp"

namespace convexnn::lookup {

inline constexpr std::size_t kChunk = 64;  // bytes of the wide row in one table entry
inline constexpr std::size_t kWords = 2;   // words of rows that share a set of tables
inline constexpr std::size_t kRows = kWords * kWordBits;  // their rows
inline constexpr std::size_t kTableEntries =
    kRows / 4 * 16;  // of their tables: 32 KB at full width

constexpr std::size_t ceil_divided(std::size_t n, std::size_t unit) {
    return (n + unit - 1) / unit;
}

// The part of the bits that one set of tables meets: kWords words for each sum.
struct Bits {
    const std::uint64_t* words;
    std::size_t rows;  // of the tables, <= kRows; words that have none of them are not read
};

// For table entries of one width; a carry is kChunk bytes wide for each sum.
template <typename T>
struct Kernels {
    // sums[i] += what the bits of sum i choose in the tables of `rows`, i < count; `tables` is room
    // for kTableEntries entries.
    void (*add_chosen)(const T* rows, const Bits& bits, std::size_t count, T* tables, T* sums);
    // scaled = rows of X, each times its own factor.
    void (*scale_rows)(const T* X, std::size_t stride, const T* factors, std::size_t count,
                       T* scaled);
    // carry(k) += sums(k) times row k of X, entry by entry.
    void (*add_products)(const T* X, std::size_t stride, const T* sums, std::size_t count,
                         T* carry);
};

// Those of this processor by width of the entries: 64, 32, 16 bytes. Every entry of a result is one
// sum in one order, whatever the instruction set.
const std::array<Kernels<double>, 3>& kernels(double type);
const std::array<Kernels<float>, 3>& kernels(float type);

}  // namespace convexnn::lookup
