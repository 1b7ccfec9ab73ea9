"""What the compiled solvers have in common: settings, the call, the solution made of its result."""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, TypeVar

import numpy as np

from pyconvexnn import _core
from pyconvexnn.problems import GatedReLUProblem, SparseBlocks
from pyconvexnn.problems.masked import PatternProblem
from pyconvexnn.solvers.base import Callback, Progress, Solution, Status

Program = TypeVar("Program", bound=PatternProblem)


@dataclass(frozen=True)
class CompiledSolver(Generic[Program]):
    """Settings of a compiled solver.

    Attributes
    ----------
    tol : float
        On the relative gap, > 0.
    max_iter : int
        Most iterations; each solver says what it counts.
    time_limit : float or None
        Seconds.
    threads : int
        For the passes over all patterns; the result does not depend on it.
    """

    title: ClassVar[str]
    arrays: ClassVar[int]  # of P d numbers that the kernel allocates at most

    tol: float = 1e-6
    max_iter: int = 100_000
    time_limit: float | None = None
    threads: int = 1

    def solve(
        self,
        problem: Program,
        *,
        warm_start: SparseBlocks | None = None,
        callback: Callback | None = None,
    ) -> Solution:
        """Solve, starting from the blocks of `warm_start`, or from zero if that is no worse."""

        def report(*state: float) -> bool:
            return bool(callback(_progress(state))) if callback is not None else False

        nothing = np.empty(0, np.int64), np.empty((0, problem.n_features))
        indices, values = nothing if warm_start is None else (warm_start.indices, warm_start.values)
        try:
            result = self._kernel(
                problem,
                loss=problem.loss.code,
                loss_parameter=problem.loss.parameter,
                output_offset=problem.output_offset,
                tol=self.tol,
                max_iter=min(self.max_iter, sys.maxsize),
                time_limit=math.inf if self.time_limit is None else self.time_limit,
                threads=self.threads,
                indices=indices,
                values=values,
                callback=None if callback is None else report,
            )
        except MemoryError:
            coefficients = len(problem.patterns) * problem.n_features
            raise MemoryError(
                f"{self.title} on {len(problem.patterns)} patterns of {problem.n_features} "
                f"features needs about {self.arrays * 8 * coefficients} bytes, more than can be "
                "had; take fewer patterns"
            ) from None
        return Solution(
            coef=self._blocks(problem, result),
            dual=result.dual,
            objective=result.objective,
            dual_objective=result.dual_objective,
            objective_at_zero=problem.objective_at_zero,
            status=Status(result.status),
            n_iter=result.n_iter,
            solve_time=result.seconds,
            history=tuple(_progress(row) for row in result.history.tolist()),
            offset=result.offset,
        )

    def _kernel(self, problem: Program, **settings: Any) -> _core.GroupLassoResult:
        """Call the kernel."""
        raise NotImplementedError

    def _blocks(self, problem: Program, result: _core.GroupLassoResult) -> SparseBlocks:
        return SparseBlocks(result.indices, result.values, len(problem.patterns))


class GatedSolver(CompiledSolver[GatedReLUProblem]):
    """A compiled solver of the gated program."""

    code: ClassVar[int]  # position in kMethods of csrc/bindings/bind_solve.cpp

    def _kernel(self, problem: GatedReLUProblem, **settings: Any) -> _core.GroupLassoResult:
        return _core.solve_group_lasso(*arrays_of(problem), method=self.code, **settings)


def arrays_of(problem: PatternProblem) -> tuple[Any, ...]:
    """What every kernel takes first."""
    return (
        problem.X,
        problem.patterns.packed,
        problem.y,
        problem.sample_weight,
        problem.pattern_weight,
        problem.beta,
    )


def _progress(state: tuple[float, ...] | list[float]) -> Progress:
    iteration, objective, dual_objective, active, seconds = state
    return Progress(int(iteration), objective, dual_objective, int(active), seconds)
