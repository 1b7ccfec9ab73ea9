r"""A cheap rigorous bound of the price.

With c half the sum of the plus rows, any w > 0 and any z in the zonotope of the minus rows,

    F(u) = c . u + 1/2 sum_p |p . u| - sum_q (q . u)_+
        <= (c - z) . u + 1/4 sum_p (w_p + (p . u)^2 / w_p)
         = 1/4 (sum_p w_p + lam |u|^2) + g . u - 1/4 u'S u,

    g = c - z,   M = sum_p p p' / w_p,   S = lam I - M.

With S >= 0, any x, and the residual ``rho = g - S x``, all u of length at most 1 have
``g . u - 1/4 u'S u <= x'S x + ||rho||``: a bound that holds for every w, z, lam >= lambda_max(M)
and x. The best of them is the value of a semidefinite program, which is never above
``dist(c, Z) + 1/2 sqrt(sum_p w_p lambda_max(M))``; some steps of Frank and Wolfe's method come near
it. None of the choices has to be exact: only the last evaluation is inflated against rounding, and
what it takes from BLAS is checked.
"""

from __future__ import annotations

import time

import numpy as np

from pyconvexnn import _core
from pyconvexnn._rounding import UNIT, freivalds
from pyconvexnn._typing import FloatArray
from pyconvexnn.pricing.rows import SignedRows, length, norm_bound, sum_above

_WORTH = 1e-3  # relative gain for which eight more steps are taken
RATE = 3e9  # operations a second of matrix products, at the least
_PASSES = 1e9  # the same of products with vectors
_SMALL = 1e-140  # rows shorter than this, beside a longest one of about 1, are bounded by 1e-139


def relaxation(
    rows: SignedRows, *, iterations: int = 60, time_limit: float | None = None
) -> tuple[float, float]:
    """Bounds of the maximum over |w| <= 1 of F, and of -F.

    Parameters
    ----------
    rows : SignedRows
    iterations : int
        Most steps towards the best bound; each costs about n r^2 operations.
    time_limit : float, optional
        Seconds. No step is begun that would end later: the bound is one all the same, and without
        any step takes a few passes over the rows.

    Returns
    -------
    bound, bound_minus : float
        In the units of the rows: the larger of the two is for :meth:`SignedRows.bound`.
    """
    begun = time.monotonic()
    end = begun + (np.inf if time_limit is None else time_limit)
    first = _bound(rows.plus, rows.minus, iterations, 0.5 * (begun + end))
    return first, _bound(rows.minus, rows.plus, iterations, end)


def seconds_of_step(m: int, r: int) -> float:
    """About how long one step takes for m rows of length r, on a slow machine."""
    return (4.0 * m * r * r + 30.0 * r**3) / RATE


def _bound(plus: FloatArray, minus: FloatArray, iterations: int, end: float) -> float:
    """Bound of ``sum_p (p . w)_+ - sum_q (q . w)_+`` over the unit ball."""
    lengths = np.linalg.norm(plus, axis=1)
    tiny = 1e-139 * len(plus)
    plus, lengths = plus[lengths > _SMALL], lengths[lengths > _SMALL]
    if not len(plus):
        return tiny
    m, r = plus.shape
    everything = sum_above(float(np.sum(lengths)), m + r)

    left = end - time.monotonic()
    # Steps towards the nearest point take part of the time only.
    shift = _Shift(plus, minus, min(200.0, 0.2 * left * _PASSES / (4.0 * r * (len(minus) + 1))))
    # Half the sum of the lengths is a bound of the second term without any w.
    best = min(everything, sum_above(shift.distance() + 0.5 * everything, 2))
    U = np.empty((0, 0))  # second moments of u
    before, longest, chosen = np.inf, seconds_of_step(m, r), None
    for step in range(iterations):
        begun = time.monotonic()
        if begun + longest > end:
            break
        if step == 0:
            U = np.eye(r) / r
        if step % 8 == 7:
            if best > before * (1.0 - _WORTH):
                break
            before = best
        # The best w for the current second moments of u, which Frank and Wolfe's step then mends.
        squares = np.sum((plus @ U) * plus, axis=1) if step else lengths**2 / r
        quadratic = _Quadratic(plus, np.sqrt(np.maximum(squares, (1e-5 * lengths) ** 2)))
        quadratic.fit(shift.g)
        for _ in range(10):
            shift.improve(quadratic)
        quadratic.fit(shift.g)
        value = quadratic.bound(shift)
        if value < best:
            best, chosen = value, quadratic
        u, top = 2.0 * quadratic.solve(shift.g), quadratic.axes[:, -1]
        spare = max(0.0, 1.0 - float(u @ u))
        rate = 2.0 / (step + 3.0)
        U = (1.0 - rate) * U + rate * (np.outer(u, u) + spare * np.outer(top, top))
        longest = max(longest if step else 0.0, time.monotonic() - begun)
    if chosen is not None:
        chosen.check()
    return best + tiny


class _Shift:
    """``g = c - z``, z a convex combination of vertices of the zonotope of the minus rows."""

    def __init__(self, plus: FloatArray, minus: FloatArray, most_steps: float) -> None:
        self._minus = minus
        (m, r), k = plus.shape, len(minus)
        self._c = 0.5 * np.sum(plus, axis=0)
        self._z, self._reach = np.zeros(r), 0.0
        # A sum of m vectors errs by at most m + 2 roundings of the sum of their lengths.
        self.error = (
            0.5 * (m + 2) * UNIT * sum_above(float(np.sum(np.linalg.norm(plus, axis=1))), m + r)
        )
        if k:
            self._z, _, _ = _core.nearest_in_zonotope(
                minus, self._c, tolerance=1e-4, most_steps=max(1, int(most_steps))
            )
            # z combines at most r + 1 vertices, sums of at most k rows each.
            self._reach = sum_above(float(np.sum(np.linalg.norm(minus, axis=1))), k + r)
            self.error += (k + 2 * r + 20) * UNIT * self._reach
        self.g = self._c - self._z
        size = length(self._c) + self._reach
        self.error = 1.01 * self.error + 3 * UNIT * size

    def distance(self) -> float:
        """Bound of ``||c - z||``."""
        return sum_above(length(self.g) + self.error, len(self.g) + 2)

    def improve(self, quadratic: _Quadratic) -> None:
        """Move z towards the vertex farthest along S^-1 g, as far as makes g'S^-1 g smallest."""
        if not len(self._minus):
            return
        ahead = self._minus @ quadratic.solve(self.g) > 0.0
        vertex = np.einsum("k,kj->j", ahead.astype(np.float64), self._minus)
        way = vertex - self._z
        solved = quadratic.solve(way)
        size = float(way @ solved)
        if size > 0.0:
            rate = min(1.0, max(0.0, float(self.g @ solved) / size))
            self._z = (1.0 - rate) * self._z + rate * vertex
            self.g = self._c - self._z
            self.error += 5 * UNIT * self._reach


class _Quadratic:
    """``S = lam I - M`` for given w, and the bound that it gives."""

    def __init__(self, plus: FloatArray, w: FloatArray) -> None:
        m, r = plus.shape
        self._sum = sum_above(float(np.sum(w)), m)
        scaled = plus / np.sqrt(w)[:, np.newaxis]
        self._scaled, self._matrix = scaled, scaled.T @ scaled
        trace = sum_above(float(np.trace(self._matrix)), m + r)
        # The Frobenius norm of the product of the moduli is at most the trace; each entry of
        # `scaled` has been rounded twice.
        self._error = (m + 8) * UNIT * 1.01 * trace
        self._values, self.axes = np.linalg.eigh(self._matrix)
        self._values = np.maximum(self._values, 0.0)
        # No trust in eigh: M = Q L Q' + R for what it returned, so lambda_max(M) <= L_max ||Q||^2 +
        # ||R||_F, R computed with its own rounding.
        self._rebuilt = (self.axes * self._values) @ self.axes.T
        rest = length(self._matrix - self._rebuilt)
        rounding = (r + 6) * UNIT * 1.01 * 2.0 * (trace + float(np.sum(self._values)))
        self._least = sum_above(
            float(self._values[-1]) * norm_bound(self.axes) ** 2 + rest + rounding + self._error,
            r * r + 8,
        )
        self._lam = self._least

    def fit(self, g: FloatArray) -> None:
        """Choose lam: least ``lam / 4 + g'S^-1 g``, where ``2 S^-1 g`` has length 1."""
        inside = np.abs(self.axes.T @ g)
        low = self._least * (1.0 + 1e-9)
        high = self._least + 2.0 * float(np.linalg.norm(inside)) * (1.0 + 1e-9)
        for _ in range(50):
            middle = 0.5 * (low + high)
            if 4.0 * float(np.sum((inside / (middle - self._values)) ** 2)) > 1.0:
                low = middle
            else:
                high = middle
        self._lam = high

    def solve(self, g: FloatArray) -> FloatArray:
        """``S^-1 g``, to rounding."""
        return np.asarray(self.axes @ ((self.axes.T @ g) / (self._lam - self._values)))

    def check(self) -> None:
        """Raise WrongProductError if one of the matrices that the bound rests on is wrong."""
        freivalds(self._scaled.T, self._scaled, self._matrix)
        freivalds(self.axes * self._values, self.axes.T, self._rebuilt)

    def bound(self, shift: _Shift) -> float:
        """``1/4 (sum w + lam) + x'S x + ||g - S x||`` at x = S^-1 g, upwards."""
        r = len(shift.g)
        x = self.solve(shift.g)
        size = sum_above(length(x), r)
        applied = np.einsum("ij,j->i", self._matrix, x)
        residual = length(shift.g - (self._lam * x - applied))
        # ||M||_F is below the trace, which is below r lam.
        distance = shift.distance()
        residual += shift.error + self._error * size
        residual += 2 * (r + 6) * UNIT * ((r + 1) * self._lam * size + distance)
        # x'S x = x'g - x'(g - S x).
        product = float(np.sum(x * shift.g)) + size * (shift.error + (r + 4) * UNIT * distance)
        value = 0.25 * (self._sum + self._lam) + product + (1.0 + size) * residual
        return sum_above(value, 10 * r + 20)
