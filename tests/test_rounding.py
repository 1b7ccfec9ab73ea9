"""Sums rounded once and bounds on rounding, against exact rationals."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pyconvexnn import _rounding
from pyconvexnn._rounding import (
    UNIT,
    WrongProductError,
    balanced,
    check_same,
    dot_below,
    down,
    exact_dot,
    float_below,
    freivalds,
    growth,
    products_in_order,
    squares_above,
    two_products,
    underflow,
    up,
)
from pyconvexnn._typing import FloatArray

NUMBER = st.floats(-1e140, 1e140)
SIZE = st.floats(1e-100, 1e100)


def vectors(*elements: Any) -> Any:
    """Lists of tuples of these elements, which become columns."""
    return st.lists(st.tuples(*elements), min_size=1, max_size=8)


def columns(pairs: Sequence[tuple[float, ...]]) -> list[FloatArray]:
    return [np.array(column) for column in zip(*pairs, strict=True)]


def exact(x: FloatArray) -> list[Fraction]:
    return [Fraction(a) for a in x.tolist()]


@given(x=st.floats(-1e308, 1e308))
def test_up_and_down_are_two_steps(x: float) -> None:
    assert down(x) < math.nextafter(x, -math.inf) < x < math.nextafter(x, math.inf) < up(x)
    assert down(x) == -up(-x)
    assert math.nextafter(math.nextafter(up(x), -math.inf), -math.inf) == x


@given(pairs=vectors(NUMBER, NUMBER))
@example(pairs=[(1e100, 1e100), (1e-100, 1e-100), (-1e100, 1e100)])
@example(pairs=[(1.0, 1.0), (-1.0, 1.0), (2.0**-700, 2.0**-300)])
@example(pairs=[(1.0 + 2.0**-52, 1.0 - 2.0**-52), (-1.0, 1.0)])
@example(pairs=[(0.0, 5.0)])
@settings(deadline=None)
def test_exact_dot_rounds_once(pairs: list[tuple[float, float]]) -> None:
    x, y = columns(pairs)
    true = sum((a * b for a, b in zip(exact(x), exact(y), strict=True)), Fraction(0))
    assert exact_dot(x, y) == float(true)
    assert dot_below(x, y) <= true
    assert true - dot_below(x, y) <= abs(true) * Fraction(1, 2**50) + Fraction(1, 2**1072)


def test_exact_dot_where_plain_sums_fail() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((2, 1000))
    x = np.concatenate([x, -x, [1e-30]])
    y = np.concatenate([y, y, [1.0]])
    assert exact_dot(x, y) == 1e-30
    assert exact_dot(np.empty(0), np.empty(0)) == 0.0
    assert exact_dot(np.array([1e-200]), np.array([1e-200])) == 0.0  # the nearest there is
    with pytest.raises(OverflowError):
        exact_dot(np.array([1e200]), np.array([1e200]))


@given(pairs=vectors(st.floats(0.5, 1), st.floats(0.5, 1)))
@settings(deadline=None)
def test_two_products_are_exact(pairs: list[tuple[float, float]]) -> None:
    x, y = columns(pairs)
    high, low = two_products(x, y)
    for a, b, h, low_part in zip(exact(x), exact(y), exact(high), exact(low), strict=True):
        assert h + low_part == a * b
    np.testing.assert_array_equal(high, x * y)


@given(pairs=vectors(NUMBER, SIZE))
@settings(deadline=None)
def test_squares_are_bounded_from_above(pairs: list[tuple[float, float]]) -> None:
    v, w = columns(pairs)
    for weights in (w, np.ones(len(v))):
        true = sum(a * a / b for a, b in zip(exact(v), exact(weights), strict=True))
        bound = squares_above(v, weights)
        assert bound >= true
        assert bound - true <= true * Fraction(1, 2**49) + Fraction(1, 2**1000)


@given(q=st.fractions())
@example(q=Fraction(10**400))
@example(q=-Fraction(10**400))
@example(q=Fraction(1, 3))
@example(q=-Fraction(1, 10**400))
def test_float_below(q: Fraction) -> None:
    found = float_below(q)
    if math.isinf(found):
        assert q < -Fraction(math.nextafter(math.inf, 0.0))
    else:
        assert Fraction(found) <= q
        above = math.nextafter(found, math.inf)
        assert math.isinf(above) or Fraction(above) > q


@given(pairs=vectors(*[st.floats(0, 1e200)] * 4))
@example(pairs=[(1 + 2**-52, 1 - 2**-52, 1.0, 1.0), (1.0, 1.0, 1 + 2**-52, 1 - 2**-52)])
@example(pairs=[(0.0, 5.0, 0.0, 1.0), (1e-200, 1e-200, 0.0, 7.0), (0.0, 7.0, 1e-200, 1e-200)])
@example(pairs=[(1.1, 1.3, 1.3, 1.1)])
@settings(deadline=None)
def test_products_in_order(pairs: list[tuple[float, float, float, float]]) -> None:
    a, b, c, d = columns(pairs)
    expected = [
        p * q <= r * s for p, q, r, s in zip(*(exact(x) for x in (a, b, c, d)), strict=True)
    ]
    assert products_in_order(a, b, c, d).tolist() == expected
    assert products_in_order(1.0, b, 1.0, d).tolist() == (b <= d).tolist()


def test_growth_bounds_what_roundings_do() -> None:
    u = Fraction(UNIT)
    for k in (1, 10, 1000, 1 << 40):
        assert Fraction(growth(k)) >= k * u / (1 - k * u)
        assert growth(k) <= 1.01 * k * UNIT
    rng = np.random.default_rng(1)
    x = rng.uniform(0.5, 1, 5000)
    product, true = 1.0, Fraction(1)
    for a in x[:200].tolist():
        product, true = product * a * 2, true * Fraction(a) * 2
    assert abs(Fraction(product) - true) <= Fraction(growth(200)) * true


def test_inflation_is_one_constant(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_rounding, "INFLATION", 0.0)
    v = np.array([0.1, 0.3])
    assert growth(100) == underflow(100) == 0.0
    assert squares_above(v, np.ones(2)) == Fraction(exact_dot(v, v))
    assert dot_below(v, v) == Fraction(exact_dot(v, v))


# --- products -----------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("n", "d", "m"), [(1, 1, 1), (50, 7, 30), (300, 100, 200)])
def test_freivalds_passes_what_is_right_and_sees_what_is_not(
    n: int, d: int, m: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    A, B = rng.standard_normal((n, d)) * np.logspace(-5, 5, d), rng.standard_normal((d, m))
    C = A @ B
    freivalds(A, B, C)
    freivalds(np.asfortranarray(A), B, np.asfortranarray(C))
    for size in (1e-9, 1.0, np.nan, np.inf):
        wrong = C.copy()
        wrong[n // 2, m // 2] += size * np.abs(A).max() * d * m
        with pytest.raises(WrongProductError, match="computed wrongly"):
            freivalds(A, B, wrong)


def test_freivalds_of_nothing_and_of_zeros() -> None:
    freivalds(np.zeros((3, 2)), np.zeros((2, 4)), np.zeros((3, 4)))
    freivalds(np.ones((3, 2)), np.empty((2, 0)), np.empty((3, 0)))
    with pytest.raises(WrongProductError):
        freivalds(np.zeros((3, 2)), np.zeros((2, 4)), np.full((3, 4), 1e-300))


def test_check_same_does_not_depend_on_the_inflation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_rounding, "INFLATION", 0.0)
    one = np.ones(1)
    check_same(one, one * (1 + 1e-15), one, 10)
    with pytest.raises(WrongProductError):
        check_same(one, one * (1 + 1e-13), one, 10)


# --- dual points that sum to zero ---------------------------------------------------------------


@given(v=st.lists(st.floats(-1e100, 1e100), min_size=1, max_size=9))
@example(v=[1.0, -1.0])
@example(v=[1e-300, 1e100, -1e100])
@example(v=[3.0, -1e-5, -1e-5, -1e-5])
@example(v=[5e-324, -5e-324, 1e-320])
@example(v=[1.0, 1.0, 1.0, -5e-324, -5e-324])
@settings(deadline=None)
def test_balanced_sums_to_zero_and_only_shrinks(v: list[float]) -> None:
    given_v = np.array(v)
    found = balanced(given_v)
    assert sum(exact(found)) == 0
    assert math.fsum(found.tolist()) == 0.0
    assert (np.abs(found) <= np.abs(given_v)).all()
    assert (found * np.sign(given_v) >= 0).all()


def test_balanced_changes_little() -> None:
    rng = np.random.default_rng(2)
    v = rng.standard_normal(5000)
    v -= v.mean()
    found = balanced(v)
    assert np.abs(found - v).max() <= 4e-15
    assert sum(exact(found)) == 0
    exactly = np.array([0.25, -0.75, 0.5])
    np.testing.assert_array_equal(balanced(exactly), exactly)
    np.testing.assert_array_equal(balanced(np.array([1.0, 2.0])), [0.0, 0.0])
