"""What the compiled part runs with: SciPy's BLAS, instruction set, threads."""

from __future__ import annotations

import functools
import sys
from typing import Any

import numpy as np

from pyconvexnn import _core
from pyconvexnn._validation import available_cores


@functools.cache
def load_blas() -> None:
    """Put SciPy's BLAS into the compiled part, once; called when a solver starts.

    Not done on import: SciPy's own import takes longer than everything else here.
    """
    try:
        from pyconvexnn._blas import dgemm_capsule
    except TypeError as error:  # Cython found another signature: a BLAS with 64-bit integers
        raise ImportError(
            "SciPy's BLAS has a signature other than the 32-bit one this build expects; "
            f"install SciPy from a wheel, or build pyconvexnn against this SciPy ({error})"
        ) from None
    _core.install_blas(dgemm_capsule())


def show_config() -> dict[str, Any]:
    """What the compiled kernels use here.

    Returns
    -------
    dict
        ``version`` of pyconvexnn, ``python``, ``numpy``, ``scipy``, ``instruction_set`` of the
        kernels ("x86-64-v4", "x86-64-v3" or "baseline"), ``blas`` in use ("scipy"),
        ``numpy_blas`` and ``scipy_blas`` (the two libraries the wheels carry; SciPy's is the one
        the kernels call), ``cores`` that this process may use.

    Examples
    --------
    >>> import pyconvexnn as cx
    >>> cx.show_config()["cores"] >= 1
    True
    """
    import scipy

    from pyconvexnn import __version__

    load_blas()
    return {
        "version": __version__,
        "python": sys.version.split()[0],
        "numpy": np.__version__,
        "scipy": scipy.__version__,
        "instruction_set": _core.isa_level(),
        "blas": _core.blas_source(),
        "numpy_blas": _blas_of(np),
        "scipy_blas": _blas_of(scipy),
        "cores": available_cores(),
    }


def _blas_of(package: Any) -> str:
    """Name and version of the BLAS that a package was built with, as it reports it."""
    try:
        blas = package.show_config(mode="dicts")["Build Dependencies"]["blas"]
        return f"{blas['name']} {blas['version']}"
    except (TypeError, KeyError):
        return "unknown"
