"""Pieces of the losses' bounds: quotients, margins and sums in real arithmetic."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from pyconvexnn._rounding import growth, underflow, up
from pyconvexnn._typing import BoolArray, FloatArray

ROUNDING = 4 * np.finfo(float).eps  # what y v / s may exceed its domain by when v was s y p
LOGARITHM = 8  # last places by which exp, log and log1p may be wrong, and far more than they are


def smallest_quotient(a: FloatArray, b: FloatArray) -> float:
    """``min(1, min_k a_k / b_k)`` over the b_k that are not zero."""
    counted = b != 0
    with np.errstate(over="ignore"):
        return float(np.min(a[counted] / b[counted], initial=1.0))


def largest_distance(f: FloatArray, error: FloatArray, y: FloatArray) -> FloatArray:
    """A number >= ``|f - y| + error`` for each row."""
    return (np.abs(f - y) + error) * (1.0 + growth(2))


def smallest_margin(margin: FloatArray, error: FloatArray) -> FloatArray:
    """A number <= ``margin - error`` for each row."""
    below = margin - error
    return np.where(error > 0, below - growth(3) * np.abs(below), margin)


def sum_above(values: FloatArray, s: FloatArray, roundings: int, alive: BoolArray) -> float:
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


def summit(slope: Callable[[float], float], high: float) -> float:
    """Where on [0, high] a concave function of this slope is largest, about; by halving."""
    low, t = 0.0, high
    for _ in range(100):
        rise = slope(t)
        if rise == 0.0 or (rise > 0 and t == high):
            break
        low, high = (t, high) if rise > 0 else (low, t)
        t = 0.5 * (low + high)
        if not low < t < high:
            break
    return t
