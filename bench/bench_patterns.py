"""Sign patterns of gates beside NumPy's product and packbits; operations on pattern sets."""

from __future__ import annotations

import numpy as np
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

import pyconvexnn as cx
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


@pytest.mark.parametrize("name", ["union", "restrict", "fingerprint", "contains", "complement"])
def test_set_operations(benchmark: BenchmarkFixture, name: str) -> None:
    """A million patterns of 200 rows, 32 MB packed."""
    rng = np.random.default_rng(0)
    words = rng.integers(0, 2**64, (1_000_000, 4), np.uint64)
    words[:, -1] &= np.uint64(255)
    ps = cx.PatternSet(words, 200)
    other, rows = ps[::2] | ps[:1000].complement(), rng.permutation(200)
    call = {
        "union": lambda: len(ps | other) == 1_001_000,
        "restrict": lambda: np.array_equal(
            ps.restrict(rows)[-9:].to_dense(), ps[-9:].to_dense()[:, rows]
        ),
        "fingerprint": lambda: len(ps.fingerprint) == 64,
        "contains": lambda: ps.packed[-1] in ps,
        "complement": lambda: not (ps.complement().packed[0] & ps.packed[0]).any(),
    }[name]
    assert benchmark.pedantic(call, rounds=3)
