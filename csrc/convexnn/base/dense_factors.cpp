#include <algorithm>
#include <cmath>
#include <cstring>

#include "convexnn/base/dense.hpp"
#include "convexnn/base/dense_panels.hpp"
#include "convexnn/base/simd.hpp"

// The rest of the library forgoes fused multiply-adds so that patterns are the same on every CPU.
// No pattern is decided here, and they are half the speed.
#if defined(__clang__)
#pragma clang fp contract(fast)
#elif defined(__GNUC__)
#pragma GCC optimize("fp-contract=fast")
#endif

namespace convexnn::dense {

using namespace panels;

namespace {

// The panels of a lower triangle T (n <= kBase) that `solve_panel` wants: N rows each, kBase
// columns of room, the identity beyond n; then the reciprocals of the diagonal.
void pack_triangle(Input T, std::size_t n, double* out) {
    const std::size_t N = kernels().N;
    double* inverse = out + kBase * kBase;
    for (std::size_t i = 0; i < n; i += N) {
        const std::size_t rows = std::min(N, n - i);
        double* panel = out + i * kBase;
        // What the panel takes from above the diagonal is never used.
        for (std::size_t l = 0; l < i + N; ++l) {
            for (std::size_t r = 0; r < N; ++r) {
                panel[l * N + r] = r < rows && l <= i + r ? *T.at(i + r, l) : 0.0;
            }
        }
        for (std::size_t r = 0; r < N; ++r) {
            inverse[i + r] = r < rows ? 1.0 / *T.at(i + r, i + r) : 1.0;
        }
    }
}

// x <- x T^-T for a panel x of R rows.
void solve_panel(const double* triangle, std::size_t n, double* x) {
    const Kernels& kernel = kernels();
    for (std::size_t j = 0; j < n; j += kernel.N) {
        kernel.solve(j, x, triangle + j * kBase, triangle + kBase * kBase + j, x + j * kernel.R);
    }
}

// X <- X T^-T for X (m x n) and a lower triangle T (n x n).
bool solve_right(Input T, std::size_t n, Output X, std::size_t m, const Context& context) {
    if (worth_threads(static_cast<double>(m) * static_cast<double>(n * n), context) && m > kMaxR) {
        // Rows are independent, and tiles begin at the same ones for any number of parts.
        const std::size_t parts = std::min(context.threads, (m + kMaxR - 1) / kMaxR);
        const std::size_t height = round_up((m + parts - 1) / parts, kMaxR);
        return for_tasks((m + height - 1) / height, context,
                         [&](std::size_t task, const Context& own) {
                             const std::size_t i = task * height;
                             return solve_right(T, n, X.from(i, 0), std::min(height, m - i), own);
                         });
    }
    if (n > kBase) {
        const std::size_t half = round_up(n / 2, kBase);
        const Output rest = X.from(0, half);
        return solve_right(T, half, X, m, context) &&
               multiply_add(-1.0, X, T.from(half, 0), 1.0, rest, m, n - half, half, false,
                            context) &&
               solve_right(T.from(half, half), n - half, rest, m, context);
    }
    const std::size_t R = kernels().R;
    double* triangle = context.triangle();
    double* x = context.left();
    pack_triangle(T, n, triangle);
    for (std::size_t i = 0; i < m; i += R) {
        if (i % kRows == 0 && context.monitor.stop_requested()) {
            return false;
        }
        const std::size_t count = std::min(R, m - i);
        std::fill_n(x + n * R, (kMaxN - 1) * R, 0.0);
        pack_panel(X.from(i, 0), count, n, R, x);
        solve_panel(triangle, n, x);
        unpack_panel(x, count, n, R, X.from(i, 0));
    }
    return true;
}

// The factor of an N x N lower triangle, in place (leading dimension N).
template <std::size_t N>
bool factor_small(double* a, const double* least, double* inverse) {
    for (std::size_t j = 0; j < N; ++j) {
        const double pivot = a[j * N + j];
        if (!(pivot > least[j]) || !std::isfinite(pivot)) {
            return false;
        }
        const double root = std::sqrt(pivot);
        inverse[j] = 1.0 / root;
        a[j * N + j] = root;
        for (std::size_t i = j + 1; i < N; ++i) {
            a[j * N + i] *= inverse[j];
        }
        for (std::size_t l = j + 1; l < N; ++l) {
            for (std::size_t i = l; i < N; ++i) {
                a[l * N + i] -= a[j * N + i] * a[j * N + l];
            }
        }
    }
    return true;
}

// The block of order n <= kBase at (first, first) of A, once the columns left of it are done: N
// columns at a time, each brought up to date when its turn comes.
bool factor_base(Output whole, std::size_t first, std::size_t n, double tolerance,
                 const Context& context) {
    const Kernels& kernel = kernels();
    const std::size_t R = kernel.R;
    const std::size_t N = kernel.N;
    const std::size_t size = round_up(n, N);
    const std::size_t height = round_up(size, R);
    const Output A = whole.from(first, first);
    double* triangle = context.triangle();
    double* inverse = triangle + kBase * kBase;
    // The block as panels of R rows with kBase columns of room, the identity beyond n. What is
    // above the diagonal spoils only what is above the diagonal.
    double* x = context.left();
    const auto entry = [&](std::size_t i, std::size_t j) -> double& {
        return x[i / R * R * kBase + j * R + i % R];
    };
    for (std::size_t i = 0; i < height; i += R) {
        double* panel = &entry(i, 0);
        const std::size_t columns = i < n ? std::min(n, i + R) : std::size_t{0};
        if (columns > 0) {
            pack_panel(A.from(i, 0), std::min(R, n - i), columns, R, panel);
        }
        std::fill_n(panel + columns * R, (size - columns) * R, 0.0);
    }
    double least[kBase];
    for (std::size_t j = 0; j < size; ++j) {
        if (j >= n) {
            entry(j, j) = 1.0;
        }
        least[j] = tolerance * entry(j, j);
    }
    // A diagonal entry, as it was before any column was taken off, is the square of L's row.
    for (std::size_t l = 0; tolerance > 0.0 && l < first; ++l) {
        const double* column = whole.at(first, l);
        for (std::size_t j = 0; j < n; ++j) {
            least[j] += tolerance * (column[j] * column[j]);
        }
    }

    for (std::size_t j = 0; j < size; j += N) {
        double* panel = triangle + j * kBase;
        for (std::size_t l = 0; l < j; ++l) {  // N divides R: these rows are in one panel of x
            std::memcpy(panel + l * N, &entry(j, l), N * sizeof(double));
        }
        double* diagonal = &entry(j / R * R, 0);
        kernel.multiply(j, diagonal, panel, -1.0, 1.0, diagonal + j * R, R);
        double* small = panel + j * N;
        for (std::size_t l = 0; l < N; ++l) {
            std::memcpy(small + l * N, &entry(j, j + l), N * sizeof(double));
        }
        const bool positive = N == 8 ? factor_small<8>(small, least + j, inverse + j)
                                     : factor_small<4>(small, least + j, inverse + j);
        if (!positive) {
            return false;
        }
        kernel.solve(0, diagonal, small, inverse + j, diagonal + j * R);
        for (std::size_t l = 0; l < N; ++l) {
            std::memcpy(&entry(j, j + l), small + l * N, N * sizeof(double));
        }
        for (std::size_t i = j / R * R + R; i < height; i += R) {
            double* rows = &entry(i, 0);
            kernel.solve(j, rows, panel, inverse + j, rows + j * R);
        }
    }
    for (std::size_t j = 0; j < n; ++j) {
        for (std::size_t i = j; i < n;) {
            const std::size_t end = std::min(n, (i / R + 1) * R);
            std::copy_n(&entry(i, j), end - i, A.at(i, j));
            i = end;
        }
    }
    return true;
}

Outcome factor(Output whole, std::size_t first, std::size_t n, double tolerance,
               const Context& context) {
    if (n <= kBase) {
        if (context.monitor.stop_requested()) {
            return Outcome::stopped;
        }
        return factor_base(whole, first, n, tolerance, context) ? Outcome::done
                                                                : Outcome::not_positive;
    }
    const std::size_t half = round_up(n / 2, kBase);
    const Outcome top = factor(whole, first, half, tolerance, context);
    if (top != Outcome::done) {
        return top;
    }
    const std::size_t middle = first + half;
    const Output below = whole.from(middle, first);
    const std::size_t m = n - half;
    if (!solve_right(whole.from(first, first), half, below, m, context) ||
        !multiply_add(-1.0, below, below, 1.0, whole.from(middle, middle), m, m, half, true,
                      context)) {
        return Outcome::stopped;
    }
    return factor(whole, middle, m, tolerance, context);
}

constexpr std::size_t kGroup = 8;  // columns that share a pass over a vector

// y += sum_j c_j A(:, j) over 8 columns of n rows.
CONVEXNN_MULTIVERSION
void add_columns(const double* A, std::size_t stride, std::size_t n, const double* c, double* y) {
#pragma omp simd
    for (std::size_t i = 0; i < n; ++i) {
        const double* a = A + i;
        y[i] += ((c[0] * a[0] + c[1] * a[stride]) + (c[2] * a[2 * stride] + c[3] * a[3 * stride])) +
                ((c[4] * a[4 * stride] + c[5] * a[5 * stride]) +
                 (c[6] * a[6 * stride] + c[7] * a[7 * stride]));
    }
}

}  // namespace

Outcome cholesky(MatrixView<double> A, double tolerance, Workspace& workspace, Monitor& monitor) {
    return factor(strided(A), 0, A.rows, tolerance, {workspace, monitor, workspace.threads()});
}

Outcome solve_lower(MatrixView<const double> L, MatrixView<double> B, Workspace& workspace,
                    Monitor& monitor) {
    // (L^-1 B)' = B' L^-T
    return outcome(solve_right(strided(L), L.rows, strided(B).transposed(), B.columns,
                               {workspace, monitor, workspace.threads()}));
}

Outcome solve_lower_transposed(MatrixView<const double> L, MatrixView<double> B,
                               Workspace& workspace, Monitor& monitor) {
    const std::size_t n = L.rows;
    if (n == 0) {
        return Outcome::done;
    }
    // L^T with the order of its rows and columns reversed is lower triangular again.
    const Input l = strided(L);
    const Input T{l.at(n - 1, n - 1), -l.column, -l.row};
    const Output b = strided(B);
    return outcome(solve_right(T, n, {b.at(n - 1, 0), b.column, -b.row}, B.columns,
                               {workspace, monitor, workspace.threads()}));
}

void solve_lower(MatrixView<const double> L, std::span<double> b) {
    const std::size_t n = L.rows;
    for (std::size_t j = 0; j < n; j += kGroup) {
        const std::size_t end = std::min(n, j + kGroup);
        for (std::size_t l = j; l < end; ++l) {
            b[l] /= L(l, l);
            for (std::size_t i = l + 1; i < end; ++i) {
                b[i] -= L(i, l) * b[l];
            }
        }
        if (end < n) {  // then the group is whole
            double minus[kGroup];
            std::transform(&b[j], &b[j] + kGroup, minus, [](double x) { return -x; });
            add_columns(L.data + end + j * L.stride, L.stride, n - end, minus, &b[end]);
        }
    }
}

void solve_lower_transposed(MatrixView<const double> L, std::span<double> b) {
    const std::size_t n = L.rows;
    double dots[kGroup];
    for (std::size_t j = (n + kGroup - 1) / kGroup * kGroup; j > 0;) {
        j -= kGroup;
        const std::size_t end = std::min(n, j + kGroup);
        if (end < n) {
            simd::transposed_product(L.data + end + j * L.stride, L.stride, n - end, kGroup,
                                     &b[end], dots);
            for (std::size_t l = j; l < end; ++l) {
                b[l] -= dots[l - j];
            }
        }
        for (std::size_t l = end; l-- > j;) {
            for (std::size_t i = l + 1; i < end; ++i) {
                b[l] -= L(i, l) * b[i];
            }
            b[l] /= L(l, l);
        }
    }
}

}  // namespace convexnn::dense
