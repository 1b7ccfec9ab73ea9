"""Prices of neurons in whole numbers: cells by deletion and restriction, cones by active sets.

Slow, exact, and independent of what is tested but for the guess which rows hold a projection.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from fractions import Fraction

import numpy as np
from scipy.optimize import nnls

from pyconvexnn._exact_cells import half_cells, integer_rows
from pyconvexnn._typing import FloatArray

Row = list[int]


def whole(array: FloatArray) -> tuple[list[int], Fraction]:
    """The entries of an array over a common power of two, and that power."""
    quotients = [x.as_integer_ratio() for x in array.ravel().tolist()]
    common = max(bottom for _, bottom in quotients)
    return [top * (common // bottom) for top, bottom in quotients], Fraction(1, common)


def largest_price_squared(
    X: FloatArray, v: FloatArray, floor: Fraction, slope: float = 0.0
) -> Fraction:
    """``max(floor, max_{||u|| <= 1} (v' act(X u))^2)``, exactly; at most 3 columns."""
    n, d = X.shape
    entries, x_unit = whole(X)
    weights, v_unit = whole(v)
    rows = [entries[k * d : (k + 1) * d] for k in range(n)]
    off, on_factor = slope.as_integer_ratio()
    unit = (x_unit * v_unit / on_factor) ** 2
    best = floor
    for pattern in cells(X):
        g = [0] * d
        for row, weight, on in zip(rows, weights, pattern, strict=True):
            factor = weight * (on_factor if on else off)
            g = [a + factor * b for a, b in zip(g, row, strict=True)]
        if dot(g, g) * unit <= best:
            continue
        S = [row if on else [-a for a in row] for row, on in zip(rows, pattern, strict=True)]
        for signed in (g, [-a for a in g]):
            best = max(best, length_squared(S, signed) * unit)
    return best


def cells(X: FloatArray) -> Iterator[list[bool]]:
    """Patterns of all full-dimensional cells of rows that span the columns, none zero."""
    whole_rows = integer_rows(X)
    first: dict[tuple[int, ...], int] = {}
    place = []
    for row in whole_rows:
        opposite = tuple(-a for a in row)
        if row not in first and opposite not in first:
            first[row] = len(first)
        place.append((first.get(row, -1), first.get(opposite, -1)))
    for signs in half_cells(list(first)):
        half = [
            bool(signs >> same & 1) if same >= 0 else not signs >> other & 1
            for same, other in place
        ]
        yield half
        yield [not on for on in half]


def length_squared(S: list[Row], g: Row) -> Fraction:
    """``min_{a >= 0} ||g + S'a||^2``: the set of rows that satisfies the optimality conditions."""
    lengths = [float(dot(row, row)) ** 0.5 for row in S]
    units = np.array([[a / length for a in row] for row, length in zip(S, lengths, strict=True)])
    size = float(max(map(abs, g)))
    if size == 0.0:
        return Fraction(0)
    guess = nnls(units.T, -np.array([a / size for a in g]))[0]
    subsets = itertools.chain.from_iterable(
        itertools.combinations(range(len(S)), k) for k in range(len(g) + 1)
    )
    for held in itertools.chain([tuple(np.flatnonzero(guess > 0).tolist())], subsets):
        found = _if_optimal(S, g, [S[k] for k in held])
        if found is not None:
            return found
    raise AssertionError("no set of rows is optimal")


def dot(a: Row, b: Row) -> int:
    return sum(x * y for x, y in zip(a, b, strict=True))


def _if_optimal(S: list[Row], g: Row, held: list[Row]) -> Fraction | None:
    """Length squared of the point that these rows hold, if it is the nearest."""
    gram = [[dot(a, b) for b in held] for a in held]
    det = _determinant(gram)
    if len(held) > 3 or det == 0:
        return None
    right = [-dot(a, g) for a in held]
    a = [
        _determinant([[*row[:j], b, *row[j + 1 :]] for row, b in zip(gram, right, strict=True)])
        for j in range(len(held))
    ]
    if any(x < 0 for x in a):
        return None
    u = [det * x for x in g]  # times det, which is positive
    for factor, row in zip(a, held, strict=True):
        u = [x + factor * y for x, y in zip(u, row, strict=True)]
    if any(dot(row, u) < 0 for row in S):
        return None
    return Fraction(dot(u, u), det * det)


def _determinant(A: list[Row]) -> int:
    if not A:
        return 1
    return sum(
        (-1) ** j * A[0][j] * _determinant([row[:j] + row[j + 1 :] for row in A[1:]])
        for j in range(len(A))
    )
