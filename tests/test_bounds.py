"""Bounds of optima and of networks' objectives in real arithmetic, against rationals."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

import pyconvexnn as cx
from pyconvexnn import _rounding
from pyconvexnn._bounds import lower_bound, objective_bound
from pyconvexnn._rounding import WrongProductError, balanced
from pyconvexnn._typing import FloatArray
from pyconvexnn.losses import Huber, Logistic, Loss, Squared, SquaredHinge, get_loss


@pytest.mark.parametrize("loss", [Squared(), Huber(0.5), Logistic(), SquaredHinge()])
@pytest.mark.parametrize("part", [0.1, 0.7, 2.0])
def test_the_lower_bound_is_that_of_a_feasible_point(loss: Loss, part: float) -> None:
    rng = np.random.default_rng(0)
    y = np.sign(rng.standard_normal(20))
    w = rng.uniform(0.5, 2, 20)
    v = -loss.gradient(0.3 * rng.standard_normal(20), y, w)
    price, beta = 7.0, 7.0 * part
    value, scale, used = lower_bound(loss, v, y, w, beta, price)
    assert used is v
    assert 0 < scale <= beta / price
    if loss.name in ("huber", "logistic"):
        assert scale <= 1.0
    assert value == pytest.approx(loss.dual_objective(scale * v, y, w), rel=1e-12)
    for other in np.linspace(0, min(part, 1.0), 20):
        assert loss.dual_objective(other * v, y, w) <= value * (1 + 1e-12)


def test_lower_bounds_at_the_ends() -> None:
    y, one = np.array([3.0, -4.0]), np.ones(2)
    assert lower_bound(Squared(), y, y, one, 1.0, math.inf)[:2] == (0.0, 0.0)
    value, scale, _ = lower_bound(Squared(), y, y, one, 1.0, 0.0)  # no neuron has a price
    assert scale == pytest.approx(1.0, rel=1e-15)
    assert value == pytest.approx(12.5, rel=1e-15)
    assert value <= 12.5
    assert lower_bound(Squared(), -y, y, one, 1.0, 1.0)[0] == 0.0
    assert lower_bound(Squared(), 0 * y, y, one, 1.0, 0.0)[0] == 0.0
    with pytest.raises(ValueError, match="sum to zero exactly"):
        lower_bound(Squared(), y, y, one, 1.0, 5.0, output_offset=True)
    v = balanced(y)
    assert lower_bound(Squared(), v, y, one, 1.0, 6.0, output_offset=True).value > 0
    # Stepped down: s M <= beta in real arithmetic.
    for beta, price in ((0.1, 0.3), (1.0, 3.0), (2.0, 0.7)):
        scale = lower_bound(Squared(), 1e-3 * y, y, one, beta, price).scale
        assert Fraction(scale) * Fraction(price) < Fraction(beta)


def network(kind: str, seed: int, K: int = 1) -> tuple[cx.TwoLayerNetwork, FloatArray, FloatArray]:
    """A network with biases, data and targets (n,), or (n, K) for K > 1 outputs."""
    rng = np.random.default_rng(seed)
    n, d, m = 6, 3, 4
    X, y = rng.standard_normal((n, d)), rng.standard_normal(n if K == 1 else (n, K))
    W1, W2, b1 = rng.standard_normal((m, d)), rng.standard_normal((m, K)), rng.standard_normal(m)
    if kind == "far from zero":
        X += 1e6
    elif kind == "columns of all sizes":
        X *= np.array([1e-8, 1.0, 1e8])
    elif kind == "cancelling":
        W1[2:], b1[2:], W2[2:] = W1[:2], b1[:2], -W2[:2] * (1 + 1e-9)
        W2 *= 1e6
    elif kind == "neurons without weight":
        W1[0], b1[0], W2[1] = 0.0, 0.0, 0.0
    activation = ["relu", "leaky_relu", "abs"][seed % 3]
    net = cx.TwoLayerNetwork(W1, W2, b1, rng.standard_normal(K), activation, 0.3)
    return net, X, y


def exact_objective(
    net: cx.TwoLayerNetwork, X: FloatArray, y: FloatArray, beta: float, w: FloatArray
) -> Fraction:
    """Weight-decay objective of the squared loss."""
    assert net.b1 is not None
    assert net.b2 is not None
    slope = Fraction({"relu": 0.0, "leaky_relu": net.slope, "abs": -1.0}[net.activation])
    total = Fraction(0)
    for x, targets, weight in zip(X.tolist(), y.reshape(len(y), -1), w.tolist(), strict=True):
        for target, A, offset in zip(targets.tolist(), net.W2.T, net.b2.tolist(), strict=True):
            f = Fraction(offset)
            for row, b, a in zip(net.W1.tolist(), net.b1.tolist(), A.tolist(), strict=True):
                z = Fraction(b) + sum(
                    Fraction(p) * Fraction(q) for p, q in zip(row, x, strict=True)
                )
                f += (z if z >= 0 else slope * z) * Fraction(a)
            total += Fraction(weight) * (f - Fraction(target)) ** 2 / 2
    weights = [*net.W1.ravel().tolist(), *net.W2.ravel().tolist(), *net.b1.tolist()]
    return total + Fraction(beta) / 2 * sum(Fraction(a) ** 2 for a in weights)


NETWORKS = [
    "plain",
    "far from zero",
    "columns of all sizes",
    "cancelling",
    "neurons without weight",
]


@pytest.mark.parametrize("kind", NETWORKS)
def test_objectives_are_bounded_in_exact_arithmetic(kind: str) -> None:
    for seed in range(12):
        net, X, y = network(kind, seed, K=1 + 2 * (seed % 4 == 3))
        w = np.random.default_rng(seed).uniform(0, 2, len(y))
        for beta in (0.1, 1e-14):
            above, slack = objective_bound(net, X, y, beta, Squared(), w)
            assert Fraction(above) >= exact_objective(net, X, y, beta, w)
            plain = net.objective(X, y, beta, sample_weight=w)
            assert above - slack == pytest.approx(plain, rel=1e-8)
            if kind == "plain":
                assert slack <= 1e-13 * above


def test_plain_objectives_are_no_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_rounding, "INFLATION", 0.0)
    below = 0
    for kind in NETWORKS:
        for seed in range(12):
            net, X, y = network(kind, seed)
            above, _ = objective_bound(net, X, y, 1e-14, Squared(), np.ones(len(y)))
            below += Fraction(above) < exact_objective(net, X, y, 1e-14, np.ones(len(y)))
    assert below >= 5


@pytest.mark.parametrize("loss", ["huber", "logistic", "squared_hinge"])
def test_objectives_of_other_losses(loss: str) -> None:
    for seed in range(5):
        net, X, y = network("plain", seed)
        y = np.sign(y)
        above, slack = objective_bound(net, X, y, 0.1, get_loss(loss), np.ones(len(y)))
        plain = net.objective(X, y, 0.1, loss=loss)
        assert plain < above <= plain * (1 + 1e-13)
        assert 0 <= slack <= 1e-13 * above


def test_the_objective_of_nothing_is_exact() -> None:
    X, zero, ones = np.ones((3, 2)), np.zeros(3), np.ones(3)
    empty = cx.TwoLayerNetwork.from_arrays(np.empty((0, 2)), np.empty((0, 1)))
    dead = cx.TwoLayerNetwork.from_arrays([[0.0, 0.0]], [[0.0]])
    for net in (empty, dead):
        assert objective_bound(net, X, zero, 1.0, Squared(), ones) == (0.0, 0.0)
        assert objective_bound(net, X, ones, 1.0, Squared(), ones)[0] == pytest.approx(1.5)


def test_objectives_are_computed_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    net, X, y = network("plain", 0)
    whole = objective_bound(net, X, y, 0.1, Squared(), np.ones(6))
    monkeypatch.setattr("pyconvexnn._blocks.BLOCK_ENTRIES", 8)
    assert objective_bound(net, X, y, 0.1, Squared(), np.ones(6)) == pytest.approx(whole, rel=1e-9)


def test_a_wrong_product_is_no_objective(monkeypatch: pytest.MonkeyPatch) -> None:
    class Wrong(np.ndarray[Any, Any]):
        def __matmul__(self, other: Any) -> Any:
            return np.asarray(self) @ np.asarray(other) * 1.000001

    net, X, y = network("plain", 0)
    with pytest.raises(WrongProductError):
        objective_bound(net, X.view(Wrong), y, 0.1, Squared(), np.ones(6))
