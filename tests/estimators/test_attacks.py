"""Estimators on hostile data and settings: no wrong number, and errors that name what is wrong."""

from __future__ import annotations

import re
import warnings
from typing import Any

import joblib
import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import KFold

import pyconvexnn as cx
from pyconvexnn.losses import get_loss
from pyconvexnn.training.train import generate

Matrix = NDArray[np.float64]


def data(n: int = 30) -> tuple[Matrix, Matrix, NDArray[np.int64]]:
    """Features, a kinked target, and two classes."""
    X = np.random.default_rng(0).standard_normal((n, 2))
    return X, np.abs(X[:, 0]) - 0.3 * X[:, 1], (X[:, 0] * X[:, 1] > 0).astype(np.int64)


# ---- certificates ----------------------------------------------------------------------------


@pytest.mark.parametrize("patterns", ["auto", 40])
def test_certificate_of_several_outputs_is_that_of_its_dual_point(patterns: Any) -> None:
    X, _, _ = data()
    w, codes = np.arange(30) % 3, np.arange(30) % 5 % 3
    est = cx.ConvexMLPClassifier(beta=0.3, patterns=patterns).fit(X, codes, w)
    cert: Any = est.certificate_
    point, loss = cert.scale * cert.dual, get_loss("logistic")
    signs = np.where(codes[:, np.newaxis] == range(3), 1.0, -1.0)
    used = w > 0
    assert not point[~used].any()
    value = sum(
        loss.dual_objective(v, t, w[used].astype(float))
        for v, t in zip(point[used].T, signs[used].T, strict=True)
    )
    assert value == pytest.approx(cert.lower_bound, rel=1e-12)
    if patterns == "auto":
        U = np.random.default_rng(1).standard_normal((20_000, 3))
        U /= np.linalg.norm(U, axis=1, keepdims=True)
        hidden = np.maximum(np.column_stack([X, np.ones(30)]) @ U.T, 0.0)
        largest = np.max(np.abs(cert.dual.T @ hidden))
        assert largest <= cert.price_bound <= 0.3 * (1 + 1e-12) / cert.scale


def test_a_training_that_rounding_ended_is_told() -> None:
    X, y, _ = data()
    X = np.column_stack([X, np.full(30, 1e10)])  # in place of an intercept, far too large
    for certify in (True, False):
        est = cx.ConvexMLPRegressor(beta=0.1, fit_intercept=False, certify=certify)
        with pytest.warns(ConvergenceWarning, match="NUMERICAL_ERROR"):
            est.fit(X, y)


@pytest.mark.parametrize("proved", [True, False])
def test_what_is_proved_is_not_told_to_be_unfinished(
    monkeypatch: pytest.MonkeyPatch, proved: bool
) -> None:
    X, y, _ = data()

    def untrained(*args: Any, **options: Any) -> Any:
        return generate(*args, **options)._replace(is_trained=False)

    monkeypatch.setattr(cx.estimators.training, "generate", untrained)
    est = cx.ConvexMLPRegressor(beta=0.1, certify="full" if proved else False)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        est.fit(X, y)
    assert len(caught) == (0 if proved else 1)


# ---- data ------------------------------------------------------------------------------------


def test_masks_are_refused() -> None:
    X, y, codes = data()
    hidden = np.ma.masked_array(X, X > 1)
    with pytest.raises(TypeError, match=r"^`X` must be an array without a mask, got a masked"):
        cx.ConvexMLPRegressor().fit(hidden, y)
    with pytest.raises(TypeError, match=r"^`y` must be an array without a mask, got a masked"):
        cx.ConvexMLPClassifier().fit(X, np.ma.masked_array(codes, y > 1))
    est = cx.ConvexMLPRegressor(beta=0.1, certify=False).fit(X, y)
    with pytest.raises(TypeError, match=r"^`X` must be an array without a mask, got a masked"):
        est.predict(hidden)


@pytest.mark.parametrize("size", [1e-160, 1e100, 1e154, 1e300])
def test_standardising_refuses_columns_without_a_scale(size: float) -> None:
    X, y, _ = data()
    est = cx.ConvexMLPRegressor(beta=0.1, scale="standard", certify=False)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ValueError, match=r"^`X` must have its largest entry between 1e-60"):
            est.fit(X * size, y)


def test_standardising_refuses_a_tiny_column() -> None:
    X, y, _ = data()
    rule = "^`X` must have columns of standard deviation 0 or >= 1e-50 with `scale` = 'standard', "
    with pytest.raises(ValueError, match=rule):
        cx.ConvexMLPRegressor(beta=0.1, scale="standard").fit(X * [1.0, 1e-70], y)
    est = cx.ConvexMLPRegressor(beta=0.1, scale="standard", certify=False)
    assert est.fit(X * [1e50, 1e-45], y).predict(X * [1e50, 1e-45]) == pytest.approx(
        est.fit(X, y).predict(X), abs=1e-2
    )


def test_infinite_class_weights_are_refused() -> None:
    X, _, codes = data()
    rule = "`class_weight` must hold finite weights > 0, got {0: inf, 1: 1}"
    with pytest.raises(ValueError, match="^" + re.escape(rule)):
        cx.ConvexMLPClassifier(class_weight={0: np.inf, 1: 1}).fit(X, codes)


@pytest.mark.parametrize("class_weight", ["balanced", {0: 0.3, 1: 1.7}])
@pytest.mark.parametrize(
    "settings",
    [{}, {"patterns": 50}, {"activation": "gated_relu", "patterns": 30, "scale": "standard"}],
)
def test_integer_weights_are_repeated_rows_with_class_weights_too(
    class_weight: Any, settings: dict[str, Any]
) -> None:
    X, _, codes = data()
    w = np.arange(30) % 4
    rows = np.random.default_rng(2).permutation(np.repeat(np.arange(30), w))
    est: Any = cx.ConvexMLPClassifier(beta=0.1, class_weight=class_weight, **settings)
    weighted = est.fit(X, codes, w)
    scores, bound = weighted.decision_function(X), weighted.certificate_.lower_bound
    repeated = est.fit(X[rows], codes[rows])
    assert np.array_equal(repeated.decision_function(X), scores)
    assert repeated.certificate_.lower_bound == bound


def test_predictions_are_those_of_the_settings_in_fit() -> None:
    X, y, _ = data()
    est = cx.ConvexMLPRegressor(beta=0.1, intercept_scaling=2.0, certify=False).fit(X, y)
    before = est.predict(X)
    assert np.array_equal(est.set_params(intercept_scaling=5.0).predict(X), before)
    assert np.array_equal(est.set_params(fit_intercept=False).predict(X), before)


# ---- cross-validation ------------------------------------------------------------------------


def cross_validated(**settings: Any) -> cx.ConvexMLPRegressorCV:
    """Estimator that is fast."""
    chosen: dict[str, Any] = {"betas": [1.0, 0.3], "cv": 3, "certify": False}
    return cx.ConvexMLPRegressorCV(**(chosen | settings))


def test_folds_without_rows() -> None:
    X, y, _ = data()
    rows = np.arange(30)
    with pytest.raises(ValueError, match=r"^`cv` must give at least one fold, got none from \[\]"):
        cross_validated(cv=[]).fit(X, y)
    rule = "^`cv` must leave rows of positive weight to train on in every fold"
    with pytest.raises(ValueError, match=rule):
        cross_validated(cv=[(rows[:0], rows)]).fit(X, y)
    with pytest.raises(ValueError, match=rule):
        cross_validated(cv=KFold(3)).fit(X, y, rows < 10)


def test_folds_of_a_generator() -> None:
    X, y, _ = data()
    folds = list(KFold(3).split(X))
    est = cross_validated(cv=(fold for fold in folds)).fit(X, y)
    same = cross_validated(cv=folds).fit(X, y)
    assert np.array_equal(est.cv_results_["mean_test_score"], same.cv_results_["mean_test_score"])


@pytest.mark.parametrize("score", [{"a": 1.0}, np.ones(3), None])
def test_scores_that_are_no_numbers(score: Any) -> None:
    X, y, _ = data()
    with pytest.raises(TypeError, match=r"^`scoring` must give a number, got "):
        cross_validated(scoring=lambda *_: score).fit(X, y)


def test_threads_leave_the_filters_of_warnings_alone() -> None:
    X, y, _ = data()
    with joblib.parallel_backend("threading", n_jobs=2):
        for _ in range(4):
            with warnings.catch_warnings(record=True) as told:
                warnings.simplefilter("always")
                before = list(warnings.filters)
                cross_validated(max_iter=1, cv=6, n_jobs=2).fit(X, y)
                assert warnings.filters == before
            said = [str(warning.message) for warning in told]
            assert len(said) == 2
            assert "trainings on folds ended" in said[0]
