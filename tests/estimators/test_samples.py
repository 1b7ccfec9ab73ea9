"""Weights, repeated rows and units of the columns: one problem, told in several ways."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import pyconvexnn as cx
from pyconvexnn._typing import FloatArray
from pyconvexnn.estimators.samples import Samples, Units
from tests.estimators.tasks import ACTIVATIONS, BOTH, by_hand, make_data, targets, with_ones

RNG = np.random.default_rng(5)
COUNTS = RNG.integers(0, 4, 60).astype(float)


def samples_of(X: FloatArray, y: FloatArray, weight: Any = None, **options: Any) -> Samples:
    options = {"intercept": None, "standardise": False, "merge": True, **options}
    return Samples.of(X, y[:, None], weight, **options)


# ---- rows -------------------------------------------------------------------------------------


def test_rows_of_distinct_samples_stay_as_they_are() -> None:
    X, y = make_data()
    for weight in (None, np.ones(60)):
        samples = samples_of(X, y, weight, intercept=2.0)
        np.testing.assert_array_equal(samples.data, with_ones(X, 2.0))
        np.testing.assert_array_equal(samples.targets[:, 0], y)
        assert samples.weight is None
        v = np.arange(60.0)
        np.testing.assert_array_equal(samples.on_rows(v), v)
    given = RNG.uniform(0.5, 1.5, 60)
    samples = samples_of(X, y, given)
    np.testing.assert_array_equal(samples.data, X)
    np.testing.assert_array_equal(samples.weight, given)


def test_rows_of_weight_zero_are_left_out_and_the_others_stay_in_order() -> None:
    X, y = make_data()
    for positive in (np.ones(60), RNG.uniform(0.5, 1.5, 60)):
        weight = np.where(COUNTS > 0, positive, 0.0)
        samples, kept = samples_of(X, y, weight), COUNTS > 0
        np.testing.assert_array_equal(samples.data, X[kept])
        np.testing.assert_array_equal(samples.targets[:, 0], y[kept])
        if np.all(positive == 1.0):
            assert samples.weight is None
        else:
            np.testing.assert_array_equal(samples.weight, weight[kept])
        v = RNG.standard_normal(kept.sum())
        rows = samples.on_rows(v)
        np.testing.assert_array_equal(rows[kept], v)
        assert not rows[~kept].any()


def test_equal_rows_are_one_of_their_summed_weight() -> None:
    X = np.array([[2.0, 1.0], [0.0, 3.0], [2.0, 1.0], [2.0, 1.0], [0.0, 3.0], [9.0, 9.0]])
    y = np.array([1.0, 2.0, 1.0, 5.0, 2.0, 0.0])  # the fourth row has another target
    weight = np.array([1.0, 2.0, 3.0, 1.0, 0.0, 0.0])
    samples = samples_of(X, y, weight)
    np.testing.assert_array_equal(samples.data, [[0.0, 3.0], [2.0, 1.0], [2.0, 1.0]])
    np.testing.assert_array_equal(samples.targets[:, 0], [2.0, 1.0, 5.0])
    np.testing.assert_array_equal(samples.weight, [2.0, 4.0, 1.0])
    shared = samples.on_rows(np.array([1.0, 8.0, 3.0]))
    np.testing.assert_array_equal(shared, [2.0, 1.0, 6.0, 3.0, 0.0, 0.0])
    kept = samples_of(X, y, weight, merge=False)
    np.testing.assert_array_equal(kept.data, X)
    np.testing.assert_array_equal(kept.weight, weight)
    # Weights that are no integers do not merge rows.
    assert samples_of(X, y, weight + 0.5).data.shape == (6, 2)


@pytest.mark.parametrize("counts", [COUNTS, np.minimum(COUNTS, 1.0), COUNTS + 1.0])
@pytest.mark.parametrize("activation", ["relu", "gated_relu"])
@pytest.mark.parametrize("scale", [None, "standard"])
def test_integer_weights_are_repeated_rows_bit_for_bit(
    counts: FloatArray, activation: str, scale: str | None
) -> None:
    X, y = make_data()
    for estimator in BOTH:
        t = targets(estimator, y)
        patterns: Any = 200 if activation == "gated_relu" else "auto"
        make = functools.partial(
            estimator, activation, 0.5, patterns=patterns, scale=scale, certify=False
        )
        weighted: Any = make().fit(X, t, counts)
        rows = np.random.default_rng(1).permutation(np.repeat(np.arange(60), counts.astype(int)))
        if counts.max() == 1.0:
            rows = np.sort(rows)  # rows that are all distinct keep their order
        repeated: Any = make().fit(X[rows], t[rows])
        for a, b in zip(
            weighted.coefs_ + weighted.intercepts_,
            repeated.coefs_ + repeated.intercepts_,
            strict=True,
        ):
            np.testing.assert_array_equal(a, b)
        assert weighted.loss_ == repeated.loss_
        assert weighted.patterns_ == repeated.patterns_


def test_weights_of_one_are_none_bit_for_bit() -> None:
    X, y = make_data()
    for scale in (None, "standard"):
        est: Any = cx.ConvexMLPRegressor(beta=0.5, scale=scale)
        plain = est.fit(X, y).predict(X)
        np.testing.assert_array_equal(est.fit(X, y, np.ones(60)).predict(X), plain)
        np.testing.assert_array_equal(est.fit(X, y, 1.0).predict(X), plain)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("weight", [COUNTS, np.random.default_rng(2).uniform(0, 2, 60)])
def test_the_bound_is_that_of_the_dual_point_on_the_rows_of_x(
    activation: str, weight: FloatArray
) -> None:
    X, y = make_data()
    X[40:], y[40:] = X[:20], y[:20]  # so that rows are merged
    est: Any = cx.ConvexMLPRegressor(
        activation, 0.5, slope=0.1, patterns=50 if activation == "gated_relu" else "auto"
    ).fit(X, y, weight)
    net, cert = est.network_, est.certificate_
    r = by_hand(net, with_ones(X))[:, 0] - y
    decay = 0.25 * (np.sum(net.W1**2) + np.sum(net.W2**2))
    assert est.loss_ == pytest.approx(0.5 * np.sum(weight * r**2) + decay, rel=1e-12)
    assert cert.dual.shape == (60,)
    used = weight > 0
    assert not cert.dual[~used].any()
    v = (1.0 if cert.method == "patterns" else cert.scale) * cert.dual
    conjugate = np.sum(v[used] ** 2 / (2 * weight[used]))
    assert cert.lower_bound == pytest.approx(v @ y - conjugate, rel=1e-9)
    assert cert.lower_bound <= est.loss_
    # Near the optimum it is the weighted residual.
    np.testing.assert_allclose(v, -weight * r, atol=0.05 * np.abs(weight * r).max())
    # No neuron is worth more than its penalty.
    for u in np.random.default_rng(0).standard_normal((500, 4)):
        t = with_ones(X) @ (u / np.linalg.norm(u))
        if activation != "gated_relu":
            hidden = np.where(
                t > 0, t, {"relu": 0.0, "leaky_relu": 0.1, "abs": -1.0}[activation] * t
            )
            assert abs(v @ hidden) <= 0.5 * (1 + 1e-9)


def test_the_dual_point_of_classes_with_weights() -> None:
    X, y = make_data()
    t = np.digitize(y, [-0.3, 0.3])
    factors = {0: 2.0, 1: 0.5, 2: 1.0}
    est: Any = cx.ConvexMLPClassifier(beta=0.5, class_weight=factors).fit(X, t, COUNTS)
    weight = COUNTS * np.array([factors[k] for k in t])
    signs = np.where(t[:, None] == np.arange(3), 1.0, -1.0)
    f = est.decision_function(X)
    net = est.network_
    value = np.sum(weight[:, None] * np.log1p(np.exp(-signs * f)))
    assert est.loss_ == pytest.approx(
        value + 0.25 * (np.sum(net.W1**2) + np.sum(net.W2**2)), rel=1e-12
    )
    cert = est.certificate_
    assert cert.dual.shape == (60, 3)
    assert not cert.dual[weight == 0].any()
    used = weight > 0
    p = (cert.dual * signs)[used] / weight[used, None]  # in (0, 1): the dual domain
    assert p.min() >= 0.0
    assert p.max() <= 1.0
    np.testing.assert_allclose(p, 1 / (1 + np.exp((signs * f)[used])), atol=0.05)
    assert sum(fit.certificate.lower_bound for fit in est.solution_) >= cert.lower_bound


@pytest.mark.parametrize("estimator", BOTH)
@pytest.mark.parametrize("activation", ["relu", "gated_relu"])
def test_real_weights_scale_the_problem(estimator: type, activation: str) -> None:
    X, y = make_data()
    t, weight = targets(estimator, y), RNG.uniform(0.1, 2.0, 60)
    one: Any = estimator(activation, 0.5, tol=1e-6).fit(X, t, weight)
    for factor in (1e-6, 1e6):
        two: Any = estimator(activation, 0.5 * factor, tol=1e-6).fit(X, t, factor * weight)
        assert two.loss_ == pytest.approx(factor * one.loss_, rel=2e-6)
        assert two.certificate_.is_optimal


def test_one_sample_a_million_times_as_heavy_is_met() -> None:
    X, y = make_data()
    weight = np.ones(60)
    weight[3], y[3] = 1e6, 4.0
    est: Any = cx.ConvexMLPRegressor(beta=0.5).fit(X, y, weight)
    assert est.predict(X[3:4])[0] == pytest.approx(4.0, abs=1e-4)


def test_class_weight_repeats_rows() -> None:
    X, y = make_data()
    t = np.where(y > 0.2, 1, 0)
    patterns = cx.sample_patterns(with_ones(X), 40)
    assert patterns.gates is not None
    weighted = cx.ConvexMLPClassifier(
        "gated_relu", patterns=patterns, class_weight={1: 3}, tol=1e-9
    ).fit(X, t)
    repeats = np.where(t == 1, 3, 1)
    X3, t3 = np.repeat(X, repeats, axis=0), np.repeat(t, repeats)
    repeated = cx.ConvexMLPClassifier(
        "gated_relu", patterns=cx.PatternSet.from_gates(with_ones(X3), patterns.gates), tol=1e-9
    ).fit(X3, t3)
    assert weighted.loss_ == pytest.approx(repeated.loss_, rel=1e-8)
    np.testing.assert_allclose(
        weighted.decision_function(X), repeated.decision_function(X), atol=1e-3
    )
    balanced = cx.ConvexMLPClassifier(class_weight="balanced").fit(X, t)
    by_dict = {k: 60 / (2 * np.sum(t == k)) for k in (0, 1)}
    np.testing.assert_array_equal(
        balanced.predict(X), cx.ConvexMLPClassifier(class_weight=by_dict).fit(X, t).predict(X)
    )


def test_class_weights_are_sample_weights() -> None:
    # Not bit for bit: integer weights merge rows and change their order, others do not.
    X, y = make_data()
    t = np.where(y > 0.2, 1, 0)
    factors = np.where(t == 1, 3.0, 0.5)
    by_class: Any = cx.ConvexMLPClassifier(class_weight={0: 0.5, 1: 3.0}, tol=1e-8)
    by_sample: Any = cx.ConvexMLPClassifier(tol=1e-8).fit(X, t, factors * COUNTS)
    by_class.fit(X, t, COUNTS)
    assert by_class.loss_ == pytest.approx(by_sample.loss_, rel=3e-8)
    scores = by_sample.decision_function(X)
    np.testing.assert_allclose(by_class.decision_function(X), scores, atol=1e-2)
    # Balanced: with the weights counted, each class weighs the same.
    by_class.set_params(class_weight="balanced").fit(X, t, COUNTS)
    totals = np.bincount(t, COUNTS)
    by_sample.fit(X, t, COUNTS * (COUNTS.sum() / (2 * totals))[t])
    assert by_class.loss_ == pytest.approx(by_sample.loss_, rel=3e-8)


@pytest.mark.parametrize("n_classes", [2, 3])
def test_a_class_of_weight_zero(n_classes: int) -> None:
    X, y = make_data()
    t = np.digitize(y, [0.0] if n_classes == 2 else [-0.3, 0.3])
    est: Any = cx.ConvexMLPClassifier(beta=0.1).fit(X, t, np.where(t == 1, 0.0, 1.0))
    assert est.classes_.tolist() == list(range(n_classes))
    assert est.predict_proba(X).shape == (60, n_classes)
    assert set(est.predict(X)) <= ({0} if n_classes == 2 else {0, 2})


# ---- units ------------------------------------------------------------------------------------


@pytest.mark.parametrize("intercept", [None, 1.0, 4.0])
@pytest.mark.parametrize("gated", [False, True])
def test_units_there_and_back(intercept: float | None, gated: bool) -> None:
    X, y = make_data()
    X = X * [1.0, 100.0, 1e-3] + [5.0, -30.0, 0.0]
    units = samples_of(X, y, intercept=intercept, standardise=True).units
    W = RNG.standard_normal((6, 3 + (intercept is not None)))
    W2 = RNG.standard_normal((6, 1))
    net: Any = cx.TwoLayerNetwork.from_arrays(W, W2)
    if gated:
        net = cx.GatedNetwork.from_arrays(W, W2, RNG.standard_normal(W.shape))
    original: Any = units.original(net)
    plain = X if intercept is None else with_ones(X, intercept)
    np.testing.assert_allclose(
        original.predict(plain), net.predict(units.data(X)), rtol=1e-9, atol=1e-9
    )
    np.testing.assert_allclose(units.standardised(original).W1, W, rtol=1e-10, atol=1e-12)
    assert Units(intercept).original(net) is net


SCALES: list[dict[str, Any]] = [
    {},
    {"fit_intercept": False},
    {"intercept_scaling": 5.0},
    {"output_offset": True, "intercept_scaling": 0.5},
]


@pytest.mark.parametrize("settings", SCALES, ids=str)
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("estimator", BOTH)
def test_scale_is_a_standard_scaler_before(
    estimator: type, activation: str, settings: dict[str, Any]
) -> None:
    X, y = make_data()
    t = targets(estimator, y)
    X = X * [1.0, 100.0, 1e-3] + [5.0, -30.0, 0.0]
    settings = {"beta": 1.0, "certify": False, **settings}
    if activation == "gated_relu":
        settings["patterns"] = 50
    scaler = StandardScaler(with_mean=settings.get("fit_intercept", True))
    pipe = make_pipeline(scaler, estimator(activation, **settings)).fit(X, t)
    est: Any = estimator(activation, scale="standard", **settings).fit(X, t)
    assert est.loss_ == pytest.approx(pipe[-1].loss_, rel=1e-12)
    new = X + np.random.default_rng(3).standard_normal(X.shape) * X.std(axis=0)
    predict = "predict" if estimator is cx.ConvexMLPRegressor else "decision_function"
    for rows in (X, new):
        np.testing.assert_allclose(
            getattr(est, predict)(rows), getattr(pipe, predict)(rows), rtol=1e-10, atol=1e-10
        )
    # The network is one of the columns as given, and coefs_ and intercepts_ are its.
    has_intercept = settings.get("fit_intercept", True)
    data = with_ones(new, settings.get("intercept_scaling", 1.0)) if has_intercept else new
    assert est.network_.n_features == data.shape[1]
    np.testing.assert_allclose(
        np.ravel(est.network_.predict(data)), np.ravel(getattr(est, predict)(new)), rtol=1e-10
    )
    hidden = new @ est.coefs_[0] + est.intercepts_[0]
    np.testing.assert_allclose(hidden, data @ est.network_.W1.T, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("activation", ["relu", "gated_relu"])
def test_scale_makes_nothing_of_a_constant_column(activation: str) -> None:
    X, y = make_data()
    more = np.column_stack([np.full(60, 0.1), X])
    assert np.any(more[:, 0] - more[:, 0].mean() != 0.0)  # rounding of the mean
    est: Any = cx.ConvexMLPRegressor(activation, 0.5, scale="standard", tol=1e-7).fit(X, y)
    same: Any = clone(est).fit(more, y)
    assert np.all(same.coefs_[0][0] == 0.0)
    if activation == "gated_relu":  # patterns are drawn in coordinates of the rank
        assert same.loss_ == pytest.approx(est.loss_, rel=0.05)
        gates = same.network_.gates
        assert np.abs(gates[:, 1:4]).max() > 0.1
    else:
        assert same.loss_ == pytest.approx(est.loss_, rel=2e-7)
    exact: Any = cx.ConvexMLPRegressor(activation, 0.5, scale="standard", patterns="exact")
    assert len(exact.fit(more[:, :2], y).patterns_) == len(exact.fit(more[:, 1:2], y).patterns_)


def test_scale_with_weights_and_its_certificate() -> None:
    X, y = make_data()
    X = X * [1.0, 100.0, 1e-3] + [5.0, -30.0, 0.0]
    est: Any = cx.ConvexMLPRegressor(beta=1.0, scale="standard").fit(X, y, COUNTS)
    mean = np.average(X, axis=0, weights=COUNTS)
    Z = (X - mean) / np.sqrt(np.average((X - mean) ** 2, axis=0, weights=COUNTS))
    data = with_ones(Z)
    best = cx.train(data, y, 1.0, sample_weight=COUNTS).certificate
    assert est.certificate_.lower_bound <= best.objective
    assert best.lower_bound <= est.loss_
    cert = est.certificate_
    v = cert.scale * cert.dual
    used = COUNTS > 0
    bound = v @ y - np.sum(v[used] ** 2 / (2 * COUNTS[used]))
    assert cert.lower_bound == pytest.approx(bound, rel=1e-9)
    for u in np.random.default_rng(0).standard_normal((500, 4)):
        t = data @ (u / np.linalg.norm(u))
        assert abs(v @ np.maximum(t, 0.0)) <= 1.0 + 1e-9


def test_the_best_network_of_the_certificate_is_of_the_columns_as_given() -> None:
    X, y = make_data()
    X = X * [1.0, 100.0, 1e-3] + [5.0, -30.0, 0.0]
    est: Any = cx.ConvexMLPRegressor(beta=1.0, scale="standard").fit(X, y)
    best = est.certificate_.best_network
    np.testing.assert_allclose(best.predict(with_ones(X)), est.predict(X), rtol=1e-9, atol=1e-9)
