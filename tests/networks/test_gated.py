"""Networks with gates against formulas written out in NumPy."""

from __future__ import annotations

import copy
import pickle
from dataclasses import FrozenInstanceError, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import pyconvexnn as cx
from pyconvexnn import _blocks
from pyconvexnn._typing import FloatArray
from pyconvexnn.networks import GatedNetwork
from tests.networks.examples import SIZES, assert_same, data, make


def outputs(net: GatedNetwork, X: FloatArray) -> FloatArray:
    """The formula, neuron by neuron."""
    total = np.zeros((len(X), net.n_outputs))
    for j in range(net.n_neurons):
        bias = 0.0 if net.b1 is None else net.b1[j]
        active = X @ net.gates[j] >= 0
        total += np.outer(active * (X @ net.W1[j] + bias), net.W2[j])
    return total if net.b2 is None else total + net.b2


@pytest.mark.parametrize("biases", [False, True])
@pytest.mark.parametrize(("m", "d", "K"), SIZES)
def test_predict_is_the_formula(m: int, d: int, K: int, biases: bool) -> None:
    net = make(m, d, K, biases=biases)
    assert (net.n_neurons, net.n_features, net.n_outputs) == (m, d, K)
    for n in (1, 64, 100):
        X = data(n, d)
        expected = outputs(net, X)
        predicted = net.predict(X)
        assert predicted.shape == ((n,) if K == 1 else (n, K))
        np.testing.assert_allclose(predicted.reshape(n, K), expected, rtol=1e-12, atol=1e-12)


def test_predict_works_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    net, X = make(biases=True), data()
    expected = outputs(net, X)[:, 0]
    for entries in (1, 35, 5 * 39, 5 * 40):
        monkeypatch.setattr(_blocks, "BLOCK_ENTRIES", entries)
        np.testing.assert_allclose(net.predict(X), expected, rtol=1e-12)


def test_predict_of_other_kinds_of_arrays() -> None:
    net = make()
    X = np.round(4 * data())
    strided = np.zeros((80, 6))
    strided[::2, 1::2] = X
    for other in (X.astype(int), X.astype(np.float32), X.tolist(), np.asfortranarray(X)):
        np.testing.assert_array_equal(net.predict(other), net.predict(X))
    np.testing.assert_array_equal(net.predict(strided[::2, 1::2]), net.predict(X))


def test_the_gates_bits_are_those_of_the_pattern_set_on_hyperplanes_too() -> None:
    # Rows whose product with the gate is 0 up to rounding: BLAS and the patterns may disagree.
    rng = np.random.default_rng(4)
    gates = rng.standard_normal((200, 7))
    X = rng.standard_normal((200, 7))
    X -= np.outer(np.sum(X * gates, axis=1) / np.sum(gates**2, axis=1), np.ones(7)) * gates
    ps = cx.PatternSet.from_gates(X, gates)
    b1 = 1.0 + np.arange(200)
    zero = np.zeros((200, 7))
    for j in range(200):  # a network that prints the bit of neuron j
        net = GatedNetwork.from_arrays(zero[[j]], [[1.0]], gates[[j]], b1=b1[[j]])
        np.testing.assert_array_equal(net.predict(X), ps.to_dense()[j] * b1[j])
    assert (ps.to_dense().diagonal()).any()
    assert not (ps.to_dense().diagonal()).all()


def test_a_row_exactly_on_the_hyperplane_and_a_zero_row_pass() -> None:
    net = GatedNetwork.from_arrays([[0.0, 0.0]], [[2.0]], [[1.0, -1.0]], b1=[3.0])
    assert net.predict([[1.0, 1.0], [0.0, 0.0], [0.0, 1.0]]).tolist() == [6.0, 6.0, 0.0]


def test_a_recovered_network_predicts_what_the_problem_fits() -> None:
    X, y = data(80), np.sin(data(80).sum(axis=1))
    prob = cx.GatedReLUProblem(X, y, cx.sample_patterns(X, 60), beta=0.1)
    sol = cx.solve(prob, tol=1e-8)
    net = cx.recover(prob, sol)
    dense = sol.coef.to_dense()
    fitted = np.sum(prob.patterns.to_dense().T * (X @ dense.T), axis=1)
    np.testing.assert_allclose(net.predict(X), fitted, atol=1e-12)
    assert net.objective(X, y, 0.1) == pytest.approx(prob.objective(sol.coef), rel=1e-12)
    assert net.balance().objective(X, y, 0.1) == pytest.approx(sol.objective, rel=1e-9)


# --- objective ----------------------------------------------------------------------------------


@pytest.mark.parametrize("loss", ["squared", "logistic"])
@pytest.mark.parametrize("biases", [False, True])
@pytest.mark.parametrize(("m", "d", "K"), SIZES)
def test_objective_is_the_formula(m: int, d: int, K: int, biases: bool, loss: str) -> None:
    net, X = make(m, d, K, biases=biases), data(40, d)
    rng = np.random.default_rng(2)
    Y = rng.choice([-1.0, 1.0], (40, K))
    s, p = rng.random(40), 0.5 + rng.random(m)
    s[3] = 0
    f = outputs(net, X)
    if loss == "squared":
        fit = np.sum(s[:, None] * (f - Y) ** 2) / 2
    else:
        fit = np.sum(s[:, None] * np.log(1 + np.exp(-Y * f)))
    hidden = np.sum(net.W1**2, axis=1) + (0 if net.b1 is None else net.b1**2)
    outer = np.abs(net.W2).sum(axis=1) ** 2
    blocks = hidden * np.sum(net.W2**2, axis=1)
    expected = fit + 0.3 / 2 * np.sum(p * (hidden + outer)) + 0.7 / 2 * np.sum(blocks)
    y = Y[:, 0] if K == 1 else Y
    value = net.objective(X, y, 0.3, loss=loss, sample_weight=s, ridge=0.7, pattern_weight=p)
    assert value == pytest.approx(expected, rel=1e-12)
    assert isinstance(value, float)
    assert net.penalty == ("weight_decay" if K == 1 else "decoupled")


def test_defaults_of_the_objective() -> None:
    net, X = make(), data()
    y = X[:, 0]
    loss = np.sum((outputs(net, X)[:, 0] - y) ** 2) / 2
    assert net.objective(X, y, 0) == pytest.approx(loss)
    decay = (np.sum(net.W1**2) + np.sum(net.W2**2)) / 2
    assert net.objective(X, y, 2.0) == pytest.approx(loss + 2 * decay)
    assert net.objective(X, y[:, np.newaxis], 2.0) == pytest.approx(loss + 2 * decay)
    assert net.objective(X, y, 2.0, loss=cx.losses.Squared()) == pytest.approx(loss + 2 * decay)


def test_the_zero_network() -> None:
    net = make(m=0)
    assert net.predict(data()).tolist() == [0.0] * 40
    assert net.objective([[1.0, 2.0, 3.0]], [3.0], 5.0) == 4.5
    assert net.balance().n_neurons == 0
    assert make(m=0, K=2).predict(data()).shape == (40, 2)


# --- balance ------------------------------------------------------------------------------------


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 6), st.integers(1, 3), st.booleans(), st.integers(0, 2**32))
def test_balance_keeps_the_function_at_the_least_penalty(
    m: int, K: int, biases: bool, seed: int
) -> None:
    net, X = make(m, 3, K, biases=biases, seed=seed), data()
    balanced = net.balance()
    np.testing.assert_allclose(balanced.predict(X), net.predict(X), atol=1e-12)
    w = balanced.W1 if balanced.b1 is None else np.c_[balanced.W1, balanced.b1]
    norms, sums = np.linalg.norm(w, axis=1), np.abs(balanced.W2).sum(axis=1)
    np.testing.assert_allclose(norms, sums, rtol=1e-12)
    old = net.W1 if net.b1 is None else np.c_[net.W1, net.b1]
    product = np.linalg.norm(old, axis=1) @ np.abs(net.W2).sum(axis=1)
    zero = np.zeros((40, K))
    y = zero[:, 0] if K == 1 else zero
    decay = balanced.objective(X, y, 2.0) - balanced.objective(X, y, 0.0)
    assert decay == pytest.approx(2 * product, abs=1e-10)


def test_balance_of_neurons_that_contribute_nothing_and_of_extremes() -> None:
    W1 = np.array([[0.0, 0.0], [1.0, 2.0], [3e-200, 4e-200], [1e50, 0.0]])
    W2 = np.array([[5.0], [0.0], [5.0], [1e-10]])
    net = GatedNetwork.from_arrays(W1, W2, np.ones((4, 2))).balance()
    assert not net.W1[:2].any()
    assert not net.W2[:2].any()
    np.testing.assert_allclose(net.W2[2:, 0], [5e-100, 1e20], rtol=1e-12)
    np.testing.assert_allclose(net.W1[2:], [[3e-100, 4e-100], [1e20, 0]], rtol=1e-12)


# --- construction -------------------------------------------------------------------------------


def test_arrays_are_converted_frozen_and_not_the_callers() -> None:
    W1, W2 = np.ones((2, 3), np.float32), [[1], [2]]
    gates = np.asfortranarray(np.ones((2, 3)))
    net = GatedNetwork.from_arrays(W1, W2, gates, b1=[1, 2], b2=np.array([3], np.int8))
    W1[:] = gates[:] = 7
    assert net.W1.tolist() == net.gates.tolist() == [[1.0] * 3] * 2
    for name in ("W1", "W2", "gates", "b1", "b2"):
        array = getattr(net, name)
        assert array.dtype == np.float64
        assert array.flags.c_contiguous
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0
    with pytest.raises(FrozenInstanceError):
        net.W1 = gates  # type: ignore[misc]
    assert replace(net, b2=None).b2 is None
    assert repr(net) == "GatedNetwork(n_neurons=2, n_features=3, n_outputs=1)"
    assert net.activation == "gated_relu"
    assert net != copy.copy(net)
    assert net in {net}


GOOD: dict[str, Any] = {"W1": np.ones((2, 3)), "W2": np.ones((2, 1)), "gates": np.ones((2, 3))}


@pytest.mark.parametrize(
    ("changed", "kind", "message"),
    [
        ({"W1": np.ones(3)}, ValueError, r"`W1` must have 2 dimensions, got shape \(3,\)"),
        ({"W1": np.ones((2, 0))}, ValueError, "`W1` must have at least one row and one column"),
        ({"W1": np.ones((2, 4))}, ValueError, r"`gates` must have 4 columns, got shape \(2, 3\)"),
        ({"W1": np.ones((3, 3))}, ValueError, r"`W2` must have 3 rows, got shape \(2, 1\)"),
        ({"W1": np.ones((0, 3))}, ValueError, r"`W2` must have 0 rows, got shape \(2, 1\)"),
        ({"W2": np.ones((0, 1))}, ValueError, r"`W2` must have 2 rows, got shape \(0, 1\)"),
        ({"W2": np.ones((2, 0))}, ValueError, "`W2` must have at least one row and one column"),
        ({"W2": np.ones(2)}, ValueError, r"`W2` must have 2 dimensions, got shape \(2,\)"),
        ({"gates": np.ones((1, 3))}, ValueError, r"`gates` must have 2 rows, got shape \(1, 3\)"),
        ({"gates": np.ones((0, 4))}, ValueError, r"`gates` must have 3 columns, got .*\(0, 4\)"),
        ({"gates": [[1, 2, 3], [4]]}, ValueError, "`gates` must be a rectangular array"),
        ({"b1": np.ones(3)}, ValueError, "`b1` must have 2 entries, got 3"),
        ({"b2": np.ones(3)}, ValueError, "`b2` must have 1 entries, got 3"),
        ({"b2": 3.0}, ValueError, r"`b2` must have 1 dimension, got shape \(\)"),
        ({"W1": np.full((2, 3), np.nan)}, ValueError, "`W1` must be finite, got NaN"),
        ({"W2": [[np.inf], [0]]}, ValueError, "`W2` must be finite, got infinity"),
        ({"b1": [np.nan, 0]}, ValueError, "`b1` must be finite, got NaN"),
        ({"W2": [[1j], [0]]}, TypeError, "`W2` must hold real numbers, got dtype complex128"),
        ({"gates": [["a"] * 3] * 2}, TypeError, "`gates` must hold real numbers"),
        ({"W1": None}, TypeError, "`W1` must hold real numbers"),
    ],
)
def test_wrong_weights(changed: dict[str, Any], kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message):
        GatedNetwork.from_arrays(**{**GOOD, **changed})


@pytest.mark.parametrize(
    ("changed", "kind", "message"),
    [
        ({"X": np.ones((2, 4))}, ValueError, r"`X` must have 3 columns, got shape \(2, 4\)"),
        ({"X": np.ones(3)}, ValueError, "`X` must have 2 dimensions"),
        ({"X": np.ones((0, 3))}, ValueError, "`X` must have at least one row"),
        ({"X": [[1, 2, np.nan]]}, ValueError, "`X` must be finite, got NaN"),
        ({"X": [["a", "b", "c"]]}, TypeError, "`X` must hold real numbers"),
        ({"y": [1.0]}, ValueError, "`y` must have 2 entries, got 1"),
        ({"y": [1.0, np.nan]}, ValueError, "`y` must be finite"),
        ({"y": np.ones((2, 2))}, ValueError, "`y` must have 1 dimension"),
        ({"y": [1.0, 0.0], "loss": "logistic"}, ValueError, "`y` must hold only -1 and .*got 0.0"),
        ({"beta": -1.0}, ValueError, "`beta` must be >= 0, got -1.0"),
        ({"beta": np.nan}, ValueError, "`beta` must be finite, got nan"),
        ({"beta": "1"}, TypeError, "`beta` must be a real number, got '1'"),
        ({"ridge": -0.5}, ValueError, "`ridge` must be >= 0, got -0.5"),
        ({"loss": "l1"}, ValueError, "`loss` must be one of squared, logistic, .*got 'l1'"),
        ({"sample_weight": [1.0]}, ValueError, "`sample_weight` must have 2 entries, got 1"),
        ({"sample_weight": [1.0, -2.0]}, ValueError, "`sample_weight` must be >= 0, got -2.0"),
        ({"pattern_weight": [1.0] * 3}, ValueError, "`pattern_weight` must have 2 entries, got 3"),
        ({"pattern_weight": [1.0, 0.0]}, ValueError, "`pattern_weight` must be > 0, got 0.0"),
        ({"y": [1e60, 1e60], "beta": 1e300}, ValueError, "the objective overflows: rescale"),
        ({"X": np.full((2, 3), 1e60), "scale": 1e60}, ValueError, "the objective overflows"),
    ],
)
def test_wrong_arguments_of_objective(
    changed: dict[str, Any], kind: type[Exception], message: str
) -> None:
    scale = changed.pop("scale", 1.0)
    weights = {name: array * scale for name, array in GOOD.items()}
    net = GatedNetwork.from_arrays(**weights, b1=[1e30, 1e30])
    with pytest.raises(kind, match=message):
        net.objective(**{"X": np.ones((2, 3)), "y": [1.0, 1.0], "beta": 1.0, **changed})


def test_targets_of_several_outputs() -> None:
    net = make(K=2)
    with pytest.raises(ValueError, match=r"`y` must have 2 columns, got shape \(40, 3\)"):
        net.objective(data(), np.ones((40, 3)), 1.0)
    with pytest.raises(ValueError, match=r"`y` must have 40 rows, got shape \(39, 2\)"):
        net.objective(data(), np.ones((39, 2)), 1.0)
    with pytest.raises(ValueError, match="`y` must have 2 dimensions"):
        net.objective(data(), np.ones(40), 1.0)


def test_the_largest_weights_and_data_give_finite_outputs() -> None:
    large = np.full((4, 3), 1e60)
    net = GatedNetwork.from_arrays(large, large[:, :1], large, large[:, 0], large[0, :1])
    assert np.isfinite(net.predict(large)).all()


# --- copies and files ---------------------------------------------------------------------------


@pytest.mark.parametrize("biases", [False, True])
@pytest.mark.parametrize(("m", "d", "K"), SIZES)
def test_pickle_copy_and_file(m: int, d: int, K: int, biases: bool, tmp_path: Path) -> None:
    net = make(m, d, K, biases=biases)
    for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
        assert_same(net, pickle.loads(pickle.dumps(net, protocol)))
    assert_same(net, copy.copy(net))
    assert_same(net, copy.deepcopy(net))
    path = tmp_path / "net"
    net.save(path)
    loaded = cx.load_network(path)
    assert_same(net, loaded)
    np.testing.assert_array_equal(loaded.predict(data(40, d)), net.predict(data(40, d)))
