"""Lists of all half cells with their opposites: written, sized, and compared."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from typing import Any

import numpy as np

from pyconvexnn import _core
from pyconvexnn._bits import digest, n_words
from pyconvexnn._cells import HalfCellList, available_bytes, find_cells
from pyconvexnn._typing import BitArray, FloatArray

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


def every_cell(
    X: FloatArray, cells: HalfCellList, max_patterns: int | None, threads: int, bar: bool
) -> BitArray:
    """Every pattern, packed. ValueError or MemoryError where there are too many."""
    share = cells.share()
    generic = share == 1.0
    if generic:
        check_size(2 * cells.total, X, max_patterns)
    else:
        # No more than a guess, so that only what is far beyond the memory is refused by it.
        check_size(int(share * cells.total / 8), X, None)
    width = n_words(len(X))
    # Data with dependent rows may have far fewer cells than candidates: the room grows.
    room = 2 * (cells.total if generic else min(cells.total, _STEP))
    try:
        packed = np.empty((room, width), np.uint64)
    except MemoryError:
        raise too_large(room, X) from None
    found = 0
    for first, count in steps(cells, bar):
        if found + 2 * count > len(packed):
            more = min(2 * cells.total, max(2 * len(packed), found + 2 * count))
            check_size(more - len(packed), X, None)
            try:
                packed.resize((more, width), refcheck=False)
            except MemoryError:
                raise too_large(more, X) from None
        kept = cells.write(first, count, count, packed[found : found + 2 * count], threads)
        found += 2 * int(kept[0])
        if max_patterns is not None and found > max_patterns:
            all_found = first + count == cells.total
            raise TooManyPatternsError(found, X, max_patterns, all_found=all_found)
    packed.resize((found, width), refcheck=False)
    return packed


def check_twice(
    X: FloatArray,
    rows: _core.ReducedRows,
    cells: HalfCellList,
    packed: BitArray | None,
    threads: int,
) -> None:
    """Enumerate in other coordinates, and compare; `packed`: the patterns found, if held."""
    again = find_cells(X, rows, threads=threads, seed=1)
    first = _digest(X, cells, threads) if packed is None else (len(packed), digest(packed))
    second = _digest(X, again, threads)
    if first != second:
        raise RuntimeError(
            f"two enumerations of the same data differ: {first[0]} cells and {second[0]} cells, "
            f"fingerprints {first[1]:016x} and {second[1]:016x}; please report the data"
        )


def _digest(X: FloatArray, cells: HalfCellList, threads: int) -> tuple[int, int]:
    """Number of the patterns, and their digest."""
    found, total = 0, 0
    for first, count in steps(cells, False):
        words = np.empty((2 * count, n_words(len(X))), np.uint64)
        kept = 2 * int(cells.write(first, count, count, words, threads)[0])
        found += kept
        total += digest(words[:kept])
    return found, total % (1 << 64)


def steps(cells: HalfCellList, bar: bool) -> Iterator[tuple[int, int]]:
    """(first, count) of parts of the candidates, with a progress bar."""
    with bar_of(cells, 0, bar) as shown:
        for first in range(0, cells.total, _STEP):
            count = min(_STEP, cells.total - first)
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


def check_size(
    n_patterns: int, X: FloatArray, max_patterns: int | None, *, all_found: bool = True
) -> None:
    """Refuse sets beyond what was asked for or what memory holds; more may come, or not."""
    size = 8 * n_patterns * n_words(len(X))
    if max_patterns is not None and n_patterns > max_patterns:
        raise TooManyPatternsError(n_patterns, X, max_patterns, all_found=all_found)
    room = available_bytes()
    if room is not None and size > room:
        raise too_large(n_patterns, X)


def too_large(n_patterns: int, X: FloatArray) -> MemoryError:
    size = 8 * n_patterns * n_words(len(X))
    return MemoryError(
        f"{n_patterns} patterns take {size} bytes, more than can be had; use iter_patterns to "
        "stream them, sample_patterns for some of them, or train, which needs no list"
    )
