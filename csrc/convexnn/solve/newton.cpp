// The variational second-order method. With w ||u|| = min_{eta >= 0} w (||u||^2 / eta + eta) / 2
// and u eliminated, the program is smooth and convex in the group norms eta alone:
//
//   g(eta) = max_a D(a) - a^T K a / 2 + beta sum_i w_i eta_i / 2,
//   K = sum_i c_i D_i X X^T D_i,  c_i = eta_i / (beta w_i),      u_i = c_i X^T D_i a,
//   dg/deta_i = beta w_i / 2 (1 - p_i^2 / beta^2),               p_i = ||X^T D_i a|| / w_i,
//   Hessian = B^T (H^-1 + K)^-1 B,  B_i = D_i X X^T D_i a / (beta w_i),  H = diag(h), h = s l'',
//
// (with a free part E c of the fit H is what it leaves of diag(h), with a pseudo-inverse for H^-1,
// and E^T a = 0). A ridge has c_i = eta_i / (beta w_i + ridge eta_i): beta + ridge eta_i / w_i
// takes beta's place in dg/deta_i, dc_i/deta_i that of 1 / (beta w_i) in B_i, and the Hessian has
// -d2c_i/deta_i2 ||X^T D_i a||^2 / 2 on its diagonal. In all of them eta_i = ||u_i|| at the
// optimum, where g is the program's optimum. Newton's method on it has |A| unknowns where the
// blocks have |A| d.
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <span>
#include <vector>

#include "convexnn/base/vectors.hpp"
#include "convexnn/solve/full_program.hpp"
#include "convexnn/solve/group_lasso.hpp"
#include "convexnn/solve/group_norms.hpp"
#include "convexnn/solve/hinge.hpp"
#include "convexnn/solve/kernel_fit.hpp"
#include "convexnn/solve/kernel_system.hpp"
#include "convexnn/solve/newton_step.hpp"
#include "convexnn/solve/preconditioner_choice.hpp"

namespace convexnn {
namespace {

using dense::Outcome;

constexpr double kContinuation = 0.2;  // from one penalty of a cold start to the next
constexpr double kStageGap = 0.1;      // relative gap at which a penalty has served,
constexpr double kStagePrice = 1.5;    // or the largest price, over it
constexpr double kOwnGap = 0.3;        // of a, relative to the gap before: more is not exact enough
constexpr std::size_t kMostViolators = 50;  // or as many as there are blocks
constexpr std::size_t kPatience = 12;       // steps without a smaller gap; dense: twice that
constexpr double kFall = 0.005;             // of g in a step, relative to the gap: progress too

double square(double x) { return x * x; }

template <typename Loss>
class Newton {
public:
    Newton(const GroupLasso& problem, const Loss& loss, const SolverSettings& settings,
           Monitor& monitor)
        : problem_(problem),
          settings_(settings),
          n_(problem.fits()),
          d_(problem.block_size()),
          blocks_(problem.A.blocks()),
          data_(problem.samples, loss, problem.output_offset, problem.outputs, problem.skip),
          full_(problem, data_, settings, monitor),
          deadline_(full_.deadline()),
          system_(problem, full_.products(), settings.threads, deadline_),
          preconditioner_(problem, data_.free_columns(), Loss::kLinearSlope, settings.threads),
          newton_step_(problem, settings.threads),
          eta_(blocks_, 0.0),
          old_eta_(blocks_),
          values_(blocks_ * d_),
          best_values_(blocks_ * d_),
          best_objective_(full_.objective_at_zero()),
          best_free_part_(data_.free_part()),  // of zero, which full_ has just evaluated
          old_a_(n_),
          change_(n_),
          curvature_(n_),
          fit_(n_, data_, system_) {
        for (std::vector<std::size_t>* list : {&active_, &best_active_, &free_}) {
            list->reserve(blocks_);
        }
        for (std::vector<double>* list :
             {&c_, &gradient_, &plain_, &norms_, &delta_, &factors_, &bends_}) {
            list->reserve(blocks_);
        }
    }

    GroupLassoResult run(const Start& start) { return finish(iterate(start)); }

private:
    Status iterate(const Start& start) {
        // Zero is optimal iff no block's price at zero exceeds beta; whatever the start, the answer
        // is then exactly zero.
        data_.negative_gradient(fit_.f, fit_.a);
        if (!full_.price(fit_.a)) {
            return deadline_.reason();
        }
        price_at_zero_ = full_.largest_price();
        if (price_at_zero_ <= problem_.beta) {
            if (record()) {
                return deadline_.reason();
            }
            // With beta as small as the prices' rounding, optimality shows but cannot be proved.
            return full_.proved(best_objective_) ? Status::solved : Status::numerical_error;
        }
        begin();
        if (!start.blocks.empty()) {
            if (!load(start)) {
                return deadline_.reason();
            }
            // A start at the optimum is known by its own gradient, before anything is solved for.
            if (!best_active_.empty()) {
                const bool stop = record();
                if (full_.proved(best_objective_)) {
                    return Status::solved;
                }
                if (stop) {
                    return deadline_.reason();
                }
                ++n_iter_;
            }
        }
        if (!evaluate()) {
            return why();
        }

        double best_gap = HUGE_VAL;
        double best_value = HUGE_VAL;
        std::size_t waited = 0;
        for (;;) {
            // 1. The gap over all patterns.
            const bool stop = record();
            if (full_.proved(best_objective_)) {
                return Status::solved;
            }
            if (stop) {
                return deadline_.reason();
            }
            if (n_iter_ >= settings_.max_iter) {
                return Status::max_iter;
            }
            const double left = std::max(stage_gap_, 0.0);  // to rounding it may be negative
            waited = left < 0.9 * best_gap ? 0 : waited + 1;
            best_gap = std::min(left, best_gap);
            // Exact steps may be many where g is far from its quadratic models, as long as it
            // falls.
            if (preconditioner_.exact_or_never() && upper_ < best_value * (1.0 - kFall * left)) {
                waited = 0;
            }
            best_value = std::min(upper_, best_value);

            // 2. A cold start goes through larger penalties: the next one, where this has served;
            //    else Newton's step in eta.
            bool done = waited <= kPatience * (preconditioner_.factored() ? 2 : 1);
            if (done && beta_ > problem_.beta &&
                (stage_gap_ < kStageGap || full_.largest_price() < kStagePrice * beta_)) {
                const double last = beta_;
                beta_ = std::max(problem_.beta, kContinuation * beta_);
                for (double& x : fit_.a) {
                    x *= beta_ / last;  // K grows by as much: the fit stays
                }
                inner_gap_ = 1.0;
                best_gap = best_value = HUGE_VAL;
                ++n_iter_;
                done = evaluate();
            } else if (done) {
                ++n_iter_;
                const std::size_t before = system_.products();
                done = step();
                if (done && preconditioner_.factors_are_cheaper(system_.products() - before,
                                                                active_.size(), free_.size())) {
                    factor_from_now_on();
                    done = preconditioner_->build(system_, deadline_) == Outcome::done;
                }
            }

            // 3. Where the approximate solves lead nowhere, more exact ones from the beginning.
            if (!done) {
                if (deadline_.stopped() ||
                    (preconditioner_.exact_or_never() && !system_.leave_single())) {
                    return why();
                }
                if (!preconditioner_.exact_or_never()) {
                    factor_from_now_on();
                }
                begin();
                ++n_iter_;
                best_gap = best_value = HUGE_VAL;
                waited = 0;
                if (!evaluate()) {
                    return why();
                }
            }
        }
    }

    // At zero, with the first penalty of a cold start.
    void begin() {
        std::ranges::fill(eta_, 0.0);
        std::ranges::fill(fit_.f, 0.0);
        data_.negative_gradient(fit_.f, fit_.a);
        beta_ = std::max(problem_.beta, kContinuation * price_at_zero_);
        inner_gap_ = 1.0;
        ridge_ = group_norms::kSmallestRidge;
    }

    void factor_from_now_on() {
        preconditioner_.factor_from_now_on();
        system_.leave_single();
    }

    // The status of a part that did not end well.
    Status why() const {
        return deadline_.stopped() ? deadline_.reason() : Status::numerical_error;
    }

    // --- the step in eta ----------------------------------------------------------------------

    // Moves eta, a and all that follows them, so that g does not rise.
    bool step() {
        const double before = upper_;
        const double noise = 1e-12 * std::abs(upper_);
        old_eta_ = eta_;
        old_a_ = fit_.a;
        choose_free_blocks();
        if (free_.empty()) {
            return false;  // all zero, and optimal as far as rounding can tell
        }
        // Where steps fail, or few samples have curvature left and the optimum is far, a parabola
        // above the loss has some; and where those that have leave the quadratic program without a
        // minimum.
        const auto flat = static_cast<std::size_t>(std::ranges::count(system_.root(), 0.0));
        // (Of the outputs of a sample together most are flat wherever one class is likely.)
        const bool few =
            !Loss::kRowOffsets && 2 * flat > n_ && stage_gap_ > group_norms::kNearOptimum;
        const bool parabola = !Loss::kLinearSlope && (cautious_ || flat == n_ || few);
        if (!find_direction(parabola) &&
            (deadline_.stopped() || parabola || Loss::kLinearSlope || !find_direction(true))) {
            return false;
        }
        move(1.0);
        if (!evaluate()) {
            return false;
        }
        // Both bounds of g, as its value is only known to the accuracy of a.
        if (lower_ <= before + noise) {
            ridge_ = std::max(group_norms::kSmallestRidge, ridge_ / 10.0);
            cautious_ = false;
            return true;
        }
        // The parabola first; then, or where it is the loss itself, a shorter step in the norms.
        if (cautious_ || Loss::kLinearSlope) {
            ridge_ = std::max(100.0 * ridge_, 1e-6);
        }
        cautious_ = true;
        system_.leave_single();
        move(0.3);
        if (!evaluate()) {
            return false;
        }
        if (lower_ <= before + noise) {
            return true;
        }
        eta_ = old_eta_;
        fit_.a = old_a_;
        return evaluate();
    }

    // delta_ and change_, with the curvature of the fit or of a parabola above the loss.
    bool find_direction(bool parabola) {
        if (parabola) {
            data_.majorant(fit_.f, curvature_);
            system_.set_curvature(curvature_);
            if (preconditioner_->build(system_, deadline_) != Outcome::done) {
                return false;
            }
        }
        if (newton_step_.prepare(free_, full_.adjoints_view(), factors_, bends_, system_,
                                 *preconditioner_, deadline_) != Outcome::done) {
            return false;
        }
        // The secular gradient first; the plain one where its step is not one of descent.
        return solve_step(gradient_) && (inner_product(plain_, delta_) < 0.0 || solve_step(plain_));
    }

    bool solve_step(std::span<const double> g) {
        return newton_step_.solve(g, norms_, ridge_, system_, *preconditioner_, delta_, change_,
                                  deadline_) == Outcome::done;
    }

    // eta and a from where the step began.
    void move(double t) {
        eta_ = old_eta_;
        double largest = 0.0;
        for (std::size_t j = 0; j < free_.size(); ++j) {
            double& eta = eta_[free_[j]];
            eta = std::max(0.0, eta + t * delta_[j]);
            largest = std::max(largest, eta);
        }
        for (const std::size_t i : free_) {
            eta_[i] = eta_[i] < group_norms::kSmallest * largest ? 0.0 : eta_[i];
        }
        for (std::size_t k = 0; k < n_; ++k) {
            fit_.a[k] = old_a_[k] + t * system_.root()[k] * change_[k];
        }
    }

    // The blocks that are not zero and the most violated of the others, with their gradients.
    void choose_free_blocks() {
        const std::span<const double> prices = full_.prices();
        free_.clear();
        for (std::size_t i = 0; i < blocks_; ++i) {
            if (eta_[i] == 0.0 && prices[i] > beta_) {
                free_.push_back(i);
            }
        }
        const std::size_t most = std::max(kMostViolators, active_.size());
        if (free_.size() > most) {
            std::nth_element(free_.begin(), free_.begin() + static_cast<std::ptrdiff_t>(most),
                             free_.end(), [&](std::size_t a, std::size_t b) {
                                 return prices[a] != prices[b] ? prices[a] > prices[b] : a < b;
                             });
            free_.resize(most);
        }
        free_.insert(free_.end(), active_.begin(), active_.end());
        std::ranges::sort(free_);

        gradient_.clear();
        plain_.clear();
        norms_.clear();
        factors_.clear();
        bends_.clear();
        delta_.resize(free_.size());
        for (const std::size_t i : free_) {
            const double w = problem_.weights[i];
            const group_norms::Slope slope =
                group_norms::slope_at(eta_[i], beta_ * w, problem_.ridge, prices[i] * w);
            plain_.push_back(slope.plain);
            gradient_.push_back(slope.secular);
            norms_.push_back(eta_[i]);
            factors_.push_back(slope.weight);
            bends_.push_back(slope.bend);
        }
    }

    // --- the value of g at eta -----------------------------------------------------------------

    // a for this eta, the blocks u that belong to it, all prices, and the bounds of g.
    bool evaluate() {
        const double gap = inner_gap_;
        if (!evaluate_once()) {
            return false;
        }
        // a's own gap, where the rounding of single precision shows.
        if (upper_ - lower_ > kOwnGap * gap * upper_ && system_.leave_single()) {
            inner_gap_ = gap;
            return evaluate_once();
        }
        return true;
    }

    bool evaluate_once() {
        active_.clear();
        c_.clear();
        for (std::size_t i = 0; i < blocks_; ++i) {
            if (eta_[i] > 0.0) {
                active_.push_back(i);
                c_.push_back(eta_[i] / (beta_ * problem_.weights[i] + problem_.ridge * eta_[i]));
            }
        }
        system_.set_blocks(active_, c_);
        const double accuracy = group_norms::inner_accuracy(inner_gap_);
        if (!fit_.solve(accuracy, inner_gap_, *preconditioner_, deadline_)) {
            return false;
        }
        data_.clip(fit_.a);
        if (!full_.price(fit_.a)) {
            return false;
        }
        double penalty = 0.0;
        double ridge = 0.0;
        double kernel = 0.0;  // a^T K a
        double norms = 0.0;
        for (std::size_t k = 0; k < active_.size(); ++k) {
            const std::size_t i = active_[k];
            const double w = problem_.weights[i];
            const double price = full_.prices()[i];
            const std::span<const double> G = full_.adjoints().column(i);
            for (std::size_t j = 0; j < d_; ++j) {
                values_[k * d_ + j] = c_[k] * G[j];
            }
            penalty += w * c_[k] * price * w;
            ridge += ridge_penalty(problem_, c_[k] * price * w);
            kernel += c_[k] * square(price * w);
            norms += w * eta_[i];
        }
        if (!fit_of_active()) {
            return false;
        }
        const double loss = data_.value(fit_.f);
        keep_best(loss + problem_.beta * penalty + ridge);

        GroupLasso stage = problem_;
        stage.beta = beta_;
        const DualMultiple bound = best_multiple(
            stage, data_, fit_.a, full_.largest_price(),
            [&](double t) { return price_excess(stage, full_.survivors(), full_.prices(), t); });
        stage_gap_ =
            relative_gap(loss + beta_ * penalty + ridge, bound.value, full_.objective_at_zero());
        inner_gap_ = beta_ > problem_.beta ? stage_gap_ : full_.relative(best_objective_);
        lower_ = data_.dual_value(fit_.a, 1.0) - 0.5 * kernel + 0.5 * beta_ * norms;
        upper_ = loss + 0.5 * kernel + 0.5 * beta_ * norms;
        return true;
    }

    bool fit_of_active() {
        return full_.products().active_forward({values_.data(), d_, active_.size()},
                                               problem_.by_output(std::span(fit_.f)),
                                               settings_.threads, deadline_);
    }

    void keep_best(double objective) {
        if (objective < best_objective_) {
            best_objective_ = objective;
            best_active_ = active_;
            data_.free_part(best_free_part_);
            std::swap(values_, best_values_);
        }
    }

    // --- the ends ------------------------------------------------------------------------------

    // Takes the start, unless its objective is not below that at zero (or overflows).
    bool load(const Start& start) {
        active_.assign(start.blocks.begin(), start.blocks.end());
        std::ranges::copy(start.values, values_.begin());
        full_.products().set_active(active_);
        if (!fit_of_active()) {
            return false;
        }
        double penalty = 0.0;
        for (std::size_t k = 0; k < active_.size(); ++k) {
            const double size = norm({values_.data() + k * d_, d_});
            penalty += problem_.beta * problem_.weights[active_[k]] * size;
            penalty += ridge_penalty(problem_, size);
            eta_[active_[k]] = size;
        }
        if (data_.value(fit_.f) + penalty < full_.objective_at_zero()) {
            data_.negative_gradient(fit_.f, fit_.a);
            beta_ = problem_.beta;
            keep_best(data_.value(fit_.f) + penalty);
            inner_gap_ = 1e-2;
            return full_.price(fit_.a);
        }
        begin();
        return true;
    }

    bool record() { return full_.record(n_iter_, best_objective_, best_active_.size()); }

    GroupLassoResult finish(Status status) {
        GroupLassoResult result = full_.finish(status, n_iter_);
        result.objective = best_objective_;
        result.free_part = best_free_part_;
        for (std::size_t k = 0; k < best_active_.size(); ++k) {
            const std::span<const double> u(best_values_.data() + k * d_, d_);
            if (norm(u) > 0.0) {
                result.active.push_back(best_active_[k]);
                result.values.insert(result.values.end(), u.begin(), u.end());
            }
        }
        return result;
    }

    const GroupLasso& problem_;
    const SolverSettings settings_;
    std::size_t n_, d_, blocks_;  // entries of a fit and of a block, and how many blocks
    DataTerm<Loss> data_;
    FullProgram<Loss> full_;
    Deadline& deadline_;
    KernelSystem system_;
    PreconditionerChoice preconditioner_;
    NewtonStep newton_step_;

    double beta_ = 0.0;  // of this stage
    double price_at_zero_ = 0.0;
    double ridge_ = group_norms::kSmallestRidge;
    bool cautious_ = false;  // whether the last step was refused
    std::size_t n_iter_ = 0;
    std::vector<double> eta_, old_eta_;  // P

    std::vector<std::size_t> active_, best_active_, free_;
    std::vector<double> c_;                                 // of active_
    std::vector<double> gradient_, plain_, norms_, delta_;  // of free_
    std::vector<double> factors_, bends_;                   // of free_: of their c_i
    std::vector<double> values_, best_values_;              // d K x P, compact: of the two lists
    double best_objective_;
    std::vector<double> best_free_part_;
    double stage_gap_ = 1.0, inner_gap_ = 1.0;
    double lower_ = 0.0, upper_ = 0.0;  // bounds of g at eta_

    std::vector<double> old_a_, change_, curvature_;  // n K; change_: H^-1/2 times that of a
    KernelFit<Loss> fit_;
};

// Where few rows are between the kinks of the huberized hinge, steps hardly move what is left. From
// the first program on that takes more of them, FISTA has the rest.
class NewtonForHinge {
public:
    GroupLassoResult operator()(const GroupLasso& problem, const SolverSettings& settings,
                                const Start& start, Monitor& monitor) {
        if (slow_) {
            return fista(problem, settings, start, monitor);
        }
        SolverSettings few = settings;
        few.max_iter = std::min(settings.max_iter, kSteps);
        GroupLassoResult first = newton(problem, few, start, monitor);
        const bool ended = first.status == Status::numerical_error ||
                           (first.status == Status::max_iter && settings.max_iter > kSteps);
        const double gap = first.objective - first.dual_objective;
        slow_ = ended && gap > kRounding * std::abs(first.objective);
        if (!slow_) {
            return first;
        }
        SolverSettings rest = settings;
        rest.max_iter = settings.max_iter - std::min(settings.max_iter, first.n_iter);
        GroupLassoResult second = fista(problem, rest, {first.active, first.values}, monitor);
        if (first.dual_objective > second.dual_objective) {
            second.dual = std::move(first.dual);
            second.dual_objective = first.dual_objective;
        }
        second.n_iter += first.n_iter;
        return second;
    }

private:
    static constexpr std::size_t kSteps = 25;
    static constexpr double kRounding = 1e-10;  // a relative gap: FISTA comes no nearer
    bool slow_ = false;
};

}  // namespace

GroupLassoResult newton(const GroupLasso& problem, const SolverSettings& settings,
                        const Start& start, Monitor& monitor) {
    if (problem.loss == LossKind::hinge) {
        return solve_hinge(problem, 0.0, settings, start, monitor, NewtonForHinge());
    }
    return with_loss(problem.loss, problem.loss_parameter, [&]<typename Loss>(const Loss& loss) {
        return Newton<Loss>(problem, loss, settings, monitor).run(start);
    });
}

}  // namespace convexnn
