"""Cells of any arrangement by the sign tree of lp_tree, but nothing is decided by a tolerance.

Whether the rows can all be positive is guessed by non-negative least squares, and proved in whole
numbers: by a point (Gordan's alternative) or by weights that add the rows up to zero.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from fractions import Fraction

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import nnls

from pyconvexnn._typing import BoolArray

Row = tuple[int, ...]


def all_cells(rows: ArrayLike) -> BoolArray:
    """Patterns of all full-dimensional cells, (P, n), the all-zero one too; a zero row has a 1.

    The rows are taken as they are: fractions, integers, or doubles.
    """
    every = _whole(rows)
    nonzero = [k for k, row in enumerate(every) if any(row)]
    chosen = np.ones((1, 0), bool)
    if nonzero:
        half = _half_cells([every[k] for k in nonzero])
        chosen = np.concatenate([half, ~half])
    patterns = np.ones((len(chosen), len(every)), bool)
    patterns[:, nonzero] = chosen
    return patterns


def _half_cells(rows: list[Row]) -> BoolArray:
    """Patterns of the cells on the positive side of the first row."""
    cells: list[tuple[list[bool], Row]] = [([True], rows[0])]
    for k in range(1, len(rows)):
        grown = []
        for bits, point in cells:
            signed = [a if bit else _opposite(a) for a, bit in zip(rows[:k], bits, strict=True)]
            for side in (True, False):
                row = rows[k] if side else _opposite(rows[k])
                if point and _dot(row, point) > 0:
                    grown.append(([*bits, side], point))
                elif (found := common_side([*signed, row])) is not None:
                    grown.append(([*bits, side], found))
        cells = grown
    return np.array([bits for bits, _ in cells])


def common_side(rows: list[Row]) -> Row | None:
    """A point u with ``row . u > 0`` for all rows; None if it is proved that there is none.

    An empty one where it is proved that there is one, but none is at hand.
    """
    units = np.array([[float(a) for a in row] for row in rows])
    units /= np.linalg.norm(units, axis=1, keepdims=True)
    # The shortest vector of the hull of the rows, but for its length: a point, or zero.
    weights, _ = nnls(np.vstack([units.T, np.ones(len(units))]), [0.0] * units.shape[1] + [1.0])
    shortest = units.T @ weights
    if shortest.any():
        scaled = shortest / np.abs(shortest).max() * 2.0**60
        point = tuple(int(a) for a in scaled)
        if all(_dot(row, point) > 0 for row in rows):
            return point
    held = [row for row, weight in zip(rows, weights, strict=True) if weight > 0]
    # If any weights do, then some of as few rows as in Caratheodory's theorem.
    few = itertools.chain([held], _subsets(held), _subsets(rows))
    return None if any(map(_add_up_to_zero, few)) else ()


def _subsets(rows: list[Row]) -> Iterator[list[Row]]:
    for size in range(2, len(rows[0]) + 2):
        yield from map(list, itertools.combinations(rows, size))


def _add_up_to_zero(rows: list[Row]) -> bool:
    """Whether weights >= 0 of these rows, unique but for a factor, give zero."""
    columns = [[Fraction(a) for a in column] for column in zip(*rows, strict=True)]
    pivots: list[int] = []
    for j in range(len(rows)):
        at = next((i for i in range(len(pivots), len(columns)) if columns[i][j]), None)
        if at is None:
            continue
        top = columns.pop(at)
        top = [a / top[j] for a in top]
        columns = [
            [a - column[j] * b for a, b in zip(column, top, strict=True)] for column in columns
        ]
        columns.insert(len(pivots), top)
        pivots.append(j)
    free = [j for j in range(len(rows)) if j not in pivots]
    return len(free) == 1 and all(columns[i][free[0]] <= 0 for i in range(len(pivots)))


def _whole(rows: ArrayLike) -> list[Row]:
    """Each row times a positive number that makes it whole."""
    found = []
    for row in np.asarray(rows).tolist():
        quotients = [Fraction(entry) for entry in row]
        common = math.lcm(*(q.denominator for q in quotients))
        found.append(tuple(int(q * common) for q in quotients))
    return found


def _opposite(row: Row) -> Row:
    return tuple(-a for a in row)


def _dot(a: Row, b: Row) -> int:
    return sum(map(int.__mul__, a, b))
