#include <algorithm>
#include <cstring>
#include <new>
#include <utility>

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
namespace panels {
namespace {

// ---- Tiles in registers ------------------------------------------------------------------------
//
// The two functions on panels in two shapes: `wide` fills the 32 registers of AVX-512, `narrow` the
// 16 of AVX2.

template <typename Vector>
CONVEXNN_INLINE void load(const double* from, Vector& to) {
    std::memcpy(&to, from, sizeof to);
}

// sum += a b^T for panels a (R rows) and b (N rows) of `depth` columns.
template <typename Vector, std::size_t V, std::size_t N>
CONVEXNN_INLINE void accumulate(std::size_t depth, const double* a, const double* b,
                                Vector (&sum)[N][V]) {
    constexpr std::size_t W = sizeof(Vector) / sizeof(double);
    for (std::size_t l = 0; l < depth; ++l) {
        Vector column[V];
#pragma GCC unroll 8
        for (std::size_t v = 0; v < V; ++v) {
            load(a + v * W, column[v]);
        }
#pragma GCC unroll 8
        for (std::size_t j = 0; j < N; ++j) {
#pragma GCC unroll 8
            for (std::size_t v = 0; v < V; ++v) {
                sum[j][v] += column[v] * b[j];
            }
        }
        a += V * W;
        b += N;
    }
}

template <typename Vector, std::size_t V, std::size_t N>
CONVEXNN_INLINE void multiply_tile(std::size_t depth, const double* a, const double* b,
                                   double alpha, double beta, double* c, std::size_t stride) {
    constexpr std::size_t W = sizeof(Vector) / sizeof(double);
    Vector sum[N][V] = {};
    accumulate<Vector, V, N>(depth, a, b, sum);
#pragma GCC unroll 8
    for (std::size_t j = 0; j < N; ++j) {
#pragma GCC unroll 8
        for (std::size_t v = 0; v < V; ++v) {
            double* to = c + j * stride + v * W;
            Vector value = sum[j][v] * alpha;
            if (beta != 0.0) {
                Vector old;
                load(to, old);
                value += old * beta;
            }
            std::memcpy(to, &value, sizeof value);
        }
    }
}

template <typename Vector, std::size_t V, std::size_t N>
CONVEXNN_INLINE void solve_tile(std::size_t depth, const double* a, const double* b,
                                const double* inverse, double* x) {
    constexpr std::size_t W = sizeof(Vector) / sizeof(double);
    Vector sum[N][V] = {};
    accumulate<Vector, V, N>(depth, a, b, sum);
    const double* triangle = b + depth * N;
#pragma GCC unroll 8
    for (std::size_t v = 0; v < V; ++v) {
#pragma GCC unroll 8
        for (std::size_t j = 0; j < N; ++j) {
            Vector value;
            load(x + j * V * W + v * W, value);
            sum[j][v] = value - sum[j][v];
        }
#pragma GCC unroll 8
        for (std::size_t j = 0; j < N; ++j) {
            sum[j][v] *= inverse[j];
#pragma GCC unroll 8
            for (std::size_t i = j + 1; i < N; ++i) {
                sum[i][v] -= sum[j][v] * triangle[j * N + i];
            }
            std::memcpy(x + j * V * W + v * W, &sum[j][v], sizeof(Vector));
        }
    }
}

using Vector8 __attribute__((vector_size(64))) = double;
using Vector4 __attribute__((vector_size(32))) = double;

CONVEXNN_MULTIVERSION
void multiply_wide(std::size_t depth, const double* a, const double* b, double alpha, double beta,
                   double* c, std::size_t stride) {
    multiply_tile<Vector8, 3, 8>(depth, a, b, alpha, beta, c, stride);
}
CONVEXNN_MULTIVERSION
void solve_wide(std::size_t depth, const double* a, const double* b, const double* inverse,
                double* x) {
    solve_tile<Vector8, 3, 8>(depth, a, b, inverse, x);
}
CONVEXNN_MULTIVERSION
void multiply_narrow(std::size_t depth, const double* a, const double* b, double alpha, double beta,
                     double* c, std::size_t stride) {
    multiply_tile<Vector4, 3, 4>(depth, a, b, alpha, beta, c, stride);
}
CONVEXNN_MULTIVERSION
void solve_narrow(std::size_t depth, const double* a, const double* b, const double* inverse,
                  double* x) {
    solve_tile<Vector4, 3, 4>(depth, a, b, inverse, x);
}

}  // namespace

const Kernels& kernels() {
    static const Kernels chosen = std::strcmp(simd::isa_level(), "x86-64-v4") == 0
                                      ? Kernels{24, 8, multiply_wide, solve_wide}
                                      : Kernels{12, 4, multiply_narrow, solve_narrow};
    return chosen;
}

// ---- Packing -----------------------------------------------------------------------------------

void pack_panel(Input A, std::size_t count, std::size_t columns, std::size_t R, double* out) {
    if (count < R) {
        std::fill_n(out, R * columns, 0.0);
    }
    if (A.row == 1) {
        for (std::size_t l = 0; l < columns; ++l) {
            const double* a = A.at(0, l);
            double* to = out + l * R;
            if (count == R) {
                std::memcpy(to, a, R * sizeof(double));
            } else {
                std::copy_n(a, count, to);
            }
        }
        return;
    }
    constexpr std::size_t kLine = 8;  // read a cache line of each row, then the next
    for (std::size_t l0 = 0; l0 < columns; l0 += kLine) {
        const std::size_t end = std::min(columns, l0 + kLine);
        for (std::size_t i = 0; i < count; ++i) {
            for (std::size_t l = l0; l < end; ++l) {
                out[l * R + i] = *A.at(i, l);
            }
        }
    }
}

void unpack_panel(const double* panel, std::size_t count, std::size_t columns, std::size_t R,
                  Output A) {
    if (A.row == 1) {
        for (std::size_t l = 0; l < columns; ++l) {
            std::copy_n(panel + l * R, count, A.at(0, l));
        }
        return;
    }
    constexpr std::size_t kLine = 8;
    for (std::size_t l0 = 0; l0 < columns; l0 += kLine) {
        const std::size_t end = std::min(columns, l0 + kLine);
        for (std::size_t i = 0; i < count; ++i) {
            for (std::size_t l = l0; l < end; ++l) {
                *A.at(i, l) = panel[l * R + i];
            }
        }
    }
}

namespace {

void pack(Input A, std::size_t rows, std::size_t columns, std::size_t R, double* out) {
    for (std::size_t i = 0; i < rows; i += R) {
        pack_panel(A.from(i, 0), std::min(R, rows - i), columns, R, out + i * columns);
    }
}

// ---- Products ----------------------------------------------------------------------------------

// The part of C = alpha A B^T + beta C that one task computes, C column-major.
struct Part {
    Input A, B;  // m x depth, n x depth
    double alpha, beta;
    double* C;
    std::size_t stride, m, n, depth;
    bool lower;            // only on and below the diagonal of C
    std::ptrdiff_t shift;  // row minus column of the part's first entry
};

void store_edge(const Part& part, const double* tile, std::size_t R, std::size_t i0, std::size_t j0,
                std::size_t rows, std::size_t columns, double beta) {
    for (std::size_t j = 0; j < columns; ++j) {
        double* c = part.C + i0 + (j0 + j) * part.stride;
        const std::ptrdiff_t above =
            static_cast<std::ptrdiff_t>(j0 + j) - static_cast<std::ptrdiff_t>(i0) - part.shift;
        const std::size_t first =
            part.lower && above > 0 ? static_cast<std::size_t>(above) : std::size_t{0};
        for (std::size_t i = first; i < rows; ++i) {
            c[i] = beta == 0.0 ? tile[i + j * R] : tile[i + j * R] + beta * c[i];
        }
    }
}

// False when stopped.
bool compute(const Part& part, const Context& context) {
    const Kernels& kernel = kernels();
    double* left = context.left();
    double* right = context.right();
    alignas(64) double tile[kMaxR * kMaxN];
    for (std::size_t l0 = 0; l0 < part.depth; l0 += kDepth) {
        const std::size_t depth = std::min(kDepth, part.depth - l0);
        const double beta = l0 == 0 ? part.beta : 1.0;
        pack(part.B.from(0, l0), part.n, depth, kernel.N, right);
        for (std::size_t i0 = 0; i0 < part.m; i0 += kRows) {
            if (context.monitor.stop_requested()) {
                return false;
            }
            const std::size_t rows = std::min(kRows, part.m - i0);
            pack(part.A.from(i0, l0), rows, depth, kernel.R, left);
            for (std::size_t j = 0; j < part.n; j += kernel.N) {
                const std::size_t columns = std::min(kernel.N, part.n - j);
                for (std::size_t i = 0; i < rows; i += kernel.R) {
                    const std::size_t height = std::min(kernel.R, rows - i);
                    const double* a = left + i * depth;
                    const double* b = right + j * depth;
                    // Rows of the tile's first and last entry, less the column of its last, first.
                    const std::ptrdiff_t first = part.shift + static_cast<std::ptrdiff_t>(i0 + i) -
                                                 static_cast<std::ptrdiff_t>(j);
                    const bool whole = height == kernel.R && columns == kernel.N;
                    const auto N = static_cast<std::ptrdiff_t>(columns);
                    const auto R = static_cast<std::ptrdiff_t>(height);
                    if (part.lower && first + R - 1 < 0) {
                        continue;
                    }
                    if (whole && (!part.lower || first - (N - 1) >= 0)) {
                        kernel.multiply(depth, a, b, part.alpha, beta,
                                        part.C + i0 + i + j * part.stride, part.stride);
                    } else {
                        kernel.multiply(depth, a, b, part.alpha, 0.0, tile, kernel.R);
                        store_edge(part, tile, kernel.R, i0 + i, j, height, columns, beta);
                    }
                }
            }
        }
    }
    return true;
}

void scale(Output C, std::size_t m, std::size_t n, double beta, bool lower) {
    for (std::size_t j = 0; j < n; ++j) {
        for (std::size_t i = lower ? j : 0; i < m; ++i) {
            double& c = *C.at(i, j);
            c = beta == 0.0 ? 0.0 : beta * c;
        }
    }
}

}  // namespace

bool multiply_add(double alpha, Input A, Input B, double beta, Output C, std::size_t m,
                  std::size_t n, std::size_t depth, bool lower, const Context& context) {
    if (m == 0 || n == 0) {
        return true;
    }
    if (depth == 0) {
        scale(C, m, n, beta, lower);
        return true;
    }
    // Reversing rows or columns of C reverses those of A or B, and a transpose swaps the two.
    if (C.row < 0) {
        C = {C.at(m - 1, 0), -C.row, C.column};
        A = {A.at(m - 1, 0), -A.row, A.column};
    }
    if (C.column < 0) {
        C = {C.at(0, n - 1), C.row, -C.column};
        B = {B.at(n - 1, 0), -B.row, B.column};
    }
    if (C.row != 1) {
        C = C.transposed();
        std::swap(A, B);
        std::swap(m, n);
    }
    // The parts begin at multiples of every tile's size, so how many there are changes no bit of
    // the result: as many as keep the threads evenly busy.
    const double flops = 2.0 * static_cast<double>(m) * static_cast<double>(n) *
                         static_cast<double>(std::min(depth, kSpan)) * (lower ? 0.5 : 1.0);
    const std::size_t wanted =
        worth_threads(flops, context) ? context.threads * kPartsPerThread * (lower ? 2 : 1) : 1;
    std::size_t down = (m + kTile - 1) / kTile;
    std::size_t across = (n + kTile - 1) / kTile;
    while (down * across < wanted && std::max(m / down, n / across) > kLeastPart) {
        ++(m * across >= n * down ? down : across);
    }
    const std::size_t height = round_up((m + down - 1) / down, kMaxR);
    const std::size_t width = round_up((n + across - 1) / across, kMaxR);
    for (std::size_t l0 = 0; l0 < depth; l0 += kSpan) {
        const auto body = [&](std::size_t task, const Context& own) {
            const std::size_t i = task % down * height;
            const std::size_t j = task / down * width;
            if (i >= m || j >= n || (lower && i + height <= j)) {
                return true;
            }
            return compute({A.from(i, l0), B.from(j, l0), alpha, l0 == 0 ? beta : 1.0, C.at(i, j),
                            static_cast<std::size_t>(C.column), std::min(height, m - i),
                            std::min(width, n - j), std::min(kSpan, depth - l0), lower,
                            static_cast<std::ptrdiff_t>(i) - static_cast<std::ptrdiff_t>(j)},
                           own);
        };
        if (wanted > 1) {
            if (!for_tasks(down * across, context, body)) {
                return false;
            }
            continue;
        }
        for (std::size_t task = 0; task < down * across; ++task) {
            if (!body(task, context)) {
                return false;
            }
        }
    }
    return true;
}

}  // namespace panels

// ---- The interface -----------------------------------------------------------------------------

using namespace panels;

namespace {
constexpr std::size_t kPerThread = kLeft + kRight + kTriangle;
constexpr std::align_val_t kLine{64};
static_assert(kPerThread % 8 == 0 && kLeft % 8 == 0 && kRight % 8 == 0);
}  // namespace

void Workspace::Free::operator()(double* memory) const { ::operator delete[](memory, kLine); }

Workspace::Workspace(std::size_t threads)
    : threads_(std::max<std::size_t>(1, threads)),
      memory_(
          static_cast<double*>(::operator new[](threads_ * kPerThread * sizeof(double), kLine))) {}

double* Workspace::left(std::size_t thread) const { return memory_.get() + thread * kPerThread; }
double* Workspace::right(std::size_t thread) const { return left(thread) + kLeft; }
double* Workspace::triangle(std::size_t thread) const { return right(thread) + kRight; }

Outcome product(double alpha, MatrixView<const double> A, Op op_a, MatrixView<const double> B,
                Op op_b, double beta, MatrixView<double> C, Workspace& workspace,
                Monitor& monitor) {
    const Input a = op_a == Op::plain ? strided(A) : strided(A).transposed();
    const Input b = op_b == Op::plain ? strided(B).transposed() : strided(B);
    const std::size_t depth = op_a == Op::plain ? A.columns : A.rows;
    return outcome(multiply_add(alpha, a, b, beta, strided(C), C.rows, C.columns, depth, false,
                                {workspace, monitor, workspace.threads()}));
}

Outcome symmetric_product(double alpha, MatrixView<const double> A, Op op, double beta,
                          MatrixView<double> C, Workspace& workspace, Monitor& monitor) {
    const Input a = op == Op::plain ? strided(A) : strided(A).transposed();
    const std::size_t depth = op == Op::plain ? A.columns : A.rows;
    return outcome(multiply_add(alpha, a, a, beta, strided(C), C.rows, C.rows, depth, true,
                                {workspace, monitor, workspace.threads()}));
}

namespace {

// y += sum_j x_j A(:, j) and dot_j = A(:, j)'x over 4 columns of n rows, in one pass.
CONVEXNN_MULTIVERSION
void add_and_dot(const double* A, std::size_t stride, std::size_t n, const double* c,
                 const double* x, double* y, double* dot) {
    double s0 = 0.0;
    double s1 = 0.0;
    double s2 = 0.0;
    double s3 = 0.0;
    const double* a1 = A + stride;
    const double* a2 = a1 + stride;
    const double* a3 = a2 + stride;
#pragma omp simd reduction(+ : s0, s1, s2, s3)
    for (std::size_t i = 0; i < n; ++i) {
        y[i] += (c[0] * A[i] + c[1] * a1[i]) + (c[2] * a2[i] + c[3] * a3[i]);
        s0 += A[i] * x[i];
        s1 += a1[i] * x[i];
        s2 += a2[i] * x[i];
        s3 += a3[i] * x[i];
    }
    dot[0] = s0;
    dot[1] = s1;
    dot[2] = s2;
    dot[3] = s3;
}

}  // namespace

void multiply(MatrixView<const double> A, std::span<const double> x, std::span<double> y) {
    simd::product(A.data, A.stride, A.rows, A.columns, x.data(), y.data());
}

void multiply_transposed(MatrixView<const double> A, std::span<const double> x,
                         std::span<double> y) {
    simd::transposed_product(A.data, A.stride, A.rows, A.columns, x.data(), y.data());
}

void multiply_symmetric(MatrixView<const double> A, std::span<const double> x,
                        std::span<double> y) {
    constexpr std::size_t kColumns = 4;
    const std::size_t n = A.rows;
    std::fill_n(y.begin(), n, 0.0);
    for (std::size_t j = 0; j < n; j += kColumns) {
        const std::size_t end = std::min(n, j + kColumns);
        for (std::size_t l = j; l < end; ++l) {
            y[l] += A(l, l) * x[l];
            for (std::size_t i = l + 1; i < end; ++i) {
                y[l] += A(i, l) * x[i];
                y[i] += A(i, l) * x[l];
            }
        }
        if (end < n) {
            double dots[kColumns];
            add_and_dot(A.data + end + j * A.stride, A.stride, n - end, &x[j], &x[end], &y[end],
                        dots);
            for (std::size_t l = j; l < end; ++l) {
                y[l] += dots[l - j];
            }
        }
    }
}

}  // namespace convexnn::dense
