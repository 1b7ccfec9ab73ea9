#include "convexnn/solve/kernel_system.hpp"

#include <algorithm>
#include <cmath>

#include "convexnn/base/simd.hpp"

namespace convexnn {

using dense::Outcome;

namespace {

constexpr std::size_t kSingleEntries = std::size_t{1}
                                       << 16;  // of X; below, there is little to gain

}  // namespace

KernelSystem::KernelSystem(const GroupLasso& problem, MaskedProducts<double>& products,
                           std::size_t threads, Monitor& monitor)
    : masked_(products),
      threads_(threads),
      root_(problem.A.rows(), 1.0),
      scaled_(problem.A.rows()),
      adjoints_(new double[problem.A.blocks() * problem.A.width()]) {
    c_.reserve(problem.A.blocks());
    if (problem.A.rows() * problem.A.width() >= kSingleEntries) {
        single_ = std::make_unique<SingleKernel>(problem.A, monitor);
    }
}

bool KernelSystem::leave_single() {
    const bool left = is_single();
    single_.reset();
    return left;
}

void KernelSystem::set_blocks(std::span<const std::size_t> blocks, std::span<const double> c) {
    masked_.set_active(blocks);
    c_.assign(c.begin(), c.end());
    if (single_) {
        single_->set_blocks(blocks, c);
    }
}

void KernelSystem::set_curvature(std::span<const double> h) {
    constexpr double kFlat = 1e-10;
    const double smallest = kFlat * *std::ranges::max_element(h);
    std::ranges::transform(h, root_.begin(),
                           [=](double x) { return x > smallest ? std::sqrt(x) : 0.0; });
}

bool KernelSystem::multiply_kernel(std::span<const double> x, std::span<double> out,
                                   Monitor& monitor) {
    ++products_;
    const std::size_t d = masked_.width();
    const MatrixView<double> U(adjoints_.get(), d, c_.size());
    const MatrixView<const double> in(x.data(), x.size(), 1);
    if (!masked_.active_adjoint(in, U, threads_, monitor)) {
        return false;
    }
    for (std::size_t a = 0; a < c_.size(); ++a) {
        for (double& entry : U.column(a)) {
            entry *= c_[a];
        }
    }
    return masked_.active_forward({U.data, d, c_.size()}, {out.data(), out.size(), 1}, threads_,
                                  monitor);
}

template <typename Kernel>
bool KernelSystem::multiply_with(const Kernel& kernel, std::span<const double> x,
                                 std::span<double> out) {
    for (std::size_t k = 0; k < x.size(); ++k) {
        scaled_[k] = root_[k] * x[k];
    }
    if (!kernel(scaled_, out)) {
        return false;
    }
    for (std::size_t k = 0; k < x.size(); ++k) {
        out[k] = x[k] + root_[k] * out[k];
    }
    return true;
}

bool KernelSystem::multiply_exactly(std::span<const double> x, std::span<double> out,
                                    Monitor& monitor) {
    return multiply_with(
        [&](const auto& from, const auto& to) { return multiply_kernel(from, to, monitor); }, x,
        out);
}

bool KernelSystem::multiply(std::span<const double> x, std::span<double> out, Monitor& monitor) {
    if (!single_) {
        return multiply_exactly(x, out, monitor);
    }
    ++products_;
    return multiply_with(
        [&](const auto& from, const auto& to) {
            return single_->multiply(from, to, threads_, monitor);
        },
        x, out);
}

Preconditioner::Preconditioner(const GroupLasso& problem)
    : problem_(problem), border_(problem.output_offset ? problem.A.rows() : 0) {}

Outcome Preconditioner::build(const KernelSystem& system, Monitor& monitor) {
    const Outcome outcome = factor(system, monitor);
    if (outcome == Outcome::done && problem_.output_offset) {
        solve(system.root(), border_);
        border_size_ = 0.0;
        for (std::size_t k = 0; k < border_.size(); ++k) {
            border_size_ += system.root()[k] * border_[k];
        }
    }
    return outcome;
}

void Preconditioner::apply(std::span<const double> r, std::span<double> out) {
    double along = 0.0;  // e^T N~^-1 r
    for (std::size_t k = 0; k < border_.size(); ++k) {
        along += border_[k] * r[k];
    }
    solve(r, out);
    if (border_size_ > 0.0) {
        simd::axpy(-along / border_size_, border_.data(), out.data(), border_.size());
    }
}

Outcome Preconditioner::gram(MatrixView<double> B, MatrixView<double> C, Monitor& monitor) {
    const Outcome outcome = product(B, C, monitor);
    if (outcome == Outcome::done && border_size_ > 0.0) {
        product_.resize(B.columns);
        dense::multiply_transposed(dense::constant(B), border_, product_);
        for (std::size_t j = 0; j < C.columns; ++j) {
            for (std::size_t i = j; i < C.rows; ++i) {
                C(i, j) -= product_[i] * product_[j] / border_size_;
            }
        }
    }
    return outcome;
}

void Preconditioner::along_border(double sum, std::span<double> out) const {
    for (std::size_t k = 0; k < border_.size(); ++k) {
        out[k] = border_size_ > 0.0 ? sum * border_[k] / border_size_ : 0.0;
    }
}

namespace {

class MeanField final : public Preconditioner {
public:
    MeanField(const GroupLasso& problem, std::size_t threads)
        : Preconditioner(problem),
          n_(problem.A.rows()),
          d_(problem.A.width()),
          square_norms_(n_, 0.0),
          mean_(n_),
          diagonal_(n_),
          inverse_(n_),
          scaled_(n_),
          small_(d_),
          rows_(std::min(n_, kRowsAtATime) * d_),
          factor_(d_ * d_),
          work_(threads) {
        for (std::size_t j = 0; j < d_; ++j) {
            const std::span<const double> x = problem.A.X.column(j);
            for (std::size_t k = 0; k < n_; ++k) {
                square_norms_[k] += x[k] * x[k];
            }
        }
    }
    bool exact() const override { return false; }

protected:
    Outcome factor(const KernelSystem& system, Monitor& monitor) override {
        double total = 0.0;
        std::ranges::fill(mean_, 0.0);
        for (std::size_t a = 0; a < system.blocks().size(); ++a) {
            if (monitor.stop_requested()) {
                return Outcome::stopped;
            }
            const double c = system.weights()[a];
            total += c;
            simd::add_constant(problem_.A.patterns.column(system.blocks()[a]).data(), c,
                               mean_.data(), n_);
        }
        const std::span<const double> root = system.root();
        for (std::size_t k = 0; k < n_; ++k) {
            const double share = total > 0.0 ? mean_[k] / total : 0.0;
            const double variance = std::max(0.0, mean_[k] * (1.0 - share));
            diagonal_[k] = std::sqrt(1.0 + root[k] * root[k] * square_norms_[k] * variance);
            inverse_[k] = 1.0 / diagonal_[k];
            // mean_ becomes the diagonal that makes R U of X.
            mean_[k] *= root[k] * inverse_[k] / std::sqrt(total > 0.0 ? total : 1.0);
        }
        const MatrixView<double> F(factor_.data(), d_, d_);
        std::ranges::fill(factor_, 0.0);
        for (std::size_t j = 0; j < d_; ++j) {
            F(j, j) = 1.0;
        }
        const Outcome outcome = for_rows_of_U([&](MatrixView<const double> U, std::size_t) {
            return dense::symmetric_product(1.0, U, dense::Op::transposed, 1.0, F, work_, monitor);
        });
        return outcome == Outcome::done ? dense::cholesky(F, 0.0, work_, monitor) : outcome;
    }

    // N~ = R^-1 (I + U U^T) R^-1, U with R in it.
    void solve(std::span<const double> r, std::span<double> out) override {
        for (std::size_t k = 0; k < n_; ++k) {
            out[k] = inverse_[k] * r[k];
            scaled_[k] = mean_[k] * out[k];
        }
        dense::multiply_transposed(problem_.A.X, scaled_, small_);
        dense::solve_lower(F(), small_);
        dense::solve_lower_transposed(F(), small_);
        dense::multiply(problem_.A.X, small_, scaled_);
        for (std::size_t k = 0; k < n_; ++k) {
            out[k] = inverse_[k] * (out[k] - mean_[k] * scaled_[k]);
        }
    }

    Outcome product(MatrixView<double> B, MatrixView<double> C, Monitor& monitor) override {
        if (!scale_rows(B, inverse_, monitor)) {
            return Outcome::stopped;
        }
        Outcome outcome = dense::symmetric_product(1.0, dense::constant(B), dense::Op::transposed,
                                                   0.0, C, work_, monitor);
        if (outcome == Outcome::done) {
            products_.resize(d_ * B.columns);
            const MatrixView<double> Y(products_.data(), d_, B.columns);
            outcome = for_rows_of_U([&](MatrixView<const double> U, std::size_t first) {
                return dense::product(1.0, U, dense::Op::transposed,
                                      dense::constant(dense::block(B, first, 0, U.rows, B.columns)),
                                      dense::Op::plain, first == 0 ? 0.0 : 1.0, Y, work_, monitor);
            });
            if (outcome == Outcome::done) {
                outcome = dense::solve_lower(F(), Y, work_, monitor);
            }
            if (outcome == Outcome::done) {
                outcome = dense::symmetric_product(-1.0, dense::constant(Y), dense::Op::transposed,
                                                   1.0, C, work_, monitor);
            }
        }
        return scale_rows(B, diagonal_, monitor) ? outcome : Outcome::stopped;
    }

private:
    // As many as the products of dense.hpp take in one go.
    static constexpr std::size_t kRowsAtATime = 4096;

    MatrixView<const double> F() const { return {factor_.data(), d_, d_}; }

    // use(rows of U = diag(mean_) X, the first of them) a part at a time: U would be as large as X.
    template <typename Use>
    Outcome for_rows_of_U(const Use& use) {
        for (std::size_t first = 0; first < n_; first += kRowsAtATime) {
            const std::size_t count = std::min(kRowsAtATime, n_ - first);
            const MatrixView<double> U(rows_.data(), count, d_);
            for (std::size_t j = 0; j < d_; ++j) {
                const double* x = problem_.A.X.column(j).data() + first;
                double* u = U.column(j).data();
                for (std::size_t k = 0; k < count; ++k) {
                    u[k] = mean_[first + k] * x[k];
                }
            }
            const Outcome outcome = use(dense::constant(U), first);
            if (outcome != Outcome::done) {
                return outcome;
            }
        }
        return Outcome::done;
    }

    // False: stopped.
    static bool scale_rows(MatrixView<double> B, std::span<const double> factor, Monitor& monitor) {
        for (std::size_t j = 0; j < B.columns; ++j) {
            if (monitor.stop_requested()) {
                return false;
            }
            double* column = B.column(j).data();
            for (std::size_t k = 0; k < factor.size(); ++k) {
                column[k] *= factor[k];
            }
        }
        return true;
    }

    std::size_t n_, d_;
    std::vector<double> square_norms_;  // ||x_r||^2
    std::vector<double> mean_;
    std::vector<double> diagonal_, inverse_;  // R^-1 and R
    std::vector<double> scaled_;              // n
    std::vector<double> small_;               // d
    std::vector<double> rows_;                // of R H^1/2 U, part of n x d
    std::vector<double> factor_;              // d x d: Cholesky factor of I + U^T U
    std::vector<double> products_;            // d x k
    dense::Workspace work_;
};

class DenseFactor final : public Preconditioner {
public:
    DenseFactor(const GroupLasso& problem, std::size_t threads)
        : Preconditioner(problem),
          n_(problem.A.rows()),
          gram_(n_ * n_),
          factor_(n_ * n_),
          work_(threads) {}
    bool exact() const override { return true; }

protected:
    // N = I + (H^1/2 X X^T H^1/2) o (D diag(c) D^T)
    Outcome factor(const KernelSystem& system, Monitor& monitor) override {
        const MatrixView<double> X2(gram_.data(), n_, n_);
        const MatrixView<double> N(factor_.data(), n_, n_);
        if (!have_gram_) {
            const MatrixView<const double>& X = problem_.A.X;
            const Outcome outcome =
                dense::symmetric_product(1.0, X, dense::Op::plain, 0.0, X2, work_, monitor);
            if (outcome != Outcome::done) {
                return outcome;
            }
            have_gram_ = true;
        }
        const std::size_t count = system.blocks().size();
        masks_.assign(n_ * count, 0.0);
        for (std::size_t a = 0; a < count; ++a) {
            simd::add_constant(problem_.A.patterns.column(system.blocks()[a]).data(),
                               std::sqrt(system.weights()[a]), masks_.data() + a * n_, n_);
        }
        const MatrixView<const double> D(masks_.data(), n_, count);
        const Outcome outcome =
            dense::symmetric_product(1.0, D, dense::Op::plain, 0.0, N, work_, monitor);
        if (outcome != Outcome::done) {
            return outcome;
        }
        const std::span<const double> root = system.root();
        for (std::size_t j = 0; j < n_; ++j) {
            for (std::size_t i = j; i < n_; ++i) {
                N(i, j) *= root[i] * root[j] * X2(i, j);
            }
            N(j, j) += 1.0;
        }
        return dense::cholesky(N, 0.0, work_, monitor);
    }

    void solve(std::span<const double> r, std::span<double> out) override {
        std::ranges::copy(r, out.begin());
        dense::solve_lower(L(), out);
        dense::solve_lower_transposed(L(), out);
    }

    Outcome product(MatrixView<double> B, MatrixView<double> C, Monitor& monitor) override {
        solved_.resize(n_ * B.columns);
        const MatrixView<double> S(solved_.data(), n_, B.columns);
        for (std::size_t j = 0; j < B.columns; ++j) {
            std::ranges::copy(B.column(j), S.column(j).begin());
        }
        const Outcome outcome = dense::solve_lower(L(), S, work_, monitor);
        return outcome != Outcome::done
                   ? outcome
                   : dense::symmetric_product(1.0, dense::constant(S), dense::Op::transposed, 0.0,
                                              C, work_, monitor);
    }

private:
    MatrixView<const double> L() const { return {factor_.data(), n_, n_}; }

    std::size_t n_;
    bool have_gram_ = false;
    std::vector<double> gram_;    // n x n, lower triangle: X X^T
    std::vector<double> factor_;  // n x n, lower triangle: the Cholesky factor
    std::vector<double> masks_;   // n x |A|: sqrt(c_a) d_ra
    std::vector<double> solved_;  // n x k: L^-1 B
    dense::Workspace work_;
};

}  // namespace

std::unique_ptr<Preconditioner> mean_field(const GroupLasso& problem, std::size_t threads) {
    return std::make_unique<MeanField>(problem, threads);
}

std::unique_ptr<Preconditioner> dense_factor(const GroupLasso& problem, std::size_t threads) {
    return std::make_unique<DenseFactor>(problem, threads);
}

}  // namespace convexnn
