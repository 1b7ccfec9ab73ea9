"""Prices by enumeration: against least squares in every cell, and in exact arithmetic."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from scipy.optimize import nnls

import pyconvexnn as cx
from pyconvexnn import _core, _rounding
from pyconvexnn._rounding import WrongProductError, down
from pyconvexnn._typing import FloatArray
from pyconvexnn.certificates import lower_bound
from pyconvexnn.losses import Squared
from pyconvexnn.pricing import cells
from pyconvexnn.pricing.cells import price_cells
from pyconvexnn.solvers import Status
from tests.exact_prices import largest_price_squared
from tests.small_data import gaussian, left_open

KINDS = ["plain", "far from zero", "columns of all sizes", "large targets", "cancelling"]
SLOPES = [0.0, 0.3, -1.0]


def reference(X: FloatArray, v: FloatArray, slope: float) -> float:
    """Largest price of all cells, by non-negative least squares."""
    best = 0.0
    for mask in cx.enumerate_patterns(X).to_dense():
        S, g = np.where(mask, 1.0, -1.0)[:, np.newaxis] * X, X.T @ (np.where(mask, 1.0, slope) * v)
        best = max(best, nnls(S.T, -g)[1], nnls(S.T, g)[1])
    return best


def value(X: FloatArray, v: FloatArray, slope: float, u: FloatArray) -> float:
    z = X @ u
    return float(v @ np.where(z > 0, z, slope * z))


@pytest.mark.parametrize("slope", SLOPES)
@pytest.mark.parametrize(
    ("n", "d"), [(1, 1), (1, 3), (4, 1), (2, 4), (9, 2), (10, 3), (9, 4), (12, 3)]
)
def test_the_price_is_that_of_the_best_cell(n: int, d: int, slope: float) -> None:
    rng = np.random.default_rng(n + 10 * d)
    X, v = rng.standard_normal((n, d)), rng.standard_normal(n)
    expected = reference(X, v, slope)
    found = price_cells(X, v, slope=slope)
    assert found.bound == pytest.approx(expected, rel=1e-11)
    assert found.value == pytest.approx(expected, rel=1e-11)
    assert found.value <= found.bound
    assert 0.0 < found.rounding <= 1e-11 * found.bound
    assert found.status is Status.SOLVED
    assert found.n_cells == cx.count_patterns(X)
    np.testing.assert_allclose(np.linalg.norm(found.neurons, axis=1), 1.0, rtol=1e-14)
    values = [value(X, v, slope, u) for u in found.neurons]
    assert (np.diff(np.abs(values)) <= 1e-14).all()
    np.testing.assert_array_equal(np.sign(values), found.signs)
    assert abs(values[0]) == pytest.approx(found.value, rel=1e-14)


@pytest.mark.parametrize("slope", SLOPES)
def test_prices_below_the_floor_are_not_looked_for(slope: float) -> None:
    rng = np.random.default_rng(3)
    X, v = rng.standard_normal((14, 3)), rng.standard_normal(14)
    plain = price_cells(X, v, slope=slope)
    for part in (0.3, 0.999):
        found = price_cells(X, v, slope=slope, floor=part * plain.bound)
        assert found.bound == pytest.approx(plain.bound, rel=1e-12)
        assert found.value == pytest.approx(plain.value, rel=1e-12)
    above = price_cells(X, v, slope=slope, floor=1.001 * plain.bound)
    assert (above.bound, above.value, above.rounding) == (1.001 * plain.bound, 0.0, 0.0)
    assert above.neurons.shape == (0, 3)


def test_rows_without_weight_play_no_part() -> None:
    rng = np.random.default_rng(4)
    X, v = rng.standard_normal((12, 3)), rng.standard_normal(12)
    X[3], v[5:8] = 0.0, 0.0
    kept = [k for k in range(12) if k != 3 and not 5 <= k < 8]
    found, fewer = price_cells(X, v), price_cells(X[kept], v[kept])
    assert (found.bound, found.n_cells) == (fewer.bound, fewer.n_cells)
    for nothing in (price_cells(X, 0 * v), price_cells(0 * X + (X == 9), v, floor=2.0)):
        assert nothing.n_cells == len(nothing.neurons) == nothing.value == 0
    assert nothing.bound == 2.0


@pytest.mark.parametrize("kind", ["duplicates", "opposite", "integers", "fewer rows than columns"])
def test_degenerate_data(kind: str) -> None:
    rng = np.random.default_rng(5)
    X, v = rng.standard_normal((9, 3)), rng.standard_normal(9)
    if kind == "integers":
        X = rng.integers(-1, 2, (9, 3)).astype(float)
    elif kind == "fewer rows than columns":
        X, v = rng.standard_normal((4, 6)), v[:4]
    else:
        X[5:] = X[:4] * (1 if kind == "duplicates" else -2)
    for slope in SLOPES:
        found = price_cells(X, v, slope=slope)
        assert found.bound == pytest.approx(reference(X, v, slope), rel=1e-11)


def test_rows_that_are_left_open_are_named() -> None:
    with pytest.raises(ValueError, match="may; round them"):
        price_cells(left_open(12), np.ones(25))


@pytest.mark.parametrize("block", [2, 7])
def test_blocks_and_threads_change_nothing_but_rounding(
    block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(7)
    X, v = rng.standard_normal((20, 3)), rng.standard_normal(20)
    whole = price_cells(X, v)
    monkeypatch.setattr(cells, "_BLOCK", block)
    monkeypatch.setattr(cells, "_FIRST", 1)
    monkeypatch.setattr(cells, "_KEPT", 3)
    found = price_cells(X, v, threads=2)
    assert found.bound == pytest.approx(whole.bound, rel=1e-13)
    assert found.value == pytest.approx(whole.value, rel=1e-13)
    np.testing.assert_allclose(found.neurons[0], whole.neurons[0], rtol=1e-9)


def test_any_scale() -> None:
    rng = np.random.default_rng(8)
    X, v = rng.standard_normal((10, 3)), rng.standard_normal(10)
    plain = price_cells(X, v)
    for exponent in (-150, 150):
        assert price_cells(X, np.ldexp(v, exponent)).bound == math.ldexp(plain.bound, exponent)
        assert price_cells(np.ldexp(X, exponent), v).bound == pytest.approx(
            math.ldexp(plain.bound, exponent), rel=1e-14
        )


def test_a_stop_proves_nothing_and_keeps_what_was_found() -> None:
    rng = np.random.default_rng(9)
    X, v = rng.standard_normal((80, 3)), rng.standard_normal(80)
    whole, seen = price_cells(X, v), []

    def stop(n_cells: int, bound: float, found: float) -> Status | None:
        seen.append((n_cells, bound, found))
        return Status.TIME_LIMIT if len(seen) == 1 else None

    found = price_cells(X, v, stop=stop)
    assert found.status is Status.TIME_LIMIT
    assert found.bound == math.inf
    assert 0.0 < found.value <= whole.value * (1 + 1e-12)
    assert found.n_cells < whole.n_cells
    assert len(seen) == 1
    assert seen[0][0] == found.n_cells
    assert seen[0][2] <= seen[0][1]


class Liar:
    """Projections whose multipliers are anything, and which call themselves exact."""

    def __init__(self, X: FloatArray, packed: object, *, threads: int) -> None:
        self._rng, self._shape = np.random.default_rng(0), X.shape

    def project(self, blocks: FloatArray, G: FloatArray, *, threshold: float) -> tuple[object, ...]:
        counts = np.zeros((len(blocks), 4), np.int64)
        return self._rng.standard_normal((len(blocks), self._shape[1])), None, None, counts

    def active(self, block: int) -> tuple[object, object]:
        k = self._rng.choice(self._shape[0], 2, replace=False)
        return k, self._rng.standard_normal(2)


def test_wrong_multipliers_understate_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(10)
    X, v = rng.standard_normal((12, 3)), rng.standard_normal(12)
    expected = price_cells(X, v)
    monkeypatch.setattr(_core, "ConeProjections", Liar)
    found = price_cells(X, v)
    assert expected.value <= found.bound


def test_wrong_products_are_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(11)
    X, v = rng.standard_normal((12, 3)), rng.standard_normal(12)
    sound = _core.MaskedProducts

    class Wrong:
        def __init__(self, X: FloatArray, packed: object) -> None:
            self._products = sound(X, packed)  # type: ignore[arg-type]

        def adjoint(self, v: FloatArray, *, threads: int) -> FloatArray:
            G = self._products.adjoint(v, threads=threads)
            G[3, 1] *= 0.999999
            return G

    monkeypatch.setattr(_core, "MaskedProducts", Wrong)
    with pytest.raises(WrongProductError, match="computed wrongly"):
        price_cells(X, v)


# --- in exact arithmetic ------------------------------------------------------------------------


def instance(kind: str, seed: int) -> tuple[FloatArray, FloatArray, FloatArray]:
    """X, y and a dual point."""
    rng = np.random.default_rng(seed)
    n, d = int(rng.integers(3, 9)), int(rng.integers(1, 4))
    X, y = rng.standard_normal((n, d)), rng.standard_normal(n)
    v = y - 0.3 * rng.standard_normal(n)
    if kind == "far from zero":
        X += 1e6
    elif kind == "columns of all sizes":
        X *= np.logspace(-8, 8, d) if d > 1 else 1e8
    elif kind == "large targets":
        y += 1e7
        v = y - rng.standard_normal(n)
    elif kind == "cancelling":
        v = (X @ rng.standard_normal(d) + 1e8) - 1e8 * (1 + 1e-9 * rng.standard_normal(n))
        X[n // 2 :] = -X[: n - n // 2] * (1 + 1e-7 * rng.standard_normal((n - n // 2, 1)))
    return X, y, v


def violations(kind: str, seeds: range, slope: float = 0.0) -> tuple[int, int]:
    """How often a bound is wrong in exact arithmetic: of the prices, and of the optimum."""
    prices = duals = 0
    for seed in seeds:
        X, y, v = instance(kind, seed)
        try:
            found = price_cells(X, v, slope=slope)
        except ValueError:  # columns that depend on each other up to rounding
            continue
        beta = 0.3 * found.value
        bound = lower_bound(Squared(), v, y, np.ones(len(y)), beta, found.bound)
        scale = Fraction(bound.scale)
        floor = Fraction(beta) ** 2 / scale**2 if scale else Fraction(0)
        exact = largest_price_squared(X, v, min(floor, Fraction(found.value) ** 2 / 2), slope)
        prices += exact > Fraction(found.bound) ** 2 or scale**2 * exact > Fraction(beta) ** 2
        linear = sum(Fraction(a) * Fraction(b) for a, b in zip(v.tolist(), y.tolist(), strict=True))
        squares = sum(Fraction(a) ** 2 for a in v.tolist())
        duals += Fraction(bound.value) > scale * linear - scale**2 / 2 * squares
    return prices, duals


@pytest.mark.parametrize("kind", KINDS)
def test_the_certificate_holds_in_exact_arithmetic(kind: str) -> None:
    assert violations(kind, range(20)) == (0, 0)


@pytest.mark.parametrize("slope", [0.01, 0.3, -1.0])
@pytest.mark.parametrize("kind", KINDS)
def test_the_same_for_other_activations(kind: str, slope: float) -> None:
    assert violations(kind, range(6), slope) == (0, 0)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_many_certificates_hold_in_exact_arithmetic(kind: str) -> None:
    assert violations(kind, range(20, 430)) == (0, 0)


def test_without_inflation_it_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_rounding, "INFLATION", 0.0)
    counts = np.array([violations(kind, range(8)) for kind in KINDS])
    assert counts[:, 0].sum() > 4
    assert counts[:, 1].sum() > 4


def test_the_slack_of_ordinary_data_is_small() -> None:
    X, _, v = instance("plain", 1)
    found = price_cells(X, v)
    assert found.bound - found.value <= 1e-13 * found.bound
    assert down(found.bound) < found.bound


def test_a_floor_that_overflows_in_units_of_the_dual_point() -> None:
    found = price_cells(gaussian(6, 2), np.full(6, 1e-3), floor=1e308)
    assert found.bound == 1e308
