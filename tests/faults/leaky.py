"""Thousands of small calls of each kind, and what they leave behind: ``python -m`` this, ROUNDS.

Prints for each kind by how many kilobytes the process has grown.
"""

from __future__ import annotations

import ctypes
import gc
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np

import pyconvexnn as cx
from tests.faults.calls import gated, relu

WARM_UP = 2000  # rounds; the allocator and caches have settled then


def small_calls() -> dict[str, Callable[[], object]]:
    X, y, patterns = cx.datasets.gauss(12, 3, 5)
    of_gates, of_relu = gated(12, 3, 5, 0.3), relu(12, 3, 5, 0.3)
    sol = cx.solve(of_gates)
    net = cx.recover(of_gates, sol)
    net_of_relu = cx.recover(of_relu, cx.solve(of_relu))
    dense, G = patterns.to_dense(), np.eye(3)
    return {
        "solve": lambda: cx.solve(of_gates),
        "solve ReLU": lambda: cx.solve(of_relu),
        "solve with a callback": lambda: cx.solve(of_gates, callback=lambda _: False),
        "problem": lambda: cx.GatedReLUProblem(X, y, patterns, 1.0).beta_max,
        "refused": lambda: _refused(lambda: cx.GatedReLUProblem(X, y[1:], patterns, 1.0)),
        "verify": lambda: cx.verify(of_gates, sol),
        "beta_max": lambda: cx.beta_max(X, y),
        "sample_patterns": lambda: cx.sample_patterns(X, 5),
        "enumerate_patterns": lambda: cx.enumerate_patterns(X[:5]),
        "predict": lambda: (net.predict(X), net_of_relu.predict(X)),
        "from_dense": lambda: cx.PatternSet.from_dense(dense),
        "sets": lambda: ((patterns | patterns.complement())[:3], patterns == patterns),
        "gates": lambda: hash(cx.PatternSet.from_gates(X, G).restrict(np.arange(4))),
    }


def _refused(call: Callable[[], object]) -> None:
    try:
        call()
    except ValueError:
        return
    raise AssertionError("not refused")


def kilobytes() -> float:
    """What the process holds, once all that can be has been given back."""
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
    lines = Path("/proc/self/status").read_text().splitlines()
    return float(next(line for line in lines if line.startswith("VmRSS")).split()[1])


def main() -> None:
    warnings.simplefilter("ignore")
    calls = small_calls()
    for call in calls.values():
        for _ in range(min(WARM_UP, int(sys.argv[1]))):
            call()
    for name, call in calls.items():
        before = kilobytes()
        for _ in range(int(sys.argv[1])):
            call()
        print(f"{name}: {kilobytes() - before:.0f}", flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
