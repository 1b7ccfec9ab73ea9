"""Losses of real targets: squares, and Huber's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from pyconvexnn._rounding import products_in_order
from pyconvexnn._typing import FloatArray
from pyconvexnn._validation import LARGEST_SCALE, SMALLEST_SCALE, positive
from pyconvexnn.losses.base import Loss
from pyconvexnn.losses.sums import ROUNDING, largest_distance, smallest_quotient, sum_above


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

    def curvature(self, f: FloatArray, y: FloatArray, s: FloatArray) -> FloatArray:
        """``s``."""
        return s + 0.0 * f

    def dual_objective(self, v: FloatArray, y: FloatArray, s: FloatArray) -> float:
        """``sum v y - v^2 / (2 s)``."""
        return float(np.sum(v * y - v**2 / (2 * s)))

    def value_bound(self, f: FloatArray, error: FloatArray, y: FloatArray, s: FloatArray) -> float:
        """``sum s r^2 / 2`` at the largest ``r = |f - y| + error``, rounded up."""
        r = largest_distance(f, error, y)
        return sum_above(0.5 * r**2, s, 4, r != 0)

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

    def curvature(self, f: FloatArray, y: FloatArray, s: FloatArray) -> FloatArray:
        """``s`` where ``|f - y| <= delta``, else 0."""
        return s * (np.abs(f - y) <= self.delta)

    def dual_objective(self, v: FloatArray, y: FloatArray, s: FloatArray) -> float:
        """``sum v y - v^2 / (2 s)``; -inf unless all ``|v| <= delta s``."""
        if np.any(np.abs(v) > self.delta * s * (1.0 + ROUNDING)):
            return -np.inf
        return float(np.sum(v * y - v**2 / (2 * s)))

    def value_bound(self, f: FloatArray, error: FloatArray, y: FloatArray, s: FloatArray) -> float:
        """:meth:`value` at the largest ``r = |f - y| + error``, rounded up."""
        r = largest_distance(f, error, y)
        m = np.minimum(r, self.delta)
        return sum_above(0.5 * m**2 + self.delta * (r - m), s, 6, r != 0)

    def check_targets(self, y: FloatArray, name: str = "y") -> None:
        """Any real targets will do."""

    def _is_inside(self, v: FloatArray, y: FloatArray, s: FloatArray, scale: float) -> bool:
        return bool(np.all(products_in_order(scale, np.abs(v), self.delta, s)))

    def _about_largest_scale(self, v: FloatArray, y: FloatArray, s: FloatArray) -> float:
        return smallest_quotient(self.delta * s, np.abs(v))
