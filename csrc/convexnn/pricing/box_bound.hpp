// Bounds of a difference of support functions over a box on a face of the cube.
//
// F(u) = sum_{p in plus} (p.u)_+ - sum_{q in minus} (q.u)_+ for u in a box of half-widths d around
// u0, of which one coordinate is +1 or -1 and has half-width 0. Rows whose sign is the same all
// over the box are linear there; the others are "cut". With z = u - u0 and a threshold theta:
//
// - a cut plus row has (t)_+ <= (t + a)^2 / (4 a), a = sqrt(m^2 + s^2), where m = p.u0 and
//   s^2 = sum p_k^2 d_k^2;
// - a cut minus row has -(t)_+ <= -alpha t for any alpha in [0, 1];
// - the length has |u| >= |u0| + w.z + |z - (w.z) w|^2 / (2 U), w = u0 / |u0|, U = max |u|.
//
// So F(u) - theta |u| <= C + g.z + z'Hz / 2, which is bounded coordinate by coordinate, half of
// each |H_kl| d_k d_l going to k, half to l; then a few Frank-Wolfe steps choose better alphas.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

namespace convexnn {

// Rows in tiles of kTile: entry k of row j is values[((j / kTile) r + k) kTile + j % kTile]. The
// plus rows have their own tiles, which come first; the last tile of either is filled with zero
// rows, of number -1. `linear` is the sum of further rows that are on, minus rows negated.
class RowTiles {
public:
    static constexpr std::size_t kTile = 32;

    RowTiles(std::size_t plus, std::size_t minus, std::size_t r);

    // Takes rows away, but not their room.
    void clear();
    // Entry k of the row is entries[k * stride]. Plus rows come before minus rows.
    void add_plus(const double* entries, std::size_t stride, std::int32_t number);
    void add_minus(const double* entries, std::size_t stride, std::int32_t number);

    std::size_t r() const { return r_; }
    std::size_t plus_tiles() const { return plus_tiles_; }
    std::size_t tiles() const { return tiles_; }
    std::size_t rows() const { return rows_; }
    const double* tile(std::size_t t) const { return values_.get() + t * r_ * kTile; }
    std::span<const std::int32_t> numbers() const { return {numbers_.data(), tiles_ * kTile}; }

    std::vector<double> linear;

private:
    struct Free {
        void operator()(double* memory) const;
    };
    void add(std::size_t place, const double* entries, std::size_t stride, std::int32_t number);

    std::size_t r_;
    std::size_t plus_tiles_ = 0;
    std::size_t tiles_ = 0;
    std::size_t rows_ = 0;
    std::size_t next_ = 0;  // place of the next row
    std::unique_ptr<double[], Free> values_;
    std::vector<std::int32_t> numbers_;
};

struct Box {
    std::span<const double> centre;
    std::span<const double> half_width;
};

// What is known of a box: the alphas of its minus rows, a place for each of their tiles' rows.
struct BoxState {
    std::vector<double> alpha;
    std::size_t cut_rows = 0;
    std::size_t branch = 0;  // coordinate to halve
};

class BoxBound {
public:
    // For at most `tiles` tiles of rows of length r.
    BoxBound(std::size_t tiles, std::size_t r);

    // Upper bound of F(u) / |u| over the box, whose cut rows are among these. Where `around` is
    // given, the state of a box around it with the same rows, its alphas are where to start.
    // Stops early once the bound is at most theta. In real arithmetic.
    double operator()(const RowTiles& rows, const Box& box, double theta, const BoxState* around,
                      BoxState& state);

    // Rows of tile t that the box cuts, a bit each, and all products with the centre.
    static std::uint32_t cut(const RowTiles& rows, std::size_t t, const Box& box,
                             std::span<double> products);

    // Where the majorant of the last bound is largest.
    std::span<const double> maximiser() const { return maximiser_; }

private:
    double majorant(const Box& box);
    void bend(const Box& box, double by);

    std::size_t r_;
    std::vector<double> products_;  // of minus rows with the centre
    std::vector<double> sums_;      // eight parts of each sum
    std::vector<double> hessian_;   // upper triangle of that of the plus rows
    std::vector<double> w_, linear_, gradient_, best_, curvature_, maximiser_;
};

}  // namespace convexnn
