#include <algorithm>
#include <cmath>

#include "check.hpp"
#include "convexnn/pricing/ascent.hpp"

using namespace convexnn;

namespace {

// F(u) as it is defined.
double value(const std::vector<double>& plus, const std::vector<double>& minus, std::size_t r,
             const double* u) {
    double sum = 0.0;
    for (const auto* rows : {&plus, &minus}) {
        const std::size_t m = rows->size() / r;
        for (std::size_t k = 0; k < m; ++k) {
            double t = 0.0;
            for (std::size_t j = 0; j < r; ++j) {
                t += (*rows)[k + j * m] * u[j];
            }
            sum += (rows == &plus ? 1.0 : -1.0) * std::max(t, 0.0);
        }
    }
    return sum;
}

MatrixView<const double> view(const std::vector<double>& rows, std::size_t r) {
    return {rows.data(), rows.size() / r, r};
}

struct Climbed {
    std::vector<double> U, values;
    bool finished;
};

Climbed climb(const std::vector<double>& plus, const std::vector<double>& minus, std::size_t r,
              std::size_t starts, std::size_t threads, const AscentSettings& settings = {},
              Monitor& monitor = unmonitored()) {
    Climbed climbed{check::gaussian(r * starts, 9), std::vector<double>(starts), false};
    climbed.finished = ascend(view(plus, r), view(minus, r), {climbed.U.data(), r, starts},
                              climbed.values, threads, settings, monitor);
    return climbed;
}

}  // namespace

TEST(support_is_the_sum_of_positive_parts_and_of_their_rows) {
    for (const std::size_t m : {0U, 1U, 7U, 511U, 512U, 1500U}) {
        for (const std::size_t r : {1U, 3U, 66U}) {
            const std::vector<double> rows = check::gaussian(m * r, 1);
            const std::vector<double> u = check::gaussian(r, 2);
            std::vector<double> point(r);
            const double sum = support(view(rows, r), u, point);
            const double size = 1.0 + static_cast<double>(m * r);
            CHECK(std::abs(sum - value(rows, {}, r, u.data())) < 1e-14 * size);
            double along = 0.0;  // the point is the farthest along u
            for (std::size_t j = 0; j < r; ++j) {
                along += point[j] * u[j];
            }
            CHECK(std::abs(along - sum) < 1e-14 * size);
            std::vector<double> work(r);
            CHECK(price_at(view(rows, r), view(rows, r), u, work) == 0.0);
        }
    }
}

TEST(nearest_point_of_a_box) {
    // [0, 1] x [0, 2] x [-3, 0]: the nearest point is the clipped one.
    const std::vector<double> rows{1, 0, 0, 0, 2, 0, 0, 0, -3};
    ZonotopeProjection projection(view(rows, 3));
    const std::vector<std::vector<double>> points{
        {2, 1, -1}, {0.5, 0.5, -4}, {-1, 3, 1}, {0.5, 1, 7}, {4, -2, -5}};
    for (const std::vector<double>& p : points) {
        const std::vector<double> near{std::clamp(p[0], 0.0, 1.0), std::clamp(p[1], 0.0, 2.0),
                                       std::clamp(p[2], -3.0, 0.0)};
        const ZonotopeDistance distance = projection.nearest(p, 1e-14, 100);
        double square = 0.0;
        for (std::size_t j = 0; j < 3; ++j) {
            CHECK(std::abs(projection.point()[j] - near[j]) < 1e-12);
            CHECK(std::abs(projection.residual()[j] - (p[j] - near[j])) < 1e-12);
            square += (p[j] - near[j]) * (p[j] - near[j]);
        }
        CHECK(std::abs(distance.upper - std::sqrt(square)) < 1e-12);
        CHECK(std::abs(distance.lower - distance.upper) < 1e-12);
        CHECK(distance.steps <= 20);
    }
    const std::vector<double> inside{0.3, 1.7, -2.0};
    CHECK(projection.nearest(inside, 1e-14, 100).upper < 1e-13);
}

TEST(nearest_point_where_the_zonotope_is_flat_repeated_or_empty) {
    const std::vector<double> line{1, 1, 2, 2, 2, 4};  // (1, 2), (1, 2), (2, 4)
    ZonotopeProjection projection(view(line, 2));
    const std::vector<double> p{5, 0};  // its projection on the line is (1, 2)
    CHECK(std::abs(projection.nearest(p, 1e-14, 100).upper - std::sqrt(20.0)) < 1e-12);
    CHECK(std::abs(projection.point()[1] - 2.0) < 1e-12);
    ZonotopeProjection empty(view({}, 2));
    const ZonotopeDistance distance = empty.nearest(p, 1e-14, 100);
    CHECK(distance.upper == 5.0);
    CHECK(distance.lower == 5.0);
}

TEST(ascents_climb_and_say_where_they_are) {
    for (const std::size_t r : {1U, 2U, 5U, 70U}) {
        for (const std::size_t m : {0U, 1U, 20U, 600U}) {
            const std::vector<double> plus = check::gaussian(30 * r, 3);
            const std::vector<double> minus = check::gaussian(m * r, 4);
            const Climbed climbed = climb(plus, minus, r, 6, 1);
            const std::vector<double> start = check::gaussian(r * 6, 9);
            CHECK(climbed.finished);
            for (std::size_t i = 0; i < 6; ++i) {
                const double* u = climbed.U.data() + i * r;
                double square = 0.0;
                double before = 0.0;
                for (std::size_t j = 0; j < r; ++j) {
                    square += u[j] * u[j];
                    before += start[i * r + j] * start[i * r + j];
                }
                CHECK(std::abs(square - 1.0) < 1e-14);
                CHECK(std::abs(climbed.values[i] - value(plus, minus, r, u)) < 1e-10);
                CHECK(climbed.values[i] >=
                      value(plus, minus, r, start.data() + i * r) / std::sqrt(before) - 1e-10);
            }
        }
    }
}

TEST(ascents_do_not_depend_on_threads_or_on_each_other) {
    const std::vector<double> plus = check::gaussian(100 * 4, 5);
    const std::vector<double> minus = check::gaussian(120 * 4, 6);
    const Climbed all = climb(plus, minus, 4, 40, 1);
    const Climbed three = climb(plus, minus, 4, 40, 3);
    CHECK(all.U == three.U);
    CHECK(all.values == three.values);
    const Climbed first = climb(plus, minus, 4, 1, 1);
    CHECK(first.values[0] == all.values[0]);
}

TEST(ascents_stop_when_told) {
    class Stop final : public Monitor {
        bool stop_requested() override { return ++asked_ > 2; }
        int asked_ = 0;
    };
    const std::vector<double> plus = check::gaussian(500 * 10, 7);
    const std::vector<double> minus = check::gaussian(500 * 10, 8);
    for (const std::size_t threads : {1U, 3U}) {
        Stop monitor;
        CHECK(!climb(plus, minus, 10, 64, threads, {}, monitor).finished);
    }
    AscentSettings hurried;
    hurried.seconds = 0.0;
    const Climbed climbed = climb(plus, minus, 10, 8, 1, hurried);
    CHECK(climbed.finished);
    CHECK(std::abs(climbed.values[7] - value(plus, minus, 10, climbed.U.data() + 70)) < 1e-10);
}
