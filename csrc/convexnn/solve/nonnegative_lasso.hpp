// A lasso with non-negative coefficients whose columns (atoms) come and go:
//
//     minimise  c'Gc / 2 - b'c + beta 1'c   subject to  c >= 0,     G = A'HA
//
// Primal active set: Lawson and Hanson (1974), "Solving Least Squares Problems", chapter 23, with
// several atoms entering at a time, a ratio test that keeps every iterate feasible, and a Cholesky
// factor of the support that is updated row by row. Block pivoting fails here: the atoms of a
// cutting-plane method are nearly equal by the end.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "convexnn/base/monitor.hpp"
#include "convexnn/base/views.hpp"

namespace convexnn {

struct NonnegativeLassoSettings {
    // Least slope b_a - (Gc)_a - beta at which an atom enters, relative to
    // |b_a| + beta + sqrt(c'Gc G_aa).
    double tolerance = 1e-13;
    // Atoms that may enter at a time.
    std::size_t most_entering = 30;
    // Rounds, as a multiple of the atoms, plus 100.
    std::size_t max_rounds = 10;
};

struct NonnegativeLassoResult {
    enum class Outcome {
        done,     // excess <= 10 tolerance
        stalled,  // no further progress, or too many rounds; c >= 0 and no worse than it was
        stopped,  // the monitor said so; likewise
    };
    Outcome outcome = Outcome::done;
    double objective = 0.0;
    // The largest slope of an atom with c = 0, or absolute slope of the others, relative likewise.
    double excess = 0.0;
    std::size_t support = 0;
    std::size_t rounds = 0;  // solves with the factor
};

// Holds G, b and c. Memory: capacity^2 + support^2 numbers, grown by doubling; only add and solve
// allocate, and only when that capacity has to grow.
class NonnegativeLasso {
public:
    explicit NonnegativeLasso(std::size_t capacity = 64);

    std::size_t atoms() const { return b_.size(); }

    // The next atom: its inner products with the atoms before it and then with itself (atoms() + 1
    // numbers, the last > 0, else std::invalid_argument), and its entry of b. Its coefficient is 0.
    // O(atoms).
    void add(std::span<const double> column, double b);

    // Keeps the atoms with keep[a] != 0, in their order; keep has atoms() entries, and all atoms of
    // the support must be kept, else std::invalid_argument. O(atoms^2).
    void prune(std::span<const char> keep);

    // A new b (atoms() entries), as when the data fit changed; c stays.
    void set_linear(std::span<const double> b);

    // Starts from the c of the last solve. beta >= 0. A round costs O(support^2 + atoms support);
    // asks `monitor` once a round. The relative ridge on G's diagonal is 1e-13: without it two
    // equal atoms have no factor.
    NonnegativeLassoResult solve(double beta, const NonnegativeLassoSettings& settings,
                                 Monitor& monitor);

    std::span<const double> coefficients() const { return c_; }
    // The atoms with c > 0, in the order in which they entered.
    std::span<const std::size_t> support() const { return support_; }
    // b - Gc - beta, as the last solve left it: what an atom would gain by entering.
    std::span<const double> slope() const { return slope_; }

private:
    double gram(std::size_t i, std::size_t j) const { return gram_[i * stride_ + j]; }
    void reserve_factor(std::size_t rows);
    bool append(std::size_t atom, double least_pivot);
    void remove(std::size_t position);
    void target(double beta);
    bool advance(double beta);
    bool enter(double beta, const NonnegativeLassoSettings& settings);
    double slope_scale(std::size_t atom, double beta) const;
    double excess(double beta) const;
    void refresh_slope(double beta);
    double objective(double beta) const;

    std::size_t stride_;
    std::vector<double> gram_;  // symmetric, row by row
    std::vector<double> b_, c_, slope_;
    std::vector<std::size_t> support_;
    // Row i of the lower factor of the support's G at i * factor_stride_.
    std::size_t factor_stride_ = 0;
    std::vector<double> factor_;
    std::vector<double> target_, work_;
    double fit_ = 0.0;  // sqrt(c'Gc)
    std::vector<std::size_t> entering_;
    std::vector<char> barred_;
};

}  // namespace convexnn
