"""Patterns packed to words: row k of the data is bit ``k % 64`` of word ``k // 64``."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyconvexnn._blocks import row_blocks
from pyconvexnn._typing import BitArray, BoolArray, FloatArray

_BLOCK_ENTRIES = 1 << 22  # entries of a temporary matrix where patterns are unpacked in blocks


def n_words(n_samples: int) -> int:
    return -(-n_samples // 64)


def last_word(n_samples: int) -> np.uint64:
    """Last word of a pattern that has every bit set."""
    return np.uint64((2 << (n_samples - 1) % 64) - 1)


def pack(dense: BoolArray) -> BitArray:
    """(P, n) booleans as (P, ceil(n / 64)) words."""
    count, n_samples = dense.shape
    buffer = np.zeros((count, 8 * n_words(n_samples)), np.uint8)
    buffer[:, : -(-n_samples // 8)] = np.packbits(dense, axis=1, bitorder="little")
    words: BitArray = buffer.view("<u8").astype(np.uint64, copy=False)
    return words


def unpack(packed: BitArray, n_samples: int) -> BoolArray:
    """(P, ceil(n / 64)) words as (P, n) booleans."""
    buffer = np.ascontiguousarray(packed, dtype="<u8").view(np.uint8)
    return np.unpackbits(buffer, axis=1, count=n_samples, bitorder="little").view(np.bool_)


def restrict(packed: BitArray, n_samples: int, rows: NDArray[np.intp]) -> BitArray:
    """Words of some rows of the data; unpacks a bounded number of patterns at a time."""
    out = np.empty((len(packed), n_words(rows.size)), np.uint64)
    step = max(1, _BLOCK_ENTRIES // max(n_samples, rows.size))
    for start in range(0, len(packed), step):
        part = slice(start, start + step)
        out[part] = pack(unpack(packed[part], n_samples)[:, rows])
    return out


def as_keys(packed: NDArray[Any]) -> NDArray[Any]:
    """One opaque item for each pattern, which np.unique compares byte by byte."""
    return packed.view(np.dtype((np.void, 8 * packed.shape[1])))[:, 0]


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
