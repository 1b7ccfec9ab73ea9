"""merge: one neuron for each direction, the same function everywhere, no larger penalty."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import pyconvexnn as cx
from pyconvexnn._typing import FloatArray

KINDS = ["relu", "leaky_relu", "abs", "gated_relu"]


def check(net: Any) -> Any:
    """What is promised of any network; returns the merged one."""
    merged = net.merge()
    assert type(merged) is type(net)
    assert merged.activation == net.activation
    assert merged.n_neurons <= net.n_neurons
    X = np.random.default_rng(1).standard_normal((50, net.n_features))
    expected = net.predict(X)
    size = 1e-300 + np.abs(net.W1).sum(axis=1) @ np.abs(net.W2).sum(axis=1)
    size += 0.0 if net.b1 is None else np.abs(net.b1) @ np.abs(net.W2).sum(axis=1)
    np.testing.assert_allclose(merged.predict(X), expected, rtol=1e-12, atol=4e-12 * size)
    y = np.zeros_like(expected)
    before, after = (n.objective(X, y, 1.0) - n.objective(X, y, 0.0) for n in (net, merged))
    assert after <= before * (1 + 1e-12) + 1e-12 * merged.objective(X, y, 0.0)
    again = merged.merge()
    assert again.n_neurons == merged.n_neurons
    # Of neurons of one size rounding decides which comes first.
    first, second = (n.W1[np.lexsort(np.round(n.W1, 9).T)] for n in (again, merged))
    np.testing.assert_allclose(first, second, rtol=1e-12)
    hidden = merged.W1 if merged.b1 is None else np.c_[merged.W1, merged.b1]
    sizes = np.linalg.norm(hidden, axis=1)
    order = 2 if isinstance(net, cx.TwoLayerNetwork) else 1
    outer = np.linalg.norm(merged.W2, order, axis=1)
    np.testing.assert_allclose(sizes, outer, rtol=1e-12)  # balanced
    assert np.all(np.diff(sizes) <= 1e-12 * sizes[:-1])  # the largest first
    return merged


def of_kind(kind: str, W1: Any, W2: Any, gates: Any, b1: Any = None, b2: Any = None) -> Any:
    if kind == "gated_relu":
        return cx.GatedNetwork.from_arrays(W1, W2, gates, b1, b2)
    return cx.TwoLayerNetwork.from_arrays(W1, W2, b1, b2, activation=kind, slope=0.1)


@pytest.mark.parametrize(("kind", "n_neurons"), [("relu", 7), ("leaky_relu", 7), ("abs", 5)])
@pytest.mark.parametrize("K", [1, 3])
def test_equal_directions(kind: str, n_neurons: int, K: int) -> None:
    rng = np.random.default_rng(0)
    base, factors = rng.standard_normal((5, 3)), rng.uniform(0.1, 9, (20, 1))
    W1 = np.vstack([np.tile(base, (4, 1)) * factors, -base[:2], np.zeros((1, 3)), base[:1]])
    W2 = np.vstack([rng.standard_normal((22, K)), np.ones((1, K)), np.zeros((1, K))])
    assert check(of_kind(kind, W1, W2, None)).n_neurons == n_neurons
    # With biases it is the weights and the bias that have a direction.
    b1 = np.where(np.arange(24) % 2 == 0, 1.0, 2.0) * np.linalg.norm(W1, axis=1)
    assert check(of_kind(kind, W1, W2, None, b1, np.ones(K))).n_neurons > n_neurons
    b1 = np.linalg.norm(W1, axis=1) * np.where(np.arange(24) // 20 == 1, -1.0, 1.0)
    assert check(of_kind(kind, W1[:22], W2[:22], None, b1[:22])).n_neurons == n_neurons


def test_neurons_behind_one_gate() -> None:
    rng = np.random.default_rng(0)
    W1, gates = rng.standard_normal((9, 3)), np.repeat(rng.standard_normal((3, 3)), 3, axis=0)
    one = check(cx.GatedNetwork.from_arrays(W1, rng.standard_normal((9, 1)), gates))
    assert one.n_neurons == 3
    assert {tuple(g) for g in one.gates} == {tuple(g) for g in gates}
    # For several outputs they have to be on a line as well, on either side.
    W1[1], W1[4] = 2.0 * W1[0], -0.5 * W1[3]
    several = check(cx.GatedNetwork.from_arrays(W1, rng.standard_normal((9, 2)), gates))
    assert several.n_neurons == 7
    # A gate twice as long is another one: its bits may differ by rounding.
    apart = cx.GatedNetwork.from_arrays(W1[:2], [[1.0], [1.0]], [gates[0], 3.0 * gates[0]])
    assert check(apart).n_neurons == 2


def test_what_cancels_goes() -> None:
    u = [0.3, -0.7]
    net = cx.TwoLayerNetwork.from_arrays([u, u, u, [1.0, 0.0]], [[0.1], [0.2], [-0.3], [2.0]])
    assert check(net).W1.tolist() == [[2.0**0.5, 0.0]]
    # Output by output: what is left of the first is rounding, of the second not.
    net = cx.TwoLayerNetwork.from_arrays([u, u, u], [[0.1, 1.0], [0.2, 0.0], [-0.3, 0.0]])
    assert np.count_nonzero(check(net).W2) == 1
    none = check(cx.TwoLayerNetwork.from_arrays([u, u], [[1.0], [-1.0]], b2=[3.0]))
    assert none.n_neurons == 0
    assert none.predict([[1.0, 1.0]]).tolist() == [3.0]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("K", [1, 2])
def test_no_neurons(kind: str, K: int) -> None:
    net = of_kind(kind, np.zeros((0, 3)), np.zeros((0, K)), np.zeros((0, 3)))
    assert check(net).n_neurons == 0
    net = of_kind(kind, np.zeros((2, 3)), np.ones((2, K)), np.ones((2, 3)))
    assert check(net).n_neurons == 0


@settings(max_examples=80, deadline=None)
@given(data=st.data())
def test_any_network_of_small_integers(data: st.DataObject) -> None:
    d, m, K = (data.draw(st.integers(1, most)) for most in (3, 12, 2))

    def draw(rows: int, columns: int) -> FloatArray:
        size = rows * columns
        flat = data.draw(st.lists(st.integers(-2, 2), min_size=size, max_size=size))
        return np.reshape(flat, (rows, columns)).astype(float)

    kind, W1, W2, gates = data.draw(st.sampled_from(KINDS)), draw(m, d), draw(m, K), draw(m, d)
    b1 = draw(m, 1)[:, 0] if data.draw(st.booleans()) else None
    check(of_kind(kind, W1, W2, gates, b1, draw(1, K)[0]))


@pytest.mark.parametrize("scale", [1e-29, 1e29])
def test_any_scale(scale: float) -> None:
    rng = np.random.default_rng(0)
    W1, W2 = rng.standard_normal((8, 3)), rng.standard_normal((8, 2))
    W1[4:] = W1[:4]
    for kind in KINDS:
        merged = of_kind(kind, scale * W1, scale * W2, W1).merge()
        assert merged.n_neurons == 4
        expected = of_kind(kind, W1, W2, W1).merge()
        np.testing.assert_allclose(merged.W1, scale * expected.W1, rtol=1e-12)
