#include "convexnn/program/masked_products.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cstring>
#include <new>
#include <thread>

#include "convexnn/base/parallel.hpp"
#include "convexnn/base/simd.hpp"

namespace convexnn {
namespace {

constexpr std::size_t kChunk = 64;                     // bytes of the wide row in one table entry
constexpr std::size_t kWords = 2;                      // words of rows that share a set of tables
constexpr std::size_t kRows = kWords * kWordBits;      // their rows
constexpr std::size_t kTableEntries = kRows / 4 * 16;  // of their tables: 32 KB at full width
constexpr std::size_t kTile = 1024;                    // most sums that share a set of tables
constexpr std::size_t kSmallTile = 256;                // fewest, if there are more
constexpr std::size_t kThreadLookups = std::size_t{1} << 18;  // pay for the start of a thread
constexpr std::size_t kAhead = 12;                            // patterns whose words are prefetched
constexpr std::size_t kGathered = 4;  // sets of words that are read at once, a line of each pattern

constexpr std::size_t ceil_divided(std::size_t n, std::size_t unit) {
    return (n + unit - 1) / unit;
}

// ---- Look-ups: one body, vectors as wide as the instruction set has them -----------------------

// The part of the bits that one set of tables meets: kWords words for each sum.
struct Bits {
    const std::uint64_t* words;
    std::size_t rows;  // of the tables, <= kRows; words that have none of them are not read
};

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

template <typename T>
struct Kernels {
    void (*add_chosen)(const T* rows, const Bits& bits, std::size_t count, T* tables, T* sums);
    void (*scale_rows)(const T* X, std::size_t stride, const T* factors, std::size_t count,
                       T* scaled);
    void (*add_products)(const T* X, std::size_t stride, const T* sums, std::size_t count,
                         T* carry);
};

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
#define CONVEXNN_KERNELS(T)                                \
    CONVEXNN_ADD_CHOSEN(T, add_chosen, 64, 64)             \
    CONVEXNN_ADD_CHOSEN(T, add_chosen, 64, 32)             \
    CONVEXNN_ADD_CHOSEN(T, add_chosen, 64, 16)             \
    CONVEXNN_ADD_CHOSEN(T, add_chosen_narrow, 32, 64)      \
    CONVEXNN_ADD_CHOSEN(T, add_chosen_narrow, 32, 32)      \
    CONVEXNN_ADD_CHOSEN(T, add_chosen_narrow, 32, 16)      \
    CONVEXNN_ADD_CHOSEN(T, add_chosen_narrow, 16, 64)      \
    CONVEXNN_ADD_CHOSEN(T, add_chosen_narrow, 16, 32)      \
    CONVEXNN_ADD_CHOSEN(T, add_chosen_narrow, 16, 16)      \
    CONVEXNN_SCALE(T, 64)                                  \
    CONVEXNN_SCALE(T, 32)                                  \
    CONVEXNN_SCALE(T, 16)                                  \
    /* By width: 64, 32, 16 bytes. */                      \
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

std::size_t vector_bytes() {
    const char* level = simd::isa_level();
    return std::strcmp(level, "x86-64-v4") == 0   ? 64
           : std::strcmp(level, "x86-64-v3") == 0 ? 32
                                                  : 16;
}

CONVEXNN_KERNELS(double)
CONVEXNN_KERNELS(float)

// ---- Chunks of the wide row --------------------------------------------------------------------

// The wide row has `outputs` parts of `width` entries. Its chunk `first` ... `first + valid` lies
// in entries of `lanes` lanes.
struct Chunk {
    std::size_t first, valid, lanes, kernel;
};

template <typename T>
Chunk chunk_of(std::size_t number, std::size_t wide) {
    constexpr std::size_t kLanes = kChunk / sizeof(T);
    const std::size_t first = number * kLanes;
    const std::size_t valid = std::min(kLanes, wide - first);
    const std::size_t kernel = valid <= kLanes / 4 ? 2 : valid <= kLanes / 2 ? 1 : 0;
    return {first, valid, kLanes >> kernel, kernel};
}

// Asked from the calling thread, believed by all.
class Stop {
public:
    explicit Stop(Monitor& monitor) : monitor_(monitor) {}
    bool requested() {
        if (std::this_thread::get_id() == caller_ && monitor_.stop_requested()) {
            stopped_.store(true, std::memory_order_relaxed);
        }
        return stopped_.load(std::memory_order_relaxed);
    }

private:
    Monitor& monitor_;
    std::thread::id caller_ = std::this_thread::get_id();
    std::atomic<bool> stopped_{false};
};

// Sums are cut into tiles of equal size, small enough for `threads` to share the work.
struct Tiles {
    std::size_t count, size;
};

Tiles tiles_of(std::size_t sums, std::size_t units_each, std::size_t threads) {
    std::size_t count = ceil_divided(sums, kTile);
    if (threads > 1) {
        const std::size_t wanted = ceil_divided(4 * threads, units_each);
        count = std::max(count, std::min(wanted, ceil_divided(sums, kSmallTile)));
    }
    return {count, ceil_divided(sums, count)};
}

std::size_t useful_threads(std::size_t threads, std::size_t rows, std::size_t sums,
                           std::size_t chunks) {
    return std::min(threads, 1 + ceil_divided(rows, 4) * sums / kThreadLookups * chunks);
}

template <typename T>
struct Scratch {
    static constexpr std::size_t kLanes = kChunk / sizeof(T);
    alignas(kChunk) T rows[kRows * kLanes];
    alignas(kChunk) T tables[kTableEntries * kLanes];
    alignas(kChunk) T sums[kTile * kLanes];
};

// Words first, first + 1, ... of patterns begin <= i < end (of listed[i] unless null), kWords of
// each pattern side by side, up to kGathered such sets: a line of a long pattern is read once.
void gather_words(BitColumns patterns, const std::size_t* listed, std::size_t begin,
                  std::size_t end, std::size_t first, std::uint64_t* gathered) {
    const std::size_t stride = patterns.words_per_column();
    const std::size_t count = std::min(kGathered * kWords, stride - first);
    const auto at = [&](std::size_t i) {
        return patterns.words + (listed != nullptr ? listed[i] : i) * stride + first;
    };
    for (std::size_t i = begin; i < end; ++i) {
        const std::uint64_t* from = at(i);
        const std::uint64_t* ahead = at(std::min(i + kAhead, end - 1));
        __builtin_prefetch(ahead);
        __builtin_prefetch(ahead + count - 1);
        std::uint64_t* to = gathered + (i - begin) * kWords;
        std::size_t w = 0;
        for (; w + kWords <= count; w += kWords, to += kTile * kWords) {
            std::copy_n(from + w, kWords, to);
        }
        std::copy_n(from + w, count - w, to);
    }
}

// scaled(k, l) = X(k, l) V(k, output of lane l), a chunk that meets several outputs.
template <typename T>
void scale_mixed(const T* X, std::size_t stride, MatrixView<const T> V, std::size_t first_row,
                 const Chunk& chunk, std::size_t width, std::size_t count, T* scaled) {
    for (std::size_t l = 0; l < chunk.lanes; ++l) {
        const std::size_t column = std::min((chunk.first + l) / width, V.columns - 1);
        const T* factors = V.data + first_row + column * V.stride;
        for (std::size_t k = 0; k < count; ++k) {
            scaled[k * chunk.lanes + l] = X[k * stride + l] * factors[k];
        }
    }
}

// The sum of all lanes, halves onto halves.
template <typename T>
T sum_lanes(T* lanes) {
    for (std::size_t half = kChunk / sizeof(T) / 2; half > 0; half /= 2) {
        for (std::size_t l = 0; l < half; ++l) {
            lanes[l] += lanes[l + half];
        }
    }
    return lanes[0];
}

// Bit c of word r and bit r of word c change places.
void transpose_bits(std::uint64_t (&a)[kWordBits]) {
    std::uint64_t mask = 0x00000000FFFFFFFFU;
    for (std::size_t half = 32; half > 0; half /= 2, mask ^= mask << half) {
        for (std::size_t r = 0; r < kWordBits; r = (r + half + 1) & ~half) {
            const std::uint64_t swap = ((a[r] >> half) ^ a[r + half]) & mask;
            a[r] ^= swap << half;
            a[r + half] ^= swap;
        }
    }
}

}  // namespace

template <typename T>
void MaskedProducts<T>::Free::operator()(T* memory) const {
    ::operator delete[](memory, std::align_val_t{kChunk});
}

template <typename T>
MaskedProducts<T>::MaskedProducts(MatrixView<const T> X, BitColumns patterns)
    : width_(X.columns), patterns_(patterns) {
    constexpr std::size_t kLanes = kChunk / sizeof(T);
    row_stride_ = ceil_divided(width_ + kLanes - 1, kLanes) * kLanes;
    packed_.reset(static_cast<T*>(
        ::operator new[](X.rows * row_stride_ * sizeof(T), std::align_val_t{kChunk})));
    // Room for all patterns, so that solvers' loops allocate nothing; unused pages cost nothing.
    active_.reserve(patterns.columns);
    active_bits_.reserve(ceil_divided(patterns.columns, kRows) * patterns.words_per_column() *
                         kWordBits * kWords);
    // A few rows at a time, whose lines stay in the first cache.
    constexpr std::size_t kGroup = 32;
    for (std::size_t first = 0; first < X.rows; first += kGroup) {
        const std::size_t end = std::min(X.rows, first + kGroup);
        std::size_t column = 0;
        for (std::size_t j = 0; j < row_stride_; ++j) {
            const T* x = X.data + column * X.stride;
            for (std::size_t k = first; k < end; ++k) {
                packed_[k * row_stride_ + j] = x[k];
            }
            column = column + 1 == width_ ? 0 : column + 1;
        }
    }
}

template <typename T>
bool MaskedProducts<T>::adjoint_of(const std::size_t* listed, std::size_t count,
                                   MatrixView<const T> V, MatrixView<T> out, std::size_t threads,
                                   Monitor& monitor) const {
    const std::size_t n = rows();
    const std::size_t wide = width_ * V.columns;
    if (count == 0 || wide == 0) {
        return true;
    }
    const std::size_t chunks = ceil_divided(wide, kChunk / sizeof(T));
    threads = useful_threads(threads, n, count, chunks);
    const Tiles tiles = tiles_of(count, chunks, threads);
    Stop stop(monitor);
    const auto work = [&](std::size_t unit, std::size_t /*end*/) {
        const std::size_t begin = unit / chunks * tiles.size;
        const std::size_t end = std::min(begin + tiles.size, count);
        if (begin >= end) {
            return;
        }
        const Chunk chunk = chunk_of<T>(unit % chunks, wide);
        const Kernels<T>& kernel = kernels(T{})[chunk.kernel];
        const std::size_t output = chunk.first / width_;
        const bool mixed = output != (chunk.first + chunk.valid - 1) / width_;
        const T* X = packed_.get() + chunk.first % width_;
        Scratch<T> scratch;
        std::uint64_t gathered[kGathered * kTile * kWords];
        std::fill_n(scratch.sums, (end - begin) * chunk.lanes, T{0});
        for (std::size_t first = 0; first < n; first += kRows) {
            if (stop.requested()) {
                return;
            }
            const std::size_t met = std::min(kRows, n - first);
            const T* x = X + first * row_stride_;
            if (mixed) {
                scale_mixed(x, row_stride_, V, first, chunk, width_, met, scratch.rows);
            } else {
                kernel.scale_rows(x, row_stride_, V.data + first + output * V.stride, met,
                                  scratch.rows);
            }
            std::fill(scratch.rows + met * chunk.lanes, scratch.rows + kRows * chunk.lanes, T{0});
            const std::size_t set = first / kRows % kGathered;
            if (set == 0) {
                gather_words(patterns_, listed, begin, end, first / kWordBits, gathered);
            }
            const Bits bits{gathered + set * kTile * kWords, met};
            kernel.add_chosen(scratch.rows, bits, end - begin, scratch.tables, scratch.sums);
        }
        for (std::size_t i = begin; i < end; ++i) {
            std::copy_n(scratch.sums + (i - begin) * chunk.lanes, chunk.valid,
                        out.data + i * out.stride + chunk.first);
        }
    };
    return parallel_for(tiles.count * chunks, 1, threads, monitor, work) && !stop.requested();
}

template <typename T>
bool MaskedProducts<T>::adjoint(MatrixView<const T> V, MatrixView<T> out, std::size_t threads,
                                Monitor& monitor) const {
    return adjoint_of(nullptr, blocks(), V, out, threads, monitor);
}

template <typename T>
bool MaskedProducts<T>::adjoint(MatrixView<const T> V, std::span<const std::size_t> listed,
                                MatrixView<T> out, std::size_t threads, Monitor& monitor) const {
    return adjoint_of(listed.data(), listed.size(), V, out, threads, monitor);
}

template <typename T>
void MaskedProducts<T>::set_active(std::span<const std::size_t> listed) {
    const std::size_t words = patterns_.words_per_column();
    const std::size_t padded = words * kWordBits;
    const std::size_t needed = ceil_divided(listed.size(), kRows) * padded * kWords;
    if (needed > active_bits_.size()) {
        active_bits_.resize(needed);
    }
    active_.assign(listed.begin(), listed.end());
    std::uint64_t square[kWordBits];
    for (std::size_t group = 0; group * kWordBits < active_.size(); ++group) {
        const std::size_t first = group * kWordBits;
        const std::size_t count = std::min(kWordBits, active_.size() - first);
        std::uint64_t* to =
            active_bits_.data() + (group / kWords) * padded * kWords + group % kWords;
        for (std::size_t w = 0; w < words; ++w) {
            for (std::size_t a = 0; a < kWordBits; ++a) {
                square[a] = a < count ? patterns_.words[active_[first + a] * words + w] : 0;
            }
            transpose_bits(square);
            for (std::size_t k = 0; k < kWordBits; ++k) {
                to[(w * kWordBits + k) * kWords] = square[k];
            }
        }
    }
}

template <typename T>
bool MaskedProducts<T>::active_adjoint(MatrixView<const T> V, MatrixView<T> out,
                                       std::size_t threads, Monitor& monitor) const {
    return adjoint(V, active_, out, threads, monitor);
}

template <typename T>
bool MaskedProducts<T>::active_forward(MatrixView<const T> U, MatrixView<T> F, std::size_t threads,
                                       Monitor& monitor) const {
    constexpr std::size_t kLanes = kChunk / sizeof(T);
    const std::size_t n = rows();
    const std::size_t outputs = F.columns;
    const std::size_t wide = width_ * outputs;
    const std::size_t count = active_.size();
    if (count == 0) {
        for (std::size_t q = 0; q < outputs; ++q) {
            std::fill_n(F.data + q * F.stride, n, T{0});
        }
        return true;
    }
    const std::size_t chunks = ceil_divided(wide, kLanes);
    const std::size_t padded = patterns_.words_per_column() * kWordBits;
    threads = useful_threads(threads, count, n, chunks);
    const Tiles tiles = tiles_of(n, 1, threads);
    Stop stop(monitor);
    const auto work = [&](std::size_t unit, std::size_t /*end*/) {
        const std::size_t begin = unit * tiles.size;
        const std::size_t end = std::min(begin + tiles.size, n);
        if (begin >= end) {
            return;
        }
        Scratch<T> scratch;
        // Products of the present output, lane by lane: one sum of lanes for each output.
        alignas(kChunk) T carry[kTile * kLanes];
        std::fill_n(carry, (end - begin) * kLanes, T{0});
        for (std::size_t c = 0; c < chunks; ++c) {
            const Chunk chunk = chunk_of<T>(c, wide);
            const Kernels<T>& kernel = kernels(T{})[chunk.kernel];
            const bool mixed = chunk.first / width_ != (chunk.first + chunk.valid - 1) / width_;
            std::fill_n(scratch.sums, (end - begin) * chunk.lanes, T{0});
            for (std::size_t first = 0; first < count; first += kRows) {
                if (stop.requested()) {
                    return;
                }
                const std::size_t met = std::min(kRows, count - first);
                std::fill_n(scratch.rows, kRows * chunk.lanes, T{0});
                for (std::size_t a = 0; a < met; ++a) {
                    std::copy_n(U.data + (first + a) * U.stride + chunk.first, chunk.valid,
                                scratch.rows + a * chunk.lanes);
                }
                const Bits bits{active_bits_.data() + (first / kRows * padded + begin) * kWords,
                                met};
                kernel.add_chosen(scratch.rows, bits, end - begin, scratch.tables, scratch.sums);
            }
            const T* x = packed_.get() + begin * row_stride_ + chunk.first % width_;
            if (!mixed) {
                kernel.add_products(x, row_stride_, scratch.sums, end - begin, carry);
            }
            for (std::size_t l = 0; l < chunk.valid;) {
                const std::size_t output = (chunk.first + l) / width_;
                const std::size_t stop_lane =
                    std::min(chunk.valid, (output + 1) * width_ - chunk.first);
                if (mixed) {
                    for (std::size_t k = 0; k < end - begin; ++k) {
                        for (std::size_t m = l; m < stop_lane; ++m) {
                            carry[k * kLanes + m] +=
                                scratch.sums[k * chunk.lanes + m] * x[k * row_stride_ + m];
                        }
                    }
                }
                if (chunk.first + stop_lane == (output + 1) * width_) {
                    for (std::size_t k = 0; k < end - begin; ++k) {
                        F.data[begin + k + output * F.stride] = sum_lanes(carry + k * kLanes);
                    }
                    std::fill_n(carry, (end - begin) * kLanes, T{0});
                }
                l = stop_lane;
            }
        }
    };
    return parallel_for(tiles.count, 1, threads, monitor, work) && !stop.requested();
}

template class MaskedProducts<double>;
template class MaskedProducts<float>;

}  // namespace convexnn
