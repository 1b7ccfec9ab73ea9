"""Which cells are enumerated, and how many: against brute force and known counts."""

from __future__ import annotations

import itertools
from math import comb
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import pyconvexnn as cx
from pyconvexnn import _cells, _core, _listing
from pyconvexnn._cells import CompiledCells, ExactCells
from pyconvexnn._typing import FloatArray
from tests import lp_tree
from tests.faults.ctrl_c import seconds_to_stop
from tests.small_data import (
    as_set,
    check_gates,
    designs,
    gaussian,
    left_open,
    n_distinct,
    nearly_dependent,
)
from tests.test_exact_cells import resonance, threshold
from tests.vertex_method import DATA, all_cells


def decorate(X: FloatArray, rng: np.random.Generator) -> FloatArray:
    """The rows of X with repeats, opposites, multiples and zeros among them."""
    again = X[rng.integers(0, len(X), 4)] * np.array([[1.0], [-1.0], [1e-8], [-1e8]])
    rows = np.vstack([X, again, np.zeros((2, X.shape[1]))])
    return rows[rng.permutation(len(rows))]


# ------------------------------------------------------------------------------------- counts


@pytest.mark.parametrize("r", range(2, 7))
def test_counts_equal_the_formula(r: int) -> None:
    for n in (r, r + 1, 9, 17, 30):
        ps = cx.enumerate_patterns(gaussian(n, r, seed=n))
        expected = 2 * sum(comb(n - 1, k) for k in range(r))
        assert len(ps) == n_distinct(ps) == expected == cx.count_patterns(n, r)
        assert cx.count_patterns(gaussian(n, r, seed=n)) == expected


def test_count_of_a_number_of_rows() -> None:
    assert cx.count_patterns(10, 1) == 2
    assert cx.count_patterns(10, 10) == cx.count_patterns(10, 20) == 2**10
    assert cx.count_patterns(np.int64(100), 5) == 7852352
    assert cx.count_patterns(10**6, 3) == 2 * (1 + 999999 + comb(999999, 2))
    assert cx.count_patterns(gaussian(100, 100)) == 2**100  # known without listing
    assert cx.count_patterns(gaussian(3000, 2)) == 6000


@pytest.mark.parametrize("name", DATA)
def test_known_data(name: str) -> None:
    X, _, count, _, _ = DATA[name]
    ps = cx.enumerate_patterns(X)
    assert len(ps) == count == cx.count_patterns(X)
    assert as_set(ps) == as_set(all_cells(X))
    check_gates(X, ps)


# ------------------------------------------------------------------------------- against oracles


@pytest.mark.parametrize("part", range(10))
def test_general_position_equals_the_vertex_method(part: int) -> None:
    for seed in range(10 * part, 10 * part + 10):
        rng = np.random.default_rng(seed)
        r = int(rng.integers(1, 6))
        X = rng.standard_normal((int(rng.integers(r, [0, 12, 14, 9, 8, 8][r])), r))
        ps = cx.enumerate_patterns(X)
        assert len(ps) == n_distinct(ps)
        assert as_set(ps) == as_set(all_cells(X))
        check_gates(X, ps)


@pytest.mark.slow
@pytest.mark.parametrize(("n", "r"), [(60, 2), (45, 3), (22, 4), (15, 5), (12, 6)])
def test_larger_general_position_equals_the_vertex_method(n: int, r: int) -> None:
    X = gaussian(n, r, seed=n)
    assert as_set(cx.enumerate_patterns(X)) == as_set(all_cells(X))


@pytest.mark.parametrize("seed", range(20))
def test_odd_rows_and_columns_equal_the_linear_programs(seed: int) -> None:
    rng = np.random.default_rng(seed)
    r = int(rng.integers(2, 4))
    X = rng.standard_normal((int(rng.integers(r, 7)), r))
    if seed % 2:
        X = X @ rng.standard_normal((r, r + 2))  # rank-deficient columns
    X = decorate(X, rng)
    ps = cx.enumerate_patterns(X)
    assert len(ps) == n_distinct(ps) == cx.count_patterns(X)
    assert as_set(ps) == as_set(lp_tree.all_cells(X))
    check_gates(X, ps)


@pytest.mark.parametrize("name", designs())
def test_designs_are_enumerated(name: str) -> None:
    X = designs()[name]
    ps = cx.enumerate_patterns(X)
    assert len(ps) == n_distinct(ps) == cx.count_patterns(X)
    check_gates(X, ps[:: 1 + len(ps) // 5000])
    sampled = cx.PatternSet.from_gates(
        X, np.random.default_rng(1).standard_normal((500, X.shape[1]))
    )
    assert as_set(sampled) <= as_set(ps)


@pytest.mark.parametrize("noise", [1e-4, 1e-7, 1e-9, 1e-11, 1e-12])
@pytest.mark.parametrize("intercept", [True, False])
def test_rows_close_to_a_grid_equal_whole_numbers(noise: float, intercept: bool) -> None:
    grid = np.array(list(itertools.product(range(3), range(3), range(2), [1])), float)
    X = grid + noise * gaussian(18, 4)
    if intercept:
        X[:, 3] = 1.0
    X = np.asfortranarray(X)
    rows = _core.ReducedRows(X, snap=False)
    lists = []
    for cells in (
        CompiledCells(rows, 18),
        CompiledCells(rows, 18, seed=1),
        ExactCells(rows, np.zeros(1, np.uint64), 18),
    ):
        out = np.empty((2 * cells.total, 1), np.uint64)
        (kept,) = cells.write(0, cells.total, cells.total, out, 1)
        lists.append(set(out[: 2 * kept, 0].tolist()))
        assert len(lists[-1]) == 2 * kept == 2 * cells.count(0, cells.total, 1)
    assert lists[0] == lists[1] == lists[2]


@pytest.mark.parametrize("noise", [1e-13, 1e-15, 1e-17])
def test_rows_that_32_digits_do_not_tell_apart_are_whole_numbers_too(noise: float) -> None:
    rng = np.random.default_rng(3)
    X = rng.standard_normal((6, 4))
    X = np.vstack([X, rng.integers(-2, 3, (6, 6)) @ X + noise * rng.standard_normal((6, 4))])
    ps = cx.enumerate_patterns(X, snap=False)
    exact = ExactCells(
        _core.ReducedRows(np.asfortranarray(X), snap=False), np.zeros(1, np.uint64), 12
    )
    assert len(ps) == n_distinct(ps) == 2 * exact.total == cx.count_patterns(X, snap=False)
    assert sum(map(len, cx.iter_patterns(X, snap=False))) == len(ps)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6))
def test_patterns_follow_the_rows_and_not_the_coordinates(seed: int) -> None:
    rng = np.random.default_rng(seed)
    X = rng.integers(-50, 51, (int(rng.integers(1, 12)), int(rng.integers(1, 4)))).astype(float)
    ps = cx.enumerate_patterns(X)
    T = np.triu(rng.integers(-3, 4, (X.shape[1], X.shape[1])), 1) + np.eye(X.shape[1])
    assert as_set(cx.enumerate_patterns(X @ T)) == as_set(ps)
    order = rng.permutation(len(X))
    assert as_set(cx.enumerate_patterns(X[order])) == as_set(ps.to_dense()[:, order])
    scales = 2.0 ** rng.integers(-20, 20, len(X))
    assert as_set(cx.enumerate_patterns(X * scales[:, np.newaxis])) == as_set(ps)


# ---------------------------------------------------------------------------------- conventions


def test_zero_rows_have_the_bit_one_in_complements_too() -> None:
    X = np.vstack([gaussian(5, 2), np.zeros((2, 2))])
    ps = cx.enumerate_patterns(X)
    assert len(ps) == 10
    assert ps.to_dense()[:, 5:].all()
    assert as_set(ps.complement()) == as_set(ps)
    check_gates(X, ps)


def test_the_all_zero_pattern_is_listed_if_it_exists() -> None:
    X = np.c_[gaussian(5, 1), np.ones(5)]
    ps = cx.enumerate_patterns(X)
    assert np.zeros(5, bool) in ps
    assert np.ones(5, bool) in ps
    around = np.array([[1.0, 0.0], [-1.0, 1.0], [-1.0, -1.0]])
    assert np.zeros(3, bool) not in cx.enumerate_patterns(around)


def test_data_without_a_row_that_is_not_zero() -> None:
    ps = cx.enumerate_patterns(np.zeros((3, 2)))
    assert ps.to_dense().tolist() == [[True, True, True]]
    assert ps.is_complete
    assert cx.count_patterns(np.zeros((3, 2))) == 1
    (block,) = cx.iter_patterns(np.zeros((3, 2)))
    assert block == ps
    assert list(cx.iter_patterns(np.zeros((3, 2)), start=block.cursor)) == []
    check_gates(np.zeros((3, 2)), ps)


def test_decimals_are_read_as_a_lattice() -> None:
    # 0.1 k and 0.3 k are collinear as decimals; as doubles they are not.
    k = np.arange(12.0)
    X = np.c_[0.1 * k, 0.3 * k + 0.1 * (k % 3), 0.7 * (k % 2), np.ones(12)]
    whole = np.c_[k, 3 * k + k % 3, k % 2, np.ones(12)]
    ps = cx.enumerate_patterns(X)
    assert as_set(ps) == as_set(cx.enumerate_patterns(whole))
    assert len(ps) < cx.count_patterns(X, snap=False)
    check_gates(X, ps)
    # In float32 they are too far off, until they are rounded as doubles.
    single = X.astype(np.float32)
    assert cx.count_patterns(single) > len(ps)
    assert cx.enumerate_patterns(single.astype(float).round(1)) == ps


def test_standardised_counts_are_read_as_a_lattice() -> None:
    counts = np.random.default_rng(0).integers(0, 4, (14, 3)).astype(float)
    scaled = (counts - counts.mean(axis=0)) / counts.std(axis=0)
    X, whole = np.c_[scaled, np.ones(14)], np.c_[counts, np.ones(14)]
    ps = cx.enumerate_patterns(X)
    assert as_set(ps) == as_set(cx.enumerate_patterns(whole))
    check_gates(X, ps)
    # Without the intercept an offset is no change of coordinates.
    assert as_set(cx.enumerate_patterns(scaled)) == as_set(lp_tree.all_cells(scaled))


@pytest.mark.parametrize("size", [1e6, 1e8, 1e10, 1e13, 1e16])
@pytest.mark.parametrize("outlier", [(1.0, -2.0), (-0.999999999, 9.999999999), (1.0, 0.3)])
def test_one_huge_row_does_not_make_the_others_zero(
    size: float, outlier: tuple[float, float]
) -> None:
    X = np.column_stack([gaussian(30, 2), np.ones(30)])
    X[7, :2] = size * np.array(outlier)
    ps = cx.enumerate_patterns(X)
    assert len(ps) == cx.count_patterns(X, snap=False) == cx.count_patterns(30, 3)
    balanced = X / np.exp2(np.floor(np.log2(np.abs(X).max(axis=1, keepdims=True))))
    assert as_set(cx.enumerate_patterns(balanced)) == as_set(ps)
    met = cx.PatternSet.from_gates(X, gaussian(200, 3, seed=1))
    assert as_set(met) <= as_set(ps)


def test_rows_of_any_size_make_the_same_cells() -> None:
    rng = np.random.default_rng(0)
    for seed in range(200):
        X = gaussian(int(rng.integers(3, 9)), int(rng.integers(2, 5)), seed=seed)
        sizes = np.exp2(rng.integers(-27, 28, (len(X), 1)))
        assert as_set(cx.enumerate_patterns(sizes * X)) == as_set(cx.enumerate_patterns(X))


def test_entries_whose_products_vanish_are_refused() -> None:
    X = np.array([[1e60, 1], [1e-300, 1], [0, 1], [-1e-300, 1]])
    for snap in (True, False):
        with pytest.raises(
            ValueError, match=r"no entry below 1e-100 times .* got 1e-300 in column 0"
        ):
            cx.enumerate_patterns(X, snap=snap)
    assert len(cx.sample_patterns(X, 3)) == 3


def test_snap_false_takes_the_doubles_as_given() -> None:
    third = np.array([[1.0, 2.0], [0.1, 0.2], [0.3, 0.6], [1.0, 0.0]])
    third[2, 1] = np.nextafter(0.6, 1)
    assert cx.count_patterns(third) == 4
    assert cx.count_patterns(third, snap=False) == 6
    product = gaussian(6, 2) @ gaussian(2, 3, seed=1)
    assert cx.count_patterns(product) == 12
    with pytest.raises(ValueError, match=r"depend on each other up to rounding only.*snap=False"):
        cx.count_patterns(product, snap=False)
    whole = np.c_[np.arange(5.0), np.ones(5), 2 * np.arange(5.0) + 1]
    assert cx.count_patterns(whole, snap=False) == 10


# ------------------------------------------------------------------------------ degenerate data


SMALL_DEGENERATE = {
    "one-hot": np.c_[np.eye(3)[np.arange(9) % 3], gaussian(9, 1)],
    "integer grid": np.c_[list(itertools.product(range(3), range(3))), np.ones(9)],
    "collinear decimals": np.c_[0.1 * np.arange(8), 0.3 * (np.arange(8) % 3), np.ones(8)],
    "hypercube": threshold(3),
    "resonance": resonance(3),
}


@pytest.mark.parametrize("name", SMALL_DEGENERATE)
def test_small_degenerate_data_equal_the_linear_programs(name: str) -> None:
    X = SMALL_DEGENERATE[name]
    ps = cx.enumerate_patterns(X)
    assert len(ps) == n_distinct(ps) == cx.count_patterns(X)
    assert as_set(ps) == as_set(lp_tree.all_cells(X))
    assert len(ps) < cx.count_patterns(_core.ReducedRows(np.asfortranarray(X), snap=True).count, 9)
    assert ps.is_complete
    assert "no broken circuit" in str(ps.proof)
    check_gates(X, ps)


def test_known_degenerate_counts() -> None:
    assert [cx.count_patterns(threshold(d)) for d in (1, 2, 3, 4)] == [4, 14, 104, 1882]
    assert [cx.count_patterns(resonance(d)) for d in (2, 3, 4)] == [6, 32, 370]


def f32(n: int) -> FloatArray:
    return np.round(gaussian(n, 4) * 2.0**20) / 2.0**20


LARGE_DEGENERATE = {
    "one-hot": np.c_[np.eye(3)[np.arange(45) % 3], gaussian(45, 2)],
    "two integers and noise": np.c_[
        np.random.default_rng(0).integers(0, 9, (90, 2)), gaussian(90, 1), np.ones(90)
    ],
    "decimals": np.c_[np.round(gaussian(90, 3), 2), np.ones(90)],
    "hypercube": threshold(5),
    "one dependent triple": np.vstack(
        [f32(90), f32(90)[40] + f32(90)[70]]  # a sum without rounding
    ),
}


@pytest.mark.parametrize("name", LARGE_DEGENERATE)
def test_large_degenerate_data_are_enumerated(name: str) -> None:
    X = LARGE_DEGENERATE[name]
    ps = cx.enumerate_patterns(X, verify=True, threads=2)
    rows = _core.ReducedRows(np.asfortranarray(X), snap=True)
    assert len(ps) == n_distinct(ps) == cx.count_patterns(X)
    assert len(ps) < cx.count_patterns(rows.count, rows.rank)
    assert "in other coordinates" in str(ps.proof)
    some = ps[np.random.default_rng(0).integers(0, len(ps), 500)]
    check_gates(X, some)
    met = cx.sample_patterns(X, 2000)
    assert len(ps[:1] | met) == len(met) + (ps[0] not in met)
    assert as_set(met) <= as_set(ps)


def test_rows_that_32_digits_leave_open_are_decided_exactly() -> None:
    for n in (30, 300):
        X = nearly_dependent(n)
        assert cx.count_patterns(X) == cx.count_patterns(n + 3, 3)
        assert cx.count_patterns(np.round(X, 6)) == cx.count_patterns(n + 3, 3) - 2
    rows = _core.ReducedRows(np.asfortranarray(nearly_dependent(30)), snap=False)
    lists = []
    for cells in (CompiledCells(rows, 33), ExactCells(rows, np.zeros(1, np.uint64), 33)):
        out = np.empty((2 * cells.total, 1), np.uint64)
        cells.write(0, cells.total, cells.total, out, 1)
        lists.append(set(out[:, 0].tolist()))
    assert lists[0] == lists[1]


def test_rows_that_are_left_open_are_refused_by_name() -> None:
    X = left_open(12)
    for call in (
        cx.enumerate_patterns,
        cx.count_patterns,
        lambda X: sum(map(len, cx.iter_patterns(X))),
        lambda X: cx.sample_patterns(X, 90_000, method="uniform"),
    ):
        with pytest.raises(ValueError, match=r"beyond exact arithmetic .* but rows .* may; r"):
            call(X)
    few = left_open(2)
    assert len(cx.enumerate_patterns(few)) == cx.count_patterns(few)  # in whole numbers
    assert "whole numbers" in str(cx.enumerate_patterns(few).proof)


def test_counts_of_any_size_begin_at_once_and_end_at_ctrl_c() -> None:
    X = gaussian(100, 12)  # 3e14 candidates
    delays = [seconds_to_stop(lambda: cx.count_patterns(X)) for _ in range(3)]
    assert min(delays) < 0.2, delays


def test_degenerate_data_far_beyond_memory_are_refused_before_it_is_taken() -> None:
    X = np.random.default_rng(0).integers(0, 9, (300, 8)).astype(float)
    with pytest.raises(MemoryError, match=r"patterns take \d+ bytes, more than can be had"):
        cx.enumerate_patterns(X)


def test_the_proof_says_how_zeros_are_told() -> None:
    assert "general position" in str(cx.enumerate_patterns(gaussian(9, 3)).proof)
    assert str(cx.enumerate_patterns(threshold(3)).proof).endswith("exactly, in whole numbers")
    large = threshold(3) * [1, 1e5, 1e6 + 1, 1e7 + 3]  # columns are scaled back, rows are not
    assert str(cx.enumerate_patterns(large, snap=False).proof).endswith("2^58 decisions)")
    mixed = np.c_[np.eye(3)[np.arange(12) % 3], gaussian(12, 1)]
    assert "modulo a prime of 58 bits" in str(cx.enumerate_patterns(mixed).proof)


def test_two_enumerations_that_differ_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    X = gaussian(12, 3)
    real = _cells.find_cells

    def wrong(X: FloatArray, rows: Any, *, threads: int, seed: int = 0) -> Any:
        if seed:
            X = X.copy()
            X[3] = [1.0, 2.0, 3.0]
            rows = _core.ReducedRows(np.asfortranarray(X), snap=True)
        return real(X, rows, threads=threads, seed=seed)

    assert cx.enumerate_patterns(X, verify=True).is_complete
    monkeypatch.setattr(_listing, "find_cells", wrong)
    for least in (0.0, 1e-3):
        with pytest.raises(RuntimeError, match="differ: 134 cells and 134 cells, fingerprints"):
            cx.enumerate_patterns(X, verify=True, min_margin=least)
