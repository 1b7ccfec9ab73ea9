"""Cells at vertices: invariance, adjacency, degenerate data."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import pyconvexnn as cx
from pyconvexnn._bits import unpack
from pyconvexnn.sampling.vertex import Vertex, parallel_classes
from tests.small_data import designs, gaussian
from tests.vertex_method import all_cells, every_pattern


@pytest.mark.parametrize("shape", [(40, 2), (40, 4), (100, 6), (30, 10), (8, 8)])
def test_the_sample_does_not_depend_on_the_coordinates(shape: tuple[int, int]) -> None:
    X = gaussian(*shape)
    expected = cx.sample_patterns(X, 150 if shape != (40, 2) else 50, method="vertex")
    for seed in range(5):
        rng = np.random.default_rng(seed)
        T = rng.standard_normal((shape[1], shape[1])) * 10.0 ** rng.integers(-6, 6, shape[1])
        other = cx.sample_patterns(X @ T, len(expected), method="vertex")
        assert other == expected
        assert other.gates is not None


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10**6))
def test_degenerate_data_in_other_coordinates(seed: int) -> None:
    rng = np.random.default_rng(seed)
    X = designs()["one-hot"]
    mixed = X @ rng.standard_normal((7, 7))
    ps = cx.sample_patterns(X, 60, method="vertex")
    assert cx.sample_patterns(mixed, 60, method="vertex") == ps


def test_each_draw_is_a_cell_at_the_vertex_of_its_rows() -> None:
    X = gaussian(12, 3)
    cells = {bits.tobytes() for bits in all_cells(X)}
    sampler = Vertex(np.asfortranarray(X), np.random.default_rng(2))
    rays = set()
    for a, b in itertools.combinations(range(12), 2):
        ray = np.cross(X[a], X[b])
        for side in (1, -1):
            bits = side * (X @ ray) > 0
            for both in itertools.product((False, True), repeat=2):
                bits[[a, b]] = both
                rays.add(bits.tobytes())
    drawn = np.concatenate([sampler.draw().packed for _ in range(30)])
    found = {bits.tobytes() for bits in unpack(drawn, 12)}
    assert found <= cells
    assert found == rays == cells  # every cell has a vertex


def test_all_cells_of_degenerate_data_are_reached() -> None:
    for name in ("hypercube", "repeated and opposite rows"):
        X = designs()[name][:9]
        every = every_pattern(X)
        sampler = Vertex(np.asfortranarray(X), np.random.default_rng(3))
        drawn = np.unique(np.concatenate([sampler.draw().packed for _ in range(40)]), axis=0)
        met = cx.PatternSet(drawn, len(X))
        met = met[np.flatnonzero(met.to_dense().any(axis=1))]
        assert met.fingerprint == every.fingerprint


def test_parallel_rows_are_one_class() -> None:
    X = gaussian(30, 4)
    X /= np.linalg.norm(X, axis=1, keepdims=True)
    first, flipped = parallel_classes(np.vstack([X, -X[5:7], X[5:6], X]))
    assert first.tolist() == [*range(30), 5, 6, 5, *range(30)]
    assert np.flatnonzero(flipped).tolist() == [30, 31]


def test_repeated_rows_do_not_change_the_draws() -> None:
    X = gaussian(20, 3)
    ps = cx.sample_patterns(X, 100, method="vertex")
    many = cx.sample_patterns(np.vstack([X, X[3:9], -3 * X[:4]]), 100, method="vertex")
    assert many.restrict(range(20)) == ps
    assert (many.to_dense()[:, 26:] != ps.to_dense()[:, :4]).all()
