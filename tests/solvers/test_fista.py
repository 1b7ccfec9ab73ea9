"""FISTA against coordinate descent, closed forms and conditions of optimality."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest

import pyconvexnn as cx
from pyconvexnn import _core
from pyconvexnn._typing import FloatArray
from pyconvexnn.solvers import Fista

LOSSES = ["squared", "logistic"]


def problem(
    n: int = 80,
    d: int = 4,
    P: int = 40,
    ratio: float = 0.1,
    loss: str = "squared",
    seed: int = 0,
    **options: Any,
) -> cx.GatedReLUProblem:
    """A noisy ReLU teacher at a fraction of beta_max."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, d))
    y = np.maximum(X @ rng.standard_normal((d, 5)), 0) @ rng.standard_normal(5)
    y += 0.3 * rng.standard_normal(n) - np.median(y)
    y = np.where(y >= 0, 1.0, -1.0) if loss == "logistic" else y
    return at_ratio(X, y, cx.sample_patterns(X, P, seed=seed), ratio, loss=loss, **options)


def at_ratio(
    X: FloatArray, y: FloatArray, patterns: cx.PatternSet, ratio: float, **options: Any
) -> cx.GatedReLUProblem:
    beta_max = cx.GatedReLUProblem(X, y, patterns, 1.0, **options).beta_max
    return cx.GatedReLUProblem(X, y, patterns, ratio * beta_max, **options)


def proved(prob: cx.GatedReLUProblem, tol: float, **options: Any) -> cx.Solution:
    """A solution by FISTA of which NumPy confirms the gap."""
    sol = cx.solve(prob, solver="fista", tol=tol, **options)
    assert sol.status is cx.Status.SOLVED
    checked = cx.verify(prob, sol)
    assert checked.infeasibility <= 1e-12
    assert checked.relative_gap <= tol * (1 + 1e-6) + 1e-13
    assert checked.objective == pytest.approx(sol.objective, rel=1e-11)
    return sol


def same(a: cx.Solution, b: cx.Solution) -> bool:
    return (
        a.coef.values.tobytes() == b.coef.values.tobytes()
        and a.coef.indices.tobytes() == b.coef.indices.tobytes()
        and a.dual.tobytes() == b.dual.tobytes()
        and (a.objective, a.dual_objective, a.n_iter) == (b.objective, b.dual_objective, b.n_iter)
    )


# --- the optimum --------------------------------------------------------------------------------


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("ratio", [0.5, 0.1, 0.01])
@pytest.mark.parametrize("shape", [(80, 4, 40), (30, 50, 60), (300, 17, 700)])
@pytest.mark.parametrize("weighted", [False, True])
def test_agrees_with_coordinate_descent(
    loss: str, ratio: float, shape: tuple[int, int, int], weighted: bool
) -> None:
    n, _, P = shape
    rng = np.random.default_rng(1)
    weights: dict[str, Any] = {
        "sample_weight": rng.integers(0, 4, n).astype(float),
        "pattern_weight": rng.uniform(0.5, 2, P),
    }
    prob = problem(*shape, ratio, loss, **(weights if weighted else {}))
    tol = 1e-5
    sol, other = proved(prob, tol), cx.solve(prob, tol=tol, solver="cd")
    assert sol.objective == pytest.approx(other.objective, rel=1.01 * tol)
    assert sol.dual_objective <= other.objective * (1 + 1e-12)
    assert other.dual_objective <= sol.objective * (1 + 1e-12)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("ratio", [0.3, 0.03])
def test_karush_kuhn_tucker(loss: str, ratio: float) -> None:
    prob = problem(loss=loss, ratio=ratio)
    sol = proved(prob, 1e-12)
    U = sol.coef.to_dense()
    assert 1 <= len(sol.active) < 40
    g = -prob.gradient(sol.coef)  # X^T D_i v
    norms = np.linalg.norm(g, axis=1) / prob.beta
    assert norms.max() <= 1 + 1e-5
    np.testing.assert_allclose(norms[sol.active], 1.0, atol=1e-5)
    for i in sol.active:
        np.testing.assert_allclose(g[i], prob.beta * U[i] / np.linalg.norm(U[i]), rtol=1e-3)


@pytest.mark.parametrize("d", [1, 3])
@pytest.mark.parametrize("target", [2.0, -0.7])
@pytest.mark.parametrize("beta", [0.1, 1.0, 50.0])
def test_one_sample(d: int, target: float, beta: float) -> None:
    x = np.arange(1.0, d + 1)
    norm = float(np.sqrt(x @ x))
    prob = cx.GatedReLUProblem(x[np.newaxis], [target], cx.PatternSet.from_dense([[1]]), beta)
    f = np.copysign(
        max(abs(target) - beta / norm, 0.0), target
    )  # min (f - t)^2 / 2 + beta |f| / norm
    expected = 0.5 * (f - target) ** 2 + beta * abs(f) / norm
    assert proved(prob, 1e-13).objective == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("loss", LOSSES)
def test_zero_where_zero_is_optimal(loss: str) -> None:
    prob = problem(ratio=1.0 + 1e-12, loss=loss)
    warm = cx.solve(problem(ratio=0.1, loss=loss), tol=1e-4)
    for options in ({}, {"warm_start": warm}):
        sol = proved(prob, 1e-9, **options)
        assert len(sol.active) == 0
        assert sol.n_iter == 0
        assert sol.objective == pytest.approx(prob.objective_at_zero, rel=1e-15)


def test_first_block_just_below_beta_max() -> None:
    sol = proved(problem(ratio=1 - 1e-6), 1e-13)
    assert len(sol.active) == 1


# --- difficult data -----------------------------------------------------------------------------


def test_duplicated_patterns() -> None:
    prob = problem(P=20)
    masks = np.repeat(prob.patterns.to_dense(), 3, axis=0)
    repeated = cx.GatedReLUProblem(prob.X, prob.y, cx.PatternSet.from_dense(masks), prob.beta)
    expected = proved(prob, 1e-10).objective
    assert proved(repeated, 1e-10).objective == pytest.approx(expected, rel=2e-10)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("kind", ["constant", "zero", "twice", "scaled"])
def test_columns(kind: str, loss: str) -> None:
    prob = problem(loss=loss)
    column = {
        "constant": np.ones(80),
        "zero": np.zeros(80),
        "twice": prob.X[:, 0],
        "scaled": 30 * prob.X[:, 1],
    }[kind]
    X = np.column_stack([prob.X, column])
    proved(at_ratio(X, prob.y, prob.patterns, 0.1, loss=loss), 1e-8)


@pytest.mark.parametrize("scale", [1e-60, 1e-6, 1e6, 1e50])
def test_scale_of_the_targets(scale: float) -> None:
    prob = problem(seed=3)
    scaled = cx.GatedReLUProblem(prob.X, scale * prob.y, prob.patterns, scale * prob.beta)
    expected = proved(prob, 1e-9).objective
    sol = proved(scaled, 1e-9)
    assert sol.objective / scale / scale == pytest.approx(expected, rel=2e-9)


@pytest.mark.parametrize("scale", [1e-59, 1e59])
def test_scale_of_the_data(scale: float) -> None:
    prob = problem(seed=3)
    scaled = cx.GatedReLUProblem(scale * prob.X, prob.y, prob.patterns, scale * prob.beta)
    assert proved(scaled, 1e-9).objective == pytest.approx(proved(prob, 1e-9).objective, rel=2e-9)


def test_tolerance_below_rounding_ends_without_proof() -> None:
    with pytest.warns(UserWarning, match="NUMERICAL_ERROR"):
        sol = cx.solve(problem(ratio=0.3), solver="fista", tol=1e-30)
    assert sol.relative_gap < 1e-12


# --- how it starts and ends ---------------------------------------------------------------------


def test_warm_start_shortens_the_solve() -> None:
    prob = problem(n=200, d=6, P=100, ratio=0.05)
    cold = proved(prob, 1e-6)
    again = proved(prob, 1e-6, warm_start=cold)
    assert again.n_iter == 0
    nearby = cx.GatedReLUProblem(prob.X, prob.y, prob.patterns, 1.05 * prob.beta)
    assert proved(nearby, 1e-6, warm_start=cold).n_iter < proved(nearby, 1e-6).n_iter


def test_a_start_worse_than_zero_is_not_taken() -> None:
    prob = problem()
    far = np.full((40, 4), 1e3)
    assert same(proved(prob, 1e-6), proved(prob, 1e-6, warm_start=far))


def test_callback_ends_the_solve() -> None:
    prob = problem(ratio=0.01)
    with pytest.warns(UserWarning, match="INTERRUPTED"):
        sol = cx.solve(prob, solver="fista", callback=lambda progress: progress.iteration > 0)
    assert sol.status is cx.Status.INTERRUPTED
    assert len(sol.history) == 2
    assert sol.objective == pytest.approx(prob.objective(sol.coef), rel=1e-12)
    assert sol.dual_objective <= proved(prob, 1e-6).objective


def test_time_limit() -> None:
    prob = problem(n=2000, d=30, P=1000, ratio=1e-4)
    begin = time.perf_counter()
    with pytest.warns(UserWarning, match="TIME_LIMIT"):
        sol = cx.solve(prob, solver="fista", tol=1e-12, time_limit=0.3)
    assert time.perf_counter() - begin < 2.0
    assert 0 < sol.objective < prob.objective_at_zero
    assert cx.verify(prob, sol).relative_gap == pytest.approx(sol.relative_gap, rel=1e-6)


@pytest.mark.parametrize("limit", [1, 2, 7])
def test_max_iter(limit: int) -> None:
    with pytest.warns(UserWarning, match="MAX_ITER"):
        sol = cx.solve(problem(), solver="fista", tol=1e-10, max_iter=limit)
    assert sol.n_iter == limit


@pytest.mark.parametrize("loss", LOSSES)
def test_any_number_of_threads_gives_the_same_bits(loss: str) -> None:
    prob = problem(n=130, d=9, P=600, ratio=0.05, loss=loss)
    first = proved(prob, 1e-6)
    for threads in (1, 2, 3, -1):
        assert same(first, proved(prob, 1e-6, threads=threads)), threads


def test_threads_inside_a_step_give_the_same_bits() -> None:
    # Large enough for threads within the products of one step, too.
    prob = problem(n=21_000, d=65, P=160, ratio=1e-3)
    runs = [
        Fista(tol=1e-9, max_iter=25, threads=threads).solve(
            prob, warm_start=cx.problems.SparseBlocks.from_dense(np.full((160, 65), 1e-3))
        )
        for threads in (1, 3)
    ]
    assert same(*runs)


def test_unknown_method_codes_are_refused() -> None:
    prob = problem()
    for code in (-1, 3):
        with pytest.raises(ValueError, match="`method` must be the code of a solver"):
            _core.solve_group_lasso(
                prob.X,
                prob.patterns.packed,
                prob.y,
                prob.sample_weight,
                prob.pattern_weight,
                prob.beta,
                method=code,
                loss=0,
                loss_parameter=0.0,
                output_offset=False,
                tol=1e-6,
                max_iter=10,
                time_limit=1.0,
                threads=1,
                indices=np.empty(0, np.int64),
                values=np.empty((0, 4)),
                callback=None,
            )
