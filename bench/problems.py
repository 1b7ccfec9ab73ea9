"""The problems that are timed: a recipe at a ratio of its gated beta_max."""

from __future__ import annotations

import pyconvexnn as cx


def problem(n: int, d: int, P: int, ratio: float, loss: str = "squared") -> cx.GatedReLUProblem:
    """Gated program on ``cx.datasets.ar(n, d, P)`` with ``beta = ratio * beta_max``."""
    X, y, patterns = cx.datasets.ar(n, d, P, loss=loss)
    beta_max = cx.GatedReLUProblem(X, y, patterns, 1.0, loss=loss).beta_max
    return cx.GatedReLUProblem(X, y, patterns, ratio * beta_max, loss=loss)


def relu_problem(
    n: int, d: int, P: int, ratio: float, *, recipe: str = "ar", loss: str = "squared"
) -> cx.ReLUProblem:
    """ReLU program on ``cx.datasets.ar`` or ``gauss``, its beta a ratio of the *gated* beta_max."""
    X, y, patterns = getattr(cx.datasets, recipe)(n, d, P, loss=loss)
    beta_max = cx.GatedReLUProblem(X, y, patterns, 1.0, loss=loss).beta_max
    return cx.ReLUProblem(X, y, patterns, ratio * beta_max, loss=loss)
