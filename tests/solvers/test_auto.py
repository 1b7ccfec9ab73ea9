"""The rule behind "auto", and what it does where Newton's method gives up."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

import pyconvexnn as cx
from pyconvexnn import _cells
from pyconvexnn.solvers import Auto, CoordinateDescent, Fista, Newton
from pyconvexnn.solvers.auto import pick


def problem(n: int = 40, P: int = 30, ratio: float = 0.05) -> cx.GatedReLUProblem:
    X, y, patterns = cx.datasets.ar(n, 4, P, seed=3)
    whole = cx.GatedReLUProblem(X, y, patterns, 1.0)
    return whole.with_beta(ratio * whole.beta_max)


def test_auto_is_newton() -> None:
    prob = problem()
    ours, newton = cx.solve(prob), cx.solve(prob, solver="newton")
    assert np.array_equal(ours.coef.values, newton.coef.values)
    assert np.array_equal(ours.dual, newton.dual)
    assert pick(prob) is Newton


@pytest.mark.parametrize(("room", "picked"), [(10**9, Fista), (10**12, Newton), (None, Newton)])
def test_large_matrices_need_room(
    monkeypatch: pytest.MonkeyPatch, room: int | None, picked: type
) -> None:
    n = 20_000
    X = np.random.default_rng(0).standard_normal((n, 1))
    packed = cx.PatternSet.from_dense(np.random.default_rng(1).random((6000, n)) < 0.5)
    prob = cx.GatedReLUProblem(X, X[:, 0], packed, 1.0)
    monkeypatch.setattr(_cells, "available_bytes", lambda: room)
    assert pick(prob) is picked


def test_coordinate_descent_goes_on_where_newton_gives_up(monkeypatch: pytest.MonkeyPatch) -> None:
    prob = problem()
    plain = Newton.solve
    starts: list[Any] = []

    def giving_up(self: Newton, *args: Any, **kwargs: Any) -> cx.Solution:
        loose = dataclasses.replace(self, tol=0.1)
        return dataclasses.replace(plain(loose, *args, **kwargs), status=cx.Status.NUMERICAL_ERROR)

    def watched(self: CoordinateDescent, *args: Any, **kwargs: Any) -> cx.Solution:
        starts.append(kwargs["warm_start"])
        return cd(self, *args, **kwargs)

    cd = CoordinateDescent.solve
    monkeypatch.setattr(Newton, "solve", giving_up)
    monkeypatch.setattr(CoordinateDescent, "solve", watched)
    sol = Auto(tol=1e-8).solve(prob)
    assert sol.status is cx.Status.SOLVED
    assert sol.relative_gap <= 1e-8
    assert cx.verify(prob, sol).relative_gap <= 1e-8 * (1 + 1e-6)
    assert len(starts) == 1
    assert len(starts[0].indices) > 0
    objectives = [p.objective for p in sol.history]
    assert objectives == sorted(objectives, reverse=True)
    iterations = [p.iteration for p in sol.history]
    assert iterations == sorted(iterations)
    assert iterations[-1] == sol.n_iter
