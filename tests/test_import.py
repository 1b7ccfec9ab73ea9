"""What importing the package loads, and what it says when its compiled part is missing."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import pyconvexnn as cx

ROOT = Path(__file__).parents[1]


# An editable install puts a finder into sys.meta_path that would supply the compiled part.
WITHOUT_EDITABLE = """
import sys
sys.meta_path[:] = [f for f in sys.meta_path if "editable" not in repr(f).lower()]
"""


def python(code: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code], cwd=cwd, capture_output=True, text=True, check=False
    )


def test_import_loads_numpy_only() -> None:
    heavy = "scipy sklearn tqdm matplotlib pandas cvxpy click rich joblib onnx torch"
    code = "import sys, pyconvexnn; print(*sorted({m.split('.')[0] for m in sys.modules}))"
    done = python(code)
    assert done.returncode == 0, done.stderr
    assert "numpy" in done.stdout.split()
    assert not set(heavy.split()) & set(done.stdout.split())


def test_a_solve_loads_no_scipy() -> None:
    code = (
        "import sys, pyconvexnn as cx\n"
        "patterns = cx.PatternSet.from_dense([[1, 0], [0, 1]])\n"
        "cx.solve(cx.GatedReLUProblem([[1, 0], [0, 1]], [1, 2], patterns, 0.5))\n"
        "print('scipy' in sys.modules)"
    )
    done = python(code)
    assert (done.stdout, done.stderr) == ("False\n", "")


def test_every_public_name_exists() -> None:
    code = "import pyconvexnn as cx; print([n for n in cx.__all__ if not hasattr(cx, n)])"
    assert python(code).stdout.strip() == "[]"


def test_unknown_name_is_an_attribute_error() -> None:
    done = python("import pyconvexnn as cx; cx.no_such_name")
    assert "AttributeError: module 'pyconvexnn' has no attribute 'no_such_name'" in done.stderr


def test_missing_compiled_part_is_one_clear_sentence(tmp_path: Path) -> None:
    # A clone that was never built: the package's folder without its compiled files.
    shutil.copytree(
        ROOT / "pyconvexnn",
        tmp_path / "pyconvexnn",
        ignore=shutil.ignore_patterns("*.so", "__pycache__"),
    )
    run_module = "import runpy; runpy.run_module('pyconvexnn', run_name='__main__')"
    for code in ("import pyconvexnn", run_module):
        done = python(WITHOUT_EDITABLE + code, cwd=tmp_path)
        assert done.returncode == 1
        last = done.stderr.strip().splitlines()[-1]
        assert last.startswith("ImportError: pyconvexnn's compiled part `_core` is missing")
        assert "pip install -e ." in last


def test_without_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.delitem(sys.modules, "pyconvexnn._torch_modules", raising=False)
    monkeypatch.delattr(cx, "_torch_modules", raising=False)
    with pytest.raises(ImportError, match="to_torch needs PyTorch: pip install torch"):
        cx.TwoLayerNetwork.from_arrays([[1.0]], [[1.0]]).to_torch()
    with pytest.raises(ImportError, match="from_torch needs PyTorch: pip install torch"):
        cx.TwoLayerNetwork.from_torch(None)
