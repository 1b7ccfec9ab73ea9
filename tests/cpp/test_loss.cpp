#include <cmath>

#include "check.hpp"
#include "convexnn/program/loss.hpp"

using namespace convexnn;

namespace {

// Fenchel's equality at p = -slope(f): value(f) = -l*(-p) - p f, and slope is value's derivative.
template <typename Loss>
void check_duality(double y) {
    for (double f = -3.0; f <= 3.0; f += 0.37) {
        const double p = -Loss::slope(f, y);
        CHECK(std::abs(Loss::value(f, y) - (Loss::dual(p, y) - p * f)) < 1e-12);
        const double h = 1e-6;
        const double difference = (Loss::value(f + h, y) - Loss::value(f - h, y)) / (2 * h);
        CHECK(std::abs(difference + p) < 1e-8);
    }
}

}  // namespace

TEST(losses_are_dual_to_their_conjugates) {
    check_duality<SquaredLoss>(0.7);
    check_duality<LogisticLoss>(1.0);
    check_duality<LogisticLoss>(-1.0);
}

TEST(logistic_loss_survives_large_margins) {
    CHECK(LogisticLoss::value(1e5, -1.0) == 1e5);
    CHECK(LogisticLoss::value(1e5, 1.0) == 0.0);
    CHECK(LogisticLoss::slope(-1e5, 1.0) == -1.0);
    CHECK(LogisticLoss::dual(-0.0, 1.0) == 0.0);
}
