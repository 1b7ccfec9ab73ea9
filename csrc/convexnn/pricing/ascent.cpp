#include "convexnn/pricing/ascent.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <cmath>
#include <thread>

#include "convexnn/base/parallel.hpp"
#include "convexnn/base/simd.hpp"
#include "convexnn/base/vectors.hpp"

namespace convexnn {
namespace {

constexpr std::size_t kTile = 512;    // rows whose products stay in the nearest cache
constexpr double kRounding = 1e-15;   // of the length of a sum: nothing is left of it
constexpr double kDependent = 1e-11;  // sine below which a vertex adds no dimension

void subtract(double alpha, std::span<const double> x, std::span<double> y) {
    for (std::size_t k = 0; k < y.size(); ++k) {
        y[k] -= alpha * x[k];
    }
}

// Sum of the positive entries of t, which become 1, all others 0.
CONVEXNN_MULTIVERSION
double indicate(double* t, std::size_t n) {
    double sum = 0.0;
#pragma omp simd reduction(+ : sum)
    for (std::size_t k = 0; k < n; ++k) {
        const bool on = t[k] > 0.0;
        sum += on ? t[k] : 0.0;
        t[k] = on ? 1.0 : 0.0;
    }
    return sum;
}

}  // namespace

double support(MatrixView<const double> rows, std::span<const double> u, std::span<double> point) {
    const std::size_t r = u.size();
    std::array<double, kTile> t;
    std::array<double, 64> part;
    std::fill(point.begin(), point.end(), 0.0);
    double sum = 0.0;
    for (std::size_t first = 0; first < rows.rows; first += kTile) {
        const std::size_t count = std::min(kTile, rows.rows - first);
        simd::product(rows.data + first, rows.stride, count, r, u.data(), t.data());
        sum += indicate(t.data(), count);
        for (std::size_t j = 0; j < r; j += part.size()) {
            const std::size_t width = std::min(part.size(), r - j);
            simd::transposed_product(rows.data + first + j * rows.stride, rows.stride, count, width,
                                     t.data(), part.data());
            for (std::size_t k = 0; k < width; ++k) {
                point[j + k] += part[k];
            }
        }
    }
    return sum;
}

double price_at(MatrixView<const double> plus, MatrixView<const double> minus,
                std::span<const double> u, std::span<double> work) {
    const double gain = support(plus, u, work);
    return gain - support(minus, u, work);
}

ZonotopeProjection::ZonotopeProjection(MatrixView<const double> rows)
    : rows_(rows),
      r_(rows.columns),
      most_(std::min(rows.rows, rows.columns)),
      vertices_(r_ * (most_ + 2)),
      weights_(most_ + 2),
      axes_(r_ * most_),
      triangle_((most_ + 1) * (most_ + 1)),
      target_(most_ + 1),
      z_(r_),
      w_(r_),
      next_(r_) {}

void ZonotopeProjection::restart(std::span<const double> direction) {
    support(rows_, direction, vertex(0));
    weights_[0] = 1.0;
    count_ = 1;
    spanned_ = 1;
}

// Gram-Schmidt, twice, of the next vertex that has no axis yet.
bool ZonotopeProjection::extend() {
    const std::size_t i = spanned_;
    if (i > most_) {
        return false;
    }
    const std::span<double> q = axis(i - 1);
    double* column = triangle_.data() + i * (most_ + 1);
    for (std::size_t k = 0; k < r_; ++k) {
        q[k] = vertex(i)[k] - vertex(0)[k];
    }
    const double before = norm(q);
    std::fill_n(column, i, 0.0);
    for (int pass = 0; pass < 2; ++pass) {
        for (std::size_t j = 0; j + 1 < i; ++j) {
            const double c = inner_product(axis(j), q);
            column[j] += c;
            subtract(c, axis(j), q);
        }
    }
    const double left = norm(q);
    if (!(left > kDependent * before)) {
        return false;
    }
    column[i - 1] = left;
    for (double& x : q) {
        x /= left;
    }
    ++spanned_;
    return true;
}

void ZonotopeProjection::drop(std::size_t i) {
    for (std::size_t j = i; j + 1 < count_; ++j) {
        std::copy_n(vertex(j + 1).data(), r_, vertex(j).data());
        weights_[j] = weights_[j + 1];
    }
    --count_;
    spanned_ = std::min(spanned_, std::max<std::size_t>(i, 1));
}

// Axes for the whole corral; a vertex that adds no dimension leaves, and its weight goes to the
// others.
void ZonotopeProjection::rebuild() {
    while (spanned_ < count_) {
        if (!extend()) {
            drop(spanned_);
        }
    }
}

// z and p - z from the weights, whose sum is 1 once more.
void ZonotopeProjection::combine(std::span<const double> p) {
    double sum = 0.0;
    for (std::size_t i = 0; i < count_; ++i) {
        sum += weights_[i];
    }
    for (std::size_t i = 0; i < count_; ++i) {
        weights_[i] /= sum;
    }
    std::fill(z_.begin(), z_.end(), 0.0);
    for (std::size_t i = 0; i < count_; ++i) {
        subtract(-weights_[i], vertex(i), z_);
    }
    for (std::size_t k = 0; k < r_; ++k) {
        w_[k] = p[k] - z_[k];
    }
}

// Weights of the point of the corral's hull nearest to p: the nearest of its affine hull, and where
// that lies outside, the way there up to the first vertex that runs out, which leaves.
void ZonotopeProjection::minimise(std::span<const double> p) {
    rebuild();
    while (count_ > 1) {
        for (std::size_t k = 0; k < r_; ++k) {
            w_[k] = p[k] - vertex(0)[k];
        }
        const std::size_t m = count_ - 1;
        for (std::size_t j = 0; j < m; ++j) {
            target_[j + 1] = inner_product(axis(j), w_);
        }
        double sum = 0.0;
        for (std::size_t i = m; i > 0; --i) {
            double x = target_[i];
            for (std::size_t j = i + 1; j <= m; ++j) {
                x -= triangle_[j * (most_ + 1) + i - 1] * target_[j];
            }
            target_[i] = x / triangle_[i * (most_ + 1) + i - 1];
            sum += target_[i];
        }
        target_[0] = 1.0 - sum;

        double way = 1.0;
        std::size_t leaving = count_;
        for (std::size_t i = 0; i < count_; ++i) {
            if (target_[i] < 0.0) {
                const double until = weights_[i] / (weights_[i] - target_[i]);
                if (leaving == count_ || until < way) {
                    way = until;
                    leaving = i;
                }
            }
        }
        for (std::size_t i = 0; i < count_; ++i) {
            weights_[i] = std::max(0.0, weights_[i] + way * (target_[i] - weights_[i]));
        }
        if (leaving == count_) {
            break;
        }
        drop(leaving);
        rebuild();
    }
    if (count_ == 1) {
        weights_[0] = 1.0;
    }
    combine(p);
}

ZonotopeDistance ZonotopeProjection::nearest(std::span<const double> p, double tolerance,
                                             std::size_t most_steps) {
    ZonotopeDistance found;
    if (count_ == 0) {
        restart(p);
    }
    minimise(p);
    found.upper = norm(w_);
    while (found.steps < most_steps) {
        ++found.steps;
        const double scale = norm(p) + norm(z_);
        if (!(found.upper > kRounding * scale)) {
            break;
        }
        const double reach = support(rows_, w_, next_);
        const double slope = inner_product(w_, p);
        found.lower = std::max(found.lower, (slope - reach) / found.upper);
        const double square = found.upper * found.upper;
        if (!(square - (slope - reach) >
              std::max(tolerance * square, kRounding * scale * found.upper))) {
            break;
        }
        std::copy(next_.begin(), next_.end(), vertex(count_).begin());
        weights_[count_] = 0.0;
        ++count_;
        if (!extend()) {
            --count_;
            break;
        }
        minimise(p);
        const double now = norm(w_);
        if (!(now < found.upper)) {
            found.upper = now;
            break;
        }
        found.upper = now;
    }
    return found;
}

namespace {

// Asks the monitor from the thread that may, and tells the others.
class Question {
public:
    Question(Monitor& monitor, double seconds) : monitor_(monitor), seconds_(seconds) {}
    bool stop() {
        if (std::this_thread::get_id() == caller_ && monitor_.stop_requested()) {
            stopped_.store(true, std::memory_order_relaxed);
        }
        return stopped_.load(std::memory_order_relaxed);
    }

    bool late() const { return watch_.seconds() > seconds_; }

private:
    Monitor& monitor_;
    double seconds_;
    Stopwatch watch_;
    std::thread::id caller_ = std::this_thread::get_id();
    std::atomic<bool> stopped_{false};
};

class Climber {
public:
    Climber(MatrixView<const double> plus, MatrixView<const double> minus,
            const AscentSettings& settings)
        : plus_(plus),
          minus_(minus),
          settings_(settings),
          projection_(minus),
          sum_(plus.columns),
          ahead_(plus.columns),
          trial_(plus.columns),
          from_(plus.columns),
          to_(plus.columns),
          work_(plus.columns) {}

    double climb(std::span<double> u, Question& question) {
        normalise(u);
        double best = value(u, sum_);
        projection_.restart(u);
        double tolerance = settings_.coarse;
        for (std::size_t round = 0; round < settings_.most_rounds; ++round) {
            if (question.stop() || question.late()) {
                return best;
            }
            const double before = best;
            project(tolerance, question);
            const std::span<const double> w = projection_.residual();
            std::copy(w.begin(), w.end(), trial_.begin());
            std::copy(u.begin(), u.end(), from_.begin());
            const bool climbed = normalise(trial_) && accept(u, best);
            const bool settled =
                !climbed || ahead_ == sum_ || best - before <= settings_.tolerance * std::abs(best);
            if (climbed) {
                sum_.swap(ahead_);
            }
            if (settled && tolerance == settings_.tolerance) {
                return best;
            }
            tolerance = settled ? settings_.tolerance : settings_.coarse;
            if (climbed && !settled) {
                run_on(u, best);
            }
        }
        return best;
    }

private:
    static bool normalise(std::span<double> u) {
        double largest = 0.0;
        for (const double x : u) {
            largest = std::max(largest, std::abs(x));
        }
        if (!(largest > 0.0)) {
            return false;
        }
        for (double& x : u) {
            x /= largest;
        }
        const double size = norm(u);
        for (double& x : u) {
            x /= size;
        }
        return true;
    }

    // A few vertices at a time: over very many rows each costs a millisecond or more.
    void project(double tolerance, Question& question) {
        constexpr std::size_t kSome = 20;
        for (std::size_t steps = 0; steps < settings_.most_steps; steps += kSome) {
            if (projection_.nearest(sum_, tolerance, kSome).steps < kSome || question.stop() ||
                question.late()) {
                return;
            }
        }
    }

    double value(std::span<const double> u, std::span<double> sum) {
        const double gain = support(plus_, u, sum);
        return gain - support(minus_, u, work_);
    }

    // Farther along the way of the last step, as long as that climbs: the steps of smooth F, the
    // sum of very many rows, are short and nearly in line.
    void run_on(std::span<double> u, double& best) {
        std::copy(u.begin(), u.end(), to_.begin());
        for (double stretch = 1.0;; stretch *= 2.0) {
            for (std::size_t k = 0; k < u.size(); ++k) {
                trial_[k] = to_[k] + stretch * (to_[k] - from_[k]);
            }
            if (!normalise(trial_) || !accept(u, best)) {
                return;
            }
            sum_.swap(ahead_);
        }
    }

    // Takes the trial for u if it is better.
    bool accept(std::span<double> u, double& best) {
        const double now = value(trial_, ahead_);
        if (!(now > best)) {
            return false;
        }
        std::copy(trial_.begin(), trial_.end(), u.begin());
        best = now;
        return true;
    }

    MatrixView<const double> plus_, minus_;
    const AscentSettings& settings_;
    ZonotopeProjection projection_;
    std::vector<double> sum_, ahead_, trial_, from_, to_, work_;
};

}  // namespace

bool ascend(MatrixView<const double> plus, MatrixView<const double> minus, MatrixView<double> U,
            std::span<double> values, std::size_t threads, const AscentSettings& settings,
            Monitor& monitor) {
    Question question(monitor, settings.seconds);
    const std::size_t chunk = std::clamp<std::size_t>(U.columns / (4 * threads), 1, 8);
    const bool finished =
        parallel_for(U.columns, chunk, threads, monitor, [&](std::size_t begin, std::size_t end) {
            Climber climber(plus, minus, settings);
            for (std::size_t i = begin; i < end && !question.stop(); ++i) {
                values[i] = climber.climb(U.column(i), question);
            }
        });
    return finished && !question.stop();
}

}  // namespace convexnn
