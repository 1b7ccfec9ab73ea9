#include "convexnn/solve/nonnegative_lasso.hpp"

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <string>

#include "convexnn/base/simd.hpp"

namespace convexnn {
namespace {

constexpr double kRidge = 1e-13;       // relative to G's diagonal
constexpr double kLeastPivot = 1e-14;  // of the first atom to enter, relative to the same
// Of the others that enter with it: they would share what one of them can do alone, and come later
// if it cannot.
constexpr double kLeastShared = 1e-8;
// Rounds of entering atoms that leave the objective where it was, to rounding, before giving up.
constexpr int kIdleRounds = 5;

// b <- L^-1 b, L's rows contiguous.
void solve_rows(const double* L, std::size_t stride, std::size_t n, double* b) {
    for (std::size_t i = 0; i < n; ++i) {
        const double* row = L + i * stride;
        b[i] = (b[i] - simd::inner_product(row, b, i)) / row[i];
    }
}

// b <- L^-T b.
void solve_rows_transposed(const double* L, std::size_t stride, std::size_t n, double* b) {
    for (std::size_t i = n; i-- > 0;) {
        const double* row = L + i * stride;
        b[i] /= row[i];
        simd::axpy(-b[i], row, b, i);
    }
}

}  // namespace

NonnegativeLasso::NonnegativeLasso(std::size_t capacity)
    : stride_(std::max<std::size_t>(capacity, 1)), gram_(stride_ * stride_) {
    for (std::vector<double>* vector : {&b_, &c_, &slope_, &target_, &work_}) {
        vector->reserve(stride_);
    }
    support_.reserve(stride_);
    entering_.reserve(stride_);
    barred_.reserve(stride_);
}

void NonnegativeLasso::add(std::span<const double> column, double b) {
    const std::size_t m = atoms();
    if (column.size() != m + 1) {
        throw std::invalid_argument("`column` must have " + std::to_string(m + 1) + " entries");
    }
    if (!(column[m] > 0.0)) {
        throw std::invalid_argument("`column` must end with a number > 0");
    }
    if (m == stride_) {
        std::vector<double> larger(4 * stride_ * stride_);
        for (std::size_t i = 0; i < m; ++i) {
            std::copy_n(gram_.data() + i * stride_, m, larger.data() + i * 2 * stride_);
        }
        gram_.swap(larger);
        stride_ *= 2;
    }
    std::copy_n(column.data(), m + 1, gram_.data() + m * stride_);
    for (std::size_t i = 0; i < m; ++i) {
        gram_[i * stride_ + m] = column[i];
    }
    b_.push_back(b);
    c_.push_back(0.0);
    slope_.push_back(0.0);
    target_.push_back(0.0);
    work_.push_back(0.0);
    barred_.push_back(0);
}

void NonnegativeLasso::prune(std::span<const char> keep) {
    const std::size_t m = atoms();
    if (keep.size() != m) {
        throw std::invalid_argument("`keep` must have " + std::to_string(m) + " entries");
    }
    for (const std::size_t a : support_) {
        if (keep[a] == 0) {
            throw std::invalid_argument("`keep` must hold the support");
        }
    }
    std::vector<std::size_t>& kept = entering_;
    kept.clear();
    for (std::size_t a = 0; a < m; ++a) {
        if (keep[a] != 0) {
            kept.push_back(a);
        }
    }
    for (std::size_t i = 0; i < kept.size(); ++i) {
        // Row i is not above row kept[i] and columns move left: nothing is read after it is
        // written.
        for (std::size_t j = 0; j < kept.size(); ++j) {
            gram_[i * stride_ + j] = gram_[kept[i] * stride_ + kept[j]];
        }
        b_[i] = b_[kept[i]];
        c_[i] = c_[kept[i]];
        slope_[i] = slope_[kept[i]];
    }
    for (std::size_t& a : support_) {
        a = static_cast<std::size_t>(std::lower_bound(kept.begin(), kept.end(), a) - kept.begin());
    }
    const std::size_t count = kept.size();
    for (std::vector<double>* vector : {&b_, &c_, &slope_, &target_, &work_}) {
        vector->resize(count);
    }
    barred_.resize(count);
}

void NonnegativeLasso::set_linear(std::span<const double> b) {
    if (b.size() != atoms()) {
        throw std::invalid_argument("`b` must have " + std::to_string(atoms()) + " entries");
    }
    std::copy(b.begin(), b.end(), b_.begin());
}

void NonnegativeLasso::replace(MatrixView<const double> G, std::span<const double> b,
                               std::span<const double> c) {
    const std::size_t m = b.size();
    if (m > stride_) {
        stride_ = std::max(m, 2 * stride_);
        gram_.assign(stride_ * stride_, 0.0);
    }
    for (std::size_t i = 0; i < m; ++i) {
        for (std::size_t j = 0; j <= i; ++j) {
            gram_[i * stride_ + j] = gram_[j * stride_ + i] = G(i, j);
        }
    }
    b_.assign(b.begin(), b.end());
    c_.assign(m, 0.0);
    for (std::vector<double>* vector : {&slope_, &target_, &work_}) {
        vector->assign(m, 0.0);
    }
    barred_.assign(m, 0);
    support_.clear();
    // The larger first; what depends on them to rounding starts at 0.
    entering_.clear();
    for (std::size_t a = 0; a < m; ++a) {
        if (c[a] > 0.0) {
            entering_.push_back(a);
        }
    }
    std::ranges::sort(entering_, [&](std::size_t i, std::size_t j) {
        return c[i] != c[j] ? c[i] > c[j] : i < j;
    });
    for (const std::size_t a : entering_) {
        c_[a] = append(a, kLeastPivot) ? c[a] : 0.0;
    }
}

// Room for a factor of so many rows.
void NonnegativeLasso::reserve_factor(std::size_t rows) {
    if (rows <= factor_stride_) {
        return;
    }
    const std::size_t stride = std::max<std::size_t>(32, 2 * rows);
    std::vector<double> larger(stride * stride);
    for (std::size_t i = 0; i < support_.size(); ++i) {
        std::copy_n(factor_.data() + i * factor_stride_, i + 1, larger.data() + i * stride);
    }
    factor_.swap(larger);
    factor_stride_ = stride;
}

// One more row of the factor; false, and nothing done, if its pivot is too small.
bool NonnegativeLasso::append(std::size_t atom, double least_pivot) {
    const std::size_t k = support_.size();
    reserve_factor(k + 1);
    double* row = factor_.data() + k * factor_stride_;
    const double* column = gram_.data() + atom * stride_;
    for (std::size_t i = 0; i < k; ++i) {
        row[i] = column[support_[i]];
    }
    solve_rows(factor_.data(), factor_stride_, k, row);
    const double diagonal = gram(atom, atom);
    const double pivot = diagonal * (1.0 + kRidge) - simd::inner_product(row, row, k);
    if (!(pivot > least_pivot * diagonal)) {
        return false;
    }
    row[k] = std::sqrt(pivot);
    support_.push_back(atom);
    return true;
}

// Takes a row out of the factor: the rows below it lose a column by Givens rotations.
void NonnegativeLasso::remove(std::size_t position) {
    const std::size_t k = support_.size();
    for (std::size_t i = position + 1; i < k; ++i) {
        // Row i moves up; it is one entry too long, column i, until rotated.
        std::copy_n(factor_.data() + i * factor_stride_, i + 1,
                    factor_.data() + (i - 1) * factor_stride_);
    }
    support_.erase(support_.begin() + static_cast<std::ptrdiff_t>(position));
    for (std::size_t j = position; j + 1 < k; ++j) {
        double* first = factor_.data() + j * factor_stride_ + j;
        const double h = std::hypot(first[0], first[1]);
        const double c = first[0] / h;
        const double s = first[1] / h;
        first[0] = h;
        for (std::size_t i = j + 1; i + 1 < k; ++i) {
            double* entry = factor_.data() + i * factor_stride_ + j;
            const double x = entry[0];
            entry[0] = c * x + s * entry[1];
            entry[1] = c * entry[1] - s * x;
        }
    }
}

// target = argmin over the support with no signs, one step of refinement against G itself.
void NonnegativeLasso::target(double beta) {
    const std::size_t k = support_.size();
    for (std::size_t i = 0; i < k; ++i) {
        target_[i] = b_[support_[i]] - beta;
    }
    solve_rows(factor_.data(), factor_stride_, k, target_.data());
    solve_rows_transposed(factor_.data(), factor_stride_, k, target_.data());
    for (std::size_t i = 0; i < k; ++i) {
        const double* row = gram_.data() + support_[i] * stride_;
        double sum = b_[support_[i]] - beta - kRidge * row[support_[i]] * target_[i];
        for (std::size_t j = 0; j < k; ++j) {
            sum -= row[support_[j]] * target_[j];
        }
        work_[i] = sum;
    }
    solve_rows(factor_.data(), factor_stride_, k, work_.data());
    solve_rows_transposed(factor_.data(), factor_stride_, k, work_.data());
    simd::axpy(1.0, work_.data(), target_.data(), k);
}

void NonnegativeLasso::refresh_slope(double beta) {
    const std::size_t m = atoms();
    for (std::size_t a = 0; a < m; ++a) {
        slope_[a] = b_[a] - beta;
    }
    for (const std::size_t a : support_) {
        simd::axpy(-c_[a], gram_.data() + a * stride_, slope_.data(), m);
    }
    double square = 0.0;  // c'Gc
    for (const std::size_t a : support_) {
        square += c_[a] * (b_[a] - beta - slope_[a]);
    }
    fit_ = std::sqrt(std::max(square, 0.0));
}

double NonnegativeLasso::objective(double beta) const {
    // c'(Gc - b + beta) + c'(beta - b), halved; the slope is up to date.
    double sum = 0.0;
    for (const std::size_t a : support_) {
        sum -= c_[a] * (slope_[a] + b_[a] - beta);
    }
    return 0.5 * sum;
}

// One step from c towards the support's own optimum, as far as c >= 0 allows; the atoms that it
// brings to 0 leave. True: some left, so that the optimum of the others is still to come.
bool NonnegativeLasso::advance(double beta) {
    target(beta);
    const std::size_t k = support_.size();
    double step = 1.0;
    std::size_t blocking = k;
    for (std::size_t i = 0; i < k; ++i) {
        const double c = c_[support_[i]];
        if (target_[i] <= 0.0 && c <= step * (c - target_[i])) {
            step = c / (c - target_[i]);
            step = c == 0.0 ? 0.0 : step;  // 0 / 0
            blocking = i;
        }
    }
    if (step > 0.0) {
        std::fill(barred_.begin(), barred_.end(), 0);
    }
    for (std::size_t i = k; i-- > 0;) {
        const std::size_t a = support_[i];
        const double c = c_[a];
        const bool out = i == blocking || (target_[i] <= 0.0 && c <= step * (c - target_[i]));
        c_[a] = out ? 0.0 : std::max(0.0, c + step * (target_[i] - c));
        if (out) {
            barred_[a] = step == 0.0 ? 1 : 0;  // came in to no avail
            remove(i);
        }
    }
    return support_.size() < k;
}

// The steepest atoms enter; false if there is none.
bool NonnegativeLasso::enter(double beta, const NonnegativeLassoSettings& settings) {
    entering_.clear();
    for (std::size_t a = 0; a < atoms(); ++a) {
        if (c_[a] == 0.0 && barred_[a] == 0 &&
            slope_[a] > settings.tolerance * slope_scale(a, beta)) {
            entering_.push_back(a);
        }
    }
    const std::size_t count = std::min(entering_.size(), settings.most_entering);
    std::partial_sort(entering_.begin(), entering_.begin() + static_cast<std::ptrdiff_t>(count),
                      entering_.end(), [&](std::size_t a, std::size_t b) {
                          return slope_[a] > slope_[b] || (slope_[a] == slope_[b] && a < b);
                      });
    bool entered = false;
    for (std::size_t i = 0; i < count; ++i) {
        entered = append(entering_[i], entered ? kLeastShared : kLeastPivot) || entered;
    }
    return entered;
}

// What the terms of an atom's slope amount to.
double NonnegativeLasso::slope_scale(std::size_t atom, double beta) const {
    return std::abs(b_[atom]) + beta + fit_ * std::sqrt(gram(atom, atom));
}

double NonnegativeLasso::excess(double beta) const {
    double largest = 0.0;
    for (std::size_t a = 0; a < atoms(); ++a) {
        const double wrong = c_[a] > 0.0 ? std::abs(slope_[a]) : slope_[a];
        const double scale = slope_scale(a, beta);
        largest = scale > 0.0 ? std::max(largest, wrong / scale) : largest;
    }
    return largest;
}

NonnegativeLassoResult NonnegativeLasso::solve(double beta,
                                               const NonnegativeLassoSettings& settings,
                                               Monitor& monitor) {
    using Outcome = NonnegativeLassoResult::Outcome;
    NonnegativeLassoResult result;
    const std::size_t most = settings.max_rounds * atoms() + 100;
    // The support's own optimum first: b or beta may be new.
    bool moving = !support_.empty();
    int idle = 0;
    double best = HUGE_VAL;
    std::fill(barred_.begin(), barred_.end(), 0);
    while (idle < kIdleRounds && result.outcome == Outcome::done) {
        while (moving && result.outcome == Outcome::done) {
            if (monitor.stop_requested()) {
                result.outcome = Outcome::stopped;
            } else if (++result.rounds > most) {
                result.outcome = Outcome::stalled;
            } else {
                moving = advance(beta);
            }
        }
        refresh_slope(beta);
        const double value = objective(beta);
        const bool better = best == HUGE_VAL || value < best - 1e-15 * std::abs(best);
        idle = better ? 0 : idle + 1;
        best = std::min(best, value);
        if (result.outcome == Outcome::done) {
            moving = enter(beta, settings);
            if (!moving) {
                break;
            }
        }
    }
    // Atoms that had just entered when the solve ended go again: the support has c > 0.
    for (std::size_t i = support_.size(); i-- > 0;) {
        if (c_[support_[i]] == 0.0) {
            remove(i);
        }
    }
    result.objective = objective(beta);
    result.support = support_.size();
    result.excess = excess(beta);
    if (result.outcome == Outcome::done && result.excess > 10.0 * settings.tolerance) {
        result.outcome = Outcome::stalled;
    }
    return result;
}

}  // namespace convexnn
