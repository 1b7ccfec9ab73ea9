"""Uniform cells of degenerate data: all cells, no others, all equally often."""

from __future__ import annotations

import itertools
import warnings
from typing import Any

import numpy as np
import pytest
from scipy.stats import chi2

import pyconvexnn as cx
from pyconvexnn._typing import BoolArray, FloatArray
from tests import exact_tree
from tests.degenerate_data import instance
from tests.small_data import as_set, bits_of, gaussian
from tests.test_exact_cells import resonance, threshold, type_b


def grid(side: int) -> FloatArray:
    points = np.array(list(itertools.product(range(side), repeat=3)), float)
    return np.column_stack([points, np.ones(len(points))])


def p_value(counts: Any, expected: Any, spread: float = 1.0) -> float:
    """Probability of counts as uneven as these."""
    statistic = float(((counts - expected) ** 2 / expected).sum()) / spread
    return float(chi2.sf(statistic, len(expected) - 1))


def worth_drawing(X: FloatArray, cells: BoolArray) -> BoolArray:
    """All cells but the one that has no row on but those that are zero."""
    return cells[cells[:, X.any(axis=1)].any(axis=1)]


SETS = {
    "hypercube": threshold(3),
    "resonance": resonance(4),
    "type B": type_b(3),
    "grid": np.c_[list(itertools.product(range(3), range(3))), np.ones(9)].astype(float),
    "one-hot": np.c_[np.eye(3)[np.arange(9) % 3], gaussian(9, 1)],
    "repeated and opposite": np.vstack([type_b(3), -2 * type_b(3)[:4], np.zeros((1, 3))]),
}


@pytest.mark.parametrize(
    ("name", "n_patterns", "n_seeds"),
    [
        ("hypercube", 1, 600),
        ("one-hot", 12, 200),
        ("repeated and opposite", 12, 200),
        *(
            pytest.param(name, n_patterns, 2000, marks=pytest.mark.slow)
            for name in SETS
            for n_patterns in (1, 12)
        ),
    ],
)
def test_cells_of_degenerate_data_are_equally_likely(
    name: str, n_patterns: int, n_seeds: int
) -> None:
    X = SETS[name]
    cells = worth_drawing(X, exact_tree.all_cells(X))
    number = {bits.tobytes(): i for i, bits in enumerate(cells)}
    counts = np.zeros(len(number))
    for seed in range(n_seeds):
        ps = cx.sample_patterns(X, n_patterns, method="uniform", seed=seed)
        for bits in ps.to_dense():
            counts[number[bits.tobytes()]] += 1  # which no other pattern has
    # Without replacement counts vary less, by the share of the cells not drawn.
    spread = 1 - (n_patterns - 1) / (len(number) - 1)
    expected = np.full(len(number), n_seeds * n_patterns / len(number))
    assert 1e-3 < p_value(counts, expected, spread) < 1 - 1e-6


@pytest.mark.parametrize("number", range(0, 42, 3))
def test_all_cells_of_degenerate_data_are_drawn(number: int) -> None:
    X, exact = instance(number)
    cells = worth_drawing(X, exact_tree.all_cells(exact))
    with warnings.catch_warnings():
        warnings.simplefilter("error" if len(cells) > 1 else "ignore")
        some = cx.sample_patterns(X, max(1, len(cells) - 1), method="uniform", seed=number)
    assert as_set(some) <= as_set(cells)
    assert len(as_set(some)) == len(some) == max(1, len(cells) - 1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        every = cx.sample_patterns(X, len(cells) + 5, method="uniform", seed=number)
    assert as_set(every) == as_set(cells)


def test_large_degenerate_data_are_sampled_uniformly() -> None:
    X = grid(4)
    every = cx.enumerate_patterns(X).packed[:, 0]
    every = np.sort(every[every != 0])
    drawn = []
    for seed in range(8):
        ps = cx.sample_patterns(X, 2500, method="uniform", seed=seed)
        assert len(np.unique(ps.packed)) == 2500
        assert np.isin(ps.packed[:, 0], every).all()
        assert ps.gates is not None
        np.testing.assert_array_equal(bits_of(X, ps.gates), ps.to_dense())
        drawn.append(ps.packed[:, 0])
    # By the number of active rows, and by place in the sorted list.
    words = np.concatenate(drawn)
    share = len(words) / len(every)
    active, expected = (np.bincount(np.bitwise_count(w).clip(6, 58))[6:] for w in (words, every))
    assert p_value(active, share * expected) > 1e-3
    places = np.searchsorted(every, words) * 100 // len(every)
    sizes = np.bincount(np.arange(len(every)) * 100 // len(every))
    assert p_value(np.bincount(places, minlength=100), share * sizes) > 1e-3


def test_a_sample_of_degenerate_data_begins_a_longer_one() -> None:
    X = grid(5)
    ps = cx.sample_patterns(X, 60, method="uniform", seed=3)
    assert cx.sample_patterns(X, 20, method="uniform", seed=3) == ps[:20]
    assert cx.sample_patterns(X, 60, method="uniform", seed=4) != ps
