"""Prices of several outputs from those of columns, against neurons, and in exact arithmetic."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from pyconvexnn._typing import FloatArray
from pyconvexnn.pricing import price
from pyconvexnn.pricing.columns import Columns, columns, found_prices, price_bound, rotation


def orthogonal(K: int, seed: int) -> FloatArray:
    return np.asarray(np.linalg.qr(np.random.default_rng(seed).standard_normal((K, K)))[0])


@pytest.mark.parametrize("slope", [0.0, 0.3, -1.0])
@pytest.mark.parametrize("K", [1, 2, 5])
def test_no_neuron_has_a_larger_price(K: int, slope: float) -> None:
    rng = np.random.default_rng(K)
    X, V = rng.standard_normal((25, 3)), rng.standard_normal((25, K))
    U = rng.standard_normal((3000, 3))
    U /= np.linalg.norm(U, axis=1, keepdims=True)
    Z = X @ U.T
    vectors = V.T @ np.where(Z > 0, Z, slope * Z)
    found, lengths = found_prices(X, V, U, slope)
    np.testing.assert_allclose(found, vectors.T, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(lengths, np.linalg.norm(vectors, axis=0), rtol=1e-12)
    for seed in range(4):
        turned = columns(V, np.eye(K) if seed == 0 else orthogonal(K, seed))
        bounds = [price(X, z, slope=slope).bound for z in turned.turned.T]
        M = price_bound(X, V, turned, bounds)
        assert lengths.max() <= M <= np.linalg.norm(bounds) * (1 + 1e-9)
        if K == 1:
            assert pytest.approx(lengths.max(), rel=5e-2) == M


def test_what_is_no_combination_of_the_columns_is_priced_by_rows() -> None:
    rng = np.random.default_rng(0)
    X, Z, Q = rng.standard_normal((9, 2)), rng.standard_normal((9, 3)), orthogonal(3, 1)
    t = [0.5, 0.0, 2.0]
    bounds = [price(X, z).bound for z in Z.T]
    V = (Z * t) @ Q.T
    exact = price_bound(X, V, Columns(Z, Q), bounds, t)
    assert exact == pytest.approx(np.linalg.norm(np.multiply(t, bounds)), rel=1e-12)
    off = 1e-3 * rng.standard_normal((9, 3))
    more = price_bound(X, V + off, Columns(Z, Q), bounds, t)
    rows = np.linalg.norm(np.linalg.norm(X, axis=1) @ np.abs(off))
    assert more == pytest.approx(exact + rows, rel=1e-12)
    assert price_bound(X, V, Columns(Z, Q), [1.0, np.inf, 1.0]) == np.inf


def test_rounding_is_on_the_safe_side() -> None:
    """One row, one feature: the price is ``x ||V||``, known exactly."""
    for seed in range(300):
        rng = np.random.default_rng(seed)
        K = int(rng.integers(1, 5))
        X, V = (
            rng.uniform(0.1, 3, (1, 1)),
            rng.standard_normal((1, K)) * 10.0 ** rng.integers(-8, 8),
        )
        turned = columns(V, orthogonal(K, seed))
        # Prices of the columns, rounded up by no more than one place.
        bounds = [float(np.nextafter(X[0, 0] * abs(z), np.inf)) for z in turned.turned[0]]
        M = price_bound(X, V, turned, bounds)
        squares = sum(Fraction(v) ** 2 for v in V[0].tolist())
        assert Fraction(M) ** 2 >= Fraction(X[0, 0].item()) ** 2 * squares
        assert X[0, 0] * np.linalg.norm(V) * (1 + 1e-13) >= M


@pytest.mark.parametrize("K", [1, 2, 3, 7])
def test_rotations_are_orthogonal_and_better_than_none(K: int) -> None:
    for seed in range(5):
        rng = np.random.default_rng(seed)
        A = rng.standard_normal((30, K)) * rng.exponential(size=(30, 1))
        Q = rotation(A, rng)
        np.testing.assert_allclose(Q.T @ Q, np.eye(K), atol=1e-13)
        value = np.linalg.norm(np.sum(np.abs(A @ Q), axis=0))
        assert value >= np.linalg.norm(np.sum(np.abs(A), axis=0)) * (1 - 1e-12)
        assert value <= np.sum(np.linalg.norm(A, axis=1)) * (1 + 1e-12)
    assert np.array_equal(rotation(np.zeros((0, K)), rng), np.eye(K))


def test_a_rotation_that_loses_nothing_is_found() -> None:
    Q = orthogonal(4, 0)
    rng = np.random.default_rng(0)
    signs = rng.choice([-1.0, 1.0], (20, 4)) * np.array([0.3, 0.4, 0.5, 0.7])
    A = (signs * rng.uniform(0.1, 2.0, (20, 1))) @ Q.T
    found = np.linalg.norm(np.sum(np.abs(A @ rotation(A, rng)), axis=0))
    assert found >= np.sum(np.linalg.norm(A, axis=1)) * (1 - 1e-6)
