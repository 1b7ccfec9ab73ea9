"""Every activation pattern of the data, exactly once: the cells of its hyperplane arrangement."""

from __future__ import annotations

import numbers
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from pyconvexnn._bits import n_words, zero_rows_of
from pyconvexnn._cells import HalfCellList, bound, find_cells, proof_of, reduced
from pyconvexnn._face_gates import FaceGates
from pyconvexnn._faces import face_patterns
from pyconvexnn._listing import Listing, bar_of, check_memory, too_large
from pyconvexnn._typing import BitArray, FloatArray, IndexArray
from pyconvexnn._validation import (
    as_matrix,
    describe,
    flag,
    nonnegative,
    positive_int,
    resolve_threads,
)
from pyconvexnn._witness import CellGates, LazyGates
from pyconvexnn.patterns import PatternSet

_BATCH = 1 << 15  # half cells of one call of a stream; more for several threads
_BLOCK_BYTES = 1 << 26  # of a block
_BATCH_BYTES = 1 << 25  # of such a call


class PatternBlock(PatternSet):
    """Some patterns of a stream, and where it goes on.

    Attributes
    ----------
    cursor : int
        ``start`` of the stream that continues behind this block.
    """

    __slots__ = ("cursor",)

    cursor: int

    def __reduce__(self) -> tuple[Any, ...]:
        """Copy and unpickle with the cursor."""
        return *super().__reduce__(), (None, {"cursor": self.cursor})


def count_patterns(
    X: ArrayLike | int,
    r: int | None = None,
    *,
    snap: bool = True,
    threads: int | None = None,
) -> int:
    """Number of activation patterns, exactly: of data, or of n rows of rank r in general position.

    ``count_patterns(n, r)`` is ``2 sum_{k<r} C(n - 1, k)``. ``count_patterns(X)`` counts the
    full-dimensional cells of the hyperplanes ``x_k . u = 0``, the all-zero pattern among them if
    it exists, at the cost of one enumeration without output. The formula holds if any r rows are
    independent (repeated, opposite and zero rows aside); other data have fewer.

    Parameters
    ----------
    X : (n_samples, n_features) array, or int
        Data, or the number n of rows.
    r : int, optional
        Rank, with a number of rows.
    snap : bool
        As in :func:`enumerate_patterns`.
    threads : int, optional
        Threads; None is 1, -1 all cores.

    Returns
    -------
    int
        Exact, of any size.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as described, or X cannot be enumerated (:func:`enumerate_patterns`).

    Examples
    --------
    >>> import numpy as np
    >>> import pyconvexnn as cx
    >>> cx.count_patterns(100, 5)
    7852352
    >>> corners = np.array([[0, 0, 1], [0, 1, 1], [1, 0, 1], [1, 1, 1]])
    >>> cx.count_patterns(corners)  # 16 but for the exclusive or and its opposite
    14
    """
    without_shape = getattr(X, "shape", None) == ()
    if without_shape or isinstance(X, numbers.Number):
        if r is None:
            raise TypeError("`r` must be given with a number of rows, got None")
        return 2 * bound(positive_int(X, "n"), positive_int(r, "r"))
    if r is not None:
        raise TypeError(f"`r` must be None for a data matrix, got {describe(r)}")
    X = as_matrix(X)
    rows = reduced(X, flag(snap, "snap"))
    n_threads = resolve_threads(threads)
    if rows.count == 0:
        return 1
    if rows.rank <= 2 or rows.rank == rows.count:
        return 2 * bound(rows.count, rows.rank)
    cells = find_cells(X, rows, threads=n_threads)
    return 2 * cells.count(0, cells.total, n_threads)


def enumerate_patterns(
    X: ArrayLike,
    *,
    max_patterns: int | None = None,
    snap: bool = True,
    min_margin: float = 0.0,
    verify: bool = False,
    faces: bool = False,
    threads: int | None = None,
    progress: bool = False,
) -> PatternSet:
    """Every activation pattern of the data, each exactly once.

    The patterns ``1[X u >= 0]`` of all full-dimensional cells of the hyperplanes
    ``x_k . u = 0``, the all-zero one among them if it exists. If any r = rank(X) distinct rows are
    independent, each set of fewer than r rows is the lowest vertex of exactly one cell (in generic
    coordinates); else exactly those sets are that hold no broken circuit: no row comes after the
    last of those of the set on which it depends. So nothing is stored or compared on the way.

    Parameters
    ----------
    X : (n_samples, n_features) array
        Data. Rows that are zero, repeated, or multiples of each other do not make cells.
    max_patterns : int, optional
        Refuse more patterns: before starting if rows in general position would have more and X
        looks like such, else as soon as more are found. None: as many as fit in memory.
    snap : bool
        True reads columns within 1e-9 of a lattice (decimals, standardised counts) as that
        lattice, and rows that are multiples of each other up to rounding as such; completeness
        refers to the data so read. False takes the doubles as given. Decimals in float32 are
        farther off, and not read as such: round them as doubles (``X.astype(float).round(2)``).
    min_margin : float
        Leave out cells whose margin (:meth:`PatternSet.margins`) is less. Computes all gates.
    verify : bool
        True enumerates a second time, in other coordinates, modulo another prime, and with the
        rows in the opposite order, and compares a fingerprint of the cells.
    faces : bool
        Add the patterns, ties on, that only lower-dimensional faces of the cells have: those of
        points on hyperplanes, the all-one pattern of u = 0 among them. Networks of threshold
        units need them. There are none if some w has ``X w > 0``, for one if X has a column of
        ones or no negative entries.
    threads : int, optional
        Threads; None is 1, -1 all cores. The result does not depend on it.
    progress : bool
        Show a bar (tqdm).

    Returns
    -------
    PatternSet
        With ``is_complete`` True (unless `min_margin` is positive) and its ``proof``; its gates
        are computed when they are asked for. The order is the same in every run: blocks of cells,
        each followed by the block of their complements, and then the patterns of faces. The gate
        of a face lies on it, so doubles may hold none if the data are not decimals; ``ps.gates``
        then raises.

    Raises
    ------
    TypeError
        If an argument has the wrong type.
    ValueError
        If an argument is not as described, if there are, or can be, more than `max_patterns`
        patterns, if X has rows that nearly depend on each other and are beyond exact arithmetic,
        with entries too far apart in size or a rank above 12 (few cells are listed in whole
        numbers then), or, with `faces`, if X has too many flats, that is, intersections of
        hyperplanes.
    MemoryError
        If the patterns do not fit in memory; raised before it is taken.
    RuntimeError
        If two enumerations differ: with ``verify=True``, an error of this package or the machine.

    See Also
    --------
    iter_patterns : the same in blocks, in bounded memory.
    sample_patterns : some of them.

    Notes
    -----
    n distinct rows of rank r have at most ``2 sum_{k<r} C(n - 1, k)`` patterns, exactly so many
    in general position: 2.6 million for n = 200, r = 4. With ``snap=True`` columns that depend on
    others to ten digits, and rows that are multiples of one other up to rounding, count as
    dependent. Rows that depend on several others up to rounding only (of logarithms, of principal
    components) do not: the cells between them are real, and thin (:attr:`PatternSet.thin`).

    A sign is taken in double precision where it is beyond the rounding errors, which are bounded.
    Where it is not, linear algebra modulo a prime of 58 bits tells whether it is zero, and
    arithmetic of 32 digits, or else exact arithmetic, which sign it has if not.

    Examples
    --------
    >>> import numpy as np
    >>> import pyconvexnn as cx
    >>> X = np.array([[1.0, 0.0], [0.0, 1.0], [-1.0, 1.0]])
    >>> ps = cx.enumerate_patterns(X)
    >>> len(ps), ps.is_complete
    (6, True)
    >>> bool(((X @ ps.gates.T > 0).T == ps.to_dense()).all())
    True
    >>> cx.enumerate_patterns([[1, 0], [-1, 0], [0, 1]], faces=True).to_dense()[4:].astype(int)
    array([[1, 1, 1],
           [1, 1, 0]])
    """
    X = as_matrix(X)
    least = nonnegative(min_margin, "min_margin")
    if flag(faces, "faces") and least > 0:
        raise ValueError(
            f"`min_margin` must be 0 with `faces=True` (faces have no margin), got {least!r}"
        )
    if max_patterns is not None:
        max_patterns = positive_int(max_patterns, "max_patterns")
    n_threads = resolve_threads(threads)
    bar = flag(progress, "progress")
    verify = flag(verify, "verify")
    rows = reduced(X, flag(snap, "snap"))
    if rows.count == 0:
        return _only_cell(X)
    listing = Listing.of(X, rows, max_patterns=max_patterns, threads=n_threads, bar=bar)
    if least > 0:
        packed, gates = listing.wide_cells(least)
        if verify:
            listing.check_twice(None)
        return PatternSet.of_arrays(
            packed,
            len(X),
            gates,
            zero_rows=zero_rows_of(X),
            interior=True,
            hyperplanes=rows.representative,
        )
    packed = listing.every_cell()
    if verify:
        listing.check_twice(packed)
    proof = proof_of(rows, len(packed) // 2, listing.cells, verified=verify)
    if faces:
        return _with_faces(listing, packed, proof, snap)
    return PatternSet.of_cells(
        packed,
        len(X),
        LazyGates(CellGates(X), packed),
        zero_rows=zero_rows_of(X),
        proof=proof,
        hyperplanes=rows.representative,
    )


def iter_patterns(
    X: ArrayLike,
    *,
    block_size: int = 65536,
    start: int | None = None,
    snap: bool = True,
    threads: int | None = None,
    progress: bool = False,
) -> Iterator[PatternBlock]:
    """Every activation pattern of the data in blocks, in bounded memory, from any place on.

    The patterns of :func:`enumerate_patterns`. Each block holds some cells, followed by their
    complements in the same order.

    Parameters
    ----------
    X : (n_samples, n_features) array
        Data.
    block_size : int
        Most patterns of a block, >= 2. Blocks hold fewer where they would take over 64 MB, and of
        data with fewer cells than rows in general position have.
    start : int, optional
        ``block.cursor`` of the last block seen, to go on behind it. The blocks that follow
        together hold the patterns not seen yet, in the same order of cells for every
        `block_size`. None: from the beginning.
    snap : bool
        As in :func:`enumerate_patterns`.
    threads : int, optional
        Threads; None is 1, -1 all cores. The blocks do not depend on it.
    progress : bool
        Show a bar (tqdm).

    Returns
    -------
    iterator of PatternBlock
        Pattern sets with an attribute ``cursor``; their gates are computed when asked for.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as described, or X cannot be enumerated (:func:`enumerate_patterns`).
        Rows that depend on each other in a way that cannot be told are noticed on the way.

    See Also
    --------
    enumerate_patterns : all of them in one set.

    Examples
    --------
    >>> import numpy as np
    >>> import pyconvexnn as cx
    >>> X = np.random.default_rng(0).standard_normal((20, 3))
    >>> blocks = list(cx.iter_patterns(X, block_size=100))
    >>> [len(block) for block in blocks], cx.count_patterns(X)
    ([100, 100, 100, 82], 382)
    >>> rest = list(cx.iter_patterns(X, block_size=100, start=blocks[1].cursor))
    >>> rest == blocks[2:]
    True
    """
    X = as_matrix(X)
    size = positive_int(block_size, "block_size", minimum=2) // 2
    size = min(size, max(1, _BLOCK_BYTES // (16 * n_words(len(X)))))
    first = 0 if start is None else positive_int(start, "start", minimum=0)
    n_threads = resolve_threads(threads)
    bar = flag(progress, "progress")
    rows = reduced(X, flag(snap, "snap"))
    cells = find_cells(X, rows, threads=n_threads) if rows.count else None
    total = 1 if cells is None else cells.total
    if first > total:
        raise ValueError(
            f"`start` must be a cursor of this data, at most {total}, got {describe(first)}"
        )
    return _blocks(X, rows.representative, cells, first, size, n_threads, bar)


def _blocks(
    X: FloatArray,
    hyperplanes: IndexArray,
    cells: HalfCellList | None,
    first: int,
    size: int,
    threads: int,
    bar: bool,
) -> Iterator[PatternBlock]:
    """Blocks of `size` half cells and their complements, from half cell `first` on."""
    if cells is None:
        if first == 0:
            packed = zero_rows_of(X)[np.newaxis]
            lazy = LazyGates(CellGates(X), packed)
            block = PatternBlock.of_cells(packed, len(X), lazy, zero_rows=zero_rows_of(X))
            block.cursor = 1
            yield block
        return
    width = n_words(len(X))
    zero_rows = zero_rows_of(X)
    gates = CellGates(X)
    wanted = _BATCH if threads == 1 else 4 * _BATCH * threads
    most = max(1, min(wanted, _BATCH_BYTES // (16 * width)) // size)
    with bar_of(cells, first, bar) as shown:
        while first < cells.total:
            batch = min(most * size, cells.total - first)
            packed = np.empty((2 * batch, width), np.uint64)
            kept = cells.write(first, batch, size, packed, threads)
            packed.flags.writeable = False
            for number, begin in enumerate(range(0, batch, size)):
                first += min(size, batch - begin)
                part = packed[2 * begin : 2 * (begin + int(kept[number]))]
                if len(part):
                    block = PatternBlock.of_cells(
                        part,
                        len(X),
                        LazyGates(gates, part),
                        zero_rows=zero_rows,
                        hyperplanes=hyperplanes,
                    )
                    block.cursor = first
                    yield block
                if shown is not None:
                    shown.update(2 * min(size, batch - begin))


def _with_faces(listing: Listing, cells: BitArray, proof: str, snap: bool) -> PatternSet:
    """All cells, and behind them the patterns that only faces have."""
    X, rows = listing.X, listing.rows
    parts, total = [cells], len(cells)
    found = face_patterns(X, rows, cells, threads=listing.threads)
    if listing.bar:
        from tqdm import tqdm

        found = tqdm(found, desc="flats", unit="")
    for part in found:
        parts.append(part)
        total += len(part)
        check_memory(total, X)
    listing.check_size(total)
    try:
        packed = np.concatenate(parts)
    except MemoryError:
        raise too_large(total, X) from None
    return PatternSet.of_arrays(
        packed,
        len(X),
        zero_rows=zero_rows_of(X),
        interior=len(cells) == total,
        lazy_gates=LazyGates(FaceGates(X, snap, packed[len(cells) :]), packed),
        proof=f"{proof}; with them the {total - len(cells)} patterns that only faces have",
        hyperplanes=rows.representative,
    )


def _only_cell(X: FloatArray) -> PatternSet:
    """Pattern of data whose rows are all zero: one cell, every bit 1."""
    packed = zero_rows_of(X)[np.newaxis]
    lazy = LazyGates(CellGates(X), packed)
    proof = "every row is zero: there is one cell"
    return PatternSet.of_cells(packed, len(X), lazy, zero_rows=zero_rows_of(X), proof=proof)
