"""Problems so large that conjugate gradients multiply in single precision: claims stay double."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import pyconvexnn as cx

N, D, P = 1500, 50, 150  # n d is above kSingleEntries of csrc/convexnn/solve/kernel_system.cpp


def check(prob: cx.GatedReLUProblem, sol: cx.Solution, tol: float) -> None:
    """The reports hold to double precision, recomputed in NumPy."""
    assert sol.status is cx.Status.SOLVED
    found = cx.verify(prob, sol)
    assert found.objective == pytest.approx(sol.objective, rel=1e-12)
    assert found.dual_objective == pytest.approx(sol.dual_objective, rel=1e-12)
    assert found.relative_gap <= tol * (1 + 1e-12) + 1e-12
    assert found.infeasibility <= 1e-12


@pytest.mark.parametrize("loss", ["squared", "logistic", "huber"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_tight_gaps(dtype: Any, loss: str) -> None:
    X, y, patterns = cx.datasets.ar(N, D, P, loss=loss)
    prob = cx.GatedReLUProblem(X.astype(dtype), y.astype(dtype), patterns, 1.0, loss=loss)
    assert prob.X.dtype == np.float64
    prob = prob.with_beta(0.05 * prob.beta_max)
    sol = cx.solve(prob, solver="newton", tol=1e-10)
    check(prob, sol, 1e-10)


@pytest.mark.parametrize("ratio", [0.1, 1e-3])
@pytest.mark.parametrize("scale", [1e-50, 1e50])
def test_data_beyond_single_precision(scale: float, ratio: float) -> None:
    X, y, patterns = cx.datasets.ar(N, D, P)
    plain = cx.GatedReLUProblem(X, y, patterns, 1.0)
    plain = plain.with_beta(ratio * plain.beta_max)
    prob = cx.GatedReLUProblem(scale * X, y, patterns, scale * plain.beta)
    sol = cx.solve(prob, solver="newton", tol=1e-7)
    check(prob, sol, 1e-7)
    assert sol.objective == pytest.approx(cx.solve(plain, tol=1e-7).objective, rel=2e-7)


@pytest.mark.parametrize("offset", [False, True])
def test_columns_of_many_sizes(offset: bool) -> None:
    """Eight decades: what single precision loses is found, and done again in double."""
    X, y, patterns = cx.datasets.ar(N, D, P)
    X = X * np.geomspace(1e-4, 1e4, D)
    prob = cx.GatedReLUProblem(X, y, patterns, 1.0, output_offset=offset)
    prob = prob.with_beta(1e-3 * prob.beta_max)
    check(prob, cx.solve(prob, solver="newton", tol=1e-8), 1e-8)


def test_one_run_is_like_another_whatever_the_threads() -> None:
    X, y, patterns = cx.datasets.ar(N, D, P)
    prob = cx.GatedReLUProblem(X, y, patterns, 1.0)
    prob = prob.with_beta(0.02 * prob.beta_max)
    one, two = (cx.solve(prob, threads=threads) for threads in (1, 2))
    assert np.array_equal(one.coef.values, two.coef.values)
    assert np.array_equal(one.dual, two.dual)
