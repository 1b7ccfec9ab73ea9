"""Laws of growth fitted to measured seconds: powers of a size, and factors for each step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from pyconvexnn._typing import FloatArray


class Law(NamedTuple):
    """A slope of log seconds by least squares, its 95 % interval, and the share explained."""

    slope: float
    half_width: float
    r2: float


def power(sizes: ArrayLike, seconds: ArrayLike) -> Law | None:
    """a of ``seconds ~ sizes^a``; None from fewer than three different sizes."""
    return _law(np.log(np.asarray(sizes, float)), seconds)


def factor(steps: ArrayLike, seconds: ArrayLike) -> Law | None:
    """Log of c of ``seconds ~ c^steps``; None as for `power`."""
    return _law(np.asarray(steps, float), seconds)


def larger(sizes: Sequence[float]) -> list[int]:
    """Indices of the sizes in the upper half of the different ones, where set-up weighs less."""
    different = sorted(set(sizes))
    least = different[len(different) // 2]
    return [i for i, size in enumerate(sizes) if size >= least]


def power_text(law: Law | None) -> str:
    """``1.02 ± 0.05 (R2 0.99)``."""
    if law is None:
        return ""
    return f"{law.slope:.2f} ± {law.half_width:.2f} (R2 {law.r2:.3f})"


def factor_text(law: Law | None) -> str:
    """The factor with its interval: ``2.4, 2.1 to 2.8 (R2 0.97)``."""
    if law is None:
        return ""
    ends = np.exp([law.slope, law.slope - law.half_width, law.slope + law.half_width])
    return "{:.2f}, {:.2f} to {:.2f}".format(*ends) + f" (R2 {law.r2:.2f})"


def _law(x: FloatArray, seconds: ArrayLike) -> Law | None:
    if len(np.unique(x)) < 3:
        return None
    found = stats.linregress(x, np.log(np.asarray(seconds, float)))
    half = float(stats.t.ppf(0.975, len(x) - 2) * found.stderr)
    return Law(float(found.slope), half, float(found.rvalue**2))
