"""The hinge loss: against cvxpy, its gap and its history, penalties of any size, odd data."""

from __future__ import annotations

import itertools
import warnings
from typing import Any

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning

import pyconvexnn as cx
from pyconvexnn._typing import FloatArray
from tests.solvers.conftest import SOLVERS, Problem, program_of

ALL = [*SOLVERS, "cutting_plane"]
ACTIVATIONS = ["relu", "leaky_relu", "abs"]


def labelled(seed: int, n: int = 60, d: int = 4) -> tuple[FloatArray, FloatArray]:
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, d))
    f = np.maximum(X @ rng.standard_normal((d, 3)), 0).sum(axis=1) + rng.standard_normal(n)
    return X, np.where(f > np.median(f), 1.0, -1.0)


def problem(solver: str, ratio: float, seed: int = 0, **options: Any) -> Problem:
    X, y = labelled(seed)
    prob = program_of(solver)(X, y, cx.sample_patterns(X, 40), 1.0, loss="hinge", **options)
    return prob.with_beta(ratio * prob.beta_max)


def assert_solved(prob: Problem, sol: cx.Solution, tol: float) -> None:
    """Solved, and every number is what NumPy makes of the coefficients and the dual point."""
    checked = cx.verify(prob, sol)
    assert sol.status is cx.Status.SOLVED
    assert sol.relative_gap <= tol
    assert checked.relative_gap <= tol * (1 + 1e-6)
    assert checked.infeasibility <= 1e-12
    assert_true(prob, sol)


def assert_true(prob: Problem, sol: cx.Solution) -> None:
    checked = cx.verify(prob, sol)
    size = 1e-12 * sol.objective_at_zero
    assert sol.objective == pytest.approx(checked.objective, abs=size)
    assert sol.dual_objective == pytest.approx(checked.dual_objective, abs=size)
    weight = prob.sample_weight
    assert np.all((prob.y * sol.dual >= 0) & (np.abs(sol.dual) <= weight))
    assert sol.dual_objective == pytest.approx(float(prob.y @ sol.dual), abs=size)
    f = prob.fit_values(sol.coef)
    norms = np.linalg.norm(sol.coef.values, axis=1)
    w = prob.pattern_weight[sol.active % len(prob.patterns)]
    objective = weight @ np.maximum(1 - prob.y * f, 0) + prob.beta * float(w @ norms)
    assert sol.objective == pytest.approx(float(objective), abs=size)


# --- optima ---------------------------------------------------------------------------------------


def assert_optimum_of_cvxpy(kind: Any, seed: int) -> None:
    rng = np.random.default_rng(seed)
    n, d, P = (int(rng.integers(*ends)) for ends in ((5, 50), (1, 7), (1, 25)))
    X, y = labelled(seed, n, d)
    options: dict[str, Any] = {"loss": "hinge"}
    patterns = cx.PatternSet.from_gates(X, rng.standard_normal((P, d)))
    if kind is cx.ReLUProblem:
        options["activation"] = ACTIVATIONS[seed % 3]
    if seed % 2:
        options["sample_weight"] = rng.integers(0, 4, n) + (seed % 4 == 1) * rng.random(n) + 0.0
        options["sample_weight"][0] = 1.5
        options["pattern_weight"] = rng.uniform(0.5, 2.0, P)
    prob = kind(X, y, patterns, 1.0, **options)
    prob = prob.with_beta(prob.beta_max * float(rng.choice([0.7, 0.2, 0.05, 0.01])))
    program = prob.to_cvxpy()
    for accuracy in (1e-9, 1e-8):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # that it may be inaccurate
            settings = dict.fromkeys(("tol_gap_abs", "tol_gap_rel", "tol_feas"), accuracy)
            program.solve("CLARABEL", **settings)
        if program.status == "optimal":
            break
    assert program.status == "optimal"
    for solver in SOLVERS if kind is cx.GatedReLUProblem else ["cutting_plane"]:
        # "newton" alone may end early where rounding is all there is to go by.
        sol = cx.solve(prob, tol=1e-7, solver="auto" if solver == "newton" else solver)
        assert_solved(prob, sol, 1e-7)
        assert sol.objective == pytest.approx(float(program.value), rel=1e-6)


@pytest.mark.parametrize("kind", [cx.GatedReLUProblem, cx.ReLUProblem])
@pytest.mark.parametrize("seed", range(6))
def test_optima_are_those_of_cvxpy(kind: Any, seed: int) -> None:
    assert_optimum_of_cvxpy(kind, seed)


@pytest.mark.slow
@pytest.mark.parametrize("kind", [cx.GatedReLUProblem, cx.ReLUProblem])
def test_more_optima_are_those_of_cvxpy(kind: Any) -> None:
    for seed in range(6, 40):
        assert_optimum_of_cvxpy(kind, seed)


def test_orthogonal_rows_have_a_closed_form() -> None:
    # Every row by itself: min (1 - t)_+ + beta t is min(1, beta), times the weight of the row.
    X, y = np.eye(4), np.array([1.0, -1.0, 1.0, -1.0])
    patterns = cx.PatternSet.from_dense(np.eye(4, dtype=bool))
    weight = np.array([0.5, 1.0, 2.0, 3.0])
    for kind, beta in itertools.product((cx.GatedReLUProblem, cx.ReLUProblem), (0.3, 0.8, 1.5)):
        prob = kind(X, y, patterns, beta, loss="hinge", sample_weight=weight)
        sol = cx.solve(prob, tol=1e-9)
        assert sol.objective == pytest.approx(float(np.minimum(weight, beta).sum()), rel=1e-8)
        np.testing.assert_allclose(y * sol.dual, np.minimum(weight, beta), rtol=1e-6)


@pytest.mark.parametrize("ratio", [0.5, 0.1, 0.02, 0.005])
def test_a_large_problem_is_solved_to_a_tight_gap(ratio: float) -> None:
    X, y, patterns = cx.datasets.ar(500, 20, 500, loss="hinge")
    prob = cx.GatedReLUProblem(X, y, patterns, 1.0, loss="hinge")
    prob = prob.with_beta(ratio * prob.beta_max)
    for tol in (1e-4, 1e-8):
        assert_solved(prob, cx.solve(prob, tol=tol), tol)


@pytest.mark.parametrize("ratio", [0.5, 0.1, 0.02, 0.005])
def test_networks_are_solved_to_a_tight_gap(ratio: float) -> None:
    X, y, patterns = cx.datasets.ar(100, 5, 100, loss="hinge")
    gated = cx.GatedReLUProblem(X, y, patterns, 1.0, loss="hinge")
    prob = cx.ReLUProblem(X, y, patterns, ratio * gated.beta_max, loss="hinge")
    for tol in (1e-4, 1e-8):
        assert_solved(prob, cx.solve(prob, tol=tol), tol)


@pytest.mark.parametrize(
    ("solver", "ratio", "tol"),
    [(solver, 1e-3, 1e-4) for solver in ALL]
    + [(solver, ratio, 1e-6) for solver in ("auto", "cutting_plane") for ratio in (1e-6, 1e-9)],
)
def test_tiny_penalties(solver: str, ratio: float, tol: float) -> None:
    prob = problem(solver, ratio)
    assert_solved(prob, cx.solve(prob, tol=tol, solver=solver), tol)


@pytest.mark.parametrize("solver", ALL)
def test_zero_is_optimal_from_beta_max_on(solver: str) -> None:
    for ratio in (1.0 + 1e-9, 1.3, 1e6):
        sol = cx.solve(problem(solver, ratio), tol=1e-9, solver=solver)
        assert sol.status is cx.Status.SOLVED
        assert len(sol.active) == 0
        assert sol.objective == sol.objective_at_zero


@pytest.mark.parametrize("solver", ALL)
@pytest.mark.parametrize("ratio", [0.99, 0.999, 0.9999])
def test_just_below_beta_max(solver: str, ratio: float) -> None:
    prob = problem(solver, ratio)
    sol = cx.solve(prob, tol=1e-7, solver=solver)
    assert_solved(prob, sol, 1e-7)
    assert sol.objective < sol.objective_at_zero


# --- how a solve goes and ends --------------------------------------------------------------------


@pytest.mark.parametrize("solver", ALL)
@pytest.mark.parametrize("warm", [False, True])
def test_progress_is_monotone_and_is_the_history(solver: str, warm: bool) -> None:
    start = cx.solve(problem(solver, 0.15), tol=1e-3, solver=solver) if warm else None
    prob, seen = problem(solver, 0.05), list[cx.Progress]()
    sol = cx.solve(prob, tol=1e-8, solver=solver, callback=seen.append, warm_start=start)
    assert_solved(prob, sol, 1e-8)
    assert tuple(seen) == sol.history
    for before, after in itertools.pairwise(seen):
        assert after.objective <= before.objective
        assert after.dual_objective >= before.dual_objective
        assert after.iteration > before.iteration
        assert after.seconds >= before.seconds
    best = sol.dual_objective
    for at in seen:
        assert at.dual_objective <= sol.objective * (1 + 1e-12)
        assert at.objective >= best * (1 - 1e-12)
    first, last = seen[0], seen[-1]
    worst = sol.objective_at_zero if start is None else prob.objective(start.coef)
    assert first.objective <= worst * (1 + 1e-12)
    assert last[:4] == (sol.n_iter, sol.objective, sol.dual_objective, len(sol.active))
    assert last.seconds <= sol.solve_time


@pytest.mark.parametrize("solver", ALL)
@pytest.mark.parametrize("max_iter", [1, 2, 5])
def test_max_iter(solver: str, max_iter: int) -> None:
    prob = problem(solver, 0.05)
    with pytest.warns(ConvergenceWarning, match=f"status MAX_ITER after {max_iter} iterations"):
        sol = cx.solve(prob, tol=1e-12, max_iter=max_iter, solver=solver)
    assert sol.status is cx.Status.MAX_ITER
    assert sol.n_iter == max_iter
    assert_true(prob, sol)


@pytest.mark.parametrize("solver", ALL)
def test_a_time_limit_is_for_all_of_it(solver: str) -> None:
    prob = problem(solver, 0.05)
    for limit in (1e-9, 0.005):
        with pytest.warns(ConvergenceWarning, match="status TIME_LIMIT"):
            sol = cx.solve(prob, tol=1e-300, time_limit=limit, solver=solver)
        assert_true(prob, sol)
        assert sol.solve_time < limit + 0.3


@pytest.mark.parametrize("solver", ALL)
def test_a_callback_ends_it_and_what_it_raises_is_raised(solver: str) -> None:
    prob = problem(solver, 0.05)
    for calls in (1, 4):
        seen: list[cx.Progress] = []

        def stop(at: cx.Progress, seen: list[cx.Progress] = seen, calls: int = calls) -> bool:
            seen.append(at)
            return len(seen) == calls

        with pytest.warns(ConvergenceWarning, match="status INTERRUPTED"):
            sol = cx.solve(prob, solver=solver, callback=stop)
        assert len(seen) == calls
        assert sol.objective <= seen[-1].objective
        assert sol.dual_objective >= seen[-1].dual_objective
        assert_true(prob, sol)

    def fail(_: cx.Progress) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cx.solve(prob, solver=solver, callback=fail)


@pytest.mark.parametrize("solver", ALL)
def test_a_tolerance_below_rounding_ends_too(solver: str) -> None:
    prob = problem(solver, 0.1)
    with pytest.warns(ConvergenceWarning, match="status NUMERICAL_ERROR"):
        sol = cx.solve(prob, tol=1e-300, solver=solver)
    assert abs(sol.relative_gap) <= 1e-10
    assert_true(prob, sol)


@pytest.mark.parametrize("solver", ALL)
@pytest.mark.parametrize("size", [1e-8, 1.0, 1e8, 1e200])
def test_a_bad_start_does_no_harm(solver: str, size: float) -> None:
    prob = problem(solver, 0.1)
    shape = (2, 40, 4) if solver == "cutting_plane" else (40, 4)
    far = size * np.random.default_rng(0).standard_normal(shape)
    assert_solved(prob, cx.solve(prob, tol=1e-6, warm_start=far, solver=solver), 1e-6)


def test_a_path() -> None:
    for solver in ("newton", "cutting_plane"):
        path = cx.solve_path(problem(solver, 1.0), n_betas=8, tol=1e-6)
        assert np.all(path.relative_gaps <= 1e-6)
        assert path.n_active[0] == 0
        assert np.all(np.diff(path.objectives) < 0)


# --- data -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("solver", ALL)
def test_odd_data(solver: str) -> None:
    rng = np.random.default_rng(0)
    X, y = labelled(0)
    wide = rng.standard_normal((12, 30))
    cases: list[tuple[FloatArray, FloatArray]] = [
        (X, np.ones(60)),
        (1e6 * X, y),
        (1e-6 * X, y),
        (X * [1e-3, 1.0, 1e3, 1e2], y),
        (np.round(X), y),
        (wide, np.sign(rng.standard_normal(12))),
        (np.ones((30, 1)), np.sign(rng.standard_normal(30) + 0.3)),
        (np.array([[2.0, -1.0]]), np.array([-1.0])),
    ]
    for data, labels in cases:
        patterns = cx.PatternSet.from_gates(data, rng.standard_normal((20, data.shape[1])))
        on = patterns.to_dense()
        on[0] = True
        prob = program_of(solver)(data, labels, cx.PatternSet.from_dense(on), 1.0, loss="hinge")
        prob = prob.with_beta(0.1 * prob.beta_max)
        assert_solved(prob, cx.solve(prob, tol=1e-5, solver=solver), 1e-5)


@pytest.mark.parametrize("solver", ALL)
def test_integer_weights_are_repeated_rows(solver: str) -> None:
    X, y = labelled(3)
    counts = np.random.default_rng(0).integers(1, 4, len(y))
    rows = np.repeat(np.arange(len(y)), counts)
    patterns, kind = cx.sample_patterns(X, 20), program_of(solver)
    one = kind(X, y, patterns, 3.0, loss="hinge", sample_weight=counts)
    other = kind(X[rows], y[rows], patterns.restrict(rows), 3.0, loss="hinge")
    values = [cx.solve(prob, tol=1e-7, solver=solver).objective for prob in (one, other)]
    assert values[0] == pytest.approx(values[1], rel=1.1e-7)


def test_an_output_offset_is_refused() -> None:
    X, y = labelled(0)
    message = r"^`output_offset` must be False for loss 'hinge', got True$"
    patterns = cx.sample_patterns(X, 5)
    for kind in (cx.GatedReLUProblem, cx.ReLUProblem):
        with pytest.raises(ValueError, match=message):
            kind(X, y, patterns, 1.0, loss="hinge", output_offset=True)
    with pytest.raises(ValueError, match=message):
        cx.train(X, y, 1.0, loss="hinge", output_offset=True)
    with pytest.raises(ValueError, match=message):
        cx.beta_max(X, y, loss="hinge", output_offset=True)
    net = cx.TwoLayerNetwork.from_arrays(np.ones((1, 4)), [[1.0]], b2=[0.5])
    assert net.objective(X, y, 1.0, loss="hinge") > 0
    with pytest.raises(ValueError, match=message):
        cx.certify(net, X, y, 1.0, loss="hinge")
