"""Estimators with the cross entropy, the hinges and the Poisson loss."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest
from scipy.special import softmax
from sklearn.base import clone

import pyconvexnn as cx
from pyconvexnn._typing import FloatArray
from tests.estimators.tasks import by_hand, make_data, with_ones

JOINT: dict[str, Any] = {
    "activation": "gated_relu",
    "loss": "cross_entropy",
    "patterns": 40,
    "beta": 0.5,
}
NAMES = np.array(["ash", "birch", "cedar", "date"])


def classes(K: int, n: int = 90, d: int = 3, seed: int = 0) -> tuple[FloatArray, Any]:
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, d))
    scores = np.maximum(X @ rng.standard_normal((d, 6)), 0) @ rng.standard_normal((6, K))
    codes = np.argmax(scores - scores.mean(axis=0) + 0.1 * rng.standard_normal((n, K)), axis=1)
    codes[:K] = np.arange(K)
    return X, NAMES[codes]


# --- cross entropy ------------------------------------------------------------------------------


@pytest.mark.parametrize("offset", [False, True])
@pytest.mark.parametrize("K", [2, 3, 4])
def test_one_problem_of_all_classes(K: int, offset: bool) -> None:
    X, y = classes(K)
    s = np.random.default_rng(1).integers(1, 3, 90) + 0.5
    weights = dict(zip(NAMES[:K], [1.0, 2.0, 0.5, 1.5], strict=False))
    est: Any = cx.ConvexMLPClassifier(**JOINT, output_offset=offset, class_weight=weights, tol=1e-7)
    est.fit(X, y, sample_weight=s)
    net, sol = est.network_, est.solution_
    assert (net.penalty, net.n_outputs, net.n_features) == ("frobenius", K, 4)
    assert isinstance(sol, cx.Solution)
    codes = np.searchsorted(est.classes_, y)
    total = s * np.array([weights[name] for name in y])
    options: dict[str, Any] = {"loss": "cross_entropy", "sample_weight": total}
    data = with_ones(X)
    prob = cx.GatedReLUProblem(data, codes, est.patterns_, 0.5, output_offset=offset, **options)
    optimum = cx.solve(prob, tol=1e-9).objective
    assert est.loss_ == pytest.approx(optimum, rel=1.1e-7)
    assert net.objective(data, codes, 0.5, **options) == pytest.approx(est.loss_, rel=1e-12)
    assert est.certificate_.is_optimal
    assert est.certificate_.dual.shape == (90, K)
    assert prob.dual_infeasibility(est.certificate_.dual) <= 1e-12
    f = net.predict(data)
    np.testing.assert_allclose(est.predict_proba(X), softmax(f, axis=1), rtol=1e-9, atol=1e-15)
    np.testing.assert_allclose(np.exp(est.predict_log_proba(X)), est.predict_proba(X))
    np.testing.assert_array_equal(est.predict(X), est.classes_[f.argmax(axis=1)])
    scores = est.decision_function(X)
    np.testing.assert_allclose(scores, f[:, 1] - f[:, 0] if K == 2 else f, rtol=1e-12)
    assert est.score(X, y) > 0.75
    assert est.out_activation_ == "softmax"
    again = cx.certify(net, data, codes, 0.5, **options, rtol=1e-6)
    assert again.is_optimal


def test_the_layout_of_scikit_learn_has_a_neuron_for_each_output() -> None:
    X, y = classes(3)
    est: Any = cx.ConvexMLPClassifier(**JOINT, output_offset=True).fit(X, y)
    m = est.network_.n_neurons
    (W1, W2), (b1, b2) = est.coefs_, est.intercepts_
    assert (W1.shape, W2.shape, b1.shape, b2.shape) == ((3, 3 * m), (3 * m, 3), (3 * m,), (3,))
    flat: Any = est.network_.with_vectors()
    on = with_ones(X) @ flat.gates.T >= 0
    np.testing.assert_allclose(on * (X @ W1 + b1) @ W2 + b2, est.network_.predict(with_ones(X)))
    np.testing.assert_allclose(by_hand(flat, with_ones(X)) + b2, est.decision_function(X))


def test_units_of_training_warm_starts_and_copies() -> None:
    X, y = classes(3)
    far = 5.0 + np.array([1.0, 10.0, 0.1]) * X
    est: Any = cx.ConvexMLPClassifier(**JOINT, scale="standard", warm_start=True, tol=1e-6).fit(
        far, y
    )
    units = (far - far.mean(axis=0)) / far.std(axis=0)
    plain = cx.ConvexMLPClassifier(**JOINT, tol=1e-6).fit(units, y)
    np.testing.assert_allclose(est.predict_proba(far), plain.predict_proba(units), atol=1e-3)
    assert est.loss_ == pytest.approx(plain.loss_, rel=1e-5)
    first = est.n_iter_
    est.fit(far, y)
    assert est.n_iter_ <= first
    assert est.loss_ == pytest.approx(plain.loss_, rel=1e-5)
    np.testing.assert_array_equal(
        pickle.loads(pickle.dumps(est)).predict_proba(far), est.predict_proba(far)
    )
    # A fit before of another loss, or of other classes, is none to start from.
    for changed in ({"loss": "logistic"}, {"loss": "cross_entropy"}):
        est.set_params(**changed).fit(far, y)
        fresh = clone(est).fit(far, y)
        assert est.loss_ == pytest.approx(fresh.loss_, rel=3e-6)
    est.fit(*classes(2))
    assert est.network_.n_outputs == 2


def test_integer_weights_are_repeated_rows() -> None:
    X, y = classes(3, 40)
    s = np.random.default_rng(2).integers(0, 3, 40)
    s[:3] = 1
    weighted = cx.ConvexMLPClassifier(**JOINT).fit(X, y, sample_weight=s)
    repeated = cx.ConvexMLPClassifier(**JOINT).fit(np.repeat(X, s, axis=0), np.repeat(y, s))
    np.testing.assert_array_equal(weighted.predict_proba(X), repeated.predict_proba(X))


def test_cross_validation() -> None:
    X, y = classes(3, 60)
    options = {name: value for name, value in JOINT.items() if name != "beta"}
    est: Any = cx.ConvexMLPClassifierCV(**options, betas=4, cv=3).fit(X, y)
    assert est.best_score_ > 0.7
    assert est.network_.penalty == "frobenius"
    assert est.betas_[0] == pytest.approx(
        cx.GatedReLUProblem(
            with_ones(X), np.searchsorted(est.classes_, y), est.patterns_, 1.0, loss="cross_entropy"
        ).beta_max
    )
    assert est.certificate_.is_optimal


def test_a_loss_object_and_what_needs_gates() -> None:
    X, y = classes(3, 40)
    named = cx.ConvexMLPClassifier(**JOINT).fit(X, y)
    given = cx.ConvexMLPClassifier(**{**JOINT, "loss": cx.losses.CrossEntropy()}).fit(X, y)
    np.testing.assert_array_equal(named.predict_proba(X), given.predict_proba(X))
    message = "`activation` must be 'gated_relu' for `loss` = 'cross_entropy', got 'relu'"
    for kind in (cx.ConvexMLPClassifier, cx.ConvexMLPClassifierCV):
        with pytest.raises(ValueError, match=message):
            kind(loss="cross_entropy").fit(X, y)


def test_nothing_is_learned_from_a_large_penalty() -> None:
    X, y = classes(3)
    est: Any = cx.ConvexMLPClassifier(**{**JOINT, "beta": 1e4}).fit(X, y)
    assert est.network_.U.shape == (0, 4, 3)
    np.testing.assert_allclose(est.predict_proba(X), 1 / 3)
    est.set_params(output_offset=True).fit(X, y)
    shares = [np.mean(y == name) for name in est.classes_]
    np.testing.assert_allclose(est.predict_proba(X[:1])[0], shares, rtol=1e-6)


# --- hinges -------------------------------------------------------------------------------------


@pytest.mark.parametrize("activation", ["relu", "gated_relu"])
@pytest.mark.parametrize("loss", ["squared_hinge", "hinge"])
@pytest.mark.parametrize("K", [2, 3])
def test_hinges_have_scores_but_no_probabilities(activation: str, K: int, loss: str) -> None:
    X, y = classes(K, 60)
    options: dict[str, Any] = {"activation": activation, "beta": 0.5, "patterns": 40}
    est: Any = cx.ConvexMLPClassifier(**options, loss=loss).fit(X, y)
    codes = np.searchsorted(est.classes_, y)
    Y = np.where(codes[:, np.newaxis] == ([1] if K == 2 else range(K)), 1.0, -1.0)
    f = est.decision_function(X).reshape(60, -1)
    hinges = np.maximum(1 - Y * f, 0)
    hinge = np.sum(hinges**2) / 2 if loss == "squared_hinge" else np.sum(hinges)
    net = est.network_
    outer = np.abs(net.W2).sum(axis=1) ** 2
    assert est.loss_ == pytest.approx(hinge + 0.25 * (np.sum(net.W1**2) + outer.sum()))
    assert est.certificate_.is_optimal
    assert est.score(X, y) > 0.75
    assert est.out_activation_ == "identity"
    for method in ("predict_proba", "predict_log_proba"):
        assert not hasattr(est, method)
        assert hasattr(cx.ConvexMLPClassifier(), method)
    with pytest.raises(AttributeError, match="has no attribute 'predict_proba'") as caught:
        est.predict_proba(X)
    assert "probabilities need `loss` = 'logistic'" in str(caught.value.__cause__)


# --- Poisson ------------------------------------------------------------------------------------


@pytest.mark.parametrize("activation", ["relu", "gated_relu"])
@pytest.mark.parametrize("offset", [False, True])
def test_rates_of_counts(activation: str, offset: bool) -> None:
    X, y = make_data(80)
    rng = np.random.default_rng(0)
    counts = rng.poisson(np.exp(1.0 + y)).astype(np.float64)
    est: Any = cx.ConvexMLPRegressor(
        activation, beta=0.5, loss="poisson", patterns=40, output_offset=offset
    ).fit(X, counts)
    f = est.network_.predict(with_ones(X))
    rates = est.predict(X)
    np.testing.assert_allclose(rates, np.exp(f), rtol=1e-14)
    terms = rates - counts * f + counts * np.log(np.maximum(counts, 1)) - counts
    decay = np.sum(est.network_.W1**2) + np.sum(est.network_.W2**2)
    assert est.loss_ == pytest.approx(np.sum(terms) + 0.25 * decay, rel=1e-10)
    assert est.certificate_.is_optimal
    error = np.sum((counts - rates) ** 2) / np.sum((counts - counts.mean()) ** 2)
    assert est.score(X, counts) == pytest.approx(1 - error)
    assert est.out_activation_ == "exp"
    if offset:  # at whose best value the mean rate is that of the counts
        assert rates.mean() == pytest.approx(counts.mean(), rel=1e-3)


def test_rates_of_several_targets_far_rows_and_negative_counts() -> None:
    X, y = make_data(50)
    counts = np.random.default_rng(0).poisson(np.exp(1.0 + np.column_stack([y, -y])))
    est = cx.ConvexMLPRegressor("gated_relu", 0.5, loss="poisson", patterns=40).fit(X, counts)
    np.testing.assert_allclose(est.predict(X), np.exp(est.network_.predict(with_ones(X))))
    assert np.isfinite(est.predict(1e6 * X)).all()
    for activation in ("relu", "gated_relu"):
        with pytest.raises(ValueError, match="`y` must be >= 0"):
            cx.ConvexMLPRegressor(activation, loss="poisson", patterns=40).fit(X, y)


def test_cross_validation_of_rates() -> None:
    X, y = make_data(60)
    counts = np.random.default_rng(0).poisson(np.exp(1.0 + y))
    est = cx.ConvexMLPRegressorCV("gated_relu", loss="poisson", patterns=40, betas=3, cv=3)
    est.fit(X, counts)
    assert np.all(est.predict(X) > 0)
    assert est.cv_results_["mean_test_score"].max() == est.best_score_
