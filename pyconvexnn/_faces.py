"""Patterns that only points on hyperplanes have: ties switch on the rows that are zero there.

The points of a pattern ``1[X u >= 0]`` are a convex set. Where it has no interior, the rows Z that
are zero on all of it are totally cyclic: no w has ``x_i . w >= 0`` for all i in Z and ``> 0`` for
some, as u + w would have the pattern too. So every such pattern belongs to one flat (intersection
of hyperplanes) whose zero rows are totally cyclic, and to one cell that the other rows leave on it.

The zero rows of a flat are not totally cyclic if and only if it lies in a flat of one dimension
more on which those of them that are not zero there have the same sign, either side of it. (Of
all w as above take an extreme one.) So the flats are listed from the large to the small, in whole
numbers, and those that are once seen so are crossed out: no linear program, no tolerance.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from pyconvexnn import _core
from pyconvexnn._bits import contains, pack, unpack
from pyconvexnn._cells import bound, reduced
from pyconvexnn._exact_cells import MAX_WORK, Row, half_cells, integer_rows, primitive
from pyconvexnn._listing import Listing
from pyconvexnn._typing import BitArray, BoolArray, FloatArray

_MAX_PAIRS = 2_000_000
"""Most pairs of a flat and a flat of one dimension less in it: some ten seconds."""

_EXACT = 2**53  # whole numbers up to here are doubles


def face_patterns(
    X: FloatArray, rows: _core.ReducedRows, cells: BitArray, *, threads: int
) -> Iterator[BitArray]:
    """Yield the patterns of lower-dimensional faces that no cell has, each once, flat by flat.

    `cells` are all patterns of cells. ValueError if there are more than _MAX_PAIRS pairs of flats.
    """
    everything = pack(np.ones((1, len(X)), np.bool_))
    if contains(cells, everything[0]):
        return  # some w has X w > 0: no rows are totally cyclic
    two_sided = np.zeros(rows.count, np.bool_)
    two_sided[rows.representative[rows.flipped > 0]] = True
    hyperplanes = integer_rows(rows.basis)
    if len(cells) == 2 * bound(rows.count, rows.rank):
        allowed = two_sided  # in general position fewer than r + 1 rows have no other dependence
    else:
        allowed = _without_signs(rows.basis, two_sided)
    found_everything = False
    for basis in _cyclic_flats(hyperplanes, two_sided.tolist(), allowed.tolist(), rows.rank):
        traces, _ = traces_on(hyperplanes, basis)
        patterns = pack(_on_samples(_cells_on_flat(traces, threads), traces, rows))
        found_everything = found_everything or contains(patterns, everything[0])
        yield patterns
    if not found_everything:
        yield everything  # of u = 0


def _without_signs(basis: FloatArray, two_sided: BoolArray) -> BoolArray:
    """Hyperplanes that can have rows in totally cyclic sets, by looking at single columns.

    A column that has one sign on all rows left is a w that rules out the rows where it is not 0.
    """
    allowed = np.ones(len(basis), np.bool_)
    while True:
        left = basis[allowed]
        both = two_sided[allowed, np.newaxis] & (left != 0)
        one_sign = ((left > 0) | both).any(axis=0) != ((left < 0) | both).any(axis=0)
        out = allowed & (basis[:, one_sign] != 0).any(axis=1)
        if not out.any():
            return allowed
        allowed &= ~out


class _Flats:
    """Walks through the flats that contain allowed hyperplanes only, each once.

    A flat is reached by way of its lexicographically first basis of hyperplanes.
    """

    def __init__(self, two_sided: Sequence[bool], allowed: Sequence[bool], rank: int) -> None:
        self._two_sided, self._rank = two_sided, rank
        self._forbidden = sum(1 << i for i, yes in enumerate(allowed) if not yes)
        self._seen_from_one_side: set[int] = set()
        self._candidates: list[tuple[int, tuple[int, ...]]] = []
        self._pairs = 0

    def visit(self, restricted: list[Row], zero: int, basis: tuple[int, ...]) -> None:
        """Look at the flats one dimension below a flat, given the hyperplanes' traces on it."""
        for trace, group in _grouped(restricted).items():
            self._pairs += 1
            if self._pairs > _MAX_PAIRS:
                raise ValueError(
                    "`faces` must be False for this `X`: it has too many flats (intersections of "
                    f"hyperplanes) to look at, more than {_MAX_PAIRS} pairs of one in another"
                )
            flat = zero | sum(1 << i for i, _ in group)
            if flat & self._forbidden:
                continue
            one_side = len({flip for _, flip in group}) == 1 and not any(
                self._two_sided[i] for i, _ in group
            )
            independent = flat.bit_count() == len(basis) + 1
            if one_side and not independent:
                self._seen_from_one_side.add(flat)
            first = group[0][0]
            if basis and first < basis[-1]:
                continue  # reached from another flat
            below = (*basis, first)
            if not one_side and (not independent or all(self._two_sided[i] for i in below)):
                self._candidates.append((flat, below))
            if len(below) < self._rank - 1:
                self.visit(_traces(restricted, trace), flat, below)

    def cyclic(self) -> Iterator[tuple[int, ...]]:
        """Bases of those flats, of dimension at least 1, whose zero rows are totally cyclic."""
        for flat, basis in self._candidates:
            if flat not in self._seen_from_one_side:
                yield basis


def _cyclic_flats(
    hyperplanes: list[Row], two_sided: Sequence[bool], allowed: Sequence[bool], rank: int
) -> Iterator[tuple[int, ...]]:
    flats = _Flats(two_sided, allowed, rank)
    if rank > 1:
        flats.visit(hyperplanes, 0, ())
    return flats.cyclic()


def _grouped(restricted: list[Row]) -> dict[Row, list[tuple[int, bool]]]:
    """Traces that are not zero, by hyperplane: (row, whether it points the other way), in order."""
    groups: dict[Row, list[tuple[int, bool]]] = {}
    for i, row in enumerate(restricted):
        leading = next((a for a in row if a), 0)
        if leading:
            key = row if leading > 0 else tuple(-a for a in row)
            groups.setdefault(key, []).append((i, leading < 0))
    return groups


def _traces(rows: list[Row], normal: Row) -> list[Row]:
    """Rows on the hyperplane ``normal . u = 0``, in all its coordinates but one; primitive."""
    p, h, others = _solved(normal)
    return [
        primitive([h * row[j] - row[p] * normal[j] * (1 if normal[p] > 0 else -1) for j in others])
        for row in rows
    ]


def _solved(normal: Row) -> tuple[int, int, list[int]]:
    """Coordinate p that the hyperplane gives by the others, ``|normal_p|``, and these."""
    p = min((j for j, h in enumerate(normal) if h), key=lambda j: abs(normal[j]))
    return p, abs(normal[p]), [j for j in range(len(normal)) if j != p]


def traces_on(hyperplanes: list[Row], zero: Sequence[int]) -> tuple[list[Row], list[Row]]:
    """Traces of all rows on the flat where those of `zero` vanish, and the normals met on the way.

    The normals, each in the coordinates that the one before leaves, take points back.
    """
    normals = []
    for i in zero:
        if any(hyperplanes[i]):
            normals.append(hyperplanes[i])
            hyperplanes = _traces(hyperplanes, hyperplanes[i])
    return hyperplanes, normals


def lifted(point: Sequence[int], normals: list[Row]) -> Row:
    """A point of a flat in the coordinates of the rows."""
    lifted = list(point)
    for normal in reversed(normals):
        p, h, others = _solved(normal)
        side = 1 if normal[p] > 0 else -1
        missing = -side * sum(normal[j] * a for j, a in zip(others, lifted, strict=True))
        lifted = [h * a for a in lifted]
        lifted.insert(p, missing)
    return primitive(lifted)


def _cells_on_flat(traces: list[Row], threads: int) -> BoolArray:
    """Sides of all hyperplanes in the cells of a flat, (n_cells, n); True where they are zero."""
    groups = _grouped(traces)
    cells = _all_cells(list(groups), threads)
    dense = np.ones((len(cells), len(traces)), np.bool_)
    for column, group in zip(cells.T, groups.values(), strict=True):
        for i, flip in group:
            dense[:, i] = column ^ flip
    return dense


def _all_cells(rows: list[Row], threads: int) -> BoolArray:
    """Every cell of distinct hyperplanes through 0, as whole numbers, that span the space."""
    if len(rows[0]) == 1:
        return np.array([[True], [False]])
    if max(abs(a) for row in rows for a in row) <= _EXACT:
        try:
            return _listed(np.array(rows, np.float64, order="F"), threads)
        except ValueError:
            pass  # columns that doubles hardly tell apart, for one
    most = bound(len(rows), len(rows[0]))
    if most * len(rows[0]) > MAX_WORK:
        raise ValueError(
            f"`faces` must be False for this `X`: {len(rows)} rows leave up to {2 * most} cells on "
            "one of its flats, more than can be listed in whole numbers"
        )
    signs = list(half_cells(rows))
    half = np.array([[cell >> i & 1 for i in range(len(rows))] for cell in signs], np.bool_)
    return np.concatenate([half, ~half])


def _listed(rows: FloatArray, threads: int) -> BoolArray:
    """Every cell of rows as they are; ValueError where the compiled enumeration has to give up."""
    return unpack(Listing.of(rows, reduced(rows, False), threads=threads).every_cell(), len(rows))


def _on_samples(dense: BoolArray, traces: list[Row], rows: _core.ReducedRows) -> BoolArray:
    """Sides of hyperplanes as patterns of the samples; ties and zero rows are on."""
    zero = np.array([not any(trace) for trace in traces])
    place = np.maximum(rows.representative, 0)
    on = zero[place] | (rows.representative < 0)
    return np.asarray((dense[:, place] ^ (rows.flipped > 0)) | on)
