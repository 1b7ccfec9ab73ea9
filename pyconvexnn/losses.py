"""The losses, in NumPy: value, gradient and dual objective, slow and obvious.

The compiled solvers have their own copy (``csrc/convexnn/program/loss.hpp``); this one is the
reference that problems and :func:`pyconvexnn.verify` use, so that it checks the other.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from pyconvexnn._typing import FloatArray
from pyconvexnn._validation import LARGEST_SCALE, SMALLEST_SCALE, choice, describe, positive

_ROUNDING = 4 * np.finfo(float).eps  # what y v / s may exceed its domain by when v was s y p
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

    def check_targets(self, y: FloatArray, name: str = "y") -> None:
        """Any real targets will do."""


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

    def check_targets(self, y: FloatArray, name: str = "y") -> None:
        """Labels are -1 and +1."""
        _check_labels(y, name, self.name)


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
