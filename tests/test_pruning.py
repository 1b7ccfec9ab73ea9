"""Pruned networks: the same predictions on the data, few neurons, no larger objective."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import pyconvexnn as cx
from pyconvexnn._typing import FloatArray
from pyconvexnn.networks import Network
from tests.small_data import hexagon
from tests.training.problems import LOSSES, gaussian_task

KINDS = ["relu", "leaky_relu", "abs", "gated_relu"]


def random_network(
    kind: str, m: int, d: int, K: int, rng: np.random.Generator, *, biases: bool = False
) -> Any:
    W1, W2 = rng.standard_normal((m, d)), rng.standard_normal((m, K))
    W2 *= 10.0 ** rng.uniform(-2, 2, (m, 1))  # far from balanced
    b1, b2 = (rng.standard_normal(m), rng.standard_normal(K)) if biases else (None, None)
    if kind == "gated_relu":
        return cx.GatedNetwork.from_arrays(W1, W2, rng.standard_normal((m, d)), b1, b2)
    return cx.TwoLayerNetwork.from_arrays(W1, W2, b1, b2, activation=kind, slope=0.1)


def fits(net: Network, X: FloatArray) -> FloatArray:
    """Outputs of every neuron with output weight 1, neuron by neuron, at length 1."""
    columns = []
    for j in range(net.n_neurons):
        t = X @ net.W1[j] + (0.0 if net.b1 is None else net.b1[j])
        if isinstance(net, cx.GatedNetwork):
            z = t * (X @ net.gates[j] >= 0)
        else:
            slope = {"relu": 0.0, "leaky_relu": net.slope, "abs": -1.0}[net.activation]
            z = np.where(t > 0, t, slope * t)
        columns.append(z / max(float(np.linalg.norm(z)), 1e-300))
    return np.array(columns).reshape(-1, len(X)).T


def penalty(net: Network, X: FloatArray) -> float:
    """Penalty at beta = 1, from the objectives of two penalties and any targets."""
    y = np.zeros((len(X), net.n_outputs))
    y = y[:, 0] if net.n_outputs == 1 else y
    return net.objective(X, y, 1.0) - net.objective(X, y, 0.0)


def check(net: Any, X: FloatArray, rtol: float = 1e-12) -> Any:
    """What is promised of any network; returns the pruned one."""
    small = cx.prune(net, X)
    assert type(small) is type(net)
    before, after = net.predict(X), small.predict(X)
    size = np.abs(fits(net, X)).max(initial=0.0) * penalty(net, X) + np.abs(before).max()
    np.testing.assert_allclose(after, before, rtol=rtol, atol=rtol * size)
    assert penalty(small, X) <= penalty(net.balance(), X) * (1 + 1e-12)
    if net.n_outputs == 1 or net.penalty == "decoupled":
        rank = np.linalg.matrix_rank(fits(net, X)) if net.n_neurons else 0
        Z = fits(small, X)
        for a in small.W2.T:
            feeding = Z[:, a != 0]
            assert feeding.shape[1] <= rank
            assert feeding.shape[1] == (np.linalg.matrix_rank(feeding) if feeding.size else 0)
    elif small.n_neurons:
        ways = small.W2 / np.linalg.norm(small.W2, axis=1, keepdims=True)
        matrices = np.einsum("ij,jk->ikj", fits(small, X), ways).reshape(-1, small.n_neurons)
        assert np.linalg.matrix_rank(matrices) == small.n_neurons
    assert small.n_neurons <= net.n_neurons
    hidden = np.linalg.norm(small.W1 if small.b1 is None else np.c_[small.W1, small.b1], axis=1)
    order = 2 if isinstance(net, cx.TwoLayerNetwork) else 1
    np.testing.assert_allclose(hidden, np.linalg.norm(small.W2, order, axis=1), rtol=1e-12)
    return small


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", range(50))
def test_random_networks(kind: str, seed: int) -> None:
    rng = np.random.default_rng([seed, KINDS.index(kind)])
    n, d, m = (int(rng.integers(1, most)) for most in (25, 6, 60))
    net = random_network(kind, m, d, int(rng.choice([1, 1, 3])), rng, biases=seed % 3 == 0)
    X = rng.standard_normal((n, d))
    small = check(net, X)
    rows = rng.integers(0, 2, (n, net.n_outputs)) * 2.0 - 1.0
    y = rows[:, 0] if net.n_outputs == 1 else rows
    for loss in set(LOSSES) - {"poisson"}:  # the exponential of these fits overflows
        for beta in (0.0, 0.1, 10.0):
            given = net.objective(X, y, beta, loss=loss)
            assert small.objective(X, y, beta, loss=loss) <= given * (1 + 1e-11) + 1e-11


def split(net: cx.TwoLayerNetwork, rng: np.random.Generator) -> cx.TwoLayerNetwork:
    """The same function and penalty with every neuron cut in three."""
    parts = rng.dirichlet(np.ones(3), net.n_neurons).T.ravel()[:, np.newaxis] ** 0.5
    return cx.TwoLayerNetwork.from_arrays(
        np.tile(net.W1, (3, 1)) * parts,
        np.tile(net.W2, (3, 1)) * parts,
        b2=net.b2,
        activation=net.activation,
        slope=net.slope,
    )


@pytest.mark.parametrize("activation", ["relu", "abs"])
@pytest.mark.parametrize("seed", range(10))
def test_optimal_networks_stay_optimal(activation: str, seed: int) -> None:
    loss = LOSSES[seed % len(LOSSES)]
    X, y, beta = gaussian_task(14, 3, seed, loss)
    cells = cx.enumerate_patterns(X)
    cells = cells[np.flatnonzero(cells.to_dense().any(axis=1))]
    prob = cx.ReLUProblem(
        X,
        y,
        cells,
        0.3 * beta,
        activation=activation,
        loss=loss,
        output_offset=seed % 2 == 1 and loss != "hinge",
    )
    sol = cx.solve(prob, tol=1e-12)
    net = split(cx.recover(prob, sol), np.random.default_rng(seed))
    assert net.n_neurons > 3
    small = check(net, X)
    assert small.n_neurons <= len(sol.active)
    assert small.objective(X, y, prob.beta, loss=loss) == pytest.approx(sol.objective, rel=1e-11)


@pytest.mark.parametrize("loss", ["squared", "logistic"])
def test_an_optimal_gated_network_stays_optimal(loss: str) -> None:
    X, y, beta = gaussian_task(12, 4, 0, loss)
    prob = cx.GatedReLUProblem(X, y, cx.sample_patterns(X, 60), 0.3 * beta, loss=loss)
    sol = cx.solve(prob, tol=1e-12)
    small = check(cx.recover(prob, sol), X)
    assert small.objective(X, y, prob.beta, loss=loss) == pytest.approx(sol.objective, rel=1e-11)


def test_the_hexagon_has_a_segment_of_optima_between_two_triangles() -> None:
    X, y = hexagon()
    prob = cx.ReLUProblem(X, y, cx.enumerate_patterns(X), 0.1)
    assert cx.solve(prob, tol=1e-12).objective == pytest.approx(0.2925, rel=1e-12)
    for share in (0.5, 0.2, 0.9):
        # Neurons along the rows: every second row's reach f = .95 in all six.
        sizes = 0.95 * np.where(np.arange(6) % 2 == 0, share, 1 - share)[:, np.newaxis]
        net = cx.TwoLayerNetwork.from_arrays(np.sqrt(sizes) * X, np.sqrt(sizes))
        np.testing.assert_allclose(net.predict(X), 0.95)
        assert net.objective(X, y, 0.1) == pytest.approx(0.2925, rel=1e-12)
        assert np.linalg.matrix_rank(fits(net, X)) == 5
        small = check(net, X)
        assert small.n_neurons == 3
        assert small.objective(X, y, 0.1) == pytest.approx(0.2925, rel=1e-12)


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_any_network_of_small_integers(data: st.DataObject) -> None:
    """Ties, equal and opposite neurons, zeros and dependent fits of all kinds."""
    n, d, m, K = (data.draw(st.integers(1, most)) for most in (6, 3, 12, 2))
    integers = st.integers(-2, 2)

    def draw(rows: int, columns: int) -> FloatArray:
        flat = data.draw(st.lists(integers, min_size=rows * columns, max_size=rows * columns))
        return np.reshape(flat, (rows, columns)).astype(float)

    kind = data.draw(st.sampled_from(KINDS))
    X, W1, W2 = draw(n, d), draw(m, d), draw(m, K)
    b1 = draw(m, 1)[:, 0] if data.draw(st.booleans()) else None
    if kind == "gated_relu":
        check(cx.GatedNetwork.from_arrays(W1, W2, draw(m, d), b1), X)
    else:
        check(cx.TwoLayerNetwork.from_arrays(W1, W2, b1, activation=kind, slope=0.5), X)


@pytest.mark.parametrize("seed", range(12))
def test_the_cheaper_of_two_ways_is_gone(seed: int) -> None:
    """Neurons that are on for all rows, so that their fits have rank 3, of very unequal sizes.

    Taking away any one that depends on others is not enough: what they grow by may cost more.
    """
    rng = np.random.default_rng(seed)
    X, W1 = rng.random((10, 3)), rng.random((6, 3))
    net = cx.TwoLayerNetwork.from_arrays(W1, 10.0 ** rng.uniform(-3, 1, (6, 1)))
    assert check(net, X).n_neurons <= 3


def test_pruning_again_changes_nothing_but_by_rounding() -> None:
    rng = np.random.default_rng(0)
    X = rng.standard_normal((10, 4))
    once = cx.prune(random_network("relu", 70, 4, 2, rng), X)
    twice = cx.prune(once, X)
    assert twice.n_neurons == once.n_neurons
    np.testing.assert_allclose(np.sort(twice.W1, axis=0), np.sort(once.W1, axis=0), rtol=1e-9)


def test_what_does_nothing_goes() -> None:
    X = np.array([[1.0, 0.0], [2.0, 1.0], [1.0, 3.0]])
    silent = [-1.0, -1.0]  # off on every row
    net = cx.TwoLayerNetwork.from_arrays([silent, [1.0, 1.0], [0.0, 0.0]], [[5.0], [2.0], [3.0]])
    assert cx.prune(net, X).n_neurons == 1
    only = cx.TwoLayerNetwork.from_arrays([silent], [[5.0]], b2=[2.0])
    small = cx.prune(only, X)
    assert small.n_neurons == 0
    assert small.predict(X).tolist() == [2.0, 2.0, 2.0]
    assert cx.prune(small, X).n_neurons == 0


@pytest.mark.parametrize("distance", [1e-3, 1e-6, 1e-9, 1e-11, 1e-14])
def test_nearly_dependent_neurons_move_no_prediction(distance: float) -> None:
    rng = np.random.default_rng(1)
    X = rng.standard_normal((40, 3))
    base = rng.standard_normal((5, 3))
    W1 = np.tile(base, (6, 1)) + distance * rng.standard_normal((30, 3))
    net = cx.TwoLayerNetwork.from_arrays(W1, rng.standard_normal((30, 1)))
    small = cx.prune(net, X)
    assert np.abs(small.predict(X) - net.predict(X)).max() < 1e-12 * np.abs(net.predict(X)).max()
    assert penalty(small, X) <= penalty(net, X) * (1 + 1e-12)
    if distance > 1e-9:
        assert small.n_neurons <= np.linalg.matrix_rank(fits(net, X))
    if distance < 1e-13:
        assert small.n_neurons == 5


def test_several_outputs_share_neurons() -> None:
    rng = np.random.default_rng(2)
    X = rng.standard_normal((30, 4))
    net = random_network("relu", 8, 4, 3, rng)  # fits are independent: nothing to prune
    small = check(net, X)
    assert small.n_neurons == 8
    assert np.count_nonzero(small.W2) == 24


def test_large_networks_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    from pyconvexnn import _blocks

    rng = np.random.default_rng(3)
    net, X = random_network("relu", 30, 2, 1, rng), rng.standard_normal((500, 2))
    X[:, 0] = np.round(X[:, 0])
    whole = check(net, X)
    monkeypatch.setattr(_blocks, "BLOCK_ENTRIES", 64)
    assert check(net, X).n_neurons == whole.n_neurons


@pytest.mark.slow
def test_two_thousand_neurons() -> None:
    rng = np.random.default_rng(4)
    X = rng.standard_normal((500, 20))
    net = random_network("relu", 2000, 20, 1, rng)
    assert check(net, X).n_neurons == 500


@pytest.mark.parametrize(
    ("net", "X", "kind", "message"),
    [
        (None, [[1.0]], TypeError, "`net` must be a TwoLayerNetwork or a GatedNetwork, got NoneTy"),
        ("net", [[1.0]], ValueError, r"`X` must have 2 columns, got shape \(1, 1\)"),
        ("net", [[np.nan, 0.0]], ValueError, "`X` must be finite, got NaN"),
        ("net", [1.0, 2.0], ValueError, r"`X` must have 2 dimensions, got shape \(2,\)"),
    ],
)
def test_wrong_arguments(net: Any, X: Any, kind: type[Exception], message: str) -> None:
    if net == "net":
        net = cx.TwoLayerNetwork.from_arrays([[1.0, 2.0]], [[1.0]])
    with pytest.raises(kind, match=message):
        cx.prune(net, X)


def test_columns_of_very_different_sizes() -> None:
    # Directions that are the same to 1e-12 in these units are not the same on these rows.
    rng = np.random.default_rng(0)
    X = rng.standard_normal((30, 3)) * [1e-15, 1.0, 1.0]
    W1, W2 = rng.standard_normal((20, 3)) * [1e15, 1.0, 1.0], rng.standard_normal((20, 1))
    for activation in ("relu", "abs"):
        net = cx.TwoLayerNetwork.from_arrays(W1, W2, activation=activation)
        small = cx.prune(net, X)
        assert small.predict(X) == pytest.approx(net.predict(X), rel=1e-11, abs=1e-11)
        assert small.objective(X, np.zeros(30), 0.1) <= net.objective(X, np.zeros(30), 0.1)
