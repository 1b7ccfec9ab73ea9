"""The pattern set: made from data and gates, taken apart, joined, and given gates."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import ArrayLike

from pyconvexnn import _core
from pyconvexnn._bits import n_words, opposite, pack, restrict, unseen, zero_rows_of
from pyconvexnn._typing import BitArray, FloatArray, IndexArray
from pyconvexnn._validation import as_bool_matrix, as_matrix
from pyconvexnn._witness import LazyGates
from pyconvexnn.patterns.gates import find_gates, have_patterns, margins_of
from pyconvexnn.patterns.indices import Index, select, within
from pyconvexnn.patterns.packed import PackedPatterns, owned

_THIN = 1e-12


class PatternSet(PackedPatterns):
    r"""Activation patterns ``D_i = diag(1[X u_i >= 0])`` on n samples, packed 64 to a word.

    The order of the patterns, and patterns that occur twice, are kept: the coefficients of a
    problem are indexed by them. A pattern set never changes.

    Make one with :func:`pyconvexnn.enumerate_patterns`, :func:`pyconvexnn.sample_patterns`,
    :meth:`from_gates` or :meth:`from_dense`; the constructor takes patterns that are packed
    already.

    Parameters
    ----------
    packed : (n_patterns, ceil(n_samples / 64)) uint64
        Row k of the data is bit ``k % 64`` of word ``k // 64``; bits beyond the last row are 0.
        Copied, like every array here: changing it later does not change the set.
    n_samples : int
        Number of rows of the data.
    gates : (n_patterns, n_features) float64, optional
        For each pattern a gate u with ``1[X u >= 0]`` equal to it.
    zero_rows : (ceil(n_samples / 64),) uint64, optional
        The rows of the data known to be zero, packed. Their bit is 1 in every complement.
    interior : bool
        True if no row of the data but a zero row lies on the hyperplane of any gate.

    Raises
    ------
    TypeError, ValueError
        If an array has the wrong dtype or shape, or a bit beyond the last row is set.

    Notes
    -----
    ``ps[i]`` is the set of one pattern, ``ps[slice]``, ``ps[integers]`` and ``ps[mask]`` are
    subsets; ``bits in ps`` takes one pattern as (n_samples,) booleans, as packed words, or as a
    set of one. ``np.asarray(ps)`` is :meth:`to_dense`; nothing else makes the dense matrix.
    ``a == b`` says that the same patterns stand in the same order (gates, which are witnesses,
    are not compared); compare :attr:`fingerprint` where the order is of no interest.
    ``a | b`` is a followed by those patterns of b that are not there already. It has gates if
    both sides have, or if b brings nothing new and a has; it is complete if one of them is.

    Examples
    --------
    >>> import numpy as np
    >>> import pyconvexnn as cx
    >>> X = np.array([[1.0, 0.0], [0.0, 1.0], [-1.0, 1.0]])
    >>> ps = cx.PatternSet.from_gates(X, [[1.0, 2.0], [2.0, -1.0]])
    >>> ps
    PatternSet(n_patterns=2, n_samples=3, gates=True)
    >>> ps.to_dense().astype(int)
    array([[1, 1, 1],
           [1, 0, 0]])
    >>> ps.complement().to_dense().astype(int)
    array([[0, 0, 0],
           [0, 1, 1]])
    >>> [True, False, False] in ps, len(ps | ps.complement())
    (True, 4)
    """

    __slots__ = ()

    @classmethod
    def from_dense(cls, patterns: ArrayLike) -> PatternSet:
        """Pattern set of the rows of a boolean matrix, in this order, repeats kept.

        Parameters
        ----------
        patterns : (n_patterns, n_samples) bool
            Numbers are taken if they are all 0 or 1.

        Returns
        -------
        PatternSet
            Without gates; :meth:`realise` finds them.

        Raises
        ------
        TypeError, ValueError
            If `patterns` is no matrix of booleans with at least one column.

        Examples
        --------
        >>> import pyconvexnn as cx
        >>> ps = cx.PatternSet.from_dense([[True, True, False]])
        >>> ps.packed
        array([[3]], dtype=uint64)
        """
        dense = as_bool_matrix(patterns, "patterns")
        if dense.shape[1] == 0:
            raise ValueError(f"`patterns` must have at least one column, got shape {dense.shape}")
        n_samples = dense.shape[1]
        zero_rows = np.zeros(n_words(n_samples), np.uint64)
        return cls.of_arrays(pack(dense), n_samples, zero_rows=zero_rows, interior=False)

    @classmethod
    def from_gates(cls, X: ArrayLike, G: ArrayLike) -> PatternSet:
        """Patterns ``1[X g >= 0]`` of the rows g of G, in this order, repeats kept.

        A row of X on the hyperplane of a gate has the bit 1. The bits are the same on every CPU.

        Parameters
        ----------
        X : (n_samples, n_features) array
            Data.
        G : (n_patterns, n_features) array
            Gates.

        Returns
        -------
        PatternSet
            With the rows of G as its gates.

        Raises
        ------
        TypeError, ValueError
            If X or G is not a finite real matrix, or their numbers of columns differ.

        Examples
        --------
        >>> import pyconvexnn as cx
        >>> ps = cx.PatternSet.from_gates([[1, 0], [0, 1]], [[1, -1], [0, 1]])
        >>> ps.to_dense()
        array([[ True, False],
               [ True,  True]])
        """
        X = as_matrix(X)
        gates = np.array(as_matrix(G, "G", columns=X.shape[1]), order="C")
        packed = _core.sign_patterns(X, gates)
        return cls.of_gates(X, packed, gates)

    @classmethod
    def of_gates(cls, X: FloatArray, packed: BitArray, gates: FloatArray) -> PatternSet:
        """Set of the patterns that the gates have on X; notes what complements will need.

        The arrays are taken over, but for views of writeable arrays, which are copied.
        """
        zero_rows = zero_rows_of(X)
        opposite = _core.sign_patterns(X, -gates)
        interior = bool(((packed & opposite) == zero_rows).all())
        return cls.of_arrays(
            owned(packed), len(X), owned(gates), zero_rows=zero_rows, interior=interior
        )

    def margins(self, X: ArrayLike) -> FloatArray:
        """``min_k |x_k . u| / (|x_k| |u|)`` of each pattern's gate u, over the rows not zero.

        How far, as a sine, the gate is from the nearest hyperplane at which its pattern changes.
        Computed to about 1e-16 in absolute terms, so 0 and 1e-17 are not told apart; 0 for cells
        of enumerated sets that are too thin for any float64 gate, and faces where none is found.

        Parameters
        ----------
        X : (n_samples, n_features) array
            The data of the patterns.

        Returns
        -------
        (n_patterns,) float64
            Between 0 and 1; 1 if all rows are zero.

        Raises
        ------
        ValueError
            If the set has no gates, or the gates do not have these patterns on X.

        Examples
        --------
        >>> import numpy as np
        >>> import pyconvexnn as cx
        >>> X = np.eye(2)
        >>> cx.PatternSet.from_gates(X, [[3.0, 4.0], [1.0, 0.0]]).margins(X)
        array([0.6, 0. ])
        """
        X = self._check_data(X)
        gates, missing = self.gates_found()
        if gates is None:
            raise ValueError("the pattern set must have gates, got none (ps.realise(X) finds them)")
        found = np.delete(np.arange(len(self)), missing) if missing.size else slice(None)
        if not have_patterns(gates[found], X, self._packed[found]):
            raise ValueError("`X` must be the data of the patterns: its gates have others on it")
        margins = np.zeros(len(self))
        margins[found] = margins_of(gates[found], X)
        return margins

    def realise(self, X: ArrayLike) -> PatternSet:
        """Return the same patterns with a gate for each, found by linear programming.

        Gates that the set has already are kept if they have its patterns on X. Otherwise each
        pattern takes one small linear program (milliseconds for hundreds of rows): the gate that
        keeps every row that is not zero strictly on its side, as far from 0 as it can.

        Parameters
        ----------
        X : (n_samples, n_features) array
            The data of the patterns.

        Returns
        -------
        PatternSet
            Its gates have exactly these patterns on X.

        Raises
        ------
        ValueError
            If no such gate is found for a pattern, which the message names. This includes
            patterns that exist only with a non-zero row on the gate's hyperplane, and those of
            cells thinner than about 1e-9, which the linear program does not see.

        Examples
        --------
        >>> import numpy as np
        >>> import pyconvexnn as cx
        >>> X = np.array([[1.0], [2.0]])
        >>> np.sign(cx.PatternSet.from_dense([[1, 1], [0, 0]]).realise(X).gates)
        array([[ 1.],
               [-1.]])
        >>> cx.PatternSet.from_dense([[1, 0]]).realise(X)  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        ...
        ValueError: `X` must be data on which every pattern is a cell, got pattern 0: found no ...
        """
        X = self._check_data(X)
        if self.gates_fit(X):
            return self
        return PatternSet.of_gates(X, self._packed, find_gates(self._packed, X))

    def complement(self) -> PatternSet:
        """Return the set of the opposite patterns ``1 - D_i``, in the same order.

        The bit of a zero row of the data is 1 in complements too, where the set was made from
        the data (:meth:`from_dense` does not see it). The gates are the opposite ones, or None
        if a row that is not zero lies on the hyperplane of one: then ``-u`` has another pattern.

        Examples
        --------
        >>> import pyconvexnn as cx
        >>> ps = cx.PatternSet.from_gates([[1.0, 0.0], [0.0, 0.0]], [[1.0, 1.0]])
        >>> ps.to_dense(), ps.complement().to_dense()
        (array([[ True,  True]]), array([[False,  True]]))
        """
        packed = opposite(self._packed, self._n_samples, self._zero_rows)
        gates, lazy = self._gates, self._lazy_gates
        if not self._interior:
            lazy = None
        elif lazy is not None:
            X = lazy.finder.X
            lazy = self._follow(lazy, packed, lambda old: opposite(old, len(X), zero_rows_of(X)))
        return PatternSet.of_arrays(
            packed,
            self._n_samples,
            -gates if gates is not None and self._interior else None,
            zero_rows=self._zero_rows,
            interior=self._interior,
            lazy_gates=lazy,
            proof=self._proof,
            hyperplanes=self._hyperplanes,
        )

    def restrict(self, rows: Index) -> PatternSet:
        """Return the patterns on some rows of the data, in the order given; repeats are kept.

        Patterns that differ on the rows left out only become equal; they are kept as well.

        Parameters
        ----------
        rows : slice, (n_kept,) integers or (n_samples,) booleans
            What would select the rows of X.

        Raises
        ------
        IndexError
            If a row does not exist.
        ValueError
            If no row is selected.

        Examples
        --------
        >>> import pyconvexnn as cx
        >>> cx.PatternSet.from_dense([[1, 0, 1, 1]]).restrict([3, 1]).to_dense()
        array([[ True, False]])
        """
        kept = np.atleast_1d(np.arange(self._n_samples)[within(rows, self._n_samples, "rows")])
        if kept.ndim != 1:
            raise IndexError("`rows` must select rows along one axis")
        if kept.size == 0:
            raise ValueError("`rows` must select at least one row, got none")
        gates, lazy = self._gates, self._lazy_gates
        return PatternSet.of_arrays(
            restrict(self._packed, self._n_samples, kept),
            kept.size,
            gates,
            zero_rows=restrict(self._zero_rows[np.newaxis], self._n_samples, kept)[0],
            interior=self._interior,
            lazy_gates=lazy,  # of the patterns on all rows
            proof=self._proof,  # every cell of fewer hyperplanes holds one of all of them
            hyperplanes=None if self._hyperplanes is None else self._hyperplanes[kept],
        )

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the set to exactly this path, as an uncompressed ``.npz`` without pickle.

        Gates of enumerated patterns that were not asked for yet are computed now. Where a cell is
        too thin for any (:attr:`gates`) the data are saved instead, and the set that is read finds
        its gates again when they are asked for; after :meth:`restrict`, or where a gate on a face
        is missing, it is saved without gates. Completeness is not saved: nobody need believe a
        file.

        Raises
        ------
        OSError
            If the file cannot be written.

        See Also
        --------
        pyconvexnn.load_patterns : reads it.
        """
        from pyconvexnn.patterns.files import write  # which imports this module

        write(self, path)

    @property
    def thin(self) -> IndexArray:
        """Cells so thin that no gate is sure of its side: their best margin is below 1e-12.

        The margin is ``max_u min_k |x_k . u| / (|x_k| |u|)`` over the cell, for the data that were
        enumerated. Some microseconds a cell; :attr:`gates` raises if one of these has no gate
        (``ps[np.setdiff1d(range(len(ps)), ps.thin)]`` has all). Patterns that only faces have
        (``enumerate_patterns(X, faces=True)``) are no cells, and not listed.

        Returns
        -------
        (k,) int64
            Their numbers, ascending.

        Raises
        ------
        ValueError
            If the set does not know its data: only enumerated sets do, and what is made of them.

        Examples
        --------
        >>> import pyconvexnn as cx
        >>> rows = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [1.0, 1.0, 1e-14]]
        >>> ps = cx.enumerate_patterns(rows, snap=False)
        >>> len(ps), ps.to_dense()[ps.thin].astype(int).tolist()
        (8, [[1, 1, 0], [0, 0, 1]])
        """
        lazy = self._lazy_gates
        if lazy is None:
            raise ValueError(
                "`thin` must be asked of an enumerated set, which knows its data; use "
                "ps.margins(X) < 1e-12"
            )
        cells = np.flatnonzero(~lazy.finder.is_face(lazy.packed))
        _, margins = lazy.finder.with_margins(lazy.packed[cells])
        return cells[margins < _THIN]

    def __getitem__(self, index: Index) -> PatternSet:
        """Subset, or the set of one pattern, by NumPy's rules for one axis."""
        packed = select(self._packed, index)
        gates, lazy = self._gates, self._lazy_gates
        if lazy is not None:
            lazy = self._follow(lazy, packed, lambda old: select(old, index))
        return PatternSet.of_arrays(
            packed,
            self._n_samples,
            None if gates is None else select(gates, index),
            zero_rows=self._zero_rows,
            interior=self._interior,
            lazy_gates=lazy,
            proof=self._proof if self._proof and self._is_whole(index, len(packed)) else None,
            hyperplanes=self._hyperplanes,
        )

    def __iter__(self) -> Iterator[PatternSet]:
        """Yield each pattern as a set of one."""
        return (self[i] for i in range(len(self)))

    def __or__(self, other: object) -> PatternSet:
        """Union: the other set's new patterns after all of this one."""
        if not isinstance(other, PatternSet):
            return NotImplemented
        if other._n_samples != self._n_samples:
            raise ValueError(
                "pattern sets must have the same number of samples, "
                f"got {self._n_samples} and {other._n_samples}"
            )
        columns = {n for n in (self._n_features(), other._n_features()) if n is not None}
        if len(columns) > 1:
            raise ValueError(
                "the gates of both pattern sets must have the same number of features, "
                f"got {self._n_features()} and {other._n_features()}"
            )
        new = unseen(other._packed, self._packed)
        packed, interior = self._packed, self._interior
        gates, lazy = self._gates, self._lazy_gates
        if new.any():
            theirs = other if new.all() else other[new]
            packed = np.concatenate([packed, theirs._packed])
            interior = interior and other._interior
            gates, lazy = self._gates_with(theirs, packed)
        return PatternSet.of_arrays(
            packed,
            self._n_samples,
            gates,
            zero_rows=self._zero_rows | other._zero_rows,
            interior=interior,
            lazy_gates=lazy,
            proof=self._proof or other._proof,
            hyperplanes=self._shared_hyperplanes(other),
        )

    def gates_fit(self, X: FloatArray) -> bool:
        """Whether the gates have these patterns on X, a matrix as `as_matrix` returns it."""
        return have_patterns(self.gates, X, self._packed)

    def _check_data(self, X: ArrayLike) -> FloatArray:
        X = as_matrix(X)
        if len(X) != self._n_samples:
            raise ValueError(f"`X` must have {self._n_samples} rows, got shape {X.shape}")
        return X

    def _is_whole(self, index: Index, count: int) -> bool:
        """Whether an index that selects so many patterns leaves none out."""
        if count < len(self):
            return False
        chosen = np.zeros(len(self), np.bool_)
        chosen[index] = True
        return bool(chosen.all())

    def _shared_hyperplanes(self, other: PatternSet) -> IndexArray | None:
        """Hyperplanes of the union, unless both sides know them differently."""
        mine, theirs = self._hyperplanes, other._hyperplanes
        if mine is None or theirs is None:
            return theirs if mine is None else mine
        return mine if mine is theirs or np.array_equal(mine, theirs) else None

    def _follow(
        self, lazy: LazyGates, packed: BitArray, change: Callable[[BitArray], BitArray]
    ) -> LazyGates:
        """Gates not computed yet, of patterns that are these ones changed to `packed`."""
        own = lazy.packed is self._packed
        return LazyGates(lazy.finder, packed if own else change(lazy.packed))

    def _gates_with(
        self, other: PatternSet, packed: BitArray
    ) -> tuple[FloatArray | None, LazyGates | None]:
        """Gates of these patterns and then the other ones, together `packed`."""
        mine, theirs = self._lazy_gates, other._lazy_gates
        both = None
        if self._gates is not None and other._gates is not None:
            both = np.concatenate([self._gates, other._gates])
        if mine is not None and theirs is not None and mine.finder is theirs.finder:
            if mine.packed is not self._packed or theirs.packed is not other._packed:
                packed = np.concatenate([mine.packed, theirs.packed])
            return both, LazyGates(mine.finder, packed)
        if self._n_features() is None or other._n_features() is None:
            return None, None
        return both if both is not None else np.concatenate([self.gates, other.gates]), None
