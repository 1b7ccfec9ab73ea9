"""The part of a fit that no penalty holds: offsets of the outputs, and a free linear part."""

from __future__ import annotations

import numpy as np

from pyconvexnn._rounding import UNIT
from pyconvexnn._typing import FloatArray
from pyconvexnn.losses import Huber, Loss

_ROUNDS = 400
# Of the largest weight, or curvature.
_DAMPINGS = (1e-14, 1e-9, 1e-6, 1e-4, 1e-3, 1e-2, 0.1, 1.0, 1e3, 1e6)
_NEAR = 1e-4  # an imbalance: from there values tell steps no more apart
_NARROWER = 0.2
_FAR = 500.0  # of a fit: there exp is nothing, and no gradient says how far it has to go
_EXACT = 4 * np.finfo(float).eps  # of sums of a gradient: rounding


def columns(n: int, output_offset: bool, skip: FloatArray | None) -> FloatArray:
    """Return the columns (n, q) that every output may use: ones, and those of `skip`.

    Examples
    --------
    >>> columns(2, True, np.array([[3.0], [4.0]])).tolist()
    [[1.0, 3.0], [1.0, 4.0]]
    """
    parts = [np.ones((n, 1))] if output_offset else []
    return np.hstack([*parts, *([] if skip is None else [skip]), np.zeros((n, 0))])


def imbalance(v: FloatArray, Z: FloatArray) -> float:
    """Largest ``|z'v| / |z|'|v|`` over columns z of Z and outputs of v; 0 where v is zero.

    What may be rounding of v's entries, ``8 u max |z| sum |v|``, does not count: z may be zero but
    where v is a difference of large numbers.

    Examples
    --------
    >>> round(imbalance(np.array([1.0, -0.5]), np.ones((2, 1))), 12)
    0.333333333333
    """
    v = v.reshape(len(v), -1)
    sizes = np.abs(Z).T @ np.abs(v)
    rounding = 8 * UNIT * np.outer(np.max(np.abs(Z), axis=0), np.sum(np.abs(v), axis=0))
    sums = np.maximum(np.abs(Z.T @ v) - rounding, 0.0)
    return float(np.max(sums / np.where(sizes > 0, sizes, 1.0), initial=0.0))


def best_free_part(
    loss: Loss, f: FloatArray, y: FloatArray, s: FloatArray, Z: FloatArray
) -> FloatArray:
    """Fit ``Z c`` of least ``loss.value(f + Z c, y, s)``, of the shape of f, by Newton's method.

    A multiple of the identity is added to the Hessian (Levenberg and Marquardt), the one with
    which the loss falls most.

    Parameters
    ----------
    loss : Loss
        Loss.
    f, y, s : (n,) or (n, K) array
        Fit, targets, weights > 0.
    Z : (n, q) array
        Columns.

    Returns
    -------
    (n,) or (n, K) array
        The best one, to rounding; where several are best, any of them. Where f is so large that
        none is within reach, one that is better than none.

    Raises
    ------
    ValueError
        If f is zero and there is no best one: the loss falls for ever, as where labels are
        separated.

    Examples
    --------
    >>> from pyconvexnn.losses import Squared
    >>> y, one = np.array([1.0, 4.0]), np.ones((2, 1))
    >>> best_free_part(Squared(), np.zeros(2), y, np.ones(2), one).round(12).tolist()
    [2.5, 2.5]
    """
    if Z.shape[1] == 0:
        return np.zeros_like(f)
    Q = orthonormal(Z)
    if Q.shape[1] == 0:
        return np.zeros_like(f)
    # Where f is large and mostly linear, what undoes that is nearer than zero; steps from there
    # would be lost in its rounding.
    undone = -(Q @ (Q.T @ f))
    fit = undone if loss.value(f + undone, y, s) < loss.value(f, y, s) else np.zeros_like(f)
    if isinstance(loss, Huber):
        # From far it is linear nearly everywhere: the best fits of wider ones lead there.
        width = _NARROWER * float(np.max(np.abs(y - f - fit)))
        while width > loss.delta:
            fit = fit + _from_zero(Huber(width), f + fit, y, s, Q)
            width *= _NARROWER
    return fit + _from_zero(loss, f + fit, y, s, Q)


def _from_zero(
    loss: Loss, f: FloatArray, y: FloatArray, s: FloatArray, Q: FloatArray
) -> FloatArray:
    """:func:`best_free_part` of orthonormal columns Q, by steps from zero."""
    # How far a fit of zero may lead is known: further on the loss falls for ever.
    far = np.inf if np.any(f) else _FAR
    fit, value, best = np.zeros_like(f), loss.value(f, y, s), np.inf
    for _ in range(_ROUNDS):
        g = loss.gradient(f + fit, y, s)
        wrong = imbalance(g, Q)
        if loss.falls_for_ever and np.max(np.abs(fit)) > far:
            wrong = np.inf
            break
        if wrong <= _EXACT or (wrong < 1e-10 and wrong > 0.5 * best):
            return fit
        best = min(best, wrong)
        if wrong < _NEAR:
            step = _newton_step(loss, f + fit, y, s, Q, g, _DAMPINGS[0])
            after = loss.value(f + fit - step, y, s)
            if after <= value + 1e-12 * abs(value):
                fit, value = fit - step, after
                continue
        # The best of steps with more and less added: where a loss is linear its curvature says
        # nothing.
        tried, tiny = [(value, fit)], _EXACT * np.max(np.abs(f + fit))
        for damping in _DAMPINGS:
            step = -_newton_step(loss, f + fit, y, s, Q, g, damping)
            if damping == _DAMPINGS[0] and np.max(np.abs(step)) <= tiny:
                return fit
            tried += [(loss.value(f + fit + t * step, y, s), fit + t * step) for t in (1.0, 0.4)]
        after, best_fit = min(tried, key=lambda one: one[0])
        if best_fit is fit:
            break
        fit, value = best_fit, after
    # Whether there is an optimum does not depend on f, but rounding, where f is large, does.
    if wrong < _NEAR or not loss.falls_for_ever or np.any(f):
        return fit
    raise ValueError(
        f"`skip` must be above 0, or None, where the linear part separates `y`: loss {loss.name!r} "
        "falls for ever without a penalty on it"
    )


def best_offsets(loss: Loss, f: FloatArray, y: FloatArray, s: FloatArray) -> FloatArray:
    """:func:`best_free_part` of offsets alone, for a loss of one output, by halving.

    Examples
    --------
    >>> from pyconvexnn.losses import Squared
    >>> best_offsets(Squared(), np.zeros(2), np.array([1.0, 4.0]), np.ones(2)).tolist()
    [2.5, 2.5]
    """
    if f.ndim == 1:
        return np.full_like(f, loss.best_offset(f, y, s))
    each = [loss.best_offset(f[:, k], y[:, k], s[:, k]) for k in range(f.shape[1])]
    return np.broadcast_to(each, f.shape).copy()


def orthonormal(Z: FloatArray) -> FloatArray:
    """Orthonormal basis (n, q) of the columns' span."""
    if Z.size == 0:
        return np.zeros((len(Z), 0))
    size = np.max(np.abs(Z), axis=0)
    U, sigma, _ = np.linalg.svd(Z[:, size > 0] / size[size > 0], full_matrices=False)
    return np.asarray(U[:, sigma > 1e-11 * np.max(sigma, initial=0.0)])


def _newton_step(
    loss: Loss,
    f: FloatArray,
    y: FloatArray,
    s: FloatArray,
    Q: FloatArray,
    g: FloatArray,
    damping: float,
) -> FloatArray:
    """``Z (H + damping max(s, h) I)^-1 Z'g`` for the Hessian H of the free coefficients at f."""
    h = loss.curvature(f, y, s).reshape(len(f), -1)
    K, q = h.shape[1], Q.shape[1]
    # One function added to all outputs changes no probability: the last output's is zero.
    used = K - 1 if loss.joint else K
    H = np.zeros((used, q, used, q))
    for k in range(used):
        H[k, :, k] = (Q.T * h[:, k]) @ Q
    if loss.joint:
        A = (h[:, :used] / np.sqrt(np.sum(h, axis=1, keepdims=True)))[:, :, np.newaxis]
        A = (A * Q[:, np.newaxis]).reshape(len(f), used * q)
        H -= (A.T @ A).reshape(H.shape)
    right = (Q.T @ g.reshape(len(f), -1)[:, :used]).T.ravel()
    size = damping * max(float(np.max(s)), float(np.max(h)))
    c = np.linalg.solve(H.reshape(used * q, used * q) + size * np.eye(used * q), right)
    step = np.zeros((len(f), K))
    step[:, :used] = Q @ c.reshape(used, q).T
    return step.reshape(f.shape)
