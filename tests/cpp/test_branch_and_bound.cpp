#include <algorithm>
#include <cmath>

#include "check.hpp"
#include "convexnn/pricing/box_bound.hpp"
#include "convexnn/pricing/branch_and_bound.hpp"

using namespace convexnn;

namespace {

struct Pair {
    std::size_t r;
    std::vector<double> plus, minus;

    Pair(std::size_t m, std::size_t k, std::size_t r_, unsigned seed)
        : r(r_), plus(check::gaussian(m * r, seed)), minus(check::gaussian(k * r, seed + 1)) {}

    MatrixView<const double> first() const { return {plus.data(), plus.size() / r, r}; }
    MatrixView<const double> second() const { return {minus.data(), minus.size() / r, r}; }

    double value(const std::vector<double>& u) const {
        double sum = 0.0;
        for (const auto* rows : {&plus, &minus}) {
            const std::size_t m = rows->size() / r;
            for (std::size_t j = 0; j < m; ++j) {
                double t = 0.0;
                for (std::size_t k = 0; k < r; ++k) {
                    t += (*rows)[j + k * m] * u[k];
                }
                sum += (rows == &plus ? 1.0 : -1.0) * std::max(t, 0.0);
            }
        }
        return sum;
    }
};

std::vector<double> unit(std::vector<double> u) {
    double square = 0.0;
    for (const double entry : u) {
        square += entry * entry;
    }
    for (double& entry : u) {
        entry /= std::sqrt(square);
    }
    return u;
}

// Largest |F| on a fine grid of the circle, or of many directions.
double sampled(const Pair& pair) {
    double best = 0.0;
    if (pair.r == 2) {
        for (int i = 0; i < 4000; ++i) {
            const double angle = i * 3.14159265358979 / 2000;
            best = std::max(best, std::abs(pair.value({std::cos(angle), std::sin(angle)})));
        }
        return best;
    }
    const std::vector<double> many = check::gaussian(4000 * pair.r, 77);
    for (std::size_t i = 0; i < 4000; ++i) {
        const auto first = many.begin() + static_cast<std::ptrdiff_t>(i * pair.r);
        best = std::max(
            best, std::abs(pair.value(unit({first, first + static_cast<std::ptrdiff_t>(pair.r)}))));
    }
    return best;
}

BranchAndBoundResult searched(const Pair& pair, const BranchAndBoundSettings& settings,
                              Monitor& monitor = unmonitored()) {
    return branch_and_bound(pair.first(), pair.second(), {nullptr, pair.r, 0}, settings, monitor);
}

}  // namespace

TEST(bound_and_value_enclose_the_maximum) {
    for (const std::size_t r : {1U, 2U, 3U, 4U}) {
        for (unsigned seed = 0; seed < 6; ++seed) {
            const Pair pair(3 + 5 * (seed % 3), seed % 4 * 6, r, seed);
            BranchAndBoundSettings settings;
            settings.rtol = 1e-3;
            const BranchAndBoundResult found = searched(pair, settings);
            CHECK(found.status == Status::solved);
            CHECK(found.rounding > 0.0 && found.rounding < 1e-9 * found.bound);
            CHECK(found.bound <= found.value * (1.0 + 1e-3) + 2.0 * found.rounding);
            CHECK(std::abs(found.sign * pair.value(found.neuron) - found.value) < 1e-12 * 40);
            const double seen = sampled(pair);
            CHECK(found.bound + found.rounding >= seen);
            if (r <= 2) {
                CHECK(found.value <= seen * (1.0 + 1e-3));
            }
        }
    }
}

TEST(one_row_is_its_length) {
    Pair pair(1, 0, 2, 0);
    pair.plus = {3.0, 4.0};
    const BranchAndBoundResult found = searched(pair, {});
    CHECK(found.bound >= 5.0 && found.bound <= 5.0 * (1.0 + 2e-4));
    CHECK(found.value <= 5.0 * (1.0 + 1e-15) && found.value >= 5.0 / (1.0 + 1e-4));
}

TEST(stopped_at_any_time_it_has_a_bound_that_holds) {
    const Pair pair(25, 20, 4, 3);
    BranchAndBoundSettings settings;
    settings.rtol = 1e-4;
    const double end = searched(pair, settings).value;
    double before = 0.0;
    for (const std::size_t most : {1U, 10U, 100U, 1000U, 3000U}) {
        settings.max_nodes = most;
        const BranchAndBoundResult found = searched(pair, settings);
        CHECK(found.bound + found.rounding >= end);
        CHECK(found.status == Status::max_iter || found.bound <= end * (1.0 + 2e-4));
        CHECK(found.nodes <= most + 200);
        before = found.bound;
    }
    CHECK(before < 1.5 * end);
}

TEST(result_does_not_depend_on_threads) {
    const Pair pair(40, 35, 5, 11);
    BranchAndBoundSettings settings;
    settings.rtol = 1e-2;
    settings.max_nodes = 3000;
    const BranchAndBoundResult one = searched(pair, settings);
    for (const std::size_t threads : {2U, 3U}) {
        settings.threads = threads;
        const BranchAndBoundResult more = searched(pair, settings);
        CHECK(more.bound == one.bound && more.value == one.value && more.nodes == one.nodes);
        CHECK(more.neuron == one.neuron && more.sign == one.sign);
    }
}

TEST(floor_and_ceilings_save_work) {
    const Pair pair(30, 25, 4, 5);
    BranchAndBoundSettings settings;
    settings.rtol = 1e-3;
    const BranchAndBoundResult whole = searched(pair, settings);
    settings.floor = 2.0 * whole.value;
    const BranchAndBoundResult above = searched(pair, settings);
    CHECK(above.nodes < whole.nodes / 4);
    CHECK(above.bound >= settings.floor && above.bound <= settings.floor * (1.0 + 2e-3));
    settings.ceilings[0] = settings.ceilings[1] = 1.5 * whole.value;
    const BranchAndBoundResult none = searched(pair, settings);
    CHECK(none.nodes == 0 && none.status == Status::solved);
}

TEST(stops_when_told) {
    struct Impatient : Monitor {
        bool stop_requested() override { return ++asked > 3; }
        int asked = 0;
    };
    Impatient monitor;
    bool stopped = false;
    try {
        searched(Pair(60, 60, 6, 1), {}, monitor);
    } catch (const Stopped&) {
        stopped = true;
    }
    CHECK(stopped);
    BranchAndBoundSettings settings;
    settings.time_limit = 0.0;
    CHECK(searched(Pair(60, 60, 6, 1), settings).status == Status::time_limit);
}

TEST(box_bounds_hold_over_their_boxes) {
    const Pair pair(37, 41, 4, 21);
    RowTiles rows(37, 41, 4);
    for (std::size_t j = 0; j < 37; ++j) {
        rows.add_plus(pair.plus.data() + j, 37, static_cast<std::int32_t>(j));
    }
    for (std::size_t j = 0; j < 41; ++j) {
        rows.add_minus(pair.minus.data() + j, 41, static_cast<std::int32_t>(37 + j));
    }
    CHECK(rows.rows() == 78 && rows.plus_tiles() == 2 && rows.tiles() == 4);
    BoxBound bound(rows.tiles(), 4);
    BoxState whole, part;
    for (BoxState* state : {&whole, &part}) {
        state->alpha.resize(rows.tiles() * RowTiles::kTile);
    }
    const std::vector<double> offsets = check::gaussian(3000 * 4, 5);
    for (const double width : {1.0, 0.25, 0.01}) {
        const std::vector<double> d = {0.0, width, width, width};
        const std::vector<double> u0 = {1.0, 0.5 - 0.5 * width, 0.0, 0.25 * width - 0.25};
        const Box box{u0, d};
        for (const double theta : {0.1, 20.0}) {
            const double ub = bound(rows, box, theta, nullptr, whole);
            const double again = bound(rows, box, theta, &whole, part);
            CHECK(whole.cut_rows == part.cut_rows && whole.branch >= 1 && whole.branch < 4);
            for (std::size_t i = 0; i < 3000; ++i) {
                std::vector<double> u = u0;
                for (std::size_t k = 1; k < 4; ++k) {
                    u[k] += d[k] * std::tanh(2.0 * offsets[4 * i + k]);
                }
                const double value = pair.value(unit(u));
                CHECK(value <= std::max(ub, theta) * (1.0 + 1e-12) || value <= ub + 1e-12);
                CHECK(value <= std::max(again, theta) * (1.0 + 1e-12) || value <= again + 1e-12);
            }
        }
    }
}
