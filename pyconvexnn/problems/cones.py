"""Cones ``{u : S u >= 0}`` of activation patterns, by non-negative least squares: slow and sure.

S has a row ``s_k x_k / ||x_k||`` for every row x_k of the data that is not zero, s_k = +1 where the
pattern is on and -1 where it is off. Slower than the compiled projections by far, and independent
of them: for the blocks of one solution, and for what the compiled ones leave undecided
(:mod:`pyconvexnn.problems.prices`).
"""

from __future__ import annotations

import contextlib
import functools

import numpy as np

from pyconvexnn._typing import BoolArray, FloatArray

_SURE = 1e-12  # of an entry of a vector of length 1: what is more than rounding
_ROUNDING = 1e-14  # of what is projected
_SAME = 1e-9  # difference of rows that are taken for the same


def unit_rows(A: FloatArray) -> FloatArray:
    """Rows divided by their lengths, C-ordered; zero rows stay zero."""
    largest = np.max(np.abs(A), axis=1, keepdims=True, initial=0.0)
    rows = A / np.where(largest > 0, largest, 1.0)  # so that no square underflows
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.ascontiguousarray(rows / np.where(lengths > 0, lengths, 1.0))


class Cones:
    """The cones of all patterns of one data matrix.

    Parameters
    ----------
    X : (n, d) float64
        Data.
    """

    def __init__(self, X: FloatArray) -> None:
        rows = unit_rows(X)
        self._counted = np.any(rows != 0, axis=1)
        self._rows = rows[self._counted]

    def normals(self, mask: BoolArray) -> FloatArray:
        """S, one row of length 1 for each row of the data that is not zero."""
        return np.where(mask[self._counted], 1.0, -1.0)[:, np.newaxis] * self._rows


def price(S: FloatArray, g: FloatArray) -> float:
    """Largest c'g over the c of length <= 1 with S c >= 0: the length of g's projection.

    It is ``min_{a >= 0} ||g + S'a||``, and the bound of one such a: never below but by rounding.
    """
    return float(np.linalg.norm(_nearest(S, g)[0]))


def multipliers(S: FloatArray, g: FloatArray) -> FloatArray:
    """The a >= 0 of the least ``||g + S'a||``, about."""
    size = float(np.max(np.abs(g), initial=0.0))
    return _nonnegative(S.T, -g / size) * size if size > 0.0 and len(S) else np.zeros(len(S))


def project(S: FloatArray, g: FloatArray) -> FloatArray:
    """Nearest point to g with S u >= 0."""
    point, active = _nearest(S, g)
    if not len(active):
        return point
    # What is left of the active rows in it is rounding of g; next to a small point that is much.
    _, sizes, basis = np.linalg.svd(active, full_matrices=False)
    basis = basis[sizes > _SAME * sizes[0]]
    for _ in range(2):
        point = point - (basis @ point) @ basis
    # Of d independent rows nothing is left, and a point as short as rounding of g has no direction.
    nothing = len(basis) == len(g) or np.linalg.norm(point) <= _ROUNDING * np.linalg.norm(g)
    return np.zeros_like(g) if nothing else point


def violation(S: FloatArray, u: FloatArray) -> float:
    """``max_k (-S u)_k / ||u||``, 0 inside of the cone."""
    direction = unit_rows(u[np.newaxis])[0]
    return float(np.max(-(S @ direction), initial=0.0))


def split(S: FloatArray, u: FloatArray) -> tuple[FloatArray, FloatArray] | None:
    r"""``u = v - w`` with S v >= 0, S w >= 0 and the least ``||v|| + ||w||``, or None if none is.

    For the weights t in [0, 1] let w(t) be the w nearest to -t u that will do. The sum of norms is
    the minimum over t of ``||w||^2 / t + ||v||^2 / (1 - t)``, rooted, in which w and t take turns:
    w = w(t), t = ||w|| / (||w|| + ||v||). So t is a root of one function, positive at 0 and
    negative at 1, and an error of t counts to second order.
    """
    from scipy.optimize import brentq

    size = float(np.linalg.norm(u))
    if size == 0.0:
        return np.zeros_like(u), np.zeros_like(u)
    unit = u / size
    sides = S @ unit

    @functools.cache
    def parts(t: float) -> tuple[FloatArray, FloatArray] | None:
        # w = p - t u, v = p + (1 - t) u for the shortest p that moves both over every hyperplane.
        p = _shortest(S, np.maximum(t * sides, (t - 1.0) * sides))
        return None if p is None else (p + (1.0 - t) * unit, p - t * unit)

    def excess(t: float) -> float:
        found = parts(t)
        if found is None:
            raise _NoInteriorError
        v, w = (float(np.linalg.norm(part)) for part in found)
        return w / (w + v) - t

    try:
        if excess(0.0) <= _SURE:
            t = 0.0
        elif excess(1.0) >= -_SURE:
            t = 1.0
        else:
            t = float(brentq(excess, 0.0, 1.0, xtol=1e-8))
        v, w = parts(t) or _missing()
    except _NoInteriorError:
        return None
    # One of the two exactly from the other, or zero.
    v, w = size * v, size * w
    return (w + u, w) if t < 1.0 else (v, v - u)


class _NoInteriorError(Exception):
    """The cone has no interior, so that its differences do not fill the space."""


def _missing() -> tuple[FloatArray, FloatArray]:
    raise _NoInteriorError


def _nonnegative(A: FloatArray, b: FloatArray) -> FloatArray:
    """Minimiser a >= 0 of ||A a - b||; b and the columns of A have lengths of about 1."""
    from scipy.optimize import nnls

    best, least = np.zeros(A.shape[1]), np.inf
    # Among columns that are nearly the same it may end anywhere, or go in circles: then one of
    # each is left to it. Any a >= 0 is a bound.
    for digits in (None, 11, 9, 7):
        columns = np.arange(A.shape[1])
        if digits is not None:
            columns = np.unique(np.round(A, digits), axis=1, return_index=True)[1]
        a = np.zeros(A.shape[1])
        with contextlib.suppress(RuntimeError):
            a[columns] = nnls(A[:, columns], b, maxiter=30 * max(A.shape) + 100)[0]
        residual = b - A @ a
        size = float(np.linalg.norm(residual))
        if size < least:
            best, least = a, size
        if np.max(A.T @ residual) <= 1e-10:
            break
    return best


def _nearest(S: FloatArray, g: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Projection of g, to the rounding of g, and the rows of S that it lies on and was held by."""
    size = float(np.max(np.abs(g), initial=0.0))
    if size == 0.0 or not len(S):
        return g, S[:0]
    a = multipliers(S, g / size)
    return (g / size + S.T @ a) * size, S[a > 0]


def _shortest(S: FloatArray, h: FloatArray) -> FloatArray | None:
    """Shortest p with S p >= h, h >= 0; None if there is none (of sane length).

    Least distance programming (Lawson and Hanson 1974, chapter 23): the residual r of the least
    squares ``min_{a >= 0} ||(S' / h') a - e||``, e the last unit vector, is p up to its last entry,
    1 / (1 + ||p||^2), which is why p is scaled to about 1.
    """
    largest = float(np.max(h, initial=0.0))
    if largest <= _SURE:
        return np.zeros(S.shape[1])
    last = np.zeros(S.shape[1] + 1)
    last[-1] = 1.0
    scale = largest
    while scale < 1e12 * largest:
        A = np.vstack([S.T, h / scale])
        a = _nonnegative(A, last)
        r = last - A @ a
        length = float(np.linalg.norm(r[:-1])) / r[-1] if r[-1] > 1e-10 else 1e5
        if length <= 10.0:
            held = a > 0
            # The same point from the rows that hold it, without the squaring.
            return np.asarray(np.linalg.lstsq(S[held], h[held], rcond=_SAME)[0])
        scale *= length
    return None
