"""Arrays that are wrong, or unusual and right: matrices, vectors, labels, coefficients."""

from __future__ import annotations

import decimal
import fractions
from typing import Any

import numpy as np
import pandas
import scipy.sparse

from tests.wrong_calls.mutations import Mutation, either, same, wrong, wrong_values

LARGE, TINY, DENORMAL = 1e300, 1e-300, 5e-324


class Subclass(np.ndarray[Any, np.dtype[np.float64]]):
    """Arrays whose own arithmetic would betray itself."""

    def __add__(self, other: object) -> Any:
        raise AssertionError("arithmetic of the subclass was used")

    __sub__ = __mul__ = __matmul__ = __radd__ = __rmul__ = __rmatmul__ = __add__


class Convertible:
    """No array, but something that becomes one."""

    def __init__(self, array: Any) -> None:
        self.array = array

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        return self.array if dtype is None else self.array.astype(dtype)


class Unconvertible:
    """Says that it becomes an array, and raises."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        raise self.error


class Unreadable:
    """Has attributes that cannot be asked for."""

    @property
    def toarray(self) -> Any:
        raise RuntimeError("no attributes today")


def with_entry(array: Any, value: Any, dtype: Any = np.float64) -> Any:
    """Copy whose entry in the middle is another."""
    changed = np.array(array, dtype=dtype)
    changed.flat[changed.size // 2] = value
    return changed


def _structured(array: Any) -> Any:
    return np.zeros(len(array), dtype=[("a", float), ("b", float)])


def _masked(array: Any) -> Any:
    return np.ma.MaskedArray(array, mask=np.asarray(array) > 0)


def _read_only(array: Any) -> Any:
    frozen = np.array(array)
    frozen.flags.writeable = False
    return frozen


def _strided(array: Any) -> Any:
    wide = np.repeat(array, 6, axis=-1)[..., ::6]
    return np.repeat(wide, 2, axis=0)[::2] if np.ndim(array) > 1 else wide


def _stored(array: Any) -> Any:
    return np.frombuffer(np.ascontiguousarray(array).tobytes()).reshape(np.shape(array))


def _unaligned(array: Any) -> Any:
    memory = np.zeros(np.asarray(array).nbytes + 1, np.uint8)
    view = memory[1:].view(np.float64).reshape(np.shape(array))
    view[...] = array
    return view


def _misfit_list(array: Any) -> Any:
    rows = np.asarray(array).tolist()
    rows[-1] = [rows[-1], rows[-1]]
    return rows


# Wrong for every argument that is an array of real numbers.
NO_ARRAYS: list[Mutation] = [
    *wrong_values(
        {
            "a string": "spam",
            "bytes": b"spam",
            "a dict": {"a": 1.0},
            "a set": {1.0, 2.0},
            "a function": len,
            "a class": float,
            "an object": object(),
            "a scalar": 3.0,
            "NaN itself": float("nan"),
            "a complex number": 1j,
            "ellipsis": ...,
            "a slice": slice(None),
            "an empty list": [],
            "an empty array": np.empty(0),
            "an array that raises": Unconvertible(ValueError("no array today")),
            "an array on another device": Unconvertible(RuntimeError("requires grad")),
            "an array without an attribute": Unconvertible(AttributeError("no array today")),
            "an array that is not read": Unconvertible(OSError(5, "no array today")),
            "an object that cannot be asked": Unreadable(),
            "a generator": (i for i in range(3)),
        }
    ),
    wrong("holding NaN", lambda good: with_entry(good, np.nan)),
    wrong("holding infinity", lambda good: with_entry(good, np.inf)),
    wrong("holding minus infinity", lambda good: with_entry(good, -np.inf)),
    wrong("all NaN", lambda good: np.full(np.shape(good), np.nan)),
    wrong("a NaN of float32", lambda good: with_entry(good, np.nan, np.float32)),
    wrong("beyond float64", lambda good: with_entry(good, np.longdouble("1e4000"), np.longdouble)),
    wrong("complex", lambda good: np.asarray(good) + 0j),
    wrong("an array of strings", lambda good: np.asarray(good).astype(str)),
    wrong("an array of bytes", lambda good: np.asarray(good).astype("S")),
    wrong("a list of strings", lambda good: np.asarray(good).astype(str).tolist()),
    wrong("objects, one None", lambda good: with_entry(good, None, object)),
    wrong("objects, one a string", lambda good: with_entry(good, "a", object)),
    wrong("objects, one a list", lambda good: with_entry(good, [1.0], object)),
    wrong("dates", lambda good: np.zeros(np.shape(good), "datetime64[s]")),
    wrong("times", lambda good: np.zeros(np.shape(good), "timedelta64[s]")),
    wrong("structured", _structured),
    wrong("masked", _masked),
    wrong("masked entirely", lambda good: np.ma.MaskedArray(good, mask=True)),
    wrong("masked nowhere", lambda good: np.ma.MaskedArray(good)),
    wrong("the masked constant", lambda good: np.ma.masked),
    wrong("ragged", _misfit_list),
    wrong("a dimension more", lambda good: np.asarray(good)[np.newaxis, np.newaxis]),
    wrong("integers beyond int64", lambda good: np.full(np.shape(good), 10**400, object)),
    either("objects", lambda good: np.asarray(good).astype(object), any_name=False),
    either("fractions", lambda good: _mapped(fractions.Fraction, good), any_name=False),
    either("decimals", lambda good: _mapped(decimal.Decimal, good), any_name=False),
    either("all 1e300", lambda good: np.full(np.shape(good), LARGE)),
    either("one 1e300", lambda good: with_entry(good, LARGE)),
    either("of scale 1e300", lambda good: np.asarray(good) * LARGE),
    either("of scale 1e60", lambda good: np.asarray(good) * (1e60 / np.abs(good).max())),
    either("of scale 1e20", lambda good: np.asarray(good) * 1e20),
    either("of scale 1e-20", lambda good: np.asarray(good) * 1e-20),
    either("of scale 1e-60", lambda good: np.asarray(good) * (1e-60 / np.abs(good).max())),
    either("of scale 1e-300", lambda good: np.asarray(good) * TINY),
    either("denormal", lambda good: np.full(np.shape(good), DENORMAL)),
    either("one denormal", lambda good: with_entry(good, DENORMAL)),
    either("zero", lambda good: np.zeros(np.shape(good))),
    either("negative zero", lambda good: -np.zeros(np.shape(good))),
    either("constant", lambda good: np.ones(np.shape(good))),
    either("opposite", lambda good: -np.asarray(good)),
    either("entries 1e60 and 1e-60", lambda good: _far_apart(good)),
    either("float16", lambda good: np.asarray(good).astype(np.float16)),
]


def _mapped(kind: Any, good: Any) -> Any:
    array = np.asarray(good)
    out = np.empty(array.shape, object)
    for place, value in np.ndenumerate(array):
        out[place] = kind(float(value))
    return out


def _far_apart(good: Any) -> Any:
    array = np.array(good, dtype=np.float64)
    array.flat[0], array.flat[-1] = 1e60, 1e-60
    return array


def _as(dtype: Any) -> list[Mutation]:
    """Of a dtype, as the float64 numbers that these are."""
    return [
        same(
            f"of {np.dtype(dtype).name}",
            lambda good: np.asarray(good).astype(dtype),
            lambda good: np.asarray(good).astype(dtype).astype(np.float64),
        )
    ]


# Right for every such argument: the same numbers in another form.
FORMS: list[Mutation] = [
    same("a list", lambda good: np.asarray(good).tolist()),
    same("a tuple", lambda good: tuple(np.asarray(good).tolist())),
    same("in Fortran order", lambda good: np.asfortranarray(good)),
    same("in C order", lambda good: np.ascontiguousarray(good)),
    same("read-only", _read_only),
    same("strided", _strided),
    same("backwards", lambda good: np.array(good)[::-1].copy()[::-1]),
    same("in foreign memory", _stored),
    same("unaligned", _unaligned),
    same("big-endian", lambda good: np.asarray(good).astype(">f8")),
    same("a subclass", lambda good: np.array(good).view(Subclass)),
    same("convertible", lambda good: Convertible(np.asarray(good))),
    same("a memory view", lambda good: memoryview(np.ascontiguousarray(good).data)),
    same("of longdouble", lambda good: np.asarray(good).astype(np.longdouble)),
    *_as(np.float32),
    *_as(np.int64),
    *_as(np.int8),
]

MATRICES: list[Mutation] = [
    *NO_ARRAYS,
    *FORMS,
    *_as(np.bool_),
    wrong("one dimension", lambda good: np.asarray(good)[:, 0]),
    wrong("no rows", lambda good: np.empty((0, np.shape(good)[1]))),
    wrong("no columns", lambda good: np.empty((len(good), 0))),
    wrong("sparse rows", lambda good: scipy.sparse.csr_matrix(good)),
    wrong("a sparse array", lambda good: scipy.sparse.coo_array(good)),
    wrong("a frame of words", lambda good: pandas.DataFrame(good).astype(str)),
    wrong(
        "a frame with a missing number",
        lambda good: pandas.DataFrame(with_entry(good, np.nan)).astype("Float64"),
    ),
    wrong(
        "a frame of categories",
        lambda good: pandas.DataFrame({"a": pandas.Categorical(["x"] * len(good))}),
    ),
    same("a frame", lambda good: pandas.DataFrame(np.asarray(good))),
    same("a np.matrix", lambda good: np.asmatrix(good)),
    either("transposed", lambda good: np.asarray(good).T),
    either("one row", lambda good: np.asarray(good)[:1]),
    either("one column", lambda good: np.asarray(good)[:, :1]),
    either("a zero column", lambda good: np.asarray(good) * (np.arange(np.shape(good)[1]) > 0)),
    either("a zero row", lambda good: np.asarray(good) * (np.arange(len(good)) > 0)[:, None]),
    either("equal rows", lambda good: np.repeat(np.asarray(good)[:1], len(good), axis=0)),
    either("equal columns", lambda good: np.repeat(np.asarray(good)[:, :1], good.shape[1], axis=1)),
    either("a 1e300 column", lambda good: _column(good, LARGE)),
    either("a denormal column", lambda good: _column(good, DENORMAL)),
    either("a 1e-60 column", lambda good: _column(good, 1e-60)),
]

# A view of one number; what copies it needs far more memory than there is.
HUGE_MATRICES = [
    wrong("huge", lambda good: np.broadcast_to(1.0, (10**9, np.shape(good)[1])), any_name=True),
    wrong("huge bytes", lambda good: np.broadcast_to(np.int8(1), (10**9, 3)), any_name=True),
    wrong("wide", lambda good: np.broadcast_to(1.0, (len(good), 10**9)), any_name=True),
]
OTHER_ROWS = [
    wrong("a row more", lambda good: np.vstack([good, good[:1]]), any_name=True),
    wrong("a row less", lambda good: np.asarray(good)[:-1], any_name=True),
]
OTHER_COLUMNS = [
    wrong("a column more", lambda good: np.column_stack([good, good[:, :1]]), any_name=True),
    wrong("a column less", lambda good: np.asarray(good)[:, :-1], any_name=True),
]


def _column(good: Any, value: float) -> Any:
    changed = np.array(good, dtype=np.float64)
    changed[:, 0] = value
    return changed


VECTORS: list[Mutation] = [
    *NO_ARRAYS,
    *FORMS,
    *_as(np.bool_),
    wrong("an entry more", lambda good: np.append(good, good[:1]), any_name=True),
    wrong("an entry less", lambda good: np.asarray(good)[:-1], any_name=True),
    wrong("one entry", lambda good: np.asarray(good)[:1], any_name=True),
    wrong("a row", lambda good: np.asarray(good)[np.newaxis], any_name=True),
    wrong("sparse", lambda good: scipy.sparse.csr_matrix(np.asarray(good)[:, np.newaxis])),
    wrong("words", lambda good: pandas.Series(["spam"] * len(good))),
    wrong("huge", lambda good: np.broadcast_to(1.0, (10**11,)), any_name=True),
    wrong("no columns", lambda good: np.empty((len(good), 0)), any_name=True),
    same("a series", lambda good: pandas.Series(np.asarray(good))),
    same("a column", lambda good: np.asarray(good)[:, np.newaxis]),
    either("a frame", lambda good: pandas.DataFrame(np.asarray(good))),
    either("one 1e19", lambda good: with_entry(good, 1e19)),
    either("negative", lambda good: -np.abs(good) - 1.0),
]
NO_NEGATIVES = [
    wrong("one negative", lambda good: with_entry(good, -1.0)),
    wrong("one barely negative", lambda good: with_entry(good, -1e-30)),
    wrong("all negative", lambda good: -np.abs(good) - 1.0),
]
NO_ZEROS = [
    wrong("one zero", lambda good: with_entry(good, 0.0)),
    wrong("all zero", lambda good: np.zeros(len(good))),
]
ONLY_LABELS = [
    wrong("of other labels", lambda good: np.asarray(good) * 2.0),
    wrong("one half", lambda good: with_entry(good, 0.5)),
    wrong("zeros and ones", lambda good: (np.asarray(good) > 0).astype(float)),
]
ONLY_COUNTS = [*NO_NEGATIVES]

BOOL_MATRICES = [
    *wrong_values(
        {
            "a string": "spam",
            "a dict": {"a": 1},
            "None": None,
            "an object": object(),
            "a scalar": True,
            "an empty list": [],
        }
    ),
    wrong("holding NaN", lambda good: with_entry(good, np.nan)),
    wrong("holding infinity", lambda good: with_entry(good, np.inf)),
    wrong("holding 2", lambda good: with_entry(good, 2, np.int64)),
    wrong("holding a half", lambda good: with_entry(good, 0.5)),
    wrong("holding a denormal", lambda good: with_entry(good, DENORMAL)),
    wrong("complex", lambda good: np.asarray(good) + 0j),
    wrong("words", lambda good: np.asarray(good).astype(str)),
    wrong("objects", lambda good: np.asarray(good).astype(object)),
    wrong("masked", lambda good: np.ma.MaskedArray(good, mask=good)),
    wrong("sparse", lambda good: scipy.sparse.csr_matrix(good)),
    wrong("ragged", _misfit_list),
    wrong("one dimension", lambda good: np.asarray(good)[0]),
    wrong("three dimensions", lambda good: np.asarray(good)[np.newaxis]),
    wrong("no columns", lambda good: np.empty((len(good), 0), bool)),
    wrong("huge", lambda good: np.broadcast_to(np.True_, (10**6, 10**6)), any_name=True),
    either("no rows", lambda good: np.asarray(good)[:0]),
    same("of int8", lambda good: np.asarray(good).astype(np.int8)),
    same("of uint64", lambda good: np.asarray(good).astype(np.uint64)),
    same("of float32", lambda good: np.asarray(good).astype(np.float32)),
    same("of float64", lambda good: np.asarray(good).astype(np.float64)),
    same("a list", lambda good: np.asarray(good).tolist()),
    same("in Fortran order", lambda good: np.asfortranarray(good)),
    same("a frame", lambda good: pandas.DataFrame(np.asarray(good))),
    same("read-only", _read_only),
]
