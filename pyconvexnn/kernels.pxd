# The compiled kernels for other Cython code: ``from pyconvexnn.kernels cimport coordinate_descent``.
#
#   X        n x d, column-major                     packed   P x words, words = ceil(n / 64):
#   V, F     n x K, column-major                              row k is bit k % 64 of word k / 64
#   U        one block of K x d for each pattern     threads  at most so many; 0 and 1 are the same
#
# Cython finds this file in an ordinary install; of an editable one with
# ``cythonize(..., include_path=[root of the clone])``.
#
# Every function may be called from several threads at once. Outputs belong to the caller, are
# overwritten, and must not overlap an input. Numbers must be finite, and labels -1 or 1: that is
# not checked. No exception is raised: a negative number is one of the errors below, and outputs are
# unspecified.

from libc.stdint cimport int64_t, uint64_t

cdef enum Error:
    BAD_ARGUMENT = -1  # null, zero or out of range; nothing was written
    NO_MEMORY = -2
    FAILED = -3  # anything else, such as a thread that cannot be started

cdef struct Fit:
    double objective
    double dual_objective  # a lower bound of the optimum, proved by `dual`
    double offset  # 0 without an output offset
    size_t n_iter

# Bit k of pattern i of `packed` (out) = 1[X(k, :) . gate i >= 0], gates P x d, row-major.
cdef int sign_patterns(const double *X, size_t n, size_t d, const double *gates, size_t P,
                       size_t threads, uint64_t *packed) noexcept nogil

# Block i of U (out) = V' D_i X, for every pattern i.
cdef int masked_adjoint(const double *X, size_t n, size_t d, const uint64_t *packed, size_t P,
                        const double *V, size_t K, size_t threads, double *U) noexcept nogil

# Block a of U (out) = V' D_i X, i = indices[a] in [0, P), a < count; repeats are fine.
cdef int masked_adjoint_listed(const double *X, size_t n, size_t d, const uint64_t *packed,
                               size_t P, const double *V, size_t K, const int64_t *indices,
                               size_t count, size_t threads, double *U) noexcept nogil

# F (out) = sum over a of D_i X U_a', i = indices[a], a < count; repeats are fine.
cdef int masked_forward(const double *X, size_t n, size_t d, const uint64_t *packed, size_t P,
                        const int64_t *indices, size_t count, const double *U, size_t K,
                        size_t threads, double *F) noexcept nogil

# min over u, b of  sum_k s_k l((sum_i D_i X u_i)_k + b, y_k)  +  beta sum_i w_i ||u_i||  by block
# coordinate descent, from zero.
#
#   y                n targets; -1 or 1 for the losses of classification, >= 0 for counts
#   sample_weight    n entries s >= 0, or NULL: ones
#   pattern_weight   P entries w > 0, or NULL: ones
#   loss             0 squared, 1 logistic, 2 Huber, 3 squared hinge, 4 Poisson, 5 hinge
#   loss_parameter   Huber's delta > 0; else ignored
#   output_offset    0: b = 0, as it has to be with the hinge
#   tol              on the relative gap, > 0
#   time_limit       seconds; INFINITY: none
#   u                out: P x d, row-major, exactly zero where a block is not used
#   dual             out: n, the dual point; or NULL
#
# Returns how it ended: 0 solved, 1 out of iterations, 2 out of time, 4 numerical breakdown; or an
# error. Nothing interrupts it but its limits.
cdef int coordinate_descent(const double *X, size_t n, size_t d, const uint64_t *packed, size_t P,
                            const double *y, const double *sample_weight,
                            const double *pattern_weight, double beta, int loss,
                            double loss_parameter, bint output_offset, double tol,
                            size_t max_iter, double time_limit, size_t threads, double *u,
                            double *dual, Fit *fit) noexcept nogil
