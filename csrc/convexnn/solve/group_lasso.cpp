#include "convexnn/solve/group_lasso.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <memory>
#include <numeric>

#include "convexnn/solve/anderson.hpp"
#include "convexnn/solve/block_descent.hpp"
#include "convexnn/solve/deadline.hpp"
#include "convexnn/solve/subspace_newton.hpp"

namespace convexnn {
namespace {

constexpr std::size_t kSmallestWorkingSet = 32;
constexpr std::size_t kEpochsPerCheck = 10;  // between gaps of the working set's own program
constexpr std::size_t kEpochsPerWorkingSet = 2000;
constexpr double kInnerAccuracy = 0.2;  // of the gap that is left
constexpr std::size_t kStalls = 5;      // checks without progress until giving up

template <typename Loss>
class GroupLassoSolver {
public:
    GroupLassoSolver(const GroupLasso& problem, const CoordinateDescentSettings& settings,
                     Monitor& monitor)
        : problem_(problem),
          settings_(settings),
          deadline_(monitor, settings.time_limit),
          n_(problem.A.rows()),
          d_(problem.A.width()),
          blocks_(problem.A.blocks()),
          descent_(problem),
          prices_(blocks_),
          order_(blocks_),
          working_set_(blocks_),
          compact_(new double[blocks_ * d_]),
          adjoints_(new double[blocks_ * d_]),
          trial_fit_(n_),
          dual_(n_, 0.0),
          past_blocks_(blocks_ * d_),
          past_fits_(n_),
          newton_(problem, descent_) {
        active_.reserve(blocks_);
        history_.reserve(kHistory);
        objective_at_zero_ = loss_value<Loss>(problem.samples, descent_.f);
        objective_ = objective_at_zero_;
        dual_objective_ = dual_value<Loss>(problem.samples, dual_, 1.0);
    }

    GroupLassoResult run(std::span<const std::size_t> start, std::span<const double> start_values) {
        return finish(iterate(start, start_values));
    }

private:
    Status iterate(std::span<const std::size_t> start, std::span<const double> start_values) {
        // Zero is optimal iff no block's price at zero exceeds beta; whatever the start, the answer
        // is then exactly zero.
        if (!price_all()) {
            return deadline_.reason();
        }
        improve_dual();
        if (largest_price() <= problem_.beta) {
            if (check_gap()) {
                return deadline_.reason();
            }
            // With beta as small as the prices' rounding, optimality shows but cannot be proved.
            return proved() ? Status::solved : Status::numerical_error;
        }
        if (!start.empty()) {
            if (!load(start, start_values)) {
                return deadline_.reason();
            }
            if (!price_all()) {
                return deadline_.reason();
            }
            improve_dual();
        }

        std::size_t stalls = 0;
        for (;;) {
            // 1. The gap over all patterns; v, prices and objective belong to the iterate.
            const double last_gap = gap();
            const bool stop = check_gap();
            if (proved()) {
                return Status::solved;
            }
            if (!std::isfinite(objective_)) {
                return Status::numerical_error;
            }
            if (stop) {
                return deadline_.reason();
            }
            if (n_iter_ >= settings_.max_iter) {
                return Status::max_iter;
            }

            // 2. Working set: what is active, and the most violated of the others.
            choose_working_set();

            // 3. Solve on the working set.
            const double before = objective_;
            if (!descend()) {
                return deadline_.reason();
            }

            // 4. Remove the drift of the fit, price every pattern, improve the dual point.
            if (!refresh() || !price_all()) {
                return deadline_.reason();
            }
            improve_dual();
            const bool progress = objective_ < before * (1.0 - 1e-15) || gap() < 0.9 * last_gap;
            stalls = progress ? 0 : stalls + 1;
            if (stalls >= kStalls) {
                return Status::numerical_error;
            }
        }
    }

    // Block coordinate descent with Anderson acceleration on the working set, and a Newton step on
    // its non-zero blocks now and then, until the gap of its own program is a fraction of the whole
    // gap. False: stopped.
    bool descend() {
        const double scale = std::max(std::abs(objective_), 1e-10 * objective_at_zero_);
        const double target = std::max(kInnerAccuracy * gap(), 0.3 * settings_.tol * scale);
        past_restart();
        for (std::size_t epoch = 1; epoch <= kEpochsPerWorkingSet; ++epoch) {
            if (n_iter_ >= settings_.max_iter) {
                break;
            }
            for (const std::size_t i : working_set()) {
                if (deadline_.stop_requested()) {
                    return false;
                }
                descent_.update(i);
            }
            ++n_iter_;
            past_push();
            if (past_fits_.full()) {
                extrapolate();
            }
            if (epoch % kEpochsPerCheck == 0) {
                const double objective = descent_.objective(working_set());
                if (working_set_gap(objective) <= target) {
                    break;
                }
                // A Newton step may cost about as much as the epochs before it.
                find_active();
                const std::size_t limit = std::clamp<std::size_t>(epoch, 20, 500);
                if (newton_.step(active_, limit, settings_.max_iter, n_iter_, deadline_)) {
                    past_restart();
                }
            }
        }
        return true;
    }

    // objective - dual bound of the program restricted to the working set.
    double working_set_gap(double objective) {
        double largest = 0.0;
        for (const std::size_t i : working_set()) {
            if (deadline_.stop_requested()) {
                return HUGE_VAL;
            }
            largest = std::max(largest, descent_.price(i));
        }
        const double t =
            best_dual_scale<Loss>(problem_.samples, descent_.v, problem_.beta / largest);
        return objective - dual_value<Loss>(problem_.samples, descent_.v, t);
    }

    // --- Anderson acceleration: iterates of the working set's blocks and of the fit ------------

    void gather(std::span<const std::size_t> blocks) {
        for (std::size_t k = 0; k < blocks.size(); ++k) {
            const std::span<double> u = descent_.block(blocks[k]);
            std::copy(u.begin(), u.end(), compact_.get() + k * d_);
        }
    }
    void past_push() {
        gather(working_set());
        past_blocks_.push({compact_.get(), working_count_ * d_});
        past_fits_.push(descent_.f);
    }
    void past_restart() {
        past_blocks_.restart();
        past_fits_.restart();
        past_push();
    }

    // Takes the extrapolated point if its objective is lower. The fit is linear in the blocks, so
    // it is extrapolated with the same coefficients and costs no product with X.
    void extrapolate() {
        std::array<double, Anderson::kDepth> c;
        const std::size_t size = working_count_ * d_;
        if (past_blocks_.coefficients(size, c)) {
            const double before = descent_.objective(working_set());
            gather(working_set());  // to return to
            std::swap(trial_fit_, descent_.f);
            std::fill(descent_.f.begin(), descent_.f.end(), 0.0);
            for (std::size_t k = 0; k < c.size(); ++k) {
                simd::axpy(c[k], past_fits_.iterate(k + 1, n_).data(), descent_.f.data(), n_);
            }
            for (std::size_t w = 0; w < working_count_; ++w) {
                const std::span<double> u = descent_.block(working_set_[w]);
                for (std::size_t j = 0; j < d_; ++j) {
                    double sum = 0.0;
                    for (std::size_t k = 0; k < c.size(); ++k) {
                        sum += c[k] * past_blocks_.iterate(k + 1, size)[w * d_ + j];
                    }
                    u[j] = sum;
                }
            }
            if (descent_.objective(working_set()) < before) {
                descent_.update_v();
            } else {
                std::swap(trial_fit_, descent_.f);
                for (std::size_t w = 0; w < working_count_; ++w) {
                    std::copy_n(compact_.get() + w * d_, d_,
                                descent_.block(working_set_[w]).begin());
                }
            }
        }
        past_restart();
    }

    // --- the program over all patterns --------------------------------------------------------

    double gap() const { return objective_ - dual_objective_; }
    bool proved() const {
        return relative_gap(objective_, dual_objective_, objective_at_zero_) <= settings_.tol;
    }
    double largest_price() const { return *std::max_element(prices_.begin(), prices_.end()); }
    std::span<const std::size_t> working_set() const {
        return {working_set_.data(), working_count_};
    }

    // Prices ||X^T D_i v|| / w_i of every pattern, and a bound of the largest one that is true in
    // real arithmetic.
    bool price_all() {
        const MatrixView<double> all(adjoints_.get(), d_, blocks_);
        if (!adjoint(problem_.A, descent_.v, all, settings_.threads, deadline_)) {
            return false;
        }
        const double rounding = adjoint_rounding(problem_.A, descent_.v);
        const double norm_rounding = 1.0 + (static_cast<double>(d_) + 8.0) * 0x1p-53;
        price_bound_ = 0.0;
        for (std::size_t i = 0; i < blocks_; ++i) {
            const double size = norm(all.column(i));
            prices_[i] = size / problem_.weights[i];
            if (size > 0.0 || !is_empty(i)) {
                const double bound = (size + rounding) * norm_rounding / problem_.weights[i];
                price_bound_ = std::max(price_bound_, bound);
            }
        }
        return true;
    }

    bool is_empty(std::size_t i) const {
        const std::span<const std::uint64_t> words = problem_.A.patterns.column(i);
        return std::all_of(words.begin(), words.end(),
                           [](std::uint64_t word) { return word == 0; });
    }

    // Keeps the best feasible multiple of any v met so far.
    void improve_dual() {
        const double limit = problem_.beta / price_bound_;
        const double t = best_dual_scale<Loss>(problem_.samples, descent_.v, limit);
        if (dual_value<Loss>(problem_.samples, descent_.v, t) > dual_objective_) {
            for (std::size_t k = 0; k < n_; ++k) {
                dual_[k] = t * descent_.v[k];
            }
            dual_objective_ = dual_value<Loss>(problem_.samples, dual_, 1.0);
        }
    }

    // Records the state; true when the monitor says stop.
    bool check_gap() {
        const Progress progress{n_iter_, objective_, dual_objective_, active_.size(),
                                deadline_.seconds()};
        if (history_.size() == kHistory) {
            history_.pop_back();
        }
        history_.push_back(progress);
        return deadline_.report(progress) || deadline_.stop_requested();
    }

    void choose_working_set() {
        const std::size_t wanted = std::max(kSmallestWorkingSet, 2 * active_.size());
        working_count_ = std::min(wanted, blocks_);
        for (const std::size_t i : active_) {
            prices_[i] = HUGE_VAL;
        }
        std::iota(order_.begin(), order_.end(), std::size_t{0});
        const auto middle = order_.begin() + static_cast<std::ptrdiff_t>(working_count_);
        std::nth_element(order_.begin(), middle, order_.end(), [&](std::size_t a, std::size_t b) {
            return prices_[a] != prices_[b] ? prices_[a] > prices_[b] : a < b;
        });
        std::copy(order_.begin(), middle, working_set_.begin());
        std::sort(working_set_.begin(),
                  working_set_.begin() + static_cast<std::ptrdiff_t>(working_count_));
    }

    void find_active() {
        active_.clear();
        for (std::size_t i = 0; i < blocks_; ++i) {
            if (!descent_.is_zero(i)) {
                active_.push_back(i);
            }
        }
    }

    // Takes the start, unless its objective is not below that at zero (or overflows).
    bool load(std::span<const std::size_t> start, std::span<const double> values) {
        for (std::size_t k = 0; k < start.size(); ++k) {
            std::copy_n(values.data() + k * d_, d_, descent_.block(start[k]).begin());
        }
        const bool done = refresh();
        if (done && objective_ < objective_at_zero_) {
            return true;
        }
        for (const std::size_t i : start) {
            std::ranges::fill(descent_.block(i), 0.0);
        }
        active_.clear();
        return done && refresh();
    }

    // Fit, v and objective from the blocks alone. When stopped, the old fit stays.
    bool refresh() { return refresh(deadline_); }
    bool refresh(Monitor& monitor) {
        find_active();
        gather(active_);
        const MatrixView<const double> U(compact_.get(), d_, active_.size());
        if (!forward(problem_.A, active_, U, trial_fit_, forward_buffer_, monitor)) {
            return false;
        }
        std::swap(trial_fit_, descent_.f);
        descent_.update_v();
        objective_ = descent_.objective(active_);
        return true;
    }

    // Whatever ended the solve: the objective is that of the blocks, and not above that at zero.
    void settle() {
        Monitor patient;
        refresh(patient);
        if (!(objective_ <= objective_at_zero_)) {
            for (const std::size_t i : active_) {
                std::ranges::fill(descent_.block(i), 0.0);
            }
            refresh(patient);
        }
    }

    GroupLassoResult finish(Status status) {
        settle();
        GroupLassoResult result;
        result.active.assign(active_.begin(), active_.end());
        result.values.resize(active_.size() * d_);
        for (std::size_t k = 0; k < active_.size(); ++k) {
            std::ranges::copy(descent_.block(active_[k]),
                              result.values.begin() + static_cast<std::ptrdiff_t>(k * d_));
        }
        result.objective = objective_;
        result.dual = std::move(dual_);
        result.dual_objective = dual_objective_;
        result.status = status;
        result.n_iter = n_iter_;
        result.seconds = deadline_.seconds();
        result.history = std::move(history_);
        return result;
    }

    const GroupLasso& problem_;
    const CoordinateDescentSettings settings_;
    Deadline deadline_;
    std::size_t n_, d_, blocks_;
    BlockDescent<Loss> descent_;
    std::vector<double> prices_;
    double price_bound_ = 0.0;  // >= every exact price at the v that prices_ belong to
    std::vector<std::size_t> order_, working_set_, active_;
    std::size_t working_count_ = 0;
    std::unique_ptr<double[]> compact_, adjoints_;  // d x P
    std::vector<double> trial_fit_;
    std::vector<double> dual_;
    Anderson past_blocks_, past_fits_;
    SubspaceNewton<Loss> newton_;
    ForwardBuffer forward_buffer_;
    double objective_at_zero_ = 0.0;
    double objective_ = 0.0;       // of the iterate at the last refresh
    double dual_objective_ = 0.0;  // of dual_
    std::size_t n_iter_ = 0;
    std::vector<Progress> history_;
};

}  // namespace

GroupLassoResult coordinate_descent(const GroupLasso& problem,
                                    const CoordinateDescentSettings& settings,
                                    std::span<const std::size_t> start,
                                    std::span<const double> start_values, Monitor& monitor) {
    if (problem.loss == LossKind::logistic) {
        return GroupLassoSolver<LogisticLoss>(problem, settings, monitor).run(start, start_values);
    }
    return GroupLassoSolver<SquaredLoss>(problem, settings, monitor).run(start, start_values);
}

}  // namespace convexnn
