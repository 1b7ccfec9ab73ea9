// Projections onto the cones of activation patterns:
//
//     minimise  ||u - g|| / 2   subject to  s_k x_k'u >= 0 for every row k,
//
// s_k = +1 where bit k of the pattern is set, else -1. The norm of the answer is the largest value
// of g'u over the unit vectors u of the cone, which prices the pattern's block.
//
// Goldfarb and Idnani (1983), "A numerically stable dual method for solving strictly convex
// quadratic programs": a QR factor of the active normals, one violated row at a time, so that
// ||u|| falls monotonically to the norm of the projection. Between two scans of all rows only the
// rows that were worst in the last one are looked at.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "convexnn/base/bits.hpp"
#include "convexnn/base/monitor.hpp"
#include "convexnn/base/views.hpp"

namespace convexnn {

enum class Projected {
    exact,  // u is the projection, to rounding
    below,  // stopped early: `bound` <= threshold
    // Too many steps, as on rows of very different directions, or told to stop; `bound` holds all
    // the same.
    stalled,
};

struct ConeProjection {
    Projected outcome = Projected::exact;
    // ||u||; with `below`, of a point that need not lie in the cone.
    double norm = 0.0;
    // >= the norm of the true projection, whatever `outcome` is: ||g + sum_j mu_j s_j x_j|| over
    // the active rows, mu >= 0 as returned and x as given, plus what rounding can have taken off
    // (underflow excepted).
    double bound = 0.0;
    // max_k -s_k x_k'u / ||x_k||, at least 0; <= 1e-14 max(1, d / 32) ||u|| if `exact`. Not
    // computed for `below`.
    double violation = 0.0;
    std::size_t active = 0;  // rows in the active set
    std::size_t steps = 0;   // rows that entered or left it
    std::size_t scans = 0;   // products with all rows
};

// What all projections share: the rows of X in the two layouts that they read. Copies X (three
// times n d numbers); the rows must be finite. A zero row restricts nothing.
class ConeRows {
public:
    explicit ConeRows(MatrixView<const double> X);

    std::size_t rows() const { return rows_; }
    std::size_t columns() const { return columns_; }
    std::size_t padded_columns() const { return padded_; }
    std::size_t tiles() const { return tiles_; }
    // Normalised rows in tiles of 32: entry (r, j) of tile t at 32 (t d + j) + r.
    const double* tiled() const { return tiled_.get(); }
    // Row k as given, padded with zeros.
    const double* row(std::size_t k) const { return by_row_.get() + k * padded_; }
    double norm(std::size_t k) const { return norms_[k]; }

    struct Free {
        void operator()(double* memory) const;
    };
    using Aligned = std::unique_ptr<double[], Free>;
    static Aligned aligned(std::size_t count);  // 64 bytes, zeroed

private:
    std::size_t rows_, columns_, padded_, tiles_;
    Aligned tiled_, by_row_;
    std::vector<double> norms_;
};

// Work space of one thread, allocated once: O(n + d^2). `rows` must outlive it.
class ConeProjector {
public:
    explicit ConeProjector(const ConeRows& rows);

    // Asked by project() every few hundred thousand flops; where it says stop, the projection ends
    // as one that has stalled. Null: nobody.
    void watch(Monitor* monitor) { monitor_ = monitor; }

    // `pattern` has words_for(n) words, `g` and `u` d finite numbers; the padding bits may be
    // anything. `active` and `mu` have min(n, d) entries: on entry the first `count` of `active`
    // are where to start from, rows of the cone in any order (0: from nothing), on return the
    // active rows and their multipliers, mu >= 0, for the rows of X as given. Ends early where the
    // bound falls to `threshold` (negative: never). The answer depends on the start to rounding
    // only.
    //
    // A step costs O(d^2) flops, a scan 2 n d; from a good start there are one scan and O(d^3)
    // flops. Allocates nothing.
    ConeProjection project(std::span<const std::uint64_t> pattern, std::span<const double> g,
                           double threshold, std::size_t count, std::span<std::int32_t> active,
                           std::span<double> mu, std::span<double> u);

    // At least the norm of the projection of g (of -g if `negative`), from any rows of the cone and
    // mu >= 0 for them: min_{t >= 0} ||g + t sum_j mu_j s_j x_j||, rounding included. O(d) flops
    // for each of those rows.
    double bound(std::span<const std::uint64_t> pattern, std::span<const double> g, bool negative,
                 std::span<const std::int32_t> active, std::span<const double> mu);

private:
    enum class Added { full, none };
    void clear() { active_ = 0; }
    void signed_row(std::size_t k, double* out) const;
    double orthogonalise(const double* a);
    void append(double norm);
    void drop(std::size_t j);
    Added add(const double* a, std::size_t k);
    void start(std::size_t count, std::span<const std::int32_t> active);
    void multipliers();
    void settle();
    double bound() const;
    double scan();
    std::size_t fill_pool(double tolerance);
    void ignore(std::size_t k);
    bool ignored(std::size_t k) const;
    bool told_to_stop(std::size_t flops);

    const ConeRows& rows_;
    Monitor* monitor_ = nullptr;
    std::size_t unasked_ = 0;  // flops since it was asked
    std::size_t d_, padded_, pool_capacity_;
    std::span<const std::uint64_t> pattern_;
    double scale_ = 1.0;
    std::size_t active_ = 0, steps_ = 0, ignored_ = 0;
    // Q: orthonormal columns; R: upper triangular, column by column; Q R = active normals.
    ConeRows::Aligned q_, r_;
    ConeRows::Aligned g_, u_, z_, c_, c2_, x_, mu_, normal_;
    ConeRows::Aligned slack_, pool_, pool_slack_, pool_row_;
    std::vector<std::int32_t> index_, candidates_, pool_index_, ignored_rows_;
    std::vector<std::uint64_t> all_;
};

// Many blocks, each remembering its last active set: block 2 i projects g_i onto the cone of
// pattern i, block 2 i + 1 projects -g_i. Patterns from `coned` on have no cone: all of R^d. Copies
// X; reads the patterns where they are. Memory O(n d + P d).
class ConeProjections {
public:
    ConeProjections(MatrixView<const double> X, BitColumns patterns, std::size_t threads);
    ConeProjections(MatrixView<const double> X, BitColumns patterns, std::size_t threads,
                    std::size_t coned);

    std::size_t blocks() const { return 2 * patterns_.columns; }

    // U's column t and results[t] are those of block blocks[t]; G is d x P, column i = g_i.
    // Distinct blocks. Each block starts from its own last active set, so the answer does not
    // depend on threads. Asks `monitor` often; false: it said stop, and U and `results` are
    // unspecified.
    bool project(std::span<const std::size_t> blocks, MatrixView<const double> G, double threshold,
                 MatrixView<double> U, std::span<ConeProjection> results, Monitor& monitor);

    // bounds[t] is at least the norm of what project() would make of block blocks[t], by the
    // multipliers of its last projection: near if g has moved little since. False: stopped.
    bool bound(std::span<const std::size_t> blocks, MatrixView<const double> G,
               std::span<double> bounds, Monitor& monitor);

    // Last active rows of a block and their multipliers, as in ConeProjector.
    std::span<const std::int32_t> active(std::size_t block) const {
        return {active_.data() + block * capacity_, static_cast<std::size_t>(counts_[block])};
    }
    std::span<const double> multipliers(std::size_t block) const {
        return {mu_.data() + block * capacity_, static_cast<std::size_t>(counts_[block])};
    }
    void forget();  // the next projections start cold

private:
    // work(projector, t) for every t < count.
    template <typename Work>
    bool each(std::size_t count, Monitor& monitor, const Work& work);

    ConeRows rows_;
    BitColumns patterns_;
    std::size_t coned_;
    std::size_t capacity_;
    std::vector<std::unique_ptr<ConeProjector>> projectors_;  // one a thread
    std::vector<std::int32_t> active_, counts_;
    std::vector<double> mu_;
};

}  // namespace convexnn
