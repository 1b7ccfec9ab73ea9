"""A virtual environment for each file of requirements, made when it is first asked for."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
REQUIREMENTS = ROOT / "bench" / "peers"
MARKER = "complete.json"  # written last: without it a folder is half made
LONGEST = 1800.0  # seconds for one command


@dataclass(frozen=True)
class Environment:
    """Where a peer runs, or the reason why it cannot."""

    python: Path | None
    reason: str | None = None
    versions: dict[str, str] = field(default_factory=dict)  # of all that is installed


_FAILED: dict[Path, Environment] = {}  # not tried twice in a run


def ensure(requirements: str | Path | None, folder: Path | None = None) -> Environment:
    """The environment for a file of requirements, from `folder` or made there.

    Parameters
    ----------
    requirements : str, Path or None
        A name is that of a file in bench/peers. ``X.nodeps.txt`` beside ``X.txt`` is installed
        afterwards, without dependencies. None is the environment that we run in.
    folder : Path, optional
        ``.peers`` in the project by default.

    Returns
    -------
    Environment
        Without a python, but with a reason, when it could not be made.
    """
    if requirements is None:
        return Environment(Path(sys.executable))
    file = REQUIREMENTS / requirements
    files = [f for f in (file, file.with_suffix(".nodeps.txt")) if f == file or f.exists()]
    try:
        key = _key([f.read_text(encoding="utf-8") for f in files])
    except OSError as error:
        return Environment(None, f"no requirements: {error}")
    # Resolved: pip and python write absolute paths into it.
    home = ((folder or ROOT / ".peers") / f"{file.stem}-{key}").resolve()
    if home in _FAILED:
        return _FAILED[home]
    if not (home / MARKER).exists():
        reason = _make(home, files)
        if reason is not None:
            shutil.rmtree(home, ignore_errors=True)
            return _FAILED.setdefault(home, Environment(None, reason))
    versions = json.loads((home / MARKER).read_text(encoding="utf-8"))
    return Environment(_python(home), None, versions)


def _key(texts: list[str]) -> str:
    """Changes with the requirements and with the Python that runs them."""
    parts = [*texts, platform.python_implementation(), platform.python_version()]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:12]


def _python(home: Path) -> Path:
    return home / "bin" / "python"


def _make(home: Path, files: list[Path]) -> str | None:
    """Build the environment from nothing; the reason if that fails."""
    shutil.rmtree(home, ignore_errors=True)
    python = str(_python(home))
    # Wheels only: a compiler that is missing, or takes an hour, is no reason for us.
    pip = [python, "-m", "pip", "--disable-pip-version-check", "--no-input"]
    install = [*pip, "install", "--only-binary", ":all:"]
    commands = [[sys.executable, "-m", "venv", str(home)]]
    for file in files:
        more = ["--no-deps"] if file.name.endswith(".nodeps.txt") else []
        commands.append([*install, *more, "-r", str(file)])
    commands.append([*pip, "list", "--format", "json"])
    output = ""
    for command in commands:
        try:
            output = _run(command)
        except subprocess.CalledProcessError as error:
            return _reason(error.stderr or error.stdout)
        except (OSError, subprocess.TimeoutExpired) as error:
            return f"{type(error).__name__}: {str(error).splitlines()[0]}"
    versions = {entry["name"]: entry["version"] for entry in json.loads(output)}
    partial = home / (MARKER + ".partial")
    partial.write_text(json.dumps(versions, indent=1), encoding="utf-8")
    partial.replace(home / MARKER)
    return None


def _run(command: list[str]) -> str:
    """Standard output of a command that succeeds."""
    hidden = ("PYTHONPATH", "PYTHONHOME", "PYTHONWARNINGS", "PIP_REQUIRE_VIRTUALENV")
    env = {key: value for key, value in os.environ.items() if key not in hidden}
    return subprocess.run(
        command, env=env, check=True, capture_output=True, text=True, timeout=LONGEST
    ).stdout


def _reason(said: str) -> str:
    """The last error that pip reports, or the last thing it says."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    errors = [line.removeprefix("ERROR: ") for line in lines if line.startswith("ERROR: ")]
    return next(reversed(errors or lines), "pip failed without a word")
