"""`solve` as a user meets it: options, statuses, callbacks, warm starts, kinds of input."""

from __future__ import annotations

import copy
import itertools
import pickle
import time
import warnings
from typing import Any

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning

import pyconvexnn as cx
from tests.solvers.conftest import SOLVERS, Problem, program_of


@pytest.fixture(params=[*SOLVERS, "cutting_plane"], scope="session")
def solver(request: pytest.FixtureRequest) -> str:
    """Each solver in turn."""
    return str(request.param)


def problem(
    solver: str,
    n: int = 60,
    d: int = 4,
    P: int = 40,
    ratio: float = 0.1,
    loss: str = "squared",
    seed: int = 0,
) -> Problem:
    """Random data and Gaussian gates, at a fraction of beta_max; for that solver."""
    rng = np.random.default_rng(seed)
    X, y = rng.standard_normal((n, d)), rng.standard_normal(n)
    y = np.sign(y) if loss == "logistic" else y
    return at_ratio(solver, X, y, cx.sample_patterns(X, P, seed=1), ratio, loss=loss)


def at_ratio(
    solver: str, X: Any, y: Any, patterns: cx.PatternSet, ratio: float, **options: Any
) -> Problem:
    whole = program_of(solver)(X, y, patterns, 1.0, **options)
    return whole.with_beta(ratio * whole.beta_max)


def blocks(solver: str, P: int = 40, d: int = 4) -> tuple[int, ...]:
    """Shape of the coefficients."""
    return (2, P, d) if solver == "cutting_plane" else (P, d)


def hard_problem(solver: str) -> Problem:
    """A problem that no solver solves to 1e-12 in much less than a second."""
    return problem(solver, n=1000, d=20, P=600, ratio=1e-5)


def assert_true_numbers(prob: Problem, sol: cx.Solution) -> None:
    """Objective, bound and gap are what NumPy makes of coef and dual, whatever the status."""
    checked = cx.verify(prob, sol)
    scale = 1e-9 * max(1.0, abs(sol.objective))
    assert sol.objective == pytest.approx(checked.objective, abs=scale)
    assert sol.dual_objective == pytest.approx(checked.dual_objective, abs=scale)
    assert sol.gap == pytest.approx(checked.gap, abs=scale)
    assert checked.infeasibility <= 1e-12
    if isinstance(prob, cx.ReLUProblem):
        assert sol.nonconvex_objective == pytest.approx(sol.objective, abs=scale)


def same(a: cx.Solution, b: cx.Solution) -> bool:
    """Whether two solutions are identical to the last bit."""
    return (
        np.array_equal(a.coef.indices, b.coef.indices)
        and a.coef.values.tobytes() == b.coef.values.tobytes()
        and a.dual.tobytes() == b.dual.tobytes()
        and (a.objective, a.dual_objective, a.n_iter) == (b.objective, b.dual_objective, b.n_iter)
    )


# --- tolerance ----------------------------------------------------------------------------------


@pytest.mark.parametrize("loss", ["squared", "logistic"])
@pytest.mark.parametrize("tol", [1e-1, 1e-4, 1e-10])
def test_tol_bounds_the_relative_gap(solver: str, loss: str, tol: float) -> None:
    prob = problem(solver, loss=loss)
    sol = cx.solve(prob, tol=tol, solver=solver)
    assert sol.status is cx.Status.SOLVED
    assert -1e-15 <= sol.relative_gap <= tol
    assert cx.verify(prob, sol).relative_gap <= tol * (1 + 1e-6)
    assert_true_numbers(prob, sol)


def test_work_grows_with_accuracy(solver: str) -> None:
    prob = problem(solver, ratio=0.02)
    loose, tight = cx.solve(prob, tol=1e-2, solver=solver), cx.solve(prob, tol=1e-9, solver=solver)
    assert loose.n_iter < tight.n_iter
    assert tight.objective <= loose.objective
    assert tight.dual_objective >= loose.dual_objective


@pytest.mark.parametrize("tol", [1e-2, 1e-4, 1e-6])
def test_the_gap_is_relative_to_the_objective_not_to_that_at_zero(solver: str, tol: float) -> None:
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((20, 30)), rng.standard_normal(20)  # almost interpolated
    patterns = cx.sample_patterns(X, 10)
    prob = at_ratio(solver, X, y, patterns, 1e-3)
    sol = cx.solve(prob, tol=tol, solver=solver)
    assert sol.objective < 0.01 * sol.objective_at_zero
    assert cx.verify(prob, sol).relative_gap <= tol * (1 + 1e-6)


def test_a_tolerance_below_rounding_ends_too(solver: str) -> None:
    prob = problem(solver)
    with pytest.warns(ConvergenceWarning, match="status NUMERICAL_ERROR after") as record:
        sol = cx.solve(prob, tol=1e-300, max_iter=10**30, solver=solver)
    assert len(record) == 1
    assert sol.status is cx.Status.NUMERICAL_ERROR
    assert abs(sol.relative_gap) <= 1e-12  # the bound leaves room for the prices' rounding
    assert_true_numbers(prob, sol)


# --- how a solve ends ---------------------------------------------------------------------------


@pytest.mark.parametrize("max_iter", [1, 2, 5])
def test_max_iter(solver: str, max_iter: int) -> None:
    prob = problem(solver, ratio=0.001)
    with pytest.warns(ConvergenceWarning) as record:
        sol = cx.solve(prob, max_iter=max_iter, tol=1e-12, solver=solver)
    assert len(record) == 1
    assert str(record[0].message) == (
        f"solve stopped with status MAX_ITER after {max_iter} iterations at relative gap "
        f"{sol.relative_gap:.3g}, above tol = 1e-12; standardise the columns of X, or raise "
        "beta, or max_iter or time_limit, or tol"
    )
    assert record[0].filename == __file__
    assert sol.status is cx.Status.MAX_ITER
    assert sol.n_iter == max_iter
    assert sol.relative_gap > 1e-12
    assert_true_numbers(prob, sol)


@pytest.mark.parametrize("time_limit", [1e-9, 0.05])
def test_time_limit(solver: str, time_limit: float) -> None:
    prob = hard_problem(solver)
    start = time.perf_counter()
    with pytest.warns(ConvergenceWarning, match="status TIME_LIMIT"):
        sol = cx.solve(prob, tol=1e-12, time_limit=time_limit, solver=solver)
    assert time.perf_counter() - start < time_limit + 1.0
    assert sol.status is cx.Status.TIME_LIMIT
    assert_true_numbers(prob, sol)


@pytest.mark.parametrize("calls", [1, 2, 3])
def test_a_callback_that_returns_true_interrupts(solver: str, calls: int) -> None:
    prob, seen = problem(solver, ratio=0.001), []

    def callback(progress: cx.Progress) -> bool:
        seen.append(progress)
        return len(seen) == calls

    with pytest.warns(
        ConvergenceWarning, match="status INTERRUPTED .*; the callback returned True$"
    ):
        sol = cx.solve(prob, tol=1e-12, callback=callback, solver=solver)
    assert sol.status is cx.Status.INTERRUPTED
    assert len(seen) == calls
    assert (sol.objective, sol.dual_objective) == (seen[-1].objective, seen[-1].dual_objective)
    assert_true_numbers(prob, sol)


def test_a_solved_problem_stays_solved_when_the_callback_says_stop(solver: str) -> None:
    sol = cx.solve(
        problem(solver), tol=1e-4, callback=lambda at: at.gap <= 1e-4 * at.objective, solver=solver
    )
    assert sol.status is cx.Status.SOLVED


class OurError(Exception):
    pass


@pytest.mark.parametrize("error", [OurError("mine"), KeyboardInterrupt(), SystemExit(3)])
@pytest.mark.parametrize("calls", [1, 3])
def test_what_a_callback_raises_is_raised(solver: str, error: BaseException, calls: int) -> None:
    count = itertools.count(1)

    def callback(progress: cx.Progress) -> None:
        if next(count) == calls:
            raise error

    with pytest.raises(type(error)) as raised:
        cx.solve(problem(solver, ratio=0.001), tol=1e-12, callback=callback, solver=solver)
    assert raised.value is error
    assert next(count) == calls + 1  # it was not called again


@pytest.mark.parametrize("loss", ["squared", "logistic"])
@pytest.mark.parametrize("ratio", [2.0, 0.2, 0.01])
@pytest.mark.parametrize("warm", [False, True])
def test_progress_is_monotone_and_is_the_history(
    solver: str, loss: str, ratio: float, warm: bool
) -> None:
    seen: list[cx.Progress] = []
    # From the solution of a three times larger beta, the bound of the first step is a good one.
    start = (
        cx.solve(problem(solver, loss=loss, ratio=3 * ratio), tol=1e-3, solver=solver)
        if warm
        else None
    )
    prob = problem(solver, loss=loss, ratio=ratio)
    sol = cx.solve(prob, tol=1e-9, warm_start=start, callback=seen.append, solver=solver)
    assert tuple(seen) == sol.history
    assert len(seen) >= (1 if ratio > 1 else 2)
    for before, after in itertools.pairwise(seen):
        assert after.objective <= before.objective * (1 + 1e-13)
        assert after.dual_objective >= before.dual_objective
        assert after.iteration > before.iteration
        assert after.seconds >= before.seconds
    for at in seen:
        assert type(at.iteration) is int
        assert type(at.active) is int
        assert at.gap >= -1e-13 * at.objective
    first, last = seen[0], seen[-1]
    led = start is None and solver == "cutting_plane" and loss == "logistic" and ratio < 0.1
    assert first.iteration == 0 or led
    if led:  # there by a larger penalty
        assert first.objective <= sol.objective_at_zero * (1 + 1e-14)
    elif start is None:
        assert first.active == 0
        assert first.objective == pytest.approx(sol.objective_at_zero, rel=1e-14)
    else:
        given = prob.objective(start.coef)
        if solver == "cutting_plane":  # the best multiples of the start's blocks
            assert first.active <= len(start.active)
            assert first.objective <= given * (1 + 1e-13)
        else:
            assert first.active == len(start.active)
            assert first.objective == pytest.approx(given, rel=1e-13)
    assert last.objective == pytest.approx(sol.objective, rel=1e-14)
    assert last[2:] == (sol.dual_objective, len(sol.active), last.seconds)
    assert last.iteration == sol.n_iter
    assert 0 <= last.seconds <= sol.solve_time


def test_the_callback_does_not_change_the_result(solver: str) -> None:
    prob = problem(solver)
    assert same(
        cx.solve(prob, solver=solver), cx.solve(prob, callback=lambda progress: None, solver=solver)
    )


# --- warm starts --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "form", [lambda sol: sol, lambda sol: sol.coef, lambda sol: sol.coef.to_dense()]
)
@pytest.mark.parametrize("loss", ["squared", "logistic"])
def test_a_warm_start_at_the_optimum_ends_at_once(solver: str, form: Any, loss: str) -> None:
    prob = problem(solver, loss=loss)
    sol = cx.solve(prob, tol=1e-10, solver=solver)
    again = cx.solve(prob, tol=1e-8, warm_start=form(sol), solver=solver)
    # Newton's own dual point is better than the residual of its blocks, all that a start brings:
    # it may take a fit and two steps to have it back.
    assert again.n_iter <= (3 if solver == "newton" else 0)
    assert again.objective == pytest.approx(sol.objective, rel=1e-9 if again.n_iter else 1e-14)
    assert_true_numbers(prob, again)


def test_a_warm_start_saves_work_and_leads_to_the_same_optimum(solver: str) -> None:
    prob, near = problem(solver, ratio=0.02), problem(solver, ratio=0.021)
    cold = cx.solve(prob, tol=1e-8, solver=solver)
    warm = cx.solve(
        prob, tol=1e-8, warm_start=cx.solve(near, tol=1e-8, solver=solver), solver=solver
    )
    assert warm.n_iter < cold.n_iter
    assert warm.objective == pytest.approx(cold.objective, rel=1e-7)


def test_a_warm_start_is_not_changed(solver: str) -> None:
    prob = problem(solver)
    start = np.random.default_rng(0).standard_normal(blocks(solver)) * 1e-3
    sparse = cx.SparseBlocks.from_dense(start)
    copies = start.copy(), sparse.values.copy()
    cx.solve(prob, warm_start=start, solver=solver)
    cx.solve(prob, warm_start=sparse, solver=solver)
    np.testing.assert_array_equal(start, copies[0])
    np.testing.assert_array_equal(sparse.values, copies[1])


@pytest.mark.parametrize("size", [1.0, 1e8, 1e100, 1e200])
def test_a_bad_warm_start_does_no_harm(solver: str, size: float) -> None:
    prob = problem(solver)
    expected = cx.solve(prob, tol=1e-8, solver=solver)
    far = size * np.random.default_rng(0).standard_normal(blocks(solver))
    sol = cx.solve(prob, tol=1e-8, warm_start=far, solver=solver)
    assert sol.status is cx.Status.SOLVED
    assert sol.history[0].objective <= sol.objective_at_zero
    assert sol.objective == pytest.approx(expected.objective, rel=1e-7)
    assert_true_numbers(prob, sol)
    if solver != "cutting_plane":  # which tries the directions of any start
        assert same(sol, expected)


def test_a_start_outside_of_the_cones_is_moved_into_them() -> None:
    # The gated solution is better than any ReLU network's: taken as it is it would end the solve.
    for loss in ("squared", "logistic"):
        prob = problem("cutting_plane", loss=loss)
        assert isinstance(prob, cx.ReLUProblem)
        gated = cx.GatedReLUProblem(prob.X, prob.y, prob.patterns, prob.beta, loss=loss)
        U = cx.solve(gated, tol=1e-8).coef.to_dense()
        expected = cx.solve(prob, tol=1e-8)
        for start in ([U, 0 * U], [0 * U, -U], [U, -U]):
            assert prob.infeasibility(np.array(start)) > 0.5
            sol = cx.solve(prob, tol=1e-8, warm_start=start)
            assert_true_numbers(prob, sol)
            assert sol.status is cx.Status.SOLVED
            assert sol.objective == pytest.approx(expected.objective, rel=1e-7)


@pytest.mark.parametrize("loss", ["squared", "logistic"])
def test_zero_from_beta_max_on(solver: str, loss: str) -> None:
    prob = problem(solver, loss=loss)
    at_beta = {
        factor: program_of(solver)(prob.X, prob.y, prob.patterns, factor * prob.beta_max, loss=loss)
        for factor in (1 + 1e-12, 3.0, 1e12, 0.99)
    }
    dense = np.full(blocks(solver), 0.01)
    for factor in (1 + 1e-12, 3.0, 1e12):
        for start in (None, dense, cx.solve(prob, solver=solver)):
            sol = cx.solve(at_beta[factor], warm_start=start, solver=solver)
            assert len(sol.active) == 0
            assert not sol.coef.to_dense().any()
            assert sol.coef.shape == blocks(solver)
            assert sol.n_iter == 0
            assert sol.status is cx.Status.SOLVED
            assert sol.relative_gap == pytest.approx(0.0, abs=1e-12)
            assert_true_numbers(at_beta[factor], sol)
    for start in (None, dense):
        sol = cx.solve(at_beta[0.99], tol=1e-9, warm_start=start, solver=solver)
        assert len(sol.active) >= 1
        assert sol.objective < sol.objective_at_zero * (1 - 1e-9)


def test_without_targets_the_answer_is_zero(solver: str) -> None:
    prob = problem(solver)
    sol = cx.solve(program_of(solver)(prob.X, np.zeros(60), prob.patterns, 1e-3), solver=solver)
    assert (sol.objective, sol.dual_objective, sol.relative_gap) == (0.0, 0.0, 0.0)
    assert sol.status is cx.Status.SOLVED
    assert len(sol.active) == 0


# --- the same answer ----------------------------------------------------------------------------


@pytest.mark.parametrize("loss", ["squared", "logistic"])
def test_two_runs_and_any_number_of_threads_give_the_same_bits(solver: str, loss: str) -> None:
    prob = problem(solver, n=130, d=9, P=600, ratio=0.05, loss=loss)
    first = cx.solve(prob, tol=1e-7, solver=solver)
    assert same(first, cx.solve(prob, tol=1e-7, solver=solver))
    for threads in (1, 2, 3, -1):
        assert same(first, cx.solve(prob, tol=1e-7, threads=threads, solver=solver)), threads
    assert same(first, cx.solve(copy.deepcopy(prob), tol=1e-7, solver=solver))
    assert same(first, cx.solve(pickle.loads(pickle.dumps(prob)), tol=1e-7, solver=solver))


def test_auto_is_the_default() -> None:
    prob = problem("newton")
    assert same(cx.solve(prob), cx.solve(prob, solver="auto"))


KINDS: dict[str, Any] = {
    "float32": lambda a: a.astype(np.float32),
    "int": lambda a: a.astype(int),
    "uint8 offset": lambda a: (a + 8).astype(np.uint8).astype(int) - 8,
    "list": lambda a: a.tolist(),
    "strided": lambda a: np.repeat(a, 2, axis=0)[::2],
    "columns strided": lambda a: np.repeat(a, 3, axis=-1)[..., ::3] if a.ndim == 2 else a,
    "reversed": lambda a: a[::-1].copy()[::-1],
    "fortran": np.asfortranarray,
    "read-only": lambda a: np.frombuffer(a.tobytes()).reshape(a.shape),
}


@pytest.mark.parametrize("kind", KINDS)
def test_kinds_of_input_give_the_same_bits(solver: str, kind: str) -> None:
    rng = np.random.default_rng(0)
    X, y = rng.integers(-8, 9, (50, 3)).astype(float), rng.integers(-8, 9, 50).astype(float)
    patterns, change = cx.sample_patterns(X, 20), KINDS[kind]
    before = X.copy(), y.copy()
    expected = cx.solve(program_of(solver)(X, y, patterns, 20.0), solver=solver)
    assert same(
        cx.solve(program_of(solver)(change(X), change(y), patterns, 20), solver=solver), expected
    )
    np.testing.assert_array_equal(X, before[0])
    np.testing.assert_array_equal(y, before[1])


def test_a_solution_stays_what_it_is(solver: str) -> None:
    prob = problem(solver)
    sol = cx.solve(prob, solver=solver)
    kept = copy.deepcopy(sol)
    pickled = pickle.loads(pickle.dumps(sol))
    cx.solve(problem(solver, seed=1), solver=solver)
    assert same(sol, kept)
    assert same(sol, pickled)
    assert pickled.history == sol.history
    assert pickled.status is sol.status
    assert_true_numbers(prob, pickled)


def test_types_of_the_fields(solver: str) -> None:
    sol = cx.solve(problem(solver), solver=solver)
    for name in ("objective", "dual_objective", "objective_at_zero", "solve_time", "gap"):
        assert type(getattr(sol, name)) is float, name
    assert type(sol.relative_gap) is float
    assert type(sol.n_iter) is int
    assert sol.dual.shape == (60,)
    assert sol.active.dtype == np.int64
    assert np.all(np.diff(sol.active) > 0)
    assert np.all(np.linalg.norm(sol.coef.values, axis=1) > 0)


# --- options ------------------------------------------------------------------------------------


def test_verbose_shows_a_bar_and_still_calls_the_callback(
    solver: str, capsys: pytest.CaptureFixture[str]
) -> None:
    seen: list[cx.Progress] = []
    prob = problem(solver)
    quiet = cx.solve(prob, solver=solver)
    assert capsys.readouterr() == ("", "")
    shown = cx.solve(prob, verbose=1, callback=seen.append, solver=solver)
    out, err = capsys.readouterr()
    assert out == ""
    assert "solve" in err
    assert "gap=" in err
    assert tuple(seen) == shown.history
    assert same(quiet, shown)
    with pytest.raises(OurError):
        cx.solve(prob, verbose=2, callback=raises_ours, solver=solver)


def raises_ours(progress: cx.Progress) -> None:
    raise OurError


KNOWN = "auto, cd, newton, fista"


@pytest.mark.parametrize(
    ("options", "kind", "message"),
    [
        (
            {"prob": None},
            TypeError,
            "`prob` must be a GatedReLUProblem or a ReLUProblem, got NoneType",
        ),
        ({"solver": "lbfgs"}, ValueError, f"`solver` must be one of {KNOWN}; got 'lbfgs'"),
        ({"solver": None}, ValueError, f"`solver` must be one of {KNOWN}; got None"),
        ({"tol": 0}, ValueError, "`tol` must be > 0, got 0.0"),
        ({"tol": -1e-3}, ValueError, "`tol` must be > 0, got -0.001"),
        ({"tol": float("nan")}, ValueError, "`tol` must be finite, got nan"),
        ({"tol": "1e-3"}, TypeError, "`tol` must be a real number, got '1e-3'"),
        ({"max_iter": 0}, ValueError, "`max_iter` must be >= 1, got 0"),
        ({"max_iter": 10.0}, TypeError, "`max_iter` must be an integer, got 10.0"),
        ({"time_limit": 0}, ValueError, "`time_limit` must be > 0, got 0.0"),
        ({"time_limit": -1.0}, ValueError, "`time_limit` must be > 0, got -1.0"),
        ({"time_limit": "1"}, TypeError, "`time_limit` must be a real number, got '1'"),
        ({"threads": 0}, ValueError, "`threads` must be >= 1, or -1 for all cores, got 0"),
        ({"threads": -2}, ValueError, "`threads` must be >= 1, or -1 for all cores, got -2"),
        ({"threads": 1.5}, TypeError, "`threads` must be an integer or None, got 1.5"),
        ({"callback": 3}, TypeError, "`callback` must be callable or None, got 3"),
        ({"verbose": -1}, ValueError, "`verbose` must be >= 0, got -1"),
        ({"verbose": "yes"}, TypeError, "`verbose` must be an integer, got 'yes'"),
        (
            {"warm_start": np.ones((3, 4))},
            ValueError,
            "`warm_start` must have shape (40, 4), got (3, 4)",
        ),
        (
            {"warm_start": cx.SparseBlocks.from_dense(np.ones((40, 3)))},
            ValueError,
            "`warm_start` must have shape (40, 4), got (40, 3)",
        ),
        (
            {"warm_start": np.full((40, 4), np.inf)},
            ValueError,
            "`warm_start` must be finite, got NaN or infinity",
        ),
        (
            {"warm_start": "zero"},
            TypeError,
            "`warm_start` must hold real numbers, got dtype <U4",
        ),
        (
            {"warm_start": np.full((40, 4), 1j)},
            TypeError,
            "`warm_start` must hold real numbers, got dtype complex128",
        ),
    ],
)
def test_wrong_options(options: dict[str, Any], kind: type[Exception], message: str) -> None:
    with pytest.raises(kind) as error:
        cx.solve(**{"prob": problem("newton"), **options})
    assert type(error.value) is kind
    assert str(error.value) == message


def test_a_solution_of_another_problem_is_no_warm_start() -> None:
    with pytest.raises(
        ValueError, match=r"^`warm_start` must have shape \(40, 4\), got \(10, 4\)$"
    ):
        cx.solve(problem("newton"), warm_start=cx.solve(problem("newton", P=10)))


def test_options_go_by_keyword() -> None:
    with pytest.raises(TypeError, match="positional"):
        cx.solve(problem("newton"), "cd")  # type: ignore[call-arg]


def test_numbers_of_numpy_are_taken(solver: str) -> None:
    prob = problem(solver)
    plain = cx.solve(
        prob, tol=1e-7, max_iter=5000, time_limit=60, threads=1, verbose=0, solver=solver
    )
    again = cx.solve(
        prob,
        tol=np.float32(1e-7),  # type: ignore[arg-type]
        max_iter=np.int64(5000),  # type: ignore[arg-type]
        time_limit=np.array(60.0),  # type: ignore[arg-type]
        threads=np.uint8(1),  # type: ignore[arg-type]
        verbose=np.int8(0),  # type: ignore[arg-type]
        solver=solver,
    )
    assert again.objective == pytest.approx(plain.objective, rel=1e-7)


def test_what_rounding_keeps_from_being_proved_is_not_called_solved(solver: str) -> None:
    # The prices at zero cancel to 5e-17: zero is optimal, but no bound near it can be proved.
    y = np.array([0.1, 0.2, -0.3])
    patterns = cx.PatternSet.from_dense([[1, 1, 1]])
    prob = program_of(solver)(np.ones((3, 1)), y, patterns, 1e-16)
    with pytest.warns(ConvergenceWarning, match="NUMERICAL_ERROR"):
        sol = cx.solve(prob, solver=solver)
    assert len(sol.active) == 0
    assert cx.verify(prob, sol).infeasibility <= 1e-12


def test_patterns_without_rows_are_solved_at_zero(solver: str) -> None:
    patterns = cx.PatternSet.from_dense([[0, 0]])
    prob = program_of(solver)([[1.0], [2.0]], [1.0, 2.0], patterns, 1e-20)
    sol = cx.solve(prob, solver=solver)
    assert sol.status is cx.Status.SOLVED
    assert sol.gap == 0.0


@pytest.mark.parametrize("ratio", [1e-8, 1e-10, 1e-12])
def test_the_logistic_bound_is_right_where_the_loss_vanishes(solver: str, ratio: float) -> None:
    rng = np.random.default_rng(1)
    X = rng.standard_normal((8, 3))
    y, patterns = np.sign(X[:, 0]), cx.sample_patterns(X, 9)
    prob = at_ratio(solver, X, y, patterns, ratio, loss="logistic")
    checked = cx.verify(prob, cx.solve(prob, tol=1e-6, solver=solver))
    # Not below zero: log(1 - p) in place of log1p(-p) puts the bound above the optimum here.
    assert -1e-12 <= checked.relative_gap <= 1e-6


def test_what_is_returned_is_never_worse_than_zero_and_has_its_own_objective(solver: str) -> None:
    patterns = cx.PatternSet.from_dense([[1, 1, 1], [1, 1, 0], [1, 0, 0], [1, 0, 0]])
    prob = program_of(solver)([[4e9], [-0.2], [-0.0002]], [-0.1, 0.4, 0.9], patterns, 1e-3)
    with warnings.catch_warnings():  # Newton's method solves it, the others do not
        warnings.simplefilter("ignore", ConvergenceWarning)
        sol = cx.solve(prob, max_iter=500, tol=1e-12, solver=solver)
    assert sol.objective <= sol.objective_at_zero
    # Fits of 4e9 cancel to 0.1: eight digits are what rounding leaves.
    assert cx.verify(prob, sol).objective == pytest.approx(sol.objective, rel=1e-7)
