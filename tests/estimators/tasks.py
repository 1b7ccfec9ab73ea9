"""Small tasks for both kinds of estimator, and their networks in NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np

import pyconvexnn as cx
from pyconvexnn._typing import FloatArray
from pyconvexnn.networks import Network

BOTH = [cx.ConvexMLPRegressor, cx.ConvexMLPClassifier]
BOTH_CV = [cx.ConvexMLPRegressorCV, cx.ConvexMLPClassifierCV]
SINGLE = {
    cx.ConvexMLPRegressorCV: cx.ConvexMLPRegressor,
    cx.ConvexMLPClassifierCV: cx.ConvexMLPClassifier,
}
UNGATED = {"relu": 0.0, "leaky_relu": 0.1, "abs": -1.0}  # and what they multiply t < 0 with
ACTIVATIONS = ["gated_relu", *UNGATED]


def make_data(n: int = 60, d: int = 3, seed: int = 0) -> tuple[FloatArray, FloatArray]:
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, d))
    return X, np.maximum(X[:, 0], 0) - np.maximum(X[:, -1], 0) / 2 + 0.1 * rng.standard_normal(n)


def targets(estimator: type, y: FloatArray) -> Any:
    """The target as it suits the estimator: numbers, or two classes."""
    is_regressor = issubclass(estimator, cx.ConvexMLPRegressor)
    return y if is_regressor else np.where(y > 0, "up", "down")


def with_ones(X: FloatArray, scaling: float = 1.0) -> FloatArray:
    return np.column_stack([X, np.full(len(X), scaling)])


def by_hand(net: Network, data: FloatArray, slope: float = UNGATED["leaky_relu"]) -> FloatArray:
    """Outputs (n, K) of a network without offsets, in NumPy."""
    hidden = data @ net.W1.T
    if isinstance(net, cx.GatedNetwork):
        return np.asarray(((data @ net.gates.T >= 0) * hidden) @ net.W2)
    below = {**UNGATED, "leaky_relu": slope}[net.activation]
    return np.asarray(np.where(hidden > 0, hidden, below * hidden) @ net.W2)
