// The ReLU program in two phases. Cutting planes over neurons: price every cone by projecting the
// gradient, add the neurons whose price exceeds beta, solve the master problem over the neurons met
// so far (a fully corrective Frank-Wolfe method). Most blocks of a solution lie on extreme rays of
// their cones, which are met exactly; the others converge slowly. So once the gap is small, the
// variational second-order method of newton.cpp on the group norms eta, with projections on cones:
//
//   g(eta) = max_a D(a) - sum_b eta_b ||p_b(a)||^2 / (2 beta) + beta sum_b eta_b / 2,
//   p_b(a) = projection of F_b'a onto the cone of b,       u_b = (eta_b / beta) p_b(a),
//   dg/deta_b = beta / 2 (1 - q_b^2 / beta^2),             q_b = ||p_b(a)||,
//
// (with a ridge beta + r_b eta_b for the beta under eta_b and q_b, see newton.cpp), eta_b = ||u_b||
// at the optimum. For fixed eta, a is found by ConeFit; on the faces where its projections lie, the
// Hessian of g is B'(H^-1 + K)^-1 B, B_b = F_b p_b / beta. Every iterate lies in the cones.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "convexnn/base/vectors.hpp"
#include "convexnn/solve/atom_master.hpp"
#include "convexnn/solve/cone_fit.hpp"
#include "convexnn/solve/cone_lasso.hpp"
#include "convexnn/solve/cone_program.hpp"
#include "convexnn/solve/group_norms.hpp"
#include "convexnn/solve/nonnegative_qp.hpp"

namespace convexnn {

template <typename Loss>
class CuttingPlane {
public:
    CuttingPlane(const ConeLasso& problem, const Loss& loss, const SolverSettings& settings,
                 Monitor& monitor)
        : problem_(problem.base),
          settings_(settings),
          n_(problem_.A.rows()),
          d_(problem_.A.width()),
          patterns_(problem_.A.blocks()),
          data_(problem_.samples, loss, problem_.output_offset, 1, problem_.skip),
          program_(problem, data_, settings, monitor),
          deadline_(program_.deadline()),
          master_(problem_.samples, data_, problem_.beta, d_, settings.threads),
          fit_(problem_.A.X, data_, program_, settings.threads),
          workspace_(settings.threads),
          best_objective_(program_.objective_at_zero()),
          best_free_part_(data_.free_part()),
          f_(n_),
          v_(n_),
          old_a_(n_),
          feature_(n_) {}

    // Iterations count from `n_iter` on.
    GroupLassoResult run(const Start& start, std::size_t n_iter = 0) {
        n_iter_ = n_iter;
        return finish(iterate(start));
    }

private:
    using Outcome = dense::Outcome;

    static constexpr double kSwitchGap = 1e-3;         // where the second phase begins
    static constexpr double kSlowGap = 1e-2;           // ... or here, where cuts do little
    static constexpr std::size_t kMostCuts = 60;       // before the second phase has its try
    static constexpr double kMasterAccuracy = 0.1;     // of the gap over all patterns
    static constexpr std::size_t kFewestNeurons = 30;  // added at a time, or as many as there are
    static constexpr std::size_t kSpareNeurons = 200;  // kept beside four times those in use
    static constexpr std::size_t kMostViolators = 50;  // or as many as there are blocks
    static constexpr std::size_t kPatience = 8;        // second-order steps without a smaller gap
    static constexpr std::size_t kAlternations = 10;   // of the two phases
    static constexpr std::size_t kMostParabolas = 64;
    static constexpr double kTraceRidge = 1e-13;  // of the mean of the Hessian's diagonal

    // The status at the end of the solve, or none where it goes on.
    using End = std::optional<Status>;

    Status iterate(const Start& start) {
        // Zero is optimal iff no block's price at zero exceeds beta; whatever the start, the answer
        // is then exactly zero.
        data_.negative_gradient(f_, v_);
        if (!program_.price(v_, {}, kFewestNeurons)) {
            return deadline_.reason();
        }
        if (program_.largest_price() <= problem_.beta) {
            const bool stop = program_.record(n_iter_, best_objective_, 0);
            // With beta as small as the prices' rounding, optimality shows but cannot be proved.
            return program_.proved(best_objective_) ? Status::solved
                   : stop                           ? deadline_.reason()
                                                    : Status::numerical_error;
        }
        if (!start.blocks.empty()) {
            if (!load(start) || !solve_master(kSlowGap)) {
                return deadline_.reason();
            }
        }
        for (std::size_t round = 0; round < kAlternations; ++round) {
            if (const End end = cut()) {
                return *end;
            }
            if (const End end = refine()) {
                return *end;
            }
            // The second phase got stuck: on from the best there is, nearer before the next try.
            switch_gap_ = std::min(0.1 * switch_gap_, 0.1 * program_.relative(best_objective_));
            if (!reload() || !solve_master(kMasterAccuracy * switch_gap_)) {
                return deadline_.reason();
            }
        }
        return Status::numerical_error;
    }

    // Records the gap; how the solve ends, if here.
    End check() {
        const bool stop = program_.record(n_iter_, best_objective_, best_blocks_.size());
        if (program_.proved(best_objective_)) {
            return Status::solved;
        }
        if (stop) {
            return deadline_.reason();
        }
        return n_iter_ >= settings_.max_iter ? End(Status::max_iter) : End();
    }

    // --- first phase: cutting planes ------------------------------------------------------------

    // Until the gap is small, or falls slowly.
    End cut() {
        std::vector<double> gaps;
        for (;;) {
            // 1. The gap over all patterns, at the optimum of the master problem.
            if (const End end = check()) {
                return end;
            }
            const double gap = program_.relative(best_objective_);
            gaps.push_back(gap);
            const std::size_t count = gaps.size();
            const bool slow = count > 4 && gap > 0.5 * gaps[count - 4];
            if (gap < switch_gap_ || (slow && gap < kSlowGap) || count > kMostCuts) {
                return {};
            }
            // 2. The neurons of the largest prices, if any exceeds beta.
            if (!add_neurons()) {
                return why();
            }
            // 3. The master problem, and the prices at its optimum.
            ++n_iter_;
            if (!solve_master(kMasterAccuracy * gap)) {
                return deadline_.reason();
            }
        }
    }

    // The most violated blocks' projections, of length 1, become atoms. False: there is none, or
    // stopped.
    bool add_neurons() {
        if (master_.atoms() > 4 * master_.support() + kSpareNeurons) {
            master_.prune();
        }
        choose_violators(neurons_wanted(), 1.0 + 1e-9);
        const std::size_t before = master_.atoms();
        std::vector<double> direction(d_);
        for (const std::size_t t : violators_) {
            if (deadline_.stop_requested()) {  // an atom meets all others
                return false;
            }
            const std::span<const double> p = program_.projection(t);
            const double size = norm(p);
            std::ranges::transform(p, direction.begin(), [size](double x) { return x / size; });
            program_.feature(program_.priced()[t], direction, feature_);
            const std::size_t b = program_.priced()[t];
            master_.add(b, direction, feature_, program_.ridge(b));
        }
        return master_.atoms() > before;
    }

    // How many blocks a pricing has to tell apart for the step that follows it.
    std::size_t neurons_wanted() const { return std::max(kFewestNeurons, master_.support()); }
    std::size_t violators_wanted() const { return std::max(kMostViolators, blocks_.size()); }

    // Positions in priced(), beyond `from`, of at most `most` prices above beta, the largest first.
    void choose_violators(std::size_t most, double margin, std::size_t from = 0) {
        const std::span<const double> prices = program_.prices();
        const std::span<const std::size_t> blocks = program_.priced();
        violators_.clear();
        for (std::size_t t = from; t < prices.size(); ++t) {
            if (prices[t] > margin * problem_.beta) {
                violators_.push_back(t);
            }
        }
        const auto larger = [&](std::size_t s, std::size_t t) {
            return prices[s] != prices[t] ? prices[s] > prices[t] : blocks[s] < blocks[t];
        };
        if (violators_.size() > most) {
            std::nth_element(violators_.begin(),
                             violators_.begin() + static_cast<std::ptrdiff_t>(most),
                             violators_.end(), larger);
            violators_.resize(most);
        }
        std::ranges::sort(violators_, larger);
    }

    // The master's optimum to the relative `gap`, its objective, and all prices there. False:
    // stopped.
    bool solve_master(double gap) {
        if (master_.atoms() > 0 && !master_.solve(gap, deadline_)) {
            return false;
        }
        // Neurons of the same block add up; their sum is no longer than they are.
        std::vector<std::size_t> used;
        for (std::size_t a = 0; a < master_.atoms(); ++a) {
            if (master_.coefficients()[a] > 0.0) {
                used.push_back(a);
            }
        }
        std::ranges::stable_sort(used, {}, [&](std::size_t a) { return master_.block(a); });
        blocks_.clear();
        values_.clear();
        for (const std::size_t a : used) {
            if (blocks_.empty() || blocks_.back() != master_.block(a)) {
                blocks_.push_back(master_.block(a));
                values_.resize(values_.size() + d_, 0.0);
            }
            simd::axpy(master_.coefficients()[a], master_.direction(a).data(),
                       values_.data() + values_.size() - d_, d_);
        }
        double penalty = 0.0;
        for (std::size_t t = 0; t < blocks_.size(); ++t) {
            penalty += penalty_of(blocks_[t], norm({values_.data() + t * d_, d_}));
        }
        f_ = master_.f;
        keep_best(data_.value(f_) + penalty);
        data_.negative_gradient(f_, v_);
        return program_.price(v_, {}, neurons_wanted());
    }

    // The start's blocks, moved into their cones, as atoms. False: stopped.
    bool load(const Start& start) {
        blocks_.clear();
        values_.assign(start.values.begin(), start.values.end());
        for (std::size_t t = 0; t < start.blocks.size(); ++t) {
            const std::size_t i = start.blocks[t] % patterns_;
            blocks_.push_back(2 * i + (start.blocks[t] < patterns_ ? 0 : 1));
            for (std::size_t j = 0; j < d_; ++j) {
                values_[t * d_ + j] *= problem_.weights[i];
            }
        }
        if (!program_.project_start(blocks_, {values_.data(), d_, blocks_.size()})) {
            return false;
        }
        return add_blocks(blocks_, values_);
    }
    // The best blocks as the only atoms. False: stopped.
    bool reload() {
        master_.clear();
        return add_blocks(best_blocks_, best_values_);
    }
    bool add_blocks(std::span<const std::size_t> blocks, std::span<const double> values) {
        std::vector<double> sizes;
        for (std::size_t t = 0; t < blocks.size(); ++t) {
            if (deadline_.stop_requested()) {
                return false;
            }
            const std::span<const double> u = values.subspan(t * d_, d_);
            const std::size_t before = master_.atoms();
            add_block(blocks[t], u);
            if (master_.atoms() > before) {
                sizes.push_back(norm(u));
            }
        }
        master_.start(sizes);
        return true;
    }
    void add_block(std::size_t b, std::span<const double> u) {
        const double size = norm(u);
        if (!(size > 0.0) || !std::isfinite(size)) {
            return;
        }
        std::vector<double> direction(u.begin(), u.end());
        for (double& x : direction) {
            x /= size;
        }
        program_.feature(b, direction, feature_);
        master_.add(b, direction, feature_, program_.ridge(b));
    }

    // --- second phase: the norms of the blocks ---------------------------------------------------

    // Until the gap falls no more.
    End refine() {
        blocks_ = best_blocks_;
        eta_.resize(blocks_.size());
        for (std::size_t t = 0; t < blocks_.size(); ++t) {
            eta_[t] = norm({best_values_.data() + t * d_, d_});
        }
        fit_.a = v_;
        ridge_ = group_norms::kSmallestRidge;
        parabolas_ = 0;
        next_parabolas_ = 1;
        ++n_iter_;
        if (!evaluate()) {
            return why();
        }
        double best_gap = HUGE_VAL;
        std::size_t waited = 0;
        for (;;) {
            if (const End end = check()) {
                return end;
            }
            const double gap = program_.relative(best_objective_);
            waited = gap < 0.9 * best_gap ? 0 : waited + 1;
            best_gap = std::min(gap, best_gap);
            if (waited > kPatience) {
                return {};
            }
            ++n_iter_;
            if (!step()) {
                return why();
            }
        }
    }

    End why() { return deadline_.stopped() ? End(deadline_.reason()) : End(); }

    // Moves eta, a and all that follows them, so that g does not rise.
    bool step() {
        const double before = upper_;
        const double noise = 1e-12 * std::abs(upper_);
        old_blocks_ = blocks_;
        old_eta_ = eta_;
        old_a_ = fit_.a;
        choose_free_blocks();
        if (free_.empty()) {
            return false;
        }
        // Where steps fail, or few samples have curvature left and the optimum is far, a parabola
        // above the loss has some.
        const auto flat = static_cast<std::size_t>(std::ranges::count(fit_.metric.h, 0.0));
        const double gap = program_.relative(best_objective_);
        const bool parabola =
            !Loss::kLinearSlope && (parabolas_ > 0 || flat + data_.free_columns().count() >= n_ ||
                                    (2 * flat > n_ && gap > group_norms::kNearOptimum));
        if (!find_direction(parabola)) {
            return false;
        }
        double t = 1.0;
        for (int attempt = 0; attempt < 3; ++attempt) {
            move(t);
            if (!evaluate()) {
                return false;
            }
            // Both bounds of g, as its value is only known to the accuracy of a.
            if (lower_ <= before + noise) {
                if (attempt == 0) {
                    ridge_ = std::max(group_norms::kSmallestRidge, ridge_ / 10.0);
                    parabolas_ -= parabolas_ > 0 ? 1 : 0;
                } else {
                    be_cautious();
                }
                return true;
            }
            t *= 0.3;
        }
        be_cautious();
        blocks_ = old_blocks_;
        eta_ = old_eta_;
        fit_.a = old_a_;
        return evaluate();
    }

    // After a step that was too long: the next ones with a parabola above the loss, more of them
    // each time, or where it is its own with a larger ridge.
    void be_cautious() {
        if (Loss::kLinearSlope || parabolas_ > 0) {
            ridge_ = std::max(100.0 * ridge_, 1e-6);
        }
        next_parabolas_ = std::min(2 * next_parabolas_, kMostParabolas);
        parabolas_ = next_parabolas_;
    }

    // The blocks that are not zero and the most violated of the others, rising, with their
    // gradients and C B.
    void choose_free_blocks() {
        // The blocks that are not zero were priced first.
        choose_violators(violators_wanted(), 1.0, blocks_.size());
        std::vector<std::size_t>& at = violators_;
        for (std::size_t t = 0; t < blocks_.size(); ++t) {
            at.push_back(t);
        }
        std::ranges::sort(at, {}, [&](std::size_t t) { return program_.priced()[t]; });
        const std::size_t count = at.size();
        for (std::vector<double>* each : {&gradient_, &plain_, &bends_, &lower_bounds_, &delta_}) {
            each->resize(count);
        }
        free_.resize(count);
        features_.resize(n_ * count);
        for (std::size_t j = 0; j < count; ++j) {
            const std::size_t t = at[j];
            free_[j] = program_.priced()[t];
            const double eta = t < blocks_.size() ? eta_[t] : 0.0;
            const group_norms::Slope slope = group_norms::slope_at(
                eta, problem_.beta, program_.ridge(free_[j]), program_.prices()[t]);
            plain_[j] = slope.plain;
            gradient_[j] = slope.secular;
            bends_[j] = slope.bend;
            lower_bounds_[j] = -eta;
            const std::span<double> column(features_.data() + j * n_, n_);
            program_.feature(free_[j], program_.projection(t), column);
            for (double& x : column) {
                x *= slope.weight;
            }
        }
    }

    // delta_ for the free blocks, with the curvature of the fit or of a parabola above the loss.
    bool find_direction(bool parabola) {
        if (parabola) {
            fit_.set_curvature(true);
            if (!fit_.build()) {
                return false;
            }
        }
        const std::size_t count = free_.size();
        scaled_ = features_;
        const MatrixView<double> CB(scaled_.data(), n_, count);
        for (std::size_t j = 0; j < count; ++j) {
            fit_.metric.scale(CB.column(j));
        }
        hessian_.resize(count * count);
        const MatrixView<double> H(hessian_.data(), count, count);
        if (fit_.faces.reduce(dense::constant(CB), H, deadline_) != Outcome::done) {
            return false;
        }
        double mean = 0.0;
        for (std::size_t j = 0; j < count; ++j) {
            mean += H(j, j) / static_cast<double>(count);
        }
        for (std::size_t j = 0; j < count; ++j) {
            H(j, j) =
                std::max(H(j, j), 0.0) * (1.0 + ridge_) + kTraceRidge * mean + 1e-300 + bends_[j];
        }
        // The secular gradient first; the plain one where its step is not one of descent.
        return minimise(H, gradient_) &&
               (inner_product(plain_, delta_) < 0.0 || minimise(H, plain_));
    }

    bool minimise(MatrixView<double> H, std::span<const double> g) {
        const std::size_t count = g.size();
        if (count > qp_capacity_) {
            qp_capacity_ = count + count / 2;
            qp_ = std::make_unique<NonnegativeQp>(qp_capacity_);
        }
        off_bounds_.resize(count);
        for (std::size_t j = 0; j < count; ++j) {
            off_bounds_[j] = lower_bounds_[j] < 0.0 || g[j] < 0.0;
        }
        return qp_->solve(dense::constant(H), g, lower_bounds_, off_bounds_, delta_, QpSettings{},
                          workspace_, deadline_)
                   .outcome == Outcome::done;
    }

    // eta from where the step began.
    void move(double t) {
        blocks_.clear();
        eta_.clear();
        double largest = 0.0;
        for (std::size_t j = 0; j < free_.size(); ++j) {
            const double eta = std::max(0.0, t * delta_[j] - lower_bounds_[j]);
            largest = std::max(largest, eta);
            blocks_.push_back(free_[j]);
            eta_.push_back(eta);
        }
        std::size_t kept = 0;
        for (std::size_t j = 0; j < free_.size(); ++j) {
            if (eta_[j] > group_norms::kSmallest * largest) {
                blocks_[kept] = blocks_[j];
                eta_[kept++] = eta_[j];
            }
        }
        blocks_.resize(kept);
        eta_.resize(kept);
        fit_.a = old_a_;
    }

    // a for this eta, the blocks u that belong to it, all prices, and the bounds of g.
    bool evaluate() {
        c_.resize(blocks_.size());
        for (std::size_t t = 0; t < blocks_.size(); ++t) {
            c_[t] = eta_[t] / (problem_.beta + program_.ridge(blocks_[t]) * eta_[t]);
        }
        const double gap = program_.relative(best_objective_);
        if (!fit_.solve(blocks_, c_, group_norms::inner_accuracy(gap))) {
            return false;
        }
        data_.clip(fit_.a);
        if (!program_.price(fit_.a, blocks_, violators_wanted()) || !fit_.fit(blocks_, c_)) {
            return false;
        }
        double penalty = 0.0;
        double norms = 0.0;
        for (std::size_t t = 0; t < blocks_.size(); ++t) {
            penalty += penalty_of(blocks_[t], c_[t] * program_.prices()[t]);
            norms += eta_[t];
        }
        const double loss = data_.value(fit_.f);
        if (program_.exact()) {
            values_ = fit_.values;
            keep_best(loss + penalty);
        }
        lower_ = data_.dual_value(fit_.a, 1.0) - fit_.half_kernel + 0.5 * problem_.beta * norms;
        upper_ = loss + fit_.half_kernel + 0.5 * problem_.beta * norms;
        return true;
    }

    // --- the best so far, and the end ------------------------------------------------------------

    // Of a block of that norm.
    double penalty_of(std::size_t b, double size) const {
        return problem_.beta * size + 0.5 * program_.ridge(b) * size * size;
    }

    void keep_best(double objective) {
        if (objective < best_objective_) {
            best_objective_ = objective;
            best_free_part_ = data_.free_part();
            best_blocks_ = blocks_;
            best_values_ = values_;
        }
    }

    GroupLassoResult finish(Status status) {
        if (program_.is_news(best_objective_)) {  // the time ended between two checks
            program_.record(n_iter_, best_objective_, best_blocks_.size());
        }
        GroupLassoResult result = program_.finish(status, n_iter_);
        result.objective = best_objective_;
        result.free_part = best_free_part_;
        for (const std::size_t parity : {0U, 1U}) {
            for (std::size_t t = 0; t < best_blocks_.size(); ++t) {
                const std::size_t b = best_blocks_[t];
                const std::span<const double> u(best_values_.data() + t * d_, d_);
                if (b % 2 == parity && norm(u) > 0.0) {
                    result.active.push_back(b / 2 + parity * patterns_);
                    for (const double x : u) {
                        result.values.push_back(x / problem_.weights[b / 2]);
                    }
                }
            }
        }
        return result;
    }

    const GroupLasso& problem_;
    const SolverSettings settings_;
    std::size_t n_, d_, patterns_;
    DataTerm<Loss> data_;
    ConeProgram<Loss> program_;
    Deadline& deadline_;
    AtomMaster<Loss> master_;
    ConeFit<Loss> fit_;
    dense::Workspace workspace_;
    std::unique_ptr<NonnegativeQp> qp_;
    std::size_t qp_capacity_ = 0;

    double switch_gap_ = kSwitchGap;
    double ridge_ = group_norms::kSmallestRidge;
    // How many steps more take a parabola above the loss, and half of how many do when the next one
    // is refused.
    std::size_t parabolas_ = 0, next_parabolas_ = 1;
    std::size_t n_iter_ = 0;

    std::vector<std::size_t> blocks_, best_blocks_, old_blocks_;  // rising
    std::vector<double> values_, best_values_;                    // d x those
    double best_objective_;
    std::vector<double> best_free_part_;
    std::vector<double> eta_, old_eta_, c_;  // of blocks_; c = eta / beta

    std::vector<std::size_t> violators_;
    std::vector<std::size_t> free_;
    std::vector<double> gradient_, plain_, bends_, lower_bounds_, delta_;  // of free_
    std::vector<char> off_bounds_;
    std::vector<double> features_, scaled_, hessian_;  // B and C B (n x free_); B'(H^-1 + K)^-1 B
    double lower_ = 0.0, upper_ = 0.0;                 // bounds of g at eta_

    std::vector<double> f_, v_, old_a_, feature_;  // n
};

}  // namespace convexnn
