"""Pattern sets: packed patterns with the gates that have them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, SupportsIndex, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pyconvexnn import _core
from pyconvexnn._bits import as_keys, last_word, pack, restrict, unpack, zero_rows_of
from pyconvexnn._gates import gate_finder, unit_rows
from pyconvexnn._typing import BitArray, FloatArray
from pyconvexnn._validation import as_bool_matrix, as_matrix
from pyconvexnn._witness import LazyGates
from pyconvexnn.patterns.packed import PackedPatterns, frozen, frozen_words, select_rows

if TYPE_CHECKING:
    from typing_extensions import Self

Index: TypeAlias = SupportsIndex | slice | NDArray[Any] | list[int] | list[bool]

_BLOCK_ENTRIES = 1 << 22  # entries of a temporary matrix of rows and gates


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
        A writeable array is copied.
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
    subsets; ``bits in ps`` takes one pattern as (n_samples,) booleans or as packed words.
    ``a == b`` says that the same patterns stand in the same order (gates, which are witnesses,
    are not compared); compare :attr:`fingerprint` where the order is of no interest.
    ``a | b`` is a followed by those patterns of b that are not there already; its gates are
    kept where both sides have them.

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

    __slots__ = ("_gates", "_interior", "_lazy_gates", "_proof", "_zero_rows")

    _gates: FloatArray | None
    _zero_rows: BitArray
    _interior: bool
    _lazy_gates: LazyGates | None  # computes _gates when they are asked for
    _proof: str | None

    def __init__(
        self,
        packed: BitArray,
        n_samples: int,
        gates: FloatArray | None = None,
        *,
        zero_rows: BitArray | None = None,
        interior: bool = False,
    ) -> None:
        super().__init__(packed, n_samples)
        if zero_rows is None:
            zero_rows = np.zeros(self._packed.shape[1], np.uint64)
        self._zero_rows = frozen_words(zero_rows, "zero_rows", self._packed.shape[1:], n_samples)
        self._gates = None
        if gates is not None:
            self._gates = frozen(gates, "gates", np.float64, (len(self._packed), None))
            if not np.isfinite(self._gates).all():
                raise ValueError("`gates` must be finite, got NaN or infinity")
        self._interior = bool(interior) and gates is not None
        self._lazy_gates = None
        self._proof = None

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
        return cls(pack(dense), dense.shape[1])

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
        gates = as_gates(G, "G", X.shape[1])
        packed = _core.sign_patterns(X, gates)
        return cls.of_gates(X, packed, gates)

    @classmethod
    def of_gates(cls, X: FloatArray, packed: BitArray, gates: FloatArray) -> PatternSet:
        """Set of the patterns that the gates have on X; notes what complements will need."""
        zero_rows = zero_rows_of(X)
        opposite = _core.sign_patterns(X, -gates)
        interior = bool(((packed & opposite) == zero_rows).all())
        return cls(packed, len(X), gates, zero_rows=zero_rows, interior=interior)

    @classmethod
    def of_cells(
        cls,
        packed: BitArray,
        n_samples: int,
        lazy_gates: LazyGates,
        *,
        zero_rows: BitArray,
        proof: str | None = None,
    ) -> Self:
        """Set of full-dimensional cells, its arrays taken over unchecked, its gates not computed.

        `lazy_gates` gives them when they are asked for; `proof` says why no cell is missing.
        """
        made = cls.__new__(cls)
        packed = np.ascontiguousarray(packed)
        packed.flags.writeable = zero_rows.flags.writeable = False
        made._packed, made._n_samples, made._zero_rows = packed, n_samples, zero_rows
        made._gates, made._interior = None, True
        made._lazy_gates, made._proof = lazy_gates, proof
        return made

    @property
    def gates(self) -> FloatArray | None:
        """For each pattern a gate that has it, (n_patterns, n_features), read-only; or None.

        Gates of enumerated patterns are found when they are first asked for, some microseconds
        each: the unit vector u of the cell that maximises ``min_k |x_k . u| / |x_k|``. ValueError
        if a cell is too thin for any float64 gate to have its pattern.
        """
        if self._gates is None and self._lazy_gates is not None:
            self._gates = self._lazy_gates.compute()
        return self._gates

    @property
    def is_complete(self) -> bool:
        """True if the set is proved to hold every cell of its data.

        Not of samples, subsets, blocks, and sets read from a file, whatever they hold.
        """
        return self._proof is not None

    @property
    def proof(self) -> str | None:
        """The argument for :attr:`is_complete` in a sentence; None if the set is not proved."""
        return self._proof

    def margins(self, X: ArrayLike) -> FloatArray:
        """``min_k |x_k . u| / (|x_k| |u|)`` of each pattern's gate u, over the rows not zero.

        How far, as a sine, the gate is from the nearest hyperplane at which its pattern changes.
        Computed to about 1e-16 in absolute terms, so 0 and 1e-17 are not told apart.

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
        gates = self.gates
        if gates is None:
            raise ValueError("the pattern set must have gates, got none (ps.realise(X) finds them)")
        if not self.gates_fit(X):
            raise ValueError("`X` must be the data of the patterns: its gates have others on it")
        rows = unit_rows(X[X.any(axis=1)])
        gates = unit_rows(gates)
        margins = np.ones(len(self))
        step = max(1, _BLOCK_ENTRIES // len(X))
        for start in range(0, len(self) if len(rows) else 0, step):
            part = slice(start, start + step)
            margins[part] = np.minimum(np.abs(rows @ gates[part].T).min(axis=0), 1.0)
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
        >>> cx.PatternSet.from_dense([[1, 0]]).realise(X)
        Traceback (most recent call last):
        ...
        ValueError: pattern 0: found no gate with every non-zero row of X strictly on its side
        """
        X = self._check_data(X)
        if self.gates_fit(X):
            return self
        gates = np.empty((len(self), X.shape[1]))
        find = gate_finder(X)
        for i, words in enumerate(self._packed):
            gate = find(unpack(words[np.newaxis], self._n_samples)[0])
            if gate is None or not np.array_equal(_core.sign_patterns(X, gate)[0], words):
                raise ValueError(
                    f"pattern {i}: found no gate with every non-zero row of X strictly on its side"
                )
            gates[i] = gate[0]
        return self.of_gates(X, self._packed, gates)

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
        packed = ~self._packed
        packed[:, -1] &= last_word(self._n_samples)
        packed |= self._zero_rows
        if self._gates is None and self._lazy_gates is not None:
            opposite = self._lazy_gates.opposite()
            return PatternSet.of_cells(
                packed, self._n_samples, opposite, zero_rows=self._zero_rows, proof=self._proof
            )
        gates = -self._gates if self._gates is not None and self._interior else None
        made = PatternSet(
            packed, self._n_samples, gates, zero_rows=self._zero_rows, interior=self._interior
        )
        made._proof = self._proof
        return made

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
        kept = np.atleast_1d(np.arange(self._n_samples)[rows])
        if kept.ndim != 1:
            raise IndexError("`rows` must select rows along one axis")
        if kept.size == 0:
            raise ValueError("`rows` must select at least one row, got none")
        packed = restrict(self._packed, self._n_samples, kept)
        zero_rows = restrict(self._zero_rows[np.newaxis], self._n_samples, kept)[0]
        if self._gates is None and self._lazy_gates is not None:
            made = PatternSet.of_cells(packed, kept.size, self._lazy_gates, zero_rows=zero_rows)
        else:
            made = PatternSet(
                packed, kept.size, self._gates, zero_rows=zero_rows, interior=self._interior
            )
        made._proof = self._proof  # every cell of fewer hyperplanes holds one of all of them
        return made

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the set to exactly this path, as an uncompressed ``.npz`` without pickle.

        Gates of enumerated patterns that were not asked for yet are computed now. Completeness is
        not saved: nobody need believe a file.

        Raises
        ------
        OSError
            If the file cannot be written.

        See Also
        --------
        pyconvexnn.load_patterns : reads it.
        """
        from pyconvexnn import _npz  # its imports (zipfile, json) are needed by files only

        arrays: dict[str, NDArray[Any]] = {"packed": self._packed, "zero_rows": self._zero_rows}
        gates = self.gates
        if gates is not None:
            arrays["gates"] = gates
        meta = {"n_samples": self._n_samples, "interior": self._interior}
        _npz.write(path, "patterns", meta, arrays)

    def __getitem__(self, index: Index) -> PatternSet:
        """Subset, or the set of one pattern, by NumPy's rules for one axis."""
        packed = select_rows(self._packed, index)
        if self._gates is None and self._lazy_gates is not None:
            lazy = self._lazy_gates.select(lambda packed: select_rows(packed, index))
            return PatternSet.of_cells(packed, self._n_samples, lazy, zero_rows=self._zero_rows)
        gates = None if self._gates is None else select_rows(self._gates, index)
        return PatternSet(
            packed, self._n_samples, gates, zero_rows=self._zero_rows, interior=self._interior
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
        both = np.concatenate([self._packed, other._packed])
        first = np.zeros(len(both), np.bool_)
        first[np.unique(as_keys(both), return_index=True)[1]] = True
        new = first[len(self) :]
        gates = None
        mine, theirs = (self.gates, other.gates) if new.any() else (self._gates, other._gates)
        if mine is not None and theirs is not None:
            if mine.shape[1] != theirs.shape[1]:
                raise ValueError(
                    "the gates of both pattern sets must have the same number of features, "
                    f"got {mine.shape[1]} and {theirs.shape[1]}"
                )
            gates = np.concatenate([mine, theirs[new]])
        made = PatternSet(
            np.concatenate([self._packed, other._packed[new]]),
            self._n_samples,
            gates,
            zero_rows=self._zero_rows | other._zero_rows,
            interior=self._interior and other._interior,
        )
        if gates is None and not new.any() and self._lazy_gates is not None:
            made._lazy_gates, made._interior = self._lazy_gates, True
        made._proof = self._proof or other._proof
        return made

    def __repr__(self) -> str:
        """Sizes, not contents."""
        return (
            f"PatternSet(n_patterns={len(self)}, n_samples={self._n_samples}, "
            f"gates={self._gates is not None or self._lazy_gates is not None})"
        )

    def __reduce__(self) -> tuple[Any, ...]:
        """Copy and unpickle through the constructor: its arrays are read-only again."""
        state = (self._packed, self._n_samples, self._gates, self._zero_rows, self._interior)
        return _rebuild, (*state, self._lazy_gates, self._proof)

    def _check_data(self, X: ArrayLike) -> FloatArray:
        X = as_matrix(X)
        if len(X) != self._n_samples:
            raise ValueError(f"`X` must have {self._n_samples} rows, got shape {X.shape}")
        return X

    @property
    def nbytes(self) -> int:
        """Bytes held: the packed patterns, and the gates as far as they have been computed."""
        return self._packed.nbytes + (0 if self._gates is None else self._gates.nbytes)

    def gates_fit(self, X: FloatArray) -> bool:
        """Whether the gates have these patterns on X, a matrix as `as_matrix` returns it."""
        gates = self.gates
        return (
            gates is not None
            and gates.shape[1] == X.shape[1]
            and np.array_equal(_core.sign_patterns(X, gates), self._packed)
        )


def _rebuild(
    packed: BitArray,
    n_samples: int,
    gates: FloatArray | None,
    zero_rows: BitArray,
    interior: bool,
    lazy_gates: LazyGates | None = None,
    proof: str | None = None,
) -> PatternSet:
    made = PatternSet(packed, n_samples, gates, zero_rows=zero_rows, interior=interior)
    made._interior = interior
    made._lazy_gates, made._proof = lazy_gates, proof
    return made


def as_gates(G: ArrayLike, name: str, columns: int | None = None) -> FloatArray:
    """Gates as a C-ordered matrix, read-only."""
    gates = np.array(as_matrix(G, name, columns=columns), order="C")
    gates.flags.writeable = False
    return gates
