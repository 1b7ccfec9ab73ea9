"""Numbers of cells by deletion and restriction, without listing any: quick, and independent.

A cell of the first k hyperplanes is cut in two by the next one exactly if that one meets it, so n
hyperplanes have as many cells as the arrangements that the earlier ones leave on each of them have
together. Lines in the plane are counted by Euler's formula. Arithmetic is modulo primes of 31 bits:
each divides one minor in two billion by chance, and then the count is too small, not too large.
"""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

Array = np.ndarray[Any, np.dtype[np.int64]]

_PRIMES = (2_147_483_629, 2_147_483_587)  # products of two residues fit an int64


def count_cells(rows: ArrayLike) -> int:
    """Count the cells of the hyperplanes ``row . u = 0``; zero rows make none.

    Numbers are taken as they are, so decimals come as fractions or times a power of ten.
    """
    return max(_Count(p)(rows) for p in _PRIMES)


class _Count:
    """Counts modulo p."""

    def __init__(self, p: int) -> None:
        self.p = p

    def __call__(self, rows: ArrayLike) -> int:
        distinct = self.distinct(self.residues(rows))
        return 2 * self.half_cells(self.full_rank(distinct)) if len(distinct) else 1

    def half_cells(self, rows: Array) -> int:
        """Half cells of distinct hyperplanes that have nothing but 0 in common."""
        n, r = rows.shape
        if r <= 2:
            return n if r == 2 else 1
        if r == 3:
            return self.regions_of_lines(rows)
        # The first hyperplane has one half cell; each next one cuts as many as it has itself.
        return 1 + sum(
            self.half_cells(self.full_rank(self.restricted(rows[:k], rows[k]))) for k in range(1, n)
        )

    def regions_of_lines(self, lines: Array) -> int:
        """Regions of lines in the projective plane: one, and m - 1 for each point on m lines."""
        p = self.p
        first, second = np.triu_indices(len(lines), 1)
        a, b = lines[first].T, lines[second].T
        points = np.stack(
            [
                (a[1] * b[2] % p - a[2] * b[1] % p) % p,
                (a[2] * b[0] % p - a[0] * b[2] % p) % p,
                (a[0] * b[1] % p - a[1] * b[0] % p) % p,
            ],
            axis=1,
        )
        pairs = np.unique(_keys(self.normalised(points)), return_counts=True)[1]
        on = (1 + np.sqrt(1 + 8 * pairs)).astype(np.int64) // 2  # m lines make m (m - 1) / 2 pairs
        assert (on * (on - 1) // 2 == pairs).all()
        return int(1 + (on - 1).sum())

    def restricted(self, rows: Array, normal: Array) -> Array:
        """Distinct hyperplanes that the rows, none parallel to `normal`, leave on its own."""
        at = int(np.flatnonzero(normal)[0])
        restricted = (rows * normal[at] % self.p - rows[:, [at]] * normal % self.p) % self.p
        return self.distinct(np.delete(restricted, at, axis=1))

    def full_rank(self, rows: Array) -> Array:
        """The rows in coordinates of the space that they span."""
        p = self.p
        rest, pivots = rows.copy(), []
        for j in range(rows.shape[1]):
            at = np.flatnonzero(rest[:, j])
            if not len(at):
                continue
            top = self.normalised(rest[at[:1]][:, np.roll(np.arange(rows.shape[1]), -j)])[0]
            top = np.roll(top, j)
            rest = (rest - rest[:, [j]] * top % p) % p
            pivots.append(j)
            if not rest.any():
                break
        return rows[:, pivots]

    def distinct(self, rows: Array) -> Array:
        rows = self.normalised(rows[rows.any(axis=1)])
        return rows[np.sort(np.unique(_keys(rows), return_index=True)[1])]

    def normalised(self, rows: Array) -> Array:
        """Rows that are not zero, divided by their first entry that is not."""
        p = self.p
        if rows.shape[0] == 0:
            return rows
        lead = np.take_along_axis(rows, np.argmax(rows != 0, axis=1)[:, np.newaxis], axis=1)
        return rows * self.inverse(lead) % p

    def inverse(self, a: Array) -> Array:
        """``a ** (p - 2)``."""
        p = self.p
        result, power, exponent = np.ones_like(a), a, p - 2
        while exponent:
            if exponent & 1:
                result = result * power % p
            power = power * power % p
            exponent >>= 1
        return result

    def residues(self, rows: ArrayLike) -> Array:
        """Each row times the number that makes it whole, modulo the prime."""
        p = self.p
        found = []
        for row in np.asarray(rows).tolist():
            quotients = [Fraction(entry) for entry in row]
            common = math.lcm(*(q.denominator for q in quotients))
            found.append([int(q * common) % p for q in quotients])
        return np.array(found, np.int64)


def _keys(rows: Array) -> Any:
    """Rows as single values that can be sorted."""
    rows = np.ascontiguousarray(rows)
    return rows.view([("", rows.dtype)] * rows.shape[1])[:, 0]
