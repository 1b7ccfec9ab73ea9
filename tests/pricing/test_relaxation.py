"""The relaxation is never below the largest price, and close to the semidefinite program."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from pyconvexnn._rounding import WrongProductError
from pyconvexnn._typing import FloatArray
from pyconvexnn.pricing.relaxation import _Quadratic, relaxation
from pyconvexnn.pricing.rows import SignedRows, norm_bound
from pyconvexnn.pricing.search import search
from tests.pricing.exhaustive import around_circle, over_cells


def bound(X: FloatArray, v: FloatArray, slope: float = 0.0, iterations: int = 60) -> float:
    rows = SignedRows.of(X, v, slope)
    return rows.bound(max(relaxation(rows, iterations=iterations)))


@pytest.mark.parametrize("slope", [0.0, 0.1, -1.0])
def test_never_below_the_largest_price(slope: float) -> None:
    rng = np.random.default_rng(0)
    for _ in range(6):
        n, d = rng.integers(2, 11), rng.integers(1, 4)
        X, v = rng.standard_normal((n, d)), rng.standard_normal(n)
        exact = over_cells(X, v, slope)
        for iterations in (0, 1, 60):
            assert bound(X, v, slope, iterations) >= exact * (1 - 1e-14)


@pytest.mark.parametrize("slope", [0.0, -1.0])
def test_never_below_on_degenerate_data(slope: float) -> None:
    rng = np.random.default_rng(1)
    for _ in range(8):
        n = rng.integers(1, 12)
        X = rng.integers(-2, 3, (n, 2)).astype(float)
        X[0] = [1.0, 2.0]
        v = rng.integers(-2, 3, n).astype(float)
        assert bound(X, v, slope, 20) >= around_circle(X, v, slope) * (1 - 1e-14)


def test_no_minus_rows_and_one_direction_are_exact() -> None:
    rng = np.random.default_rng(2)
    x = rng.random((10, 1))
    v = rng.random(10)
    assert bound(x, v) == pytest.approx(v @ x[:, 0], rel=1e-9)
    # All rows in one half space, all of one sign: the sum of all is attained.
    X = np.hstack([np.full((10, 1), 10.0), rng.standard_normal((10, 2))])
    assert bound(X, v) == pytest.approx(np.linalg.norm(X.T @ v), rel=1e-2)


@pytest.mark.parametrize("kind", ["plain", "wide", "many"])
def test_rounding_where_the_bound_is_the_price(kind: str) -> None:
    """Rows along one line, v > 0: the relaxation is exact, and must not be below by rounding."""
    rng = np.random.default_rng(7)
    for _ in range(12 if kind != "many" else 2):
        n = 3000 if kind == "many" else rng.integers(1, 8)
        a, v = rng.standard_normal(n), rng.random(n)
        a = np.round(a * 2.0**20) / 2.0**20  # so that 3 a and 4 a are exact
        if kind == "wide":
            v *= 10.0 ** rng.integers(-15, 1, n)
        exact = {1: Fraction(0), -1: Fraction(0)}
        for x, c in zip(a, v, strict=True):
            exact[1 if x > 0 else -1] += 5 * abs(Fraction(x)) * Fraction(c)
        price = max(exact.values())
        found = Fraction(bound(np.outer(a, [3.0, 4.0]), v))
        assert price <= found <= price * (1 + Fraction(1, 10**11))


def test_nothing_to_bound() -> None:
    assert bound(np.ones((3, 2)), np.zeros(3)) < 1e-130
    rows = SignedRows.of(np.ones((3, 2)), np.ones(3))
    above, below = relaxation(rows)
    assert above == pytest.approx(np.sum(rows.plus) if rows.plus[0, 0] > 0 else -np.sum(rows.plus))
    assert 0.0 <= below < 1e-130


@pytest.mark.parametrize("power", [-60, 60])
def test_extreme_scales(power: int) -> None:
    rng = np.random.default_rng(3)
    X, v = rng.standard_normal((12, 3)), rng.standard_normal(12)
    scaled = bound(10.0**power * X, 10.0**power * v)
    assert scaled == pytest.approx(100.0**power * bound(X, v), rel=1e-6)


def test_rows_of_all_scales_at_once() -> None:
    rng = np.random.default_rng(4)
    X = rng.standard_normal((20, 3)) * 10.0 ** rng.integers(-60, 61, (20, 1))
    v = rng.standard_normal(20) * 10.0 ** rng.integers(-100, 61, 20)
    rows = SignedRows.of(X, v)
    found = search(X, v, rows, rng=rng)
    assert rows.bound(max(relaxation(rows))) >= found.values[0] * (1 - 1e-13)


def test_a_bound_at_any_time() -> None:
    rng = np.random.default_rng(8)
    X, v = rng.standard_normal((2000, 10)), rng.standard_normal(2000)
    rows = SignedRows.of(X, v)
    none, some, all_of_it = (max(relaxation(rows, time_limit=t)) for t in (0.0, 0.02, None))
    assert none >= some >= all_of_it
    assert rows.bound(all_of_it) >= search(X, v, rows, n_starts=10, rng=rng).values[0]


def test_close_to_the_semidefinite_program() -> None:
    import cvxpy as cp

    rng = np.random.default_rng(5)
    X, v = rng.standard_normal((40, 4)), rng.standard_normal(40)
    rows = SignedRows.of(X, v)
    for side, ours in zip((rows, rows.swapped()), relaxation(rows), strict=True):
        Z = cp.Variable((5, 5), PSD=True)
        u, U = Z[0, 1:], Z[1:, 1:]
        squares = cp.sum(cp.multiply(side.plus @ U, side.plus), axis=1)
        value = 0.5 * np.sum(side.plus, axis=0) @ u + 0.5 * cp.sum(cp.sqrt(squares))
        value -= cp.sum(cp.pos(side.minus @ u))
        program = cp.Problem(cp.Maximize(value), [Z[0, 0] == 1, cp.trace(U) <= 1])
        program.solve(solver=cp.CLARABEL)
        assert program.value * (1 - 1e-6) <= ours <= program.value * 1.02


@pytest.mark.parametrize("shape", [(100, 4), (200, 10), (200, 30)])
def test_within_a_factor_of_what_search_finds(shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(6)
    X = rng.standard_normal(shape)
    teacher = np.maximum(X @ rng.standard_normal((shape[1], 3)), 0.0).sum(axis=1)
    v = teacher - np.mean(teacher)
    rows = SignedRows.of(X, v)
    best = search(X, v, rows, rng=rng).values[0]
    assert best * (1 - 1e-13) <= rows.bound(max(relaxation(rows))) <= 1.05 * best


@pytest.mark.parametrize("name", ["_matrix", "_rebuilt"])
def test_a_wrong_product_is_no_bound(name: str) -> None:
    rows = np.random.default_rng(0).standard_normal((9, 4))
    quadratic = _Quadratic(rows, np.ones(9))
    quadratic.check()
    getattr(quadratic, name)[1, 2] *= 1.000001
    with pytest.raises(WrongProductError):
        quadratic.check()


def test_what_the_bound_rests_on_is_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    fit = _Quadratic.fit

    def spoil(self: _Quadratic, g: FloatArray) -> None:
        self._matrix[0, 0] *= 1.000001
        fit(self, g)

    monkeypatch.setattr(_Quadratic, "fit", spoil)
    rng = np.random.default_rng(0)
    with pytest.raises(WrongProductError):
        bound(rng.standard_normal((12, 3)), rng.standard_normal(12))


def test_wrong_products_of_axes_are_seen() -> None:
    class Wrong(np.ndarray[tuple[int, int], np.dtype[np.float64]]):
        def __matmul__(self, other: object) -> FloatArray:  # type: ignore[override]
            product = np.asarray(self) @ np.asarray(other)
            product[0, 0] += 1e-6
            return np.asarray(product)

    with pytest.raises(WrongProductError):
        norm_bound(np.eye(4, 2).view(Wrong))
