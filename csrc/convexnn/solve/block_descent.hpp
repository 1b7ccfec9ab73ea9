// One epoch of block coordinate descent, and the state it works on.
#pragma once

#include <algorithm>
#include <cstddef>
#include <limits>
#include <span>
#include <vector>

#include "convexnn/base/simd.hpp"
#include "convexnn/solve/group_lasso.hpp"
#include "convexnn/solve/group_prox.hpp"

namespace convexnn {

// The iterate: blocks u_i, their fit f = sum_i D_i X u_i, and v = -loss gradient at f. Block
// updates keep the three consistent (f to rounding; `CoordinateDescent::refresh` removes the
// drift).
template <typename Loss>
class BlockDescent {
public:
    BlockDescent(const GroupLasso& problem, DataTerm<Loss>& data)
        : f(problem.fits(), 0.0),
          v(problem.fits()),
          problem_(problem),
          data_(data),
          d_(problem.block_size()),
          values_(problem.A.blocks() * d_, 0.0),
          lipschitz_(problem.A.blocks(), 0.0),
          gradient_(d_),
          step_(d_),
          fit_step_(problem.fits()),
          masked_(problem.A.rows()) {
        update_v();
    }

    std::vector<double> f;
    std::vector<double> v;

    std::span<double> block(std::size_t i) { return {values_.data() + i * d_, d_}; }
    bool is_zero(std::size_t i) const {
        const double* u = values_.data() + i * d_;
        return std::all_of(u, u + d_, [](double x) { return x == 0.0; });
    }
    void update_v() { data_.negative_gradient(f, v); }

    // ||X^T D_i v|| / w_i at the current iterate.
    double price(std::size_t i) {
        adjoint_block(problem_.A, i, v, masked_, gradient_);
        return norm(gradient_) / problem_.weights[i];
    }

    // loss(f) + the penalties of `blocks`, which hold every non-zero block.
    double objective(std::span<const std::size_t> blocks) {
        double penalty = 0.0;
        double ridge = 0.0;
        for (const std::size_t i : blocks) {
            const double size = norm(block(i));
            penalty += problem_.weights[i] * size;
            ridge += ridge_penalty(problem_, size);
        }
        return data_.value(f) + problem_.beta * penalty + ridge;
    }

    // Proximal gradient step of block i with step length 1 / L_i:
    //   u_i <- prox_{beta w_i / L_i}(u_i + X^T D_i v / L_i) / (1 + ridge / L_i).
    void update(std::size_t i) {
        const std::span<double> u = block(i);
        const double threshold = problem_.beta * problem_.weights[i];
        adjoint_block(problem_.A, i, v, masked_, gradient_);
        if (is_zero(i) && norm(gradient_) <= threshold) {
            return;
        }
        if (lipschitz_[i] == 0.0) {
            lipschitz_[i] = estimate_lipschitz(i);
        }
        // The estimate comes from below, so a step is taken only if L_i holds along it.
        for (;;) {
            const double L = lipschitz_[i];
            if (!(L > 0.0)) {  // D_i X = 0 to rounding: the block does not move the fit
                std::ranges::fill(u, 0.0);
                return;
            }
            for (std::size_t j = 0; j < d_; ++j) {
                step_[j] = u[j] + gradient_[j] / L;
            }
            group_soft_threshold(step_, threshold / L);
            const double shrunk = 1.0 / (1.0 + problem_.ridge / L);
            double length = 0.0;
            for (std::size_t j = 0; j < d_; ++j) {
                step_[j] = shrunk * step_[j] - u[j];
                length += step_[j] * step_[j];
            }
            if (length == 0.0) {
                return;
            }
            forward_block(problem_.A, i, step_, fit_step_);
            const double curvature = data_.curvature_along(f, fit_step_);
            if (curvature <= L * length * (1.0 + 1e-10)) {
                break;
            }
            // Along a step that is far too long there is far more of it than is needed.
            lipschitz_[i] = std::min(1.1 * curvature / length, kMostRaise * L);
        }
        for (std::size_t j = 0; j < d_; ++j) {
            u[j] += step_[j];
        }
        simd::axpy(1.0, fit_step_.data(), f.data(), f.size());
        move_v();
    }

private:
    // Of a Lipschitz constant: all at once where the loss has a largest curvature.
    static constexpr double kInfinity = std::numeric_limits<double>::infinity();
    static constexpr double kMostRaise = Loss::kCurvature < kInfinity ? kInfinity : 4.0;
    static constexpr double kProbe = kProbeLength<Loss>;

    // v after f has moved by fit_step_.
    void move_v() {
        const Samples& samples = problem_.samples;
        if constexpr (Loss::kLinearSlope) {
            if (data_.has_free_part() && !data_.one_offset()) {
                update_v();
                return;
            }
            const std::size_t n = problem_.A.rows();
            for (std::size_t j = 0; j < problem_.outputs && data_.one_offset(); ++j) {
                // The best offset follows the mean of the fit.
                const std::span<double> change(fit_step_.data() + j * n, n);
                double mean = 0.0;
                for (std::size_t k = 0; k < n; ++k) {
                    mean += samples.s[j * n + k] * change[k];
                }
                mean /= data_.total_weight(j);
                for (double& t : change) {
                    t -= mean;
                }
            }
            simd::subtract_product(samples.s.data(), fit_step_.data(), v.data(), v.size());
        } else if (data_.has_free_part()) {
            update_v();
        } else {
            for (std::size_t k = 0; k < f.size(); ++k) {
                if (fit_step_[k] != 0.0) {
                    v[k] = -samples.s[k] * data_.loss().slope(f[k], samples.y[k]);
                }
            }
        }
    }

    // Largest eigenvalue of kCurvature X^T D_i S X by a few power iterations from the gradient (or
    // the block, where that is zero): a lower estimate, raised by `update` where it fails.
    double estimate_lipschitz(std::size_t i) {
        constexpr int kIterations = 6;
        double estimate = 0.0;
        std::ranges::copy(norm(gradient_) > 0.0 ? std::span<const double>(gradient_) : block(i),
                          step_.begin());
        for (int round = 0; round < kIterations; ++round) {
            const double length = norm(step_);
            if (!(length > 0.0)) {
                break;
            }
            for (double& x : step_) {
                x /= length;
            }
            forward_block(problem_.A, i, step_, fit_step_);
            for (double& t : fit_step_) {
                t *= kProbe;
            }
            estimate = std::max(estimate, data_.curvature_along(f, fit_step_) / (kProbe * kProbe));
            for (std::size_t k = 0; k < fit_step_.size(); ++k) {
                fit_step_[k] *= problem_.samples.s[k];
            }
            transposed_parts(problem_.A.X, fit_step_, step_);
        }
        return estimate;
    }

    const GroupLasso& problem_;
    DataTerm<Loss>& data_;
    std::size_t d_;                  // entries of a block, d K
    std::vector<double> values_;     // d K x P
    std::vector<double> lipschitz_;  // L_i, 0 until the block is first moved
    std::vector<double> gradient_;
    std::vector<double> step_;
    std::vector<double> fit_step_;
    std::vector<double> masked_;
};

}  // namespace convexnn
