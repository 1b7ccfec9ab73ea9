"""``warm_start=True``: the same optimum as from nothing, in less work."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.base import clone

import pyconvexnn as cx
from tests.estimators.tasks import ACTIVATIONS, BOTH, make_data, targets, with_ones

UNGATED_ONLY = [activation for activation in ACTIVATIONS if activation != "gated_relu"]


@pytest.mark.parametrize("scale", [None, "standard"])
@pytest.mark.parametrize("activation", UNGATED_ONLY)
def test_generated_patterns_are_there_at_once(activation: str, scale: str | None) -> None:
    X, y = make_data()
    X = X * [1.0, 3.0, 0.5] + 0.5
    est: Any = cx.ConvexMLPRegressor(
        activation, 0.5, slope=0.1, tol=1e-6, scale=scale, warm_start=True, certify=False
    )
    first = est.fit(X, y).n_iter_
    loss = est.loss_
    assert est.fit(X, y).loss_ <= loss * (1 + 1e-12)  # no worse than where it began
    assert est.n_iter_ < first
    # Another penalty, and other rows: the optimum of a fit from nothing.
    for data, target, beta in ((X, y, 0.3), (X[::2], y[::2], 0.3)):
        est.set_params(beta=beta).fit(data, target)
        cold = clone(est).fit(data, target)
        assert est.loss_ == pytest.approx(cold.loss_, rel=2e-6)
        assert est.n_iter_ <= cold.n_iter_


def test_a_change_of_units_does_not_lose_the_network() -> None:
    X, y = make_data()
    X = X * [1.0, 3.0, 0.5] + 0.5
    est: Any = cx.ConvexMLPRegressor(beta=0.5, warm_start=True, certify=False)
    est.fit(X, y)
    for settings in ({"scale": "standard"}, {"scale": None}, {"output_offset": True}):
        est.set_params(**settings).fit(X, y)
        cold = clone(est).fit(X, y)
        assert est.loss_ == pytest.approx(cold.loss_, rel=2e-4)
        assert est.n_iter_ <= cold.n_iter_


@pytest.mark.parametrize("estimator", BOTH)
def test_the_same_gates_start_from_their_solution(estimator: type) -> None:
    X, y = make_data()
    t = targets(estimator, y)
    est: Any = estimator("gated_relu", 0.5, patterns=50, tol=1e-8, warm_start=True).fit(X, t)
    first = est.n_iter_
    est.fit(X, t)
    assert est.n_iter_ < first
    est.set_params(beta=0.4).fit(X, t)
    cold = clone(est).fit(X, t)
    assert est.loss_ == pytest.approx(cold.loss_, rel=1e-7)
    assert est.certificate_.is_optimal
    # Other patterns begin anew.
    for changed in ({"patterns": 40}, {"random_state": 1}):
        est.set_params(**changed).fit(X, t)
        cold = clone(est).fit(X, t)
        np.testing.assert_array_equal(est.predict(X), cold.predict(X))
        assert est.n_iter_ == cold.n_iter_


@pytest.mark.parametrize("activation", ["relu", "gated_relu"])
def test_other_features_or_outputs_begin_anew(activation: str) -> None:
    X, y = make_data()
    est: Any = cx.ConvexMLPRegressor(activation, 0.5, warm_start=True)
    est.fit(X, y)
    for data, target in ((X[:, :2], y), (X[:, :2], np.c_[y, -y]), (X, np.c_[y, -y, y]), (X, y)):
        est.fit(data, target)
        cold = clone(est).fit(data, target)
        np.testing.assert_array_equal(est.predict(data), cold.predict(data))
        assert est.n_iter_ == cold.n_iter_
    est.set_params(activation="abs").fit(X, y)
    np.testing.assert_array_equal(est.predict(X), clone(est).fit(X, y).predict(X))


def test_without_it_every_fit_begins_anew() -> None:
    X, y = make_data()
    est: Any = cx.ConvexMLPRegressor(beta=0.5).fit(X, y)
    first = est.predict(X)
    np.testing.assert_array_equal(
        est.set_params(beta=0.2).fit(X, y).predict(X), clone(est).fit(X, y).predict(X)
    )
    np.testing.assert_array_equal(est.set_params(beta=0.5).fit(X, y).predict(X), first)


def test_a_list_without_gates_goes_on_where_it_is_the_same() -> None:
    X, y = make_data(30, 2)
    some = cx.sample_patterns(with_ones(X), 30)
    est: Any = cx.ConvexMLPRegressor(patterns=some, beta=0.3, tol=1e-7, warm_start=True).fit(X, y)
    first = est.n_iter_
    assert est.fit(X, y).n_iter_ < first
    generated: Any = est.set_params(patterns="auto").fit(X, y)
    assert isinstance(generated.solution_, cx.Fit)
    assert generated.certificate_.is_optimal


def test_several_outputs_each_start_from_their_own() -> None:
    X, y = make_data()
    t = np.digitize(y, [-0.3, 0.3])
    est: Any = cx.ConvexMLPClassifier(beta=0.3, warm_start=True, certify=False).fit(X, t)
    rounds = sum(len(fit.history) for fit in est.solution_)
    est.set_params(beta=0.25).fit(X, t)
    cold = clone(est).fit(X, t)
    assert est.loss_ == pytest.approx(cold.loss_, rel=2e-4)
    assert sum(len(fit.history) for fit in est.solution_) < rounds
