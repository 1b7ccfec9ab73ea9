// Local search for a neuron of large price: difference-of-convex ascent on
//
//     F(u) = sum_p (p.u)_+ - sum_q (q.u)_+,   |u| = 1,
//
// over the rows p of one matrix and q of another. Both sums are support functions of zonotopes. For
// the rows A = {p : p.u > 0} and their sum p_A,
//
//     max_{|u| <= 1} p_A.u - sum_q (q.u)_+ = dist(p_A, Z),   Z = sum_q [0, q],
//
// is attained at the direction from the nearest point of Z to p_A, and nowhere above F there. So
// A -> u -> A climbs, and ends after finitely many steps.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "convexnn/base/monitor.hpp"
#include "convexnn/base/views.hpp"

namespace convexnn {

// sum_k (row_k.u)_+, and in `point` the sum of the rows with row_k.u > 0: the point of the zonotope
// of the rows farthest along u. `rows` (m x r) may have no row; `point` (r) must not overlap u (r).
// 4 m r flops; does not allocate.
double support(MatrixView<const double> rows, std::span<const double> u, std::span<double> point);

// F(u); `work` holds r entries. Does not allocate.
double price_at(MatrixView<const double> plus, MatrixView<const double> minus,
                std::span<const double> u, std::span<double> work);

// How near to a point the zonotope of some rows comes.
struct ZonotopeDistance {
    double upper = 0.0;  // |p - z| of the point z found
    double lower = 0.0;  // no point of the zonotope is nearer (to rounding); >= 0
    std::size_t steps = 0;
};

// Nearest point of Z = sum_q [0, q] to a given one, by Wolfe's method: the point of the convex hull
// of a few vertices ("corral", at most min(m, r) + 1) nearest to p, then the vertex of Z farthest
// along the direction that is left, and so on. The corral is kept from call to call. The rows (m x
// r) must outlive it. Allocates on construction only.
class ZonotopeProjection {
public:
    explicit ZonotopeProjection(MatrixView<const double> rows);

    // Forgets the corral: the next call begins at the vertex of Z farthest along `direction`.
    void restart(std::span<const double> direction);

    // Stops once upper^2 - upper * lower <= tolerance * upper^2, once `upper` is rounding of the
    // lengths of p and z, once rounding lets no vertex improve it, or after `most_steps` vertices.
    // Every step costs a `support` and O(r^2).
    ZonotopeDistance nearest(std::span<const double> p, double tolerance, std::size_t most_steps);

    // Of the last call: z, a convex combination of vertices; p - z.
    std::span<const double> point() const { return z_; }
    std::span<const double> residual() const { return w_; }

private:
    std::span<double> vertex(std::size_t i) { return {vertices_.data() + i * r_, r_}; }
    std::span<double> axis(std::size_t i) { return {axes_.data() + i * r_, r_}; }
    bool extend();  // axes for one more vertex of the corral; false: it adds no dimension
    void rebuild();
    void drop(std::size_t i);
    void minimise(std::span<const double> p);
    void combine(std::span<const double> p);

    MatrixView<const double> rows_;
    std::size_t r_;
    std::size_t most_;              // dimensions of the corral: no more than Z has
    std::size_t count_ = 0;         // vertices in the corral
    std::size_t spanned_ = 0;       // of which this many have their axes
    std::vector<double> vertices_;  // r x (most + 2)
    std::vector<double> weights_;   // most + 2, non-negative, of sum 1
    // Orthonormal axes of the differences vertex_i - vertex_0, and the triangle of these in them.
    std::vector<double> axes_;      // r x most
    std::vector<double> triangle_;  // (most + 1) x (most + 1), column i: vertex_i - vertex_0
    std::vector<double> target_, z_, w_, next_;
};

struct AscentSettings {
    double tolerance = 1e-10;       // of the squared distance, and of F, at the end
    double coarse = 1e-2;           // of the squared distance, while the rows that count change
    std::size_t most_rounds = 500;  // changes of these
    std::size_t most_steps = 100;   // vertices of one projection
    double seconds = 1e300;         // after which every start ends where it is
};

// Climbs from every column of `U` (r x k; any length but 0) to a local maximum of F: on return the
// columns have length 1 and `values` (k) holds F of them, never below F of the start. A column
// whose F is not positive at the end may be anything of length 1. What a start gives does not
// depend on the number of threads, nor on the other starts. False: the monitor said stop, and
// `U` and `values` are unspecified.
bool ascend(MatrixView<const double> plus, MatrixView<const double> minus, MatrixView<double> U,
            std::span<double> values, std::size_t threads, const AscentSettings& settings,
            Monitor& monitor);

}  // namespace convexnn
