"""Files that are whole or not there."""

from __future__ import annotations

import os
import stat
import threading
from pathlib import Path

import pytest

import pyconvexnn as cx
from pyconvexnn._files import writing


def test_a_file_takes_its_place_when_it_is_whole(tmp_path: Path) -> None:
    file = tmp_path / "a"
    file.write_bytes(b"old")
    file.chmod(0o640)
    with writing(file) as new:
        new.write(b"new")
        assert file.read_bytes() == b"old"
    assert file.read_bytes() == b"new"
    assert stat.S_IMODE(file.stat().st_mode) == 0o640
    assert list(tmp_path.iterdir()) == [file]


def fail_to_write(file: Path, error: BaseException) -> None:
    with writing(file) as new:
        new.write(b"half")
        raise error


@pytest.mark.parametrize("error", [KeyboardInterrupt(), ValueError(), OSError(28, "No space")])
def test_what_was_there_is_kept(tmp_path: Path, error: BaseException) -> None:
    file = tmp_path / "a"
    file.write_bytes(b"old")
    with pytest.raises(type(error)) as told:
        fail_to_write(file, error)
    if isinstance(told.value, OSError):
        assert told.value.filename == os.fspath(file)
    assert file.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [file]


def test_links_are_followed_and_folders_must_be_there(tmp_path: Path) -> None:
    file, link = tmp_path / "a", tmp_path / "b"
    link.symlink_to(file)
    with writing(link) as new:
        new.write(b"new")
    assert link.is_symlink()
    assert file.read_bytes() == b"new"
    with pytest.raises(FileNotFoundError, match="none/a"), writing(tmp_path / "none" / "a"):
        pass
    with pytest.raises(IsADirectoryError), writing(tmp_path):
        pass


def test_a_pipe_is_written_to(tmp_path: Path) -> None:
    pipe, read = tmp_path / "pipe", list[bytes]()
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: read.append(pipe.read_bytes()), daemon=True)
    reader.start()
    with writing(pipe) as new:
        new.write(b"new")
    reader.join(10)
    assert read == [b"new"]


def test_networks_and_patterns_are_written_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "net.npz"
    net = cx.TwoLayerNetwork.from_arrays([[1.0]], [[1.0]])
    net.save(file)
    before = file.read_bytes()

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("numpy.savez", full)
    for thing in (net, cx.PatternSet.from_dense([[1, 0]])):
        with pytest.raises(OSError, match="No space left"):
            thing.save(file)
    assert file.read_bytes() == before
    assert list(tmp_path.iterdir()) == [file]
