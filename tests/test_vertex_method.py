"""The brute force that other tests rely on: its counts, and membership of every sampled gate."""

from __future__ import annotations

import itertools
from math import comb

import numpy as np
import pytest

import pyconvexnn as cx
from tests.vertex_method import DATA, all_cells, every_pattern


@pytest.mark.parametrize("name", DATA)
def test_counts_of_the_known_data(name: str) -> None:
    X, _, count, _, _ = DATA[name]
    assert len(all_cells(X)) == count


@pytest.mark.parametrize(("n", "d"), [(1, 1), (4, 1), (5, 2), (8, 2), (8, 3), (7, 4), (3, 5)])
def test_counts_of_rows_in_general_position(n: int, d: int) -> None:
    X = np.random.default_rng(n + d).standard_normal((n, d))
    assert len(all_cells(X)) == 2 * sum(comb(n - 1, k) for k in range(min(n, d)))


def test_threshold_functions_of_three_variables() -> None:
    corners = np.array(list(itertools.product((-1.0, 1.0), repeat=3)))
    assert len(all_cells(np.column_stack([corners, np.ones(8)]))) == 104


def test_parallel_repeated_and_zero_rows_do_not_count() -> None:
    X = np.array([[1.0, 0.0], [0.0, 1.0], [-2.0, 0.0], [0.0, 0.0], [0.0, 1.0]])
    cells = all_cells(X)
    assert len(cells) == 4
    assert cells[:, 3].all()
    np.testing.assert_array_equal(cells[:, 1], cells[:, 4])
    np.testing.assert_array_equal(cells[:, 0], ~cells[:, 2])
    np.testing.assert_array_equal(all_cells(np.zeros((2, 3))), [[True, True]])


@pytest.mark.parametrize("name", DATA)
def test_random_gates_find_only_these_cells_and_all_of_them(name: str) -> None:
    X = DATA[name][0]
    gates = np.random.default_rng(0).standard_normal((5000, X.shape[1]))
    sampled = {bits.tobytes() for bits in gates @ X.T > 0}
    assert sampled == {bits.tobytes() for bits in all_cells(X)}


def test_every_pattern_leaves_out_the_empty_one_and_can_be_realised() -> None:
    X = DATA["F4"][0]
    patterns = every_pattern(X)
    assert len(patterns) == 31  # some u has every row of F4 on its positive side, and -u none
    assert patterns.to_dense().any(axis=1).all()
    assert patterns.realise(X) == patterns
    assert isinstance(patterns, cx.PatternSet)
