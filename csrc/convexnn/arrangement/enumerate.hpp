// Every cell of an arrangement in general position, each exactly once, in an order that can be
// entered anywhere: no list, no hashing, no linear program.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <vector>

#include "convexnn/arrangement/chart.hpp"
#include "convexnn/arrangement/leaf.hpp"
#include "convexnn/arrangement/reduce.hpp"
#include "convexnn/base/bits.hpp"
#include "convexnn/base/monitor.hpp"

namespace convexnn {

// Doubles aligned to a cache line, all zero at first.
class AlignedDoubles {
public:
    explicit AlignedDoubles(std::size_t count = 0);
    double* data() { return data_.get(); }
    const double* data() const { return data_.get(); }

private:
    struct Free {
        void operator()(double* p) const;
    };
    std::unique_ptr<double[], Free> data_;
};

// How a listing ended.
struct Listing {
    bool finished = true;                // false: the monitor said stop
    std::vector<std::uint64_t> kept;     // half cells of each block
    std::vector<std::size_t> undecided;  // not empty: whether these samples depend is left open
};

// The half cells (those on the positive side of row 0) of n distinct hyperplanes of rank r.
//
// Every set S of m < r of the rows 1 ... n - 1 is a candidate: the lowest vertex of one half cell
// if the rows are in general position (of the first generic coordinate in the chart row_0 = 1 for
// m = r - 1, and of the m-th section at infinity for smaller m), and else if it holds no broken
// circuit (chart.hpp). Rank: levels m = r - 1, ..., 0; within one, S in lexicographic order.
//
// Signs are decided in doubles where they are beyond the rounding errors, which are bounded on the
// way to the vertex. Where they are not, integers tell zeros (flats.hpp), and twice the precision
// or exact arithmetic the sign of what is not zero. A sign that is not told (in more than twelve
// dimensions, or of numbers too far apart in size) stops the listing.
class HalfCells {
public:
    // 1 <= r <= n and sum_{m<r} C(n - 1, m) < 2^62 required (std::invalid_argument otherwise).
    // `seed` chooses the chart, and with it the candidates' cells and their order; with an odd one
    // the rows are taken in the opposite order, too.
    explicit HalfCells(ReducedRows rows, std::uint64_t seed = 0, Monitor& monitor = unmonitored());
    ~HalfCells();

    const ReducedRows& rows() const { return rows_; }
    // Candidates: sum_{m<r} C(n - 1, m), the number of half cells in general position.
    std::uint64_t total() const { return total_; }

    // The half cells of the candidates first, ..., first + count - 1 as patterns of the samples
    // (bit of a zero row: 1), in blocks of `block` candidates (the last may be smaller): the room
    // of a block, two columns of `patterns` a candidate, begins with its half cells, then come
    // their complements in the same order. Or `patterns` has no columns, then nothing is written
    // and the half cells are only counted. The result, and which undecided rows are named, do not
    // depend on `threads`. Allocates work space per thread, kept for later calls.
    Listing list(std::uint64_t first, std::uint64_t count, std::uint64_t block,
                 MutableBitColumns patterns, std::size_t threads, Monitor& monitor) const;

private:
    struct Node;
    struct Workspace;
    struct Sink;

    double* base(std::size_t k, bool negated) const;
    std::uint64_t completions(const Workspace& work, std::size_t chosen) const;
    void unrank(std::uint64_t rank, Workspace& work) const;
    void list_range(std::uint64_t first, std::uint64_t count, Sink& sink, Workspace& work) const;
    void list_level(std::size_t m, std::uint64_t first, std::uint64_t count, Sink& sink,
                    Workspace& work) const;
    std::size_t list_leaf(std::size_t first, std::size_t last, Sink& sink, Workspace& work,
                          bool looked = false) const;
    std::size_t look(Workspace& work) const;
    bool lay_flats(Workspace& work) const;
    Verdict resolve(Workspace& work, std::size_t last, std::span<std::uint64_t> words) const;
    Verdict decide(Workspace& work, std::size_t last, std::span<std::uint64_t> words) const;
    std::size_t follow(Workspace& work) const;
    std::span<const std::size_t> suspects(Workspace& work) const;
    void start(Workspace& work, std::size_t m) const;
    void descend(Workspace& work, std::size_t depth) const;
    std::unique_ptr<Workspace> take() const;
    void give_back(std::unique_ptr<Workspace> work) const;

    ReducedRows rows_;
    Chart chart_;
    std::size_t n_ = 0;
    std::size_t r_ = 0;
    std::size_t vectors_ = 0;  // of one column: n rows, padded
    AlignedDoubles columns_;   // the r coordinates, then the same negated; row 0 is 0
    std::uint64_t total_ = 0;
    std::vector<std::uint64_t> choose_;  // C(a, b) for a < n, b < r, at most 2^63
    std::vector<std::uint64_t> zero_rows_;
    std::vector<std::uint64_t> full_;    // every sample
    bool plain_ = false;                 // the samples are the distinct rows, in order; else:
    std::vector<std::uint64_t> sides_;   // samples that are on where all distinct rows are off
    std::vector<std::uint64_t> spread_;  // by four rows and their states: samples that turn, if few
    LeafKernels kernels_;
    mutable std::atomic<bool> degenerate_{false};  // rows that depend on each other were met
    mutable std::mutex idle_mutex_;
    mutable std::vector<std::unique_ptr<Workspace>> idle_;
};

}  // namespace convexnn
