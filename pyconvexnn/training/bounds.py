"""Lower bounds of the optimum from priced dual points."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pyconvexnn._typing import FloatArray
from pyconvexnn.training.task import Task


@dataclass(frozen=True, eq=False)
class Bound:
    """A lower bound ``D(scale * dual)`` of the optimum.

    Attributes
    ----------
    value : float
    dual : (n,) float64
        v, on the counted rows.
    price_bound : float
        M >= the largest ``|v' act(X u)|`` of a neuron of length 1.
    scale : float
        At most beta / M.
    method : str
        What M was found with.
    """

    value: float
    dual: FloatArray
    price_bound: float
    scale: float
    method: str


def lower_bound(task: Task, v: FloatArray, price_bound: float, method: str) -> Bound:
    limit = np.inf if price_bound <= 0 else task.beta / price_bound
    scale = float(min(1.0, limit))
    value = task.loss.dual_objective(scale * v, task.y, task.weight)
    return Bound(value, v, price_bound, scale, method)
