"""Patterns are the same bits whatever instruction set the kernels were built for."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]

# Prints a hash of patterns of which many samples lie exactly on a gate's hyperplane, where a fused
# multiply-add or another order of summation would change the side.
PROGRAM = """
import hashlib, importlib.util, sys
import numpy as np
spec = importlib.util.spec_from_file_location("pyconvexnn._core", sys.argv[1])
core = importlib.util.module_from_spec(spec)
spec.loader.exec_module(core)
digest = hashlib.sha256()
for seed, (n, d, P) in enumerate([(1000, 7, 500), (65, 20, 300), (4096, 3, 100), (1, 1, 3)]):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, d)) * 10.0 ** rng.integers(-3, 4, d)
    G = rng.standard_normal((P, d))
    if d > 1:
        # g is made orthogonal to a sample: x.g is zero up to rounding.
        for i in range(P):
            x = X[rng.integers(n)]
            G[i, -1] = -(x[:-1] @ G[i, :-1]) / x[-1]
    for threads in (1, 2):
        digest.update(core.sign_patterns(np.asfortranarray(X), G, threads=threads).tobytes())
# Masked products, whose sums have one order.
for dtype, kind in ((np.float64, core.MaskedProducts), (np.float32, core.MaskedProducts32)):
    for n, d, P, K in [(1000, 11, 300, 1), (130, 20, 70, 3), (64, 3, 20, 2)]:
        X = np.asfortranarray(rng.standard_normal((n, d)), dtype)
        packed = core.sign_patterns(np.asfortranarray(X, float), rng.standard_normal((P, d)))
        v = np.asfortranarray(rng.standard_normal((n, K)), dtype)
        products = kind(X, packed)
        products.set_active(np.arange(P))
        U = products.adjoint(v, threads=2)
        digest.update(U.tobytes())
        digest.update(products.active_forward(U).tobytes())
# Cells of generic rows, and of rows near a grid, whose signs doubles leave open.
grid = np.stack(np.meshgrid(*[np.arange(3.0)] * 3), axis=-1).reshape(-1, 3)
for X in (rng.standard_normal((150, 4)), grid + 1e-10 * rng.standard_normal(grid.shape)):
    rows = core.ReducedRows(np.asfortranarray(np.c_[X, np.ones(len(X))][:, :4]), snap=False)
    cells = core.HalfCells(rows)
    out = np.zeros((2 * cells.total, (len(X) + 63) // 64), np.uint64)
    kept, undecided = cells.list(0, cells.total, block=1000, out=out)
    assert kept.sum() == cells.total and not undecided.size
    digest.update(out.tobytes())
    digest.update(core.cell_witnesses(np.asfortranarray(X), out[:500]).tobytes())
print(core.isa_level(), digest.hexdigest())
"""


def hash_of(library: Path) -> tuple[str, str]:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(library)], capture_output=True, text=True, check=True
    )
    level, digest = done.stdout.split()
    return level, digest


@pytest.mark.slow
def test_baseline_build_gives_the_same_patterns(tmp_path: Path) -> None:
    folders = ["--build-temp", str(tmp_path / "temp"), "--build-lib", str(tmp_path / "lib")]
    subprocess.run(
        [sys.executable, "setup.py", "-q", "build_ext", *folders],
        cwd=ROOT,
        env={**os.environ, "PYCONVEXNN_BASELINE": "1"},
        capture_output=True,
        check=True,
    )
    (baseline,) = (tmp_path / "lib").rglob("_core*.so")
    from pyconvexnn import _core

    level, digest = hash_of(baseline)
    assert level == "baseline"
    assert digest == hash_of(Path(_core.__file__))[1]


def test_a_tie_is_on_the_positive_side() -> None:
    from pyconvexnn import _core

    X = np.asfortranarray([[1.0, 2.0], [2.0, -1.0], [0.0, 0.0]])
    packed = _core.sign_patterns(X, np.array([[2.0, -1.0], [-2.0, 1.0]]))
    assert packed.tolist() == [[0b111], [0b101]]
