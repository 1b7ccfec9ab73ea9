#include "convexnn/program/masked_products.hpp"

#include <algorithm>
#include <atomic>
#include <new>
#include <thread>

#include "convexnn/base/parallel.hpp"
#include "convexnn/program/masked_kernels.hpp"

namespace convexnn {
namespace {

using namespace lookup;

constexpr std::size_t kTile = 1024;      // most sums that share a set of tables
constexpr std::size_t kSmallTile = 256;  // fewest, if there are more
constexpr std::size_t kThreadLookups = std::size_t{1} << 18;  // pay for the start of a thread
constexpr std::size_t kAhead = 12;                            // patterns whose words are prefetched
constexpr std::size_t kGathered = 4;  // sets of words that are read at once, a line of each pattern

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
template <typename S>
MaskedProducts<T>::MaskedProducts(MatrixView<const S> X, BitColumns patterns, S factor,
                                  Monitor* monitor)
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
        if (monitor != nullptr && monitor->stop_requested()) {
            return;
        }
        std::size_t column = 0;
        for (std::size_t j = 0; j < row_stride_; ++j) {
            const S* x = X.data + column * X.stride;
            for (std::size_t k = first; k < end; ++k) {
                packed_[k * row_stride_ + j] = static_cast<T>(factor * x[k]);
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
template MaskedProducts<double>::MaskedProducts(MatrixView<const double>, BitColumns, double,
                                                Monitor*);
template MaskedProducts<float>::MaskedProducts(MatrixView<const float>, BitColumns, float,
                                               Monitor*);
template MaskedProducts<float>::MaskedProducts(MatrixView<const double>, BitColumns, double,
                                               Monitor*);

}  // namespace convexnn
