"""Activation patterns of gates on data, packed to bits, and how to draw them.

The pattern of a gate u on data X is ``1[X u >= 0]``, one bit for each row. A gate's pattern says
which rows a gated ReLU neuron lets through; the patterns that exist are the cells of the
arrangement of hyperplanes ``x_k . u = 0``.
"""

from __future__ import annotations

import os
import warnings
import zlib
from collections.abc import Callable, Iterator
from typing import Any, SupportsIndex, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pyconvexnn import _core
from pyconvexnn._typing import BitArray, BoolArray, FloatArray
from pyconvexnn._validation import (
    as_bool_matrix,
    as_generator,
    as_matrix,
    as_vector,
    choice,
    describe,
    positive_int,
)

Index: TypeAlias = SupportsIndex | slice | NDArray[Any] | list[int] | list[bool]

_BATCH = 256  # gates drawn at a time; part of what a seed means
_DRAWS_PER_PATTERN = 200  # after this many draws for each pattern asked for, a sampler gives up
_GATE_BITS = 26  # see _round_rows
_RANK_TOLERANCE = 1e-10  # of the largest singular value
_TINY_COLUMN = 500  # a column 2^500 times smaller than the largest counts as zero
_BLOCK_ENTRIES = 1 << 22  # entries of a temporary matrix where patterns are unpacked in blocks


class PatternSet:
    r"""Activation patterns ``D_i = diag(1[X u_i >= 0])`` on n samples, packed 64 to a word.

    The order of the patterns, and patterns that occur twice, are kept: the coefficients of a
    problem are indexed by them. A pattern set never changes.

    Make one with :func:`pyconvexnn.sample_patterns`, :meth:`from_gates` or :meth:`from_dense`;
    the constructor takes patterns that are packed already.

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

    __slots__ = ("_gates", "_interior", "_n_samples", "_packed", "_zero_rows")

    _packed: BitArray
    _n_samples: int
    _gates: FloatArray | None
    _zero_rows: BitArray
    _interior: bool

    def __init__(
        self,
        packed: BitArray,
        n_samples: int,
        gates: FloatArray | None = None,
        *,
        zero_rows: BitArray | None = None,
        interior: bool = False,
    ) -> None:
        self._n_samples = positive_int(n_samples, "n_samples")
        words = _n_words(self._n_samples)
        self._packed = _frozen(packed, "packed", np.uint64, (None, words))
        if zero_rows is None:
            zero_rows = np.zeros(words, np.uint64)
        self._zero_rows = _frozen(zero_rows, "zero_rows", np.uint64, (words,))
        for name, last in (("packed", self._packed[:, -1]), ("zero_rows", self._zero_rows[-1:])):
            if (last & ~_last_word(self._n_samples)).any():
                raise ValueError(f"`{name}` must have no bit set beyond the last sample")
        self._gates = None
        if gates is not None:
            self._gates = _frozen(gates, "gates", np.float64, (len(self._packed), None))
        self._interior = bool(interior) and gates is not None

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
        return cls(_pack(dense), dense.shape[1])

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
        gates = _as_gates(G, "G", X.shape[1])
        packed = _core.sign_patterns(X, gates)
        return cls._with_gates(X, packed, gates)

    @classmethod
    def _with_gates(cls, X: FloatArray, packed: BitArray, gates: FloatArray) -> PatternSet:
        """Set of the patterns that the gates have on X; notes what complements will need."""
        zero_rows = _zero_rows(X)
        opposite = _core.sign_patterns(X, -gates)
        interior = bool(((packed & opposite) == zero_rows).all())
        return cls(packed, len(X), gates, zero_rows=zero_rows, interior=interior)

    def __len__(self) -> int:
        """Return the number of patterns."""
        return len(self._packed)

    @property
    def n_samples(self) -> int:
        """Number of rows of the data."""
        return self._n_samples

    @property
    def packed(self) -> BitArray:
        """The patterns, (n_patterns, ceil(n_samples / 64)) uint64, read-only, not copied.

        Row k of the data is bit ``k % 64`` of word ``k // 64``; bits beyond the last row are 0.
        """
        return self._packed

    @property
    def gates(self) -> FloatArray | None:
        """For each pattern a gate that has it, (n_patterns, n_features), read-only; or None."""
        return self._gates

    @property
    def is_complete(self) -> bool:
        """True if the set is proved to hold every pattern of its data. False for all sets yet."""
        return False

    @property
    def proof(self) -> None:
        """The argument for :attr:`is_complete`; None, as no set is proved complete yet."""
        return None

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the set in hexadecimal, whatever the order and the repeats of its patterns.

        Examples
        --------
        >>> import pyconvexnn as cx
        >>> ps = cx.PatternSet.from_dense([[1, 0], [1, 1]])
        >>> ps.fingerprint == ps[[1, 0, 1]].fingerprint
        True
        """
        import hashlib  # loading it is not worth it for those who do not ask

        # Sorted as big-endian bytes, so that the order is the same on every machine.
        rows = np.unique(_as_keys(self._packed.astype(">u8")))
        return hashlib.sha256(b"%d:" % self._n_samples + rows.tobytes()).hexdigest()

    def to_dense(self) -> BoolArray:
        """Return the patterns unpacked, (n_patterns, n_samples) bool, a new array.

        Raises
        ------
        MemoryError
            If ``n_patterns * n_samples`` bytes cannot be had; unpack ``ps[part]`` instead.
        """
        return _unpack(self._packed, self._n_samples)

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
        if self._gates is None:
            raise ValueError("the pattern set must have gates, got none (ps.realise(X) finds them)")
        if not self._gates_fit(X):
            raise ValueError("`X` must be the data of the patterns: its gates have others on it")
        rows = _unit_rows(X[X.any(axis=1)])
        gates = _unit_rows(self._gates)
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
        if self._gates_fit(X):
            return self
        gates = np.empty((len(self), X.shape[1]))
        find = _gate_finder(X)
        for i, words in enumerate(self._packed):
            gate = find(_unpack(words[np.newaxis], self._n_samples)[0])
            if gate is None or not np.array_equal(_core.sign_patterns(X, gate)[0], words):
                raise ValueError(
                    f"pattern {i}: found no gate with every non-zero row of X strictly on its side"
                )
            gates[i] = gate[0]
        return self._with_gates(X, self._packed, gates)

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
        packed[:, -1] &= _last_word(self._n_samples)
        packed |= self._zero_rows
        gates = -self._gates if self._gates is not None and self._interior else None
        return PatternSet(
            packed, self._n_samples, gates, zero_rows=self._zero_rows, interior=self._interior
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
        kept = np.atleast_1d(np.arange(self._n_samples)[rows])
        if kept.ndim != 1:
            raise IndexError("`rows` must select rows along one axis")
        if kept.size == 0:
            raise ValueError("`rows` must select at least one row, got none")
        return PatternSet(
            _restrict(self._packed, self._n_samples, kept),
            kept.size,
            self._gates,
            zero_rows=_restrict(self._zero_rows[np.newaxis], self._n_samples, kept)[0],
            interior=self._interior,
        )

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the set to exactly this path, as an uncompressed ``.npz`` without pickle.

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
        if self._gates is not None:
            arrays["gates"] = self._gates
        meta = {"n_samples": self._n_samples, "interior": self._interior}
        _npz.write(path, "patterns", meta, arrays)

    def __getitem__(self, index: Index) -> PatternSet:
        """Subset, or the set of one pattern, by NumPy's rules for one axis."""
        packed = _select(self._packed, index)
        gates = None if self._gates is None else _select(self._gates, index)
        return PatternSet(
            packed, self._n_samples, gates, zero_rows=self._zero_rows, interior=self._interior
        )

    def __iter__(self) -> Iterator[PatternSet]:
        """Yield each pattern as a set of one."""
        return (self[i] for i in range(len(self)))

    def __contains__(self, pattern_bits: ArrayLike) -> bool:
        """Whether a pattern, (n_samples,) booleans or packed words, is in the set."""
        words = pattern_bits
        if getattr(words, "dtype", None) != np.uint64 or np.shape(words) != self._zero_rows.shape:
            bits = as_vector(pattern_bits, "pattern_bits", length=self._n_samples)
            words = _pack(as_bool_matrix(bits[np.newaxis], "pattern_bits"))[0]
        return bool((self._packed == words).all(axis=1).any())

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
        first[np.unique(_as_keys(both), return_index=True)[1]] = True
        new = first[len(self) :]
        gates = None
        if self._gates is not None and other._gates is not None:
            if self._gates.shape[1] != other._gates.shape[1]:
                raise ValueError(
                    "the gates of both pattern sets must have the same number of features, "
                    f"got {self._gates.shape[1]} and {other._gates.shape[1]}"
                )
            gates = np.concatenate([self._gates, other._gates[new]])
        return PatternSet(
            np.concatenate([self._packed, other._packed[new]]),
            self._n_samples,
            gates,
            zero_rows=self._zero_rows | other._zero_rows,
            interior=self._interior and other._interior,
        )

    def __eq__(self, other: object) -> bool:
        """Whether the same patterns stand in the same order."""
        if not isinstance(other, PatternSet):
            return NotImplemented
        return self._n_samples == other._n_samples and np.array_equal(self._packed, other._packed)

    def __hash__(self) -> int:
        """Hash that equal sets share."""
        return hash((self._n_samples, len(self), zlib.crc32(self._packed.data)))

    def __repr__(self) -> str:
        """Sizes, not contents."""
        return (
            f"PatternSet(n_patterns={len(self)}, n_samples={self._n_samples}, "
            f"gates={self._gates is not None})"
        )

    def __reduce__(self) -> tuple[Any, ...]:
        """Copy and unpickle through the constructor: its arrays are read-only again."""
        state = (self._packed, self._n_samples, self._gates, self._zero_rows, self._interior)
        return _rebuild, state

    def _check_data(self, X: ArrayLike) -> FloatArray:
        X = as_matrix(X)
        if len(X) != self._n_samples:
            raise ValueError(f"`X` must have {self._n_samples} rows, got shape {X.shape}")
        return X

    def _gates_fit(self, X: FloatArray) -> bool:
        """Whether the gates have these patterns on X."""
        gates = self._gates
        return (
            gates is not None
            and gates.shape[1] == X.shape[1]
            and np.array_equal(_core.sign_patterns(X, gates), self._packed)
        )


def sample_patterns(
    X: ArrayLike,
    n_patterns: int,
    *,
    method: str = "gaussian",
    coordinates: str = "whitened",
    around: ArrayLike | None = None,
    seed: int | np.random.Generator | None = 0,
) -> PatternSet:
    """Distinct activation patterns ``1[X u >= 0]`` of random gates u.

    With ``coordinates="whitened"`` the gates are Gaussian in the coordinates in which X has
    orthonormal columns: ``u = C (C X'X C)^(-1/2) z``, z standard normal, C the inverse column
    norms (a pseudo-inverse where X has not full rank). Units of the columns then do not matter,
    and columns that are nearly collinear, or far from zero like years, are cut through as well.
    With ``coordinates="raw"`` the gates are ``u = z``.

    The all-zero pattern (but for zero rows of X, whose bit is always 1) is left out: it
    contributes nothing. The first patterns of a longer sample are the shorter sample.

    Parameters
    ----------
    X : (n_samples, n_features) array
        Data.
    n_patterns : int
        Number of patterns wanted.
    method : str
        ``"gaussian"``. (``"sweep"``, ``"vertex"``, ``"uniform"`` and ``"local"`` follow.)
    coordinates : str
        ``"whitened"`` or ``"raw"``.
    around : None
        For ``method="local"``, which follows.
    seed : int, Generator or None
        Where the randomness comes from; None takes fresh entropy.

    Returns
    -------
    PatternSet
        With a gate for each pattern. Fewer patterns than asked for, and a UserWarning, if
        ``200 * n_patterns`` draws did not yield as many, or no more exist: n rows in r dimensions
        have at most ``2 sum_{k<r} C(n - 1, k)`` patterns. Small cells are met late: drawing many
        patterns of data with few rows and features does not find them all.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as described.
    NotImplementedError
        For a method that follows.
    MemoryError
        If so many patterns cannot be held; raised before any is drawn.

    Notes
    -----
    Gates are rounded to 26 bits of their largest entry (in the whitened coordinates' units), so
    that LAPACKs that differ in the last bits draw the same patterns, unless the columns of X are
    dependent to 7 digits or more. A column 2^500 times smaller than the largest counts as zero.

    Examples
    --------
    >>> import numpy as np
    >>> import pyconvexnn as cx
    >>> X = np.random.default_rng(0).standard_normal((20, 3))
    >>> ps = cx.sample_patterns(X, 50)
    >>> ps
    PatternSet(n_patterns=50, n_samples=20, gates=True)
    >>> bool(np.all((X @ ps.gates.T >= 0).T == ps.to_dense()))
    True
    >>> cx.sample_patterns(1000 * X, 10) == ps[:10]
    True
    """
    X = as_matrix(X)
    n_patterns = positive_int(n_patterns, "n_patterns")
    choice(method, "method", ["gaussian"], later=["sweep", "vertex", "uniform", "local"])
    choice(coordinates, "coordinates", ["whitened", "raw"])
    if around is not None:
        raise ValueError(f"`around` must be None for method 'gaussian', got {describe(around)}")
    rng = as_generator(seed)

    zero_rows = _zero_rows(X)
    n_rows = int(X.any(axis=1).sum())
    rank = min(n_rows, X.shape[1])
    to_gates: Callable[[FloatArray], FloatArray] = _round_rows
    if coordinates == "whitened":
        whitened = _Whitened(X)
        rank, to_gates = whitened.rank, whitened.gates
    # If every row of X is zero there is one cell, and its pattern is kept.
    n_cells = _cell_bound(n_rows, rank, n_patterns + 1) if n_rows else 1
    dropped = zero_rows.tobytes() if n_rows else None

    wanted = min(n_patterns, n_cells)
    packed, gates = _allocate(wanted, len(zero_rows), X.shape[1])
    seen: set[bytes] = set()
    found = drawn = 0
    while found < wanted and len(seen) < n_cells and drawn < _DRAWS_PER_PATTERN * n_patterns:
        batch = to_gates(rng.standard_normal((_BATCH, X.shape[1])))
        drawn += _BATCH
        for words, gate in zip(_core.sign_patterns(X, batch), batch, strict=True):
            key = words.tobytes()
            if key in seen:
                continue
            seen.add(key)
            if key == dropped:
                continue
            packed[found], gates[found] = words, gate
            found += 1
            if found == wanted:
                break
    if found < n_patterns:
        warnings.warn(
            f"found {found} distinct patterns in {drawn} draws, `n_patterns` was {n_patterns}",
            UserWarning,
            stacklevel=2,
        )
    # Full arrays are handed over as they are; of those with room left the set makes copies.
    packed.flags.writeable = gates.flags.writeable = found < wanted
    return PatternSet._with_gates(X, packed[:found], gates[:found])


def load_patterns(path: str | os.PathLike[str]) -> PatternSet:
    """Read a pattern set written by :meth:`PatternSet.save`.

    Nothing in the file is trusted: it may come from anybody.

    Parameters
    ----------
    path : str or path
        File.

    Returns
    -------
    PatternSet
        Equal to the one saved, gates included.

    Raises
    ------
    ValueError
        If the file is not a pattern set, in whatever way.
    FileNotFoundError
        If there is no such file.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> import pyconvexnn as cx
    >>> ps = cx.PatternSet.from_dense([[1, 0, 1]])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     ps.save(pathlib.Path(folder, "patterns.npz"))
    ...     cx.load_patterns(pathlib.Path(folder, "patterns.npz")) == ps
    True
    """
    from pyconvexnn import _npz  # its imports (zipfile, json) are needed by files only

    layout = {"packed": ("<u8", 2), "zero_rows": ("<u8", 1)}
    return _npz.read(path, "patterns", layout, {"gates": ("<f8", 2)}, _from_file)


def _from_file(meta: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> PatternSet:
    if set(meta) != {"n_samples", "interior"} or not isinstance(meta["interior"], bool):
        raise ValueError("its JSON part must hold n_samples and interior")
    gates = arrays.get("gates")
    if gates is not None and len(gates):
        gates = _as_gates(gates, "gates")
    return PatternSet(
        arrays["packed"],
        meta["n_samples"],
        gates,
        zero_rows=arrays["zero_rows"],
        interior=meta["interior"],
    )


def _rebuild(
    packed: BitArray,
    n_samples: int,
    gates: FloatArray | None,
    zero_rows: BitArray,
    interior: bool,
) -> PatternSet:
    return PatternSet(packed, n_samples, gates, zero_rows=zero_rows, interior=interior)


# --- packed words -------------------------------------------------------------------------------


def _n_words(n_samples: int) -> int:
    return -(-n_samples // 64)


def _last_word(n_samples: int) -> np.uint64:
    """Last word of a pattern that has every bit set."""
    return np.uint64((2 << (n_samples - 1) % 64) - 1)


def _pack(dense: BoolArray) -> BitArray:
    """(P, n) booleans as (P, ceil(n / 64)) words."""
    count, n_samples = dense.shape
    buffer = np.zeros((count, 8 * _n_words(n_samples)), np.uint8)
    buffer[:, : -(-n_samples // 8)] = np.packbits(dense, axis=1, bitorder="little")
    words: BitArray = buffer.view("<u8").astype(np.uint64, copy=False)
    return words


def _unpack(packed: BitArray, n_samples: int) -> BoolArray:
    """(P, ceil(n / 64)) words as (P, n) booleans."""
    buffer = np.ascontiguousarray(packed, dtype="<u8").view(np.uint8)
    return np.unpackbits(buffer, axis=1, count=n_samples, bitorder="little").view(np.bool_)


def _restrict(packed: BitArray, n_samples: int, rows: NDArray[np.intp]) -> BitArray:
    """Words of some rows of the data; unpacks a bounded number of patterns at a time."""
    out = np.empty((len(packed), _n_words(rows.size)), np.uint64)
    step = max(1, _BLOCK_ENTRIES // max(n_samples, rows.size))
    for start in range(0, len(packed), step):
        part = slice(start, start + step)
        out[part] = _pack(_unpack(packed[part], n_samples)[:, rows])
    return out


def _as_keys(packed: NDArray[Any]) -> NDArray[Any]:
    """One opaque item for each pattern, which np.unique compares byte by byte."""
    return packed.view(np.dtype((np.void, 8 * packed.shape[1])))[:, 0]


def _zero_rows(X: FloatArray) -> BitArray:
    """Pack which rows of X are zero."""
    words: BitArray = _pack(~np.any(X, axis=1, keepdims=True).T)[0]
    return words


def _select(array: NDArray[Any], index: Any) -> NDArray[Any]:
    """Rows of a matrix by NumPy's rules for one axis; a single row stays a matrix."""
    rows = None if isinstance(index, tuple) else np.asarray(array[index])
    if rows is not None and rows.ndim == 1:
        rows = rows[np.newaxis]
    if rows is None or rows.ndim != 2:
        raise IndexError(f"a pattern set has one axis, got the index {describe(index)}")
    return rows


def _frozen(
    array: NDArray[Any], name: str, dtype: type[np.generic], shape: tuple[int | None, ...]
) -> NDArray[Any]:
    """Read-only C-ordered array, a copy if the caller could write to it."""
    if getattr(array, "dtype", None) != dtype:
        raise TypeError(f"`{name}` must be a {dtype.__name__} array, got {describe(array)}")
    wrong = any(want not in (None, got) for want, got in zip(shape, array.shape, strict=False))
    if array.ndim != len(shape) or wrong:
        text = str(shape).replace("None", "any")
        raise ValueError(f"`{name}` must have shape {text}, got {array.shape}")
    frozen = np.array(array, order="C", copy=True if array.flags.writeable else None)
    frozen.flags.writeable = False
    return frozen


def _as_gates(G: ArrayLike, name: str, columns: int | None = None) -> FloatArray:
    """Gates as a C-ordered matrix, read-only."""
    gates = np.array(as_matrix(G, name, columns=columns), order="C")
    gates.flags.writeable = False
    return gates


# --- gates --------------------------------------------------------------------------------------


def _round_rows(H: FloatArray) -> FloatArray:
    """Rows scaled by powers of two to a largest entry in [1/2, 1], then rounded to 26 bits.

    Products and LAPACK factors differ in their last bits between machines; after the rounding
    the gates, and so the patterns, do not.
    """
    exponent = np.frexp(np.abs(H).max(axis=1, keepdims=True))[1]
    return np.asarray(np.ldexp(np.rint(np.ldexp(H, _GATE_BITS - exponent)), -_GATE_BITS))


def _unit_rows(A: FloatArray) -> FloatArray:
    """Rows divided by their norms, without overflow; zero rows stay zero."""
    largest = np.abs(A).max(axis=1, keepdims=True, initial=0.0)
    scaled = A / np.where(largest == 0, 1.0, largest)
    norms = np.linalg.norm(scaled, axis=1, keepdims=True)
    return np.asarray(scaled / np.where(norms == 0, 1.0, norms))


class _Whitened:
    """Coordinates z in which the columns of X are orthonormal: gates ``u = C V diag(1/s) V' z``.

    ``X C`` has columns of norm about 1 and the singular values s and right singular vectors V.
    The symmetric root ``V diag(1/s) V'`` depends on no choice of signs or bases in V. Scalings
    are split into exact powers of two and factors of 26 bits, so that the gates of X with its
    columns scaled by powers of two have the same patterns bit for bit.
    """

    def __init__(self, X: FloatArray) -> None:
        largest = np.abs(X).max(axis=0)
        self._exponents = np.frexp(largest)[1]
        used = largest > 0
        if used.any():
            used &= self._exponents > self._exponents[used].max() - _TINY_COLUMN
        scaled = np.ldexp(X, -self._exponents) * used
        norms = np.sqrt(np.sum(scaled * scaled, axis=0))
        self._factors = np.where(used, _round_entries(1.0 / np.where(used, norms, 1.0)), 0.0)
        self._X = scaled * self._factors
        _, s, vt = np.linalg.svd(np.linalg.qr(self._X, mode="r"), full_matrices=False)
        kept = s > _RANK_TOLERANCE * s.max()
        self._s, self._vt = s[kept], vt[kept]
        self.rank = int(kept.sum())

    def gates(self, Z: FloatArray) -> FloatArray:
        """Gates of standard normal rows Z, rounded, their largest entries in [1/2, 1]."""
        return self._to_units(_round_rows(Z @ self._vt.T / self._s @ self._vt))

    def rows(self) -> FloatArray:
        """Return the rows of X in r orthonormal coordinates, (n, r)."""
        return np.asarray(self._X @ self._vt.T / self._s)

    def gate_of(self, z: FloatArray) -> FloatArray:
        """Gate (1, d) whose products with the rows of X are those of ``rows()`` with z."""
        return self._to_units((z / self._s @ self._vt)[np.newaxis])

    def _to_units(self, H: FloatArray) -> FloatArray:
        """From coordinates in which columns have norm 1 to those of X; exact for 26-bit H."""
        gates = np.ldexp(H * self._factors, -self._exponents)
        exponent = np.frexp(np.abs(gates).max(axis=1, keepdims=True))[1]
        return np.asarray(np.ldexp(gates, -exponent))


def _round_entries(a: FloatArray) -> FloatArray:
    """Each entry rounded to 26 significant bits."""
    mantissa, exponent = np.frexp(a)
    return np.asarray(np.ldexp(np.rint(np.ldexp(mantissa, _GATE_BITS)), exponent - _GATE_BITS))


def _gate_finder(X: FloatArray) -> Callable[[BoolArray], FloatArray | None]:
    """Return a function of one pattern: a gate (1, d) strictly inside its cell, or None.

    Solves ``min max_j |z_j|`` subject to ``s_k y_k . z >= 1`` for the non-zero rows y_k of X in
    whitened coordinates, scaled to norm 1, and signs s_k. The right-hand side 1 is far above the
    solver's tolerance, so a solution found is truly inside.
    """
    from scipy.optimize import linprog

    whitened = _Whitened(X)
    Y = _unit_rows(whitened.rows())
    used = Y.any(axis=1)
    Y, rank = Y[used], whitened.rank
    box = np.block([[np.eye(rank), -np.ones((rank, 1))], [-np.eye(rank), -np.ones((rank, 1))]])

    def find(bits: BoolArray) -> FloatArray | None:
        if rank == 0:
            return np.ones((1, X.shape[1]))
        sides = np.where(bits[used], -1.0, 1.0)[:, np.newaxis] * Y
        result = linprog(
            np.append(np.zeros(rank), 1.0),
            A_ub=np.vstack([np.hstack([sides, np.zeros((len(Y), 1))]), box]),
            b_ub=np.append(-np.ones(len(Y)), np.zeros(2 * rank)),
            bounds=(None, None),
            method="highs",
        )
        return whitened.gate_of(result.x[:-1]) if result.status == 0 else None

    return find


def _cell_bound(n_rows: int, rank: int, limit: int) -> int:
    """``2 sum_{k<rank} C(n_rows - 1, k)``, or `limit` if that is less."""
    total, term = 0, 2
    for k in range(rank):
        total += term
        term = term * (n_rows - 1 - k) // (k + 1)
        if term <= 0 or total >= limit:
            break
    return min(total, limit)


def _allocate(n_patterns: int, n_words: int, n_features: int) -> tuple[BitArray, FloatArray]:
    """Room for patterns and gates, or the MemoryError that says how much was asked for."""
    try:
        return np.empty((n_patterns, n_words), np.uint64), np.empty((n_patterns, n_features))
    except (MemoryError, ValueError, OverflowError):
        size = 8 * n_patterns * (n_words + n_features)
        raise MemoryError(
            f"{n_patterns} patterns with their gates take {size} bytes, more than can be had; "
            "ask for a smaller `n_patterns`"
        ) from None
