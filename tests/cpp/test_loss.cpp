#include <cmath>

#include "check.hpp"
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
    }
}

}  // namespace

TEST(losses_are_dual_to_their_conjugates) {
    check_duality(SquaredLoss{}, 0.7);
    check_duality(HuberLoss{1.35}, 0.7);
    check_duality(HuberLoss{0.1}, -0.7);
    for (const double label : {-1.0, 1.0}) {
        check_duality(LogisticLoss{}, label);
        check_duality(SquaredHingeLoss{}, label);
    }
}

TEST(logistic_loss_survives_large_margins) {
    CHECK(LogisticLoss::value(1e5, -1.0) == 1e5);
    CHECK(LogisticLoss::value(1e5, 1.0) == 0.0);
    CHECK(LogisticLoss::slope(-1e5, 1.0) == -1.0);
    CHECK(LogisticLoss::dual(-0.0, 1.0) == 0.0);
}
