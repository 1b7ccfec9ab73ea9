"""Bad arguments, missing files and Ctrl-C end the commands of `bench` in a sentence."""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bench import arguments

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [(arguments.count, "3", 3), (arguments.positive, "0.5", 0.5), (arguments.folder, ".", Path())],
)
def test_right_arguments(kind: Callable[[str], Any], text: str, value: object) -> None:
    assert kind(text) == value


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (arguments.count, "0"),
        (arguments.count, "-2"),
        (arguments.positive, "0"),
        (arguments.positive, "nan"),
        (arguments.positive, "inf"),
        (arguments.folder, "no such folder"),
    ],
)
def test_wrong_arguments(kind: Callable[[str], Any], text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match=text):
        kind(text)


def test_how_commands_end(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def interrupted() -> None:
        raise KeyboardInterrupt

    with pytest.raises(SystemExit) as ended:
        arguments.run(interrupted)
    assert ended.value.code == 130
    assert capsys.readouterr().err == "interrupted\n"
    missing = tmp_path / "x.csv"
    with pytest.raises(SystemExit, match=r"x\.csv: No such file or directory"):
        arguments.run(lambda: print(missing.read_text()))  # noqa: T201


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        ("networks no_folder", "no folder 'no_folder'"),
        ("networks . --only haberman --tools", "haberman.csv: No such file"),
        ("growth --sizes 300,0", "N >= 2"),
        ("truth 5 --data .", "is for --harness"),
        ("truth --first -1", "at least 0"),
        ("compare --limit nan", "finite and > 0"),
        ("compare --against .", "no runs are there"),
    ],
)
def test_one_sentence(command: str, reason: str) -> None:
    name, *rest = command.split()
    done = subprocess.run(
        [sys.executable, "-m", f"bench.{name}", *rest],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    assert reason in done.stderr
    assert "Traceback" not in done.stderr
