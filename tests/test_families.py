"""Arrangements whose numbers of cells are known, by formulas and tables."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

import pyconvexnn as cx
from pyconvexnn._typing import FloatArray
from tests import exact_tree
from tests.cell_counts import count_cells
from tests.small_data import as_set, n_distinct
from tests.test_exact_cells import braid, resonance, threshold, type_b

THRESHOLD = [4, 14, 104, 1882, 94572, 15028134]  # Muroga, Toda and Kondo
RESONANCE = [2, 6, 32, 370, 11292, 1066044]  # Kamiya, Takemura and Terao


def both_ways(d: int) -> FloatArray:
    """All e_i - e_j: each hyperplane of the braid arrangement twice."""
    return np.vstack([braid(d), -braid(d)])


def type_d(d: int) -> FloatArray:
    return type_b(d)[d:]


def cross_polytope(d: int) -> FloatArray:
    unit = np.eye(d)
    return np.column_stack([np.ones(2 * d), np.vstack([unit, -unit])])


def shifted_braid(d: int, shifts: list[int]) -> FloatArray:
    """Hyperplanes x_i - x_j = s t, and t = 0: two cells for each of those at t = 1."""
    rows = [np.append(row, -s) for row in braid(d) for s in shifts]
    return np.vstack([*rows, np.append(np.zeros(d), 1.0)])


def shi(d: int) -> FloatArray:
    return shifted_braid(d, [0, 1])


def catalan(d: int) -> FloatArray:
    return shifted_braid(d, [-1, 0, 1])


def catalan_number(d: int) -> int:
    return math.comb(2 * d, d) // (d + 1)


Family = Callable[[int], FloatArray]
Count = Callable[[int], int]

FAMILIES: dict[str, tuple[Family, Count, range]] = {
    "threshold": (threshold, lambda d: THRESHOLD[d - 1], range(1, 6)),
    "resonance": (resonance, lambda d: RESONANCE[d - 1], range(1, 7)),
    "braid": (braid, math.factorial, range(2, 9)),
    "type B": (type_b, lambda d: 2**d * math.factorial(d), range(1, 7)),
    "type D": (type_d, lambda d: 2 ** (d - 1) * math.factorial(d), range(2, 6)),
    # 1[u_0 > |u_i|] or not, and which of u_i, -u_i is larger: 3^d with either sign of u_0, and
    # 2^d of them with both.
    "cross-polytope": (cross_polytope, lambda d: 2 * 3**d - 2**d, range(1, 9)),
    "Shi": (shi, lambda d: 2 * (d + 1) ** (d - 1), range(2, 6)),
    "Catalan": (catalan, lambda d: 2 * math.factorial(d) * catalan_number(d), range(2, 6)),
}
CASES = [(name, d) for name, (_, _, sizes) in FAMILIES.items() for d in sizes]
SMALL = [(name, d) for name, d in CASES if 4 < FAMILIES[name][1](d) < 13000]


def data(name: str, d: int) -> tuple[FloatArray, int]:
    family, count, _ = FAMILIES[name]
    return family(d), count(d)


@pytest.mark.parametrize(
    ("name", "d"),
    [
        pytest.param(name, d, marks=pytest.mark.slow)
        if (name, d) == ("resonance", 6)
        else (name, d)
        for name, d in CASES
    ],
)
def test_known_counts(name: str, d: int) -> None:
    X, count = data(name, d)
    ps = cx.enumerate_patterns(X)
    assert len(ps) == n_distinct(ps) == count
    assert ps.is_complete
    assert ps.proof
    assert cx.count_patterns(X) == count


@pytest.mark.parametrize(("name", "d"), SMALL)
def test_known_counts_by_deletion_and_restriction(name: str, d: int) -> None:
    X, count = data(name, d)
    if len(X) ** (X.shape[1] - 2) < 1e5:
        assert count_cells(X) == count


@pytest.mark.parametrize(("name", "d"), SMALL)
def test_neither_the_order_of_rows_nor_threads_nor_coordinates_matter(name: str, d: int) -> None:
    X, _ = data(name, d)
    ps = cx.enumerate_patterns(X)
    rng = np.random.default_rng(d)
    order = rng.permutation(len(X))
    permuted = cx.enumerate_patterns(X[order])
    assert permuted.restrict(np.argsort(order)).fingerprint == ps.fingerprint
    assert cx.enumerate_patterns(X, threads=2) == ps
    T = np.triu(rng.integers(-2, 3, (X.shape[1], X.shape[1])), 1) + np.eye(X.shape[1])
    assert cx.enumerate_patterns(X @ T).fingerprint == ps.fingerprint
    if name == "braid":
        twice = cx.enumerate_patterns(both_ways(d))
        assert len(twice) == len(ps)
        assert twice.restrict(range(len(X))).fingerprint == ps.fingerprint


def symmetries(name: str, d: int) -> list[FloatArray]:
    """Matrices T for which the rows of X T are those of X but for order and sign."""
    first = {"threshold": 1, "cross-polytope": 1}.get(name, 0)  # a column of ones
    size = FAMILIES[name][0](d).shape[1]
    turn, swap, mirror = np.eye(size), np.eye(size), np.eye(size)
    places = np.arange(first, first + d)
    turn[places] = turn[np.roll(places, 1)]
    swap[places[:2]] = swap[places[1::-1]]
    mirror[first, first] = -1.0
    if name == "threshold":
        mirror[0, first] = 1.0  # c_1 becomes 1 - c_1
    return [turn, swap, mirror] if name not in ("resonance", "braid") else [turn, swap]


@pytest.mark.parametrize(
    ("name", "d"), [(name, d) for name, d in SMALL if d > 1 and name not in ("Shi", "Catalan")]
)
def test_the_cells_have_the_symmetries_of_the_rows(name: str, d: int) -> None:
    X, _ = data(name, d)
    ps = cx.enumerate_patterns(X)
    dense = ps.to_dense()
    number = {tuple(row): k for k, row in enumerate(X.tolist())}
    for T in symmetries(name, d):
        image = X @ T
        same = np.array([number.get(tuple(row), -1) for row in image.tolist()])
        opposite = np.array([number.get(tuple(row), -1) for row in (0.0 - image).tolist()])
        assert (np.maximum(same, opposite) >= 0).all()
        flipped = same < 0
        moved = dense[:, np.where(flipped, opposite, same)] ^ flipped
        assert cx.PatternSet.from_dense(moved).fingerprint == ps.fingerprint


@pytest.mark.parametrize(
    ("name", "d"),
    [
        ("threshold", 3),
        ("resonance", 4),
        ("braid", 5),
        ("type B", 3),
        ("type D", 4),
        ("cross-polytope", 4),
        ("Shi", 4),
        ("Catalan", 3),
    ],
)
def test_the_cells_are_those_of_the_sign_tree(name: str, d: int) -> None:
    X, _ = data(name, d)
    assert as_set(cx.enumerate_patterns(X)) == as_set(exact_tree.all_cells(X))


def test_threshold_functions_of_five_variables_in_a_stream() -> None:
    X = threshold(5)
    ps = cx.enumerate_patterns(X)
    blocks = list(cx.iter_patterns(X, block_size=10000))
    assert sum(map(len, blocks)) == 94572
    words = np.concatenate([block.packed[:, 0] for block in blocks])
    np.testing.assert_array_equal(np.sort(words), np.sort(ps.packed[:, 0]))
    rest = cx.iter_patterns(X, block_size=10000, start=blocks[4].cursor)
    assert sum(map(len, rest)) == 94572 - sum(map(len, blocks[:5]))


@pytest.mark.slow
def test_threshold_functions_of_six_variables() -> None:
    X = threshold(6)
    assert cx.count_patterns(X) == THRESHOLD[5]
    words = np.concatenate([block.packed[:, 0] for block in cx.iter_patterns(X)])
    assert len(words) == THRESHOLD[5]
    words.sort()
    assert (words[1:] != words[:-1]).all()
    # Complements, and what random weights compute.
    np.testing.assert_array_equal(np.sort(~words), words)
    weights = np.random.default_rng(0).integers(-9, 10, (100_000, 7)) + 0.5
    met = cx.PatternSet.from_gates(X, weights).packed[:, 0]
    assert np.isin(met, words).all()
