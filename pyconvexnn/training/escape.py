"""Neurons that lower the objective of a network when they are added to it."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from pyconvexnn._typing import FloatArray
from pyconvexnn.networks import TwoLayerNetwork
from pyconvexnn.training.clock import Clock
from pyconvexnn.training.shared_task import AnyTask

_LOOKED_AT = 8  # neurons whose gain is computed
_FAR = 1e60  # no output weight is larger
_ROUNDING = 2e-15  # of the loss, and of the outputs: a gain below what it makes may be none


class Escape(NamedTuple):
    """A neuron worth adding: ``alpha act(x'u)``, u of length 1, and by how much it helps.

    alpha is a number, or a vector (K,) for several outputs. Its price is what it lowers the loss
    by, to first order, for each unit of ``|alpha|``. None and zeros where none is known.
    """

    neuron: tuple[FloatArray, Any] | None
    gain: float
    price: float


def best_escape(
    task: AnyTask, net: TwoLayerNetwork, U: FloatArray, clock: Clock | None = None
) -> Escape:
    """The one of some unit neurons that lowers the objective of a network most.

    Adding ``alpha act(X u)`` costs ``beta |alpha|``, and the loss falls at first at the rate
    ``|v' act(X u)|``, v the residual of the network: the objective falls where that is above
    beta, and nowhere else. As it is convex in alpha, its least value is found by halving; of
    several outputs, along ``V' act(X u)``.

    Parameters
    ----------
    task : Task or SharedTask
        The problem.
    net : TwoLayerNetwork
        In the features as given.
    U : (k, d) float64
        Unit neurons, those of the highest prices first.
    clock : Clock, optional
        When its time is over the first neuron that helps is enough.
    """
    f = net.predict(task.data)
    v = task.residual(f)
    before = task.value(f)
    # Outputs and targets far from zero are known to rounding of their size, and so is their loss.
    sizes = np.abs(f) + np.abs(task.y)
    best = Escape(None, 0.0, 0.0)
    for u in U[:_LOOKED_AT]:
        if clock is not None and clock.is_over and best.neuron is not None:
            break
        h = task.activate(task.data @ u)
        vector = h @ v  # a number for one output
        rate = float(np.linalg.norm(vector))
        if rate <= task.beta:
            continue
        way = vector / rate
        h = np.multiply.outer(h, way)
        size = _line_search(task, f, h)
        moved = f + size * h
        gain = before - task.value(moved) - task.beta * size
        rates = np.abs(v) + np.abs(task.residual(moved))
        if gain > max(best.gain, _ROUNDING * (before + float(np.vdot(rates, sizes)))):
            alpha = way * size if f.ndim == 2 else float(way * size)
            best = Escape((u, alpha), gain, rate)
    return best


def _line_search(task: AnyTask, f: FloatArray, h: FloatArray) -> float:
    """The t >= 0 of least ``loss(f + t h) + beta t``, to 1e-6; shapes are those of f."""

    def fall(t: float) -> float:
        return float(np.vdot(task.residual(f + t * h), h)) - task.beta

    low, high = 0.0, 0.0
    at_low = at_high = fall(0.0)
    size = float(np.max(np.abs(h), initial=0.0))
    if at_low <= 0.0 or size == 0.0:
        return 0.0
    # No loss has a second derivative above the weight of its row: the first step is too short.
    curvature = float(np.sum(task.weight * (h.T / size) ** 2))
    step = min(max(at_low / curvature / size / size, 1.0 / _FAR), _FAR)
    while at_high > 0.0 and high < _FAR:
        low, at_low = high, at_high
        high = max(4.0 * high, step)
        at_high = fall(high)
        if abs(at_high) <= 1e-6 * task.beta:
            return high
    # False position, and bisection after two of these.
    for k in range(100):
        if high - low <= 1e-6 * high:
            break
        part = at_low / (at_low - at_high) if k % 3 < 2 and at_high < 0.0 else 0.5
        middle = low + min(max(part, 1e-6), 1.0 - 1e-6) * (high - low)
        at_middle = fall(middle)
        if abs(at_middle) <= 1e-6 * task.beta:
            return middle
        if at_middle > 0.0:
            low, at_low = middle, at_middle
        else:
            high, at_high = middle, at_middle
    return low
