"""``--help`` of every command: examples first, and the keys of ``--json`` as they are."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

ROOT = Path(__file__).parents[1]
COMMANDS = ("demo", "fit", "certify", "predict", "path", "patterns", "config")


def keys(run: Any, command: str) -> list[list[str]]:
    """Lists of keys that the help of a command names."""
    text = " ".join(run(command, "--help")[1].split())
    named = re.search(r"Keys of --json: (.*?)\. Options:", text)
    assert named is not None
    return [part.split(": ")[-1].split(", ") for part in named[1].split("; ")]


def test_the_commands(run: Any) -> None:
    for arguments in ((), ("--help",), ("-h",)):
        code, out, err = run(*arguments)
        assert (code, err) == (0, "")
        listed = re.findall(r"^  ([a-z]+) +[A-Z].*[^.][.]$", out.split("Commands:")[1], re.M)
        assert listed == list(COMMANDS)  # in the order of use, none cut short
        assert out.index("pyconvexnn fit houses.csv") < out.index("Parquet") < out.index("Options:")
        assert "Exit codes: 0; 2 for bad input; 3 when the optimum was not proved" in out


@pytest.mark.parametrize("command", COMMANDS)
def test_examples_come_first(run: Any, command: str) -> None:
    code, out, err = run(command, "--help")
    assert (code, err) == (0, "")
    assert out.startswith(f"Usage: pyconvexnn {command}")
    summary, examples = out.split("\n\n")[1:3]
    assert len(summary.splitlines()) == 1
    assert examples.splitlines()[0] == "  Examples:"
    assert all(line.startswith("    ") for line in examples.splitlines()[1:])
    assert examples.splitlines()[1].startswith(f"    pyconvexnn {command}")
    options = set(re.findall(r"--[a-z-]+", out.split("Options:")[1]))
    assert set(re.findall(r"--[a-z-]+", out.split("Options:")[0])) <= options | {"--cv", "--beta"}
    assert "--json" in options


def test_keys_of_json(run: Any, tmp_path: Path) -> None:
    data, model = tmp_path / "data.csv", tmp_path / "m.npz"
    x = np.linspace(-1, 1, 12)
    data.write_text("x,y\n" + "".join(f"{a!r},{abs(a)!r}\n" for a in x.tolist()))
    options = ["--target", "y", "--json"]

    def told(*arguments: Any) -> dict[str, Any]:
        code, out, _ = run(*arguments, "--json")
        assert code == 0
        return dict(json.loads(out))

    facts = told("fit", data, *options, "--beta", "0.1", "--save", model)
    assert keys(run, "fit") == [list(facts)]
    assert keys(run, "certify") == [list(told("certify", model, data))]
    path = told("path", data, *options, "--n-betas", "2")
    assert keys(run, "path") == [list(path), list(path["points"][0])]
    assert list(told("predict", model, data)) == ["prediction"]
    text = " ".join(run("patterns", "--help")[1].split())
    more: list[list[Any]] = [[], ["--count"], ["--out", tmp_path / "p.npz"], ["--sample", "2"]]
    for options in more:
        for key in told("patterns", data, *options):
            assert key in text.split("Keys of --json: ")[1].split("Options:")[0]


def test_help_loads_little() -> None:
    heavy = "scipy sklearn tqdm matplotlib pandas pyarrow joblib"
    code = (
        "import sys\n"
        "from pyconvexnn.__main__ import main\n"
        "main(['fit', '--help'])\n"
        "print('modules', *sorted({name.split('.')[0] for name in sys.modules}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    modules = done.stdout.splitlines()[-1].split()
    assert "click" in modules
    assert not set(heavy.split()) & set(modules)
