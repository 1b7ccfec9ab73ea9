"""The README's Python runs as it stands, and its commands exist."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from pyconvexnn import __main__

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "README.md").read_text()
PYTHON = re.findall(r"```python\n(.*?)```", TEXT, re.S)


@pytest.mark.parametrize("code", PYTHON, ids=range(len(PYTHON)))
def test_python_runs(code: str, tmp_path: Path) -> None:
    # In a folder of its own, as it may write files; the package is found through sys.path.
    done = subprocess.run(
        [
            sys.executable,
            "-W",
            "error",
            "-c",
            f"import sys; sys.path[:0] = [{str(ROOT)!r}]\n{code}",
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout


def test_install_commands_stand_on_one_line() -> None:
    commands = re.findall(r"```sh\n(.*?)\n```", TEXT, re.S)
    assert len(commands) == 2
    for command in commands:
        assert "\n" not in command
        assert command.startswith("python3 -m venv .venv && .venv/bin/pip install ")


def test_options_of_the_shell_examples_exist(capsys: pytest.CaptureFixture[str]) -> None:
    examples = re.findall(r"(?:^|`)pyconvexnn ([a-z]+) ([^`\n]*)", TEXT, re.M)
    wanted = {"fit", "certify", "verify", "predict", "path", "patterns"}
    assert {command for command, _ in examples} == wanted
    for command, arguments in examples:
        assert __main__.main([command, "--help"]) == 0
        shown = capsys.readouterr().out
        for option in re.findall(r"--[\w-]+", arguments):
            assert option in shown
