"""Solve the same convex program here and with cvxpy, and compare optima and seconds."""

from __future__ import annotations

import time

import numpy as np

import pyconvexnn as cx


def main() -> None:
    """Print both objectives, how they differ, and how long each took."""
    X = np.random.default_rng(0).standard_normal((60, 4))
    y = np.abs(X[:, 0]) - np.maximum(X[:, 1], 0)
    patterns = cx.sample_patterns(X, 40, seed=0)
    for problem in (
        cx.GatedReLUProblem(X, y, patterns, beta=0.5),
        cx.ReLUProblem(X, y, patterns, beta=0.5),
    ):
        name = type(problem).__name__
        begun = time.perf_counter()
        solution = cx.solve(problem, tol=1e-9)
        ours = time.perf_counter() - begun

        program = problem.to_cvxpy()  # needs cvxpy: pip install "pyconvexnn[reference]"
        begun = time.perf_counter()
        program.solve(solver="CLARABEL")
        theirs = time.perf_counter() - begun

        difference = abs(program.value - solution.objective) / solution.objective
        print(f"{name} objective: {solution.objective:.8f}")
        print(f"{name} objective of cvxpy: {program.value:.8f}")
        print(f"{name} relative difference: {difference:.1e}")
        print(f"{name} proved gap: {cx.verify(problem, solution).relative_gap:.1e}")
        print(f"{name} milliseconds: {1e3 * ours:.1f}, cvxpy with Clarabel: {1e3 * theirs:.1f}")


if __name__ == "__main__":
    main()
