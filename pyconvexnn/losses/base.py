"""What a loss is: value, gradient and dual objective, and bounds of them in real arithmetic."""

from __future__ import annotations

import math
import sys
from abc import ABC, abstractmethod
from fractions import Fraction
from typing import ClassVar

import numpy as np

from pyconvexnn._rounding import dot_below, float_below, squares_above
from pyconvexnn._typing import FloatArray


class Loss(ABC):
    """A convex loss ``sum_k s_k l(f_k, y_k)`` of fitted values f, targets y and weights s > 0.

    Arrays may have a column for each of several outputs, s too: the loss is then the sum over all
    entries, but for a loss that is `joint`.
    """

    name: ClassVar[str]
    code: ClassVar[int]  # the compiled enum LossKind
    shifts: ClassVar[bool] = False  # whether l(f + c, y + c) = l(f, y)
    falls_for_ever: ClassVar[bool] = False  # whether l may have no minimum in f
    joint: ClassVar[bool] = False  # whether l is one of all outputs of a sample together
    smooth: ClassVar[bool] = True  # whether -gradient tends to the optimal dual point as f does

    @property
    def parameter(self) -> float:
        """The one number that the loss depends on, for the compiled copy; 0 where there is none."""
        return 0.0

    @abstractmethod
    def value(self, f: FloatArray, y: FloatArray, s: FloatArray) -> float:
        """``sum_k s_k l(f_k, y_k)``."""

    @abstractmethod
    def gradient(self, f: FloatArray, y: FloatArray, s: FloatArray) -> FloatArray:
        """``s_k l'(f_k, y_k)``, shape (n,); at a kink one of the subgradients."""

    @abstractmethod
    def curvature(self, f: FloatArray, y: FloatArray, s: FloatArray) -> FloatArray:
        """``s_k l''(f_k, y_k)``, from one side where it jumps."""

    def as_targets(
        self, y: FloatArray, name: str = "y", n_classes: int | None = None
    ) -> FloatArray:
        """Targets as this loss takes them, of targets as a user may give them.

        The number of classes, where there are any, is told by the targets unless it is given.
        """
        return y

    @abstractmethod
    def dual_objective(self, v: FloatArray, y: FloatArray, s: FloatArray) -> float:
        """``D(v) = -sum_k s_k l*(-v_k / s_k)``; -inf where v leaves the conjugate's domain."""

    @abstractmethod
    def check_targets(self, y: FloatArray, name: str = "y") -> None:
        """Raise ValueError when y is no target of this loss."""

    # --- in real arithmetic --------------------------------------------------------------------

    def dual_bound(self, v: FloatArray, y: FloatArray, s: FloatArray, scale: float) -> float:
        """A number <= ``D(scale v)`` in real arithmetic, for the floats as given; scale >= 0.

        -inf unless ``scale v`` is surely in the domain; where s is 0 v must be.
        """
        if scale == 0.0:
            return 0.0
        if not self._is_inside(v, y, s, scale):
            return -np.inf
        counted = s > 0
        return self._dual_below(v[counted], y[counted], s[counted], scale)

    def _dual_below(self, v: FloatArray, y: FloatArray, s: FloatArray, scale: float) -> float:
        """:meth:`dual_bound` inside the domain, for s > 0.

        Here of the quadratic ``scale v'y - scale^2 sum v^2 / (2 s)``, two sums rounded once, the
        rest exact.
        """
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
        """Raise ValueError when there can be no output offset.

        Either none is best, as ``value(f + b, y, s)`` falls for ever, or no solver knows of it.
        """
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
