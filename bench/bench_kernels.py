"""Products with masked data, as multiples of the rate of a dense product of 1500 x 1500."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pytest_benchmark.fixture import BenchmarkFixture

from pyconvexnn import _core

SIZES = [
    (500, 20, 500),
    (1000, 20, 1000),
    (1000, 10, 5000),
    (2000, 50, 1000),
    (5000, 100, 500),
    (20000, 100, 2000),
]

Real = NDArray[Any]


class Case:
    """Prepared products as solvers keep them, all patterns active, and room for the results."""

    def __init__(self, shape: tuple[int, int, int], dtype: Any) -> None:
        n, d, P = shape
        rng = np.random.default_rng(0)
        self.X = np.asfortranarray(rng.standard_normal((n, d)), dtype=dtype)
        packed = _core.sign_patterns(self.X.astype(float), rng.standard_normal((P, d)))
        kind: Any = _core.MaskedProducts if dtype is np.float64 else _core.MaskedProducts32
        self.products = kind(self.X, packed)
        self.products.set_active(np.arange(P))
        self.v = rng.standard_normal(n).astype(dtype)
        self.U = rng.standard_normal((P, d)).astype(dtype)
        self.tolerance = 1e-11 if dtype is np.float64 else 1e-3
        self.some = np.unpackbits(packed[:3].view(np.uint8), axis=1, bitorder="little")[:, :n]

    def call(self, product: str, threads: int = 1) -> Callable[[], Real]:
        """The product, into memory that was touched before."""
        if product == "adjoint":
            rows = np.zeros_like(self.U)
            return lambda: self.products.adjoint(self.v, out=rows, threads=threads)
        f = np.zeros_like(self.v)
        return lambda: self.products.active_forward(self.U, out=f, threads=threads)

    def check(self, product: str, result: Real) -> None:
        n = len(self.v)
        if product == "adjoint":
            expected = (self.some * self.v.astype(float)) @ self.X
            np.testing.assert_allclose(result[:3], expected, atol=self.tolerance * np.sqrt(n))
            return
        # <F, v> = <U, adjoint of v>
        pairing = np.vdot(self.products.adjoint(self.v).astype(float), self.U)
        scale = n * np.sqrt(self.U.size)
        assert result.astype(float) @ self.v == pytest.approx(pairing, abs=self.tolerance * scale)


def seconds(call: Callable[[], Any], clock: Callable[[], float], repeats: int = 4) -> list[float]:
    call()
    times = []
    for _ in range(repeats):
        start = clock()
        call()
        times.append(clock() - start)
    return times


@pytest.mark.benchmark(timer=time.process_time)
@pytest.mark.parametrize("product", ["adjoint", "forward"])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("shape", SIZES, ids=str)
def test_masked_product(
    benchmark: BenchmarkFixture, shape: tuple[int, int, int], dtype: Any, product: str
) -> None:
    """All patterns, one thread, beside a dense product measured before and after."""
    case = Case(shape, dtype)
    a = np.random.default_rng(0).standard_normal((1500, 1500)).astype(dtype)
    b = np.empty_like(a)
    dense = seconds(lambda: np.matmul(a, a, out=b), time.process_time)
    case.check(product, benchmark(case.call(product)))
    dense += seconds(lambda: np.matmul(a, a, out=b), time.process_time)
    if benchmark.stats is not None:
        rate = 2 * np.prod(shape) / benchmark.stats.stats.median
        benchmark.extra_info["times_dense"] = rate / (2 * 1500**3 / np.median(dense))


@pytest.mark.parametrize("product", ["adjoint", "forward"])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_masked_product_of_two_threads(
    benchmark: BenchmarkFixture, dtype: Any, product: str
) -> None:
    """Wall time, beside that of one thread measured before and after."""
    case = Case(SIZES[-1], dtype)
    single = case.call(product)
    alone = seconds(single, time.perf_counter)
    result = benchmark(case.call(product, threads=2))
    alone += seconds(single, time.perf_counter)
    case.check(product, result)
    assert result.tobytes() == single().tobytes()
    if benchmark.stats is not None:
        benchmark.extra_info["times_one_thread"] = np.median(alone) / benchmark.stats.stats.median
