# cython: language_level=3
"""The door to SciPy's BLAS. Cython compares the signature when this module is imported."""

from cpython.pycapsule cimport PyCapsule_New
from scipy.linalg.cython_blas cimport dgemm


def dgemm_capsule():
    """Capsule of the Fortran entry point dgemm, for ``_core.install_blas``."""
    return PyCapsule_New(<void *>dgemm, "pyconvexnn.dgemm", NULL)
