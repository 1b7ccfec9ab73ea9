"""Values of the estimators: objectives, bounds, outputs and golden optima, against NumPy."""

from __future__ import annotations

import functools
import time
from typing import Any

import numpy as np
import pytest
from scipy.optimize import nnls
from sklearn.datasets import make_blobs

import pyconvexnn as cx
from pyconvexnn._typing import FloatArray
from tests.estimators.tasks import ACTIVATIONS, UNGATED, by_hand, make_data, with_ones
from tests.relu_reference import OPTIMA
from tests.training.problems import late
from tests.vertex_method import DATA


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_regressor_of_one_sample(activation: str) -> None:
    # One active pattern: min 1/2 (|x|^2 s - y)^2 + beta |x| s, x = (2, 1), y = 4, beta = 1.
    est = cx.ConvexMLPRegressor(activation, beta=1.0, tol=1e-10).fit([[2.0]], [4.0])
    assert est.predict([[2.0]])[0] == pytest.approx(4.0 - 1 / np.sqrt(5.0), abs=1e-8)


@pytest.mark.parametrize("scaling", [None, 1.0, 10.0])
def test_regression_objective_bound_and_layout(scaling: float | None) -> None:
    X, y = make_data()
    est: Any = cx.ConvexMLPRegressor(
        beta=0.5,
        tol=1e-8,
        fit_intercept=scaling is not None,
        intercept_scaling=scaling or 1.0,
        activation="gated_relu",
        patterns=50,
    ).fit(X, y)
    data = X if scaling is None else with_ones(X, scaling)
    net = est.network_
    f = by_hand(net, data)[:, 0]
    np.testing.assert_allclose(est.predict(X), f, atol=1e-12)
    objective = 0.5 * np.sum((f - y) ** 2) + 0.25 * (np.sum(net.W1**2) + np.sum(net.W2**2))
    assert est.loss_ == pytest.approx(objective, rel=1e-12)
    assert est.certificate_ is not None
    assert est.certificate_.objective == est.loss_
    assert est.certificate_.method == "patterns"
    assert est.solution_.objective == pytest.approx(objective, rel=1e-9)

    v = est.certificate_.dual
    norms = [np.linalg.norm(data.T @ (bits * v)) for bits in est.patterns_.to_dense()]
    assert max(norms) <= 0.5 * (1 + 1e-12)
    assert est.certificate_.lower_bound == pytest.approx(v @ y - v @ v / 2, rel=1e-9)
    assert est.certificate_.is_optimal

    hidden = X @ est.coefs_[0] + est.intercepts_[0]
    np.testing.assert_allclose(hidden, data @ net.W1.T, atol=1e-12)
    np.testing.assert_array_equal(est.coefs_[1], net.W2)
    np.testing.assert_array_equal(est.intercepts_[1], [0.0])
    assert (est.n_layers_, est.n_outputs_, est.out_activation_) == (3, 1, "identity")
    assert est.n_iter_ >= 1


@pytest.mark.parametrize("activation", UNGATED)
@pytest.mark.parametrize("offset", [False, True])
def test_regression_without_gates(activation: str, offset: bool) -> None:
    X, y = make_data()
    slope, data = UNGATED[activation], with_ones(X, 10.0)
    est: Any = cx.ConvexMLPRegressor(
        activation,
        beta=0.5,
        slope=0.1,
        tol=1e-8,
        intercept_scaling=10.0,
        output_offset=offset,
        patterns=50,
    ).fit(X, y)
    net = est.network_
    assert (net.activation, net.b2 is None) == (activation, not offset)

    # coefs_ and intercepts_ are the whole network.
    hidden = X @ est.coefs_[0] + est.intercepts_[0]
    hidden = np.where(hidden > 0, hidden, slope * hidden)
    f = (hidden @ est.coefs_[1] + est.intercepts_[1])[:, 0]
    np.testing.assert_allclose(est.predict(X), f, atol=1e-12)
    objective = 0.5 * np.sum((f - y) ** 2) + 0.25 * (np.sum(net.W1**2) + np.sum(net.W2**2))
    assert est.loss_ == pytest.approx(objective, rel=1e-12)
    assert est.solution_.objective == pytest.approx(objective, rel=1e-9)

    # Prices of the dual point: |Proj_K(g)| is the distance of g from the polar cone.
    v = est.certificate_.dual
    prices = []
    for bits in est.patterns_.to_dense():
        normals = np.where(bits, 1.0, -1.0)[:, np.newaxis] * data
        g = data.T @ (np.where(bits, 1.0, slope) * v)
        prices += [nnls(normals.T, side)[1] for side in (g, -g)]
    assert max(prices) <= 0.5 * (1 + 1e-9)
    assert est.certificate_.lower_bound == pytest.approx(v @ y - v @ v / 2, rel=1e-9)
    assert est.certificate_.method == "patterns"
    assert est.certificate_.is_optimal


def dual_value(solution: Any) -> float:
    if isinstance(solution, cx.Fit):
        return solution.certificate.lower_bound
    return float(solution.dual_objective)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_several_outputs_are_separate_problems(activation: str) -> None:
    X, y = make_data()
    Y = np.column_stack([y, X[:, 2], np.zeros(len(y))])
    make = functools.partial(cx.ConvexMLPRegressor, activation, beta=0.5, slope=0.1, tol=1e-6)
    est = make().fit(X, Y)
    singles: list[Any] = [make().fit(X, column) for column in Y.T]
    assert est.predict(X).shape == Y.shape
    np.testing.assert_allclose(est.predict(X), by_hand(est.network_, with_ones(X)), atol=1e-12)
    for k, single in enumerate(singles):
        np.testing.assert_allclose(est.predict(X)[:, k], single.predict(X), atol=1e-12)
    assert est.loss_ == pytest.approx(sum(single.loss_ for single in singles), rel=1e-12)
    bounds = [single.certificate_.lower_bound for single in singles if single.certificate_]
    assert est.certificate_ is not None
    assert est.certificate_.lower_bound == pytest.approx(sum(bounds), rel=1e-12)
    assert est.certificate_.lower_bound <= sum(bounds)
    assert est.certificate_.objective == pytest.approx(est.loss_, rel=1e-12)
    # Each output's dual point is scaled before they stand side by side.
    certificates = [single.certificate_ for single in singles]
    prices = [cert.scale * cert.price_bound for cert in certificates]
    assert est.certificate_.price_bound == pytest.approx(max(prices), rel=1e-12)
    duals = np.column_stack([cert.scale * cert.dual for cert in certificates])
    np.testing.assert_array_equal(est.certificate_.dual, duals)
    assert est.certificate_.dual.shape == Y.shape
    assert isinstance(est.solution_, list)
    for ours, single in zip(est.solution_, singles, strict=True):
        assert type(ours) is type(single.solution_)
        assert dual_value(ours) == dual_value(single.solution_)
    assert np.all(np.count_nonzero(est.network_.W2, axis=1) == 1)
    assert [w.shape[0] for w in est.coefs_] == [3, est.network_.n_neurons]


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_two_classes(activation: str) -> None:
    X, y = make_data()
    t = np.where(y > 0, "up", "down")
    est = cx.ConvexMLPClassifier(activation, slope=0.1, beta=0.1, tol=1e-7).fit(X, t)
    assert est.classes_.tolist() == ["down", "up"]
    scores = est.decision_function(X)
    assert scores.shape == (60,)
    f = by_hand(est.network_, with_ones(X))[:, 0]
    np.testing.assert_allclose(scores, f, atol=1e-12)
    signs = np.where(t == "up", 1.0, -1.0)
    net = est.network_
    decay = 0.05 * (np.sum(net.W1**2) + np.sum(net.W2**2))
    assert est.loss_ == pytest.approx(np.sum(np.log1p(np.exp(-signs * f))) + decay, rel=1e-12)
    p = est.predict_proba(X)
    np.testing.assert_allclose(p[:, 1], 1 / (1 + np.exp(-f)), rtol=1e-12)
    np.testing.assert_allclose(p.sum(axis=1), 1.0, rtol=1e-12)
    np.testing.assert_allclose(np.exp(est.predict_log_proba(X)), p, rtol=1e-12)
    np.testing.assert_array_equal(est.predict(X), np.where(f > 0, "up", "down"))
    assert est.score(X, t) > 0.95


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_more_classes_one_against_the_rest(activation: str) -> None:
    X, y = make_data(90)
    t = np.digitize(y, [-0.3, 0.3])
    est: Any = cx.ConvexMLPClassifier(activation, beta=0.1).fit(X, t)
    rest = [cx.ConvexMLPClassifier(activation, beta=0.1).fit(X, t == k) for k in range(3)]
    scores = est.decision_function(X)
    assert scores.shape == (90, 3)
    for k, binary in enumerate(rest):
        np.testing.assert_allclose(scores[:, k], binary.decision_function(X), atol=1e-12)
    assert est.loss_ == pytest.approx(sum(binary.loss_ for binary in rest), rel=1e-12)
    p = 1 / (1 + np.exp(-scores))
    np.testing.assert_allclose(
        est.predict_proba(X), p / p.sum(axis=1, keepdims=True), rtol=1e-10, atol=1e-300
    )
    np.testing.assert_array_equal(est.predict(X), scores.argmax(axis=1))
    assert est.n_outputs_ == 3
    assert [sol.status for sol in est.solution_] == [cx.Status.SOLVED] * 3
    assert np.all(np.count_nonzero(est.network_.W2, axis=1) == 1)
    assert est.certificate_ is not None
    assert est.certificate_.relative_gap <= 1e-4


def test_probabilities_far_out_are_finite() -> None:
    X, y = make_data(90)
    est = cx.ConvexMLPClassifier(beta=0.1).fit(X, np.digitize(y, [-0.3, 0.3]))
    p = est.predict_proba(1e6 * X)
    assert np.isfinite(p).all()
    np.testing.assert_allclose(p.sum(axis=1), 1.0)
    assert np.isfinite(est.predict_log_proba(1e6 * X)).all()


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_the_time_limit_is_shared_by_the_classes() -> None:
    rng = np.random.default_rng(0)
    X = rng.standard_normal((300, 8))
    est: Any = cx.ConvexMLPClassifier(
        "gated_relu", beta=1e-4, tol=1e-14, patterns=300, time_limit=0.6
    )
    est.fit(X, rng.integers(0, 3, 300))
    # Each class got its third: none was left without a step.
    assert [sol.n_iter > 0 for sol in est.solution_] == [True] * 3
    assert max(sol.solve_time for sol in est.solution_) < 0.6


def test_classes_of_overlapping_blobs_are_learned() -> None:
    # What the tag `poor_score` takes out of scikit-learn's checks, and more.
    X, y = make_blobs(n_samples=300, random_state=0)
    X = (X - X.mean(axis=0)) / X.std(axis=0)
    for classes in (y, np.where(y == 2, 1, y)):
        est = cx.ConvexMLPClassifier().fit(X, classes)
        assert np.mean(est.predict(X) == classes) > 0.9
    X, y = make_blobs(centers=3, random_state=0, cluster_std=20)
    weight = {0: 1000, 1: 1e-4, 2: 1e-4}
    free = cx.ConvexMLPClassifier(class_weight=weight, output_offset=True).fit(X[::2], y[::2])
    assert np.mean(free.predict(X[1::2]) == 0) > 0.87
    held = cx.ConvexMLPClassifier(class_weight=weight).fit(X[::2], y[::2])
    assert np.mean(held.predict(X[::2])[y[::2] == 0] == 0) == 1.0


# ---- known optima -----------------------------------------------------------------------------


GOLDEN = [(name, beta) for name, optima in OPTIMA.items() for beta in optima]


@pytest.mark.parametrize(("name", "beta"), GOLDEN)
def test_known_optima_are_proved(name: str, beta: float) -> None:
    X, y, *_ = DATA[name]
    for activation, best in zip(UNGATED, OPTIMA[name][beta], strict=True):
        if best is None:
            continue
        est: Any = cx.ConvexMLPRegressor(
            activation, beta, slope=0.1, fit_intercept=False, tol=1e-6
        ).fit(X, y)
        fit = cx.train(X, y, beta, activation=activation, slope=0.1, rtol=1e-6)
        cert = est.certificate_
        assert est.solution_.status is cx.Status.SOLVED
        assert est.loss_ == pytest.approx(best, rel=2e-6)
        assert est.loss_ == pytest.approx(fit.certificate.objective, rel=2e-6)
        assert cert.is_optimal
        assert cert.method in ("branch_and_bound", "enumeration", "bound")
        assert cert.lower_bound <= best * (1 + 1e-6)  # as many digits as were recorded
        # So is what is listed: the program of all cells, and the proof over all networks of it.
        listed: Any = cx.ConvexMLPRegressor(
            activation,
            beta,
            slope=0.1,
            fit_intercept=False,
            patterns="exact",
            certify="full",
            tol=1e-6,
        ).fit(X, y)
        assert listed.loss_ == pytest.approx(best, rel=2e-6)
        assert listed.certificate_.method != "patterns"
        assert listed.certificate_.is_optimal


@pytest.mark.parametrize(("name", "beta"), [(k, beta) for k in DATA for beta in DATA[k][4]])
def test_known_optima_of_gates(name: str, beta: float) -> None:
    X, y, _, _, optima = DATA[name]
    est: Any = cx.ConvexMLPRegressor(
        "gated_relu", beta, fit_intercept=False, patterns="exact", tol=1e-9
    ).fit(X, y)
    assert est.loss_ == pytest.approx(optima[beta], rel=2e-6)
    assert est.certificate_.method == "patterns"


def test_classes_like_train() -> None:
    X, y = make_data(30, 2)
    est: Any = cx.ConvexMLPClassifier(beta=0.2, tol=1e-6, output_offset=True).fit(X, y > 0)
    fit = cx.train(
        with_ones(X),
        np.where(y > 0, 1.0, -1.0),
        0.2,
        loss="logistic",
        output_offset=True,
        rtol=1e-6,
    )
    assert est.loss_ == pytest.approx(fit.certificate.objective, rel=2e-6)
    assert est.certificate_.lower_bound <= fit.certificate.objective
    assert fit.certificate.lower_bound <= est.loss_


@pytest.mark.parametrize("loss", ["huber", cx.losses.Huber(0.3)])
def test_losses_by_name_and_as_objects(loss: Any) -> None:
    X, y = make_data(30, 2)
    y[::7] += 5.0
    est: Any = cx.ConvexMLPRegressor(beta=0.3, loss=loss, tol=1e-6).fit(X, y)
    net = est.network_
    delta, r = 1.35 if loss == "huber" else 0.3, np.abs(est.predict(X) - y)
    values = np.where(r <= delta, r**2 / 2, delta * (r - delta / 2))
    decay = 0.15 * (np.sum(net.W1**2) + np.sum(net.W2**2))
    assert est.loss_ == pytest.approx(values.sum() + decay, rel=1e-12)
    best = cx.train(with_ones(X), y, 0.3, loss=loss, rtol=1e-6).certificate
    assert best.lower_bound <= est.loss_ <= best.objective * (1 + 2e-6)


# ---- proofs and limits ------------------------------------------------------------------------


def long_task() -> tuple[FloatArray, FloatArray]:
    """Noise in twelve dimensions: no proof within seconds, and many neurons."""
    rng = np.random.default_rng(0)
    return rng.standard_normal((300, 12)), rng.standard_normal(300)


def test_certify() -> None:
    X, y = make_data()
    for activation in ("relu", "gated_relu"):
        quick = cx.ConvexMLPRegressor(activation, certify=False).fit(X, y)
        assert quick.certificate_ is None
    full: Any = cx.ConvexMLPRegressor(certify="full").fit(X, y)
    assert full.certificate_.is_optimal
    assert full.loss_ == pytest.approx(quick_loss(X, y), rel=1e-4)


def quick_loss(X: FloatArray, y: FloatArray) -> float:
    est: Any = cx.ConvexMLPRegressor(certify=False).fit(X, y)
    assert {state.method for state in est.solution_.history} == {"search"}
    assert est.solution_.status is cx.Status.SOLVED
    return float(est.loss_)


def test_a_list_of_patterns_is_proved_against_all_on_demand() -> None:
    X, y = make_data(30, 2)
    few = cx.ConvexMLPRegressor(patterns=5, beta=0.1).fit(X, y)
    full: Any = cx.ConvexMLPRegressor(patterns=5, beta=0.1, certify="full").fit(X, y)
    np.testing.assert_array_equal(few.predict(X), full.predict(X))
    assert few.certificate_ is not None
    assert (few.certificate_.method, few.certificate_.is_optimal) == ("patterns", True)
    best = cx.train(with_ones(X), y, 0.1).certificate
    cert = full.certificate_
    assert cert.method in ("enumeration", "branch_and_bound")
    assert cert.lower_bound <= best.objective < cert.objective
    assert not cert.is_optimal  # five patterns are not enough
    gated: Any = cx.ConvexMLPRegressor("gated_relu", patterns=5, certify="full").fit(X, y)
    assert gated.certificate_.method == "patterns"


def test_the_proof_has_seconds_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    X, y = long_task()
    make = functools.partial(cx.ConvexMLPRegressor, beta=40.0, tol=1e-3)
    begun = time.perf_counter()
    alone: Any = make(certify=False).fit(X, y)
    seconds = time.perf_counter() - begun
    monkeypatch.setattr("pyconvexnn.estimators.base.PROOF_SECONDS", 0.3)
    assert late(lambda: make().fit(X, y), seconds + 0.3) < 0.5 + seconds  # seconds vary
    est: Any = make().fit(X, y)
    # Trained, though not proved: that is no reason to warn.
    assert est.solution_.status is cx.Status.SOLVED
    assert not est.certificate_.is_optimal
    assert 0.0 < est.certificate_.lower_bound < est.loss_
    assert est.loss_ == pytest.approx(alone.loss_, rel=2e-3)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("certify", [False, True, "full"])
@pytest.mark.parametrize("patterns", ["auto", 300])
def test_time_limits(certify: Any, patterns: Any) -> None:
    X, y = long_task()
    Y = np.column_stack([y, y[::-1]])
    fits: list[Any] = []
    est = cx.ConvexMLPRegressor(
        beta=1e-3, tol=1e-9, time_limit=0.6, certify=certify, patterns=patterns
    )
    assert late(lambda: fits.append(est.fit(X, Y)), 0.6) < 0.5
    fit = fits[-1]
    assert [sol.status for sol in fit.solution_] == [cx.Status.TIME_LIMIT] * 2
    assert np.all(np.any(fit.network_.W2 != 0, axis=0))  # both outputs had their share
    assert fit.loss_ < 0.5 * np.sum(Y**2)
    if certify and patterns == "auto":
        assert 0.0 < fit.certificate_.lower_bound < fit.loss_


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_all_the_time_is_for_training_where_nothing_is_proved() -> None:
    X, y = long_task()
    est: Any = cx.ConvexMLPRegressor(beta=1e-3, tol=1e-9, time_limit=2.0, certify=False).fit(X, y)
    assert est.solution_.history[-1].seconds > 1.75
