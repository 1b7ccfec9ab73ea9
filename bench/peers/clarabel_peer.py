"""The program handed to Clarabel as sparse matrices, without a modelling layer.

    minimise    1/2 x' C x + q' x
    subject to  A x + s = b,  s in a product of cones

with x = (blocks u, bounds t on their norms, what the loss needs e), C diagonal; one output.
Charged is Clarabel's own time, in which it counts its set-up (equilibration, ordering).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from bench.peers.protocol import Answer, FloatArray, Method, Problem

HUBER = 1.35  # delta
# Relative to the largest block; cvxpy_peer says why, its blocks are the same ones.
NEGLIGIBLE = 1e-5
MOST_ENTRIES = 60_000_000  # of A: its factor takes several times their memory
METHODS = (
    Method(
        name="Clarabel direct",
        requirements="clarabel.txt",
        programs=frozenset({"gated", "relu"}),
        losses=frozenset({"squared", "huber", "logistic", "squared_hinge", "hinge"}),
        tolerances=(1e-4, 1e-6, 1e-8),
    ),
)


@dataclass(frozen=True)
class Rows:
    """Rows ``on_u u + on_e e + s = side`` of one kind of cone; None stands for zeros."""

    cone: str  # "zero" | "nonnegative" | "exponential"
    on_u: Any
    on_e: Any
    side: FloatArray


@dataclass(frozen=True)
class Loss:
    """``sum loss(F u) = min_e 1/2 e' diag(curvature) e + slope' e + constant`` under its rows.

    The predictions stand in the first rows, every `stride`-th of them, times `signs`.
    """

    curvature: FloatArray
    slope: FloatArray
    rows: tuple[Rows, ...]
    signs: FloatArray
    stride: int = 1


def formulate(problem: Problem, F: Any) -> Loss:
    """The loss as linear rows and cones; F : (n, entries of u)."""
    from scipy import sparse

    y = problem.y
    n = len(y)
    rows: tuple[Rows, ...]
    one, none = np.ones(n), np.zeros(n)
    eye, scaled = sparse.eye_array(n, format="csc"), sparse.csc_array(y[:, None] * F)
    match problem.loss:
        case "squared":  # e = f - y
            return Loss(one, none, (Rows("zero", F, -eye, y),), one)
        case "huber":  # e = (a, p, m) with f - y = a + p - m: a squared, p and m cost delta
            rest = sparse.block_diag([-eye, -eye], format="csc")
            rest = sparse.hstack([sparse.csc_array((2 * n, n)), rest], format="csc")
            rows = (
                Rows("zero", F, sparse.hstack([-eye, -eye, eye], format="csc"), y),
                Rows("nonnegative", None, rest, np.zeros(2 * n)),
            )
            cost = np.concatenate([none, HUBER * one, HUBER * one])
            return Loss(np.concatenate([one, none, none]), cost, rows, one)
        case "squared_hinge":  # e >= 1 - y f; its square keeps it from being negative
            return Loss(one, none, (Rows("nonnegative", -scaled, -eye, -one),), -y)
        case "hinge":
            rows = (
                Rows("nonnegative", -scaled, -eye, -one),
                Rows("nonnegative", None, -eye, none),
            )
            return Loss(none, one, rows, -y)
        case "logistic":  # e = (t, a, b): exp(-y f - t) <= a, exp(-t) <= b, a + b <= 1
            x, z = (sparse.kron(eye, np.eye(3)[:, [j]], format="csc") for j in (0, 2))
            gap, middle = sparse.csc_array((3 * n, n)), np.tile([0.0, 1.0, 0.0], n)
            rows = (
                Rows("exponential", x @ scaled, sparse.hstack([x, -z, gap], format="csc"), middle),
                Rows("exponential", None, sparse.hstack([x, gap, -z], format="csc"), middle),
                Rows("nonnegative", None, sparse.hstack([0 * eye, eye, eye], format="csc"), one),
            )
            slope = np.concatenate([one, none, none])
            return Loss(np.zeros(3 * n), slope, rows, y, stride=3)
    raise ValueError(f"`loss` must be one that this formulation has, got {problem.loss!r}")


class ClarabelSession:
    """The matrices; only q depends on the penalty."""

    def __init__(self, problem: Problem) -> None:
        from scipy import sparse

        if problem.y.ndim > 1:
            raise ValueError(f"`y` must have one output, got shape {problem.y.shape}")
        X, masks = problem.X, problem.masks
        (n, d), P = X.shape, len(masks)
        entries = n * P * d * 3 if problem.program == "relu" else n * P * d // 2
        if entries > MOST_ENTRIES:
            raise ValueError(f"`A` must have at most {MOST_ENTRIES} entries, got {entries}")
        self.problem = problem
        F = sparse.hstack([sparse.csc_array(m[:, None] * X) for m in masks], format="csc")
        self.n_blocks = P
        if problem.program == "relu":  # blocks v, then w
            F, self.n_blocks = sparse.hstack([F, -F], format="csc"), 2 * P
        self.loss = formulate(problem, F)
        rows = list(self.loss.rows)
        if problem.program == "relu":
            cones = [np.where(m, -1.0, 1.0)[:, None] * X for m in (*masks, *masks)]
            matrix = sparse.block_diag(cones, format="csc")
            rows.append(Rows("nonnegative", matrix, None, np.zeros(matrix.shape[0])))
        self._assemble(rows)

    def _assemble(self, rows: list[Rows]) -> None:
        from scipy import sparse

        d, m, n_e = self.problem.X.shape[1], self.n_blocks, len(self.loss.slope)
        self.cones = [(part.cone, len(part.side)) for part in rows]
        stacked = []
        for part in rows:
            size = len(part.side)
            on_u = sparse.csc_array((size, m * d)) if part.on_u is None else part.on_u
            on_e = sparse.csc_array((size, n_e)) if part.on_e is None else part.on_e
            stacked.append(sparse.hstack([on_u, sparse.csc_array((size, m)), on_e], format="csc"))
        # Second-order cones s = (t_i, u_i).
        columns = np.column_stack([m * d + np.arange(m), np.arange(m * d).reshape(m, d)]).ravel()
        size = len(columns)
        picks = sparse.csc_array(
            (-np.ones(size), (np.arange(size), columns)), shape=(size, m * (d + 1) + n_e)
        )
        self.A = sparse.csc_matrix(sparse.vstack([*stacked, picks], format="csc"))
        self.A.eliminate_zeros()
        self.b = np.concatenate([*(part.side for part in rows), np.zeros(size)])
        curvature = np.concatenate([np.zeros(m * (d + 1)), self.loss.curvature])
        self.C = sparse.csc_matrix(sparse.diags_array(curvature, format="csc"))
        self.C.eliminate_zeros()

    def solve(self, tolerance: float) -> None:
        """Each penalty from a cold start."""
        import clarabel

        made = {"zero": clarabel.ZeroConeT, "nonnegative": clarabel.NonnegativeConeT}
        cones: list[Any] = []
        for cone, size in self.cones:
            if cone == "exponential":
                cones += [clarabel.ExponentialConeT()] * (size // 3)
            else:
                cones.append(made[cone](size))
        d = self.problem.X.shape[1]
        cones += [clarabel.SecondOrderConeT(d + 1)] * self.n_blocks
        settings = clarabel.DefaultSettings()
        settings.verbose = False
        settings.max_threads = 1
        settings.tol_gap_rel, settings.tol_gap_abs, settings.tol_feas = tolerance, 1e-12, 1e-8
        self.solutions: list[Any] = []
        for beta in self.problem.betas:
            norms = np.full(self.n_blocks, float(beta))
            q = np.concatenate([np.zeros(self.n_blocks * d), norms, self.loss.slope])
            solver = clarabel.DefaultSolver(self.C, q, self.A, self.b, cones, settings)
            self.solutions.append(solver.solve())

    def answer(self) -> Answer:
        """The last solution."""
        read = [self._read(*pair) for pair in zip(self.problem.betas, self.solutions, strict=True)]
        statuses = [str(solution.status) for solution in self.solutions]
        return Answer(
            objective=np.array([claim for claim, _, _ in read]),
            coef=np.stack([coef for _, coef, _ in read]),
            dual=np.stack([dual for _, _, dual in read]),
            seconds=sum(solution.solve_time for solution in self.solutions),
            iterations=sum(solution.iterations for solution in self.solutions),
            note="; ".join(dict.fromkeys(s for s in statuses if s != "Solved")),
        )

    def _read(self, beta: float, solution: Any) -> tuple[float, FloatArray, FloatArray]:
        """Objective, blocks and dual point.

        The objective is the formulation's own, `1/2 x' C x + q' x`, at x completed from the blocks
        that are returned, so that it differs from theirs only where the formulation is wrong.
        """
        n, d = self.problem.X.shape
        u = np.array(solution.x[: self.n_blocks * d]).reshape(self.n_blocks, d)
        norms = np.linalg.norm(u, axis=1)
        u[norms <= NEGLIGIBLE * norms.max()] = 0.0
        e = self._completed(u.ravel())
        claim = self.loss.slope @ e + e @ (self.loss.curvature * e) / 2
        claim += float(beta) * np.linalg.norm(u, axis=1).sum()
        # Stationarity in u: F' (signs z) + ... = 0, where the loss itself has F' loss'(f) = -F' v.
        z = np.array(solution.z[: self.loss.stride * n : self.loss.stride])
        return float(claim), u.reshape(self.problem.blocks), -self.loss.signs * z

    def _completed(self, u: FloatArray) -> FloatArray:
        """The cheapest e for given blocks, by the rows of A in which the predictions stand."""
        n, stride = len(self.problem.y), self.loss.stride
        fitted = self.A[: stride * n : stride, : len(u)] @ u  # signs * f
        match self.problem.loss:
            case "squared":
                return np.asarray(fitted - self.b[:n])
            case "huber":
                r = fitted - self.b[:n]
                a = np.clip(r, -HUBER, HUBER)
                return np.concatenate([a, np.maximum(r - a, 0), np.maximum(a - r, 0)])
            case "logistic":
                t = np.logaddexp(0, -fitted)
                return np.concatenate([t, np.exp(-fitted - t), np.exp(-t)])
        return np.asarray(np.maximum(fitted - self.b[:n], 0))  # the hinges: -y f + 1


def prepare(method: str, problem: Problem) -> ClarabelSession:
    """The matrices, built."""
    if method != METHODS[0].name:
        raise ValueError(f"`method` must be {METHODS[0].name!r}, got {method!r}")
    return ClarabelSession(problem)
