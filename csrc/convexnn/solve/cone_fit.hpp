// The inner problem of the ReLU program's second-order method: for fixed group norms, the a with
//
//   a = -L'(f(a)),    f(a) = sum_b c_b F_b p_b(a),    p_b(a) = projection of F_b'a onto b's cone,
//
// which maximises the concave function D(a) - sum_b c_b ||p_b(a)||^2 / 2, by semismooth Newton
// steps with a line search: the faces on which the projections lie stand in for the cones, (I + H
// K) da = -L'(f(a)) - a.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <span>
#include <vector>

#include "convexnn/solve/cone_program.hpp"
#include "convexnn/solve/curvature.hpp"
#include "convexnn/solve/face_system.hpp"

namespace convexnn {

// Work space of n samples is allocated by the constructor, that of the blocks as they become more.
template <typename Loss>
class ConeFit {
public:
    ConeFit(MatrixView<const double> X, DataTerm<Loss>& data, ConeProgram<Loss>& program,
            std::size_t threads)
        : a(X.rows),
          f(X.rows),
          metric(X.rows, data.free_columns()),
          faces(X, threads),
          data_(data),
          program_(program),
          n_(X.rows),
          d_(X.columns),
          v_(n_),
          from_(n_),
          residual_(n_),
          change_(n_) {}

    std::vector<double> a;
    std::vector<double> f;
    // Columns c_b p_b(a), d x blocks, and sum_b c_b ||p_b(a)||^2 / 2: they belong to f.
    std::vector<double> values;
    double half_kernel = 0.0;
    // As the last step had them.
    CurvatureMetric metric;
    FaceSystem faces;

    // From the a there is, until L(f(a)) + half_kernel is above that function by `accuracy`^2 of
    // its size, or rounding lets it come no nearer. False: stopped, or not finite.
    bool solve(std::span<const std::size_t> blocks, std::span<const double> c, double accuracy) {
        data_.clip(a);
        if (!project(blocks, c)) {
            return false;
        }
        bool unit = false;    // the last step was a whole one
        bool secant = false;  // ... or a short one
        for (int round = 0; round < kSteps; ++round) {
            if (!set_faces(blocks, c)) {
                return false;
            }
            if (Loss::kLinearSlope && faces.unchanged() && unit) {
                return true;  // the faces are right, and the loss is its own model
            }
            // The slope between f and where a would have it makes every step one of ascent.
            if (secant) {
                data_.secant(f, a, metric.h);
                metric.set();
            } else {
                set_curvature(false);
            }
            data_.negative_gradient(f, v_);
            for (std::size_t k = 0; k < n_; ++k) {
                residual_[k] = v_[k] - a[k];
            }
            if (!build() || !program_.load_adjoints(residual_, blocks)) {
                return false;
            }
            const double fall = faces.step(
                residual_, metric,
                [&](std::size_t b, std::span<double> out) { program_.adjoint(b, out); }, change_);
            if (!std::isfinite(fall)) {
                return false;
            }
            const double upper = data_.value(f) + half_kernel;
            const bool near = upper - lower() <= accuracy * accuracy * std::abs(upper);
            // The last step is taken as well: what is left of a is its square.
            const double t = search(blocks, c);
            if (t < 0.0) {
                return false;
            }
            if (near) {
                set_curvature(false);
                return set_faces(blocks, c) && build();
            }
            if (t == 0.0 && (secant || Loss::kLinearSlope)) {
                return true;
            }
            unit = t == 1.0;
            secant = !Loss::kLinearSlope && t < 0.25;
        }
        return true;
    }

    // values, f and half_kernel of the projections that `program` has at hand, those of `blocks`
    // first. False: stopped.
    bool fit(std::span<const std::size_t> blocks, std::span<const double> c) {
        values.resize(blocks.size() * d_);
        half_kernel = 0.0;
        for (std::size_t t = 0; t < blocks.size(); ++t) {
            const std::span<const double> p = program_.projection(t);
            for (std::size_t j = 0; j < d_; ++j) {
                values[t * d_ + j] = c[t] * p[j];
            }
            const double q = norm(p);
            half_kernel += 0.5 * c[t] * q * q;
        }
        return program_.fit(blocks, {values.data(), d_, blocks.size()}, f);
    }

    // The metric at f, or that of a parabola above the loss; build() must follow.
    void set_curvature(bool parabola) {
        fill_curvature(data_, std::span<const double>(f), parabola, metric.h);
        metric.set();
    }
    bool build() { return faces.build(metric, program_.deadline()) == dense::Outcome::done; }

private:
    static constexpr int kSteps = 60;
    static constexpr double kShortest = 1e-8;

    bool project(std::span<const std::size_t> blocks, std::span<const double> c) {
        return program_.price_listed(a, blocks) && fit(blocks, c);
    }

    bool set_faces(std::span<const std::size_t> blocks, std::span<const double> c) {
        return faces.set(
                   blocks, c, [&](std::size_t b) { return program_.active_rows(b); },
                   [&](std::size_t b, std::span<double> x) { program_.mask(b, x); },
                   program_.deadline()) == dense::Outcome::done;
    }

    double lower() const { return data_.dual_value(a, 1.0) - half_kernel; }

    // Moves a along change_ until the function rises; the length of the step, 0 if it does not, -1
    // if stopped. A step cut short goes to the best of the halves.
    double search(std::span<const std::size_t> blocks, std::span<const double> c) {
        from_ = a;
        const double before = lower();
        double last = -HUGE_VAL;
        for (double t = 1.0; t >= kShortest; t *= 0.5) {
            if (!go_to(t, blocks, c)) {
                return -1.0;
            }
            const double value = lower();
            if (t == 1.0 && value >= before - 1e-15 * std::abs(before)) {
                return t;
            }
            if (last > before && value <= last) {
                return go_to(2.0 * t, blocks, c) ? 2.0 * t : -1.0;
            }
            last = value;
        }
        if (last > before) {
            return kShortest;
        }
        return go_to(0.0, blocks, c) ? 0.0 : -1.0;
    }

    bool go_to(double t, std::span<const std::size_t> blocks, std::span<const double> c) {
        for (std::size_t k = 0; k < n_; ++k) {
            a[k] = from_[k] + t * change_[k];
        }
        data_.clip(a);
        return project(blocks, c);
    }

    DataTerm<Loss>& data_;
    ConeProgram<Loss>& program_;
    std::size_t n_, d_;
    std::vector<double> v_, from_, residual_, change_;
};

}  // namespace convexnn
