"""Penalties that the choice is among, and settings of the choice that are refused."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

import pyconvexnn as cx
from tests.estimators.tasks import BOTH_CV, SINGLE, make_data, targets, with_ones


@pytest.mark.parametrize("activation", ["relu", "abs", "gated_relu"])
@pytest.mark.parametrize("estimator", BOTH_CV)
def test_penalties_fall_from_the_largest_useful_one(estimator: type, activation: str) -> None:
    X, y = make_data()
    t = targets(estimator, y)
    est: Any = estimator(
        activation,
        betas=4,
        beta_min_ratio=0.05,
        cv=2,
        certify=False,
        patterns=(40 if activation == "gated_relu" else "auto"),
    ).fit(X, t)
    classes = estimator is cx.ConvexMLPClassifierCV
    z = np.where(y > 0, 1.0, -1.0) if classes else y
    loss = "logistic" if classes else "squared"
    if activation == "gated_relu":
        largest = cx.GatedReLUProblem(with_ones(X), z, est.patterns_, 1.0, loss=loss).beta_max
    else:
        largest = cx.beta_max(with_ones(X), z, activation=activation, loss=loss).value
    assert est.betas_[0] == pytest.approx(largest, rel=1e-6)
    np.testing.assert_allclose(est.betas_, est.betas_[0] * np.geomspace(1, 0.05, 4), rtol=1e-12)
    single = SINGLE[estimator]
    patterns = est.patterns_ if activation == "gated_relu" else "auto"
    for factor, empty in ((1.01, True), (0.9, False)):
        near: Any = single(activation, factor * largest, certify=False, patterns=patterns).fit(X, t)
        assert (near.network_.n_neurons == 0) == empty


def test_several_outputs_have_the_largest_penalty_of_them() -> None:
    X, y = make_data()
    est = cx.ConvexMLPRegressorCV(betas=2, cv=2, certify=False).fit(X, np.c_[y, -3 * y, 0 * y])
    assert est.betas_[0] == pytest.approx(cx.beta_max(with_ones(X), -3 * y).value, rel=1e-6)
    assert est.predict(X).shape == (60, 3)


def test_given_penalties_are_sorted() -> None:
    X, y = make_data()
    for betas in ([0.1, 3.0, 1.0], np.array([3.0, 0.1, 1.0]), (1, 3, 0.1)):
        est = cx.ConvexMLPRegressorCV(betas=betas, cv=2, certify=False).fit(X, y)
        assert est.betas_.tolist() == [3.0, 1.0, 0.1]
        assert est.betas_.dtype == np.float64


def test_targets_that_are_all_zero() -> None:
    X, _ = make_data()
    for activation in ("relu", "gated_relu"):
        est = cx.ConvexMLPRegressorCV(
            activation, betas=3, patterns=(20 if activation == "gated_relu" else "auto")
        ).fit(X, np.zeros(60))
        assert est.network_.n_neurons == 0
        assert est.best_index_ == 0
        assert np.all(est.betas_ > 0)
        assert not est.predict(X).any()


# ---- what is refused --------------------------------------------------------------------------


@pytest.mark.parametrize("estimator", BOTH_CV)
@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"betas": 0}, ValueError, "`betas` must be >= 1, got 0"),
        ({"betas": 2.5}, TypeError, "`betas` must be an integer or an array, got 2.5"),
        ({"betas": True}, TypeError, "`betas` must be an integer or an array, got True"),
        ({"betas": "many"}, TypeError, "`betas` must be an integer or an array, got 'many'"),
        ({"betas": []}, ValueError, "`betas` must have 1 dimension and an entry, got shape (0,)"),
        ({"betas": [[1.0]]}, ValueError, "`betas` must have 1 dimension and an entry, got shape"),
        ({"betas": [1.0, 0.0]}, ValueError, "`betas` must be finite and >= 1e-120, got 0.0"),
        ({"betas": [1.0, -1.0]}, ValueError, "`betas` must be finite and >= 1e-120, got -1.0"),
        ({"betas": [np.nan]}, ValueError, "`betas` must be finite and >= 1e-120, got nan"),
        ({"betas": [np.inf]}, ValueError, "`betas` must be finite and >= 1e-120, got inf"),
        ({"beta_min_ratio": 0.0}, ValueError, "`beta_min_ratio` must be > 0, got 0.0"),
        ({"beta_min_ratio": 1.0}, ValueError, "`beta_min_ratio` must be < 1, got 1.0"),
        ({"beta_min_ratio": "a"}, TypeError, "`beta_min_ratio` must be a real number, got 'a'"),
        ({"rule": "2se"}, ValueError, "`rule` must be one of best, 1se; got '2se'"),
        ({"cv": 1}, ValueError, "k-fold cross-validation requires at least one train/test split"),
        ({"cv": "five"}, ValueError, "Expected `cv` as an integer"),
        ({"cv": 100}, ValueError, "Cannot have number of splits n_splits=100 greater than"),
        ({"n_jobs": 0}, ValueError, "`n_jobs` must not be 0, got 0"),
        ({"activation": "tanh"}, ValueError, "`activation` must be one of gated_relu, relu,"),
        ({"tol": 0}, ValueError, "`tol` must be > 0"),
    ],
)
def test_wrong_settings(
    estimator: type, settings: dict[str, Any], error: type[Exception], message: str
) -> None:
    X, y = make_data(20)
    if "cv" in settings:
        settings = {**settings, "betas": [1.0]}
    with pytest.raises(error, match=re.escape(message)):
        estimator(**settings).fit(X, targets(estimator, y))


def test_wrong_folds() -> None:
    X, y = make_data()
    halves = [(np.arange(30), np.arange(30, 60))]
    est = cx.ConvexMLPRegressorCV(betas=[1.0], cv=halves)
    with pytest.raises(ValueError, match="`cv` must leave rows of positive weight to train on"):
        est.fit(X, y, np.repeat([0.0, 1.0], 30))
    assert "beta" not in est.get_params()
