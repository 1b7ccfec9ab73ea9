// The master problem of the cutting planes: the program over the neurons met so far,
//
//   min_{c >= 0} L(A c) + beta 1'c + c'R c / 2,    A's columns F_b p, ||p|| = 1 (atoms),
//
// R_aa' = r_b p_a'p_a' for atoms of the same block b: the ridge. It is
// a non-negative lasso for the squared loss, a sequence of such for the others: Newton's method
// with a line search, and a parabola above L where L's own curvature leads too far.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <span>
#include <vector>

#include "convexnn/base/dense.hpp"
#include "convexnn/base/vectors.hpp"
#include "convexnn/program/data_term.hpp"
#include "convexnn/solve/curvature.hpp"
#include "convexnn/solve/nonnegative_lasso.hpp"

namespace convexnn {

// Allocates as atoms become more.
template <typename Loss>
class AtomMaster {
public:
    AtomMaster(const Samples& samples, DataTerm<Loss>& data, double beta, std::size_t width,
               std::size_t threads)
        : f(samples.s.size(), 0.0),
          data_(data),
          beta_(beta),
          n_(samples.s.size()),
          width_(width),
          workspace_(threads),
          metric_(n_, data.free_columns()),
          v_(n_),
          change_(n_),
          trial_(n_) {
        if constexpr (Loss::kLinearSlope) {
            data_.curvature(f, metric_.h);
            metric_.set();
        }
    }

    std::vector<double> f;  // A c

    std::size_t atoms() const { return blocks_.size(); }
    std::span<const double> coefficients() const { return c_; }
    std::size_t support() const {
        return static_cast<std::size_t>(
            std::ranges::count_if(c_, [](double c) { return c > 0.0; }));
    }
    std::size_t block(std::size_t a) const { return blocks_[a]; }
    std::span<const double> direction(std::size_t a) const {
        return {directions_.data() + a * width_, width_};
    }

    void clear() {
        blocks_.clear();
        ridges_.clear();
        directions_.clear();
        features_.clear();
        scaled_.clear();
        c_.clear();
        lasso_ = NonnegativeLasso();
        std::ranges::fill(f, 0.0);
    }

    // One more atom: the direction p of block b, F_b p, and r_b.
    void add(std::size_t b, std::span<const double> p, std::span<const double> feature,
             double ridge = 0.0) {
        if constexpr (Loss::kLinearSlope) {
            // b of the lasso is A'v at f = 0: there the loss is its own quadratic model.
            std::ranges::fill(trial_, 0.0);
            data_.negative_gradient(trial_, v_);
            scaled_.insert(scaled_.end(), feature.begin(), feature.end());
            const std::span<double> scaled(scaled_.data() + atoms() * n_, n_);
            metric_.scale(scaled);
            column_.resize(atoms() + 1);
            dense::multiply_transposed({scaled_.data(), n_, atoms() + 1}, scaled, column_);
            if (!(column_.back() > 0.0)) {  // moves nothing
                scaled_.resize(atoms() * n_);
                return;
            }
            for (std::size_t a = 0; a < atoms() && ridge > 0.0; ++a) {
                column_[a] += blocks_[a] == b ? ridge * inner_product(direction(a), p) : 0.0;
            }
            column_.back() += ridge;
            lasso_.add(column_, inner_product(feature, v_));
        }
        blocks_.push_back(b);
        ridges_.push_back(ridge);
        directions_.insert(directions_.end(), p.begin(), p.end());
        features_.insert(features_.end(), feature.begin(), feature.end());
        c_.push_back(0.0);
    }

    // Where the next solve starts: c >= 0, atoms() numbers, or zero where that is no worse. The
    // squared loss is solved from anywhere.
    void start(std::span<const double> c) {
        if constexpr (!Loss::kLinearSlope) {
            std::ranges::fill(f, 0.0);
            const double at_zero = data_.value(f);
            multiply(c, f);
            bend(c);
            if (data_.value(f) + beta_ * sum(c) + 0.5 * inner_product(c, bent_) < at_zero) {
                c_.assign(c.begin(), c.end());
            } else {
                std::ranges::fill(c_, 0.0);
                std::ranges::fill(f, 0.0);
            }
        }
    }

    // Forgets the atoms with c = 0.
    void prune() {
        std::vector<char> keep(atoms());
        std::size_t kept = 0;
        for (std::size_t a = 0; a < keep.size(); ++a) {
            keep[a] = c_[a] > 0.0;
            if (!keep[a]) {
                continue;
            }
            blocks_[kept] = blocks_[a];
            ridges_[kept] = ridges_[a];
            c_[kept] = c_[a];
            move(directions_, width_, a, kept);
            move(features_, n_, a, kept);
            if constexpr (Loss::kLinearSlope) {
                move(scaled_, n_, a, kept);
            }
            ++kept;
        }
        if constexpr (Loss::kLinearSlope) {
            lasso_.prune(keep);
            scaled_.resize(kept * n_);
        }
        blocks_.resize(kept);
        ridges_.resize(kept);
        c_.resize(kept);
        directions_.resize(kept * width_);
        features_.resize(kept * n_);
    }

    // From the c there is, until the relative gap of this program is at most `gap`, or no step
    // leads on. False: stopped, or no atom.
    bool solve(double gap, Monitor& monitor) {
        if (atoms() == 0) {
            return false;
        }
        NonnegativeLassoSettings settings;
        if constexpr (Loss::kLinearSlope) {
            const auto result = lasso_.solve(beta_, settings, monitor);
            std::ranges::copy(lasso_.coefficients(), c_.begin());
            multiply(c_, f);
            return result.outcome != NonnegativeLassoResult::Outcome::stopped;
        }
        bool cautious = false;
        for (int step = 0; step < kSteps; ++step) {
            data_.negative_gradient(f, v_);
            bend(c_);
            const double squares = inner_product(c_, bent_);
            const double before = data_.value(f) + beta_ * sum(c_) + 0.5 * squares;
            prices_.resize(atoms());
            dense::multiply_transposed({features_.data(), n_, atoms()}, v_, prices_);
            double largest = -HUGE_VAL;
            for (std::size_t a = 0; a < atoms(); ++a) {
                largest = std::max(largest, prices_[a] - bent_[a]);
            }
            // A ridge is one more squared loss, of the dual point -R^1/2 c.
            const double t_dual =
                data_.best_dual_scale(v_, largest > 0.0 ? beta_ / largest : HUGE_VAL);
            const double bound = data_.dual_value(v_, t_dual) - 0.5 * t_dual * t_dual * squares;
            if (before - bound <= gap * std::abs(before)) {
                return true;
            }
            if (!build_model(cautious, monitor)) {
                return false;
            }
            lasso_.replace({gram_.data(), atoms(), atoms()}, column_, c_);
            const auto result = lasso_.solve(beta_, settings, monitor);
            if (result.outcome == NonnegativeLassoResult::Outcome::stopped) {
                return false;
            }
            // The objective along the step, down from what the slope promises.
            target_.assign(lasso_.coefficients().begin(), lasso_.coefficients().end());
            multiply(target_, change_);
            double slope = 0.0;
            for (std::size_t a = 0; a < atoms(); ++a) {
                slope += (beta_ + bent_[a]) * (target_[a] - c_[a]);
            }
            // c'R c along the step: squares + 2 t turn + t^2 curve.
            const double turn = inner_product(target_, bent_) - squares;
            bend(target_);
            const double curve = inner_product(target_, bent_) - squares - 2.0 * turn;
            for (std::size_t k = 0; k < n_; ++k) {
                change_[k] -= f[k];
                slope -= v_[k] * change_[k];
            }
            if (!(slope < -1e-15 * std::abs(before))) {
                if (cautious) {
                    return true;
                }
                cautious = true;
                continue;
            }
            double t = 1.0;
            for (; t > kShortest; t *= 0.5) {
                for (std::size_t k = 0; k < n_; ++k) {
                    trial_[k] = f[k] + t * change_[k];
                }
                const double after = data_.value(trial_) +
                                     beta_ * (sum(c_) + t * (sum(target_) - sum(c_))) +
                                     0.5 * (squares + t * (2.0 * turn + t * curve));
                if (after <= before + 1e-4 * t * slope) {
                    break;
                }
            }
            if (t <= kShortest) {
                if (cautious) {
                    return true;
                }
                cautious = true;
                continue;
            }
            cautious = t < 0.5;
            for (std::size_t a = 0; a < atoms(); ++a) {
                c_[a] = t == 1.0 ? target_[a] : (1.0 - t) * c_[a] + t * target_[a];
            }
            multiply(c_, f);
        }
        return true;
    }

private:
    static constexpr int kSteps = 30;
    static constexpr double kShortest = 1e-6;

    static double sum(std::span<const double> c) {
        double total = 0.0;
        for (const double x : c) {
            total += x;
        }
        return total;
    }
    static void move(std::vector<double>& columns, std::size_t rows, std::size_t from,
                     std::size_t to) {
        std::copy_n(columns.begin() + static_cast<std::ptrdiff_t>(from * rows), rows,
                    columns.begin() + static_cast<std::ptrdiff_t>(to * rows));
    }
    void multiply(std::span<const double> c, std::span<double> out) const {
        dense::multiply({features_.data(), n_, atoms()}, c, out);
    }

    // bent_ = R c
    void bend(std::span<const double> c) {
        bent_.assign(atoms(), 0.0);
        for (std::size_t a = 0; a < atoms(); ++a) {
            for (std::size_t b = 0; b < atoms() && ridges_[a] > 0.0; ++b) {
                if (blocks_[a] == blocks_[b] && c[b] != 0.0) {
                    bent_[a] += ridges_[a] * inner_product(direction(a), direction(b)) * c[b];
                }
            }
        }
    }

    // gram_ and column_: G = A'HA + R and b = A'v + A'HA c, H the curvature at f.
    bool build_model(bool parabola, Monitor& monitor) {
        const std::size_t m = atoms();
        fill_curvature(data_, f, parabola, metric_.h);
        metric_.set();
        scaled_.assign(features_.begin(), features_.end());
        const MatrixView<double> S(scaled_.data(), n_, m);
        for (std::size_t a = 0; a < m; ++a) {
            metric_.scale(S.column(a));
        }
        gram_.resize(m * m);
        const MatrixView<double> G(gram_.data(), m, m);
        if (dense::symmetric_product(1.0, dense::constant(S), dense::Op::transposed, 0.0, G,
                                     workspace_, monitor) != dense::Outcome::done) {
            return false;
        }
        double trace = 0.0;
        for (std::size_t a = 0; a < m; ++a) {
            trace += G(a, a);
        }
        for (std::size_t a = 0; a < m; ++a) {  // an atom on flat samples alone has no curvature
            G(a, a) += 1e-12 * trace / static_cast<double>(m) + 1e-300;
        }
        column_.resize(m);
        dense::multiply_symmetric(dense::constant(G), c_, column_);
        for (std::size_t a = 0; a < m; ++a) {
            column_[a] += prices_[a];
        }
        for (std::size_t a = 0; a < m; ++a) {
            for (std::size_t b = a; b < m && ridges_[a] > 0.0; ++b) {
                G(b, a) += blocks_[a] == blocks_[b]
                               ? ridges_[a] * inner_product(direction(a), direction(b))
                               : 0.0;
            }
        }
        return true;
    }

    DataTerm<Loss>& data_;
    double beta_;
    std::size_t n_, width_;
    dense::Workspace workspace_;
    CurvatureMetric metric_;
    NonnegativeLasso lasso_;
    std::vector<std::size_t> blocks_;
    std::vector<double> ridges_, bent_;                 // r of the atoms' blocks; R c
    std::vector<double> directions_;                    // width x atoms
    std::vector<double> features_, scaled_;             // n x atoms: A and H^1/2 A
    std::vector<double> c_, target_, column_, prices_;  // atoms; prices_: A'v
    std::vector<double> gram_;
    std::vector<double> v_, change_, trial_;  // n
};

}  // namespace convexnn
