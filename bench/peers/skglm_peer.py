"""skglm: working sets and coordinate descent or prox-Newton on the materialised matrix.

skglm minimises ``loss / n + lam sum ||block||``, so that beta is n lam; its tolerance is absolute,
on the distance to the subdifferential, and is scaled by lam here. Compiled at the first fit, which
`prepare` makes on a tiny problem. Logistic and Poisson need the prox-Newton solver: GroupBCD would
take the Lipschitz constants of single columns for those of groups.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from bench.peers.protocol import Answer, FloatArray, Method, Problem, Session
from bench.peers.shapes import stacked, tiny

METHODS = (
    Method(
        "skglm",
        "skglm.txt",
        frozenset({"gated"}),
        frozenset({"squared", "logistic", "poisson"}),
        (1e-1, 3e-2, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6, 1e-7),
    ),
)


class _Skglm:
    def __init__(self, problem: Problem, matrix: FloatArray) -> None:
        from skglm import datafits

        self._problem, self._matrix = problem, matrix
        P, d = problem.blocks
        self._groups = np.arange(P + 1, dtype=np.int32) * d, np.arange(P * d, dtype=np.int32)
        kind = {
            "squared": datafits.QuadraticGroup,
            "logistic": datafits.LogisticGroup,
            "poisson": datafits.PoissonGroup,
        }[problem.loss]
        self._datafit = kind(*self._groups)
        self._flat: list[FloatArray] = []
        self._note = ""

    def _penalty(self, beta: float) -> Any:
        from skglm.penalties import WeightedGroupL2

        weights = np.ones(len(self._problem.masks))
        return WeightedGroupL2(beta / len(self._matrix), weights, *self._groups)

    def _solver(self, tol: float) -> Any:
        from skglm.solvers import GroupBCD, GroupProxNewton

        if self._problem.loss == "squared":
            return GroupBCD(max_iter=1000, max_epochs=100, tol=tol)
        return GroupProxNewton(max_iter=1000, tol=tol)

    def solve(self, tolerance: float) -> None:
        matrix, y = self._matrix, self._problem.y
        self._flat, self._note = [], ""
        w, fit = np.zeros(matrix.shape[1]), np.zeros(len(matrix))
        for beta in self._problem.betas:
            tol = tolerance * beta / len(matrix)
            penalty = self._penalty(beta)
            # w and the fit are warm starts, changed in place.
            w, _, stop = self._solver(tol).solve(matrix, y, self._datafit, penalty, w, fit)
            self._flat.append(w.copy())
            if not stop <= tol:
                self._note = f"stopped at {stop / tol:.1e} of its tolerance"

    def answer(self) -> Answer:
        problem, n = self._problem, len(self._matrix)
        own = []
        for beta, w in zip(problem.betas, self._flat, strict=True):
            loss = self._datafit.value(problem.y, w, self._matrix @ w)
            own.append(n * (loss + self._penalty(beta).value(w)))
        objective = np.array(own)
        if problem.loss == "poisson":  # our constant, of the saturated model
            y = problem.y[problem.y > 0]
            objective += np.sum(y * np.log(y) - y)
        coef = np.array(self._flat).reshape(-1, *problem.blocks)
        return Answer(objective, coef, note=self._note)


def prepare(method: str, problem: Problem) -> Session:
    """Build the matrix, and let Numba compile."""
    if method != "skglm":
        raise ValueError(f"`method` must be 'skglm', got {method!r}")
    matrix = stacked(problem)
    small = tiny(problem)
    _Skglm(small, stacked(small)).solve(1e-3)
    return _Skglm(problem, matrix)
