"""Patterns packed to words: row k of the data is bit ``k % 64`` of word ``k // 64``."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyconvexnn._blocks import row_blocks
from pyconvexnn._typing import BitArray, BoolArray, FloatArray, IndexArray

_BLOCK_ENTRIES = 1 << 22  # entries of a temporary matrix where patterns are unpacked in blocks
_BLOCK_PATTERNS = 1 << 14  # patterns of a block, and words at most, where words are shifted
_BLOCK_WORDS = 1 << 20
_SHIFTS_PAY = 512  # bits to be moved for each run of rows, from which on shifting is quicker
_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)


def n_words(n_samples: int) -> int:
    return -(-n_samples // 64)


def last_word(n_samples: int) -> np.uint64:
    """Last word of a pattern that has every bit set."""
    return np.uint64((2 << (n_samples - 1) % 64) - 1)


def pack(dense: BoolArray) -> BitArray:
    """(P, n) booleans as (P, ceil(n / 64)) words."""
    count, n_samples = dense.shape
    buffer = np.zeros((count, 8 * n_words(n_samples)), np.uint8)
    step = max(1, _BLOCK_ENTRIES // max(1, n_samples))
    for start in range(0, count, step):
        part = slice(start, start + step)
        buffer[part, : -(-n_samples // 8)] = np.packbits(dense[part], axis=1, bitorder="little")
    words: BitArray = buffer.view("<u8").astype(np.uint64, copy=False)
    return words


def unpack(packed: BitArray, n_samples: int) -> BoolArray:
    """(P, ceil(n / 64)) words as (P, n) booleans."""
    buffer = np.ascontiguousarray(packed, dtype="<u8").view(np.uint8)
    return np.unpackbits(buffer, axis=1, count=n_samples, bitorder="little").view(np.bool_)


def restrict(packed: BitArray, n_samples: int, rows: NDArray[np.intp]) -> BitArray:
    """Words of some rows of the data (0 <= row < n_samples), in the order given."""
    starts = _run_starts(rows)
    if len(packed) * rows.size < _SHIFTS_PAY * starts.size:
        return _restrict_by_unpacking(packed, n_samples, rows)
    lengths = np.diff(np.append(starts, rows.size))
    runs = [
        (word, to // 64, *_shift(to % 64 - bit), np.uint64(((1 << length) - 1) << to % 64))
        for word, bit, to, length in zip(
            *(a.tolist() for a in (rows[starts] // 64, rows[starts] % 64, starts, lengths)),
            strict=True,
        )
    ]
    out = np.empty((len(packed), n_words(rows.size)), np.uint64)
    step = max(1, min(_BLOCK_PATTERNS, _BLOCK_WORDS // packed.shape[1]))
    for first in range(0, len(packed), step):
        source = np.ascontiguousarray(packed[first : first + step].T)
        target = np.zeros((out.shape[1], source.shape[1]), np.uint64)
        moved = np.empty(source.shape[1], np.uint64)
        for word, to_word, shift, distance, mask in runs:
            shift(source[word], distance, out=moved)
            np.bitwise_and(moved, mask, out=moved)
            np.bitwise_or(target[to_word], moved, out=target[to_word])
        out[first : first + step] = target.T
    return out


def _run_starts(rows: NDArray[np.intp]) -> NDArray[np.intp]:
    """Places where a run of successive rows starts that stays in one word, before and after."""
    new = np.ones(rows.size, np.bool_)
    new[1:] = (np.diff(rows) != 1) | (rows[1:] % 64 == 0)
    new[::64] = True
    return np.flatnonzero(new)


def _shift(places: int) -> tuple[np.ufunc, np.uint64]:
    return np.left_shift if places >= 0 else np.right_shift, np.uint64(abs(places))


def _restrict_by_unpacking(packed: BitArray, n_samples: int, rows: NDArray[np.intp]) -> BitArray:
    """The same; quicker for few patterns. Unpacks a bounded number of them at a time."""
    out = np.empty((len(packed), n_words(rows.size)), np.uint64)
    step = max(1, _BLOCK_ENTRIES // max(n_samples, rows.size))
    for start in range(0, len(packed), step):
        part = slice(start, start + step)
        out[part] = pack(unpack(packed[part], n_samples)[:, rows])
    return out


def opposite(packed: BitArray, n_samples: int, zero_rows: BitArray) -> BitArray:
    """Complements of the patterns; the bits of zero rows stay 1."""
    words = ~packed
    words[:, -1] &= last_word(n_samples)
    words |= zero_rows
    return words


def contains(packed: BitArray, words: BitArray) -> bool:
    """Whether one of the patterns has these words."""
    found = np.flatnonzero(packed[:, 0] == words[0])
    column = 1
    while found.size * words.size > _BLOCK_PATTERNS and column < words.size:
        found = found[packed[found, column] == words[column]]
        column += 1
    return bool((packed[found] == words).all(axis=1).any())


def unseen(packed: BitArray, seen: BitArray) -> BoolArray:
    """Which patterns stand neither in `seen` nor earlier in `packed`, (P,) bool.

    Sorts one number for each pattern, which equal patterns share; those that share one are then
    compared word by word.
    """
    keys = np.concatenate([_mixed(seen), _mixed(packed)])
    order = np.argsort(keys)
    keys = keys[order]
    starts = np.ones(keys.size, np.bool_)
    np.not_equal(keys[1:], keys[:-1], out=starts[1:])
    places = np.flatnonzero(~starts)
    for start in range(0, places.size, _BLOCK_PATTERNS):
        block = places[start : start + _BLOCK_PATTERNS]
        if not np.array_equal(
            _rows_of_both(seen, packed, order[block]), _rows_of_both(seen, packed, order[block - 1])
        ):
            first = np.unique(as_keys(np.concatenate([seen, packed])), return_index=True)[1]
            break
    else:  # no two different patterns share a number
        first = np.minimum.reduceat(order, np.flatnonzero(starts)) if keys.size else order
    new = np.zeros(keys.size, np.bool_)
    new[first] = True
    return new[len(seen) :]


def _rows_of_both(a: BitArray, b: BitArray, places: NDArray[np.intp]) -> BitArray:
    """Rows of the matrix that has b below a."""
    rows = np.empty((places.size, a.shape[1]), np.uint64)
    in_a = places < len(a)
    rows[in_a] = a[places[in_a]]
    rows[~in_a] = b[places[~in_a] - len(a)]
    return rows


def _mixed(packed: BitArray) -> BitArray:
    """One number for each pattern that depends on all its words; for one word, the word."""
    mixed = packed[:, 0].copy()
    rest = np.empty_like(mixed)
    for column in range(1, packed.shape[1]):
        np.right_shift(mixed, np.uint64(29), out=rest)
        mixed ^= rest
        mixed *= _MULTIPLIER
        mixed ^= packed[:, column]
    return mixed


def distinct_sorted(packed: BitArray) -> BitArray:
    """The patterns as big-endian words, each once, in the order of their words as numbers."""
    if packed.shape[1] == 1:
        return np.unique(packed).astype(">u8")[:, np.newaxis]
    rows = packed.astype(">u8")  # so that the order of the bytes is that of the words
    keys = as_keys(rows)
    keys.sort()
    first = np.ones(len(rows), np.bool_)
    np.not_equal(rows[1:], rows[:-1]).any(axis=1, out=first[1:])
    return rows if first.all() else rows[first]


def as_keys(packed: NDArray[Any]) -> NDArray[Any]:
    """One opaque item for each pattern, which NumPy compares byte by byte."""
    return packed.view(np.dtype((np.void, 8 * packed.shape[1])))[:, 0]


def distinct_rows(A: FloatArray | BitArray) -> tuple[IndexArray, IndexArray]:
    """First of the rows that are equal, in lexicographic order; and its number for each row.

    As ``np.unique(A, axis=0)`` has it, but as keys: NumPy's own comparison of rows would turn a
    Ctrl-C into a TypeError.

    Examples
    --------
    >>> [part.tolist() for part in distinct_rows(np.array([[2.0, 1.0], [-3.0, 9.0], [2.0, 1.0]]))]
    [[1, 0], [1, 0, 1]]
    """
    words: NDArray[Any] = np.ascontiguousarray(A)
    if words.dtype != np.uint64:
        words = (words + 0.0).view(np.int64)  # no -0
        # Of negative numbers all bits are turned, of the others the sign: integers of their order.
        words ^= (words >> 63) | np.iinfo(np.int64).min
    keys = as_keys(words.astype(words.dtype.newbyteorder(">")))
    _, first, number = np.unique(keys, return_index=True, return_inverse=True)
    return first, number


def zero_rows_of(X: FloatArray) -> BitArray:
    """Pack which rows of X are zero."""
    words: BitArray = pack(~nonzero_rows(X)[np.newaxis])[0]
    return words


def nonzero_rows(X: FloatArray) -> BoolArray:
    """Which rows of X have an entry that is not zero, (n,)."""
    found = np.zeros(len(X), np.bool_)
    for part in row_blocks(*X.shape):
        found[part] = X[part].any(axis=1)
    return found


def digest(packed: BitArray) -> int:
    """Sum of a 64-bit hash of every pattern, modulo 2^64: the same in every order."""
    hashes = np.zeros(len(packed), np.uint64)
    for word in packed.T:
        # Splitmix64 of the word and of what came before.
        hashes = (hashes ^ word) + np.uint64(0x9E3779B97F4A7C15)
        hashes = (hashes ^ (hashes >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        hashes = (hashes ^ (hashes >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        hashes ^= hashes >> np.uint64(31)
    return int(hashes.sum())
