"""One function that checks its arguments, picks a solver and runs it."""

from __future__ import annotations

import importlib
import sys
import time
import warnings
from typing import Any

from pyconvexnn._validation import choice, describe, positive, positive_int, resolve_threads
from pyconvexnn.problems import GatedReLUProblem, ReLUProblem, SparseBlocks
from pyconvexnn.problems.base import as_blocks
from pyconvexnn.solvers.auto import Auto
from pyconvexnn.solvers.base import Callback, Progress, Solution, Status
from pyconvexnn.solvers.compiled import CompiledSolver
from pyconvexnn.solvers.coordinate import CoordinateDescent
from pyconvexnn.solvers.cutting_plane import CuttingPlane
from pyconvexnn.solvers.fista import Fista
from pyconvexnn.solvers.newton import Newton
from pyconvexnn.solvers.progress_bar import progress_bar

Problem = GatedReLUProblem | ReLUProblem

_SOLVERS: dict[type[Problem], dict[str, type[CompiledSolver[Any]]]] = {
    GatedReLUProblem: {
        "auto": Auto,
        "cd": CoordinateDescent,
        "newton": Newton,
        "fista": Fista,
    },
    ReLUProblem: {"auto": CuttingPlane, "cutting_plane": CuttingPlane},
}


def solve(
    prob: Problem,
    *,
    solver: str = "auto",
    tol: float = 1e-6,
    max_iter: int | None = None,
    time_limit: float | None = None,
    warm_start: Any = None,
    threads: int | None = None,
    callback: Callback | None = None,
    verbose: int = 0,
) -> Solution:
    """Solve a convex program to a given duality gap.

    Parameters
    ----------
    prob : GatedReLUProblem or ReLUProblem
        What is minimised.
    solver : {"auto", "cd", "newton", "fista"} or, for a ReLUProblem, {"auto", "cutting_plane"}
        "cd": block coordinate descent with working sets. "newton": the variational second-order
        method, the fastest by far on most problems. "fista": accelerated proximal gradient, which
        needs the least memory. "auto": "newton", and what :class:`~pyconvexnn.solvers.Auto` says
        where that will not do. "cutting_plane": neurons priced by cone projections, then a
        second-order method, :class:`~pyconvexnn.solvers.CuttingPlane`.
    tol : float
        Bound on ``gap / max(|objective|, 1e-10 objective at zero)``, > 0.
    max_iter : int, optional
        Most iterations: epochs of "cd", steps of the others; 100 000 by default.
    time_limit : float, optional
        Seconds after which the best point so far is returned; loading scikit-learn for the
        warning, where it is not loaded yet, counts.
    warm_start : Solution, SparseBlocks or (P, d) array, (2, P, d) for a ReLUProblem, optional
        Where to start; zero without, and where its objective is not below that of zero.
    threads : int, optional
        None is 1, -1 all cores. The result does not depend on it.
    callback : callable, optional
        Called with a Progress at every check of the gap; returning True ends the solve with
        status INTERRUPTED. What it raises is raised here.
    verbose : int
        Above 0: a progress bar with the gap.

    Returns
    -------
    Solution
        With a dual point: ``sol.objective - sol.gap`` is a lower bound of the optimum.

    Raises
    ------
    ValueError, TypeError
        Naming the argument, the rule and the value.
    KeyboardInterrupt
        On Ctrl-C, within 0.2 s.

    Notes
    -----
    The loss "hinge", ``(1 - y f)_+``, has kinks, and every solver meets it as a sequence of smooth
    programs by the method of multipliers: with a centre c and a width mu > 0

        max over 0 <= l <= 1 of  sum_k s_k (l_k (1 - y_k f_k) - mu (l_k^2 / 2 - c_k l_k)),

    whose l, which times ``s y`` is the dual point, becomes the next centre. Objective, bound and
    gap are those of the hinge itself. Each of these programs counts as an iteration, beside the
    solver's own, and what a callback is told within one are bounds: the objective of the point
    there is no larger, and that of its dual point no smaller. With "newton", programs that take it
    more than 25 steps go to "fista".

    Warns
    -----
    ConvergenceWarning
        (scikit-learn's) when the status is not SOLVED.

    Examples
    --------
    >>> import numpy as np, pyconvexnn as cx
    >>> rng = np.random.default_rng(0)
    >>> X, y = rng.standard_normal((40, 3)), rng.standard_normal(40)
    >>> ps = cx.sample_patterns(X, 20, seed=1)
    >>> prob = cx.GatedReLUProblem(X, y, ps, beta=1.0)
    >>> sol = cx.solve(prob, tol=1e-8)
    >>> sol.relative_gap <= 1e-8
    True
    """
    solvers = solvers_of(prob)
    choice(solver, "solver", solvers)
    if callback is not None and not callable(callback):
        raise TypeError(f"`callback` must be callable or None, got {describe(callback)}")
    if time_limit is not None:
        time_limit = _without_import(positive(time_limit, "time_limit"))
    method = solvers[solver](
        tol=positive(tol, "tol"),
        max_iter=100_000 if max_iter is None else positive_int(max_iter, "max_iter"),
        time_limit=time_limit,
        threads=resolve_threads(threads),
    )
    start = None if warm_start is None else _start_blocks(warm_start, prob)
    shown = positive_int(verbose, "verbose", minimum=0) > 0
    with progress_bar(callback, "solve", "check", _shown_facts, shown=shown) as told:
        solution = method.solve(prob, warm_start=start, callback=told)
    if solution.status is not Status.SOLVED:
        _warn_not_solved(solution, method.tol)
    return solution


def solvers_of(prob: object) -> dict[str, type[CompiledSolver[Any]]]:
    """Solvers by name; raises where there is none for `prob`."""
    for kind, solvers in _SOLVERS.items():
        if isinstance(prob, kind):
            return solvers
    known = " or a ".join(kind.__name__ for kind in _SOLVERS)
    raise TypeError(f"`prob` must be a {known}, got {type(prob).__name__}")


def _without_import(time_limit: float) -> float:
    """Load what a warning at the end would load, and return what it leaves of the time."""
    if "sklearn.exceptions" in sys.modules:
        return time_limit
    start = time.perf_counter()
    importlib.import_module("sklearn.exceptions")
    return max(time_limit - (time.perf_counter() - start), 1e-9)


def _start_blocks(warm_start: Any, prob: Problem) -> SparseBlocks:
    coef = warm_start.coef if isinstance(warm_start, Solution) else warm_start
    return as_blocks(
        coef,
        len(prob.patterns),
        prob.n_features,
        "warm_start",
        n_outputs=prob.n_outputs,
        signed=isinstance(prob, ReLUProblem),
    )


def _warn_not_solved(solution: Solution, tol: float) -> None:
    from sklearn.exceptions import ConvergenceWarning

    advice = (
        "the callback returned True"
        if solution.status is Status.INTERRUPTED
        else "standardise the columns of X, or raise beta, or max_iter or time_limit, or tol"
    )
    warnings.warn(
        f"solve stopped with status {solution.status.name} after {solution.n_iter} iterations at "
        f"relative gap {solution.relative_gap:.3g}, above tol = {tol:g}; {advice}",
        ConvergenceWarning,
        stacklevel=3,
    )


def _shown_facts(progress: Progress) -> dict[str, Any]:
    return {
        "objective": f"{progress.objective:.6g}",
        "gap": f"{progress.gap:.2e}",
        "active": progress.active,
    }
