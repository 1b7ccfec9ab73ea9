"""Exact enumeration: half cells a second by size, threads, gates, and the tree of linear programs.

Rates are printed below the table as they are and as they would be where one-thread dgemm runs at
104 GF/s.
"""

from __future__ import annotations

import time
import timeit

import numpy as np
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

import pyconvexnn as cx
from bench.machine import dgemm_rate
from pyconvexnn._witness import CellGates
from pyconvexnn.enumeration import PatternBlock
from tests import lp_tree

SIZES = [
    *((n, 3) for n in (50, 200, 1000)),
    *((n, 4) for n in (50, 100, 200, 400, 1000)),  # the last: 332 million patterns
    *((n, 5) for n in (50, 100, 150)),
    *((n, 6) for n in (50, 80)),
    (40, 8),
    (30, 10),
    (25, 12),
]


@pytest.fixture(scope="module")
def g() -> float:
    return dgemm_rate()


@pytest.mark.parametrize(("n", "r"), SIZES)
def test_stream(benchmark: BenchmarkFixture, n: int, r: int, g: float) -> None:
    """Through `iter_patterns`, one thread."""
    X = np.random.default_rng(0).standard_normal((n, r))
    seconds = []

    def stream() -> int:
        start = time.process_time()
        count = sum(map(len, cx.iter_patterns(X)))
        seconds.append(time.process_time() - start)
        return count

    expected = cx.count_patterns(n, r)
    rounds = 3 if expected < 1e8 else 1
    count = benchmark.pedantic(stream, rounds=rounds, warmup_rounds=rounds - 1)
    assert count == expected
    _check_cells(X)
    rate = count / 2 / min(seconds) / 1e6
    benchmark.extra_info["M half cells/s"] = rate
    benchmark.extra_info["M half cells/s where dgemm runs at 104 GF/s"] = rate * 104 / g


def _check_cells(X: np.ndarray) -> None:
    """Cells from the middle of the stream are distinct, and gates of some of them give them."""
    middle = cx.count_patterns(*X.shape) // 4
    block = next(iter(cx.iter_patterns(X, start=middle)))
    assert len(np.unique(block.packed, axis=0)) == len(block)
    some = block[::997]
    assert some.gates is not None
    assert np.array_equal((X @ some.gates.T > 0).T, some.to_dense())


def test_two_threads(benchmark: BenchmarkFixture) -> None:
    """Wall time of one thread by that of two; needs two idle cores."""
    X = np.random.default_rng(0).standard_normal((100, 5))

    def stream(threads: int) -> tuple[float, list[PatternBlock]]:
        start = time.perf_counter()
        blocks = list(cx.iter_patterns(X, threads=threads, block_size=1 << 20))
        return time.perf_counter() - start, blocks

    (_, blocks) = benchmark.pedantic(stream, args=(2,), rounds=5, warmup_rounds=1)
    assert blocks == stream(1)[1]
    best = [min(stream(threads)[0] for _ in range(10)) for threads in (1, 2)]
    benchmark.extra_info["times faster with two threads"] = best[0] / best[1]


def test_gates(benchmark: BenchmarkFixture) -> None:
    X = np.asfortranarray(np.random.default_rng(0).standard_normal((100, 4)))
    ps = cx.enumerate_patterns(X)[:20000]
    gates = benchmark.pedantic(CellGates(X), args=(ps.packed,), rounds=3)
    assert np.array_equal((X @ gates.T >= 0).T, ps.to_dense())
    assert benchmark.stats is not None
    benchmark.extra_info["us for each"] = benchmark.stats.stats.median / 20000 * 1e6


def test_tree_of_linear_programs(benchmark: BenchmarkFixture) -> None:
    """The textbook way (SciPy's HiGHS, one program for each node), on a size that it can do."""
    X = np.random.default_rng(0).standard_normal((20, 3))
    cells = benchmark.pedantic(lp_tree.all_cells, args=(X,), rounds=1)
    ours = cx.enumerate_patterns(X)
    assert {row.tobytes() for row in ours.to_dense()} == {row.tobytes() for row in cells}
    assert benchmark.stats is not None
    median = benchmark.stats.stats.median
    benchmark.extra_info["patterns/s"] = len(cells) / median
    quickest = min(timeit.repeat(lambda: cx.enumerate_patterns(X), number=1, repeat=20))
    benchmark.extra_info["time over that of enumerate_patterns"] = median / quickest
