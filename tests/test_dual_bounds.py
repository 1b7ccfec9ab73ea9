"""Bounds of dual objectives and losses in real arithmetic, against rationals and 50 digits."""

from __future__ import annotations

import decimal
import math
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyconvexnn import _rounding
from pyconvexnn._typing import FloatArray
from pyconvexnn.losses import Hinge, Huber, Logistic, Loss, Poisson, Squared, SquaredHinge

LOSSES = [Squared(), Huber(0.7), Logistic(), SquaredHinge(), Poisson(), Hinge()]
NAMES = [loss.name for loss in LOSSES]
QUADRATIC = [LOSSES[0], LOSSES[1], LOSSES[3]]
DIGITS = decimal.Context(prec=60, Emin=-(10**6), Emax=10**6)


def instance(
    loss: Loss, seed: int, n: int = 40, *, unit_weights: bool = False
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """A fit f, v = -loss'(f), targets and weights, of many sizes and one of them 0."""
    rng = np.random.default_rng(seed)
    f, y = rng.standard_normal((2, n)) * 10 ** rng.uniform(-3, 1, n)
    s = np.ones(n) if unit_weights else rng.uniform(0.1, 5, n)
    if not unit_weights:
        s[3] = 0.0
    if loss.name in ("logistic", "squared_hinge", "hinge"):
        y = np.where(y < 0, -1.0, 1.0)
    if loss.name == "poisson":
        f, y = np.clip(f, -3.0, 3.0), np.abs(y) * (np.arange(n) % 4 > 0)
    return f, -loss.gradient(f, y, s), y, s


def exact_dual(loss: Loss, v: FloatArray, y: FloatArray, s: FloatArray, scale: float) -> Decimal:
    """D(scale v): exact for quadratics, to 50 digits where there are logarithms."""
    with decimal.localcontext(DIGITS):
        total = Decimal(0)
        for a, b, weight in zip(v.tolist(), y.tolist(), s.tolist(), strict=True):
            if weight == 0.0:
                assert a == 0.0
                continue
            t, w = Decimal(scale) * Decimal(a), Decimal(weight)
            if loss.name == "logistic":
                p = t * Decimal(b) / w
                assert 0 <= p <= 1
                total -= w * sum((q * q.ln() for q in (p, 1 - p) if q > 0), Decimal(0))
            elif loss.name == "poisson":
                q, c = Decimal(b) - t / w, Decimal(b)
                assert q >= 0
                total += w * (q - c)
                total -= w * (q * q.ln() if q > 0 else Decimal(0))
                total += w * (c * c.ln() if c > 0 else Decimal(0))
            elif loss.name == "hinge":
                assert 0 <= t * Decimal(b) <= w
                total += t * Decimal(b)
            else:
                total += t * Decimal(b) - t * t / (2 * w)
        return total


def exact_value(loss: Loss, f: list[Fraction], y: FloatArray, s: FloatArray) -> Decimal:
    """The loss of a fit, likewise."""
    with decimal.localcontext(DIGITS):
        total = Decimal(0)
        for fit, target, weight in zip(f, y.tolist(), s.tolist(), strict=True):
            g, b = Decimal(fit.numerator) / Decimal(fit.denominator), Decimal(target)
            if loss.name == "logistic":
                value = (1 + (-b * g).exp()).ln()
            elif loss.name == "squared_hinge":
                value = max(1 - b * g, Decimal(0)) ** 2 / 2
            elif loss.name == "hinge":
                value = max(1 - b * g, Decimal(0))
            elif loss.name == "poisson":
                value = g.exp() - b * g + (b * b.ln() - b if b > 0 else Decimal(0))
            else:
                r = abs(g - b)
                m = min(r, Decimal(loss.parameter)) if loss.name == "huber" else r
                value = m * m / 2 + (r - m) * Decimal(loss.parameter)
            total += Decimal(weight) * value
        return total


# --- dual objectives ----------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("loss", LOSSES, ids=NAMES)
def test_dual_bounds_are_below_and_near(loss: Loss, seed: int) -> None:
    _, v, y, s = instance(loss, seed)
    largest = min(1.0, loss.largest_scale(v, y, s))
    for part in (1.0, 0.9, 1 / 3, 1e-3, 1e-20):
        scale = part * largest
        bound, exact = loss.dual_bound(v, y, s, scale), exact_dual(loss, v, y, s, scale)
        assert Decimal(bound) <= exact
        size = float(np.sum(np.abs(scale * v * y)) + np.sum((scale * v[s > 0]) ** 2 / s[s > 0]))
        if loss.name == "poisson":
            size += float(np.sum(s * (1 + y**2)))  # of y log y, for one
        assert float(exact - Decimal(bound)) <= 2e-14 * (size + (part < 1) * abs(float(exact)))
        on = s > 0
        plain = loss.dual_objective(scale * v[on], y[on], s[on])
        assert bound == pytest.approx(plain, rel=1e-12, abs=1e-13 + 1e-14 * size)


@pytest.mark.parametrize("loss", QUADRATIC, ids=[loss.name for loss in QUADRATIC])
def test_with_weights_of_one_nearly_nothing_is_lost(loss: Loss) -> None:
    for seed in range(10):
        _, v, y, s = instance(loss, seed, unit_weights=True)
        scale = min(0.5, loss.best_scale(v, y, s, 1.0))
        exact = exact_dual(loss, v, y, s, scale)
        lost = float(exact - Decimal(loss.dual_bound(v, y, s, scale)))
        assert 0.0 <= lost <= 2e-15 * float(exact)


def test_plain_arithmetic_is_not_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(loss: Loss) -> int:
        count = 0
        for seed in range(20):
            _, v, y, s = instance(loss, seed)
            scale = 0.9 * loss.best_scale(v, y, s, 1.0)
            bound = loss.dual_bound(v, y, s, scale)
            count += Decimal(bound) > exact_dual(loss, v, y, s, scale)
        return count

    assert [wrong(loss) for loss in LOSSES] == [0] * 6
    monkeypatch.setattr(_rounding, "INFLATION", 0.0)
    assert min(wrong(loss) for loss in LOSSES) >= 2


@pytest.mark.parametrize("loss", LOSSES, ids=NAMES)
def test_the_bound_of_zero_is_zero(loss: Loss) -> None:
    y, ones = np.array([1.0, -1.0]) if loss.name != "poisson" else np.array([1.0, 0.0]), np.ones(2)
    assert loss.dual_bound(np.array([9.0, 9.0]), y, ones, 0.0) == 0.0
    assert loss.dual_bound(np.zeros(2), y, ones, 5.0) == pytest.approx(0.0, abs=1e-14)
    assert loss.best_scale(np.zeros(2), y, ones, math.inf) == 0.0


@pytest.mark.parametrize("exponent", [-250, -60, 0, 60])
def test_dual_bounds_of_any_size(exponent: int) -> None:
    v, y = np.ldexp([1.1, -0.3], exponent), np.ldexp([1.3, -0.7], exponent)
    bound = Squared().dual_bound(v, y, np.array([0.3, 7.0]), 0.3)
    assert bound == pytest.approx(np.ldexp(0.309921428571428, 2 * exponent), rel=1e-12)
    tiny = Logistic().dual_bound(np.array([1e-310, 0.3]), np.ones(2), np.ones(2), 0.7)
    assert 0.0 < tiny <= -0.21 * math.log(0.21) - 0.79 * math.log(0.79) + 1e-300


# --- domains ------------------------------------------------------------------------------------


def test_outside_of_the_domain_there_is_no_bound() -> None:
    one, step = np.ones(1), math.nextafter(1.0, 2.0)
    cases: list[tuple[Loss, float, float, float, float]] = [
        # loss, v, y, s, largest scale at most 1
        (Logistic(), 1.0, 1.0, 1.0, 1.0),
        (Logistic(), 1.0, -1.0, 1.0, 0.0),
        (Logistic(), 4.0, 1.0, 2.0, 0.5),
        (Huber(0.5), -2.0, 3.0, 1.0, 0.25),
        (Huber(0.5), -0.25, 3.0, 1.0, 1.0),
        (Hinge(), 1.0, 1.0, 1.0, 1.0),
        (Hinge(), 1.0, -1.0, 1.0, 0.0),
        (Hinge(), 4.0, 1.0, 2.0, 0.5),
        (Poisson(), 4.0, 1.0, 2.0, 0.5),
        (Poisson(), 1e-9, 0.0, 1.0, 0.0),
    ]
    for loss, v, y, s, largest in cases:
        arrays = v * one, y * one, s * one
        assert loss.largest_scale(*arrays) == largest
        if largest:
            assert loss.dual_bound(*arrays, largest) > -math.inf
        if largest in (0.0, 0.5, 0.25) or loss.name in ("logistic", "hinge"):
            assert loss.dual_bound(*arrays, max(largest * step, 1e-300)) == -math.inf
    assert SquaredHinge().largest_scale(one, one, one) == math.inf
    assert SquaredHinge().largest_scale(-one, one, one) == 0.0
    assert Poisson().largest_scale(-one, one, one) == math.inf
    assert SquaredHinge().dual_bound(-one, one, one, 1e-9) == -math.inf
    assert Squared().largest_scale(one, one, one) == math.inf


@pytest.mark.parametrize("loss", LOSSES, ids=NAMES)
def test_rows_without_weight_must_have_no_dual(loss: Loss) -> None:
    v, y, s = np.array([0.5, 0.5]), np.ones(2), np.array([1.0, 0.0])
    assert loss.largest_scale(v, y, s) == loss.best_scale(v, y, s, 1.0) == 0.0
    assert loss.dual_bound(v, y, s, 0.5) == -math.inf
    v[1] = 0.0
    alone = loss.dual_bound(v[:1], y[:1], s[:1], 0.5)
    assert loss.dual_bound(v, y, s, 0.5) == pytest.approx(alone, rel=1e-14)
    assert alone != 0.0


@given(
    v=st.lists(st.floats(0, 1e3), min_size=1, max_size=5),
    s=st.floats(1e-3, 1e3),
    delta=st.floats(1e-3, 1e3),
)
@settings(deadline=None)
def test_the_largest_scale_is_inside_and_its_successors_are_not(
    v: list[float], s: float, delta: float
) -> None:
    dual, weights = np.array(v), np.full(len(v), s)
    for loss, limit in ((Logistic(), Fraction(s)), (Huber(delta), Fraction(delta) * Fraction(s))):
        scale = loss.largest_scale(dual, np.ones(len(v)), weights)
        assert 0.0 < scale <= 1.0
        assert all(Fraction(scale) * Fraction(a) <= limit for a in v)
        beyond = Fraction(scale * (1 + 1e-14))
        assert scale == 1.0 or any(beyond * Fraction(a) > limit for a in v)


# --- the best scale -----------------------------------------------------------------------------


@pytest.mark.parametrize("limit", [1e-3, 0.3, 0.9, math.inf])
@pytest.mark.parametrize("loss", LOSSES, ids=NAMES)
def test_the_best_scale_is_the_best(loss: Loss, limit: float) -> None:
    for seed in range(5):
        _, v, y, s = instance(loss, seed)
        v = v * (1 + seed)  # so that the best is not always 1
        best = loss.best_scale(v, y, s, limit)
        most = min(limit, loss.largest_scale(v, y, s))
        assert 0.0 <= best <= most
        value = loss.dual_bound(v, y, s, best)
        slack = float(np.sum(s * (1 + y**2))) if loss.name == "poisson" else 0.0
        for other in np.linspace(0, min(most, 2.0), 101):
            assert loss.dual_bound(v, y, s, float(other)) <= value + 1e-13 * (abs(value) + slack)


def test_best_scales_in_closed_form() -> None:
    y = np.array([3.0, -4.0])
    assert Squared().best_scale(y / 8, y, np.ones(2), 100.0) == pytest.approx(8.0, rel=1e-14)
    assert Squared().best_scale(-y, y, np.ones(2), 100.0) == 0.0
    assert Squared().best_scale(1e-200 * y, y, np.ones(2), math.inf) == pytest.approx(1e200)
    v = np.array([0.8, -0.8])  # the entropy is largest at 1/2
    best = Logistic().best_scale(v, np.sign(v), np.ones(2), 1.0)
    assert best == pytest.approx(0.625, rel=1e-12)
    assert Logistic().best_scale(v, np.sign(v), np.ones(2), 0.1) == 0.1
    assert Hinge().best_scale(v, np.sign(v), np.ones(2), 0.1) == 0.1  # it rises all the way
    assert Hinge().best_scale(v, np.sign(v), np.full(2, 0.4), 1.0) == 0.5


# --- losses -------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0.0, 1e-12, 0.01, 3.0])
@pytest.mark.parametrize("loss", LOSSES, ids=NAMES)
def test_value_bounds_are_above_and_near(loss: Loss, size: float) -> None:
    for seed in range(4):
        f, _, y, s = instance(loss, seed)
        error = size * np.random.default_rng(seed).random(len(f))
        bound = loss.value_bound(f, error, y, s)
        assert bound >= loss.value(f, y, s)
        worst = Decimal(0)
        for sign in (-1, 0, 1):
            fits = [
                Fraction(a) + sign * Fraction(b)
                for a, b in zip(f.tolist(), error.tolist(), strict=True)
            ]
            exact = exact_value(loss, fits, y, s)
            assert Decimal(bound) >= exact
            worst = max(worst, exact)
        if size <= 1e-12:
            room = 20 * size * np.sum(np.abs(s * (f - y)) + s)
            if loss.name == "poisson":
                room += (1e-14 + 20 * size) * float(np.sum(s * (1 + np.exp(f) + y**2)))
            assert bound <= float(worst) * (1 + 1e-14) + room


def test_a_loss_of_zero_is_zero() -> None:
    y, zero = np.array([1.0, -1.0]), np.zeros(2)
    for loss in (Squared(), Huber(), SquaredHinge(), Hinge()):
        assert loss.value_bound(y, zero, y, np.ones(2)) == 0.0
    assert Logistic().value_bound(y, zero, y, zero) == 0.0
    assert Squared().value_bound(y + 1e-200, zero, np.array([1.0, -1.0]), np.ones(2)) == 0.0
    tiny = Squared().value_bound(np.array([1e-200]), np.zeros(1), np.zeros(1), np.ones(1))
    assert 0.0 < tiny <= 1e-300
