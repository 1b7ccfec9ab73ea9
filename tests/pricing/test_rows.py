"""Signed rows against the definition of the price, and their error in exact arithmetic."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest

from pyconvexnn._typing import FloatArray
from pyconvexnn.pricing.rows import SignedRows, norm_bound
from pyconvexnn.pricing.search import sum_of_positive
from tests.pricing.exhaustive import prices

SLOPES = [0.0, 0.01, 0.3, -1.0]


def value(rows: SignedRows, U: FloatArray) -> FloatArray:
    """F of the neurons U, in original units."""
    W = U @ rows.basis
    return np.asarray(
        np.ldexp(sum_of_positive(rows.plus, W) - sum_of_positive(rows.minus, W), rows.exponent)
    )


@pytest.mark.parametrize("slope", SLOPES)
@pytest.mark.parametrize("shape", [(1, 1), (7, 3), (40, 5), (3, 8)])
def test_price_is_the_difference_of_positive_parts(shape: tuple[int, int], slope: float) -> None:
    rng = np.random.default_rng(sum(shape))
    X, v = rng.standard_normal(shape), rng.standard_normal(shape[0])
    U = rng.standard_normal((50, shape[1]))
    expected = prices(X, v, U, slope)
    rows = SignedRows.of(X, v, slope)
    scale = np.abs(v) @ np.abs(X @ U.T)
    np.testing.assert_allclose(value(rows, U), expected, atol=1e-14 * np.max(scale))
    np.testing.assert_allclose(value(rows.swapped(), U), -expected, atol=1e-14 * np.max(scale))
    np.testing.assert_allclose(value(SignedRows.of(X, -v, slope), U), -expected, atol=1e-12)
    assert rows.rank == min(shape)
    assert rows.plus.flags.f_contiguous
    assert rows.minus.flags.f_contiguous


def exact_error(X: FloatArray, v: FloatArray, slope: float, rows: SignedRows) -> float:
    """Sum of the distances between exact rows and V times the stored ones, in units of those."""
    unit = Fraction(2) ** -rows.exponent

    def listed(matrix: FloatArray) -> list[list[Fraction]]:
        return [[Fraction(float(x)) for x in row] for row in matrix]

    exact: dict[str, list[list[Fraction]]] = {"plus": [], "minus": []}
    for factor in (Fraction(1), -abs(Fraction(slope))):
        for x, c in zip(listed(X), map(Fraction, v), strict=True):
            # slope c t for t < 0 is -(slope c) (-t)_+.
            positive = c > 0 if factor > 0 else c * Fraction(slope) < 0
            row = [factor * abs(c) * unit * t for t in x]
            if any(row):
                exact["plus" if positive else "minus"].append(row)

    basis, total = listed(rows.basis), 0.0
    for side, matrix in (("plus", rows.plus), ("minus", rows.minus)):
        for row, stored in zip(exact[side], listed(matrix), strict=True):
            turned = [sum(map(Fraction.__mul__, b, stored), Fraction(0)) for b in basis]
            square = sum(((a - b) ** 2 for a, b in zip(row, turned, strict=True)), Fraction(0))
            total += math.sqrt(square)
    return total


@pytest.mark.parametrize("slope", SLOPES)
@pytest.mark.parametrize("kind", ["plain", "offset", "columns", "cancelling", "deficient", "small"])
def test_error_covers_the_exact_one(kind: str, slope: float) -> None:
    rng = np.random.default_rng(3)
    X, v = rng.standard_normal((9, 4)), rng.standard_normal(9)
    if kind == "offset":
        X += 1e6
    elif kind == "columns":
        X *= 10.0 ** np.array([-8, 0, 3, 8])
    elif kind == "cancelling":
        X[5:] = X[:4] * (1 + 1e-12)
    elif kind == "deficient":
        X = rng.standard_normal((9, 2)) @ rng.standard_normal((2, 4))
    elif kind == "small":
        v *= 10.0 ** rng.uniform(-40, 0, 9)
    rows = SignedRows.of(X, v, slope)
    error = exact_error(X, v, slope, rows)
    assert 0.0 < error <= rows.error
    # And is no idle bound: thousands of roundings at most.
    size = sum(float(np.sum(np.linalg.norm(side, axis=1))) for side in (rows.plus, rows.minus))
    assert rows.error <= 1e-13 * size


@pytest.mark.parametrize("exponents", [(-60, -60), (60, 60), (-60, 60), (150, 100), (-300, 0)])
def test_any_scale_gives_the_same_rows(exponents: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    X, v = rng.standard_normal((12, 3)), rng.standard_normal(12)
    powers = [int(e * math.log2(10)) for e in exponents]
    plain = SignedRows.of(X, v, -1.0)
    scaled = SignedRows.of(np.ldexp(X, powers[0]), np.ldexp(v, powers[1]), -1.0)
    np.testing.assert_array_equal(scaled.plus, plain.plus)
    np.testing.assert_array_equal(scaled.minus, plain.minus)
    assert scaled.error == plain.error
    assert scaled.exponent - plain.exponent == sum(powers)
    assert scaled.bound(1.0) == math.ldexp(plain.bound(1.0), sum(powers))


def test_rows_of_all_scales_at_once() -> None:
    rng = np.random.default_rng(1)
    X = rng.standard_normal((20, 3)) * 10.0 ** rng.integers(-60, 61, (20, 1))
    v = rng.standard_normal(20) * 10.0 ** rng.integers(-60, 61, 20)
    rows = SignedRows.of(X, v)
    assert np.max(np.abs(rows.plus), initial=0.0) <= 2.0
    U = rng.standard_normal((30, 3))
    U /= np.linalg.norm(U, axis=1, keepdims=True)
    difference = np.max(np.abs(value(rows, U) - prices(X, v, U, 0.0)))
    assert difference <= 1e-14 * np.sum(np.abs(v) * np.linalg.norm(X, axis=1))


@pytest.mark.parametrize(
    ("X", "v"),
    [
        (np.ones((3, 2)), np.zeros(3)),
        (np.zeros((3, 2)), np.ones(3)),
        (np.array([[1.0, 2.0], [0.0, 0.0]]), np.array([0.0, 1.0])),
    ],
)
def test_nothing_to_price(X: FloatArray, v: FloatArray) -> None:
    rows = SignedRows.of(X, v, 0.1)
    assert (rows.rank, rows.plus.shape, rows.minus.shape) == (0, (0, 0), (0, 0))
    assert rows.basis.shape == (2, 0)
    assert 0.0 <= rows.bound(0.0) < 1e-140


def test_columns_fall_and_null_directions_go() -> None:
    rng = np.random.default_rng(2)
    Z = rng.standard_normal((50, 3)) * [1.0, 30.0, 5.0]
    X = Z @ np.linalg.qr(rng.standard_normal((6, 3)))[0].T
    rows = SignedRows.of(X, rng.choice([-1.0, 1.0], 50))
    assert rows.rank == 3
    everything = np.vstack([rows.plus, rows.minus])
    sizes = np.linalg.norm(everything, axis=0)
    assert np.all(np.diff(sizes) < 0.0)
    gram = everything.T @ everything
    np.testing.assert_allclose(gram, np.diag(np.diag(gram)), atol=1e-11 * gram[0, 0])


def test_zero_rows_leave_and_repeated_ones_become_one() -> None:
    X = np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 0.0], [0.0, 2.0]])
    rows = SignedRows.of(X, np.array([1.0, 1.0, 5.0, -1.0]))
    assert (len(rows.plus), len(rows.minus)) == (1, 1)
    cancelled = SignedRows.of(X, np.array([1.0, -1.0, 5.0, -1.0]))
    assert (len(cancelled.plus), len(cancelled.minus)) == (0, 1)


@pytest.mark.parametrize("slope", SLOPES)
@pytest.mark.parametrize("scale", [1e-100, 1.0, 1e100])
def test_repeated_rows_have_the_sum_of_their_weights(slope: float, scale: float) -> None:
    rng = np.random.default_rng(5)
    X: FloatArray = rng.integers(-1, 2, (60, 3)).astype(np.float64) * scale
    v = rng.standard_normal(60) * 10.0 ** rng.uniform(-9, 0, 60)
    U = rng.standard_normal((50, 3))
    rows = SignedRows.of(X, v, slope)
    assert len(rows.plus) + len(rows.minus) <= 26 * (1 + (slope != 0.0))
    atol = 1e-13 * scale * float(np.sum(np.abs(v)))
    np.testing.assert_allclose(value(rows, U), prices(X, v, U, slope), atol=atol)
    first, number = np.unique(X, axis=0, return_inverse=True)
    whole = np.array([sum(map(Fraction, v[number.ravel() == k])) for k in range(len(first))])
    exact = np.array([float(w) for w in whole])
    error = sum(abs(float(w - Fraction(x))) for w, x in zip(whole, exact, strict=True))
    assert np.ldexp(rows.error, rows.exponent) >= error * scale


def test_weights_too_large_to_be_added_stay_apart() -> None:
    rows = SignedRows.of(np.ones((3, 1)), np.array([1e308, 1e308, 1e308]))
    assert len(rows.plus) == 3


def test_bound_is_not_below_what_it_bounds() -> None:
    rows = SignedRows.of(np.array([[3.0]]), np.array([0.1]))
    most = float(np.sum(np.abs(rows.plus)))
    assert Fraction(rows.bound(most)) >= 3 * Fraction(0.1)
    assert rows.bound(most) <= 0.3 * (1 + 1e-13)
    assert rows.bound(-1.0) <= 1e-15


def test_neurons_have_length_one() -> None:
    rng = np.random.default_rng(0)
    rows = SignedRows.of(rng.standard_normal((10, 4)), rng.standard_normal(10))
    W = rng.standard_normal((5, 4))
    U = rows.neurons(W)
    np.testing.assert_allclose(np.linalg.norm(U, axis=1), 1.0, rtol=1e-15)
    np.testing.assert_allclose(U @ rows.basis, W / np.linalg.norm(W, axis=1, keepdims=True))


def test_norm_bound() -> None:
    rng = np.random.default_rng(0)
    V = np.linalg.qr(rng.standard_normal((20, 7)))[0]
    assert 1.0 <= norm_bound(V) <= 1.0 + 1e-13
    for scale in (1.001, 1.1):
        assert np.linalg.norm(scale * V, 2) <= norm_bound(scale * V)


@pytest.mark.parametrize("columns", ["full rank", "copies", "graded", "zero"])
def test_axes_of_large_data_come_from_products(columns: str) -> None:
    rng = np.random.default_rng(5)
    X, rank = rng.standard_normal((4000, 24)), 24
    if columns == "copies":
        X[:, 12:], rank = X[:, :12] @ rng.standard_normal((12, 12)), 12
    if columns == "zero":
        X[:, ::4], rank = 0.0, 18
    if columns == "graded":
        X *= 10.0 ** -np.linspace(0.0, 11.0, 24)
    v = rng.standard_normal(4000)
    rows = SignedRows.of(X, v)
    assert rows.rank == rank
    np.testing.assert_allclose(rows.basis.T @ rows.basis, np.eye(rank), atol=1e-13)
    total = np.sum(np.abs(v) * np.linalg.norm(X, axis=1))
    assert np.ldexp(rows.error, rows.exponent) <= 1e-11 * total
    lengths = np.linalg.norm(np.concatenate([rows.plus, rows.minus]), axis=0)
    assert np.all(lengths[1:] <= 1.01 * lengths[:-1])
    U = rng.standard_normal((20, 24))
    expected = np.where(X @ U.T > 0.0, X @ U.T, 0.0).T @ v
    np.testing.assert_allclose(value(rows, U), expected, atol=1e-11 * total)


def test_rows_in_a_basis_and_as_they_are() -> None:
    rng = np.random.default_rng(6)
    basis = np.linalg.qr(rng.standard_normal((9, 4)))[0]
    X, v = rng.standard_normal((30, 4)) @ basis.T, rng.standard_normal(30)
    U = rng.standard_normal((10, 9))
    expected = value(SignedRows.of(X, v), U)
    inside = SignedRows.of(X, v, basis=basis)
    assert inside.basis is basis
    np.testing.assert_allclose(value(inside, U), expected, atol=1e-12)
    plain = SignedRows.of(X, v, turn=False)
    np.testing.assert_array_equal(plain.basis, np.eye(9))
    assert plain.growth == 1.0
    np.testing.assert_allclose(value(plain, U), expected, atol=1e-12)
    # A basis that does not span the rows costs what is missed.
    missed = np.linalg.norm(X - X @ basis[:, :2] @ basis[:, :2].T, axis=1) @ np.abs(v)
    poor = SignedRows.of(X, v, basis=np.ascontiguousarray(basis[:, :2]))
    assert np.ldexp(poor.error, poor.exponent) >= missed
    assert SignedRows.of(X, np.zeros(30), turn=False).rank == 0
