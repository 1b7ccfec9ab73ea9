// The ReLU program over all patterns, as its solver meets it between its own steps: prices by cone
// projections, and the dual points they make feasible.
//
// Inside of the solver block 2 i is v_i and block 2 i + 1 is w_i, both times p_i: the penalty is
// then beta sum_b ||u_b|| + sum_b r_b ||u_b||^2 / 2, r_b = ridge / p_i^2, and the features of block
// b are F_b = +-D_i X / p_i.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "convexnn/base/simd.hpp"
#include "convexnn/base/vectors.hpp"
#include "convexnn/program/masked_products.hpp"
#include "convexnn/solve/cone_lasso.hpp"
#include "convexnn/solve/cone_projection.hpp"
#include "convexnn/solve/gap_record.hpp"

namespace convexnn {

template <typename Loss>
class ConeProgram : public GapRecord<Loss> {
    using Base = GapRecord<Loss>;

public:
    ConeProgram(const ConeLasso& problem, DataTerm<Loss>& data, const SolverSettings& settings,
                Monitor& monitor)
        : Base(problem.base, data, settings, monitor),
          slope_(problem.slope),
          d_(problem.base.A.width()),
          patterns_(problem.base.A.blocks()),
          products_(problem.base.A.X, problem.base.A.patterns),
          projections_(problem.base.A.X, problem.base.A.patterns, settings.threads,
                       problem.base.A.blocks() - (problem.linear_part ? 1 : 0)),
          adjoints_(patterns_ * d_),
          plain_adjoint_(d_),
          compact_(patterns_ * d_),
          fit_part_(problem.base.A.rows()),
          projected_(2 * patterns_ * d_),
          prices_(2 * patterns_),
          results_(2 * patterns_) {
        for (std::vector<std::size_t>* list : {&priced_, &listed_, &candidates_}) {
            list->reserve(2 * patterns_);
        }
        bounds_.reserve(2 * patterns_);
        queue_.reserve(2 * patterns_);
        found_.reserve(2 * patterns_);
    }

    // Prices every block at v = -loss gradient of some fit: q_b = ||p_b||, p_b the projection of
    // F_b'v onto the cone of b, and keeps the best feasible multiple of any v met so far. Exact are
    // the blocks of `kept`, and of the others the `most` largest prices above beta: projecting
    // stops where a bound shows that a block is none of those. False: stopped.
    bool price(std::span<const double> v, std::span<const std::size_t> kept, std::size_t most) {
        const MatrixView<double> G(adjoints_.data(), d_, patterns_);
        if (!products_.adjoint({v.data(), v.size(), 1}, G, settings_.threads, deadline_)) {
            return false;
        }
        add_plain_adjoint(v);
        const double beta = problem_.beta;
        double bound = 0.0;
        double rest = 0.0;  // sum of p_i^2 over the blocks that are priced by their adjoint alone
        candidates_.clear();
        for (std::size_t i = 0; i < patterns_; ++i) {
            finish_adjoint(G.column(i), i);
            const double size = norm(G.column(i));
            for (const std::size_t b : {2 * i, 2 * i + 1}) {
                if (std::ranges::binary_search(kept, b)) {
                    continue;
                }
                if (size > beta) {
                    candidates_.push_back(b);
                } else if (size > 0.0 || !is_empty(i)) {  // no projection is longer
                    bound = std::max(bound, with_rounding(size, i));
                    rest += problem_.weights[i] * problem_.weights[i];
                }
            }
        }
        const double rest_bound = bound;
        priced_.assign(kept.begin(), kept.end());
        if (!project(0, kept.size(), -1.0) || !project_largest(most)) {
            return false;
        }
        largest_ = 0.0;
        for (std::size_t t = 0; t < priced_.size(); ++t) {
            largest_ = std::max(largest_, prices_[t]);
            bound = std::max(bound, with_rounding(results_[t].bound, priced_[t] / 2));
        }
        for (const Candidate& left : queue_) {
            bound = std::max(bound, with_rounding(left.bound, left.block / 2));
        }
        this->improve_dual(v, bound, [&](double t) {
            t = std::abs(t);
            double sum = rest * half_square(t * rest_bound - beta);
            for (std::size_t b = 0; b < priced_.size(); ++b) {
                sum += excess(t * with_rounding(results_[b].bound, priced_[b] / 2), priced_[b]);
            }
            for (const Candidate& left : queue_) {
                sum += excess(t * with_rounding(left.bound, left.block / 2), left.block);
            }
            return sum;
        });
        return true;
    }

    // F_b'v for the blocks of `listed` (rising), for adjoint().
    bool load_adjoints(std::span<const double> v, std::span<const std::size_t> listed) {
        listed_.clear();
        for (const std::size_t b : listed) {
            if (listed_.empty() || listed_.back() != b / 2) {
                listed_.push_back(b / 2);
            }
        }
        const MatrixView<double> compact(compact_.data(), d_, listed_.size());
        if (!products_.adjoint({v.data(), v.size(), 1}, listed_, compact, settings_.threads,
                               deadline_)) {
            return false;
        }
        add_plain_adjoint(v);
        const MatrixView<double> G(adjoints_.data(), d_, patterns_);
        for (std::size_t t = 0; t < listed_.size(); ++t) {
            std::ranges::copy(compact.column(t), G.column(listed_[t]).begin());
            finish_adjoint(G.column(listed_[t]), listed_[t]);
        }
        return true;
    }

    // Prices of those blocks alone; the dual point stays.
    bool price_listed(std::span<const double> v, std::span<const std::size_t> listed) {
        priced_.assign(listed.begin(), listed.end());
        return load_adjoints(v, listed) && project(0, priced_.size(), -1.0);
    }

    // Projects column t of `start` onto the cone of blocks[t], distinct ones, whose prices are then
    // not known any more; what has no projection to rounding becomes zero. False: stopped.
    bool project_start(std::span<const std::size_t> blocks, MatrixView<double> start) {
        const MatrixView<double> G(adjoints_.data(), d_, patterns_);
        for (const std::size_t half : {0U, 1U}) {
            priced_.clear();
            for (std::size_t t = 0; t < blocks.size(); ++t) {
                if (blocks[t] % 2 == half) {
                    priced_.push_back(blocks[t]);
                    std::ranges::transform(start.column(t), G.column(blocks[t] / 2).begin(),
                                           [&](double x) { return sign(blocks[t]) * x; });
                }
            }
            if (!project(0, priced_.size(), -1.0)) {
                return false;
            }
            std::size_t at = 0;
            for (std::size_t t = 0; t < blocks.size(); ++t) {
                if (blocks[t] % 2 == half) {
                    if (usable(results_[at])) {
                        std::ranges::copy(projection(at), start.column(t).begin());
                    } else {
                        std::ranges::fill(start.column(t), 0.0);
                    }
                    ++at;
                }
            }
        }
        return true;
    }

    // Of the last pricing: the blocks, first `kept` or `listed`, then others in no order, which
    // hold those of the `most` largest prices above beta; their prices (any number <= beta for
    // some that are none of those) and projections.
    std::span<const std::size_t> priced() const { return priced_; }
    std::span<const double> prices() const { return {prices_.data(), priced_.size()}; }
    std::span<const double> projection(std::size_t t) const {
        return {projected_.data() + t * d_, d_};
    }
    // Of `listed` or of all blocks priced: whether each projection is one, to rounding.
    bool exact() const { return exact_; }
    double largest_price() const { return largest_; }
    // Of the last projection of block b: the rows of X at right angles to it.
    std::span<const std::int32_t> active_rows(std::size_t b) const {
        return projections_.active(b);
    }
    // F_b'v of the last v for which b was asked for.
    void adjoint(std::size_t b, std::span<double> out) const {
        for (std::size_t j = 0; j < d_; ++j) {
            out[j] = sign(b) * adjoints_[b / 2 * d_ + j];
        }
    }

    // r_b
    double ridge(std::size_t b) const {
        const double p = problem_.weights[b / 2];
        return problem_.ridge / (p * p);
    }

    // F_b u
    void feature(std::size_t b, std::span<const double> u, std::span<double> out) const {
        const MaskedMatrix& A = problem_.A;
        simd::product(A.X.data, A.X.stride, A.rows(), d_, u.data(), out.data());
        mask(b, out);
    }
    // out <- F_b of the x with X x = out
    void mask(std::size_t b, std::span<double> out) const {
        const std::uint64_t* words = problem_.A.patterns.column(b / 2).data();
        const double on = sign(b) / problem_.weights[b / 2];
        for (std::size_t k = 0; k < out.size(); ++k) {
            out[k] *= (words[k / 64] >> (k % 64) & 1) != 0 ? on : slope_ * on;
        }
    }

    // f = sum over t of F_b u_t, b = blocks[t] (rising), u_t column t of U.
    bool fit(std::span<const std::size_t> blocks, MatrixView<const double> U, std::span<double> f) {
        listed_.clear();
        std::ranges::fill(plain_adjoint_, 0.0);
        for (std::size_t t = 0; t < blocks.size(); ++t) {
            const std::size_t i = blocks[t] / 2;
            if (listed_.empty() || listed_.back() != i) {
                std::fill_n(compact_.begin() + static_cast<std::ptrdiff_t>(listed_.size() * d_), d_,
                            0.0);
                listed_.push_back(i);
            }
            double* sum = compact_.data() + (listed_.size() - 1) * d_;
            const double factor = sign(blocks[t]) / problem_.weights[i];
            for (std::size_t j = 0; j < d_; ++j) {
                const double x = factor * U(j, t);
                sum[j] += (1.0 - slope_) * x;
                plain_adjoint_[j] += slope_ * x;
            }
        }
        if (!std::ranges::equal(products_.active(), listed_)) {
            products_.set_active(listed_);
        }
        const MatrixView<const double> sums(compact_.data(), d_, listed_.size());
        if (!products_.active_forward(sums, {f.data(), f.size(), 1}, settings_.threads,
                                      deadline_)) {
            return false;
        }
        if (slope_ != 0.0) {
            const MatrixView<const double>& X = problem_.A.X;
            simd::product(X.data, X.stride, X.rows, d_, plain_adjoint_.data(), fit_part_.data());
            simd::axpy(1.0, fit_part_.data(), f.data(), f.size());
        }
        return true;
    }

private:
    using Base::deadline_;
    using Base::problem_;
    using Base::settings_;

    struct Candidate {
        double bound;  // at least its price
        std::size_t block;
    };

    static double half_square(double x) { return x > 0.0 ? 0.5 * x * x : 0.0; }
    // What block b of such a price, times the ridge, costs the dual value: its ridge is ridge /
    // p^2.
    double excess(double price, std::size_t b) const {
        const double p = problem_.weights[b / 2];
        return p * p * half_square(price - problem_.beta);
    }

    static double sign(std::size_t b) { return b % 2 == 0 ? 1.0 : -1.0; }

    // X^T v, where D_i = slope I + (1 - slope) diag(pattern i) asks for it.
    void add_plain_adjoint(std::span<const double> v) {
        if (slope_ != 0.0) {
            const MatrixView<const double>& X = problem_.A.X;
            simd::transposed_product(X.data, X.stride, X.rows, d_, v.data(), plain_adjoint_.data());
        }
        // Twice, for the rounding of the sum of the two parts.
        const double parts = slope_ != 0.0 ? 2.0 * (std::abs(slope_) + (1.0 - slope_)) : 1.0;
        rounding_ = parts * adjoint_rounding(problem_.A, v);
    }
    void finish_adjoint(std::span<double> g, std::size_t i) const {
        const double weight = problem_.weights[i];
        for (std::size_t j = 0; j < d_; ++j) {
            const double masked =
                slope_ != 0.0 ? (1.0 - slope_) * g[j] + slope_ * plain_adjoint_[j] : g[j];
            g[j] = masked / weight;
        }
    }
    // At least the exact price where `size` is the one computed from rounded adjoints.
    double with_rounding(double size, std::size_t i) const {
        const double norm_rounding = 1.0 + (static_cast<double>(d_) + 12.0) * 0x1p-53;
        return (size + rounding_ / problem_.weights[i]) * norm_rounding;
    }

    // A block whose feature is zero, and its price exactly.
    bool is_empty(std::size_t i) const {
        const auto words = problem_.A.patterns.column(i);
        return slope_ == 0.0 && std::ranges::all_of(words, [](auto word) { return word == 0; });
    }
    // Whether it lies in its cone to rounding.
    static bool usable(const ConeProjection& result) {
        return result.outcome == Projected::exact ||
               (result.outcome == Projected::stalled && result.violation <= 1e-13 * result.norm);
    }

    // Appends to `priced_` the candidates that may have one of the `most` largest prices above
    // beta, those of the largest bounds first; the others stay in `queue_`.
    bool project_largest(std::size_t most) {
        bounds_.resize(candidates_.size());
        if (!projections_.bound(candidates_, {adjoints_.data(), d_, patterns_}, bounds_,
                                deadline_)) {
            return false;
        }
        queue_.clear();
        for (std::size_t t = 0; t < candidates_.size(); ++t) {
            queue_.push_back({bounds_[t], candidates_[t]});
        }
        std::ranges::sort(queue_, [](const Candidate& a, const Candidate& b) {
            return a.bound != b.bound ? a.bound > b.bound : a.block < b.block;
        });
        const auto count = static_cast<std::ptrdiff_t>(most);
        double threshold = problem_.beta;
        auto next = queue_.begin();
        found_.clear();
        while (next != queue_.end() && next->bound > threshold) {
            const std::size_t begin = priced_.size();
            const auto end = next + std::min(count, queue_.end() - next);
            for (; next != end && next->bound > threshold; ++next) {
                priced_.push_back(next->block);
            }
            if (!project(begin, priced_.size(), threshold)) {
                return false;
            }
            for (std::size_t t = begin; t < priced_.size(); ++t) {
                if (prices_[t] > problem_.beta) {
                    found_.push_back(prices_[t]);
                }
            }
            if (found_.size() >= most) {
                std::nth_element(found_.begin(), found_.begin() + count - 1, found_.end(),
                                 std::greater<>());
                found_.resize(most);
                threshold = found_.back();
            }
        }
        queue_.erase(queue_.begin(), next);
        return true;
    }

    bool project(std::size_t begin, std::size_t end, double threshold) {
        const std::span<const std::size_t> blocks(priced_.data() + begin, end - begin);
        const MatrixView<double> U(projected_.data() + begin * d_, d_, blocks.size());
        const std::span<ConeProjection> results(results_.data() + begin, blocks.size());
        if (!projections_.project(blocks, {adjoints_.data(), d_, patterns_}, threshold, U, results,
                                  deadline_)) {
            return false;
        }
        exact_ = begin == 0 || exact_;
        for (std::size_t t = begin; t < end; ++t) {
            const ConeProjection& result = results_[t];
            prices_[t] = usable(result) ? result.norm : std::min(result.norm, problem_.beta);
            exact_ = exact_ && (usable(result) || result.outcome == Projected::below);
        }
        return true;
    }

    double slope_;
    std::size_t d_, patterns_;
    MaskedProducts<double> products_;
    ConeProjections projections_;
    std::vector<double> adjoints_;  // d x P: of v_i's block
    std::vector<double> plain_adjoint_;
    std::vector<double> compact_;  // d x P
    std::vector<double> fit_part_;
    std::vector<std::size_t> priced_, listed_, candidates_;
    std::vector<double> bounds_;     // of candidates_
    std::vector<Candidate> queue_;   // by falling bounds
    std::vector<double> found_;      // the largest prices so far
    std::vector<double> projected_;  // d x 2 P, compact
    std::vector<double> prices_;
    std::vector<ConeProjection> results_;
    double rounding_ = 0.0;
    double largest_ = 0.0;
    bool exact_ = true;
};

}  // namespace convexnn
