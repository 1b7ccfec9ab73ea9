// Dense linear algebra of a second-order solver: products, Cholesky factors, triangular solves.
//
// Own kernels rather than BLAS: nothing here starts a thread of its own accord, no call is longer
// than a Monitor should wait, and the result does not depend on the number of threads, bit for bit
// (it does depend on the instruction set). Matrices are column-major with any stride >= rows, and
// must not overlap unless a function says so. Nothing here allocates but the Workspace. Functions
// that take a Workspace use its threads where the work pays for their start, ask `monitor` from the
// calling thread every few milliseconds, and leave their output unspecified unless they are done.
#pragma once

#include <cstddef>
#include <memory>
#include <span>

#include "convexnn/base/monitor.hpp"
#include "convexnn/base/views.hpp"

namespace convexnn::dense {

enum class Outcome {
    done,
    stopped,       // the monitor said stop
    not_positive,  // the matrix has no Cholesky factor, or is not finite
};

// Packing buffers for any size of matrix, about 2 MB a thread, of which a small problem touches
// little. One call at a time may use it.
class Workspace {
public:
    explicit Workspace(std::size_t threads);
    std::size_t threads() const { return threads_; }

    // Buffers of one thread, 64-byte aligned; for the kernels.
    double* left(std::size_t thread) const;
    double* right(std::size_t thread) const;
    double* triangle(std::size_t thread) const;

private:
    struct Free {
        void operator()(double* memory) const;
    };
    std::size_t threads_;
    std::unique_ptr<double[], Free> memory_;
};

enum class Op { plain, transposed };

// Rows [i, i + rows) and columns [j, j + columns) of a matrix.
template <typename T>
MatrixView<T> block(MatrixView<T> A, std::size_t i, std::size_t j, std::size_t rows,
                    std::size_t columns) {
    MatrixView<T> part(A.data + i + j * A.stride, rows, columns);
    part.stride = A.stride;
    return part;
}

inline MatrixView<const double> constant(MatrixView<double> A) {
    MatrixView<const double> same(A.data, A.rows, A.columns);
    same.stride = A.stride;
    return same;
}

// C = alpha op(A) op(B) + beta C; C is not read where beta = 0.
Outcome product(double alpha, MatrixView<const double> A, Op op_a, MatrixView<const double> B,
                Op op_b, double beta, MatrixView<double> C, Workspace& workspace, Monitor& monitor);

// C = alpha A A^T + beta C (`plain`), or alpha A^T A + beta C (`transposed`); only the lower
// triangle of C is read and written.
Outcome symmetric_product(double alpha, MatrixView<const double> A, Op op, double beta,
                          MatrixView<double> C, Workspace& workspace, Monitor& monitor);

// A = L L^T, L in place of the lower triangle of A; the upper triangle is neither read nor written.
// A pivot that is not above `tolerance` times its own diagonal entry of A ends with `not_positive`;
// 0 asks for positive pivots. A zero-sized A is done.
Outcome cholesky(MatrixView<double> A, double tolerance, Workspace& workspace, Monitor& monitor);

// B <- L^-1 B and B <- L^-T B for a lower triangular L (n x n; its upper triangle is not read), B
// (n x m).
Outcome solve_lower(MatrixView<const double> L, MatrixView<double> B, Workspace& workspace,
                    Monitor& monitor);
Outcome solve_lower_transposed(MatrixView<const double> L, MatrixView<double> B,
                               Workspace& workspace, Monitor& monitor);

// One right-hand side, on the calling thread: b <- L^-1 b and b <- L^-T b, n^2 flops.
void solve_lower(MatrixView<const double> L, std::span<double> b);
void solve_lower_transposed(MatrixView<const double> L, std::span<double> b);

// On the calling thread: y = A x; y = A^T x; y = A x for a symmetric A of which only the lower
// triangle is read.
void multiply(MatrixView<const double> A, std::span<const double> x, std::span<double> y);
void multiply_transposed(MatrixView<const double> A, std::span<const double> x,
                         std::span<double> y);
void multiply_symmetric(MatrixView<const double> A, std::span<const double> x, std::span<double> y);

}  // namespace convexnn::dense
