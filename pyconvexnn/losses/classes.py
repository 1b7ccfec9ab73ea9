"""The loss of classes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from pyconvexnn._rounding import growth
from pyconvexnn._typing import FloatArray
from pyconvexnn.losses.base import Loss
from pyconvexnn.losses.sums import LOGARITHM, ROUNDING, sum_above


@dataclass(frozen=True)
class CrossEntropy(Loss):
    """``l(f, y) = log sum_j exp(f_j) - y'f`` of K outputs, y one-hot: softmax regression.

    Arrays are (n, K). With q = y - v / s, a distribution over the classes in each row, the dual
    objective is ``sum_k s_k H(q_k)``, H the entropy.

    Examples
    --------
    >>> import numpy as np
    >>> from pyconvexnn.losses import CrossEntropy
    >>> y = np.array([[1.0, 0.0, 0.0]])
    >>> round(CrossEntropy().value(np.zeros((1, 3)), y, np.ones((1, 3))), 6)  # log 3
    1.098612
    """

    name: ClassVar[str] = "cross_entropy"
    code: ClassVar[int] = 6
    falls_for_ever: ClassVar[bool] = True
    joint: ClassVar[bool] = True

    def value(self, f: FloatArray, y: FloatArray, s: FloatArray) -> float:
        """``sum_k s_k log(1 + sum of exp(f_j - f_y))`` over the classes j other than y."""
        own = np.sum(np.where(y > 0, f, 0.0), axis=1, keepdims=True)
        others = np.where(y > 0, -np.inf, f - own)
        largest = np.maximum(np.max(others, axis=1), 0.0)
        total = np.sum(np.exp(others - largest[:, np.newaxis]), axis=1)
        near = largest == 0.0
        terms = np.where(near, np.log1p(total), largest + np.log(total + np.exp(-largest)))
        return float(np.sum(s[:, 0] * terms))

    def gradient(self, f: FloatArray, y: FloatArray, s: FloatArray) -> FloatArray:
        """``s (softmax(f) - y)``; its rows sum to zero."""
        p = np.exp(f - np.max(f, axis=1, keepdims=True))
        p /= np.sum(p, axis=1, keepdims=True)
        others = np.where(y > 0, 0.0, p)
        own = -np.sum(others, axis=1, keepdims=True)  # p - 1, where nothing cancels
        return s * np.where(y > 0, own, others)

    def curvature(self, f: FloatArray, y: FloatArray, s: FloatArray) -> FloatArray:
        """``s softmax(f)``, of which the Hessian is ``diag(h) - h h' / s`` in each row."""
        return self.gradient(f, np.zeros_like(y), s)

    def dual_objective(self, v: FloatArray, y: FloatArray, s: FloatArray) -> float:
        """``sum_k s_k H(y_k - v_k / s_k)``; -inf unless these are distributions."""
        q = y - v / s
        if np.any(q < -ROUNDING) or np.any(np.abs(np.sum(v / s, axis=1)) > len(q.T) * ROUNDING):
            return -np.inf
        q = np.maximum(q, 0.0)
        p = np.where(y > 0, v / s, 0.0)  # q = 1 - p where y = 1
        with np.errstate(divide="ignore", invalid="ignore"):  # where p = 1
            own = -np.where(p < 1, (1 - p) * np.log1p(-np.minimum(p, 1.0)), 0.0)
        rest = -q * np.log(np.where(q > 0, q, 1.0))
        return float(np.sum(s * np.where(y > 0, np.where(p < 1, own, 0.0), rest)))

    def _dual_below(self, v: FloatArray, y: FloatArray, s: FloatArray, scale: float) -> float:
        """0, as no entropy is negative: no certificate against all patterns takes this loss."""
        return 0.0

    def value_bound(self, f: FloatArray, error: FloatArray, y: FloatArray, s: FloatArray) -> float:
        """A number >= :meth:`value` of any fit within `error` of f.

        Each term grows by at most twice the largest error of its row; :meth:`value` is right to
        the roundings of a row's differences, exponentials, logarithm and sum.
        """
        own = np.sum(np.where(y > 0, f, 0.0), axis=1, keepdims=True)
        spread = np.max(np.abs(f) + np.abs(own), axis=1)
        room = 2.0 * np.max(error, axis=1) + growth(4 + LOGARITHM + f.shape[1]) * spread
        rows = [self.value(f[[k]], y[[k]], np.ones_like(y[[k]])) for k in range(len(f))]
        above = (np.array(rows) + room) * (1.0 + growth(2 * LOGARITHM + f.shape[1]))
        return sum_above(above, s[:, 0], 4, np.ones(len(f), bool))

    def check_targets(self, y: FloatArray, name: str = "y") -> None:
        """Targets are one-hot rows of at least two classes."""
        if y.ndim != 2:
            raise ValueError(
                f"`{name}` must be one-hot rows (n, K) or class numbers 0 to K - 1 for loss "
                f"'cross_entropy', got shape {y.shape}"
            )
        if not (np.isin(y, (0.0, 1.0)).all() and (np.sum(y, axis=1) == 1.0).all()):
            raise ValueError(
                f"`{name}` must hold one 1 in each row and 0 else for loss 'cross_entropy'"
            )

    def as_targets(
        self, y: FloatArray, name: str = "y", n_classes: int | None = None
    ) -> FloatArray:
        """One-hot rows of class numbers 0 to K - 1; other arrays as they are.

        Where the targets tell K, each class must occur: numbers from 1 on are a slip.
        """
        if y.ndim != 1:
            return y
        largest = np.max(y)
        known = len(y) if n_classes is None else n_classes - 1
        if not np.array_equal(y, np.floor(y)) or np.min(y) < 0 or largest > known:
            last = "K - 1" if n_classes is None else str(known)
            raise ValueError(
                f"`{name}` must be class numbers 0 to {last}, or one-hot rows, for loss "
                f"'cross_entropy', got numbers from {np.min(y):g} to {largest:g}"
            )
        codes = y.astype(np.int64)
        if n_classes is None:
            if largest < 1:
                raise ValueError(
                    f"`{name}` must hold at least two classes for loss 'cross_entropy'"
                )
            n_classes = int(largest) + 1
            missing = np.flatnonzero(np.bincount(codes) == 0)
            if len(missing):
                raise ValueError(
                    f"`{name}` must hold each class from 0 to {n_classes - 1} for loss "
                    f"'cross_entropy', got none of class {missing[0]}; one-hot rows may lack some"
                )
        return np.eye(n_classes)[codes]

    def check_offset(self, y: FloatArray, s: FloatArray) -> None:
        """A class that no row has is ever less likely as its offset falls."""
        missing = np.flatnonzero(np.sum(y[s > 0], axis=0) == 0)
        if len(missing):
            raise ValueError(
                "`y` must hold every class among the rows of positive weight for loss "
                f"'cross_entropy' with `output_offset` = True, got none of class {missing[0]}"
            )
