"""Imported before NumPy is loaded: one thread for every library, the processor's own kernels."""

import os

for _library in ("OPENBLAS", "OMP", "MKL"):
    os.environ[f"{_library}_NUM_THREADS"] = "1"
os.environ.pop("OPENBLAS_CORETYPE", None)
