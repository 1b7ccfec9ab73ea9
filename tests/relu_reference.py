"""Solutions of small ReLU problems by cvxpy and Clarabel, and the known optima of the data."""

from __future__ import annotations

import warnings
from typing import Any

import cvxpy as cp
import numpy as np

import pyconvexnn as cx
from pyconvexnn._typing import BoolArray, FloatArray
from pyconvexnn.problems.cones import Cones, project

# name -> {beta: (optimum, with leaky_relu of slope 0.1, with abs)}; squared loss, all cells,
# Clarabel at 1e-11; None where it was not recorded.
OPTIMA: dict[str, dict[float, tuple[float, float | None, float | None]]] = {
    "F1": {
        0.05: (0.400014504, 0.439190116, 0.221863667),
        0.5: (1.524659614, 1.571212992, 1.407108622),
        2.0: (2.633896127, 2.641705083, 2.546425479),
    },
    "F2": {
        0.05: (0.177125, 0.190419239, 0.115465357),
        0.5: (1.071875, 1.130864198, 0.777690019),
    },
    "F3": {0.01: (0.062425287, None, None), 0.1: (0.579252874, None, None), 1.0: (2, None, None)},
    "F4": {
        0.1: (0.524147085, 0.566795075, 0.342223254),
        1.0: (2.730070232, 2.742055295, 2.387629800),
    },
    "A": {0.1: (0.557394, None, None), 0.5: (1.836107, None, None)},
}
BETA_MAX = {"F1": 4.3011626335, "F2": 6.6708320321, "F3": 0.5**0.5, "F4": 4.5552167896}


def clarabel(program: Any) -> float:
    """Solve to 1e-9, or what Clarabel can reach below 1e-7, and return the optimum."""
    for tol in (1e-9, 1e-8, 1e-7):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # that it may be inaccurate
            try:
                program.solve(solver="CLARABEL", tol_gap_abs=tol, tol_gap_rel=tol, tol_feas=tol)
            except cp.SolverError:
                continue
        if program.status == "optimal":
            return float(program.value)
    raise RuntimeError(f"Clarabel ended with status {program.status}")


def solved(prob: cx.ReLUProblem) -> cx.Solution:
    """Clarabel's blocks, moved into their cones, with the dual point of their fit."""
    program = prob.to_cvxpy()
    clarabel(program)
    values = {variable.name(): variable.value for variable in program.variables()}
    coef = np.stack([values["V"], values["W"]])
    return with_dual(prob, in_cones(prob, coef * (np.linalg.norm(coef, axis=2) > 1e-6)[:, :, None]))


def in_cones(prob: cx.ReLUProblem, coef: FloatArray) -> FloatArray:
    """Every block projected on the cone of its pattern."""
    cones = Cones(prob.X)
    normals = [cones.normals(mask) for mask in prob.patterns.to_dense()]
    blocks = [project(S, u) for half in coef for S, u in zip(normals, half, strict=True)]
    return np.reshape(blocks, coef.shape)


def with_dual(prob: cx.ReLUProblem, coef: FloatArray) -> cx.Solution:
    v = -prob.loss.gradient(prob.fit_values(coef), prob.y, prob.sample_weight)
    v = v * min(1.0, 1.0 / (1.0 + prob.dual_infeasibility(v)))
    return cx.Solution(
        coef=cx.SparseBlocks.from_dense(coef),
        dual=v,
        objective=prob.objective(coef),
        dual_objective=prob.dual_objective(v),
        objective_at_zero=prob.objective_at_zero,
        status=cx.Status.SOLVED,
        n_iter=1,
        solve_time=0.0,
        history=(),
        offset=prob.best_offset(coef),
    )


def optimum(X: FloatArray, y: FloatArray, masks: BoolArray, beta: float, slope: float) -> float:
    """Squared-loss optimum of the program as it is written in the papers, every pattern kept."""
    import cvxpy as cp

    V, W = (cp.Variable((len(masks), X.shape[1])) for _ in "VW")
    f = sum(cp.multiply(np.where(m, 1.0, slope), X @ (V[i] - W[i])) for i, m in enumerate(masks))
    norms = cp.sum(cp.norm2(V, axis=1)) + cp.sum(cp.norm2(W, axis=1))
    inside = [
        cp.multiply(np.where(m, 1.0, -1.0), X @ U[i]) >= 0
        for i, m in enumerate(masks)
        for U in (V, W)
    ]
    return clarabel(cp.Problem(cp.Minimize(cp.sum_squares(f - y) / 2 + beta * norms), inside))
