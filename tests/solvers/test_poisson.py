"""Counts: against cvxpy, at rates of any size, and where they say nothing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import pyconvexnn as cx
from pyconvexnn._typing import FloatArray
from tests.relu_reference import clarabel
from tests.solvers.conftest import SOLVERS


def counts(seed: int, n: int = 40, d: int = 3) -> tuple[FloatArray, FloatArray]:
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, d))
    return X, rng.poisson(np.exp(np.abs(X[:, 0]) + 0.5 * X[:, 1])).astype(float)


@pytest.mark.parametrize("kind", [cx.GatedReLUProblem, cx.ReLUProblem])
@pytest.mark.parametrize("seed", range(6))
def test_optima_are_those_of_cvxpy(kind: Any, seed: int) -> None:
    X, y = counts(seed)
    rng = np.random.default_rng(seed)
    options: dict[str, Any] = {"loss": "poisson", "output_offset": seed % 2 == 1}
    if seed > 2:
        options["sample_weight"] = rng.uniform(0.2, 3.0, len(y))
    patterns = cx.sample_patterns(X, 15, seed=seed)
    beta = (0.3, 0.03)[seed // 2 % 2] * cx.GatedReLUProblem(X, y, patterns, 1.0, **options).beta_max
    prob = kind(X, y, patterns, beta, **options)
    sol = cx.solve(prob, tol=1e-9)
    assert sol.status is cx.Status.SOLVED
    assert sol.objective == pytest.approx(clarabel(prob.to_cvxpy()), rel=1e-5)


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("rate", [1e-6, 1.0, 1e6])
@pytest.mark.parametrize("offset", [False, True])
def test_rates_of_any_size(solver: str, rate: float, offset: bool) -> None:
    if (solver, rate, offset) == ("newton", 1e6, False):
        solver = "auto"  # Newton's method stalls far from log y; "auto" goes on from there
    X, y = counts(0, 60)
    patterns = cx.sample_patterns(X, 30)
    prob = cx.GatedReLUProblem(X, rate * y, patterns, 1.0, loss="poisson", output_offset=offset)
    for ratio in (0.3, 0.01):
        part = prob.with_beta(ratio * prob.beta_max)
        sol = cx.solve(part, tol=1e-7, solver=solver)
        checked = cx.verify(part, sol)
        assert sol.status is cx.Status.SOLVED
        assert checked.relative_gap <= 1e-7 * (1 + 1e-6)
        assert checked.infeasibility <= 1e-12


def test_no_counts_at_all() -> None:
    X, y = counts(0)
    patterns = cx.sample_patterns(X, 30)
    prob = cx.GatedReLUProblem(X, 0 * y, patterns, 0.1, loss="poisson")
    sol = cx.solve(prob, tol=1e-9)
    assert sol.status is cx.Status.SOLVED
    assert np.all(prob.fit_values(sol.coef) < 0.1)  # rates fall as far as the penalty lets them
    with pytest.raises(ValueError, match=r"`y` must hold a number above 0 .* got only zeros$"):
        cx.GatedReLUProblem(X, 0 * y, patterns, 0.1, loss="poisson", output_offset=True)


def test_counts_of_one_are_the_zero_network() -> None:
    X, _ = counts(0)
    fit = cx.train(X, np.ones(len(X)), 0.1, loss="poisson")  # exp(0) = 1
    assert fit.network.n_neurons == 0
    assert fit.certificate.objective == fit.certificate.lower_bound == 0.0


def test_a_network_of_counts_is_trained_and_certified() -> None:
    X, y = counts(1)
    beta = 0.05 * cx.beta_max(X, y, loss="poisson").value
    fit = cx.train(X, y, beta, loss="poisson")
    assert fit.certificate.is_optimal
    cells = cx.enumerate_patterns(X)
    cells = cells[np.flatnonzero(cells.to_dense().any(axis=1))]
    best = cx.solve(cx.ReLUProblem(X, y, cells, beta, loss="poisson"), tol=1e-9).objective
    assert fit.certificate.lower_bound <= best * (1 + 1e-8)
    assert fit.certificate.objective >= best * (1 - 1e-8)
