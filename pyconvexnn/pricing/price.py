r"""The price of a dual point over all neurons, by three engines behind one function.

.. math:: \max_{\|u\| \le 1} |v^T \phi(X u)|

is what a neuron could lower the objective by, to first order and for each unit of its penalty: no
neuron pays where it is at most beta. It is the largest difference of the support functions of two
zonotopes (:class:`~pyconvexnn.pricing.rows.SignedRows`).
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from pyconvexnn import _core
from pyconvexnn._rounding import up
from pyconvexnn._typing import FloatArray
from pyconvexnn._validation import as_generator, choice
from pyconvexnn.enumeration import count_patterns
from pyconvexnn.pricing.cells import price_cells
from pyconvexnn.pricing.relaxation import RATE, relaxation
from pyconvexnn.pricing.rows import SignedRows
from pyconvexnn.pricing.search import LocalMaxima, distinct, search
from pyconvexnn.sampling.everything import cell_bound
from pyconvexnn.solvers import Status

METHODS = ("auto", "enumeration", "branch_and_bound", "bound", "search")

# The rule of "auto". Enumeration costs some microseconds a cell, and its bound is tight; branch and
# bound costs less from a few thousand cells on, unless the accuracy is close to rounding. It is
# distinct rows that make cells: forty copies of a grid have no more than one. Beyond some forty
# dimensions no box is ever closed.
_FEW_CELLS = 2_000
_FINE, _MORE_CELLS = 1e-7, 100_000
_MANY_DIMENSIONS = 40

_STEPS = 60  # of the relaxation,
_FEW_STEPS, _EASY_DIMENSIONS = 4, 6  # but where boxes are quicker

_CHEAP = 1e8  # operations that nobody waits for
_TURNING_SHARE = 0.1  # of the time limit that principal axes of the rows may take


@dataclass(frozen=True, eq=False)
class Price:
    """What is known of the price of a dual point: :func:`price`.

    Attributes
    ----------
    bound : float
        At least ``max |v' act(X u)|`` over the unit ball, in real arithmetic (or at least the floor
        and the price, where the price is below the floor); inf for "search".
    value : float
        Largest ``|v' act(X u)|`` of a neuron found, to rounding; 0 without any.
    neurons : (k, d) float64
        Distinct neurons of length 1, by falling value.
    signs : (k,) float64
        Signs of their ``v' act(X u)``.
    values : (k,) float64
        Sizes of these, to rounding.
    method : str
        "enumeration", "branch_and_bound", "bound" (a relaxation) or "search".
    status : Status
        SOLVED when ``bound - rounding <= max(floor, value) (1 + rtol)``, and for "search";
        otherwise why not.
    rounding : float
        How much of `bound` is inflation against rounding.
    n_nodes : int
        Cells or boxes looked at.
    """

    bound: float
    value: float
    neurons: FloatArray
    signs: FloatArray
    values: FloatArray
    method: str
    status: Status
    rounding: float = 0.0
    n_nodes: int = 0


def price(
    X: FloatArray,
    v: FloatArray,
    *,
    slope: float = 0.0,
    floor: float = 0.0,
    rtol: float = 1e-4,
    method: str = "auto",
    starts: FloatArray | None = None,
    n_starts: int = 50,
    seed: int | np.random.Generator | None = 0,
    max_nodes: int | None = None,
    time_limit: float | None = None,
    threads: int = 1,
    basis: FloatArray | None = None,
    callback: Callable[[int, float, float], object] | None = None,
) -> Price:
    """Find the price of v: the best neurons that can be found, and a bound that is proved.

    Parameters
    ----------
    X : (n, d) float64
        Data.
    v : (n,) float64
        Dual point.
    slope : float
        ``act(t) = t`` for t >= 0, else ``slope t``: in [0, 1), or -1.
    floor : float
        Prices below it need not be known.
    rtol : float
        Wanted: ``bound <= max(floor, value) (1 + rtol)``.
    method : str
        "auto" enumerates where there can be no more than 2,000 cells (100,000 for an `rtol` below
        1e-7), counted as ``2 sum_{k<r} C(m - 1, k)`` for m distinct rows of rank r; it takes
        branch and bound in up to 40 dimensions, and the relaxation beyond, which is tried before
        branch and bound in any case. "enumeration" raises where the cells cannot be listed.
    starts : (k, d) float64, optional
        Further neurons that the local search, which every method begins with, climbs from.
    n_starts : int
        Its random starts.
    seed : int, None or Generator
        Of these.
    max_nodes : int, optional
        Most boxes of branch and bound.
    time_limit : float, optional
        Seconds. Branch and bound has a bound at any time; an enumeration that ends early has that
        of the relaxation.
    threads : int
        The result does not depend on it, unless time runs out.
    basis : (d, r) float64, optional
        Orthonormal columns that span the rows of X, where they are known: r < d.
    callback : callable, optional
        Called with the boxes so far, the bound and the value; returning True ends the search.

    Returns
    -------
    Price

    Raises
    ------
    ValueError
        For an unknown method, and what :func:`~pyconvexnn.pricing.cells.price_cells` raises.
    KeyboardInterrupt
        On Ctrl-C.

    Examples
    --------
    >>> import numpy as np
    >>> found = price(np.eye(2), np.array([3.0, -4.0]), method="branch_and_bound")
    >>> found.status.name, round(found.value, 9), bool(4.0 <= found.bound <= 4.0 * (1 + 1e-4))
    ('SOLVED', 4.0, True)
    """
    choice(method, "method", METHODS)
    end = math.inf if time_limit is None else time.monotonic() + time_limit
    rows = SignedRows.of(X, v, slope, basis=basis, turn=_turns(X, method, time_limit))
    found = search(
        X,
        v,
        rows,
        slope=slope,
        starts=starts,
        n_starts=n_starts,
        rng=as_generator(seed),
        time_limit=None if time_limit is None else 0.3 * max(end - time.monotonic(), 0.0),
        threads=threads,
    )
    value = float(found.values[0]) if len(found.values) else 0.0
    if method == "search":
        return Price(
            math.inf, value, found.neurons, found.signs, found.values, method, Status.SOLVED
        )
    run = _Run(X, v, slope, floor, rtol, threads, end, max_nodes, callback)
    if method == "enumeration":
        return run.enumeration(rows, found)
    if method == "auto":
        if _has_few_cells(X, v, rows, _FEW_CELLS if rtol >= _FINE else _MORE_CELLS):
            # It may be that it cannot be told which rows or columns are dependent.
            with contextlib.suppress(ValueError):
                return run.enumeration(rows, found)
        method = "branch_and_bound" if rows.rank <= _MANY_DIMENSIONS else "bound"
    return run.boxes(rows, found, most=max_nodes if method == "branch_and_bound" else 0)


def _turns(X: FloatArray, method: str, time_limit: float | None) -> bool:
    """Whether principal axes are worth their time."""
    n, d = X.shape
    cost = 6.0 * n * d * min(n, d) + 30.0 * min(n, d) ** 3
    if cost <= _CHEAP:
        return True
    # A search does without them, and so does a relaxation; they matter where d can be reduced.
    if method == "search":
        return False
    return time_limit is None or cost / RATE <= _TURNING_SHARE * time_limit


def _has_few_cells(X: FloatArray, v: FloatArray, rows: SignedRows, most: int) -> bool:
    """Whether the rows that are priced have at most so many cells, repeated ones or not."""
    if rows.rank == 0 or count_patterns(len(rows.plus) + len(rows.minus), rows.rank) <= most:
        return True
    # As many distinct rows as the rank are the fewest there can be.
    if count_patterns(rows.rank, rows.rank) > most:
        return False
    live = X[(v != 0) & np.any(X != 0, axis=1)]
    # Doubles taken as given have no fewer cells, and take longer to look at.
    return all(cell_bound(live, most, snap=snap) is not None for snap in (True, False))


@dataclass(frozen=True, eq=False)
class _Run:
    X: FloatArray
    v: FloatArray
    slope: float
    floor: float
    rtol: float
    threads: int
    end: float
    max_nodes: int | None
    callback: Callable[[int, float, float], object] | None

    @property
    def left(self) -> float:
        """Seconds until the time limit; 1e300 without one."""
        return min(max(self.end - time.monotonic(), 0.0), 1e300)

    def enumeration(self, rows: SignedRows, found: LocalMaxima) -> Price:
        """All cells, one after another."""

        def stop(n_cells: int, bound: float, value: float) -> Status | None:
            if self.callback is not None and self.callback(n_cells, bound, value):
                return Status.INTERRUPTED
            return Status.TIME_LIMIT if time.monotonic() > self.end else None

        cells = price_cells(
            self.X, self.v, slope=self.slope, floor=self.floor, threads=self.threads, stop=stop
        )
        if cells.status is not Status.SOLVED:
            return self.boxes(rows, self._with(found, cells.neurons), most=0, status=cells.status)
        return self._price(
            cells.bound,
            self._with(found, cells.neurons),
            "enumeration",
            Status.NUMERICAL_ERROR,
            cells.rounding,
            cells.n_cells,
        )

    def boxes(
        self,
        rows: SignedRows,
        found: LocalMaxima,
        *,
        most: int | None = None,
        status: Status = Status.MAX_ITER,
    ) -> Price:
        """Relax; then, where that will not do, branch and bound over at most so many boxes."""
        if rows.rank == 0:
            return self._price(rows.bound(0.0), found, "bound", status, rows.bound(0.0), 0)
        ceilings = relaxation(
            rows,
            iterations=_STEPS if most == 0 or rows.rank > _EASY_DIMENSIONS else _FEW_STEPS,
            time_limit=None if math.isinf(self.end) else 0.3 * self.left,
        )
        relaxed = rows.bound(max(ceilings))
        unit = math.ldexp(1.0, -rows.exponent)
        if most == 0 or relaxed <= self._target(found):
            return self._price(relaxed, found, "bound", status, rows.bound(0.0), 0)
        W = np.array(rows.inside(found.neurons), order="C")
        W /= np.linalg.norm(W, axis=1, keepdims=True)
        callback = self.callback
        best, rounding, _, _, neuron, n_nodes, code = _core.branch_and_bound(
            rows.plus,
            rows.minus,
            W,
            floor=max(self.floor * unit - rows.error, 0.0) / rows.growth,
            rtol=self.rtol,
            ceilings=ceilings,
            max_nodes=2**62 if most is None else most,
            time_limit=self.left,
            threads=self.threads,
            callback=None
            if callback is None
            else lambda nodes, bound, value, _open, _seconds: bool(
                callback(nodes, rows.bound(bound), value / unit)
            ),
        )
        bound = rows.bound(min(up(best + rounding), max(ceilings)))
        if len(neuron):
            found = self._with(found, rows.neurons(neuron[np.newaxis]))
        return self._price(
            bound,
            found,
            "branch_and_bound",
            Status(code) if code else Status.NUMERICAL_ERROR,
            float(2 * rows.growth * rounding + rows.error + 1e-15 * best) / unit,
            n_nodes,
        )

    def _with(self, found: LocalMaxima, neurons: FloatArray) -> LocalMaxima:
        return distinct(self.X, self.v, np.concatenate([found.neurons, neurons]), self.slope)

    def _target(self, found: LocalMaxima) -> float:
        best = float(found.values[0]) if len(found.values) else 0.0
        return max(self.floor, best) * (1.0 + self.rtol)

    def _price(
        self,
        bound: float,
        found: LocalMaxima,
        method: str,
        otherwise: Status,
        rounding: float,
        n_nodes: int,
    ) -> Price:
        value = float(found.values[0]) if len(found.values) else 0.0
        status = Status.SOLVED if bound - rounding <= self._target(found) else otherwise
        return Price(
            bound,
            value,
            found.neurons,
            found.signs,
            found.values,
            method,
            status,
            rounding,
            n_nodes,
        )
