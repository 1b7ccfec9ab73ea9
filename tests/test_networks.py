"""Networks with and without gates against formulas written out in NumPy."""

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
from numpy.typing import NDArray

import pyconvexnn as cx
from pyconvexnn import _blocks, _npz
from pyconvexnn._typing import FloatArray
from pyconvexnn.networks import (
    GatedNetwork,
    Network,
    TwoLayerNetwork,
    read_network,
    write_network,
)


def make(
    m: int = 5, d: int = 3, K: int = 1, *, biases: bool = False, seed: int = 0
) -> GatedNetwork:
    rng = np.random.default_rng(seed)
    b1, b2 = (rng.standard_normal(m), rng.standard_normal(K)) if biases else (None, None)
    return GatedNetwork.from_arrays(
        rng.standard_normal((m, d)),
        rng.standard_normal((m, K)),
        rng.standard_normal((m, d)),
        b1,
        b2,
    )


def data(n: int = 40, d: int = 3) -> FloatArray:
    return np.random.default_rng(9).standard_normal((n, d))


def outputs(net: GatedNetwork, X: FloatArray) -> FloatArray:
    """The formula, neuron by neuron."""
    total = np.zeros((len(X), net.n_outputs))
    for j in range(net.n_neurons):
        bias = 0.0 if net.b1 is None else net.b1[j]
        active = X @ net.gates[j] >= 0
        total += np.outer(active * (X @ net.W1[j] + bias), net.W2[j])
    return total if net.b2 is None else total + net.b2


SIZES = [(5, 3, 1), (5, 3, 2), (1, 1, 1), (0, 3, 1), (0, 3, 2), (70, 2, 3)]


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


def assert_same(a: Network, b: Network) -> None:
    assert type(a) is type(b)
    assert (a.activation, getattr(a, "slope", None)) == (b.activation, getattr(b, "slope", None))
    for name in ("W1", "W2", "gates", "b1", "b2"):
        one, two = getattr(a, name, None), getattr(b, name, None)
        assert (one is None) == (two is None)
        if one is not None and two is not None:
            np.testing.assert_array_equal(one, two, strict=True)
            assert not two.flags.writeable


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


def test_extra_travels_with_the_network(tmp_path: Path) -> None:
    extra = {"classes": ["nä", "yes"], "columns": {"a": [1, 2.5, None, True]}, "empty": {}}
    write_network(tmp_path / "net", make(), extra)
    net, found = read_network(tmp_path / "net")
    assert found == extra
    assert_same(make(), net)
    assert_same(make(), cx.load_network(tmp_path / "net"))
    make().save(tmp_path / "plain")
    assert read_network(tmp_path / "plain")[1] == {}


META: dict[str, Any] = {"activation": "gated_relu", "extra": {}}


@pytest.mark.parametrize(
    ("meta", "arrays", "reason"),
    [
        ({}, {}, "must hold activation and the object extra"),
        ({**META, "extra": []}, {}, "must hold activation and the object extra"),
        ({**META, "code": "x"}, {}, "must hold activation and the object extra"),
        (
            {**META, "activation": "tanh"},
            {},
            "`activation` must be one of gated_relu, relu, leaky_relu, abs; got 'tanh'",
        ),
        (
            {**META, "activation": []},
            {},
            "`activation` must be one of gated_relu, relu, leaky_relu, abs; got []",
        ),
        (META, {"W1": np.ones((3, 3))}, "`W2` must have 3 rows, got shape (5, 1)"),
        (META, {"gates": np.ones((5, 2))}, "`gates` must have 3 columns, got shape (5, 2)"),
        (META, {"b1": np.ones(4)}, "`b1` must have 5 entries, got 4"),
        (META, {"b2": np.ones(0)}, "`b2` must have 1 entries, got 0"),
        (META, {"W2": np.full((5, 1), np.inf)}, "W2.npy must be finite"),
        (META, {"W2": np.full((5, 1), 1e200)}, "`W2` must have its largest entry"),
        (META, {"W1": np.ones((5, 3), np.float32)}, "W1.npy has no plain .npy header"),
        (META, {"W1": np.ones((5, 3), np.uint64)}, "W1.npy must have dtype <f8"),
        (META, {"W1": np.ones(5)}, "W1.npy must have dtype <f8 and 2 dimensions"),
        (META, {"b3": np.ones(1)}, "unknown member 'b3'"),
    ],
)
def test_files_that_are_no_network_are_refused(
    meta: dict[str, Any], arrays: dict[str, NDArray[Any]], reason: str, tmp_path: Path
) -> None:
    net, path = make(), tmp_path / "net"
    good = {"W1": net.W1, "W2": net.W2, "gates": net.gates}
    _npz.write(path, "network", META, good)
    assert_same(net, cx.load_network(path))
    _npz.write(path, "network", meta, {**good, **arrays})
    with pytest.raises(ValueError, match="`path` must be a pyconvexnn network file") as caught:
        cx.load_network(path)
    assert reason in str(caught.value)


def test_a_network_without_gates_or_of_another_kind_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "net"
    _npz.write(path, "network", META, {"W1": make().W1, "W2": make().W2})
    with pytest.raises(ValueError, match="member 'gates' is missing"):
        cx.load_network(path)
    cx.PatternSet.from_dense([[1, 0]]).save(path)
    with pytest.raises(ValueError, match="must be a pyconvexnn network file"):
        cx.load_network(path)
    with pytest.raises(FileNotFoundError):
        cx.load_network(tmp_path / "none")


# --- networks without gates ---------------------------------------------------------------------

SLOPES = {"relu": 0.0, "leaky_relu": 0.25, "abs": -1.0}


def ungated(activation: str = "relu", m: int = 5, K: int = 1, seed: int = 0) -> TwoLayerNetwork:
    gated = make(m, 3, K, biases=True, seed=seed)
    return TwoLayerNetwork.from_arrays(
        gated.W1, gated.W2, gated.b1, gated.b2, activation=activation, slope=0.25
    )


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


@pytest.mark.parametrize(
    ("meta", "gates", "reason"),
    [
        ({"activation": "relu"}, False, "its JSON part must hold a slope"),
        ({"activation": "gated_relu", "slope": 0.1}, True, "its JSON part must hold no slope"),
        ({"activation": "gated_relu"}, False, "member 'gates' is missing"),
        ({"activation": "relu", "slope": 0.1}, True, "member 'gates' is there without use"),
        ({"activation": "relu", "slope": "0"}, False, "`slope` must be a real number, got '0'"),
        ({"activation": "leaky_relu", "slope": 2.0}, False, "`slope` must be < 1, got 2.0"),
    ],
)
def test_files_of_mixed_kinds_are_refused(
    meta: dict[str, Any], gates: bool, reason: str, tmp_path: Path
) -> None:
    net = make()
    arrays = {"W1": net.W1, "W2": net.W2} | ({"gates": net.gates} if gates else {})
    _npz.write(tmp_path / "net", "network", {**meta, "extra": {}}, arrays)
    with pytest.raises(ValueError, match="`path` must be a pyconvexnn network file") as caught:
        cx.load_network(tmp_path / "net")
    assert reason in str(caught.value)
