// The hinge loss through every solver: its own objective, dual point and bounds, however it ends.
#include <algorithm>
#include <array>
#include <cmath>
#include <vector>

#include "convexnn/solve/cone_lasso.hpp"
#include "convexnn/solve/group_lasso.hpp"
#include "convexnn/solve/hinge.hpp"
#include "data.hpp"

using namespace convexnn;

namespace {

// A gated program, or with a slope the ReLU program of that slope.
struct Problem {
    Data data;
    std::vector<double> s, w;
    ConeLasso program;

    Problem(std::size_t n, std::size_t d, std::size_t P, double beta, double slope = 0.0)
        : data(n, d, P, 21),
          s(n, 1.0),
          w(P, 1.0),
          program{{data.masked(), {data.y, s}, w, beta, LossKind::hinge}, slope} {
        for (std::size_t k = 0; k < n; ++k) {
            s[k] = k % 3 == 0 ? 2.0 : 1.0;
            data.y[k] = data.y[k] >= 0.0 ? 1.0 : -1.0;
        }
        for (std::size_t i = 0; i < P; ++i) {
            w[i] = i % 2 == 0 ? 0.7 : 1.0;
        }
    }

    // Objective and bound are those of the blocks and of the dual point, in the dual's domain.
    void check_result(const GroupLassoResult& result) const {
        std::vector<double> f(data.n, 0.0);
        double objective = 0.0;
        for (std::size_t t = 0; t < result.active.size(); ++t) {
            const std::size_t i = result.active[t] % data.P;
            const double sign = result.active[t] < data.P ? 1.0 : -1.0;
            const double* u = result.values.data() + t * data.d;
            double square = 0.0;
            for (std::size_t j = 0; j < data.d; ++j) {
                square += u[j] * u[j];
                for (std::size_t k = 0; k < data.n; ++k) {
                    const double factor = data.patterns()(k, i) ? 1.0 : program.slope;
                    f[k] += sign * factor * data.matrix()(k, j) * u[j];
                }
            }
            CHECK(square > 0.0);
            objective += program.base.beta * w[i] * std::sqrt(square);
        }
        double bound = 0.0;
        for (std::size_t k = 0; k < data.n; ++k) {
            objective += s[k] * std::max(0.0, 1.0 - data.y[k] * f[k]);
            bound += data.y[k] * result.dual[k];
            CHECK(data.y[k] * result.dual[k] >= 0.0 && std::abs(result.dual[k]) <= s[k]);
        }
        CHECK(std::abs(objective - result.objective) <= 1e-12 * objective);
        CHECK(std::abs(bound - result.dual_objective) <= 1e-12 * objective);
        CHECK(result.offset == 0.0);
        for (std::size_t k = 1; k < result.history.size(); ++k) {
            const Progress& before = result.history[k - 1];
            const Progress& after = result.history[k];
            CHECK(after.objective <= before.objective);
            CHECK(after.dual_objective >= before.dual_objective);
            CHECK(after.iteration > before.iteration && after.seconds >= before.seconds);
        }
    }
    // No adjoint at the dual point is longer than beta w.
    void check_prices(const GroupLassoResult& result) const {
        for (std::size_t i = 0; i < data.P; ++i) {
            double square = 0.0;
            for (std::size_t j = 0; j < data.d; ++j) {
                double sum = 0.0;
                for (std::size_t k = 0; k < data.n; ++k) {
                    sum += data.patterns()(k, i) ? data.matrix()(k, j) * result.dual[k] : 0.0;
                }
                square += sum * sum;
            }
            CHECK(std::sqrt(square) <= program.base.beta * w[i] * (1.0 + 1e-12));
        }
    }
};

struct StopAfter : Monitor {
    int left = 0;
    bool stop_requested() override { return --left < 0; }
};

constexpr std::array kSolvers{&coordinate_descent, &newton, &fista};

}  // namespace

TEST(the_hinge_is_solved_by_every_solver) {
    for (const double beta : {8.0, 0.5, 1e-3}) {
        const Problem problem(90, 4, 60, beta);
        std::vector<GroupLassoResult> results;
        for (const auto solver : kSolvers) {
            results.push_back(solver(problem.program.base, {.tol = 1e-7}, {}, unmonitored()));
            const GroupLassoResult& result = results.back();
            CHECK(result.status == Status::solved);
            CHECK(result.objective - result.dual_objective <= 1e-7 * result.objective);
            CHECK(result.history.back().iteration == result.n_iter);
            problem.check_result(result);
            problem.check_prices(result);
            CHECK(result.dual_objective <= results.front().objective * (1.0 + 1e-12));
            CHECK(results.front().dual_objective <= result.objective * (1.0 + 1e-12));
        }
    }
}

TEST(the_hinge_of_networks_is_solved) {
    for (const double slope : {0.0, 0.1, -1.0}) {
        for (const double beta : {8.0, 0.5, 1e-3}) {
            const Problem problem(60, 4, 40, beta, slope);
            const GroupLassoResult result =
                cutting_plane(problem.program, {.tol = 1e-7}, {}, unmonitored());
            CHECK(result.status == Status::solved);
            CHECK(result.objective - result.dual_objective <= 1e-7 * result.objective);
            problem.check_result(result);
        }
    }
}

TEST(zero_is_the_optimum_of_the_hinge_at_large_penalties) {
    const Problem problem(60, 4, 40, 1e4);
    for (const auto solver : kSolvers) {
        const GroupLassoResult result =
            solver(problem.program.base, {.tol = 1e-12}, {}, unmonitored());
        CHECK(result.status == Status::solved && result.active.empty());
        CHECK(result.objective == 80.0);
    }
}

TEST(the_hinge_obeys_every_limit) {
    const Problem problem(90, 4, 60, 0.5);
    const GroupLasso& gated = problem.program.base;
    const GroupLassoResult solved = newton(gated, {.tol = 1e-8}, {}, unmonitored());
    const std::vector<std::size_t> blocks = {7, 3};
    const std::vector<double> values(8, 1e-3);
    for (const auto solver : kSolvers) {
        for (const int asked : {0, 1, 2, 5, 10, 30, 100, 300, 1000}) {
            StopAfter monitor;
            monitor.left = asked;
            const GroupLassoResult result =
                solver(gated, {.tol = 1e-14}, {blocks, values}, monitor);
            CHECK(result.status == Status::interrupted);
            CHECK(result.dual_objective <= solved.objective);
            CHECK(result.objective >= solved.dual_objective);
            problem.check_result(result);
        }
        for (const std::size_t most : {1, 2, 3, 7, 20}) {
            const GroupLassoResult result =
                solver(gated, {.tol = 1e-14, .max_iter = most}, {}, unmonitored());
            CHECK(result.status == Status::max_iter && result.n_iter == most);
            problem.check_result(result);
        }
        const GroupLassoResult late =
            solver(gated, {.tol = 1e-14, .time_limit = 0.0}, {}, unmonitored());
        CHECK(late.status == Status::time_limit);
        problem.check_result(late);
    }
}

TEST(the_hinge_gives_the_same_bits_on_any_number_of_threads) {
    const Problem problem(300, 5, 70, 0.2);
    const GroupLasso& gated = problem.program.base;
    const GroupLassoResult one = newton(gated, {.tol = 1e-6}, {}, unmonitored());
    const GroupLassoResult three = newton(gated, {.tol = 1e-6, .threads = 3}, {}, unmonitored());
    CHECK(one.active == three.active && one.values == three.values && one.dual == three.dual);
}

TEST(a_start_that_is_too_long_is_shortened) {
    const Problem problem(90, 4, 60, 0.5);
    const GroupLasso& gated = problem.program.base;
    const GroupLassoResult solved = newton(gated, {.tol = 1e-8}, {}, unmonitored());
    for (const double size : {1e-30, 1e3, 1e100, 1e200}) {
        std::vector<double> values = solved.values;
        for (double& x : values) {
            x *= size;
        }
        const GroupLassoResult result =
            newton(gated, {.tol = 1e-14, .max_iter = 1}, {solved.active, values}, unmonitored());
        problem.check_result(result);
        CHECK(size > 1e150 || result.objective <= solved.objective * (1.0 + 1e-12));
    }
}
