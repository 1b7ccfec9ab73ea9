#include "convexnn/program/masked_kernels.hpp"

#include <algorithm>
#include <bit>
#include <cstring>

#include "convexnn/base/simd.hpp"

namespace convexnn::lookup {
namespace {

template <typename T, std::size_t Bytes>
struct Native {
    typedef T type __attribute__((vector_size(Bytes)));
};

// A table entry of `Width` bytes in vectors of `Bytes`.
template <typename T, std::size_t Width, std::size_t Bytes>
struct Entry {
    typename Native<T, Bytes>::type part[Width / Bytes];

    CONVEXNN_INLINE void load(const T* from) {
        std::memcpy(part, __builtin_assume_aligned(from, Width), Width);
    }
    CONVEXNN_INLINE void store(T* to) const {
        std::memcpy(__builtin_assume_aligned(to, Width), part, Width);
    }
    CONVEXNN_INLINE void clear() {
#pragma GCC unroll 4
        for (auto& p : part) {
            p = typename Native<T, Bytes>::type{};
        }
    }
    CONVEXNN_INLINE void add(const T* from) {
        const T* aligned = static_cast<const T*>(__builtin_assume_aligned(from, Width));
#pragma GCC unroll 4
        for (std::size_t v = 0; v < Width / Bytes; ++v) {
            typename Native<T, Bytes>::type other;
            std::memcpy(&other, __builtin_assume_aligned(aligned + v * (Bytes / sizeof(T)), Bytes),
                        Bytes);
            part[v] += other;
        }
    }
    CONVEXNN_INLINE void add(const Entry& other) {
#pragma GCC unroll 4
        for (std::size_t v = 0; v < Width / Bytes; ++v) {
            part[v] += other.part[v];
        }
    }
};

// Entry 16 b + m of `tables` becomes the sum of those of the rows 4 b ... 4 b + 3 that m has.
template <typename T, std::size_t Width, std::size_t Bytes>
CONVEXNN_INLINE void build_tables(const T* rows, std::size_t nibbles, T* tables) {
    constexpr std::size_t kLanes = Width / sizeof(T);
    for (std::size_t b = 0; b < nibbles; ++b) {
        T* table = tables + 16 * b * kLanes;
        Entry<T, Width, Bytes> low[4];
        low[0].clear();
        low[1].load(rows + (4 * b) * kLanes);
        low[2].load(rows + (4 * b + 1) * kLanes);
        low[3] = low[1];
        low[3].add(low[2]);
#pragma GCC unroll 4
        for (std::size_t high = 0; high < 4; ++high) {
            Entry<T, Width, Bytes> base;
            base.clear();
            if ((high & 1U) != 0) {
                base.load(rows + (4 * b + 2) * kLanes);
            }
            if ((high & 2U) != 0) {
                base.add(rows + (4 * b + 3) * kLanes);
            }
#pragma GCC unroll 4
            for (std::size_t m = 0; m < 4; ++m) {
                Entry<T, Width, Bytes> sum = base;
                sum.add(low[m]);
                sum.store(table + (4 * high + m) * kLanes);
            }
        }
    }
}

// The `count` bits of `word` from `first` on, times the `Width` bytes of a table entry. A rotation
// needs no copy of `word` where there is rorx.
template <std::size_t Width>
CONVEXNN_INLINE std::size_t offset(std::uint64_t word, std::size_t first, std::size_t count) {
    constexpr int kShift = std::countr_zero(Width);
    return std::rotr(word, static_cast<int>(first) - kShift) &
           (((std::size_t{1} << count) - 1) << kShift);
}

template <typename T>
CONVEXNN_INLINE const T* at_offset(const T* table, std::size_t bytes) {
    return reinterpret_cast<const T*>(reinterpret_cast<const char*>(table) + bytes);
}

// sums[i] += what the bits of sum i choose in the tables of `rows`, i < count.
template <typename T, std::size_t Width, std::size_t Bytes>
CONVEXNN_INLINE void add_chosen(const T* rows, const Bits& bits, std::size_t count, T* tables,
                                T* sums) {
    constexpr std::size_t kLanes = Width / sizeof(T);
    constexpr std::size_t kTable = 16 * kLanes;
    const std::size_t nibbles = ceil_divided(bits.rows, 16) * 4;
    build_tables<T, Width, Bytes>(rows, nibbles, tables);
    const std::uint64_t* pattern = bits.words;
    const T* const end = sums + count * kLanes;
    for (T* to = sums; to != end; to += kLanes, pattern += kWords) {
        Entry<T, Width, Bytes> sum;
        sum.load(to);
        if (nibbles == kRows / 4) {
            // Four chains of additions, where the registers suffice, hide each other's latency.
            Entry<T, Width, Bytes> chain[kWords][2];
            const std::uint64_t words[kWords] = {pattern[0], pattern[1]};
#pragma GCC unroll 8
            for (std::size_t b = 0; b < 16; b += 2) {
#pragma GCC unroll 2
                for (std::size_t w = 0; w < kWords; ++w) {
                    const T* table = tables + (16 * w + b) * kTable;
                    const T* even = at_offset(table, offset<Width>(words[w], 4 * b, 4));
                    const T* odd = at_offset(table + kTable, offset<Width>(words[w], 4 * b + 4, 4));
                    if (b == 0) {
                        chain[w][0].load(even);
                        chain[w][1].load(odd);
                    } else {
                        chain[w][0].add(even);
                        chain[w][1].add(odd);
                    }
                }
            }
            chain[0][0].add(chain[0][1]);
            chain[1][0].add(chain[1][1]);
            sum.add(chain[0][0]);
            sum.add(chain[1][0]);
        } else {
            Entry<T, Width, Bytes> chain[2];
            chain[0].clear();
            chain[1].clear();
            const T* table = tables;
            for (std::size_t b = 0; b < nibbles; b += 4, table += 4 * kTable) {
                const std::uint64_t four = pattern[b / 16] >> (4 * (b % 16));
#pragma GCC unroll 4
                for (std::size_t m = 0; m < 4; ++m) {
                    chain[m % 2].add(at_offset(table + m * kTable, offset<Width>(four, 4 * m, 4)));
                }
            }
            chain[0].add(chain[1]);
            sum.add(chain[0]);
        }
        sum.store(to);
    }
}

// ---- Look-ups of narrow entries ----------------------------------------------------------------

// A look-up of half a vector costs as much as one of a whole, but narrow entries leave room for
// longer tables: of 8 rows at 16 bytes, of 6 rows (the last one of 4) at 32 bytes.
template <std::size_t Width>
struct Narrow {
    static constexpr std::size_t kHalf = Width == 16 ? 4 : 3;  // rows of half a table
    static constexpr std::size_t kTables = ceil_divided(kWordBits, 2 * kHalf);
    static constexpr std::size_t kEntries = std::size_t{1} << (2 * kHalf);
    static constexpr std::size_t kHalfEntries = std::size_t{1} << kHalf;
    static_assert(kTables * kEntries * Width <= kTableEntries * kChunk);

    static constexpr std::size_t high_rows(std::size_t table) {
        return std::min(kHalf, kWordBits - 2 * kHalf * table - kHalf);
    }
};
constexpr std::size_t kFewSums = 48;  // do not pay for tables of more than four rows

// half[m] becomes the sum of those of `count` rows, `stride` apart, that m has.
template <std::size_t Row = 0, typename Entry, typename T, std::size_t Size>
CONVEXNN_INLINE void build_half(const T* rows, std::size_t stride, std::size_t count,
                                Entry (&half)[Size]) {
    constexpr std::size_t kFirst = std::size_t{1} << Row;
    if constexpr (Row == 0) {
        half[0].clear();
    }
    if constexpr (kFirst < Size) {
#pragma GCC unroll 8
        for (std::size_t m = 0; m < kFirst; ++m) {
            half[kFirst + m] = half[m];
            if (Row < count) {
                half[kFirst + m].add(rows + Row * stride);
            }
        }
        build_half<Row + 1>(rows, stride, count, half);
    }
}

// As add_chosen. An entry is the sum of those of two halves of its rows; where the sums are few it
// is not tabulated but formed for each look-up, to the same result.
template <typename T, std::size_t Width, std::size_t Bytes>
CONVEXNN_INLINE void add_chosen_narrow(const T* rows, const Bits& bits, std::size_t count,
                                       T* tables, T* sums) {
    using N = Narrow<Width>;
    using Slim = Entry<T, Width, std::min(Width, Bytes)>;
    using Wide = Entry<T, kChunk, Bytes>;  // of several entries
    constexpr std::size_t kLanes = Width / sizeof(T);
    constexpr std::size_t kWide = kChunk / sizeof(T);
    constexpr std::size_t kParts = N::kHalfEntries * Width / kChunk;
    alignas(kChunk) T halves[2][N::kTables][N::kHalfEntries * kLanes];
    alignas(kChunk) T repeated[N::kTables][N::kHalf * kWide];
    const bool few = count < kFewSums;
    for (std::size_t w = 0; w * kWordBits < bits.rows; ++w) {
        for (std::size_t b = 0; b < N::kTables; ++b) {
            const T* row = rows + (w * kWordBits + 2 * N::kHalf * b) * kLanes;
            Slim half[N::kHalfEntries];
            build_half(row, kLanes, N::kHalf, half);
#pragma GCC unroll 16
            for (std::size_t m = 0; m < N::kHalfEntries; ++m) {
                half[m].store(halves[0][b] + m * kLanes);
            }
            row += N::kHalf * kLanes;
            const std::size_t high = N::high_rows(b);
            if (few) {
                build_half(row, kLanes, high, half);
#pragma GCC unroll 16
                for (std::size_t m = 0; m < N::kHalfEntries; ++m) {
                    half[m].store(halves[1][b] + m * kLanes);
                }
            } else {
                for (std::size_t k = 0; k < high; ++k) {
                    Slim entry;
                    entry.load(row + k * kLanes);
#pragma GCC unroll 4
                    for (std::size_t copy = 0; copy < kChunk / Width; ++copy) {
                        entry.store(repeated[b] + k * kWide + copy * kLanes);
                    }
                }
            }
        }
        // Apart from the loop above: what it wrote narrow cannot be read wide at once.
        for (std::size_t b = 0; b < N::kTables && !few; ++b) {
            Wide high[N::kHalfEntries];
            build_half(repeated[b], kWide, N::high_rows(b), high);
            T* to = tables + b * N::kEntries * kLanes;
            for (std::size_t h = 0; h < std::size_t{1} << N::high_rows(b); ++h) {
#pragma GCC unroll 4
                for (std::size_t part = 0; part < kParts; ++part, to += kWide) {
                    Wide sum;
                    sum.load(halves[0][b] + part * kWide);
                    sum.add(high[h]);
                    sum.store(to);
                }
            }
        }
        const std::uint64_t* pattern = bits.words + w;
        const T* const end = sums + count * kLanes;
        for (T* to = sums; to != end; to += kLanes, pattern += kWords) {
            const std::uint64_t word = *pattern;
            Slim chain[2];
            chain[0].load(to);
            chain[1].clear();
#pragma GCC unroll 11
            for (std::size_t b = 0; b < N::kTables; ++b) {
                const std::size_t first = 2 * N::kHalf * b;
                const std::size_t high = N::high_rows(b);
                if (few) {
                    Slim sum;
                    sum.load(at_offset(halves[0][b], offset<Width>(word, first, N::kHalf)));
                    sum.add(at_offset(halves[1][b], offset<Width>(word, first + N::kHalf, high)));
                    chain[b % 2].add(sum);
                } else {
                    chain[b % 2].add(at_offset(tables + b * N::kEntries * kLanes,
                                               offset<Width>(word, first, N::kHalf + high)));
                }
            }
            chain[0].add(chain[1]);
            chain[0].store(to);
        }
    }
}

// scaled = rows of X, each times its own factor.
template <typename T, std::size_t Width>
CONVEXNN_INLINE void scale_rows(const T* X, std::size_t stride, const T* factors, std::size_t count,
                                T* scaled) {
    constexpr std::size_t kLanes = Width / sizeof(T);
    for (std::size_t k = 0; k < count; ++k) {
        const T factor = factors[k];
#pragma omp simd
        for (std::size_t l = 0; l < kLanes; ++l) {
            scaled[k * kLanes + l] = X[k * stride + l] * factor;
        }
    }
}

// carry(k) += sums(k) times row k of X, entry by entry.
template <typename T, std::size_t Width>
CONVEXNN_INLINE void add_products(const T* X, std::size_t stride, const T* sums, std::size_t count,
                                  T* carry) {
    constexpr std::size_t kLanes = Width / sizeof(T);
    for (std::size_t k = 0; k < count; ++k) {
#pragma omp simd
        for (std::size_t l = 0; l < kLanes; ++l) {
            carry[k * (kChunk / sizeof(T)) + l] += sums[k * kLanes + l] * X[k * stride + l];
        }
    }
}

// target_clones takes plain functions only, one for each width of entry and of vector.
#define CONVEXNN_ADD_CHOSEN(T, BODY, WIDTH, BYTES)                                        \
    CONVEXNN_MULTIVERSION                                                                 \
    void T##_chosen_##WIDTH##_##BYTES(const T* rows, const Bits& bits, std::size_t count, \
                                      T* tables, T* sums) {                               \
        BODY<T, WIDTH, BYTES>(rows, bits, count, tables, sums);                           \
    }
#define CONVEXNN_SCALE(T, WIDTH)                                                                \
    CONVEXNN_MULTIVERSION                                                                       \
    void T##_scale_##WIDTH(const T* X, std::size_t stride, const T* factors, std::size_t count, \
                           T* scaled) {                                                         \
        scale_rows<T, WIDTH>(X, stride, factors, count, scaled);                                \
    }                                                                                           \
    CONVEXNN_MULTIVERSION                                                                       \
    void T##_products_##WIDTH(const T* X, std::size_t stride, const T* sums, std::size_t count, \
                              T* carry) {                                                       \
        add_products<T, WIDTH>(X, stride, sums, count, carry);                                  \
    }
#define CONVEXNN_KERNELS(T)                           \
    CONVEXNN_ADD_CHOSEN(T, add_chosen, 64, 64)        \
    CONVEXNN_ADD_CHOSEN(T, add_chosen, 64, 32)        \
    CONVEXNN_ADD_CHOSEN(T, add_chosen, 64, 16)        \
    CONVEXNN_ADD_CHOSEN(T, add_chosen_narrow, 32, 64) \
    CONVEXNN_ADD_CHOSEN(T, add_chosen_narrow, 32, 32) \
    CONVEXNN_ADD_CHOSEN(T, add_chosen_narrow, 32, 16) \
    CONVEXNN_ADD_CHOSEN(T, add_chosen_narrow, 16, 64) \
    CONVEXNN_ADD_CHOSEN(T, add_chosen_narrow, 16, 32) \
    CONVEXNN_ADD_CHOSEN(T, add_chosen_narrow, 16, 16) \
    CONVEXNN_SCALE(T, 64)                             \
    CONVEXNN_SCALE(T, 32)                             \
    CONVEXNN_SCALE(T, 16)

CONVEXNN_KERNELS(double)
CONVEXNN_KERNELS(float)

std::size_t vector_bytes() {
    const char* level = simd::isa_level();
    return std::strcmp(level, "x86-64-v4") == 0   ? 64
           : std::strcmp(level, "x86-64-v3") == 0 ? 32
                                                  : 16;
}

}  // namespace

#define CONVEXNN_TABLE(T)                                  \
    const std::array<Kernels<T>, 3>& kernels(T /*type*/) { \
        static const std::array<Kernels<T>, 3> chosen = {  \
            {{vector_bytes() == 64   ? T##_chosen_64_64    \
              : vector_bytes() == 32 ? T##_chosen_64_32    \
                                     : T##_chosen_64_16,   \
              T##_scale_64, T##_products_64},              \
             {vector_bytes() == 64   ? T##_chosen_32_64    \
              : vector_bytes() == 32 ? T##_chosen_32_32    \
                                     : T##_chosen_32_16,   \
              T##_scale_32, T##_products_32},              \
             {vector_bytes() == 64   ? T##_chosen_16_64    \
              : vector_bytes() == 32 ? T##_chosen_16_32    \
                                     : T##_chosen_16_16,   \
              T##_scale_16, T##_products_16}}};            \
        return chosen;                                     \
    }

CONVEXNN_TABLE(double)
CONVEXNN_TABLE(float)

}  // namespace convexnn::lookup
