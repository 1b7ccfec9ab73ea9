"""Bounds in real arithmetic, whatever the rounding: of an optimum, and of a network's objective."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from pyconvexnn._blocks import row_blocks
from pyconvexnn._rounding import down, exact_dot, freivalds, growth, underflow, up
from pyconvexnn._typing import FloatArray
from pyconvexnn.losses import Loss
from pyconvexnn.networks import TwoLayerNetwork, activate, slope_of


class LowerBound(NamedTuple):
    """``D(scale dual) >= value``: see :func:`lower_bound`."""

    value: float
    scale: float
    dual: FloatArray


def lower_bound(
    loss: Loss,
    v: FloatArray,
    y: FloatArray,
    sample_weight: FloatArray,
    beta: float,
    price_bound: float,
    *,
    output_offset: bool = False,
) -> LowerBound:
    r"""Lower bound of the optimum over all networks, in real arithmetic, from one dual point.

    For every s in [0, beta / M] with s v in the domain of D

    .. math:: D(s v) \le \min_{u_j, \alpha_j, b} \sum_k s_k \ell(f(x_k), y_k)
        + \tfrac\beta2 \sum_j (\|u_j\|^2 + \|\alpha_j\|_2^2)

    if M is at least ``max ||v' act(X u)||_2`` over all ``||u|| <= 1`` and, with an output offset
    b, every column of v sums to zero exactly. Losses of several outputs add up.

    Parameters
    ----------
    loss : Loss
        Loss.
    v : (n,) or (n, K) float64
        Dual point; a column for each of several outputs. With `output_offset` as
        :func:`pyconvexnn._rounding.balanced` returns it, and priced so.
    y : (n,) or (n, K) float64
        Targets.
    sample_weight : (n,) float64
        Weights >= 0.
    beta : float
        Penalty, > 0.
    price_bound : float
        M; inf gives the bound 0, of a loss that is not negative.
    output_offset : bool
        Whether networks have a free offset.

    Returns
    -------
    LowerBound
        value, never above ``D(scale v)`` in real arithmetic; scale, the best or about; v.

    Raises
    ------
    ValueError
        If v does not sum to zero where it must.

    Examples
    --------
    >>> import numpy as np
    >>> from pyconvexnn.losses import Squared
    >>> y = np.array([3.0, -4.0])
    >>> value, scale, _ = lower_bound(Squared(), y, y, np.ones(2), 1.0, 5.0)
    >>> round(value, 12), round(scale, 12)   # .2 * 25 - .2^2 * 25 / 2
    (4.5, 0.2)
    """
    columns = v.reshape(len(v), -1).T
    if output_offset and any(math.fsum(column.tolist()) != 0.0 for column in columns):
        raise ValueError("`v` must sum to zero exactly with an output offset: see `balanced`")
    limit = math.inf if price_bound == 0.0 else max(down(beta / price_bound), 0.0)
    entries = v.ravel(), y.ravel(), np.repeat(sample_weight, len(columns))
    scale = loss.best_scale(*entries, limit)
    value = loss.dual_bound(*entries, scale)
    # No loss is negative, and D(0) = 0.
    return LowerBound(value, scale, v) if value >= 0.0 else LowerBound(0.0, 0.0, v)


def objective_bound(
    net: TwoLayerNetwork,
    X: FloatArray,
    y: FloatArray,
    beta: float,
    loss: Loss,
    sample_weight: FloatArray,
) -> tuple[float, float]:
    r"""Weight-decay objective of a network, rounded up, and by how much.

    An upper bound of the objective in real arithmetic of the network and data as given:

    .. math:: \sum_k s_k \ell(f(x_k), y_k)
        + \tfrac\beta2 \sum_j (\|w_j\|^2 + b_{1j}^2 + \|a_j\|_2^2).

    f is computed with an error of at most ``(d + m + 8) u`` times the same sums of absolute
    values; the loss is convex, so it is largest at one of the ends of what f may be.

    Parameters
    ----------
    net : TwoLayerNetwork
        With K outputs.
    X : (n, d) float64
        Data.
    y : (n,) or (n, K) float64
        Targets.
    beta : float
        Penalty, >= 0.
    loss : Loss
        Loss; those of several outputs add up.
    sample_weight : (n,) float64
        Weights >= 0.

    Returns
    -------
    tuple of float
        The bound, and the bound less the objective in plain floating point.

    Raises
    ------
    WrongProductError
        If this machine multiplies matrices wrongly.

    Examples
    --------
    >>> import numpy as np, pyconvexnn as cx
    >>> net = cx.TwoLayerNetwork.from_arrays([[1.0]], [[2.0]])
    >>> data = np.array([[1.0], [-1.0]]), np.array([1.0, 1.0])
    >>> above, slack = objective_bound(net, *data, 0.1, cx.losses.Squared(), np.ones(2))
    >>> above >= net.objective(*data, 0.1), slack < 1e-13
    (True, True)
    """
    f, error = _outputs(net, X)
    weights = [net.W1.ravel(), net.W2.ravel(), *([] if net.b1 is None else [net.b1])]
    w = np.concatenate(weights)
    squares = exact_dot(w, w)
    penalty = 0.0 if squares == 0.0 else up(up(up(0.5 * beta) * up(squares)))
    f, error, y = f.ravel(), error.ravel(), y.ravel()
    sample_weight = np.repeat(sample_weight, net.n_outputs)
    above = loss.value_bound(f, error, y, sample_weight)
    if penalty:
        above = up(above + penalty)
    plain = loss.value(f, y, sample_weight) + 0.5 * beta * squares
    return above, max(0.0, above - plain)


def _outputs(net: TwoLayerNetwork, X: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Outputs (n, K) of a network, and what each may be wrong by; some rows at a time."""
    b1 = np.zeros(net.n_neurons) if net.b1 is None else net.b1
    alive = np.any(net.W2 != 0, axis=1) & (np.any(net.W1 != 0, axis=1) | (b1 != 0))
    W, A, b1 = net.W1[alive], net.W2[alive], b1[alive]
    (m, d), b2 = W.shape, np.zeros(net.n_outputs) if net.b2 is None else net.b2
    f = np.tile(b2, (len(X), 1))
    if m == 0:
        return f, np.zeros_like(f)
    slope = slope_of(net.activation, net.slope)
    sizes = np.empty_like(f)
    sides = np.abs(W)
    reach = np.stack([np.einsum("jd,j->d", sides, np.abs(a)) for a in A.T])
    for part in row_blocks(len(X), max(m, d)):
        rows = X[part]
        hidden = rows @ W.T
        freivalds(rows, W.T, hidden)
        hidden += b1
        activate(hidden, slope)
        for k in range(net.n_outputs):
            f[part, k] = np.einsum("kj,j->k", hidden, A[:, k]) + b2[k]
            sizes[part, k] = np.einsum("kd,d->k", np.abs(rows), reach[k])
    sizes += np.sum(np.abs(b1[:, np.newaxis] * A), axis=0) + np.abs(b2)
    lost = underflow((d + m + 8) * (1.0 + np.sum(np.abs(A), axis=0)))
    error = growth(d + m + 8)
    return f, error * (1.0 + error) * sizes + lost
