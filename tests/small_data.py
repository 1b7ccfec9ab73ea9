"""Small data sets and brute-force patterns that several test modules share."""

from __future__ import annotations

import itertools
import warnings
from typing import Any

import numpy as np

import pyconvexnn as cx
from pyconvexnn._typing import BoolArray, FloatArray


def gaussian(n: int, d: int, seed: int = 0) -> FloatArray:
    return np.random.default_rng(seed).standard_normal((n, d))


def bits_of(X: Any, G: Any) -> BoolArray:
    """Signs of X g with the features added in order, which no BLAS and no CPU changes."""
    total = np.zeros((len(G), len(X)))
    for x, g in zip(np.asarray(X, float).T, np.asarray(G, float).T, strict=True):
        total = total + np.outer(g, x)
    return np.asarray(total >= 0)


def random_dense(count: int, n: int, seed: int = 0) -> BoolArray:
    return np.random.default_rng(seed).random((count, n)) < 0.5


def all_cells(X: FloatArray) -> set[bytes]:
    """Cells of generic rows in the plane: one gate between any two neighbouring normals."""
    angles = np.sort(np.concatenate([np.arctan2(X[:, 0], -X[:, 1]) + k * np.pi for k in range(4)]))
    middle = (angles[1:] + angles[:-1]) / 2
    return {bits.tobytes() for bits in bits_of(X, np.c_[np.cos(middle), np.sin(middle)])}


def quiet_sample(*args: Any, **options: Any) -> cx.PatternSet:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return cx.sample_patterns(*args, **options)


def sample(X: FloatArray, n_patterns: int, method: str, **options: Any) -> cx.PatternSet:
    """Sample of a method; around three directions if it needs some."""
    if method == "local":
        options.setdefault("around", gaussian(3, np.shape(X)[1], seed=9))
    return cx.sample_patterns(X, n_patterns, method=method, **options)


def designs() -> dict[str, FloatArray]:
    X = gaussian(40, 4)
    binary = np.array(list(itertools.product([0.0, 1.0], repeat=3)))
    return {
        "gaussian": X,
        "wide": gaussian(3, 8),
        "one feature": X[:, :1],
        "one sample": X[:1],
        "one number": np.array([[-2.0]]),
        "zero rows": np.vstack([X[:5], np.zeros((2, 4)), X[5:]]),
        "zero column": np.c_[X, np.zeros(40)],
        "rank 2": X[:, :2] @ gaussian(2, 5, seed=3),
        "repeated and opposite rows": np.vstack([X[:9], X[:9], -2 * X[:9]]),
        "intercept far away": np.c_[1990 + 30 * X[:, 0], np.ones(40)],
        "units": X * [1e-25, 1.0, 1e8, 1e25],
        "one-hot": np.c_[np.eye(4)[np.arange(40) % 4], X[:, :2], np.ones(40)],
        "hypercube": np.c_[binary, np.ones(8)],
        "small integers": np.random.default_rng(5).integers(-3, 4, (30, 3)).astype(float),
    }
