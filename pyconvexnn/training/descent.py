"""Descent on the weight-decay objective of several outputs, which no convex program is of."""

from __future__ import annotations

import numpy as np

from pyconvexnn._blocks import row_blocks
from pyconvexnn._typing import FloatArray
from pyconvexnn.networks import TwoLayerNetwork, activate
from pyconvexnn.training.clock import Clock
from pyconvexnn.training.shared_task import SharedTask

_STEPS = 500
# A network of convex programs lies on kinks, where a line search sees no way down: away from them.
_SHAKES = (0.0, 0.1)


class _OutOfTime(Exception):  # noqa: N818  # it is no error
    pass


def descend(
    task: SharedTask, net: TwoLayerNetwork, clock: Clock, rng: np.random.Generator
) -> TwoLayerNetwork:
    """Network of the same width at the end of a descent from this one, by L-BFGS.

    Parameters
    ----------
    task : SharedTask
        The problem.
    net : TwoLayerNetwork
        In the features as given, without hidden biases.
    clock : Clock
        When its time is over the best network so far is returned.
    rng : Generator
        Of small steps away from where no more is gained.

    Returns
    -------
    TwoLayerNetwork
        Its objective is not larger, but for rounding.
    """
    from scipy.optimize import minimize  # not needed by every program

    net = net.balance()
    slope = _Slope(task, net)
    start = slope.weights(net)
    if not len(net.W1):
        return net
    best, least = start, np.inf

    def counted(w: FloatArray) -> tuple[float, FloatArray]:
        nonlocal best, least
        if clock.is_over and np.isfinite(least):
            raise _OutOfTime
        value, gradient = slope(w)
        if value < least:
            best, least = w.copy(), value
        return value, gradient

    size = np.linalg.norm(start) / np.sqrt(len(start))
    try:
        with np.errstate(over="ignore", invalid="ignore"):
            for shake in _SHAKES:
                w = best + shake * size * rng.standard_normal(len(start))
                minimize(counted, w, jac=True, method="L-BFGS-B", options={"maxiter": _STEPS})
    except _OutOfTime:
        pass
    return slope.network(best)


class _Slope:
    """Objective and gradient at weights in one vector; nowhere is a matrix of rows by neurons."""

    def __init__(self, task: SharedTask, net: TwoLayerNetwork) -> None:
        self._task = task
        self._shapes = [net.W1.shape, net.W2.shape, (net.n_outputs * task.output_offset,)]

    def weights(self, net: TwoLayerNetwork) -> FloatArray:
        """The vector of a network."""
        b2 = np.zeros(self._shapes[2]) if net.b2 is None else net.b2[: self._shapes[2][0]]
        return np.concatenate([net.W1.ravel(), net.W2.ravel(), b2])

    def network(self, w: FloatArray) -> TwoLayerNetwork:
        """The network of a vector."""
        W1, W2, b2 = self._parts(w)
        return self._task.network(W1, W2, b2 if len(b2) else None)

    def __call__(self, w: FloatArray) -> tuple[float, FloatArray]:
        """Objective, and gradient where there is one: at a kink that of the negative side."""
        task, (W1, W2, b2) = self._task, self._parts(w)
        X, m = task.data, len(W1)
        f = np.empty_like(task.y)
        for part in row_blocks(len(X), m):
            f[part] = self._hidden(X[part], W1) @ W2
        f += b2 if len(b2) else 0.0
        residual = task.residual(f)
        G1, G2 = task.beta * W1, task.beta * W2
        for part in row_blocks(len(X), m):
            H = self._hidden(X[part], W1)
            G2 -= H.T @ residual[part]
            # Of a negative number |t| is positive, too: the inputs decide.
            on = X[part] @ W1.T > 0.0 if task.slope == -1.0 else H > 0.0
            G1 -= (np.where(on, 1.0, task.slope) * (residual[part] @ W2.T)).T @ X[part]
        ends = -np.sum(residual, axis=0) if len(b2) else b2
        value = task.value(f) + 0.5 * task.beta * float(np.vdot(W1, W1) + np.vdot(W2, W2))
        return value, np.concatenate([G1.ravel(), G2.ravel(), ends])

    def _hidden(self, X: FloatArray, W1: FloatArray) -> FloatArray:
        hidden = X @ W1.T
        activate(hidden, self._task.slope)
        return np.asarray(hidden)

    def _parts(self, w: FloatArray) -> list[FloatArray]:
        ends = np.cumsum([np.prod(shape, dtype=int) for shape in self._shapes])
        pieces = np.split(w, ends[:-1])
        return [piece.reshape(shape) for piece, shape in zip(pieces, self._shapes, strict=True)]
