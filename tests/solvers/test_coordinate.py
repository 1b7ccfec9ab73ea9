"""What is special to coordinate descent: settings, messages, its record, dependent blocks."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pytest

import pyconvexnn as cx
from pyconvexnn import _core
from pyconvexnn.solvers import CoordinateDescent
from tests.solvers.test_optima import at_ratio, proved, random_problem


def test_settings_are_frozen_and_are_those_of_solve() -> None:
    prob = random_problem()
    solver = CoordinateDescent(tol=1e-9, max_iter=5000, time_limit=60.0, threads=2)
    sol, same = solver.solve(prob), cx.solve(prob, tol=1e-9, solver="cd")
    np.testing.assert_array_equal(sol.coef.to_dense(), same.coef.to_dense())
    assert CoordinateDescent() == CoordinateDescent(1e-6, 100_000, None, 1)
    with pytest.raises(dataclasses.FrozenInstanceError):
        solver.tol = 1.0  # type: ignore[misc]


def test_too_little_memory_is_said_in_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    def none_left(*args: object, **options: object) -> None:
        raise MemoryError

    monkeypatch.setattr(_core, "solve_group_lasso", none_left)
    with pytest.raises(MemoryError, match="more than can be had") as error:
        cx.solve(random_problem(), solver="cd")
    start = "`prob` must be so small that its solution fits in memory, got GatedReLUProblem("
    assert str(error.value).startswith(start)
    assert ": coordinate descent on 30 patterns of 4 features needs about " in str(error.value)
    assert str(error.value).endswith(" bytes, more than can be had; take fewer patterns")


def test_many_patterns_are_priced_but_few_enter() -> None:
    prob = random_problem(n=150, d=5, P=1500, ratio=0.3)
    sol = proved("cd", prob, 1e-8)
    assert 0 < len(sol.active) < 50
    least = proved(
        "cd", cx.GatedReLUProblem(prob.X, prob.y, prob.patterns[sol.active], prob.beta), 1e-9
    )
    assert least.objective == pytest.approx(sol.objective, rel=1e-7)


@pytest.mark.parametrize("seed", [24, 33, 60, 70, 79, 109, 138, 144])
def test_nearly_dependent_blocks_are_solved(seed: int) -> None:
    # More unknowns than samples: descent alone takes over 100 000 epochs on these, or never ends.
    rng = np.random.default_rng(seed)
    X, y = rng.standard_normal((12, 2)), rng.standard_normal(12)
    prob = at_ratio(X, y, cx.sample_patterns(X, 8), 0.01)
    sol = cx.solve(prob, tol=1e-8, max_iter=10_000, solver="cd")
    assert cx.verify(prob, sol).relative_gap <= 1e-8


@pytest.mark.parametrize("loss", ["squared", "logistic"])
def test_no_check_sees_a_worse_point(loss: str) -> None:
    # The objective at a check is that of the blocks as they are, not of the best so far.
    sol = cx.solve(random_problem(loss=loss, ratio=0.01), tol=1e-9, solver="cd")
    for before, after in itertools.pairwise(sol.history):
        assert after.objective <= before.objective * (1 + 1e-13)
