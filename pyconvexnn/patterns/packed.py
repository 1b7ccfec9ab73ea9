"""Patterns as packed bits alone: sizes, membership, equality, the dense view."""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pyconvexnn._bits import as_keys, last_word, n_words, pack, unpack
from pyconvexnn._typing import BitArray, BoolArray
from pyconvexnn._validation import as_bool_matrix, as_vector, describe, positive_int


class PackedPatterns:
    """Patterns on n samples, 64 to a word; what needs no data and no gates.

    Parameters
    ----------
    packed : (n_patterns, ceil(n_samples / 64)) uint64
        Row k of the data is bit ``k % 64`` of word ``k // 64``; bits beyond the last row are 0.
        An array that the caller could write to is copied.
    n_samples : int
        Number of rows of the data.

    Raises
    ------
    TypeError, ValueError
        If the array has the wrong dtype or shape, or a bit beyond the last row is set.
    """

    __slots__ = ("_n_samples", "_packed")

    _packed: BitArray
    _n_samples: int

    def __init__(self, packed: BitArray, n_samples: int) -> None:
        self._n_samples = positive_int(n_samples, "n_samples")
        shape = (None, n_words(self._n_samples))
        self._packed = frozen_words(packed, "packed", shape, self._n_samples)

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
        rows = np.unique(as_keys(self._packed.astype(">u8")))
        return hashlib.sha256(b"%d:" % self._n_samples + rows.tobytes()).hexdigest()

    def to_dense(self) -> BoolArray:
        """Return the patterns unpacked, (n_patterns, n_samples) bool, a new array.

        Raises
        ------
        MemoryError
            If ``n_patterns * n_samples`` bytes cannot be had; unpack ``ps[part]`` instead.
        """
        return unpack(self._packed, self._n_samples)

    def __array__(
        self, dtype: np.dtype[Any] | None = None, copy: bool | None = None
    ) -> NDArray[Any]:
        """NumPy's view of the set: the dense booleans, always a new array."""
        if copy is False:
            raise ValueError("`copy` must not be False: a pattern set is packed, got False")
        return self.to_dense().astype(np.bool_ if dtype is None else dtype, copy=False)

    def __contains__(self, pattern_bits: ArrayLike) -> bool:
        """Whether a pattern, (n_samples,) booleans or packed words, is in the set."""
        words = pattern_bits
        if getattr(words, "dtype", None) != np.uint64 or np.shape(words) != self._packed.shape[1:]:
            bits = as_vector(pattern_bits, "pattern_bits", length=self._n_samples)
            words = pack(as_bool_matrix(bits[np.newaxis], "pattern_bits"))[0]
        return bool((self._packed == words).all(axis=1).any())

    def __eq__(self, other: object) -> bool:
        """Whether the same patterns stand in the same order."""
        if not isinstance(other, PackedPatterns):
            return NotImplemented
        return self._n_samples == other._n_samples and np.array_equal(self._packed, other._packed)

    def __hash__(self) -> int:
        """Hash that equal sets share."""
        return hash((self._n_samples, len(self), zlib.crc32(self._packed.data)))


def select_rows(array: NDArray[Any], index: Any) -> NDArray[Any]:
    """Rows of a matrix by NumPy's rules for one axis; a single row stays a matrix."""
    try:
        rows = None if isinstance(index, tuple) else np.asarray(array[index])
    except OverflowError:
        raise IndexError(f"index {index} is out of bounds for {len(array)} patterns") from None
    if rows is not None and rows.ndim == 1:
        rows = rows[np.newaxis]
    if rows is None or rows.ndim != 2:
        raise IndexError(f"a pattern set has one axis, got the index {describe(index)}")
    return rows


def frozen_words(array: Any, name: str, shape: tuple[int | None, ...], n_samples: int) -> BitArray:
    """`frozen` for packed patterns, which have no bit beyond the last sample."""
    words: BitArray = frozen(array, name, np.uint64, shape)
    if (words[..., -1] & ~last_word(n_samples)).any():
        raise ValueError(f"`{name}` must have no bit set beyond the last sample")
    return words


def frozen(
    array: Any, name: str, dtype: type[np.generic], shape: tuple[int | None, ...]
) -> NDArray[Any]:
    """Read-only C-ordered array, a copy if the caller could write to it."""
    if not isinstance(array, np.ndarray) or array.dtype != dtype:
        raise TypeError(f"`{name}` must be a {dtype.__name__} array, got {describe(array)}")
    wrong = any(want not in (None, got) for want, got in zip(shape, array.shape, strict=False))
    if array.ndim != len(shape) or wrong:
        text = str(shape).replace("None", "any")
        raise ValueError(f"`{name}` must have shape {text}, got {array.shape}")
    frozen = np.array(array, order="C", copy=True if _can_be_written(array) else None)
    frozen.flags.writeable = False
    return frozen


def _can_be_written(array: NDArray[Any]) -> bool:
    """Whether somebody holds a writeable array of the same memory."""
    owner: Any = array
    while isinstance(owner, np.ndarray):
        if owner.flags.writeable:
            return True
        owner = owner.base
    return False
