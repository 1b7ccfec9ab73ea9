"""What a pattern set holds: arrays that nobody can change, and what they alone tell."""

from __future__ import annotations

import operator
import zlib
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from pyconvexnn._bits import contains, distinct_sorted, last_word, n_words, pack, unpack
from pyconvexnn._typing import BitArray, BoolArray, FloatArray, IndexArray
from pyconvexnn._validation import as_bool_matrix, as_vector, describe, flag, positive_int
from pyconvexnn._witness import LazyGates
from pyconvexnn.patterns.indices import within
from pyconvexnn.patterns.neighbours import NeighbourIndex, hyperplanes_of

if TYPE_CHECKING:
    from typing_extensions import Self


class PackedPatterns:
    """Patterns packed 64 to a word, with their gates or what computes them. Immutable.

    The arrays are the set's own: those given to the constructor are copied, and no view that is
    handed out can be made writeable.
    """

    __slots__ = (
        "_gates",
        "_hyperplanes",
        "_interior",
        "_lazy_gates",
        "_n_samples",
        "_neighbours",
        "_packed",
        "_proof",
        "_zero_rows",
    )
    __array_ufunc__ = None  # operators with arrays are ours: no array arithmetic on patterns

    _packed: BitArray
    _n_samples: int
    _gates: FloatArray | None
    _zero_rows: BitArray
    _interior: bool
    _lazy_gates: LazyGates | None  # computes _gates when they are asked for, and knows the data
    _proof: str | None
    _hyperplanes: IndexArray | None  # of each row, as the data tell; -1 for zero rows
    _neighbours: NeighbourIndex | None  # made when first asked for

    def __init__(
        self,
        packed: BitArray,
        n_samples: int,
        gates: FloatArray | None = None,
        *,
        zero_rows: BitArray | None = None,
        interior: bool = False,
    ) -> None:
        n_samples = positive_int(n_samples, "n_samples")
        if zero_rows is None:
            zero_rows = np.zeros(n_words(n_samples), np.uint64)
        check_arrays(packed, n_samples, gates, zero_rows)
        self._take(
            np.array(packed, order="C"),
            n_samples,
            None if gates is None else np.array(gates, order="C"),
            zero_rows=np.array(zero_rows),
            interior=flag(interior, "interior"),
        )

    @classmethod
    def of_arrays(
        cls,
        packed: BitArray,
        n_samples: int,
        gates: FloatArray | None = None,
        *,
        zero_rows: BitArray,
        interior: bool,
        lazy_gates: LazyGates | None = None,
        proof: str | None = None,
        hyperplanes: IndexArray | None = None,
    ) -> Self:
        """Set whose arrays are taken over: not copied, not checked, read-only from now on."""
        made = cls.__new__(cls)
        made._take(
            packed,
            n_samples,
            gates,
            zero_rows=zero_rows,
            interior=interior,
            lazy_gates=lazy_gates,
            proof=proof,
            hyperplanes=hyperplanes,
        )
        return made

    @classmethod
    def of_cells(
        cls,
        packed: BitArray,
        n_samples: int,
        lazy_gates: LazyGates,
        *,
        zero_rows: BitArray,
        proof: str | None = None,
        hyperplanes: IndexArray | None = None,
    ) -> Self:
        """Set of full-dimensional cells, its arrays taken over unchecked, its gates not computed.

        `lazy_gates` gives them when they are asked for; `proof` says why no cell is missing;
        `hyperplanes` numbers the hyperplanes of the rows, -1 for zero rows.
        """
        return cls.of_arrays(
            packed,
            n_samples,
            zero_rows=zero_rows,
            interior=True,
            lazy_gates=lazy_gates,
            proof=proof,
            hyperplanes=hyperplanes,
        )

    def _take(
        self,
        packed: BitArray,
        n_samples: int,
        gates: FloatArray | None,
        *,
        zero_rows: BitArray,
        interior: bool,
        lazy_gates: LazyGates | None = None,
        proof: str | None = None,
        hyperplanes: IndexArray | None = None,
    ) -> None:
        self._packed = read_only(packed)
        self._n_samples = n_samples
        self._gates = None if gates is None else read_only(gates)
        self._zero_rows = read_only(zero_rows)
        if lazy_gates is not None and lazy_gates.packed is packed:
            lazy_gates = LazyGates(lazy_gates.finder, self._packed)
        self._lazy_gates = lazy_gates
        self._interior = bool(interior) and (gates is not None or lazy_gates is not None)
        self._proof = proof
        self._hyperplanes = None if hyperplanes is None else read_only(hyperplanes)
        self._neighbours = None

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
        """For each pattern a gate that has it, (n_patterns, n_features), read-only; or None.

        Gates of enumerated patterns are found when they are first asked for, some microseconds
        each: the unit vector u of the cell that maximises ``min_k |x_k . u| / |x_k|``; of a
        face, some milliseconds each, a point on it. ValueError if a cell is too thin for any
        float64 gate to have its pattern, or none is found on a face.
        """
        lazy = self._lazy_gates
        if self._gates is None and lazy is not None:
            self._gates = read_only(lazy.compute())
        return self._gates

    def gates_found(self) -> tuple[FloatArray | None, IndexArray]:
        """Gates, and the numbers of patterns for which none is found, whose rows are not gates."""
        lazy = self._lazy_gates
        if self._gates is None and lazy is not None:
            gates, missing = lazy.finder.find(lazy.packed)
            if missing.size:
                return gates, missing
            self._gates = read_only(gates)
        return self._gates, np.empty(0, np.int64)

    def _n_features(self) -> int | None:
        """Entries of a gate, if there are gates."""
        gates, lazy = self._gates, self._lazy_gates
        if lazy is not None:
            return int(lazy.finder.X.shape[1])
        return None if gates is None else int(gates.shape[1])

    @property
    def nbytes(self) -> int:
        """Bytes of the patterns, and of their gates where these are held.

        Gates of enumerated patterns count once they were asked for. What a slice shares with the
        set it was taken from counts in both.

        Examples
        --------
        >>> import numpy as np
        >>> import pyconvexnn as cx
        >>> X = np.random.default_rng(0).standard_normal((100, 3))
        >>> ps = cx.enumerate_patterns(X)
        >>> len(ps), ps.nbytes  # two words each
        (9902, 158432)
        >>> ps.gates.nbytes, ps.nbytes
        (237648, 396080)
        """
        held = self._packed.nbytes
        gates, lazy = self._gates, self._lazy_gates
        if gates is not None:
            held += gates.nbytes
        if lazy is not None and lazy.packed is not self._packed:
            held += lazy.packed.nbytes  # the patterns on all rows, kept by `restrict`
        return held

    @property
    def is_complete(self) -> bool:
        """True if the set is proved to hold every cell of its data.

        Not of samples, true subsets, blocks, and sets read from a file, whatever they hold.
        """
        return self._proof is not None

    @property
    def proof(self) -> str | None:
        """The argument for :attr:`is_complete` in a sentence; None if the set is not proved."""
        return self._proof

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

        digest = hashlib.sha256(b"%d:" % self._n_samples)
        digest.update(distinct_sorted(self._packed).view(np.uint8).data)
        return digest.hexdigest()

    def neighbours(self, i: int) -> IndexArray:
        """Indices of the cells of the set across one hyperplane from a cell.

        The patterns of the set that differ from pattern i in exactly the rows of one hyperplane:
        repeated and opposite rows change together, zero rows never. Sets that come from an
        enumeration, parts of it as well, know the hyperplanes of their data. In others (samples,
        sets from a file) rows that agree in all patterns, or disagree in all, count as one
        hyperplane, as nothing tells them apart. Of a complete set the result has one cell for
        each facet of the cell, of others those of them that are there. Patterns that only faces
        have (``enumerate_patterns(X, faces=True)``) are no cells: they are never listed.

        The first call builds an index of 17 bytes a pattern. After it a call takes one binary
        search for each hyperplane.

        Parameters
        ----------
        i : int
            The cell; negative numbers count from the end.

        Returns
        -------
        (n_neighbours,) int64
            Sorted. A pattern that occurs twice in the set is listed twice.

        Raises
        ------
        TypeError
            If `i` is not an integer.
        IndexError
            If there is no such pattern.
        ValueError
            If only a face has it.

        Examples
        --------
        >>> import numpy as np
        >>> import pyconvexnn as cx
        >>> ps = cx.enumerate_patterns([[1, 0], [2, 0], [0, 1], [-1, 0]])
        >>> ps.to_dense().astype(int)
        array([[1, 1, 1, 0],
               [1, 1, 0, 0],
               [0, 0, 0, 1],
               [0, 0, 1, 1]])
        >>> ps.neighbours(0)
        array([1, 3])
        """
        try:
            number = operator.index(i)
        except TypeError:
            number = None
        if number is None or isinstance(i, (bool, np.bool_)):
            raise TypeError(f"`i` must be an integer, got {describe(i)}")
        place = within(number, len(self), "i") % len(self)
        index = self._neighbours
        if index is None:
            hyperplanes = self._hyperplanes
            if hyperplanes is None:
                hyperplanes = hyperplanes_of(self._packed, self._n_samples)
            lazy = self._lazy_gates
            is_face = (
                np.zeros(len(self), np.bool_) if lazy is None else lazy.finder.is_face(lazy.packed)
            )
            index = self._neighbours = NeighbourIndex(self._packed, hyperplanes, is_face)
        if index.is_face[place]:
            raise ValueError(f"`i` must be the number of a cell, got {i!r}: only a face has it")
        return index.of(self._packed, place)

    def to_dense(self) -> BoolArray:
        """Return the patterns unpacked, (n_patterns, n_samples) bool, a new array.

        ``np.asarray(ps)`` is the same.

        Raises
        ------
        MemoryError
            If ``n_patterns * n_samples`` bytes cannot be had; unpack ``ps[part]`` instead.
        """
        return unpack(self._packed, self._n_samples)

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> NDArray[Any]:
        """Patterns unpacked, as :meth:`to_dense`; there is no view of them as an array."""
        if copy is False:
            raise ValueError(
                "`copy` must not be False: patterns are packed, an array of them cannot be made "
                "without a copy, got False"
            )
        return self.to_dense().astype(np.bool_ if dtype is None else dtype, copy=False)

    def __contains__(self, pattern_bits: ArrayLike | PackedPatterns) -> bool:
        """Whether a pattern is in the set.

        The pattern is (n_samples,) booleans, packed words, or a set of one.
        """
        if isinstance(pattern_bits, PackedPatterns):
            if len(pattern_bits) != 1 or pattern_bits._n_samples != self._n_samples:
                raise ValueError(
                    f"`pattern_bits` must be one pattern of {self._n_samples} samples, "
                    f"got {pattern_bits!r}"
                )
            return contains(self._packed, pattern_bits._packed[0])
        words = pattern_bits
        if getattr(words, "dtype", None) != np.uint64 or np.shape(words) != self._zero_rows.shape:
            bits = as_vector(pattern_bits, "pattern_bits", length=self._n_samples)
            words = pack(as_bool_matrix(bits[np.newaxis], "pattern_bits"))[0]
        return contains(self._packed, np.asarray(words))

    def __eq__(self, other: object) -> bool:
        """Whether the same patterns stand in the same order."""
        if not isinstance(other, PackedPatterns):
            return NotImplemented
        return self._n_samples == other._n_samples and (
            self._packed is other._packed or np.array_equal(self._packed, other._packed)
        )

    def __hash__(self) -> int:
        """Hash that equal sets share."""
        return hash((self._n_samples, len(self), zlib.crc32(self._packed.data)))

    def __repr__(self) -> str:
        """Sizes, not contents."""
        return (
            f"PatternSet(n_patterns={len(self)}, n_samples={self._n_samples}, "
            f"gates={self._gates is not None or self._lazy_gates is not None})"
        )

    def __reduce__(self) -> tuple[Any, ...]:
        """Copy and unpickle through the door: the arrays are checked, and read-only again."""
        arrays = (self._packed, self._n_samples, self._gates, self._zero_rows)
        rest = (self._interior, self._lazy_gates, self._proof, self._hyperplanes)
        return _rebuild, (type(self), *arrays, *rest)


def _rebuild(
    cls: type[PackedPatterns],
    packed: BitArray,
    n_samples: int,
    gates: FloatArray | None,
    zero_rows: BitArray,
    interior: bool,
    lazy_gates: LazyGates | None,
    proof: str | None,
    hyperplanes: IndexArray | None = None,
) -> PackedPatterns:
    check_arrays(packed, n_samples, gates, zero_rows)
    words = owned(packed)  # a pickle's buffers may be the caller's
    if lazy_gates is not None and lazy_gates.packed is packed:
        lazy_gates = LazyGates(lazy_gates.finder, words)
    return cls.of_arrays(
        words,
        n_samples,
        None if gates is None else owned(gates),
        zero_rows=owned(zero_rows),
        interior=interior,
        lazy_gates=lazy_gates,
        proof=proof,
        hyperplanes=None if hyperplanes is None else owned(hyperplanes),
    )


def check_arrays(packed: Any, n_samples: int, gates: Any, zero_rows: Any) -> None:
    """TypeError or ValueError unless the arrays are those of a pattern set."""
    words = n_words(n_samples)
    _check_array(packed, "packed", np.uint64, (None, words))
    _check_array(zero_rows, "zero_rows", np.uint64, (words,))
    for name, last in (("packed", packed[:, -1]), ("zero_rows", zero_rows[-1:])):
        beyond = np.bitwise_or.reduce(last) & ~last_word(n_samples)
        if beyond:
            raise ValueError(
                f"`{name}` must have no bit set beyond the last sample, got {int(beyond):#x} set "
                "in a last word"
            )
    if gates is not None:
        _check_array(gates, "gates", np.float64, (len(packed), None))
        if not np.isfinite(gates).all():
            raise ValueError("`gates` must be finite, got NaN or infinity")


def _check_array(
    array: Any, name: str, dtype: type[np.generic], shape: tuple[int | None, ...]
) -> None:
    if not isinstance(array, np.ndarray) or array.dtype != dtype:
        raise TypeError(f"`{name}` must be a {dtype.__name__} array, got {describe(array)}")
    wrong = any(want not in (None, got) for want, got in zip(shape, array.shape, strict=False))
    if array.ndim != len(shape) or wrong:
        text = describe(shape).replace("None", "any")
        raise ValueError(f"`{name}` must have shape {text}, got {array.shape}")


def owned(array: NDArray[Any]) -> NDArray[Any]:
    """Copy of an array that somebody else can write to by other means; otherwise the array.

    That is a view of a writeable array, or of memory that is not NumPy's.
    """
    owner = array
    while isinstance(owner.base, np.ndarray):
        owner = owner.base
    foreign = owner.base is not None and not isinstance(owner.base, bytes)
    shared = array.flags.writeable and owner is not array
    return array.copy() if foreign or shared else array


def read_only(array: NDArray[Any]) -> NDArray[Any]:
    """C-ordered view of an array of ours that cannot be made writeable again.

    NumPy allows that for an array that owns its memory, and for a view of a writeable one.
    """
    array = np.ascontiguousarray(array)
    owner: Any = array
    while isinstance(owner, np.ndarray):
        owner.flags.writeable = False
        owner = owner.base
    return array if array.base is not None else array.view()
