"""All activation patterns of a small arrangement by its vertices, and data with known answers.

Every cell of the hyperplanes ``x_k . u = 0`` (in the row space of X) has an extreme ray, which is
orthogonal to r - 1 independent rows. So: take each (r - 1)-subset of rows, both directions of the
ray, and every choice of signs for all rows orthogonal to it. Where rows are not in general position
some choices are no cells: a linear program tells.
"""

from __future__ import annotations

import itertools

import numpy as np
from scipy.optimize import linprog

import pyconvexnn as cx
from pyconvexnn._typing import BoolArray, FloatArray


def all_cells(X: FloatArray) -> BoolArray:
    """Patterns of all full-dimensional cells, (P, n), all-zero one included; rows 0 get a 1."""
    X = np.asarray(X, dtype=float)
    nonzero = np.any(X != 0, axis=1)
    if not nonzero.any():
        return np.ones((1, len(X)), dtype=bool)
    rows = X[nonzero] / np.linalg.norm(X[nonzero], axis=1, keepdims=True)
    _, sizes, basis = np.linalg.svd(rows)
    rank = int(np.sum(sizes > 1e-9 * sizes[0]))
    rows = rows @ basis[:rank].T

    candidates: set[tuple[bool, ...]] = set()
    for subset in itertools.combinations(range(len(rows)), rank - 1):
        null = np.linalg.svd(rows[list(subset)].reshape(-1, rank))
        if rank > 1 and null.S[-1] < 1e-9:
            continue  # dependent rows: another subset has this ray
        side = rows @ null.Vh[-1]
        zero = np.flatnonzero(np.abs(side) < 1e-9)
        for sign, bits in itertools.product((1, -1), itertools.product((False, True), repeat=len(zero))):
            pattern = sign * side > 0
            pattern[zero] = bits
            candidates.add(tuple(pattern.tolist()))

    cells = np.array([bits for bits in sorted(candidates) if is_cell(rows, np.array(bits))])
    out = np.ones((len(cells), len(X)), dtype=bool)
    out[:, nonzero] = cells
    return out


def is_cell(rows: FloatArray, pattern: BoolArray) -> bool:
    """Whether some u is strictly on the given side of every row: one linear program."""
    signed = np.where(pattern, -1.0, 1.0)[:, np.newaxis] * rows
    found = linprog(np.zeros(rows.shape[1]), A_ub=signed, b_ub=-np.ones(len(rows)), bounds=(None, None))
    return bool(found.status == 0)


def every_pattern(X: FloatArray) -> cx.PatternSet:
    """Pattern set of all cells but the all-zero one, which contributes nothing."""
    cells = all_cells(X)
    return cx.PatternSet.from_dense(cells[cells.any(axis=1)])
