"""Indices of patterns and of rows, by NumPy's rules for one axis."""

from __future__ import annotations

import operator
from types import EllipsisType
from typing import Any, SupportsIndex, TypeAlias

import numpy as np
from numpy.typing import NDArray

from pyconvexnn._validation import describe

Index: TypeAlias = (
    SupportsIndex | slice | EllipsisType | range | NDArray[Any] | list[int] | list[bool]
)


def select(array: NDArray[Any], index: Any) -> NDArray[Any]:
    """Rows of a matrix by NumPy's rules for one axis; a single row stays a matrix."""
    if isinstance(index, tuple):
        raise _not_one_axis(index)
    rows = np.asarray(array[within(index, len(array), "index")])
    if rows.ndim == 1:
        rows = rows[np.newaxis]
    if rows.ndim != 2:
        raise _not_one_axis(index)
    return rows


def within(index: Any, length: int, name: str) -> Any:
    """Return the index; IndexError for an integer out of bounds, however large.

    TypeError or ValueError for a slice or a list that NumPy could not read.
    """
    if hasattr(index, "__index__") and not isinstance(index, (bool, np.bool_, np.ndarray)):
        i = operator.index(index)
        if not -length <= i < length:
            raise _out_of_bounds(i, length)
    elif isinstance(index, slice):
        try:
            index.indices(length)
        except (TypeError, ValueError) as error:
            raise type(error)(f"`{name}` must be a slice, got {index!r}: {error}") from None
    elif isinstance(index, (list, np.ndarray)):
        try:
            indices = np.asarray(index)
        except ValueError as error:
            raise ValueError(f"`{name}` must be a list of integers, got {error}") from None
        # NumPy reads 2**64 - 1 as -1.
        if indices.dtype.kind == "u" and indices.size and indices.max() >= length:
            raise _out_of_bounds(indices.max(), length)
    return index


def _out_of_bounds(i: int, length: int) -> IndexError:
    return IndexError(f"index {describe(int(i))} is out of bounds for axis 0 with size {length}")


def _not_one_axis(index: Any) -> IndexError:
    return IndexError(f"a pattern set has one axis, got the index {describe(index)}")
