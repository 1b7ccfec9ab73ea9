"""Sign patterns of gates beside NumPy's product and packbits."""

from __future__ import annotations

import numpy as np
from pytest_benchmark.fixture import BenchmarkFixture

from pyconvexnn import _core


def _data(size: tuple[int, int, int]) -> tuple[np.ndarray, np.ndarray]:
    n, d, P = size
    rng = np.random.default_rng(0)
    return np.asfortranarray(rng.standard_normal((n, d))), rng.standard_normal((P, d))


def _numpy_signs(X: np.ndarray, G: np.ndarray) -> np.ndarray:
    return np.packbits(G @ X.T >= 0, axis=1, bitorder="little")


def test_signs(benchmark: BenchmarkFixture, size: tuple[int, int, int]) -> None:
    X, G = _data(size)
    packed = benchmark(_core.sign_patterns, X, G)
    bytes_used = (size[0] + 7) // 8
    assert np.array_equal(packed.view(np.uint8)[:, :bytes_used], _numpy_signs(X, G))


def test_signs_numpy(benchmark: BenchmarkFixture, size: tuple[int, int, int]) -> None:
    X, G = _data(size)
    bits = benchmark(_numpy_signs, X, G)
    assert np.array_equal(bits[0], np.packbits(X @ G[0] >= 0, bitorder="little"))
