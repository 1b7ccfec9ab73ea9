"""`coefs_` and `intercepts_` mean in scikit-learn's own perceptrons what they mean here."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier, MLPRegressor

import pyconvexnn as cx
from pyconvexnn._typing import FloatArray

RNG = np.random.default_rng(0)
X, NEW = RNG.standard_normal((60, 3)), 3 * RNG.standard_normal((500, 3))
ONE = np.abs(X[:, 0]) - np.maximum(X[:, 1] + X[:, 2], 0) + 5
SEVERAL = np.column_stack([ONE, X[:, 1] ** 2, -ONE])
TWO = np.where(ONE > 5, "up", "down")
THREE = np.array(["low", "mid", "top"])[np.digitize(ONE, [4.7, 5.4])]

SETTINGS: list[dict[str, Any]] = [
    {},
    {"output_offset": True},
    {"intercept_scaling": 7.5},
    {"fit_intercept": False},
    {"intercept_scaling": 0.5, "output_offset": True, "beta": 2.0},
]


def ours(kind: type, y: Any, **settings: Any) -> Any:
    settings = {"activation": "relu", "beta": 0.1, "patterns": 50, **settings}
    return kind(certify=False, **settings).fit(X, y)


def theirs(est: Any, y: Any) -> Any:
    """A perceptron of scikit-learn, fitted to the same data, with the weights of `est`."""
    kind = MLPClassifier if hasattr(est, "classes_") else MLPRegressor
    mlp = kind(hidden_layer_sizes=max(1, est.coefs_[0].shape[1]), max_iter=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        mlp.fit(X, y)
    if est.coefs_[0].shape[1]:  # the same layout as what is replaced
        for name in ("coefs_", "intercepts_"):
            shapes = [[part.shape for part in getattr(e, name)] for e in (mlp, est)]
            assert shapes[0] == shapes[1]
    for name in ("n_layers_", "n_outputs_"):
        assert getattr(mlp, name) == getattr(est, name)
    mlp.coefs_, mlp.intercepts_ = est.coefs_, est.intercepts_
    return mlp


def assert_same(a: FloatArray, b: FloatArray) -> None:
    np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
@pytest.mark.parametrize("y", [ONE, SEVERAL], ids=["one output", "three outputs"])
def test_regressors_predict_the_same(settings: dict[str, Any], y: FloatArray) -> None:
    est = ours(cx.ConvexMLPRegressor, y, **settings)
    assert est.coefs_[0].shape[1] > 1
    for rows in (X, NEW):
        assert_same(theirs(est, y).predict(rows), est.predict(rows))


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_classifiers_of_two_classes_predict_the_same(settings: dict[str, Any]) -> None:
    est = ours(cx.ConvexMLPClassifier, TWO, **settings)
    mlp = theirs(est, TWO)
    for rows in (X, NEW):
        np.testing.assert_array_equal(mlp.predict(rows), est.predict(rows))
        assert_same(mlp.predict_proba(rows), est.predict_proba(rows))
    assert set(est.predict(NEW)) == {"up", "down"}


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_classifiers_of_three_classes_predict_the_same_labels(settings: dict[str, Any]) -> None:
    # Probabilities differ: there softmax of the scores, here each class against the rest.
    est = ours(cx.ConvexMLPClassifier, THREE, **settings)
    mlp = theirs(est, THREE)
    for rows in (X, NEW):
        np.testing.assert_array_equal(mlp.predict(rows), est.predict(rows))
        scores = est.decision_function(rows)
        softmax = np.exp(scores - scores.max(axis=1, keepdims=True))
        assert_same(mlp.predict_proba(rows), softmax / softmax.sum(axis=1, keepdims=True))
    assert set(est.predict(NEW)) == {"low", "mid", "top"}


@pytest.mark.parametrize("offset", [False, True])
def test_networks_without_neurons_predict_the_same(offset: bool) -> None:
    # Scores of all classes are then equal, or those of the offsets: ties go to the first class.
    for y in (ONE, SEVERAL):
        est = ours(cx.ConvexMLPRegressor, y, beta=1e6, output_offset=offset)
        assert est.coefs_[0].shape == (3, 0)
        assert_same(theirs(est, y).predict(NEW), est.predict(NEW))
    for labels in (TWO, THREE):
        est = ours(cx.ConvexMLPClassifier, labels, beta=1e6, output_offset=offset)
        np.testing.assert_array_equal(theirs(est, labels).predict(NEW), est.predict(NEW))


def test_labels_where_no_neuron_acts() -> None:
    # All scores are exactly zero at the origin without intercepts: the first class in both.
    rows = np.zeros((2, 3))
    for labels in (TWO, THREE):
        est = ours(cx.ConvexMLPClassifier, labels, fit_intercept=False)
        np.testing.assert_array_equal(est.predict(rows), [est.classes_[0]] * 2)
        np.testing.assert_array_equal(theirs(est, labels).predict(rows), est.predict(rows))


def test_the_way_back() -> None:
    est = ours(cx.ConvexMLPRegressor, ONE, output_offset=True, intercept_scaling=3.0)
    net = cx.TwoLayerNetwork.from_sklearn(theirs(est, ONE))
    assert_same(net.predict(NEW), est.predict(NEW))
    # Its biases are weights on a column of ones, and those of the estimator on a column of threes.
    assert net.b1 is not None
    assert_same(net.b1, 3.0 * est.network_.W1[:, -1])


@pytest.mark.slow
def test_a_real_table_with_the_default_patterns() -> None:
    from sklearn.datasets import load_diabetes, load_wine
    from sklearn.preprocessing import scale

    for load, kind in [(load_diabetes, cx.ConvexMLPRegressor), (load_wine, cx.ConvexMLPClassifier)]:
        data, y = load(return_X_y=True)
        data = scale(data)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            est = kind("relu", beta=1.0, output_offset=True, time_limit=5).fit(data, y)
            mlp = (MLPRegressor if est.out_activation_ == "identity" else MLPClassifier)(max_iter=1)
            mlp.fit(data, y)
        mlp.coefs_, mlp.intercepts_ = est.coefs_, est.intercepts_
        assert_same(mlp.predict(data), est.predict(data))
