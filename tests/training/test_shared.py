"""certify of networks whose neurons feed several outputs: nothing that descent finds is below."""

from __future__ import annotations

import dataclasses
import math
import time
from typing import Any

import numpy as np
import pytest
from scipy.optimize import minimize

import pyconvexnn as cx
from pyconvexnn._typing import FloatArray
from pyconvexnn.losses import get_loss
from tests.training.problems import LOSSES, WITH_OFFSET
from tests.training.test_outputs import several

SLOPES = {"relu": 0.0, "leaky_relu": 0.2, "abs": -1.0}


def descended(
    X: FloatArray,
    Y: FloatArray,
    beta: float,
    *,
    loss: str = "squared",
    weight: FloatArray | None = None,
    activation: str = "relu",
    offset: bool = False,
    m: int = 8,
    seed: int = 0,
) -> cx.TwoLayerNetwork:
    """Network of m neurons by L-BFGS on the joint weight decay objective."""
    (n, d), K, slope = X.shape, Y.shape[1], SLOPES[activation]
    s = np.ones(n) if weight is None else weight
    terms = get_loss(loss)

    def parts(w: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        return w[: m * d].reshape(m, d), w[m * d : m * (d + K)].reshape(m, K), w[m * (d + K) :]

    def objective(w: FloatArray) -> tuple[float, FloatArray]:
        U, A, b = parts(w)
        Z = X @ U.T
        H = np.where(Z > 0, Z, slope * Z)
        F = H @ A + (b if offset else 0.0)
        value = sum(terms.value(f, y, s) for f, y in zip(F.T, Y.T, strict=True))
        R = np.column_stack([terms.gradient(f, y, s) for f, y in zip(F.T, Y.T, strict=True)])
        G = ((R @ A.T) * np.where(Z > 0, 1.0, slope)).T @ X + beta * U
        value += 0.5 * beta * float(np.sum(U**2) + np.sum(A**2))
        ends = R.sum(axis=0) * offset
        return value, np.concatenate([G.ravel(), (H.T @ R + beta * A).ravel(), ends])

    w = 0.5 * np.random.default_rng(seed).standard_normal(m * (d + K) + K)
    w[-K:] = 0.0
    U, A, b = parts(minimize(objective, w, jac=True, method="L-BFGS-B", options={"maxiter": 300}).x)
    kind: dict[str, Any] = {"activation": activation, "slope": 0.2}
    return cx.TwoLayerNetwork.from_arrays(U, A, b2=b if offset else None, **kind)


def sampled_price(X: FloatArray, V: FloatArray, slope: float, starts: FloatArray) -> float:
    """Largest ``||V' act(X u)||`` of many unit neurons."""
    U = np.random.default_rng(0).standard_normal((4000, X.shape[1]))
    U = np.concatenate([U, starts[np.any(starts != 0, axis=1)]])
    Z = X @ (U / np.linalg.norm(U, axis=1, keepdims=True)).T
    return float(np.max(np.linalg.norm(V.T @ np.where(Z > 0, Z, slope * Z), axis=0)))


def check(
    cert: cx.Certificate,
    X: FloatArray,
    Y: FloatArray,
    beta: float,
    net: cx.TwoLayerNetwork,
    loss: str,
    weight: FloatArray,
) -> None:
    """What holds of every certificate of shared neurons; X has the column of ones for b1."""
    on = weight > 0
    V, M, s = cert.dual, cert.price_bound, cert.scale
    assert V.shape == Y.shape
    assert not V[~on].any()
    W1 = net.W1 if net.b1 is None else np.column_stack([net.W1, net.b1])
    sampled = sampled_price(X, V, SLOPES[net.activation], W1)
    assert sampled <= M
    assert cert.price_found <= M
    assert s * M <= beta * (1 + 1e-12)
    dual = sum(
        get_loss(loss).dual_objective(s * v[on], y[on], weight[on])
        for v, y in zip(V.T, Y.T, strict=True)
    )
    assert cert.lower_bound == pytest.approx(dual, rel=1e-9)
    assert cert.lower_bound <= dual * (1 + 1e-12)
    assert (cert.method, cert.penalty) == ("bound", "weight_decay")
    if net.b2 is not None:
        assert all(math.fsum(v.tolist()) == 0.0 for v in V.T)


KINDS = ["plain", "biases", "offset"]
SOME = (
    {("hinge", "plain")}
    | {("squared", kind) for kind in KINDS}
    | {(loss, KINDS[i % 3]) for i, loss in enumerate(WITH_OFFSET)}
)


@pytest.mark.parametrize(
    ("loss", "kind"),
    [
        pytest.param(loss, kind, marks=() if (loss, kind) in SOME else pytest.mark.slow)
        for loss in LOSSES
        for kind in KINDS
        if kind != "offset" or loss in WITH_OFFSET
    ],
)
def test_no_network_is_below_the_bound(loss: str, kind: str) -> None:
    X, Y, beta = several(12, 3, 3, loss)
    weight = np.random.default_rng(0).uniform(0.5, 2.0, 12)
    weight[5] = 0.0
    activation = {"plain": "relu", "biases": "leaky_relu", "offset": "abs"}[kind]
    nets = [
        descended(
            X, Y, beta, loss=loss, weight=weight, activation=activation,
            offset=kind == "offset", seed=seed,
        )
        for seed in range(2)
    ]  # fmt: skip
    options: dict[str, Any] = {"loss": loss, "sample_weight": weight}
    values = [net.objective(X, Y, beta, **options) for net in nets]
    net, features = nets[int(np.argmin(values))], X
    if kind == "biases":  # the last column is of ones
        features = X[:, :-1]
        net = dataclasses.replace(net, W1=net.W1[:, :-1], b1=net.W1[:, -1])
    for improve in (True, False):
        cert = cx.certify(net, features, Y, beta, improve=improve, **options)
        check(cert, X, Y, beta, net, loss, weight)
        assert cert.objective == pytest.approx(min(values), rel=1e-12)
        assert cert.objective >= min(values) * (1 - 1e-15)
        assert cert.best_network is not None
        assert cert.best_objective is not None
        # Descent for a loss with kinks may end far above the best network that is met.
        reference = min(values) if get_loss(loss).smooth else cert.best_objective
        least = (0.6 if improve else 0.1) * reference
        assert least < cert.lower_bound <= min(values)
        assert (cert.best_network.b1 is None) == (net.b1 is None)
        best = cert.best_network.objective(features, Y, beta, **options)
        assert cert.best_objective == pytest.approx(best, rel=1e-12)
        assert not cert.is_optimal


def test_a_bad_network_is_bettered_and_its_bound_is_as_good() -> None:
    X, Y, beta = several(20, 3, 3)
    rng = np.random.default_rng(1)
    bad = cx.TwoLayerNetwork.from_arrays(rng.standard_normal((4, 3)), rng.standard_normal((4, 3)))
    good = min(
        (descended(X, Y, beta, seed=seed) for seed in range(2)),
        key=lambda net: net.objective(X, Y, beta),
    )
    least = good.objective(X, Y, beta)
    cert = cx.certify(bad, X, Y, beta)
    assert cert.objective == pytest.approx(bad.objective(X, Y, beta), rel=1e-12)
    assert cert.best_network is not None
    assert cert.best_objective is not None
    # Descent ends in some local minimum, below that of separate outputs.
    assert cert.best_objective < cx.train(X, Y, beta).certificate.objective
    assert cert.lower_bound <= cert.best_objective
    assert 0.8 * least < cert.lower_bound <= least
    assert cert.lower_bound > 1.2 * cx.certify(bad, X, Y, beta, improve=False).lower_bound
    assert cert.escape_neuron is not None
    u, alpha = cert.escape_neuron
    assert alpha.shape == (3,)
    assert np.linalg.norm(u) == pytest.approx(1.0)
    size = np.linalg.norm(alpha) ** 0.5
    more = dataclasses.replace(
        bad, W1=np.vstack([bad.W1, size * u]), W2=np.vstack([bad.W2, alpha / size])
    )
    better = more.objective(X, Y, beta)
    assert better == pytest.approx(cert.objective - cert.escape_gain, rel=1e-10)
    assert cert.escape_gain > 0
    assert cert.escape_price > beta
    # At a minimum there is none.
    assert cx.certify(good, X, Y, beta, improve=False).escape_gain < 1e-3 * least
    assert "a relaxation" in str(cert)


def test_equal_outputs_are_one() -> None:
    """Y = y c' : networks with the output weights a c' are the best, and the bound says so."""
    X, Y, beta = several(15, 3, 1)
    c = np.array([0.6, -0.8, 1.5])
    scalar = cx.train(X, Y[:, 0], beta, rtol=1e-7)
    # || y c' - f c' ||^2 = |c|^2 |y - f|^2: another penalty for the same network.
    factor = float(c @ c)
    net = scalar.network
    root = math.sqrt(factor) ** 0.5
    shared = cx.TwoLayerNetwork.from_arrays(net.W1 * root, net.W2 @ c[np.newaxis] / root)
    targets = Y[:, :1] * c
    cert = cx.certify(shared, X, targets, beta * math.sqrt(factor), rtol=1e-3)
    assert cert.objective == pytest.approx(factor * scalar.certificate.objective, rel=1e-6)
    assert cert.is_optimal
    assert cert.lower_bound >= 0.9995 * cert.objective


def test_bounds_of_any_matrix_with_any_columns() -> None:
    X, Y, beta = several(12, 3, 3)
    net = descended(X, Y, beta)
    first = cx.certify(net, X, Y, beta)
    again = cx.certify(net, X, Y, beta, threads=2)
    assert first.lower_bound == again.lower_bound
    assert first.fingerprint == again.fingerprint
    assert len(first.fingerprint) == 64
    other = cx.certify(net, X, Y[:, ::-1], beta, improve=False)
    assert other.fingerprint != first.fingerprint
    # Of separate outputs the same numbers are another problem.
    apart = cx.train(X, Y, beta)
    assert apart.certificate.fingerprint != first.fingerprint
    assert first.lower_bound <= apart.certificate.lower_bound * (1 + 1e-9)
    for method in ("enumeration", "branch_and_bound", "bound"):
        cert = cx.certify(net, X, Y, beta, method=method, improve=False)
        assert cert.method == "bound"
        assert 0 < cert.lower_bound <= cert.objective
        assert cert.lower_bound <= first.lower_bound * (1 + 1e-2)


@pytest.mark.parametrize("offset", [False, True])
def test_separate_outputs_are_proved_separately(offset: bool) -> None:
    X, Y, beta = several(15, 3, 3)
    fit = cx.train(X, Y, beta, output_offset=offset)
    cert = cx.certify(fit.network, X, Y, beta)
    assert cert.is_optimal
    assert cert.penalty == "decoupled"
    assert cert.method in ("enumeration", "branch_and_bound")
    assert cert.objective == fit.certificate.objective
    assert cert.fingerprint == fit.certificate.fingerprint
    assert "over all networks whose neurons feed one output each" in str(cert)
    worse = dataclasses.replace(fit.network, W1=1.3 * fit.network.W1)
    cert = cx.certify(worse, X, Y, beta)
    assert not cert.is_optimal
    assert cert.best_network is not None
    assert cert.best_network.penalty == "decoupled"
    best = cert.best_network.objective(X, Y, beta)
    assert best == pytest.approx(fit.certificate.objective, rel=2e-4)
    assert cert.best_objective == pytest.approx(best, rel=1e-12)
    each = [
        cx.certify(
            cx.TwoLayerNetwork.from_arrays(
                worse.W1[a != 0],
                a[a != 0, np.newaxis],
                b2=None if worse.b2 is None else worse.b2[[k]],
            ),
            X, Y[:, k], beta, improve=False,
        )
        for k, a in enumerate(worse.W2.T)
    ]  # fmt: skip
    plain = cx.certify(worse, X, Y, beta, improve=False)
    assert plain.best_network is worse
    assert plain.lower_bound == pytest.approx(sum(one.lower_bound for one in each), rel=1e-9)
    if plain.escape_neuron is not None:
        assert np.count_nonzero(plain.escape_neuron[1]) == 1


def test_networks_without_neurons() -> None:
    X, Y, beta = several(12, 3, 2)
    nothing = cx.TwoLayerNetwork.from_arrays(np.zeros((0, 3)), np.zeros((0, 2)))
    far = 1.001 * max(cx.beta_max(X, y).upper_bound for y in Y.T)
    assert cx.certify(nothing, X, Y, far).is_optimal
    assert not cx.certify(nothing, X, Y, 0.5 * beta).is_optimal


@pytest.mark.parametrize("limit", [0.05, 0.6])
def test_time_limit(limit: float) -> None:
    rng = np.random.default_rng(0)
    X, Y = rng.standard_normal((300, 20)), rng.standard_normal((300, 3))
    net = cx.TwoLayerNetwork.from_arrays(rng.standard_normal((9, 20)), rng.standard_normal((9, 3)))
    start = time.perf_counter()
    cert = cx.certify(net, X, Y, 20.0, time_limit=limit)
    assert time.perf_counter() - start < limit + 0.5
    assert not cert.is_optimal
    assert 0 <= cert.lower_bound < cert.objective


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (np.ones(10), r"`y` must have 2 columns, one for each output, got .* shape \(10,\)"),
        (np.ones((10, 3)), r"`y` must have 2 columns, one for each output, got .*\(10, 3\)"),
        (np.ones((9, 2)), "`y` must have 10 entries, got 9"),
        (np.full((10, 2), np.inf), "`y` must be finite, got infinity"),
    ],
)
def test_arguments(y: FloatArray, message: str) -> None:
    net = cx.TwoLayerNetwork.from_arrays(np.ones((2, 3)), np.ones((2, 2)))
    with pytest.raises(ValueError, match=message):
        cx.certify(net, np.ones((10, 3)), y, 1.0)
    one = cx.TwoLayerNetwork.from_arrays(np.ones((2, 3)), np.ones((2, 1)))
    with pytest.raises(ValueError, match="`y` must have 1 dimension"):
        cx.certify(one, np.ones((10, 3)), np.ones((10, 2)), 1.0)
