"""``patterns="exact"``: estimators over every cell of their data, degenerate or not."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from sklearn.base import clone

import pyconvexnn as cx
from pyconvexnn._typing import FloatArray
from tests.small_data import as_set, gaussian

TABLES = {
    "integers": np.array(list(itertools.product(range(4), range(3))), float),
    "repeated": np.tile(np.array(list(itertools.product(range(3), range(2))), float), (3, 1)),
    "one-hot": np.c_[np.eye(3)[np.arange(14) % 3], gaussian(14, 1)],
    "generic": gaussian(14, 2),
}


def task(name: str) -> tuple[FloatArray, FloatArray]:
    X = TABLES[name]
    rng = np.random.default_rng(len(X))
    y = np.abs(X @ rng.standard_normal(X.shape[1]) - 1.0) + 0.2 * rng.standard_normal(len(X))
    return X, y - y.mean()


def every_cell(X: FloatArray) -> cx.PatternSet:
    cells = cx.enumerate_patterns(X)
    return cells[np.flatnonzero(cells.to_dense().any(axis=1))]


@pytest.mark.parametrize("activation", ["relu", "gated_relu", "abs"])
@pytest.mark.parametrize("name", TABLES)
def test_the_regressor_solves_the_program_of_all_cells(name: str, activation: str) -> None:
    X, y = task(name)
    est: Any = cx.ConvexMLPRegressor(
        patterns="exact", activation=activation, beta=0.3, tol=1e-8
    ).fit(X, y)
    data = np.column_stack([X, np.ones(len(X))])
    cells = every_cell(data)
    if activation != "abs":  # whose opposite patterns are the same
        assert as_set(est.patterns_) == as_set(cells)
    problem: Any = (
        cx.GatedReLUProblem(data, y, cells, 0.3)
        if activation == "gated_relu"
        else cx.ReLUProblem(data, y, cells, 0.3, activation=activation)
    )
    best = cx.solve(problem, tol=1e-9).objective
    assert est.solution_.objective == pytest.approx(best, rel=1e-7)
    assert est.certificate_.is_optimal
    assert clone(est).patterns == "exact"


@pytest.mark.parametrize("name", TABLES)
def test_the_regressor_reaches_the_optimum_of_all_networks(name: str) -> None:
    X, y = task(name)
    est: Any = cx.ConvexMLPRegressor(
        patterns="exact", activation="relu", beta=0.3, tol=1e-8, random_state=0
    ).fit(X, y)
    data = np.column_stack([X, np.ones(len(X))])
    fit = cx.train(data, y, 0.3, rtol=1e-7)
    assert est.loss_ == pytest.approx(fit.certificate.objective, rel=1e-6)
    assert est.loss_ >= fit.certificate.lower_bound * (1 - 1e-9)
    again = clone(est).set_params(random_state=1).fit(X, y)
    np.testing.assert_array_equal(again.patterns_.packed, est.patterns_.packed)


def test_the_classifier_takes_all_cells() -> None:
    X, y = task("integers")
    est: Any = cx.ConvexMLPClassifier(patterns="exact", activation="relu", beta=0.05)
    est.fit(X, y > 0)
    assert len(est.patterns_) == len(every_cell(np.column_stack([X, np.ones(len(X))])))
    assert np.mean(est.predict(X) == (y > 0)) > 0.9


def test_too_many_cells_are_refused_before_they_are_listed() -> None:
    X = gaussian(400, 30)
    with pytest.raises((ValueError, MemoryError), match="patterns"):
        cx.ConvexMLPRegressor(patterns="exact").fit(X, X[:, 0])
