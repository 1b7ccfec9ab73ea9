r"""The price of several outputs, ``max ||V' act(X u)||_2`` over unit neurons, from scalar prices.

For any orthogonal Q and the columns z_k of ``V Q``,

.. math:: \|V^T h\|_2^2 = \sum_k (z_k^T h)^2 \le \sum_k M_k^2, \qquad
    M_k \ge \max_{\|u\| \le 1} |z_k^T \phi(X u)|, \quad h = \phi(X u).

It is an equation where one neuron has the largest prices of all columns. With Q = I they rarely
agree; an optimal network knows a better Q. By the same inequality, the other way round, with the
output weights a_j of its unit neurons

.. math:: \sum_j \|a_j\|_2 \ge \Big(\sum_k \big(\sum_j |a_j^T q_k|\big)^2\Big)^{1/2},

and what one of the two sums loses the other one does.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from pyconvexnn._blocks import row_blocks
from pyconvexnn._rounding import growth, underflow, up
from pyconvexnn._typing import FloatArray
from pyconvexnn.networks import activate
from pyconvexnn.pricing.price import Price
from pyconvexnn.pricing.rows import norm_bound

_STARTS = 20  # random rotations beside the identity
_STEPS = 200
_GAIN = 1e-9  # relative, below which a climb ends
_NEURONS = 500  # that a rotation is chosen by: the largest


class Columns(NamedTuple):
    """A matrix in another basis of the outputs: ``V Q`` to rounding, and Q, (K, K)."""

    turned: FloatArray
    Q: FloatArray


def columns(V: FloatArray, Q: FloatArray) -> Columns:
    """Columns of ``V Q``; those of V itself where Q is the identity."""
    return Columns(V if np.array_equal(Q, np.eye(len(Q))) else V @ Q, Q)


def price_bound(
    X: FloatArray,
    V: FloatArray,
    turned: Columns,
    bounds: Sequence[float],
    sizes: Sequence[float] | None = None,
) -> float:
    """Bound in real arithmetic of ``max ||V' act(X u)||_2`` over the unit ball.

    Parameters
    ----------
    X : (n, d) float64
        Data.
    V : (n, K) float64
        Dual point, about ``sum_k t_k z_k q_k'``: what it differs by is priced row by row.
    turned : Columns
        The z_k, and Q.
    bounds : sequence of K float
        Bounds of the prices of the z_k, in real arithmetic.
    sizes : sequence of K float, optional
        The t_k >= 0; 1 by default.

    Returns
    -------
    float
        inf where a bound is.

    Examples
    --------
    >>> import numpy as np
    >>> X, V = np.eye(2), np.array([[3.0, 0.0], [0.0, 4.0]])
    >>> round(price_bound(X, V, columns(V, np.eye(2)), [3.0, 4.0]), 12)
    5.0
    """
    z, Q = turned
    K, d = V.shape[1], X.shape[1]
    t = np.ones(K) if sizes is None else np.asarray(sizes, dtype=np.float64)
    if not np.all(np.isfinite(bounds)):
        return math.inf
    # What V is not: sums of K terms with three roundings each, and the rest of the difference.
    off = np.zeros(K)
    for part in row_blocks(len(V), max(K, d)):
        scaled = z[part] * t
        rest = np.abs(V[part] - np.einsum("ik,jk->ij", scaled, Q))
        rest += growth(K + 6) * (np.einsum("ik,jk->ij", np.abs(scaled), np.abs(Q)) + rest)
        lengths = np.sqrt(np.einsum("id,id->i", X[part], X[part])) * (1.0 + growth(d + 4))
        off += np.einsum("i,ij->j", lengths + underflow(d), rest + underflow(2 * K + 2))
    lost = math.hypot(*off) * (1.0 + growth(len(V) + K + 8))
    size = math.hypot(*(t * np.asarray(bounds))) * (1.0 + growth(K + 8))
    return up(up(norm_bound(Q) * size) + up(lost))


def found_prices(
    X: FloatArray, V: FloatArray, U: FloatArray, slope: float
) -> tuple[FloatArray, FloatArray]:
    """Vectors ``V' act(X u)`` of the rows u of U, (k, K), and their lengths, (k,)."""
    vectors = np.zeros((len(U), V.shape[1]))
    for part in row_blocks(len(X), max(1, len(U))):
        T = X[part] @ U.T
        activate(T, slope)
        vectors += T.T @ V[part]
    return vectors, np.linalg.norm(vectors, axis=1)


def largest_first(
    X: FloatArray, V: FloatArray, prices: Sequence[Price], slope: float, most: int = 16
) -> tuple[FloatArray, FloatArray]:
    """Neurons (k, d) that were found for single columns, by falling price in all, and the prices.

    Of each column the first `most` are looked at.
    """
    U = np.concatenate([found.neurons[:most] for found in prices])
    values = found_prices(X, V, U, slope)[1]
    order = np.argsort(-values, kind="stable")
    return U[order], values[order]


def rotation(A: FloatArray, rng: np.random.Generator) -> FloatArray:
    r"""Orthogonal Q (K, K) for which ``sum_k (sum_j |a_j' q_k|)^2`` is large.

    It is convex in Q, so that the Q which is best for its linearisation at another is no worse
    than that: it is the polar factor of ``sum_j a_j sign(a_j' Q) r'``, r_k being the inner sums.

    Parameters
    ----------
    A : (m, K) float64
        Output weights of unit neurons.
    rng : Generator
        Of the rotations to start from, beside the identity.

    Examples
    --------
    Two neurons that feed one output each: turned by an eighth each feeds both alike.

    >>> import numpy as np
    >>> Q = rotation(np.eye(2), np.random.default_rng(0))
    >>> np.abs(Q).round(6).tolist()
    [[0.707107, 0.707107], [0.707107, 0.707107]]
    """
    K = A.shape[1]
    A = A[np.argsort(-np.linalg.norm(A, axis=1), kind="stable")[:_NEURONS]]
    best, value = np.eye(K), -1.0
    for start in range(1 + _STARTS):
        Q = np.eye(K) if start == 0 else np.linalg.qr(rng.standard_normal((K, K)))[0]
        before = -1.0
        for _ in range(_STEPS):
            inner = A @ Q
            sums = np.sum(np.abs(inner), axis=0)
            now = float(sums @ sums)
            if now > value * (1.0 + _GAIN):
                best, value = Q, now
            if now <= before * (1.0 + _GAIN):
                break
            before = now
            left, _, right = np.linalg.svd(A.T @ (np.sign(inner) * sums))
            Q = left @ right
    return best
