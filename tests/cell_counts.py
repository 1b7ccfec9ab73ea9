"""Numbers of cells by deletion and restriction, without listing any: quick, and independent.

A cell of the first k hyperplanes is cut in two by the next one exactly if that one meets it, so n
hyperplanes have as many cells as the arrangements that the earlier ones leave on each of them have
together. Lines in the plane are counted by Euler's formula. Arithmetic is modulo a prime: exact
but where it divides one of the minors by chance.
"""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

Array = np.ndarray[Any, np.dtype[np.int64]]

_PRIME = 2_147_483_629  # products of two residues fit an int64


def count_cells(rows: ArrayLike) -> int:
    """Number of cells of the hyperplanes ``row . u = 0``; zero rows make none.

    Numbers are taken as they are, so decimals come as fractions or times a power of ten.
    """
    residues = _residues(rows)
    distinct = _distinct(residues)
    if len(distinct) == 0:
        return 1
    return 2 * _half_cells(_full_rank(distinct))


def _half_cells(rows: Array) -> int:
    """Half cells of distinct hyperplanes that have nothing but 0 in common."""
    n, r = rows.shape
    if r <= 2:
        return n if r == 2 else 1
    if r == 3:
        return _regions_of_lines(rows)
    # The first hyperplane has one half cell; each next one cuts as many as it has itself.
    return 1 + sum(_half_cells(_full_rank(_restricted(rows[:k], rows[k]))) for k in range(1, n))


def _regions_of_lines(lines: Array) -> int:
    """Regions of lines in the projective plane: one, and m - 1 for each point on m lines."""
    first, second = np.triu_indices(len(lines), 1)
    a, b = lines[first].T, lines[second].T
    points = np.stack(
        [
            (a[1] * b[2] % _PRIME - a[2] * b[1] % _PRIME) % _PRIME,
            (a[2] * b[0] % _PRIME - a[0] * b[2] % _PRIME) % _PRIME,
            (a[0] * b[1] % _PRIME - a[1] * b[0] % _PRIME) % _PRIME,
        ],
        axis=1,
    )
    pairs = np.unique(_keys(_normalised(points)), return_counts=True)[1]
    on = (1 + np.sqrt(1 + 8 * pairs)).astype(np.int64) // 2  # m lines make m (m - 1) / 2 pairs
    assert (on * (on - 1) // 2 == pairs).all()
    return int(1 + (on - 1).sum())


def _restricted(rows: Array, normal: Array) -> Array:
    """Distinct hyperplanes that the rows, none parallel to `normal`, leave on its hyperplane."""
    p = int(np.flatnonzero(normal)[0])
    restricted = (rows * normal[p] - rows[:, [p]] * normal % _PRIME) % _PRIME
    return _distinct(np.delete(restricted, p, axis=1))


def _full_rank(rows: Array) -> Array:
    """The rows in coordinates of the space that they span."""
    rest, pivots = rows.copy(), []
    for j in range(rows.shape[1]):
        at = np.flatnonzero(rest[:, j])
        if not len(at):
            continue
        top = _normalised(rest[at[:1]][:, np.roll(np.arange(rows.shape[1]), -j)])[0]
        top = np.roll(top, j)
        rest = (rest - rest[:, [j]] * top % _PRIME) % _PRIME
        pivots.append(j)
        if not rest.any():
            break
    return rows[:, pivots]


def _distinct(rows: Array) -> Array:
    rows = _normalised(rows[rows.any(axis=1)])
    return rows[np.sort(np.unique(_keys(rows), return_index=True)[1])]


def _normalised(rows: Array) -> Array:
    """Rows that are not zero, divided by their first entry that is not."""
    if rows.shape[0] == 0:
        return rows
    lead = np.take_along_axis(rows, np.argmax(rows != 0, axis=1)[:, np.newaxis], axis=1)
    return rows * _inverse(lead) % _PRIME


def _inverse(a: Array) -> Array:
    """``a ** (p - 2)``."""
    result, power, exponent = np.ones_like(a), a, _PRIME - 2
    while exponent:
        if exponent & 1:
            result = result * power % _PRIME
        power = power * power % _PRIME
        exponent >>= 1
    return result


def _keys(rows: Array) -> Any:
    """Rows as single values that can be sorted."""
    rows = np.ascontiguousarray(rows)
    return rows.view([("", rows.dtype)] * rows.shape[1])[:, 0]


def _residues(rows: ArrayLike) -> Array:
    """Each row times the number that makes it whole, modulo the prime."""
    found = []
    for row in np.asarray(rows).tolist():
        quotients = [Fraction(entry) for entry in row]
        common = math.lcm(*(q.denominator for q in quotients))
        found.append([int(q * common) % _PRIME for q in quotients])
    return np.array(found, np.int64)
