"""Degenerate data: the cells of exact oracles on random instances, and a witness in each cell."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import nnls

import pyconvexnn as cx
from pyconvexnn import _core
from pyconvexnn._bits import zero_rows_of
from pyconvexnn._cells import CompiledCells, ExactCells
from pyconvexnn._typing import BoolArray, FloatArray, IndexArray
from tests import exact_tree, lp_tree
from tests.cell_counts import count_cells
from tests.degenerate_data import KINDS, N_INSTANCES, instance
from tests.small_data import as_set, check_gates, gaussian, n_distinct
from tests.vertex_method import DATA
from tests.witnesses import check_witnesses

# ---------------------------------------------------------------------------------- the oracles


def test_the_oracles_agree_with_each_other_on_known_data() -> None:
    for X, _, count, _, _ in DATA.values():
        cells = exact_tree.all_cells(X)
        assert len(cells) == count == count_cells(X)
        assert as_set(cells) == as_set(lp_tree.all_cells(X))
    for seed in range(5):
        X = gaussian(8, 3, seed)
        assert len(exact_tree.all_cells(X)) == count_cells(X) == cx.count_patterns(8, 3)


def test_the_oracles_know_no_tolerance() -> None:
    # The third line passes the crossing of the others at a distance of 2^-50, or not at all.
    for shift, count in ((0.0, 12), (2.0**-50, 14)):
        X = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [1.0, 1.0, shift], [0.0, 0.0, 1.0]])
        assert len(exact_tree.all_cells(X)) == count_cells(X) == count
    assert exact_tree.all_cells(np.zeros((2, 3))).tolist() == [[True, True]]
    assert exact_tree.all_cells([[0, 0], [2, -1]]).tolist() == [[True, True], [True, False]]
    assert count_cells(np.zeros((2, 3))) == 1
    assert count_cells([[1, 2], [2, 4], [-1, -2], [0, 0]]) == 2
    assert exact_tree.common_side([(1, 0), (0, 1), (-1, -1)]) is None
    assert exact_tree.common_side([(1, 0), (0, 1), (-1, 1)]) is not None
    assert exact_tree.common_side([(1, 0), (2**80, 1), (-(2**80), -1 + 2**9)]) == ()
    assert exact_tree.common_side([(1, 0), (2**80, 1), (-(2**80), -1)]) is None


def test_instances_are_what_they_are_called() -> None:
    seen = set()
    for number in range(0, N_INSTANCES, 3):
        X, exact = instance(number)
        assert len(X) == len(exact)
        rank = np.linalg.matrix_rank(X, tol=1e-8)
        assert rank == np.linalg.matrix_rank(exact)
        most = cx.count_patterns(len(X), int(rank))
        seen |= {
            (KINDS[number % len(KINDS)], bool((exact[:, -1] == 1.0).all())),
            ("fewer cells", count_cells(exact) < most),
            ("dependent columns", int(rank) < X.shape[1]),
            ("zero rows", not X.any(axis=1).all()),
        }
    assert len(seen) >= 2 * len(KINDS) + 5
    assert cx.count_patterns(17, 3) <= 300 >= cx.count_patterns(10, 4)


# -------------------------------------------------------------------------- sets of patterns


@pytest.mark.parametrize(
    "number",
    [
        *range(20),
        *(pytest.param(number, marks=pytest.mark.slow) for number in range(20, N_INSTANCES)),
    ],
)
def test_random_degenerate_data_equal_the_exact_tree(number: int) -> None:
    X, exact = instance(number)
    ps = cx.enumerate_patterns(X)
    assert len(ps) == n_distinct(ps) == cx.count_patterns(X) == count_cells(exact) <= 300
    assert as_set(ps) == as_set(exact_tree.all_cells(exact))
    assert ps.is_complete
    check_gates(X, ps)
    assert sum(map(len, cx.iter_patterns(X, block_size=10))) == len(ps)


@pytest.mark.slow
@pytest.mark.parametrize("number", range(0, N_INSTANCES, 4))
def test_random_degenerate_data_equal_the_linear_programs(number: int) -> None:
    X, exact = instance(number)
    assert as_set(cx.enumerate_patterns(X)) == as_set(lp_tree.all_cells(exact))


@pytest.mark.parametrize("number", range(0, 40, 3))
def test_neither_the_order_of_rows_nor_that_of_columns_matters(number: int) -> None:
    X, exact = instance(number)
    ps = cx.enumerate_patterns(X)
    order = np.random.default_rng(number).permutation(len(X))
    permuted = cx.enumerate_patterns(X[order])
    assert permuted.restrict(np.argsort(order)).fingerprint == ps.fingerprint
    assert cx.enumerate_patterns(X[:, ::-1]).fingerprint == ps.fingerprint
    assert cx.enumerate_patterns(exact, snap=False).fingerprint == ps.fingerprint


@pytest.mark.parametrize("number", range(1, 40, 3))
def test_two_charts_have_the_same_cells(number: int) -> None:
    X, _ = instance(number)
    checked = cx.enumerate_patterns(X, verify=True)
    assert checked == cx.enumerate_patterns(X)
    assert checked.is_complete
    assert checked.proof


@pytest.mark.parametrize("number", [29, 49, 51])
def test_several_small_pivots_on_the_way_to_a_vertex_change_no_cell(number: int) -> None:
    # Rows that nearly depend on each other, in more than one way: each costs doubles some digits.
    rng = np.random.default_rng(number)
    X = np.asfortranarray(rng.integers(-1, 2, (20, 4)) * 2.0 ** -rng.integers(0, 31, (20, 4)))
    rows = _core.ReducedRows(X, snap=False)
    exact = ExactCells(rows, zero_rows_of(X), len(X))
    every = np.empty((2 * exact.total, 1), np.uint64)
    exact.write(0, exact.total, exact.total, every, 1)
    for seed in range(6):
        cells = CompiledCells(rows, len(X), seed)
        found = np.empty((2 * cells.total, 1), np.uint64)
        kept = cells.write(0, cells.total, cells.total, found, 1)
        assert np.array_equal(np.sort(found[: 2 * kept[0], 0]), np.sort(every[:, 0])), seed


# --------------------------------------------------------------------------------- witnesses


@pytest.mark.parametrize("number", range(1, 40, 4))
def test_every_cell_of_degenerate_data_has_a_witness(number: int) -> None:
    X, _ = instance(number)
    ps = cx.enumerate_patterns(X)
    assert len(ps.thin) == 0
    check_witnesses(X, ps)


def best_margins(X: FloatArray, patterns: BoolArray) -> FloatArray:
    """Bounds of all margins: the shortest vectors of conv{s_k x_k / |x_k|} found by NNLS."""
    rows = X[X.any(axis=1)] / np.linalg.norm(X[X.any(axis=1)], axis=1, keepdims=True)
    found = []
    for bits in patterns[:, X.any(axis=1)]:
        signed = np.where(bits, 1.0, -1.0)[:, np.newaxis] * rows
        sums_to_one = np.append(np.zeros(X.shape[1]), 1.0)
        weights, _ = nnls(np.vstack([signed.T, np.ones(len(rows))]), sums_to_one)
        found.append(np.linalg.norm(signed.T @ weights) / weights.sum())
    return np.array(found)


@pytest.mark.parametrize("width", [1e-9, 1e-10, 1e-14, 1e-15])
def test_thin_cells_are_those_below_the_margin(width: float) -> None:
    # Between (1, 1, 0) and (1, 1, width) and their like: next to degenerate, and not in doubles.
    X = np.vstack([np.eye(3), [1.0, 1.0, 0.0], [1.0, 1.0, width], [1.0, -1.0, 2.0]])
    ps = cx.enumerate_patterns(X, snap=False)
    assert len(ps) == len(exact_tree.all_cells(X)) == n_distinct(ps)
    assert as_set(ps) == as_set(exact_tree.all_cells(X))
    thin: IndexArray = ps.thin
    assert thin.dtype == np.int64
    np.testing.assert_array_equal(thin, np.flatnonzero(best_margins(X, ps.to_dense()) < 1e-12))
    assert (len(thin) > 0) == (width < 1e-12)
    kept = np.setdiff1d(np.arange(len(ps)), thin)
    check_witnesses(X, ps[kept])
    assert len(ps[kept].thin) == 0
    assert len(ps[thin].thin) == len(thin)
