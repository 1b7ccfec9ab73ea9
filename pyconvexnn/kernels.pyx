# cython: language_level=3, freethreading_compatible=True
"""The compiled kernels for other Cython code, with no copy of them and nothing to link.

In a module of your own, built with setuptools and Cython as usual::

    from pyconvexnn.kernels cimport masked_adjoint

    def gradients(const double[::1, :] X, const uint64_t[:, ::1] packed, ...):
        with nogil:
            error = masked_adjoint(&X[0, 0], n, d, &packed[0, 0], P, &v[0], 1, 1, &out[0, 0])

The functions, their arguments and their error codes are documented in ``kernels.pxd``. This module
has no Python names: the same from Python is ``PatternSet.from_gates`` and ``solve``.
"""

from cpython.pycapsule cimport PyCapsule_Import

cdef extern from "convexnn_capi.h":
    const char *CONVEXNN_CAPI_V1
    ctypedef struct convexnn_fit:
        double objective
        double dual_objective
        double offset
        size_t n_iter
    ctypedef struct convexnn_capi_v1:
        size_t size
        int (*sign_patterns)(const double *, size_t, size_t, const double *, size_t, size_t,
                             uint64_t *) noexcept nogil
        int (*masked_adjoint)(const double *, size_t, size_t, const uint64_t *, size_t,
                              const double *, size_t, size_t, double *) noexcept nogil
        int (*masked_adjoint_listed)(const double *, size_t, size_t, const uint64_t *, size_t,
                                     const double *, size_t, const int64_t *, size_t, size_t,
                                     double *) noexcept nogil
        int (*masked_forward)(const double *, size_t, size_t, const uint64_t *, size_t,
                              const int64_t *, size_t, const double *, size_t, size_t,
                              double *) noexcept nogil
        int (*coordinate_descent)(const double *, size_t, size_t, const uint64_t *, size_t,
                                  const double *, const double *, const double *, double, int,
                                  double, int, double, size_t, double, size_t, double *, double *,
                                  convexnn_fit *) noexcept nogil

cdef const convexnn_capi_v1 *api = <const convexnn_capi_v1 *>PyCapsule_Import(CONVEXNN_CAPI_V1, 0)
if api.size < sizeof(convexnn_capi_v1):  # `_core` of an older build, which lacks functions
    raise ImportError("pyconvexnn.kernels is newer than pyconvexnn._core; build both again")


cdef int sign_patterns(const double *X, size_t n, size_t d, const double *gates, size_t P,
                       size_t threads, uint64_t *packed) noexcept nogil:
    return api.sign_patterns(X, n, d, gates, P, threads, packed)


cdef int masked_adjoint(const double *X, size_t n, size_t d, const uint64_t *packed, size_t P,
                        const double *V, size_t K, size_t threads, double *U) noexcept nogil:
    return api.masked_adjoint(X, n, d, packed, P, V, K, threads, U)


cdef int masked_adjoint_listed(const double *X, size_t n, size_t d, const uint64_t *packed,
                               size_t P, const double *V, size_t K, const int64_t *indices,
                               size_t count, size_t threads, double *U) noexcept nogil:
    return api.masked_adjoint_listed(X, n, d, packed, P, V, K, indices, count, threads, U)


cdef int masked_forward(const double *X, size_t n, size_t d, const uint64_t *packed, size_t P,
                        const int64_t *indices, size_t count, const double *U, size_t K,
                        size_t threads, double *F) noexcept nogil:
    return api.masked_forward(X, n, d, packed, P, indices, count, U, K, threads, F)


cdef int coordinate_descent(const double *X, size_t n, size_t d, const uint64_t *packed, size_t P,
                            const double *y, const double *sample_weight,
                            const double *pattern_weight, double beta, int loss,
                            double loss_parameter, bint output_offset, double tol,
                            size_t max_iter, double time_limit, size_t threads, double *u,
                            double *dual, Fit *fit) noexcept nogil:
    if fit == NULL:
        return BAD_ARGUMENT
    cdef convexnn_fit found
    cdef int status = api.coordinate_descent(
        X, n, d, packed, P, y, sample_weight, pattern_weight, beta, loss, loss_parameter,
        output_offset, tol, max_iter, time_limit, threads, u, dual, &found)
    if status >= 0:
        fit.objective = found.objective
        fit.dual_objective = found.dual_objective
        fit.offset = found.offset
        fit.n_iter = found.n_iter
    return status
