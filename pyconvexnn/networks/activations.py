"""Activations of networks without gates: linear on either side of zero."""

from __future__ import annotations

from typing import Any

import numpy as np

from pyconvexnn._typing import FloatArray
from pyconvexnn._validation import nonnegative

ACTIVATIONS = ("relu", "leaky_relu", "abs")


def slope_of(activation: str, slope: Any) -> float:
    """What an activation multiplies negative numbers with; `slope` is that of "leaky_relu".

    Raises
    ------
    ValueError, TypeError
        If `slope` is no number in [0, 1).
    """
    slope = nonnegative(slope, "slope")
    if slope >= 1.0:
        raise ValueError(f"`slope` must be < 1, got {slope!r}")
    return {"relu": 0.0, "leaky_relu": float(slope), "abs": -1.0}[activation]


def activate(hidden: FloatArray, slope: float) -> None:
    """Multiply negative entries with the slope, 0 <= slope < 1 or -1, in place."""
    if slope == 0.0:
        np.maximum(hidden, 0.0, out=hidden)
    elif slope == -1.0:
        np.abs(hidden, out=hidden)
    else:
        np.maximum(hidden, slope * hidden, out=hidden)
