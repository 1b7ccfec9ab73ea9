"""The problems that are timed."""

from __future__ import annotations

import numpy as np

import pyconvexnn as cx


def problem(n: int, d: int, P: int, ratio: float, loss: str = "squared") -> cx.GatedReLUProblem:
    """Correlated features and a column of ones, a noisy teacher of 8 neurons, Gaussian gates."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((n, d - 1))
    for j in range(1, d - 1):
        X[:, j] = 0.5 * X[:, j - 1] + np.sqrt(0.75) * X[:, j]
    X = np.column_stack([X, np.ones(n)])
    W = rng.standard_normal((d, 8)) / np.sqrt(d)
    y = np.maximum(X @ W, 0) @ rng.standard_normal(8)
    y = y / y.std() + 0.3 * rng.standard_normal(n)
    y = (y - y.mean()) / y.std()
    patterns = cx.sample_patterns(X, P, coordinates="raw", seed=1)
    target = np.where(y >= 0, 1.0, -1.0) if loss == "logistic" else y
    prob = cx.GatedReLUProblem(X, target, patterns, 1.0, loss=loss)
    return cx.GatedReLUProblem(X, target, patterns, ratio * prob.beta_max, loss=loss)
