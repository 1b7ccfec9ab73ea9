"""Masked gradients, and the gated program solved to a certified gap."""

from __future__ import annotations

import numpy as np
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

import pyconvexnn as cx
from bench.problems import problem
from pyconvexnn import _core


def test_masked_gradient(benchmark: BenchmarkFixture, size: tuple[int, int, int]) -> None:
    prob = problem(*size, ratio=0.1)
    products = _core.MaskedProducts(prob.X, prob.patterns.packed)
    rows = benchmark(products.adjoint, prob.y)
    np.testing.assert_allclose(rows, prob.adjoint(prob.y), atol=1e-10)


def test_masked_gradient_dense_gemm(
    benchmark: BenchmarkFixture, size: tuple[int, int, int]
) -> None:
    """The same by a dense 0/1 matrix, built beforehand: 64 times the memory."""
    prob = problem(*size, ratio=0.1)
    masks = prob.patterns.to_dense().astype(float)
    rows = benchmark(lambda: masks @ (prob.X * prob.y[:, None]))
    np.testing.assert_allclose(rows, prob.adjoint(prob.y), atol=1e-10)


@pytest.mark.parametrize("ratio", [0.5, 0.1, 0.02])
@pytest.mark.parametrize("loss", ["squared", "logistic"])
def test_solve(
    benchmark: BenchmarkFixture, size: tuple[int, int, int], ratio: float, loss: str
) -> None:
    prob = problem(*size, ratio=ratio, loss=loss)
    sol = benchmark.pedantic(lambda: cx.solve(prob, tol=1e-6), rounds=3, warmup_rounds=1)
    checked = cx.verify(prob, sol)
    assert checked.relative_gap <= 1e-6
    assert checked.infeasibility <= 1e-12
    benchmark.extra_info.update(
        epochs=sol.n_iter, active=len(sol.active), relative_gap=checked.relative_gap
    )
