"""Numbers, words, flags, seeds, paths and objects that are wrong, or unusual and right."""

from __future__ import annotations

import decimal
import fractions
import os
import pathlib
import tempfile
from typing import Any

import numpy as np

from tests.wrong_calls.mutations import Mutation, always, either, same, wrong, wrong_values


class NoRepr:
    """An object that cannot be shown."""

    def __repr__(self) -> str:
        raise RuntimeError("no repr today")


NO_NUMBERS: dict[str, Any] = {
    "a string": "spam",
    "a number in words": "1.0",
    "bytes": b"1",
    "a list": [1.0],
    "a tuple": (1,),
    "a dict": {},
    "an array": np.array([1.0, 2.0]),
    "an array of one": np.array([1.0]),
    "an empty array": np.empty(0),
    "an array of one string": np.array("spam"),
    "a complex number": 1j,
    "a NumPy complex number": np.complex128(1.0),
    "an object": object(),
    "an object without a repr": NoRepr(),
    "a function": len,
    "a class": float,
    "a date": np.datetime64("2024-01-01"),
    "a time": np.timedelta64(1, "s"),
    "the masked constant": np.ma.masked,
    "True": True,
    "a NumPy True": np.True_,
    "ellipsis": ...,
}
NO_FINITE: dict[str, Any] = {
    "NaN": float("nan"),
    "a NumPy NaN": np.float32("nan"),
    "infinity": float("inf"),
    "minus infinity": -float("inf"),
    "beyond float64": 10**400,
    "an array of NaN": np.array(np.nan),
}
_REALS: list[Mutation] = [
    *wrong_values(NO_NUMBERS),
    *wrong_values(NO_FINITE),
    wrong("minus one", always(-1.0)),
    wrong("barely negative", always(-5e-324)),
    either("a decimal", lambda good: decimal.Decimal(good), any_name=False),
    either("1e300", always(1e300)),
    either("1e60", always(1e60)),
    either("1e-60", always(1e-60)),
    either("1e-300", always(1e-300)),
    either("denormal", always(5e-324)),
    either("one", always(1)),
    same("of float64", lambda good: np.float64(good)),
    same("an array of no dimension", lambda good: np.array(good)),
    same("a fraction", lambda good: fractions.Fraction(good)),
    same("of float32", lambda good: np.float32(good), lambda good: float(np.float32(good))),
    same("of float16", lambda good: np.float16(good), lambda good: float(np.float16(good))),
    same("of longdouble", lambda good: np.longdouble(good)),
]
POSITIVE = [*_REALS, wrong("zero", always(0.0)), wrong("integer zero", always(0))]
NONNEGATIVE = [*_REALS, either("zero", always(0.0)), either("negative zero", always(-0.0))]
SLOPES = [*NONNEGATIVE, wrong("too large", always(1.5)), wrong("just too large", always(1.0))]
RATIOS = [*POSITIVE, wrong("too large", always(1.5)), wrong("just too large", always(1.0))]


def integers(minimum: int) -> list[Mutation]:
    """Integers at least so large."""
    return [
        *wrong_values(NO_NUMBERS),
        *wrong_values({key: value for key, value in NO_FINITE.items() if key != "beyond float64"}),
        wrong("a half", always(1.5)),
        wrong("a float", lambda good: float(good)),
        wrong("a NumPy float", lambda good: np.float64(good)),
        wrong("a decimal", lambda good: decimal.Decimal(good)),
        wrong("minus one", always(-1)),
        wrong("too small", always(minimum - 1)),
        wrong("very negative", always(-(10**30))),
        either("a billion", always(10**9), any_name=False),
        either("a trillion", always(10**12), any_name=False),
        either("the largest int64", always(2**63 - 1), any_name=False),
        either("beyond int64", always(2**63), any_name=False),
        either("beyond uint64", always(2**64), any_name=False),
        either("beyond float64", always(10**400), any_name=False),
        either("of 5000 digits", always(10**5000), any_name=False),
        wrong("of 5000 digits, negative", always(-(10**5000))),
        same("of int64", lambda good: np.int64(good)),
        same("of uint64", lambda good: np.uint64(good)),
        same("of int8", lambda good: np.int8(min(good, 100)), lambda good: min(good, 100)),
        same("an array of no dimension", lambda good: np.array(good)),
        either("an object of no dimension", lambda good: np.array(good, object), any_name=False),
    ]


CHOICES: list[Mutation] = [
    *wrong_values(
        {
            "another word": "spam",
            "an empty string": "",
            "a space": " ",
            "a zero character": "\0",
            "a long string": "spam" * 100_000,
            "bytes": b"relu",
            "a number": 3,
            "NaN": float("nan"),
            "a list": ["relu"],
            "a dict": {},
            "an array": np.array(["relu", "abs"]),
            "an object": object(),
            "a function": len,
            "a class": str,
        }
    ),
    wrong("in capitals", lambda good: good.upper()),
    wrong("with a space", lambda good: f"{good} "),
    same("a NumPy string", lambda good: np.str_(good)),
]
FLAGS: list[Mutation] = [
    *wrong_values(
        {
            "a string": "True",
            "a number": 1,
            "zero": 0,
            "a float": 1.0,
            "None": None,
            "a list": [True],
            "an array": np.array([True, False]),
            "NaN": float("nan"),
            "an object": object(),
        }
    ),
    same("a NumPy flag", lambda good: np.bool_(good)),
]
SEEDS: list[Mutation] = [
    *wrong_values(
        {
            "a string": "spam",
            "negative": -1,
            "a half": 1.5,
            "NaN": float("nan"),
            "infinity": float("inf"),
            "True": True,
            "a list": [1, 2],
            "an array": np.array([1, 2]),
            "an object": object(),
            "the module": np.random,
            "a bit generator": np.random.PCG64(0),
        }
    ),
    either("very large", always(2**200)),
    either("the largest uint64", always(2**64 - 1)),
    same("of int64", lambda good: np.int64(good)),
    same("of uint8", lambda good: np.uint8(good)),
]
THREADS: list[Mutation] = [
    *wrong_values(
        {
            "zero": 0,
            "minus two": -2,
            "a half": 1.5,
            "a string": "all",
            "True": True,
            "NaN": float("nan"),
            "infinity": float("inf"),
            "a list": [1],
            "an array": np.array([1, 2]),
            "an object": object(),
        }
    ),
    same("None", always(None), always(1)),
    same("all", always(-1), always(1)),
    same("of int64", lambda good: np.int64(good)),
    same("of int8 all", always(np.int8(-1)), always(1)),
    same("a thousand", always(1000), always(1)),
    same("beyond int64", always(2**70), always(1)),
]


class NoPath:
    """Says that it is a path, and gives no string."""

    def __fspath__(self) -> Any:
        return b"bytes"


def _folder() -> pathlib.Path:
    return pathlib.Path(tempfile.gettempdir(), f"wrong_calls_{os.getpid()}")


def _file(name: str, contents: bytes) -> pathlib.Path:
    folder = _folder()
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_bytes(contents)
    return path


_PATHS: list[Mutation] = [
    *wrong_values(
        {
            "a number": 3,
            "zero": 0,
            "True": True,
            "bytes": b"spam.npz",
            "None": None,
            "a list": ["spam"],
            "an object": object(),
            "a path of bytes": NoPath(),
            "a zero character": "spam\0.npz",
            "a surrogate": "spam\udfff\ud800.npz",
        }
    ),
    wrong("an empty string", always("")),
    wrong("a folder", always(tempfile.gettempdir())),
    wrong("a missing folder", always("/missing/folder/net.npz")),
    wrong("a very long name", always("a" * 5000)),
    same("a string", lambda good: str(good)),
    same("a path", lambda good: pathlib.Path(good)),
]
WRITTEN: list[Mutation] = _PATHS


def _changed(good: Any, change: Any) -> pathlib.Path:
    return _file("changed.npz", change(bytearray(pathlib.Path(good).read_bytes())))


def _flipped(contents: bytearray) -> bytearray:
    contents[len(contents) // 2] ^= 255
    return contents


READ: list[Mutation] = [
    *_PATHS,
    wrong("a missing file", always(f"{tempfile.gettempdir()}/missing_file.npz")),
    wrong("an endless device", always("/dev/zero")),
    wrong("a pipe", lambda good: _pipe()),
    wrong("a null device", always("/dev/null")),
    wrong("an empty file", lambda good: _file("empty.npz", b"")),
    wrong("a text file", lambda good: _file("text.npz", b"spam\n" * 100)),
    wrong("zero bytes", lambda good: _file("zeros.npz", bytes(10_000))),
    wrong("an empty archive", lambda good: _file("zip.npz", b"PK\5\6" + bytes(18))),
    wrong("cut in half", lambda good: _changed(good, lambda data: data[: len(data) // 2])),
    wrong("cut by a byte", lambda good: _changed(good, lambda data: data[:-1])),
    wrong("a bit pattern flipped", lambda good: _changed(good, _flipped)),
    either("behind other bytes", lambda good: _changed(good, lambda data: data[10:] + data)),
    wrong("a plain array", lambda good: _plain_array()),
    wrong("arrays of others", lambda good: _other_arrays()),
    wrong("a pickle", lambda good: _file("pickle.npz", b"\x80\x04N.")),
]


def _pipe() -> pathlib.Path:
    pipe = _file("empty.npz", b"").with_name("pipe")
    pipe.unlink(missing_ok=True)
    os.mkfifo(pipe)
    return pipe


def _plain_array() -> pathlib.Path:
    path = _file("plain.npy", b"")
    np.save(path, np.ones((3, 3)))
    return path


def _other_arrays() -> pathlib.Path:
    path = _file("others.npz", b"")
    np.savez(path, a=np.ones(3), b=np.array([{}, None], dtype=object))
    return path


# For arguments that are objects of this package, or functions.
OBJECTS: list[Mutation] = wrong_values(
    {
        "a string": "spam",
        "a number": 3.0,
        "zero": 0,
        "False": False,
        "a list": [1.0, 2.0, 3.0],
        "an empty tuple": (),
        "a dict": {"a": 1.0},
        "an array": np.ones((3, 3)),
        "an empty array": np.empty(0),
        "NaN": float("nan"),
        "an object": object(),
        "a class": int,
        "the module": np,
    }
)
NONE = [wrong("None", always(None))]
INDICES: list[Mutation] = [
    *wrong_values(
        {
            "a string": "spam",
            "a half": 1.5,
            "NaN": float("nan"),
            "an object": object(),
            "a dict": {},
            "a function": len,
            "too large": 10**6,
            "too negative": -(10**6),
            "beyond int64": 10**30,
            "floats": np.array([0.0, 1.0]),
            "words": ["spam"],
            "integers too large": [0, 10**6],
            "integers beyond int64": np.array([2**64 - 1], np.uint64),
            "a short mask": np.array([True]),
            "a pair": (0, 0),
            "objects": np.array([0, None], dtype=object),
            "complex": np.array([0j]),
            "ragged": [[0], [0, 1]],
        }
    ),
    either("three dimensions", always(np.zeros((1, 2, 3), np.int64))),
    either("an empty list", always([])),
    either("None", always(None)),
    either("True", always(True)),
    either("a slice of halves", always(slice(0.5, None))),
    either("a slice by zero", always(slice(None, None, 0))),
    either("backwards", always(slice(None, None, -1))),
    either("of float-like integers", always(np.array([0], object))),
]
