// The ReLU program in two phases. Cutting planes over neurons: price every cone by projecting the
// gradient, add the neurons whose price exceeds beta, solve the master problem over the neurons met
// so far (a fully corrective Frank-Wolfe method). Most blocks of a solution lie on extreme rays of
// their cones, which are met exactly; the others converge slowly. So once the gap is small, a
// second-order method in the blocks' norms (cone_newton.hpp). Every iterate lies in the cones.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <span>
#include <vector>

#include "convexnn/base/simd.hpp"
#include "convexnn/base/vectors.hpp"
#include "convexnn/solve/atom_master.hpp"
#include "convexnn/solve/cone_lasso.hpp"
#include "convexnn/solve/cone_newton.hpp"
#include "convexnn/solve/cone_run.hpp"

namespace convexnn {

template <typename Loss>
class CuttingPlane {
public:
    CuttingPlane(const ConeLasso& problem, const Loss& loss, const SolverSettings& settings,
                 Monitor& monitor)
        : run_(problem, loss, settings, monitor),
          problem_(run_.problem),
          data_(run_.data),
          program_(run_.program),
          deadline_(run_.deadline),
          n_(problem_.A.rows()),
          d_(problem_.A.width()),
          master_(problem_.samples, data_, problem_.beta, d_, settings.threads),
          newton_(run_, settings.threads),
          f_(n_),
          v_(n_),
          feature_(n_) {}

    // Iterations count from `n_iter` on.
    GroupLassoResult run(const Start& start, std::size_t n_iter = 0) {
        run_.begin(n_iter);
        return run_.finish(iterate(start));
    }

private:
    using End = typename ConeRun<Loss>::End;

    static constexpr double kSwitchGap = 1e-3;         // where the second phase begins
    static constexpr double kSlowGap = 1e-2;           // ... or here, where cuts do little
    static constexpr std::size_t kMostCuts = 60;       // before the second phase has its try
    static constexpr double kMasterAccuracy = 0.1;     // of the gap over all patterns
    static constexpr std::size_t kFewestNeurons = 30;  // added at a time, or as many as there are
    static constexpr std::size_t kSpareNeurons = 200;  // kept beside four times those in use
    static constexpr std::size_t kAlternations = 10;   // of the two phases

    Status iterate(const Start& start) {
        // Zero is optimal iff no block's price at zero exceeds beta; whatever the start, the answer
        // is then exactly zero.
        data_.negative_gradient(f_, v_);
        if (!program_.price(v_, {}, kFewestNeurons)) {
            return deadline_.reason();
        }
        if (program_.largest_price() <= problem_.beta) {
            const bool stop = run_.record();
            // With beta as small as the prices' rounding, optimality shows but cannot be proved.
            return run_.proved() ? Status::solved
                   : stop        ? deadline_.reason()
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
            if (const End end = newton_.refine(v_)) {
                return *end;
            }
            // The second phase got stuck: on from the best there is, nearer before the next try.
            switch_gap_ = std::min(0.1 * switch_gap_, 0.1 * run_.gap());
            if (!reload() || !solve_master(kMasterAccuracy * switch_gap_)) {
                return deadline_.reason();
            }
        }
        return Status::numerical_error;
    }

    // Until the gap is small, or falls slowly.
    End cut() {
        std::vector<double> gaps;
        for (;;) {
            // 1. The gap over all patterns, at the optimum of the master problem.
            if (const End end = run_.check()) {
                return end;
            }
            const double gap = run_.gap();
            gaps.push_back(gap);
            const std::size_t count = gaps.size();
            const bool slow = count > 4 && gap > 0.5 * gaps[count - 4];
            if (gap < switch_gap_ || (slow && gap < kSlowGap) || count > kMostCuts) {
                return {};
            }
            // 2. The neurons of the largest prices, if any exceeds beta.
            if (!add_neurons()) {
                return run_.why();
            }
            // 3. The master problem, and the prices at its optimum.
            ++run_.n_iter;
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
        const std::size_t before = master_.atoms();
        for (const std::size_t t : run_.violators(neurons_wanted(), 1.0 + 1e-9)) {
            if (deadline_.stop_requested()) {  // an atom meets all others
                return false;
            }
            add_neuron(program_.priced()[t], program_.projection(t));
        }
        return master_.atoms() > before;
    }

    // How many blocks a pricing has to tell apart for the step that follows it.
    std::size_t neurons_wanted() const { return std::max(kFewestNeurons, master_.support()); }

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
        std::vector<std::size_t> blocks;
        std::vector<double> values;
        for (const std::size_t a : used) {
            if (blocks.empty() || blocks.back() != master_.block(a)) {
                blocks.push_back(master_.block(a));
                values.resize(values.size() + d_, 0.0);
            }
            simd::axpy(master_.coefficients()[a], master_.direction(a).data(),
                       values.data() + values.size() - d_, d_);
        }
        double penalty = 0.0;
        for (std::size_t t = 0; t < blocks.size(); ++t) {
            penalty += run_.penalty_of(blocks[t], norm({values.data() + t * d_, d_}));
        }
        f_ = master_.f;
        run_.keep_best(data_.value(f_) + penalty, blocks, values);
        data_.negative_gradient(f_, v_);
        return program_.price(v_, {}, neurons_wanted());
    }

    // The start's blocks, moved into their cones, as atoms. False: stopped.
    bool load(const Start& start) {
        const std::size_t patterns = problem_.A.blocks();
        std::vector<std::size_t> blocks;
        std::vector<double> values(start.values.begin(), start.values.end());
        for (std::size_t t = 0; t < start.blocks.size(); ++t) {
            const std::size_t i = start.blocks[t] % patterns;
            blocks.push_back(2 * i + (start.blocks[t] < patterns ? 0 : 1));
            for (std::size_t j = 0; j < d_; ++j) {
                values[t * d_ + j] *= problem_.weights[i];
            }
        }
        if (!program_.project_start(blocks, {values.data(), d_, blocks.size()})) {
            return false;
        }
        return add_blocks(blocks, values);
    }
    // The best blocks as the only atoms. False: stopped.
    bool reload() {
        master_.clear();
        return add_blocks(run_.blocks(), run_.values());
    }
    bool add_blocks(std::span<const std::size_t> blocks, std::span<const double> values) {
        std::vector<double> sizes;
        for (std::size_t t = 0; t < blocks.size(); ++t) {
            if (deadline_.stop_requested()) {
                return false;
            }
            const std::span<const double> u = values.subspan(t * d_, d_);
            const std::size_t before = master_.atoms();
            add_neuron(blocks[t], u);
            if (master_.atoms() > before) {
                sizes.push_back(norm(u));
            }
        }
        master_.start(sizes);
        return true;
    }
    // u of length 1, unless it has none.
    void add_neuron(std::size_t b, std::span<const double> u) {
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

    ConeRun<Loss> run_;
    const GroupLasso& problem_;
    DataTerm<Loss>& data_;
    ConeProgram<Loss>& program_;
    Deadline& deadline_;
    std::size_t n_, d_;
    AtomMaster<Loss> master_;
    ConeNewton<Loss> newton_;
    double switch_gap_ = kSwitchGap;
    std::vector<double> f_, v_, feature_;  // n: the best fit of the master, -gradient there
};

}  // namespace convexnn
