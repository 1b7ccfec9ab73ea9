"""Free linear parts where a loss is flat: what is claimed is attained, and no worse than zero."""

from __future__ import annotations

import dataclasses
import warnings

import numpy as np
import pytest

import pyconvexnn as cx
from pyconvexnn._typing import FloatArray


def gauss(seed: int, n: int, d: int, loss: str) -> tuple[FloatArray, FloatArray, cx.PatternSet]:
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, d))
    y = 3.0 * rng.standard_normal(n)
    y = np.sign(y) if loss == "squared_hinge" else y
    return X, y, cx.PatternSet.from_gates(X, rng.standard_normal((3, d)))


def objective(prob: cx.GatedReLUProblem | cx.ReLUProblem, sol: cx.Solution) -> float:
    """Objective of the blocks and the linear part as returned, from its definition."""
    P, f, penalty = len(prob.patterns), np.zeros(len(prob.y)), 0.0
    on = prob.patterns.to_dense()
    for i, u in zip(sol.coef.indices, sol.coef.values, strict=True):
        f += (1.0 if i < P else -1.0) * on[i % P] * (prob.X @ u)
        penalty += prob.beta * float(np.linalg.norm(u))
    assert sol.linear is not None
    return prob.loss.value(f + prob.X @ sol.linear, prob.y, prob.sample_weight) + penalty


@pytest.mark.parametrize("loss", ["squared_hinge", "huber"])
@pytest.mark.parametrize("kind", [cx.GatedReLUProblem, cx.ReLUProblem])
@pytest.mark.parametrize("solver", ["auto", "newton", "cd", "fista", "cutting_plane"])
def test_what_is_claimed_is_attained(
    loss: str, kind: type[cx.GatedReLUProblem | cx.ReLUProblem], solver: str
) -> None:
    """Squared hinges are flat on most rows here, so that the linear part is hardly determined."""
    if (kind is cx.ReLUProblem) != (solver == "cutting_plane"):
        return
    for seed in range(40, 60):
        X, y, ps = gauss(seed, 8 if seed % 2 else 24, 5, loss)
        prob = kind(X, y, ps, 0.05, loss=loss, skip=0.0)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # at optima of zero a gap is rounding
            sol = cx.solve(prob, solver=solver)
        zero = prob.objective_at_zero
        assert sol.objective == pytest.approx(objective(prob, sol), rel=1e-9, abs=1e-12)
        assert sol.dual_objective <= sol.objective * (1 + 1e-12) + 1e-12
        if solver in ("auto", "cutting_plane", "cd"):
            assert sol.objective <= zero * (1 + 1e-12) + 1e-12
            assert sol.status is cx.Status.SOLVED or sol.objective < 1e-12


def test_the_linear_part_alone_is_the_best_one() -> None:
    """Counts that are all zero have no scale; of rows in Huber's linear part few have curvature."""
    rng = np.random.default_rng(5)
    X = rng.standard_normal((20, 3))
    X[::3] = 0.0
    patterns = cx.PatternSet.from_gates(X, rng.standard_normal((5, 3)))
    for loss, y in (("poisson", np.zeros(20)), ("huber", 5.0 * rng.standard_normal(20))):
        for seed in range(10):
            s = np.random.default_rng(seed).integers(0, 3, 20).astype(float)
            try:
                prob = cx.GatedReLUProblem(
                    X, y, patterns, 1.0, loss=loss, skip=0.0, sample_weight=s
                )
            except ValueError:  # a linear part lowers all rates that count
                assert loss == "poisson"
                continue
            prob = prob.with_beta(1.01 * prob.beta_max)
            for kind in (cx.solve(prob), cx.solve(prob, solver="cd")):
                assert kind.status is cx.Status.SOLVED
                assert kind.objective == pytest.approx(prob.objective_at_zero, rel=1e-9)


def test_rows_that_are_fitted_exactly_leave_a_dual_point() -> None:
    """One column of the free part meets only a row whose residual is rounding."""
    X, y = np.array([[0.0], [0.0], [1.3]]), np.array([1.0, 2.0, 5.3])
    patterns = cx.PatternSet.from_gates(X, [[1.0]])
    prob = cx.GatedReLUProblem(X, y, patterns, 0.1, skip=0.0, output_offset=True)
    sol = cx.solve(prob)
    found = cx.verify(prob, sol)
    assert found.infeasibility == 0.0
    assert found.objective == pytest.approx(0.25, rel=1e-12)
    assert found.relative_gap < 1e-12


@pytest.mark.parametrize("solver", ["auto", "newton", "cd", "fista"])
@pytest.mark.parametrize("size", [1e15, 1e30, 1e200])
def test_a_far_off_start_does_no_harm(solver: str, size: float) -> None:
    X = np.random.default_rng(0).standard_normal((30, 3))
    patterns = cx.PatternSet.from_gates(X, np.random.default_rng(1).standard_normal((12, 3)))
    prob = cx.GatedReLUProblem(X, X[:, 0] ** 2, patterns, 0.5, loss="huber", skip=0.0)
    sol = cx.solve(prob, solver=solver, warm_start=np.full((12, 3), size))
    assert sol.objective == pytest.approx(cx.solve(prob).objective, rel=2e-6)
    assert sol.objective == pytest.approx(objective(prob, sol), rel=1e-9)


def test_fields_can_be_replaced() -> None:
    X, y, patterns = cx.datasets.ar(30, 3, 10)
    prob = cx.GatedReLUProblem(X, y, patterns, 1.0, skip=0.0)
    assert cx.solve(dataclasses.replace(prob, beta=2.0)).objective == pytest.approx(
        cx.solve(prob.with_beta(2.0)).objective, rel=1e-6
    )


@pytest.mark.parametrize("solver", ["auto", "newton", "cd", "fista"])
@pytest.mark.parametrize("beta", [1e-2, 1e-3, 1e-6, 1e-12])
def test_hinges_that_cannot_vanish(solver: str, beta: float) -> None:
    """Far below beta_max, but with few patterns and noise, multipliers are not small."""
    rng = np.random.default_rng(0)
    X = np.column_stack([rng.standard_normal((150, 3)), np.ones(150)])
    y = np.where(X[:, 0] + 2.0 * rng.standard_normal(150) > 0, 1.0, -1.0)
    prob = cx.GatedReLUProblem(X, y, cx.sample_patterns(X, 3), beta, loss="hinge", ridge=0.1)
    sol = cx.solve(prob, solver=solver, tol=1e-5)
    assert sol.status is cx.Status.SOLVED
    assert sol.objective > 50.0
    assert cx.verify(prob, sol).relative_gap < 1.1e-5
