"""Trees of boxes: of bounds that hold there is one, of others none."""

from __future__ import annotations

import numpy as np
import pytest

from pyconvexnn._typing import FloatArray
from pyconvexnn.pricing import price
from pyconvexnn.pricing.rows import SignedRows
from pyconvexnn.proofs.boxes import BoxTree, Tree, box_tree
from pyconvexnn.proofs.checker import Side
from tests.pricing.exhaustive import around_circle, over_cells

_FEW = 3000  # boxes


def sides(X: FloatArray, v: FloatArray, slope: float, M: float) -> list[Side]:
    S = SignedRows.of(X, v, slope).basis
    return [Side(X, sign * v, S, slope, M, False) for sign in (1.0, -1.0)]


def trees(X: FloatArray, v: FloatArray, slope: float, M: float) -> list[Tree | None]:
    none = np.empty((0, SignedRows.of(X, v, slope).rank))
    return [box_tree(side, none, stop=lambda k: k > _FEW) for side in sides(X, v, slope, M)]


@pytest.mark.parametrize("slope", [0.0, 0.3, -1.0])
@pytest.mark.parametrize("d", [1, 2, 3])
def test_there_is_one_above_the_largest_price_and_none_below(slope: float, d: int) -> None:
    for seed in range(3):
        rng = np.random.default_rng(seed)
        X, v = rng.standard_normal((9, d)), rng.standard_normal(9)
        true = over_cells(X, v, slope) if d != 2 else around_circle(X, v, slope)
        for M in (true * (1 + 1e-5), 1.5 * true):
            for side, tree in zip(sides(X, v, slope, M), trees(X, v, slope, M), strict=True):
                assert tree is not None
                assert side.check(*tree) == np.sum(tree.tree >= d)
        assert None in trees(X, v, slope, true * (1 - 1e-9))
        assert None in trees(X, v, slope, 0.9 * true)


@pytest.mark.parametrize("kind", ["decades", "offset", "twice", "whole", "dependent"])
def test_no_tree_proves_less_than_a_neuron_has(kind: str) -> None:
    """The smallest bound with a tree, by halving, against the best of many neurons."""
    rng = np.random.default_rng(0)
    X, v = rng.standard_normal((8, 2)), rng.standard_normal(8)
    if kind == "decades":
        X = X * [1.0, 1e-9]
    elif kind == "offset":
        X = X + 1e3
    elif kind == "twice":
        X = X[rng.integers(0, 4, 8)]
    elif kind == "whole":
        X = np.round(2 * X)
    else:
        X[:, 1] = X[:, 0] * (1 + 1e-13 * rng.standard_normal(8))
    true = around_circle(X, v)
    low, high = 0.0, float(np.abs(v) @ np.linalg.norm(X, axis=1))
    size = high
    for _ in range(25):
        M = (low + high) / 2
        fits = all(side.theta >= 0 for side in sides(X, v, 0.0, M)) and None not in trees(
            X, v, 0.0, M
        )
        low, high = (low, M) if fits else (M, high)
    assert true * (1 - 1e-14) <= high <= true + 1e-3 * size


def test_its_form() -> None:
    rng = np.random.default_rng(0)
    X, v = rng.standard_normal((15, 3)), rng.standard_normal(15)
    found = price(X, v)
    S = SignedRows.of(X, v).basis
    side = Side(X, v, S, 0.0, found.bound * (1 + 1e-6), False)
    told = box_tree(side, found.neurons[found.signs > 0] @ S)
    assert told is not None
    assert [array.dtype.name for array in told] == ["uint32", "uint32", "float64"]
    leaves = told.tree >= 3
    assert np.sum(leaves) == np.sum(~leaves) + 6  # six faces
    assert np.sum(told.tree[leaves] - 3) == len(told.places) == len(told.values)
    assert np.all((told.values >= 0) & (told.values <= 1) | (told.places >= 15))
    untold = box_tree(side, np.empty((0, 3)))
    assert untold is not None
    assert len(told.tree) <= len(untold.tree)  # neurons tell the multipliers of the last boxes


def test_it_stops() -> None:
    rng = np.random.default_rng(0)
    X, v = rng.standard_normal((15, 3)), rng.standard_normal(15)
    side = sides(X, v, 0.0, 1e-3)[0]
    asked: list[int] = []

    def stop(boxes: int) -> bool:
        asked.append(boxes)
        return boxes > 500

    assert box_tree(side, np.empty((0, 3)), stop=stop) is None
    assert asked == sorted(asked)
    assert 500 < asked[-1] < 1500


def test_a_tree_grows() -> None:
    """From a loose bound to tighter ones, and back by one."""
    rng = np.random.default_rng(0)
    X, v = rng.standard_normal((25, 3)), rng.standard_normal(25)
    true = over_cells(X, v)
    none, counts = np.empty((0, 3)), []
    tree = BoxTree(sides(X, v, 0.0, 2 * true)[0], none)
    for factor in (2.0, 1.5, 1.1, 1.01, 1.01):
        side = sides(X, v, 0.0, factor * true)[0]
        assert tree.prove(side)
        counts.append(side.check(*tree.tree()))
        direct = box_tree(side, none)
        assert direct is not None
        assert counts[-1] <= 1.5 * np.sum(direct.tree >= 3)
    assert counts == sorted(counts)
    assert counts[-2] == counts[-1]
    before = tree.tree()
    for factor, stop in ((0.9, tree.boxes + 100), (1.001, 10**9)):
        last = tree.tree()
        done = tree.prove(sides(X, v, 0.0, factor * true)[0], stop=lambda k, stop=stop: k > stop)  # type: ignore[misc]
        assert done == (factor > 1)
    assert len(tree.tree().tree) > len(before.tree)
    tree.undo()
    for one, two, three in zip(before, last, tree.tree(), strict=True):
        np.testing.assert_array_equal(one, two)
        np.testing.assert_array_equal(one, three)


def test_rows_that_no_box_of_a_batch_cuts() -> None:
    """Far from all hyperplanes there is nothing to tell."""
    X = np.array([[1.0, 0.01], [1.0, -0.01], [1.0, 0.0]])
    side = sides(X, np.array([1.0, -1.0, 1.0]), 0.0, 1.1)[0]
    tree = box_tree(side, np.empty((0, 2)))
    assert tree is not None
    assert side.check(*tree) == np.sum(tree.tree >= 2)
