"""Every cell of any arrangement, degenerate or not, in whole numbers: exact, and slow.

Deletion and restriction: rows are taken in one after the other. A cell of the first k hyperplanes
is cut in two by the next one, h, exactly if its sign vector is also one of a cell of the
arrangement that the k hyperplanes leave on h, which has a dimension less. A cell that is not cut
lies where its point lies. No linear program and no tolerance; the points are integer vectors.
"""

from __future__ import annotations

import math
from functools import cmp_to_key

from pyconvexnn._typing import FloatArray

Row = tuple[int, ...]
Cells = dict[int, Row]
"""Half cells: sign vector (bit i is 1 where row i is positive; bit 0 is 1) -> a point inside."""

MAX_WORK = 80_000
"""Largest ``r sum_{k<r} C(n - 1, k)`` (rank times bound) that takes a few seconds at most."""


def integer_rows(rows: FloatArray) -> list[Row]:
    """Each row times the positive number that makes it whole and free of common factors."""
    found = []
    for row in rows.tolist():
        quotients = [entry.as_integer_ratio() for entry in row]
        common = math.lcm(*(bottom for _, bottom in quotients))
        found.append(primitive([top * (common // bottom) for top, bottom in quotients]))
    return found


def half_cells(rows: list[Row]) -> Cells:
    """Half cells of the hyperplanes ``row . u = 0``: those on the positive side of the first.

    The rows are integer vectors of one length, none zero, no two parallel.
    """
    if len(rows) == 1:
        return {1: rows[0]}
    if len(rows[0]) == 2:
        return _half_cells_of_lines(rows)
    cells: Cells = {1: rows[0]}
    for k in range(1, len(rows)):
        row = rows[k]
        cut = _cells_on(rows[:k], row)
        bit = 1 << k
        more: Cells = {}
        for signs, point in cells.items():
            on = cut.get(signs)
            if on is None:
                more[signs | bit if dot(row, point) > 0 else signs] = point
            else:
                # On both sides of the hyperplane, so close that no other row changes sign.
                far = 1
                for other in rows[:k]:
                    far = max(far, abs(dot(other, row)) // abs(dot(other, on)) + 1)
                more[signs | bit] = primitive([far * a + b for a, b in zip(on, row, strict=True)])
                more[signs] = primitive([far * a - b for a, b in zip(on, row, strict=True)])
        cells = more
    return cells


def _cells_on(rows: list[Row], normal: Row) -> Cells:
    """Half cells (bit 0 set) that the rows, none parallel to `normal`, leave on its hyperplane."""
    # A point of the hyperplane from all its coordinates but one: z_j = h_p y_j, z_p = -h.y.
    p = min((j for j, h in enumerate(normal) if h), key=lambda j: abs(normal[j]))
    others = [j for j in range(len(normal)) if j != p]
    number: dict[Row, int] = {}
    place = []  # of each row: its distinct restriction, and whether it points the other way
    for row in rows:
        restricted = primitive([normal[p] * row[j] - row[p] * normal[j] for j in others])
        flipped = next(a for a in restricted if a) < 0
        if flipped:
            restricted = tuple(-a for a in restricted)
        place.append((number.setdefault(restricted, len(number)), flipped))
    cells: Cells = {}
    for signs, y in half_cells(list(number)).items():
        expanded = sum(((signs >> i & 1) ^ flip) << k for k, (i, flip) in enumerate(place))
        point = [normal[p] * a for a in y]
        point.insert(p, -sum(normal[j] * a for j, a in zip(others, y, strict=True)))
        if not expanded & 1:
            expanded ^= (1 << len(rows)) - 1
            point = [-a for a in point]
        cells[expanded] = primitive(point)
    return cells


def _half_cells_of_lines(rows: list[Row]) -> Cells:
    """Half cells of at least two lines in the plane, turning around the origin."""
    lines = []
    for i, (a, b) in enumerate(rows):
        x, y = (-b, a) if a > 0 or (a == 0 and b < 0) else (b, -a)
        lines.append((x, y, i))  # the line's direction in the upper half plane
    lines.sort(key=cmp_to_key(_turn))
    everything = (1 << len(rows)) - 1
    cells: Cells = {}
    signs: int | None = None
    for k, (x, y, i) in enumerate(lines):
        if k + 1 < len(lines):
            point = (x + lines[k + 1][0], y + lines[k + 1][1])
        else:
            point = (x - lines[0][0], y - lines[0][1])
        if signs is None:
            signs = sum((dot(row, point) > 0) << j for j, row in enumerate(rows))
        else:
            signs ^= 1 << i
        if signs & 1:
            cells[signs] = point
        else:
            cells[signs ^ everything] = (-point[0], -point[1])
    return cells


def _turn(a: Row, b: Row) -> int:
    """Negative if b lies counter-clockwise of a, for directions in the upper half plane."""
    return a[1] * b[0] - a[0] * b[1]


def dot(a: Row, b: Row) -> int:
    return sum(map(int.__mul__, a, b))


def primitive(row: list[int]) -> Row:
    """The vector without its common factor."""
    factor = math.gcd(*row)
    return tuple(row) if factor <= 1 else tuple(a // factor for a in row)
