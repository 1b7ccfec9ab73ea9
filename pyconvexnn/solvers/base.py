"""What every solver takes and returns."""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from pyconvexnn._typing import FloatArray, IndexArray
from pyconvexnn.problems import SparseBlocks


class Status(enum.Enum):
    """How a solve, or a training, ended.

    Examples
    --------
    >>> import pyconvexnn as cx
    >>> X, y, ps = cx.datasets.ar(60, 3, 40)
    >>> prob = cx.GatedReLUProblem(X, y, ps, beta=1.0)
    >>> cx.solve(prob).status is cx.Status.SOLVED
    True
    """

    SOLVED = 0  #: the relative gap is at most tol
    MAX_ITER = 1  #: ran out of iterations
    TIME_LIMIT = 2  #: ran out of time
    INTERRUPTED = 3  #: the callback returned True
    NUMERICAL_ERROR = 4  #: rounding allows no further progress, or a value overflowed


class Progress(NamedTuple):
    """State of a solve at one check of its duality gap.

    Attributes
    ----------
    iteration : int
        Iterations so far; each solver says what it counts.
    objective, dual_objective : float
        The best so far: the optimum is between them.
    active : int
        Blocks that are not zero.
    seconds : float
        Since the start.

    Examples
    --------
    >>> import pyconvexnn as cx
    >>> X, y, ps = cx.datasets.ar(60, 3, 40)
    >>> prob = cx.GatedReLUProblem(X, y, ps, beta=1.0)
    >>> seen = []
    >>> sol = cx.solve(prob, callback=seen.append)
    >>> seen[-1].gap <= 1e-6 * seen[-1].objective, len(seen) == len(sol.history)
    (True, True)
    """

    iteration: int
    objective: float
    dual_objective: float
    active: int
    seconds: float

    @property
    def gap(self) -> float:
        """``objective - dual_objective``, an upper bound of what is left to gain."""
        return self.objective - self.dual_objective


Callback = Callable[[Progress], object]


def relative_gap(objective: float, dual_objective: float, objective_at_zero: float) -> float:
    """``gap / max(|objective|, 1e-10 objective at zero)``, 0 where both are 0."""
    scale = max(abs(objective), 1e-10 * objective_at_zero)
    gap = objective - dual_objective
    if scale > 0:
        return gap / scale
    return float("inf") if gap > 0 else 0.0


@dataclass(frozen=True, eq=False)
class Solution:
    """A solution of a problem with the dual point that proves its quality.

    Attributes
    ----------
    coef : SparseBlocks
        The blocks u_i; ``coef.to_dense()`` is (P, d), or (P, d, K) for K > 1 outputs. Of a
        ReLUProblem v_i and w_i, (2, P, d).
    dual : (n,) float64, or (n, K)
        v, feasible: ``max_i ||X^T D_i v|| <= beta w_i (1 + 1e-12)``; of a ReLUProblem the length
        of the projections of ``X^T D_i v`` and its opposite on the cone of pattern i.
    objective : float
        Objective of `coef`.
    dual_objective : float
        ``D(dual)``, a lower bound of the optimum.
    objective_at_zero : float
        Objective of all-zero coefficients, which the relative gap refers to when the objective
        vanishes.
    status : Status
    n_iter : int
        Iterations; each solver says what it counts.
    solve_time : float
        Seconds in the solver.
    history : tuple of Progress
        One entry for every check of the gap over all patterns.
    offset : float, or (K,) float64
        b, the best output offset of the blocks; 0 in a problem without one.
    linear : (d,) or (d, K) float64, or None
        c, the best unpenalised linear part of the blocks, in a problem with ``skip = 0``.
    nonconvex_objective : float or None
        Of a ReLUProblem: the weight-decay objective of the network that the blocks are
        (:func:`pyconvexnn.recover`), which is that of the program, to rounding; a linear part
        counts as `skip` says. None otherwise.

    Notes
    -----
    Every number can be recomputed from `coef`, `dual` and the data: :func:`pyconvexnn.verify`.

    Examples
    --------
    >>> import pyconvexnn as cx
    >>> X, y, ps = cx.datasets.ar(60, 3, 40)
    >>> prob = cx.GatedReLUProblem(X, y, ps, beta=1.0)
    >>> sol = cx.solve(prob, tol=1e-8)
    >>> sol.status.name, sol.relative_gap <= 1e-8, sol.coef.to_dense().shape
    ('SOLVED', True, (40, 3))
    >>> bool(abs(prob.dual_objective(sol.dual) - sol.dual_objective) < 1e-9 * sol.objective)
    True
    """

    coef: SparseBlocks
    dual: FloatArray = field(repr=False)
    objective: float
    dual_objective: float
    objective_at_zero: float = field(repr=False)
    status: Status
    n_iter: int
    solve_time: float
    history: tuple[Progress, ...] = field(repr=False)
    offset: float | FloatArray = field(default=0.0, repr=False)
    linear: FloatArray | None = field(default=None, repr=False)
    nonconvex_objective: float | None = field(default=None, repr=False)

    @property
    def gap(self) -> float:
        """``objective - dual_objective``, absolute."""
        return self.objective - self.dual_objective

    @property
    def relative_gap(self) -> float:
        """``gap / max(|objective|, 1e-10 objective at zero)``; at most tol when SOLVED."""
        return relative_gap(self.objective, self.dual_objective, self.objective_at_zero)

    @property
    def active(self) -> IndexArray:
        """Indices of the non-zero blocks, ascending."""
        return self.coef.indices


class Solver(Protocol):
    """A solver holds its settings; `solve` is its one method."""

    def solve(
        self,
        problem: Any,
        *,
        warm_start: SparseBlocks | None = None,
        callback: Callback | None = None,
    ) -> Solution:
        """Solve from a warm start; the callback may return True to stop."""
        ...
