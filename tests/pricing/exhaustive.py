"""The largest price by exhaustion, twice: over all cells, and around the circle."""

from __future__ import annotations

import numpy as np

import pyconvexnn as cx
from pyconvexnn._typing import FloatArray
from pyconvexnn.problems import cones


def prices(X: FloatArray, v: FloatArray, U: FloatArray, slope: float) -> FloatArray:
    """v' act(X u) of the rows u, as it is defined."""
    T = U @ X.T
    return np.asarray(np.where(T >= 0.0, T, slope * T) @ v)


def over_cells(X: FloatArray, v: FloatArray, slope: float = 0.0) -> float:
    """Largest |v' act(X u)| over the unit ball, cell by cell; X in general position."""
    all_cones, largest = cones.Cones(X), 0.0
    for mask in np.asarray(cx.enumerate_patterns(X)):
        S, g = all_cones.normals(mask), X.T @ (np.where(mask, 1.0, slope) * v)
        largest = max(largest, cones.price(S, g), cones.price(S, -g))
    return largest


def around_circle(X: FloatArray, v: FloatArray, slope: float = 0.0) -> float:
    """Largest |v' act(X u)| over the unit circle, for any X of two columns.

    Between two neighbouring breakpoints the price is linear in u: its largest modulus is at one of
    them, or at the direction of the gradient or its opposite if these lie between.
    """
    rows = X[np.any(X != 0.0, axis=1)]
    angles = np.arctan2(rows[:, 1], rows[:, 0])
    breaks = np.unique(np.mod(np.concatenate([angles + np.pi / 2, angles - np.pi / 2]), 2 * np.pi))
    middles = 0.5 * (breaks + np.append(breaks[1:], breaks[0] + 2 * np.pi))
    at = [np.column_stack([np.cos(breaks), np.sin(breaks)])]
    for u in np.column_stack([np.cos(middles), np.sin(middles)]):
        g = X.T @ (np.where(X @ u >= 0.0, 1.0, slope) * v)
        if np.linalg.norm(g) > 0.0:
            # Outside of its arc it is just another neuron.
            at += [g[np.newaxis] / np.linalg.norm(g), -g[np.newaxis] / np.linalg.norm(g)]
    return float(np.max(np.abs(prices(X, v, np.concatenate(at), slope))))
