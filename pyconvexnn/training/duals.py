"""Dual points of networks that were given: where a proof without further training starts."""

from __future__ import annotations

import numpy as np

from pyconvexnn._typing import FloatArray
from pyconvexnn.networks import TwoLayerNetwork
from pyconvexnn.training.bounds import dual_point
from pyconvexnn.training.cells import cells_around
from pyconvexnn.training.clock import Clock
from pyconvexnn.training.master import Master
from pyconvexnn.training.task import Task

_OWN = 1e-8  # relative gap of the program over a network's own cells


def dual_of(
    task: Task, net: TwoLayerNetwork, rng: np.random.Generator, clock: Clock, threads: int
) -> FloatArray:
    """The dual point of a network: its residual, or where the loss has kinks, that of a program.

    The residual at kinks may be far from optimal though the network is not. The program is that
    over the network's own cells.
    """
    f = net.predict(task.data)
    if not task.loss.smooth and not clock.is_over:
        U = task.inside(net.W1[np.any(net.W1 != 0, axis=1)])
        if len(packed := cells_around(task.X, U, rng)):
            sol = Master(task, packed, threads).solve(_OWN, clock.share(0.3))
            if np.any(sol.dual):
                return sol.dual
    return dual_point(task, task.residual(f + task.best_offset(f)))
