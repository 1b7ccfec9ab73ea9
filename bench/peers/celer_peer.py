"""celer: working sets with dual extrapolation on the materialised matrix.

celer minimises ``||y - A w||^2 / (2 n) + alpha sum ||block||``, so that beta is n alpha; its
tolerance is on the duality gap, relative to ``||y||^2 / n``. The path function behind
`GroupLasso.fit` is called, which also returns dual points.
"""

from __future__ import annotations

import numpy as np

from bench.peers.protocol import Answer, FloatArray, Method, Problem, Session
from bench.peers.shapes import stacked, tiny

METHODS = (
    Method(
        "celer",
        "celer.txt",
        frozenset({"gated"}),
        frozenset({"squared"}),
        (1e-3, 1e-4, 1e-5, 1e-6, 1e-7, 1e-8, 1e-9, 1e-10),
    ),
)


class _Celer:
    def __init__(self, problem: Problem, matrix: FloatArray) -> None:
        import celer

        self._problem, self._matrix = problem, matrix
        self._path = celer.celer_path
        self._flat = self._dual = np.empty((0, 0))
        self._iterations = 0

    def solve(self, tolerance: float) -> None:
        n, d = self._problem.X.shape
        _, coefs, _, thetas, iterations = self._path(
            self._matrix,
            self._problem.y,
            "grouplasso",
            groups=d,
            alphas=self._problem.betas / n,
            # Those of celer.GroupLasso; the function's own default stops after 20 working sets.
            max_iter=100,
            max_epochs=50000,
            p0=10,
            prune=True,
            tol=tolerance,
            return_thetas=True,
            return_n_iter=True,
        )
        self._flat, self._dual, self._iterations = coefs.T, n * thetas, int(iterations.sum())

    def answer(self) -> Answer:
        from celer.group_fast import primal_grplasso

        problem, (n, d), P = self._problem, self._problem.X.shape, len(self._problem.masks)
        pointers, indices = np.arange(P + 1, dtype=np.int32) * d, np.arange(P * d, dtype=np.int32)
        own = [
            n * primal_grplasso(beta / n, problem.y - self._matrix @ w, pointers, indices, w, ones)
            for ones in [np.ones(P)]
            for beta, w in zip(problem.betas, np.ascontiguousarray(self._flat), strict=True)
        ]
        coef = self._flat.reshape(-1, *problem.blocks)
        return Answer(np.array(own), coef, dual=self._dual, iterations=self._iterations)


def prepare(method: str, problem: Problem) -> Session:
    """Build the matrix, and load what the library imports late."""
    if method != "celer":
        raise ValueError(f"`method` must be 'celer', got {method!r}")
    matrix = stacked(problem)
    small = tiny(problem)
    _Celer(small, stacked(small)).solve(1e-3)
    return _Celer(problem, matrix)
