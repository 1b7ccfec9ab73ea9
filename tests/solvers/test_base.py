"""Solution, Progress and Status: what they compute from their fields, and that they pickle."""

from __future__ import annotations

import copy
import dataclasses
import pickle
from typing import Any

import numpy as np
import pytest

import pyconvexnn as cx
from pyconvexnn.solvers.base import relative_gap


def small_solution(**changes: Any) -> cx.Solution:
    fields: dict[str, Any] = {
        "coef": cx.SparseBlocks(np.array([1, 4]), np.array([[1.0, 2.0], [3.0, 4.0]]), 6),
        "dual": np.array([0.5, -0.5, 0.0]),
        "objective": 8.0,
        "dual_objective": 6.0,
        "objective_at_zero": 10.0,
        "status": cx.Status.SOLVED,
        "n_iter": 7,
        "solve_time": 0.25,
        "history": (cx.Progress(0, 10.0, 0.0, 0, 0.0), cx.Progress(7, 8.0, 6.0, 2, 0.25)),
    }
    return cx.Solution(**{**fields, **changes})


def test_gaps_and_active_blocks() -> None:
    sol = small_solution()
    assert sol.gap == 2.0
    assert sol.relative_gap == 0.25
    np.testing.assert_array_equal(sol.active, [1, 4])
    assert [at.gap for at in sol.history] == [10.0, 2.0]
    assert sol.history[1].active == 2


@pytest.mark.parametrize(
    ("objective", "dual", "at_zero", "expected"),
    [
        (8.0, 6.0, 10.0, 0.25),
        (-8.0, -9.0, 10.0, 0.125),
        (0.0, -1e-10, 1.0, 1.0),  # next to an objective of 0, the scale is 1e-10 that at zero
        (1e-20, 0.0, 1.0, 1e-10),
        (0.0, 0.0, 0.0, 0.0),
        (0.0, 0.0, 5.0, 0.0),
        (0.0, -1.0, 0.0, float("inf")),
        (5.0, 5.0, 5.0, 0.0),
    ],
)
def test_relative_gap(objective: float, dual: float, at_zero: float, expected: float) -> None:
    assert relative_gap(objective, dual, at_zero) == pytest.approx(expected, rel=1e-12)
    sol = small_solution(objective=objective, dual_objective=dual, objective_at_zero=at_zero)
    assert sol.relative_gap == pytest.approx(expected, rel=1e-12)


def test_status_codes_are_those_of_the_compiled_part() -> None:
    names = ["SOLVED", "MAX_ITER", "TIME_LIMIT", "INTERRUPTED", "NUMERICAL_ERROR"]
    assert [status.name for status in cx.Status] == names
    assert [status.value for status in cx.Status] == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("again", [copy.deepcopy, lambda sol: pickle.loads(pickle.dumps(sol))])
def test_solutions_pickle(again: Any) -> None:
    sol = small_solution()
    other = again(sol)
    np.testing.assert_array_equal(other.coef.to_dense(), sol.coef.to_dense())
    np.testing.assert_array_equal(other.dual, sol.dual)
    for name in ("objective", "dual_objective", "status", "n_iter", "solve_time", "history"):
        assert getattr(other, name) == getattr(sol, name)
    assert other.status is cx.Status.SOLVED


def test_a_solution_is_frozen_and_its_text_short() -> None:
    sol = small_solution()
    with pytest.raises(dataclasses.FrozenInstanceError):
        sol.objective = 0.0  # type: ignore[misc]
    assert repr(sol) == (
        "Solution(coef=SparseBlocks(2 of 6 blocks, shape (6, 2)), objective=8.0, "
        "dual_objective=6.0, status=<Status.SOLVED: 0>, n_iter=7, solve_time=0.25)"
    )
