#include <cmath>
#include <type_traits>
#include <vector>

#include "check.hpp"
#include "convexnn/program/data_term.hpp"
#include "convexnn/program/loss.hpp"

using namespace convexnn;

namespace {

// Fenchel's equality at p = -slope(f): value(f) = -l*(-p) - p f, and slope is value's derivative.
template <typename Loss>
void check_duality(const Loss& loss, double y) {
    for (double f = -3.0; f <= 3.0; f += 0.37) {
        const double p = -loss.slope(f, y);
        CHECK(std::abs(p) <= loss.reach());
        CHECK(std::abs(loss.value(f, y) - (loss.dual(p, y) - p * f)) < 1e-12);
        const double h = 1e-6;
        const double difference = (loss.value(f + h, y) - loss.value(f - h, y)) / (2 * h);
        CHECK(std::abs(difference + p) < 1e-8);
        const double bend = (loss.slope(f + h, y) - loss.slope(f - h, y)) / (2 * h);
        CHECK(std::abs(bend - loss.curvature(f, y)) < 1e-8);
        CHECK(loss.curvature(f, y) <= Loss::kCurvature);
        CHECK(std::abs(loss.slope(loss.fit(p, y), y) + p) < 1e-12);
        for (double g = -5.0; g <= 5.0; g += 0.61) {
            const double step = g - f;
            const double above =
                loss.value(f, y) - p * step + 0.5 * loss.majorant(f, y) * step * step;
            // Poisson's parabola is above only between f and the best fit.
            const bool there = Loss::kCurvature < HUGE_VAL || (g - f) * (g - std::log(y)) <= 0.0;
            CHECK(!there || loss.value(g, y) <= above + 1e-12);
        }
    }
}

// The offset is best, -gradient sums to zero, from whatever offset the search starts.
template <typename Loss>
void check_offset(const Loss& loss, bool labels, double size) {
    const bool counts = std::is_same_v<Loss, PoissonLoss>;
    const std::vector<double> s = {1.0, 0.3, 2.0, 0.0, 1e-3, 5.0};
    std::vector<double> y = {1.0, -1.0, 2.5, -300.0, -40.0, 0.3};
    std::vector<double> f = {0.2, 1.0, -3.0, 1e9, 0.0, 0.7};
    for (std::size_t k = 0; k < y.size(); ++k) {
        y[k] = labels ? (y[k] > 0.0 ? 1.0 : -1.0) : size * y[k];
        y[k] = counts ? std::abs(y[k]) : y[k];
        f[k] *= counts && s[k] == 0.0 ? 0.0 : size;  // exp(1e9) overflows
    }
    DataTerm<Loss> data({y, s}, loss, true);
    std::vector<double> v(y.size());
    for (const double shift : {0.0, (counts ? 1e2 : 1e6) * size, -3.0 * size}) {
        for (double& x : f) {
            x += shift;
        }
        const double least = data.value(f);
        const double b = data.free_part().front();
        for (const double away : {-0.1, 0.1}) {
            double other = 0.0;
            for (std::size_t k = 0; k < y.size(); ++k) {
                other += s[k] * loss.value(f[k] + b + away * (1.0 + size), y[k]);
            }
            CHECK(other >= least * (1.0 - 1e-9));
        }
        data.negative_gradient(f, v);
        double sum = 0.0;
        double total = 0.0;
        for (const double x : v) {
            sum += x;
            total += std::abs(x);
        }
        CHECK(std::abs(sum) <= 1e-14 * total);
        CHECK(std::isfinite(total));
    }
}

}  // namespace

TEST(the_offset_is_the_best_one) {
    for (const double size : {1.0, 1e-30, 1e30}) {
        check_offset(SquaredLoss{}, false, size);
        check_offset(HuberLoss{1.35}, false, size);
        check_offset(HuberLoss{1e-3 * size}, false, size);
        check_offset(LogisticLoss{}, true, std::min(size, 1.0));
        check_offset(SquaredHingeLoss{}, true, std::min(size, 1.0));
        check_offset(HuberizedHingeLoss{}, true, std::min(size, 1.0));
        check_offset(PoissonLoss{}, false, std::min(size, 1.0));
    }
}

namespace {

// h (f* - f) = v - a for the fit f* whose negative gradient is a.
template <typename Loss>
void check_secant(const Loss& loss, bool labels) {
    const std::size_t n = 50;
    std::vector<double> y = check::gaussian(n, 1);
    const std::vector<double> s(n, 1.7);
    const std::vector<double> f = check::gaussian(n, 2);
    std::vector<double> a(n), h(n), v(n);
    for (std::size_t k = 0; k < n; ++k) {
        y[k] = labels ? (y[k] > 0.0 ? 1.0 : -1.0) : y[k];
        y[k] = std::is_same_v<Loss, PoissonLoss> ? std::abs(y[k]) : y[k];
    }
    const std::vector<double> other = check::gaussian(n, 3);
    DataTerm<Loss> data({y, s}, loss, false);
    data.negative_gradient(other, a);
    data.negative_gradient(f, v);
    data.secant(f, a, h);
    for (std::size_t k = 0; k < n; ++k) {
        const double change = loss.fit(a[k] / s[k], y[k]) - f[k];
        CHECK(h[k] >= 0.0 && h[k] <= s[k] * Loss::kCurvature);
        CHECK(std::abs(h[k] * change - (v[k] - a[k])) <= 1e-12);
    }
    data.secant(f, v, h);
    for (std::size_t k = 0; k < n; ++k) {  // the curvature, where there is no way to go
        if (std::abs(loss.fit(v[k] / s[k], y[k]) - f[k]) < 1e-9) {
            CHECK(h[k] == s[k] * loss.curvature(f[k], y[k]));
        }
    }
}

}  // namespace

TEST(secants_lie_between_two_fits) {
    check_secant(SquaredLoss{}, false);
    check_secant(HuberLoss{0.5}, false);
    check_secant(LogisticLoss{}, true);
    check_secant(SquaredHingeLoss{}, true);
    check_secant(HuberizedHingeLoss{}, true);
    check_secant(PoissonLoss{}, false);
}

TEST(losses_are_dual_to_their_conjugates) {
    check_duality(SquaredLoss{}, 0.7);
    check_duality(HuberLoss{1.35}, 0.7);
    check_duality(HuberLoss{0.1}, -0.7);
    check_duality(PoissonLoss{}, 0.7);
    check_duality(PoissonLoss{}, 12.0);
    for (const double label : {-1.0, 1.0}) {
        check_duality(LogisticLoss{}, label);
        check_duality(SquaredHingeLoss{}, label);
        check_duality(HuberizedHingeLoss{}, 1.3 * label);
        check_duality(HuberizedHingeLoss{}, 0.2 * label);
    }
}

TEST(counts_of_zero) {
    for (const double f : {-700.0, -3.0, 0.0, 2.0}) {
        CHECK(PoissonLoss::value(f, 0.0) == std::exp(f));
        CHECK(PoissonLoss::slope(f, 0.0) == std::exp(f));
        const double p = -std::exp(f);
        CHECK(std::abs(PoissonLoss::dual(p, 0.0) - p * f - std::exp(f)) <= 1e-12);
    }
    CHECK(PoissonLoss::dual(0.0, 0.0) == 0.0);
    CHECK(PoissonLoss::clip(0.1, 0.0) == 0.0);
    CHECK(std::isfinite(PoissonLoss::majorant(-1e6, 5.0)));
    for (const double t : {-1.0, -2e-4, -1e-5, 1e-9, 9e-5, 0.5}) {
        const double excess = PoissonLoss::excess(0.3, t) / std::exp(0.3);
        const double series = t * t / 2 + t * t * t / 6 + t * t * t * t / 24;
        CHECK(std::abs(excess - series) <= 1e-11 * excess + std::abs(std::pow(t, 5)) / 50);
    }
}

TEST(logistic_loss_survives_large_margins) {
    CHECK(LogisticLoss::value(1e5, -1.0) == 1e5);
    CHECK(LogisticLoss::value(1e5, 1.0) == 0.0);
    CHECK(LogisticLoss::slope(-1e5, 1.0) == -1.0);
    CHECK(LogisticLoss::dual(-0.0, 1.0) == 0.0);
}
