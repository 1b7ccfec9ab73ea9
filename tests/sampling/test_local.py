"""Cells around directions."""

from __future__ import annotations

import numpy as np
import pytest

import pyconvexnn as cx
from pyconvexnn._typing import BoolArray, IndexArray
from tests.small_data import bits_of, gaussian, quiet_sample


def distances(ps: cx.PatternSet, bits: BoolArray) -> IndexArray:
    """Bits in which patterns differ from one."""
    return np.asarray((ps.to_dense() != bits).sum(axis=1))


@pytest.mark.parametrize("coordinates", ["whitened", "raw"])
def test_the_cells_of_the_directions_come_first(coordinates: str) -> None:
    X = gaussian(60, 5) * [1.0, 1e3, 1e-3, 1.0, 1.0]
    G = gaussian(300, 5, seed=3)
    own = bits_of(X, G)
    first = np.sort(np.unique(own, axis=0, return_index=True)[1])
    ps = cx.sample_patterns(X, 500, method="local", around=G, coordinates=coordinates)
    np.testing.assert_array_equal(ps.to_dense()[: len(first)], own[first])
    assert ps.gates is not None
    np.testing.assert_array_equal(ps.gates[: len(first)], G[first])
    one = cx.sample_patterns(X, 1, method="local", around=G[:1], coordinates=coordinates)
    np.testing.assert_array_equal(one.to_dense(), own[:1])


@pytest.mark.parametrize("coordinates", ["whitened", "raw"])
def test_near_cells_come_before_far_ones(coordinates: str) -> None:
    X = gaussian(200, 5)
    u = gaussian(1, 5, seed=4)
    ps = cx.sample_patterns(X, 800, method="local", around=u, coordinates=coordinates)
    apart = distances(ps, bits_of(X, u))
    assert apart[0] == 0
    assert apart[:30].mean() < 8
    assert apart[:30].mean() < apart[100:400].mean() < apart[400:].mean()
    everywhere = distances(cx.sample_patterns(X, 800), bits_of(X, u))
    assert apart.max() < everywhere.mean()


@pytest.mark.parametrize("seed", range(6))
def test_the_cell_across_the_nearest_hyperplane_is_met_early(seed: int) -> None:
    X = gaussian(60, 4, seed)
    u = gaussian(1, 4, seed + 50)
    across = bits_of(X, u)[0]
    nearest = np.argmin(np.abs(X @ u[0]) / np.linalg.norm(X, axis=1))
    across[nearest] ^= True  # the foot of u on this hyperplane is in its closure
    ps = cx.sample_patterns(X, 12, method="local", coordinates="raw", around=u)
    assert across in ps


def test_directions_take_turns() -> None:
    X = gaussian(200, 5)
    G = gaussian(4, 5, seed=5)
    ps = cx.sample_patterns(X, 400, method="local", around=G)
    nearest = np.argmin([distances(ps, bits) for bits in bits_of(X, G)], axis=0)
    assert (np.bincount(nearest, minlength=4) > 60).all()


def test_repeated_rows_do_not_keep_it_near() -> None:
    X = np.vstack([gaussian(30, 3), np.tile(gaussian(1, 3, seed=8), (3000, 1))])
    u = gaussian(1, 3, seed=8) + 1e-3 * gaussian(1, 3, seed=9)
    ps = cx.sample_patterns(X, 300, method="local", around=u)
    assert len(ps) == 300


def test_the_scale_of_directions_does_not_matter() -> None:
    X = gaussian(50, 4)
    G = gaussian(2, 4, seed=5)
    ps = cx.sample_patterns(X, 100, method="local", around=G)
    assert cx.sample_patterns(X, 100, method="local", around=G * [[8.0], [0.25]]) == ps
    units = np.array([2.0**40, 1.0, 2.0**-30, 1.0])
    assert cx.sample_patterns(X * units, 100, method="local", around=G / units) == ps


def test_directions_that_the_data_do_not_see() -> None:
    X = np.c_[gaussian(20, 3), np.zeros(20)]
    ps = cx.sample_patterns(X, 50, method="local", around=[[0.0, 0.0, 0.0, 1.0]])
    assert ps.to_dense()[0].all()  # on every hyperplane
    assert len(ps) == 50


def test_all_cells_start_with_those_of_the_directions() -> None:
    X = gaussian(8, 3)
    G = gaussian(5, 3, seed=5)
    own = bits_of(X, G)
    first = np.sort(np.unique(own, axis=0, return_index=True)[1])
    ps = quiet_sample(X, 10_000, method="local", around=G)
    np.testing.assert_array_equal(ps.to_dense()[: len(first)], own[first])
    assert len(ps) == cx.count_patterns(X)
