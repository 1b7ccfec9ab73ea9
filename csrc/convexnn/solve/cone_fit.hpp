// The inner problem of the ReLU program's second-order method: for fixed group norms, the a with
//
//   a = -L'(f(a)),    f(a) = sum_b c_b F_b p_b(a),    p_b(a) = projection of F_b'a onto b's cone,
//
// which minimises L(f(a)) + sum_b c_b ||p_b(a)||^2 / 2, by semismooth Newton steps with a line
// search: the faces on which the projections lie stand in for the cones, (I + H K) da = -L' - a.
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
          metric(X.rows),
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

    // From the a there is, until a step promises less than `accuracy`^2 of the value. False:
    // stopped, or not finite.
    bool solve(std::span<const std::size_t> blocks, std::span<const double> c, double accuracy) {
        data_.clip(a);
        if (!project(blocks, c)) {
            return false;
        }
        double value = data_.value(f) + half_kernel;
        bool unit = false;      // the last step was a whole one
        bool parabola = false;  // ... or a short one: a parabola above the loss is safer
        for (int round = 0; round < kSteps; ++round) {
            if (!set_faces(blocks, c)) {
                return false;
            }
            if (Loss::kLinearSlope && faces.unchanged() && unit) {
                return true;  // the faces are right, and the loss is its own model
            }
            set_curvature(parabola);
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
            // The last step is taken as well: what is left of a is its square.
            const double t = search(blocks, c, fall, value);
            if (t < 0.0) {
                return false;
            }
            unit = t == 1.0;
            parabola = !Loss::kLinearSlope && t < 0.25;
            if (t == 0.0) {
                return true;  // as near as rounding lets it come
            }
            if (unit && fall <= accuracy * accuracy * std::abs(value)) {
                return set_faces(blocks, c) && build();
            }
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
        metric.set(data_.has_offset());
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

    // Moves a along change_ until the value falls; the length of the step, 0 if it does not fall,
    // -1 if stopped.
    double search(std::span<const std::size_t> blocks, std::span<const double> c, double fall,
                  double& value) {
        from_ = a;
        for (double t = 1.0; t >= kShortest; t *= 0.5) {
            for (std::size_t k = 0; k < n_; ++k) {
                a[k] = from_[k] + t * change_[k];
            }
            if (!project(blocks, c)) {
                return -1.0;
            }
            const double trial = data_.value(f) + half_kernel;
            if (trial <= value - 1e-4 * t * fall + 1e-14 * std::abs(value)) {
                value = trial;
                return t;
            }
        }
        a = from_;
        return project(blocks, c) ? 0.0 : -1.0;
    }

    DataTerm<Loss>& data_;
    ConeProgram<Loss>& program_;
    std::size_t n_, d_;
    std::vector<double> v_, from_, residual_, change_;
};

}  // namespace convexnn
