"""Which patterns of a set differ in the rows of one hyperplane only."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pyconvexnn._bits import n_words, unpack
from pyconvexnn._typing import BitArray, BoolArray, IndexArray

_BLOCK_ENTRIES = 1 << 22  # bits unpacked at a time


class NeighbourIndex:
    """Finds for a pattern those that differ from it in exactly the rows of one hyperplane.

    Every pattern has a key of 64 bits that is linear over GF(2), so the rows of a hyperplane
    change it by a number that does not depend on the pattern: a neighbour across it is one binary
    search in the sorted keys. Keys can be shared, so what is found is compared word by word.

    Parameters
    ----------
    packed : (n_patterns, n_words) uint64
        Patterns.
    hyperplanes : (n_samples,) int64
        Number of the hyperplane of each row, -1 for rows that never change.
    is_face : (n_patterns,) bool
        Patterns that only faces have: they are nobody's neighbours.
    """

    __slots__ = ("_changes", "_keys", "_order", "_rows", "_starts", "is_face")

    def __init__(self, packed: BitArray, hyperplanes: IndexArray, is_face: BoolArray) -> None:
        self.is_face = is_face
        rows = np.argsort(hyperplanes, kind="stable")
        self._rows = rows[np.count_nonzero(hyperplanes < 0) :]  # one hyperplane after the other
        self._starts = np.flatnonzero(np.diff(hyperplanes[self._rows], prepend=-1))
        changes = _keys_of_rows(len(hyperplanes))[self._rows]
        self._changes = np.bitwise_xor.reduceat(changes, self._starts) if rows.size else changes
        keys = _keys(packed)
        order = np.argsort(keys, kind="stable")
        self._order = order[~is_face[order]]
        self._keys = keys[self._order]

    def of(self, packed: BitArray, i: int) -> IndexArray:
        """Places of the neighbours of pattern i, sorted."""
        wanted = _keys(packed[i : i + 1]) ^ self._changes
        first = np.searchsorted(self._keys, wanted, side="left")
        counts = np.searchsorted(self._keys, wanted, side="right") - first
        across = np.repeat(np.arange(wanted.size), counts)
        # first, first + 1, ... of each key
        offsets = np.arange(across.size) - np.repeat(np.cumsum(counts) - counts, counts)
        found = self._order[np.repeat(first, counts) + offsets]
        same = [
            np.array_equal(packed[i] ^ packed[j], self._words(k, packed.shape[1]))
            for j, k in zip(found.tolist(), across.tolist(), strict=True)
        ]
        return np.sort(found[np.array(same, np.bool_)]).astype(np.int64, copy=False)

    def _words(self, k: int, width: int) -> BitArray:
        """Rows of hyperplane k, packed."""
        end = self._starts[k + 1] if k + 1 < self._starts.size else self._rows.size
        rows = self._rows[self._starts[k] : end]
        words = np.zeros(width, np.uint64)
        np.bitwise_or.at(words, rows // 64, np.uint64(1) << (rows % 64).astype(np.uint64))
        return words


def hyperplanes_of(packed: BitArray, n_samples: int) -> IndexArray:
    """Hyperplanes as far as patterns tell them apart: (n_samples,) numbers, -1 for constant rows.

    Rows whose bits are equal in all patterns, or opposite in all, share a number.
    """
    numbers = np.zeros(n_samples, np.int64)
    changing = np.zeros(n_samples, np.bool_)
    step = max(1, _BLOCK_ENTRIES // n_samples)
    for start in range(0, len(packed), step):
        # With the first pattern taken off, opposite rows are equal and constant ones zero.
        bits = unpack(packed[start : start + step] ^ packed[0], n_samples)
        changing |= bits.any(axis=0)
        columns = np.packbits(bits, axis=0).T
        labelled = np.hstack([numbers[:, np.newaxis].view(np.uint8), columns])
        keys = labelled.view(np.dtype((np.void, labelled.shape[1])))[:, 0]
        numbers = np.unique(keys, return_inverse=True)[1].astype(np.int64)
    return np.where(changing, numbers, -1)


def _keys(packed: BitArray) -> BitArray:
    """Key of each pattern; for one word, the word."""
    keys = packed[:, 0].copy()
    for column in range(1, packed.shape[1]):
        _mix(keys)
        keys ^= packed[:, column]
    return keys


def _keys_of_rows(n_samples: int) -> BitArray:
    """Keys of the patterns that have one bit set, (n_samples,)."""
    keys = np.empty((n_words(n_samples), 64), np.uint64)
    word = np.uint64(1) << np.arange(64, dtype=np.uint64)
    for column in range(len(keys) - 1, -1, -1):
        keys[column] = word
        _mix(word)
    return keys.ravel()[:n_samples]


def _mix(keys: NDArray[np.uint64]) -> None:
    """One step of a xorshift generator (Marsaglia 2003), which is linear over GF(2)."""
    keys ^= keys << np.uint64(13)
    keys ^= keys >> np.uint64(7)
    keys ^= keys << np.uint64(17)
