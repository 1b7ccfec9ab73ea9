"""Local search over neurons against exhaustion."""

from __future__ import annotations

import time
from itertools import pairwise

import numpy as np
import pytest

from pyconvexnn import _core
from pyconvexnn._typing import FloatArray
from pyconvexnn.pricing.rows import SignedRows
from pyconvexnn.pricing.search import LocalMaxima, distinct, search, sum_of_positive
from tests.pricing.exhaustive import around_circle, over_cells, prices

SLOPES = [0.0, 0.1, -1.0]


def found(X: FloatArray, v: FloatArray, slope: float = 0.0, n_starts: int = 20) -> LocalMaxima:
    rows = SignedRows.of(X, v, slope)
    rng = np.random.default_rng(0)
    maxima = search(X, v, rows, slope=slope, n_starts=n_starts, rng=rng)
    expected = prices(X, v, maxima.neurons, slope)
    np.testing.assert_allclose(maxima.values, np.abs(expected), rtol=1e-11)
    np.testing.assert_array_equal(maxima.signs, np.sign(expected))
    np.testing.assert_allclose(np.linalg.norm(maxima.neurons, axis=1), 1.0, rtol=1e-14)
    assert np.all(np.diff(maxima.values) <= 0.0)
    return maxima


@pytest.mark.parametrize("slope", SLOPES)
def test_finds_the_largest_price_of_small_data(slope: float) -> None:
    rng = np.random.default_rng(1)
    hits = 0
    for _ in range(20):
        n, d = rng.integers(3, 11), rng.integers(1, 4)
        X, v = rng.standard_normal((n, d)), rng.standard_normal(n)
        exact, best = over_cells(X, v, slope), found(X, v, slope).values[0]
        assert best <= exact * (1 + 1e-12)
        hits += best >= exact * (1 - 1e-9)
    assert hits >= 19


@pytest.mark.parametrize("slope", SLOPES)
def test_degenerate_data_around_the_circle(slope: float) -> None:
    rng = np.random.default_rng(2)
    hits = 0
    for _ in range(40):
        n = rng.integers(1, 12)
        X = rng.integers(-2, 3, (n, 2)).astype(float)
        X[0] = [1.0, 2.0]
        v = rng.integers(-2, 3, n).astype(float)
        v[0] = 1.0
        exact = around_circle(X, v, slope)
        best = found(X, v, slope).values[0] if exact > 0 else 0.0
        assert best <= exact * (1 + 1e-12)
        hits += best >= exact * (1 - 1e-9)
    assert hits >= 39


def test_one_sign_and_one_row() -> None:
    X = np.array([[3.0, 4.0]])
    for v in (2.0, -2.0):
        maxima = found(X, np.array([v]))
        np.testing.assert_allclose(maxima.values, [10.0])
        np.testing.assert_allclose(maxima.neurons, [[0.6, 0.8]])
        assert maxima.signs[0] == np.sign(v)


def test_nothing_to_find() -> None:
    maxima = found(np.ones((4, 3)), np.zeros(4))
    assert maxima.neurons.shape == (0, 3)
    assert len(maxima.values) == len(maxima.signs) == 0


def test_rows_that_cancel() -> None:
    # relu(t) - relu(t) - relu(-t) + relu(-t) = 0.
    X = np.array([[1.0, 2.0], [1.0, 2.0]])
    maxima = found(X, np.array([1.0, -1.0]))
    assert np.max(maxima.values, initial=0.0) <= 1e-14


@pytest.mark.parametrize("power", [-60, 60])
def test_extreme_scales(power: int) -> None:
    rng = np.random.default_rng(4)
    X, v = rng.standard_normal((12, 3)), rng.standard_normal(12)
    plain = found(X, v)
    scaled = found(10.0**power * X, 10.0**power * v)
    assert scaled.values[0] == pytest.approx(100.0**power * plain.values[0], rel=1e-9)


def test_given_starts_count() -> None:
    rng = np.random.default_rng(5)
    X, v = rng.standard_normal((300, 6)), rng.standard_normal(300)
    rows = SignedRows.of(X, v)
    many = found(X, v, n_starts=200)
    starts = np.vstack([np.zeros(6), 7.0 * many.neurons[:1]])
    one = search(X, v, rows, starts=starts, n_starts=0, rng=np.random.default_rng(0))
    assert one.values[0] == pytest.approx(many.values[0], rel=1e-9)


def test_given_starts_are_climbed_from_on_their_own_side() -> None:
    rng = np.random.default_rng(8)
    X, v = rng.standard_normal((60, 5)), rng.standard_normal(60)
    rows = SignedRows.of(X, v)
    U = rng.standard_normal((30, 5))
    U /= np.linalg.norm(U, axis=1, keepdims=True)
    prices = np.maximum(X @ U.T, 0.0).T @ v
    assert len(set(np.sign(prices))) == 2
    for u, price in zip(U, prices, strict=True):
        one = search(X, v, rows, starts=u[np.newaxis], n_starts=0, rng=np.random.default_rng(0))
        assert np.max(np.sign(price) * one.signs * one.values) >= abs(price) * (1 - 1e-12)


def test_result_depends_on_the_seed_alone() -> None:
    rng = np.random.default_rng(6)
    X, v = rng.standard_normal((80, 7)), rng.standard_normal(80)
    rows = SignedRows.of(X, v)
    runs = [
        search(X, v, rows, n_starts=30, rng=np.random.default_rng(3), threads=threads)
        for threads in (1, 2, 3)
    ]
    for a, b in pairwise(runs):
        for x, y in zip(a, b, strict=True):
            np.testing.assert_array_equal(x, y)


def test_no_neuron_twice() -> None:
    rng = np.random.default_rng(7)
    X, v = rng.standard_normal((40, 4)), rng.standard_normal(40)
    U = found(X, v, n_starts=60).neurons
    again = distinct(X, v, np.concatenate([U, U[::-1] * (1 + 1e-12)]))
    assert len(again.neurons) == len(U)
    cosines = U @ U.T - np.eye(len(U))
    assert np.max(cosines) < 1.0 - 1e-9


def test_climbs_never_fall() -> None:
    rng = np.random.default_rng(8)
    for n_plus, n_minus, r in [(5, 5, 2), (30, 40, 5), (0, 10, 3), (10, 0, 3), (200, 100, 50)]:
        P = np.asfortranarray(rng.standard_normal((n_plus, r)))
        Q = np.asfortranarray(rng.standard_normal((n_minus, r)))
        starts = rng.standard_normal((10, r))
        U, values = _core.ascend(P, Q, starts)
        before = starts / np.linalg.norm(starts, axis=1, keepdims=True)
        scale = max(1.0, float(np.sum(np.abs(P)) + np.sum(np.abs(Q))))

        def F(W: FloatArray, P: FloatArray = P, Q: FloatArray = Q) -> FloatArray:  # noqa: N802
            return sum_of_positive(P, W) - sum_of_positive(Q, W)

        np.testing.assert_allclose(values, F(U), atol=1e-14 * scale)
        assert np.all(values >= F(before) - 1e-14 * scale)
        np.testing.assert_allclose(np.linalg.norm(U, axis=1), 1.0, rtol=1e-14)


def test_climbs_end_at_maxima_of_their_cell() -> None:
    """At the end u points from the nearest point of the zonotope to p_A, by SciPy."""
    from scipy.optimize import lsq_linear

    rng = np.random.default_rng(9)
    P = np.asfortranarray(rng.standard_normal((25, 4)))
    Q = np.asfortranarray(rng.standard_normal((20, 4)))
    U, values = _core.ascend(P, Q, rng.standard_normal((10, 4)))
    for u, value in zip(U, values, strict=True):
        p = P[P @ u > 0.0].sum(axis=0)
        nearest = Q.T @ lsq_linear(Q.T, p, (0.0, 1.0), tol=1e-14).x
        assert value == pytest.approx(np.linalg.norm(p - nearest), rel=1e-6)
        np.testing.assert_allclose(u, (p - nearest) / np.linalg.norm(p - nearest), atol=1e-4)


def test_nearest_in_zonotope() -> None:
    from scipy.optimize import lsq_linear

    rng = np.random.default_rng(10)
    for m, r in [(1, 1), (3, 2), (20, 5), (200, 8), (5, 12)]:
        Q = np.asfortranarray(rng.standard_normal((m, r)))
        p = 3.0 * rng.standard_normal(r) + 0.7 * Q.sum(axis=0)
        z, upper, lower = _core.nearest_in_zonotope(Q, p, tolerance=1e-12)
        exact = float(np.linalg.norm(p - Q.T @ lsq_linear(Q.T, p, (0.0, 1.0), tol=1e-14).x))
        assert upper == pytest.approx(np.linalg.norm(p - z), abs=1e-12)
        assert lower <= exact * (1 + 1e-9) + 1e-12
        assert upper == pytest.approx(exact, rel=1e-6, abs=1e-9)
        inside, zero, _ = _core.nearest_in_zonotope(Q, 0.5 * Q.sum(axis=0))
        assert zero <= 1e-5
        np.testing.assert_allclose(inside, 0.5 * Q.sum(axis=0), atol=1e-5)


def test_many_rows_are_climbed_over_a_part_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pyconvexnn.pricing.search._MANY", 2000)
    monkeypatch.setattr("pyconvexnn.pricing.search._SOME", 1000)
    rng = np.random.default_rng(11)
    X = rng.standard_normal((3000, 3))
    v = np.maximum(X @ [1.0, -2.0, 0.5], 0.0) - 0.3 + 0.1 * rng.standard_normal(3000)
    best = found(X, v, n_starts=4).values[0]
    around = rng.standard_normal((1000, 3))
    around /= np.linalg.norm(around, axis=1, keepdims=True)
    assert best >= np.max(np.abs(prices(X, v, around, 0.0)))


def test_time_limit() -> None:
    rng = np.random.default_rng(12)
    X, v = rng.standard_normal((4000, 30)), rng.standard_normal(4000)
    rows = SignedRows.of(X, v)
    begun = time.perf_counter()
    maxima = search(X, v, rows, n_starts=100, rng=rng, time_limit=0.05)
    assert time.perf_counter() - begun < 1.0
    assert len(maxima.values) > 0


@pytest.mark.parametrize(
    ("starts", "plus", "message"),
    [
        (np.ones((2, 0)), np.ones((3, 2), order="F"), "`starts` must have columns"),
        (np.ones((2, 3)), np.ones((3, 2), order="F"), "`plus` must have one column for each"),
    ],
)
def test_wrong_shapes(starts: FloatArray, plus: FloatArray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        _core.ascend(plus, np.ones((1, starts.shape[1]), order="F"), starts)
