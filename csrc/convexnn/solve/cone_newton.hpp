// The second phase of cutting_plane.hpp: the variational second-order method of newton.cpp on the
// group norms eta, with projections on cones,
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
#include <span>
#include <vector>

#include "convexnn/base/dense.hpp"
#include "convexnn/base/vectors.hpp"
#include "convexnn/solve/cone_fit.hpp"
#include "convexnn/solve/cone_program.hpp"
#include "convexnn/solve/cone_run.hpp"
#include "convexnn/solve/group_norms.hpp"
#include "convexnn/solve/nonnegative_qp.hpp"

namespace convexnn {

// Work space of n samples is allocated by the constructor, that of the blocks as they become more.
template <typename Loss>
class ConeNewton {
public:
    using End = typename ConeRun<Loss>::End;

    ConeNewton(ConeRun<Loss>& run, std::size_t threads)
        : run_(run),
          problem_(run.problem),
          data_(run.data),
          program_(run.program),
          deadline_(run.deadline),
          n_(problem_.A.rows()),
          d_(problem_.A.width()),
          fit_(problem_.A.X, data_, program_, threads),
          workspace_(threads),
          old_a_(n_) {}

    // From the norms of the run's best blocks, and from a = v, until the gap falls no more.
    End refine(std::span<const double> v) {
        blocks_.assign(run_.blocks().begin(), run_.blocks().end());
        eta_.resize(blocks_.size());
        for (std::size_t t = 0; t < blocks_.size(); ++t) {
            eta_[t] = norm(run_.values().subspan(t * d_, d_));
        }
        std::ranges::copy(v, fit_.a.begin());
        ridge_ = group_norms::kSmallestRidge;
        parabolas_ = 0;
        next_parabolas_ = 1;
        ++run_.n_iter;
        if (!evaluate()) {
            return run_.why();
        }
        double best_gap = HUGE_VAL;
        std::size_t waited = 0;
        for (;;) {
            if (const End end = run_.check()) {
                return end;
            }
            const double gap = run_.gap();
            waited = gap < 0.9 * best_gap ? 0 : waited + 1;
            best_gap = std::min(gap, best_gap);
            if (waited > kPatience) {
                return {};
            }
            ++run_.n_iter;
            if (!step()) {
                return run_.why();
            }
        }
    }

private:
    using Outcome = dense::Outcome;

    static constexpr std::size_t kMostViolators = 50;  // or as many as there are blocks
    static constexpr std::size_t kPatience = 8;        // steps without a smaller gap
    static constexpr std::size_t kMostParabolas = 64;
    static constexpr double kTraceRidge = 1e-13;  // of the mean of the Hessian's diagonal

    // How many blocks a pricing has to tell apart for the step that follows it.
    std::size_t violators_wanted() const { return std::max(kMostViolators, blocks_.size()); }

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
        const double gap = run_.gap();
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
        std::vector<std::size_t> at = run_.violators(violators_wanted(), 1.0, blocks_.size());
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
        const double gap = run_.gap();
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
            penalty += run_.penalty_of(blocks_[t], c_[t] * program_.prices()[t]);
            norms += eta_[t];
        }
        const double loss = data_.value(fit_.f);
        if (program_.exact()) {
            run_.keep_best(loss + penalty, blocks_, fit_.values);
        }
        lower_ = data_.dual_value(fit_.a, 1.0) - fit_.half_kernel + 0.5 * problem_.beta * norms;
        upper_ = loss + fit_.half_kernel + 0.5 * problem_.beta * norms;
        return true;
    }

    ConeRun<Loss>& run_;
    const GroupLasso& problem_;
    DataTerm<Loss>& data_;
    ConeProgram<Loss>& program_;
    Deadline& deadline_;
    std::size_t n_, d_;
    ConeFit<Loss> fit_;
    dense::Workspace workspace_;
    std::unique_ptr<NonnegativeQp> qp_;
    std::size_t qp_capacity_ = 0;

    double ridge_ = group_norms::kSmallestRidge;
    // How many steps more take a parabola above the loss, and half of how many do when the next one
    // is refused.
    std::size_t parabolas_ = 0, next_parabolas_ = 1;

    std::vector<std::size_t> blocks_, old_blocks_;  // rising
    std::vector<double> eta_, old_eta_, c_;         // of blocks_; c = eta / beta
    std::vector<std::size_t> free_;
    std::vector<double> gradient_, plain_, bends_, lower_bounds_, delta_;  // of free_
    std::vector<char> off_bounds_;
    std::vector<double> features_, scaled_, hessian_;  // B and C B (n x free_); B'(H^-1 + K)^-1 B
    double lower_ = 0.0, upper_ = 0.0;                 // bounds of g at eta_
    std::vector<double> old_a_;                        // n
};

}  // namespace convexnn
