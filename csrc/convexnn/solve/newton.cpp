// The variational second-order method. With w ||u|| = min_{eta >= 0} w (||u||^2 / eta + eta) / 2
// and u eliminated, the program is smooth and convex in the group norms eta alone:
//
//   g(eta) = max_a D(a) - a^T K a / 2 + beta sum_i w_i eta_i / 2,
//   K = sum_i c_i D_i X X^T D_i,  c_i = eta_i / (beta w_i),      u_i = c_i X^T D_i a,
//   dg/deta_i = beta w_i / 2 (1 - p_i^2 / beta^2),               p_i = ||X^T D_i a|| / w_i,
//   Hessian = B^T (H^-1 + K)^-1 B,  B_i = D_i X X^T D_i a / (beta w_i),  H = diag(s l''),
//
// and eta_i = ||u_i|| at the optimum, where g is the program's optimum. Newton's method on it has
// |A| unknowns where the blocks have |A| d.
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <memory>
#include <span>
#include <type_traits>
#include <vector>

#include "convexnn/base/simd.hpp"
#include "convexnn/solve/full_program.hpp"
#include "convexnn/solve/group_lasso.hpp"
#include "convexnn/solve/kernel_system.hpp"
#include "convexnn/solve/newton_step.hpp"

namespace convexnn {
namespace {

using dense::Outcome;

constexpr double kContinuation = 0.2;    // from one penalty of a cold start to the next
constexpr double kStageGap = 0.1;        // relative gap at which a penalty has served,
constexpr double kStagePrice = 1.5;      // or the largest price, over it
constexpr double kInnerAccuracy = 0.03;  // of the relative gap: how well a is solved for
constexpr double kLoosestInner = 1e-2;
constexpr double kTightestInner = 1e-13;
constexpr int kInnerSteps = 30;
constexpr int kInnerIterations = 1000;
constexpr std::size_t kMostViolators = 50;  // or as many as there are blocks
constexpr double kSecularCap = 4.0;         // of price / beta in the secular gradient
constexpr double kSmallestNorm = 1e-14;     // of the largest; less is zero
constexpr double kSmallestRidge = 1e-10;
constexpr std::size_t kDenseRows = 300;      // up to so many rows N is factored
constexpr std::size_t kFallbackRows = 6000;  // and up to so many where its approximation fails
constexpr std::size_t kPatience = 12;        // steps without a smaller gap; dense: twice that

double square(double x) { return x * x; }

double inner(std::span<const double> a, std::span<const double> b) {
    double sum = 0.0;
    for (std::size_t k = 0; k < a.size(); ++k) {
        sum += a[k] * b[k];
    }
    return sum;
}

template <typename Loss>
class Newton {
public:
    Newton(const GroupLasso& problem, const Loss& loss, const SolverSettings& settings,
           Monitor& monitor)
        : problem_(problem),
          settings_(settings),
          n_(problem.A.rows()),
          d_(problem.A.width()),
          blocks_(problem.A.blocks()),
          data_(problem.samples, loss, problem.output_offset),
          full_(problem, data_, settings, monitor),
          deadline_(full_.deadline()),
          system_(problem, settings.threads),
          newton_step_(problem, settings.threads),
          eta_(blocks_, 0.0),
          old_eta_(blocks_),
          values_(blocks_ * d_),
          best_values_(blocks_ * d_),
          best_objective_(full_.objective_at_zero()),
          a_(n_),
          old_a_(n_),
          f_(n_, 0.0),
          v_(n_),
          curvature_(n_),
          rho_(n_),
          change_(n_),
          fit_change_(n_),
          x_(n_),
          rhs_(n_),
          residual_(n_),
          preconditioned_(n_),
          direction_(n_),
          image_(n_),
          trial_(n_) {
        for (std::vector<std::size_t>* list : {&active_, &best_active_, &free_}) {
            list->reserve(blocks_);
        }
        for (std::vector<double>* list : {&c_, &gradient_, &plain_, &norms_, &delta_}) {
            list->reserve(blocks_);
        }
        choose_preconditioner(n_ <= kDenseRows);
    }

    GroupLassoResult run(const Start& start) { return finish(iterate(start)); }

private:
    Status iterate(const Start& start) {
        // Zero is optimal iff no block's price at zero exceeds beta; whatever the start, the answer
        // is then exactly zero.
        data_.negative_gradient(f_, a_);
        if (!full_.price(a_)) {
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
        if (!start.blocks.empty() && !load(start)) {
            return deadline_.reason();
        }
        if (!evaluate()) {
            return why();
        }

        double best_gap = HUGE_VAL;
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

            // 2. A cold start goes through larger penalties; has this one served?
            if (beta_ > problem_.beta &&
                (stage_gap_ < kStageGap || full_.largest_price() < kStagePrice * beta_)) {
                beta_ = std::max(problem_.beta, kContinuation * beta_);
                inner_gap_ = 1.0;
                if (!evaluate()) {
                    return why();
                }
                continue;
            }

            // 3. Where the approximate solves lead nowhere, exact ones from the beginning.
            const double gap = full_.relative(best_objective_);
            if (gap < 0.9 * best_gap) {
                best_gap = gap;
                waited = 0;
            } else if (++waited > kPatience * (preconditioner_->exact() ? 2 : 1)) {
                if (preconditioner_->exact() || n_ > kFallbackRows) {
                    return Status::numerical_error;
                }
                choose_preconditioner(true);
                std::ranges::fill(eta_, 0.0);
                std::ranges::fill(f_, 0.0);
                data_.negative_gradient(f_, a_);
                begin();
                waited = 0;
                if (!evaluate()) {
                    return why();
                }
                continue;
            }

            // 4. Newton's step in eta.
            ++n_iter_;
            if (!step()) {
                return why();
            }
        }
    }

    void begin() {
        beta_ = std::max(problem_.beta, kContinuation * price_at_zero_);
        inner_gap_ = 1.0;
        ridge_ = kSmallestRidge;
    }

    void choose_preconditioner(bool exact) {
        preconditioner_.reset();
        preconditioner_ = exact ? dense_factor(problem_, settings_.threads)
                                : mean_field(problem_, settings_.threads);
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
        old_a_ = a_;
        choose_free_blocks();
        if (newton_step_.prepare(free_, full_.adjoints_view(), beta_, system_, *preconditioner_,
                                 deadline_) != Outcome::done) {
            return false;
        }
        // The secular gradient first; the plain one where its step is not one of descent.
        if (!solve_step(gradient_) || (inner(plain_, delta_) >= 0.0 && !solve_step(plain_))) {
            return false;
        }
        move(1.0);
        if (!evaluate()) {
            return false;
        }
        // Both bounds of g, as its value is only known to the accuracy of a.
        if (lower_ <= before + noise) {
            ridge_ = std::max(kSmallestRidge, ridge_ / 10.0);
            return true;
        }
        ridge_ = std::max(100.0 * ridge_, 1e-6);
        move(0.3);
        if (!evaluate()) {
            return false;
        }
        if (lower_ <= before + noise) {
            return true;
        }
        eta_ = old_eta_;
        a_ = old_a_;
        return evaluate();
    }

    bool solve_step(std::span<const double> g) {
        return newton_step_.solve(g, norms_, ridge_, system_, *preconditioner_, delta_, x_,
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
            eta_[i] = eta_[i] < kSmallestNorm * largest ? 0.0 : eta_[i];
        }
        for (std::size_t k = 0; k < n_; ++k) {
            a_[k] = old_a_[k] + t * system_.root()[k] * x_[k];
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
        delta_.resize(free_.size());
        for (const std::size_t i : free_) {
            const double ratio = prices[i] / beta_;
            const double size = beta_ * problem_.weights[i];
            const double plain = 0.5 * size * (1.0 - ratio * ratio);
            // Newton's method on 1 / p where p > beta: exact in one step for a single block.
            const double capped = std::min(ratio, kSecularCap);
            const double secular =
                -size * (ratio - 1.0) * std::max(capped * capped, 0.5 * (ratio + 1.0));
            plain_.push_back(plain);
            gradient_.push_back(ratio <= 1.0 ? plain : secular);
            norms_.push_back(eta_[i]);
        }
    }

    // --- the value of g at eta -----------------------------------------------------------------

    // a for this eta, the blocks u that belong to it, all prices, and the bounds of g.
    bool evaluate() {
        active_.clear();
        c_.clear();
        for (std::size_t i = 0; i < blocks_; ++i) {
            if (eta_[i] > 0.0) {
                active_.push_back(i);
                c_.push_back(eta_[i] / (beta_ * problem_.weights[i]));
            }
        }
        system_.set_blocks(active_, c_);
        const double accuracy =
            std::clamp(kInnerAccuracy * inner_gap_, kTightestInner, kLoosestInner);
        if (!solve_inner(accuracy)) {
            return false;
        }
        data_.clip(a_);
        if (!full_.price(a_)) {
            return false;
        }
        double penalty = 0.0;
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
            kernel += c_[k] * square(price * w);
            norms += w * eta_[i];
        }
        if (!forward(problem_.A, active_, {values_.data(), d_, active_.size()}, f_, buffer_,
                     deadline_)) {
            return false;
        }
        const double loss = data_.value(f_);
        keep_best(loss + problem_.beta * penalty);

        const double t = data_.best_dual_scale(a_, beta_ / full_.largest_price());
        const double stage = loss + beta_ * penalty;
        stage_gap_ = relative_gap(stage, data_.dual_value(a_, t), full_.objective_at_zero());
        inner_gap_ = beta_ > problem_.beta ? stage_gap_ : full_.relative(best_objective_);
        lower_ = data_.dual_value(a_, 1.0) - 0.5 * kernel + 0.5 * beta_ * norms;
        upper_ = loss + 0.5 * kernel + 0.5 * beta_ * norms;
        return true;
    }

    void keep_best(double objective) {
        if (objective < best_objective_) {
            best_objective_ = objective;
            best_active_ = active_;
            best_offset_ = data_.offset();
            std::swap(values_, best_values_);
        }
    }

    // a with L'(K a) + a = 0: Newton's method on L(K a) + a^T K a / 2, whose step solves
    // (I + H K) da = rho, rho = -L'(K a) - a, by conjugate gradients. One step for the squared
    // loss.
    bool solve_inner(double accuracy) {
        data_.clip(a_);
        if (!system_.multiply_kernel(a_, f_, deadline_)) {
            return false;
        }
        for (int inner_step = 0; inner_step < kInnerSteps; ++inner_step) {
            data_.negative_gradient(f_, v_);
            data_.curvature(f_, curvature_);
            if (inner_step == 0 || !Loss::kLinearSlope) {
                system_.set_curvature(curvature_);
                if (preconditioner_->build(system_, deadline_) != Outcome::done) {
                    return false;
                }
            }
            // Rows without curvature: da = rho there, whatever the others do.
            const std::span<const double> root = system_.root();
            bool flat = false;
            double flat_size = 0.0;
            double size = 0.0;
            for (std::size_t k = 0; k < n_; ++k) {
                rho_[k] = v_[k] - a_[k];
                change_[k] = root[k] > 0.0 ? 0.0 : rho_[k];
                flat = flat || change_[k] != 0.0;
                flat_size = std::max(flat_size, std::abs(change_[k]));
                size = std::max(size, std::abs(v_[k]));
                fit_change_[k] = 0.0;
            }
            if (flat && !system_.multiply_kernel(change_, fit_change_, deadline_)) {
                return false;
            }
            // The others: da = H^1/2 x, N x = H^-1/2 (rho - H K change).
            for (std::size_t k = 0; k < n_; ++k) {
                if (root[k] > 0.0) {
                    rhs_[k] = rho_[k] / root[k] - root[k] * fit_change_[k];
                    trial_[k] = root[k] * f_[k] + v_[k] / root[k];
                } else {
                    rhs_[k] = 0.0;
                    trial_[k] = 0.0;
                }
            }
            const double scale = preconditioned_norm(trial_);
            const double now = preconditioned_norm(rhs_);
            if (!std::isfinite(now)) {
                return false;
            }
            if (now <= accuracy * scale && flat_size <= accuracy * size) {
                return true;
            }
            if (!conjugate_gradients(Loss::kLinearSlope ? accuracy * scale
                                                        : kInnerAccuracy * now)) {
                return false;
            }
            for (std::size_t k = 0; k < n_; ++k) {
                change_[k] += root[k] * x_[k];
            }
            if (Loss::kLinearSlope) {
                simd::axpy(1.0, change_.data(), a_.data(), n_);
                return true;
            }
            if (!system_.multiply_kernel(change_, fit_change_, deadline_)) {
                return false;
            }
            if (!line_search()) {
                return true;  // as accurate as rounding allows
            }
        }
        return true;
    }

    // Moves a and f = K a along the change, halved until the inner function falls.
    bool line_search() {
        const auto value = [&](double t) {
            double kernel = 0.0;
            for (std::size_t k = 0; k < n_; ++k) {
                trial_[k] = f_[k] + t * fit_change_[k];
                kernel += (a_[k] + t * change_[k]) * trial_[k];
            }
            return data_.value(trial_) + 0.5 * kernel;
        };
        const double before = value(0.0);
        const double slope = inner(fit_change_, a_) - inner(fit_change_, v_);
        for (double t = 1.0; t > 1e-6; t *= 0.5) {
            if (value(t) <= before + 1e-4 * t * slope + 1e-14 * std::abs(before)) {
                simd::axpy(t, change_.data(), a_.data(), n_);
                std::ranges::copy(trial_, f_.begin());
                return true;
            }
        }
        return false;
    }

    double preconditioned_norm(std::span<const double> r) {
        preconditioner_->apply(r, preconditioned_);
        return std::sqrt(std::max(0.0, inner(r, preconditioned_)));
    }

    // N x = rhs_ by preconditioned conjugate gradients until the residual's norm is at most
    // `target`. With an offset, x is such that the whole change sums to zero.
    bool conjugate_gradients(double target) {
        std::ranges::copy(rhs_, residual_.begin());
        std::ranges::fill(x_, 0.0);
        if (problem_.output_offset) {
            double sum = 0.0;
            for (const double part : change_) {
                sum += part;
            }
            preconditioner_->along_border(-sum, x_);
            if (!system_.multiply(x_, image_, deadline_)) {
                return false;
            }
            simd::axpy(-1.0, image_.data(), residual_.data(), n_);
        }
        double last = 0.0;
        for (int iteration = 0; iteration < kInnerIterations; ++iteration) {
            preconditioner_->apply(residual_, preconditioned_);
            const double rho = inner(residual_, preconditioned_);
            if (!(rho > target * target)) {
                return std::isfinite(rho);
            }
            const double turn = iteration == 0 ? 0.0 : rho / last;
            last = rho;
            for (std::size_t k = 0; k < n_; ++k) {
                direction_[k] = preconditioned_[k] + turn * (iteration == 0 ? 0.0 : direction_[k]);
            }
            if (!system_.multiply(direction_, image_, deadline_)) {
                return false;
            }
            const double along = inner(direction_, image_);
            if (!(along > 0.0)) {
                return std::isfinite(along);
            }
            simd::axpy(rho / along, direction_.data(), x_.data(), n_);
            simd::axpy(-rho / along, image_.data(), residual_.data(), n_);
        }
        return true;
    }

    // --- the ends ------------------------------------------------------------------------------

    // Takes the start, unless its objective is not below that at zero (or overflows).
    bool load(const Start& start) {
        active_.assign(start.blocks.begin(), start.blocks.end());
        std::ranges::copy(start.values, values_.begin());
        if (!forward(problem_.A, active_, {values_.data(), d_, active_.size()}, f_, buffer_,
                     deadline_)) {
            return false;
        }
        double penalty = 0.0;
        for (std::size_t k = 0; k < active_.size(); ++k) {
            const double size = norm({values_.data() + k * d_, d_});
            penalty += problem_.weights[active_[k]] * size;
            eta_[active_[k]] = size;
        }
        if (data_.value(f_) + problem_.beta * penalty < full_.objective_at_zero()) {
            data_.negative_gradient(f_, a_);
            beta_ = problem_.beta;
            keep_best(data_.value(f_) + problem_.beta * penalty);
            inner_gap_ = 1e-2;
        } else {
            std::ranges::fill(eta_, 0.0);
            std::ranges::fill(f_, 0.0);
            data_.negative_gradient(f_, a_);
        }
        return true;
    }

    bool record() { return full_.record(n_iter_, best_objective_, best_active_.size()); }

    GroupLassoResult finish(Status status) {
        GroupLassoResult result = full_.finish(status, n_iter_);
        result.objective = best_objective_;
        result.offset = best_offset_;
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
    std::size_t n_, d_, blocks_;
    DataTerm<Loss> data_;
    FullProgram<Loss> full_;
    Deadline& deadline_;
    KernelSystem system_;
    std::unique_ptr<Preconditioner> preconditioner_;
    NewtonStep newton_step_;

    double beta_ = 0.0;  // of this stage
    double price_at_zero_ = 0.0;
    double ridge_ = kSmallestRidge;
    std::size_t n_iter_ = 0;
    std::vector<double> eta_, old_eta_;  // P

    std::vector<std::size_t> active_, best_active_, free_;
    std::vector<double> c_;                                 // of active_
    std::vector<double> gradient_, plain_, norms_, delta_;  // of free_
    std::vector<double> values_, best_values_;              // d x P, compact: of the two lists
    double best_objective_;
    double best_offset_ = 0.0;
    double stage_gap_ = 1.0, inner_gap_ = 1.0;
    double lower_ = 0.0, upper_ = 0.0;  // bounds of g at eta_

    // n: the data's own variable, its fit K a, and work space
    std::vector<double> a_, old_a_, f_, v_, curvature_, rho_, change_, fit_change_;
    std::vector<double> x_, rhs_, residual_, preconditioned_, direction_, image_, trial_;
    ForwardBuffer buffer_;
};

}  // namespace

GroupLassoResult newton(const GroupLasso& problem, const SolverSettings& settings,
                        const Start& start, Monitor& monitor) {
    return with_loss(problem.loss, problem.loss_parameter, [&]<typename Loss>(const Loss& loss) {
        return Newton<Loss>(problem, loss, settings, monitor).run(start);
    });
}

}  // namespace convexnn
