"""Cutting planes over neurons for the ReLU program (compiled)."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, ClassVar

from pyconvexnn import _core
from pyconvexnn.problems import ReLUProblem, SparseBlocks
from pyconvexnn.solvers.base import Callback, Solution
from pyconvexnn.solvers.compiled import CompiledSolver, arrays_of


@dataclass(frozen=True)
class CuttingPlane(CompiledSolver[ReLUProblem]):
    r"""Neurons one after another, then Newton's method on the faces of their cones.

    1. For the current v = -loss' every block is priced exactly: the projection of ``X' D_i v`` (or
       its opposite) onto the cone of pattern i is its best neuron, the length of the projection
       its price (Goldfarb and Idnani 1983). The neurons of the highest prices above beta become
       atoms, and the program over all atoms so far, a lasso with coefficients >= 0, is solved: a
       fully corrective Frank-Wolfe method.
    2. Once the gap is small, Newton steps in the norms eta of the blocks (see
       :class:`~pyconvexnn.solvers.Newton`), of which block b is ``u_b = (eta_b / beta) p_b(a)``
       with the projection p_b; for fixed eta, a is found by a semismooth Newton method on the
       faces of the cones on which the projections lie.

    Every iterate lies in its cones to rounding, and the dual point is scaled by upper bounds of
    the prices. Where one phase gets stuck the other goes on. Far below beta_max a cold start of
    other losses than the squared one goes through larger penalties, of which no progress is told.
    An iteration is a pricing of all patterns.
    """

    title: ClassVar[str] = "the cutting-plane method"
    arrays: ClassVar[int] = 16

    def solve(
        self,
        problem: ReLUProblem,
        *,
        warm_start: SparseBlocks | None = None,
        callback: Callback | None = None,
    ) -> Solution:
        """Solve, starting from the blocks of `warm_start`, projected onto their cones."""
        solution = super().solve(problem, warm_start=warm_start, callback=callback)
        return dataclasses.replace(
            solution, nonconvex_objective=problem.nonconvex_objective(solution.coef)
        )

    def _kernel(self, problem: ReLUProblem, **settings: Any) -> _core.GroupLassoResult:
        return _core.solve_cone_lasso(
            *arrays_of(problem),
            slope=problem.slope,
            linear_part=problem.n_coned < len(problem.patterns),
            **settings,
        )

    def _blocks(self, problem: ReLUProblem, result: _core.GroupLassoResult) -> SparseBlocks:
        return SparseBlocks(result.indices, result.values, 2 * len(problem.patterns), signed=True)
