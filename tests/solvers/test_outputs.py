"""Several outputs, ridges and linear parts, with every loss: against cvxpy, and by definition."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest

import pyconvexnn as cx
from pyconvexnn._typing import FloatArray
from tests.relu_reference import clarabel
from tests.solvers.conftest import SOLVERS

KINDS = [
    (cx.GatedReLUProblem, loss, K)
    for loss, K in [
        ("squared", 1),
        ("squared", 3),
        ("huber", 2),
        ("logistic", 1),
        ("hinge", 1),
        ("hinge", 2),
        ("squared_hinge", 2),
        ("poisson", 2),
        ("cross_entropy", 2),
        ("cross_entropy", 4),
    ]
] + [
    (cx.ReLUProblem, loss, 1)
    for loss in ("squared", "huber", "logistic", "squared_hinge", "hinge", "poisson")
]


def targets(F: FloatArray, loss: str, rng: np.random.Generator) -> FloatArray:
    """What a loss takes, made of responses (n, K)."""
    K = F.shape[1]
    if loss == "cross_entropy":
        y = np.eye(K)[np.argmax(F, axis=1)]
        y[:K] = np.eye(K)  # every class
    elif loss in ("logistic", "squared_hinge", "hinge"):
        y = np.where(F > 0, 1.0, -1.0)
        y[:2] = [[1.0], [-1.0]]
    elif loss == "poisson":
        y = rng.poisson(np.exp(np.clip(F, -2, 2))).astype(float)
        y[0] += 1.0
    else:
        y = F
    return np.asarray(y[:, 0] if K == 1 else y)


def random_problem(kind: Any, loss: str, K: int, seed: int) -> Any:
    """Small random sizes, data, weights; an offset, a ridge, a linear part or none."""
    rng = np.random.default_rng(seed)
    n, d, P = rng.integers(12, 40), rng.integers(2, 5), rng.integers(3, 14)
    X = rng.standard_normal((n, d))
    F = np.maximum(X @ rng.standard_normal((d, 4)), 0) @ rng.standard_normal((4, K))
    y = targets(F + 0.5 * rng.standard_normal((n, K)), loss, rng)
    gated = kind is cx.GatedReLUProblem
    patterns = (
        cx.PatternSet.from_dense(rng.random((P, n)) < 0.6)
        if gated
        else cx.sample_patterns(X, int(P), seed=seed)
    )
    options: dict[str, Any] = {
        "loss": loss,
        "output_offset": bool(seed % 2) and loss != "hinge",
        "ridge": (0.0, 0.3, 2.0)[seed % 3],
        "skip": (None, 0.2 if loss == "hinge" else 0.0, 0.7, None)[seed // 2 % 4],
        "sample_weight": rng.uniform(0.2, 2, n),
        "pattern_weight": rng.uniform(0.5, 2, len(patterns)),
    }
    try:
        prob = kind(X, y, patterns, 1.0, **options)
    except ValueError:  # the linear part separates the classes
        prob = kind(X, y, patterns, 1.0, **(options | {"skip": 0.5}))
    if prob.beta_max < 1e-6:  # likewise, at no cost
        prob = kind(X, y, patterns, 1.0, **(options | {"skip": 0.5}))
    return prob.with_beta(float(rng.choice([0.5, 0.1, 0.02])) * prob.beta_max)


def check_against_cvxpy(kind: Any, loss: str, K: int, seed: int) -> None:
    prob = random_problem(kind, loss, K, seed)
    optimum = clarabel(prob.to_cvxpy())
    accuracy = 2e-5 if loss in ("logistic", "poisson", "cross_entropy") else 1e-6
    for solver in SOLVERS if kind is cx.GatedReLUProblem else ["cutting_plane"]:
        sol = cx.solve(prob, tol=1e-8, solver=solver)
        checked = cx.verify(prob, sol)
        assert sol.status is cx.Status.SOLVED, (seed, solver)
        assert sol.objective == pytest.approx(optimum, rel=accuracy), (seed, solver)
        assert checked.objective == pytest.approx(sol.objective, rel=1e-11)
        assert checked.relative_gap <= 1.01e-8, (seed, solver)
        assert checked.infeasibility <= 1e-12, (seed, solver)


@pytest.mark.parametrize(("kind", "loss", "K"), KINDS)
def test_optima_are_those_of_cvxpy(kind: Any, loss: str, K: int) -> None:
    for seed in range(8):
        check_against_cvxpy(kind, loss, K, seed)


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "loss", "K"), KINDS)
def test_more_optima_are_those_of_cvxpy(kind: Any, loss: str, K: int) -> None:
    for seed in range(8, 40):
        check_against_cvxpy(kind, loss, K, seed)


# --- several outputs ----------------------------------------------------------------------------


@pytest.mark.parametrize("loss", ["squared", "huber", "poisson"])
def test_shapes_and_definitions(loss: str) -> None:
    prob = random_problem(cx.GatedReLUProblem, loss, 3, 0)
    sol = cx.solve(prob, tol=1e-9)
    U, n = sol.coef.to_dense(), prob.n_samples
    P, d = len(prob.patterns), prob.n_features
    assert (prob.n_outputs, U.shape, sol.dual.shape) == (3, (P, d, 3), (n, 3))
    masks = prob.patterns.to_dense()
    F = np.einsum("in,nd,idk->nk", masks, prob.X, U)
    np.testing.assert_allclose(prob.fit_values(sol.coef), F, atol=1e-12)
    np.testing.assert_allclose(prob.fit_values(U), F, atol=1e-12)
    s = prob.sample_weight
    value = sum(prob.loss.value(F[:, k], prob.y[:, k], s) for k in range(3))
    norms = np.array([np.linalg.norm(u, "fro") for u in U])
    penalty = prob.beta * prob.pattern_weight @ norms + prob.ridge / 2 * norms @ norms
    assert prob.objective(U) == pytest.approx(value + penalty, rel=1e-13)
    v = -np.stack([prob.loss.gradient(F[:, k], prob.y[:, k], s) for k in range(3)], axis=1)
    G = np.einsum("in,nd,nk->idk", masks, prob.X, v)
    np.testing.assert_allclose(prob.gradient(U), -G, atol=1e-11)
    np.testing.assert_allclose(prob.adjoint(v), G, atol=1e-11)
    assert copy.deepcopy(sol).coef.shape == (P, d, 3)


def test_one_output_is_the_scalar_problem() -> None:
    X, y, patterns = cx.datasets.ar(60, 4, 30)
    a = cx.GatedReLUProblem(X, y, patterns, 3.0)
    b = cx.GatedReLUProblem(X, y[:, np.newaxis], patterns, 3.0)
    assert b.y.shape == (60,)
    assert cx.solve(a).objective == cx.solve(b).objective


@pytest.mark.parametrize("solver", SOLVERS)
def test_equal_outputs_share_their_blocks(solver: str) -> None:
    # K equal targets: the optimum repeats the scalar one's blocks at beta / sqrt(K).
    X, y, patterns = cx.datasets.ar(80, 4, 40)
    K = 4
    scalar = cx.solve(cx.GatedReLUProblem(X, y, patterns, 2.0), tol=1e-10)
    prob = cx.GatedReLUProblem(X, np.repeat(y[:, np.newaxis], K, axis=1), patterns, 2.0 * K**0.5)
    sol = cx.solve(prob, tol=1e-10, solver=solver)
    assert sol.objective == pytest.approx(K * scalar.objective, rel=1e-9)
    np.testing.assert_allclose(
        prob.fit_values(sol.coef)[:, 1], scalar_fit(X, y, patterns, scalar), atol=1e-3
    )


def scalar_fit(X: FloatArray, y: FloatArray, patterns: cx.PatternSet, sol: Any) -> FloatArray:
    return cx.GatedReLUProblem(X, y, patterns, 2.0).fit_values(sol.coef)


@pytest.mark.parametrize("solver", SOLVERS)
def test_two_classes_are_logistic(solver: str) -> None:
    # log(e^f1 + e^f2) - f_y = log(1 + exp(-(f_y - f_other))): the best blocks are (u, -u) / 2, of
    # Frobenius norm ||u|| / sqrt 2.
    X, y, patterns = cx.datasets.ar(90, 4, 40, loss="logistic")
    one = cx.solve(
        cx.GatedReLUProblem(X, y, patterns, 0.5, loss="logistic", output_offset=True), tol=1e-10
    )
    classes = (y > 0).astype(int)
    prob = cx.GatedReLUProblem(
        X, classes, patterns, 0.5 * 2**0.5, loss="cross_entropy", output_offset=True
    )
    sol = cx.solve(prob, tol=1e-10, solver=solver)
    assert sol.objective == pytest.approx(one.objective, rel=1e-9)
    assert prob.y.tolist() == np.eye(2)[classes].tolist()


def test_warm_starts_and_paths_of_several_outputs() -> None:
    X, Y, patterns = cx.datasets.ar(120, 4, 60, loss="cross_entropy", n_outputs=3)
    prob = cx.GatedReLUProblem(X, Y, patterns, 1.0, loss="cross_entropy")
    path = cx.solve_path(prob, n_betas=8, tol=1e-7)
    assert all(sol.status is cx.Status.SOLVED for sol in path)
    again = cx.solve(prob.with_beta(float(path.betas[-1])), warm_start=path[-1], tol=1e-6)
    assert again.n_iter == 0
    zero = cx.solve(prob.with_beta(1.0001 * prob.beta_max), tol=1e-9)
    assert len(zero.active) == 0
    assert zero.objective == pytest.approx(120 * np.log(3), rel=1e-12)
    assert len(cx.solve(prob.with_beta(0.999 * prob.beta_max), tol=1e-10).active) > 0


def test_far_fits_do_not_overflow() -> None:
    X, Y, patterns = cx.datasets.ar(60, 3, 30, loss="cross_entropy", n_outputs=3)
    prob = cx.GatedReLUProblem(X, Y, patterns, 1e-3, loss="cross_entropy")
    sol = cx.solve(prob, tol=1e-6)  # separated: the fits are far apart
    assert sol.relative_gap <= 1e-6
    assert np.isfinite(prob.objective(1e6 * sol.coef.to_dense()))


# --- ridge --------------------------------------------------------------------------------------


def test_a_ridge_in_closed_form() -> None:
    # One block, X = 1: y - u = beta + ridge u.
    prob = cx.GatedReLUProblem([[1.0]], [3.0], cx.PatternSet.from_dense([[True]]), 1.0, ridge=0.5)
    for solver in SOLVERS:
        sol = cx.solve(prob, tol=1e-12, solver=solver)
        assert sol.coef.to_dense()[0, 0] == pytest.approx(2.0 / 1.5, rel=1e-9)
    # Any v is feasible, and pays for what is above beta.
    assert prob.dual_infeasibility([3.0]) == 0.0
    assert prob.dual_objective([3.0]) == pytest.approx(4.5 - (3.0 - 1.0) ** 2 / 2 / 0.5)


@pytest.mark.parametrize("solver", [*SOLVERS, "cutting_plane"])
def test_a_vanishing_ridge_changes_nothing(solver: str) -> None:
    X, y, patterns = cx.datasets.ar(80, 3, 30)
    kind = cx.ReLUProblem if solver == "cutting_plane" else cx.GatedReLUProblem
    plain = cx.solve(kind(X, y, patterns, 2.0), tol=1e-9, solver=solver)
    sol = cx.solve(kind(X, y, patterns, 2.0, ridge=1e-12), tol=1e-9, solver=solver)
    assert sol.objective == pytest.approx(plain.objective, rel=1e-8)


# --- linear part --------------------------------------------------------------------------------


@pytest.mark.parametrize("offset", [False, True])
@pytest.mark.parametrize("K", [1, 2])
def test_without_penalty_a_linear_target_costs_nothing(offset: bool, K: int) -> None:
    rng = np.random.default_rng(0)
    X, C = rng.standard_normal((50, 3)), rng.standard_normal((3, K))
    Y = X @ C + (1.5 if offset else 0.0)
    y, c = (Y[:, 0], C[:, 0]) if K == 1 else (Y, C)
    patterns = cx.sample_patterns(X, 20)
    prob = cx.GatedReLUProblem(X, y, patterns, 1.0, output_offset=offset, skip=0.0)
    assert prob.objective_at_zero == pytest.approx(0.0, abs=1e-25)
    sol = cx.solve(prob)
    assert len(sol.active) == 0
    assert sol.linear is not None
    np.testing.assert_allclose(sol.linear, c, atol=1e-12)
    np.testing.assert_allclose(sol.offset, 1.5 if offset else 0.0, atol=1e-12)


def test_a_penalised_linear_part_is_a_block() -> None:
    X, y, patterns = cx.datasets.ar(80, 3, 30)
    prob = cx.GatedReLUProblem(X, y, patterns, 2.0, skip=0.5)
    assert len(prob.patterns) == 31
    assert prob.patterns.to_dense()[-1].all()
    assert prob.pattern_weight[-1] == 0.5
    assert cx.solve(prob).linear is None
    same = cx.GatedReLUProblem(X, y, prob.patterns, 2.0, pattern_weight=np.append(np.ones(30), 0.5))
    assert cx.solve(same).objective == cx.solve(prob).objective


@pytest.mark.parametrize("activation", ["relu", "leaky_relu", "abs"])
def test_a_linear_part_of_relu_networks_has_no_cone(activation: str) -> None:
    # sum of a linear function and one neuron: with a light linear part little else is needed.
    rng = np.random.default_rng(3)
    X = rng.standard_normal((60, 3))
    y = X @ [3.0, -1.0, 2.0] + np.abs(X @ [1.0, 1.0, 0.0])
    patterns = cx.sample_patterns(X, 25)
    prob = cx.ReLUProblem(X, y, patterns, 1.0, activation=activation, skip=0.01)
    assert prob.n_coned == len(prob.patterns) - 1
    sol = cx.solve(prob, tol=1e-8)
    optimum = clarabel(prob.to_cvxpy())
    assert sol.objective == pytest.approx(optimum, rel=1e-6)
    dense = sol.coef.to_dense()
    linear = dense[0, -1] - dense[1, -1]
    np.testing.assert_allclose(linear, [3.0, -1.0, 2.0], atol=1.0)
    assert prob.infeasibility(sol.coef) <= 1e-13
    free = cx.ReLUProblem(X, y, patterns, 1.0, activation=activation, skip=0.0)
    assert cx.solve(free).objective <= sol.objective


def test_what_a_problem_is_says_its_repr() -> None:
    X, Y, patterns = cx.datasets.ar(40, 3, 20, n_outputs=2)
    prob = cx.GatedReLUProblem(X, Y, patterns, 1.0, ridge=0.5, skip=0.0)
    assert repr(prob) == (
        "GatedReLUProblem(n=40, d=3, K=2, P=20, beta=1, loss='squared', ridge=0.5, skip=0)"
    )


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("seed", [6, 9, 14, 24, 29])
def test_an_output_that_the_linear_part_separates_costs_nothing(solver: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((16, 3))
    masks = (X @ rng.standard_normal((3, 6)) >= 0).T
    Y = np.where(rng.standard_normal((16, 2)) > 0, 1.0, -1.0)
    Y[:2] = [[1, 1], [-1, -1]]
    Y[:, 0] = np.where(X @ rng.standard_normal(3) > 0, 1, -1)
    options: dict[str, Any] = {"loss": "squared_hinge", "output_offset": True, "skip": 0.0}
    whole = cx.GatedReLUProblem(X, Y, cx.PatternSet.from_dense(masks), 1.0, **options)
    prob = whole.with_beta(0.5 * whole.beta_max)
    sol = cx.solve(prob, tol=1e-7, solver=solver)
    assert sol.status is cx.Status.SOLVED
    assert cx.verify(prob, sol).relative_gap <= 1.01e-7
    alone = cx.GatedReLUProblem(X, Y[:, 1], whole.patterns, prob.beta, **options)
    assert sol.objective == pytest.approx(cx.solve(alone, tol=1e-8).objective, rel=1e-6)
