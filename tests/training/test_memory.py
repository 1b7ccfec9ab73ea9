"""No array of all rows and all neurons: what is done in pieces is the same, and fits."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import pyconvexnn as cx
from pyconvexnn import _blocks
from pyconvexnn.certificates import objective_bound
from pyconvexnn.losses import Squared
from pyconvexnn.pricing.columns import columns, found_prices, price_bound
from pyconvexnn.pricing.search import raw_prices, sum_of_positive
from pyconvexnn.training.cells import cells_around

ENTRIES = 48e6 / 8  # of all arrays together; rows times neurons are more


def data(n: int, d: int, m: int, K: int, activation: str) -> tuple[Any, ...]:
    rng = np.random.default_rng(0)
    X, Y = rng.standard_normal((n, d)), rng.standard_normal((n, K))
    W1, W2 = rng.standard_normal((m, d)), rng.standard_normal((m, K)) / m
    net = cx.TwoLayerNetwork.from_arrays(W1, W2, activation=activation)
    return net, X, Y[:, 0] if K == 1 else Y


def peak(call: Callable[[], object]) -> float:
    """Most entries of float64 that there are at a time."""
    tracemalloc.start()
    try:
        call()
        return tracemalloc.get_traced_memory()[1] / 8
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(("K", "activation"), [(1, "relu"), (2, "leaky_relu")])
def test_memory_is_bounded(K: int, activation: str) -> None:
    n, m = 15_000, 600
    assert n * m > 1.4 * ENTRIES
    net, X, y = data(n, 2, m, K, activation)
    cx.certify(net, X[:50], y[:50], 1.0, improve=False)  # imports
    gated = cx.GatedNetwork.from_arrays(net.W1, net.W2, net.W1)
    calls: list[Callable[[], object]] = [
        lambda: net.predict(X),
        lambda: gated.predict(X),
        lambda: net.objective(X, y, 1.0),
        lambda: cx.certify(net, X, y, 1.0, improve=False, method="bound"),
    ]
    for call in calls:
        assert peak(call) < ENTRIES


@pytest.mark.slow
def test_a_million_rows_and_ten_thousand_neurons() -> None:
    net, X, y = data(1_000_000, 3, 40, 1, "relu")
    assert peak(lambda: cx.certify(net, X, y, 1.0, time_limit=20.0)) < 25 * X.size + ENTRIES
    net, X, y = data(3000, 3, 10_000, 3, "relu")
    assert peak(lambda: cx.certify(net, X, y, 1.0, time_limit=20.0)) < 2 * ENTRIES


@pytest.mark.parametrize("activation", ["relu", "leaky_relu", "abs"])
def test_pieces_make_no_difference(activation: str, monkeypatch: pytest.MonkeyPatch) -> None:
    net, X, Y = data(300, 4, 7, 3, activation)
    slope = {"relu": 0.0, "leaky_relu": 0.01, "abs": -1.0}[activation]
    rng = np.random.default_rng(1)
    U, Q = rng.standard_normal((9, 4)), np.linalg.qr(rng.standard_normal((3, 3)))[0]
    U[3] -= (U[3] @ X[5]) / (X[5] @ X[5]) * X[5]  # of several cells

    def everything() -> list[Any]:
        return [
            net.predict(X),
            net.objective(X, Y, 0.3),
            *objective_bound(net, X, Y, 0.3, Squared(), np.ones(300)),
            raw_prices(X, Y[:, 0], U, slope),
            sum_of_positive(X, U),
            found_prices(X, Y, U, slope)[0],
            price_bound(X, Y, columns(Y, Q), [1.0, 2.0, 3.0]),
            cells_around(X, U, np.random.default_rng(2)).astype(float),
        ]

    whole = everything()
    monkeypatch.setattr(_blocks, "BLOCK_ENTRIES", 50)
    for here, there in zip(everything(), whole, strict=True):
        np.testing.assert_allclose(here, there, rtol=1e-12, atol=1e-12)
