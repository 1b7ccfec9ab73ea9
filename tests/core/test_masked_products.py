"""Products with masked data against NumPy on dense masks, for both types and several outputs."""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from pyconvexnn import _core
from pyconvexnn._typing import BitArray

TOLERANCE = {np.float64: 1e-13, np.float32: 1e-5}

Real = NDArray[Any]


def prepared(X: Real, packed: BitArray) -> Any:
    kinds = {np.float64: _core.MaskedProducts, np.float32: _core.MaskedProducts32}
    return kinds[X.dtype.type](X, packed)


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
    products = prepared(X, pack(masks))
    x, V = X.astype(float), v.astype(float).reshape(len(X), -1)
    blocks = U.astype(float).reshape(len(listed), V.shape[1], X.shape[1])

    expected = np.einsum("nd,in,nk->ikd", x, masks, V, optimize=True)
    scale = np.einsum("nd,in,nk->ikd", abs(x), masks, abs(V), optimize=True)
    if v.ndim == 1:
        expected, scale = expected[:, 0], scale[:, 0]
    result = products.adjoint(v)
    assert result.dtype == X.dtype
    assert_close(result, expected, scale)
    assert products.adjoint_listed(v, listed).tobytes() == result[listed].tobytes()
    products.set_active(listed)
    assert products.active_adjoint(v).tobytes() == result[listed].tobytes()

    expected = np.einsum("nd,an,akd->nk", x, masks[listed], blocks, optimize=True)
    scale = np.einsum("nd,an,akd->nk", abs(x), masks[listed], abs(blocks), optimize=True)
    if v.ndim == 1:
        expected, scale = expected[:, 0], scale[:, 0]
    forward = products.active_forward(U)
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
    products, listed = prepared(X, pack(masks)), rng.permutation(P)
    products.set_active(listed)
    U = rng.standard_normal((P, K, d)).astype(dtype)
    G, f = products.adjoint(v), products.active_forward(U)
    for threads in (2, 3, 7):
        assert products.adjoint(v, threads=threads).tobytes() == G.tobytes()
        some = products.adjoint_listed(v, listed, threads=threads)
        assert some.tobytes() == G[listed].tobytes()
        assert products.active_adjoint(v, threads=threads).tobytes() == some.tobytes()
        assert products.active_forward(U, threads=threads).tobytes() == f.tobytes()
    expected = sum(
        masks[i][:, None] * (X.astype(float) @ u.T) for i, u in zip(listed, U, strict=True)
    )
    np.testing.assert_allclose(f, expected, atol=(1e-11 if dtype == np.float64 else 1e-2))


def small(K: int | None = 3) -> tuple[Any, Real, Real]:
    """Products with four active patterns of 20, V and U."""
    rng = np.random.default_rng(0)
    X = np.asfortranarray(rng.standard_normal((70, 5)))
    products = prepared(X, pack((rng.random((20, 70)) < 0.5).astype(float)))
    products.set_active(np.array([7, 3, 19, 3]))
    V = np.asfortranarray(rng.standard_normal(70 if K is None else (70, K)))
    return products, V, rng.standard_normal((4, 5) if K is None else (4, K, 5))


@pytest.mark.parametrize("K", [None, 1, 3])
def test_results_go_where_they_are_asked_to(K: int | None) -> None:
    products, V, U = small(K)
    calls: list[tuple[Any, Any]] = [
        (products.adjoint, (V,)),
        (products.adjoint_listed, (V, np.array([1, 0]))),
        (products.active_adjoint, (V,)),
        (products.active_forward, (U,)),
    ]
    for product, arguments in calls:
        expected = product(*arguments)
        order: Literal["F", "C"] = "F" if product == products.active_forward else "C"
        out = np.full_like(expected, np.nan, order=order)
        assert product(*arguments, out=out) is out
        assert out.tobytes(order) == expected.tobytes(order)
        for wrong in (
            out.astype(np.float32, order=order),
            np.array([out]),
            out[:-1].copy(order),
            np.concatenate([out, out], axis=-1).copy(order),
            np.repeat(out, 2, axis=0)[::2],
            np.array(0.0),
            out.tolist(),
        ):
            with pytest.raises((TypeError, ValueError)):
                product(*arguments, out=wrong)
        out.flags.writeable = False
        with pytest.raises(ValueError, match="`out` must be writeable"):
            product(*arguments, out=out)


def test_the_shape_of_out_is_told() -> None:
    products, V, _ = small()
    with pytest.raises(ValueError, match=r"`out` must have the shape .* \(20, 3, 5\)"):
        products.adjoint(V, out=np.empty((20, 5)))


def test_no_pattern_is_active_at_first() -> None:
    products = prepared(np.asfortranarray(np.ones((3, 2))), pack(np.ones((4, 3))))
    assert products.active_adjoint(np.ones(3)).shape == (0, 2)
    np.testing.assert_array_equal(products.active_forward(np.empty((0, 2))), np.zeros(3))


def test_a_refused_list_leaves_the_active_patterns() -> None:
    products, V, _ = small()
    before = products.active_adjoint(V)
    with pytest.raises(ValueError, match="indices"):
        products.set_active(np.array([1, 20]))
    np.testing.assert_array_equal(products.active_adjoint(V), before)


def test_the_patterns_are_kept_and_x_is_copied() -> None:
    rng = np.random.default_rng(0)
    X, masks = np.asfortranarray(rng.standard_normal((5000, 3))), rng.random((200, 5000)) < 0.5
    products, v = prepared(X, pack(masks.astype(float))), np.ones(5000)
    expected = masks @ X
    X[:] = np.nan
    gc.collect()
    others = [pack(np.zeros((200, 5000))) for _ in range(5)]
    np.testing.assert_allclose(products.adjoint(v), expected, atol=1e-11)
    assert len(others) == 5


def test_active_patterns_do_not_change_under_a_product() -> None:
    rng = np.random.default_rng(0)
    X, v = np.asfortranarray(rng.standard_normal((2000, 16))), np.ones(2000)
    products = prepared(X, pack((rng.random((64, 2000)) < 0.5).astype(float)))
    lists = [rng.integers(0, 64, 20_000) for _ in range(2)]
    expected = [products.adjoint_listed(v, listed).tobytes() for listed in lists]
    products.set_active(lists[0])
    results: list[bytes] = []
    refused: list[str] = []

    def attempt(call: Callable[..., Any], *arguments: Any) -> None:
        try:
            call(*arguments)
        except RuntimeError as error:
            refused.append(str(error))

    def work() -> None:
        for _ in range(10):
            attempt(lambda: results.append(products.active_adjoint(v).tobytes()))

    worker = threading.Thread(target=work)
    worker.start()
    turn = 0
    while worker.is_alive():
        turn = 1 - turn
        attempt(products.set_active, lists[turn])
        time.sleep(0.001)
    worker.join()
    assert results
    assert set(results) <= set(expected)
    assert set(refused) == {"another thread uses or changes the active patterns"}
