"""Losses of labels -1 and +1."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import ClassVar

import numpy as np

from pyconvexnn._rounding import dot_below, float_below, growth, products_in_order, underflow
from pyconvexnn._typing import FloatArray
from pyconvexnn.losses.base import Loss
from pyconvexnn.losses.sums import (
    LOGARITHM,
    ROUNDING,
    smallest_margin,
    smallest_quotient,
    sum_above,
    summit,
)


class _OfLabels(Loss):
    """A loss of labels."""

    def check_targets(self, y: FloatArray, name: str = "y") -> None:
        """Labels are -1 and +1."""
        bad = y[(y != -1.0) & (y != 1.0)]
        if bad.size:
            raise ValueError(
                f"`{name}` must hold only -1 and +1 for loss {self.name!r}, got {bad[0]}"
            )


class _Lipschitz(_OfLabels):
    """A loss of labels with a slope between 0 and -1 in the margin: D wants 0 <= y v / s <= 1."""

    def _is_inside(self, v: FloatArray, y: FloatArray, s: FloatArray, scale: float) -> bool:
        signs = np.all(y * v >= 0)
        return bool(signs and np.all(products_in_order(scale, np.abs(v), 1.0, s)))

    def _about_largest_scale(self, v: FloatArray, y: FloatArray, s: FloatArray) -> float:
        return 0.0 if np.any(y * v < 0) else smallest_quotient(s, np.abs(v))


@dataclass(frozen=True)
class Logistic(_Lipschitz):
    """``l(f, y) = log(1 + exp(-y f))``, y in {-1, +1}; D(v) is the entropy of ``y v / s``."""

    name: ClassVar[str] = "logistic"
    code: ClassVar[int] = 1
    falls_for_ever: ClassVar[bool] = True

    def value(self, f: FloatArray, y: FloatArray, s: FloatArray) -> float:
        """``sum s log(1 + exp(-y f))``."""
        return float(np.sum(s * np.logaddexp(0.0, -y * f)))

    def gradient(self, f: FloatArray, y: FloatArray, s: FloatArray) -> FloatArray:
        """``-s y / (1 + exp(y f))``."""
        margin = y * f
        # exp of a non-positive number only: neither branch overflows.
        small = np.exp(-np.abs(margin))
        return -s * y * np.where(margin >= 0, small, 1.0) / (1.0 + small)

    def curvature(self, f: FloatArray, y: FloatArray, s: FloatArray) -> FloatArray:
        """``s p (1 - p)``, p = 1 / (1 + exp(-f))."""
        small = np.exp(-np.abs(f))
        return s * small / (1.0 + small) ** 2

    def dual_objective(self, v: FloatArray, y: FloatArray, s: FloatArray) -> float:
        """``-sum s (p log p + (1 - p) log(1 - p))``, p = y v / s; -inf unless 0 <= p <= 1."""
        p = y * v / s
        if np.any(p < -ROUNDING) or np.any(p > 1.0 + ROUNDING):
            return -np.inf
        p = np.clip(p, 0.0, 1.0)
        # log1p: 1 - p is not exact where p is tiny, and D is a sum of such terms there.
        inside, below = p > 0, p < 1
        entropy = np.where(inside, p * np.log(np.where(inside, p, 1.0)), 0.0)
        entropy += np.where(below, (1.0 - p) * np.log1p(-np.where(below, p, 0.0)), 0.0)
        return float(-np.sum(s * entropy))

    def _dual_below(self, v: FloatArray, y: FloatArray, s: FloatArray, scale: float) -> float:
        """The entropy of p, rounded down.

        p is known to three roundings, and the entropy is concave: on an interval it is least at
        one of the ends.
        """
        p = scale * np.abs(v) / s
        error = growth(4) * p + underflow(1) * (v != 0)
        ends = [_entropy_below(np.clip(end, 0.0, 1.0)) for end in (p - error, p + error)]
        total = math.fsum((s * np.minimum(*ends)).tolist())
        return max(0.0, total * (1.0 - growth(6)) - underflow(len(s)))

    def best_scale(self, v: FloatArray, y: FloatArray, s: FloatArray, limit: float) -> float:
        """The t in [0, limit] with ``t v`` in the domain and the largest entropy, by halving."""
        counted = (s > 0) & (v != 0)
        weights = np.abs(v[counted])
        if not len(weights):
            return 0.0
        quotients = weights / s[counted]

        def slope(t: float) -> float:
            p = np.minimum(t * quotients, 1.0)
            with np.errstate(divide="ignore"):
                return float(np.sum(weights * (np.log1p(-p) - np.log(p))))

        return summit(slope, min(limit, self.largest_scale(v, y, s)))

    def value_bound(self, f: FloatArray, error: FloatArray, y: FloatArray, s: FloatArray) -> float:
        """``sum s log(1 + exp(-m))`` at the smallest margin ``m = y f - error``, rounded up."""
        margin = smallest_margin(y * f, error)
        return sum_above(np.logaddexp(0.0, -margin), s, 2 * LOGARITHM + 4, s > 0)

    def check_offset(self, y: FloatArray, s: FloatArray) -> None:
        """Both labels are needed: with one the loss falls to zero as b grows, and never is."""
        labels = np.unique(y[s > 0])
        if len(labels) < 2:
            raise ValueError(
                "`y` must hold both -1 and +1 among the rows of positive weight for loss "
                f"'logistic' with `output_offset` = True, got only {labels[0]}"
            )

    def _around_best_offset(
        self, f: FloatArray, y: FloatArray, s: FloatArray
    ) -> tuple[float, float]:
        # At f + b = log(sum of the weights of +1 / that of -1) in every row the slope is zero.
        odds = float(np.log(np.sum(s[y > 0])) - np.log(np.sum(s[y < 0])))
        return odds - float(np.max(f)), odds - float(np.min(f))


@dataclass(frozen=True)
class SquaredHinge(_OfLabels):
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

    def curvature(self, f: FloatArray, y: FloatArray, s: FloatArray) -> FloatArray:
        """``s`` where ``y f < 1``, else 0."""
        return s * (y * f < 1)

    def dual_objective(self, v: FloatArray, y: FloatArray, s: FloatArray) -> float:
        """``sum v y - v^2 / (2 s)``; -inf unless all ``y v >= 0``."""
        if np.any(y * v < 0):
            return -np.inf
        return float(np.sum(v * y - v**2 / (2 * s)))

    def value_bound(self, f: FloatArray, error: FloatArray, y: FloatArray, s: FloatArray) -> float:
        """``sum s (1 - m)_+^2 / 2`` at the smallest margin ``m = y f - error``, rounded up."""
        short = np.maximum(1.0 - smallest_margin(y * f, error), 0.0)
        return sum_above(0.5 * short**2, s, 6, short != 0)

    def _is_inside(self, v: FloatArray, y: FloatArray, s: FloatArray, scale: float) -> bool:
        return bool(np.all(y * v >= 0)) and not np.any(v[s == 0])

    def _about_largest_scale(self, v: FloatArray, y: FloatArray, s: FloatArray) -> float:
        return 0.0 if np.any(y * v < 0) else np.inf


@dataclass(frozen=True)
class Hinge(_Lipschitz):
    """``l(f, y) = (1 - y f)_+``, y in {-1, +1}; ``D(v) = sum y v`` for ``0 <= y v / s <= 1``.

    It has a kink at y f = 1, where many rows of a solution are. There -s times the slope that
    :meth:`gradient` returns says little of the optimal dual point, which solvers find by itself.
    """

    name: ClassVar[str] = "hinge"
    code: ClassVar[int] = 5
    smooth: ClassVar[bool] = False

    def value(self, f: FloatArray, y: FloatArray, s: FloatArray) -> float:
        """``sum s (1 - y f)_+``."""
        return float(np.sum(s * np.maximum(1.0 - y * f, 0.0)))

    def gradient(self, f: FloatArray, y: FloatArray, s: FloatArray) -> FloatArray:
        """``-s y`` where y f < 1, else 0: of the subgradients at y f = 1 that one."""
        return -s * y * (y * f < 1.0)

    def curvature(self, f: FloatArray, y: FloatArray, s: FloatArray) -> FloatArray:
        """0."""
        return 0.0 * f

    def dual_objective(self, v: FloatArray, y: FloatArray, s: FloatArray) -> float:
        """``sum y v``; -inf unless all ``0 <= y v / s <= 1``."""
        p = y * v / s
        if np.any(p < -ROUNDING) or np.any(p > 1.0 + ROUNDING):
            return -np.inf
        return float(np.sum(y * v))

    def _dual_below(self, v: FloatArray, y: FloatArray, s: FloatArray, scale: float) -> float:
        """A sum of ``y v``, rounded once."""
        return float_below(Fraction(scale) * dot_below(v, y))

    def best_scale(self, v: FloatArray, y: FloatArray, s: FloatArray, limit: float) -> float:
        """The largest t in [0, limit] with ``t v`` in the domain: D rises along v; 0 for v = 0."""
        return min(limit, self.largest_scale(v, y, s)) if np.any(v) else 0.0

    def value_bound(self, f: FloatArray, error: FloatArray, y: FloatArray, s: FloatArray) -> float:
        """``sum s (1 - m)_+`` at the smallest margin ``m = y f - error``, rounded up."""
        short = np.maximum(1.0 - smallest_margin(y * f, error), 0.0)
        return sum_above(short, s, 3, short != 0)

    def check_offset(self, y: FloatArray, s: FloatArray) -> None:
        """There is no solver for it."""
        raise ValueError("`output_offset` must be False for loss 'hinge', got True")


def _entropy_below(p: FloatArray) -> FloatArray:
    """A number <= ``-p log p - (1 - p) log(1 - p)`` for each p in [0, 1]."""
    inside, below = p > 0, p < 1
    entropy = np.where(inside, -p * np.log(np.where(inside, p, 1.0)), 0.0)
    entropy -= np.where(below, (1.0 - p) * np.log1p(-np.where(below, p, 0.0)), 0.0)
    # Both terms are >= 0, so that nothing cancels.
    return np.maximum(entropy * (1.0 - growth(LOGARITHM + 4)) - underflow(1), 0.0)
