"""Lint, types, stubs and format, as tests: one command checks everything."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def run(*command: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_ruff() -> None:
    run("ruff", "check", "--quiet", ".")


def test_mypy() -> None:
    run("mypy", "--no-error-summary")


def test_stub_of_the_compiled_module() -> None:
    options = ("--allowlist", "tests/stubtest_allowlist.txt", "--ignore-unused-allowlist")
    run("mypy.stubtest", "pyconvexnn._core", "--mypy-config-file", "pyproject.toml", *options)


def test_clang_format() -> None:
    sources = sorted(str(path) for path in (ROOT / "csrc").rglob("*.[ch]*"))
    for folder in ("tests/cpp", "tests/faults"):
        sources += sorted(str(path) for path in (ROOT / folder).glob("*.?pp"))
    done = subprocess.run(
        [str(Path(sys.executable).with_name("clang-format")), "--dry-run", "-Werror", *sources],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[:3000]


def test_no_path_of_one_machine_in_the_tree() -> None:
    for path in [*ROOT.glob("*.*"), *(ROOT / "pyconvexnn").rglob("*.py"), ROOT / ".ci/run"]:
        if path.is_file():
            assert "/home/" not in path.read_text(), path
