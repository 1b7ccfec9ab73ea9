"""Sign patterns of gates beside NumPy's product and packbits; exact enumeration; witnesses."""

from __future__ import annotations

import time

import numpy as np
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

import pyconvexnn as cx
from bench.machine import dgemm_rate
from pyconvexnn import _core
from pyconvexnn._witness import CellGates


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


@pytest.mark.parametrize(("n", "r"), [(200, 4), (100, 5), (80, 6), (1000, 3), (25, 12)])
def test_enumeration(benchmark: BenchmarkFixture, n: int, r: int) -> None:
    """Half cells a second through the stream, one thread; the bar is 25 M (8 M: the last two)."""
    X = np.random.default_rng(0).standard_normal((n, r))
    seconds = []

    def stream() -> int:
        start = time.process_time()
        count = sum(map(len, cx.iter_patterns(X)))
        seconds.append(time.process_time() - start)
        return count

    count = benchmark.pedantic(stream, rounds=3, warmup_rounds=1)
    assert count == cx.count_patterns(n, r)
    rate = count / 2 / min(seconds) / 1e6
    benchmark.extra_info["M half cells/s"] = rate
    benchmark.extra_info["M half cells/s where dgemm runs at 104 GF/s"] = rate * 104 / dgemm_rate()


def test_enumeration_threads(benchmark: BenchmarkFixture) -> None:
    """Wall time of one thread by that of two; needs two idle cores."""
    X = np.random.default_rng(0).standard_normal((100, 5))

    def seconds(threads: int) -> float:
        start = time.perf_counter()
        for _ in cx.iter_patterns(X, threads=threads):
            pass
        return time.perf_counter() - start

    benchmark.pedantic(seconds, args=(2,), rounds=5, warmup_rounds=1)
    best = [min(seconds(threads) for _ in range(10)) for threads in (1, 2)]
    benchmark.extra_info["times faster with two threads"] = best[0] / best[1]


def test_witnesses(benchmark: BenchmarkFixture) -> None:
    X = np.asfortranarray(np.random.default_rng(0).standard_normal((100, 4)))
    ps = cx.enumerate_patterns(X)[:20000]
    gates = benchmark.pedantic(CellGates(X), args=(ps.packed,), rounds=3)
    assert np.array_equal((X @ gates.T >= 0).T, ps.to_dense())
