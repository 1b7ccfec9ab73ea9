#include "convexnn/base/dense.hpp"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstring>
#include <new>
#include <thread>
#include <utility>

#include "convexnn/base/parallel.hpp"
#include "convexnn/base/simd.hpp"

// The rest of the library forgoes fused multiply-adds so that patterns are the same on every CPU.
// No pattern is decided here, and they are half the speed.
#if defined(__clang__)
#pragma clang fp contract(fast)
#elif defined(__GNUC__)
#pragma GCC optimize("fp-contract=fast")
#endif

namespace convexnn::dense {
namespace {

// ---- Tiles in registers ------------------------------------------------------------------------
//
// A panel is R (or N) rows of a matrix, column after column: entry (i, l) at l R + i. All the work
// goes through two functions on panels, in two shapes: `wide` fills the 32 registers of AVX-512,
// `narrow` the 16 of AVX2.

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

struct Kernels {
    std::size_t R, N;
    // C = alpha a b^T + beta C, R x N; C is not read where beta = 0.
    void (*multiply)(std::size_t depth, const double* a, const double* b, double alpha, double beta,
                     double* c, std::size_t stride);
    // x <- (x - a b^T) T^-T for x (a panel of N columns) and the N x N lower triangle T that
    // follows the `depth` columns of b, `inverse` the reciprocals of its diagonal.
    void (*solve)(std::size_t depth, const double* a, const double* b, const double* inverse,
                  double* x);
};
constexpr std::size_t kMaxR = 24;
constexpr std::size_t kMaxN = 8;

const Kernels& kernels() {
    static const Kernels chosen = std::strcmp(simd::isa_level(), "x86-64-v4") == 0
                                      ? Kernels{24, 8, multiply_wide, solve_wide}
                                      : Kernels{12, 4, multiply_narrow, solve_narrow};
    return chosen;
}

// ---- Sizes -------------------------------------------------------------------------------------

constexpr std::size_t kDepth = 256;  // columns of a panel: a panel of N rows stays in L1
constexpr std::size_t kRows = 240;   // rows packed at a time: they stay in L2
constexpr std::size_t kTile = 768;   // largest part of C that is packed at a time
constexpr std::size_t kPartsPerThread = 6;
constexpr std::size_t kLeastPart = 192;  // smaller parts are mostly packing
constexpr std::size_t kSpan = 4096;      // depth after which threads meet: bounds a task's time
constexpr std::size_t kBase = 128;       // order of the triangles that are solved in one go
constexpr double kThreadFlops = 8e6;     // below, threads cost more than they bring
static_assert(kRows % kMaxR == 0 && kRows % 12 == 0 && kTile % kMaxR == 0 && kBase % kMaxN == 0);

constexpr std::size_t kLeft = kRows * kDepth;
constexpr std::size_t kRight = kTile * kDepth;
// The panels of a triangle, their reciprocals, and the chunks of rows of `factor_base`.
constexpr std::size_t kTriangle = kBase * kBase + kBase;
static_assert(kLeft >= (kBase + kMaxR) * kBase);

constexpr std::size_t round_up(std::size_t n, std::size_t unit) {
    return (n + unit - 1) / unit * unit;
}

// ---- Matrices by strides -----------------------------------------------------------------------

// Entry (i, j) at data[i * row + j * column]; the strides may be negative. Transposes and reversals
// of a matrix are such views, which makes one code of four.
template <typename T>
struct Strided {
    T* data;
    std::ptrdiff_t row, column;

    T* at(std::size_t i, std::size_t j) const {
        return data + static_cast<std::ptrdiff_t>(i) * row +
               static_cast<std::ptrdiff_t>(j) * column;
    }
    Strided from(std::size_t i, std::size_t j) const { return {at(i, j), row, column}; }
    Strided transposed() const { return {data, column, row}; }
    operator Strided<const double>() const { return {data, row, column}; }
};
using Input = Strided<const double>;
using Output = Strided<double>;

template <typename T>
Strided<T> strided(MatrixView<T> A) {
    return {A.data, 1, static_cast<std::ptrdiff_t>(A.stride)};
}

// `count` <= R rows of A as a panel; rows that are missing are zero.
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

void pack(Input A, std::size_t rows, std::size_t columns, std::size_t R, double* out) {
    for (std::size_t i = 0; i < rows; i += R) {
        pack_panel(A.from(i, 0), std::min(R, rows - i), columns, R, out + i * columns);
    }
}

// ---- Threads -----------------------------------------------------------------------------------

struct Context {
    Workspace& workspace;
    Monitor& monitor;
    std::size_t threads;
    std::size_t thread = 0;  // whose buffers to use

    double* left() const { return workspace.left(thread); }
    double* right() const { return workspace.right(thread); }
    double* triangle() const { return workspace.triangle(thread); }
};

// The calling thread asks the monitor, the others look at its answer.
class Poll final : public Monitor {
public:
    Poll(Monitor* monitor, std::atomic<bool>& stop) : monitor_(monitor), stop_(stop) {}
    bool stop_requested() override {
        if (monitor_ != nullptr && monitor_->stop_requested()) {
            stop_ = true;
        }
        return stop_.load(std::memory_order_relaxed);
    }

private:
    Monitor* monitor_;
    std::atomic<bool>& stop_;
};

bool worth_threads(double flops, const Context& context) {
    return context.threads > 1 && flops >= kThreadFlops;
}

// body(task, context of the thread that runs it), false to stop, for every task; false when
// stopped.
template <typename Body>
bool for_tasks(std::size_t count, const Context& context, const Body& body) {
    std::atomic<bool> stop{false};
    std::atomic<std::size_t> next{0};
    const std::size_t threads = std::min(count, context.threads);
    const std::thread::id caller = std::this_thread::get_id();
    const bool started =
        parallel_for(threads, 1, threads, context.monitor, [&](std::size_t thread, std::size_t) {
            const bool asks = std::this_thread::get_id() == caller;
            Poll poll(asks ? &context.monitor : nullptr, stop);
            // Threads are for the outermost loop only: what a task calls stays on its thread.
            const Context own{context.workspace, poll, 1, context.thread + thread};
            for (std::size_t task = next++; task < count && !poll.stop_requested(); task = next++) {
                if (!body(task, own)) {
                    stop = true;
                }
            }
        });
    return started && !stop;
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

// C = alpha A B^T + beta C for A (m x depth), B (n x depth); `lower`: only there. C must have a
// stride of +-1, and +1 down its columns if `lower`.
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

// ---- Triangles ---------------------------------------------------------------------------------

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

Outcome outcome(bool finished) { return finished ? Outcome::done : Outcome::stopped; }

// ---- Vectors -----------------------------------------------------------------------------------

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

// ---- The interface -----------------------------------------------------------------------------

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
