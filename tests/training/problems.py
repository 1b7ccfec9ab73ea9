"""Small training problems with known optima, and the enumerated program as an independent route."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

import pyconvexnn as cx
from pyconvexnn._typing import FloatArray

LOSSES = ["squared", "huber", "logistic", "squared_hinge", "poisson", "hinge"]
WITH_OFFSET = LOSSES[:-1]  # the hinge is refused with one, and has no stationarity
OFFSETS = [(loss, offset) for loss in LOSSES for offset in (False, loss in WITH_OFFSET)][:-1]


def gaussian_task(
    n: int, r: int, seed: int, loss: str = "squared"
) -> tuple[FloatArray, FloatArray, float]:
    """Features, a column of ones, targets with little in them, and a penalty that bites."""
    rng = np.random.default_rng(seed)
    X = np.column_stack([rng.standard_normal((n, r - 1)), np.ones(n)])
    y = np.maximum(X @ rng.standard_normal(r), 0.0) - 0.5 + 0.5 * rng.standard_normal(n)
    if loss in ("logistic", "squared_hinge", "hinge"):
        y = np.where(y > np.median(y), 1.0, -1.0)
    if loss == "poisson":
        y = np.round(2 * np.abs(y))
    return X, y, 0.1 * float(np.linalg.norm(X.T @ y)) / (1 if loss == "squared" else 2)


def optimum(X: FloatArray, y: FloatArray, beta: float, **options: Any) -> float:
    """Optimum over every cell, by the program with all of them."""
    cells = cx.enumerate_patterns(X)
    cells = cells[np.flatnonzero(cells.to_dense().any(axis=1))]
    return cx.solve(cx.ReLUProblem(X, y, cells, beta, **options), tol=1e-9).objective


def check(fit: cx.Fit, X: Any, y: Any, beta: float, best: float, **options: Any) -> None:
    """The fit is that optimum, its bound not too high, its network worth what it says."""
    cert = fit.certificate
    assert fit.status is cx.Status.SOLVED
    assert cert.is_optimal
    assert fit.history[-1].objective <= best * (1 + cert.rtol) + 1e-12
    assert cert.objective <= best * (1 + 1.1 * cert.rtol) + 1e-12
    assert cert.lower_bound <= best * (1 + 1e-8)
    again = fit.network.objective(X, y, beta, **options)
    assert again <= cert.objective <= again * (1 + 1e-12) + 1e-300


def late(call: Callable[[], object], limit: float) -> float:
    """Seconds by which a call is later than its time limit: the least of three, if they matter.

    The machine may be busy with something else for a moment.
    """
    least = np.inf
    for _ in range(3):
        start = time.perf_counter()
        call()
        least = min(least, time.perf_counter() - start - limit)
        if least < 0.5:
            break
    return float(least)
