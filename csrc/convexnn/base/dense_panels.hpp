// What the dense products and the dense factors share: kernels on panels, packing, tasks. Of no use
// to others; the interface is dense.hpp.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <thread>

#include "convexnn/base/dense.hpp"
#include "convexnn/base/parallel.hpp"

namespace convexnn::dense::panels {

// ---- Tiles in registers ------------------------------------------------------------------------

// A panel is R (or N) rows of a matrix, column after column: entry (i, l) at l R + i. All the work
// goes through two functions on panels.
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
inline constexpr std::size_t kMaxR = 24;
inline constexpr std::size_t kMaxN = 8;

const Kernels& kernels();  // of the running processor

// ---- Sizes -------------------------------------------------------------------------------------

inline constexpr std::size_t kDepth = 256;  // columns of a panel: a panel of N rows stays in L1
inline constexpr std::size_t kRows = 240;   // rows packed at a time: they stay in L2
inline constexpr std::size_t kTile = 768;   // largest part of C that is packed at a time
inline constexpr std::size_t kPartsPerThread = 6;
inline constexpr std::size_t kLeastPart = 192;  // smaller parts are mostly packing
inline constexpr std::size_t kSpan = 4096;   // depth after which threads meet: bounds a task's time
inline constexpr std::size_t kBase = 128;    // order of the triangles that are solved in one go
inline constexpr double kThreadFlops = 8e6;  // below, threads cost more than they bring
static_assert(kRows % kMaxR == 0 && kRows % 12 == 0 && kTile % kMaxR == 0 && kBase % kMaxN == 0);

inline constexpr std::size_t kLeft = kRows * kDepth;
inline constexpr std::size_t kRight = kTile * kDepth;
// The panels of a triangle, their reciprocals, and the chunks of rows of `factor_base`.
inline constexpr std::size_t kTriangle = kBase * kBase + kBase;
static_assert(kLeft >= (kBase + kMaxR) * kBase);

inline constexpr std::size_t round_up(std::size_t n, std::size_t unit) {
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
void pack_panel(Input A, std::size_t count, std::size_t columns, std::size_t R, double* out);

// The way back.
void unpack_panel(const double* panel, std::size_t count, std::size_t columns, std::size_t R,
                  Output A);

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

inline bool worth_threads(double flops, const Context& context) {
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

// C = alpha A B^T + beta C for A (m x depth), B (n x depth); `lower`: only there. C must have a
// stride of +-1, and +1 down its columns if `lower`. False: stopped.
bool multiply_add(double alpha, Input A, Input B, double beta, Output C, std::size_t m,
                  std::size_t n, std::size_t depth, bool lower, const Context& context);

inline Outcome outcome(bool finished) { return finished ? Outcome::done : Outcome::stopped; }

}  // namespace convexnn::dense::panels
