"""Pictures: what is drawn is the history."""

from __future__ import annotations

import dataclasses

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.figure import Figure

import pyconvexnn as cx

mpl.use("Agg")


def solution(seed: int = 0) -> cx.Solution:
    X = np.random.default_rng(seed).standard_normal((40, 3))
    return cx.solve(cx.GatedReLUProblem(X, X[:, 0], cx.sample_patterns(X, 20), beta=0.1))


def test_certificate_draws_the_history() -> None:
    sol = solution()
    ax = Figure().subplots()
    assert cx.plots.certificate(sol, ax=ax) is ax
    objective, bound = ax.lines
    np.testing.assert_array_equal(
        objective.get_xydata(), [(p.seconds, p.objective) for p in sol.history]
    )
    np.testing.assert_array_equal(
        bound.get_xydata(), [(p.seconds, p.dual_objective) for p in sol.history]
    )
    assert [line.get_label() for line in ax.lines] == ["objective", "dual bound"]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("seconds", "objective")


def test_certificate_of_estimators() -> None:
    X = np.random.default_rng(0).standard_normal((40, 3))
    one = cx.ConvexMLPRegressor(patterns=20).fit(X, X[:, 0])
    assert len(cx.plots.certificate(one, ax=Figure().subplots()).lines) == 2
    two = cx.ConvexMLPRegressor(patterns=20).fit(X, X[:, :2])
    labels = [line.get_label() for line in cx.plots.certificate(two, ax=Figure().subplots()).lines]
    assert labels == [f"{name}, output {k}" for k in (0, 1) for name in ("objective", "dual bound")]


def test_certificate_makes_its_own_axes() -> None:
    from matplotlib import pyplot

    ax = cx.plots.certificate(solution())
    assert ax.figure is pyplot.gcf()
    pyplot.close()


def test_bound_of_minus_infinity_is_left_out() -> None:
    sol = solution()
    first = sol.history[0]._replace(dual_objective=-np.inf)
    sol = dataclasses.replace(sol, history=(first, *sol.history[1:]))
    ax = cx.plots.certificate(sol, ax=Figure().subplots())
    assert np.isnan(np.asarray(ax.lines[1].get_ydata())[0])
    assert np.isfinite(ax.get_ylim()).all()


def test_certificate_refuses_what_has_no_history() -> None:
    with pytest.raises(TypeError, match="`solution_or_fit` must be a Solution or a fitted estim"):
        cx.plots.certificate(3)
    with pytest.raises(TypeError, match="got ConvexMLPRegressor"):
        cx.plots.certificate(cx.ConvexMLPRegressor())
    with pytest.raises(ValueError, match="must have a history, got an empty one"):
        cx.plots.certificate(dataclasses.replace(solution(), history=()))
