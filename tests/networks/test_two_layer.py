"""Networks without gates against formulas written out in NumPy."""

from __future__ import annotations

import copy
import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pyconvexnn as cx
from pyconvexnn.networks import TwoLayerNetwork
from tests.networks.examples import SLOPES, assert_same, data, ungated


@pytest.mark.parametrize("activation", SLOPES)
@pytest.mark.parametrize("K", [1, 2])
def test_predictions_of_activations(activation: str, K: int) -> None:
    net, X = ungated(activation, K=K), data(100)
    assert net.b1 is not None
    assert net.b2 is not None
    inputs = X @ net.W1.T + net.b1
    expected = np.where(inputs >= 0, inputs, SLOPES[activation] * inputs) @ net.W2 + net.b2
    np.testing.assert_allclose(net.predict(X), expected[:, 0] if K == 1 else expected, atol=1e-13)
    assert (net.n_neurons, net.n_features, net.n_outputs) == (5, 3, K)
    slope = ", slope=0.25" if activation == "leaky_relu" else ""
    assert repr(net) == (
        f"TwoLayerNetwork(n_neurons=5, n_features=3, n_outputs={K}, "
        f"activation={activation!r}{slope})"
    )


@pytest.mark.parametrize("activation", SLOPES)
def test_the_penalty_of_several_outputs(activation: str) -> None:
    rng = np.random.default_rng(3)
    X, Y = rng.standard_normal((30, 4)), rng.standard_normal((30, 3))
    W1, W2 = rng.standard_normal((5, 4)), rng.standard_normal((5, 3))
    shared = cx.TwoLayerNetwork.from_arrays(W1, W2, activation=activation)
    W2[np.arange(5), rng.integers(0, 3, 5)] *= 1e-3  # no zero: shared all the same
    assert shared.penalty == "weight_decay"
    fit = np.sum((shared.predict(X) - Y) ** 2) / 2
    decay = np.sum(shared.W1**2) + np.sum(shared.W2**2)
    assert shared.objective(X, Y, 0.3) == pytest.approx(fit + 0.15 * decay, rel=1e-13)
    even = shared.balance()
    lengths = np.linalg.norm(even.W1, axis=1)
    np.testing.assert_allclose(lengths, np.linalg.norm(even.W2, axis=1), rtol=1e-13)
    assert even.objective(X, Y, 0.3) == pytest.approx(fit + 0.3 * np.sum(lengths**2), rel=1e-13)

    # One output for each neuron: the two norms of its output weights are the same.
    alone = np.where(np.arange(3) == np.array([0, 2, 1, 2, 0])[:, np.newaxis], W2, 0.0)
    for outer in (alone, np.zeros((5, 3))):
        assert replace(shared, W2=outer).penalty == "decoupled"
    assert cx.TwoLayerNetwork.from_arrays(W1, alone[:, :1]).penalty == "weight_decay"


@pytest.mark.parametrize("activation", SLOPES)
def test_objective_and_balance_of_activations(activation: str) -> None:
    net, X = ungated(activation), data(30)
    y = np.random.default_rng(1).standard_normal(30)
    assert net.b1 is not None
    decay = np.sum(net.W1**2) + np.sum(net.b1**2) + np.sum(net.W2**2)
    expected = np.sum((net.predict(X) - y) ** 2) / 2 + 0.3 / 2 * decay
    assert net.objective(X, y, 0.3) == pytest.approx(expected, rel=1e-13)
    even = net.balance()
    assert (even.activation, even.slope) == (net.activation, net.slope)
    np.testing.assert_allclose(even.predict(X), net.predict(X), atol=1e-13)
    assert even.b1 is not None
    hidden = np.linalg.norm(np.column_stack([even.W1, even.b1]), axis=1)
    np.testing.assert_allclose(hidden, np.abs(even.W2[:, 0]), rtol=1e-13)
    assert even.objective(X, y, 0.3) <= expected


@pytest.mark.parametrize("activation", SLOPES)
@pytest.mark.parametrize("m", [0, 5])
def test_copies_and_files_of_activations(activation: str, m: int, tmp_path: Path) -> None:
    net = ungated(activation, m)
    for again in (copy.copy(net), copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        assert_same(net, again)
    net.save(tmp_path / "net")
    loaded = cx.load_network(tmp_path / "net")
    assert_same(net, loaded)
    np.testing.assert_array_equal(loaded.predict(data()), net.predict(data()))


@pytest.mark.parametrize(
    ("changes", "kind", "message"),
    [
        (
            {"activation": "tanh"},
            ValueError,
            "`activation` must be one of relu, leaky_relu, abs; got 'tanh'",
        ),
        ({"slope": 1.0}, ValueError, "`slope` must be < 1, got 1.0"),
        ({"slope": -0.1}, ValueError, "`slope` must be >= 0, got -0.1"),
        ({"slope": None}, TypeError, "`slope` must be a real number, got None"),
        ({"W2": [[1.0]]}, ValueError, "`W2` must have 2 rows, got shape (1, 1)"),
        ({"b1": [1.0]}, ValueError, "`b1` must have 2 entries, got 1"),
        ({"W1": [[np.nan], [1.0]]}, ValueError, "`W1` must be finite, got NaN"),
    ],
)
def test_wrong_arguments_of_activations(
    changes: dict[str, Any], kind: type[Exception], message: str
) -> None:
    with pytest.raises(kind) as caught:
        TwoLayerNetwork.from_arrays(**{"W1": [[1.0], [2.0]], "W2": [[1.0], [2.0]], **changes})
    assert str(caught.value) == message
