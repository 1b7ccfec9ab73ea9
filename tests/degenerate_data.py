"""Random degenerate data of at most 300 cells, and the rows that they stand for."""

from __future__ import annotations

import itertools

import numpy as np

from pyconvexnn._typing import FloatArray

KINDS = [
    "small integers",
    "one-hot",
    "duplicates",
    "opposites",
    "collinear decimals",
    "grid",
    "standardised counts",
]
N_INSTANCES = 200

_MOST = {1: 30, 2: 30, 3: 17, 4: 10, 5: 8, 6: 8}  # distinct rows of this rank: 300 cells or fewer


def instance(number: int) -> tuple[FloatArray, FloatArray]:
    """Data, and exact rows with the same cells: what the data are to be read as.

    All kinds, each with and without a column of ones, some with columns that depend on others,
    rows in any order, of any size, repeated, opposite, or zero.
    """
    rng = np.random.default_rng(number)
    kind = KINDS[number % len(KINDS)]
    plain = kind == "standardised counts"  # which rescaled or added up are no lattice any more
    rank = int(rng.integers(2, 5))
    X, exact = _features(kind, rank, rng)
    if number // len(KINDS) % 2 or plain:
        X, exact = np.c_[X, np.ones(len(X))], np.c_[exact, np.ones(len(X))]
    X, exact = X[: _MOST[X.shape[1]]], exact[: _MOST[X.shape[1]]]
    often = rng.random(4) < 0.3
    if often[0]:
        again = rng.integers(0, len(X), 4)
        factor = np.array([[1.0], [-1.0], [2.0], [-0.5]]) ** (0.0 if plain else 1.0)
        X, exact = np.vstack([X, factor * X[again]]), np.vstack([exact, factor * exact[again]])
    if often[1]:
        X, exact = (np.vstack([A, np.zeros((1, A.shape[1]))]) for A in (X, exact))
    if often[2] and not plain:
        size = 2.0 ** rng.integers(-2, 3, (len(X), 1))
        X, exact = size * X, size * exact
    if often[3] and not plain:
        more = rng.integers(-2, 3, (X.shape[1], X.shape[1] + 1)).astype(float)
        X = X @ np.c_[np.eye(X.shape[1]), more]
    order = rng.permutation(len(X))
    return X[order], exact[order]


def _features(kind: str, rank: int, rng: np.random.Generator) -> tuple[FloatArray, FloatArray]:
    """Data of at most 4 columns, and the rows that they stand for."""
    n = int(rng.integers(rank, 20))
    if kind == "small integers":
        X = rng.integers(-2, 3, (n, rank)).astype(float)
    elif kind == "one-hot":
        classes = int(rng.integers(2, 4))
        X = np.c_[np.eye(classes)[np.arange(n) % classes], _floats(n, 1, rng)]
    elif kind == "duplicates":
        X = _floats(5, rank, rng)[rng.integers(0, 5, n)]
    elif kind == "opposites":
        X = rng.integers(-3, 4, (5, rank)).astype(float)
        X = np.vstack([X, -3.0 * X, -X[:2]])
    elif kind == "grid":
        sides = [int(rng.integers(2, 4)) for _ in range(min(rank, 3))]
        X = np.array(list(itertools.product(*map(range, sides))), float)
        X = X[rng.permutation(len(X))]
    elif kind == "collinear decimals":
        steps = rng.integers(-9, 10, (n, 1)) * rng.integers(1, 4, (1, rank))
        steps += rng.integers(-1, 2, (1, rank)) * rng.integers(0, 2, (n, 1))
        exact = steps.astype(float)
        return np.asarray(0.1 * exact), exact
    else:
        counts = rng.integers(0, 4, (max(n, 4), min(rank, 3))).astype(float)
        counts[:2] = [[0.0], [1.0]]  # no column is constant
        return (counts - counts.mean(axis=0)) / counts.std(axis=0), counts
    return X, X


def _floats(n: int, d: int, rng: np.random.Generator) -> FloatArray:
    """Gaussian numbers with so few digits that sums of them are exact."""
    return np.round(rng.standard_normal((n, d)) * 2.0**30) / 2.0**30
