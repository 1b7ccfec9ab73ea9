// The gated program over all patterns, as every solver meets it between its own steps: prices, the
// dual points they make feasible, and the patterns that no optimum uses.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <memory>
#include <numeric>
#include <span>
#include <vector>

#include "convexnn/base/dense.hpp"
#include "convexnn/base/vectors.hpp"
#include "convexnn/program/masked_products.hpp"
#include "convexnn/solve/gap_record.hpp"

namespace convexnn {

template <typename Loss>
class FullProgram : public GapRecord<Loss> {
    using Base = GapRecord<Loss>;

public:
    FullProgram(const GroupLasso& problem, DataTerm<Loss>& data, const SolverSettings& settings,
                Monitor& monitor)
        : Base(problem, data, settings, monitor),
          products_(problem.A.X, problem.A.patterns, 1.0, &deadline_),
          prices_(problem.A.blocks()),
          adjoints_(new double[problem.A.blocks() * problem.block_size()]),
          survivors_(problem.A.blocks()) {
        keep_all();
    }

    MaskedProducts<double>& products() { return products_; }

    // Prices every pattern at v = -loss gradient of some fit, and keeps the best feasible multiple
    // of any v met so far. False: stopped.
    bool price(std::span<const double> v) {
        keep_all();
        if (!products_.adjoint(problem_.by_output(v), adjoints(), settings_.threads, deadline_)) {
            return false;
        }
        const double largest = largest_of(v);
        // Forgets a bound that rests on screening.
        this->improve_dual(v, largest, [this](double t) { return excess(t); });
        return true;
    }

    // The same without the patterns screened; the dual bound then holds by the screening, and the
    // dual point of the result stays the best one of `price`.
    bool price_survivors(std::span<const double> v) {
        if (survivors_.size() == prices_.size()) {
            return price(v);
        }
        const MatrixView<double> out(adjoints_.get(), problem_.block_size(), survivors_.size());
        if (!products_.adjoint(problem_.by_output(v), survivors_, out, settings_.threads,
                               deadline_)) {
            return false;
        }
        const double largest = largest_of(v);
        this->bound_at(v, largest, [this](double t) { return excess(t); });
        bound_ = std::max(bound_, bound_at_v_);
        return true;
    }

    // Gap-safe screening (Ndiaye, Fercoq, Gramfort and Salmon, JMLR 2017), after a pricing of v.
    // The loss has curvature at most C = kCurvature max_k s_k, so D is strongly concave and the
    // optimal dual point lies within R = sqrt(2 C gap) of t v. A pattern i with
    //   ||X^T D_i t v|| + ||X||_2 R < beta w_i
    // is zero at every optimum: no later `price_survivors` looks at it. Blocks for which
    // `is_zero(i)` is false are kept. False: stopped.
    template <typename IsZero>
    bool screen(double objective, const IsZero& is_zero) {
        if (spectral_bound_ < 0.0 && !bound_spectral_norm()) {
            return false;
        }
        // Room for the rounding of both values; what is dropped wrongly is found by `price`.
        const double gap = objective - bound_at_v_ + 1e-12 * this->scale(objective);
        const double largest_weight = *std::ranges::max_element(problem_.samples.s);
        const double reach =
            spectral_bound_ * std::sqrt(2.0 * Loss::kCurvature * largest_weight * gap);
        std::erase_if(survivors_, [&](std::size_t i) {
            const double w = problem_.weights[i];
            return is_zero(i) && std::abs(scale_) * prices_[i] * w + reach < problem_.beta * w;
        });
        return true;
    }

    // Every pattern, or those that screening left; in rising order.
    std::span<const std::size_t> survivors() const { return survivors_; }
    bool screened() const { return survivors_.size() < prices_.size(); }

    // Of the last v of `price`: X^T D_i v (d K x P); of the last v priced: ||X^T D_i v|| / w_i of
    // the survivors, and the largest of those.
    MatrixView<double> adjoints() const {
        return {adjoints_.get(), problem_.block_size(), problem_.A.blocks()};
    }
    std::span<double> prices() { return prices_; }
    MatrixView<const double> adjoints_view() const {
        return {adjoints_.get(), problem_.block_size(), problem_.A.blocks()};
    }
    double largest_price() const { return largest_; }

private:
    using Base::bound_;
    using Base::bound_at_v_;
    using Base::deadline_;
    using Base::problem_;
    using Base::scale_;
    using Base::settings_;

    bool is_empty(std::size_t i) const {
        const std::span<const std::uint64_t> words = problem_.A.patterns.column(i);
        return std::all_of(words.begin(), words.end(),
                           [](std::uint64_t word) { return word == 0; });
    }

    void keep_all() {
        survivors_.resize(prices_.size());
        std::iota(survivors_.begin(), survivors_.end(), std::size_t{0});
    }

    // ||X||_2^2 <= max_j sum_k |X^T X|_jk; the Frobenius norm where X^T X would be larger than X.
    bool bound_spectral_norm() {
        const MatrixView<const double> X = problem_.A.X;
        if (X.columns > X.rows) {
            double squares = 0.0;
            for (std::size_t j = 0; j < X.columns; ++j) {
                const double size = norm(X.column(j));
                squares += size * size;
            }
            spectral_bound_ = std::sqrt(squares);
            return true;
        }
        const std::size_t d = X.columns;
        std::vector<double> gram(d * d), sums(d, 0.0);
        const MatrixView<double> G(gram.data(), d, d);
        dense::Workspace workspace(settings_.threads);
        if (dense::symmetric_product(1.0, X, dense::Op::transposed, 0.0, G, workspace, deadline_) !=
            dense::Outcome::done) {
            return false;
        }
        for (std::size_t k = 0; k < d; ++k) {
            sums[k] += G.column(k)[k];
            for (std::size_t j = k + 1; j < d; ++j) {  // the lower triangle
                sums[j] += std::abs(G.column(k)[j]);
                sums[k] += std::abs(G.column(k)[j]);
            }
        }
        spectral_bound_ = std::sqrt(*std::ranges::max_element(sums));
        return true;
    }

    // Prices of the survivors from their adjoints; returns a bound of every exact one.
    double largest_of(std::span<const double> v) {
        largest_ = 0.0;
        double bound = 0.0;
        rounding_ = adjoint_rounding(problem_.A, v);
        const double norm_rounding = this->norm_rounding();
        for (std::size_t a = 0; a < survivors_.size(); ++a) {
            const std::size_t i = survivors_[a];
            const double size = norm(adjoints().column(a));
            prices_[i] = size / problem_.weights[i];
            largest_ = std::max(largest_, prices_[i]);
            if (size > 0.0 || !is_empty(i)) {
                bound = std::max(bound, (size + rounding_) * norm_rounding / problem_.weights[i]);
            }
        }
        return bound;
    }

    double norm_rounding() const {
        return 1.0 + (static_cast<double>(problem_.block_size()) + 8.0) * 0x1p-53;
    }

    // At least sum_i (t ||X^T D_i v|| - beta w_i)_+^2 / 2 over the survivors at the last v priced.
    double excess(double t) const {
        double sum = 0.0;
        for (const std::size_t i : survivors_) {
            const double w = problem_.weights[i];
            const double size = (prices_[i] * w + rounding_) * norm_rounding();
            const double over = std::max(0.0, std::abs(t) * size - problem_.beta * w);
            sum += over * over;
        }
        return 0.5 * sum;
    }

    MaskedProducts<double> products_;
    std::vector<double> prices_;
    double rounding_ = 0.0;  // of the adjoints of the last v priced
    double largest_ = 0.0;
    std::unique_ptr<double[]> adjoints_;  // d K x P
    std::vector<std::size_t> survivors_;
    double spectral_bound_ = -1.0;
};

}  // namespace convexnn
