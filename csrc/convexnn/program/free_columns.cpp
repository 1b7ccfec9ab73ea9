#include "convexnn/program/free_columns.hpp"

#include <algorithm>
#include <limits>

#include "convexnn/base/vectors.hpp"

namespace convexnn {

FreeColumns::FreeColumns(std::size_t n, std::size_t outputs, bool has_constant,
                         MatrixView<const double> skip, bool rows)
    : n_(n), outputs_(outputs), rows_(rows) {
    constexpr double kDependent = 1e-11;  // of a column's length: what is left is rounding
    const auto add = [&](std::span<double> column) {
        double largest = 0.0;
        for (const double x : column) {
            largest = std::max(largest, std::abs(x));
        }
        if (!(largest > 0.0)) {
            return;
        }
        for (double& x : column) {
            x /= largest;  // so that no square overflows
        }
        const double before = norm(column);
        for (int round = 0; round < 2; ++round) {
            for (std::size_t j = 0; j < width_; ++j) {
                const std::span<const double> q(basis_.data() + j * n, n);
                const double along = inner_product(q, column);
                for (std::size_t k = 0; k < n; ++k) {
                    column[k] -= along * q[k];
                }
            }
        }
        const double size = norm(column);
        if (size > kDependent * before) {
            for (const double x : column) {
                basis_.push_back(x / size);
            }
            ++width_;
        }
    };
    std::vector<double> column(n, 1.0);
    if (has_constant) {
        add(column);
    }
    for (std::size_t j = 0; j < skip.columns; ++j) {
        std::ranges::copy(skip.column(j), column.begin());
        add(column);
    }
    used_ = rows ? outputs - 1 : outputs;
    if (!empty()) {
        h_.resize(n * outputs);
        row_sums_.resize(rows ? n : 0);
        gram_.resize(count() * count());
        c_.resize(count());
        products_.resize(count());
        work_.resize(n);
    }
}

void FreeColumns::column(std::size_t j, std::span<double> out) const {
    std::ranges::fill(out, 0.0);
    const double* z = basis_.data() + j % width_ * n_;
    std::copy_n(z, n_, out.data() + j / width_ * n_);
}

bool FreeColumns::set(std::span<const double> h) {
    if (empty()) {
        return true;
    }
    std::ranges::copy(h, h_.begin());
    if (rows_) {
        std::ranges::fill(row_sums_, 0.0);
        for (std::size_t j = 0; j < outputs_; ++j) {
            for (std::size_t k = 0; k < n_; ++k) {
                row_sums_[k] += h[j * n_ + k];
            }
        }
    }
    // Blocks (i, j) of E'HE with the rows eliminated: Z' (delta_ij H_i - H_i H_j / sum H) Z.
    const std::size_t size = count();
    for (std::size_t i = 0; i < used_; ++i) {
        for (std::size_t j = 0; j <= i; ++j) {
            for (std::size_t k = 0; k < n_; ++k) {
                const double cross = rows_ && row_sums_[k] > 0.0
                                         ? h[i * n_ + k] * h[j * n_ + k] / row_sums_[k]
                                         : 0.0;
                work_[k] = (i == j ? h[i * n_ + k] : 0.0) - cross;
            }
            for (std::size_t a = 0; a < width_; ++a) {
                for (std::size_t b = 0; b < (i == j ? a + 1 : width_); ++b) {
                    double sum = 0.0;
                    if (i == j || rows_) {
                        const double* left = basis_.data() + a * n_;
                        const double* right = basis_.data() + b * n_;
                        for (std::size_t k = 0; k < n_; ++k) {
                            sum += work_[k] * left[k] * right[k];
                        }
                    }
                    gram_[(i * width_ + a) + (j * width_ + b) * size] = sum;
                }
            }
        }
    }
    // Cholesky in place; a column whose pivot vanishes depends on those before it, and is left out:
    // what remains is a generalised inverse.
    constexpr double kSmallest = 1e-13;  // of a pivot's own diagonal entry
    bool regular = true;
    for (std::size_t j = 0; j < size; ++j) {
        double* column = gram_.data() + j * size;
        const double diagonal = column[j];
        double pivot = diagonal;
        for (std::size_t i = 0; i < j; ++i) {
            pivot -= gram_[j + i * size] * gram_[j + i * size];
        }
        if (!(pivot > kSmallest * diagonal)) {
            regular = false;
            pivot = std::numeric_limits<double>::infinity();
        }
        column[j] = std::sqrt(pivot);
        for (std::size_t k = j + 1; k < size; ++k) {
            double entry = column[k];
            for (std::size_t i = 0; i < j; ++i) {
                entry -= gram_[k + i * size] * gram_[j + i * size];
            }
            column[k] = entry / column[j];
        }
    }
    return regular;
}

void FreeColumns::solve(std::span<double> c) const {
    const std::size_t size = count();
    for (std::size_t j = 0; j < size; ++j) {
        double entry = c[j];
        for (std::size_t i = 0; i < j; ++i) {
            entry -= gram_[j + i * size] * c[i];
        }
        c[j] = entry / gram_[j + j * size];
    }
    for (std::size_t j = size; j-- > 0;) {
        double entry = c[j];
        for (std::size_t k = j + 1; k < size; ++k) {
            entry -= gram_[k + j * size] * c[k];
        }
        c[j] = entry / gram_[j + j * size];
    }
}

// x += factor (I (x) Z) c
void FreeColumns::multiply(std::span<const double> c, double factor, std::span<double> x) const {
    for (std::size_t i = 0; i < used_; ++i) {
        for (std::size_t a = 0; a < width_; ++a) {
            const double t = factor * c[i * width_ + a];
            const double* z = basis_.data() + a * n_;
            for (std::size_t k = 0; k < n_; ++k) {
                x[i * n_ + k] += t * z[k];
            }
        }
    }
}

void FreeColumns::regress(std::span<double> x) const {
    const auto remove_rows = [&] {
        for (std::size_t k = 0; k < n_ && rows_; ++k) {
            double mean = 0.0;
            for (std::size_t j = 0; j < outputs_; ++j) {
                mean += h_[j * n_ + k] * x[j * n_ + k];
            }
            mean = row_sums_[k] > 0.0 ? mean / row_sums_[k] : 0.0;
            for (std::size_t j = 0; j < outputs_; ++j) {
                x[j * n_ + k] -= mean;
            }
        }
    };
    if (empty()) {
        return;
    }
    remove_rows();
    if (width_ == 0) {
        return;
    }
    for (std::size_t i = 0; i < used_; ++i) {
        for (std::size_t a = 0; a < width_; ++a) {
            double sum = 0.0;
            const double* z = basis_.data() + a * n_;
            for (std::size_t k = 0; k < n_; ++k) {
                sum += z[k] * h_[i * n_ + k] * x[i * n_ + k];
            }
            c_[i * width_ + a] = sum;
        }
    }
    solve(c_);
    multiply(c_, -1.0, x);
    remove_rows();
}

void FreeColumns::scale(std::span<const double> root, std::span<double> x) const {
    regress(x);
    for (std::size_t k = 0; k < x.size(); ++k) {
        x[k] *= root[k];
    }
}

void FreeColumns::combine(std::span<const double> c, std::span<double> x) const {
    std::ranges::fill(x, 0.0);
    multiply(c, 1.0, x);
}

double FreeColumns::step(std::span<const double> g, std::span<double> c) const {
    for (std::size_t i = 0; i < used_; ++i) {
        for (std::size_t a = 0; a < width_; ++a) {
            products_[i * width_ + a] = inner_product(basis().column(a), g.subspan(i * n_, n_));
        }
    }
    std::ranges::copy(products_, c.begin());
    solve(c);
    return inner_product(products_, c);
}

void FreeColumns::project(std::span<double> g) const {
    for (int round = 0; round < 2; ++round) {
        for (std::size_t j = 0; j < outputs_; ++j) {
            for (std::size_t a = 0; a < width_; ++a) {
                const std::span<const double> z = basis().column(a);
                const double along = inner_product(z, g.subspan(j * n_, n_));
                for (std::size_t k = 0; k < n_; ++k) {
                    g[j * n_ + k] -= along * z[k];
                }
            }
        }
    }
}

double FreeColumns::imbalance(std::span<const double> g) const {
    double largest = 0.0;
    for (std::size_t j = 0; j < outputs_; ++j) {
        largest = std::max(largest, imbalance(g, j));
    }
    return largest;
}

double FreeColumns::imbalance(std::span<const double> g, std::size_t output) const {
    constexpr double kRounding = 4.0 * std::numeric_limits<double>::epsilon();
    double largest = 0.0;
    for (std::size_t a = 0; a < width_; ++a) {
        double sum = 0.0;
        double size = 0.0;
        double longest = 0.0;
        double total = 0.0;
        for (std::size_t k = 0; k < n_; ++k) {
            const double z = basis_[a * n_ + k];
            const double x = g[output * n_ + k];
            sum += z * x;
            size += std::abs(z * x);
            longest = std::max(longest, std::abs(z));
            total += std::abs(x);
        }
        const double rest = std::abs(sum) - kRounding * longest * total;
        largest = std::max(largest, rest > 0.0 ? rest / size : 0.0);
    }
    return largest;
}

}  // namespace convexnn
