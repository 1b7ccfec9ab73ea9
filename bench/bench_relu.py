"""The ReLU program solved to a certified gap, one thread; bench_cones.py times its projections."""

from __future__ import annotations

import time

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

import pyconvexnn as cx
from bench.problems import relu_problem

SIZES = [(50, 5, 50), (200, 10, 100), (500, 10, 100), (1000, 20, 200)]


def solved(benchmark: BenchmarkFixture, prob: cx.ReLUProblem, tol: float) -> None:
    """Time ``cx.solve`` in CPU seconds; gap and cones are checked in NumPy."""
    sol = benchmark.pedantic(lambda: cx.solve(prob, tol=tol), rounds=3, warmup_rounds=1)
    checked = cx.verify(prob, sol)
    assert checked.relative_gap <= tol
    assert checked.infeasibility <= 1e-12
    assert sol.nonconvex_objective == pytest.approx(checked.objective, rel=1e-9)
    benchmark.extra_info.update(
        iterations=sol.n_iter, active=len(sol.active), relative_gap=checked.relative_gap
    )


@pytest.mark.benchmark(timer=time.process_time)
@pytest.mark.parametrize("ratio", [0.1, 0.01])
@pytest.mark.parametrize("recipe", ["ar", "gauss"])
@pytest.mark.parametrize("shape", SIZES, ids=str)
def test_solve(
    benchmark: BenchmarkFixture, shape: tuple[int, int, int], recipe: str, ratio: float
) -> None:
    solved(benchmark, relu_problem(*shape, ratio, recipe=recipe), 1e-6)


@pytest.mark.benchmark(timer=time.process_time)
@pytest.mark.parametrize("loss", ["huber", "logistic", "squared_hinge"])
def test_solve_other_losses(benchmark: BenchmarkFixture, loss: str) -> None:
    solved(benchmark, relu_problem(200, 10, 100, 0.1, loss=loss), 1e-6)


@pytest.mark.benchmark(timer=time.process_time)
def test_solve_to_high_accuracy(benchmark: BenchmarkFixture) -> None:
    solved(benchmark, relu_problem(500, 10, 100, 0.01), 1e-9)


@pytest.mark.benchmark(timer=time.process_time)
def test_path(benchmark: BenchmarkFixture) -> None:
    """Twenty penalties from beta_max to a hundredth of it, each from the one before."""
    prob = relu_problem(200, 10, 100, 1.0)
    path = benchmark.pedantic(lambda: cx.solve_path(prob, n_betas=20), rounds=1, warmup_rounds=1)
    assert len(path) == 20
    for beta, sol in zip(path.betas, path, strict=True):
        checked = cx.verify(prob.with_beta(float(beta)), sol)
        assert checked.relative_gap <= 1e-6
        assert checked.infeasibility <= 1e-12
