"""What the ReLU solver meets: data that break solvers, time limits, real data."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits, load_wine
from sklearn.exceptions import ConvergenceWarning

import pyconvexnn as cx
from pyconvexnn._typing import FloatArray
from tests.small_data import quiet_sample

LOSSES = ["squared", "huber", "squared_hinge", "logistic"]
LABELS = ("logistic", "squared_hinge")
RATIOS = (0.3, 0.1, 0.01, 1e-3)


def awkward() -> dict[str, tuple[FloatArray, FloatArray]]:
    """Data of the kinds that break solvers: X and y."""
    rng = np.random.default_rng(0)
    X, y, _ = cx.datasets.ar(100, 6, 1)
    teacher = np.maximum(X @ rng.standard_normal((6, 3)), 0) @ np.ones(3)
    low_rank = X @ rng.standard_normal((6, 3)) @ rng.standard_normal((3, 6))
    line = rng.standard_normal((80, 1))
    zeros = np.column_stack([X, np.zeros(100)]) * (np.arange(100) % 7 > 0)[:, None]
    return {
        "plain": (X, y),
        "patterns repeated": (X, y),
        "fewer rows than columns": (rng.standard_normal((30, 50)), rng.standard_normal(30)),
        "rank deficient": (low_rank, y),
        "binary": ((rng.random((100, 8)) < 0.5) * 1.0, y),
        "rows repeated": (np.repeat(X[:50], 2, axis=0), np.repeat(y[:50], 2)),
        "one feature": (line, rng.standard_normal(80)),
        "one feature and a constant": (np.column_stack([line, np.ones(80)]), line[::-1, 0] ** 2),
        "targets of 1e6": (X, 1e6 * y),
        "interpolation": (X, teacher),
        "a column and rows of zeros": (zeros, y),
        "smallest numbers": (1e-59 * X, 1e-59 * y),
        "largest numbers": (1e59 * X, 1e59 * y),
    }


def problem(
    X: FloatArray, y: FloatArray, kind: str = "", loss: Any = "squared", **options: Any
) -> cx.ReLUProblem:
    patterns = quiet_sample(X, 100, seed=0)
    if kind == "patterns repeated":
        patterns = patterns[np.repeat(np.arange(len(patterns)), 2)]
    if loss in LABELS:
        y = np.where(y > np.median(y), 1.0, -1.0)
    return cx.ReLUProblem(X, y, patterns, 1.0, loss=loss, slope=0.1, **options)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("kind", awkward())
def test_awkward_data(kind: str, loss: str) -> None:
    X, y = awkward()[kind]
    size = float(np.abs(y).max())
    variants = [("relu", False), ("leaky_relu", True), ("abs", False), ("relu", True)]
    for activation, offset in variants if loss == "squared" else variants[:2]:
        # Huber's bend where most targets are near it.
        at: Any = cx.losses.Huber(0.3 * size) if loss == "huber" else loss
        whole = problem(X, y, kind, at, activation=activation, output_offset=offset)
        for ratio in RATIOS:
            prob = whole.with_beta(ratio * whole.beta_max)
            sol = cx.solve(prob, tol=1e-8)
            checked = cx.verify(prob, sol)
            assert sol.status is cx.Status.SOLVED
            assert checked.relative_gap <= 1e-8 * (1 + 1e-5)
            assert checked.infeasibility <= 1e-12


def assert_honest(prob: cx.ReLUProblem, sol: cx.Solution, tol: float) -> None:
    """Every number is the one that NumPy finds, and SOLVED is said of what is."""
    checked = cx.verify(prob, sol)
    scale = max(sol.objective, 1e-10 * prob.objective_at_zero)
    assert sol.objective == pytest.approx(checked.objective, abs=1e-10 * scale)
    assert sol.dual_objective == pytest.approx(checked.dual_objective, abs=1e-10 * scale)
    assert checked.infeasibility <= 1e-12
    assert (sol.status is cx.Status.SOLVED) == (sol.relative_gap <= tol)
    assert sol.status is not cx.Status.SOLVED or checked.relative_gap <= tol * (1 + 1e-5)
    assert checked.relative_gap >= -1e-10
    assert sol.nonconvex_objective == pytest.approx(sol.objective, abs=1e-9 * scale)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("activation", ["relu", "leaky_relu", "abs"])
def test_columns_over_eight_decades_are_solved_or_not_said_to_be(
    loss: str, activation: str
) -> None:
    X, y = awkward()["plain"]
    whole = problem(X * np.logspace(-4, 4, 6), y, loss=loss, activation=activation)
    statuses = []
    for ratio in RATIOS:
        prob = whole.with_beta(ratio * whole.beta_max)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            sol = cx.solve(prob, tol=1e-8)
        assert_honest(prob, sol, 1e-8)
        assert sol.relative_gap <= 1e-4
        statuses.append(sol.status)
    assert set(statuses) <= {cx.Status.SOLVED, cx.Status.NUMERICAL_ERROR}


def test_huber_far_from_its_bend_is_solved_or_not_said_to_be() -> None:
    # Targets of 1e6 delta: next to least absolute deviations, which has no curvature.
    X, y = awkward()["targets of 1e6"]
    whole = problem(X, y, loss="huber")
    for ratio in (0.3, 0.01):
        prob = whole.with_beta(ratio * whole.beta_max)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            sol = cx.solve(prob, tol=1e-8, max_iter=30)
        assert_honest(prob, sol, 1e-8)


def real_data() -> dict[str, tuple[Callable[..., Any], str]]:
    return {
        "diabetes": (load_diabetes, "squared"),
        "breast_cancer": (load_breast_cancer, "logistic"),
        "wine": (load_wine, "squared_hinge"),
        "digits": (load_digits, "squared"),
    }


@pytest.mark.parametrize(
    ("name", "ratios"),
    [
        *((name, (0.3, 0.1, 0.02)) for name in real_data() if name != "digits"),
        ("digits", (0.3,)),
        pytest.param("digits", (0.1, 0.02), marks=pytest.mark.slow),
    ],
)
def test_real_data(name: str, ratios: tuple[float, ...]) -> None:
    load, loss = real_data()[name]
    X, y = load(return_X_y=True)
    X = X[:, X.std(axis=0) > 0]
    X = np.column_stack([(X - X.mean(axis=0)) / X.std(axis=0), np.ones(len(X))])
    y = (y - y.mean()) / y.std() if loss == "squared" else np.where(y == 1, 1.0, -1.0)
    whole = cx.ReLUProblem(X, y, cx.sample_patterns(X, 200, seed=0), 1.0, loss=loss)
    for ratio in ratios:
        prob = whole.with_beta(ratio * whole.beta_max)
        sol = cx.solve(prob, tol=1e-6)
        assert sol.status is cx.Status.SOLVED
        assert_honest(prob, sol, 1e-6)
        assert len(sol.active) >= 1
        network = cx.recover(prob, sol)
        assert network.objective(X, y, prob.beta, loss=loss) == pytest.approx(
            sol.objective, rel=1e-9
        )


# --- time ---------------------------------------------------------------------------------------

LONG = {
    "passes over all patterns": (5000, 20, 2000, 0.03, "squared"),
    "master problems of many neurons": (1000, 20, 600, 1e-5, "squared"),
    "cones with many faces": (300, 400, 100, 0.01, "squared"),
    "faces": (1000, 20, 200, 1e-3, "squared"),
}


@pytest.mark.parametrize("kind", LONG)
@pytest.mark.parametrize("time_limit", [0.2, 1.5])
def test_time_limit(kind: str, time_limit: float) -> None:
    n, d, P, ratio, loss = LONG[kind]
    X, y, patterns = cx.datasets.gauss(n, d, P, loss=loss)
    whole = cx.ReLUProblem(X, y, patterns, 1.0, loss=loss)
    prob = whole.with_beta(ratio * whole.beta_max)
    late = []
    for _ in range(2):  # a busy machine may be late once
        start = time.perf_counter()
        with pytest.warns(ConvergenceWarning, match="status TIME_LIMIT"):
            sol = cx.solve(prob, tol=1e-300, time_limit=time_limit)
        late.append(time.perf_counter() - start - time_limit)
        assert sol.status is cx.Status.TIME_LIMIT
        assert sol.solve_time >= time_limit
        assert -1e-12 <= sol.relative_gap <= 1.0 + 1e-12
        assert sol.objective <= prob.objective_at_zero * (1 + 1e-12)
    assert min(late) < 0.5, late


# Losses whose curvature vanishes get there through larger penalties: none of their numbers shows.
@pytest.mark.parametrize("loss", ["logistic", "huber", "squared_hinge"])
@pytest.mark.parametrize("max_iter", [1, 3, 6])
def test_a_cold_start_cut_short_on_its_way(loss: str, max_iter: int) -> None:
    X, y, patterns = cx.datasets.ar(60, 4, 40, loss="squared" if loss == "huber" else "logistic")
    prob = cx.ReLUProblem(X, y, patterns, 1.0, loss=loss)
    prob = prob.with_beta(1e-5 * prob.beta_max)
    with pytest.warns(ConvergenceWarning, match="MAX_ITER"):
        sol = cx.solve(prob, tol=1e-9, max_iter=max_iter)
    assert sol.n_iter <= max_iter
    check = cx.verify(prob, sol)
    assert check.infeasibility <= 1e-12
    assert sol.objective == pytest.approx(check.objective, rel=1e-9)
    assert sol.dual_objective == pytest.approx(check.dual_objective, rel=1e-9, abs=1e-12)
    assert sol.objective < prob.objective_at_zero
    full = cx.solve(prob, tol=1e-6)
    assert full.dual_objective <= sol.objective
    assert sol.dual_objective <= full.objective


# The time may end before any price of the last penalty is known: what larger ones led to is kept.
@pytest.mark.parametrize("share", [0.1, 0.4, 0.7, 0.9])
def test_the_time_ends_on_the_way_of_a_cold_start(share: float) -> None:
    X, y, patterns = cx.datasets.ar(600, 6, 150, loss="logistic")
    prob = cx.ReLUProblem(X, y, patterns, 1.0, loss="squared_hinge")
    prob = prob.with_beta(1e-4 * prob.beta_max)
    start = time.perf_counter()
    full = cx.solve(prob, tol=1e-3)
    seconds = time.perf_counter() - start
    with pytest.warns(ConvergenceWarning, match="TIME_LIMIT"):
        sol = cx.solve(prob, tol=1e-300, time_limit=share * seconds)
    check = cx.verify(prob, sol)
    assert check.infeasibility <= 1e-12
    assert sol.objective == pytest.approx(check.objective, rel=1e-9)
    assert sol.dual_objective == pytest.approx(check.dual_objective, rel=1e-9, abs=1e-12)
    assert sol.history[-1][1:3] == (sol.objective, sol.dual_objective)
    assert sol.objective <= prob.objective_at_zero * (1 + 1e-12)
    assert sol.dual_objective <= full.objective
