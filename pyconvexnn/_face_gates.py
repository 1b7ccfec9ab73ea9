"""Gates of patterns that only points on hyperplanes have: the ties must be ties in doubles."""

from __future__ import annotations

from typing import Any

import numpy as np

from pyconvexnn import _core
from pyconvexnn._bits import as_keys, pack, unpack
from pyconvexnn._cells import reduced
from pyconvexnn._exact_cells import Row, dot, integer_rows
from pyconvexnn._faces import lifted, traces_on
from pyconvexnn._gates import Whitened, unit_rows
from pyconvexnn._typing import BitArray, BoolArray, FloatArray, IndexArray
from pyconvexnn._witness import CellGates

_BITS = (2, 5, 10, 18, 26)  # that the points of a flat are rounded to, until one has the pattern
# Of coordinates in the linear program. Rows that add up to zero but for rounding are on the right
# sides of points far away; faces that are thin need such points.
_LARGEST = (1e6, None)
_FACTORS = (1.0, 3.0, 5.0, 7.0, 11.0, 13.0)  # of a gate: products with decimals are rounded


class FaceGates(CellGates):
    """Finds gates of cells, and of the faces where :mod:`pyconvexnn._faces` finds patterns.

    A face's gate lies on it: rows that vanish there have a product of zero with it, or one above
    zero by rounding. It is a point with few digits in the coordinates in which the data are whole
    numbers, or the data as they come, so that products are exact where they can be. A linear
    program finds the rows that vanish; the gate is then checked on X like every other. `faces` are
    the patterns that only faces have.
    """

    __slots__ = ("faces", "snap")

    why_none = (
        "found no float64 gate that has this pattern on X: its cell is too thin, or it is a face "
        "where no products of doubles are zero as rounded"
    )

    def __init__(self, X: FloatArray, snap: bool, faces: BitArray) -> None:
        super().__init__(X)
        self.snap, self.faces = snap, faces

    def __reduce__(self) -> tuple[Any, ...]:
        """Copy and unpickle by any protocol."""
        return FaceGates, (self.X, self.snap, self.faces)

    def is_face(self, packed: BitArray) -> BoolArray:
        """Which of some patterns are no cell's, but only a face's."""
        return np.isin(as_keys(packed), as_keys(self.faces))

    def find(self, packed: BitArray, *, threads: int = 1) -> tuple[FloatArray, IndexArray]:
        """Gates, and the numbers of those that do not have their patterns: none was found."""
        gates, wrong = super().find(packed, threads=threads)
        if not wrong.size:
            return gates, wrong
        find = _FaceFinder(self.X, self.snap)
        failed = []
        for k in wrong.tolist():
            gate = find(packed[k])
            if gate is None:
                failed.append(k)
            else:
                gates[k] = gate
        return gates, np.array(failed, np.int64)


class _FaceFinder:
    """Finds a gate on the face of a pattern that no cell has."""

    def __init__(self, X: FloatArray, snap: bool) -> None:
        self._X = X
        self._nonzero = X.any(axis=1)
        self._units = unit_rows(Whitened(X).rows())
        rows = reduced(X, snap)
        self._rows = rows
        self._hyperplanes = integer_rows(rows.basis)
        self._factors = _column_factors(X, rows)

    def __call__(self, words: BitArray) -> FloatArray | None:
        """Gate (d,) whose pattern on X is this one, or None."""
        if self._factors is None:
            return None
        bits = unpack(words[np.newaxis], len(self._X))[0]
        for largest in _LARGEST:
            vanishing = self._vanishing(bits, largest)
            gate = None if vanishing is None else self._gate(words, bits, vanishing, self._factors)
            if gate is not None:
                return gate
        return None

    def _gate(
        self, words: BitArray, bits: BoolArray, vanishing: BoolArray, factors: FloatArray
    ) -> FloatArray | None:
        """Gate where these rows vanish."""
        zero = np.unique(self._rows.representative[vanishing])
        traces, normals = traces_on(self._hyperplanes, zero[zero >= 0].tolist())
        sides = bits[self._rows.rows]
        for point in _points(traces, sides):
            place = np.array(_small(lifted(point, normals)), float)
            gate = np.zeros(self._X.shape[1])
            gate[self._rows.columns] = place * factors
            for factor in _FACTORS:
                tried = (factor * gate)[np.newaxis]
                if np.array_equal(_core.sign_patterns(self._X, tried)[0], words):
                    return np.asarray(tried[0])
        return None

    def _vanishing(self, bits: BoolArray, largest: float | None) -> BoolArray | None:
        """Rows of the data that are zero wherever the pattern is had, up to rounding."""
        from scipy.optimize import linprog
        from scipy.sparse import block_array, eye_array

        on, off = self._units[bits & self._nonzero], self._units[~bits]
        # max sum t subject to t_k <= y_k . u for rows that are on, t <= 1, y_k . u <= -1 for others
        sides = np.vstack([-on, off])
        slack = eye_array(len(sides), len(on))
        result = linprog(
            np.r_[np.zeros(on.shape[1]), -np.ones(len(on))],
            A_ub=block_array([[sides, slack]], format="csc"),
            b_ub=np.r_[np.zeros(len(on)), -np.ones(len(off))],
            bounds=[(None if largest is None else -largest, largest)] * on.shape[1]
            + [(0, 1)] * len(on),
            method="highs",
        )
        if result.status != 0:
            return None
        found = np.zeros(len(bits), np.bool_)
        found[bits & self._nonzero] = result.x[on.shape[1] :] < 0.5  # all are 0 or 1
        return found


def _points(traces: list[Row], sides: BoolArray) -> list[Row]:
    """Whole-number points of a flat where the rows that do not vanish have these sides."""
    dimension = len(traces[0])
    if dimension == 0:
        return [()]
    live = [i for i, trace in enumerate(traces) if any(trace)]
    rows = unit_rows(np.array([_small(traces[i]) for i in live], float))
    wanted = pack(sides[live][np.newaxis])
    (direction,) = _core.cell_witnesses(np.asfortranarray(rows), wanted)
    found = []
    for bits in _BITS:
        point = tuple(round(a) for a in np.ldexp(direction, bits).tolist())
        if all((dot(traces[i], point) > 0) == sides[i] and dot(traces[i], point) for i in live):
            found.append(point)
    return found


def _small(row: Row) -> Row:
    """A row of long numbers cut to 60 bits, so that they can become doubles."""
    excess = max(0, max(map(abs, row)).bit_length() - 60)
    return tuple(a >> excess for a in row)


def _column_factors(X: FloatArray, rows: _core.ReducedRows) -> FloatArray | None:
    """What gates in the coordinates of ``rows.basis`` are multiplied with to be gates on X.

    Each entry of the basis is that of X times a factor of its column (a power of two, or the
    number that makes the column whole) times a power of two of its row. None if a column was added,
    or its entries are so small that no double is such a factor.
    """
    if X.shape[1] in rows.columns:
        return None
    entries = X[np.ix_(rows.rows, rows.columns)]
    used = (entries != 0) & (rows.basis != 0)
    with np.errstate(over="ignore"):
        ratios = np.divide(rows.basis, entries, out=np.zeros_like(entries), where=used)
    if not np.isfinite(ratios).all():
        return None
    sizes = np.where(used, np.abs(entries), -1.0)
    factors = np.zeros(entries.shape[1])
    exponents = np.zeros(len(entries))  # of the rows' powers of two
    reached = np.zeros(len(entries), np.bool_)
    while not factors.all():
        linked = reached[:, np.newaxis] & (factors == 0)
        if not (used & linked).any():
            linked = (factors == 0) & np.ones_like(used)  # no row compares them: any scale will do
        i, k = np.unravel_index(np.argmax(np.where(linked, sizes, -1.0)), sizes.shape)
        factors[k] = ratios[i, k] * 2.0 ** -exponents[i]
        new = used[:, k] & ~reached
        exponents[new] = np.rint(np.log2(ratios[new, k] / factors[k]))
        reached |= new
    return factors
