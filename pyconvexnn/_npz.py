"""Files of arrays that may come from anybody: written plainly, read with every claim checked.

A file is an uncompressed zip of ``.npy`` members (NumPy reads it with ``np.load``), one of which,
``meta``, is JSON text with the format's name and version. Nothing is unpickled or evaluated.
Members must be stored uncompressed, so that no file can grow while it is read: the sizes that the
zip claims must fit in the file, and each ``.npy`` header must claim exactly its member's size
before anything is allocated for it.
"""

from __future__ import annotations

import json
import math
import os
import re
import zipfile
from collections.abc import Callable, Mapping
from typing import IO, Any, NoReturn, TypeVar

import numpy as np
from numpy.typing import NDArray

from pyconvexnn._files import writing
from pyconvexnn._validation import as_path

VERSION = 1
_LARGEST_META = 1 << 24  # bytes of JSON
_CHUNK = 1 << 20  # bytes read at a time
_MAGIC = b"\x93NUMPY\x01\x00"  # .npy version 1.0, the one that NumPy writes for plain dtypes
_HEADER = re.compile(
    rb"\{'descr': '([<|][fu][18])', 'fortran_order': (True|False), 'shape': \(([\d, ]*)\), \} *\n"
)
_META = {"meta": ("|u1", 1)}

Layout = Mapping[str, tuple[str, int]]
"""Member name -> (dtype as in the .npy header, number of dimensions)."""

T = TypeVar("T")


def write(
    path: str | os.PathLike[str], kind: str, meta: dict[str, Any], arrays: dict[str, NDArray[Any]]
) -> None:
    """Write the arrays, little-endian and C-ordered, and the JSON of `meta` to exactly `path`.

    Raises
    ------
    TypeError, ValueError
        If `path` is no path, or `meta` is not JSON (NaN and infinity are not) or too large.
    OSError
        If the file cannot be written.
    """
    header = {"format": f"pyconvexnn.{kind}", "version": VERSION, **meta}
    text = json.dumps(header, allow_nan=False).encode("ascii")
    if len(text) > _LARGEST_META:
        raise ValueError(f"the JSON part must have <= {_LARGEST_META} bytes, got {len(text)}")
    members: dict[str, Any] = {"meta": np.frombuffer(text, np.uint8)}
    for name, array in arrays.items():
        members[name] = np.asarray(array, dtype=array.dtype.newbyteorder("<"), order="C")
    with writing(path) as file:
        np.savez(file, **members)


def read(
    path: str | os.PathLike[str],
    kind: str,
    layout: Layout,
    optional: Layout,
    build: Callable[[dict[str, Any], dict[str, NDArray[Any]]], T],
) -> T:
    """Return ``build(meta, arrays)`` of a file with exactly the members of `layout`.

    Those of `optional` may be there. `build` checks what these arrays must be to each other; its
    errors too become the ValueError that names the file.

    Raises
    ------
    ValueError
        If the file is not what `kind` says, in whatever way.
    OSError
        If the file cannot be opened (FileNotFoundError, IsADirectoryError, ...).
    """
    required = {**_META, **layout}
    checked = as_path(path)
    if checked.exists() and not checked.is_dir() and not checked.is_file():
        raise ValueError(f"`path` must be a file, got the pipe or device {os.fspath(path)!r}")
    with checked.open("rb") as file:
        try:
            with zipfile.ZipFile(file) as archive:
                size = os.fstat(file.fileno()).st_size
                members = _check_members(archive, required, {**required, **optional}, size)
                meta = _parse_meta(_read_member(archive, members["meta"], *_META["meta"]), kind)
                arrays = {
                    name: _read_member(archive, member, *{**layout, **optional}[name])
                    for name, member in members.items()
                    if name != "meta"
                }
            return build(meta, arrays)
        except (
            zipfile.BadZipFile,
            EOFError,
            OSError,  # a seek to a hostile offset
            OverflowError,
            RuntimeError,  # NotImplementedError of zip features, RecursionError of nested JSON
            TypeError,
            ValueError,
        ) as error:
            raise ValueError(
                f"`path` must be a pyconvexnn {kind} file, got {os.fspath(path)!r}: "
                f"{str(error) or type(error).__name__}"
            ) from error


def _check_members(
    archive: zipfile.ZipFile, required: Layout, known: Layout, size: int
) -> dict[str, zipfile.ZipInfo]:
    """Members by name; ValueError unless they are the right ones, stored as they are."""
    infos = archive.infolist()
    members = {info.filename.removesuffix(".npy"): info for info in infos}
    if len(members) != len(infos) or {i.filename for i in infos} != {f"{n}.npy" for n in members}:
        raise ValueError("its members are not distinct .npy files")
    for name in members:
        if name not in known:
            raise ValueError(f"unknown member {name[:40]!r}")
    for name in required:
        if name not in members:
            raise ValueError(f"member {name!r} is missing")
    for name, info in members.items():
        encrypted = info.flag_bits & 1
        if info.compress_type != zipfile.ZIP_STORED or encrypted:
            raise ValueError(f"member {name!r} is not stored uncompressed")
        if info.compress_size != info.file_size:
            raise ValueError(f"member {name!r} claims two sizes")
    total = sum(info.file_size for info in infos)
    if total > size:
        raise ValueError(f"its members claim {total} bytes, the file has {size}")
    return members


def _read_member(
    archive: zipfile.ZipFile, info: zipfile.ZipInfo, dtype: str, ndim: int
) -> NDArray[Any]:
    """Array of one member, finite and of the dtype and dimension given."""
    name = info.filename
    with archive.open(info) as stream:
        start = stream.read(len(_MAGIC) + 2)
        header_size = int.from_bytes(start[len(_MAGIC) :], "little")
        match = _HEADER.fullmatch(stream.read(header_size))
        if start[: len(_MAGIC)] != _MAGIC or match is None:
            raise ValueError(f"{name} has no plain .npy header")
        shape = tuple(int(length) for length in match[3].split(b",") if length.strip())
        if match[1] != dtype.encode() or len(shape) != ndim:
            raise ValueError(
                f"{name} must have dtype {dtype} and {ndim} dimensions, "
                f"got {match[1].decode()} and {len(shape)}"
            )
        claimed = math.prod(shape) * np.dtype(dtype).itemsize
        held = info.file_size - len(start) - header_size
        if claimed != held:
            raise ValueError(f"{name} must hold {claimed} bytes for its shape, got {held}")
        if name == "meta.npy" and held > _LARGEST_META:
            raise ValueError(f"{name} must have <= {_LARGEST_META} bytes, got {held}")
        data = _read_bytes(stream, held, name).view(dtype)
    array = data.reshape(shape, order="F" if match[2] == b"True" else "C")
    array = array.astype(array.dtype.newbyteorder("="), copy=False)
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise ValueError(f"{name} must be finite")
    return array


def _read_bytes(stream: IO[bytes], count: int, name: str) -> NDArray[np.uint8]:
    """Exactly `count` bytes up to the end of the member, which makes zipfile check its CRC."""
    data = np.empty(count, np.uint8)
    done = 0
    while chunk := stream.read(_CHUNK):
        if done + len(chunk) > count:
            break
        data[done : done + len(chunk)] = np.frombuffer(chunk, np.uint8)
        done += len(chunk)
    if chunk or done != count:
        raise ValueError(f"{name} does not hold the bytes that it claims")
    return data


def _parse_meta(text: NDArray[Any], kind: str) -> dict[str, Any]:
    """Return the JSON object, its format and version checked and taken out."""
    meta = json.loads(text.tobytes().decode("ascii"), parse_constant=_refuse_constant)
    if not isinstance(meta, dict):
        raise ValueError("its JSON part must be an object")
    found = meta.pop("format", None)
    if found != f"pyconvexnn.{kind}":
        raise ValueError(f"its format must be 'pyconvexnn.{kind}', got {str(found)[:40]!r}")
    version = meta.pop("version", None)
    if type(version) is not int or version != VERSION:
        raise ValueError(f"its version must be {VERSION}, got {str(version)[:40]}")
    return meta


def _refuse_constant(text: str) -> NoReturn:
    raise ValueError(f"its JSON part must be finite, got {text}")
