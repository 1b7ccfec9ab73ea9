"""Half cells of a data matrix by number, whichever way they are found.

A half cell is a cell on the positive side of the first row that is not zero; the other cells are
their opposites. They are found among candidates, sets of fewer than r = rank(X) rows: each is the
lowest vertex of one half cell if the rows are in general position, else of at most one.
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
from pyconvexnn._typing import BitArray, FloatArray, IndexArray

_PROBE = 1 << 10  # half cells looked at in one place before a long listing starts
_PROBES = 32
_COUNTED = 1 << 30  # candidates of one call
_NOTHING = 1 << 62  # half cells: beyond this nothing is listed, or can be
_SMALLEST = 1e-100  # entry over the largest of its column; the 32 digits of a square are there
_PRIME = (1 << 58) - 63  # the smallest that the compiled enumeration uses
_EXACT_DOUBLE = 1 << 53


class HalfCellList(Protocol):
    """The half cells of candidates 0, ..., total - 1; with their opposites, blocks of patterns."""

    @property
    def total(self) -> int:
        """Number of candidates."""

    def write(self, first: int, count: int, block: int, out: BitArray, threads: int) -> IndexArray:
        """Write half cells and then complements, by blocks of candidates, to `out`.

        A block of `block` candidates takes twice as many rows of `out` (2 count, words), and fills
        twice as many as it has half cells. Returns the number of half cells of each block.
        """

    def count(self, first: int, count: int, threads: int) -> int:
        """Return the number of half cells of `count` candidates."""

    def share(self) -> float:
        """Share of some candidates, here and there, that have a half cell."""


class CompiledCells:
    """Half cells by the compiled enumeration."""

    def __init__(self, rows: _core.ReducedRows, n_samples: int, seed: int = 0) -> None:
        self._cells = _core.HalfCells(rows, seed=seed)
        self._n_samples = n_samples
        self.total = self._cells.total

    def write(self, first: int, count: int, block: int, out: BitArray, threads: int) -> IndexArray:
        kept, undecided = self._cells.list(first, count, block=block, out=out, threads=threads)
        if undecided.size:
            raise UndecidedRowsError(undecided.tolist())
        return kept

    def count(self, first: int, count: int, threads: int) -> int:
        nothing = np.empty((0, n_words(self._n_samples)), np.uint64)
        found = 0
        for start in range(first, first + count, _COUNTED):
            part = min(_COUNTED, first + count - start)
            found += int(self.write(start, part, part, nothing, threads)[0])
        return found

    def share(self) -> float:
        found = looked = 0
        for k in range(_PROBES):
            first = k * (self.total // _PROBES)
            size = min(_PROBE, self.total - first)
            found += self.count(first, size, 1)
            looked += size
        return found / looked


class UndecidedRowsError(ValueError):
    """Rows of which it cannot be told exactly whether they depend on each other."""

    def __init__(self, rows: list[int]) -> None:
        shown = ", ".join(map(str, rows))
        super().__init__(
            "`X` must not have rows that nearly depend on each other and are beyond exact "
            "arithmetic (entries too far apart in size, or more than 12 independent columns) when "
            f"it has this many cells, but rows {shown} may; round them, or drop some"
        )


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

    def write(self, first: int, count: int, block: int, out: BitArray, threads: int) -> IndexArray:
        kept = []
        for start in range(0, count, block):
            size = min(block, count - start)
            kept.append(size)
            part = slice(first + start, first + start + size)
            out[2 * start : 2 * start + size] = self._half[part]
            out[2 * start + size : 2 * (start + size)] = self._complement[part]
        return np.array(kept, np.int64)

    def count(self, first: int, count: int, threads: int) -> int:
        return count

    def share(self) -> float:
        return 1.0


class EndlessListError(ValueError):
    """So many cells that no machine lists them."""


def bound(n: int, r: int) -> int:
    """Largest number of half cells of n hyperplanes of rank r, ``sum_{k<r} C(n - 1, k)``."""
    total = term = 1
    for k in range(1, min(n, r)):
        term = term * (n - k) // k
        total += term
    return total


def find_cells(
    X: FloatArray, rows: _core.ReducedRows, *, threads: int, seed: int = 0
) -> HalfCellList:
    """Half cells of the data (`rows.count` >= 1); `seed` chooses the chart, and the order.

    Few candidates that the compiled enumeration leaves open are decided in whole numbers.
    """
    most = bound(rows.count, rows.rank)
    if most >= _NOTHING:
        raise EndlessListError(
            f"`X` has up to {2 * most} patterns ({rows.count} distinct rows of rank {rows.rank}), "
            "more than can be listed; use sample_patterns"
        )
    cells = CompiledCells(rows, len(X), seed)
    if most * rows.rank <= MAX_WORK:
        try:
            cells.count(0, cells.total, threads)
        except UndecidedRowsError:
            return ExactCells(rows, zero_rows_of(X), len(X))
    return cells


def proof_of(rows: _core.ReducedRows, found: int, cells: HalfCellList, *, verified: bool) -> str:
    """Why no cell is missing among `found` half cells and their opposites."""
    n, r = rows.count, rows.rank
    said = f"{n} distinct hyperplanes of rank {r}"
    if found == bound(n, r):
        said += (
            f" in general position: one cell and its opposite for each of the {found} sets of "
            f"fewer than {r} rows but the first, the largest number there can be"
        )
    elif isinstance(cells, ExactCells):
        said += f": {found} cells and their opposites by deletion and restriction in whole numbers"
    else:
        said += (
            f": one cell and its opposite for each of the {found} sets of fewer than {r} rows but "
            f"the first that hold no broken circuit with it; dependence decided {_how(rows)}"
        )
    return said + ("; found again in other coordinates" if verified else "")


def _how(rows: _core.ReducedRows) -> str:
    """How safely the compiled enumeration told zeros of these rows."""
    # A whole number that is 0 modulo the prime, and smaller, is 0; Hadamard bounds determinants.
    lengths = sorted(
        math.hypot(*row) if max(map(abs, row)) < _EXACT_DOUBLE else math.inf
        for row in integer_rows(rows.basis)
    )
    if math.prod(lengths[-rows.rank :]) < _PRIME / 2:
        return "exactly, in whole numbers"
    return "modulo a prime of 58 bits (wrong in one of 2^58 decisions)"


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
