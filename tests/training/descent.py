"""Descent on the non-convex objective with SciPy: what users train networks with."""

from __future__ import annotations

import numpy as np
from scipy.optimize import minimize

import pyconvexnn as cx
from pyconvexnn._typing import FloatArray


def descend(
    X: FloatArray, y: FloatArray, beta: float, m: int, seed: int, most: int = 2000
) -> tuple[cx.TwoLayerNetwork, float]:
    """Network of m neurons and its objective (squared loss), by L-BFGS from a random start."""
    r = X.shape[1]

    def objective(w: FloatArray) -> tuple[float, FloatArray]:
        U, a = w[: m * r].reshape(m, r), w[m * r :]
        H = np.maximum(X @ U.T, 0)
        e = H @ a - y
        G = ((e[:, np.newaxis] * a) * (H > 0)).T @ X + beta * U
        return 0.5 * float(e @ e) + 0.5 * beta * float(w @ w), np.append(G, H.T @ e + beta * a)

    w = np.random.default_rng(seed).standard_normal(m * (r + 1))
    found = minimize(objective, w, jac=True, method="L-BFGS-B", options={"maxiter": most})
    U, a = found.x[: m * r].reshape(m, r), found.x[m * r :]
    return cx.TwoLayerNetwork.from_arrays(U, a[:, np.newaxis]), float(found.fun)
