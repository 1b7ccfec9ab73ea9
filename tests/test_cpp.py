"""Builds the C++ tests (no Python) under sanitizers and runs them."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
COMPILER = shutil.which(os.environ.get("CXX", "g++"))


@pytest.mark.parametrize(
    "sanitizers",
    [
        None,
        *(pytest.param(which, marks=pytest.mark.slow) for which in ("address,undefined", "thread")),
    ],
)
def test_cpp(sanitizers: str | None, tmp_path: Path) -> None:
    assert COMPILER is not None, "the C++ tests need g++ (or set CXX)"
    sources = [*(ROOT / "csrc/convexnn").rglob("*.cpp"), *(ROOT / "tests/cpp").glob("*.cpp")]
    # At -O1 less is optimised away before it is checked, and compiling takes half the time.
    flags = ["-std=c++20", "-O1", "-ffp-contract=off", "-fopenmp-simd", "-pthread"]
    flags.append(f"-I{ROOT / 'csrc'}")
    if sanitizers is not None:
        flags += ["-g1", f"-fsanitize={sanitizers}", "-fno-sanitize-recover=all"]
    objects = []
    for source in sources:
        objects.append(tmp_path / f"{source.parent.name}_{source.stem}.o")
    commands = [
        [COMPILER, *flags, "-c", str(source), "-o", str(made)]
        for source, made in zip(sources, objects, strict=True)
    ]
    _run_side_by_side(commands)
    program = tmp_path / "tests"
    _run_side_by_side([[COMPILER, *flags, *map(str, objects), "-o", str(program)]])
    done = subprocess.run([program], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert " passed" in done.stdout


def _run_side_by_side(commands: list[list[str]]) -> None:
    """Run compilers, as many at a time as there are cores; fail with what the first says."""
    waiting = list(commands)
    running: list[subprocess.Popen[str]] = []
    while waiting or running:
        while waiting and len(running) < (os.cpu_count() or 1):
            running.append(subprocess.Popen(waiting.pop(), stderr=subprocess.PIPE, text=True))
        process = running.pop(0)
        _, errors = process.communicate()
        assert process.returncode == 0, errors
