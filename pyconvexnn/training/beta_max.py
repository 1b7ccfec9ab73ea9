"""From which penalty on the best network has no neurons."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from pyconvexnn._typing import ArrayLike
from pyconvexnn._validation import positive, resolve_threads
from pyconvexnn.losses import Loss
from pyconvexnn.pricing import price
from pyconvexnn.training.clock import Clock
from pyconvexnn.training.task import Task


class BetaMax(NamedTuple):
    """Smallest penalty at which the network without neurons is optimal: see :func:`beta_max`.

    Attributes
    ----------
    value : float
        Attained by a neuron, to rounding: below it some neuron lowers the objective. Where nothing
        can be learnt it may be rounding of zero, with an upper bound that is far from it.
    upper_bound : float
        Rigorous: from it on none does.

    Examples
    --------
    ``|u_1| y_1 |x_1| / |x_1|`` is largest for a neuron along the one row:

    >>> import pyconvexnn as cx
    >>> value, upper_bound = cx.beta_max([[3.0, 4.0]], [2.0])
    >>> round(value, 9), bool(10 <= upper_bound < 10.01)
    (10.0, True)
    """

    value: float
    upper_bound: float


def beta_max(
    X: ArrayLike,
    y: ArrayLike,
    *,
    activation: str = "relu",
    slope: float = 0.01,
    loss: str | Loss = "squared",
    sample_weight: ArrayLike | None = None,
    output_offset: bool = False,
    rtol: float = 1e-4,
    time_limit: float | None = 10.0,
    threads: int | None = None,
) -> BetaMax:
    """Smallest penalty at which the best network, over all patterns, has no neurons.

    ``max_{|u| <= 1} |v0' act(X u)|`` with ``v0 = -s loss'(b)``, b the best output offset, or 0
    without one. Of several outputs the largest: below it one of the networks of
    :func:`train`, one for each output, has neurons.

    Parameters
    ----------
    X, y, activation, slope, loss, sample_weight, output_offset
        As for :func:`train`.
    rtol : float
        How close the upper bound is to the value, relative to it, if time allows.
    time_limit : float, optional
        Seconds for the upper bound.
    threads : int, optional
        None is 1, -1 all cores.

    Returns
    -------
    BetaMax
        ``value <= beta_max <= upper_bound``.

    Raises
    ------
    ValueError, TypeError
        Naming the argument, the rule and the value.

    Examples
    --------
    >>> import pyconvexnn as cx
    >>> found = cx.beta_max([[1, 0], [0, 1], [-1, 1], [1, 2]], [1, -1, 0.5, 2])
    >>> round(found.value, 6), bool(found.upper_bound <= found.value * (1 + 1e-4))
    (4.301163, True)
    """
    rtol = positive(rtol, "rtol")
    time_limit = None if time_limit is None else positive(time_limit, "time_limit")
    tasks = Task.of_outputs(
        X,
        y,
        1.0,
        activation=activation,
        slope=slope,
        loss=loss,
        sample_weight=sample_weight,
        output_offset=output_offset,
        time_limit=time_limit,
    )
    zero, clock = np.zeros(len(tasks[0].y)), Clock(time_limit)
    value = upper_bound = 0.0
    for place, task in enumerate(tasks):
        found = price(
            task.data,
            task.residual(zero + task.best_offset(zero)),
            slope=task.slope,
            rtol=rtol,
            time_limit=clock.share(1.0 / (len(tasks) - place)),
            threads=resolve_threads(threads),
            basis=task.basis,
        )
        value, upper_bound = max(value, found.value), max(upper_bound, found.bound, found.value)
    return BetaMax(value, upper_bound)
