"""The rule behind ``solver="auto"``, in its one place."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import ClassVar

from pyconvexnn.problems import GatedReLUProblem, SparseBlocks
from pyconvexnn.solvers.base import Callback, Solution, Status
from pyconvexnn.solvers.compiled import GatedSolver
from pyconvexnn.solvers.coordinate import CoordinateDescent
from pyconvexnn.solvers.fista import Fista
from pyconvexnn.solvers.newton import Newton

_SMALL = 1 << 30  # bytes that nobody need ask the system for


@dataclass(frozen=True)
class Auto(GatedSolver):
    """Newton's method, with coordinate descent behind it.

    ``python -m bench.auto_solver`` measures the rule: from tolerance 1e-2 to 1e-6 and from
    (n, d, P) = (200, 10, 200) to (20000, 20, 500), Newton's method was the fastest of the three,
    or within a fraction of a millisecond of it, in all but the rows next to beta_max, where all
    take about the same. Hence neither the tolerance nor the penalty decides, and

    1. "newton", unless the matrices of its step, ``12 n k + 32 k^2`` bytes for ``k = min(n, P)``
       active blocks, may take more than half of the memory to be had; "fista", which needs
       none, then;
    2. where "newton" ends with NUMERICAL_ERROR, "cd" goes on from its best point.
    """

    title: ClassVar[str] = "the automatic choice"

    def solve(
        self,
        problem: GatedReLUProblem,
        *,
        warm_start: SparseBlocks | None = None,
        callback: Callback | None = None,
    ) -> Solution:
        """Solve, starting from the blocks of `warm_start`, or from zero if that is no worse."""
        first = self._as(pick(problem)).solve(problem, warm_start=warm_start, callback=callback)
        if first.status is not Status.NUMERICAL_ERROR:
            return first
        left = None if self.time_limit is None else self.time_limit - first.solve_time
        if left is not None and left <= 0:
            return first
        behind = dataclasses.replace(self._as(CoordinateDescent), time_limit=left)
        return _better(first, behind.solve(problem, warm_start=first.coef, callback=callback))

    def _as(self, solver: type[GatedSolver]) -> GatedSolver:
        return solver(**dataclasses.asdict(self))


def pick(problem: GatedReLUProblem) -> type[GatedSolver]:
    """The first solver of the rule.

    Examples
    --------
    >>> import numpy as np, pyconvexnn as cx
    >>> ps = cx.PatternSet.from_dense(np.eye(2, dtype=bool))
    >>> pick(cx.GatedReLUProblem(np.eye(2), np.ones(2), ps, 1.0)).__name__
    'Newton'
    """
    n = problem.n_samples
    k = min(n, len(problem.patterns))
    needed = 12 * n * k + 32 * k * k
    if needed > _SMALL:
        from pyconvexnn._cells import available_bytes

        room = available_bytes()
        if room is not None and needed > room // 2:
            return Fista
    return Newton


def _better(first: Solution, second: Solution) -> Solution:
    """The second solution with what the first one knew better, and the record of both."""
    shift = first.history[-1] if first.history else None
    later = tuple(
        p
        if shift is None
        else p._replace(
            iteration=p.iteration + shift.iteration,
            objective=min(p.objective, shift.objective),
            dual_objective=max(p.dual_objective, shift.dual_objective),
            seconds=p.seconds + first.solve_time,
        )
        for p in second.history
    )
    bound = first if first.dual_objective > second.dual_objective else second
    point = first if first.objective < second.objective else second
    return dataclasses.replace(
        point,
        dual=bound.dual,
        dual_objective=bound.dual_objective,
        status=second.status,
        n_iter=first.n_iter + second.n_iter,
        solve_time=first.solve_time + second.solve_time,
        history=first.history + later,
    )
