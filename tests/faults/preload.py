"""Shared libraries that are compiled for a test and preloaded into its processes."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def preloaded(source: str, folder: Path) -> dict[str, str]:
    """Environment of a process into which a source of this folder is preloaded, compiled.

    Skips the test where that cannot be had.
    """
    if sys.platform != "linux":
        pytest.skip("preloads as the Linux loader does")
    compiler = shutil.which(os.environ.get("CXX", "g++"))
    if compiler is None:
        pytest.skip("needs g++ (or set CXX)")
    library = folder / Path(source).with_suffix(".so").name
    flags = ["-std=c++20", "-O1", "-shared", "-fPIC", "-Wall", "-Wextra", "-Werror"]
    subprocess.run(
        [compiler, *flags, str(Path(__file__).with_name(source)), "-o", str(library)], check=True
    )
    return {**os.environ, "LD_PRELOAD": str(library)}


def run_module(
    module: str, *arguments: str, environment: dict[str, str] | None = None, seconds: float = 600.0
) -> subprocess.CompletedProcess[str]:
    """Run a module of this folder, which has to end well; a crash shows its Python frames."""
    command = [sys.executable, "-X", "faulthandler", "-m", f"tests.faults.{module}", *arguments]
    done = subprocess.run(
        command,
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-300:] + done.stderr[-3000:]
    return done
