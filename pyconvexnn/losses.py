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
from pyconvexnn._validation import choice, describe

_ROUNDING = 4 * np.finfo(float).eps  # what y v / s may exceed its domain by when v was s y p
LATER_LOSSES = ("huber", "squared_hinge", "hinge", "poisson", "cross_entropy")


class Loss(ABC):
    """A convex loss ``sum_k s_k l(f_k, y_k)`` of fitted values f, targets y and weights s > 0."""

    name: ClassVar[str]
    code: ClassVar[int]  # the compiled enum LossKind

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


@dataclass(frozen=True)
class Squared(Loss):
    """``l(f, y) = (f - y)^2 / 2``, with ``D(v) = v'y - sum_k v_k^2 / (2 s_k)``."""

    name: ClassVar[str] = "squared"
    code: ClassVar[int] = 0

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
        bad = y[(y != -1.0) & (y != 1.0)]
        if bad.size:
            raise ValueError(f"`{name}` must hold only -1 and +1 for loss 'logistic', got {bad[0]}")


_LOSSES: dict[str, Loss] = {loss.name: loss for loss in (Squared(), Logistic())}


def get_loss(loss: Any) -> Loss:
    """Loss of a name, or the loss itself.

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
        if loss not in _LOSSES.values():
            raise NotImplementedError(
                f"`loss` = {describe(loss)} is not one that the solvers know: {', '.join(_LOSSES)}"
            )
        return loss
    return _LOSSES[choice(loss, "loss", _LOSSES, later=LATER_LOSSES)]
