#include <algorithm>
#include <cmath>
#include <memory>
#include <numeric>

#include "convexnn/base/simd.hpp"
#include "convexnn/solve/full_program.hpp"
#include "convexnn/solve/group_lasso.hpp"
#include "convexnn/solve/hinge.hpp"

namespace convexnn {
namespace {

constexpr std::size_t kFewestAdded = 16;  // to the active blocks, in a working set
constexpr std::size_t kFewestAllowed = 32;
constexpr std::size_t kStepsPerCheck = 5;  // between gaps of the working set's own program
constexpr std::size_t kStepsPerWorkingSet = 5000;
constexpr double kInnerAccuracy = 0.1;  // of the gap that is left
constexpr std::size_t kStalls = 5;      // checks without progress until giving up
constexpr double kGrowth = 1.5;         // of L where a step of length 1 / L is too long
constexpr double kDecay = 0.98;         // of L after every step taken
// t when the working set changes, at most: with a long memory, new blocks overshoot.
constexpr double kCarriedMomentum = 6.0;
constexpr double kSlack = 1e-14;  // rounding of an objective, relative

// --- the vector loops ---------------------------------------------------------------------------

struct Step {
    double penalty;  // sum_i beta w_i ||z_i|| + ridge ||z_i||^2 / 2
    double square;   // ||z - y||^2
    double turn;     // <y - z, z - x>
};

// z_i = prox_{beta w_i ||.|| / L}(y_i + g_i / L) / (1 + ridge / L) for `count` blocks of d entries.
CONVEXNN_MULTIVERSION
Step proximal_step(const double* x, const double* y, const double* g, const double* weights,
                   double beta, double ridge, double L, std::size_t d, std::size_t count,
                   double* z) {
    Step step{0.0, 0.0, 0.0};
    const double length = 1.0 / L;
    const double shrunk = 1.0 / (1.0 + ridge * length);
    for (std::size_t i = 0; i < count; ++i) {
        const std::size_t at = i * d;
        double squares = 0.0;
#pragma omp simd reduction(+ : squares)
        for (std::size_t j = at; j < at + d; ++j) {
            z[j] = y[j] + length * g[j];
            squares += z[j] * z[j];
        }
        const double size = std::sqrt(squares);
        const double threshold = beta * weights[i] * length;
        const double factor = size > threshold ? shrunk * (1.0 - threshold / size) : 0.0;
        double square = 0.0;
        double turn = 0.0;
#pragma omp simd reduction(+ : square, turn)
        for (std::size_t j = at; j < at + d; ++j) {
            z[j] *= factor;
            const double t = z[j] - y[j];
            square += t * t;
            turn -= t * (z[j] - x[j]);
        }
        step.penalty +=
            beta * weights[i] * factor * size + 0.5 * ridge * factor * size * factor * size;
        step.square += square;
        step.turn += turn;
    }
    return step;
}

// y = z + t (z - x)
CONVEXNN_MULTIVERSION
void extrapolate(const double* z, const double* x, double t, std::size_t size, double* y) {
    for (std::size_t k = 0; k < size; ++k) {
        y[k] = z[k] + t * (z[k] - x[k]);
    }
}

// sum_k s_k (a_k - b_k)^2
CONVEXNN_MULTIVERSION
double weighted_distance(const double* s, const double* a, const double* b, std::size_t n) {
    double sum = 0.0;
#pragma omp simd reduction(+ : sum)
    for (std::size_t k = 0; k < n; ++k) {
        sum += s[k] * (a[k] - b[k]) * (a[k] - b[k]);
    }
    return sum;
}

// --- the solver ---------------------------------------------------------------------------------

template <typename Loss>
class Fista {
public:
    Fista(const GroupLasso& problem, const Loss& loss, const SolverSettings& settings,
          Monitor& monitor)
        : problem_(problem),
          settings_(settings),
          n_(problem.fits()),
          d_(problem.block_size()),
          blocks_(problem.A.blocks()),
          data_(problem.samples, loss, problem.output_offset, problem.outputs, problem.skip),
          full_(problem, data_, settings, monitor),
          deadline_(full_.deadline()),
          products_(full_.products()),
          weights_(blocks_),
          x_(new double[blocks_ * d_]),
          y_(new double[blocks_ * d_]),
          z_(new double[blocks_ * d_]),
          gradient_(new double[blocks_ * d_]),
          fit_x_(n_, 0.0),
          fit_y_(n_),
          fit_z_(n_),
          v_y_(n_),
          v_z_(n_),
          objective_(full_.objective_at_zero()) {
        order_.reserve(blocks_);
        working_set_.reserve(blocks_);
        active_.reserve(blocks_);
    }

    GroupLassoResult run(const Start& start) { return finish(iterate(start)); }

private:
    Status iterate(const Start& start) {
        // Zero is optimal iff no block's price at zero exceeds beta; whatever the start, the answer
        // is then exactly zero.
        if (!price()) {
            return deadline_.reason();
        }
        if (full_.largest_price() <= problem_.beta) {
            if (record()) {
                return deadline_.reason();
            }
            // With beta as small as the prices' rounding, optimality shows but cannot be proved.
            return full_.proved(objective_) ? Status::solved : Status::numerical_error;
        }
        if (!start.blocks.empty() && !(load(start) && price())) {
            return deadline_.reason();
        }

        std::size_t stalls = 0;
        for (;;) {
            // 1. The gap over all patterns; prices and objective belong to x.
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

            // 2. Working set: what is active, and the most violated of the others.
            if (!choose_working_set()) {
                return deadline_.reason();
            }

            // 3. Solve on the working set, and price every pattern at its solution.
            const double before = objective_;
            if (!accelerate() || !price()) {
                return deadline_.reason();
            }
            const bool progress =
                objective_ < before * (1.0 - 1e-15) || full_.gap(objective_) < 0.9 * last_gap;
            stalls = progress ? 0 : stalls + 1;
            if (stalls >= kStalls) {
                return Status::numerical_error;
            }
        }
    }

    // Prices every pattern at x.
    bool price() {
        data_.negative_gradient(fit_x_, v_z_);
        return full_.price(v_z_);
    }
    bool record() { return full_.record(n_iter_, objective_, active_.size()); }

    // FISTA (Beck and Teboulle 2009) on the working set with gradient restart and objectives that
    // never rise (O'Donoghue and Candes 2015), until the gap of its own program is a fraction of
    // the whole gap. One step costs A_W^T v and A_W z; the fit is linear in the blocks, so that of
    // y costs none. False: stopped.
    bool accelerate() {
        const double target = std::max(kInnerAccuracy * full_.gap(objective_),
                                       0.3 * settings_.tol * full_.scale(objective_));
        const std::size_t size = working_set_.size() * d_;
        double bound = full_.dual_objective();
        for (std::size_t k = 1; k <= kStepsPerWorkingSet && n_iter_ < settings_.max_iter; ++k) {
            // 1. Descent direction of the loss at y: A_W^T v(y).
            data_.negative_gradient(fit_y_, v_y_);
            if (!transposed(v_y_, gradient_.get())) {
                return keep(false);
            }
            if (lipschitz_ == 0.0 && !estimate_lipschitz()) {
                return keep(false);
            }
            // 2. The gap of the working set's program, at x and the dual point of y.
            if (k % kStepsPerCheck == 0) {
                bound = std::max(bound, working_bound());
                if (objective_ - bound <= target) {
                    break;
                }
            }
            // 3. z = prox(y + A_W^T v / L), L raised until it is the curvature along z - y at
            // least.
            Step step;
            double objective;
            for (;;) {
                step = proximal_step(x_.get(), y_.get(), gradient_.get(), weights_.data(),
                                     problem_.beta, problem_.ridge, lipschitz_, d_,
                                     working_set_.size(), z_.get());
                if (!product(z_.get(), fit_z_, deadline_)) {
                    return keep(false);
                }
                objective = data_.value(fit_z_) + step.penalty;
                if (short_enough(step, objective)) {
                    break;
                }
                lipschitz_ *= kGrowth;
            }
            ++n_iter_;
            if (step.square == 0.0 && t_ == 1.0) {
                break;  // x is a fixed point: the optimum, to rounding
            }
            // 4. An objective that rises is the momentum's fault: forget it, and step from x.
            if (t_ > 1.0 && !(objective <= objective_ * (1.0 + kSlack))) {
                restart();
                continue;
            }
            // 5. Gradient restart: the momentum points uphill.
            if (step.turn > 0.0) {
                t_ = 1.0;
            }
            // 6. y = z + (t - 1) / t_next (z - x), and x = z.
            const double t_next = 0.5 * (1.0 + std::sqrt(1.0 + 4.0 * t_ * t_));
            const double momentum = (t_ - 1.0) / t_next;
            extrapolate(z_.get(), x_.get(), momentum, size, y_.get());
            extrapolate(fit_z_.data(), fit_x_.data(), momentum, n_, fit_y_.data());
            std::swap(x_, z_);
            std::swap(fit_x_, fit_z_);
            objective_ = objective;
            t_ = t_next;
            lipschitz_ *= kDecay;
        }
        return keep(true);
    }

    // A_W^T v and A_W U for the blocks W of the working set. False: stopped.
    bool transposed(std::span<const double> v, double* out) const {
        return products_.active_adjoint(problem_.by_output(v), {out, d_, working_set_.size()},
                                        settings_.threads, deadline_);
    }
    bool product(const double* U, std::span<double> f, Monitor& monitor) const {
        return products_.active_forward({U, d_, working_set_.size()}, problem_.by_output(f),
                                        settings_.threads, monitor);
    }

    // No momentum: y = x.
    void restart() {
        std::copy_n(x_.get(), working_set_.size() * d_, y_.get());
        std::ranges::copy(fit_x_, fit_y_.begin());
        t_ = 1.0;
    }

    // Whether L is at least the curvature of the loss along z - y.
    bool short_enough(const Step& step, double objective) {
        const double* s = problem_.samples.s.data();
        const double limit = lipschitz_ * step.square * (1.0 + 1e-10);
        const double distance = weighted_distance(s, fit_z_.data(), fit_y_.data(), n_);
        // The largest curvature anywhere; or a difference of fits that is rounding alone.
        if (!(step.square > 0.0) || Loss::kCurvature * distance <= limit ||
            distance <= 1e-28 * simd::weighted_square(s, fit_z_.data(), n_)) {
            return true;
        }
        if (Loss::kLinearSlope && !data_.has_free_part()) {
            return !std::isfinite(limit);
        }
        // The mean curvature on the way, good enough while the objective falls.
        data_.negative_gradient(fit_z_, v_z_);
        double along = 0.0;
        for (std::size_t k = 0; k < n_; ++k) {
            along += (v_y_[k] - v_z_[k]) * (fit_z_[k] - fit_y_[k]);
        }
        return !(along > limit) && (t_ > 1.0 || objective <= objective_ * (1.0 + kSlack));
    }

    // Curvature along the gradient: from below, raised where it fails. False: stopped.
    bool estimate_lipschitz() {
        if (!product(gradient_.get(), fit_z_, deadline_)) {
            return false;
        }
        const double size = norm({gradient_.get(), working_set_.size() * d_});
        constexpr double kProbe = kProbeLength<Loss>;
        for (double& t : fit_z_) {
            t *= kProbe / size;
        }
        const double ratio = data_.curvature_along(fit_y_, fit_z_) / (kProbe * kProbe);
        lipschitz_ = ratio > 0.0 && std::isfinite(ratio) ? ratio : 1.0;
        return true;
    }

    // Dual bound of the program restricted to the working set, from v(y) and its adjoint.
    double working_bound() {
        const std::span<double> prices = full_.prices();
        double largest = 0.0;
        for (std::size_t k = 0; k < working_set_.size(); ++k) {
            const double price = norm({gradient_.get() + k * d_, d_}) / weights_[k];
            prices[working_set_[k]] = price;
            largest = std::max(largest, price);
        }
        return best_multiple(
                   problem_, data_, v_y_, largest,
                   [&](double t) { return price_excess(problem_, working_set_, prices, t); })
            .value;
    }

    // --- the iterate: x over the working set, its fit and objective ----------------------------

    std::span<const double> block(std::size_t k) const { return {x_.get() + k * d_, d_}; }

    // Lists the non-zero blocks of x.
    bool keep(bool done) {
        active_.clear();
        for (std::size_t k = 0; k < working_set_.size(); ++k) {
            if (std::ranges::any_of(block(k), [](double u) { return u != 0.0; })) {
                active_.push_back(working_set_[k]);
            }
        }
        return done;
    }

    // x and y keep their blocks, and with them the momentum. False: stopped.
    bool choose_working_set() {
        // Every block more makes the steps dearer and shorter: about as many as are violated, and
        // at most twice what is active.
        const std::span<double> prices = full_.prices();
        const auto violated = static_cast<std::size_t>(
            std::ranges::count_if(prices, [&](double price) { return price > problem_.beta; }));
        const std::size_t added =
            std::clamp(violated, kFewestAdded, std::max(kFewestAllowed, active_.size()));
        const std::size_t count = std::min(active_.size() + added, blocks_);
        for (const std::size_t i : active_) {
            prices[i] = HUGE_VAL;
        }
        order_.resize(blocks_);
        std::iota(order_.begin(), order_.end(), std::size_t{0});
        std::nth_element(order_.begin(), order_.begin() + static_cast<std::ptrdiff_t>(count) - 1,
                         order_.end(), [&](std::size_t a, std::size_t b) {
                             return prices[a] != prices[b] ? prices[a] > prices[b] : a < b;
                         });
        order_.resize(count);
        std::ranges::sort(order_);
        // x and y move to their new places; both lists ascend.
        std::size_t old = 0;
        for (std::size_t k = 0; k < count; ++k) {
            while (old < working_set_.size() && working_set_[old] < order_[k]) {
                ++old;
            }
            const bool known = old < working_set_.size() && working_set_[old] == order_[k];
            for (std::size_t j = 0; j < d_; ++j) {
                gradient_[k * d_ + j] = known ? x_[old * d_ + j] : 0.0;
                z_[k * d_ + j] = known ? y_[old * d_ + j] : 0.0;
            }
        }
        std::swap(x_, gradient_);
        std::swap(y_, z_);
        t_ = std::min(t_, kCarriedMomentum);
        set_working_set(order_);
        return product(y_.get(), fit_y_, deadline_);
    }

    void set_working_set(std::span<const std::size_t> blocks) {
        working_set_.assign(blocks.begin(), blocks.end());
        for (std::size_t k = 0; k < blocks.size(); ++k) {
            weights_[k] = problem_.weights[blocks[k]];
        }
        products_.set_active(blocks);
    }

    // Takes the start, unless its objective is not below that at zero (or overflows).
    bool load(const Start& start) {
        order_.resize(start.blocks.size());
        std::iota(order_.begin(), order_.end(), std::size_t{0});
        std::ranges::sort(order_, {}, [&](std::size_t k) { return start.blocks[k]; });
        for (std::size_t k = 0; k < order_.size(); ++k) {
            std::copy_n(start.values.data() + order_[k] * d_, d_, x_.get() + k * d_);
            order_[k] = start.blocks[order_[k]];
        }
        set_working_set(order_);
        return refresh(deadline_) && (objective_ < full_.objective_at_zero() || forget());
    }
    // x = 0.
    bool forget() {
        set_working_set({});
        return refresh(unmonitored());
    }

    // Fit, objective and active blocks from x alone, and no momentum. False: stopped.
    bool refresh(Monitor& monitor) {
        if (!product(x_.get(), fit_x_, monitor)) {
            return false;
        }
        double penalty = 0.0;
        for (std::size_t k = 0; k < working_set_.size(); ++k) {
            const double size = norm(block(k));
            penalty += problem_.beta * weights_[k] * size + ridge_penalty(problem_, size);
        }
        objective_ = data_.value(fit_x_) + penalty;
        restart();
        return keep(true);
    }

    GroupLassoResult finish(Status status) {
        // Whatever ended the solve: the objective is that of x, and not above that at zero.
        refresh(unmonitored());
        if (!(objective_ <= full_.objective_at_zero())) {
            forget();
        }
        GroupLassoResult result = full_.finish(status, n_iter_);
        result.active.assign(active_.begin(), active_.end());
        result.values.reserve(active_.size() * d_);
        for (std::size_t k = 0, a = 0; a < active_.size(); ++k) {
            if (working_set_[k] == active_[a]) {
                result.values.insert(result.values.end(), block(k).begin(), block(k).end());
                ++a;
            }
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
    MaskedProducts<double>& products_;  // the active blocks: the working set
    std::vector<std::size_t> working_set_, active_, order_;
    std::vector<double> weights_;                     // of the working set
    std::unique_ptr<double[]> x_, y_, z_, gradient_;  // d K x |working set|
    std::vector<double> fit_x_, fit_y_, fit_z_;       // of x, y, z
    std::vector<double> v_y_, v_z_;                   // -loss gradient at y, and at z or x
    double objective_;                                // of x
    double t_ = 1.0;                                  // of the momentum, >= 1
    double lipschitz_ = 0.0;                          // L; 0: not yet estimated
    std::size_t n_iter_ = 0;
};

}  // namespace

GroupLassoResult fista(const GroupLasso& problem, const SolverSettings& settings,
                       const Start& start, Monitor& monitor) {
    if (problem.loss == LossKind::hinge) {
        return solve_hinge(problem, 0.0, settings, start, monitor, fista);
    }
    return with_loss(problem.loss, problem.loss_parameter, [&]<typename Loss>(const Loss& loss) {
        return Fista<Loss>(problem, loss, settings, monitor).run(start);
    });
}

}  // namespace convexnn
