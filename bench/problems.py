"""The problems that are timed: a recipe at a ratio of its gated beta_max."""

from __future__ import annotations

import functools
import warnings

import pyconvexnn as cx
from pyconvexnn._typing import FloatArray


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


@functools.cache
def teacher_problem(n: int, d: int, seed: int = 0) -> tuple[FloatArray, FloatArray, float]:
    """``teacher(n, d)`` and a tenth of its beta_max."""
    X, y = cx.datasets.teacher(n, d, seed=seed)
    return X, y, 0.1 * cx.beta_max(X, y).value


@functools.cache
def trained_dual(n: int, d: int) -> tuple[FloatArray, float, FloatArray, FloatArray]:
    """X, beta, the dual point of a trained network, and its neurons: what a proof prices."""
    X, y, beta = teacher_problem(n, d)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its proof is not needed
        fit = cx.train(X, y, beta, rtol=1e-4, time_limit=10.0)
    return X, beta, y - fit.network.predict(X), fit.network.W1
