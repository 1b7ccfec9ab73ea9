// The master problem against its conditions of optimality, for every loss.
#include <algorithm>
#include <cmath>
#include <vector>

#include "check.hpp"
#include "convexnn/program/loss.hpp"
#include "convexnn/solve/atom_master.hpp"

using namespace convexnn;

namespace {

constexpr std::size_t kSamples = 40;
constexpr std::size_t kWidth = 3;

struct Atoms {
    std::vector<double> y, s, features, directions;

    explicit Atoms(std::size_t count, bool labels, unsigned seed)
        : y(check::gaussian(kSamples, seed)),
          s(kSamples, 1.0),
          features(check::gaussian(kSamples * count, seed + 1)),
          directions(check::gaussian(kWidth * count, seed + 2)) {
        for (std::size_t k = 0; k < kSamples; ++k) {
            y[k] = labels ? (y[k] > 0.0 ? 1.0 : -1.0) : y[k];
            s[k] = k % 5 == 0 ? 2.5 : (k == 7 ? 0.0 : 1.0);
        }
        for (std::size_t a = 1; a < count; a += 3) {  // nearly the atom before, on some samples
            for (std::size_t k = 0; k < kSamples; ++k) {
                double& x = features[a * kSamples + k];
                x = features[(a - 1) * kSamples + k] + (k % 2 == 0 ? 0.0 : 1e-6 * x);
            }
        }
    }
    std::span<const double> feature(std::size_t a) const {
        return {features.data() + a * kSamples, kSamples};
    }
    std::span<const double> direction(std::size_t a) const {
        return {directions.data() + a * kWidth, kWidth};
    }
};

// Gap of the master's c over the atoms [0, count), with f and c checked against each other.
template <typename Loss>
double relative_gap_of(const AtomMaster<Loss>& master, DataTerm<Loss>& data, const Atoms& atoms,
                       std::size_t count, double beta) {
    std::vector<double> f(kSamples);
    double objective = 0.0;
    CHECK(master.coefficients().size() == master.atoms());
    for (std::size_t a = 0; a < master.atoms(); ++a) {
        const double c = master.coefficients()[a];
        CHECK(c >= 0.0);
        objective += beta * c;
        for (std::size_t k = 0; k < kSamples; ++k) {
            f[k] += c * atoms.feature(master.block(a))[k];
        }
        for (std::size_t j = 0; j < kWidth; ++j) {
            CHECK(master.direction(a)[j] == atoms.direction(master.block(a))[j]);
        }
    }
    for (std::size_t k = 0; k < kSamples; ++k) {
        CHECK(std::abs(f[k] - master.f[k]) <= 1e-12 * (1.0 + std::abs(f[k])));
    }
    objective += data.value(f);
    std::vector<double> v(kSamples);
    data.negative_gradient(f, v);
    double largest = 0.0;
    for (std::size_t a = 0; a < count; ++a) {  // those that were pruned too
        double price = 0.0;
        for (std::size_t k = 0; k < kSamples; ++k) {
            price += atoms.feature(a)[k] * v[k];
        }
        largest = std::max(largest, price);
    }
    const double t = data.best_dual_scale(v, largest > 0.0 ? beta / largest : HUGE_VAL);
    return (objective - data.dual_value(v, t)) / std::abs(objective);
}

template <typename Loss>
void check_master(const Loss& loss, bool labels, bool has_offset, double beta) {
    const Atoms atoms(60, labels, 5);
    DataTerm<Loss> data({atoms.y, atoms.s}, loss, has_offset);
    AtomMaster<Loss> master({atoms.y, atoms.s}, data, beta, kWidth, 1);
    CHECK(!master.solve(1e-8, unmonitored()));  // no atom
    std::size_t next = 0;
    double last = HUGE_VAL;
    for (const std::size_t count : {1UL, 10UL, 60UL}) {
        for (; next < count; ++next) {
            master.add(next, atoms.direction(next), atoms.feature(next));
        }
        CHECK(master.solve(1e-8, unmonitored()));
        CHECK(relative_gap_of(master, data, atoms, count, beta) <= 1.0001e-8);
        double objective = data.value(master.f);
        for (const double c : master.coefficients()) {
            objective += beta * c;
        }
        CHECK(objective <= last * (1.0 + 1e-8));
        last = objective;
    }
    CHECK(master.support() >= 2);
    // The atoms that are not in use are no loss.
    const std::size_t support = master.support();
    master.prune();
    CHECK(master.atoms() == support && master.support() == support);
    CHECK(relative_gap_of(master, data, atoms, 60, beta) <= 1.0001e-8);
    CHECK(master.solve(1e-8, unmonitored()));
    CHECK(relative_gap_of(master, data, atoms, 60, beta) <= 2e-8);

    // From its own optimum it has nothing to do; from a start that is worse than zero it does as
    // from zero.
    const std::vector<double> optimum(master.coefficients().begin(), master.coefficients().end());
    std::vector<double> worse(support, 1e6);
    for (const std::vector<double>& start : {optimum, worse}) {
        master.start(start);
        CHECK(data.value(master.f) <= data.value(std::vector<double>(kSamples)) * (1.0 + 1e-12));
        CHECK(master.solve(1e-8, unmonitored()));
        CHECK(relative_gap_of(master, data, atoms, 60, beta) <= 2e-8);
    }
    master.clear();
    CHECK(master.atoms() == 0 && std::ranges::count(master.f, 0.0) == kSamples);
}

}  // namespace

TEST(master_problems_are_optimal_for_every_loss) {
    for (const bool has_offset : {false, true}) {
        for (const double beta : {3.0, 0.1}) {
            check_master(SquaredLoss{}, false, has_offset, beta);
            check_master(HuberLoss{0.7}, false, has_offset, beta);
            check_master(LogisticLoss{}, true, has_offset, beta);
            check_master(SquaredHingeLoss{}, true, has_offset, beta);
        }
    }
}

TEST(master_problems_stop_when_asked) {
    struct Stop final : Monitor {
        bool stop_requested() override { return true; }
    } stop;
    const Atoms atoms(30, true, 8);
    DataTerm<LogisticLoss> data({atoms.y, atoms.s}, LogisticLoss{}, false);
    AtomMaster<LogisticLoss> master({atoms.y, atoms.s}, data, 0.1, kWidth, 1);
    for (std::size_t a = 0; a < 30; ++a) {
        master.add(a, atoms.direction(a), atoms.feature(a));
    }
    CHECK(!master.solve(1e-8, stop));
    CHECK(master.solve(1e-8, unmonitored()));
}
