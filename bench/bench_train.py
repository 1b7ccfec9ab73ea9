"""Networks trained to a certified optimum over all patterns, one thread; and the pricing alone.

``python -m bench.growth`` prints how both grow with n and d.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

import pyconvexnn as cx
from bench.problems import teacher_problem, trained_dual
from pyconvexnn.certificates import lower_bound
from pyconvexnn.pricing import price
from pyconvexnn.pricing.cells import price_cells


def once(benchmark: BenchmarkFixture, call: Callable[[], Any]) -> Any:
    return benchmark.pedantic(call, rounds=3, warmup_rounds=1)


@pytest.mark.benchmark(timer=time.process_time)
@pytest.mark.parametrize(("n", "d"), [(1000, 2), (5000, 3), (300, 4), (500, 5)])
def test_train(benchmark: BenchmarkFixture, n: int, d: int) -> None:
    X, y, beta = teacher_problem(n, d)
    fit = once(benchmark, lambda: cx.train(X, y, beta, rtol=1e-3))
    proof = fit.certificate
    assert fit.network.objective(X, y, beta) <= proof.objective
    assert proof.lower_bound >= proof.objective * (1 - 1e-3)
    finer = cx.train(X, y, beta, rtol=1e-4, warm_start=fit).certificate
    assert proof.lower_bound <= finer.objective
    benchmark.extra_info.update(
        patterns=fit.n_patterns, neurons=fit.network.n_neurons, gap=proof.relative_gap
    )


@pytest.mark.benchmark(timer=time.process_time)
@pytest.mark.parametrize("rtol", [1e-1, 1e-2, 1e-3])
@pytest.mark.parametrize(("n", "d"), [(300, 4), (500, 5), (500, 7)])
def test_price(benchmark: BenchmarkFixture, n: int, d: int, rtol: float) -> None:
    X, beta, v, neurons = trained_dual(n, d)
    found = once(
        benchmark,
        lambda: price(
            X, v, floor=beta, rtol=rtol, method="branch_and_bound", starts=neurons, n_starts=10
        ),
    )
    assert found.status is cx.Status.SOLVED
    assert beta <= found.bound <= max(beta, found.value) * (1 + rtol) + 2 * found.rounding
    searched = price(X, v, method="search", n_starts=500, seed=1)
    assert searched.value <= found.bound
    benchmark.extra_info.update(boxes=found.n_nodes, rounding=found.rounding / beta)


@pytest.mark.benchmark(timer=time.process_time)
def test_price_by_enumeration(benchmark: BenchmarkFixture) -> None:
    X, beta, v, _ = trained_dual(100, 3)
    found = once(benchmark, lambda: price_cells(X, v, floor=beta))
    boxes = price(X, v, floor=beta, rtol=1e-6, method="branch_and_bound")
    assert found.bound == pytest.approx(boxes.bound, rel=1e-5)


@pytest.mark.benchmark(timer=time.process_time)
@pytest.mark.parametrize(("n", "d"), [(500, 5), (2000, 7)])
def test_rigour(benchmark: BenchmarkFixture, n: int, d: int) -> None:
    """What a bound of the price is turned into a lower bound of the optimum with, in real terms."""
    _, beta, v, _ = trained_dual(n, d)
    _, y, _ = teacher_problem(n, d)
    bound = benchmark(lambda: lower_bound(cx.losses.Squared(), v, y, y * 0 + 1, beta, 1.001 * beta))
    s = bound.scale
    assert bound.value == pytest.approx(float(s * (v @ y) - s**2 * (v @ v) / 2), rel=1e-12)
