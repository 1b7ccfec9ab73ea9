"""Uniform cells: chi-square tests, numbers of cells, cells beyond number."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from scipy.stats import chi2

import pyconvexnn as cx
from pyconvexnn._cells import reduced
from pyconvexnn._typing import BitArray, FloatArray
from pyconvexnn.sampling.uniform import (
    ManySets,
    RankedSets,
    UniformCells,
    UniformOfList,
    uniform,
)
from tests.small_data import bits_of, designs, gaussian, left_open
from tests.vertex_method import every_pattern


def chi_square(X: FloatArray, n_patterns: int, n_seeds: int) -> float:
    """Probability of counts as uneven as those of `n_seeds` samples over all cells."""
    every = every_pattern(X)
    number = {words.tobytes(): i for i, words in enumerate(every.packed)}
    counts = np.zeros(len(every))
    for seed in range(n_seeds):
        for words in cx.sample_patterns(X, n_patterns, method="uniform", seed=seed).packed:
            counts[number[words.tobytes()]] += 1
    expected = n_seeds * n_patterns / len(every)
    # Without replacement counts vary less, by the share of the cells not drawn.
    spread = 1 - (n_patterns - 1) / (len(every) - 1)
    statistic = ((counts - expected) ** 2 / expected).sum() / spread
    return float(chi2.sf(statistic, len(every) - 1))


@pytest.mark.parametrize(
    ("X", "n_patterns"),
    [
        (gaussian(9, 3), 1),
        (gaussian(9, 3), 20),
        (gaussian(9, 3) @ np.diag([1e-2, 1.0, 1e2]) + [0, 0, 1e2], 1),
        (gaussian(7, 2), 5),
        (gaussian(7, 5), 30),
        (np.c_[np.abs(gaussian(8, 2)), np.ones(8)], 10),  # the all-zero pattern is a cell
        (designs()["hypercube"], 10),  # degenerate
        (np.vstack([gaussian(8, 3), -2 * gaussian(8, 3), np.zeros((1, 3))]), 9),
    ],
)
def test_cells_are_equally_likely(X: FloatArray, n_patterns: int) -> None:
    p = chi_square(X, n_patterns, 1000)
    assert 1e-3 < p < 1 - 1e-6


def test_other_samplers_are_seen_not_to_be_uniform() -> None:
    # The test above has the power to tell.
    X = gaussian(9, 3)
    counts: dict[bytes, int] = {}
    for seed in range(1500):
        key = cx.sample_patterns(X, 1, method="vertex", seed=seed).packed.tobytes()
        counts[key] = counts.get(key, 0) + 1
    expected = 1500 / 74
    statistic = sum((c - expected) ** 2 / expected for c in counts.values())
    assert chi2.sf(statistic, 73) < 1e-6


def test_nearly_all_cells_are_drawn_without_repetition() -> None:
    X = gaussian(40, 4)
    n_cells = cx.count_patterns(X)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ps = cx.sample_patterns(X, n_cells - 1, method="uniform", seed=4)
    assert len(ps) == n_cells - 1
    assert len(ps | cx.enumerate_patterns(X)) == n_cells


def test_the_distribution_does_not_depend_on_the_coordinates() -> None:
    # Cells of two coordinate systems are numbered differently, so only counts can be compared:
    # how often each cell is drawn is uniform in both (chi-square), and the cells are the same.
    X = gaussian(10, 3)
    T = np.array([[1e3, 2.0, 0.0], [0.0, 1.0, 5.0], [1.0, 0.0, 1e-3]])
    assert every_pattern(X).fingerprint == every_pattern(X @ T).fingerprint
    assert 1e-3 < chi_square(X @ T, 10, 1000) < 1 - 1e-6


def test_ranked_sets_are_a_numbering() -> None:
    rows = reduced(np.asfortranarray(gaussian(9, 4)), True)
    draw = RankedSets(rows, np.random.default_rng(0))
    seen = []
    for _ in range(2):  # 2 (1 + 8 + 28 + 56) = 186 numbers: one batch has them all
        sets, places, sides = draw()
        for of_size, place in zip(sets, places, strict=True):
            seen += [
                (tuple(s), bool(side))
                for s, side in zip(of_size.tolist(), sides[place], strict=True)
            ]
    assert len(seen) == len(set(seen)) == 186
    assert all(min(s, default=1) >= 1 and max(s, default=1) <= 8 for s, _ in seen)
    assert all(list(s) == sorted(set(s)) for s, _ in seen)


def test_sets_beyond_number_are_uniform_too() -> None:
    X = np.asfortranarray(gaussian(9, 3))
    rows = reduced(X, True)
    every = every_pattern(X)
    number = {words.tobytes(): i for i, words in enumerate(every.packed)}
    sampler = UniformCells(rows, ManySets(rows, np.random.default_rng(1)))
    counts = np.zeros(len(every))
    for _ in range(20):
        draws = sampler.draw()
        assert draws is not None
        for words in draws.packed:
            counts[number[words.tobytes()]] += 1
    expected = counts.sum() / len(every)
    p = chi2.sf(((counts - expected) ** 2 / expected).sum(), len(every) - 1)
    assert 1e-3 < p < 1 - 1e-6


def test_more_cells_than_can_be_numbered() -> None:
    X = gaussian(300, 20)
    assert cx.count_patterns(300, 20) > 2**63
    ps = cx.sample_patterns(X, 20, method="uniform")
    assert ps.gates is not None
    np.testing.assert_array_equal(bits_of(X, ps.gates), ps.to_dense())
    assert cx.sample_patterns(X, 30, method="uniform")[:20] == ps


def test_candidates_without_a_cell_are_rejected() -> None:
    grid = np.stack(np.meshgrid(*[np.arange(5.0)] * 3), axis=-1).reshape(-1, 3)
    X = np.c_[grid, np.ones(125)]
    every = cx.enumerate_patterns(X)
    ps = cx.sample_patterns(X, 3000, method="uniform")
    assert len(ps) == 3000
    assert len(every | ps) == len(every)
    # Where cells have no numbers, too: many rows of a subspace, and rank 30.
    many = gaussian(200, 30)
    many[3:, :] = many[3:, :] * (np.arange(30) < 28) + 0.0
    ps = cx.sample_patterns(many, 10, method="uniform")
    np.testing.assert_array_equal(bits_of(many, ps.gates), ps.to_dense())


def test_the_list_of_a_degenerate_arrangement_ends() -> None:
    X = np.asfortranarray(left_open(2))  # small, so that it is listed in whole numbers
    sampler = uniform(X, np.random.default_rng(0))
    assert isinstance(sampler, UniformOfList)
    drawn: list[BitArray] = []
    while (draws := sampler.draw()) is not None:
        drawn.append(draws.packed)
    assert sum(map(len, drawn)) == len(np.unique(np.concatenate(drawn))) == cx.count_patterns(X)
