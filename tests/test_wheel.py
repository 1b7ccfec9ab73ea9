"""The wheel is small and holds what it should."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.slow
def test_wheel(tmp_path: Path) -> None:
    # From a copy of what git knows, so that nothing lying about gets in.
    source = tmp_path / "source"
    subprocess.run(["git", "clone", "-q", str(ROOT), str(source)], check=True)
    options = ["-q", "--no-deps", "--no-build-isolation", "-w", str(tmp_path), str(source)]
    subprocess.run([sys.executable, "-m", "pip", "wheel", *options], check=True)
    (wheel,) = tmp_path.glob("*.whl")
    assert wheel.stat().st_size < 2_000_000
    names = zipfile.ZipFile(wheel).namelist()
    for needed in (
        "py.typed",
        "_core.pyi",
        "kernels.pxd",
        "cli/app.py",
        "examples/pipeline.py",
    ):
        assert f"pyconvexnn/{needed}" in names
    assert len([name for name in names if name.endswith(".so")]) == 2
    foreign = [n for n in names if not n.startswith(("pyconvexnn/", "pyconvexnn-"))]
    assert not foreign
    assert not [name for name in names if name.endswith((".cpp", ".hpp", ".pyx"))]
