"""The loss of counts."""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from pyconvexnn._rounding import growth, products_in_order, underflow
from pyconvexnn._typing import FloatArray
from pyconvexnn.losses.base import Loss
from pyconvexnn.losses.sums import LOGARITHM, ROUNDING, smallest_quotient, sum_above, summit


@dataclass(frozen=True)
class Poisson(Loss):
    """``l(f, y) = exp(f) - y f + (y log y - y)``, y >= 0, which is >= 0: half of the deviance.

    With q = y - v / s the dual objective is ``sum s (q - q log q + y log y - y)``, for q >= 0.

    Examples
    --------
    >>> import numpy as np
    >>> from pyconvexnn.losses import Poisson
    >>> y = np.array([3.0, 0.0])
    >>> Poisson().value(np.log([3.0, 0.5]), y, np.ones(2))  # 0, and the rate exp(f) where y = 0
    0.5
    """

    name: ClassVar[str] = "poisson"
    code: ClassVar[int] = 4
    falls_for_ever: ClassVar[bool] = True

    def value(self, f: FloatArray, y: FloatArray, s: FloatArray) -> float:
        """``sum s (exp(f) - y (1 + r))``, r = f - log y; near the best fit nothing cancels."""
        f = np.where(s > 0, f, 0.0)  # beside a weight of 0 it may be as large as it likes
        r = f - _log(y)
        near = (y > 0) & (np.abs(r) < 1)
        with np.errstate(over="ignore"):
            terms = np.where(near, y * (np.expm1(near * r) - r), np.exp(f) - y * (1.0 + r))
            return float(np.sum(s * terms))

    def gradient(self, f: FloatArray, y: FloatArray, s: FloatArray) -> FloatArray:
        """``s (exp(f) - y)``, which is ``s y (exp(r) - 1)``, r = f - log y."""
        f = np.where(s > 0, f, 0.0)
        r = f - _log(y)
        near = (y > 0) & (np.abs(r) < 1)
        with np.errstate(over="ignore"):
            return s * np.where(near, y * np.expm1(near * r), np.exp(f) - y)

    def curvature(self, f: FloatArray, y: FloatArray, s: FloatArray) -> FloatArray:
        """``s exp(f)``."""
        with np.errstate(over="ignore"):
            return s * np.exp(np.where(s > 0, f, 0.0))

    def dual_objective(self, v: FloatArray, y: FloatArray, s: FloatArray) -> float:
        """``sum s (q - q log q + y log y - y)``, q = y - v / s; -inf unless all q >= 0."""
        p = v / s
        if np.any(p > y * (1.0 + ROUNDING)):
            return -np.inf
        q = np.maximum(y - p, 0.0)
        # In p, as sums of small terms, where it is no larger than y.
        inside = (y > 0) & (np.abs(p) < y)
        part = np.where(inside, p, 0.0) / np.where(inside, y, 1.0)
        small = p * (_log(y) - 1.0) - q * np.log1p(-part)
        return float(np.sum(s * np.where(inside, small, q - q * _log(q) + y * _log(y) - y)))

    def _dual_below(self, v: FloatArray, y: FloatArray, s: FloatArray, scale: float) -> float:
        """The terms of D, rounded down.

        q is known to a few roundings, and the term is concave in it: on an interval it is least at
        one of the ends.
        """
        p = scale * v / s
        error = growth(4) * np.abs(p) + underflow(1) * (p != 0) + growth(2) * np.abs(y - p)
        ends = [_term_below(np.maximum(end, 0.0), y) for end in (y - p - error, y - p + error)]
        terms = s * np.minimum(*ends)
        lost = growth(4) * math.fsum(np.abs(terms).tolist()) + underflow(len(s))
        return math.fsum(terms.tolist()) - lost

    def best_scale(self, v: FloatArray, y: FloatArray, s: FloatArray, limit: float) -> float:
        """The t in [0, limit] with ``t v`` in the domain and the largest ``D(t v)``, by halving."""
        counted = (s > 0) & (v != 0)
        p, weights, counts = v[counted] / s[counted], v[counted], y[counted]
        if not len(weights):
            return 0.0

        def slope(t: float) -> float:
            with np.errstate(divide="ignore", over="ignore"):
                return float(np.sum(weights * np.log(np.maximum(counts - t * p, 0.0))))

        return summit(slope, min(limit, self.largest_scale(v, y, s), sys.float_info.max))

    def value_bound(self, f: FloatArray, error: FloatArray, y: FloatArray, s: FloatArray) -> float:
        """The larger of the losses at the ends of ``f -+ error``, rounded up."""
        room = error * (1.0 + growth(2)) + growth(2) * np.abs(f) * (error > 0)
        with np.errstate(over="ignore", invalid="ignore"):
            ends = [_loss_above(end, y) for end in (f - room, f + room)]
            # Near the best fit, r^2 exp(xi) y / 2 with xi between 0 and r (Taylor).
            log = _log(y)
            r = (np.abs(f - log) + room) * (1.0 + growth(2)) + growth(LOGARITHM) * np.abs(log)
            near = 0.5 * y * r**2 * np.exp(r) * (1.0 + growth(LOGARITHM + 6))
        above = np.where(y > 0, np.fmin(np.maximum(*ends), near), np.maximum(*ends))
        return sum_above(above, s, 2, (s > 0) & (above > 0))

    def check_targets(self, y: FloatArray, name: str = "y") -> None:
        """Targets are >= 0."""
        if np.any(y < 0):
            raise ValueError(f"`{name}` must be >= 0 for loss 'poisson', got {y[y < 0][0]}")

    def check_offset(self, y: FloatArray, s: FloatArray) -> None:
        """A target above zero is needed: else the loss falls to zero as b falls, and never is."""
        if not np.any(y[s > 0] > 0):
            raise ValueError(
                "`y` must hold a number above 0 among the rows of positive weight for loss "
                "'poisson' with `output_offset` = True, got only zeros"
            )

    def _is_inside(self, v: FloatArray, y: FloatArray, s: FloatArray, scale: float) -> bool:
        above = v > 0
        inside = np.all(products_in_order(scale, v[above], y[above], s[above]))
        return bool(inside) and not np.any(v[s == 0])

    def _about_largest_scale(self, v: FloatArray, y: FloatArray, s: FloatArray) -> float:
        above = v > 0
        return smallest_quotient(y[above] * s[above], v[above]) if np.any(above) else np.inf

    def _around_best_offset(
        self, f: FloatArray, y: FloatArray, s: FloatArray
    ) -> tuple[float, float]:
        # At f + b = log(mean of y) in every row the slope is zero.
        level = float(np.log(np.sum(s * y)) - np.log(np.sum(s)))
        return level - float(np.max(f)), level - float(np.min(f))


def _log(x: FloatArray) -> FloatArray:
    """``log x``, 0 where x is 0."""
    return np.asarray(np.log(np.where(x > 0, x, 1.0)))


def _term_below(q: FloatArray, y: FloatArray) -> FloatArray:
    """A number <= ``q - q log q + y log y - y`` for each q, y >= 0."""
    parts = (q, -q * _log(q), y * _log(y), -y)
    size = sum(map(np.abs, parts))
    return np.asarray(sum(parts) - growth(LOGARITHM + 6) * size - underflow(2))


def _loss_above(f: FloatArray, y: FloatArray) -> FloatArray:
    """A number >= ``exp(f) - y f + y log y - y`` for each f, y."""
    parts = (np.exp(f), -y * f, y * _log(y), -y)
    size = sum(map(np.abs, parts))
    above = np.maximum(sum(parts) + growth(LOGARITHM + 6) * size + underflow(2), 0.0)
    return np.asarray(np.where(np.isnan(above), np.inf, above))
