"""Files that somebody tampered with are refused; nothing of them is believed."""

from __future__ import annotations

import io
import json
import os
import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.lib import format as npy_format
from numpy.typing import NDArray

from pyconvexnn import _npz
from pyconvexnn.cli.models import load_model

LAYOUT = {"a": ("<f8", 2), "b": ("<u8", 1)}
OPTIONAL = {"c": ("<f8", 1)}
META: dict[str, Any] = {"format": "pyconvexnn.test", "version": 1, "note": "x"}


def example() -> dict[str, NDArray[Any]]:
    return {"a": np.arange(6.0).reshape(2, 3), "b": np.array([1, 2**64 - 1], np.uint64)}


def read(path: Path) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    return _npz.read(path, "test", LAYOUT, OPTIONAL, lambda meta, arrays: (meta, arrays))


def npy(array: NDArray[Any], claimed_shape: tuple[int, ...] | None = None) -> bytes:
    """Bytes of a .npy file, which may lie about its shape."""
    stream = io.BytesIO()
    shape = array.shape if claimed_shape is None else claimed_shape
    descr = npy_format.dtype_to_descr(array.dtype)
    npy_format.write_array_header_1_0(
        stream, {"descr": descr, "fortran_order": False, "shape": shape}
    )
    return stream.getvalue() + array.tobytes()


def members(header: object = META, **changed: bytes) -> dict[str, bytes]:
    """Members of a good file, some replaced or added."""
    text = np.frombuffer(json.dumps(header).encode(), np.uint8)
    good = {name: npy(array) for name, array in {"meta": text, **example()}.items()}
    return {f"{name}.npy": data for name, data in {**good, **changed}.items()}


def zip_of(contents: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", compression) as archive:
        for name, data in contents.items():
            archive.writestr(name, data)
    return stream.getvalue()


def test_what_is_written_is_read_and_is_an_ordinary_npz(tmp_path: Path) -> None:
    path = tmp_path / "no suffix added"
    fortran = np.asfortranarray(example()["a"])
    _npz.write(path, "test", {"note": "ä"}, {**example(), "a": fortran, "c": np.zeros(0)})
    meta, arrays = read(path)
    assert meta == {"note": "ä"}
    assert set(arrays) == {"a", "b", "c"}
    for name, expected in {**example(), "c": np.zeros(0)}.items():
        np.testing.assert_array_equal(arrays[name], expected, strict=True)
    with np.load(path, allow_pickle=False) as archive:
        np.testing.assert_array_equal(archive["a"], example()["a"])


def test_the_same_contents_are_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one", "two"):
        _npz.write(tmp_path / name, "test", {}, example())
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_fortran_order_is_read_as_claimed(tmp_path: Path) -> None:
    stream = io.BytesIO()
    npy_format.write_array(stream, np.asfortranarray(example()["a"]))
    assert b"'fortran_order': True" in stream.getvalue()
    path = tmp_path / "file"
    path.write_bytes(zip_of(members(a=stream.getvalue())))
    np.testing.assert_array_equal(read(path)[1]["a"], example()["a"])


A = np.ones((2, 3))
REFUSED = {
    "empty": (b"", "not a zip file"),
    "no zip": (b"hello" * 100, "not a zip file"),
    "one array": (npy(A), "not a zip file"),
    "a piece cut out": (zip_of(members())[:200] + zip_of(members())[210:], ""),
    "truncated": (zip_of(members())[:-30], "not a zip file"),
    "missing member": (
        zip_of({k: v for k, v in members().items() if k != "b.npy"}),
        "member 'b' is missing",
    ),
    "no meta": (
        zip_of({k: v for k, v in members().items() if k != "meta.npy"}),
        "member 'meta' is missing",
    ),
    "another member": (zip_of(members(z=npy(A))), "unknown member 'z'"),
    "another suffix": (zip_of({**members(), "a": npy(A)}), "not distinct .npy files"),
    "path as member": (zip_of({**members(), "../a.npy": npy(A)}), "unknown member '../a'"),
    "compressed": (zip_of(members(), zipfile.ZIP_DEFLATED), "is not stored uncompressed"),
    "bomb": (
        zip_of(members(a=npy(np.zeros((1000, 1000)))), zipfile.ZIP_DEFLATED),
        "is not stored uncompressed",
    ),
    "pickle": (
        zip_of(members(a=b"\x93NUMPY\x01\x00" + b"\x80\x04K\x01." * 20)),
        "a.npy has no plain .npy header",
    ),
    "object dtype": (
        zip_of(members(a=npy(A).replace(b"'<f8'", b"'|O' "))),
        "a.npy has no plain .npy header",
    ),
    "code in the header": (
        zip_of(members(a=npy(A).replace(b"(2, 3)", b"(1+1,)"))),
        "a.npy has no plain .npy header",
    ),
    "version 2 header": (
        zip_of(members(a=npy(A).replace(b"NUMPY\x01", b"NUMPY\x02"))),
        "a.npy has no plain .npy header",
    ),
    "no header": (zip_of(members(a=b"")), "a.npy has no plain .npy header"),
    "float32": (
        zip_of(members(a=npy(A.astype(np.float32)))),
        "a.npy has no plain .npy header",
    ),
    "big endian": (zip_of(members(a=npy(A.astype(">f8")))), "a.npy has no plain .npy header"),
    "integers": (
        zip_of(members(a=npy(A.astype(np.uint64)))),
        "a.npy must have dtype <f8 and 2 dimensions, got <u8 and 2",
    ),
    "dimensions": (
        zip_of(members(a=npy(A.ravel()))),
        "a.npy must have dtype <f8 and 2 dimensions, got <f8 and 1",
    ),
    "7 TiB": (
        zip_of(members(a=npy(A, (10**6, 962073)))),
        "a.npy must hold 7696584000000 bytes for its shape, got 48",
    ),
    "overflowing shape": (
        zip_of(members(a=npy(A, (2**62, 4)))),
        "a.npy must hold 147573952589676412928 bytes for its shape, got 48",
    ),
    "empty but wide": (zip_of(members(a=npy(np.zeros((0, 1)), (0, 2**62)))), "."),
    "too short": (zip_of(members(a=npy(A)[:-8])), "a.npy must hold 48 bytes for its shape, got 40"),
    "too long": (
        zip_of(members(a=npy(A) + b"x")),
        "a.npy must hold 48 bytes for its shape, got 49",
    ),
    "NaN": (zip_of(members(a=npy(A * np.nan))), "a.npy must be finite"),
    "infinity": (zip_of(members(a=npy(A * np.inf))), "a.npy must be finite"),
    "another kind": (
        zip_of(members({**META, "format": "pyconvexnn.cat"})),
        "its format must be 'pyconvexnn.test', got 'pyconvexnn.cat'",
    ),
    "future version": (zip_of(members({**META, "version": 2})), "its version must be 1, got 2"),
    "true version": (zip_of(members({**META, "version": True})), "its version must be 1, got True"),
    "no version": (zip_of(members({"format": "pyconvexnn.test"})), "its version must be 1, got No"),
    "JSON list": (zip_of(members([1, 2])), "its JSON part must be an object"),
    "JSON NaN": (zip_of(members({**META, "x": np.nan})), "its JSON part must be finite, got NaN"),
    "no JSON": (zip_of(members(meta=npy(np.frombuffer(b"{]", np.uint8)))), "Expecting property"),
    "no ASCII": (
        zip_of(members(meta=npy(np.frombuffer(b'{"\xff": 1}', np.uint8)))),
        "'ascii' codec can't decode",
    ),
    "deep JSON": (
        zip_of(members(meta=npy(np.frombuffer(b"[" * 100_000, np.uint8)))),
        "",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case: str, tmp_path: Path) -> None:
    content, reason = REFUSED[case]
    path = tmp_path / "file.npz"
    path.write_bytes(content)
    with pytest.raises(
        ValueError, match=r"`path` must be a pyconvexnn test file, got .*"
    ) as caught:
        read(path)
    assert str(path) in str(caught.value)
    assert reason in str(caught.value)


def patched(field: int, value: bytes) -> bytes:
    """Zip whose directory lies about its last member, at this offset of the member's entry."""
    data = bytearray(zip_of(members()))
    entry = data.rindex(b"PK\x01\x02")
    data[entry + field : entry + field + len(value)] = value
    return bytes(data)


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        (16, b"\0\0\0\0", "Bad CRC-32"),
        (20, struct.pack("<II", 2**31, 2**31), "its members claim"),
        (24, struct.pack("<I", 2**31), "member 'b' claims two sizes"),
        (8, struct.pack("<H", 1), "member 'b' is not stored uncompressed"),
        (42, struct.pack("<I", 2**31 - 1), ""),
    ],
    ids=["checksum", "sizes", "sizes differ", "encrypted", "offset"],
)
def test_a_lying_directory_is_refused(
    field: int, value: bytes, reason: str, tmp_path: Path
) -> None:
    path = tmp_path / "file.npz"
    path.write_bytes(patched(field, value))
    with pytest.raises(ValueError, match="must be a pyconvexnn test file") as caught:
        read(path)
    assert reason in str(caught.value)


def test_an_offset_beyond_all_files_is_refused(tmp_path: Path) -> None:
    data = bytearray(zip_of(members()))
    entry, end = data.rindex(b"PK\x01\x02"), data.rindex(b"PK\x05\x06")
    directory_size = int.from_bytes(data[end + 12 : end + 16], "little")
    data[end + 12 : end + 16] = struct.pack("<I", directory_size + 12)
    data[entry + 30 : entry + 32] = struct.pack("<H", 12)
    data[entry + 42 : entry + 46] = b"\xff" * 4  # "see the zip64 field": 2^64 - 1
    data[end:end] = struct.pack("<HHQ", 1, 8, 2**64 - 1)
    path = tmp_path / "file.npz"
    path.write_bytes(data)
    with pytest.raises(ValueError, match="must be a pyconvexnn test file"):
        read(path)


@pytest.mark.parametrize("count", [0, 5, 7])
def test_bytes_are_counted(count: int) -> None:
    with pytest.raises(ValueError, match="a does not hold the bytes that it claims"):
        _npz._read_bytes(io.BytesIO(b"123456"), count, "a")


def test_a_long_json_part_is_not_parsed(tmp_path: Path) -> None:
    long = np.full((1 << 24) + 1, 32, np.uint8)
    np.savez(tmp_path / "file.npz", **example(), meta=long)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"meta\.npy must have <= 16777216 bytes, got 16777217"):
        read(tmp_path / "file.npz")


def test_a_member_twice_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "file.npz"
    path.write_bytes(zip_of(members()))
    with pytest.warns(UserWarning, match="Duplicate"), zipfile.ZipFile(path, "a") as archive:
        archive.writestr("a.npy", npy(A))
    with pytest.raises(ValueError, match="not distinct"):
        read(path)


GOOD = zip_of(members())


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.integers(0, len(GOOD) - 1), st.integers(0, 255)), max_size=4))
def test_changed_bytes_are_refused_or_harmless(
    tmp_path_factory: pytest.TempPathFactory, changes: list[tuple[int, int]]
) -> None:
    data = bytearray(GOOD)
    for place, byte in changes:
        data[place] = byte
    path = tmp_path_factory.getbasetemp() / "changed.npz"
    path.write_bytes(data)
    try:
        meta, arrays = read(path)
    except ValueError as error:
        assert "must be a pyconvexnn test file" in str(error)  # noqa: PT017
    else:
        assert meta == {"note": "x"}
        for name, expected in example().items():
            np.testing.assert_array_equal(arrays[name], expected, strict=True)


@pytest.mark.parametrize(
    "error",
    [ValueError, TypeError, RecursionError, NotImplementedError, OverflowError, EOFError, OSError],
)
def test_whatever_a_hostile_file_provokes_names_the_file(
    error: type[Exception], tmp_path: Path
) -> None:
    def build(_meta: dict[str, Any], _arrays: dict[str, NDArray[Any]]) -> None:
        raise error

    path = tmp_path / "file.npz"
    path.write_bytes(GOOD)
    with pytest.raises(ValueError, match=rf"must be a pyconvexnn test file, .*: {error.__name__}$"):
        _npz.read(path, "test", LAYOUT, OPTIONAL, build)


def test_paths(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read(tmp_path / "none")
    with pytest.raises(IsADirectoryError):
        read(tmp_path)
    for wrong in (3, None, b"x"):
        with pytest.raises(TypeError, match=r"`path` must be a string or a path, got "):
            read(wrong)  # type: ignore[arg-type]


def test_meta_must_be_json(tmp_path: Path) -> None:
    path = tmp_path / "file"
    with pytest.raises(ValueError, match="not JSON compliant"):
        _npz.write(path, "test", {"x": np.nan}, {})
    with pytest.raises(TypeError, match="not JSON serializable"):
        _npz.write(path, "test", {"x": object()}, {})
    with pytest.raises(ValueError, match="the JSON part must have <= 16777216 bytes"):
        _npz.write(path, "test", {"x": "y" * (1 << 24)}, {})
    assert not path.exists()


def test_pipes_and_devices_are_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path("/dev/zero"), Path("/dev/null")):
        with pytest.raises(ValueError, match="`path` must be a file"):
            read(path)
        with pytest.raises(ValueError, match="not a saved model"):
            load_model(path)
