"""Cells of an arrangement by the incremental sign tree, one linear program a node: slow, obvious.

Takes in one row after the other. A cell is kept on the side of the new row where its point lies,
and on the other side too if a linear program finds a point there.
"""

from __future__ import annotations

import numpy as np
from scipy.optimize import linprog

from pyconvexnn._typing import BoolArray, FloatArray

_WIDTH = 1e-9  # of a cell that counts, as the least |x . u| of unit rows in the box |u_j| <= 1


def all_cells(X: FloatArray) -> BoolArray:
    """Patterns of all full-dimensional cells, (P, n), the all-zero one too; a zero row has a 1."""
    nonzero = np.flatnonzero(X.any(axis=1))
    rows = X[nonzero] / np.abs(X[nonzero]).max(axis=1, keepdims=True)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    cells: list[list[bool]] = [[]]
    for k in range(len(rows)):
        cells = [
            [*cell, side]
            for cell in cells
            for side in (False, True)
            if _exists(rows[: k + 1], [*cell, side])
        ]
    patterns = np.ones((len(cells), len(X)), dtype=bool)
    patterns[:, nonzero] = np.reshape(cells, (len(cells), len(rows)))
    return patterns


def _exists(rows: FloatArray, cell: list[bool]) -> bool:
    """Whether max t with s_k x_k . u >= t in the box is positive."""
    signed = np.where(cell, -1.0, 1.0)[:, np.newaxis] * rows
    n, d = rows.shape
    found = linprog(
        np.append(np.zeros(d), -1.0),
        np.hstack([signed, np.ones((n, 1))]),
        np.zeros(n),
        bounds=[(-1, 1)] * d + [(None, 1)],
    )
    assert found.status == 0
    return bool(-found.fun > _WIDTH)
