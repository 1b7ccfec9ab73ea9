"""Gates: the coordinates they are drawn in, their rounding, and one for a given pattern."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from pyconvexnn._blocks import row_blocks
from pyconvexnn._typing import BoolArray, FloatArray

_GATE_BITS = 26  # see round_rows
_RANK_TOLERANCE = 1e-10  # of the largest singular value
_TINY_COLUMN = 500  # a column 2^500 times smaller than the largest counts as zero


def round_rows(H: FloatArray) -> FloatArray:
    """Rows scaled by powers of two to a largest entry in [1/2, 1], then rounded to 26 bits.

    Products and LAPACK factors differ in their last bits between machines; after the rounding
    the gates, and so the patterns, do not.
    """
    exponent = np.frexp(np.abs(H).max(axis=1, keepdims=True))[1]
    return np.asarray(np.ldexp(np.rint(np.ldexp(H, _GATE_BITS - exponent)), -_GATE_BITS))


def unit_rows(A: FloatArray) -> FloatArray:
    """Rows divided by their norms, without overflow; zero rows stay zero."""
    largest = np.abs(A).max(axis=1, keepdims=True, initial=0.0)
    scaled = A / np.where(largest == 0, 1.0, largest)
    norms = np.linalg.norm(scaled, axis=1, keepdims=True)
    return np.asarray(scaled / np.where(norms == 0, 1.0, norms))


class Whitened:
    """Coordinates z in which the columns of X are orthonormal: gates ``u = C V diag(1/s) V' z``.

    ``X C`` has columns of norm about 1 and the singular values s and right singular vectors V.
    The symmetric root ``V diag(1/s) V'`` depends on no choice of signs or bases in V. Scalings
    are split into exact powers of two and factors of 26 bits, so that the gates of X with its
    columns scaled by powers of two have the same patterns bit for bit.
    """

    def __init__(self, X: FloatArray) -> None:
        n, d = X.shape
        self._data = X
        largest = np.zeros(d)
        for part in row_blocks(n, d):
            largest = np.maximum(largest, np.abs(X[part]).max(axis=0))
        self._exponents = np.frexp(largest)[1]
        used = largest > 0
        if used.any():
            used &= self._exponents > self._exponents[used].max() - _TINY_COLUMN
        self._used = used
        squares = np.zeros(d)
        for part in row_blocks(n, d):
            scaled = self._scaled(part)
            squares += np.sum(scaled * scaled, axis=0)
        norms = np.sqrt(squares)
        self._factors = np.where(used, _round_entries(1.0 / np.where(used, norms, 1.0)), 0.0)
        triangle = np.empty((0, d))
        for part in row_blocks(n, d, least=2 * d):
            block = self._scaled(part) * self._factors
            triangle = np.asarray(np.linalg.qr(np.vstack([triangle, block]), mode="r"))
        _, s, vt = np.linalg.svd(triangle, full_matrices=False)
        kept = s > _RANK_TOLERANCE * s.max()
        self._s, self._vt = s[kept], vt[kept]
        self.rank = int(kept.sum())

    def gates(self, Z: FloatArray) -> FloatArray:
        """Gates of standard normal rows Z, rounded, their largest entries in [1/2, 1]."""
        return self._to_units(round_rows(Z @ self._vt.T / self._s @ self._vt))

    def rows(self) -> FloatArray:
        """Return the rows of X in r orthonormal coordinates, (n, r)."""
        rows = np.empty((len(self._data), self.rank))
        for part in row_blocks(*self._data.shape):
            rows[part] = self._rows(part)
        return rows

    def gate_of(self, z: FloatArray) -> FloatArray:
        """Gate (1, d) whose products with the rows of X are those of ``rows()`` with z."""
        return self._to_units((z / self._s @ self._vt)[np.newaxis])

    def directions(self, Z: FloatArray) -> FloatArray:
        """Gates of rows Z as they come: neither rounded nor scaled, linear in Z."""
        return np.asarray(
            np.ldexp(Z @ self._vt.T / self._s @ self._vt * self._factors, -self._exponents)
        )

    def coordinates(self, U: FloatArray) -> FloatArray:
        """Rows Z whose gates are those of the rows U, as far as the columns of X tell them."""
        factors = np.where(self._used, self._factors, 1.0)
        return np.asarray(np.ldexp(U, self._exponents) / factors @ self._vt.T * self._s @ self._vt)

    def distances(self, part: slice, Z: FloatArray) -> FloatArray:
        """``|y . z| / |y|`` of some rows in these coordinates and rows of Z, (part, len(Z))."""
        return np.asarray(np.abs(unit_rows(self._rows(part)) @ (self._vt @ Z.T)))

    def _rows(self, part: slice) -> FloatArray:
        return np.asarray(self._scaled(part) * self._factors @ self._vt.T / self._s)

    def _scaled(self, part: slice) -> FloatArray:
        """Some rows of X, columns scaled by powers of two to largest entries in [1/2, 1]."""
        return np.asarray(np.ldexp(self._data[part], -self._exponents) * self._used)

    def _to_units(self, H: FloatArray) -> FloatArray:
        """From coordinates in which columns have norm 1 to those of X; exact for 26-bit H."""
        gates = np.ldexp(H * self._factors, -self._exponents)
        exponent = np.frexp(np.abs(gates).max(axis=1, keepdims=True))[1]
        return np.asarray(np.ldexp(gates, -exponent))


def _round_entries(a: FloatArray) -> FloatArray:
    """Each entry rounded to 26 significant bits."""
    mantissa, exponent = np.frexp(a)
    return np.asarray(np.ldexp(np.rint(np.ldexp(mantissa, _GATE_BITS)), exponent - _GATE_BITS))


def gate_finder(X: FloatArray) -> Callable[[BoolArray], FloatArray | None]:
    """Return a function of one pattern: a gate (1, d) strictly inside its cell, or None.

    Solves ``min max_j |z_j|`` subject to ``s_k y_k . z >= 1`` for the non-zero rows y_k of X in
    whitened coordinates, scaled to norm 1, and signs s_k. The right-hand side 1 is far above the
    solver's tolerance, so a solution found is truly inside.
    """
    from scipy.optimize import linprog

    whitened = Whitened(X)
    Y = unit_rows(whitened.rows())
    used = Y.any(axis=1)
    Y, rank = Y[used], whitened.rank
    box = np.block([[np.eye(rank), -np.ones((rank, 1))], [-np.eye(rank), -np.ones((rank, 1))]])

    def find(bits: BoolArray) -> FloatArray | None:
        if rank == 0:
            return np.ones((1, X.shape[1]))
        sides = np.where(bits[used], -1.0, 1.0)[:, np.newaxis] * Y
        result = linprog(
            np.append(np.zeros(rank), 1.0),
            A_ub=np.vstack([np.hstack([sides, np.zeros((len(Y), 1))]), box]),
            b_ub=np.append(-np.ones(len(Y)), np.zeros(2 * rank)),
            bounds=(None, None),
            method="highs",
        )
        return whitened.gate_of(result.x[:-1]) if result.status == 0 else None

    return find
