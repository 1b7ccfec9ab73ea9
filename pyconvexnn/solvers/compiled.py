"""What the compiled solvers have in common: settings, the call, the solution made of its result."""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, TypeVar

import numpy as np

from pyconvexnn import _core
from pyconvexnn._typing import FloatArray
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

        block = problem.n_features * problem.n_outputs
        indices, values = np.empty(0, np.int64), np.empty((0, block))
        if warm_start is not None:
            indices, values = warm_start.indices, _flat(warm_start.values)
        try:
            result = self._kernel(
                problem,
                loss=problem.loss.code,
                loss_parameter=problem.loss.parameter,
                output_offset=problem.output_offset,
                ridge=problem.ridge,
                skip=problem.skip == 0.0,
                tol=self.tol,
                max_iter=min(self.max_iter, sys.maxsize),
                time_limit=math.inf if self.time_limit is None else self.time_limit,
                threads=self.threads,
                indices=indices,
                values=values,
                callback=None if callback is None else report,
            )
        except MemoryError:
            coefficients = len(problem.patterns) * block
            threads = f" and {self.threads} threads" if self.threads > 1 else ""
            raise MemoryError(
                f"`prob` must be so small that its solution fits in memory, got {problem!r}: "
                f"{self.title} on {len(problem.patterns)} patterns of {problem.n_features} "
                f"features needs about {self.arrays * 8 * coefficients} bytes{threads}, more than "
                "can be had; take fewer patterns"
            ) from None
        by_output = result.free_part.reshape(problem.n_outputs, -1)
        free = by_output[0] if problem.y.ndim == 1 else by_output.T
        offset, linear = problem.split_free_part(free)
        dual = result.dual
        if problem.y.ndim == 2:
            dual = np.ascontiguousarray(dual.reshape(problem.n_outputs, -1).T)
        return Solution(
            coef=self._blocks(problem, result),
            dual=dual,
            objective=result.objective,
            dual_objective=result.dual_objective,
            objective_at_zero=problem.objective_at_zero,
            status=Status(result.status),
            n_iter=result.n_iter,
            solve_time=result.seconds,
            history=tuple(_progress(row) for row in result.history.tolist()),
            offset=offset,
            linear=linear,
        )

    def _kernel(self, problem: Program, **settings: Any) -> _core.GroupLassoResult:
        """Call the kernel."""
        raise NotImplementedError

    def _blocks(self, problem: Program, result: _core.GroupLassoResult) -> SparseBlocks:
        values = result.values
        if problem.y.ndim == 2:
            values = values.reshape(len(values), problem.n_outputs, problem.n_features).transpose(
                0, 2, 1
            )
        return SparseBlocks(result.indices, values, len(problem.patterns))


class GatedSolver(CompiledSolver[GatedReLUProblem]):
    """A compiled solver of the gated program."""

    code: ClassVar[int]  # position in kMethods of csrc/bindings/bind_solve.cpp

    def _kernel(self, problem: GatedReLUProblem, **settings: Any) -> _core.GroupLassoResult:
        return _core.solve_group_lasso(
            *arrays_of(problem), method=self.code, outputs=problem.n_outputs, **settings
        )


def arrays_of(problem: PatternProblem) -> tuple[Any, ...]:
    """What every kernel takes first."""
    return (
        problem.X,
        problem.patterns.packed,
        problem.y.ravel(order="F"),
        np.tile(problem.sample_weight, problem.n_outputs),
        problem.pattern_weight,
        problem.beta,
    )


def _flat(values: FloatArray) -> FloatArray:
    """Blocks (k, d) or (k, d, K) as rows of d K numbers, output by output."""
    if values.ndim == 2:
        return values
    count, d, K = values.shape
    return np.ascontiguousarray(values.transpose(0, 2, 1)).reshape(count, d * K)


def _progress(state: tuple[float, ...] | list[float]) -> Progress:
    iteration, objective, dual_objective, active, seconds = state
    return Progress(int(iteration), objective, dual_objective, int(active), seconds)
