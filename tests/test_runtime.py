"""The BLAS door, the configuration report, and threads."""

from __future__ import annotations

import datetime
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import pyconvexnn as cx
from pyconvexnn import _core
from pyconvexnn._runtime import load_blas

ROOT = Path(__file__).parents[1]

# In a fresh process: the portable loops first, then SciPy's BLAS, on the same product.
PROGRAM = """
import numpy as np
import pyconvexnn as cx
from pyconvexnn import _core
from pyconvexnn._runtime import load_blas
rng = np.random.default_rng(0)
X = np.asfortranarray(rng.standard_normal((333, 300)))
packed = _core.sign_patterns(X, rng.standard_normal((150, 300)))
blocks, U = np.arange(150), rng.standard_normal((150, 300))
sources = [_core.blas_source()]
portable = _core.masked_forward(X, packed, blocks, U)
load_blas()
sources.append(_core.blas_source())
scipy = _core.masked_forward(X, packed, blocks, U)
assert np.abs(portable - scipy).max() <= 1e-12 * np.abs(portable).max()
assert cx.show_config()["blas"] == "scipy"
print(*sources)
"""


def test_scipys_blas_replaces_the_portable_loops_and_agrees() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.stderr) == ("portable scipy\n", "")


def test_a_solve_loads_the_blas() -> None:
    prob = cx.GatedReLUProblem(np.eye(2), [1.0, 2.0], cx.PatternSet.from_dense(np.eye(2)), 0.5)
    cx.solve(prob)
    assert _core.blas_source() == "scipy"
    load_blas()  # again: nothing happens
    assert _core.blas_source() == "scipy"


def test_install_blas_takes_only_its_own_capsule() -> None:
    with pytest.raises(TypeError):
        _core.install_blas(object())
    with pytest.raises(ValueError, match="incorrect name"):
        _core.install_blas(vars(datetime)["datetime_CAPI"])


def test_show_config() -> None:
    config = cx.show_config()
    assert config["version"] == cx.__version__
    assert config["instruction_set"] in {"baseline", "x86-64-v3", "x86-64-v4"}
    assert config["cores"] >= 1
    assert config["numpy"] == np.__version__
