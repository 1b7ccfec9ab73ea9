"""Half cells of a data matrix by number, whichever way they are found.

A half cell is a cell on the positive side of the first row that is not zero; the other cells are
their opposites.
"""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Protocol

import numpy as np

from pyconvexnn import _core
from pyconvexnn._bits import n_words, pack, zero_rows_of
from pyconvexnn._exact_cells import MAX_WORK, half_cells, integer_rows
from pyconvexnn._typing import BitArray, FloatArray

_PROBE = 1 << 10  # half cells looked at in one place before a long listing starts
_PROBES = 32
_NOTHING = 1 << 62  # half cells: beyond this nothing is listed, or can be
_SMALLEST = 1e-100  # entry over the largest of its column; the 32 digits of a square are there
_PRIME = (1 << 61) - 1


class HalfCellList(Protocol):
    """Half cells 0, ..., total - 1; with their opposites, blocks of patterns."""

    @property
    def total(self) -> int:
        """Number of half cells."""

    def write(self, first: int, count: int, block: int, out: BitArray, threads: int) -> None:
        """Write half cells and then complements, by blocks, to `out` (2 count, words)."""


class GenericCells:
    """Half cells of rows in general position, by the compiled enumeration."""

    def __init__(self, rows: _core.ReducedRows, n_samples: int) -> None:
        self._cells = _core.HalfCells(rows)
        self._count, self._rank = rows.count, rows.rank
        self._n_samples = n_samples
        self.total = self._cells.total

    def write(self, first: int, count: int, block: int, out: BitArray, threads: int) -> None:
        dependent = self._cells.list(first, count, block=block, out=out, threads=threads)
        if dependent.size:
            raise degenerate(dependent.tolist())

    def dependent_rows(self, first: int, count: int, threads: int = 1) -> list[int]:
        """Rows found to depend on each other on the way through these half cells, or none."""
        nothing = np.empty((0, n_words(self._n_samples)), np.uint64)
        found = self._cells.list(first, count, block=max(1, count), out=nothing, threads=threads)
        return [int(i) for i in found]

    def all_dependent_rows(self, threads: int = 1) -> list[int]:
        """The same for the half cells that decide whether all rows are in general position.

        Those with a vertex: every r rows are compared at one of them.
        """
        if self._rank <= 2 or self._rank == self._count:
            return []  # no two rows are parallel
        return self.dependent_rows(0, math.comb(self._count - 1, self._rank - 1), threads)

    def probed_dependent_rows(self) -> list[int]:
        """The same for some half cells only: what is easily seen before a long listing."""
        found: list[int] = []
        for k in range(_PROBES if self._rank > 2 else 0):
            first = k * (self.total // _PROBES)
            found = self.dependent_rows(first, min(_PROBE, self.total - first))
            if found:
                break
        return found


class ExactCells:
    """Half cells listed by whole-number arithmetic, of data however degenerate."""

    def __init__(self, rows: _core.ReducedRows, zero_rows: BitArray, n_samples: int) -> None:
        cells = sorted(half_cells(integer_rows(rows.basis)))
        size = (rows.count + 7) // 8
        joined = b"".join(signs.to_bytes(size, "little") for signs in cells)
        bits = np.frombuffer(joined, np.uint8).reshape(len(cells), size)
        dense = np.unpackbits(bits, axis=1, bitorder="little").view(np.bool_)
        zero = rows.representative < 0
        expanded = dense[:, np.maximum(rows.representative, 0)] ^ (rows.flipped > 0)
        self._half = pack(expanded | zero)
        self._complement = pack(~expanded | zero)
        self.total = len(cells)

    def write(self, first: int, count: int, block: int, out: BitArray, threads: int) -> None:
        for start in range(0, count, block):
            size = min(block, count - start)
            part = slice(first + start, first + start + size)
            out[2 * start : 2 * start + size] = self._half[part]
            out[2 * start + size : 2 * (start + size)] = self._complement[part]


def bound(n: int, r: int) -> int:
    """Largest number of half cells of n hyperplanes of rank r, ``sum_{k<r} C(n - 1, k)``."""
    return sum(math.comb(n - 1, k) for k in range(min(n, r)))


def find_cells(
    X: FloatArray, rows: _core.ReducedRows, *, threads: int, every: bool = False
) -> HalfCellList:
    """Half cells of the data (`rows.count` >= 1).

    ValueError for rows that are not in general position, unless they are few enough for exact
    arithmetic; with `every` all of them are looked at before any is listed, otherwise some.
    """
    most = bound(rows.count, rows.rank)
    if most >= _NOTHING:
        raise ValueError(
            f"`X` has up to {2 * most} patterns ({rows.count} distinct rows of rank {rows.rank}), "
            "more than can be listed; use sample_patterns"
        )
    cells = GenericCells(rows, len(X))
    if most * rows.rank <= MAX_WORK:
        # All of them: also those that only rounding leaves open.
        if cells.dependent_rows(0, cells.total, threads):
            return ExactCells(rows, zero_rows_of(X), len(X))
        return cells
    dependent = cells.probed_dependent_rows()
    if every and not dependent:
        dependent = cells.all_dependent_rows(threads)
    if dependent:
        raise degenerate(dependent)
    return cells


def degenerate(rows: list[int]) -> ValueError:
    """The error for data whose cells the enumeration cannot list."""
    shown = ", ".join(map(str, rows))
    return ValueError(
        f"`X` must have rows in general position (after removing repeated, opposite and zero "
        f"rows) when it has this many cells, but rows {shown} are linearly dependent, as far as 32 "
        "digits tell; exact enumeration of large degenerate data is not available yet: use "
        "sample_patterns, or enumerate fewer rows"
    )


def reduced(X: FloatArray, snap: bool) -> _core.ReducedRows:
    """Return the distinct hyperplanes of the data.

    ValueError where `snap` is False but needed, or entries are too far apart in size.
    """
    for j in range(X.shape[1]):
        sizes = np.abs(X[:, j])
        smallest = np.min(sizes, where=sizes > 0, initial=np.inf)
        if smallest < _SMALLEST * sizes.max():
            raise ValueError(
                f"`X` must have no entry below {_SMALLEST:g} times the largest of its column but "
                f"zeros (products of such entries vanish), got {smallest:g} in column {j}"
            )
    rows = _core.ReducedRows(X, snap=snap)
    if not snap and rows.columns_left_out and _rank_is_more_than(X, rows.rank):
        raise ValueError(
            f"`X` must not have columns that depend on each other up to rounding only (rank "
            f"{rows.rank} to ten digits, more as given) with `snap=False`; drop columns, or use "
            "`snap=True`, which reads the columns that are left out as dependent"
        )
    return rows


def _rank_is_more_than(X: FloatArray, rank: int) -> bool:
    """Whether the doubles as given have a larger rank: elimination modulo a large prime.

    The rank modulo a prime is never larger than the exact one; that it is smaller takes a prime
    that divides every one of the minors.
    """
    rest = [list(row) for row in integer_rows(X[X.any(axis=1)])]
    for _ in range(rank):
        rest = [row for row in ([a % _PRIME for a in row] for row in rest) if any(row)]
        if not rest:
            return False
        top = rest.pop()
        p = next(j for j, a in enumerate(top) if a)
        inverse = pow(top[p], -1, _PRIME)
        for row in rest:
            factor = row[p] * inverse
            for j, a in enumerate(top):
                row[j] -= factor * a
    return any(a % _PRIME for row in rest for a in row)


def available_bytes() -> int | None:
    """Memory that can still be had, as far as the system says."""
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except (OSError, ValueError, IndexError):
        pass
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):
        return None
