r"""The one form of the pricing problem: a difference of two sums of positive parts.

With act(t) = t for t >= 0 and slope * t below, every term ``v_k act(x_k . u)`` is a sum of terms
``+(row . u)_+`` and ``-(row . u)_+`` that have absorbed their weights.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from pyconvexnn._bits import distinct_rows
from pyconvexnn._rounding import UNIT, freivalds
from pyconvexnn._typing import FloatArray, IndexArray

_TINY = 1e-150  # beside entries of about 1: more than what underflow, of squares too, may hide
_POWERS = 900  # of two: nearer to 1 than that a weight may be scaled by itself
_RANK = 1e-14  # singular values below this part of the largest are left out
_LARGE = 2_000_000  # n d^2 from which on the axes come from X'X: multiplications are all it costs
_SEEN = 1e-10  # eigenvalues of X'X above this part of the largest are told apart from rounding
_NEAR = 1e-9  # relative: equal rows have inner products with a vector that differ by less
_HUGE = 1e290  # of weights: sums may overflow
_NONE = 1e-13  # of the length of all rows: what is left is rounding of these


@dataclass(frozen=True, eq=False)
class SignedRows:
    r"""``F(w) = sum_p (p . w)_+ - sum_q (q . w)_+`` in principal axes, in place of v' act(X u).

    For every u of length at most 1, ``w = V'u`` has

        |v' act(X u) - 2^exponent F(w)| <= 2^exponent error,   |w| <= growth,

    and :meth:`bound` makes a bound of the one problem from a bound of the other. Everything but
    `exponent` is in units of 2^exponent, in which the longest row is about 1.

    Attributes
    ----------
    plus, minus : (n_p, r), (n_m, r) float64, Fortran-ordered
        The rows p and q. There are no zero rows; with slope -1, 0 and anything else alike, the
        problem of -v has the two exchanged (:meth:`swapped`).
    axes : (d, r) float64 or None
        V, None for the identity: the right singular vectors of the rows, by falling singular value.
    error : float
        At least the sum over all rows, both sides, of the distance between the exact row and V
        times the stored one: roundings, and what directions left out would have added.
    growth : float
        At least 1 and at least the spectral norm of V.
    exponent : int
        Scale of the rows, as a power of two.
    """

    plus: FloatArray
    minus: FloatArray
    axes: FloatArray | None
    error: float
    growth: float
    exponent: int

    @classmethod
    def of(
        cls,
        X: FloatArray,
        v: FloatArray,
        slope: float = 0.0,
        *,
        basis: FloatArray | None = None,
        turn: bool = True,
    ) -> SignedRows:
        """Signed rows of ``v' act(X u)``.

        Parameters
        ----------
        X : (n, d) float64
            Data, finite, of any scale.
        v : (n,) float64
            Weights, finite.
        slope : float in [-1, 1)
            Slope of the activation left of zero: 0 for ReLU, -1 for the absolute value.
        basis : (d, r) float64, optional
            Orthonormal columns, about, that span all rows, about: in place of the principal axes.
        turn : bool
            Whether to find the principal axes, at about ``6 n d^2`` operations; otherwise the
            columns stay as they are, unless there is a `basis`.

        Returns
        -------
        SignedRows
        """
        X, v = _merged(X, v)
        n, d = X.shape
        weighted = _weighted(X, v)
        rows = weighted.rows
        if not len(rows) or (basis is None and turn):
            basis = principal_axes(rows)
        turned = rows if basis is None else rows @ basis

        # Weights and rows are rounded. What the turned rows miss, computed, and how far that may be
        # off: n inner products of r terms each. As it comes from a second product, it sees one that
        # went wrong.
        sizes = _lengths(turned)
        r = turned.shape[1]
        once = 5 * UNIT * _total(_lengths(rows))
        if basis is not None:
            once += _total(_lengths(rows - turned @ basis.T))
            once += (r + 3) * UNIT * 1.01 * math.sqrt(r) * _total(sizes)
        # The second rows are |slope| times the first, rounded once more.
        error = once * (1.0 + abs(slope)) + 4 * UNIT * abs(slope) * _total(sizes)
        error = sum_above(error, n + d) + 2 * n * (d + 2) * _TINY

        positive = weighted.positive
        plus, minus = turned[positive], turned[~positive]
        if slope != 0.0:
            second = -abs(slope) * turned
            in_plus = positive == (slope < 0.0)
            plus = np.concatenate([plus, second[in_plus]])
            minus = np.concatenate([minus, second[~in_plus]])
        return cls(
            _without_zeros(plus),
            _without_zeros(minus),
            basis,
            error,
            1.0 if basis is None else norm_bound(basis),
            weighted.exponent,
        )

    @property
    def rank(self) -> int:
        """r: dimension of the space in which the rows live."""
        return int(self.plus.shape[1])

    @property
    def basis(self) -> FloatArray:
        """V, (d, r)."""
        return np.eye(self.rank) if self.axes is None else self.axes

    def inside(self, U: FloatArray) -> FloatArray:
        """``V'u`` of the rows u of U, (k, r)."""
        return U if self.axes is None else U @ self.axes

    def swapped(self) -> SignedRows:
        """Signed rows of -v."""
        return SignedRows(self.minus, self.plus, self.axes, self.error, self.growth, self.exponent)

    def bound(self, most: float) -> float:
        """Bound of ``|v' act(X u)|`` over the unit ball from one of |F|, rounded upwards."""
        return float(
            np.ldexp(sum_above(self.growth * max(most, 0.0) + self.error, 2), self.exponent)
        )

    def neurons(self, W: FloatArray) -> FloatArray:
        """Neurons u = V w, of length 1, of the rows w of W, none of them zero; (k, d)."""
        U = W if self.axes is None else W @ self.axes.T
        return np.asarray(U / np.linalg.norm(U, axis=1, keepdims=True))


def _merged(X: FloatArray, v: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Every row once, with the sum of its weights, rounded; the rows as they are if none repeats.

    Apart, equal rows of weights of opposite signs would bound each other's terms badly: a neuron on
    their hyperplane would need boxes as small as the accuracy.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        h = X @ np.cos(np.arange(1.0, X.shape[1] + 1))
        order = np.argsort(h)
        near = np.diff(h[order]) <= _NEAR * np.abs(h[order[1:]])
    if not near.any() or np.max(np.abs(v)) > _HUGE:
        return X, v
    candidates = np.union1d(order[:-1][near], order[1:][near])
    first, number = distinct_rows(X[candidates])
    if len(first) == len(candidates):
        return X, v
    groups = np.split(candidates[np.argsort(number)], np.cumsum(np.bincount(number))[:-1])
    kept, whole = np.ones(len(X), np.bool_), v.copy()
    for group in groups:
        kept[group[1:]] = False
        whole[group[0]] = math.fsum(v[group])
    return X[kept], whole[kept]


class _Weighted(NamedTuple):
    rows: FloatArray
    """(m, d): ``2^-exponent |v_k| x_k``, rounded, zero rows left out."""
    positive: np.ndarray[tuple[int], np.dtype[np.bool_]]
    """(m,): where v_k > 0."""
    exponent: int


def _weighted(X: FloatArray, v: FloatArray) -> _Weighted:
    """Rows times weights without overflow, nor underflow of what counts."""
    largest_entries = np.maximum(np.max(X, axis=1), -np.min(X, axis=1))
    kept = (v != 0.0) & (largest_entries != 0.0)
    if not kept.all():
        X, v, largest_entries = X[kept], v[kept], largest_entries[kept]
    if not len(v):
        return _Weighted(X, v > 0.0, 0)
    row_exponents: IndexArray = np.frexp(largest_entries)[1].astype(np.int64)
    mantissas, weight_exponents = np.frexp(np.abs(v))
    exponents = row_exponents + weight_exponents
    largest = int(np.max(exponents))
    positive = np.asarray(v > 0.0)
    powers = weight_exponents - largest
    if np.max(np.abs(powers)) < _POWERS:
        return _Weighted(X * np.ldexp(mantissas, powers)[:, np.newaxis], positive, largest)
    rows = mantissas[:, np.newaxis] * np.ldexp(X, -row_exponents[:, np.newaxis])
    return _Weighted(np.ldexp(rows, (exponents - largest)[:, np.newaxis]), positive, largest)


def principal_axes(rows: FloatArray) -> FloatArray:
    """Right singular vectors (d, r) of the rows, by falling singular value."""
    n, d = rows.shape
    if not n:
        return np.zeros((d, 0))
    if n > 2 * d and n * d * d > _LARGE:
        return np.ascontiguousarray(_axes_of_products(rows, float(np.linalg.norm(rows))))
    # The triangle of a QR factorisation has the same ones, and keeps the small singular values.
    small = np.linalg.qr(rows, mode="r") if n > 2 * d else rows
    _, values, axes = np.linalg.svd(small, full_matrices=False)
    return np.ascontiguousarray(axes[values > _RANK * values[0]].T)


def _axes_of_products(rows: FloatArray, size: float) -> FloatArray:
    """Axes (d, r) of the eigenvectors of ``rows' rows``; `size` is the length of all rows.

    What is small beside the largest eigenvalue is not seen there, but in what the rows have
    along the eigenvectors that belong to it: these are looked at in the same way.
    """
    values, axes = np.linalg.eigh(rows.T @ rows)
    large = values > _SEEN * values[-1]
    seen, rest = axes[:, large][:, ::-1], axes[:, ~large]
    if not rest.shape[1]:
        return seen
    beneath = rows @ rest
    if not float(np.linalg.norm(beneath)) > _NONE * size:
        return seen
    return np.concatenate([seen, rest @ _axes_of_products(beneath, size)], axis=1)


def norm_bound(V: FloatArray) -> float:
    """Bound of the spectral norm of a matrix with nearly orthonormal columns, at least 1."""
    d, r = V.shape
    products = V.T @ V
    freivalds(V.T, V, products)
    departure = length(products - np.eye(r))
    # ||V||^2 <= 1 + ||V'V - I||_F; each entry of V'V is an inner product of d terms, the matrix of
    # whose moduli has a Frobenius norm of at most ||V||_F^2.
    off = departure + (d + 4) * UNIT * 1.01 * r
    return sum_above(1.0 + 0.5 * off, r * r)


def _without_zeros(rows: FloatArray) -> FloatArray:
    there = np.any(rows, axis=1)
    return np.asfortranarray(rows if there.all() else rows[there])


def _lengths(rows: FloatArray) -> FloatArray:
    return np.asarray(np.sqrt(np.einsum("kj,kj->k", rows, rows)))


def _total(sizes: FloatArray) -> float:
    return float(np.sum(sizes))


def length(x: FloatArray) -> float:
    """Euclidean length of all entries, to rounding; without BLAS, for proofs."""
    return math.sqrt(float(np.sum(x * x)))


def sum_above(value: float, additions: int) -> float:
    """Upwards of the exact sum of non-negative numbers that was computed by so many additions."""
    return math.nextafter(value * (1.0 + (additions + 16) * UNIT), math.inf)
