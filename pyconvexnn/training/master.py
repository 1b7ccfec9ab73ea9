"""The convex program over the patterns met so far, which change from round to round."""

from __future__ import annotations

import dataclasses

import numpy as np

from pyconvexnn._bits import unseen
from pyconvexnn._typing import BitArray, IndexArray
from pyconvexnn.networks import TwoLayerNetwork
from pyconvexnn.patterns import PatternSet
from pyconvexnn.problems import ReLUProblem, SparseBlocks
from pyconvexnn.recovery import recover
from pyconvexnn.solvers import Solution
from pyconvexnn.solvers.cutting_plane import CuttingPlane
from pyconvexnn.training.task import Task

_PATIENCE = 8  # rounds without a neuron after which a pattern may go
_ROOM = 4  # patterns for each active one that are kept in any case


class Master:
    """A restricted program, solved again and again as patterns come and go.

    Each solve starts at the solution before. Its optimum never rises when patterns are added; a
    pattern that has held no neuron for several rounds is dropped where there are many, which
    leaves the optimum as it is.

    Parameters
    ----------
    task : Task
        What is trained.
    packed : (P, n_words) uint64
        The first patterns, at least one.
    threads : int
        For the passes over all patterns.
    """

    def __init__(self, task: Task, packed: BitArray, threads: int = 1) -> None:
        self._task, self._threads = task, threads
        self.problem = self._program(packed[unseen(packed, packed[:0])])
        self.solution: Solution | None = None
        self._idle = np.zeros(len(self.problem.patterns), np.int64)

    def __len__(self) -> int:
        return len(self.problem.patterns)

    def add(self, packed: BitArray) -> int:
        """Add the patterns that are not there yet; return how many those are."""
        old = self.problem.patterns.packed
        packed = packed[unseen(packed, old)]
        if not len(packed):
            return 0
        # With "abs" the program keeps one of two opposite patterns, the first: the old ones.
        self.problem = self._program(np.concatenate([old, packed]))
        added = len(self.problem.patterns) - len(old)
        self._idle = np.concatenate([self._idle, np.zeros(added, np.int64)])
        self._reindex(np.arange(len(old)), len(old))
        return added

    def solve(self, tol: float, time_limit: float | None = None) -> Solution:
        """Solve to a relative gap, from the last solution on."""
        solver = CuttingPlane(tol=tol, time_limit=time_limit, threads=self._threads)
        start = None if self.solution is None else self.solution.coef
        self.solution = solver.solve(self.problem, warm_start=start)
        self._idle += 1
        self._idle[self.solution.active % len(self)] = 0
        return self.solution

    def drop(self) -> int:
        """Forget patterns that have been idle for long, if they are many; return how many went."""
        active = int(np.count_nonzero(self._idle == 0))
        idle = self._idle > _PATIENCE
        if len(self) <= _ROOM * max(active, 16) or not idle.any():
            return 0
        kept = np.flatnonzero(~idle)
        before = len(self)
        self.problem = self._program(self.problem.patterns.packed[kept])
        self._idle = self._idle[kept]
        place = np.full(before, -1)
        place[kept] = np.arange(len(kept))
        self._reindex(place, before)
        return before - len(kept)

    def network(self) -> TwoLayerNetwork:
        """Network of the last solution, in the features as given, equal neurons merged."""
        assert self.solution is not None
        net = recover(self.problem, self.solution).merge()
        return self._task.network(self._task.outside(net.W1), net.W2, net.b2)

    def _program(self, packed: BitArray) -> ReLUProblem:
        return self._task.problem(PatternSet(packed, len(self._task.X)))

    def _reindex(self, place: IndexArray, before: int) -> None:
        """Say the last solution in terms of the patterns as they are now."""
        if self.solution is None:
            return
        coef, P = self.solution.coef, len(self)
        indices = place[coef.indices % before] + np.where(coef.indices < before, 0, P)
        blocks = SparseBlocks(indices, coef.values, 2 * P, signed=True)
        self.solution = dataclasses.replace(self.solution, coef=blocks)
