"""The program as a textbook writes it, in cvxpy, solved by Clarabel, SCS or ECOS.

Charged is the solver's own time, factorisation included; cvxpy's compilation is not.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from bench.peers.protocol import Answer, FloatArray, Method, Problem

LOSSES = frozenset(
    {"squared", "huber", "logistic", "squared_hinge", "hinge", "poisson", "cross_entropy"}
)
BOTH = frozenset({"gated", "relu"})
# An interior point leaves unused blocks small, not zero, and outside of their cones relative to
# their own norm (by 0.1 to 0.9): under this part of the largest block they are returned as zero.
# On (50,5,50) and (100,5,100) unused blocks are below 1e-5 and used ones above 1e-3; leaving
# them out changes the objective by less than 1e-7 of it, and downwards.
NEGLIGIBLE = 1e-5
MOST_ENTRIES = 25_000_000  # of D_i X over all blocks; compiled, each takes 0.2 kB
METHODS = (
    Method("cvxpy+CLARABEL", "cvxpy.txt", BOTH, LOSSES, (1e-4, 1e-6, 1e-8), outputs=True),
    Method("cvxpy+SCS", "cvxpy.txt", BOTH, LOSSES, (1e-3, 1e-5, 1e-7, 1e-8, 1e-9), outputs=True),
    Method("cvxpy+ECOS", "cvxpy.txt", BOTH, LOSSES, (1e-4, 1e-6, 1e-8), outputs=True),
)


def options(solver: str, tolerance: float) -> dict[str, Any]:
    """The solver's settings: the tolerance on the gap, feasibility at 1e-8 where it is apart."""
    if solver == "CLARABEL":
        return {
            "tol_gap_rel": tolerance,
            "tol_gap_abs": 1e-12,
            "tol_feas": 1e-8,
            "max_threads": 1,
        }
    if solver == "ECOS":
        return {"abstol": 1e-12, "reltol": tolerance, "feastol": 1e-8, "max_iters": 200}
    return {"eps_abs": tolerance, "eps_rel": tolerance, "max_iters": 1_000_000}


class CvxpySession:
    """``min sum loss(f) + beta sum ||block||`` with ``f`` a variable tied to the blocks.

    The multiplier of that equality is the dual point.
    """

    def __init__(self, solver: str, problem: Problem) -> None:
        import cvxpy as cp

        self.solver, self.problem = solver, problem
        X, y, D = problem.X, problem.y, problem.masks.T.astype(float)
        d, P = X.shape[1], D.shape[1]
        K = y.shape[1] if y.ndim > 1 else 1
        halves = 2 if problem.program == "relu" else 1
        entries = X.size * P * K * halves
        if entries > MOST_ENTRIES:
            raise ValueError(f"`D_i X` must have at most {MOST_ENTRIES} entries, got {entries}")
        # variables[half][k]: the k-th columns of all blocks, (d, P)
        self.variables = [[cp.Variable((d, P)) for _ in range(K)] for _ in range(halves)]
        self.beta = cp.Parameter(nonneg=True)
        self.f = cp.Variable(y.shape)
        outputs = []
        for k in range(K):
            u = self.variables[0][k]
            if halves == 2:
                u = u - self.variables[1][k]
            outputs.append(cp.sum(cp.multiply(D, X @ u), axis=1))
        fitted = outputs[0] if y.ndim == 1 else cp.vstack(outputs).T
        constraints = [self.f == fitted]
        for half in self.variables if halves == 2 else []:
            constraints += [cp.multiply(2 * D - 1, X @ u) >= 0 for u in half]
        self.penalty = sum(
            cp.sum(cp.norm(cp.vstack(half) if K > 1 else half[0], 2, axis=0))
            for half in self.variables
        )
        self.loss = _loss(cp, problem, self.f)
        self.program = cp.Problem(cp.Minimize(self.loss + self.beta * self.penalty), constraints)
        self.beta.value = float(problem.betas[0])
        self.program.get_problem_data(solver)  # compiles; each solve only fills in beta
        self.fitted = fitted

    def solve(self, tolerance: float) -> None:
        """Each penalty from a cold start."""
        self.solved: list[tuple[float, FloatArray, FloatArray]] = []
        self.seconds, self.iterations = 0.0, 0
        self.notes: list[str] = []
        for beta in self.problem.betas:
            self.beta.value = float(beta)
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")  # inaccurate solutions are in the status
                    self.program.solve(
                        solver=self.solver, warm_start=False, **options(self.solver, tolerance)
                    )
                status = str(self.program.status)
            except Exception as error:  # cvxpy raises where a solver breaks down
                status = f"{type(error).__name__}: {error}".splitlines()[0]
                self.f.value = None  # of the penalty before
            if status != "optimal":
                self.notes.append(status)
            self.solved.append(self._read())

    def _read(self) -> tuple[float, FloatArray, FloatArray]:
        """Objective, blocks and dual point; NaN where the solver has none."""
        y, blocks = self.problem.y, self.problem.blocks
        stats = self.program.solver_stats
        multiplier = self.program.constraints[0].dual_value
        if self.f.value is None or multiplier is None or stats is None:
            return np.nan, np.full(blocks, np.nan), np.full(y.shape, np.nan)
        self.seconds += stats.solve_time or 0.0
        if self.solver != "CLARABEL":  # whose solve_time holds its set-up
            self.seconds += stats.setup_time or 0.0
        self.iterations += stats.num_iters or 0
        coef = np.stack([np.stack([u.value.T for u in half], axis=-1) for half in self.variables])
        norms = np.linalg.norm(coef, axis=(2, 3))
        coef[norms <= NEGLIGIBLE * norms.max()] = 0.0
        # cvxpy's own formula, at the blocks that are returned.
        for half, values in zip(self.variables, coef, strict=True):
            for k, u in enumerate(half):
                u.value = values[:, :, k].T
        self.f.value = self.fitted.value
        claim = float(self.program.objective.value)
        # cvxpy adds multiplier * (f - fitted): in f that gives loss'(f) + multiplier = 0.
        return claim, coef.reshape(blocks), np.asarray(multiplier)

    def answer(self) -> Answer:
        """The last solution."""
        objective, coef, dual = zip(*self.solved, strict=True)
        return Answer(
            objective=np.array(objective),
            coef=np.stack(coef),
            dual=np.stack(dual),
            seconds=self.seconds,
            iterations=self.iterations,
            note="; ".join(dict.fromkeys(self.notes)),
        )


def _loss(cp: Any, problem: Problem, f: Any) -> Any:
    """The package's loss in cvxpy's atoms, constants included."""
    y = problem.y
    match problem.loss:
        case "squared":
            return cp.sum_squares(f - y) / 2
        case "huber":  # cvxpy's is twice ours
            return cp.sum(cp.huber(f - y, 1.35)) / 2
        case "logistic":
            return cp.sum(cp.logistic(-cp.multiply(y, f)))
        case "squared_hinge":
            return cp.sum_squares(cp.pos(1 - cp.multiply(y, f))) / 2
        case "hinge":
            return cp.sum(cp.pos(1 - cp.multiply(y, f)))
        case "poisson":
            constant = float((y * np.log(np.where(y > 0, y, 1)) - y).sum())
            return cp.sum(cp.exp(f) - cp.multiply(y, f)) + constant
        case "cross_entropy":
            return cp.sum(cp.log_sum_exp(f, axis=1)) - cp.sum(cp.multiply(y, f))
    raise ValueError(f"`loss` must be a loss of the package, got {problem.loss!r}")


def prepare(method: str, problem: Problem) -> CvxpySession:
    """The compiled program for ``cvxpy+SOLVER``."""
    return CvxpySession(method.removeprefix("cvxpy+"), problem)
