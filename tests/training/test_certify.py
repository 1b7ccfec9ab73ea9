"""certify: networks of all kinds, what is proved of them, what is not, and neurons that help."""

from __future__ import annotations

import dataclasses
import os
import signal
import threading
import time
import warnings
from typing import Any

import numpy as np
import pytest
from scipy.optimize import minimize
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPRegressor

import pyconvexnn as cx
from pyconvexnn._typing import FloatArray
from pyconvexnn.pricing import price
from pyconvexnn.pricing.cells import CellPrices, price_cells
from tests.training.problems import LOSSES, WITH_OFFSET, gaussian_task, optimum


def random_net(d: int, m: int = 3, seed: int = 0, **options: Any) -> cx.TwoLayerNetwork:
    rng = np.random.default_rng(seed)
    W1, W2 = rng.standard_normal((m, d)), rng.standard_normal((m, 1))
    return cx.TwoLayerNetwork.from_arrays(0.5 * W1, 0.5 * W2, **options)


def with_neuron(net: cx.TwoLayerNetwork, neuron: tuple[FloatArray, float]) -> cx.TwoLayerNetwork:
    u, alpha = neuron
    size = abs(alpha) ** 0.5
    w = size * u
    b1 = None if net.b1 is None else np.append(net.b1, w[-1])
    W1 = np.vstack([net.W1, w if net.b1 is None else w[:-1]])
    W2 = np.vstack([net.W2, [[np.sign(alpha) * size]]])
    return dataclasses.replace(net, W1=W1, W2=W2, b1=b1)


def scaled(net: cx.TwoLayerNetwork, factor: float) -> cx.TwoLayerNetwork:
    return dataclasses.replace(net, W1=net.W1 * factor)


def test_an_optimal_network_is_proved_to_be_one() -> None:
    for seed in range(3):
        X, y, beta = gaussian_task(20, 3, seed)
        fit = cx.train(X, y, beta)
        cert = cx.certify(fit.network, X, y, beta)
        assert cert.is_optimal
        assert cert.objective == fit.certificate.objective
        assert cert.best_objective is not None
        assert cert.lower_bound <= cert.best_objective <= cert.objective
        assert cert.fingerprint == fit.certificate.fingerprint
        assert cert.method in ("enumeration", "branch_and_bound")


def test_enumeration_looks_at_all_cells_once(monkeypatch: pytest.MonkeyPatch) -> None:
    X, y, beta = gaussian_task(20, 3, 0)
    net = cx.train(X, y, beta, rtol=1e-3).network
    passes: list[CellPrices] = []

    def counted(*arguments: Any, **options: Any) -> CellPrices:
        passes.append(price_cells(*arguments, **options))
        return passes[-1]

    monkeypatch.setitem(price.__globals__, "price_cells", counted)
    plain, improved = (
        cx.certify(net, X, y, beta, method="enumeration", rtol=1e-6, improve=improve)
        for improve in (False, True)
    )
    assert len(passes) == 2  # one each: under a time limit no coarse one takes the time of the fine
    assert improved.lower_bound >= plain.lower_bound * (1 - 1e-6)
    assert improved.best_objective is not None
    assert improved.best_objective - improved.lower_bound <= 1e-6 * improved.best_objective


@pytest.mark.parametrize("rtol", [1e-2, 1e-4])
def test_a_network_that_is_worse_is_not_called_optimal(rtol: float) -> None:
    for seed in range(2):
        X, y, beta = gaussian_task(20, 3, seed)
        net = cx.train(X, y, beta, rtol=1e-8).network
        best, t = net.objective(X, y, beta), 1e-3
        while scaled(net, 1 + t).objective(X, y, beta) < best * (1 + 2.1 * rtol):
            t *= 1.1
        for improve in (True, False):
            cert = cx.certify(scaled(net, 1 + t), X, y, beta, rtol=rtol, improve=improve)
            assert not cert.is_optimal
            assert cert.lower_bound <= best


@pytest.mark.parametrize(
    ("loss", "kind"),
    [(loss, kind) for loss in LOSSES for kind in ("plain", "biases")]
    + [(loss, kind) for loss in WITH_OFFSET for kind in ("offset", "both")],
)
def test_networks_of_all_kinds(loss: str, kind: str) -> None:
    X, y, beta = gaussian_task(11, 2, 1, loss)
    extra: dict[str, Any] = {}
    if kind in ("biases", "both"):
        extra["b1"] = [0.1, -0.2, 0.3]
    if kind in ("offset", "both"):
        extra["b2"] = [0.4]
    net = random_net(2, activation="leaky_relu", slope=0.2, **extra)
    weight = np.random.default_rng(2).uniform(0.5, 2.0, 11)
    weight[3] = 0.0
    options: dict[str, Any] = {"loss": loss, "sample_weight": weight}
    cert = cx.certify(net, X, y, beta, rtol=1e-5, **options)
    objective = net.objective(X, y, beta, **options)
    assert objective <= cert.objective <= objective * (1 + 1e-12)
    features = X if "b1" not in extra else np.column_stack([X, np.ones(11)])
    best = optimum(
        features[weight > 0],
        y[weight > 0],
        beta,
        activation="leaky_relu",
        slope=0.2,
        output_offset="b2" in extra,
        loss=loss,
        sample_weight=weight[weight > 0],
    )
    assert best * (1 - 1.1e-5) <= cert.lower_bound <= best * (1 + 1e-8)
    assert cert.best_network is not None
    assert cert.best_network.objective(X, y, beta, **options) == cert.best_objective or (
        cert.best_objective == pytest.approx(best, rel=2e-5)
    )
    assert (cert.best_network.b1 is None) == (net.b1 is None)
    assert not cert.is_optimal
    assert cert.escape_neuron is not None
    assert np.linalg.norm(cert.escape_neuron[0]) == pytest.approx(1.0)
    better = with_neuron(net, cert.escape_neuron).objective(X, y, beta, **options)
    assert better == pytest.approx(objective - cert.escape_gain, rel=1e-10)
    assert cert.escape_gain > 0


def test_without_improving_the_bound_is_that_of_the_residual() -> None:
    X, y, beta = gaussian_task(20, 3, 2)
    net = random_net(3)
    best = optimum(X, y, beta)
    cert = cx.certify(net, X, y, beta, improve=False)
    assert cert.lower_bound < best
    assert cert.best_network is net
    assert cert.best_objective == cert.objective
    v = y - net.predict(X)
    np.testing.assert_allclose(cert.dual, v)
    # The price is that of the best cell, exactly.
    from pyconvexnn.problems.cones import Cones, price

    cells = cx.enumerate_patterns(X).to_dense()
    prices = [price(Cones(X).normals(m), s * (X.T @ (m * v))) for m in cells for s in (1, -1)]
    assert max(prices) <= cert.price_bound <= max(beta, max(prices)) * (1 + 1e-4)
    assert cert.scale <= beta / max(prices)
    s = cert.scale
    assert cert.lower_bound == pytest.approx(s * (v @ y) - s**2 * (v @ v) / 2, rel=1e-12)


def test_there_is_an_escape_neuron_exactly_where_a_price_is_above_the_penalty() -> None:
    X, y, _beta = gaussian_task(20, 3, 3)
    nothing = cx.TwoLayerNetwork.from_arrays(np.zeros((0, 3)), np.zeros((0, 1)))
    most = cx.beta_max(X, y)
    above = cx.certify(nothing, X, y, most.upper_bound * 1.001)
    below = cx.certify(nothing, X, y, most.value * 0.99, improve=False)
    assert above.escape_neuron is None
    assert above.is_optimal
    assert below.escape_neuron is not None
    u, alpha = below.escape_neuron
    assert np.sign(alpha) * (y @ np.maximum(X @ u, 0)) > most.value * 0.99


def test_a_relaxation_proves_something_at_once() -> None:
    X, y, beta = gaussian_task(40, 4, 3)
    cert = cx.certify(random_net(4), X, y, beta, improve=False, method="bound")
    assert cert.method == "bound"
    assert 0 < cert.lower_bound <= optimum(X, y, beta)
    assert not cert.is_optimal


def test_networks_of_scikit_learn() -> None:
    X, y = cx.datasets.teacher(30, 2)
    mlp = MLPRegressor(hidden_layer_sizes=(10,), alpha=0.5, solver="lbfgs", random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        mlp.fit(X[:, :-1], y)
    net = cx.TwoLayerNetwork.from_sklearn(mlp)
    cert = cx.certify(net, X[:, :-1], y, 0.5, rtol=1e-3)
    assert cert.best_network is not None
    assert cert.best_objective is not None
    assert (cert.best_objective - cert.lower_bound) <= 1e-3 * cert.best_objective
    assert cert.objective >= cert.lower_bound
    assert cert.best_network.b2 is not None


def test_descent_never_goes_below_the_bound() -> None:
    X, y, beta = gaussian_task(25, 3, 7)
    cert = cx.certify(random_net(3, 6), X, y, beta, rtol=1e-6)
    rng = np.random.default_rng(0)

    def objective(w: FloatArray) -> tuple[float, FloatArray]:
        U, a = w[:18].reshape(6, 3), w[18:]
        H = np.maximum(X @ U.T, 0)
        r = H @ a - y
        G = ((r[:, np.newaxis] * a) * (H > 0)).T @ X + beta * U
        return 0.5 * float(r @ r) + 0.5 * beta * float(w @ w), np.append(G, H.T @ r + beta * a)

    lowest = min(minimize(objective, rng.standard_normal(24), jac=True).fun for _ in range(10))
    assert cert.lower_bound <= lowest
    assert cert.best_objective is not None
    assert cert.best_objective <= lowest * (1 + 1e-6)


@pytest.mark.parametrize("limit", [0.05, 0.5])
def test_time_limit(limit: float) -> None:
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((300, 20)), rng.standard_normal(300)
    start = time.perf_counter()
    cert = cx.certify(random_net(20), X, y, 20.0, time_limit=limit)
    assert time.perf_counter() - start < limit + 0.5
    assert not cert.is_optimal
    assert 0 <= cert.lower_bound < cert.objective


def test_ctrl_c() -> None:
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((300, 20)), rng.standard_normal(300)
    sent: list[float] = []

    def press() -> None:
        sent.append(time.perf_counter())
        os.kill(os.getpid(), signal.SIGINT)

    timer = threading.Timer(0.3, press)
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        cx.certify(random_net(20), X, y, 20.0, improve=False)
    timer.join()
    assert time.perf_counter() - sent[0] < 0.2


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"net": 3}, TypeError, r"`net` must be a TwoLayerNetwork.*or pass fit\.network"),
        (
            {
                "net": cx.GatedNetwork.from_arrays([[1.0] * 3], [[1.0]], [[1.0] * 3]),
                "method": "bound",
            },
            ValueError,
            "`method` must be one of auto, patterns; got 'bound'",
        ),
        ({"method": "patterns"}, ValueError, "`method` must be one of auto, enumeration"),
        (
            {"net": cx.TwoLayerNetwork.from_arrays(np.ones((2, 3)), np.ones((2, 2)))},
            ValueError,
            "`y` must have 2 columns, one for each output",
        ),
        ({"X": np.ones((10, 2))}, ValueError, "`X` must have 3 columns"),
        ({"beta": -1.0}, ValueError, "`beta` must be > 0"),
        ({"method": "guess"}, ValueError, "`method` must be one of"),
        ({"improve": 2}, TypeError, "`improve` must be True or False"),
        ({"proof": 3}, TypeError, "`proof` must be a string or a path, got 3"),
        ({"proof": "no/folder/a.cxproof"}, ValueError, "`proof` must be a file in a folder"),
        ({"rtol": -1.0}, ValueError, "`rtol` must be > 0"),
        ({"loss": "logistic"}, ValueError, "`y` must hold only"),
    ],
)
def test_arguments(options: dict[str, Any], error: type[Exception], message: str) -> None:
    X, y, beta = gaussian_task(10, 3, 5)
    arguments = {"net": random_net(3), "X": X, "y": y, "beta": beta, **options}
    with pytest.raises(error, match=message):
        cx.certify(**arguments)


def test_the_dual_point_of_the_hinge_is_not_the_slope_of_the_loss() -> None:
    """Of an optimal network, which has rows on the kink, that would prove half of it or less."""
    X, y, beta = gaussian_task(40, 3, 0, "hinge")
    for ratio in (1.0, 0.2):
        fit = cx.train(X, y, ratio * beta, loss="hinge", rtol=1e-6)
        assert fit.certificate.is_optimal
        cert = cx.certify(fit.network, X, y, ratio * beta, loss="hinge", improve=False, rtol=1e-3)
        assert cert.is_optimal
        assert cert.lower_bound <= fit.certificate.objective
        assert cert.dual @ y == pytest.approx(fit.certificate.objective, rel=1e-3)
        assert cert.scale <= 1.0


@pytest.mark.parametrize("improve", [False, True])
@pytest.mark.parametrize("outputs", [1, 2])
@pytest.mark.parametrize("size", [300.0, 1e4])
def test_an_objective_too_large_is_refused(improve: bool, outputs: int, size: float) -> None:
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((8, 2)), rng.poisson(3, (8, outputs)).astype(float)
    net = cx.TwoLayerNetwork.from_arrays(np.ones((1, 2)), np.full((1, outputs), size))
    with pytest.raises(ValueError, match="objective"):
        cx.certify(net, X, y, 1.0, loss="poisson", improve=improve)
