"""Small data sets and brute-force patterns that several test modules share."""

from __future__ import annotations

import itertools
import warnings
from typing import Any

import numpy as np

import pyconvexnn as cx
from pyconvexnn._typing import BoolArray, FloatArray

LENGTHS = [1, 2, 63, 64, 65, 128, 130]  # numbers of rows: around the ends of words


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


def as_set(patterns: cx.PatternSet | BoolArray) -> set[bytes]:
    dense = patterns.to_dense() if isinstance(patterns, cx.PatternSet) else patterns
    return {pattern.tobytes() for pattern in dense}


def n_distinct(ps: cx.PatternSet) -> int:
    return len(np.unique(ps.packed, axis=0))


def check_gates(X: FloatArray, ps: cx.PatternSet) -> None:
    """Gates of length 1, with the patterns bit for bit, strictly inside."""
    gates = ps.gates
    assert gates is not None
    nonzero = X.any(axis=1)
    dense = ps.to_dense()
    np.testing.assert_array_equal(bits_of(X, gates), dense)
    np.testing.assert_array_equal(bits_of(X, -gates)[:, nonzero], ~dense[:, nonzero])
    np.testing.assert_allclose(np.linalg.norm(gates, axis=1), 1.0, rtol=1e-12)


def pattern_sets() -> dict[str, cx.PatternSet]:
    X = gaussian(70, 3)
    X[1] = 0
    ps = cx.PatternSet.from_gates(X, gaussian(5, 3, seed=1))
    return {
        "gates": ps,
        "dense": cx.PatternSet.from_dense(ps.to_dense()),
        "none": ps[[]],
        "one bit": cx.PatternSet.from_dense([[1]]),
        "ties": cx.PatternSet.from_gates(np.eye(2), np.eye(2)),
    }


def assert_same(a: cx.PatternSet, b: cx.PatternSet) -> None:
    assert a == b
    assert (a.gates is None) == (b.gates is None)
    assert not b.packed.flags.writeable
    if a.gates is not None and b.gates is not None:
        np.testing.assert_array_equal(a.gates, b.gates, strict=True)
        assert not b.gates.flags.writeable
        assert (a.complement().gates is None) == (b.complement().gates is None)
    assert a.complement() == b.complement()


def nearly_dependent(n: int) -> FloatArray:
    """Gaussian rows and three that depend on each other to 32 digits, but not exactly."""
    return np.vstack([gaussian(n, 3), [1, 0, 0], [0, 1, 0], [1, 1, 2.0**-115]])


def left_open(n: int) -> FloatArray:
    """Gaussian rows and 13, among them seven with a determinant too small to be told: 1e-582."""
    tiny = np.vstack([np.zeros((1, 7)), 1e-97 * np.eye(7)[1:]]) + np.eye(7)[0]
    return np.vstack([gaussian(n, 7), np.eye(7)[1:], tiny])


def hexagon() -> tuple[FloatArray, FloatArray]:
    """Corners of a hexagon with equal targets: at beta = 0.1 the optima of ReLU are a segment."""
    angles = 0.1 + np.pi / 3 * np.arange(6)
    return np.c_[np.cos(angles), np.sin(angles)], np.ones(6)
