"""pyconvexnn itself, through the same process and the same clock as its peers."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from bench.peers.protocol import Answer, Method, Problem, Session
from bench.peers.shapes import tiny

_ONE = Method(
    "pyconvexnn",
    None,
    frozenset({"gated", "relu"}),
    frozenset(
        {"squared", "huber", "logistic", "squared_hinge", "hinge", "poisson", "cross_entropy"}
    ),
    (1e-3, 1e-4, 1e-6, 1e-8, 1e-9),
    outputs=True,
)
METHODS = (_ONE, dataclasses.replace(_ONE, name="pyconvexnn 2 threads", threads=2))


class _Ours:
    def __init__(self, problem: Problem, threads: int) -> None:
        import pyconvexnn as cx

        self._cx = cx
        self._threads = threads
        self._problem = problem
        self._X = problem.X.astype(np.float32) if problem.single else problem.X
        self._patterns = cx.PatternSet.from_dense(problem.masks)
        self._solutions: list[Any] = []

    def solve(self, tolerance: float) -> None:
        cx, problem = self._cx, self._problem
        program_of = {"gated": cx.GatedReLUProblem, "relu": cx.ReLUProblem}[problem.program]
        self._solutions = []
        last = None
        for beta in problem.betas:
            # Made here, not before: what a user pays for each penalty, checks of X included.
            program = program_of(self._X, problem.y, self._patterns, float(beta), loss=problem.loss)
            last = cx.solve(program, tol=tolerance, warm_start=last, threads=self._threads)
            self._solutions.append(last)

    def answer(self) -> Answer:
        solutions = self._solutions
        statuses = {str(s.status.name) for s in solutions} - {"SOLVED"}
        return Answer(
            np.array([s.objective for s in solutions]),
            np.array([s.coef.to_dense() for s in solutions]),
            dual=np.array([s.dual for s in solutions]),
            iterations=sum(s.n_iter for s in solutions),
            note=", ".join(sorted(statuses)),
        )


def prepare(method: str, problem: Problem) -> Session:
    """Pack the patterns, and load what the package imports late."""
    threads = {known.name: known.threads for known in METHODS}
    if method not in threads:
        raise ValueError(f"`method` must be one of {', '.join(threads)}, got {method!r}")
    _Ours(tiny(problem), threads[method]).solve(1e-3)
    return _Ours(problem, threads[method])
