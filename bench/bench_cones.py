"""Pricing of the ReLU program: projections cold, warm and with a threshold; one thread.

`microseconds` are those of one projection, the mean over both signs of all patterns; `flops` is
what NumPy's one-thread product would do in that time, to compare machines by.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

import pyconvexnn as cx
from pyconvexnn import _core

SIZES = [(50, 5, 50), (500, 10, 100), (1000, 20, 200), (2000, 50, 300)]


def dense_rate() -> float:
    """Flops a second of NumPy's product, one thread; measured beside each benchmark."""
    a = np.random.default_rng(0).standard_normal((1500, 1500))
    best = np.inf
    for _ in range(4):
        start = time.process_time()
        a @ a
        best = min(best, time.process_time() - start)
    return 2 * 1500**3 / best


def problem(n: int, d: int, P: int) -> tuple[Any, Any, Any, Any]:
    """X, packed, y, and X^T D_i y for every pattern i."""
    X, y, patterns = cx.datasets.ar(n, d, P)
    X = np.asfortranarray(X)
    packed = patterns.packed
    return X, packed, y, _core.MaskedProducts(X, packed).adjoint(y)


@pytest.mark.benchmark(timer=time.process_time)
@pytest.mark.parametrize("start", ["cold", "warm", "moved", "threshold"])
@pytest.mark.parametrize("shape", SIZES, ids=str)
def test_projections(benchmark: BenchmarkFixture, shape: tuple[int, int, int], start: str) -> None:
    """`moved`: from the active sets of targets 2 % away; `threshold`: half of the largest norm."""
    n, _, P = shape
    X, packed, y, G = problem(*shape)
    cones, blocks = _core.ConeProjections(X, packed), np.arange(2 * P)
    largest = float(cones.project(blocks, G)[1].max())
    near = y + 0.02 * np.random.default_rng(1).standard_normal(n)
    nearby = _core.MaskedProducts(X, packed).adjoint(near)

    def set_up() -> None:
        if start in ("cold", "threshold"):
            cones.forget()
        elif start == "moved":
            cones.project(blocks, nearby)

    threshold = 0.5 * largest if start == "threshold" else -1.0
    U, bound, _, counts = benchmark.pedantic(
        lambda: cones.project(blocks, G, threshold=threshold), setup=set_up, rounds=10
    )
    exact = counts[:, 0] == 0
    norms = np.linalg.norm(U[exact], axis=1)
    assert np.all(exact | (bound <= threshold))
    np.testing.assert_allclose(bound[exact], norms, atol=1e-10 * largest)
    if benchmark.stats is not None:
        seconds = benchmark.stats.stats.min / (2 * P)
        benchmark.extra_info["microseconds"] = 1e6 * seconds
        benchmark.extra_info["flops"] = seconds * dense_rate()


@pytest.mark.benchmark(timer=time.process_time)
@pytest.mark.parametrize("ratio", [0.1, 0.01])
@pytest.mark.parametrize("shape", [(500, 10, 100), (1000, 20, 200)], ids=str)
def test_lasso(benchmark: BenchmarkFixture, shape: tuple[int, int, int], ratio: float) -> None:
    """The lasso over the atoms of all blocks, nearly equal many of them, cold."""
    P = shape[2]
    X, packed, y, G = problem(*shape)
    U, bound, _, _ = _core.ConeProjections(X, packed).project(np.arange(2 * P), G)
    bits = np.unpackbits(packed.view(np.uint8), axis=1, bitorder="little")[:, : len(X)]
    norms = np.linalg.norm(U, axis=1)
    used = np.flatnonzero(norms > 1e-9 * norms.max())
    signs = (1.0 - 2.0 * (used % 2)) / norms[used]
    A = (bits[used // 2].T * (X @ U[used].T)) * signs
    gram, b, beta = A.T @ A, A.T @ y, ratio * float(bound.max())

    def fill() -> tuple[tuple[_core.NonnegativeLasso], dict[str, Any]]:
        lasso = _core.NonnegativeLasso(capacity=len(used))
        for k in range(len(used)):
            lasso.add(gram[: k + 1, k].copy(), float(b[k]))
        return (lasso,), {}

    c, _, excess, outcome, rounds = benchmark.pedantic(
        lambda lasso: lasso.solve(beta), setup=fill, rounds=10
    )
    assert outcome == 0
    assert excess <= 1e-12
    slope = b - gram @ c - beta
    assert float(slope.max()) <= 1e-11 * np.abs(b).max()
    benchmark.extra_info["atoms"] = len(used)
    benchmark.extra_info["support"] = int(np.count_nonzero(c))
    benchmark.extra_info["rounds"] = rounds
