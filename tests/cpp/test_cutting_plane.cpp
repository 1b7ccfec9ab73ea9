// The ReLU program: solved for every loss, in the cones, with a dual point that is feasible.
#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "convexnn/solve/cone_lasso.hpp"
#include "convexnn/solve/cone_projection.hpp"
#include "data.hpp"

using namespace convexnn;

namespace {

constexpr LossKind kLosses[] = {LossKind::squared, LossKind::logistic, LossKind::huber,
                                LossKind::squared_hinge, LossKind::poisson};

struct Problem {
    Data data;
    std::vector<double> s, w;
    ConeLasso program;

    Problem(std::size_t n, std::size_t d, std::size_t P, double beta, LossKind loss, double slope,
            bool has_offset)
        : data(n, d, P, 21),
          s(n, 1.0),
          w(P, 1.0),
          program{{data.masked(), {data.y, s}, w, beta, loss, 0.7, has_offset}, slope} {
        for (std::size_t k = 0; k < n; ++k) {
            s[k] = k % 3 == 0 ? 2.0 : 1.0;
            if (loss == LossKind::logistic || loss == LossKind::squared_hinge) {
                data.y[k] = data.y[k] >= 0.0 ? 1.0 : -1.0;
            } else if (loss == LossKind::poisson) {
                data.y[k] = std::abs(data.y[k]);
            }
        }
        for (std::size_t i = 0; i < P; ++i) {
            w[i] = i % 2 == 0 ? 0.7 : 1.0;
        }
    }
    GroupLassoResult solve(const SolverSettings& settings, const Start& start = {}) const {
        return cutting_plane(program, settings, start, unmonitored());
    }
    double factor(std::size_t i, std::size_t k) const {
        return data.patterns()(k, i) ? 1.0 : program.slope;
    }

    void check_result(const GroupLassoResult& result) const {
        const double beta = program.base.beta;
        // The objective is that of the blocks, which lie in their cones.
        std::vector<double> f(data.n, result.free_part.front());
        double objective = 0.0;
        for (std::size_t t = 0; t < result.active.size(); ++t) {
            const std::size_t i = result.active[t] % data.P;
            const double sign = result.active[t] < data.P ? 1.0 : -1.0;
            const double* u = result.values.data() + t * data.d;
            CHECK(t == 0 || result.active[t] > result.active[t - 1]);
            double square = 0.0;
            for (std::size_t j = 0; j < data.d; ++j) {
                square += u[j] * u[j];
            }
            CHECK(square > 0.0);
            objective += beta * w[i] * std::sqrt(square);
            for (std::size_t k = 0; k < data.n; ++k) {
                double product = 0.0;
                double length = 0.0;
                for (std::size_t j = 0; j < data.d; ++j) {
                    product += data.matrix()(k, j) * u[j];
                    length += data.matrix()(k, j) * data.matrix()(k, j);
                }
                f[k] += sign * factor(i, k) * product;
                const double side = data.patterns()(k, i) ? product : -product;
                CHECK(side >= -1e-13 * std::sqrt(length * square));
            }
        }
        with_loss(program.base.loss, program.base.loss_parameter, [&](const auto& loss) {
            double dual = 0.0;
            for (std::size_t k = 0; k < data.n; ++k) {
                objective += s[k] * loss.value(f[k], data.y[k]);
                dual += s[k] * loss.dual(result.dual[k] / s[k], data.y[k]);
                CHECK(std::abs(result.dual[k]) <= s[k] * loss.reach() * (1.0 + 1e-15));
            }
            CHECK(std::abs(objective - result.objective) <= 1e-12 * objective);
            CHECK(std::abs(dual - result.dual_objective) <= 1e-12 * objective);
        });
        // No projection of the adjoint at the dual point is longer than beta w.
        std::vector<double> G(data.d * data.P);
        double sum = 0.0;
        double total = 0.0;
        for (std::size_t k = 0; k < data.n; ++k) {
            sum += result.dual[k];
            total += std::abs(result.dual[k]);
            for (std::size_t i = 0; i < data.P; ++i) {
                for (std::size_t j = 0; j < data.d; ++j) {
                    G[j + i * data.d] += factor(i, k) * data.matrix()(k, j) * result.dual[k];
                }
            }
        }
        CHECK(!program.base.output_offset || std::abs(sum) <= 1e-14 * total);
        std::vector<std::size_t> blocks(2 * data.P);
        std::iota(blocks.begin(), blocks.end(), 0UL);
        std::vector<double> U(data.d * blocks.size());
        std::vector<ConeProjection> found(blocks.size());
        ConeProjections cones(data.matrix(), data.patterns(), 1);
        CHECK(cones.project(blocks, {G.data(), data.d, data.P}, -1.0,
                            {U.data(), data.d, blocks.size()}, found, unmonitored()));
        for (const std::size_t b : blocks) {
            CHECK(found[b].norm <= beta * w[b / 2] * (1.0 + 1e-12));
        }
    }
};

}  // namespace

TEST(cutting_planes_reach_their_gap_for_every_loss) {
    for (const LossKind loss : kLosses) {
        for (const double slope : {0.0, 0.1, -1.0}) {
            for (const bool has_offset : {false, true}) {
                for (const double beta : {3.0, 0.1}) {
                    const Problem problem(60, 4, 40, beta, loss, slope, has_offset);
                    const GroupLassoResult result = problem.solve({.tol = 1e-8});
                    CHECK(result.status == Status::solved);
                    CHECK(result.objective - result.dual_objective <= 1e-8 * result.objective);
                    CHECK(result.objective >= result.dual_objective * (1.0 - 1e-13));
                    CHECK(!result.active.empty());
                    problem.check_result(result);
                    for (std::size_t k = 1; k < result.history.size(); ++k) {
                        CHECK(result.history[k].objective <= result.history[k - 1].objective);
                        CHECK(result.history[k].dual_objective >=
                              result.history[k - 1].dual_objective);
                    }
                }
            }
        }
    }
}

TEST(cutting_planes_return_zero_where_it_is_optimal) {
    for (const LossKind loss : kLosses) {
        const Problem problem(60, 4, 40, 1e4, loss, 0.0, true);
        const GroupLassoResult result = problem.solve({.tol = 1e-12});
        CHECK(result.status == Status::solved);
        CHECK(result.active.empty() && result.values.empty() && result.n_iter == 0);
        problem.check_result(result);
    }
}

TEST(cutting_planes_give_the_same_bits_on_any_number_of_threads) {
    const Problem problem(200, 6, 70, 0.2, LossKind::logistic, 0.0, false);
    const GroupLassoResult one = problem.solve({.tol = 1e-8});
    const GroupLassoResult three = problem.solve({.tol = 1e-8, .threads = 3});
    CHECK(one.active == three.active && one.values == three.values && one.dual == three.dual);
}

TEST(cutting_planes_start_anywhere) {
    for (const LossKind loss : kLosses) {
        const Problem problem(60, 4, 40, 0.5, loss, 0.1, false);
        const GroupLassoResult cold = problem.solve({.tol = 1e-10});
        const GroupLassoResult warm = problem.solve({.tol = 1e-8}, {cold.active, cold.values});
        CHECK(warm.status == Status::solved && warm.n_iter == 0);
        problem.check_result(warm);
        // Outside of the cones, far away, or nothing.
        const std::vector<std::size_t> blocks = {70, 3, 30, 43};
        for (const double size : {1.0, 1e100, 1e300, 0.0}) {
            std::vector<double> values = check::gaussian(4 * blocks.size(), 3);
            for (double& x : values) {
                x *= size;
            }
            const GroupLassoResult result = problem.solve({.tol = 1e-8}, {blocks, values});
            CHECK(result.status == Status::solved);
            CHECK(result.objective <= cold.objective * (1.0 + 1e-7));
            problem.check_result(result);
        }
    }
}

TEST(cutting_planes_obey_a_stop_at_any_time) {
    struct StopAfter : Monitor {
        int left = 0;
        bool stop_requested() override { return --left < 0; }
    } monitor;
    for (const LossKind loss : kLosses) {
        const Problem problem(60, 4, 40, 0.1, loss, 0.0, true);
        const GroupLassoResult solved = problem.solve({.tol = 1e-8});
        const std::vector<std::size_t> blocks = {7, 43};
        const std::vector<double> values(8, 1e-3);
        for (const int asked : {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 30, 100, 300, 1000}) {
            monitor.left = asked;
            const GroupLassoResult result =
                cutting_plane(problem.program, {.tol = 1e-300}, {blocks, values}, monitor);
            CHECK(result.status == Status::interrupted);
            CHECK(result.dual_objective <= solved.objective);
            CHECK(result.objective >= solved.dual_objective);
            problem.check_result(result);
        }
    }
}

TEST(cutting_planes_end_after_max_iter) {
    const Problem problem(60, 4, 40, 0.01, LossKind::squared, 0.0, false);
    for (const std::size_t most : {1UL, 2UL, 5UL}) {
        const GroupLassoResult result = problem.solve({.tol = 1e-14, .max_iter = most});
        CHECK(result.status == Status::max_iter && result.n_iter == most);
        problem.check_result(result);
    }
}
