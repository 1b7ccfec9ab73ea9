"""What this machine is, and how fast: printed beside every figure."""

from __future__ import annotations

import os
import platform
import time
from pathlib import Path
from typing import Any

import numpy as np

import pyconvexnn as cx


def dgemm_rate() -> float:
    """One-thread GF/s of a 1500 x 1500 product in NumPy: what times are normalised by."""
    a = np.random.default_rng(0).standard_normal((1500, 1500))
    a @ a
    best = min(_seconds_of_product(a) for _ in range(5))
    return 2 * 1500**3 / best / 1e9


def _seconds_of_product(a: np.ndarray[Any, Any]) -> float:
    start = time.process_time()
    a @ a
    return time.process_time() - start


def facts() -> dict[str, Any]:
    """Processor, cores, versions, and the dgemm rate."""
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "numpy": np.__version__,
        "pyconvexnn": cx.show_config(),
        "dgemm_gflops": round(dgemm_rate(), 1),
    }


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()
