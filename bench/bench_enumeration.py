"""Exact enumeration: half cells a second by size and degeneracy, threads, gates, linear programs.

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
from pyconvexnn._cells import bound, reduced
from pyconvexnn._typing import FloatArray
from pyconvexnn._witness import CellGates
from pyconvexnn.enumeration import PatternBlock
from tests import lp_tree
from tests.test_exact_cells import resonance, threshold

SIZES = [
    *((n, 3) for n in (50, 200, 1000)),
    *((n, 4) for n in (50, 100, 200, 400, 1000)),  # the last: 332 million patterns
    *((n, 5) for n in (50, 100, 150)),
    *((n, 6) for n in (50, 80)),
    (40, 8),
    (30, 10),
    (25, 12),
]


def _beside(left: FloatArray, *columns: FloatArray) -> FloatArray:
    return np.column_stack([left, *columns])


def _integers(n: int, d: int, below: int) -> FloatArray:
    return np.random.default_rng(0).integers(0, below, (n, d)).astype(float)


def _gauss(n: int, d: int) -> FloatArray:
    return np.random.default_rng(1).standard_normal((n, d))


# Data, half cells (by tests.cell_counts, but for the families of known numbers), and millions of
# half cells a second of the prototype.
DEGENERATE: dict[str, tuple[FloatArray, int, float]] = {
    "2 integers, gauss, 1": (
        _beside(_integers(200, 2, 15), _gauss(200, 1), np.ones(200)),
        1_290_170,
        15.0,
    ),
    "3 decimals, 1": (_beside(_gauss(300, 3).round(2), np.ones(300)), 4_454_599, 26.0),
    "3 integers to 5, 1": (_beside(_integers(150, 3, 6), np.ones(150)), 102_540, 0.79),
    "one-hot of 3, 2 gauss": (
        _beside(np.eye(3)[np.arange(100) % 3], _gauss(100, 2)),
        1_905_160,
        0.4,
    ),
    "3 binary, 2 gauss, 1": (
        _beside(_integers(80, 3, 2), _gauss(80, 2), np.ones(80)),
        15_876_370,
        0.51,
    ),
    "4 ternary, 1": (_beside(_integers(61, 4, 3), np.ones(61)), 58_571, 0.34),
    "threshold 6": (threshold(6), 7_514_067, 0.31),
    "resonance 6": (resonance(6), 533_022, 0.14),
}


@pytest.fixture(scope="module")
def g() -> float:
    return dgemm_rate()


@pytest.mark.parametrize(("n", "r"), SIZES)
def test_stream(benchmark: BenchmarkFixture, n: int, r: int, g: float) -> None:
    """Through `iter_patterns`, one thread."""
    X = np.random.default_rng(0).standard_normal((n, r))
    half_cells = cx.count_patterns(n, r) // 2
    _time_stream(benchmark, X, half_cells, g, rounds=3 if half_cells < 5e7 else 1)


@pytest.mark.parametrize("name", DEGENERATE)
def test_stream_of_degenerate_data(benchmark: BenchmarkFixture, name: str, g: float) -> None:
    """The same of integers, one-hot columns, decimals, beside what a prototype did."""
    X, half_cells, prototype = DEGENERATE[name]
    rate = _time_stream(benchmark, X, half_cells, g, rounds=3 if half_cells < 5e6 else 1)
    rows = reduced(np.asfortranarray(X), True)
    benchmark.extra_info["candidates for each"] = bound(rows.count, rows.rank) / half_cells
    benchmark.extra_info["times the rate of the prototype"] = rate / prototype


def _time_stream(
    benchmark: BenchmarkFixture, X: FloatArray, half_cells: int, g: float, rounds: int
) -> float:
    """Millions of half cells a second, where one-thread dgemm runs at 104 GF/s."""
    seconds = []

    def stream() -> int:
        start = time.process_time()
        count = sum(map(len, cx.iter_patterns(X)))
        seconds.append(time.process_time() - start)
        return count

    count = benchmark.pedantic(stream, rounds=rounds, warmup_rounds=rounds - 1)
    assert count == 2 * half_cells
    _check_cells(X, half_cells // 2)
    rate = half_cells / min(seconds) / 1e6
    benchmark.extra_info["M half cells/s"] = rate
    benchmark.extra_info["M half cells/s where dgemm runs at 104 GF/s"] = rate * 104 / g
    return rate * 104 / g


def _check_cells(X: FloatArray, middle: int) -> None:
    """Cells from the middle of the stream are distinct, and gates of some of them give them."""
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
