"""Every check of an argument, in one form: "`name` must <rule>, got <value>".

Arguments are checked once, where a public function is entered; nothing below checks again.
"""

from __future__ import annotations

import math
import numbers
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from pyconvexnn._blocks import row_blocks
from pyconvexnn._typing import BoolArray, FloatArray

# Squares and products of entries within these sizes neither overflow nor underflow to zero.
SMALLEST_SCALE = 1e-60
LARGEST_SCALE = 1e60


def describe(value: object) -> str:
    """Short text of a value for an error message."""
    if isinstance(value, np.ndarray):
        return f"an array of shape {value.shape} and dtype {value.dtype}"
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def as_real_array(value: Any, name: str) -> np.ndarray[Any, Any]:
    """Array of a real numeric dtype, or the error that says why it is none."""
    if hasattr(value, "toarray") and hasattr(value, "nnz"):
        raise TypeError(f"`{name}` must be a dense array, got a sparse {type(value).__name__}")
    if isinstance(value, np.ma.MaskedArray):
        raise TypeError(f"`{name}` must be an array without a mask, got a masked array")
    try:
        array = np.asarray(value)
    except (ValueError, TypeError) as error:
        raise ValueError(f"`{name}` must be a rectangular array of numbers: {error}") from None
    if array.dtype.kind not in "fiub":
        raise TypeError(f"`{name}` must hold real numbers, got dtype {array.dtype}")
    return array


def _check_entries(array: FloatArray, name: str, smallest: float = SMALLEST_SCALE) -> None:
    """Refuse NaN, infinity, and sizes whose squares overflow or vanish."""
    parts = row_blocks(len(array), array[:1].size)
    largest = float(np.max([np.max(np.abs(array[part]), initial=0.0) for part in parts] or 0.0))
    if not math.isfinite(largest):
        kind = "NaN" if np.isnan(array).any() else "infinity"
        raise ValueError(f"`{name}` must be finite, got {kind}")
    if largest != 0.0 and not smallest <= largest <= LARGEST_SCALE:
        raise ValueError(
            f"`{name}` must have its largest entry between {smallest:g} and "
            f"{LARGEST_SCALE:g} in size (rescale it), got {largest:g}"
        )


def _frozen(array: np.ndarray[Any, Any], order: str) -> FloatArray:
    """Read-only float64 array in the given order: a copy, unless it is that already."""
    flag = array.flags.f_contiguous if order == "F" else array.flags.c_contiguous
    if array.dtype == np.float64 and flag and not array.flags.writeable and array.base is None:
        return np.asarray(array)
    frozen = np.empty(array.shape, np.float64, order="F" if order == "F" else "C")
    with np.errstate(over="ignore"):  # a long double beyond float64 becomes infinity, refused
        for part in row_blocks(len(array), array[:1].size):
            frozen[part] = array[part]
    frozen.flags.writeable = False
    return frozen


def as_matrix(X: Any, name: str = "X", *, columns: int | None = None) -> FloatArray:
    """Read-only, Fortran-ordered float64 matrix of at least one row and one column."""
    array = as_real_array(X, name)
    if array.ndim != 2:
        raise ValueError(f"`{name}` must have 2 dimensions, got shape {array.shape}")
    if 0 in array.shape:
        raise ValueError(f"`{name}` must have at least one row and one column, got {array.shape}")
    if columns is not None and array.shape[1] != columns:
        raise ValueError(f"`{name}` must have {columns} columns, got shape {array.shape}")
    frozen = _frozen(array, "F")
    _check_entries(frozen, name)
    return frozen


def as_vector(
    y: Any, name: str = "y", *, length: int | None = None, smallest: float = SMALLEST_SCALE
) -> FloatArray:
    """Read-only float64 vector; a column of shape (n, 1) is taken as (n,)."""
    array = as_real_array(y, name)
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1:
        raise ValueError(f"`{name}` must have 1 dimension, got shape {array.shape}")
    if length is not None and array.shape[0] != length:
        raise ValueError(f"`{name}` must have {length} entries, got {array.shape[0]}")
    frozen = _frozen(array, "C")
    _check_entries(frozen, name, smallest)
    return frozen


def as_bool_matrix(array: Any, name: str) -> BoolArray:
    """C-ordered boolean matrix; integers and floats are taken only if they are 0 or 1."""
    values = as_real_array(array, name)
    if values.ndim != 2:
        raise ValueError(f"`{name}` must have 2 dimensions, got shape {values.shape}")
    if values.dtype != np.bool_ and not np.isin(values, (0, 1)).all():
        raise ValueError(f"`{name}` must hold only 0 and 1 (or False and True)")
    return np.ascontiguousarray(values, dtype=np.bool_)


def real(value: Any, name: str) -> float:
    """One finite real number."""
    if isinstance(value, np.ndarray) and value.ndim == 0:
        value = value.item()
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, numbers.Real):
        raise TypeError(f"`{name}` must be a real number, got {describe(value)}")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise ValueError(f"`{name}` must be finite, got {describe(value)}")
    return number


def positive(value: Any, name: str) -> float:
    """A finite number > 0."""
    number = real(value, name)
    if number <= 0:
        raise ValueError(f"`{name}` must be > 0, got {number!r}")
    return number


def nonnegative(value: Any, name: str) -> float:
    """A finite number >= 0."""
    number = real(value, name)
    if number < 0:
        raise ValueError(f"`{name}` must be >= 0, got {number!r}")
    return number


def positive_int(value: Any, name: str, *, minimum: int = 1) -> int:
    """An integer >= minimum."""
    if isinstance(value, np.ndarray) and value.ndim == 0:
        value = value.item()
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, numbers.Integral):
        raise TypeError(f"`{name}` must be an integer, got {describe(value)}")
    if value < minimum:
        raise ValueError(f"`{name}` must be >= {minimum}, got {value}")
    return int(value)


def choice(value: Any, name: str, known: Iterable[str], *, later: Iterable[str] = ()) -> str:
    """One of the known names; those of ``later`` exist in the contract but not yet here."""
    known, later = tuple(known), tuple(later)
    if isinstance(value, str):
        if value in known:
            return value
        if value in later:
            available = ", ".join(known) or "None"
            raise NotImplementedError(
                f"`{name}` = {value!r} is not available yet; available: {available}"
            )
    rule = f"one of {', '.join(known)}" if known else "None"
    raise ValueError(f"`{name}` must be {rule}; got {describe(value)}")


def as_path(path: object, name: str = "path") -> Path:
    """Path of a file, from a string or a path."""
    if not isinstance(path, (str, os.PathLike)):
        raise TypeError(f"`{name}` must be a string or a path, got {describe(path)}")
    return Path(path)


def new_file(path: object, name: str) -> Path:
    """Path of a file to be written, in a folder that exists."""
    file = as_path(path, name)
    if file.is_dir() or not file.parent.is_dir():
        rule = "a file in a folder that exists"
        raise ValueError(f"`{name}` must be {rule}, got {os.fspath(file)!r}")
    return file


def resolve_threads(threads: Any) -> int:
    """Number of threads meant: None is 1, -1 is every core that this process may use."""
    if threads is None:
        return 1
    if isinstance(threads, numbers.Integral) and int(threads) == -1:
        return available_cores()
    if isinstance(threads, (bool, np.bool_)) or not isinstance(threads, numbers.Integral):
        raise TypeError(f"`threads` must be an integer or None, got {describe(threads)}")
    if threads < 1:
        raise ValueError(f"`threads` must be >= 1, or -1 for all cores, got {threads}")
    return min(int(threads), MAX_THREADS)


MAX_THREADS = 256


def available_cores() -> int:
    """Cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def as_generator(seed: Any) -> np.random.Generator:
    """Generator of a seed: an integer >= 0, None (fresh entropy), or a Generator (used as is)."""
    if isinstance(seed, np.random.Generator):
        return seed
    if seed is None:
        return np.random.default_rng()
    return np.random.default_rng(positive_int(seed, "seed", minimum=0))
