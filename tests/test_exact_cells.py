"""The whole-number enumeration: known families, the linear-program tree, its own points."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import numpy as np
import pytest

from pyconvexnn import _core
from pyconvexnn._cells import ExactCells, bound
from pyconvexnn._exact_cells import half_cells, integer_rows
from pyconvexnn._typing import BoolArray, FloatArray
from tests import lp_tree
from tests.vertex_method import all_cells


def corners(d: int) -> FloatArray:
    return np.asarray(list(itertools.product([0.0, 1.0], repeat=d)))


def threshold(d: int) -> FloatArray:
    return np.column_stack([np.ones(2**d), corners(d)])


def resonance(d: int) -> FloatArray:
    return corners(d)[1:]


def braid(d: int) -> FloatArray:
    unit = np.eye(d)
    return np.array([unit[i] - unit[j] for i, j in itertools.combinations(range(d), 2)])


def type_b(d: int) -> FloatArray:
    unit = np.eye(d)
    pairs = list(itertools.combinations(range(d), 2))
    sums = [unit[i] + sign * unit[j] for i, j in pairs for sign in (1, -1)]
    return np.array([*unit, *sums])


def patterns_of(X: FloatArray) -> BoolArray:
    X = np.asfortranarray(X)
    rows = _core.ReducedRows(X, snap=True)
    cells = ExactCells(rows, np.zeros(1, np.uint64), len(X))
    out = np.empty((2 * cells.total, (len(X) + 63) // 64), np.uint64)
    cells.write(0, cells.total, cells.total, out, 1)
    return np.unpackbits(out.view(np.uint8), axis=1, count=len(X), bitorder="little").view(bool)


def as_set(patterns: BoolArray) -> set[bytes]:
    return {pattern.tobytes() for pattern in patterns}


FAMILIES: dict[str, tuple[Callable[[int], FloatArray], list[int | None]]] = {
    "threshold": (threshold, [4, 14, 104, 1882]),
    "resonance": (resonance, [2, 6, 32, 370, 11292]),
    "braid": (braid, [None, 2, 6, 24, 120, 720]),
    "type B": (type_b, [2, 8, 48, 384]),
}


@pytest.mark.parametrize("name", FAMILIES)
def test_known_families(name: str) -> None:
    family, counts = FAMILIES[name]
    for d, count in enumerate(counts, 1):
        if count is not None:
            assert len(as_set(patterns_of(family(d)))) == len(patterns_of(family(d))) == count


def test_points_lie_in_their_cells() -> None:
    rows = integer_rows(threshold(4))
    cells = half_cells(rows)
    assert len(cells) == 1882 // 2
    for signs, point in cells.items():
        sides = [sum(a * b for a, b in zip(row, point, strict=True)) for row in rows]
        assert all(sides)
        assert signs == sum((side > 0) << i for i, side in enumerate(sides))
        assert signs & 1


@pytest.mark.parametrize("seed", range(12))
def test_small_integers_equal_both_oracles(seed: int) -> None:
    rng = np.random.default_rng(seed)
    X = rng.integers(-1 - seed % 2, 2, (rng.integers(3, 9), rng.integers(1, 4))).astype(float)
    X[0] = 1.0
    if seed % 3 == 0:
        X = np.c_[X, np.ones(len(X))]
    found = as_set(patterns_of(X))
    assert found == as_set(all_cells(X))
    assert found == as_set(lp_tree.all_cells(X))


@pytest.mark.parametrize(("n", "r"), [(1, 1), (2, 2), (12, 2), (12, 3), (10, 4), (8, 5), (6, 6)])
def test_general_position_has_as_many_cells_as_the_bound(n: int, r: int) -> None:
    rows = integer_rows(np.random.default_rng(n).standard_normal((n, r)))
    expected = sum(math.comb(n - 1, k) for k in range(r))
    assert len(half_cells(rows)) == bound(n, r) == expected


def test_no_tolerance() -> None:
    # The third line passes the crossing of the others at a distance of 2^-50, or not at all.
    for shift, count in ((0.0, 12), (2.0**-50, 14)):
        X = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [1.0, 1.0, shift], [0.0, 0.0, 1.0]])
        assert 2 * len(half_cells(integer_rows(X))) == count


def test_rows_become_whole_numbers() -> None:
    X = np.array([[0.5, -1.5], [4.0, 6.0], [0.1, 0.0]])
    assert integer_rows(X) == [(1, -3), (2, 3), (1, 0)]
