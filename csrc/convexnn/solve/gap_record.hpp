// What every solver keeps of its gap: the best dual point so far, the best lower bound, the record
// of both, and the time.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <span>
#include <utility>
#include <vector>

#include "convexnn/program/data_term.hpp"
#include "convexnn/solve/deadline.hpp"
#include "convexnn/solve/group_lasso.hpp"

namespace convexnn {

// What relative gaps are multiplied by.
inline double gap_scale(double objective, double objective_at_zero) {
    return std::max(std::abs(objective), 1e-10 * objective_at_zero);
}

// gap / scale; 0 where both are 0.
inline double relative_gap(double objective, double dual_objective, double objective_at_zero) {
    const double scale = gap_scale(objective, objective_at_zero);
    const double gap = objective - dual_objective;
    return scale > 0.0 ? gap / scale : (gap > 0.0 ? std::numeric_limits<double>::infinity() : 0.0);
}

struct DualMultiple {
    double scale, value;
};

// The t of the largest lower bound D(t v) - excess(t) / ridge, about, t <= beta / largest without a
// ridge; excess is zero up to there.
template <typename Loss, typename Excess>
DualMultiple best_multiple(const GroupLasso& problem, const DataTerm<Loss>& data,
                           std::span<const double> v, double largest, const Excess& excess) {
    if (!data.balanced(v)) {
        return {0.0, data.dual_value(v, 0.0)};
    }
    const double feasible = data.best_dual_scale(v, problem.beta / largest);
    DualMultiple best{feasible, data.dual_value(v, feasible)};
    if (!(problem.ridge > 0.0)) {
        return best;
    }
    // Concave in t; golden sections between what is feasible and what would be best without prices.
    constexpr double kGolden = 0.6180339887498949;
    constexpr int kSections = 40;
    const auto value = [&](double t) { return data.dual_value(v, t) - excess(t) / problem.ridge; };
    double low = feasible;
    double high = std::max(feasible, data.best_dual_scale(v, HUGE_VAL));
    for (const double t : {high, std::min(1.0, high)}) {
        const double at = value(t);
        best = at > best.value ? DualMultiple{t, at} : best;
    }
    double inner = high - kGolden * (high - low);
    double outer = low + kGolden * (high - low);
    double at_inner = value(inner);
    double at_outer = value(outer);
    for (int section = 0; section < kSections && high > low; ++section) {
        if (at_inner >= at_outer) {
            best = at_inner > best.value ? DualMultiple{inner, at_inner} : best;
            high = outer;
            outer = inner;
            at_outer = at_inner;
            inner = high - kGolden * (high - low);
            at_inner = value(inner);
        } else {
            best = at_outer > best.value ? DualMultiple{outer, at_outer} : best;
            low = inner;
            inner = outer;
            at_inner = at_outer;
            outer = low + kGolden * (high - low);
            at_outer = value(outer);
        }
    }
    return best;
}

template <typename Loss>
class GapRecord {
public:
    GapRecord(const GroupLasso& problem, DataTerm<Loss>& data, const SolverSettings& settings,
              Monitor& monitor)
        : problem_(problem),
          data_(data),
          settings_(settings),
          deadline_(monitor, settings.time_limit),
          dual_(problem.fits(), 0.0) {
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
    double scale(double objective) const { return gap_scale(objective, objective_at_zero_); }

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
    // Keeps the best feasible multiple t v of any v met so far. `largest` is at least every exact
    // price at v; excess(t) at least the sum over all blocks of
    //   (t ||X^T D_i v|| - beta w_i)_+^2 / 2,
    // which with a ridge any v may pay for, over the ridge, instead of being feasible.
    template <typename Excess>
    void improve_dual(std::span<const double> v, double largest, const Excess& excess) {
        bound_at(v, largest, excess);
        if (bound_at_v_ > dual_objective_) {
            std::ranges::transform(v, dual_.begin(), [this](double x) { return scale_ * x; });
            dual_objective_ = problem_.ridge > 0.0 ? bound_at_v_ : data_.dual_value(dual_, 1.0);
        }
        bound_ = dual_objective_;
    }
    template <typename Excess>
    void bound_at(std::span<const double> v, double largest, const Excess& excess) {
        const DualMultiple best = best_multiple(problem_, data_, v, largest, excess);
        scale_ = best.scale;
        bound_at_v_ = best.value;
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
