"""The harness's own formulations: cvxpy with Clarabel, and sparse Clarabel, agree and are right."""

from __future__ import annotations

import dataclasses
from functools import cache

import numpy as np
import pytest

from bench.compare import evaluate
from bench.peers import clarabel_peer, cvxpy_peer
from bench.peers.protocol import Answer, Problem

PROGRAMS = [
    *((program, loss, 0) for program in ("gated", "relu") for loss in sorted(cvxpy_peer.LOSSES)),
    ("gated", "squared", 3),
]
PROGRAMS = [
    (program, loss, 3 if loss == "cross_entropy" else K)
    for program, loss, K in PROGRAMS
    if (program, loss) != ("relu", "cross_entropy")  # relu programs have one output
]
# Exponential cones are solved less exactly.
AGREEMENT = {"logistic": 2e-5, "poisson": 2e-5, "cross_entropy": 2e-5}


@cache
def problem(program: str, loss: str, K: int = 0) -> Problem:
    """30 x 3 with a teacher's targets, 12 patterns, penalties 0.1 and 0.02 of the largest."""
    n, d, P = 30, 3, 12
    rng = np.random.default_rng(11)
    X = rng.standard_normal((n, d))
    y = np.maximum(X @ rng.standard_normal((d, 5)), 0) @ rng.standard_normal((5, max(K, 1)))
    y = y / y.std() + 0.2 * rng.standard_normal(y.shape)
    y = y if K else y[:, 0] - y.mean()
    if loss in ("logistic", "squared_hinge", "hinge"):
        y = np.where(y >= 0, 1.0, -1.0)
    elif loss == "poisson":
        y = rng.poisson(np.exp(np.clip(y, -2, 2))).astype(float)
    elif loss == "cross_entropy":
        y = np.eye(K)[y.argmax(axis=1)]
    masks = np.unique((X @ rng.standard_normal((d, P)) >= 0).T, axis=0)
    made = Problem("teacher", program, loss, X, y, masks, np.ones(1))
    v0 = -evaluate.loss_gradient(made, np.zeros_like(y))
    betas = evaluate.gated_prices(made, v0).max() * np.array([0.1, 0.02])
    return dataclasses.replace(made, betas=betas)


@cache
def by_cvxpy(program: str, loss: str, K: int = 0) -> Answer:
    session = cvxpy_peer.prepare("cvxpy+CLARABEL", problem(program, loss, K))
    session.solve(1e-9)
    return session.answer()


@pytest.mark.parametrize(("program", "loss", "K"), PROGRAMS)
def test_bound_from_the_dual_of_cvxpy_is_its_value(program: str, loss: str, K: int) -> None:
    here, answer = problem(program, loss, K), by_cvxpy(program, loss, K)
    assert answer.note == ""
    assert answer.seconds is not None
    assert answer.seconds > 0
    for verdict in evaluate.judge_path(here, answer):
        assert verdict.failure is None
        assert verdict.own_objective == pytest.approx(verdict.objective, rel=1e-12)
        assert verdict.objective < 0.95 * evaluate.at_zero(here)  # not the trivial solution
        agreement = AGREEMENT.get(loss, 1e-6)
        assert verdict.bound_from_dual == pytest.approx(verdict.objective, rel=agreement)
        if loss != "hinge":  # whose derivative tells nothing at the kink
            assert verdict.bound_from_residual == pytest.approx(verdict.objective, rel=1e-3)
        for bound in (verdict.bound_from_dual, verdict.bound_from_residual):
            assert not evaluate.below_bound(verdict.objective, bound, verdict.infeasibility)


@pytest.mark.parametrize("program", ["gated", "relu"])
@pytest.mark.parametrize("loss", sorted(clarabel_peer.METHODS[0].losses))
def test_sparse_clarabel_is_cvxpy(program: str, loss: str) -> None:
    here, reference = problem(program, loss), by_cvxpy(program, loss)
    session = clarabel_peer.prepare("Clarabel direct", here)
    session.solve(1e-9)
    answer = session.answer()
    assert answer.note == ""
    assert answer.seconds is not None
    assert answer.seconds > 0
    np.testing.assert_allclose(answer.objective, reference.objective, rtol=1e-6)
    agreement = AGREEMENT.get(loss, 1e-6)
    for verdict in evaluate.judge_path(here, answer):
        assert verdict.failure is None
        assert verdict.own_objective == pytest.approx(verdict.objective, rel=1e-12)
        assert verdict.bound_from_dual == pytest.approx(verdict.objective, rel=agreement)


@pytest.mark.parametrize("program", ["gated", "relu"])
def test_unused_blocks_come_back_as_zeros(program: str) -> None:
    here, answer = problem(program, "squared"), by_cvxpy(program, "squared")
    assert answer.coef is not None
    norms = np.linalg.norm(answer.coef, axis=-1).reshape(len(here.betas), -1)
    for row in norms:
        assert 0 < np.count_nonzero(row) < row.size
        assert row[row > 0].min() > cvxpy_peer.NEGLIGIBLE * row.max()


def test_a_solver_that_stops_early_is_noted_and_judged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cvxpy_peer, "options", lambda solver, tolerance: {"max_iter": 1})
    here = problem("relu", "squared")
    session = cvxpy_peer.prepare("cvxpy+CLARABEL", here)
    session.solve(1e-6)
    answer = session.answer()
    assert answer.note != ""
    assert evaluate.judge(here, answer).failure is not None


def test_a_second_solve_starts_cold() -> None:
    session = cvxpy_peer.prepare("cvxpy+CLARABEL", problem("gated", "squared"))
    session.solve(1e-8)
    first = session.answer()
    session.solve(1e-8)
    second = session.answer()
    assert first.iterations == second.iterations
    np.testing.assert_array_equal(first.objective, second.objective)


def test_what_cvxpy_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cvxpy_peer, "MOST_ENTRIES", 100)
    with pytest.raises(ValueError, match=r"^`D_i X` must have at most 100 entries, got"):
        cvxpy_peer.prepare("cvxpy+CLARABEL", problem("gated", "squared"))


def test_what_sparse_clarabel_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match=r"^`y` must have one output, got shape \(30, 3\)$"):
        clarabel_peer.prepare("Clarabel direct", problem("gated", "squared", 3))
    with pytest.raises(ValueError, match=r"^`loss` must be one that this formulation has"):
        clarabel_peer.prepare("Clarabel direct", problem("gated", "poisson"))
    monkeypatch.setattr(clarabel_peer, "MOST_ENTRIES", 100)
    with pytest.raises(ValueError, match=r"^`A` must have at most 100 entries, got"):
        clarabel_peer.prepare("Clarabel direct", problem("gated", "squared"))
