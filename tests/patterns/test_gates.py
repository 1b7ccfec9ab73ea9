"""Margins of gates, and gates found for patterns."""

from __future__ import annotations

import numpy as np
import pytest

import pyconvexnn as cx
from pyconvexnn.patterns import gates
from tests.small_data import (
    bits_of,
    designs,
    gaussian,
    quiet_sample,
)


@pytest.mark.parametrize("scale", [1.0, 1e-40, 1e40])
def test_margins_are_the_sines_to_the_nearest_hyperplane(
    scale: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gates, "_BLOCK_ENTRIES", 100)
    X, G = gaussian(30, 4), gaussian(10, 4, seed=1)
    sines = np.abs(X @ G.T) / np.outer(np.linalg.norm(X, axis=1), np.linalg.norm(G, axis=1))
    X = np.vstack([X * scale, np.zeros(4)])
    ps = cx.PatternSet.from_gates(X, G / scale)
    np.testing.assert_allclose(ps.margins(X), sines.min(axis=0), rtol=1e-12)


def test_margins_at_the_ends() -> None:
    for seed in range(50):
        x = gaussian(1, 5, seed)
        assert 1 - 1e-15 < cx.PatternSet.from_gates(x, x).margins(x).item() <= 1
    assert cx.PatternSet.from_gates([[2.0]], [[3.0], [-3.0]]).margins([[2.0]]).tolist() == [1, 1]
    assert cx.PatternSet.from_gates([[0.0]], [[3.0]]).margins([[0.0]]).tolist() == [1]
    X = [[1.0, 0.0], [0.0, 1.0]]
    assert cx.PatternSet.from_gates(X, [[0.0, 0.0], [1.0, 0.0]]).margins(X).tolist() == [0, 0]
    assert cx.PatternSet.from_gates(X, X)[[]].margins(X).shape == (0,)


# --- realise ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", designs())
def test_realise_finds_gates_of_cells(name: str) -> None:
    X = designs()[name]
    ps = quiet_sample(X, 12)
    found = cx.PatternSet.from_dense(ps.to_dense()).realise(X)
    assert found == ps
    assert found.gates is not None
    np.testing.assert_array_equal(bits_of(X, found.gates), ps.to_dense())
    np.testing.assert_array_equal(bits_of(X, -found.gates), found.complement().to_dense())


def test_realise_names_the_pattern_that_does_not_exist() -> None:
    X = np.array([[1.0, 0.0], [2.0, 0.0], [0.0, 1.0], [0.0, 0.0]])
    good, split, dark = [1, 1, 0, 1], [1, 0, 0, 1], [1, 1, 1, 0]
    assert cx.PatternSet.from_dense([good, good]).realise(X).to_dense().tolist() == [good, good]
    for wrong in (split, dark):  # parallel rows on two sides; a zero row without its bit
        with pytest.raises(ValueError, match="pattern 1: found no gate with every non-zero row"):
            cx.PatternSet.from_dense([good, wrong]).realise(X)
    with pytest.raises(ValueError, match="pattern 0: found no gate"):  # exists as a tie only
        cx.PatternSet.from_dense([[1, 1]]).realise([[1.0], [-1.0]])
    zeros = cx.PatternSet.from_dense([[1, 1]]).realise([[0.0], [0.0]])
    assert zeros.gates is not None
    with pytest.raises(ValueError, match="pattern 0: found no gate"):
        cx.PatternSet.from_dense([[1, 0]]).realise([[0.0], [0.0]])


def test_realise_keeps_gates_that_fit_and_replaces_those_that_do_not() -> None:
    X = gaussian(20, 3)
    ps = cx.sample_patterns(X, 5)
    assert ps.realise(X) is ps
    turned = np.c_[X, np.ones(20)]  # the same patterns exist here, but gates have 4 entries
    gates = ps.realise(turned).gates
    assert gates is not None
    np.testing.assert_array_equal(bits_of(turned, gates), ps.to_dense())
    assert ps.realise(X * [1, 1, -1]).margins(X * [1, 1, -1]).min() > 0


def test_realise_of_thin_cells_is_right_or_refused() -> None:
    for width in 10.0 ** -np.arange(2.0, 16.0):
        X = np.array([[1.0, 0.0], [-1.0, width], [0.3, 0.2]])
        dense = bits_of(X, [[width / 2, 1.0]])
        try:
            gates = cx.PatternSet.from_dense(dense).realise(X).gates
        except ValueError:
            assert width < 1e-8
        else:
            assert gates is not None
            np.testing.assert_array_equal(bits_of(X, gates), dense)
