"""All activation patterns of a small arrangement by its vertices, and data with known optima.

Every cell of the hyperplanes ``x_k . u = 0`` (in the row space of X, r = rank X) has an extreme
ray, which is orthogonal to r - 1 independent rows. So: take each (r - 1)-subset of the rows, both
directions of its ray, and every choice of sides for all the rows orthogonal to the ray. Of rows
that are not in general position some choices are no cells: a linear program tells.
"""

from __future__ import annotations

import itertools

import numpy as np
from scipy.optimize import linprog

import pyconvexnn as cx
from pyconvexnn._typing import BoolArray, FloatArray


def all_cells(X: FloatArray) -> BoolArray:
    """Patterns of all full-dimensional cells, (P, n), the all-zero one too; a zero row has a 1."""
    nonzero = np.any(X != 0, axis=1)
    if not nonzero.any():
        return np.ones((1, len(X)), dtype=bool)
    rows = X[nonzero] / np.linalg.norm(X[nonzero], axis=1, keepdims=True)
    _, sizes, basis = np.linalg.svd(rows)
    rank = int(np.sum(sizes > 1e-9 * sizes[0]))
    rows = rows @ basis[:rank].T

    candidates: set[tuple[bool, ...]] = set()
    for subset in itertools.combinations(range(len(rows)), rank - 1):
        _, sizes, basis = np.linalg.svd(rows[list(subset)].reshape(-1, rank))
        if rank > 1 and sizes[-1] < 1e-9:
            continue  # dependent rows; another subset has the rays that matter
        side = rows @ basis[-1]
        on = np.flatnonzero(np.abs(side) < 1e-9)
        for direction in (side, -side):
            for bits in itertools.product((False, True), repeat=len(on)):
                pattern = direction > 0
                pattern[on] = bits
                candidates.add(tuple(pattern.tolist()))

    cells = [bits for bits in sorted(candidates) if is_cell(rows, np.array(bits))]
    patterns = np.ones((len(cells), len(X)), dtype=bool)
    patterns[:, nonzero] = cells
    return patterns


def is_cell(rows: FloatArray, pattern: BoolArray) -> bool:
    """Whether some u lies strictly on the given side of every row."""
    signed = np.where(pattern, -1.0, 1.0)[:, np.newaxis] * rows
    found = linprog(np.zeros(rows.shape[1]), signed, -np.ones(len(rows)), bounds=(None, None))
    return bool(found.status == 0)


def every_pattern(X: FloatArray) -> cx.PatternSet:
    """Pattern set of all cells but the all-zero one, which contributes nothing."""
    cells = all_cells(X)
    return cx.PatternSet.from_dense(cells[cells.any(axis=1)])


# Data with known optima of the gated program, squared loss, over every cell (Clarabel at 1e-11):
# name -> (X, y, number of cells, beta_max, {beta: optimum}).
DATA: dict[str, tuple[FloatArray, FloatArray, int, float, dict[float, float]]] = {
    "F1": (
        np.array([[1.0, 0.0], [0.0, 1.0], [-1.0, 1.0], [1.0, 2.0]]),
        np.array([1.0, -1.0, 0.5, 2.0]),
        8,
        5.0,
        {0.05: 0.137983856, 0.5: 1.070463562, 2.0: 2.253272339},
    ),
    "F2": (
        np.column_stack([[-2.0, -1.0, 0.0, 1.0, 3.0], np.ones(5)]),
        np.array([1.0, 0.0, -1.0, 0.5, 2.0]),
        10,
        6.9641941386,
        {0.05: 0.094609049, 0.5: 0.812828890},
    ),
    "F3": (
        np.array([[0.0, 0.0, 1.0], [0.0, 1.0, 1.0], [1.0, 0.0, 1.0], [1.0, 1.0, 1.0]]),
        np.array([-1.0, 1.0, 1.0, -1.0]),
        14,
        3**0.5,
        {1.0: 1.778335168},
    ),
    "F4": (
        np.array(
            [
                [1.0, 0.0, 0.0],
                [0.0, 1.0, 0.0],
                [0.0, 0.0, 1.0],
                [1.0, 1.0, 1.0],
                [1.0, -1.0, 2.0],
                [-1.0, 2.0, 1.0],
            ]
        ),
        np.array([1.0, -1.0, 0.5, 2.0, -0.5, 1.0]),
        32,
        5.3619026474,
        {0.1: 0.239876914, 1.0: 1.810805281},
    ),
    "A": (
        np.array([[1.0, 0.0], [0.5, 1.0], [-1.0, 1.5], [-1.2, -0.4], [0.3, -1.1]]),
        np.array([1.0, -1.0, 2.0, 0.5, -0.7]),
        10,
        np.nan,  # not recorded
        {0.1: 0.281852, 0.5: 1.215529},
    ),
}
