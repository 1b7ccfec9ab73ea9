"""Neurons that lower the objective of a network when they are added to it."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

from pyconvexnn._typing import FloatArray
from pyconvexnn.networks import TwoLayerNetwork
from pyconvexnn.training.task import Task

_LOOKED_AT = 8  # neurons whose gain is computed
_FAR = 1e60  # no output weight is larger
_ROUNDING = 2e-15  # of the loss: a gain below it may be none


class Escape(NamedTuple):
    """A neuron worth adding: ``alpha act(x'u)``, u of length 1, and by how much it helps.

    None and 0 where none is known.
    """

    neuron: tuple[FloatArray, float] | None
    gain: float


def best_escape(
    task: Task, net: TwoLayerNetwork, U: FloatArray, is_over: Callable[[], bool] = lambda: False
) -> Escape:
    """The one of some unit neurons that lowers the objective of a network most.

    Adding ``alpha act(X u)`` costs ``beta |alpha|``, and the loss falls at first at the rate
    ``|v' act(X u)|``, v the residual of the network: the objective falls where that is above
    beta, and nowhere else. As it is convex in alpha, its least value is found by halving.

    Parameters
    ----------
    task : Task
        The problem.
    net : TwoLayerNetwork
        In the features as given.
    U : (k, d) float64
        Unit neurons, those of the highest prices first.
    is_over : callable, optional
        Whether time is over: then the first of them that helps is taken.
    """
    f = net.predict(task.data)
    v = task.residual(f)
    before = task.loss.value(f, task.y, task.weight)
    best = Escape(None, 0.0)
    for u in U[:_LOOKED_AT]:
        h = task.activate(task.data @ u)
        rate = float(v @ h)
        if abs(rate) <= task.beta:
            continue
        sign = math.copysign(1.0, rate)
        size = _line_search(task, f, sign * h)
        after = task.loss.value(f + sign * size * h, task.y, task.weight)
        gain = before - after - task.beta * size
        if gain > max(best.gain, _ROUNDING * before):
            best = Escape((u, sign * size), gain)
            if is_over():
                break
    return best


def _line_search(task: Task, f: FloatArray, h: FloatArray) -> float:
    """The t >= 0 of least ``loss(f + t h) + beta t``, to 1e-6."""

    def falls(t: float) -> bool:
        return float(task.residual(f + t * h) @ h) > task.beta

    low, high = 0.0, 1.0 / _FAR
    while falls(high) and high < _FAR:
        low, high = high, 1e3 * high
    while high - low > 1e-6 * high and low > 0.0:
        middle = 0.5 * (low + high) if high <= 2 * low else math.sqrt(low * high)
        low, high = (middle, high) if falls(middle) else (low, middle)
    return low
