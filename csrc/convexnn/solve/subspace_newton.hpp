// A truncated Newton step on the non-zero blocks, where the objective is smooth.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <memory>
#include <span>
#include <vector>

#include "convexnn/base/simd.hpp"
#include "convexnn/program/masked_products.hpp"
#include "convexnn/solve/block_descent.hpp"
#include "convexnn/solve/curvature.hpp"

namespace convexnn {

// Block coordinate descent finds which blocks are active; among those it is slow when their
// features are nearly dependent or the loss is flat. This step solves, by conjugate gradients with
// a diagonal preconditioner,
//
//   (A_S^T H A_S + ridge I + beta diag_i(w_i / ||u_i|| (I - u_i u_i^T / ||u_i||^2))) p = -gradient,
//   H the curvature of the data term,
//
// where blocks that p would carry through zero are sent to zero, and halves the step until the
// objective falls. Matrix-free: an iteration costs one product and one transposed product with the
// active blocks. Work space is allocated by the constructor.
//
// Where the loss is linear, l'' = 0 tells nothing of how far to go. For losses with such tails
// every other step has in place of l'' the curvature of the quadratic that touches the loss from
// above (iteratively reweighted least squares): slow at the end, where Newton is fast, but never
// lost.
template <typename Loss>
class SubspaceNewton {
public:
    SubspaceNewton(const GroupLasso& problem, DataTerm<Loss>& data,
                   MaskedProducts<double>& products, std::size_t threads,
                   BlockDescent<Loss>& descent)
        : problem_(problem),
          data_(data),
          products_(products),
          threads_(threads),
          descent_(descent),
          d_(problem.block_size()),
          n_(problem.fits()),
          descent_direction_(new double[capacity()]),
          step_(new double[capacity()]),
          residual_(new double[capacity()]),
          direction_(new double[capacity()]),
          image_(new double[capacity()]),
          diagonal_(new double[capacity()]),
          leaving_(problem.A.blocks()),
          metric_(n_, data.free_columns()),
          fit_step_(n_),
          fit_direction_(n_),
          masked_(problem.A.rows()),
          trial_(n_) {}

    // Steps from the current iterate, whose non-zero blocks are `active`, solving each linear
    // system by at most `limit` iterations; adds those done to `count`, and does none once that is
    // `last`. False: no step taken, as none lowers the objective (or stopped).
    bool step(std::span<const std::size_t> active, std::size_t limit, std::size_t last,
              std::size_t& count, Monitor& monitor) {
        limit_ = limit;
        majorised_ = !majorised_;
        if (active.empty() || !prepare(active, monitor) ||
            !solve_with_removals(active, last, count, monitor)) {
            return false;
        }
        if (line_search(active)) {
            return true;
        }
        // Too many blocks left: go only as far as the first one, where the objective must fall.
        reset(active);
        if (!conjugate_gradients(active, last, count, monitor)) {
            return false;
        }
        shorten(active);
        return refresh_fit_step(active, monitor) && line_search(active);
    }

private:
    static constexpr int kRounds = 5;
    static constexpr double kForcing = 0.01;  // residual of the linear system, relative

    std::size_t capacity() const { return problem_.A.blocks() * d_; }
    std::span<double> part(const std::unique_ptr<double[]>& array, std::size_t a) const {
        return {array.get() + a * d_, d_};
    }
    double bend(std::size_t i, double size) const {  // beta w_i / ||u_i||
        return problem_.beta * problem_.weights[i] / size;
    }

    // A block that p carries through zero leaves, and the others are solved for again.
    bool solve_with_removals(std::span<const std::size_t> active, std::size_t last,
                             std::size_t& count, Monitor& monitor) {
        for (int round = 0; round < kRounds; ++round) {
            if (!conjugate_gradients(active, last, count, monitor)) {
                return false;
            }
            if (!remove_blocks(active)) {
                break;
            }
        }
        return refresh_fit_step(active, monitor);
    }

    // Curvatures, -gradient, preconditioner; p = 0.
    bool prepare(std::span<const std::size_t> active, Monitor& monitor) {
        fill_curvature(data_, std::span<const double>(descent_.f), Loss::kLinearTails && majorised_,
                       metric_.h);
        metric_.set();
        products_.set_active(active);
        if (!products_.active_adjoint(problem_.by_output(std::span<const double>(descent_.v)),
                                      {descent_direction_.get(), d_, active.size()}, threads_,
                                      monitor)) {
            return false;
        }
        for (std::size_t a = 0; a < active.size(); ++a) {
            if (monitor.stop_requested()) {
                return false;
            }
            const std::size_t i = active[a];
            const std::span<const double> u = descent_.block(i);
            const std::span<double> down = part(descent_direction_, a);
            const double tangent = bend(i, norm(u));
            const std::size_t n = problem_.A.rows();
            const std::size_t width = problem_.A.width();
            for (std::size_t j = 0; j < d_; ++j) {
                if (j % width == 0) {
                    simd::select(problem_.A.patterns.column(i).data(),
                                 metric_.h.data() + j / width * n, masked_.data(), n);
                }
                down[j] -= (tangent + problem_.ridge) * u[j];
                const double* x = problem_.A.X.column(j % width).data();
                part(diagonal_, a)[j] =
                    simd::weighted_square(masked_.data(), x, n) + tangent + problem_.ridge;
            }
        }
        reset(active);
        return true;
    }

    void reset(std::span<const std::size_t> active) {
        std::fill_n(step_.get(), active.size() * d_, 0.0);
        std::fill_n(leaving_.begin(), active.size(), false);
    }

    // Preconditioned conjugate gradients for the blocks that stay, from the p there is, until
    // `count` is `last`.
    bool conjugate_gradients(std::span<const std::size_t> active, std::size_t last,
                             std::size_t& count, Monitor& monitor) {
        if (count >= last) {
            return true;
        }
        const std::size_t size = active.size() * d_;
        std::copy_n(step_.get(), size, direction_.get());
        if (!multiply(active, monitor)) {
            return false;
        }
        ++count;
        for (std::size_t k = 0; k < size; ++k) {
            residual_[k] = leaving_[k / d_] ? 0.0 : descent_direction_[k] - image_[k];
            direction_[k] = 0.0;
        }
        double rho = preconditioned_square(residual_.get(), size);
        const double target =
            kForcing * kForcing * preconditioned_square(descent_direction_.get(), size);
        double beta = 0.0;
        // In exact arithmetic `size` rounds are enough; many more are wasted on a singular system.
        const std::size_t end = std::min(last, count + std::min(limit_, 3 * size));
        while (rho > target && count < end) {
            for (std::size_t k = 0; k < size; ++k) {
                direction_[k] = residual_[k] / diagonal_[k] + beta * direction_[k];
            }
            if (!multiply(active, monitor)) {
                return false;
            }
            ++count;
            const double along = inner(direction_.get(), image_.get(), size);
            if (!(along > 0.0)) {
                return std::isfinite(along);  // flat to rounding: p is as good as it gets
            }
            const double alpha = rho / along;
            simd::axpy(alpha, direction_.get(), step_.get(), size);
            simd::axpy(-alpha, image_.get(), residual_.get(), size);
            const double next = preconditioned_square(residual_.get(), size);
            beta = next / rho;
            rho = next;
        }
        return std::isfinite(rho);
    }

    // image_ = H direction_, for the blocks that stay.
    bool multiply(std::span<const std::size_t> active, Monitor& monitor) {
        const MatrixView<const double> P(direction_.get(), d_, active.size());
        if (!products_.active_forward(P, problem_.by_output(std::span(fit_direction_)), threads_,
                                      monitor)) {
            return false;
        }
        metric_.scale(fit_direction_);
        for (std::size_t k = 0; k < n_; ++k) {
            trial_[k] = metric_.root()[k] * fit_direction_[k];
        }
        if (!products_.active_adjoint(problem_.by_output(std::span<const double>(trial_)),
                                      {image_.get(), d_, active.size()}, threads_, monitor)) {
            return false;
        }
        for (std::size_t a = 0; a < active.size(); ++a) {
            const std::size_t i = active[a];
            const std::span<const double> u = descent_.block(i);
            const std::span<double> p = part(direction_, a);
            const std::span<double> q = part(image_, a);
            if (leaving_[a]) {
                std::ranges::fill(q, 0.0);
                continue;
            }
            const double size = norm(u);
            const double along = inner(u.data(), p.data(), d_) / (size * size);
            for (std::size_t j = 0; j < d_; ++j) {
                q[j] += bend(i, size) * (p[j] - along * u[j]) + problem_.ridge * p[j];
            }
        }
        return true;
    }

    // p = -u for the blocks that p would carry through zero first (all of them unless p is long,
    // as it is when the system is nearly singular); whether there were any.
    bool remove_blocks(std::span<const std::size_t> active) {
        const double first = first_time_to_zero(active);
        if (first > 1.0) {
            return false;
        }
        for (std::size_t a = 0; a < active.size(); ++a) {
            if (time_to_zero(active, a) <= std::min(1.0, 2.0 * first)) {
                send_to_zero(active, a);
            }
        }
        return true;
    }

    // Cuts p where the first block reaches zero.
    void shorten(std::span<const std::size_t> active) {
        const double first = first_time_to_zero(active);
        if (first > 1.0) {
            return;
        }
        for (std::size_t a = 0; a < active.size(); ++a) {
            if (time_to_zero(active, a) == first) {
                send_to_zero(active, a);
            } else {
                for (double& x : part(step_, a)) {
                    x *= first;
                }
            }
        }
    }

    void send_to_zero(std::span<const std::size_t> active, std::size_t a) {
        const std::span<const double> u = descent_.block(active[a]);
        std::ranges::transform(u, part(step_, a).begin(), [](double x) { return -x; });
        leaving_[a] = true;
    }

    double first_time_to_zero(std::span<const std::size_t> active) {
        double first = HUGE_VAL;
        for (std::size_t a = 0; a < active.size(); ++a) {
            first = std::min(first, time_to_zero(active, a));
        }
        return first;
    }

    // t at which u + t p has no component along u left.
    double time_to_zero(std::span<const std::size_t> active, std::size_t a) {
        if (leaving_[a]) {
            return HUGE_VAL;
        }
        const std::span<const double> u = descent_.block(active[a]);
        const double along = inner(u.data(), part(step_, a).data(), d_);
        return along < 0.0 ? inner(u.data(), u.data(), d_) / -along : HUGE_VAL;
    }

    bool refresh_fit_step(std::span<const std::size_t> active, Monitor& monitor) {
        const MatrixView<const double> P(step_.get(), d_, active.size());
        return products_.active_forward(P, problem_.by_output(std::span(fit_step_)), threads_,
                                        monitor);
    }

    // Halves the step until the objective falls; the iterate moves only if it does.
    bool line_search(std::span<const std::size_t> active) {
        const double before = descent_.objective(active);
        for (double t = 1.0; t > 0.05; t *= 0.5) {
            for (std::size_t k = 0; k < n_; ++k) {
                trial_[k] = descent_.f[k] + t * fit_step_[k];
            }
            double penalty = 0.0;
            double ridge = 0.0;
            for (std::size_t a = 0; a < active.size(); ++a) {
                const std::span<const double> u = descent_.block(active[a]);
                double square = 0.0;
                for (std::size_t j = 0; j < d_; ++j) {
                    const double x = u[j] + t * part(step_, a)[j];
                    square += x * x;
                }
                penalty += problem_.weights[active[a]] * std::sqrt(square);
                ridge += 0.5 * problem_.ridge * square;
            }
            const double value = data_.value(trial_) + problem_.beta * penalty + ridge;
            if (value < before) {
                for (std::size_t a = 0; a < active.size(); ++a) {
                    simd::axpy(t, part(step_, a).data(), descent_.block(active[a]).data(), d_);
                }
                std::swap(descent_.f, trial_);
                descent_.update_v();
                return true;
            }
        }
        return false;
    }

    // a' diagonal^-1 a over the blocks that stay
    double preconditioned_square(const double* a, std::size_t size) const {
        double sum = 0.0;
        for (std::size_t k = 0; k < size; ++k) {
            sum += leaving_[k / d_] ? 0.0 : a[k] * a[k] / diagonal_[k];
        }
        return sum;
    }
    static double inner(const double* a, const double* b, std::size_t size) {
        double sum = 0.0;
#pragma omp simd reduction(+ : sum)
        for (std::size_t k = 0; k < size; ++k) {
            sum += a[k] * b[k];
        }
        return sum;
    }

    const GroupLasso& problem_;
    DataTerm<Loss>& data_;
    MaskedProducts<double>& products_;
    std::size_t threads_;
    BlockDescent<Loss>& descent_;
    std::size_t d_, n_;  // entries of a block and of a fit
    // d K x P, compact: the blocks of `active` only
    std::unique_ptr<double[]> descent_direction_, step_, residual_, direction_, image_, diagonal_;
    std::vector<char> leaving_;  // whether p takes the block to zero
    std::size_t limit_ = 0;
    bool majorised_ = false;
    CurvatureMetric metric_;
    std::vector<double> fit_step_, fit_direction_, masked_, trial_;
};

}  // namespace convexnn
