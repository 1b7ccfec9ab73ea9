#include "convexnn/arrangement/reduce.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "convexnn/arrangement/double_double.hpp"
#include "convexnn/arrangement/lattice.hpp"
#include "convexnn/arrangement/orthogonal.hpp"

namespace convexnn {
namespace {

constexpr double kRankTolerance = 1e-10;
constexpr double kMultipleTolerance = 1.8e-15;  // eight roundings of an entry

// Column-major matrix that owns its entries.
struct Matrix {
    std::size_t rows = 0;
    std::size_t columns = 0;
    std::vector<double> entries;

    double* column(std::size_t j) { return &entries[j * rows]; }
    MatrixView<const double> view() const { return {entries.data(), rows, columns}; }
};

int exponent_of(double a) {
    int exponent = 0;
    std::frexp(a, &exponent);
    return exponent;
}

// Scales columns by powers of two to largest entries in [1/2, 1).
void scale_columns(Matrix& A, Monitor& monitor) {
    for (std::size_t j = 0; j < A.columns; ++j) {
        check(monitor);
        double top = 0.0;
        for (std::size_t i = 0; i < A.rows; ++i) {
            top = std::max(top, std::abs(A.column(j)[i]));
        }
        const int exponent = exponent_of(top);
        for (std::size_t i = 0; i < A.rows; ++i) {
            A.column(j)[i] = std::ldexp(A.column(j)[i], -exponent);
        }
    }
}

// Scales rows by powers of two to largest entries in [1/2, 1).
void scale_rows(Matrix& A, Monitor& monitor) {
    std::vector<double> largest(A.rows, 0.0);
    for (std::size_t j = 0; j < A.columns; ++j) {
        check(monitor);
        for (std::size_t i = 0; i < A.rows; ++i) {
            largest[i] = std::max(largest[i], std::abs(A.column(j)[i]));
        }
    }
    for (std::size_t j = 0; j < A.columns; ++j) {
        check(monitor);
        for (std::size_t i = 0; i < A.rows; ++i) {
            A.column(j)[i] = std::ldexp(A.column(j)[i], -exponent_of(largest[i]));
        }
    }
}

// Scales rows and columns in turn by powers of two to largest entries in [1/2, 1) or near it. Rows
// first: one row of huge entries would make the columns that hold them look dependent.
void equilibrate(Matrix& A, Monitor& monitor) {
    scale_rows(A, monitor);
    for (int sweep = 0; sweep < 3; ++sweep) {
        scale_columns(A, monitor);
        scale_rows(A, monitor);
    }
}

bool has_zero_row(const Matrix& A) {
    std::vector<bool> nonzero(A.rows, false);
    for (std::size_t k = 0; k < A.entries.size(); ++k) {
        nonzero[k % A.rows] = nonzero[k % A.rows] || A.entries[k] != 0.0;
    }
    return std::ranges::find(nonzero, false) != nonzero.end();
}

std::size_t rank_of(Matrix A, Monitor& monitor) {
    equilibrate(A, monitor);
    return pivoted_qr(A.view(), kRankTolerance, monitor).rank;
}

// The columns that are lattices up to scale, then those that are up to an offset as well.
// `A` has no zero row, and keeps none.
void snap_columns(Matrix& A, Monitor& monitor) {
    Matrix snapped = A;
    std::vector<std::size_t> others;
    for (std::size_t j = 0; j < A.columns; ++j) {
        check(monitor);
        if (!read_lattice({A.column(j), A.rows}, false, {snapped.column(j), A.rows})) {
            std::copy_n(A.column(j), A.rows, snapped.column(j));
            others.push_back(j);
        }
    }
    if (has_zero_row(snapped)) {
        return;  // a row that is noise on every lattice; its side is that of the data
    }
    A = snapped;
    Matrix shifted = A;
    bool some = false;
    for (const std::size_t j : others) {
        check(monitor);
        if (read_lattice({A.column(j), A.rows}, true, {shifted.column(j), A.rows})) {
            some = true;
        } else {
            std::copy_n(A.column(j), A.rows, shifted.column(j));
        }
    }
    if (!some) {
        return;
    }
    // An offset is a multiple of the column of ones, which must be there before and after.
    Matrix scaled = A;
    scale_columns(scaled, monitor);
    const std::vector<double> ones(A.rows, 1.0);
    if (distance_to_span(pivoted_qr(scaled.view(), kRankTolerance, monitor), ones) >
        kRankTolerance) {
        return;
    }
    shifted.entries.insert(shifted.entries.end(), A.rows, 1.0);
    ++shifted.columns;
    if (rank_of(shifted, monitor) == rank_of(A, monitor)) {
        A = std::move(shifted);
    }
}

// Whether row `a` is a multiple of row `b` (r entries each); `side` is the sign of the factor.
bool is_multiple(const double* a, const double* b, std::size_t r, double tolerance, double& side) {
    std::size_t top = 0;
    for (std::size_t k = 1; k < r; ++k) {
        top = std::abs(b[k]) > std::abs(b[top]) ? k : top;
    }
    for (std::size_t k = 0; k < r; ++k) {
        const DoubleDouble left = two_product(a[k], b[top]);
        const DoubleDouble right = two_product(a[top], b[k]);
        const DoubleDouble difference = left - right;
        if (std::abs(difference.hi) > tolerance * std::abs(left.hi)) {
            return false;
        }
    }
    side = (a[top] > 0.0) == (b[top] > 0.0) ? 1.0 : -1.0;
    return a[top] != 0.0;
}

// Finds the distinct hyperplanes among the rows of Y (row-major, r wide, sample of row i given).
void merge_rows(const std::vector<double>& Y, const std::vector<std::size_t>& samples,
                const std::vector<double>& inverse, double tolerance, ReducedRows& out,
                Monitor& monitor) {
    const std::size_t r = out.rank;
    const std::size_t n = samples.size();
    // A key that multiples share: the quotient of two fixed functionals of orthonormal coordinates.
    std::vector<double> key(n);
    for (std::size_t i = 0; i < n; ++i) {
        check(monitor);
        double top = 0.0;
        double bottom = 0.0;
        for (std::size_t k = 0; k < r; ++k) {
            DoubleDouble q;
            for (std::size_t j = 0; j <= k; ++j) {
                q = q + two_product(Y[i * r + j], inverse[j + k * r]);
            }
            top += q.hi * (0.37 + 0.1 * static_cast<double>((7 * k) % 11));
            bottom += q.hi * (k % 2 == 0 ? 0.71 : -0.59) * (1.0 + 0.07 * static_cast<double>(k));
        }
        // Continuous on projective lines but for one point: |key| <= 1.
        key[i] = std::abs(top) < std::abs(bottom) ? top / bottom : 2.0 - bottom / top;
        if (top == 0.0 && bottom == 0.0) {
            key[i] = 0.0;
        }
    }
    std::vector<std::size_t> order(n);
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::ranges::sort(order, [&](std::size_t a, std::size_t b) {
        return key[a] < key[b] || (key[a] == key[b] && a < b);
    });
    // The key's branches meet at 1, and at -1 and 3: it is an angle of period 4.
    constexpr double kWindow = 1e-9;
    std::vector<std::size_t> parent(n);
    std::iota(parent.begin(), parent.end(), std::size_t{0});
    const auto root = [&](std::size_t i) {
        while (parent[i] != i) {
            i = parent[i];
        }
        return i;
    };
    const auto joined = [&](std::size_t a, std::size_t b) {
        double side = 0.0;
        const std::size_t ra = root(a);
        const std::size_t rb = root(b);
        if (ra == rb) {
            return true;
        }
        if (!is_multiple(&Y[ra * r], &Y[rb * r], r, tolerance, side)) {
            return false;
        }
        parent[std::max(ra, rb)] = std::min(ra, rb);
        return true;
    };
    const auto near = [&](std::size_t a, std::size_t b) {
        const double gap = std::abs(key[a] - key[b]);
        return std::min(gap, std::abs(4.0 - gap)) <= kWindow;
    };
    for (std::size_t p = 0; p < n; ++p) {
        check(monitor);
        for (std::size_t step = 1; step < n; ++step) {
            const std::size_t q = (p + n - step) % n;
            if (!near(order[p], order[q]) || joined(order[p], order[q])) {
                break;
            }
        }
    }
    std::vector<std::int64_t> number(n, -1);
    for (std::size_t i = 0; i < n; ++i) {
        const std::size_t first = root(i);
        if (std::all_of(&Y[i * r], &Y[i * r] + r, [](double y) { return y == 0.0; })) {
            continue;  // zero but for noise in a column that was left out
        }
        if (first == i) {
            number[i] = static_cast<std::int64_t>(out.count++);
            out.rows.push_back(samples[i]);
            out.basis.insert(out.basis.end(), &Y[i * r], &Y[i * r] + r);
        }
        double side = 1.0;
        is_multiple(&Y[i * r], &Y[first * r], r, 1.0, side);
        out.representative[samples[i]] = number[first];
        out.flipped[samples[i]] = side < 0.0 ? 1 : 0;
    }
}

}  // namespace

ReducedRows reduce_rows(MatrixView<const double> X, bool snap, Monitor& monitor) {
    ReducedRows out;
    out.samples = X.rows;
    out.representative.assign(X.rows, -1);
    out.flipped.assign(X.rows, 0);

    std::vector<std::size_t> samples;
    std::vector<std::size_t> used;
    for (std::size_t i = 0; i < X.rows; ++i) {
        for (std::size_t j = 0; j < X.columns; ++j) {
            if (X(i, j) != 0.0) {
                samples.push_back(i);
                break;
            }
        }
    }
    Matrix A{samples.size(), 0, {}};
    for (std::size_t j = 0; j < X.columns; ++j) {
        const std::span<const double> column = X.column(j);
        if (std::ranges::any_of(column, [](double x) { return x != 0.0; })) {
            for (const std::size_t i : samples) {
                A.entries.push_back(column[i]);
            }
            ++A.columns;
            used.push_back(j);
        }
    }
    if (samples.empty()) {
        return out;
    }
    if (snap) {
        snap_columns(A, monitor);
        used.push_back(X.columns);  // the column of ones, where it was added
    }
    equilibrate(A, monitor);
    const PivotedQR qr = pivoted_qr(A.view(), kRankTolerance, monitor);
    out.rank = qr.rank;
    out.columns_left_out = qr.rank < A.columns;
    std::vector<double> Y(samples.size() * qr.rank);
    for (std::size_t k = 0; k < qr.rank; ++k) {
        out.columns.push_back(used[qr.pivots[k]]);
        for (std::size_t i = 0; i < samples.size(); ++i) {
            Y[i * qr.rank + k] = A.column(qr.pivots[k])[i];
        }
    }
    merge_rows(Y, samples, inverse_of_triangle(qr.R, qr.rank), snap ? kMultipleTolerance : 0.0, out,
               monitor);
    return out;
}

}  // namespace convexnn
