"""Patterns of lower-dimensional faces: against every sign vector that points of a lattice have."""

from __future__ import annotations

import itertools
import math
import pickle

import numpy as np
import pytest
from scipy.optimize import linprog

import pyconvexnn as cx
from pyconvexnn import _faces, _listing
from pyconvexnn._exact_cells import dot, integer_rows
from pyconvexnn._typing import BoolArray, FloatArray
from tests.faults.ctrl_c import seconds_to_stop
from tests.small_data import as_set, bits_of, gaussian, n_distinct
from tests.test_exact_cells import braid, threshold

GOLDEN = np.array([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])


def grid(d: int, side: int = 1) -> FloatArray:
    values = range(-side, side + 1)
    return np.array(list(itertools.product(values, repeat=d)), float)


def by_lattice(X: FloatArray, reach: int) -> set[bytes]:
    """Patterns of all whole-number points u with ``|u_j| <= reach``.

    Every face holds the sum of some of its extreme rays, and these are made of minors of X.
    """
    values = np.arange(-reach, reach + 1)
    points = np.stack(np.meshgrid(*[values] * X.shape[1]), axis=-1).reshape(-1, X.shape[1])
    found: BoolArray = np.unique(points @ X.T >= 0, axis=0)
    return as_set(found)


def by_programs(X: FloatArray) -> set[bytes]:
    """Patterns for which a linear program finds a point, of all 2^n."""
    found = []
    for pattern in itertools.product([False, True], repeat=len(X)):
        bits = np.array(pattern)
        sides = np.where(bits, -1.0, 1.0)[:, np.newaxis] * X
        limits = np.where(bits, 0.0, -1.0)
        result = linprog(np.zeros(X.shape[1]), sides, limits, bounds=(None, None))
        if result.status == 0:
            found.append(pattern)
    return as_set(np.array(found))


def check(X: FloatArray, expected: set[bytes]) -> cx.PatternSet:
    """All patterns, once each, those of cells first; gates that have them."""
    ps, cells = cx.enumerate_patterns(X, faces=True), cx.enumerate_patterns(X)
    assert n_distinct(ps) == len(ps)
    assert as_set(ps) == expected
    np.testing.assert_array_equal(ps.packed[: len(cells)], cells.packed)
    np.testing.assert_array_equal(bits_of(X, ps.gates), ps.to_dense())
    return ps


def test_eight_patterns() -> None:
    ps = check(GOLDEN, by_programs(GOLDEN))
    assert len(ps) == 8
    assert ps.to_dense()[6:].astype(int).tolist() == [[1, 1, 1, 1], [1, 1, 0, 0]]


@pytest.mark.parametrize("seed", range(40))
def test_small_integers_against_all_points_of_a_lattice(seed: int) -> None:
    rng = np.random.default_rng(seed)
    d = int(rng.integers(1, 4))
    X = rng.integers(-1, 2, (rng.integers(1, 10), d)).astype(float)
    if seed % 3 == 0:
        X = np.vstack([X, -X[:3], X[1:2]])
    if seed % 5 == 0:
        X[-1] = 0.0
    # Minors of two rows are at most 2, and a face is spanned by at most three rays.
    check(X, by_lattice(X, {1: 1, 2: 2, 3: 6}[d]))


@pytest.mark.parametrize("seed", range(8))
def test_small_integers_against_linear_programs(seed: int) -> None:
    rng = np.random.default_rng(seed)
    X = rng.integers(-4, 5, (5, rng.integers(2, 5))).astype(float)
    if seed % 2:
        X[4] = -2 * X[0]
    if seed % 4 == 0:
        X[3] = -X[0] - X[1] - X[2]  # a positive circuit
    check(X, by_programs(X))


@pytest.mark.parametrize("d", [1, 2, 3, 5])
def test_units_and_their_opposites_have_three_signs_each(d: int) -> None:
    X = np.vstack([np.eye(d), -np.eye(d)])
    ps = cx.enumerate_patterns(X, faces=True)
    signs = np.array(list(itertools.product([-1, 0, 1], repeat=d)))
    assert len(ps) == 3**d
    assert as_set(ps) == as_set(np.hstack([signs >= 0, signs <= 0]))


def test_opposite_rows_of_a_braid_order_with_ties() -> None:
    # Weak orders of 4 things: the ordered Bell number.
    X = np.vstack([braid(4), -braid(4)])
    assert len(cx.enumerate_patterns(X, faces=True)) == 75


def test_many_rows() -> None:
    X = np.vstack([grid(3)[:, :2]] * 3)  # every row nine times
    assert len(X) > 64
    check(X, by_lattice(X, 4))


@pytest.mark.parametrize(
    "X",
    [
        threshold(3),
        np.c_[gaussian(8, 2), np.ones(8)],
        np.abs(grid(2)),
        np.eye(3),
        np.zeros((2, 2)),
        np.array([[2.0], [1.0]]),
    ],
)
def test_nothing_is_added_where_all_rows_can_be_positive(X: FloatArray) -> None:
    assert cx.enumerate_patterns(X, faces=True) == cx.enumerate_patterns(X)


def test_general_position_adds_the_pattern_of_zero() -> None:
    for n, d in ((130, 4), (12, 3), (5, 1)):
        X = gaussian(n, d)
        ps, cells = cx.enumerate_patterns(X, faces=True), cx.enumerate_patterns(X)
        assert len(ps) == len(cells) + 1
        assert ps[-1].to_dense().all()
        assert ps[-1].gates is not None
        assert not ps[-1].gates.any()


def test_general_position_with_opposite_rows() -> None:
    X = gaussian(9, 3)
    X = np.vstack([X, -X[[2, 5]]])
    ps = cx.enumerate_patterns(X, faces=True)
    cells = len(cx.enumerate_patterns(X))
    # On either plane the other 8 rows make 16 cells, 2 on the line where both meet, 1 at zero.
    assert len(ps) == cells + 16 + 16 + 2 + 1
    tied = ps.to_dense()[cells:]
    ties = 2 * tied[:, [2, 9]].all(axis=1) + tied[:, [5, 10]].all(axis=1)
    assert np.bincount(ties).tolist() == [0, 16, 16, 3]


def test_every_threshold_unit_has_its_pattern_in_the_set() -> None:
    rng = np.random.default_rng(0)
    X = rng.integers(-2, 3, (30, 3)).astype(float)
    ps = cx.enumerate_patterns(X, faces=True)
    wanted = as_set(bits_of(X, rng.integers(-3, 4, (3000, 3))))
    assert wanted <= as_set(ps)
    assert not wanted <= as_set(cx.enumerate_patterns(X))


def test_decimals_are_read_as_such() -> None:
    whole = np.array([[1, 2], [-3, -6], [7, -1], [0, 3], [-7, 1], [-1, -5]], float)
    X = whole / 10
    ps = cx.enumerate_patterns(X, faces=True)
    assert as_set(ps) == as_set(cx.enumerate_patterns(whole, faces=True))
    np.testing.assert_array_equal(bits_of(X, ps.gates), ps.to_dense())
    # In binary the second row is no multiple of the first.
    exact = cx.enumerate_patterns(X, snap=False, faces=True)
    rows = integer_rows(X)
    for bits in exact.to_dense():
        assert any(
            all((dot(row, u) >= 0) == bit for row, bit in zip(rows, bits, strict=True))
            for u in _directions(rows)
        )


def _directions(rows: list[tuple[int, ...]]) -> list[tuple[int, ...]]:
    """Points on all lines of the plane, between any two, and 0."""
    rays = [(s * -b, s * a) for a, b in rows for s in (-1, 1)]
    sums = [(a + c, b + d) for (a, b), (c, d) in itertools.product(rays, rays)]
    return [*rays, *sums]


def test_columns_of_very_different_size() -> None:
    # One of them a multiple of an odd step.
    X = np.vstack([grid(2) @ [[1.0, 0.0, 1.0], [0.0, 1.0, -1.0]], np.eye(3)])
    scaled = X * [1e-6, 37.5, 2.0**40]
    ps = cx.enumerate_patterns(scaled, faces=True)
    assert as_set(ps) == as_set(cx.enumerate_patterns(X, faces=True))
    np.testing.assert_array_equal(bits_of(scaled, ps.gates), ps.to_dense())


@pytest.mark.parametrize("columns", [[0, 1, 0], [1]])
def test_dependent_columns(columns: list[int]) -> None:
    X = np.vstack([grid(2), 2 * grid(2)])[:, columns]
    ps = cx.enumerate_patterns(X, faces=True)
    np.testing.assert_array_equal(bits_of(X, ps.gates), ps.to_dense())


def test_blocks_of_columns_in_units_of_their_own() -> None:
    line = np.array([[1.0], [-2.0], [0.0]])
    X = np.zeros((7, 3))
    X[:3, :1], X[3:, 1:] = 1e9 * line, 0.1 * GOLDEN
    ps = cx.enumerate_patterns(X, faces=True)
    assert len(ps) == 3 * 8
    np.testing.assert_array_equal(bits_of(X, ps.gates), ps.to_dense())


# --------------------------------------------------------------------------------- what the set is


def test_the_set_with_faces() -> None:
    ps = cx.enumerate_patterns(GOLDEN, faces=True)
    assert ps.is_complete
    assert str(ps.proof).endswith("; with them the 2 patterns that only faces have")
    assert ps.complement().gates is None  # ties have no opposite
    assert ps.complement().is_complete
    gates = ps.gates
    assert gates is not None
    assert ps.margins(GOLDEN).tolist()[6:] == [0.0, 0.0]
    assert ps.margins(GOLDEN)[:6].min() > 0.3
    for again in (
        pickle.loads(pickle.dumps(cx.enumerate_patterns(GOLDEN, faces=True))),
        ps[[7, 0]],
    ):
        np.testing.assert_array_equal(bits_of(GOLDEN, again.gates), again.to_dense())
    union = ps[:2] | ps[6:]
    np.testing.assert_array_equal(bits_of(GOLDEN, union.gates), union.to_dense())
    few = cx.enumerate_patterns(GOLDEN, faces=True).restrict([0, 1])
    np.testing.assert_array_equal(bits_of(GOLDEN[:2], few.gates), few.to_dense())
    assert as_set(few) == as_set(cx.enumerate_patterns(GOLDEN[:2], faces=True))


TRIANGLE = np.array([[1.0, 0.0], [0.0, 1.0], [-1.0, -1.0]])


@pytest.mark.parametrize("X", [GOLDEN, TRIANGLE, np.vstack([TRIANGLE, np.ones((70, 2))])])
def test_neighbours_and_thin_are_cells(X: FloatArray) -> None:
    # On a triangle's rows u = 0 has a pattern that differs from a cell's in one row only.
    cells, ps = cx.enumerate_patterns(X), cx.enumerate_patterns(X, faces=True)
    count = len(cells)
    assert len(ps) > count == 6
    assert ps.thin.tolist() == []
    order = np.r_[len(ps) - 1 : -1 : -1]
    for i in range(count):
        assert ps.neighbours(i).tolist() == cells.neighbours(i).tolist()
        assert len(ps.neighbours(i)) == 2
        for same in (pickle.loads(pickle.dumps(ps)), ps | ps[:1], ps.restrict(range(len(X)))):
            assert same.neighbours(i).tolist() == cells.neighbours(i).tolist()
        turned = ps[order].neighbours(len(ps) - 1 - i)
        assert sorted(order[turned].tolist()) == cells.neighbours(i).tolist()
    for i in (count, -1):
        with pytest.raises(ValueError, match=f"`i` must be the number of a cell, got {i}: only a"):
            ps.neighbours(i)


def test_a_gate_that_doubles_do_not_hold() -> None:
    X = gaussian(6, 3)
    X = np.vstack([X, -X[:3]])
    ps = cx.enumerate_patterns(X, faces=True)
    assert ps[:9].gates is not None
    assert ps[-1].gates is not None  # u = 0
    with pytest.raises(ValueError, match=r"pattern \d+: found no float64 gate"):
        _gates = ps.gates


# ------------------------------------------------------------------------------------------- limits


def test_progress_is_shown_when_wanted(capsys: pytest.CaptureFixture[str]) -> None:
    cx.enumerate_patterns(GOLDEN, faces=True, progress=True)
    assert "flats" in capsys.readouterr().err


def test_max_patterns_counts_faces() -> None:
    assert len(cx.enumerate_patterns(GOLDEN, faces=True, max_patterns=8)) == 8
    with pytest.raises(
        ValueError, match="`max_patterns` must be at least the number of patterns, 8"
    ):
        cx.enumerate_patterns(GOLDEN, faces=True, max_patterns=7)


def test_faces_that_do_not_fit_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_listing, "available_bytes", lambda: 8 * 8 - 1)
    assert len(cx.enumerate_patterns(GOLDEN)) == 6
    with pytest.raises(MemoryError, match="8 patterns take 64 bytes"):
        cx.enumerate_patterns(GOLDEN, faces=True)


def test_too_many_flats(monkeypatch: pytest.MonkeyPatch) -> None:
    X = grid(3)
    monkeypatch.setattr(_faces, "_MAX_PAIRS", 50)
    with pytest.raises(
        ValueError, match=r"`faces` must be False for this `X`: it has too many flat"
    ):
        cx.enumerate_patterns(X, faces=True)


def test_flats_in_whole_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    X = grid(3)
    expected = cx.enumerate_patterns(X, faces=True)
    monkeypatch.setattr(_faces, "_EXACT", 0)
    assert cx.enumerate_patterns(X, faces=True).fingerprint == expected.fingerprint
    monkeypatch.setattr(_faces, "MAX_WORK", 5)
    with pytest.raises(ValueError, match=r"rows leave up to \d+ cells on one of its flats"):
        cx.enumerate_patterns(X, faces=True)


def test_columns_of_one_sign_spare_the_flats(monkeypatch: pytest.MonkeyPatch) -> None:
    # Rows with a positive last entry tie with none; without them a plane's rows are left.
    plane = np.c_[grid(2), np.zeros(9)]
    space = np.c_[gaussian(40, 2), np.ones(40)]
    monkeypatch.setattr(_faces, "_MAX_PAIRS", 250)
    ps = cx.enumerate_patterns(np.vstack([plane, space]), faces=True)
    assert len(ps) > len(cx.enumerate_patterns(np.vstack([plane, space])))


def test_threads_change_nothing() -> None:
    X = np.vstack([gaussian(20, 4), -gaussian(20, 4)[:3]])
    one = cx.enumerate_patterns(X, faces=True)
    assert cx.enumerate_patterns(X, faces=True, threads=2) == one
    count = math.comb(3, 1) * 2 * cx.count_patterns(19, 3) // 2
    assert len(one) - cx.count_patterns(20, 4) == count + 3 * 2 * 18 + 2 + 1


def test_ctrl_c_ends_the_search_for_flats() -> None:
    rows = integer_rows(gaussian(150, 4))

    def walk() -> None:
        list(_faces._cyclic_flats(rows, [False] * 150, [True] * 150, 4))

    assert min(seconds_to_stop(walk, after) for after in (0.1, 0.2)) < 0.2


def test_gates_of_faces_are_found_where_rows_add_up_to_zero_but_for_rounding() -> None:
    X = np.array([[1, 0, -1], [-1, 0, 1], [0, 0, -1], [0, 1, -1], [1, -1, -1], [1, 0, 0]], float)
    ps = cx.enumerate_patterns(X, faces=True)
    assert ps.gates is not None
    assert np.array_equal((X @ ps.gates.T >= 0).T, ps.to_dense())
