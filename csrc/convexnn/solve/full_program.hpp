// The program over all patterns, as every solver meets it between its own steps: prices, the best
// dual point so far, the gap, and the record of both.
#pragma once

#include <algorithm>
#include <cstddef>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "convexnn/program/masked_products.hpp"
#include "convexnn/solve/deadline.hpp"
#include "convexnn/solve/group_lasso.hpp"
#include "convexnn/solve/group_prox.hpp"

namespace convexnn {

template <typename Loss>
class FullProgram {
public:
    FullProgram(const GroupLasso& problem, DataTerm<Loss>& data, const SolverSettings& settings,
                Monitor& monitor)
        : problem_(problem),
          data_(data),
          settings_(settings),
          deadline_(monitor, settings.time_limit),
          products_(problem.A.X, problem.A.patterns),
          prices_(problem.A.blocks()),
          adjoints_(new double[problem.A.blocks() * problem.A.width()]),
          dual_(problem.A.rows(), 0.0) {
        history_.reserve(kHistory);
        objective_at_zero_ = data.value(dual_);
        dual_objective_ = data.dual_value(dual_, 1.0);
    }

    Deadline& deadline() { return deadline_; }
    MaskedProducts<double>& products() { return products_; }
    double objective_at_zero() const { return objective_at_zero_; }
    double dual_objective() const { return dual_objective_; }
    double gap(double objective) const { return objective - dual_objective_; }
    double relative(double objective) const {
        return relative_gap(objective, dual_objective_, objective_at_zero_);
    }
    bool proved(double objective) const { return relative(objective) <= settings_.tol; }
    // What relative gaps are multiplied by.
    double scale(double objective) const {
        return std::max(std::abs(objective), 1e-10 * objective_at_zero_);
    }

    // Prices every pattern at v = -loss gradient of some fit, and keeps the best feasible multiple
    // of any v met so far. False: stopped.
    bool price(std::span<const double> v) {
        const MatrixView<const double> V(v.data(), v.size(), 1);
        if (!products_.adjoint(V, adjoints(), settings_.threads, deadline_)) {
            return false;
        }
        largest_ = 0.0;
        double bound = 0.0;
        const double rounding = adjoint_rounding(problem_.A, v);
        const double norm_rounding =
            1.0 + (static_cast<double>(problem_.A.width()) + 8.0) * 0x1p-53;
        for (std::size_t i = 0; i < prices_.size(); ++i) {
            const double size = norm(adjoints().column(i));
            prices_[i] = size / problem_.weights[i];
            largest_ = std::max(largest_, prices_[i]);
            if (size > 0.0 || !is_empty(i)) {
                bound = std::max(bound, (size + rounding) * norm_rounding / problem_.weights[i]);
            }
        }
        improve_dual(v, bound);
        return true;
    }

    // Of the last v priced: X^T D_i v (d x P), ||X^T D_i v|| / w_i, and the largest of those.
    MatrixView<double> adjoints() const {
        return {adjoints_.get(), problem_.A.width(), problem_.A.blocks()};
    }
    std::span<double> prices() { return prices_; }
    MatrixView<const double> adjoints_view() const {
        return {adjoints_.get(), problem_.A.width(), problem_.A.blocks()};
    }
    double largest_price() const { return largest_; }

    // Records the state at a check of the gap; true when the monitor says stop.
    bool record(std::size_t iteration, double objective, std::size_t active) {
        const Progress progress{iteration, objective, dual_objective_, active, deadline_.seconds()};
        if (history_.size() == kHistory) {
            history_.pop_back();
        }
        history_.push_back(progress);
        return deadline_.report(progress) || deadline_.stop_requested();
    }

    // The parts of a result that belong to the dual; the solver adds its blocks and objective.
    GroupLassoResult finish(Status status, std::size_t n_iter) {
        GroupLassoResult result;
        result.dual = std::move(dual_);
        result.dual_objective = dual_objective_;
        result.status = status;
        result.n_iter = n_iter;
        result.seconds = deadline_.seconds();
        result.history = std::move(history_);
        return result;
    }

private:
    bool is_empty(std::size_t i) const {
        const std::span<const std::uint64_t> words = problem_.A.patterns.column(i);
        return std::all_of(words.begin(), words.end(),
                           [](std::uint64_t word) { return word == 0; });
    }

    // `bound` is at least every exact price at v.
    void improve_dual(std::span<const double> v, double bound) {
        const double t = data_.best_dual_scale(v, problem_.beta / bound);
        if (data_.dual_value(v, t) > dual_objective_) {
            std::ranges::transform(v, dual_.begin(), [t](double x) { return t * x; });
            dual_objective_ = data_.dual_value(dual_, 1.0);
        }
    }

    const GroupLasso& problem_;
    DataTerm<Loss>& data_;
    const SolverSettings settings_;
    Deadline deadline_;
    MaskedProducts<double> products_;
    std::vector<double> prices_;
    double largest_ = 0.0;
    std::unique_ptr<double[]> adjoints_;  // d x P
    std::vector<double> dual_;
    double objective_at_zero_ = 0.0;
    double dual_objective_ = 0.0;  // of dual_
    std::vector<Progress> history_;
};

}  // namespace convexnn
