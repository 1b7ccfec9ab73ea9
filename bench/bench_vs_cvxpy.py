"""The gated program beside cvxpy + Clarabel, at equal accuracy: relative gap 1e-6.

Clarabel is charged its own solve time only; compiling the cvxpy problem is not counted.
"""

from __future__ import annotations

import numpy as np
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

import pyconvexnn as cx
from bench.problems import problem

SIZES = [(100, 5, 50), (200, 10, 100)]


@pytest.mark.parametrize("ratio", [0.1, 0.02])
@pytest.mark.parametrize("shape", SIZES, ids=str)
def test_against_clarabel(
    benchmark: BenchmarkFixture, shape: tuple[int, int, int], ratio: float
) -> None:
    prob = problem(*shape, ratio=ratio)
    sol = benchmark(lambda: cx.solve(prob, tol=1e-6))
    checked = cx.verify(prob, sol)
    assert checked.relative_gap <= 1e-6

    reference = prob.to_cvxpy()
    seconds: list[float] = []
    for _ in range(3):
        reference.solve(solver="CLARABEL", tol_gap_rel=1e-6, tol_gap_abs=1e-9, tol_feas=1e-8)
        seconds.append(float(reference.solver_stats.solve_time or np.nan))
    theirs = prob.objective(reference.var_dict["U"].value)
    # Both are within their gap of the optimum, which lies above our dual bound.
    assert abs(theirs - checked.objective) <= 1e-5 * checked.objective
    assert theirs >= checked.dual_objective * (1 - 1e-12)
    benchmark.extra_info["clarabel_seconds"] = float(np.median(seconds))
    assert benchmark.stats is not None
    ours = benchmark.stats.stats.median
    benchmark.extra_info["clarabel_over_ours"] = float(np.median(seconds) / ours)
