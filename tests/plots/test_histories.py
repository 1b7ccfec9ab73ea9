"""Pictures: what is drawn is the history."""

from __future__ import annotations

import dataclasses
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.figure import Figure
from sklearn.exceptions import ConvergenceWarning

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


def test_certificate_of_training() -> None:
    X = np.random.default_rng(0).standard_normal((12, 2))
    fit = cx.train(X, np.abs(X[:, 0]), beta=0.1)
    ax = cx.plots.certificate(fit, ax=Figure().subplots())
    objective, bound = ax.lines
    assert [line.get_label() for line in ax.lines] == ["objective", "lower bound"]
    ends = [np.asarray(line.get_ydata())[-1] for line in (objective, bound)]
    assert ends == [fit.history[-1].objective, fit.history[-1].lower_bound]


def test_certificate_of_an_estimator_trained_over_all_patterns() -> None:
    X = np.random.default_rng(0).standard_normal((12, 2))
    one = cx.ConvexMLPRegressor(beta=0.1).fit(X, np.abs(X[:, 0]))
    ax = cx.plots.certificate(one, ax=Figure().subplots())
    assert [line.get_label() for line in ax.lines] == ["objective", "lower bound"]
    est: Any = cx.ConvexMLPRegressor(beta=0.1).fit(X, np.abs(X))
    fits = est.solution_
    ax = cx.plots.certificate(est, ax=Figure().subplots())
    labels = [f"{name}, output {k}" for k in (0, 1) for name in ("objective", "lower bound")]
    assert [line.get_label() for line in ax.lines] == labels
    for fit, line in zip(fits, ax.lines[::2], strict=True):
        found = [(state.seconds, state.objective) for state in fit.history]
        np.testing.assert_array_equal(line.get_xydata(), found)
    # No time was left for the first output.
    est.solution_ = [dataclasses.replace(fits[0], history=()), fits[1]]
    ax = cx.plots.certificate(est, ax=Figure().subplots())
    assert [line.get_label() for line in ax.lines] == labels[2:]


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
    with pytest.raises(TypeError, match="`solution_or_fit` must be a Solution, a Fit or a fitted"):
        cx.plots.certificate(3)
    with pytest.raises(TypeError, match="got ConvexMLPRegressor"):
        cx.plots.certificate(cx.ConvexMLPRegressor())
    with pytest.raises(ValueError, match="must have a history, got an empty one"):
        cx.plots.certificate(dataclasses.replace(solution(), history=()))


# --- path -----------------------------------------------------------------------------------------


def small_path(**options: Any) -> cx.Path:
    X, y, patterns = cx.datasets.ar(40, 3, 20)
    return cx.solve_path(cx.GatedReLUProblem(X, y, patterns, 1.0), **options)


def test_path_draws_objective_bound_and_neurons() -> None:
    path = small_path(n_betas=6)
    ax = Figure().subplots()
    assert cx.plots.path(path, ax=ax) is ax
    objective, bound = ax.lines
    ratio, zero = path.betas / path.beta_max, path[0].objective_at_zero
    np.testing.assert_array_equal(objective.get_xydata(), np.c_[ratio, path.objectives / zero])
    np.testing.assert_array_equal(bound.get_xydata(), np.c_[ratio, path.dual_objectives / zero])
    assert isinstance(ax.figure, Figure)
    (neurons,) = ax.figure.axes[-1].lines
    np.testing.assert_array_equal(neurons.get_xydata(), np.c_[ratio, path.n_active])
    assert [text.get_text() for text in ax.get_legend().get_texts()] == [  # type: ignore[union-attr]
        "objective",
        "dual bound",
        "neurons",
    ]
    assert (ax.get_xscale(), ax.get_xlabel()) == ("log", "beta / beta_max")
    left, right = ax.get_xlim()
    assert left > right


def test_path_in_any_order_is_drawn_from_the_largest_penalty() -> None:
    ax = cx.plots.path(small_path(betas=[0.5, 5.0, 1.0]), ax=Figure().subplots())
    assert np.all(np.diff(np.asarray(ax.lines[0].get_xdata())) < 0)


def test_path_marks_what_is_not_solved() -> None:
    with pytest.warns(ConvergenceWarning):
        path = small_path(n_betas=4, max_iter=1, tol=1e-12)
    ax = cx.plots.path(path, ax=Figure().subplots())
    crosses = ax.lines[2]
    assert crosses.get_label() == "not solved"
    count = sum(status is not cx.Status.SOLVED for status in path.statuses)
    assert len(np.asarray(crosses.get_xdata())) == count > 0


def test_path_without_targets() -> None:
    X, _, patterns = cx.datasets.ar(40, 3, 20)
    path = cx.solve_path(cx.GatedReLUProblem(X, np.zeros(40), patterns, 1.0), betas=[1.0, 2.0])
    ax = cx.plots.path(path, ax=Figure().subplots())
    assert ax.get_xlabel() == "beta"


def test_path_refuses_what_is_none() -> None:
    with pytest.raises(TypeError, match="`path` must be a Path, got list"):
        cx.plots.path([])  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="`path` must have at least one point, got none"):
        cx.plots.path(small_path(n_betas=2)[:0])
