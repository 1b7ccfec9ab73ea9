"""Products with masked data, as multiples of the rate of a dense product of 1500 x 1500."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest
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


def dense_rate(dtype: Any) -> float:
    """Flops a second of NumPy's product, one thread; measured beside each benchmark."""
    a = np.random.default_rng(0).standard_normal((1500, 1500)).astype(dtype)
    best = np.inf
    for _ in range(4):
        start = time.process_time()
        a @ a
        best = min(best, time.process_time() - start)
    return 2 * 1500**3 / best


@pytest.mark.parametrize("product", ["adjoint", "forward"])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("shape", SIZES, ids=str)
def test_masked_product(
    benchmark: BenchmarkFixture, shape: tuple[int, int, int], dtype: Any, product: str
) -> None:
    """All patterns; the time includes the copy of X, and the transposed bits of `forward`."""
    n, d, P = shape
    rng = np.random.default_rng(0)
    X = np.asfortranarray(rng.standard_normal((n, d)), dtype=dtype)
    packed = _core.sign_patterns(X.astype(float), rng.standard_normal((P, d)))
    v, U = rng.standard_normal(n).astype(dtype), rng.standard_normal((P, d)).astype(dtype)
    every = np.arange(P)
    tolerance = 1e-11 if dtype is np.float64 else 1e-3
    some = np.unpackbits(packed[:3].view(np.uint8), axis=1, bitorder="little")[:, :n]
    if product == "adjoint":
        rows = benchmark(_core.masked_adjoint, X, packed, v)
        expected = (some * v.astype(float)) @ X
        np.testing.assert_allclose(rows[:3], expected, atol=tolerance * np.sqrt(n))
    else:
        f = benchmark(_core.masked_forward, X, packed, every, U)
        # <F, v> = <U, adjoint of v>
        pairing = np.vdot(_core.masked_adjoint(X, packed, v).astype(float), U)
        assert f.astype(float) @ v == pytest.approx(pairing, abs=tolerance * n * np.sqrt(P * d))
    if benchmark.stats is not None:
        rate = 2 * n * d * P / benchmark.stats.stats.min
        benchmark.extra_info["times_dense"] = rate / dense_rate(dtype)
