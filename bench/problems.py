"""The problems that are timed: recipe `ar` at a ratio of its beta_max."""

from __future__ import annotations

import pyconvexnn as cx


def problem(n: int, d: int, P: int, ratio: float, loss: str = "squared") -> cx.GatedReLUProblem:
    """Gated program on ``cx.datasets.ar(n, d, P)`` with ``beta = ratio * beta_max``."""
    X, y, patterns = cx.datasets.ar(n, d, P, loss=loss)
    beta_max = cx.GatedReLUProblem(X, y, patterns, 1.0, loss=loss).beta_max
    return cx.GatedReLUProblem(X, y, patterns, ratio * beta_max, loss=loss)
