// Cone projections against their conditions of optimality.
#include <algorithm>
#include <cmath>
#include <numeric>
#include <span>
#include <vector>

#include "check.hpp"
#include "convexnn/solve/cone_projection.hpp"
#include "data.hpp"

using namespace convexnn;

namespace {

// u is in the cone, u - g = N mu with mu >= 0, and u is orthogonal to N mu.
void check_optimal(const Data& data, ConeProjections& cones, std::size_t block, const double* g,
                   const double* u, const ConeProjection& result) {
    const double sign = block % 2 == 1 ? -1.0 : 1.0;
    const BitColumns patterns = data.patterns();
    double size = 0.0;
    double norm = 0.0;
    std::vector<double> sum(data.d);
    for (std::size_t j = 0; j < data.d; ++j) {
        sum[j] = sign * g[j];
        size += g[j] * g[j];
        norm += u[j] * u[j];
    }
    size = std::sqrt(size);
    norm = std::sqrt(norm);
    CHECK(result.outcome == Projected::exact);
    CHECK(std::abs(result.norm - norm) <= 1e-14 * size);
    CHECK(result.bound >= norm * (1.0 - 1e-15) && result.bound <= norm + 1e-11 * size);
    const auto s = [&](std::size_t k) { return patterns(k, block / 2) ? 1.0 : -1.0; };
    for (std::size_t k = 0; k < data.n; ++k) {
        double slack = 0.0;
        double length = 0.0;
        for (std::size_t j = 0; j < data.d; ++j) {
            const double x = data.matrix()(k, j);
            slack += s(k) * x * u[j];
            length += x * x;
        }
        CHECK(slack >= -2e-14 * norm * std::sqrt(length));
    }
    for (std::size_t a = 0; a < result.active; ++a) {
        const std::size_t k = static_cast<std::size_t>(cones.active(block)[a]);
        const double mu = cones.multipliers(block)[a];
        CHECK(mu >= 0.0);
        for (std::size_t j = 0; j < data.d; ++j) {
            sum[j] += s(k) * mu * data.matrix()(k, j);
        }
    }
    for (std::size_t j = 0; j < data.d; ++j) {
        CHECK(std::abs(sum[j] - u[j]) <= 1e-11 * size);
    }
}

}  // namespace

TEST(cone_projections_are_optimal_for_any_size_and_number_of_threads) {
    unsigned seed = 1;
    for (const std::size_t n : {1UL, 5UL, 63UL, 64UL, 130UL}) {
        for (const std::size_t d : {1UL, 2UL, 7UL, 8UL, 17UL}) {
            const Data data(n, d, 9, seed += 3);
            const std::vector<double> G = check::gaussian(d * data.P, seed + 100);
            std::vector<std::size_t> blocks(2 * data.P);
            std::iota(blocks.begin(), blocks.end(), 0UL);
            std::vector<std::vector<double>> answers;
            for (const std::size_t threads : {1UL, 3UL}) {
                ConeProjections cones(data.matrix(), data.patterns(), threads);
                std::vector<double> U(d * blocks.size());
                std::vector<ConeProjection> results(blocks.size());
                for (int repeat = 0; repeat < 2; ++repeat) {
                    CHECK(cones.project(blocks, {G.data(), d, data.P}, -1.0,
                                        {U.data(), d, blocks.size()}, results, unmonitored()));
                    for (const std::size_t b : blocks) {
                        check_optimal(data, cones, b, G.data() + (b / 2) * d, U.data() + b * d,
                                      results[b]);
                    }
                }
                answers.push_back(U);
            }
            CHECK(answers[0] == answers[1]);
        }
    }
}

TEST(cone_projections_stop_when_asked) {
    struct Stop final : Monitor {
        bool stop_requested() override { return true; }
    } stop;
    const Data data(50, 4, 20, 5);
    const std::vector<double> G = check::gaussian(4 * 20, 6);
    std::vector<std::size_t> blocks(40);
    std::iota(blocks.begin(), blocks.end(), 0UL);
    std::vector<double> U(4 * 40);
    std::vector<ConeProjection> results(40);
    ConeProjections cones(data.matrix(), data.patterns(), 1);
    CHECK(!cones.project(blocks, {G.data(), 4, 20}, -1.0, {U.data(), 4, 40}, results, stop));
}

TEST(one_long_projection_stops_when_asked) {
    struct Patient final : Monitor {
        bool stop_requested() override { return ++asked > 2; }
        int asked = 0;
    };
    const Data data(800, 80, 2, 5);
    const std::vector<double> G = check::gaussian(80 * 2, 60);
    const std::vector<std::size_t> blocks = {0};
    std::vector<double> U(80);
    std::vector<ConeProjection> results(1);
    ConeProjections cones(data.matrix(), data.patterns(), 1);
    Patient patient;  // asked before the one block, and then within it
    CHECK(!cones.project(blocks, {G.data(), 80, 2}, -1.0, {U.data(), 80, 1}, results, patient));
    CHECK(patient.asked == 3);
    const std::size_t steps = results[0].steps;
    CHECK(
        cones.project(blocks, {G.data(), 80, 2}, -1.0, {U.data(), 80, 1}, results, unmonitored()));
    CHECK(results[0].outcome == Projected::exact);
    CHECK(steps < results[0].active);
}

TEST(cone_bounds_hold_for_moved_vectors_and_are_tight_for_the_last_one) {
    for (const std::size_t d : {1UL, 5UL, 17UL}) {
        const Data data(70, d, 9, static_cast<unsigned>(40 + d));
        const std::vector<double> G = check::gaussian(d * data.P, 7);
        const std::vector<double> away = check::gaussian(d * data.P, 8);
        std::vector<std::size_t> blocks(2 * data.P);
        std::iota(blocks.begin(), blocks.end(), 0UL);
        const std::size_t count = blocks.size();
        std::vector<double> U(d * count), bounds(count);
        std::vector<ConeProjection> results(count);
        ConeProjections cones(data.matrix(), data.patterns(), 2);

        // Before the first projection: the norm of g.
        CHECK(cones.bound(blocks, {G.data(), d, data.P}, bounds, unmonitored()));
        for (const std::size_t b : blocks) {
            const std::span<const double> g(G.data() + b / 2 * d, d);
            const double size = std::sqrt(std::inner_product(g.begin(), g.end(), g.begin(), 0.0));
            CHECK(bounds[b] >= size && bounds[b] <= size * (1.0 + 1e-13));
        }

        CHECK(cones.project(blocks, {G.data(), d, data.P}, -1.0, {U.data(), d, count}, results,
                            unmonitored()));
        for (const double step : {0.0, 1e-3, 1.0}) {
            std::vector<double> moved = G;
            for (std::size_t j = 0; j < moved.size(); ++j) {
                moved[j] = (1.0 + step) * G[j] + step * away[j];
            }
            CHECK(cones.bound(blocks, {moved.data(), d, data.P}, bounds, unmonitored()));
            ConeProjections others(data.matrix(), data.patterns(), 1);
            CHECK(others.project(blocks, {moved.data(), d, data.P}, -1.0, {U.data(), d, count},
                                 results, unmonitored()));
            for (const std::size_t b : blocks) {
                const std::span<const double> g(moved.data() + b / 2 * d, d);
                const double size =
                    std::sqrt(std::inner_product(g.begin(), g.end(), g.begin(), 0.0));
                CHECK(bounds[b] >= results[b].norm * (1.0 - 1e-15));
                CHECK(bounds[b] <= size * (1.0 + 1e-13));
                CHECK(step > 0.0 || bounds[b] <= results[b].norm + 1e-11 * size);
            }
        }
    }
}
