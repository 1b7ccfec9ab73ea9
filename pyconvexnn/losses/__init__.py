"""The losses, in NumPy: value, gradient and dual objective, slow and obvious.

The compiled solvers have their own copy (``csrc/convexnn/program/loss.hpp``); this one is the
reference that problems and :func:`pyconvexnn.verify` use, so that it checks the other. The methods
`dual_bound`, `largest_scale` and `value_bound` hold in real arithmetic, for the numbers as given.
"""

from __future__ import annotations

from typing import Any

from pyconvexnn._validation import choice, describe
from pyconvexnn.losses.base import Loss
from pyconvexnn.losses.classes import CrossEntropy
from pyconvexnn.losses.classification import Hinge, Logistic, SquaredHinge
from pyconvexnn.losses.counts import Poisson
from pyconvexnn.losses.regression import Huber, Squared

__all__ = [
    "CrossEntropy",
    "Hinge",
    "Huber",
    "Logistic",
    "Loss",
    "Poisson",
    "Squared",
    "SquaredHinge",
    "get_loss",
]

_LOSSES: dict[str, Loss] = {
    loss.name: loss
    for loss in (
        Squared(),
        Logistic(),
        Huber(),
        SquaredHinge(),
        Poisson(),
        Hinge(),
        CrossEntropy(),
    )
}


def get_loss(loss: Any) -> Loss:
    """Loss of a name ("huber" is ``Huber()``), or the loss itself.

    Raises
    ------
    ValueError
        For a name that is no loss.
    NotImplementedError
        For one that the compiled solvers have no copy of.

    Examples
    --------
    >>> get_loss("squared").name
    'squared'
    """
    if isinstance(loss, Loss):
        # By type: what inherits from one has its code, but perhaps another formula.
        if type(loss) not in map(type, _LOSSES.values()):
            raise NotImplementedError(
                f"`loss` must be one that the solvers know: {', '.join(_LOSSES)}; "
                f"got {describe(loss)}"
            )
        return loss
    return _LOSSES[choice(loss, "loss", _LOSSES)]
