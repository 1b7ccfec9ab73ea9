// The non-negative lasso against its conditions of optimality, with nearly equal atoms among
// others.
#include <algorithm>
#include <cmath>
#include <vector>

#include "check.hpp"
#include "convexnn/solve/nonnegative_lasso.hpp"

using namespace convexnn;

namespace {

struct Atoms {
    std::size_t n, m;
    std::vector<double> A, b;

    Atoms(std::size_t n_, std::size_t m_, double distance, unsigned seed)
        : n(n_), m(m_), A(check::gaussian(n * m, seed)), b(m) {
        const std::vector<double> y = check::gaussian(n, seed + 1);
        for (std::size_t a = 0; a < m; ++a) {
            for (std::size_t k = 0; k < n; ++k) {
                if (a % 2 == 1) {
                    A[a * n + k] = A[(a - 1) * n + k] + distance * A[a * n + k];
                }
                b[a] += A[a * n + k] * y[k];
            }
        }
    }
    double gram(std::size_t i, std::size_t j) const {
        double sum = 0.0;
        for (std::size_t k = 0; k < n; ++k) {
            sum += A[i * n + k] * A[j * n + k];
        }
        return sum;
    }
    void extend(NonnegativeLasso& lasso, std::size_t last) const {
        for (std::size_t a = lasso.atoms(); a < last; ++a) {
            std::vector<double> column(a + 1);
            for (std::size_t i = 0; i <= a; ++i) {
                column[i] = gram(i, a);
            }
            lasso.add(column, b[a]);
        }
    }
    bool optimal(const NonnegativeLasso& lasso, double beta) const {
        const std::span<const double> c = lasso.coefficients();
        for (std::size_t i = 0; i < c.size(); ++i) {
            double slope = b[i] - beta;
            double scale = std::abs(b[i]) + beta;
            for (std::size_t j = 0; j < c.size(); ++j) {
                slope -= gram(i, j) * c[j];
                scale += std::abs(gram(i, j)) * c[j];
            }
            const double wrong = c[i] > 0.0 ? std::abs(slope) : slope;
            if (c[i] < 0.0 || wrong > 1e-12 * scale) {
                return false;
            }
        }
        return true;
    }
};

}  // namespace

TEST(nonnegative_lasso_is_optimal_as_atoms_come_and_go) {
    unsigned seed = 1;
    for (const double distance : {1.0, 1e-6, 1e-13, 0.0}) {
        const Atoms atoms(30, 90, distance, seed += 2);
        NonnegativeLasso lasso(1);
        for (const std::size_t last : {1UL, 20UL, 90UL}) {
            atoms.extend(lasso, last);
            for (const double beta : {5.0, 1.0, 0.01}) {
                const NonnegativeLassoResult result = lasso.solve(beta, {}, unmonitored());
                CHECK(result.outcome == NonnegativeLassoResult::Outcome::done);
                CHECK(atoms.optimal(lasso, beta));
                CHECK(result.support == lasso.support().size());
                const std::span<const double> c = lasso.coefficients();
                CHECK(std::count_if(c.begin(), c.end(), [](double x) { return x > 0.0; }) ==
                      static_cast<std::ptrdiff_t>(result.support));
            }
        }
        std::vector<char> keep(90);
        for (const std::size_t a : lasso.support()) {
            keep[a] = 1;
        }
        const double before = lasso.solve(0.01, {}, unmonitored()).objective;
        lasso.prune(keep);
        CHECK(lasso.atoms() == lasso.support().size());
        const double after = lasso.solve(0.01, {}, unmonitored()).objective;
        CHECK(std::abs(after - before) <= 1e-12 * std::abs(before));
    }
}

TEST(nonnegative_lasso_takes_other_atoms_and_a_start) {
    unsigned seed = 90;
    NonnegativeLasso lasso(4);
    for (const double distance : {1.0, 1e-6, 0.0}) {
        for (const std::size_t m : {1UL, 40UL, 90UL, 7UL}) {  // more and fewer than it has room for
            const Atoms atoms(30, m, distance, seed += 2);
            std::vector<double> G(m * m, NAN);  // the upper triangle is not read
            for (std::size_t j = 0; j < m; ++j) {
                for (std::size_t i = j; i < m; ++i) {
                    G[i + j * m] = atoms.gram(i, j);
                }
            }
            NonnegativeLasso fresh;
            atoms.extend(fresh, m);
            const double expected = fresh.solve(0.5, {}, unmonitored()).objective;
            std::vector<std::vector<double>> starts = {std::vector<double>(m)};
            starts.emplace_back(fresh.coefficients().begin(), fresh.coefficients().end());
            starts.push_back(check::gaussian(m, seed));
            for (double& x : starts.back()) {
                x = std::max(x, 0.0);
            }
            for (const std::vector<double>& start : starts) {
                lasso.replace({G.data(), m, m}, atoms.b, start);
                CHECK(lasso.atoms() == m);
                for (const std::size_t a : lasso.support()) {
                    CHECK(lasso.coefficients()[a] == start[a]);
                }
                const NonnegativeLassoResult result = lasso.solve(0.5, {}, unmonitored());
                CHECK(result.outcome == NonnegativeLassoResult::Outcome::done);
                CHECK(atoms.optimal(lasso, 0.5));
                CHECK(std::abs(result.objective - expected) <= 1e-11 * std::abs(expected));
                CHECK(&start != &starts[1] || result.rounds <= 2);
            }
        }
    }
    // Atoms that are the same share what one could do alone.
    const std::vector<double> ones(4, 1.0);
    const std::vector<double> twos(2, 2.0);
    lasso.replace({ones.data(), 2, 2}, twos, std::vector<double>{0.2, 0.7});
    CHECK(lasso.solve(0.5, {}, unmonitored()).outcome == NonnegativeLassoResult::Outcome::done);
    const std::span<const double> c = lasso.coefficients();
    CHECK(c[0] >= 0.0 && c[1] >= 0.0 && std::abs(c[0] + c[1] - 1.5) <= 1e-12);
}

TEST(nonnegative_lasso_stops_with_a_feasible_point) {
    struct Stop final : Monitor {
        int left = 2;
        bool stop_requested() override { return left-- <= 0; }
    };
    const Atoms atoms(30, 90, 1.0, 50);
    NonnegativeLasso lasso;
    atoms.extend(lasso, 90);
    for (int repeat = 0; repeat < 3; ++repeat) {
        Stop stop;
        const NonnegativeLassoResult result = lasso.solve(0.01, {}, stop);
        CHECK(result.outcome == NonnegativeLassoResult::Outcome::stopped);
        CHECK(result.objective <= 0.0);
        for (const double c : lasso.coefficients()) {
            CHECK(c >= 0.0);
        }
    }
    CHECK(lasso.solve(0.01, {}, unmonitored()).outcome == NonnegativeLassoResult::Outcome::done);
    CHECK(atoms.optimal(lasso, 0.01));
}
