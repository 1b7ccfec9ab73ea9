"""Gates of enumerated cells, computed when they are asked for."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from pyconvexnn import _core
from pyconvexnn._bits import opposite, zero_rows_of
from pyconvexnn._gates import Whitened, unit_rows
from pyconvexnn._typing import BitArray, BoolArray, FloatArray, IndexArray

_BLOCK_BYTES = 1 << 25  # of the products that check a block of gates


class CellGates:
    """Finds for every cell of the data the gate farthest from all hyperplanes.

    The unit vector u that maximises ``min_k |x_k . u| / |x_k|`` over the cell. Where rounding
    keeps it from having its pattern on X (columns of very different sizes) the same is done in
    the coordinates in which X has orthonormal columns.
    """

    __slots__ = ("X",)

    why_none: ClassVar[str] = (
        "its cell is too thin for a float64 gate to have this pattern on X (`min_margin` of "
        "enumerate_patterns leaves such cells out)"
    )

    def __init__(self, X: FloatArray) -> None:
        self.X = np.array(X, order="F")  # a read-only X may become writeable again

    def __reduce__(self) -> tuple[Any, ...]:
        """Copy and unpickle by any protocol."""
        return CellGates, (self.X,)

    def __call__(self, packed: BitArray, *, threads: int = 1) -> FloatArray:
        """Gates (n_patterns, n_features) with exactly these patterns on X; ValueError if none."""
        gates, wrong = self.find(packed, threads=threads)
        if wrong.size:
            raise ValueError(f"pattern {wrong[0]}: {self.why_none}")
        return gates

    def is_face(self, packed: BitArray) -> BoolArray:
        """Which of some patterns are known to be no cell's, but only a face's."""
        return np.zeros(len(packed), np.bool_)

    def with_margins(self, packed: BitArray, *, threads: int = 1) -> tuple[FloatArray, FloatArray]:
        """Gates, and ``min_k |x_k . u| / |x_k|`` of each; 0 where no float64 gate is found."""
        gates, wrong = self.find(packed, threads=threads)
        rows = unit_rows(self.X[self.X.any(axis=1)])
        margins = np.ones(len(packed))
        step = max(1, _BLOCK_BYTES // (8 * len(self.X)))
        for start in range(0, len(packed) if len(rows) else 0, step):
            part = slice(start, start + step)
            margins[part] = np.minimum(np.abs(rows @ gates[part].T).min(axis=0), 1.0)
        margins[wrong] = 0.0
        return gates, margins

    @np.errstate(under="ignore")  # of rows far apart in size; zero is what they are beside others
    def find(self, packed: BitArray, *, threads: int = 1) -> tuple[FloatArray, IndexArray]:
        """Gates, and the numbers of those that do not have their patterns: none was found."""
        gates = np.empty((len(packed), self.X.shape[1]))
        failed: list[int] = []
        if not self.X.any():
            gates[:] = np.eye(1, self.X.shape[1])
            return gates, np.array(failed, np.int64)
        rows, basis = self._row_space()
        step = max(1, _BLOCK_BYTES // (8 * self.X.shape[1]))
        for start in range(0, len(packed), step):
            part = slice(start, start + step)
            points = _core.cell_witnesses(rows, packed[part], threads=threads)
            gates[part] = unit_rows(points if basis is None else points @ basis)
            wrong = start + self._wrong(packed[part], gates[part], threads)
            if wrong.size:
                gates[wrong] = self._whitened(packed[wrong], threads)
                failed += wrong[self._wrong(packed[wrong], gates[wrong], threads)].tolist()
        return gates, np.array(failed, np.int64)

    def _row_space(self) -> tuple[FloatArray, FloatArray | None]:
        """Rows of length 1 in orthonormal coordinates of the row space, and its basis."""
        unit = unit_rows(self.X)
        rank = Whitened(self.X).rank
        if rank == self.X.shape[1]:
            return np.asfortranarray(unit), None
        basis = np.linalg.svd(unit, full_matrices=False)[2][:rank]
        return np.asfortranarray(unit_rows(unit @ basis.T)), basis

    def _whitened(self, words: BitArray, threads: int) -> FloatArray:
        """Gates farthest from all hyperplanes where X has orthonormal columns."""
        whitened = Whitened(self.X)
        rows = np.asfortranarray(unit_rows(whitened.rows()))
        points = _core.cell_witnesses(rows, words, threads=threads)
        return unit_rows(np.concatenate([whitened.gate_of(z) for z in points]))

    def _wrong(self, words: BitArray, gates: FloatArray, threads: int) -> IndexArray:
        """Numbers of the gates that do not have their patterns strictly."""
        signs = _core.sign_patterns(self.X, gates, threads=threads)
        others = _core.sign_patterns(self.X, -gates, threads=threads)
        others = opposite(others, len(self.X), zero_rows_of(self.X))
        return np.flatnonzero(((signs != words) | (others != words)).any(axis=1))


class LazyGates:
    """The gates of some cells, not computed yet. Immutable; pickles with the data."""

    __slots__ = ("finder", "packed")

    def __init__(self, finder: CellGates, packed: BitArray) -> None:
        self.finder = finder
        self.packed = packed

    def __reduce__(self) -> tuple[Any, ...]:
        """Copy and unpickle by any protocol."""
        return LazyGates, (self.finder, self.packed)

    def compute(self) -> FloatArray:
        """Gates (n_patterns, n_features)."""
        return self.finder(self.packed)
