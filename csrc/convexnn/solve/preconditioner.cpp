#include "convexnn/solve/preconditioner.hpp"

#include <algorithm>
#include <cmath>

#include "convexnn/base/simd.hpp"
#include "convexnn/base/vectors.hpp"

namespace convexnn {

using dense::Outcome;

Preconditioner::Preconditioner(const GroupLasso& problem, const FreeColumns& columns)
    : problem_(problem),
      columns_(columns),
      combined_(problem.fits() * columns.count()),
      border_(problem.fits() * columns.count()),
      projected_(problem.fits()) {}

void Preconditioner::keep_rows(std::span<double> x) const {
    const std::size_t n = problem_.A.rows();
    for (std::size_t k = 0; k < n && columns_.rows(); ++k) {
        double along = 0.0;
        double square = 0.0;
        for (std::size_t i = k; i < x.size(); i += n) {
            along += root_[i] * x[i];
            square += root_[i] * root_[i];
        }
        const double share = square > 0.0 ? along / square : 0.0;
        for (std::size_t i = k; i < x.size(); i += n) {
            x[i] -= share * root_[i];
        }
    }
}

void Preconditioner::invert(std::span<const double> r, std::span<double> out) {
    if (!columns_.rows()) {
        solve(r, out);
        return;
    }
    std::ranges::copy(r, projected_.begin());
    keep_rows(projected_);
    solve(projected_, out);
    keep_rows(out);
}

Outcome Preconditioner::build(const KernelSystem& system, Monitor& monitor) {
    root_ = system.root();
    borders_ = 0;
    const Outcome outcome = factor(system, monitor);
    if (outcome != Outcome::done) {
        return outcome;
    }
    // Gram and Schmidt in the inner product of N~^-1; columns that depend on those before them, or
    // where there is no curvature, count for nothing.
    constexpr double kDependent = 1e-10;
    const std::size_t size = problem_.fits();
    std::vector<double> e(columns_.count() > 0 ? size : 0);
    for (std::size_t j = 0; j < columns_.count(); ++j) {
        if (monitor.stop_requested()) {
            return Outcome::stopped;
        }
        const std::span<double> column(combined_.data() + borders_ * size, size);
        const std::span<double> image(border_.data() + borders_ * size, size);
        columns_.column(j, column);
        double before = 0.0;
        double length = 0.0;
        for (int round = 0; round < 2; ++round) {
            for (std::size_t k = 0; k < size; ++k) {
                e[k] = root_[k] * column[k];
            }
            for (std::size_t i = 0; i < borders_; ++i) {
                const double along = inner_product({border_.data() + i * size, size}, e);
                simd::axpy(-along, combined_.data() + i * size, column.data(), size);
            }
            for (std::size_t k = 0; k < size; ++k) {
                e[k] = root_[k] * column[k];
            }
            invert(e, image);
            length = std::sqrt(std::max(0.0, inner_product(image, e)));
            before = round == 0 ? length : before;
        }
        if (!(length > kDependent * before) || !(length > 0.0)) {
            continue;
        }
        for (std::size_t k = 0; k < size; ++k) {
            column[k] /= length;
            image[k] /= length;
        }
        ++borders_;
    }
    return Outcome::done;
}

void Preconditioner::apply(std::span<const double> r, std::span<double> out) {
    invert(r, out);
    for (std::size_t j = 0; j < borders_; ++j) {
        const std::span<const double> border(border_.data() + j * r.size(), r.size());
        simd::axpy(-inner_product(border, r), border.data(), out.data(), r.size());
    }
}

Outcome Preconditioner::gram(MatrixView<double> B, MatrixView<double> C, Monitor& monitor) {
    const Outcome outcome = product(B, C, monitor);
    product_.resize(B.columns);
    for (std::size_t b = 0; b < borders_ && outcome == Outcome::done; ++b) {
        dense::multiply_transposed(dense::constant(B), {border_.data() + b * B.rows, B.rows},
                                   product_);
        for (std::size_t j = 0; j < C.columns; ++j) {
            for (std::size_t i = j; i < C.rows; ++i) {
                C(i, j) -= product_[i] * product_[j];
            }
        }
    }
    return outcome;
}

void Preconditioner::along_border(std::span<const double> change, std::span<double> out) const {
    const std::size_t n = problem_.A.rows();
    std::ranges::fill(out, 0.0);
    for (std::size_t k = 0; k < n && columns_.rows(); ++k) {
        double sum = 0.0;
        double square = 0.0;
        for (std::size_t i = k; i < out.size(); i += n) {
            sum += change[i];
            square += root_[i] * root_[i];
        }
        for (std::size_t i = k; i < out.size(); i += n) {
            out[i] = square > 0.0 ? -sum / square * root_[i] : 0.0;
        }
    }
    // border' H^1/2 combined = I.
    for (std::size_t j = 0; j < borders_; ++j) {
        const double* column = combined_.data() + j * out.size();
        double sum = 0.0;
        for (std::size_t k = 0; k < out.size(); ++k) {
            sum += column[k] * (change[k] + root_[k] * out[k]);
        }
        simd::axpy(-sum, border_.data() + j * out.size(), out.data(), out.size());
    }
}

namespace {

// Whether all outputs have the same curvature.
bool same_for_all(std::span<const double> root, std::size_t n) {
    for (std::size_t k = n; k < root.size(); ++k) {
        if (root[k] != root[k - n]) {
            return false;
        }
    }
    return true;
}

// Rows of one output of columns of n K entries.
MatrixView<double> rows_of(MatrixView<double> B, std::size_t output, std::size_t n) {
    return dense::block(B, output * n, 0, n, B.columns);
}

class MeanField final : public Preconditioner {
public:
    MeanField(const GroupLasso& problem, const FreeColumns& columns, std::size_t threads)
        : Preconditioner(problem, columns),
          n_(problem.A.rows()),
          d_(problem.A.width()),
          square_norms_(n_, 0.0),
          mean_(n_),
          diagonal_(problem.fits()),
          inverse_(problem.fits()),
          scale_(problem.fits()),
          small_(d_),
          scaled_(n_),
          rows_(std::min(n_, kRowsAtATime) * d_),
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
        distinct_ = same_for_all(system.root(), n_) ? 1 : problem_.outputs;
        factors_.resize(distinct_ * d_ * d_);
        for (std::size_t output = 0; output < distinct_; ++output) {
            const Outcome outcome = factor_output(output, system.root(), total, monitor);
            if (outcome != Outcome::done) {
                return outcome;
            }
        }
        return Outcome::done;
    }

    // N~ = R^-1 (I + U U^T) R^-1, U = diag(scale) X.
    void solve(std::span<const double> r, std::span<double> out) override {
        const MatrixView<const double>& X = problem_.A.X;
        for (std::size_t output = 0; output < problem_.outputs; ++output) {
            const std::size_t at = which(output) * n_;
            const std::span<double> part = out.subspan(output * n_, n_);
            for (std::size_t k = 0; k < n_; ++k) {
                part[k] = inverse_[at + k] * r[output * n_ + k];
                scaled_[k] = scale_[at + k] * part[k];
            }
            dense::multiply_transposed(X, scaled_, small_);
            dense::solve_lower(F(output), small_);
            dense::solve_lower_transposed(F(output), small_);
            dense::multiply(X, small_, scaled_);
            for (std::size_t k = 0; k < n_; ++k) {
                part[k] = inverse_[at + k] * (part[k] - scale_[at + k] * scaled_[k]);
            }
        }
    }

    Outcome product(MatrixView<double> B, MatrixView<double> C, Monitor& monitor) override {
        products_.resize(d_ * B.columns);
        const MatrixView<double> Y(products_.data(), d_, B.columns);
        for (std::size_t output = 0; output < problem_.outputs; ++output) {
            const std::size_t at = which(output) * n_;
            const MatrixView<double> part = rows_of(B, output, n_);
            if (!scale_rows(part, {inverse_.data() + at, n_}, monitor)) {
                return Outcome::stopped;
            }
            Outcome outcome =
                dense::symmetric_product(1.0, dense::constant(part), dense::Op::transposed,
                                         output == 0 ? 0.0 : 1.0, C, work_, monitor);
            if (outcome == Outcome::done) {
                outcome = for_rows_of_U(output, [&](MatrixView<const double> U, std::size_t first) {
                    return dense::product(
                        1.0, U, dense::Op::transposed,
                        dense::constant(dense::block(part, first, 0, U.rows, B.columns)),
                        dense::Op::plain, first == 0 ? 0.0 : 1.0, Y, work_, monitor);
                });
            }
            if (outcome == Outcome::done) {
                outcome = dense::solve_lower(F(output), Y, work_, monitor);
            }
            if (outcome == Outcome::done) {
                outcome = dense::symmetric_product(-1.0, dense::constant(Y), dense::Op::transposed,
                                                   1.0, C, work_, monitor);
            }
            if (!scale_rows(part, {diagonal_.data() + at, n_}, monitor)) {
                return Outcome::stopped;
            }
            if (outcome != Outcome::done) {
                return outcome;
            }
        }
        return Outcome::done;
    }

private:
    // As many as the products of dense.hpp take in one go.
    static constexpr std::size_t kRowsAtATime = 4096;

    Outcome factor_output(std::size_t output, std::span<const double> root, double total,
                          Monitor& monitor) {
        const std::size_t at = output * n_;
        for (std::size_t k = 0; k < n_; ++k) {
            const double share = total > 0.0 ? mean_[k] / total : 0.0;
            const double variance = std::max(0.0, mean_[k] * (1.0 - share));
            const double h = root[at + k] * root[at + k];
            diagonal_[at + k] = std::sqrt(1.0 + h * square_norms_[k] * variance);
            inverse_[at + k] = 1.0 / diagonal_[at + k];
            scale_[at + k] =
                mean_[k] * root[at + k] * inverse_[at + k] / std::sqrt(total > 0.0 ? total : 1.0);
        }
        const MatrixView<double> factor(factors_.data() + output * d_ * d_, d_, d_);
        std::fill_n(factor.data, d_ * d_, 0.0);
        for (std::size_t j = 0; j < d_; ++j) {
            factor(j, j) = 1.0;
        }
        const Outcome outcome = for_rows_of_U(output, [&](MatrixView<const double> U, std::size_t) {
            return dense::symmetric_product(1.0, U, dense::Op::transposed, 1.0, factor, work_,
                                            monitor);
        });
        return outcome == Outcome::done ? dense::cholesky(factor, 0.0, work_, monitor) : outcome;
    }

    std::size_t which(std::size_t output) const { return distinct_ == 1 ? 0 : output; }
    // use(rows of U = diag(scale) X of that output, the first of them) a part at a time: U would be
    // as large as X.
    template <typename Use>
    Outcome for_rows_of_U(std::size_t output, const Use& use) {
        const double* scale = scale_.data() + which(output) * n_;
        for (std::size_t first = 0; first < n_; first += kRowsAtATime) {
            const std::size_t count = std::min(kRowsAtATime, n_ - first);
            const MatrixView<double> U(rows_.data(), count, d_);
            for (std::size_t j = 0; j < d_; ++j) {
                const double* x = problem_.A.X.column(j).data() + first;
                double* u = U.column(j).data();
                for (std::size_t k = 0; k < count; ++k) {
                    u[k] = scale[first + k] * x[k];
                }
            }
            const Outcome outcome = use(dense::constant(U), first);
            if (outcome != Outcome::done) {
                return outcome;
            }
        }
        return Outcome::done;
    }
    MatrixView<const double> F(std::size_t output) const {
        return {factors_.data() + which(output) * d_ * d_, d_, d_};
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
    std::size_t distinct_ = 1;          // factors: one, or one for each output
    std::vector<double> square_norms_;  // ||x_r||^2
    std::vector<double> mean_;
    std::vector<double> diagonal_, inverse_;  // n K: R^-1 and R
    std::vector<double> scale_;               // n K: what makes R H^1/2 U of X
    std::vector<double> small_, scaled_;      // d, n
    std::vector<double> rows_;                // of R H^1/2 U of one output, part of n x d
    std::vector<double> factors_;             // d x d each: Cholesky factors of I + U^T U
    std::vector<double> products_;            // d x k
    dense::Workspace work_;
};

class DenseFactor final : public Preconditioner {
public:
    DenseFactor(const GroupLasso& problem, const FreeColumns& columns, std::size_t threads)
        : Preconditioner(problem, columns),
          n_(problem.A.rows()),
          joined_(columns.rows()),
          gram_(n_ * n_),
          work_(threads) {}
    bool exact() const override { return !joined_; }

protected:
    // N = I + (H^1/2 X X^T H^1/2) o (D diag(c) D^T), for each output
    Outcome factor(const KernelSystem& system, Monitor& monitor) override {
        const MatrixView<double> X2(gram_.data(), n_, n_);
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
        distinct_ = same_for_all(system.root(), n_) ? 1 : problem_.outputs;
        factors_.resize(distinct_ * n_ * n_);
        const MatrixView<double> first(factors_.data(), n_, n_);
        const Outcome outcome =
            dense::symmetric_product(1.0, D, dense::Op::plain, 0.0, first, work_, monitor);
        if (outcome != Outcome::done) {
            return outcome;
        }
        for (std::size_t output = distinct_; output-- > 0;) {
            const double* root = system.root().data() + output * n_;
            const MatrixView<double> N(factors_.data() + output * n_ * n_, n_, n_);
            for (std::size_t j = 0; j < n_; ++j) {
                for (std::size_t i = j; i < n_; ++i) {
                    N(i, j) = first(i, j) * root[i] * root[j] * X2(i, j);
                }
                N(j, j) += 1.0;
            }
            const Outcome factored = dense::cholesky(N, 0.0, work_, monitor);
            if (factored != Outcome::done) {
                return factored;
            }
        }
        return Outcome::done;
    }

    void solve(std::span<const double> r, std::span<double> out) override {
        std::ranges::copy(r, out.begin());
        for (std::size_t output = 0; output < problem_.outputs; ++output) {
            const std::span<double> part = out.subspan(output * n_, n_);
            dense::solve_lower(L(output), part);
            dense::solve_lower_transposed(L(output), part);
        }
    }

    Outcome product(MatrixView<double> B, MatrixView<double> C, Monitor& monitor) override {
        solved_.resize(n_ * B.columns);
        const MatrixView<double> S(solved_.data(), n_, B.columns);
        for (std::size_t output = 0; output < problem_.outputs; ++output) {
            const MatrixView<double> part = rows_of(B, output, n_);
            for (std::size_t j = 0; j < B.columns; ++j) {
                std::ranges::copy(part.column(j), S.column(j).begin());
            }
            Outcome outcome = dense::solve_lower(L(output), S, work_, monitor);
            if (outcome == Outcome::done) {
                outcome = dense::symmetric_product(1.0, dense::constant(S), dense::Op::transposed,
                                                   output == 0 ? 0.0 : 1.0, C, work_, monitor);
            }
            if (outcome != Outcome::done) {
                return outcome;
            }
        }
        return Outcome::done;
    }

private:
    MatrixView<const double> L(std::size_t output) const {
        return {factors_.data() + (distinct_ == 1 ? 0 : output) * n_ * n_, n_, n_};
    }

    std::size_t n_;
    bool joined_;               // the outputs, by free constants of the samples
    std::size_t distinct_ = 1;  // factors: one, or one for each output
    bool have_gram_ = false;
    std::vector<double> gram_;     // n x n, lower triangle: X X^T
    std::vector<double> factors_;  // n x n each, lower triangle: Cholesky factors
    std::vector<double> masks_;    // n x |A|: sqrt(c_a) d_ra
    std::vector<double> solved_;   // n x k: L^-1 B
    dense::Workspace work_;
};

}  // namespace

std::unique_ptr<Preconditioner> mean_field(const GroupLasso& problem, const FreeColumns& columns,
                                           std::size_t threads) {
    return std::make_unique<MeanField>(problem, columns, threads);
}

std::unique_ptr<Preconditioner> dense_factor(const GroupLasso& problem, const FreeColumns& columns,
                                             std::size_t threads) {
    return std::make_unique<DenseFactor>(problem, columns, threads);
}

}  // namespace convexnn
