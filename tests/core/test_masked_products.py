"""Products with masked data against NumPy on dense masks, for both types and several outputs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from pyconvexnn import _core
from pyconvexnn._typing import BitArray

TOLERANCE = {np.float64: 1e-13, np.float32: 1e-5}

Real = NDArray[Any]


def pack(masks: NDArray[np.float64]) -> BitArray:
    padded = np.zeros((len(masks), -(-masks.shape[1] // 64) * 64), np.uint8)
    padded[:, : masks.shape[1]] = masks
    return np.packbits(padded, axis=1, bitorder="little").view("<u8").astype(np.uint64)


def assert_close(result: Real, expected: Real, scale: Real) -> None:
    """Relative to the sum of the absolute terms, entry by entry."""
    assert result.shape == expected.shape
    assert np.all(np.abs(result - expected) <= TOLERANCE[result.dtype.type] * scale)


@st.composite
def problems(draw: st.DrawFn) -> tuple[Real, NDArray[np.float64], Real, NDArray[np.int64], Real]:
    n, d, P = draw(st.integers(1, 200)), draw(st.integers(1, 40)), draw(st.integers(1, 300))
    K = draw(st.sampled_from([None, 1, 2, 3, 5, 10]))
    count = draw(st.one_of(st.just(0), st.integers(1, 300)))
    dtype = draw(st.sampled_from([np.float64, np.float32]))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    X = np.asfortranarray(rng.standard_normal((n, d)), dtype=dtype)
    masks = (rng.random((P, n)) < draw(st.sampled_from([0.0, 0.1, 0.5, 1.0]))).astype(float)
    v = np.asfortranarray(rng.standard_normal(n if K is None else (n, K)), dtype=dtype)
    listed = rng.integers(0, P, count)  # any order, repeats
    U = rng.standard_normal((count, d) if K is None else (count, K, d)).astype(dtype)
    return X, masks, v, listed, U


@given(problem=problems())
@settings(deadline=None, max_examples=150)
def test_products_agree_with_dense_masks(problem: Any) -> None:
    X, masks, v, listed, U = problem
    packed = pack(masks)
    x, V = X.astype(float), v.astype(float).reshape(len(X), -1)
    blocks = U.astype(float).reshape(len(listed), V.shape[1], X.shape[1])

    expected = np.einsum("nd,in,nk->ikd", x, masks, V, optimize=True)
    scale = np.einsum("nd,in,nk->ikd", abs(x), masks, abs(V), optimize=True)
    if v.ndim == 1:
        expected, scale = expected[:, 0], scale[:, 0]
    result = _core.masked_adjoint(X, packed, v)
    assert result.dtype == X.dtype
    assert_close(result, expected, scale)
    some = _core.masked_adjoint_listed(X, packed, v, listed)
    assert some.tobytes() == result[listed].tobytes()

    expected = np.einsum("nd,an,akd->nk", x, masks[listed], blocks, optimize=True)
    scale = np.einsum("nd,an,akd->nk", abs(x), masks[listed], abs(blocks), optimize=True)
    if v.ndim == 1:
        expected, scale = expected[:, 0], scale[:, 0]
    forward = _core.masked_forward(X, packed, listed, U)
    assert forward.dtype == X.dtype
    assert_close(forward, expected, scale)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize(
    ("n", "d", "P", "K"), [(1500, 40, 1500, 1), (2100, 21, 1100, 3), (300, 6, 6000, 2)]
)
def test_results_do_not_depend_on_threads(dtype: Any, n: int, d: int, P: int, K: int) -> None:
    rng = np.random.default_rng(0)
    X = np.asfortranarray(rng.standard_normal((n, d)), dtype=dtype)
    v = np.asfortranarray(rng.standard_normal((n, K)), dtype=dtype)
    masks = (rng.random((P, n)) < 0.5).astype(float)
    packed, listed = pack(masks), rng.permutation(P)
    U = rng.standard_normal((P, K, d)).astype(dtype)
    G = _core.masked_adjoint(X, packed, v)
    f = _core.masked_forward(X, packed, listed, U)
    for threads in (2, 3, 7):
        assert _core.masked_adjoint(X, packed, v, threads=threads).tobytes() == G.tobytes()
        some = _core.masked_adjoint_listed(X, packed, v, listed, threads=threads)
        assert some.tobytes() == G[listed].tobytes()
        again = _core.masked_forward(X, packed, listed, U, threads=threads)
        assert again.tobytes() == f.tobytes()
    expected = sum(
        masks[i][:, None] * (X.astype(float) @ u.T) for i, u in zip(listed, U, strict=True)
    )
    np.testing.assert_allclose(f, expected, atol=(1e-11 if dtype == np.float64 else 1e-2))
