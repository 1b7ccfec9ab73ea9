"""Hostile files: a corpus that is replayed, and what hypothesis makes of it."""

from __future__ import annotations

import hashlib
import io
import json
import subprocess
import sys
import warnings
import zipfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz.targets import CORPUS, TARGETS

FILES = {kind: sorted((CORPUS / kind).iterdir()) for kind in TARGETS}
ROOT = Path(__file__).parents[2]


def outcomes(kind: str, files: list[Path]) -> list[tuple[str, str, float, float]]:
    """Name, verdict, processor seconds and megabytes of each file, read in one process."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.fuzz.targets", kind],
        input="\n".join(map(str, files)),
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
        timeout=300,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return [tuple(json.loads(line)) for line in done.stdout.splitlines()]


@pytest.mark.parametrize("kind", TARGETS)
def test_the_corpus(kind: str) -> None:
    found = outcomes(kind, FILES[kind])
    assert len(found) == len(FILES[kind]) >= 10
    for name, verdict, seconds, grown in found:
        expected = "read" if Path(name).name.startswith("good") else "refused"
        assert verdict == expected, name
        assert seconds < 1.0, name
        assert grown < 64.0, name


@pytest.mark.parametrize("kind", TARGETS)
def test_a_megabyte(kind: str, tmp_path: Path) -> None:
    """Good beginnings with a megabyte of anything, of which nothing is believed."""
    files = []
    for i, base in enumerate(file for file in FILES[kind] if file.name.startswith("good")):
        data = base.read_bytes()
        for j, filler in enumerate([b"\0", b"\xff", b"[", b'{"a":', b"PK\x01\x02", b"\1\0\0\0"]):
            junk = (filler * (1 << 20))[: (1 << 20) - len(data) - 64]
            for k, place in enumerate([0, len(data) // 3, len(data)]):
                bad = data[:place] + junk + data[place:]
                for m, whole in enumerate([bad, signed(bad)] if kind == "proof" else [bad]):
                    files.append(tmp_path / f"{i}{j}{k}{m}")
                    files[-1].write_bytes(whole)
    for name, verdict, seconds, grown in outcomes(kind, files):
        assert verdict in ("refused", "read"), name
        assert seconds < 1.0, name
        assert grown < 64.0, name


def signed(data: bytes) -> bytes:
    """The data of a proof with the checksum that belongs to them."""
    return data[:-32] + hashlib.sha256(data[:-32]).digest()


def rezipped(data: bytes, change: Any) -> bytes:
    """A zip file with the bytes of one member changed, and the checksums that belong to them."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(out, "w") as new:
        names = old.namelist()
        for i, name in enumerate(names):
            content = old.read(name)
            new.writestr(name, change(content) if i == change.member % len(names) else content)
    return out.getvalue()


class Change:
    """Bytes that are replaced, taken out or put in, at places that are parts of the whole."""

    def __init__(self, edits: list[tuple[float, str, bytes]], member: int) -> None:
        self.edits, self.member = edits, member

    def __call__(self, data: bytes) -> bytes:
        for part, kind, new in self.edits:
            at = int(part * len(data))
            length = len(new) if kind != "insert" else 0
            data = data[:at] + (b"" if kind == "remove" else new) + data[at + length :]
        return data

    def __repr__(self) -> str:
        return f"Change({self.edits}, {self.member})"


places = st.floats(0.0, 1.0, exclude_max=True)
texts = st.one_of(
    st.binary(min_size=1, max_size=9),
    st.sampled_from([b"1e999", b"NaN", b"-1", b"null", b"[]", b"99999999999", b"\xff" * 8, b'"x"']),
)
changes = st.builds(
    Change,
    st.lists(
        st.tuples(places, st.sampled_from(["replace", "insert", "remove"]), texts),
        min_size=1,
        max_size=4,
    ),
    st.integers(0, 5),
)


def fuzz(kind: str, change: Change, whole: bool, number: int, folder: Path) -> None:
    """A good file, changed as a whole or with its checksums, is refused in a sentence or read."""
    good = [file for file in FILES[kind] if file.name.startswith("good")]
    base, path = good[number % len(good)].read_bytes(), folder / "changed"
    if kind == "proof":
        data = change(base) if whole else signed(change(base))
    else:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            data = change(base) if whole else rezipped(base, change)
    path.write_bytes(data)
    try:
        TARGETS[kind](path)
    except ValueError as error:
        assert str(error)  # noqa: PT017
    except FileNotFoundError:
        raise AssertionError("the file is there") from None


@pytest.mark.parametrize("kind", TARGETS)
@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(change=changes, whole=st.booleans(), base=st.integers(0, 10))
def test_changed_files_are_refused_or_read(
    kind: str, change: Change, whole: bool, base: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    fuzz(kind, change, whole, base, tmp_path_factory.getbasetemp())


@pytest.mark.slow
@pytest.mark.parametrize("kind", TARGETS)
@settings(max_examples=5_000, deadline=None, suppress_health_check=list(HealthCheck))
@given(change=changes, whole=st.booleans(), base=st.integers(0, 10))
def test_many_changed_files_are_refused_or_read(
    kind: str, change: Change, whole: bool, base: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    fuzz(kind, change, whole, base, tmp_path_factory.getbasetemp())
