#include "convexnn/solve/newton_step.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "convexnn/base/simd.hpp"
#include "convexnn/base/vectors.hpp"

namespace convexnn {

using dense::Outcome;

namespace {

constexpr int kRevisions = 8;
constexpr double kFewRevised = 0.02;  // of the blocks: the set holds well enough
constexpr double kEntering = 0.005;   // slope of a block left out, of the steepest
constexpr double kForcing = 0.05;     // of the step, in the norm of H~
constexpr int kIterations = 100;
constexpr double kTraceRidge = 1e-13;  // of the mean of H~'s diagonal

}  // namespace

NewtonStep::NewtonStep(const GroupLasso& problem, std::size_t threads)
    : problem_(problem),
      n_(problem.fits()),
      d_(problem.block_size()),
      work_(threads),
      b_(n_),
      residual_(n_),
      preconditioned_(n_),
      direction_(n_),
      image_(n_) {}

Outcome NewtonStep::prepare(std::span<const std::size_t> blocks, MatrixView<const double> adjoints,
                            std::span<const double> factors, std::span<const double> bends,
                            const KernelSystem& system, Preconditioner& preconditioner,
                            Monitor& monitor) {
    count_ = blocks.size();
    if (count_ > capacity_) {
        capacity_ = std::min(problem_.A.blocks(), std::max(count_, capacity_ + capacity_ / 2));
        qp_ = std::make_unique<NonnegativeQp>(capacity_);
        H_ = std::vector<double>();
        factor_ = std::vector<double>();
        H_.resize(capacity_ * capacity_);
        B_.reset();
        B_.reset(new double[n_ * capacity_]);
        gathered_.resize(d_ * capacity_);
        for (std::vector<double>* each :
             {&bends_, &ridge_, &lower_, &padded_, &products_, &w_, &correction_, &root_ridge_, &z_,
              &residual_z_, &direction_z_, &step_z_}) {
            each->resize(capacity_);
        }
        free_.resize(capacity_);
        in_set_.resize(capacity_);
        set_.reserve(capacity_);
    }
    for (std::size_t j = 0; j < count_; ++j) {
        for (std::size_t c = 0; c < d_; ++c) {
            gathered_[j * d_ + c] = factors[j] * adjoints(c, blocks[j]);
        }
    }
    const std::size_t rows = problem_.A.rows();
    const std::size_t width = problem_.A.width();
    const MatrixView<double> B(B_.get(), n_, count_);
    const MatrixView<double> gathered(gathered_.data(), d_, count_);
    for (std::size_t output = 0; output < problem_.outputs; ++output) {
        const Outcome outcome = dense::product(
            1.0, problem_.A.X, dense::Op::plain,
            dense::constant(dense::block(gathered, output * width, 0, width, count_)),
            dense::Op::plain, 0.0, dense::block(B, output * rows, 0, rows, count_), work_, monitor);
        if (outcome != Outcome::done) {
            return outcome;
        }
    }
    for (std::size_t j = 0; j < count_; ++j) {
        if (monitor.stop_requested()) {
            return Outcome::stopped;
        }
        const std::span<double> column = B.column(j);
        for (std::size_t k = 0; k < n_; ++k) {
            column[k] *= system.root()[k];
        }
        for (std::size_t first = 0; first < n_; first += rows) {
            double* part = column.data() + first;
            simd::select(problem_.A.patterns.column(blocks[j]).data(), part, part, rows);
        }
        preconditioner.keep_rows(column);
    }
    const MatrixView<double> H(H_.data(), count_, count_);
    std::ranges::copy(bends, bends_.begin());
    return preconditioner.gram(B, H, monitor);
}

Outcome NewtonStep::solve(std::span<const double> g, std::span<const double> eta, double ridge,
                          KernelSystem& system, Preconditioner& preconditioner,
                          std::span<double> delta, std::span<double> x, Monitor& monitor) {
    const MatrixView<double> H(H_.data(), count_, count_);
    double mean = 0.0;
    for (std::size_t j = 0; j < count_; ++j) {
        mean += H(j, j) / static_cast<double>(count_);
    }
    for (std::size_t j = 0; j < count_; ++j) {
        ridge_[j] = ridge * H(j, j) + kTraceRidge * mean + bends_[j];
        H(j, j) += ridge_[j];
        lower_[j] = -eta[j];
        free_[j] = eta[j] > 0.0 || g[j] < 0.0;
    }
    const std::span<char> free(free_.data(), count_);
    const QpResult found = qp_->solve(dense::constant(H), g, {lower_.data(), count_}, free, delta,
                                      QpSettings{}, work_, monitor);
    Outcome outcome = found.outcome;
    if (outcome == Outcome::done && preconditioner.exact()) {
        dense::multiply({B_.get(), n_, count_}, delta, b_);
        preconditioner.apply(b_, x);
        std::ranges::transform(x, x.begin(), [](double value) { return -value; });
    } else if (outcome == Outcome::done) {
        for (std::size_t j = 0; j < count_; ++j) {
            in_set_[j] = eta[j] > 0.0 || free[j] != 0;
        }
        factor_.resize(capacity_ * capacity_);
        for (int round = 0; round < kRevisions; ++round) {
            outcome = solve_for_set(g, eta, system, preconditioner, delta, x, monitor);
            if (outcome != Outcome::done || !revise_set(g, eta, delta, x)) {
                break;
            }
        }
        for (std::size_t j = 0; j < count_; ++j) {
            delta[j] = std::max(delta[j], -eta[j]);
        }
    }
    for (std::size_t j = 0; j < count_; ++j) {
        H(j, j) -= ridge_[j];
    }
    return outcome;
}

// For the blocks of the set, the others going to zero (delta = -eta): minimise over x and z
//
//   x' N x / 2 + z' z / 2 - b' x   subject to  B_S^T x + R^1/2 z = g_S,     b = sum of leaving B_o
//   eta_o,
//
// R the ridge; its multiplier w is -delta_S. The preconditioner is the same with N~ for N, whose
// Schur complement is H~ + R.
Outcome NewtonStep::solve_for_set(std::span<const double> g, std::span<const double> eta,
                                  KernelSystem& system, Preconditioner& preconditioner,
                                  std::span<double> delta, std::span<double> x, Monitor& monitor) {
    set_.clear();
    for (std::size_t j = 0; j < count_; ++j) {
        if (in_set_[j]) {
            set_.push_back(j);
        }
        delta[j] = in_set_[j] ? 0.0 : -eta[j];
    }
    const std::size_t size = set_.size();
    const MatrixView<double> H(H_.data(), count_, count_);
    const MatrixView<double> F(factor_.data(), size, size);
    for (std::size_t j = 0; j < size; ++j) {
        for (std::size_t i = j; i < size; ++i) {
            F(i, j) = H(set_[i], set_[j]);
        }
        root_ridge_[j] = std::sqrt(ridge_[set_[j]]);
    }
    const Outcome outcome = dense::cholesky(F, 0.0, work_, monitor);
    if (outcome != Outcome::done) {
        return outcome;
    }
    const auto part = [size](std::vector<double>& all) { return std::span(all.data(), size); };
    const std::span<double> w = part(w_);
    const std::span<double> correction = part(correction_);
    const std::span<double> root_ridge = part(root_ridge_);
    const std::span<double> z = part(z_);
    const std::span<double> residual_z = part(residual_z_);
    const std::span<double> direction_z = part(direction_z_);
    const std::span<double> step_z = part(step_z_);

    // 1. A point that meets the constraint: the solution with N~ for N.
    for (std::size_t j = 0; j < count_; ++j) {
        padded_[j] = -delta[j];
    }
    dense::multiply({B_.get(), n_, count_}, {padded_.data(), count_}, b_);
    preconditioner.apply(b_, x);
    if (monitor.stop_requested()) {
        return Outcome::stopped;
    }
    multiply_set_transposed(x, correction);
    for (std::size_t j = 0; j < size; ++j) {
        correction[j] = g[set_[j]] - correction[j];
    }
    solve_schur(correction);
    std::ranges::copy(b_, residual_.begin());
    multiply_set(correction, residual_);
    preconditioner.apply(residual_, x);
    for (std::size_t j = 0; j < size; ++j) {
        z[j] = root_ridge[j] * correction[j];
    }

    // 2. Conjugate gradients in the directions that keep to it.
    if (!system.multiply(x, residual_, monitor)) {
        return Outcome::stopped;
    }
    simd::axpy(-1.0, b_.data(), residual_.data(), n_);
    std::ranges::copy(z, residual_z.begin());
    std::ranges::fill(w, 0.0);
    double last = 0.0;
    for (int iteration = 0; iteration < kIterations; ++iteration) {
        // What of the residual is B_S w' goes to the multiplier.
        preconditioner.apply(residual_, preconditioned_);
        if (monitor.stop_requested()) {  // each pass over B or X may take a tenth of a second
            return Outcome::stopped;
        }
        multiply_set_transposed(preconditioned_, correction);
        for (std::size_t j = 0; j < size; ++j) {
            correction[j] += root_ridge[j] * residual_z[j];
        }
        solve_schur(correction);
        for (std::size_t j = 0; j < size; ++j) {
            w[j] += correction[j];
            residual_z[j] -= root_ridge[j] * correction[j];
            step_z[j] = residual_z[j];
            correction[j] = -correction[j];
        }
        std::ranges::fill(image_, 0.0);
        multiply_set(correction, image_);
        simd::axpy(1.0, image_.data(), residual_.data(), n_);
        if (monitor.stop_requested()) {
            return Outcome::stopped;
        }
        preconditioner.apply(residual_, preconditioned_);
        const double rho =
            inner_product(residual_, preconditioned_) + inner_product(residual_z, step_z);

        // Size of the multiplier, ||w||^2 in the norm of H~ + R: |L^T w|^2.
        double length = 0.0;
        for (std::size_t j = 0; j < size; ++j) {
            double entry = 0.0;
            for (std::size_t i = j; i < size; ++i) {
                entry += F(i, j) * w[i];
            }
            length += entry * entry;
        }
        if (!(rho > kForcing * kForcing * length)) {
            break;
        }
        const double turn = iteration == 0 ? 0.0 : rho / last;
        last = rho;
        for (std::size_t k = 0; k < n_; ++k) {
            direction_[k] = preconditioned_[k] + turn * (iteration == 0 ? 0.0 : direction_[k]);
        }
        for (std::size_t j = 0; j < size; ++j) {
            direction_z[j] = step_z[j] + turn * (iteration == 0 ? 0.0 : direction_z[j]);
        }
        if (!system.multiply(direction_, image_, monitor)) {
            return Outcome::stopped;
        }
        const double along =
            inner_product(direction_, image_) + inner_product(direction_z, direction_z);
        if (!(along > 0.0)) {
            break;
        }
        const double alpha = rho / along;
        simd::axpy(-alpha, direction_.data(), x.data(), n_);
        simd::axpy(-alpha, image_.data(), residual_.data(), n_);
        simd::axpy(-alpha, direction_z.data(), z.data(), size);
        simd::axpy(-alpha, direction_z.data(), residual_z.data(), size);
    }
    for (std::size_t j = 0; j < size; ++j) {
        delta[set_[j]] = -w[j];
    }
    return Outcome::done;
}

// Blocks that the step takes below zero leave the set, and those outside on which the function
// falls enter. Whether so many were wrong that the step has to be solved for again.
bool NewtonStep::revise_set(std::span<const double> g, std::span<const double> eta,
                            std::span<const double> delta, std::span<const double> x) {
    const std::span<double> products(products_.data(), count_);
    dense::multiply_transposed({B_.get(), n_, count_}, x, products);
    double steepest = 0.0;
    double largest = 0.0;
    for (std::size_t j = 0; j < count_; ++j) {
        steepest = std::max(steepest, std::abs(g[j]));
        largest = std::max(largest, eta[j]);
    }
    std::size_t wrong = 0;
    for (std::size_t j = 0; j < count_; ++j) {
        const bool leaves = in_set_[j] && delta[j] < -eta[j] - 1e-14 * largest;
        const bool enters = !in_set_[j] && g[j] - products[j] < -kEntering * steepest;
        if (leaves || enters) {
            in_set_[j] = enters;
            ++wrong;
        }
    }
    return static_cast<double>(wrong) > kFewRevised * static_cast<double>(count_);
}

void NewtonStep::multiply_set(std::span<const double> w, std::span<double> out) {
    for (std::size_t j = 0; j < w.size(); ++j) {
        simd::axpy(w[j], B_.get() + set_[j] * n_, out.data(), n_);
    }
}

void NewtonStep::multiply_set_transposed(std::span<const double> t, std::span<double> out) {
    const std::span<double> products(products_.data(), count_);
    dense::multiply_transposed({B_.get(), n_, count_}, t, products);
    for (std::size_t j = 0; j < out.size(); ++j) {
        out[j] = products[set_[j]];
    }
}

void NewtonStep::solve_schur(std::span<double> w) const {
    const MatrixView<const double> F(factor_.data(), w.size(), w.size());
    dense::solve_lower(F, w);
    dense::solve_lower_transposed(F, w);
}

}  // namespace convexnn
