"""A process that may take little memory and is asked for much: ``python -m`` this, MEGABYTES.

What it holds after a little of everything has been done is what it may hold, and so many more.
Prints a line for each request: its name and what became of it, "done" or the exception.
"""

from __future__ import annotations

import resource
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import pyconvexnn as cx
from tests.faults.calls import SMALL, certify, fit, train

MEGABYTE = 1 << 20


def normal(*shape: int) -> Any:
    return np.random.default_rng(0).standard_normal(shape)


def masks(P: int, n: int) -> cx.PatternSet:
    return cx.PatternSet.from_dense(np.random.default_rng(0).random((P, n)) < 0.5)


def wide(solver: str, kind: Any = cx.GatedReLUProblem, d: int = 30) -> object:
    """Few rows, and more coefficients than there is memory for a dozen arrays of them."""
    n, P = 64, 100_000
    prob = kind(normal(n, d), normal(n), masks(P, n), 1.0)
    return cx.solve(prob.with_beta(0.1 * prob.beta_max), solver=solver, time_limit=1.0)


# Each too large as a whole, or for what is made of it.
REQUESTS: dict[str, Callable[[], object]] = {
    "enumerate": lambda: cx.enumerate_patterns(normal(300, 8)),
    "enumerate three features": lambda: cx.enumerate_patterns(normal(5000, 3)),
    "sample": lambda: cx.sample_patterns(normal(1000, 20), 10**8),
    "sample uniform": lambda: cx.sample_patterns(normal(60, 20), 2 * 10**6, method="uniform"),
    "from_gates": lambda: cx.PatternSet.from_gates(normal(100_000, 5), normal(60_000, 5)),
    "to_dense": lambda: cx.sample_patterns(normal(20_000, 3), 20_000).to_dense(),
    "solve cd": lambda: wide("cd"),
    "solve newton": lambda: wide("newton"),
    "solve fista": lambda: wide("fista"),
    "solve cutting plane": lambda: wide("cutting_plane", cx.ReLUProblem),
    "coefficients": lambda: cx.SparseBlocks(np.arange(1), np.ones((1, 1000)), 10**6).to_dense(),
    "train": lambda: cx.train(normal(100_000, 30), normal(100_000), 1e4, time_limit=1.0),
    "certify": lambda: certify(5000, 10, time_limit=1.0),
    "beta_max": lambda: cx.beta_max(normal(100_000, 20), normal(100_000)),
    "fit exact": lambda: cx.ConvexMLPRegressor("gated_relu", patterns="exact").fit(
        normal(400, 8), normal(400)
    ),
    "verify": lambda: cx.verify(*_wide_solution()),
    "predict": lambda: cx.TwoLayerNetwork.from_arrays(normal(2000, 5), normal(2000, 1)).predict(
        normal(20_000, 5)
    ),
}


def _wide_solution() -> tuple[Any, cx.Solution]:
    prob = cx.GatedReLUProblem(normal(64, 50), normal(64), masks(60_000, 64), 1.0)
    return prob, cx.solve(prob.with_beta(0.9 * prob.beta_max), solver="fista")


def main() -> None:
    warnings.simplefilter("ignore")
    for call in SMALL.values():
        call()
    train(50, 2)
    certify(50, 2)
    fit(50, 2, "relu")
    normal(500, 500) @ normal(500, 500)
    held = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    most = held + int(sys.argv[1]) * MEGABYTE
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    for name, request in REQUESTS.items():
        print(name, flush=True)  # noqa: T201
        try:
            request()
        except Exception as error:  # the test looks at what
            print(f"{type(error).__name__}: {error}"[:300].replace("\n", " "))  # noqa: T201
        else:
            print("done")  # noqa: T201
    for name, call in SMALL.items():  # it goes on
        assert call() == call(), name


if __name__ == "__main__":
    main()
