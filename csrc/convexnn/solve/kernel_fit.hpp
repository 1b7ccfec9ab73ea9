// The inner problem of the variational second-order method: for fixed group norms, the a with
//
//   L'(K a) + a = 0,    the minimiser of L(K a) + a^T K a / 2,
//
// by Newton's method, whose step solves (I + H K) da = rho, rho = -L'(K a) - a, by conjugate
// gradients. One step for the squared loss. For the others H is L's own curvature; where Newton's
// step has to be cut short, the curvatures that it meets on its way, or a parabola above L, take
// its place. For losses whose curvature vanishes (logistic, Poisson, softmax) H is the slope
// between the fit and the one that a would have, which is L's own curvature in the end.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <span>
#include <type_traits>
#include <vector>

#include "convexnn/base/simd.hpp"
#include "convexnn/base/vectors.hpp"
#include "convexnn/program/data_term.hpp"
#include "convexnn/solve/kernel_system.hpp"
#include "convexnn/solve/preconditioner.hpp"

namespace convexnn {

// Work space of n entries of a fit is allocated by the constructor.
template <typename Loss>
class KernelFit {
public:
    KernelFit(std::size_t n, DataTerm<Loss>& data, KernelSystem& system)
        : a(n),
          f(n),
          data_(data),
          system_(system),
          n_(n),
          v_(n),
          curvature_(n),
          rho_(n),
          change_(n),
          fit_change_(n),
          x_(n),
          rhs_(n),
          residual_(n),
          preconditioned_(n),
          direction_(n),
          image_(n),
          trial_(n),
          met_(n) {}

    std::vector<double> a;
    std::vector<double> f;  // K a, once solved for

    // From the a there is, to `accuracy` of the residual's size, where that leaves a gap well below
    // `gap` relative to the loss. Leaves the preconditioner built for the system. False: stopped,
    // or not finite.
    bool solve(double accuracy, double gap, Preconditioner& preconditioner, Monitor& monitor) {
        preconditioner_ = &preconditioner;
        data_.clip(a);
        if (!system_.multiply_kernel(a, f, monitor)) {
            return false;
        }
        shorten_start();
        bool cautious = false;  // the last step was cut short: larger curvatures are safer
        bool parabola = false;  // ... of a parabola above L, the largest
        bool moved = true;      // since the last step with L's own curvature
        for (int step_number = 0; step_number < kSteps; ++step_number) {
            data_.negative_gradient(f, v_);
            if (kSecant) {
                data_.secant(f, a, curvature_);
            } else if (parabola) {
                data_.majorant(f, curvature_);
            } else {
                data_.curvature(f, curvature_);
            }
            if (cautious && !parabola && !kSecant) {
                // Rows that a step too long meets on its way take part in the next.
                std::ranges::transform(curvature_, met_, curvature_.begin(),
                                       [](double h, double met) { return std::max(h, met); });
            }
            if (step_number == 0 || !Loss::kLinearSlope) {
                system_.set_curvature(curvature_);
                if (preconditioner.build(system_, monitor) != dense::Outcome::done) {
                    return false;
                }
            }
            // Rows without curvature: da = rho there, whatever the others do.
            const std::span<const double> root = system_.root();
            bool flat = false;
            double flat_size = 0.0;
            double size = 0.0;
            for (std::size_t k = 0; k < n_; ++k) {
                rho_[k] = v_[k] - a[k];
                change_[k] = root[k] > 0.0 ? 0.0 : rho_[k];
                flat = flat || change_[k] != 0.0;
                flat_size = std::max(flat_size, std::abs(change_[k]));
                size = std::max(size, std::abs(v_[k]));
                fit_change_[k] = 0.0;
            }
            if (flat && !system_.multiply_kernel(change_, fit_change_, monitor)) {
                return false;
            }
            // The others: da = H^1/2 x, N x = H^-1/2 (rho - H K change).
            for (std::size_t k = 0; k < n_; ++k) {
                if (root[k] > 0.0) {
                    rhs_[k] = rho_[k] / root[k] - root[k] * fit_change_[k];
                    trial_[k] = root[k] * f[k] + v_[k] / root[k];
                } else {
                    rhs_[k] = 0.0;
                    trial_[k] = 0.0;
                }
            }
            const double scale = preconditioned_norm(trial_);
            const double now = preconditioned_norm(rhs_);
            if (!std::isfinite(now)) {
                return false;
            }
            if (now <= accuracy * scale && flat_size <= accuracy * size &&
                fits_well(gap, monitor)) {
                if (!cautious || !moved) {
                    return true;
                }
                // Larger curvatures' measure says less than that of L's own.
                cautious = parabola = moved = false;
                continue;
            }
            const double target = Loss::kLinearSlope ? accuracy * scale : kForcing * now;
            if (!conjugate_gradients(target, monitor)) {
                return false;
            }
            for (std::size_t k = 0; k < n_; ++k) {
                change_[k] += root[k] * x_[k];
            }
            if (Loss::kLinearSlope) {
                simd::axpy(1.0, change_.data(), a.data(), n_);
                return true;
            }
            if (!system_.multiply_kernel(change_, fit_change_, monitor)) {
                return false;
            }
            for (std::size_t k = 0; k < n_; ++k) {
                trial_[k] = f[k] + fit_change_[k];
            }
            data_.curvature(trial_, rhs_);
            const double t = line_search();
            if (t == 0.0 && parabola) {
                return true;  // as accurate as rounding allows
            }
            moved = moved || t > 0.0;
            const bool cut_short = t < kCutShort;
            for (std::size_t k = 0; k < n_; ++k) {
                met_[k] = cut_short ? std::max(rhs_[k], cautious ? met_[k] : 0.0) : 0.0;
            }
            parabola = cut_short && (kParabolaFirst || parabola || (cautious && t == 0.0));
            cautious = cut_short;
        }
        return true;
    }

private:
    static constexpr int kSteps = 60;
    // Huber's curvature jumps from 1 to 0, and a parabola above says what lies between.
    static constexpr bool kParabolaFirst = std::is_same_v<Loss, HuberLoss>;
    // Where curvatures at the fit may be tiny next to what a asks for.
    static constexpr bool kSecant = !Loss::kQuadraticDual;
    static constexpr int kIterations = 1000;
    static constexpr double kReach = KernelSystem::kSingleReach;
    static constexpr double kForcing = 0.03;     // of the residual, in a Newton step of many
    static constexpr double kShortest = 1e-200;  // of a start that does not fit: nothing is left
    static constexpr double kCutShort = 0.3;     // of a Newton step: a parabola is safer

    // Moves a and f = K a along the change, halved until the inner function falls; how far.
    double line_search() {
        const auto value = [&](double t) {
            double kernel = 0.0;
            for (std::size_t k = 0; k < n_; ++k) {
                trial_[k] = f[k] + t * fit_change_[k];
                kernel += (a[k] + t * change_[k]) * trial_[k];
            }
            return data_.value(trial_) + 0.5 * kernel;
        };
        const double before = value(0.0);
        const double slope = inner_product(fit_change_, a) - inner_product(fit_change_, v_);
        for (double t = 1.0; t > 1e-3; t *= 0.5) {
            if (value(t) <= before + 1e-4 * t * slope + 1e-14 * std::abs(before)) {
                simd::axpy(t, change_.data(), a.data(), n_);
                std::ranges::copy(trial_, f.begin());
                return t;
            }
        }
        return 0.0;
    }

    // L(K a) + a^T K a / 2 at t a.
    double inner_value(double t) {
        double kernel = 0.0;
        for (std::size_t k = 0; k < n_; ++k) {
            trial_[k] = t * f[k];
            kernel += t * a[k] * trial_[k];
        }
        return data_.value(trial_) + 0.5 * kernel;
    }

    // Where K has grown much, a from before fits beyond all targets, and Newton's method from there
    // would meet saturated losses only: a is halved as long as that helps.
    void shorten_start() {
        if (Loss::kLinearSlope || system_.blocks().empty()) {
            return;
        }
        double t = 1.0;
        double value = inner_value(t);
        while (t > kShortest) {
            const double next = inner_value(0.5 * t);
            if (next >= value && std::isfinite(value)) {
                break;
            }
            value = next;
            t *= 0.5;
        }
        for (std::size_t k = 0; k < n_; ++k) {
            a[k] *= t;
            f[k] *= t;
        }
    }

    // Whether a's own duality gap, L(K a) + a^T K a - D(a), is well below that of the blocks: where
    // a few rows have nearly no curvature, the residual alone can look small.
    bool fits_well(double outer, Monitor& monitor) {
        if (Loss::kLinearSlope) {
            return true;
        }
        std::ranges::copy(a, trial_.begin());
        data_.clip(trial_);
        if (!system_.multiply_kernel(trial_, image_, monitor)) {
            return false;
        }
        const double loss = data_.value(image_);
        const double gap = loss + inner_product(trial_, image_) - data_.dual_value(trial_, 1.0);
        return gap <= 0.3 * outer * loss || gap <= 1e-12 * loss;
    }

    double preconditioned_norm(std::span<const double> r) {
        preconditioner_->apply(r, preconditioned_);
        return std::sqrt(std::max(0.0, inner_product(r, preconditioned_)));
    }

    // N x = rhs_ by preconditioned conjugate gradients until the residual's norm is at most
    // `target`. With a free part, x is such that the whole change is orthogonal to it.
    bool conjugate_gradients(double target, Monitor& monitor) {
        std::ranges::copy(rhs_, residual_.begin());
        std::ranges::fill(x_, 0.0);
        if (data_.has_free_part()) {
            preconditioner_->along_border(change_, x_);
            if (!system_.multiply_exactly(x_, image_, monitor)) {
                return false;
            }
            simd::axpy(-1.0, image_.data(), residual_.data(), n_);
        }
        double last = 0.0;
        double start = -1.0;  // rho of the last residual that was not updated but computed
        for (int iteration = 0; iteration < kIterations; ++iteration) {
            preconditioner_->apply(residual_, preconditioned_);
            const double rho = inner_product(residual_, preconditioned_);
            if (!(rho > target * target)) {
                return std::isfinite(rho);
            }
            if (start >= 0.0 && system_.is_single() && rho < kReach * kReach * start) {
                if (!system_.multiply_exactly(x_, image_, monitor)) {
                    return false;
                }
                for (std::size_t k = 0; k < n_; ++k) {
                    residual_[k] = rhs_[k] - image_[k];
                }
                start = -1.0;
                continue;
            }
            const bool first = start < 0.0;
            start = first ? rho : start;
            const double turn = first ? 0.0 : rho / last;
            last = rho;
            for (std::size_t k = 0; k < n_; ++k) {
                direction_[k] = preconditioned_[k] + turn * (first ? 0.0 : direction_[k]);
            }
            if (!system_.multiply(direction_, image_, monitor)) {
                return false;
            }
            const double along = inner_product(direction_, image_);
            if (!(along > 0.0)) {
                return std::isfinite(along);
            }
            simd::axpy(rho / along, direction_.data(), x_.data(), n_);
            simd::axpy(-rho / along, image_.data(), residual_.data(), n_);
        }
        return true;
    }

    DataTerm<Loss>& data_;
    KernelSystem& system_;
    Preconditioner* preconditioner_ = nullptr;
    std::size_t n_;
    std::vector<double> v_, curvature_, rho_, change_, fit_change_;
    std::vector<double> x_, rhs_, residual_, preconditioned_, direction_, image_, trial_;
    std::vector<double> met_;  // the largest curvatures at the ends of steps cut short
};

}  // namespace convexnn
