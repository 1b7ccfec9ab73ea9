"""The losses, in NumPy: value, gradient and dual objective, slow and obvious.

The compiled solvers have their own copy (``csrc/convexnn/program/loss.hpp``); this one is the
reference that problems and :func:`pyconvexnn.verify` use, so that it checks the other. The methods
`dual_bound`, `largest_scale` and `value_bound` hold in real arithmetic, for the numbers as given.
"""

from __future__ import annotations

import math
import sys
from abc import ABC, abstractmethod
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, ClassVar

import numpy as np

from pyconvexnn._rounding import (
    dot_below,
    float_below,
    growth,
    products_in_order,
    squares_above,
    underflow,
    up,
)
from pyconvexnn._typing import BoolArray, FloatArray
from pyconvexnn._validation import LARGEST_SCALE, SMALLEST_SCALE, choice, describe, positive

_ROUNDING = 4 * np.finfo(float).eps  # what y v / s may exceed its domain by when v was s y p
_LOGARITHM = 8  # last places by which exp, log and log1p may be wrong, and far more than they are
LATER_LOSSES = ("hinge", "poisson", "cross_entropy")


class Loss(ABC):
    """A convex loss ``sum_k s_k l(f_k, y_k)`` of fitted values f, targets y and weights s > 0."""

    name: ClassVar[str]
    code: ClassVar[int]  # the compiled enum LossKind
    shifts: ClassVar[bool] = False  # whether l(f + c, y + c) = l(f, y)

    @property
    def parameter(self) -> float:
        """The one number that the loss depends on, for the compiled copy; 0 where there is none."""
        return 0.0

    @abstractmethod
    def value(self, f: FloatArray, y: FloatArray, s: FloatArray) -> float:
        """``sum_k s_k l(f_k, y_k)``."""

    @abstractmethod
    def gradient(self, f: FloatArray, y: FloatArray, s: FloatArray) -> FloatArray:
        """``s_k l'(f_k, y_k)``, shape (n,)."""

    @abstractmethod
    def dual_objective(self, v: FloatArray, y: FloatArray, s: FloatArray) -> float:
        """``D(v) = -sum_k s_k l*(-v_k / s_k)``; -inf where v leaves the conjugate's domain."""

    @abstractmethod
    def check_targets(self, y: FloatArray, name: str = "y") -> None:
        """Raise ValueError when y is no target of this loss."""

    # --- in real arithmetic --------------------------------------------------------------------

    def dual_bound(self, v: FloatArray, y: FloatArray, s: FloatArray, scale: float) -> float:
        """A number <= ``D(scale v)`` in real arithmetic, for the floats as given; scale >= 0.

        -inf unless ``scale v`` is surely in the domain; where s is 0 v must be. This is the
        quadratic ``scale v'y - scale^2 sum v^2 / (2 s)``, two sums rounded once, the rest exact.
        """
        if scale == 0.0:
            return 0.0
        if not self._is_inside(v, y, s, scale):
            return -np.inf
        counted = s > 0
        v, y, s = v[counted], y[counted], s[counted]
        exact = Fraction(scale)
        return float_below(exact * dot_below(v, y) - exact**2 / 2 * squares_above(v, s))

    def largest_scale(self, v: FloatArray, y: FloatArray, s: FloatArray) -> float:
        """A number t >= 0 such that ``t v`` is surely in the domain of D, in real arithmetic.

        inf where the domain has no bound along v. Where it is bounded t is at most 1, and the
        largest of these numbers but for rounding.
        """
        scale = self._about_largest_scale(v, y, s)
        while 0.0 < scale < np.inf and not self._is_inside(v, y, s, scale):
            scale = math.nextafter(scale, 0.0)
        return scale if self._is_inside(v, y, s, 1.0 if scale == np.inf else scale) else 0.0

    def best_scale(self, v: FloatArray, y: FloatArray, s: FloatArray, limit: float) -> float:
        """The t in [0, limit] with ``t v`` in the domain and the largest ``D(t v)``, about.

        That it is in the domain is sure, that it is the best is to rounding.
        """
        largest = min(limit, self.largest_scale(v, y, s))
        counted = (s > 0) & (v != 0)
        v, y, s = v[counted], y[counted], s[counted]
        if not len(v):
            return 0.0
        size = float(np.max(np.abs(v)))  # so that no square underflows
        with np.errstate(over="ignore"):
            best = float(np.sum(v / size * y) / np.sum(v / size * (v / size) / s)) / size
        return max(0.0, min(largest, best, sys.float_info.max))

    @abstractmethod
    def value_bound(self, f: FloatArray, error: FloatArray, y: FloatArray, s: FloatArray) -> float:
        """A number >= :meth:`value` in real arithmetic of any fit within `error` of f."""

    def _is_inside(self, v: FloatArray, y: FloatArray, s: FloatArray, scale: float) -> bool:
        """Whether ``scale v`` is in the domain of D, in real arithmetic; False where in doubt."""
        return not np.any(v[s == 0])

    def _about_largest_scale(self, v: FloatArray, y: FloatArray, s: FloatArray) -> float:
        """Largest scale that `_is_inside` holds for, at most one place too large."""
        return np.inf

    # --- output offsets ------------------------------------------------------------------------

    def check_offset(self, y: FloatArray, s: FloatArray) -> None:
        """Raise ValueError when no offset b is best: ``value(f + b, y, s)`` falls for ever."""
        return  # of most losses there is always one

    def best_offset(self, f: FloatArray, y: FloatArray, s: FloatArray) -> float:
        """A minimiser b of ``value(f + b, y, s)``: where the slope in b changes sign, by halving.

        Where the minimisers are an interval, it is any of them.
        """
        counted = s > 0
        f, y, s = f[counted], y[counted], s[counted]
        low, high = self._around_best_offset(f, y, s)
        for _ in range(400):
            b = 0.5 * low + 0.5 * high
            slope = float(np.sum(self.gradient(f + b, y, s)))
            if slope == 0.0 or not low < b < high:
                break
            low, high = (low, b) if slope > 0 else (b, high)
        return b

    def _around_best_offset(
        self, f: FloatArray, y: FloatArray, s: FloatArray
    ) -> tuple[float, float]:
        """Bounds of a best offset. Between those here a fit f + b is on both sides of y."""
        return float(np.min(y - f)), float(np.max(y - f))


@dataclass(frozen=True)
class Squared(Loss):
    """``l(f, y) = (f - y)^2 / 2``, with ``D(v) = v'y - sum_k v_k^2 / (2 s_k)``."""

    name: ClassVar[str] = "squared"
    code: ClassVar[int] = 0
    shifts: ClassVar[bool] = True

    def value(self, f: FloatArray, y: FloatArray, s: FloatArray) -> float:
        """``sum s (f - y)^2 / 2``."""
        return float(0.5 * np.sum(s * (f - y) ** 2))

    def gradient(self, f: FloatArray, y: FloatArray, s: FloatArray) -> FloatArray:
        """``s (f - y)``."""
        return s * (f - y)

    def dual_objective(self, v: FloatArray, y: FloatArray, s: FloatArray) -> float:
        """``sum v y - v^2 / (2 s)``."""
        return float(np.sum(v * y - v**2 / (2 * s)))

    def value_bound(self, f: FloatArray, error: FloatArray, y: FloatArray, s: FloatArray) -> float:
        """``sum s r^2 / 2`` at the largest ``r = |f - y| + error``, rounded up."""
        r = _largest_distance(f, error, y)
        return _sum_above(0.5 * r**2, s, 4, r != 0)

    def check_targets(self, y: FloatArray, name: str = "y") -> None:
        """Any real targets will do."""


@dataclass(frozen=True)
class Huber(Loss):
    """``l(f, y) = r^2 / 2`` for ``|r| <= delta``, else ``delta |r| - delta^2 / 2``; r = f - y.

    The dual objective is that of the squared loss, for ``|v_k| <= delta s_k``.

    Parameters
    ----------
    delta : float
        Where the loss becomes linear, between 1e-60 and 1e60.

    Examples
    --------
    >>> import pyconvexnn as cx
    >>> cx.losses.Huber(2.0)
    Huber(delta=2.0)
    """

    name: ClassVar[str] = "huber"
    code: ClassVar[int] = 2
    shifts: ClassVar[bool] = True
    delta: float = 1.35

    def __post_init__(self) -> None:
        """Check delta."""
        delta = positive(self.delta, "delta")
        if not SMALLEST_SCALE <= delta <= LARGEST_SCALE:
            raise ValueError(
                f"`delta` must be between {SMALLEST_SCALE:g} and {LARGEST_SCALE:g}, got {delta!r}"
            )
        object.__setattr__(self, "delta", delta)

    @property
    def parameter(self) -> float:
        """Delta."""
        return self.delta

    def value(self, f: FloatArray, y: FloatArray, s: FloatArray) -> float:
        """``sum s (m^2 / 2 + delta (|r| - m))``, m = min(|r|, delta)."""
        r = np.abs(f - y)
        m = np.minimum(r, self.delta)
        return float(np.sum(s * (0.5 * m**2 + self.delta * (r - m))))

    def gradient(self, f: FloatArray, y: FloatArray, s: FloatArray) -> FloatArray:
        """``s r`` with r cut off at -delta and delta."""
        return s * np.clip(f - y, -self.delta, self.delta)

    def dual_objective(self, v: FloatArray, y: FloatArray, s: FloatArray) -> float:
        """``sum v y - v^2 / (2 s)``; -inf unless all ``|v| <= delta s``."""
        if np.any(np.abs(v) > self.delta * s * (1.0 + _ROUNDING)):
            return -np.inf
        return float(np.sum(v * y - v**2 / (2 * s)))

    def value_bound(self, f: FloatArray, error: FloatArray, y: FloatArray, s: FloatArray) -> float:
        """:meth:`value` at the largest ``r = |f - y| + error``, rounded up."""
        r = _largest_distance(f, error, y)
        m = np.minimum(r, self.delta)
        return _sum_above(0.5 * m**2 + self.delta * (r - m), s, 6, r != 0)

    def check_targets(self, y: FloatArray, name: str = "y") -> None:
        """Any real targets will do."""

    def _is_inside(self, v: FloatArray, y: FloatArray, s: FloatArray, scale: float) -> bool:
        return bool(np.all(products_in_order(scale, np.abs(v), self.delta, s)))

    def _about_largest_scale(self, v: FloatArray, y: FloatArray, s: FloatArray) -> float:
        return _smallest_quotient(self.delta * s, np.abs(v))


@dataclass(frozen=True)
class Logistic(Loss):
    """``l(f, y) = log(1 + exp(-y f))``, y in {-1, +1}; D(v) is the entropy of ``y v / s``."""

    name: ClassVar[str] = "logistic"
    code: ClassVar[int] = 1

    def value(self, f: FloatArray, y: FloatArray, s: FloatArray) -> float:
        """``sum s log(1 + exp(-y f))``."""
        return float(np.sum(s * np.logaddexp(0.0, -y * f)))

    def gradient(self, f: FloatArray, y: FloatArray, s: FloatArray) -> FloatArray:
        """``-s y / (1 + exp(y f))``."""
        margin = y * f
        # exp of a non-positive number only: neither branch overflows.
        small = np.exp(-np.abs(margin))
        return -s * y * np.where(margin >= 0, small, 1.0) / (1.0 + small)

    def dual_objective(self, v: FloatArray, y: FloatArray, s: FloatArray) -> float:
        """``-sum s (p log p + (1 - p) log(1 - p))``, p = y v / s; -inf unless 0 <= p <= 1."""
        p = y * v / s
        if np.any(p < -_ROUNDING) or np.any(p > 1.0 + _ROUNDING):
            return -np.inf
        p = np.clip(p, 0.0, 1.0)
        # log1p: 1 - p is not exact where p is tiny, and D is a sum of such terms there.
        inside, below = p > 0, p < 1
        entropy = np.where(inside, p * np.log(np.where(inside, p, 1.0)), 0.0)
        entropy += np.where(below, (1.0 - p) * np.log1p(-np.where(below, p, 0.0)), 0.0)
        return float(-np.sum(s * entropy))

    def dual_bound(self, v: FloatArray, y: FloatArray, s: FloatArray, scale: float) -> float:
        """A number <= ``D(scale v)`` in real arithmetic: the entropy of p, rounded down.

        p is known to three roundings, and the entropy is concave: on an interval it is least at
        one of the ends.
        """
        if scale == 0.0:
            return 0.0
        if not self._is_inside(v, y, s, scale):
            return -np.inf
        counted = s > 0
        p, s = scale * np.abs(v[counted]) / s[counted], s[counted]
        error = growth(4) * p + underflow(1) * (v[counted] != 0)
        ends = [_entropy_below(np.clip(end, 0.0, 1.0)) for end in (p - error, p + error)]
        total = math.fsum((s * np.minimum(*ends)).tolist())
        return max(0.0, total * (1.0 - growth(6)) - underflow(len(s)))

    def best_scale(self, v: FloatArray, y: FloatArray, s: FloatArray, limit: float) -> float:
        """The t in [0, limit] with ``t v`` in the domain and the largest entropy, by halving."""
        low, high = 0.0, min(limit, self.largest_scale(v, y, s))
        counted = (s > 0) & (v != 0)
        weights = np.abs(v[counted])
        if not len(weights):
            return 0.0
        quotients = weights / s[counted]
        t = high
        for _ in range(100):
            p = np.minimum(t * quotients, 1.0)
            with np.errstate(divide="ignore"):
                slope = float(np.sum(weights * (np.log1p(-p) - np.log(p))))
            if slope == 0.0 or (slope > 0 and t == high):
                break
            low, high = (t, high) if slope > 0 else (low, t)
            t = 0.5 * (low + high)
            if not low < t < high:
                break
        return t

    def value_bound(self, f: FloatArray, error: FloatArray, y: FloatArray, s: FloatArray) -> float:
        """``sum s log(1 + exp(-m))`` at the smallest margin ``m = y f - error``, rounded up."""
        margin = _smallest_margin(y * f, error)
        return _sum_above(np.logaddexp(0.0, -margin), s, 2 * _LOGARITHM + 4, s > 0)

    def check_targets(self, y: FloatArray, name: str = "y") -> None:
        """Labels are -1 and +1."""
        _check_labels(y, name, self.name)

    def check_offset(self, y: FloatArray, s: FloatArray) -> None:
        """Both labels are needed: with one the loss falls to zero as b grows, and never is."""
        labels = np.unique(y[s > 0])
        if len(labels) < 2:
            raise ValueError(
                "`y` must hold both -1 and +1 among the rows of positive weight for loss "
                f"'logistic' with `output_offset` = True, got only {labels[0]}"
            )

    def _is_inside(self, v: FloatArray, y: FloatArray, s: FloatArray, scale: float) -> bool:
        signs = np.all(y * v >= 0)
        return bool(signs and np.all(products_in_order(scale, np.abs(v), 1.0, s)))

    def _about_largest_scale(self, v: FloatArray, y: FloatArray, s: FloatArray) -> float:
        return 0.0 if np.any(y * v < 0) else _smallest_quotient(s, np.abs(v))

    def _around_best_offset(
        self, f: FloatArray, y: FloatArray, s: FloatArray
    ) -> tuple[float, float]:
        # At f + b = log(sum of the weights of +1 / that of -1) in every row the slope is zero.
        odds = float(np.log(np.sum(s[y > 0])) - np.log(np.sum(s[y < 0])))
        return odds - float(np.max(f)), odds - float(np.min(f))


@dataclass(frozen=True)
class SquaredHinge(Loss):
    """``l(f, y) = (1 - y f)_+^2 / 2``, y in {-1, +1}.

    The dual objective is that of the squared loss, for ``y_k v_k >= 0``.
    """

    name: ClassVar[str] = "squared_hinge"
    code: ClassVar[int] = 3

    def value(self, f: FloatArray, y: FloatArray, s: FloatArray) -> float:
        """``sum s (1 - y f)_+^2 / 2``."""
        return float(0.5 * np.sum(s * np.maximum(1.0 - y * f, 0.0) ** 2))

    def gradient(self, f: FloatArray, y: FloatArray, s: FloatArray) -> FloatArray:
        """``-s y (1 - y f)_+``."""
        return -s * y * np.maximum(1.0 - y * f, 0.0)

    def dual_objective(self, v: FloatArray, y: FloatArray, s: FloatArray) -> float:
        """``sum v y - v^2 / (2 s)``; -inf unless all ``y v >= 0``."""
        if np.any(y * v < 0):
            return -np.inf
        return float(np.sum(v * y - v**2 / (2 * s)))

    def value_bound(self, f: FloatArray, error: FloatArray, y: FloatArray, s: FloatArray) -> float:
        """``sum s (1 - m)_+^2 / 2`` at the smallest margin ``m = y f - error``, rounded up."""
        short = np.maximum(1.0 - _smallest_margin(y * f, error), 0.0)
        return _sum_above(0.5 * short**2, s, 6, short != 0)

    def check_targets(self, y: FloatArray, name: str = "y") -> None:
        """Labels are -1 and +1."""
        _check_labels(y, name, self.name)

    def _is_inside(self, v: FloatArray, y: FloatArray, s: FloatArray, scale: float) -> bool:
        return bool(np.all(y * v >= 0)) and not np.any(v[s == 0])

    def _about_largest_scale(self, v: FloatArray, y: FloatArray, s: FloatArray) -> float:
        return 0.0 if np.any(y * v < 0) else np.inf


def _smallest_quotient(a: FloatArray, b: FloatArray) -> float:
    """``min(1, min_k a_k / b_k)`` over the b_k that are not zero."""
    counted = b != 0
    with np.errstate(over="ignore"):
        return float(np.min(a[counted] / b[counted], initial=1.0))


def _largest_distance(f: FloatArray, error: FloatArray, y: FloatArray) -> FloatArray:
    """A number >= ``|f - y| + error`` for each row."""
    return (np.abs(f - y) + error) * (1.0 + growth(2))


def _smallest_margin(margin: FloatArray, error: FloatArray) -> FloatArray:
    """A number <= ``margin - error`` for each row."""
    below = margin - error
    return np.where(error > 0, below - growth(3) * np.abs(below), margin)


def _sum_above(values: FloatArray, s: FloatArray, roundings: int, alive: BoolArray) -> float:
    """A number >= ``sum_k s_k l_k``, for l_k >= 0 that `values` are to so many roundings.

    `alive` tells which l_k are not zero, whatever has underflowed.
    """
    counted = (s > 0) & alive
    if not np.any(counted):
        return 0.0
    terms = s[counted] * values[counted]
    if not np.all(np.isfinite(terms)):
        return np.inf
    lost = underflow(len(terms)) * (1.0 + float(np.max(s)))
    return up((math.fsum(terms.tolist()) + lost) * (1.0 + growth(roundings + 3)))


def _entropy_below(p: FloatArray) -> FloatArray:
    """A number <= ``-p log p - (1 - p) log(1 - p)`` for each p in [0, 1]."""
    inside, below = p > 0, p < 1
    entropy = np.where(inside, -p * np.log(np.where(inside, p, 1.0)), 0.0)
    entropy -= np.where(below, (1.0 - p) * np.log1p(-np.where(below, p, 0.0)), 0.0)
    # Both terms are >= 0, so that nothing cancels.
    return np.maximum(entropy * (1.0 - growth(_LOGARITHM + 4)) - underflow(1), 0.0)


def _check_labels(y: FloatArray, name: str, loss: str) -> None:
    bad = y[(y != -1.0) & (y != 1.0)]
    if bad.size:
        raise ValueError(f"`{name}` must hold only -1 and +1 for loss {loss!r}, got {bad[0]}")


_LOSSES: dict[str, Loss] = {
    loss.name: loss for loss in (Squared(), Logistic(), Huber(), SquaredHinge())
}


def get_loss(loss: Any) -> Loss:
    """Loss of a name ("huber" is ``Huber()``), or the loss itself.

    Raises
    ------
    ValueError
        For a name that is no loss.
    NotImplementedError
        For a loss of the contract that is not built yet, or one that the compiled solvers have
        no copy of.

    Examples
    --------
    >>> get_loss("squared").name
    'squared'
    """
    if isinstance(loss, Loss):
        # By type: what inherits from one has its code, but perhaps another formula.
        if type(loss) not in map(type, _LOSSES.values()):
            raise NotImplementedError(
                f"`loss` = {describe(loss)} is not one that the solvers know: {', '.join(_LOSSES)}"
            )
        return loss
    return _LOSSES[choice(loss, "loss", _LOSSES, later=LATER_LOSSES)]
