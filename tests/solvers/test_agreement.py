"""The solvers against each other, and each against the conditions of optimality, at random."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import pyconvexnn as cx
from pyconvexnn.losses import Loss
from tests.solvers.conftest import LOSSES, SOLVERS


def random_problem(
    seed: int, loss: str | Loss, weighted: bool, offset: bool, ratio: float
) -> cx.GatedReLUProblem:
    """Small random sizes, data, targets and weights."""
    rng = np.random.default_rng(seed)
    n, d, P = rng.integers(5, 40), rng.integers(1, 6), rng.integers(1, 20)
    X = rng.standard_normal((n, d))
    y = np.maximum(X @ rng.standard_normal((d, 3)), 0).sum(axis=1) + rng.standard_normal(n)
    if cx.losses.get_loss(loss).name in ("logistic", "squared_hinge"):
        y = np.where(y > np.median(y), 1.0, -1.0)
    if loss == "poisson":
        y = rng.poisson(np.maximum(y, 0.1)).astype(float)
        y[0] += 1.0  # not all zero
    options: dict[str, Any] = {"loss": loss, "output_offset": offset}
    patterns = cx.PatternSet.from_dense(rng.random((P, n)) < 0.6)
    if weighted:
        options["sample_weight"] = 1.0 + rng.integers(0, 3, n)
        options["pattern_weight"] = rng.uniform(0.5, 2, P)
    whole = cx.GatedReLUProblem(X, y, patterns, 1.0, **options)
    return whole.with_beta(ratio * (whole.beta_max or 1.0))


def test_the_solvers_agree_to_the_gap() -> None:
    tol = 1e-7
    for seed in range(100):
        prob = random_problem(
            seed,
            LOSSES[seed % len(LOSSES)],
            weighted=seed // len(LOSSES) % 2 == 1,
            offset=seed // (2 * len(LOSSES)) % 2 == 1,
            ratio=float(np.random.default_rng(seed).choice([0.7, 0.2, 0.05])),
        )
        sols = {solver: cx.solve(prob, tol=tol, solver=solver) for solver in SOLVERS}
        for solver, sol in sols.items():
            checked = cx.verify(prob, sol)
            assert sol.status is cx.Status.SOLVED, (seed, solver)
            assert checked.relative_gap <= tol * (1 + 1e-6), (seed, solver)
            assert checked.infeasibility <= 1e-12, (seed, solver)
            for other in sols.values():
                assert sol.dual_objective <= other.objective * (1 + 1e-12), (seed, solver)
                assert sol.objective == pytest.approx(other.objective, rel=1.01 * tol)


@pytest.mark.parametrize("solver", SOLVERS)
@given(
    seed=st.integers(0, 10**6),
    loss=st.sampled_from(LOSSES),
    weighted=st.booleans(),
    offset=st.booleans(),
    ratio=st.floats(0.05, 0.95),
)
@settings(max_examples=60, deadline=None, derandomize=True)
def test_conditions_of_optimality(
    solver: str, seed: int, loss: Any, weighted: bool, offset: bool, ratio: float
) -> None:
    tol = 1e-9
    prob = random_problem(seed, loss, weighted, offset, ratio)
    # One in 1500 of these ends Newton's method early; "auto" goes on from there.
    sol = cx.solve(prob, tol=tol, solver="auto" if solver == "newton" else solver)
    assert sol.status is cx.Status.SOLVED
    # With a gap of e the gradient is exact to sqrt(2 L e), L = largest curvature of its block.
    U, beta = sol.coef.to_dense(), prob.beta * prob.pattern_weight
    g = -prob.gradient(sol.coef)  # X^T D_i v
    sizes = np.array(
        [np.linalg.norm(mask[:, None] * prob.X, 2) for mask in prob.patterns.to_dense()]
    )
    curved = {"squared_hinge": 2.0}.get(prob.loss.name, 1.0) * prob.sample_weight.max()
    noise = 2 * sizes * np.sqrt(2 * curved * (sol.gap + 1e-13 * sol.objective_at_zero))
    assert np.all(np.linalg.norm(g, axis=1) <= beta + noise)
    # Sum of beta w ||u|| - u'g >= 0 over the blocks is at most the gap of the fit's own point.
    slack = beta @ np.linalg.norm(U, axis=1) - np.sum(U * g)
    assert abs(slack) <= np.linalg.norm(U, axis=1) @ noise + 1e-9 * sol.objective_at_zero
    if offset:
        v = -prob.loss.gradient(prob.fit_values(sol.coef), prob.y, prob.sample_weight)
        assert abs(v.sum()) <= 1e-9 * np.abs(v).sum() + 1e-12
        assert abs(sol.dual.sum()) <= 1e-9 * np.abs(v).sum() + 1e-12


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("loss", LOSSES, ids=str)
@pytest.mark.parametrize("offset", [False, True])
def test_integer_weights_are_repeated_rows(solver: str, loss: Any, offset: bool) -> None:
    for seed in range(4):
        base = random_problem(seed, loss, False, offset, 0.1)
        counts = np.random.default_rng(seed).integers(0, 4, len(base.y))
        counts[[np.argmin(base.y), np.argmax(base.y)]] += 1  # both classes
        rows = np.repeat(np.arange(len(base.y)), counts)
        options: dict[str, Any] = {"loss": loss, "output_offset": offset}
        one = cx.GatedReLUProblem(
            base.X, base.y, base.patterns, base.beta, sample_weight=counts, **options
        )
        other = cx.GatedReLUProblem(
            base.X[rows], base.y[rows], base.patterns.restrict(rows), base.beta, **options
        )
        values = [cx.solve(prob, tol=1e-8, solver=solver).objective for prob in (one, other)]
        assert values[0] == pytest.approx(values[1], rel=1.1e-8)
