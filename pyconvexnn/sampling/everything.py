"""Data with no more patterns than were asked for."""

from __future__ import annotations

import numpy as np

from pyconvexnn import _core
from pyconvexnn._bits import as_keys, zero_rows_of
from pyconvexnn._blocks import BLOCK_ENTRIES
from pyconvexnn._cells import bound, reduced
from pyconvexnn._typing import FloatArray
from pyconvexnn._witness import CellGates
from pyconvexnn.enumeration import enumerate_patterns
from pyconvexnn.patterns import PatternSet

_FIRST_ROWS = 64  # looked at first: mostly they have more cells than anybody asks for


def cell_bound(X: FloatArray, most: int, *, snap: bool = True) -> int | None:
    """``2 sum_{k<r} C(n - 1, k)`` for n distinct rows of rank r; None if more than `most`.

    Looks at no more rows than it takes to exceed `most`. `snap` is that of enumerate_patterns.
    """
    distinct = X[:0]
    start, size = 0, _FIRST_ROWS
    while start < len(X):
        known = np.asfortranarray(np.vstack([distinct, X[start : start + size]]))
        try:
            rows = reduced(known, snap)
        except ValueError:
            return None  # entries too far apart in size to tell, or columns up to rounding
        cells = 2 * bound(rows.count, rows.rank) if rows.count else 1
        if cells > most:
            return None
        distinct = known[rows.rows]
        start += size
        size = max(1, BLOCK_ENTRIES // X.shape[1])
    return cells


def every_cell(X: FloatArray, first: FloatArray | None) -> PatternSet | None:
    """Every cell but the all-zero one, those of the gates `first` in front.

    Cells that no float64 gate is found for are left out. None where the cells cannot be listed.
    """
    try:
        packed = enumerate_patterns(X).packed
    except ValueError:
        return None  # it cannot be told which rows depend on each other
    gates, margins = CellGates(X).with_margins(packed)
    kept = margins > 0
    if X.any():
        kept &= (packed != zero_rows_of(X)).any(axis=1)
    order = np.flatnonzero(kept)
    if first is not None:
        keys = as_keys(packed[order])
        front = [np.flatnonzero(keys == key) for key in as_keys(_core.sign_patterns(X, first))]
        both = np.concatenate([*front, np.arange(len(order))])
        order = order[both[np.sort(np.unique(both, return_index=True)[1])]]
    return PatternSet.of_gates(X, packed[order], gates[order])
