"""Lists of all half cells with their opposites: written, sized, and compared."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from pyconvexnn import _core
from pyconvexnn._bits import digest, n_words
from pyconvexnn._cells import HalfCellList, available_bytes, find_cells
from pyconvexnn._typing import BitArray, FloatArray
from pyconvexnn._witness import CellGates

_STEP = 1 << 18  # candidates between two looks at the progress bar


class TooManyPatternsError(ValueError):
    """More patterns than `max_patterns`; `n_patterns` are there at least."""

    def __init__(
        self, n_patterns: int, X: FloatArray, max_patterns: int, *, all_found: bool
    ) -> None:
        self.n_patterns = n_patterns
        size = 8 * n_patterns * n_words(len(X))
        more = "" if all_found else " or more"
        super().__init__(
            f"`max_patterns` must be at least the number of patterns, {n_patterns}{more} ({size} "
            f"bytes), got {max_patterns}; use iter_patterns to stream them, sample_patterns for "
            "some of them, or train, which needs no list"
        )


@dataclass(frozen=True, eq=False)
class Listing:
    """The cells of some data, and how their list is wanted.

    Attributes
    ----------
    X : (n, d) float64
        Data.
    rows : ReducedRows
        Their hyperplanes, at least one.
    cells : HalfCellList
        Half cells of these.
    max_patterns : int or None
        More are refused.
    threads : int
        The result does not depend on it.
    bar : bool
        Whether to show a bar.
    """

    X: FloatArray
    rows: _core.ReducedRows
    cells: HalfCellList
    max_patterns: int | None = None
    threads: int = 1
    bar: bool = False

    @classmethod
    def of(
        cls,
        X: FloatArray,
        rows: _core.ReducedRows,
        *,
        max_patterns: int | None = None,
        threads: int = 1,
        bar: bool = False,
    ) -> Listing:
        """Find the cells."""
        return cls(X, rows, find_cells(X, rows, threads=threads), max_patterns, threads, bar)

    def every_cell(self) -> BitArray:
        """Every pattern, packed. ValueError or MemoryError where there are too many."""
        cells = self.cells
        share = cells.share()
        generic = share == 1.0
        if generic:
            self.check_size(2 * cells.total)
        else:
            # No more than a guess, so that only what is far beyond the memory is refused by it.
            check_memory(int(share * cells.total / 8), self.X)
        width = n_words(len(self.X))
        # Data with dependent rows may have far fewer cells than candidates: the room grows.
        room = 2 * (cells.total if generic else min(cells.total, _STEP))
        try:
            packed = np.empty((room, width), np.uint64)
        except MemoryError:
            raise too_large(room, self.X) from None
        found = 0
        for first, count in self._steps():
            if found + 2 * count > len(packed):
                more = min(2 * cells.total, max(2 * len(packed), found + 2 * count))
                check_memory(more, self.X, held=len(packed))
                try:
                    packed.resize((more, width), refcheck=False)
                except MemoryError:
                    raise too_large(more, self.X) from None
            kept = cells.write(first, count, count, packed[found : found + 2 * count], self.threads)
            found += 2 * int(kept[0])
            self._check_number(found, first + count == cells.total)
        packed.resize((found, width), refcheck=False)
        return packed

    def wide_cells(self, least: float) -> tuple[BitArray, FloatArray]:
        """Patterns of cells with a margin of at least `least`, and their gates."""
        if self.cells.share() == 1.0:
            self.check_size(2 * self.cells.total)
        find = CellGates(self.X)
        packed, gates = [], []
        total = 0
        for words, all_found in self._parts():
            half = words[: len(words) // 2]
            found, margins = find.with_margins(half, threads=self.threads)
            kept = margins >= least
            packed += [half[kept], words[len(half) :][kept]]
            gates += [found[kept], -found[kept]]
            total += 2 * int(kept.sum())
            self.check_size(total, all_found=all_found)
        return np.concatenate(packed), np.concatenate(gates)

    def check_twice(self, packed: BitArray | None) -> None:
        """Enumerate in other coordinates, and compare; `packed`: the patterns found, if held."""
        again = find_cells(self.X, self.rows, threads=self.threads, seed=1)
        first = self._digest() if packed is None else (len(packed), digest(packed))
        second = replace(self, cells=again)._digest()
        if first != second:
            raise RuntimeError(
                f"two enumerations of the same data differ: {first[0]} cells and {second[0]} "
                f"cells, fingerprints {first[1]:016x} and {second[1]:016x}; please report the data"
            )

    def check_size(self, n_patterns: int, *, all_found: bool = True) -> None:
        """Refuse sets beyond what was asked for or what memory holds; more may come, or not."""
        self._check_number(n_patterns, all_found)
        check_memory(n_patterns, self.X)

    def _check_number(self, n_patterns: int, all_found: bool) -> None:
        if self.max_patterns is not None and n_patterns > self.max_patterns:
            raise TooManyPatternsError(n_patterns, self.X, self.max_patterns, all_found=all_found)

    def _digest(self) -> tuple[int, int]:
        """Number of the patterns, and their digest."""
        found, total = 0, 0
        for words, _ in replace(self, bar=False)._parts():
            found += len(words)
            total += digest(words)
        return found, total % (1 << 64)

    def _parts(self) -> Iterator[tuple[BitArray, bool]]:
        """Half cells and then their opposites, part by part; whether a part is the last."""
        for first, count in self._steps():
            words = np.empty((2 * count, n_words(len(self.X))), np.uint64)
            kept = int(self.cells.write(first, count, count, words, self.threads)[0])
            yield words[: 2 * kept], first + count == self.cells.total

    def _steps(self) -> Iterator[tuple[int, int]]:
        """(first, count) of parts of the candidates, with a progress bar."""
        with bar_of(self.cells, 0, self.bar) as shown:
            for first in range(0, self.cells.total, _STEP):
                count = min(_STEP, self.cells.total - first)
                yield first, count
                if shown is not None:
                    shown.update(2 * count)


def bar_of(cells: HalfCellList, first: int, wanted: bool) -> Any:
    """A tqdm bar of candidates and their opposites, or None, to be used in a with statement."""
    if not wanted:
        return nullcontext()
    from tqdm import tqdm

    total = 2 * cells.total
    return tqdm(desc="patterns", unit="", unit_scale=True, total=total, initial=2 * first)


def check_memory(n_patterns: int, X: FloatArray, *, held: int = 0) -> None:
    """Refuse sets beyond what memory holds beside the `held` patterns that have their room."""
    room = available_bytes()
    if room is not None and 8 * (n_patterns - held) * n_words(len(X)) > room:
        raise too_large(n_patterns, X)


def too_large(n_patterns: int, X: FloatArray) -> MemoryError:
    size = 8 * n_patterns * n_words(len(X))
    return MemoryError(
        f"`X` must have no more patterns than fit in memory, got {n_patterns} or more: "
        f"{n_patterns} patterns take {size} bytes, more than can be had; use iter_patterns to "
        "stream them, sample_patterns for some of them, or train, which needs no list"
    )
