"""What rounding can do at most: bounds that hold in real arithmetic, and checks of products.

Directed rounding is not used, as compilers, BLAS and Python ignore it. Instead a computed number
is moved by what its roundings can have changed, known beforehand (Higham 2002, chapter 3), and
sums that decide are computed exactly and rounded once.
"""

from __future__ import annotations

import math
from fractions import Fraction
from itertools import chain

import numpy as np

from pyconvexnn._typing import BoolArray, FloatArray

UNIT = 2.0**-53
"""u: the largest relative error of one rounding to nearest."""

TINY = 2.0**-1070
"""Above the error of an operation whose result underflows, a few times."""

INFLATION = 1.0
"""Factor of every bound on errors here. For tests: at 0 proofs are left to plain arithmetic."""

_SPLIT = 2.0**27 + 1.0
_SPREAD = 900  # powers of two: sums of terms further apart, or so small, are done in rationals


class WrongProductError(RuntimeError):
    """A matrix product of this machine is wrong by more than rounding."""


def up(x: float) -> float:
    """Second number above x: above every number that one rounding or two could have made x."""
    return math.nextafter(math.nextafter(x, math.inf), math.inf)


def down(x: float) -> float:
    """Second number below x."""
    return -up(-x)


def growth(roundings: float) -> float:
    """Largest relative error of so many roundings one after the other: ``k u / (1 - k u)``."""
    error = roundings * UNIT
    return INFLATION * (1.0 + 4 * UNIT) * error / (1.0 - error)


def underflow(operations: float) -> float:
    """Largest absolute error of the sum of so many operations whose results underflow."""
    return INFLATION * TINY * operations


def float_below(x: Fraction) -> float:
    """Largest float <= x; -inf and the largest float where x is out of range."""
    try:
        rounded = float(x)
    except OverflowError:
        return -math.inf if x < 0 else math.nextafter(math.inf, 0.0)
    return math.nextafter(rounded, -math.inf) if Fraction(rounded) > x else rounded


def two_products(x: FloatArray, y: FloatArray) -> tuple[FloatArray, FloatArray]:
    """``h = fl(x y)`` and l with ``h + l = x y`` exactly (Dekker 1971); sizes about 1."""
    high = x * y
    big = _SPLIT * x
    x_top = big - (big - x)
    big = _SPLIT * y
    y_top = big - (big - y)
    x_rest, y_rest = x - x_top, y - y_top
    low = x_rest * y_rest - (((high - x_top * y_top) - x_rest * y_top) - x_top * y_rest)
    return high, low


def exact_dot(x: FloatArray, y: FloatArray) -> float:
    """``sum_k x_k y_k`` in real arithmetic, rounded once.

    Parameters
    ----------
    x, y : (n,) float64
        Finite.

    Raises
    ------
    OverflowError
        If the sum is beyond the largest float.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.array([1e16, 1.0, -1e16])
    >>> exact_dot(x, np.ones(3)), exact_dot(x, np.array([1e-300, 3.0, 1e-300]))
    (1.0, 3.0)
    """
    live = (x != 0) & (y != 0)
    if not np.any(live):
        return 0.0
    high, low, exponents = _scaled_products(x[live], y[live])
    top = int(exponents.max())
    if top - int(exponents.min()) > _SPREAD or top < -_SPREAD:
        pairs = zip(x[live].tolist(), y[live].tolist(), strict=True)
        return float(sum(Fraction(a) * Fraction(b) for a, b in pairs))
    parts = (np.ldexp(part, exponents - top).tolist() for part in (high, low))
    return math.ldexp(math.fsum(chain(*parts)), top)


def squares_above(v: FloatArray, weights: FloatArray) -> Fraction:
    """A number >= ``sum_k v_k^2 / w_k``: the sum, rounded up; w_k > 0."""
    live = v != 0
    if not np.any(live):
        return Fraction(0)
    v, weights = v[live], weights[live]
    if np.all(weights == 1.0):
        return Fraction(_raised(exact_dot(v, v)))
    (top_part, exponents), (bottom_part, below) = np.frexp(v), np.frexp(weights)
    exponents = 2 * exponents - below
    top = int(exponents.max())
    terms = np.ldexp(top_part * top_part / bottom_part, exponents - top)
    total = math.fsum(terms.tolist()) * (1.0 + growth(6)) + underflow(len(v))
    return Fraction(total) * Fraction(2) ** top


def dot_below(x: FloatArray, y: FloatArray) -> Fraction:
    """A number <= ``sum_k x_k y_k``: the sum, rounded down."""
    if not np.any((x != 0) & (y != 0)):
        return Fraction(0)
    return Fraction(-_raised(-exact_dot(x, y)))


def products_in_order(
    a: FloatArray | float, b: FloatArray, c: FloatArray | float, d: FloatArray
) -> BoolArray:
    """Whether ``a_k b_k <= c_k d_k`` in real arithmetic, for factors >= 0."""
    a, b, c, d = np.broadcast_arrays(a, b, c, d)
    left, left_rest, left_size = _scaled_products(a, b)
    right, right_rest, right_size = _scaled_products(c, d)
    # Zero has no exponent of its own.
    top = np.maximum(
        np.where(left > 0, left_size, right_size), np.where(right > 0, right_size, left_size)
    )
    left, left_rest = np.ldexp(left, left_size - top), np.ldexp(left_rest, left_size - top)
    right, right_rest = np.ldexp(right, right_size - top), np.ldexp(right_rest, right_size - top)
    # Rounding keeps the order, so the rests decide only between products rounded to the same.
    return np.asarray((left < right) | ((left == right) & (left_rest <= right_rest)))


def freivalds(A: FloatArray, B: FloatArray, C: FloatArray) -> None:
    """Check that C is A B to rounding: ``C r`` against ``A (B r)``, r of random signs.

    No BLAS takes part. A wrong entry escapes with probability at most 1/2 (Freivalds 1977), and
    hardly ever in the company of others.

    Parameters
    ----------
    A : (n, d) float64
        First factor.
    B : (d, m) float64
        Second factor.
    C : (n, m) float64
        Product, by any order of summation.

    Raises
    ------
    WrongProductError
        If the two differ by more than rounding explains.

    Examples
    --------
    >>> import numpy as np
    >>> A, B = np.arange(6.0).reshape(2, 3), np.arange(6.0).reshape(3, 2)
    >>> freivalds(A, B, A @ B)
    """
    signs = np.random.default_rng(0).choice([-1.0, 1.0], size=B.shape[1])
    sizes = np.einsum("ij,j->i", np.abs(A), np.einsum("ij->i", np.abs(B)))
    there = np.einsum("ij,j->i", C, signs)
    here = np.einsum("ij,j->i", A, np.einsum("ij,j->i", B, signs))
    check_same(there, here, sizes, 2 * sum(B.shape) + 10)


def check_same(there: FloatArray, here: FloatArray, sizes: FloatArray, roundings: float) -> None:
    """Raise WrongProductError unless ``|there - here|`` is what so many roundings of sizes make."""
    # Not by `growth`: a machine that is sound passes whatever INFLATION is.
    allowed = 2 * roundings * UNIT * sizes + TINY * roundings
    if not np.all(np.abs(there - here) <= allowed):
        raise WrongProductError(
            "a matrix product was computed wrongly by this machine's linear algebra library, by "
            "more than rounding explains; nothing is proved"
        )


def balanced(v: FloatArray) -> FloatArray:
    """Nearest numbers of a kind whose sum is zero exactly, none of them further from zero than v.

    With an output offset the dual point must sum to zero. As entries only shrink, and keep their
    signs, v stays in the domain of every loss's conjugate. First the heavier of the positive and
    the negative side is scaled down; then all are cut to multiples of one power of two, the last
    place of the largest, and the difference that is left is taken off in those units.

    Parameters
    ----------
    v : (n,) float64
        Finite.

    Returns
    -------
    (n,) float64
        ``math.fsum`` of it is 0.

    Examples
    --------
    >>> import numpy as np
    >>> balanced(np.array([0.25, 0.5, -0.75, -0.25])).tolist()
    [0.25, 0.5, -0.5625, -0.1875]
    """
    sides = [v > 0, v < 0]
    weights = [math.fsum(np.abs(v[side]).tolist()) for side in sides]
    if min(weights) == 0.0:
        return np.zeros_like(v)
    shrunk = v.copy()
    heavy = int(weights[1] > weights[0])
    # The quotient is below 1 unless they are the same: rounding may not enlarge an entry.
    shrunk[sides[heavy]] *= min(weights[1 - heavy] / weights[heavy], 1.0)
    _, exponent = np.frexp(np.max(np.abs(shrunk)))
    places = min(53 - int(exponent), 1074)  # no unit is below the smallest number
    units = np.trunc(np.ldexp(shrunk, places))  # whole numbers below 2^53
    excess = sum(int(k) for k in units)
    while excess:
        side = np.flatnonzero(units > 0 if excess > 0 else units < 0)
        side = side[np.argsort(-np.abs(units[side]), kind="stable")]
        share, rest = divmod(abs(excess), len(side))
        step = np.minimum(share + (np.arange(len(side)) < rest), np.abs(units[side]))
        units[side] -= math.copysign(1.0, excess) * step
        excess -= int(math.copysign(1.0, excess)) * sum(int(k) for k in step)
    return np.asarray(np.ldexp(units, -places))


def _scaled_products(
    x: FloatArray, y: FloatArray
) -> tuple[FloatArray, FloatArray, np.ndarray[tuple[int, ...], np.dtype[np.int64]]]:
    """``(h, l, e)`` with ``(h + l) 2^e = x y`` exactly, h in [1/4, 1) where x y is not 0."""
    (x_part, x_size), (y_part, y_size) = np.frexp(x), np.frexp(y)
    high, low = two_products(x_part, y_part)
    return high, low, x_size.astype(np.int64) + y_size


def _raised(x: float) -> float:
    """A number above everything that rounds to x; x itself without inflation."""
    return x + INFLATION * (up(x) - x)
