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
    half: list[tuple[list[bool], Row]] = [([], ())]
    signed: list[Row]
    for k, number in enumerate(nonzero):
        row, grown = every[number], []
        if k == 0:
            half = [([True], row)]
            continue
        for bits, point in half:
            signed = [
                r if bit else _opposite(r)
                for r, bit in zip((every[i] for i in nonzero), bits, strict=False)
            ]
            for side in (True, False):
                new = row if side else _opposite(row)
                inside = point if _dot(new, point) > 0 else positive_point([*signed, new])
                if inside is not None:
                    grown.append(([*bits, side], inside))
        half = grown
    chosen = np.array([bits for bits, _ in half], bool).reshape(len(half), len(nonzero))
    chosen = np.concatenate([chosen, ~chosen]) if nonzero else chosen
    patterns = np.ones((len(chosen), len(every)), bool)
    patterns[:, nonzero] = chosen
    return patterns


def positive_point(rows: list[Row]) -> Row | None:
    """A point u with ``row . u > 0`` for all rows, or None if that is proved impossible."""
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
    # Rounding may hold too many; a few rows of all of them will do (Caratheodory).
    few = itertools.chain([held], _subsets(held), _subsets(rows))
    assert any(map(_add_up_to_zero, few)), "neither a point nor weights are found"
    return None


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
