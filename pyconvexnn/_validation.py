"""Every check of an argument, in one form: "`name` must <rule>, got <value>".

Arguments are checked once, where a public function is entered; nothing below checks again.
"""

from __future__ import annotations

import math
import numbers
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

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
    if isinstance(value, (list, tuple, dict, set)) and len(value) > 1000:
        return f"a {type(value).__name__} of {len(value)} entries"  # whose repr may take long
    try:
        text = repr(value)
    except Exception as error:  # of somebody else's class, or an integer of 5000 digits
        text = f"one of {type(value).__name__} without a repr: {error}"
    return text if len(text) <= 80 else f"{text[:77]}..."


def as_array(value: Any, name: str) -> np.ndarray[Any, Any]:
    """Array of any dtype, or the error that says why it is none."""
    if isinstance(value, np.ma.MaskedArray):
        raise TypeError(f"`{name}` must be an array without a mask, got a masked array")
    try:
        sparse = hasattr(value, "toarray") and hasattr(value, "nnz")
        array = None if sparse else np.asarray(value)
    except MemoryError:
        raise MemoryError(f"`{name}` must fit in memory, got {describe(value)}") from None
    except Exception as error:  # of somebody else's class, or of PyTorch's: a RuntimeError
        raise ValueError(f"`{name}` must be a rectangular array of numbers: {error}") from None
    if array is None:
        raise TypeError(f"`{name}` must be a dense array, got a sparse {type(value).__name__}")
    return array


def as_real_array(value: Any, name: str) -> np.ndarray[Any, Any]:
    """Array of a real numeric dtype, or the error that says why it is none."""
    array = as_array(value, name)
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


def as_finite(array: np.ndarray[Any, Any], name: str) -> FloatArray:
    """C-ordered float64 of an array of real numbers, however large and small these are."""
    if array.dtype == np.float64 and array.flags.c_contiguous:
        finite = np.asarray(array)
    else:
        finite = room_for(array.shape, name)
        with np.errstate(over="ignore"):  # as in `_frozen`
            finite[...] = array
    if not np.isfinite(finite).all():
        raise ValueError(f"`{name}` must be finite, got NaN or infinity")
    return finite


def room_for(shape: tuple[int, ...], name: str, order: Literal["C", "F"] = "C") -> FloatArray:
    """Array to be filled; the MemoryError names the argument that it is for."""
    try:
        return np.empty(shape, np.float64, order=order)
    except (MemoryError, ValueError, OverflowError):  # the latter beyond the address space
        raise MemoryError(
            f"`{name}` must fit in memory as float64, got shape {describe(shape)} of "
            f"{describe(8 * math.prod(shape))} bytes"
        ) from None


def _frozen(array: np.ndarray[Any, Any], order: str, name: str) -> FloatArray:
    """Read-only float64 array in the given order: a copy, unless it is that already."""
    flag = array.flags.f_contiguous if order == "F" else array.flags.c_contiguous
    if array.dtype == np.float64 and flag and not array.flags.writeable and array.base is None:
        return np.asarray(array)
    frozen = room_for(array.shape, name, order="F" if order == "F" else "C")
    with np.errstate(over="ignore"):  # a long double beyond float64 becomes infinity, refused
        for part in row_blocks(len(array), array[:1].size):
            frozen[part] = array[part]
    frozen.flags.writeable = False
    return frozen


def as_matrix(
    X: Any, name: str = "X", *, columns: int | None = None, smallest: float = SMALLEST_SCALE
) -> FloatArray:
    """Read-only, Fortran-ordered float64 matrix of at least one row and one column."""
    array = as_real_array(X, name)
    if array.ndim != 2:
        raise ValueError(f"`{name}` must have 2 dimensions, got shape {array.shape}")
    if 0 in array.shape:
        raise ValueError(f"`{name}` must have at least one row and one column, got {array.shape}")
    if columns is not None and array.shape[1] != columns:
        raise ValueError(f"`{name}` must have {columns} columns, got shape {array.shape}")
    frozen = _frozen(array, "F", name)
    _check_entries(frozen, name, smallest)
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
    frozen = _frozen(array, "C", name)
    _check_entries(frozen, name, smallest)
    return frozen


def as_bool_matrix(array: Any, name: str) -> BoolArray:
    """C-ordered boolean matrix; integers and floats are taken only if they are 0 or 1."""
    values = as_real_array(array, name)
    if values.ndim != 2:
        raise ValueError(f"`{name}` must have 2 dimensions, got shape {values.shape}")
    if values.dtype != np.bool_:
        wrong = values[(values != 0) & (values != 1)]
        if wrong.size:
            raise ValueError(f"`{name}` must hold only 0 and 1 (or False and True), got {wrong[0]}")
    try:
        return np.ascontiguousarray(values, dtype=np.bool_)
    except MemoryError:
        raise MemoryError(
            f"`{name}` must fit in memory, got shape {values.shape} of {values.size} bytes"
        ) from None


def _scalar(value: Any) -> Any:
    """What an array without dimensions holds; anything else as it is."""
    unmasked = isinstance(value, np.ndarray) and not np.ma.isMaskedArray(value)
    return value.item() if unmasked and value.ndim == 0 else value


def _is_integer(value: Any) -> bool:
    """Whether a value is an integer: a boolean is none, nor is a duration of NumPy."""
    return isinstance(value, numbers.Integral) and _is_real(value)


def _is_real(value: Any) -> bool:
    """Whether a value is a real number: a boolean is none, nor is a duration of NumPy."""
    is_number = isinstance(value, numbers.Real)
    return is_number and not isinstance(value, (bool, np.bool_, np.timedelta64))


def real(value: Any, name: str) -> float:
    """One finite real number."""
    value = _scalar(value)
    if not _is_real(value):
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
    value = _scalar(value)
    if not _is_integer(value):
        raise TypeError(f"`{name}` must be an integer, got {describe(value)}")
    if value < minimum:
        raise ValueError(f"`{name}` must be >= {minimum}, got {describe(int(value))}")
    return int(value)


def flag(value: Any, name: str) -> bool:
    """True or False."""
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"`{name}` must be True or False, got {describe(value)}")
    return bool(value)


def choice(value: Any, name: str, known: Iterable[str], *, later: Iterable[str] = ()) -> str:
    """One of the known names; those of ``later`` exist in the contract but not yet here."""
    known, later = tuple(known), tuple(later)
    if isinstance(value, str):
        if value in known:
            return str(value)  # NumPy's strings have another repr, which fingerprints would tell
        if value in later:
            available = ", ".join(known) or "None"
            raise NotImplementedError(
                f"`{name}` = {value!r} is not available yet; available: {available}"
            )
    rule = f"one of {', '.join(known)}" if known else "None"
    raise ValueError(f"`{name}` must be {rule}; got {describe(value)}")


def as_path(path: object, name: str = "path") -> Path:
    """Path of a file, from a string or a path."""
    text = os.fspath(path) if isinstance(path, os.PathLike) else path
    if not isinstance(text, str):
        raise TypeError(f"`{name}` must be a string or a path, got {describe(path)}")
    try:
        valid = b"\0" not in os.fsencode(text)
    except UnicodeEncodeError:
        valid = False
    if not valid:
        raise ValueError(f"`{name}` must be a name that files can have, got {describe(text)}")
    return Path(text)


def new_file(path: object, name: str) -> Path:
    """Path of a file to be written, in a folder that exists; no device."""
    file = as_path(path, name)
    if (file.exists() and not file.is_file()) or not file.parent.is_dir():
        rule = "a file in a folder that exists"
        raise ValueError(f"`{name}` must be {rule}, got {os.fspath(file)!r}")
    return file


def resolve_threads(threads: Any) -> int:
    """Number of threads meant: None is 1, -1 is every core that this process may use."""
    if threads is None:
        return 1
    if _is_integer(threads) and int(threads) == -1:
        return available_cores()
    if not _is_integer(threads):
        raise TypeError(f"`threads` must be an integer or None, got {describe(threads)}")
    if threads < 1:
        raise ValueError(f"`threads` must be >= 1, or -1 for all cores, got {describe(threads)}")
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
