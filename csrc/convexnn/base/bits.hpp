// 0/1 matrices packed 64 rows to a word: what an activation pattern is, everywhere in this library.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace convexnn {

inline constexpr std::size_t kWordBits = 64;

inline constexpr std::size_t words_for(std::size_t rows) {
    return (rows + kWordBits - 1) / kWordBits;
}

// Column i is pattern i: row k is bit k % 64 of word k / 64; the padding bits of the last word are
// zero (masked sums read them). Never owns.
template <typename Word>
struct BasicBitColumns {
    Word* words = nullptr;
    std::size_t rows = 0;
    std::size_t columns = 0;

    BasicBitColumns() = default;
    BasicBitColumns(Word* words_, std::size_t rows_, std::size_t columns_)
        : words(words_), rows(rows_), columns(columns_) {}

    std::size_t words_per_column() const { return words_for(rows); }
    std::span<Word> column(std::size_t i) const {
        return {words + i * words_per_column(), words_per_column()};
    }
    bool operator()(std::size_t row, std::size_t i) const {
        return (column(i)[row / kWordBits] >> (row % kWordBits)) & 1U;
    }
};

using BitColumns = BasicBitColumns<const std::uint64_t>;
using MutableBitColumns = BasicBitColumns<std::uint64_t>;

}  // namespace convexnn
