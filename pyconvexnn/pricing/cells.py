r"""The price of all neurons by enumeration: one projection for each cell that needs it.

On the cell of pattern i, the closed cone K_i, a neuron's ``v' act(X u)`` is ``g_i'u`` with
``g_i = X' D_i v``, D_i holding 1 where the pattern is on and the slope where it is off. So

.. math:: \max_{u \in K_i, \|u\| \le 1} g_i'u = \min_{a \ge 0} \|g_i + \sum_k a_k s_k x_k\|
    \le \|g_i\|, \qquad s_k = \pm 1,

and any a >= 0 gives a bound. The bounds here hold in real arithmetic, for the x_k and v_k as given:
what the compiled kernels are trusted with is to find good a, and the list of the cells.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from pyconvexnn import _core
from pyconvexnn._bits import distinct_rows, unpack
from pyconvexnn._blocks import row_blocks
from pyconvexnn._rounding import check_same, down, growth, underflow, up
from pyconvexnn._typing import BitArray, FloatArray, IndexArray
from pyconvexnn.enumeration import iter_patterns
from pyconvexnn.problems.cones import Cones, multipliers, unit_rows
from pyconvexnn.problems.prices import held_lengths
from pyconvexnn.solvers.base import Status

_BLOCK = 1 << 12  # cells at a time,
_BITS = 1 << 25  # but on very many rows no more than have so many bits
_FIRST = 64  # cells of a block's first round; each round is twice as large as the one before
_KEPT = 64  # neurons that are remembered
_EXACT, _BELOW = 0, 1  # codes of projections: to rounding, and stopped at the threshold
_DIGITS = 9  # of neurons that count as different
_LARGEST_FLOOR = 1e300
_LOOSE = 1e-12  # of ||g||: a bound that exceeds the projection by more is looked at again


class CellPrices(NamedTuple):
    """What :func:`price_cells` found.

    Attributes
    ----------
    bound : float
        ``max(floor, max_{||u|| <= 1} |v' act(X u)|)`` or more, in real arithmetic; inf where the
        cells were not all looked at.
    value : float
        Largest ``|v' act(X u)|`` of the neurons, to rounding; 0 without any.
    neurons : (k, d) float64
        Neurons of length 1 whose prices exceed `floor`, one for each of some cells, by falling
        price.
    signs : (k,) float64
        Signs of their ``v' act(X u)``.
    n_cells : int
        Cells looked at.
    rounding : float
        How much of `bound` is inflation against rounding.
    status : Status
        SOLVED, or what `stop` returned.
    """

    bound: float
    value: float
    neurons: FloatArray
    signs: FloatArray
    n_cells: int
    rounding: float
    status: Status


Stop = Callable[[int, float, float], Status | None]


def price_cells(
    X: FloatArray,
    v: FloatArray,
    *,
    slope: float = 0.0,
    floor: float = 0.0,
    threads: int = 1,
    stop: Stop | None = None,
) -> CellPrices:
    """Largest ``|v' act(X u)|`` over all neurons ``||u|| <= 1``, by enumeration of the cells.

    Rows where v or x is zero play no part. Cells whose ``||g_i||`` is at most `floor`, or at most
    a price found already, are not projected.

    Parameters
    ----------
    X : (n, d) float64
        Data; its largest entry is between 1e-60 and 1e60 in size.
    v : (n,) float64
        Finite.
    slope : float
        ``act(t) = t`` for t >= 0, else ``slope t``: in [0, 1), or -1.
    floor : float
        >= 0: prices below it need not be known.
    threads : int
        Threads. The bound depends on them to rounding only.
    stop : callable, optional
        Called with the cells looked at, the bound over these, and the largest price found, before
        every few thousand further cells. What it returns, unless None, ends the search.

    Raises
    ------
    ValueError
        If the cells cannot be listed: see :func:`pyconvexnn.enumerate_patterns`. Data are taken as
        given (``snap=False``), so that columns must not depend on each other up to rounding only.
    WrongProductError
        If the compiled products are wrong by more than rounding.

    Examples
    --------
    >>> import numpy as np
    >>> found = price_cells(np.eye(2), np.array([3.0, -4.0]))
    >>> round(found.bound, 12), round(found.value, 12), found.neurons.round(12).tolist()[0]
    (4.0, 4.0, [0.0, 1.0])
    """
    live = (v != 0) & np.any(X != 0, axis=1)
    if not np.any(live):
        none = np.empty((0, X.shape[1]))
        return CellPrices(floor, 0.0, none, np.empty(0), 0, 0.0, Status.SOLVED)
    # In units of a power of two, so that no square vanishes.
    _, exponent = np.frexp(np.max(np.abs(v)))
    unit = int(exponent)
    if np.any(np.ldexp(np.ldexp(v, -unit), unit) != v):
        unit = 0
    with np.errstate(over="ignore"):  # a lower floor than the one asked for does no harm
        low = min(float(np.ldexp(floor, -unit)), _LARGEST_FLOOR)
    search = _Search(
        np.asfortranarray(X[live]), np.ldexp(v[live], -unit), slope, max(0.0, down(low))
    )
    status, n_cells = Status.SOLVED, 0
    size = min(_BLOCK, max(2, _BITS // len(search.X) // 2 * 2))
    for block in iter_patterns(search.X, block_size=size, snap=False, threads=threads):
        if stop is not None and n_cells:
            shown = math.ldexp(search.bound, unit), math.ldexp(search.found, unit)
            asked = stop(n_cells, max(floor, shown[0]), shown[1])
            if asked is not None:
                status = asked
                break
        packed = block.packed
        # Opposite cells have the same prices under "abs": a block's second half.
        search.look_at(packed[: -(-len(packed) // 2)] if slope == -1.0 else packed, threads)
        n_cells += len(packed)
    value, neurons, signs = _best(X, v, slope, search.neurons())
    bound, plain = math.ldexp(search.bound, unit), math.ldexp(search.plain, unit)
    bound = max(floor, up(bound) if math.ldexp(bound, -unit) != search.bound else bound)
    rounding = max(0.0, bound - max(floor, plain))
    if status is not Status.SOLVED:
        bound = math.inf
    return CellPrices(bound, value, neurons, signs, n_cells, rounding, status)


class _Search:
    """What is known of the cells looked at: a bound of their prices, and the best neurons.

    Attributes
    ----------
    bound : float
        At least every price of these cells that exceeds the floor, in real arithmetic; at least 0.
    plain : float
        The bound without inflation.
    found : float
        The largest price found, to rounding.
    """

    def __init__(self, X: FloatArray, v: FloatArray, slope: float, floor: float) -> None:
        n, d = X.shape
        self.X, self.v, self.slope, self.floor = X, v, slope, floor
        self.bound = self.plain = self.found = 0.0
        self._rows = np.ascontiguousarray(X)
        self._units = unit_rows(X)
        self._whole = np.einsum("kj,k->j", X, v) if slope != 0.0 else np.zeros(d)
        self._sizes = np.einsum("kj,k->j", np.abs(X), np.abs(v))
        # Of g_i: n products and sums in any order, and the two parts of the slope.
        factor = abs(1.0 - slope) + abs(slope)
        size = factor * _lengths(self._sizes[np.newaxis])[0] * (1.0 + growth(n + d + 12))
        self._error = growth(n + 6) * size + underflow(4 * (n + d) * d)
        self._size = size
        self._points: list[FloatArray] = [np.empty((0, d))]

    def look_at(self, packed: BitArray, threads: int) -> None:
        """Take the cells of these patterns into account."""
        products = _core.MaskedProducts(self.X, packed).adjoint(self.v, threads=threads)
        self._check(packed, products)
        G = (1.0 - self.slope) * products + self.slope * self._whole
        plain = _lengths(G)
        lengths = plain * (1.0 + growth(self.X.shape[1] + 6)) + self._error
        order = np.argsort(-lengths, kind="stable")
        order = order[: np.count_nonzero(lengths > self._threshold)]
        if not len(order):
            return
        projections = _core.ConeProjections(self.X, packed, threads=threads)
        start, step = 0, _FIRST
        while start < len(order) and lengths[order[start]] > self._threshold:
            cells = order[start : start + step]
            start, step = start + step, 2 * step
            cells = cells[lengths[cells] > self._threshold]
            self._project(projections, packed, G, cells)

    def neurons(self) -> FloatArray:
        """Neurons of length 1, one for each of the cells of the largest prices, (k, d)."""
        return unit_rows(self._longest())

    @property
    def _threshold(self) -> float:
        return max(self.floor, self.bound)

    def _project(
        self,
        projections: _core.ConeProjections,
        packed: BitArray,
        G: FloatArray,
        cells: IndexArray,
    ) -> None:
        """Bound the prices of some cells, of both signs, by projections."""
        blocks = np.stack([2 * cells, 2 * cells + 1], axis=1).ravel()
        low = max(self.floor, self.found)
        U, _, _, counts = projections.project(blocks, G, threshold=low)
        plain, reach = held_lengths(projections, self._rows, packed, G, blocks)
        bounds = self._inflated(plain, reach)
        norms = _lengths(U)
        exact = counts[:, 0] == _EXACT
        for t in np.flatnonzero(counts[:, 0] != _BELOW):
            if bounds[t] <= self._threshold:
                continue
            slack = _LOOSE * float(np.linalg.norm(G[blocks[t] // 2])) + (bounds[t] - plain[t])
            if not (exact[t] and plain[t] <= norms[t] + slack):
                again = self._by_least_squares(packed, G, int(blocks[t]))
                if again[0] < bounds[t]:
                    bounds[t], plain[t] = again
        top = int(np.argmax(bounds))
        if bounds[top] > self.bound:
            self.bound, self.plain = float(bounds[top]), float(plain[top])
        reached = exact & (norms > low)
        if np.any(reached):
            self.found = max(self.found, float(np.max(norms[reached])))
            self._points.append(U[reached])
            if len(self._points) > _KEPT:
                self._points = [self._longest()]

    def _longest(self) -> FloatArray:
        """The longest projections that are remembered."""
        points = np.concatenate(self._points)
        return points[np.argsort(-_lengths(points), kind="stable")[:_KEPT]]

    def _inflated(self, plain: FloatArray, reach: FloatArray) -> FloatArray:
        """Bounds in real arithmetic of lengths of sums whose terms have these sizes.

        The rounding of g_i, that of at most d products and sums, and that of the length.
        """
        d = self.X.shape[1]
        terms = (self._size + reach) * (1.0 + growth(4 * d + 12))
        bounds = plain * (1.0 + growth(d + 6)) + growth(d + 4) * terms + self._error
        return np.where(np.isfinite(bounds), bounds, np.inf)

    def _by_least_squares(self, packed: BitArray, G: FloatArray, block: int) -> tuple[float, float]:
        """Bound of one price and the same without inflation, by multipliers of SciPy's."""
        i, sign = block // 2, 1.0 - 2.0 * (block % 2)
        mask = unpack(packed[[i]], len(self.X))[0]
        a = multipliers(Cones(self.X).normals(mask), sign * G[i])
        sizes = np.sum(np.abs(self._rows), axis=1)
        with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
            # Of the rows as given, no longer of their units.
            a = np.where(a > 0, a * np.max(np.abs(self._units), axis=1), 0.0)
            a = a / np.max(np.abs(self._rows), axis=1)
        a = np.where(np.isfinite(a), a, 0.0)
        held = np.flatnonzero(a)
        signed = np.where(mask[held], a[held], -a[held])
        point = sign * G[i] + np.einsum("k,kj->j", signed, self._rows[held])
        plain = _lengths(point[np.newaxis])
        reach = np.array([np.sum(a[held] * sizes[held])])
        # There may be more terms than d, each of them with its roundings.
        more = growth(len(held) + 4) * float(reach[0] + self._size)
        return float(self._inflated(plain, reach)[0] + more), float(plain[0])

    def _check(self, packed: BitArray, products: FloatArray) -> None:
        """Check the compiled products by a random combination of the cells, without BLAS."""
        n = len(self.X)
        chosen = np.random.default_rng(0).random(len(packed)) < 0.5
        dense = unpack(packed, n)
        on = np.count_nonzero(dense[chosen], axis=0) - np.count_nonzero(dense[~chosen], axis=0)
        here = np.einsum("kj,k->j", self.X, self.v * on)
        there = np.einsum("ij,i->j", products, np.where(chosen, 1.0, -1.0))
        sizes = len(packed) * self._sizes
        check_same(there, here, sizes, 2 * n + len(packed) + 10)


def _best(
    X: FloatArray, v: FloatArray, slope: float, neurons: FloatArray
) -> tuple[float, FloatArray, FloatArray]:
    """Largest ``|v' act(X u)|``, the distinct neurons by falling price, and the signs."""
    # The best point of several cells is the same but for rounding.
    neurons = neurons[np.sort(distinct_rows(np.round(neurons, _DIGITS))[0])]
    values = np.zeros(len(neurons))
    for part in row_blocks(len(X), len(neurons)):
        Z = np.einsum("kj,uj->ku", X[part], neurons)
        values += np.einsum("k,ku->u", v[part], np.where(Z > 0, Z, slope * Z))
    order = np.argsort(-np.abs(values), kind="stable")
    values, neurons = values[order], neurons[order]
    kept = values != 0
    values, neurons = values[kept], neurons[kept]
    return float(np.max(np.abs(values), initial=0.0)), neurons, np.sign(values)


def _lengths(points: FloatArray) -> FloatArray:
    """Euclidean lengths of the rows, without underflow."""
    largest = np.max(np.abs(points), axis=1, initial=0.0)
    safe = np.where((largest > 0) & np.isfinite(largest), largest, 1.0)
    return np.asarray(safe * np.linalg.norm(points / safe[:, np.newaxis], axis=1))
