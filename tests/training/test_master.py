"""The restricted program as patterns come and go, and the cells around neurons."""

from __future__ import annotations

import numpy as np
import pytest

import pyconvexnn as cx
from pyconvexnn._typing import FloatArray
from pyconvexnn.training.cells import cells_around
from pyconvexnn.training.master import Master
from pyconvexnn.training.task import Task
from tests.training.problems import gaussian_task


def task_of(X: FloatArray, y: FloatArray, beta: float, activation: str = "relu") -> Task:
    return Task.of(
        X,
        y,
        beta,
        activation=activation,
        slope=0.01,
        loss="squared",
        sample_weight=None,
        output_offset=False,
    )


@pytest.mark.parametrize("activation", ["relu", "leaky_relu", "abs"])
def test_a_growing_program_is_the_program_of_all_patterns(activation: str) -> None:
    X, y, beta = gaussian_task(15, 3, 0)
    cells = cx.enumerate_patterns(X)
    cells = cells[np.flatnonzero(cells.to_dense().any(axis=1))]
    task = task_of(X, y, beta, activation)
    master = Master(task, cells.packed[:3])
    objectives = []
    for start in range(3, len(cells), 20):
        objectives.append(master.solve(1e-9).objective)
        before = len(master)
        assert master.add(cells.packed[start : start + 20]) == len(master) - before
        assert master.add(cells.packed[start : start + 20]) == 0
    sol = master.solve(1e-9)
    objectives.append(sol.objective)
    assert np.all(np.diff(objectives) <= 1e-9 * objectives[0])
    whole = cx.solve(cx.ReLUProblem(X, y, cells, beta, activation=activation), tol=1e-9)
    assert sol.objective == pytest.approx(whole.objective, rel=1e-8)
    assert task.objective(master.network()) == pytest.approx(sol.objective, rel=1e-8)


def test_a_new_pattern_starts_at_the_solution_before() -> None:
    X, y, beta = gaussian_task(30, 3, 1)
    cells = cx.sample_patterns(X, 60)
    master = Master(task_of(X, y, beta), cells.packed[:40])
    before = master.solve(1e-8)
    master.add(cells.packed[40:])
    assert master.solution is not None
    assert master.problem.objective(master.solution.coef) == pytest.approx(before.objective)


def test_idle_patterns_are_dropped_and_nothing_is_lost() -> None:
    X, y, beta = gaussian_task(40, 3, 2)
    master = Master(task_of(X, y, beta), cx.sample_patterns(X, 300).packed)
    best = master.solve(1e-9).objective
    assert master.drop() == 0
    for _ in range(10):
        master.solve(1e-9)
    before = len(master)
    gone = master.drop()
    assert gone > 100
    assert len(master) == before - gone
    assert master.solution is not None
    assert master.problem.objective(master.solution.coef) == pytest.approx(best)
    assert master.solve(1e-9).objective == pytest.approx(best)


def test_cells_around_a_neuron_inside_of_one() -> None:
    X, _, _ = gaussian_task(70, 3, 3)
    X[4] = 0.0
    u = np.array([[1.0, 2.0, 3.0]])
    found = cells_around(X, u, np.random.default_rng(0))
    np.testing.assert_array_equal(found, cx.PatternSet.from_gates(X, u).packed)
    # The cell in which all rows are off has no outputs.
    assert len(cells_around(np.eye(2), -np.ones((1, 2)), np.random.default_rng(0))) == 0


def test_cells_around_a_vertex() -> None:
    X, _, _ = gaussian_task(20, 3, 4)
    u = np.cross(X[3], X[8])
    cells = {bits.tobytes() for bits in cx.enumerate_patterns(X).packed}
    found = cells_around(X, np.stack([u, -2 * u]), np.random.default_rng(0), most=9)
    assert len(found) == 8  # four cells around either
    assert {bits.tobytes() for bits in found} <= cells
    few = cells_around(X, u[np.newaxis], np.random.default_rng(0), most=2)
    assert len(few) == 2
    for bits in cx.PatternSet(found, 20).to_dense():
        z = X @ u
        far = np.abs(z) > 1e-9
        assert np.array_equal(bits[far], z[far] > 0) or np.array_equal(bits[far], z[far] < 0)


def test_opposite_and_repeated_rows_are_on_the_right_sides() -> None:
    X = np.array([[1.0, 0.0], [2.0, 0.0], [-3.0, 0.0], [0.0, 1.0]])
    found = cells_around(X, np.array([[0.0, 1.0]]), np.random.default_rng(0))
    dense = cx.PatternSet(found, 4).to_dense().tolist()
    assert sorted(dense) == [[False, False, True, True], [True, True, False, True]]
