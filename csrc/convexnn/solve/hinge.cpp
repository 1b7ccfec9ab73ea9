#include "convexnn/solve/hinge.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>
#include <vector>

#include "convexnn/base/simd.hpp"
#include "convexnn/solve/deadline.hpp"
#include "convexnn/solve/group_prox.hpp"

namespace convexnn {
namespace {

// 1: at f = 0 the smooth loss has the hinge's slope, so that zero is optimal for both or neither.
constexpr double kFirstWidth = 1.0;
constexpr double kFall = 0.3;   // of the width,
constexpr double kSlow = 0.3;   // where a program leaves more than that of the gap
constexpr double kRise = 10.0;  // ... where a program could not be solved
constexpr double kRoom = 3.0;   // least width after that, over the one that was too small
constexpr double kSmallestWidth = 1e-7;
constexpr double kFirstAccuracy = 1e-2;  // relative gap of the first smooth program,
constexpr double kAccuracy = 0.1;        // and of the others, of the gap that is left or of tol
constexpr std::size_t kPatience = 6;     // programs without a smaller gap until giving up

class Hinge {
public:
    Hinge(const GroupLasso& problem, double slope, const SolverSettings& settings, Monitor& monitor)
        : problem_(problem),
          slope_(slope),
          settings_(settings),
          deadline_(monitor, settings.time_limit),
          n_(problem.A.rows()),
          d_(problem.A.width()),
          targets_(n_),
          centre_(n_, 0.0),
          f_(n_),
          part_(n_) {
        for (const double s : problem.samples.s) {
            at_zero_ += s;
        }
        best_.objective = at_zero_;
        best_.dual.assign(n_, 0.0);
        least_ = at_zero_;
    }

    GroupLassoResult run(const Start& start, const SmoothSolver& solve) {
        blocks_.assign(start.blocks.begin(), start.blocks.end());
        values_.assign(start.values.begin(), start.values.end());
        keep_point();
        best_.status = iterate(solve);
        best_.n_iter = n_iter_;
        best_.seconds = deadline_.seconds();
        return std::move(best_);
    }

private:
    // What a smooth program says on its way, of the hinge: its bounds hold with the most and the
    // least that the two losses and the two duals differ by.
    class Translator final : public Monitor {
    public:
        explicit Translator(Hinge& hinge) : hinge_(hinge) {
            const double mu = hinge.width_;
            for (std::size_t k = 0; k < hinge.n_; ++k) {
                const double s = hinge.problem_.samples.s[k];
                const double c = hinge.centre_[k];
                loss_ += 0.5 * mu * s * std::max(0.0, 1.0 - 2.0 * c);
                dual_ += 0.5 * mu * s * c * c;
            }
        }
        bool stop_requested() override { return hinge_.deadline_.stop_requested(); }
        bool report(const Progress& progress) override {
            const double mu = hinge_.width_;
            return hinge_.record(hinge_.n_iter_ + progress.iteration,
                                 mu * progress.objective + loss_,
                                 mu * progress.dual_objective - dual_, progress.active);
        }

    private:
        Hinge& hinge_;
        double loss_ = 0.0;
        double dual_ = 0.0;
    };

    Status iterate(const SmoothSolver& solve) {
        double accuracy = kFirstAccuracy;
        double smallest = kSmallestWidth;  // of the widths
        double last = 1.0;                 // relative gap before
        std::size_t waited = 0;
        for (;;) {
            // 1. The smooth program, from where the one before ended.
            GroupLassoResult result = solve_smooth(solve, accuracy);
            const bool solved = result.status == Status::solved;
            // 2. The hinge at its point, and its dual's at its dual point.
            const double before = best_.objective - best_.dual_objective;
            take(result, solved);
            n_iter_ += result.n_iter;
            const double gap = relative_gap(best_.objective, best_.dual_objective, at_zero_);
            const bool done = gap <= settings_.tol;
            if (!done || is_news()) {
                ++n_iter_;
                record(n_iter_, best_.objective, best_.dual_objective, best_.active.size());
            }
            if (done) {
                return Status::solved;
            }
            if (deadline_.stop_requested()) {
                return deadline_.reason();
            }
            if (n_iter_ >= settings_.max_iter) {
                return Status::max_iter;
            }
            // 3. The width and the accuracy of the next.
            waited = best_.objective - best_.dual_objective < 0.9 * before ? 0 : waited + 1;
            if (waited >= kPatience || (!solved && width_ >= kFirstWidth)) {
                return Status::numerical_error;
            }
            if (!solved) {
                smallest = kRoom * width_;
                width_ = std::min(kFirstWidth, kRise * width_);
            } else if (gap > kSlow * last) {
                width_ = std::max(std::min(width_, smallest), kFall * width_);
            }
            last = gap;
            accuracy = std::min(kFirstAccuracy, kAccuracy * std::max(gap, settings_.tol));
        }
    }

    GroupLassoResult solve_smooth(const SmoothSolver& solve, double accuracy) {
        for (std::size_t k = 0; k < n_; ++k) {
            targets_[k] = problem_.samples.y[k] * (1.0 / width_ + centre_[k]);
        }
        std::vector<double> values(values_);
        for (double& x : values) {
            x /= width_;
        }
        GroupLasso smooth = problem_;
        smooth.samples.y = targets_;
        smooth.loss = LossKind::huberized_hinge;
        SolverSettings settings = settings_;
        settings.tol = accuracy;
        settings.max_iter = settings_.max_iter - n_iter_ - 1;
        settings.time_limit = std::numeric_limits<double>::infinity();  // deadline_ has it
        Translator translator(*this);
        return solve(smooth, settings, {blocks_, values}, translator);
    }

    // The point and the dual point of a smooth program, where they are better; and, of one that was
    // solved, as what the next begins with.
    void take(GroupLassoResult& result, bool solved) {
        std::vector<double>& v = result.dual;
        double bound = 0.0;
        for (std::size_t k = 0; k < n_; ++k) {
            const double s = problem_.samples.s[k];
            const double y = problem_.samples.y[k];
            v[k] = y * std::clamp(y * v[k], 0.0, s);
            bound += y * v[k];
            if (solved) {
                centre_[k] = s > 0.0 ? y * v[k] / s : 0.0;
            }
        }
        if (bound > best_.dual_objective) {
            best_.dual_objective = bound;
            best_.dual = v;
        }
        std::swap(blocks_, result.active);
        std::swap(values_, result.values);
        for (double& x : values_) {
            x *= width_;
        }
        keep_point();
        if (!solved) {
            std::swap(blocks_, result.active);
            std::swap(values_, result.values);
        }
    }

    // blocks_ and values_ are the best, if they are.
    void keep_point() {
        const double objective = evaluate();
        if (objective < best_.objective) {
            best_.objective = objective;
            best_.active = blocks_;
            best_.values = values_;
        }
    }

    // The objective of blocks_ and values_.
    double evaluate() {
        const MaskedMatrix& A = problem_.A;
        std::ranges::fill(f_, 0.0);
        double objective = 0.0;
        for (std::size_t t = 0; t < blocks_.size(); ++t) {
            const std::size_t i = blocks_[t] % A.blocks();
            const std::span<const double> u(values_.data() + t * d_, d_);
            const double on = blocks_[t] < A.blocks() ? 1.0 : -1.0;
            const std::uint64_t* words = A.patterns.column(i).data();
            simd::product(A.X.data, A.X.stride, n_, d_, u.data(), part_.data());
            for (std::size_t k = 0; k < n_; ++k) {
                f_[k] += ((words[k / 64] >> (k % 64) & 1) != 0 ? on : slope_ * on) * part_[k];
            }
            objective += problem_.beta * problem_.weights[i] * norm(u);
        }
        for (std::size_t k = 0; k < n_; ++k) {
            objective += problem_.samples.s[k] * std::max(0.0, 1.0 - problem_.samples.y[k] * f_[k]);
        }
        return objective;
    }

    bool is_news() const {
        return best_.history.empty() || best_.history.back().objective != best_.objective ||
               best_.history.back().dual_objective != best_.dual_objective;
    }

    // A check of the gap, told unless its iteration has been told of: a smooth program begins where
    // the one before ended. True: stop.
    bool record(std::size_t iteration, double objective, double dual_objective,
                std::size_t active) {
        std::vector<Progress>& history = best_.history;
        if (!history.empty() && history.back().iteration >= iteration) {
            return deadline_.stop_requested();
        }
        least_ = std::min({least_, objective, best_.objective});
        most_ = std::max({most_, dual_objective, best_.dual_objective});
        const Progress progress{iteration, least_, most_, active, deadline_.seconds()};
        if (history.size() == kHistory) {
            history.pop_back();
        }
        history.push_back(progress);
        return deadline_.report(progress) || deadline_.stop_requested();
    }

    const GroupLasso& problem_;
    double slope_;
    const SolverSettings settings_;
    Deadline deadline_;
    std::size_t n_, d_;
    GroupLassoResult best_;  // so far, of the hinge
    double at_zero_ = 0.0;   // the objective there
    double least_ = 0.0;     // the least objective and the largest bound told of
    double most_ = 0.0;
    double width_ = kFirstWidth;       // mu
    std::vector<double> targets_;      // of the smooth program
    std::vector<double> centre_;       // c
    std::vector<std::size_t> blocks_;  // where the next one starts
    std::vector<double> values_;
    std::vector<double> f_, part_;
    std::size_t n_iter_ = 0;
};

}  // namespace

GroupLassoResult solve_hinge(const GroupLasso& problem, double slope,
                             const SolverSettings& settings, const Start& start, Monitor& monitor,
                             const SmoothSolver& solve) {
    return Hinge(problem, slope, settings, monitor).run(start, solve);
}

}  // namespace convexnn
