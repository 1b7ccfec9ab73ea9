#include "convexnn/solve/hinge.hpp"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <utility>
#include <vector>

#include "convexnn/base/simd.hpp"
#include "convexnn/base/vectors.hpp"
#include "convexnn/program/masked_products.hpp"
#include "convexnn/solve/deadline.hpp"
#include "convexnn/solve/gap_record.hpp"

namespace convexnn {
namespace {

// The first width is 1, for which the smooth loss has the hinge's slope at zero: there zero is
// optimal for both or neither. Far below beta_max the optimal lambda are small, and the width that
// is as wide as they are is large: this multiple of beta_max / beta.
constexpr double kFirstWidth = 0.1;
constexpr double kFall = 0.3;      // of the width,
constexpr double kSlow = 0.3;      // where a program leaves more than that of the gap,
constexpr double kFastFall = 0.1;  // or nearly all of it
constexpr double kRise = 10.0;     // ... where a program could not be solved
constexpr double kRoom = 3.0;      // least width after that, over the one that was too small
constexpr double kSmallestWidth = 1e-7;
constexpr double kLargestWidth = 1e8;
constexpr double kFirstAccuracy = 1e-2;  // relative gap of the first smooth program,
constexpr double kAccuracy = 0.1;        // and of the others, of the gap that is left or of tol
constexpr double kLastAccuracy = 1e-13;  // what is finer is rounding
constexpr double kRounding = 1e-10;      // relative gap: a fast fall brings no more
constexpr std::size_t kPatience = 6;     // programs without a smaller gap until giving up

class Hinge {
public:
    Hinge(const GroupLasso& problem, double slope, const SolverSettings& settings, Monitor& monitor)
        : problem_(problem),
          slope_(slope),
          settings_(settings),
          deadline_(monitor, settings.time_limit),
          n_(problem.fits()),
          d_(problem.block_size()),
          targets_(n_),
          centre_(n_, 0.0),
          margin_(n_),
          part_(n_) {
        for (const double s : problem.samples.s) {
            at_zero_ += s;
        }
        best_.objective = at_zero_;
        best_.dual.assign(n_, 0.0);
        best_.free_part.assign(n_, 0.0);
        least_ = at_zero_;
    }

    GroupLassoResult run(const Start& start, const SmoothSolver& solve) {
        blocks_.assign(start.blocks.begin(), start.blocks.end());
        values_.assign(start.values.begin(), start.values.end());
        keep_point();
        blocks_ = best_.active;
        values_ = best_.values;
        best_.status = find_first_width() ? iterate(solve) : deadline_.reason();
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
            // Room for the rounding of these, so that the ends of the programs are no worse.
            const double room = 1e-14 * mu * std::abs(progress.objective);
            return hinge_.record(hinge_.n_iter_ + progress.iteration,
                                 mu * progress.objective + loss_ + room,
                                 mu * progress.dual_objective - dual_ - room, progress.active);
        }

    private:
        Hinge& hinge_;
        double loss_ = 0.0;
        double dual_ = 0.0;
    };

    // From the gated price at zero, which is at least beta_max. False: stopped.
    bool find_first_width() {
        const MaskedMatrix& A = problem_.A;
        std::vector<double> v(n_), adjoints(d_ * A.blocks());
        for (std::size_t k = 0; k < n_; ++k) {
            v[k] = problem_.samples.s[k] * problem_.samples.y[k];
        }
        const MatrixView<double> G(adjoints.data(), d_, A.blocks());
        if (!MaskedProducts<double>(A.X, A.patterns)
                 .adjoint(problem_.by_output(std::span<const double>(v)), G, settings_.threads,
                          deadline_)) {
            return false;
        }
        double largest = 0.0;
        for (std::size_t i = 0; i < A.blocks(); ++i) {
            largest = std::max(largest, norm(G.column(i)) / problem_.weights[i]);
        }
        width_ = std::clamp(kFirstWidth * largest / problem_.beta, 1.0, kLargestWidth);
        return true;
    }

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
            const bool better = best_.objective - best_.dual_objective < 0.9 * before;
            const double narrowest = std::max(kSmallestWidth, smallest);
            waited = better || (solved && width_ > narrowest) ? 0 : waited + 1;
            if (waited >= kPatience || (!solved && width_ >= kLargestWidth)) {
                return Status::numerical_error;
            }
            if (!solved) {
                smallest = kRoom * width_;
                width_ = std::min(kLargestWidth, kRise * width_);
            } else if (gap > kSlow * last) {
                const double fall = better || gap <= kRounding ? kFall : kFastFall;
                width_ = std::max(std::min(width_, narrowest), fall * width_);
            }
            last = gap;
            accuracy =
                std::clamp(kAccuracy * std::max(gap, settings_.tol), kLastAccuracy, kFirstAccuracy);
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
        smooth.ridge = width_ * problem_.ridge;
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
        // What prices above beta cost with a ridge: it lies between the smooth dual and its data's.
        const double dual = DataTerm<HuberizedHingeLoss>({targets_, problem_.samples.s}, {}, false)
                                .dual_value(v, 1.0);
        double bound =
            problem_.ridge > 0.0 ? width_ * std::min(0.0, result.dual_objective - dual) : 0.0;
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

    // The best multiple of blocks_ and values_ is the best point, if it is. Where lambda is small
    // next to 1, margins that are short of 1 by little cost much, and this is all that they lack.
    void keep_point() {
        const Penalty penalty = set_margins();
        const double t = best_multiple(penalty);
        double objective = t * penalty.linear + t * t * penalty.square;
        for (std::size_t k = 0; k < n_; ++k) {
            objective += problem_.samples.s[k] * std::max(0.0, 1.0 - t * margin_[k]);
        }
        if (objective < best_.objective) {
            best_.objective = objective;
            best_.active = blocks_;
            best_.values = values_;
            for (double& x : best_.values) {
                x *= t;
            }
        }
    }

    struct Penalty {
        double linear = 0.0, square = 0.0;  // beta sum_i w_i ||u_i||; of the ridge
    };

    // margin_ of blocks_ and values_; returns their penalty.
    Penalty set_margins() {
        const MaskedMatrix& A = problem_.A;
        const std::size_t rows = A.rows();
        std::ranges::fill(margin_, 0.0);
        Penalty penalty;
        for (std::size_t j = 0; j < blocks_.size(); ++j) {
            const std::size_t i = blocks_[j] % A.blocks();
            const std::span<const double> u(values_.data() + j * d_, d_);
            const double on = blocks_[j] < A.blocks() ? 1.0 : -1.0;
            const std::uint64_t* words = A.patterns.column(i).data();
            for (std::size_t output = 0; output < problem_.outputs; ++output) {
                simd::product(A.X.data, A.X.stride, rows, A.width(), u.data() + output * A.width(),
                              part_.data());
                for (std::size_t k = 0; k < rows; ++k) {
                    const double factor = (words[k / 64] >> (k % 64) & 1) != 0 ? on : slope_ * on;
                    const std::size_t at = output * rows + k;
                    margin_[at] += problem_.samples.y[at] * factor * part_[k];
                }
            }
            const double size = norm(u);
            penalty.linear += problem_.beta * problem_.weights[i] * size;
            penalty.square += ridge_penalty(problem_, size);
        }
        return penalty;
    }

    // The t >= 0 of least sum_k s_k (1 - t m_k)_+ + the penalty of t times the blocks: where its
    // slope changes sign, at some 1 / m_k or, with a ridge, between two. Not a number where the
    // margins are not.
    double best_multiple(const Penalty& penalty) {
        double slope = penalty.linear;  // less that of the ridge, 2 square t
        order_.clear();
        for (std::size_t k = 0; k < n_; ++k) {
            slope -= problem_.samples.s[k] * margin_[k];
            if (margin_[k] > 0.0) {
                order_.push_back(k);
            }
        }
        if (!std::isfinite(slope) || !std::isfinite(penalty.square)) {
            return std::numeric_limits<double>::quiet_NaN();
        }
        std::ranges::sort(order_, std::greater<>(), [this](std::size_t k) { return margin_[k]; });
        double t = 0.0;
        const double bend = 2.0 * penalty.square;
        for (std::size_t j = 0; j < order_.size() && slope + bend * t < 0.0; ++j) {
            const std::size_t k = order_[j];
            if (slope + bend / margin_[k] > 0.0 && bend > 0.0) {
                return -slope / bend;
            }
            t = 1.0 / margin_[k];
            slope += problem_.samples.s[k] * margin_[k];
        }
        return t;
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
    std::size_t n_, d_;      // entries of a fit and of a block
    GroupLassoResult best_;  // so far, of the hinge
    double at_zero_ = 0.0;   // the objective there
    double least_ = 0.0;     // the least objective and the largest bound told of
    double most_ = 0.0;
    double width_ = 1.0;               // mu
    std::vector<double> targets_;      // of the smooth program
    std::vector<double> centre_;       // c
    std::vector<std::size_t> blocks_;  // where the next one starts
    std::vector<double> values_;
    std::vector<double> margin_, part_;  // y f of blocks_ and values_, and of one
    std::vector<std::size_t> order_;
    std::size_t n_iter_ = 0;
};

}  // namespace

GroupLassoResult solve_hinge(const GroupLasso& problem, double slope,
                             const SolverSettings& settings, const Start& start, Monitor& monitor,
                             const SmoothSolver& solve) {
    return Hinge(problem, slope, settings, monitor).run(start, solve);
}

}  // namespace convexnn
