"""Losses against the formulas written with the math module, and Fenchel's inequality."""

from __future__ import annotations

import math
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar

from pyconvexnn._typing import FloatArray
from pyconvexnn.losses import (
    Hinge,
    Huber,
    Logistic,
    Loss,
    Poisson,
    Squared,
    SquaredHinge,
    get_loss,
)

ONE = np.ones(1)
FORMULA: dict[str, Callable[[float, float], float]] = {
    "squared": lambda f, y: (f - y) ** 2 / 2,
    "logistic": lambda f, y: math.log(1 + math.exp(-y * f)),
    "huber": lambda f, y: (
        (f - y) ** 2 / 2 if abs(f - y) <= 1.35 else 1.35 * abs(f - y) - 1.35**2 / 2
    ),
    "squared_hinge": lambda f, y: max(1 - y * f, 0.0) ** 2 / 2,
    "hinge": lambda f, y: max(1 - y * f, 0.0),
    "poisson": lambda f, y: math.exp(f) - y * f + (y * math.log(y) - y if y > 0 else 0.0),
}
LOSSES = [Squared(), Logistic(), Huber(), SquaredHinge(), Poisson(), Hinge()]
NAMES = [loss.name for loss in LOSSES]
FIT = st.floats(-20, 20)
WEIGHT = st.floats(0.01, 10)


def targets(loss: Loss, number: float) -> float:
    """Some target of the loss."""
    if loss.name == "poisson":
        return max(number, 0.0)
    return number if loss.name in ("squared", "huber") else math.copysign(1.0, number)


def bends(loss: Loss) -> bool:
    """Whether the slope has corners."""
    return loss.name in ("huber", "squared_hinge")


@pytest.mark.parametrize("loss", LOSSES, ids=NAMES)
@given(f=st.lists(FIT, min_size=3, max_size=3), y=st.floats(-5, 5), s=WEIGHT)
@settings(deadline=None)
def test_value_is_the_weighted_sum_of_the_formula(
    loss: Loss, f: list[float], y: float, s: float
) -> None:
    y = targets(loss, y)
    weights = [s, 2 * s, 0.0]
    expected = sum(w * FORMULA[loss.name](x, y) for w, x in zip(weights, f, strict=True))
    value = loss.value(np.array(f), np.full(3, y), np.array(weights))
    assert value == pytest.approx(expected, rel=1e-12, abs=1e-14)


@pytest.mark.parametrize("loss", LOSSES, ids=NAMES)
@given(f=st.floats(-8, 8), y=st.floats(-5, 5), s=WEIGHT)
@settings(deadline=None)
def test_gradient_is_the_slope_of_the_value(loss: Loss, f: float, y: float, s: float) -> None:
    h, y = 1e-5, targets(loss, y)
    if loss.name == "hinge" and abs(1 - y * f) <= 2 * h:
        f += 4 * h  # there is no slope at the kink
    formula = FORMULA[loss.name]
    slope = s * (formula(f + h, y) - formula(f - h, y)) / (2 * h)
    gradient = loss.gradient(np.array([f]), np.array([y]), np.array([s]))
    assert gradient.shape == (1,)
    # Next to a bend of the slope the difference is off by up to h / 2 per unit of weight.
    off = s * h if bends(loss) else 0.0
    if loss.name == "poisson":
        off = s * 1e-15 / h * (math.exp(f) + abs(y * f) + y * abs(math.log(y or 1.0)) + y)
    assert gradient[0] == pytest.approx(slope, rel=1e-8, abs=1e-8 + off)


@pytest.mark.parametrize(
    ("loss", "v"),
    [
        (LOSSES[0], 1.7),
        (LOSSES[0], -0.3),
        (LOSSES[1], 0.3),
        (LOSSES[2], -0.3),
        (LOSSES[3], 1.7),
        (LOSSES[4], 0.3),
        (LOSSES[5], 0.3),
    ],
)
@pytest.mark.parametrize("s", [1.0, 0.5, 3.0])
def test_dual_objective_is_the_conjugate(loss: Loss, v: float, s: float) -> None:
    # D(v) = -s l*(-v / s) = min_f  s l(f) + v f
    least = minimize_scalar(lambda f: s * FORMULA[loss.name](f, 1.0) + v * f, bracket=(-1.0, 1.0))
    dual = loss.dual_objective(np.array([v]), ONE, np.array([s]))
    assert dual == pytest.approx(least.fun, rel=1e-9)


@pytest.mark.parametrize("loss", LOSSES, ids=NAMES)
@given(f=FIT, g=FIT, y=st.floats(-5, 5), s=WEIGHT)
@settings(deadline=None)
def test_fenchel_inequality_with_equality_at_the_gradient(
    loss: Loss, f: float, g: float, y: float, s: float
) -> None:
    fit, other, weight = np.array([f]), np.array([g]), np.array([s])
    target = np.array([targets(loss, y)])
    v = -loss.gradient(fit, target, weight)
    dual = loss.dual_objective(v, target, weight)
    scale = 1 + abs(dual) + abs(v[0] * g) + abs(v[0] * f)
    assert loss.value(other, target, weight) + v[0] * g >= dual - 1e-11 * scale
    assert loss.value(fit, target, weight) + v[0] * f == pytest.approx(dual, abs=1e-11 * scale)


@pytest.mark.parametrize("loss", LOSSES, ids=NAMES)
def test_dual_objective_of_zero_is_zero(loss: Loss) -> None:
    y = np.array([1.0, 0.0 if loss.name == "poisson" else -1.0, 1.0, 1.0])
    assert loss.dual_objective(np.zeros(4), y, np.ones(4)) == 0.0


def test_known_values() -> None:
    y = np.array([1.0, -1.0])
    assert Squared().value(np.array([3.0, 0.0]), y, np.array([2.0, 1.0])) == 4.5
    np.testing.assert_array_equal(Squared().gradient(np.array([3.0, 0.0]), y, 2 * y**2), [4.0, 2.0])
    assert Squared().dual_objective(y, y, np.ones(2)) == 1.0
    zero = np.zeros(2)
    assert Logistic().value(zero, y, np.ones(2)) == pytest.approx(2 * math.log(2), rel=1e-15)
    np.testing.assert_array_equal(Logistic().gradient(zero, y, np.ones(2)), -y / 2)
    # At v = y / 2 the entropy has its maximum.
    assert Logistic().dual_objective(y / 2, y, np.ones(2)) == pytest.approx(2 * math.log(2))


@pytest.mark.parametrize("size", [40.0, 800.0, 1e5, 1e200])
def test_logistic_does_not_overflow(size: float) -> None:
    f, y = np.array([size, size]), np.array([1.0, -1.0])
    right, wrong = (Logistic().value(f[i : i + 1], y[i : i + 1], ONE) for i in (0, 1))
    assert 0.0 <= right <= 1e-17
    assert wrong == pytest.approx(size, rel=1e-15)
    gradient = Logistic().gradient(f, y, np.ones(2))
    assert -1e-17 <= gradient[0] <= 0.0
    assert gradient[1] == 1.0


@pytest.mark.parametrize("s", [1.0, 1e-3, 7.0])
def test_logistic_dual_domain(s: float) -> None:
    y, weight = -ONE, np.array([s])

    def dual(p: float) -> float:
        return Logistic().dual_objective(s * y * p, y, weight)

    assert dual(1.0) == 0.0
    assert dual(0.0) == 0.0
    # A p that is 1 up to the rounding of s p / s still counts as 1.
    assert dual(1.0 + 2 * np.finfo(float).eps) == 0.0
    assert dual(1.0 + 1e-12) == -np.inf
    assert dual(-1e-12) == -np.inf
    expected = -s * (0.25 * math.log(0.25) + 0.75 * math.log(0.75))
    assert dual(0.25) == pytest.approx(expected, rel=1e-14)


@pytest.mark.parametrize("bad", [0.0, 0.5, 2.0, -1.0000001])
def test_logistic_targets_are_signs(bad: float) -> None:
    Logistic().check_targets(np.array([1.0, -1.0]))
    Squared().check_targets(np.array([bad]))
    with pytest.raises(ValueError, match="must") as error:
        Logistic().check_targets(np.array([1.0, bad, -1.0]), "targets")
    assert str(error.value) == (
        f"`targets` must hold only -1 and +1 for loss 'logistic', got {bad}"
    )


def test_get_loss() -> None:
    for loss in LOSSES:
        assert get_loss(loss) is loss
        assert get_loss(loss.name) == loss
        assert pickle.loads(pickle.dumps(loss)) == loss
    assert get_loss("squared") != get_loss("logistic")


def test_huber_takes_any_delta() -> None:
    loss = get_loss(Huber(2))
    assert (loss.parameter, loss, repr(loss)) == (2.0, Huber(2.0), "Huber(delta=2.0)")
    assert get_loss("huber") == Huber(1.35) != Huber(2.0)
    assert pickle.loads(pickle.dumps(Huber(0.3))) == Huber(0.3)
    r = np.array([0.5, 2.0, 3.0, -5.0])
    zero, one = np.zeros(4), np.ones(4)
    assert loss.value(r, zero, one) == 0.125 + 2.0 + 4.0 + 8.0
    np.testing.assert_array_equal(loss.gradient(r, zero, one), [0.5, 2.0, 2.0, -2.0])
    # A huge delta is the squared loss, a tiny one delta |r|.
    assert Huber(1e60).value(r, one, one) == Squared().value(r, one, one)
    assert Huber(1e-60).value(r, zero, one) == pytest.approx(1e-60 * 10.5)


@pytest.mark.parametrize(
    ("delta", "kind", "message"),
    [
        (0.0, ValueError, "`delta` must be > 0, got 0.0"),
        (-1.0, ValueError, "`delta` must be > 0, got -1.0"),
        (math.inf, ValueError, "`delta` must be finite, got inf"),
        (math.nan, ValueError, "`delta` must be finite, got nan"),
        (1e-61, ValueError, "`delta` must be between 1e-60 and 1e+60, got 1e-61"),
        (1e61, ValueError, "`delta` must be between 1e-60 and 1e+60, got 1e+61"),
        ("1", TypeError, "`delta` must be a real number, got '1'"),
    ],
)
def test_wrong_delta(delta: Any, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind) as error:
        Huber(delta)
    assert str(error.value) == message


@pytest.mark.parametrize("s", [1.0, 1e-3, 7.0])
def test_dual_domains_of_huber_and_the_squared_hinge(s: float) -> None:
    weight = np.array([s])
    for v in (0.5, -0.5):
        at_edge = np.array([s * v])
        assert Huber(0.5).dual_objective(at_edge, ONE, weight) == pytest.approx(s * (v - 0.125))
        assert Huber(0.5).dual_objective(at_edge * (1 + 1e-12), ONE, weight) == -np.inf
    assert SquaredHinge().dual_objective(-2 * weight, -ONE, weight) == 0.0
    assert SquaredHinge().dual_objective(np.array([-1e-300]), ONE, weight) == -np.inf


@pytest.mark.parametrize("loss", LOSSES[:-1], ids=NAMES[:-1])  # the hinge has no offset
@given(seed=st.integers(0, 10**6), size=st.floats(-3, 3), spread=st.floats(0, 10))
@settings(deadline=None, max_examples=50)
def test_best_offset(loss: Loss, seed: int, size: float, spread: float) -> None:
    rng = np.random.default_rng(seed)
    n = int(rng.integers(2, 20))
    f = 10.0**size * rng.standard_normal(n)
    y = np.array([targets(loss, number) for number in 10.0**size * rng.standard_normal(n)])
    if loss.name == "poisson":
        f = np.clip(f, -50.0, 50.0)
    y[:2] = targets(loss, 1.0), targets(loss, -1.0)
    s = 10.0 ** (spread * rng.uniform(-1, 1, n))
    s[2:][rng.random(n - 2) < 0.2] = 0.0
    b = loss.best_offset(f, y, s)
    slope = loss.gradient(f + b, y, s)
    # Rounding of f + b moves the slope by the curvature times that, at kinks by no more than s.
    bend = np.sum(np.maximum(s, loss.curvature(f + b, y, s)))
    moved = bend * 1e-15 * (1 + np.abs(f + b).max() + np.abs(y).max())
    assert abs(slope.sum()) <= 1e-13 * np.abs(slope).sum() + moved
    least = loss.value(f + b, y, s)
    for other in b + 10.0**size * np.array([-1.0, -1e-3, 1e-3, 1.0]):
        assert loss.value(f + other, y, s) >= least * (1 - 1e-12)


def test_the_best_offset_of_counts() -> None:
    # sum s (exp(f + b) - y) = 0
    f, y, s = np.array([0.3, -1.0, 2.0]), np.array([4.0, 0.0, 1.0]), np.array([1.0, 2.0, 0.5])
    expected = math.log(np.sum(s * y) / np.sum(s * np.exp(f)))
    assert Poisson().best_offset(f, y, s) == pytest.approx(expected, rel=1e-14)
    Poisson().check_offset(y, s)
    with pytest.raises(ValueError, match=r"`y` must hold a number above 0 .* got only zeros$"):
        Poisson().check_offset(y, np.array([0.0, 1.0, 0.0]))


def test_the_hinge_at_its_kink_and_at_the_ends_of_its_dual() -> None:
    f, y, s = np.array([0.0, 1.0, 2.0, -1.0]), np.ones(4), np.array([1.0, 2.0, 3.0, 0.5])
    assert Hinge().value(f, y, s) == 2.0
    np.testing.assert_array_equal(Hinge().gradient(f, y, s), [-1.0, 0.0, 0.0, -0.5])
    assert not Hinge().smooth
    assert Squared().smooth
    assert Hinge().dual_objective(s, y, s) == 6.5
    assert Hinge().dual_objective(s * (1 + 1e-12), y, s) == -np.inf
    assert Hinge().dual_objective(-1e-12 * s, y, s) == -np.inf
    with pytest.raises(
        ValueError, match=r"^`output_offset` must be False for loss 'hinge', got True$"
    ):
        Hinge().check_offset(y, s)
    with pytest.raises(ValueError, match=r"^`y` must hold only -1 and \+1 for loss 'hinge', got 2"):
        Hinge().check_targets(2 * y)


def test_counts() -> None:
    with pytest.raises(ValueError, match=r"^`y` must be >= 0 for loss 'poisson', got -0.5$"):
        Poisson().check_targets(np.array([1.0, -0.5]))
    y, s = np.array([3.0, 0.0]), np.array([2.0, 1.0])
    best = np.array([math.log(3.0), -800.0])
    assert Poisson().value(best, y, s) == 0.0
    np.testing.assert_array_equal(Poisson().gradient(best, y, s), [0.0, 0.0])
    # v = s y, of q = 0, is on the edge of the domain: D = sum s (y log y - y).
    edge = Poisson().dual_objective(s * y, y, s)
    assert edge == pytest.approx(2 * (3 * math.log(3) - 3), rel=1e-14)
    assert Poisson().dual_objective(s * y + np.array([0.0, 1e-9]), y, s) == -np.inf
    # Near the best fit half of the deviance is y r^2 / 2, and nothing cancels.
    near = Poisson().value(np.array([math.log(1e6) + 1e-6]), np.array([1e6]), ONE)
    assert near == pytest.approx(5e-7, rel=1e-4)
    assert Poisson().value(np.array([800.0]), ONE, ONE) == np.inf


def test_offsets_known() -> None:
    y, zero, one = np.array([0.0, 1.0, 50.0]), np.zeros(3), np.ones(3)
    assert Squared().best_offset(zero, y, one) == pytest.approx(17.0, rel=1e-15)
    # A tiny delta: the median, where the two others pull with delta each.
    assert Huber(1e-3).best_offset(zero, y, one) == pytest.approx(1.0, rel=1e-15)
    # The outlier pulls with delta 1: b + (b - 1) = 1.
    assert Huber(1.0).best_offset(zero, y, one) == pytest.approx(1.0, rel=1e-15)
    labels = np.array([1.0, 1.0, -1.0])
    assert Logistic().best_offset(zero, labels, one) == pytest.approx(math.log(2), rel=1e-14)
    # 2 (b - 1) + (b + 1) = 0
    assert SquaredHinge().best_offset(zero, labels, one) == pytest.approx(1 / 3, rel=1e-14)
    assert SquaredHinge().value(
        zero + SquaredHinge().best_offset(zero, one, one), one, one
    ) == pytest.approx(0.0, abs=1e-30)


def test_a_loss_that_the_compiled_part_does_not_know_is_refused() -> None:
    # It would be taken for the loss whose code it inherits.
    class Tenfold(Squared):
        def value(self, f: FloatArray, y: FloatArray, s: FloatArray) -> float:
            return 10 * super().value(f, y, s)

    with pytest.raises(
        NotImplementedError, match="solvers know: squared, logistic, huber"
    ) as error:
        get_loss(Tenfold())
    assert "Tenfold()" in str(error.value)


KNOWN = "squared, logistic, huber, squared_hinge, poisson, hinge, cross_entropy"


@pytest.mark.parametrize(
    ("loss", "kind", "message"),
    [
        ("mse", ValueError, f"`loss` must be one of {KNOWN}; got 'mse'"),
        ("Squared", ValueError, f"`loss` must be one of {KNOWN}; got 'Squared'"),
        (None, ValueError, f"`loss` must be one of {KNOWN}; got None"),
        (1, ValueError, f"`loss` must be one of {KNOWN}; got 1"),
        (Squared, ValueError, f"`loss` must be one of {KNOWN}; got {Squared!r}"),
    ],
)
def test_unknown_losses(loss: Any, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind) as error:
        get_loss(loss)
    assert str(error.value) == message


def test_arrays_are_not_changed() -> None:
    f, y, s = np.array([0.5, -2.0]), np.array([1.0, -1.0]), np.array([1.0, 2.0])
    before = [a.copy() for a in (f, y, s)]
    for loss in LOSSES:
        v: FloatArray = -loss.gradient(f, y, s)
        loss.value(f, y, s)
        loss.dual_objective(v, y, s)
    for array, copy in zip((f, y, s), before, strict=True):
        np.testing.assert_array_equal(array, copy)


def test_a_dual_point_at_the_end_of_its_domain_is_silent() -> None:
    # v = s for the sample's own class: the entropy of a sure distribution, 0 log 0.
    y, s = np.eye(3)[[0, 1]], np.ones((2, 3))
    v = np.array([[1.0, -1.0, 0.0], [0.0, 0.0, 0.0]])
    with np.errstate(all="raise"):
        assert get_loss("cross_entropy").dual_objective(v, y, s) == 0.0
