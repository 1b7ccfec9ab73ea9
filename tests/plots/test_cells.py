"""Pictures of cells: their polygons, and what is drawn of a network."""

from __future__ import annotations

from typing import Any

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.figure import Figure

import pyconvexnn as cx
from pyconvexnn._typing import FloatArray
from pyconvexnn.plots import cells
from tests.small_data import bits_of, gaussian
from tests.test_cell_polygons import area

mpl.use("Agg")


def two_and_three_columns() -> dict[str, FloatArray]:
    rng = np.random.default_rng(0)
    X, Z = gaussian(9, 2), gaussian(9, 3)
    grid = np.array([[a, b, 1.0] for a in range(3) for b in range(3)])
    return {
        "two columns": X,
        "integers in the plane": rng.integers(-2, 3, (15, 2)).astype(float),
        "a feature and ones": np.c_[1990 + 30 * X[:, :1], np.ones(9)],
        "one row": X[:1],
        "one line": np.vstack([X[:1], -2 * X[:1], np.zeros((1, 2))]),
        "three columns": Z,
        "two features and ones": np.c_[X, np.ones(9)],
        "far from the origin": np.c_[[5.8, 300.0] + X * [1.0, 40.0], np.ones(9)],
        "grid": grid,
        "ones first": grid[:, ::-1],
        "repeated, opposite and zero rows": np.vstack([Z, -2 * Z[:4], 3 * Z[:3], 0 * Z[:2]]),
        "small integers": rng.integers(-1, 2, (12, 3)).astype(float),
        "rank 2": np.c_[X, X[:, 0] - X[:, 1]],
        "rank 1": np.outer([1.0, -1.0, 2.0], [1.0, 2.0, -1.0]),
        "one row of three": Z[:1],
        "three rows": Z[:3],
        "coordinates": np.eye(3),
    }


def drawn(X: Any, net: Any = None) -> tuple[list[FloatArray], FloatArray, Any]:
    """Polygons, their values, and the Axes."""
    ax = Figure().subplots()
    assert cx.plots.arrangement(X, net, ax=ax) is ax
    (cells,) = ax.collections
    values = cells.get_array()
    assert values is not None
    return [np.asarray(path.vertices) for path in cells.get_paths()], np.asarray(values), ax


@pytest.mark.parametrize("name", two_and_three_columns())
def test_arrangement_draws_every_cell_with_its_share_of_directions(name: str) -> None:
    X = two_and_three_columns()[name]
    ps = cx.enumerate_patterns(X)
    polygons, values, _ = drawn(X)
    assert len(polygons) == len(ps) == len(values)
    np.testing.assert_allclose(values, ps.to_dense().mean(axis=1))
    areas = np.array([area(polygon) for polygon in polygons])
    discs = 1 if X.shape[1] == 2 else 2
    assert areas.sum() == pytest.approx(np.pi * discs, rel=5e-3)
    # By counting random directions.
    directions = np.random.default_rng(0).standard_normal((20_000, X.shape[1]))
    if X.shape[1] == 3:
        left, s, _ = np.linalg.svd(X / np.abs(X).max(axis=0), full_matrices=False)
        X = left[:, s > 1e-9]
        directions = directions[:, : X.shape[1]]
    patterns, counts = np.unique(bits_of(X, directions), axis=0, return_counts=True)
    share = dict(zip(map(bytes, patterns), counts / len(directions), strict=True))
    expected = [share.get(bits.tobytes(), 0.0) for bits in ps.to_dense()]
    np.testing.assert_allclose(areas / areas.sum(), expected, atol=0.015)


@pytest.mark.parametrize("name", two_and_three_columns())
def test_polygons_hold_the_gates_of_their_cells_and_of_no_others(name: str) -> None:
    X = two_and_three_columns()[name]
    ps = cx.enumerate_patterns(X)
    assert ps.gates is not None
    # Neurons are drawn as dots: at a cell's gate they must lie in its polygon.
    net = cx.TwoLayerNetwork.from_arrays(ps.gates, np.arange(1.0, len(ps) + 1)[:, np.newaxis])
    polygons, values, ax = drawn(X, net)
    np.testing.assert_allclose(values, np.arange(1.0, len(ps) + 1), rtol=1e-9)
    dots = np.asarray(ax.lines[0].get_xydata())
    if X.shape[1] == 2:
        dots = dots / 2  # gates are drawn on the circle
    inside = np.array([mpl.path.Path(polygon).contains_points(dots) for polygon in polygons])
    np.testing.assert_array_equal(inside, np.eye(len(ps), dtype=bool))


def test_arrangement_of_training() -> None:
    X = np.c_[gaussian(12, 2), np.ones(12)]
    fit = cx.train(X, X[:, 0] ** 2, beta=0.1)
    _, values, ax = drawn(X, fit.network)
    net = fit.network
    cost = np.linalg.norm(net.W1, axis=1) @ np.abs(net.W2[:, 0])
    assert values.sum() == pytest.approx(cost)
    assert np.count_nonzero(values) < 58 / 2
    assert len(np.asarray(ax.lines[0].get_xdata())) == net.n_neurons
    # The same network with its last weights as biases, and ones in another place.
    apart = cx.TwoLayerNetwork.from_arrays(net.W1[:, :2], net.W2, b1=net.W1[:, 2])
    np.testing.assert_allclose(drawn(X, apart)[1], values)
    turned = cx.TwoLayerNetwork.from_arrays(net.W1[:, [2, 0, 1]], net.W2)
    doubled = cx.TwoLayerNetwork.from_arrays(net.W1[:, :2], net.W2, b1=2 * net.W1[:, 2])
    X = np.c_[np.ones(12), X[:, :2]]
    np.testing.assert_allclose(drawn(X, turned)[1], drawn(X, apart)[1])
    # An intercept of 2 halves the weight that makes the bias; the patterns are those of ones.
    X[:, 0] = 2.0
    _, twice, _ = drawn(X, doubled)
    assert twice.sum() == pytest.approx(
        np.linalg.norm(np.c_[doubled.W1, doubled.b1], axis=1) @ np.abs(net.W2[:, 0])
    )


def test_gated_networks_are_drawn_by_their_gates() -> None:
    X = np.eye(2)
    net = cx.GatedNetwork.from_arrays([[3.0, 4.0], [1.0, 0.0]], [[2.0], [-1.0]], [[-1, -2], [1, 0]])
    ps = cx.enumerate_patterns(X)
    _, values, _ = drawn(X, net)
    found = dict(zip(map(bytes, ps.to_dense()), values.tolist(), strict=True))
    assert found == {b"\x01\x01": 0.5, b"\x01\x00": 0.5, b"\x00\x01": 0.0, b"\x00\x00": 10.0}


def test_neurons_that_no_row_sees_are_left_out() -> None:
    X = np.c_[gaussian(5, 2), np.zeros(5)]
    net = cx.TwoLayerNetwork.from_arrays([[0.0, 0.0, 1.0], [1.0, 0.0, 0.0]], [[5.0], [2.0]])
    _, values, ax = drawn(X, net)
    assert values.sum() == pytest.approx(2.0)
    assert len(np.asarray(ax.lines[0].get_xdata())) == 1
    nothing = cx.TwoLayerNetwork.from_arrays(np.empty((0, 3)), np.empty((0, 1)))
    _, values, ax = drawn(X, nothing)
    assert not values.any()


def test_arrangement_refuses_what_it_cannot_draw() -> None:
    net = cx.TwoLayerNetwork.from_arrays([[1.0, 2.0]], [[1.0]])
    biased = cx.TwoLayerNetwork.from_arrays([[1.0, 2.0]], [[1.0]], b1=[1.0])
    for X, other, error, message in [
        (np.eye(4), None, ValueError, r"`X` must have 2 or 3 columns, got shape \(4, 4\)"),
        (np.ones((3, 1)), None, ValueError, "`X` must have 2 or 3 columns, got shape"),
        (np.zeros((3, 2)), None, ValueError, "`X` must have a row that is not zero, got none"),
        (gaussian(150, 3), None, ValueError, "at most 20000 cells to be drawn, got 22352 or"),
        (gaussian(10_001, 2), None, ValueError, "at most 20000 cells to be drawn, got 20002 or"),
        (np.eye(2), 3, TypeError, "`net` must be a network, got 3"),
        (np.eye(3), net, ValueError, "`net` must have weights for the 3 columns of `X`, got 2"),
        (np.eye(3), biased, ValueError, "`X` must have a constant column for the biases"),
        (np.ones((2, 2)), biased, ValueError, "for the 2 columns of `X`, got 3"),
    ]:
        with pytest.raises(error, match=message):
            cx.plots.arrangement(X, other)  # type: ignore[arg-type]


def test_a_bound_on_cells_alone_refuses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cells, "_MOST_CELLS", 30)
    X = np.array([[a, b, 1.0] for a in range(3) for b in range(2)])  # 32 in general position
    count = cx.count_patterns(X)
    assert count <= 30
    assert len(drawn(X)[0]) == count
    with pytest.raises(ValueError, match="at most 30 cells to be drawn, got 32 or more"):
        drawn(gaussian(6, 3))


@pytest.mark.slow
def test_arrangement_of_a_real_table() -> None:
    from sklearn.datasets import load_iris

    X = np.c_[load_iris().data[::2, 2:], np.ones(75)]
    polygons, _, _ = drawn(X)
    assert len(polygons) == cx.count_patterns(X)
    assert sum(map(area, polygons)) == pytest.approx(2 * np.pi, rel=5e-3)
