"""Networks from scikit-learn's perceptrons: the same outputs, and refusals by name."""

from __future__ import annotations

import types
import warnings
from typing import Any

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.linear_model import LinearRegression
from sklearn.neural_network import MLPClassifier, MLPRegressor

import pyconvexnn as cx

RNG = np.random.default_rng(0)
X, Y = RNG.standard_normal((60, 4)), RNG.standard_normal(60)


def fitted(mlp: Any, y: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return mlp.set_params(max_iter=30, solver="lbfgs", random_state=0).fit(X, y)


@pytest.mark.parametrize("y", [Y, np.stack([Y, Y**2, Y**3], axis=1)])
def test_predictions_of_regressors(y: Any) -> None:
    mlp = fitted(MLPRegressor(hidden_layer_sizes=(7,)), y)
    net = cx.TwoLayerNetwork.from_sklearn(mlp)
    np.testing.assert_allclose(net.predict(X), mlp.predict(X), rtol=1e-12, atol=1e-12)
    assert (net.n_neurons, net.n_features, net.n_outputs) == (7, 4, y[0].size)
    assert net.W2.shape == (7, y[0].size)
    assert net.activation == "relu"


def test_predictions_of_a_classifier_of_two_classes() -> None:
    mlp = fitted(MLPClassifier(hidden_layer_sizes=5), np.where(Y > 0, "yes", "no"))
    net = cx.TwoLayerNetwork.from_sklearn(mlp)
    odds = net.predict(X)
    np.testing.assert_allclose(
        1 / (1 + np.exp(-odds)), mlp.predict_proba(X)[:, 1], rtol=1e-12, atol=1e-15
    )
    np.testing.assert_array_equal(mlp.classes_[(odds > 0).astype(int)], mlp.predict(X))


def test_the_objective_is_what_it_was_trained_on() -> None:
    mlp = fitted(MLPRegressor(hidden_layer_sizes=(7,), alpha=0.5), Y)
    net = cx.TwoLayerNetwork.from_sklearn(mlp)
    assert net.b1 is not None
    decayed = 0.25 * float(net.b1 @ net.b1)  # not by scikit-learn
    assert net.objective(X, Y, 0.5) - decayed == pytest.approx(60 * mlp.loss_, rel=1e-10)


def test_single_precision_is_widened() -> None:
    mlp = fitted(MLPRegressor(hidden_layer_sizes=3), Y)
    mlp.coefs_ = [weights.astype(np.float32) for weights in mlp.coefs_]
    net = cx.TwoLayerNetwork.from_sklearn(mlp)
    assert net.W1.dtype == net.W2.dtype == np.float64
    np.testing.assert_allclose(net.predict(X), mlp.predict(X), rtol=1e-12, atol=1e-12)


def test_wrong_estimators_are_refused_by_name() -> None:
    three, many = np.arange(60) % 3, np.stack([Y > 0, Y > 1], axis=1).astype(int)
    cases: list[tuple[Any, type[Exception], str]] = [
        (MLPRegressor(), NotFittedError, "`mlp` must be fitted, got an MLPRegressor that is not"),
        (MLPRegressor, TypeError, "`mlp` must be an MLPRegressor or an MLPClassifier"),
        (LinearRegression().fit(X, Y), TypeError, "got LinearRegression()"),
        (None, TypeError, "got None"),
        (fitted(MLPRegressor(activation="tanh"), Y), NotImplementedError, "got 'tanh'"),
        (fitted(MLPRegressor(activation="identity"), Y), NotImplementedError, "got 'identity'"),
        (
            fitted(MLPRegressor(hidden_layer_sizes=(3, 2)), Y),
            NotImplementedError,
            "one hidden layer, got 2",
        ),
        (fitted(MLPClassifier(), three), NotImplementedError, "a regressor or of two classes"),
        (fitted(MLPClassifier(), many), NotImplementedError, "a regressor or of two classes"),
    ]
    for mlp, kind, message in cases:
        with pytest.raises(kind) as error:
            cx.TwoLayerNetwork.from_sklearn(mlp)
        assert message in str(error.value)


def test_only_attributes_are_read() -> None:
    mlp = types.SimpleNamespace(
        hidden_layer_sizes=2,
        activation="relu",
        out_activation_="identity",
        coefs_=[np.array([[1.0, 2.0]]), np.array([[3.0], [4.0]])],
        intercepts_=[np.array([0.5, 0.0]), np.array([1.0])],
    )
    net = cx.TwoLayerNetwork.from_sklearn(mlp)
    assert net.predict([[1.0], [-1.0]]).tolist() == [13.5, 1.0]
