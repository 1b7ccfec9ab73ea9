// What every solver keeps of its gap: the best dual point so far, the best lower bound, the record
// of both, and the time.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <span>
#include <utility>
#include <vector>

#include "convexnn/solve/deadline.hpp"
#include "convexnn/solve/group_lasso.hpp"

namespace convexnn {

template <typename Loss>
class GapRecord {
public:
    GapRecord(const GroupLasso& problem, DataTerm<Loss>& data, const SolverSettings& settings,
              Monitor& monitor)
        : problem_(problem),
          data_(data),
          settings_(settings),
          deadline_(monitor, settings.time_limit),
          dual_(problem.A.rows(), 0.0) {
        history_.reserve(kHistory);
        objective_at_zero_ = data.value(dual_);
        dual_objective_ = data.dual_value(dual_, 1.0);
        bound_ = dual_objective_;
    }

    Deadline& deadline() { return deadline_; }
    double objective_at_zero() const { return objective_at_zero_; }
    double dual_objective() const { return bound_; }
    double gap(double objective) const { return objective - bound_; }
    double relative(double objective) const {
        return relative_gap(objective, bound_, objective_at_zero_);
    }
    bool proved(double objective) const { return relative(objective) <= settings_.tol; }
    // What relative gaps are multiplied by.
    double scale(double objective) const {
        return std::max(std::abs(objective), 1e-10 * objective_at_zero_);
    }

    // Records the state at a check of the gap; true when the monitor says stop.
    bool record(std::size_t iteration, double objective, std::size_t active) {
        const Progress progress{iteration, objective, bound_, active, deadline_.seconds()};
        if (history_.size() == kHistory) {
            history_.pop_back();
        }
        history_.push_back(progress);
        return deadline_.report(progress) || deadline_.stop_requested();
    }

    // Whether a record of this objective would tell more than the last one does.
    bool is_news(double objective) const {
        return !history_.empty() &&
               (history_.back().objective != objective || history_.back().dual_objective != bound_);
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

protected:
    // Keeps the best feasible multiple t v of any v met so far; `largest` is at least every exact
    // price at v.
    void improve_dual(std::span<const double> v, double largest) {
        bound_at(v, largest);
        if (bound_at_v_ > dual_objective_) {
            std::ranges::transform(v, dual_.begin(), [this](double x) { return scale_ * x; });
            dual_objective_ = data_.dual_value(dual_, 1.0);
        }
        bound_ = dual_objective_;
    }
    void bound_at(std::span<const double> v, double largest) {
        scale_ = data_.best_dual_scale(v, problem_.beta / largest);
        bound_at_v_ = data_.dual_value(v, scale_);
    }

    const GroupLasso& problem_;
    DataTerm<Loss>& data_;
    const SolverSettings settings_;
    Deadline deadline_;
    double bound_ = 0.0;       // the best lower bound of the optimum
    double scale_ = 0.0;       // t of the last v priced
    double bound_at_v_ = 0.0;  // D(t v)

private:
    std::vector<double> dual_;  // feasible for every pattern
    double objective_at_zero_ = 0.0;
    double dual_objective_ = 0.0;  // of dual_
    std::vector<Progress> history_;
};

}  // namespace convexnn
