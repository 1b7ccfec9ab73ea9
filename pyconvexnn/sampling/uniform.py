"""Cells with equal probabilities, without replacement."""

from __future__ import annotations

import itertools
import math

import numpy as np

from pyconvexnn import _core
from pyconvexnn._bits import n_words, pack, unpack
from pyconvexnn._blocks import row_blocks
from pyconvexnn._cells import ExactCells, UndecidedRowsError, bound, find_cells, reduced
from pyconvexnn._typing import BoolArray, FloatArray, IndexArray
from pyconvexnn.sampling.draws import BATCH, Draws, Sampler
from pyconvexnn.sampling.subsets import Permutation, ordered_subsets, random_below

_MOST_RANKED = 1 << 62  # half cells; of more, sets of rows are drawn
_MOST_RANK = 63


def uniform(X: FloatArray, rng: np.random.Generator) -> Sampler:
    """Sampler of cells with equal probabilities; candidates that are no cells are drawn again."""
    rows = reduced(X, True)
    if rows.rank > _MOST_RANK:
        raise ValueError(
            f"`X` must have rank at most {_MOST_RANK} for method 'uniform', got {rows.rank}; "
            "use method 'vertex'"
        )
    half = bound(rows.count, rows.rank)
    if half >= _MOST_RANKED:
        return UniformCells(rows, ManySets(rows, rng))
    cells = find_cells(X, rows, threads=1)
    if isinstance(cells, ExactCells):
        return UniformOfList(cells, len(X), rng)
    return UniformCells(rows, RankedSets(rows, rng))


class UniformOfList:
    """Draws from a list of all half cells, and their opposites."""

    def __init__(self, cells: ExactCells, n_samples: int, rng: np.random.Generator) -> None:
        self._packed = np.empty((2 * cells.total, n_words(n_samples)), np.uint64)
        cells.write(0, cells.total, cells.total, self._packed, 1)
        self._order = Permutation(len(self._packed), rng)
        self._next = 0

    def draw(self) -> Draws | None:
        """Return the next draws; None when all cells were drawn."""
        numbers = self._order(self._next, BATCH)
        self._next += len(numbers)
        return Draws(self._packed[numbers], None, len(numbers)) if len(numbers) else None


class RankedSets:
    """Sets of fewer than r of the rows 1, ..., n - 1 and a side, in a random order, by number.

    Number 2 k + side; k counts the sets by size, and by the combinatorial number system within.
    """

    def __init__(self, rows: _core.ReducedRows, rng: np.random.Generator) -> None:
        n, rank = rows.count, min(rows.rank, rows.count)
        # below[k][e] = C(e, k), the number of sets of size k of numbers below e.
        self._below = [np.ones(n, np.uint64)]
        for _ in range(1, rank):
            sums = np.cumsum(self._below[-1][:-1], dtype=np.uint64)
            self._below.append(np.concatenate([np.zeros(1, np.uint64), sums]))
        sizes = [math.comb(n - 1, m) for m in range(rank)]
        self._ends = np.array(list(itertools.accumulate(sizes)), np.uint64)
        self._order = Permutation(2 * sum(sizes), rng)
        self._next = 0

    def __call__(self) -> tuple[list[IndexArray], list[IndexArray], BoolArray]:
        """Sets by size, one a row; of each size the places in the batch; all sides."""
        numbers = self._order(self._next, BATCH)
        self._next += len(numbers)
        ranks = numbers >> np.uint64(1)
        sizes = np.searchsorted(self._ends, ranks, side="right")
        sets, places = [], []
        for m in range(len(self._ends)):
            place = np.flatnonzero(sizes == m)
            rest = ranks[place] - (self._ends[m - 1] if m else np.uint64(0))
            rows = np.empty((len(place), m), np.int64)
            for k in range(m, 0, -1):
                largest = np.searchsorted(self._below[k], rest, side="right") - 1
                rows[:, k - 1] = largest + 1
                rest -= self._below[k][largest]
            sets.append(rows)
            places.append(place)
        return sets, places, (numbers & np.uint64(1)).astype(np.bool_)


class ManySets:
    """The same where numbers would be too large: sets are drawn, with replacement."""

    def __init__(self, rows: _core.ReducedRows, rng: np.random.Generator) -> None:
        self._n, self._rng = rows.count, rng
        sizes = [math.comb(rows.count - 1, m) for m in range(rows.rank)]
        self._ends = np.array(list(itertools.accumulate(sizes)), dtype=object)

    def __call__(self) -> tuple[list[IndexArray], list[IndexArray], BoolArray]:
        """Sets by size, one a row; of each size the places in the batch; all sides."""
        ranks = [random_below(int(self._ends[-1]), self._rng) for _ in range(BATCH)]
        sizes = np.searchsorted(self._ends, np.array(ranks, dtype=object), side="right")
        places = [np.flatnonzero(sizes == m) for m in range(len(self._ends))]
        sets = [
            np.sort(ordered_subsets(self._rng, len(place), self._n - 1, m), axis=1) + 1
            for m, place in enumerate(places)
        ]
        return sets, places, self._rng.integers(0, 2, BATCH) > 0


class UniformCells:
    """Draws the cell whose lowest vertex is a random set of rows, or the one opposite to it."""

    def __init__(self, rows: _core.ReducedRows, sets: RankedSets | ManySets) -> None:
        self._rows, self._sets = rows, sets
        self._chart = _core.Chart(rows)
        self._zero = rows.representative < 0
        self._row_of = np.maximum(rows.representative, 0)
        self._flipped = rows.flipped > 0

    def draw(self) -> Draws | None:
        """Return the next draws; None when all cells were drawn."""
        sets, places, sides = self._sets()
        if not len(sides):
            return None
        half = np.empty((len(sides), n_words(self._rows.count)), np.uint64)
        is_cell = np.zeros(len(sides), np.bool_)
        for rows, place in zip(sets, places, strict=True):
            cells, kept, row = self._chart.cells(rows.ravel(), len(rows))
            if len(kept) < len(rows):
                chosen = {row, *rows[len(kept)].tolist()}
                if rows.shape[1] + 1 < self._rows.rank:
                    chosen.add(0)
                raise UndecidedRowsError(sorted(int(self._rows.rows[i]) for i in chosen))
            half[place[kept]] = cells
            is_cell[place] = kept
        half, sides = half[is_cell], sides[is_cell]
        packed = np.empty((len(sides), n_words(len(self._zero))), np.uint64)
        for part in row_blocks(len(sides), len(self._zero)):
            bits = unpack(half[part], self._rows.count)[:, self._row_of]
            packed[part] = pack((bits ^ self._flipped ^ sides[part, np.newaxis]) | self._zero)
        return Draws(packed, None, len(is_cell))
