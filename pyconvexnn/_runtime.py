"""What the compiled part runs with: instruction set, cores, and what is installed beside it."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from pyconvexnn import _core
from pyconvexnn._validation import available_cores


def show_config() -> dict[str, Any]:
    """What the compiled kernels use here.

    Returns
    -------
    dict
        ``version`` of pyconvexnn, ``python``, ``numpy``, ``scipy``, ``instruction_set`` of the
        kernels ("x86-64-v4", "x86-64-v3" or "baseline"), ``numpy_blas`` and ``scipy_blas`` (what
        NumPy and SciPy were built with; the kernels call neither), ``cores`` that this process may
        use.

    Examples
    --------
    >>> import pyconvexnn as cx
    >>> cx.show_config()["cores"] >= 1
    True
    """
    import scipy

    from pyconvexnn import __version__

    return {
        "version": __version__,
        "python": sys.version.split()[0],
        "numpy": np.__version__,
        "scipy": scipy.__version__,
        "instruction_set": _core.isa_level(),
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
