"""A grid with noise of every size: nearly degenerate data, where tolerances lose cells."""

from __future__ import annotations

import functools
import itertools

import numpy as np
import pytest

import pyconvexnn as cx
from pyconvexnn._typing import BitArray, FloatArray, IndexArray
from tests.cell_counts import count_cells
from tests.small_data import gaussian
from tests.witnesses import check_witnesses

LEVELS = [0.0, *(10.0**-k for k in range(12, 3, -1))]
LARGE = 1e-4  # the margin of cells that must not be lost
GENERIC = cx.count_patterns(64, 4)

# The slow part has the other levels.
FEW = [
    level if level in LEVELS[::3] else pytest.param(level, marks=pytest.mark.slow)
    for level in LEVELS
]


def noisy_grid(level: float) -> FloatArray:
    grid = np.array(list(itertools.product(range(4), repeat=3)), float)
    return np.column_stack([grid + level * gaussian(64, 3), np.ones(64)])


@functools.cache
def grid_cells() -> int:
    return count_cells(noisy_grid(0.0))


@functools.cache
def cells(level: float) -> cx.PatternSet:
    return cx.enumerate_patterns(noisy_grid(level), verify=True)


def words(ps: cx.PatternSet) -> BitArray:
    """One word for each pattern of 64 rows, sorted."""
    return np.sort(ps.packed[:, 0])


def large_cells(level: float) -> tuple[BitArray, FloatArray]:
    """Words and gates of the cells with a margin above `LARGE`."""
    ps = cx.enumerate_patterns(noisy_grid(level), min_margin=LARGE)
    assert ps.gates is not None
    return ps.packed[:, 0], ps.gates


@pytest.mark.parametrize("level", FEW)
def test_two_charts_agree_and_no_cell_is_missing(level: float) -> None:
    X = noisy_grid(level)
    ps = cells(level)
    assert ps.is_complete
    assert len(np.unique(ps.packed)) == len(ps) == cx.count_patterns(X)
    # Whatever the noise, the rows are in general position, but without any.
    assert len(ps) == (GENERIC if level else grid_cells())
    as_given = cx.enumerate_patterns(X, snap=False, verify=True)
    assert as_given.fingerprint == ps.fingerprint
    assert cx.enumerate_patterns(X[::-1], threads=2).restrict(
        slice(None, None, -1)
    ).fingerprint == (ps.fingerprint)


@pytest.mark.parametrize("level", FEW)
def test_the_rows_with_noise_are_in_general_position(level: float) -> None:
    if level:
        assert count_cells(noisy_grid(level)) == GENERIC


@pytest.mark.parametrize("level", FEW)
def test_no_large_cell_is_lost(level: float) -> None:
    X = noisy_grid(level)
    found = words(cells(level))
    gates = np.random.default_rng(1).standard_normal((200_000, 4))
    gates[::2, 3] *= 4.0  # hyperplanes farther from the origin, and through the grid
    gates[::2] -= np.c_[np.zeros((100_000, 3)), 1.5 * gates[::2, :3].sum(axis=1)]
    met = cx.PatternSet.from_gates(X, gates)
    wide = met.packed[met.margins(X) > LARGE, 0]
    assert len(np.unique(wide)) > 5000
    assert np.isin(wide, found).all()
    # And the large cells of other levels, at the points where they are widest.
    for other in (LEVELS[-1], LEVELS[-4]):
        _, inside = large_cells(other)
        there = cx.PatternSet.from_gates(X, inside)
        wide = there.packed[there.margins(X) > LARGE, 0]
        assert len(np.unique(wide)) > 0.99 * grid_cells()
        assert np.isin(wide, found).all()


@pytest.mark.parametrize("level", FEW)
def test_the_large_cells_are_those_of_the_grid(level: float) -> None:
    found, _ = large_cells(level)
    exact = words(cells(0.0))
    assert len(found) == grid_cells()
    np.testing.assert_array_equal(np.sort(found), exact)


@pytest.mark.parametrize("level", FEW)
def test_every_cell_has_a_witness_or_is_listed_as_thin(level: float) -> None:
    ps = cells(level)
    thin: IndexArray = ps.thin
    assert (np.diff(thin) > 0).all()
    assert level >= 1e-6 or not level or len(thin) > 0
    kept = np.setdiff1d(np.arange(len(ps)), thin)
    assert len(kept) >= grid_cells()
    check_witnesses(noisy_grid(level), ps[kept])
