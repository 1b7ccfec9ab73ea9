"""stationarity against sampled gradients and difference quotients, which know no formula of it."""

from __future__ import annotations

import dataclasses
import itertools
from typing import Any

import numpy as np
import pytest
from scipy.optimize import nnls

import pyconvexnn as cx
from pyconvexnn._typing import FloatArray
from pyconvexnn.training.stationarity import _Neuron
from tests.training.descent import descend
from tests.training.problems import WITH_OFFSET, gaussian_task

ACTIVATIONS = ["relu", "leaky_relu", "abs"]


def optimal_network(
    activation: str, loss: str, offset: bool, seed: int = 1
) -> tuple[cx.TwoLayerNetwork, FloatArray, FloatArray, float, float]:
    """Network of the optimum over all cells, with its problem and objective."""
    X, y, beta = gaussian_task(14, 3, seed, loss)
    prob = cx.ReLUProblem(
        X,
        y,
        cx.enumerate_patterns(X),
        0.3 * beta,
        activation=activation,
        slope=0.1,
        loss=loss,
        output_offset=offset,
    )
    sol = cx.solve(prob, tol=1e-12)
    return cx.recover(prob, sol), X, y, prob.beta, sol.objective


def vector(net: cx.TwoLayerNetwork) -> FloatArray:
    """All parameters of a network."""
    parts = [net.W1.ravel(), net.W2.ravel()]
    parts += [b for b in (net.b1, net.b2) if b is not None]
    return np.concatenate(parts)


def network(theta: FloatArray, like: cx.TwoLayerNetwork) -> cx.TwoLayerNetwork:
    """The network of these parameters."""
    cuts = np.cumsum([like.W1.size, like.W2.size, 0 if like.b1 is None else like.b1.size])
    W1, W2, b1, b2 = np.split(theta, cuts)
    return dataclasses.replace(
        like,
        W1=W1.reshape(like.W1.shape),
        W2=W2.reshape(like.W2.shape),
        b1=None if like.b1 is None else b1,
        b2=None if like.b2 is None else b2,
    )


def sampled_gradients(
    net: cx.TwoLayerNetwork, X: FloatArray, y: FloatArray, beta: float, loss: str, count: int = 30
) -> FloatArray:
    """Gradients by central differences at random points very near: one for every side of kinks."""
    rng = np.random.default_rng(0)
    theta, near, step = vector(net), 1e-6, 1e-8

    def value(t: FloatArray) -> float:
        return network(t, net).objective(X, y, beta, loss=loss)

    rows = []
    for _ in range(count):
        at = theta + near * rng.standard_normal(len(theta))
        moves = step * np.eye(len(theta))
        rows.append([(value(at + h) - value(at - h)) / (2 * step) for h in moves])
    return np.array(rows)


def shortest_in_hull(G: FloatArray) -> FloatArray:
    """The shortest convex combination of the rows, by non-negative least squares."""
    weight = 1e4 * np.abs(G).max()
    A = np.vstack([G.T, np.full(len(G), weight)])
    a, _ = nnls(A, np.append(np.zeros(G.shape[1]), weight), maxiter=10_000)
    return np.asarray(a / a.sum() @ G)


def quotient(
    net: cx.TwoLayerNetwork,
    X: FloatArray,
    y: FloatArray,
    beta: float,
    directions: FloatArray,
    loss: str = "squared",
) -> float:
    """Least one-sided difference quotient over the directions, of length 1, over beta."""
    theta, step = vector(net), 1e-9  # rounding of F over it is 1e-7
    here = net.objective(X, y, beta, loss=loss)
    units = directions / np.linalg.norm(directions, axis=1, keepdims=True)
    there = [network(theta + step * d, net).objective(X, y, beta, loss=loss) for d in units]
    return (min(there) - here) / step / beta


def random_directions(net: cx.TwoLayerNetwork, seed: int = 0, count: int = 400) -> FloatArray:
    """Random directions, in all parameters and in those of single neurons."""
    rng = np.random.default_rng(seed)
    D = rng.standard_normal((count, len(vector(net))))
    m, d = net.W1.shape
    for row in D[: count // 2]:
        kept = np.zeros(len(row))
        j = rng.integers(m)
        kept[j * d : (j + 1) * d] = 1.0
        kept[m * d + j] = rng.integers(2)
        row *= kept
    return D


def test_a_clarke_point_that_is_not_d_stationary() -> None:
    X, y = np.array([[0.0, 1.0], [1.0, -0.5]]), np.array([1.0, 3.0])
    net = cx.TwoLayerNetwork.from_arrays([[2**0.5, 0.0]], [[2**0.5]])
    assert (y - net.predict(X)).tolist() == pytest.approx([1.0, 1.0])
    report = cx.stationarity(net, X, y, 1.0)
    assert report.residual < 1e-12
    assert report.ties == ((0, 0),)
    assert net.objective(X, y, 1.0) == pytest.approx(3.0)
    assert report.program_value == pytest.approx(2.7777087640, rel=1e-8)
    assert report.is_d_stationary is False
    # Both ways over the first row's hyperplane: F' = -|w| / 2.
    for way in (-1.0, 1.0):
        least = quotient(net, X, y, 1.0, way * np.array([[0.0, 1.0, 0.0]]))
        assert least == pytest.approx(-(0.5**0.5), abs=1e-5)


@pytest.mark.parametrize("offset", [False, True])
@pytest.mark.parametrize("loss", WITH_OFFSET)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_optimal_networks(activation: str, loss: str, offset: bool) -> None:
    net, X, y, beta, optimum = optimal_network(activation, loss, offset)
    report = cx.stationarity(net, X, y, beta, loss=loss)
    assert report.residual <= 1e-6
    assert report.is_d_stationary is True
    assert report.program_value == pytest.approx(optimum, rel=1e-8)
    assert quotient(net, X, y, beta, random_directions(net, count=100), loss) > -1e-4


@pytest.mark.parametrize("seed", range(4))
def test_networks_of_restricted_optima(seed: int) -> None:
    """From a descended network: the optimum over its patterns, over that one's, and so on."""
    X, y, beta = gaussian_task(12, 3, seed)
    net, _ = descend(X, y, 0.2 * beta, 3, seed)
    beta = 0.2 * beta
    before = np.inf
    for _ in range(20):
        packed = around(net, X)
        prob = cx.ReLUProblem(X, y, packed, beta)
        sol = cx.solve(prob, tol=1e-12)
        net = cx.recover(prob, sol).merge()
        if sol.objective > before * (1 - 1e-10):
            break
        before = sol.objective
    report = cx.stationarity(net, X, y, beta)
    assert report.residual <= 1e-6
    assert report.is_d_stationary is True
    assert report.program_value == pytest.approx(sol.objective, rel=1e-8)


def around(net: cx.TwoLayerNetwork, X: FloatArray) -> cx.PatternSet:
    """Every cell whose closure holds a neuron, among all cells."""
    cells = cx.enumerate_patterns(X)
    dense = cells.to_dense()
    rows = X / np.linalg.norm(X, axis=1, keepdims=True)
    units = net.W1 / np.linalg.norm(net.W1, axis=1, keepdims=True)
    held = np.zeros(len(dense), bool)
    for z in units @ rows.T:
        held |= np.all((np.abs(z) < 1e-9) | ((z > 0) == dense), axis=1)
    return cells[np.flatnonzero(held & dense.any(axis=1))]


@pytest.mark.parametrize(
    "seed", [*range(4), *(pytest.param(k, marks=pytest.mark.slow) for k in range(4, 60))]
)
def test_descended_networks(seed: int) -> None:
    """Where descent has stopped: at a minimum, at kinks, or before it was done."""
    X, y, beta = gaussian_task(10, 2, seed)
    net, _ = descend(X, y, 0.2 * beta, 2, seed, most=20 if seed % 2 else 20_000)
    net, beta = net.balance(), 0.2 * beta
    tol = 5e-3
    report = cx.stationarity(net, X, y, beta, tol=tol)
    assert report.program_value <= net.objective(X, y, beta) * (1 + 1e-8)
    gradients = sampled_gradients(net, X, y, beta, "squared")
    exact = shortest_in_hull(gradients)[np.newaxis]
    least = quotient(net, X, y, beta, np.vstack([random_directions(net, seed), -gradients, -exact]))
    sizes = np.outer(np.linalg.norm(X, axis=1), np.linalg.norm(net.W1, axis=1))
    z = np.abs(X @ net.W1.T)[sizes > 1e-12] / sizes[sizes > 1e-12]  # of neurons that are not dead
    # A kink that is nearly as near as the step of the quotients, and yet no tie, is in their way.
    if not np.any((z > 1e-12) & (z < 1e-7)):
        assert report.is_d_stationary is (least >= -tol)
    if z.min(initial=1.0) > 1e-7:
        assert -least == pytest.approx(report.residual, rel=1e-2, abs=1e-4)


@pytest.mark.parametrize(
    ("activation", "loss"),
    [("relu", "squared"), ("leaky_relu", "logistic"), ("abs", "huber"), ("relu", "squared_hinge")],
)
def test_the_residual_is_the_shortest_sampled_gradient(activation: str, loss: str) -> None:
    """At ties on purpose, with hidden biases and an offset, nowhere near a minimum."""
    rng = np.random.default_rng(5)
    X = np.round(rng.standard_normal((12, 3)), 2)
    y = np.where(rng.random(12) < 0.5, -1.0, 1.0)
    W1 = np.array([np.cross(X[0], X[1]), np.cross(X[2], X[3]), X[4]])
    net = cx.TwoLayerNetwork.from_arrays(
        W1, [[0.6], [-0.8], [0.5]], None, [0.3], activation=activation, slope=0.2
    ).balance()
    report = cx.stationarity(net, X, y, 0.7, loss=loss)
    assert report.ties == ((0, 0), (1, 0), (2, 1), (3, 1))
    gradients = sampled_gradients(net, X, y, 0.7, loss, count=40)
    expected = np.linalg.norm(shortest_in_hull(gradients)) / 0.7
    assert report.residual == pytest.approx(expected, rel=2e-3)
    assert report.is_d_stationary is False


@pytest.mark.parametrize("seed", range(40))
def test_the_fastest_descent_over_all_directions(seed: int) -> None:
    """Of a plane's piecewise linear functions, convex or not: by going round the circle."""
    rng = np.random.default_rng(seed)
    n_lines = int(rng.integers(0, 6))
    units = rng.standard_normal((n_lines, 2))
    units /= np.linalg.norm(units, axis=1, keepdims=True)
    strengths = rng.standard_normal(n_lines) + (0.5 if seed % 2 else 0.0)
    slope = 0.5 * rng.standard_normal(2) - np.maximum(strengths, 0) @ units / 2
    neuron = _Neuron(slope, strengths[:, np.newaxis] * units, strengths < 0)
    angles = np.linspace(0, 2 * np.pi, 20_001)
    circle = np.c_[np.cos(angles), np.sin(angles)]
    values = circle @ slope + np.maximum(circle @ units.T, 0) @ strengths
    rate = max(0.0, -float(values.min()))
    choices = itertools.product((0.0, 1.0), repeat=n_lines)
    worst = max(neuron.shortest(np.array(choice)) for choice in choices)
    assert worst == pytest.approx(rate, abs=1e-3)
    assert neuron.shortest() <= worst + 1e-12


def flat_network() -> tuple[cx.TwoLayerNetwork, FloatArray]:
    """A neuron on the hyperplanes of three rows in a plane, and a row that it is along."""
    X = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [1.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    return cx.TwoLayerNetwork.from_arrays([[0.0, 0.0, 2**0.5]], [[2**0.5]]), X


@pytest.mark.parametrize(("pull", "stationary"), [(-1.0, True), (0.3, True), (1.5, False)])
def test_a_concave_kink_that_others_outweigh(pull: float, stationary: bool) -> None:
    """-v.(x)_+ with v = (-1, -1, pull): the third row lies in the cone of the others."""
    net, X = flat_network()
    y = np.array([-1.0, -1.0, pull, 3.0])  # the fit is (0, 0, 0, 2)
    # Along -e_1 - e_2 nothing is on; along e_1 + e_2 F rises by 1 + 1 - 2 pull for each unit.
    report = cx.stationarity(net, X, y, 1.0)
    assert report.ties == ((0, 0), (1, 0), (2, 0))
    assert report.residual < 1e-12
    assert report.is_d_stationary is stationary
    least = quotient(net, X, y, 1.0, random_directions(net))
    assert (least > -1e-4) is stationary


def test_ties_of_rows_on_one_line_are_one_kink() -> None:
    X = np.array([[1.0, 0.0], [3.0, 0.0], [-2.0, 0.0], [0.0, 0.0], [0.0, 1.0]])
    net = cx.TwoLayerNetwork.from_arrays([[0.0, 2**0.5]], [[2**0.5]])
    # v = (1, -1, .5, 0, 1): 1 - 3 on one side, -2 * .5 on the other: convex, and zero lies between.
    report = cx.stationarity(net, X, [1.0, -1.0, -0.5, 7.0, 3.0], 1.0)
    assert report.ties == ((0, 0), (1, 0), (2, 0))
    assert report.residual < 1e-12
    assert report.is_d_stationary is True
    report = cx.stationarity(net, X, [1.0, -0.2, -0.5, 7.0, 3.0], 1.0)
    assert report.is_d_stationary is False


def test_the_program_has_neurons_of_the_other_sign_next_to_ties() -> None:
    """A d-stationary network need not have its value: a row pulled down far, on a tie."""
    X, y = np.eye(2), np.array([-5.0, 3.0])
    net = cx.TwoLayerNetwork.from_arrays([[0.0, 2**0.5]], [[2**0.5]])
    report = cx.stationarity(net, X, y, 1.0)
    assert report.residual < 1e-14
    assert report.is_d_stationary is True
    # Apart from each other: 5 - 1/2 and 3 - 1/2 against 25/2 and 3 - 1/2.
    assert net.objective(X, y, 1.0) == pytest.approx(12.5 + 2.5)
    assert report.program_value == pytest.approx(4.5 + 2.5, rel=1e-8)


def test_networks_without_neurons_that_count() -> None:
    X, y = np.array([[1.0, 2.0], [3.0, -1.0]]), np.array([1.0, 2.0])
    for m in (0, 2):
        net = cx.TwoLayerNetwork.from_arrays(np.ones((m, 2)), np.zeros((m, 1)))
        assert cx.stationarity(net, X, y, 1.0) == (0.0, (), 2.5, True)
    net = cx.TwoLayerNetwork.from_arrays(np.zeros((0, 2)), np.zeros((0, 1)), b2=[1.0])
    report = cx.stationarity(net, X, y, 2.0)
    assert report.residual == 0.5  # sum_k (y_k - 1), over beta
    assert report.program_value == 0.25
    assert report.is_d_stationary is False
    # Off on every row: only its own decay is left, |w| = |a| = 2^(1/2) each.
    dead = cx.TwoLayerNetwork.from_arrays([[-1.0, -1.0]], [[2.0**0.5]])
    report = cx.stationarity(dead, np.eye(2), y, 1.0)
    assert report.residual == pytest.approx(2.0)
    assert report.program_value == 2.5


def test_biases_are_weights_on_a_column_of_ones_and_rows_without_weight_do_not_count() -> None:
    net, X, y, beta, _ = optimal_network("relu", "squared", True)
    apart = dataclasses.replace(net, W1=net.W1[:, :-1], b1=net.W1[:, -1])
    expected = cx.stationarity(net, X, y, beta)
    report = cx.stationarity(apart, X[:, :-1], y, beta)
    assert (report.ties, report.is_d_stationary) == (expected.ties, True)
    assert report.residual == pytest.approx(expected.residual, abs=1e-12)
    assert report.program_value == pytest.approx(expected.program_value)
    more = np.vstack([np.zeros((1, 3)), X, X[:2]])
    weight = np.r_[0.0, np.ones(len(X)), 0.0, 0.0]
    report = cx.stationarity(net, more, np.r_[9.0, y, 9.0, 9.0], beta, sample_weight=weight)
    assert report.ties == tuple((k + 1, j) for k, j in expected.ties)
    assert report.residual == pytest.approx(expected.residual, abs=1e-12)
    assert report.program_value == pytest.approx(expected.program_value)


def test_neurons_on_many_hyperplanes() -> None:
    """More of them than sides can be listed: rows of a circle, and a neuron across."""
    angles = np.pi * np.arange(20) / 20
    X = np.c_[np.cos(angles), np.sin(angles), np.zeros(20)]
    X = np.vstack([X, [0.0, 0.0, 1.0]])
    net = cx.TwoLayerNetwork.from_arrays([[0.0, 0.0, 2**0.5]], [[2**0.5]])
    y = np.r_[np.full(20, -0.1), 3.0]
    report = cx.stationarity(net, X, y, 1.0)
    assert len(report.ties) == 20
    assert report.is_d_stationary is True
    assert report.program_value <= net.objective(X, y, 1.0) * (1 + 1e-8)
    # Twenty concave kinks, too many for every choice of sides, and one on the way of them all.
    far = np.vstack([X, [[1e3, 0.0, 0.0], [-1e3, 0.0, 0.0], [0, 1e3, 0], [0, -1e3, 0]]])
    y = np.r_[np.full(20, 1e-3), 3.0, np.full(4, -1.0)]
    assert cx.stationarity(net, far, y, 1.0).is_d_stationary is None
    y = np.r_[np.full(20, 1.0), 3.0]
    assert cx.stationarity(net, X, y, 1.0).is_d_stationary is False


@pytest.mark.parametrize(
    ("changes", "kind", "message"),
    [
        ({"net": 3}, TypeError, "`net` must be a TwoLayerNetwork, got int"),
        (
            {"net": cx.GatedNetwork.from_arrays([[1.0]], [[1.0]], [[1.0]])},
            NotImplementedError,
            "`net` = a GatedNetwork is not available yet here",
        ),
        (
            {"net": cx.TwoLayerNetwork.from_arrays([[1.0]], [[1.0, 2.0]])},
            NotImplementedError,
            "`net` with several outputs is not available yet, got 2",
        ),
        ({"X": [[1.0, 2.0]]}, ValueError, r"`X` must have 1 columns, got shape \(1, 2\)"),
        ({"X": [[np.nan]]}, ValueError, "`X` must be finite, got NaN"),
        ({"y": [1.0, 2.0]}, ValueError, "`y` must have 1 entries, got 2"),
        ({"beta": 0.0}, ValueError, "`beta` must be > 0, got 0.0"),
        ({"tol": -1}, ValueError, "`tol` must be > 0, got -1.0"),
        ({"loss": "cubic"}, ValueError, "`loss` must be one of squared"),
        ({"loss": "logistic"}, ValueError, r"`y` must hold only -1 and \+1 for loss 'logistic'"),
        ({"sample_weight": [-1]}, ValueError, "`sample_weight` must be >= 0 and not all 0"),
    ],
)
def test_wrong_arguments(changes: dict[str, Any], kind: type[Exception], message: str) -> None:
    given: dict[str, Any] = {
        "net": cx.TwoLayerNetwork.from_arrays([[1.0]], [[1.0]]),
        "X": [[1.0]],
        "y": [2.0],
        "beta": 1.0,
    }
    given.update(changes)
    with pytest.raises(kind, match=message):
        cx.stationarity(**given)


def test_the_hinge_is_refused() -> None:
    net, X, y, beta, _ = optimal_network("relu", "logistic", False)
    with pytest.raises(NotImplementedError, match=r"^`loss` = 'hinge' is not available yet in"):
        cx.stationarity(net, X, y, beta, loss="hinge")
