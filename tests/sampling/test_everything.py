"""The bound on cells, found without looking at all rows."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

import pyconvexnn as cx
from pyconvexnn import _cells
from pyconvexnn._typing import FloatArray
from pyconvexnn.sampling import everything
from pyconvexnn.sampling.everything import cell_bound, every_cell
from tests.small_data import designs, gaussian, left_open
from tests.vertex_method import every_pattern


def formula(n: int, r: int) -> int:
    return 2 * sum(math.comb(n - 1, k) for k in range(r))


def fortran(X: FloatArray) -> FloatArray:
    return np.asfortranarray(X)


def test_the_bound_on_cells_is_the_formula() -> None:
    for n, r in itertools.product(range(1, 9), range(1, 6)):
        X = fortran(gaussian(n, r))
        cells = formula(n, r)
        assert cell_bound(X, 10**9) == cell_bound(X, cells) == cells
        assert cell_bound(X, cells - 1) is None


def test_the_bound_counts_distinct_rows_of_the_rank() -> None:
    X = gaussian(50, 3)
    many = np.vstack([X, np.zeros((3, 3)), -2 * X, np.tile(X[:7], (5000, 1))])
    assert cell_bound(fortran(many), 10**6) == formula(50, 3)
    assert cell_bound(fortran(many @ gaussian(3, 5)), 10**6) == formula(50, 3)
    assert cell_bound(np.zeros((4, 2), order="F"), 1) == 1
    assert cell_bound(fortran(1.0 + np.arange(300_000.0)[:, np.newaxis]), 2) == 2


def test_no_more_rows_are_looked_at_than_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    looked = []
    reduced = _cells.reduced

    def counting(X: FloatArray, snap: bool) -> object:
        looked.append(len(X))
        return reduced(X, snap)

    monkeypatch.setattr(everything, "reduced", counting)
    assert cell_bound(fortran(gaussian(100_000, 6)), 10_000) is None
    assert looked == [64]


@pytest.mark.parametrize("name", ["hypercube", "zero rows", "rank 2", "wide", "one number"])
def test_every_cell_is_the_enumeration_without_the_zero_pattern(name: str) -> None:
    X = fortran(designs()[name][:9])
    every = every_cell(X, None)
    assert every is not None
    assert every.fingerprint == every_pattern(X).fingerprint
    assert every.gates is not None
    assert every.is_complete is False
    assert (every.margins(X) > 0).all()
    assert every == cx.PatternSet.from_gates(X, every.gates)


def test_what_cannot_be_listed_is_none() -> None:
    assert every_cell(fortran(left_open(12)), None) is None
