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
    level if level in (0.0, 1e-12) else pytest.param(level, marks=pytest.mark.slow)
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


@functools.cache
def with_witnesses(level: float) -> cx.PatternSet:
    """The cells that are not thin."""
    ps = cells(level)
    return ps[np.setdiff1d(np.arange(len(ps)), ps.thin)]


@functools.cache
def large_cells(level: float) -> cx.PatternSet:
    """Cells with a margin above `LARGE`."""
    ps = with_witnesses(level)
    return ps[np.flatnonzero(ps.margins(noisy_grid(level)) > LARGE)]


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
    gates = np.random.default_rng(1).standard_normal((100_000, 4))
    gates[:, 3] -= 1.5 * gates[:, :3].sum(axis=1)  # through the middle of the grid
    met = cx.PatternSet.from_gates(X, gates)
    wide = met.packed[met.margins(X) > LARGE, 0]
    assert len(np.unique(wide)) > 5000
    assert np.isin(wide, found).all()
    # And the large cells of another level, at the points where they are widest.
    inside = large_cells(0.0 if level else 1e-4).gates
    assert inside is not None
    there = cx.PatternSet.from_gates(X, inside)
    wide = there.packed[there.margins(X) > LARGE, 0]
    assert len(np.unique(wide)) > 0.99 * grid_cells()
    assert np.isin(wide, found).all()


@pytest.mark.parametrize("level", FEW)
def test_the_large_cells_are_those_of_the_grid(level: float) -> None:
    found = large_cells(level)
    assert len(found) == grid_cells()
    np.testing.assert_array_equal(words(found), words(cells(0.0)))
    # And so say the gates themselves where cells are left out by their margins.
    wide = cx.enumerate_patterns(noisy_grid(level), min_margin=LARGE)
    np.testing.assert_array_equal(words(wide), words(found))
    assert not wide.is_complete or len(wide) == len(cells(level))


@pytest.mark.parametrize("level", FEW)
def test_every_cell_has_a_witness_or_is_listed_as_thin(level: float) -> None:
    ps = cells(level)
    thin: IndexArray = ps.thin
    assert (np.diff(thin) > 0).all()
    assert (len(thin) > 0) == (0.0 < level <= 1e-7)
    assert len(thin) <= len(ps) - grid_cells()
    check_witnesses(noisy_grid(level), with_witnesses(level))
