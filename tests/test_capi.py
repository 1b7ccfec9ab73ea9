"""Another project's Cython code calls the kernels and gets what Python gets, bit for bit."""

from __future__ import annotations

import importlib.util
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pyconvexnn import _core
from pyconvexnn._typing import BitArray, FloatArray

ROOT = Path(__file__).parents[1]

# What its author writes, but for the checks.
MODULE = """
# cython: language_level=3
from libc.stdint cimport int64_t, uint64_t
from pyconvexnn cimport kernels
from pyconvexnn.kernels cimport Fit


def signs(const double[::1, :] X, const double[:, ::1] G, uint64_t[:, ::1] out, size_t threads):
    cdef int error
    with nogil:
        error = kernels.sign_patterns(
            &X[0, 0], X.shape[0], X.shape[1], &G[0, 0], G.shape[0], threads, &out[0, 0])
    return error


def adjoint(const double[::1, :] X, const uint64_t[:, ::1] packed, const double[::1, :] V,
            double[:, :, ::1] out):
    return kernels.masked_adjoint(
        &X[0, 0], X.shape[0], X.shape[1], &packed[0, 0], packed.shape[0], &V[0, 0], V.shape[1],
        1, &out[0, 0, 0])


def adjoint_listed(const double[::1, :] X, const uint64_t[:, ::1] packed, const double[::1, :] V,
                   const int64_t[::1] listed, double[:, :, ::1] out):
    return kernels.masked_adjoint_listed(
        &X[0, 0], X.shape[0], X.shape[1], &packed[0, 0], packed.shape[0], &V[0, 0], V.shape[1],
        &listed[0], listed.shape[0], 1, &out[0, 0, 0])


def forward(const double[::1, :] X, const uint64_t[:, ::1] packed, const int64_t[::1] listed,
            const double[:, :, ::1] U, double[::1, :] out):
    return kernels.masked_forward(
        &X[0, 0], X.shape[0], X.shape[1], &packed[0, 0], packed.shape[0], &listed[0],
        listed.shape[0], &U[0, 0, 0], U.shape[1], 1, &out[0, 0])


def fit(const double[::1, :] X, const uint64_t[:, ::1] packed, const double[::1] y,
        const double[::1] s, const double[::1] w, double[:, ::1] u, double[::1] dual,
        double beta, int loss, double parameter, bint offset, double tol, size_t max_iter,
        double time_limit):
    cdef Fit found
    cdef int status
    with nogil:
        status = kernels.coordinate_descent(
            &X[0, 0], X.shape[0], X.shape[1], &packed[0, 0], packed.shape[0], &y[0],
            NULL if s is None else &s[0], NULL if w is None else &w[0], beta, loss, parameter,
            offset, tol, max_iter, time_limit, 1, &u[0, 0], NULL if dual is None else &dual[0],
            &found)
    if status < 0:
        return status
    return status, found.objective, found.dual_objective, found.offset, found.n_iter


def nulls():
    cdef double x = 1.0
    cdef uint64_t word = 0
    cdef int64_t i = 0
    cdef Fit found
    return [
        kernels.sign_patterns(NULL, 1, 1, &x, 1, 1, &word),
        kernels.sign_patterns(&x, 0, 1, &x, 1, 1, &word),
        kernels.masked_adjoint(&x, 1, 1, NULL, 1, &x, 1, 1, &x),
        kernels.masked_adjoint(&x, 1, 1, &word, 1, &x, 0, 1, &x),
        kernels.masked_adjoint_listed(&x, 1, 1, &word, 1, &x, 1, NULL, 1, 1, &x),
        kernels.masked_forward(&x, 1, 1, &word, 1, &i, 1, &x, 1, 1, NULL),
        kernels.coordinate_descent(&x, 1, 1, &word, 0, &x, NULL, NULL, 1.0, 0, 0.0, 0, 1e-6, 1,
                                   1.0, 1, &x, NULL, &found),
        kernels.coordinate_descent(&x, 1, 1, &word, 1, &x, NULL, NULL, 1.0, 0, 0.0, 0, 1e-6, 1,
                                   1.0, 1, &x, NULL, NULL),
    ] == [kernels.BAD_ARGUMENT] * 8
"""
SETUP = """
from Cython.Build import cythonize
from setuptools import Extension, setup

setup(name="downstream", ext_modules=cythonize([Extension("downstream", ["downstream.pyx"])]))
"""


@pytest.fixture(scope="module")
def downstream(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("downstream")
    (folder / "downstream.pyx").write_text(MODULE)
    (folder / "setup.py").write_text(SETUP)
    done = subprocess.run(
        [sys.executable, "setup.py", "-q", "build_ext", "-i"],
        cwd=folder,
        # Cython looks for .pxd files along sys.path, where an editable install is not.
        env={**os.environ, "PYTHONPATH": str(ROOT), "CFLAGS": "-O1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (library,) = folder.glob("downstream*.so")
    spec = importlib.util.spec_from_file_location("downstream", library)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def data() -> tuple[FloatArray, FloatArray, BitArray]:
    rng = np.random.default_rng(0)
    X, G = np.asfortranarray(rng.standard_normal((130, 6))), rng.standard_normal((70, 6))
    return X, G, _core.sign_patterns(X, G)


@pytest.mark.parametrize("threads", [0, 1, 2])
def test_signs(downstream: Any, data: Any, threads: int) -> None:
    X, G, packed = data
    out = np.full_like(packed, 2**64 - 1)
    assert downstream.signs(X, G, out, threads) == 0
    np.testing.assert_array_equal(out, packed)


@pytest.mark.parametrize("K", [1, 3])
def test_products(downstream: Any, data: Any, K: int) -> None:
    X, _, packed = data
    rng = np.random.default_rng(1)
    V, listed = np.asfortranarray(rng.standard_normal((130, K))), np.array([7, 3, 69, 3])
    products = _core.MaskedProducts(X, packed)
    products.set_active(listed)
    out = np.empty((70, K, 6))
    assert downstream.adjoint(X, packed, V, out) == 0
    np.testing.assert_array_equal(out, products.adjoint(V))
    some = np.empty((4, K, 6))
    assert downstream.adjoint_listed(X, packed, V, listed, some) == 0
    np.testing.assert_array_equal(some, out[listed])
    F = np.empty((130, K), order="F")
    assert downstream.forward(X, packed, listed, some, F) == 0
    np.testing.assert_array_equal(F, products.active_forward(some))
    for bad in (70, -1):
        listed[2] = bad
        assert downstream.adjoint_listed(X, packed, V, listed, some) == -1
        assert downstream.forward(X, packed, listed, some, F) == -1


@pytest.mark.parametrize("loss", [0, 1, 2, 3])
@pytest.mark.parametrize("offset", [False, True])
@pytest.mark.parametrize("weighted", [False, True])
def test_coordinate_descent(
    downstream: Any, data: Any, loss: int, offset: bool, weighted: bool
) -> None:
    X, _, packed = data
    rng = np.random.default_rng(2)
    y = np.maximum(X[:, 0], 0) - X[:, 1] + 0.1 * rng.standard_normal(130)
    y = np.sign(y) if loss in {1, 3} else y
    s, w = rng.uniform(0.5, 2, 130), rng.uniform(0.5, 2, 70)
    u, dual = np.full((70, 6), np.nan), np.empty(130)
    options = (2.0, loss, 0.7, offset, 1e-7, 10_000, math.inf)
    weights = (s, w) if weighted else (None, None)
    status, objective, dual_objective, b, n_iter = downstream.fit(
        X, packed, y, *weights, u, dual, *options
    )
    same = _core.solve_group_lasso(
        X,
        packed,
        y,
        s if weighted else np.ones(130),
        w if weighted else np.ones(70),
        2.0,
        method=0,
        loss=loss,
        loss_parameter=0.7,
        output_offset=offset,
        tol=1e-7,
        max_iter=10_000,
        time_limit=math.inf,
        threads=1,
        indices=np.empty(0, np.int64),
        values=np.empty((0, 6)),
        callback=None,
    )
    assert status == same.status == 0
    assert (objective, dual_objective, b, n_iter) == (
        same.objective,
        same.dual_objective,
        same.free_part[0],
        same.n_iter,
    )
    assert np.flatnonzero(u.any(axis=1)).tolist() == same.indices.tolist()
    np.testing.assert_array_equal(u[same.indices], same.values)
    np.testing.assert_array_equal(dual, same.dual)
    # The dual point is optional.
    assert downstream.fit(X, packed, y, *weights, u, None, *options)[1] == objective


def test_how_a_fit_ends(downstream: Any, data: Any) -> None:
    X, _, packed = data
    u, y = np.empty((70, 6)), X[:, 0].copy()

    def ends(**changes: Any) -> Any:
        options = {"beta": 0.5, "loss": 0, "parameter": 0.0, "offset": False, "tol": 1e-9}
        options |= {"max_iter": 10_000, "time_limit": math.inf}
        end = downstream.fit(X, packed, y, None, None, u, None, **{**options, **changes})
        return end if isinstance(end, int) else end[0]

    assert ends() == 0
    assert ends(max_iter=1) == 1
    assert ends(time_limit=0.0) == 2
    for bad in (0.0, -1.0, math.nan, math.inf):
        assert ends(beta=bad) == -1
        assert ends(tol=bad) == -1
        assert ends(loss=2, parameter=bad) == -1
    assert ends(loss=6) == ends(loss=-1) == -1
    y = np.sign(y)
    assert ends(loss=5) == 0
    assert ends(loss=5, offset=True) == -1


def test_null_pointers_and_empty_sizes_are_refused(downstream: Any) -> None:
    assert downstream.nulls()
