#include <algorithm>
#include <array>
#include <cmath>
#include <memory>

#include "convexnn/solve/anderson.hpp"
#include "convexnn/solve/block_descent.hpp"
#include "convexnn/solve/full_program.hpp"
#include "convexnn/solve/group_lasso.hpp"
#include "convexnn/solve/hinge.hpp"
#include "convexnn/solve/subspace_newton.hpp"

namespace convexnn {
namespace {

constexpr std::size_t kSmallestWorkingSet = 32;
constexpr std::size_t kEpochsPerCheck = 10;  // between gaps of the working set's own program
constexpr std::size_t kEpochsPerWorkingSet = 2000;
constexpr double kInnerAccuracy = 0.2;  // of the gap that is left
constexpr std::size_t kStalls = 5;      // checks without progress until giving up

template <typename Loss>
class CoordinateDescent {
public:
    CoordinateDescent(const GroupLasso& problem, const Loss& loss, const SolverSettings& settings,
                      Monitor& monitor)
        : problem_(problem),
          settings_(settings),
          n_(problem.fits()),
          d_(problem.block_size()),
          blocks_(problem.A.blocks()),
          data_(problem.samples, loss, problem.output_offset, problem.outputs, problem.skip),
          full_(problem, data_, settings, monitor),
          deadline_(full_.deadline()),
          descent_(problem, data_),
          order_(blocks_),
          working_set_(blocks_),
          compact_(new double[blocks_ * d_]),
          trial_fit_(n_),
          past_blocks_(blocks_ * d_),
          past_fits_(n_),
          newton_(problem, data_, full_.products(), settings.threads, descent_),
          objective_(full_.objective_at_zero()) {
        active_.reserve(blocks_);
    }

    GroupLassoResult run(const Start& start) { return finish(iterate(start)); }

private:
    Status iterate(const Start& start) {
        // Zero is optimal iff no block's price at zero exceeds beta; whatever the start, the answer
        // is then exactly zero.
        if (!full_.price(descent_.v)) {
            return deadline_.reason();
        }
        if (full_.largest_price() <= problem_.beta) {
            if (record()) {
                return deadline_.reason();
            }
            // With beta as small as the prices' rounding, optimality shows but cannot be proved.
            return full_.proved(objective_) ? Status::solved : Status::numerical_error;
        }
        if (!start.blocks.empty() && !(load(start) && full_.price(descent_.v))) {
            return deadline_.reason();
        }

        std::size_t stalls = 0;
        for (;;) {
            // 1. The gap; v, prices and objective belong to the iterate. What is claimed at the end
            // is priced over all patterns, not over those that screening left.
            const bool last =
                full_.proved(objective_) || n_iter_ >= settings_.max_iter || stalls >= kStalls;
            if (last && full_.screened() && !full_.price(descent_.v)) {
                return deadline_.reason();
            }
            const double last_gap = full_.gap(objective_);
            const bool stop = record();
            if (full_.proved(objective_)) {
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
            if (stalls >= kStalls) {
                return Status::numerical_error;
            }

            // 2. Working set: what is active, and the most violated of those that may become so.
            if (!full_.screen(objective_, [&](std::size_t i) { return descent_.is_zero(i); })) {
                return deadline_.reason();
            }
            choose_working_set();

            // 3. Solve on the working set.
            const double before = objective_;
            if (!descend()) {
                return deadline_.reason();
            }

            // 4. Remove the drift of the fit, price the patterns left, improve the dual bound.
            if (!refresh() || !full_.price_survivors(descent_.v)) {
                return deadline_.reason();
            }
            const bool progress =
                objective_ < before * (1.0 - 1e-15) || full_.gap(objective_) < 0.9 * last_gap;
            stalls = progress ? 0 : stalls + 1;
        }
    }

    bool record() { return full_.record(n_iter_, objective_, active_.size()); }

    // Block coordinate descent with Anderson acceleration on the working set, and a Newton step on
    // its non-zero blocks now and then, until the gap of its own program is a fraction of the whole
    // gap. False: stopped.
    bool descend() {
        const double target = std::max(kInnerAccuracy * full_.gap(objective_),
                                       0.3 * settings_.tol * full_.scale(objective_));
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
        const std::span<double> prices = full_.prices();
        double largest = 0.0;
        for (const std::size_t i : working_set()) {
            if (deadline_.stop_requested()) {
                return HUGE_VAL;
            }
            prices[i] = descent_.price(i);
            largest = std::max(largest, prices[i]);
        }
        return objective - best_multiple(problem_, data_, descent_.v, largest, [&](double t) {
                               return price_excess(problem_, working_set(), prices, t);
                           }).value;
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

    // --- the iterate --------------------------------------------------------------------------

    std::span<const std::size_t> working_set() const {
        return {working_set_.data(), working_count_};
    }

    void choose_working_set() {
        const std::size_t wanted = std::max(kSmallestWorkingSet, 2 * active_.size());
        const std::span<const std::size_t> left = full_.survivors();
        working_count_ = std::min(wanted, left.size());
        const std::span<double> prices = full_.prices();
        for (const std::size_t i : active_) {
            prices[i] = HUGE_VAL;
        }
        std::ranges::copy(left, order_.begin());
        const auto middle = order_.begin() + static_cast<std::ptrdiff_t>(working_count_);
        const auto end = order_.begin() + static_cast<std::ptrdiff_t>(left.size());
        std::nth_element(order_.begin(), middle, end, [&](std::size_t a, std::size_t b) {
            return prices[a] != prices[b] ? prices[a] > prices[b] : a < b;
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
    bool load(const Start& start) {
        for (std::size_t k = 0; k < start.blocks.size(); ++k) {
            std::copy_n(start.values.data() + k * d_, d_, descent_.block(start.blocks[k]).begin());
        }
        const bool done = refresh();
        if (done && objective_ < full_.objective_at_zero()) {
            return true;
        }
        for (const std::size_t i : start.blocks) {
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
        full_.products().set_active(active_);
        if (!full_.products().active_forward(U, problem_.by_output(std::span(trial_fit_)),
                                             settings_.threads, monitor)) {
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
        if (!(objective_ <= full_.objective_at_zero())) {
            for (const std::size_t i : active_) {
                std::ranges::fill(descent_.block(i), 0.0);
            }
            refresh(patient);
        }
    }

    GroupLassoResult finish(Status status) {
        settle();
        GroupLassoResult result = full_.finish(status, n_iter_);
        result.active.assign(active_.begin(), active_.end());
        result.values.resize(active_.size() * d_);
        for (std::size_t k = 0; k < active_.size(); ++k) {
            std::ranges::copy(descent_.block(active_[k]),
                              result.values.begin() + static_cast<std::ptrdiff_t>(k * d_));
        }
        result.objective = objective_;
        result.free_part = data_.free_part();
        return result;
    }

    const GroupLasso& problem_;
    const SolverSettings settings_;
    std::size_t n_, d_, blocks_;  // entries of a fit and of a block, and how many blocks
    DataTerm<Loss> data_;
    FullProgram<Loss> full_;
    Deadline& deadline_;
    BlockDescent<Loss> descent_;
    std::vector<std::size_t> order_, working_set_, active_;
    std::size_t working_count_ = 0;
    std::unique_ptr<double[]> compact_;  // d K x P
    std::vector<double> trial_fit_;
    Anderson past_blocks_, past_fits_;
    SubspaceNewton<Loss> newton_;
    double objective_;  // of the iterate at the last refresh
    std::size_t n_iter_ = 0;
};

}  // namespace

GroupLassoResult coordinate_descent(const GroupLasso& problem, const SolverSettings& settings,
                                    const Start& start, Monitor& monitor) {
    if (problem.loss == LossKind::hinge) {
        return solve_hinge(problem, 0.0, settings, start, monitor, coordinate_descent);
    }
    return with_loss(problem.loss, problem.loss_parameter, [&]<typename Loss>(const Loss& loss) {
        return CoordinateDescent<Loss>(problem, loss, settings, monitor).run(start);
    });
}

}  // namespace convexnn
