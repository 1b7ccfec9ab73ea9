#include "convexnn/solve/cone_lasso.hpp"

#include <algorithm>
#include <stdexcept>
#include <utility>
#include <vector>

#include "convexnn/program/masked_products.hpp"
#include "convexnn/solve/cutting_plane.hpp"
#include "convexnn/solve/hinge.hpp"

namespace convexnn {
namespace {

constexpr double kContinuation = 0.1;  // from one penalty of a cold start to the next
constexpr double kStageGap = 0.1;      // relative gap at which a penalty has served

// Asked whether to stop, but told of no progress.
class Quiet final : public Monitor {
public:
    explicit Quiet(Monitor& inner) : inner_(inner) {}
    bool stop_requested() override { return inner_.stop_requested(); }

private:
    Monitor& inner_;
};

// A result of a larger penalty as one of `problem`, all of whose numbers are true: the coefficients
// weigh less, and the dual point is shrunk into the smaller set.
template <typename Loss>
void carry(GroupLassoResult& result, double from, const GroupLasso& problem, const Loss& loss) {
    const std::size_t d = problem.A.width();
    double penalty = 0.0;
    for (std::size_t t = 0; t < result.active.size(); ++t) {
        penalty += problem.weights[result.active[t] % problem.A.blocks()] *
                   norm({result.values.data() + t * d, d});
    }
    result.objective -= (from - problem.beta) * penalty;
    for (double& x : result.dual) {
        x *= problem.beta / from;
    }
    result.dual_objective =
        DataTerm<Loss>(problem.samples, loss, problem.output_offset, 1, problem.skip)
            .dual_value(result.dual, 1.0);
    result.history = {{result.n_iter, result.objective, result.dual_objective, result.active.size(),
                       result.seconds}};
}

// The point and the bound of `other` where they are better.
void take_better(GroupLassoResult& result, const GroupLassoResult& other) {
    const bool point = other.objective < result.objective;
    const bool bound = other.dual_objective > result.dual_objective;
    if (point) {
        result.active = other.active;
        result.values = other.values;
        result.free_part = other.free_part;
        result.objective = other.objective;
    }
    if (bound) {
        result.dual = other.dual;
        result.dual_objective = other.dual_objective;
    }
    if (point || bound) {
        result.history.push_back({result.n_iter, result.objective, result.dual_objective,
                                  result.active.size(), result.seconds});
    }
}

// max_i ||X^T D_i v|| / p_i at zero: no smaller than the price of any block of ReLU networks.
template <typename Loss>
double gated_price_at_zero(const GroupLasso& problem, const Loss& loss, std::size_t threads,
                           Monitor& monitor) {
    const MaskedMatrix& A = problem.A;
    std::vector<double> zero(A.rows(), 0.0), v(A.rows()), adjoints(A.width() * A.blocks());
    DataTerm<Loss>(problem.samples, loss, problem.output_offset, 1, problem.skip)
        .negative_gradient(zero, v);
    const MatrixView<double> G(adjoints.data(), A.width(), A.blocks());
    if (!MaskedProducts<double>(A.X, A.patterns)
             .adjoint({v.data(), v.size(), 1}, G, threads, monitor)) {
        return 0.0;
    }
    double largest = 0.0;
    for (std::size_t i = 0; i < A.blocks(); ++i) {
        largest = std::max(largest, norm(G.column(i)) / problem.weights[i]);
    }
    return largest;
}

// Where most samples lose their curvature on the way, a cold start at a small penalty goes through
// larger ones, each solved roughly from the one before.
template <typename Loss>
GroupLassoResult through_larger_penalties(const ConeLasso& problem, const Loss& loss,
                                          const SolverSettings& settings, Monitor& monitor) {
    const Stopwatch watch;
    Quiet quiet(monitor);
    GroupLassoResult before;   // of the penalty solved last,
    double beta_before = 0.0;  // which was this
    // False: stopped on the way, with `before` the best there is at the problem's own penalty.
    const auto solve = [&](double beta, double tol, Monitor& asked) {
        ConeLasso at = problem;
        at.base.beta = beta;
        SolverSettings left = settings;
        left.tol = tol;
        left.time_limit = settings.time_limit - watch.seconds();
        GroupLassoResult result = CuttingPlane<Loss>(at, loss, left, asked)
                                      .run({before.active, before.values}, before.n_iter);
        result.seconds = watch.seconds();
        const bool stopped =
            result.status != Status::solved && result.status != Status::numerical_error;
        if (stopped && beta > problem.base.beta) {
            carry(result, beta, problem.base, loss);
        }
        if (stopped && beta_before > 0.0) {
            // A start is not even looked at where the time ends before the first prices do.
            carry(before, beta_before, problem.base, loss);
            take_better(result, before);
        }
        before = std::move(result);
        beta_before = beta;
        return !stopped;
    };
    const double price = gated_price_at_zero(problem.base, loss, settings.threads, quiet);
    for (double beta = kContinuation * price; kContinuation * beta > problem.base.beta;
         beta *= kContinuation) {
        if (!solve(beta, kStageGap, quiet)) {
            return before;
        }
    }
    solve(problem.base.beta, settings.tol, monitor);
    return before;
}

}  // namespace

GroupLassoResult cutting_plane(const ConeLasso& problem, const SolverSettings& settings,
                               const Start& start, Monitor& monitor) {
    const GroupLasso& base = problem.base;
    if (base.loss == LossKind::hinge) {
        return solve_hinge(base, problem.slope, settings, start, monitor,
                           [&](const GroupLasso& smooth, const SolverSettings& its_settings,
                               const Start& its_start, Monitor& its_monitor) {
                               ConeLasso its_problem = problem;
                               its_problem.base = smooth;
                               return cutting_plane(its_problem, its_settings, its_start,
                                                    its_monitor);
                           });
    }
    return with_loss(base.loss, base.loss_parameter, [&]<typename Loss>(const Loss& loss) {
        if constexpr (Loss::kRowOffsets) {
            throw std::invalid_argument("`loss` must be one of a single output");
            return GroupLassoResult{};
        } else {
            if (!Loss::kLinearSlope && start.blocks.empty()) {
                return through_larger_penalties(problem, loss, settings, monitor);
            }
            return CuttingPlane<Loss>(problem, loss, settings, monitor).run(start);
        }
    });
}

}  // namespace convexnn
