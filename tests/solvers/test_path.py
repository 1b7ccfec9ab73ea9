"""`solve_path`: the points of a path are solutions, whatever ends it."""

from __future__ import annotations

import copy
import itertools
import pickle
import time
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning

import pyconvexnn as cx
from tests.solvers.conftest import Problem

Program = type[cx.GatedReLUProblem] | type[cx.ReLUProblem]


@pytest.fixture(params=[cx.GatedReLUProblem, cx.ReLUProblem], ids=["gated", "relu"])
def program(request: pytest.FixtureRequest) -> Program:
    """Each kind of problem in turn."""
    kind: Program = request.param
    return kind


def problem(
    program: Program,
    n: int = 60,
    d: int = 4,
    P: int = 40,
    loss: str = "squared",
    **options: Any,
) -> Problem:
    """Random data and Gaussian gates; beta is no matter."""
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((n, d)), rng.standard_normal(n)
    y = np.sign(y) if loss == "logistic" else y
    patterns = cx.sample_patterns(X, P, seed=1)
    return program(X, y, patterns, 123.0, loss=loss, **options)


def assert_true_numbers(prob: Problem, path: cx.Path) -> None:
    """Objectives, bounds and gaps are what NumPy makes of the coefficients and dual points."""
    for beta, sol in zip(path.betas.tolist(), path, strict=True):
        checked = cx.verify(prob.with_beta(beta), sol)
        scale = 1e-9 * max(1.0, abs(sol.objective))
        assert sol.objective == pytest.approx(checked.objective, abs=scale)
        assert sol.dual_objective == pytest.approx(checked.dual_objective, abs=scale)
        assert checked.infeasibility <= 1e-12


# --- the solutions ------------------------------------------------------------------------------


@pytest.mark.parametrize("loss", ["squared", "logistic"])
@pytest.mark.parametrize("weighted", [False, True])
def test_every_point_is_a_solution(program: Program, loss: str, weighted: bool) -> None:
    rng = np.random.default_rng(5)
    options: dict[str, Any] = (
        {"sample_weight": rng.integers(0, 3, 60), "pattern_weight": rng.uniform(0.5, 2, 40)}
        if weighted
        else {}
    )
    prob = problem(program, loss=loss, **options)
    path = cx.solve_path(prob, n_betas=12, tol=1e-8)
    assert_true_numbers(prob, path)
    assert set(path.statuses) == {cx.Status.SOLVED}
    assert path.relative_gaps.max() <= 1e-8
    for beta, sol in zip(path.betas.tolist(), path, strict=True):
        alone = cx.solve(prob.with_beta(beta), tol=1e-8)
        assert sol.objective == pytest.approx(alone.objective, rel=2e-8)


def test_the_default_grid_falls_geometrically_from_beta_max(program: Program) -> None:
    prob = problem(program)
    path = cx.solve_path(prob)
    assert len(path) == 50
    assert path.betas[0] == path.beta_max == prob.beta_max
    assert path.betas[-1] == pytest.approx(0.01 * prob.beta_max, rel=1e-14)
    ratios = path.betas[1:] / path.betas[:-1]
    np.testing.assert_allclose(ratios, ratios[0], rtol=1e-12)
    assert path.n_active[0] == 0
    assert path.n_active[1] >= 1
    assert np.all(np.diff(path.objectives) < 0)
    short = cx.solve_path(prob, n_betas=3, beta_min_ratio=0.25)
    np.testing.assert_allclose(short.betas / prob.beta_max, [1, 0.5, 0.25], rtol=1e-14)
    np.testing.assert_array_equal(cx.solve_path(prob, n_betas=1).betas, [prob.beta_max])


def test_one_dimension_has_a_formula() -> None:
    # One always-on pattern, X = 1: soft thresholding, u = y - beta.
    ps = cx.PatternSet.from_dense([[True]])
    prob = cx.GatedReLUProblem([[1.0]], [3.0], ps, 1.0)
    path = cx.solve_path(prob, betas=[4.0, 3.0, 2.0, 0.5], tol=1e-12)
    u = [float(sol.coef.to_dense()[0, 0]) for sol in path]
    np.testing.assert_allclose(u, [0, 0, 1, 2.5], atol=1e-9)
    np.testing.assert_allclose(path.objectives, [4.5, 4.5, 4.0, 1.375], rtol=1e-11)


def test_given_penalties_keep_their_order_and_are_solved_from_the_largest(program: Program) -> None:
    prob = problem(program)
    seen: list[cx.Progress] = []
    betas = np.array([0.5, 4.0, 1.0, 4.0, 2.0])
    order = np.argsort(-betas, kind="stable")
    path = cx.solve_path(prob, betas=betas, callback=seen.append)
    sorted_path = cx.solve_path(prob, betas=betas[order])
    np.testing.assert_array_equal(path.betas, betas)
    np.testing.assert_array_equal(path.objectives[order], sorted_path.objectives)
    assert path[3].n_iter == 0  # the same penalty again
    assert [at for at in seen if at.iteration == 0] == [path[i].history[0] for i in order]
    betas[0] = 7.0
    assert path.betas[0] == 0.5


def test_warm_starts_save_work(program: Program) -> None:
    prob = problem(program, n=120, d=6, P=100)
    path = cx.solve_path(prob, n_betas=20, tol=1e-7)
    alone = [cx.solve(prob.with_beta(beta), tol=1e-7) for beta in path.betas.tolist()]
    assert sum(sol.n_iter for sol in path) < 0.8 * sum(sol.n_iter for sol in alone)
    for before, after in itertools.pairwise(path):
        # The ReLU program's solver starts from the best multiples of the blocks.
        active = after.history[0].active
        assert active == len(before.active) or (
            program is cx.ReLUProblem and 0 < active <= len(before.active)
        )


def test_the_penalty_of_the_problem_does_not_matter(program: Program) -> None:
    prob = problem(program)
    paths = [cx.solve_path(prob.with_beta(beta), n_betas=5) for beta in (1e-9, 1e9)]
    np.testing.assert_array_equal(paths[0].objectives, paths[1].objectives)


@pytest.mark.parametrize("threads", [2, -1])
def test_threads_do_not_change_the_path(program: Program, threads: int) -> None:
    prob = problem(program)
    one, many = cx.solve_path(prob, n_betas=6), cx.solve_path(prob, n_betas=6, threads=threads)
    np.testing.assert_array_equal(one.objectives, many.objectives)
    assert all(np.array_equal(a.coef.values, b.coef.values) for a, b in zip(one, many, strict=True))


def test_all_targets_zero(program: Program) -> None:
    prob = problem(program)
    zero = program(prob.X, np.zeros(60), prob.patterns, 1.0)
    with pytest.raises(ValueError, match="`betas` must be given for a problem with beta_max = 0"):
        cx.solve_path(zero)
    path = cx.solve_path(zero, betas=[1.0, 0.1])
    assert path.n_active.tolist() == [0, 0]
    assert path.relative_gaps.tolist() == [0.0, 0.0]
    assert path.beta_max == 0.0


# --- a path that is cut short -------------------------------------------------------------------


def test_one_warning_says_how_many_points_are_not_solved(program: Program) -> None:
    prob = problem(program)
    with pytest.warns(ConvergenceWarning) as record:
        path = cx.solve_path(prob, n_betas=10, max_iter=3, tol=1e-10)
    assert len(record) == 1
    unsolved = [i for i, status in enumerate(path.statuses) if status is not cx.Status.SOLVED]
    assert str(record[0].message) == (
        f"solve_path left {len(unsolved)} of 10 points unsolved ({len(unsolved)} MAX_ITER), the "
        f"largest beta of them {path.betas[unsolved].max():.3g}, the largest relative gap "
        f"{path.relative_gaps.max():.3g}, above tol = 1e-10; standardise the columns of X, or take "
        "larger betas, or raise max_iter or time_limit, or tol"
    )
    assert record[0].filename == __file__
    assert 0 not in unsolved
    assert path[9].n_iter == 3  # every point got its iterations
    assert_true_numbers(prob, path)


@pytest.mark.parametrize("loss", ["squared", "logistic"])
@pytest.mark.parametrize("time_limit", [1e-9, 0.1])
def test_the_time_limit_is_that_of_the_whole_path(
    program: Program, loss: str, time_limit: float
) -> None:
    prob = problem(program, n=200, d=8, P=200, loss=loss)
    start = time.perf_counter()
    with pytest.warns(ConvergenceWarning, match="TIME_LIMIT") as record:
        path = cx.solve_path(
            prob, n_betas=300, beta_min_ratio=1e-4, tol=1e-13, time_limit=time_limit
        )
    assert time.perf_counter() - start < time_limit + 1.0
    assert len(record) == 1
    assert len(path) == 300
    assert path.statuses[-1] is cx.Status.TIME_LIMIT
    assert path[-1].n_iter == 0
    assert path[-1].relative_gap > 1e-3
    assert_true_numbers(prob, path)


@pytest.mark.parametrize("loss", ["squared", "logistic"])
@pytest.mark.parametrize("calls", [1, 2, 9])
def test_a_callback_that_returns_true_ends_the_path(
    program: Program, loss: str, calls: int
) -> None:
    prob, seen = problem(program, loss=loss, pattern_weight=np.linspace(0.5, 2, 40)), []

    def callback(progress: cx.Progress) -> bool:
        seen.append(progress)
        return len(seen) == calls

    with pytest.warns(ConvergenceWarning, match="INTERRUPTED"):
        path = cx.solve_path(prob, n_betas=10, callback=callback)
    assert len(seen) == calls
    assert len(path) == 10
    assert path.statuses[-1] is cx.Status.INTERRUPTED
    reached = [sol for sol in path if sol.n_iter > 0 or sol.status is cx.Status.SOLVED]
    assert len(reached) < 10
    np.testing.assert_array_equal(path[-1].active, path[len(reached) - 1].active)
    last = path[-1]
    assert [at[1:4] for at in last.history] == [
        (last.objective, last.dual_objective, len(last.active))
    ]
    assert_true_numbers(prob, path)


class OurError(Exception):
    pass


@pytest.mark.parametrize("error", [OurError("mine"), KeyboardInterrupt()])
def test_what_a_callback_raises_is_raised(program: Program, error: BaseException) -> None:
    count = 0

    def callback(progress: cx.Progress) -> None:
        nonlocal count
        count += 1
        if count == 5:
            raise error

    with pytest.raises(type(error)) as raised:
        cx.solve_path(problem(program), callback=callback)
    assert raised.value is error
    assert count == 5


def test_warnings_of_a_callback_are_not_swallowed() -> None:
    def callback(progress: cx.Progress) -> None:
        warnings.warn("mine", UserWarning, stacklevel=1)

    with pytest.warns(UserWarning, match="mine"):
        cx.solve_path(problem(cx.GatedReLUProblem), n_betas=2, callback=callback)


# --- the object ---------------------------------------------------------------------------------


def test_a_path_is_a_sequence_of_solutions(program: Program) -> None:
    path = cx.solve_path(problem(program), n_betas=6)
    assert isinstance(path, Sequence)
    assert len(path) == len(list(path)) == 6
    assert isinstance(path[0], cx.Solution)
    assert path[-1] is path[5] is path.solutions[5]
    assert path[2] in path
    assert path.index(path[2]) == 2
    part = path[1:5:2]
    assert isinstance(part, cx.Path)
    np.testing.assert_array_equal(part.betas, path.betas[1:5:2])
    assert list(part) == [path[1], path[3]]
    assert part.beta_max == path.beta_max
    with pytest.raises(IndexError):
        path[6]
    np.testing.assert_array_equal(path.gaps, path.objectives - path.dual_objectives)
    assert path.n_active.dtype == np.int64
    assert path.solve_time == sum(sol.solve_time for sol in path)
    for name in ("betas", "objectives", "dual_objectives", "gaps", "relative_gaps", "n_active"):
        assert getattr(path, name).shape == (6,), name
    with pytest.raises(ValueError, match="read-only"):
        path.betas[0] = 1.0


@pytest.mark.parametrize("again", [lambda p: pickle.loads(pickle.dumps(p)), copy.deepcopy])
def test_copies_and_pickles(program: Program, again: Any) -> None:
    prob = problem(program)
    path = cx.solve_path(prob, n_betas=5)
    other = again(path)
    np.testing.assert_array_equal(other.betas, path.betas)
    np.testing.assert_array_equal(other.objectives, path.objectives)
    assert other.statuses == path.statuses
    assert repr(other) == repr(path)
    assert not other.betas.flags.writeable
    assert_true_numbers(prob, other)


def test_text() -> None:
    ps = cx.PatternSet.from_dense([[True]])
    prob = cx.GatedReLUProblem([[1.0]], [3.0], ps, 1.0)
    path = cx.solve_path(prob, n_betas=3)
    start = "Path(3 points, beta 3 to 0.03, 0 to 1 active blocks, "
    assert repr(path).startswith(start)
    assert repr(path[:0]) == "Path(no points)"
    with pytest.warns(ConvergenceWarning):
        cut = cx.solve_path(
            problem(cx.GatedReLUProblem), n_betas=3, callback=lambda at: at.active > 0
        )
    assert ", 1 INTERRUPTED, " in repr(cut) or ", 2 INTERRUPTED, " in repr(cut)


def test_verbose_shows_a_bar_over_the_points(capsys: pytest.CaptureFixture[str]) -> None:
    cx.solve_path(problem(cx.GatedReLUProblem), n_betas=4)
    assert capsys.readouterr() == ("", "")
    cx.solve_path(problem(cx.GatedReLUProblem), n_betas=4, verbose=1)
    out, err = capsys.readouterr()
    assert out == ""
    assert "solve_path" in err
    assert "4/4" in err


# --- wrong arguments ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "kind", "message"),
    [
        ({"betas": [1.0, -1.0]}, ValueError, "`betas` must be finite and >= 1e-120, got -1.0 at i"),
        ({"betas": [1.0, 0]}, ValueError, "`betas` must be finite and >= 1e-120, got 0.0 at index"),
        ({"betas": [1e-121]}, ValueError, "`betas` must be finite and >= 1e-120, got 1e-121 at in"),
        ({"betas": [np.nan]}, ValueError, "`betas` must be finite and >= 1e-120, got nan at index"),
        ({"betas": [np.inf]}, ValueError, "`betas` must be finite and >= 1e-120, got inf at index"),
        ({"betas": []}, ValueError, "`betas` must have 1 dimension and at least one entry, got"),
        ({"betas": [[1.0]]}, ValueError, "`betas` must have 1 dimension and at least one entry"),
        ({"betas": 1.0}, ValueError, "`betas` must have 1 dimension and at least one entry, got"),
        ({"betas": ["a"]}, TypeError, "`betas` must hold real numbers"),
        ({"n_betas": 0}, ValueError, "`n_betas` must be >= 1, got 0"),
        ({"n_betas": 2.0}, TypeError, "`n_betas` must be an integer, got 2.0"),
        ({"beta_min_ratio": 0.0}, ValueError, "`beta_min_ratio` must be > 0, got 0.0"),
        ({"beta_min_ratio": 1.0}, ValueError, "`beta_min_ratio` must be < 1, got 1.0"),
        ({"tol": 0.0}, ValueError, "`tol` must be > 0, got 0.0"),
        ({"solver": "best"}, ValueError, "`solver` must be one of"),
        ({"max_iter": 0}, ValueError, "`max_iter` must be >= 1, got 0"),
        ({"time_limit": -1}, ValueError, "`time_limit` must be > 0, got -1.0"),
        ({"threads": 0}, ValueError, "`threads` must be >= 1"),
        ({"callback": 3}, TypeError, "`callback` must be callable or None, got 3"),
        ({"verbose": -1}, ValueError, "`verbose` must be >= 0, got -1"),
    ],
)
def test_wrong_arguments(options: dict[str, Any], kind: type[Exception], message: str) -> None:
    with pytest.raises(kind) as raised:
        cx.solve_path(problem(cx.GatedReLUProblem), **options)
    assert str(raised.value).startswith(message)


def test_wrong_problem() -> None:
    with pytest.raises(
        TypeError, match="`prob` must be a GatedReLUProblem or a ReLUProblem, got int"
    ):
        cx.solve_path(3)  # type: ignore[arg-type]


# --- with_beta ----------------------------------------------------------------------------------


def test_with_beta_shares_everything_else() -> None:
    prob = problem(
        cx.GatedReLUProblem, sample_weight=np.arange(60.0), pattern_weight=np.linspace(1, 2, 40)
    )
    before = prob.beta_max
    other = prob.with_beta(2)
    assert (other.beta, prob.beta) == (2.0, 123.0)
    assert type(other.beta) is float
    for name in ("X", "y", "patterns", "loss", "sample_weight", "pattern_weight"):
        assert getattr(other, name) is getattr(prob, name), name
    assert other.beta_max is before  # not found anew
    plain = cx.GatedReLUProblem(
        prob.X,
        prob.y,
        prob.patterns,
        2.0,
        sample_weight=prob.sample_weight,
        pattern_weight=prob.pattern_weight,
    )
    assert cx.solve(other).objective == cx.solve(plain).objective
    assert repr(other) == repr(plain)


@pytest.mark.parametrize(
    ("beta", "kind", "message"),
    [
        (0, ValueError, "`beta` must be > 0, got 0.0"),
        (1e-121, ValueError, "`beta` must be >= 1e-120, got 1e-121"),
        (np.inf, ValueError, "`beta` must be finite, got inf"),
        ("1", TypeError, "`beta` must be a real number, got '1'"),
    ],
)
def test_with_beta_refuses(beta: Any, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind) as raised:
        problem(cx.GatedReLUProblem).with_beta(beta)
    assert str(raised.value) == message
