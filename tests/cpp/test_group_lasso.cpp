#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdlib>
#include <new>

#include "convexnn/program/masked_products.hpp"
#include "convexnn/solve/full_program.hpp"
#include "convexnn/solve/group_lasso.hpp"
#include "convexnn/solve/group_prox.hpp"
#include "data.hpp"

// Every allocation of the test program is counted.
static std::atomic<std::size_t> allocations{0};

void* operator new(std::size_t size) {
    ++allocations;
    if (void* memory = std::malloc(size == 0 ? 1 : size)) {
        return memory;
    }
    throw std::bad_alloc();
}
void* operator new(std::size_t size, const std::nothrow_t& /*tag*/) noexcept {
    ++allocations;
    return std::malloc(size == 0 ? 1 : size);
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }

using namespace convexnn;

namespace {

struct Problem {
    Data data;
    std::vector<double> s, w;
    GroupLasso lasso;

    Problem(std::size_t n, std::size_t d, std::size_t P, double beta, LossKind loss)
        : data(n, d, P, 21),
          s(n, 1.0),
          w(P, 1.0),
          lasso{data.masked(), {data.y, s}, w, beta, loss} {
        for (double& y : data.y) {
            if (loss == LossKind::logistic || loss == LossKind::squared_hinge) {
                y = y >= 0 ? 1.0 : -1.0;
            } else if (loss == LossKind::poisson) {
                y = std::abs(y);
            }
        }
    }
    GroupLassoResult accelerated(const SolverSettings& settings) const {
        Monitor monitor;
        return fista(lasso, settings, {}, monitor);
    }
    GroupLassoResult second_order(const SolverSettings& settings) const {
        Monitor monitor;
        return newton(lasso, settings, {}, monitor);
    }
    GroupLassoResult solve(const SolverSettings& settings) const {
        Monitor monitor;
        return coordinate_descent(lasso, settings, {}, monitor);
    }
};

}  // namespace

TEST(group_soft_threshold_is_exactly_zero_inside) {
    std::vector<double> z = {3.0, 4.0};
    group_soft_threshold(z, 2.5);
    CHECK(std::abs(z[0] - 1.5) < 1e-15 && std::abs(z[1] - 2.0) < 1e-15);
    group_soft_threshold(z, 2.5);
    CHECK(z[0] == 0.0 && z[1] == 0.0);
}

TEST(descent_reaches_its_gap_and_its_dual_is_feasible) {
    for (const LossKind loss : {LossKind::squared, LossKind::logistic}) {
        const Problem problem(90, 4, 60, 0.5, loss);
        const GroupLassoResult result = problem.solve({.tol = 1e-8});
        CHECK(result.status == Status::solved);
        CHECK(result.objective - result.dual_objective <= 1e-8 * result.objective);
        CHECK(result.objective >= result.dual_objective - 1e-12 * result.objective);
        std::vector<double> all(4 * 60);
        Monitor monitor;
        const MaskedMatrix& A = problem.lasso.A;
        MaskedProducts<double>(A.X, A.patterns)
            .adjoint({result.dual.data(), 90, 1}, {all.data(), 4, 60}, 1, monitor);
        for (std::size_t i = 0; i < 60; ++i) {
            CHECK(norm({all.data() + 4 * i, 4}) <= 0.5 * (1 + 1e-12));
        }
    }
}

// At the end of a solve few patterns are left, and every one that the solution uses is.
TEST(screening_drops_only_blocks_that_are_zero) {
    for (const LossKind kind :
         {LossKind::squared, LossKind::logistic, LossKind::huber, LossKind::squared_hinge}) {
        for (const bool output_offset : {false, true}) {
            Problem problem(90, 4, 60, 3.0, kind);
            problem.lasso.loss_parameter = 0.7;
            problem.lasso.output_offset = output_offset;
            for (std::size_t k = 0; k < 90; ++k) {
                problem.s[k] = 0.5 + 0.01 * static_cast<double>(k);
            }
            const GroupLassoResult exact = problem.solve({.tol = 1e-11});
            CHECK(exact.status == Status::solved && !exact.active.empty());
            with_loss(kind, 0.7, [&]<typename Loss>(const Loss& loss) {
                for (const double nearness : {0.9, 0.99, 1.0}) {
                    DataTerm<Loss> data(problem.lasso.samples, loss, output_offset);
                    Monitor monitor;
                    FullProgram<Loss> full(problem.lasso, data, {}, monitor);
                    // The fit of a fraction of the solution, and its objective.
                    std::vector<double> blocks = exact.values;
                    std::vector<double> f(90), v(90);
                    double objective = 0.0;
                    for (std::size_t a = 0; a < exact.active.size(); ++a) {
                        const std::span<double> u(blocks.data() + 4 * a, 4);
                        std::ranges::transform(u, u.begin(),
                                               [&](double x) { return nearness * x; });
                        objective += problem.lasso.beta * norm(u);
                    }
                    full.products().set_active(exact.active);
                    full.products().active_forward({blocks.data(), 4, exact.active.size()},
                                                   {f.data(), 90, 1}, 1, monitor);
                    data.negative_gradient(f, v);
                    objective += data.value(f);
                    const auto is_zero = [](std::size_t) { return true; };
                    CHECK(full.price(v) && full.screen(objective, is_zero));
                    CHECK(std::ranges::includes(full.survivors(), exact.active));
                    CHECK(nearness < 1.0 || full.survivors().size() < 30);
                    // The bound of the patterns left is a bound of the whole program.
                    CHECK(full.price_survivors(v));
                    CHECK(full.dual_objective() <= exact.objective);
                    CHECK(full.price(v) && !full.screened());
                    CHECK(full.survivors().size() == 60);
                }
            });
        }
    }
}

TEST(the_loop_allocates_nothing) {
    const Problem problem(40, 3, 50, 0.05, LossKind::squared);
    std::size_t counts[2];
    std::size_t epochs[2];
    for (const int run : {0, 1}) {
        const std::size_t before = allocations;
        const GroupLassoResult result =
            problem.solve({.tol = 1e-12, .max_iter = run == 0 ? 11U : 1000U});
        counts[run] = allocations - before;
        epochs[run] = result.n_iter;
    }
    CHECK(epochs[0] == 11 && epochs[1] > 100);
    CHECK(counts[0] == counts[1]);
}

TEST(a_stop_is_obeyed_and_leaves_a_valid_bound) {
    struct StopAfter : Monitor {
        int left = 300;
        bool stop_requested() override { return --left < 0; }
    } monitor;
    const Problem problem(90, 4, 60, 0.5, LossKind::squared);
    const GroupLassoResult result = coordinate_descent(problem.lasso, {.tol = 1e-14}, {}, monitor);
    const GroupLassoResult solved = problem.solve({.tol = 1e-8});
    CHECK(result.status == Status::interrupted);
    CHECK(result.dual_objective <= solved.objective);
    CHECK(result.objective >= solved.dual_objective);
}

TEST(fista_agrees_with_descent_for_every_loss) {
    for (const LossKind loss : {LossKind::squared, LossKind::logistic, LossKind::huber,
                                LossKind::squared_hinge, LossKind::poisson}) {
        for (const bool output_offset : {false, true}) {
            for (const double beta : {0.5, 5.0}) {
                Problem problem(90, 4, 60, beta, loss);
                problem.lasso.loss_parameter = 0.7;
                problem.lasso.output_offset = output_offset;
                const GroupLassoResult result = problem.accelerated({.tol = 1e-8});
                const GroupLassoResult other = problem.solve({.tol = 1e-8});
                CHECK(result.status == Status::solved);
                CHECK(result.objective - result.dual_objective <= 1e-8 * result.objective);
                CHECK(result.dual_objective <= other.objective * (1 + 1e-12));
                CHECK(other.dual_objective <= result.objective * (1 + 1e-12));
                CHECK(std::abs(result.free_part.front() - other.free_part.front()) <= 1e-2);
                CHECK(output_offset || result.free_part.front() == 0.0);
                for (std::size_t k = 1; k < result.history.size(); ++k) {
                    CHECK(result.history[k].objective <=
                          result.history[k - 1].objective * (1 + 1e-12));
                }
            }
        }
    }
}

TEST(fista_allocates_nothing_in_its_loop) {
    const Problem problem(40, 3, 50, 0.05, LossKind::squared);
    std::size_t counts[2];
    std::size_t steps[2];
    for (const int run : {0, 1}) {
        const std::size_t before = allocations;
        const GroupLassoResult result =
            problem.accelerated({.tol = 1e-12, .max_iter = run == 0 ? 11U : 500U});
        counts[run] = allocations - before;
        steps[run] = result.n_iter;
    }
    CHECK(steps[0] == 11 && steps[1] > 100);
    CHECK(counts[0] == counts[1]);
}

TEST(fista_obeys_a_stop_at_any_time) {
    struct StopAfter : Monitor {
        int left = 0;
        bool stop_requested() override { return --left < 0; }
    } monitor;
    const Problem problem(90, 4, 60, 0.5, LossKind::squared);
    const GroupLassoResult solved = problem.solve({.tol = 1e-8});
    const std::vector<std::size_t> blocks = {7, 3};
    const std::vector<double> values(8, 1e-3);
    for (const int asked : {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 30, 100, 300}) {
        monitor.left = asked;
        const GroupLassoResult result =
            fista(problem.lasso, {.tol = 1e-14}, {blocks, values}, monitor);
        CHECK(result.status == Status::interrupted);
        CHECK(result.dual_objective <= solved.objective);
        CHECK(result.objective >= solved.dual_objective);
        CHECK(result.objective <= problem.solve({.max_iter = 1}).history[0].objective);
    }
}

TEST(newton_agrees_with_descent_for_every_loss) {
    for (const LossKind loss : {LossKind::squared, LossKind::logistic, LossKind::huber,
                                LossKind::squared_hinge, LossKind::poisson}) {
        for (const bool output_offset : {false, true}) {
            for (const double beta : {0.5, 5.0}) {
                Problem problem(90, 4, 60, beta, loss);
                problem.lasso.loss_parameter = 0.7;
                problem.lasso.output_offset = output_offset;
                const GroupLassoResult result = problem.second_order({.tol = 1e-8});
                const GroupLassoResult other = problem.solve({.tol = 1e-8});
                CHECK(result.status == Status::solved);
                CHECK(result.objective - result.dual_objective <= 1e-8 * result.objective);
                CHECK(result.dual_objective <= other.objective * (1 + 1e-12));
                CHECK(other.dual_objective <= result.objective * (1 + 1e-12));
                CHECK(std::abs(result.free_part.front() - other.free_part.front()) <= 1e-2);
                CHECK(output_offset || result.free_part.front() == 0.0);
                for (std::size_t k = 1; k < result.history.size(); ++k) {
                    CHECK(result.history[k].objective <= result.history[k - 1].objective);
                    CHECK(result.history[k].iteration > result.history[k - 1].iteration);
                }
            }
        }
    }
}

TEST(newton_gives_the_same_bits_on_any_number_of_threads) {
    const Problem problem(300, 5, 70, 0.2, LossKind::logistic);
    const GroupLassoResult one = problem.second_order({.tol = 1e-8});
    const GroupLassoResult three = problem.second_order({.tol = 1e-8, .threads = 3});
    CHECK(one.active == three.active && one.values == three.values && one.dual == three.dual);
}

TEST(newton_allocates_only_where_more_blocks_take_part_than_before) {
    const Problem problem(40, 3, 50, 0.05, LossKind::squared);
    // Steps at the optimum, to a tolerance that cannot be met, move no more blocks than before.
    std::size_t counts[2];
    std::size_t steps[2];
    for (const int run : {0, 1}) {
        const std::size_t before = allocations;
        steps[run] = problem.second_order({.tol = run == 0 ? 1e-12 : 1e-300}).n_iter;
        counts[run] = allocations - before;
    }
    CHECK(steps[1] >= steps[0] + 10);
    CHECK(counts[1] <= counts[0] + 4);  // the lists of the result may grow once more
}

TEST(newton_obeys_a_stop_at_any_time) {
    struct StopAfter : Monitor {
        int left = 0;
        bool stop_requested() override { return --left < 0; }
    } monitor;
    const Problem problem(90, 4, 60, 0.5, LossKind::logistic);
    const GroupLassoResult solved = problem.solve({.tol = 1e-8});
    const std::vector<std::size_t> blocks = {7, 3};
    const std::vector<double> values(8, 1e-3);
    for (const int asked : {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 30, 100, 300}) {
        monitor.left = asked;
        const GroupLassoResult result =
            newton(problem.lasso, {.tol = 1e-14}, {blocks, values}, monitor);
        CHECK(result.status == Status::interrupted);
        CHECK(result.dual_objective <= solved.objective);
        CHECK(result.objective >= solved.dual_objective);
    }
}
