#include "convexnn/solve/nonnegative_qp.hpp"

#include <algorithm>
#include <cmath>

namespace convexnn {
namespace {

constexpr double kRounding = 1e-12;  // about k epsilon: what a sum of k terms may be off by
constexpr int kPatience = 5;         // rounds without improvement before the descent
constexpr double kShort = 0.01;      // steps of the descent below it ask for a larger ridge
constexpr double kShortest = 1e-12;
constexpr double kDescentRidge = 1e-6;  // which is not raised above this
constexpr double kRidgeStep = 100.0;
constexpr double kMostRidge = 1.0;

double largest(std::span<const double> x) {
    double most = 0.0;
    for (const double value : x) {
        most = std::max(most, std::abs(value));
    }
    return most;
}

// sqrt(H_ii) times this bounds the terms of the i-th entry of Hd, since |H_ij| <=
// sqrt(H_ii H_jj); rounding can do to it what `noise` says.
double gradient_terms(MatrixView<const double> H, std::span<const double> d) {
    double sum = 0.0;
    for (std::size_t i = 0; i < d.size(); ++i) {
        sum += std::sqrt(H(i, i)) * std::abs(d[i]);
    }
    return sum;
}

double noise(MatrixView<const double> H, std::span<const double> g, std::size_t i, double terms) {
    return kRounding * (std::abs(g[i]) + std::sqrt(H(i, i)) * terms);
}

}  // namespace

NonnegativeQp::NonnegativeQp(std::size_t capacity)
    : capacity_(capacity),
      factor_(std::make_unique_for_overwrite<double[]>(capacity * capacity)),
      right_(std::make_unique<double[]>(capacity)),
      w_(std::make_unique<double[]>(capacity)),
      best_(std::make_unique<double[]>(capacity)),
      trial_(std::make_unique<double[]>(capacity)),
      index_(std::make_unique<std::size_t[]>(capacity)),
      wrong_(std::make_unique<char[]>(capacity)) {}

QpResult NonnegativeQp::solve(MatrixView<const double> H, std::span<const double> g,
                              std::span<const double> lower, std::span<char> free,
                              std::span<double> d, const QpSettings& settings,
                              dense::Workspace& workspace, Monitor& monitor) {
    const std::size_t k = g.size();
    QpResult result;
    std::size_t fewest = k + 1;
    int patience = kPatience;
    bool descending = false;
    double value = 0.0;  // of best_, once descending
    while (result.rounds < settings.max_rounds) {
        ++result.rounds;
        const Step step =
            solve_free(H, g, lower, free, d, result.ridge, settings, workspace, monitor);
        if (step == Step::stopped) {
            result.outcome = dense::Outcome::stopped;
            return result;
        }
        if (step == Step::ridge) {
            result.ridge = std::max(settings.least_ridge, kRidgeStep * result.ridge);
            if (result.ridge > kMostRidge) {
                result.outcome = dense::Outcome::not_positive;
                return result;
            }
            // Another problem: counts and values start anew.
            fewest = k + 1;
            patience = kPatience;
            if (descending) {
                value = start_descent(H, g, lower, {best_.get(), k}, result.ridge);
            }
            continue;
        }
        refresh_gradient(H, g, d, result.ridge);

        // The unknowns that violate: below their bound, or held there against the gradient.
        const double terms = gradient_terms(H, d);
        const double slack = kRounding * std::max(largest(d), largest(lower));
        std::size_t count = 0;
        for (std::size_t i = 0; i < k; ++i) {
            wrong_[i] = free[i] != 0 ? d[i] < lower[i] - slack : w_[i] < -noise(H, g, i, terms);
            count += wrong_[i] != 0 ? 1 : 0;
        }
        if (count == 0) {
            for (std::size_t i = 0; i < k; ++i) {
                d[i] = std::max(d[i], lower[i]);
            }
            result.solved = true;
            return result;
        }

        if (!descending) {
            patience = count < fewest ? kPatience : patience - 1;
            fewest = std::min(fewest, count);
            if (patience > 0) {
                for (std::size_t i = 0; i < k; ++i) {
                    free[i] = static_cast<char>((free[i] != 0) != (wrong_[i] != 0));
                }
                continue;
            }
            value = start_descent(H, g, lower, d, result.ridge);
            descending = true;
        } else {
            const double length = descend(H, g, lower, d, result.ridge, value);
            if (length < kShort && result.ridge < kDescentRidge) {
                // The minimum over the free unknowns is far out along directions that H hardly
                // sees, where the bounds leave no room.
                result.ridge = std::max(settings.least_ridge, kRidgeStep * result.ridge);
                value = start_descent(H, g, lower, {best_.get(), k}, result.ridge);
            } else if (length == 0.0) {
                break;
            }
        }
        // w_ is the gradient at best_: free what is off its bound or wants to leave it.
        const double terms_there = gradient_terms(H, {best_.get(), k});
        for (std::size_t i = 0; i < k; ++i) {
            free[i] =
                static_cast<char>(best_[i] > lower[i] || w_[i] < -noise(H, g, i, terms_there));
        }
    }
    if (!descending) {
        start_descent(H, g, lower, d, result.ridge);
    }
    for (std::size_t i = 0; i < k; ++i) {
        d[i] = best_[i];
        free[i] = static_cast<char>(d[i] > lower[i]);
    }
    return result;
}

NonnegativeQp::Step NonnegativeQp::solve_free(MatrixView<const double> H, std::span<const double> g,
                                              std::span<const double> lower,
                                              std::span<const char> free, std::span<double> d,
                                              double ridge, const QpSettings& settings,
                                              dense::Workspace& workspace, Monitor& monitor) {
    const std::size_t k = g.size();
    std::size_t m = 0;
    for (std::size_t i = 0; i < k; ++i) {
        d[i] = free[i] != 0 ? 0.0 : lower[i];
        if (free[i] != 0) {
            index_[m++] = i;
        }
    }
    refresh_gradient(H, g, d, ridge);
    const MatrixView<double> L(factor_.get(), m, m);
    for (std::size_t b = 0; b < m; ++b) {
        const double* column = H.data + index_[b] * H.stride;
        double* to = L.data + b * m;
        for (std::size_t a = b; a < m; ++a) {
            to[a] = column[index_[a]];
        }
        to[b] *= 1.0 + ridge;
        right_[b] = -w_[index_[b]];
    }
    switch (dense::cholesky(L, settings.pivot_tolerance, workspace, monitor)) {
        case dense::Outcome::stopped:
            return Step::stopped;
        case dense::Outcome::not_positive:
            return Step::ridge;
        case dense::Outcome::done:
            break;
    }
    const std::span<double> x(right_.get(), m);
    dense::solve_lower(dense::constant(L), x);
    dense::solve_lower_transposed(dense::constant(L), x);
    for (std::size_t a = 0; a < m; ++a) {
        if (!std::isfinite(x[a])) {
            return Step::ridge;
        }
        d[index_[a]] = x[a];
    }
    return Step::done;
}

double NonnegativeQp::refresh_gradient(MatrixView<const double> H, std::span<const double> g,
                                       std::span<const double> d, double ridge) {
    dense::multiply_symmetric(H, d, {w_.get(), capacity_});
    double twice = 0.0;
    for (std::size_t i = 0; i < g.size(); ++i) {
        w_[i] += g[i] + ridge * H(i, i) * d[i];
        twice += (g[i] + w_[i]) * d[i];
    }
    return 0.5 * twice;
}

double NonnegativeQp::start_descent(MatrixView<const double> H, std::span<const double> g,
                                    std::span<const double> lower, std::span<const double> d,
                                    double ridge) {
    const std::size_t k = g.size();
    for (std::size_t i = 0; i < k; ++i) {
        best_[i] = std::max(d[i], lower[i]);
    }
    const double value = refresh_gradient(H, g, {best_.get(), k}, ridge);
    if (value <= 0.0) {
        return value;
    }
    std::fill_n(best_.get(), k, 0.0);
    std::copy_n(g.begin(), k, w_.get());
    return 0.0;
}

double NonnegativeQp::descend(MatrixView<const double> H, std::span<const double> g,
                              std::span<const double> lower, std::span<const double> d,
                              double ridge, double& value) {
    const std::size_t k = g.size();
    for (double t = 1.0; t >= kShortest; t *= 0.25) {
        for (std::size_t i = 0; i < k; ++i) {
            trial_[i] = std::max(lower[i], best_[i] + t * (d[i] - best_[i]));
        }
        const double there = refresh_gradient(H, g, {trial_.get(), k}, ridge);
        if (there < value) {
            value = there;
            best_.swap(trial_);
            return t;
        }
    }
    return 0.0;
}

}  // namespace convexnn
