"""One problem solved for a list of penalties, each from the solution of the one before."""

from __future__ import annotations

import contextlib
import dataclasses
import time
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, overload

import numpy as np

from pyconvexnn._typing import ArrayLike, FloatArray, IndexArray
from pyconvexnn._validation import as_real_array, describe, positive, positive_int, room_for
from pyconvexnn.problems.masked import SMALLEST_BETA
from pyconvexnn.solvers.base import Callback, Progress, Solution, Status
from pyconvexnn.solvers.solve import Problem, solve, solvers_of


@dataclass(frozen=True, eq=False, repr=False)
class Path(Sequence[Solution]):
    """Solutions of one problem for several penalties, a sequence in the order of the penalties.

    ``path[i]`` is the Solution for ``path.betas[i]``; a slice is a Path again.

    Attributes
    ----------
    betas : (k,) float64
        Penalties, in the order in which they were given (or descending).
    solutions : tuple of Solution
        One for each penalty, whatever its status.
    beta_max : float
        Smallest penalty whose optimum is zero.

    Examples
    --------
    >>> import pyconvexnn as cx
    >>> X, y, ps = cx.datasets.ar(60, 3, 40)
    >>> prob = cx.GatedReLUProblem(X, y, ps, beta=1.0)
    >>> path = cx.solve_path(prob, betas=[2.0, 1.0, 0.5])
    >>> len(path), path[1].objective == path.objectives[1], path[1:].betas.tolist()
    (3, np.True_, [1.0, 0.5])
    """

    betas: FloatArray
    solutions: tuple[Solution, ...] = field(repr=False)
    beta_max: float

    def __post_init__(self) -> None:
        self.betas.flags.writeable = False

    def __setstate__(self, state: dict[str, Any]) -> None:
        state["betas"].flags.writeable = False  # arrays come out of a pickle writeable
        self.__dict__.update(state)

    def __len__(self) -> int:
        return len(self.solutions)

    @overload
    def __getitem__(self, index: int) -> Solution: ...

    @overload
    def __getitem__(self, index: slice) -> Path: ...

    def __getitem__(self, index: int | slice) -> Solution | Path:
        if isinstance(index, slice):
            return Path(self.betas[index].copy(), self.solutions[index], self.beta_max)
        return self.solutions[index]

    def __iter__(self) -> Iterator[Solution]:
        return iter(self.solutions)

    def __repr__(self) -> str:
        if not self.solutions:
            return "Path(no points)"
        unsolved = [
            f", {count} {name}" for name, count in self._statuses().items() if name != "SOLVED"
        ]
        active = self.n_active
        return (
            f"Path({len(self)} points, beta {self.betas.max():.4g} to {self.betas.min():.4g}, "
            f"{active.min()} to {active.max()} active blocks{''.join(unsolved)}, "
            f"{self.solve_time:.3g} s)"
        )

    def _statuses(self) -> Counter[str]:
        return Counter(solution.status.name for solution in self.solutions)

    @property
    def objectives(self) -> FloatArray:
        """Objective of every solution, (k,)."""
        return np.array([solution.objective for solution in self.solutions])

    @property
    def dual_objectives(self) -> FloatArray:
        """Lower bound of every optimum, (k,)."""
        return np.array([solution.dual_objective for solution in self.solutions])

    @property
    def gaps(self) -> FloatArray:
        """``objectives - dual_objectives``, absolute, (k,)."""
        return np.array([solution.gap for solution in self.solutions])

    @property
    def relative_gaps(self) -> FloatArray:
        """Relative gap of every solution, (k,); at most tol where it is SOLVED."""
        return np.array([solution.relative_gap for solution in self.solutions])

    @property
    def n_active(self) -> IndexArray:
        """Number of non-zero blocks (neurons) of every solution, (k,)."""
        return np.array([len(solution.active) for solution in self.solutions], dtype=np.int64)

    @property
    def statuses(self) -> tuple[Status, ...]:
        """How every solve ended."""
        return tuple(solution.status for solution in self.solutions)

    @property
    def solve_time(self) -> float:
        """Seconds in the solver, over all points."""
        return sum(solution.solve_time for solution in self.solutions)


def solve_path(
    prob: Problem,
    *,
    betas: ArrayLike | None = None,
    n_betas: int = 50,
    beta_min_ratio: float = 1e-2,
    tol: float = 1e-6,
    solver: str = "auto",
    max_iter: int | None = None,
    time_limit: float | None = None,
    threads: int | None = None,
    callback: Callback | None = None,
    verbose: int = 0,
) -> Path:
    """Solve a problem for a list of penalties, from the largest down, each warm-started.

    Parameters
    ----------
    prob : GatedReLUProblem or ReLUProblem
        Data, patterns and loss; ``prob.beta`` does not matter.
    betas : (k,) array, optional
        Penalties, >= 1e-120, in any order, which the result keeps.
    n_betas : int
        Without `betas`: how many, from ``prob.beta_max`` down, in geometric progression.
    beta_min_ratio : float
        Without `betas`: the last is ``beta_min_ratio * prob.beta_max``; in (0, 1).
    tol : float
        Bound on the relative gap of every point, > 0.
    solver : str
        As in :func:`solve`.
    max_iter : int, optional
        Most iterations for each point; one that runs out of them is followed by the next.
    time_limit : float, optional
        Seconds for the whole path; ``prob.beta_max``, found first without `betas`, is not cut
        short.
    threads : int, optional
        None is 1, -1 all cores. The result does not depend on it.
    callback : callable, optional
        Called with a Progress at every check of the gap of every point; returning True ends the
        path. What it raises is raised here.
    verbose : int
        Above 0: a progress bar over the points.

    Returns
    -------
    Path
        With a Solution for each penalty, always. Those not reached within the time limit, or
        before the callback said stop, have the status TIME_LIMIT or INTERRUPTED, no iterations,
        the coefficients of the last point that was, and its dual point scaled to be feasible:
        objective, bound and gap are true ones.

    Raises
    ------
    ValueError, TypeError
        Naming the argument, the rule and the value; also without `betas` where ``prob.beta_max``
        is 0, every solution being zero.
    KeyboardInterrupt
        On Ctrl-C, within 0.2 s.

    Warns
    -----
    ConvergenceWarning
        (scikit-learn's) once, if the status of any point is not SOLVED.

    Examples
    --------
    >>> import pyconvexnn as cx
    >>> X, y, ps = cx.datasets.ar(60, 3, 40)
    >>> path = cx.solve_path(cx.GatedReLUProblem(X, y, ps, beta=1.0), n_betas=5)
    >>> (path.betas / path.beta_max).round(4).tolist()
    [1.0, 0.3162, 0.1, 0.0316, 0.01]
    >>> len(path), bool((path.relative_gaps <= 1e-6).all()), int(path.n_active[0])
    (5, True, 0)
    """
    solvers_of(prob)  # raises where there is none
    positive(tol, "tol")  # before the pass over all patterns that finds beta_max
    if callback is not None and not callable(callback):
        raise TypeError(f"`callback` must be callable or None, got {describe(callback)}")
    bar = positive_int(verbose, "verbose", minimum=0) > 0
    deadline = None
    if time_limit is not None:
        deadline = time.perf_counter() + positive(time_limit, "time_limit")
    grid = _grid(prob, n_betas, beta_min_ratio) if betas is None else _given(betas)

    _ = prob.objective_at_zero  # found once: with_beta passes it on
    stop = _Stop(callback)
    solutions: dict[int, Solution] = {}
    before: tuple[float, Solution] | None = None  # the penalty solved last, and its solution
    with warnings.catch_warnings(), _progress_bar(len(grid), bar) as shown:
        # One warning for the path; ConvergenceWarning is a UserWarning, and not imported for this.
        warnings.filterwarnings("ignore", "solve stopped with status", UserWarning)
        for index in np.argsort(-grid, kind="stable").tolist():
            at = prob.with_beta(grid[index].item())
            left = None if deadline is None else deadline - time.perf_counter()
            if before is not None and (stop.asked or (left is not None and left <= 0)):
                status = Status.INTERRUPTED if stop.asked else Status.TIME_LIMIT
                solutions[index] = _carried(at, *before, status)
                continue
            solutions[index] = solve(
                at,
                solver=solver,
                tol=tol,
                max_iter=max_iter,
                time_limit=None if left is None else max(left, 1e-9),
                warm_start=None if before is None else before[1],
                threads=threads,
                callback=None if callback is None else stop,
            )
            before = at.beta, solutions[index]
            if shown is not None:
                shown.set_postfix(beta=f"{at.beta:.3g}", active=len(before[1].active))
                shown.update()
    path = Path(grid, tuple(solutions[i] for i in range(len(grid))), prob.beta_max)
    if set(path.statuses) != {Status.SOLVED}:
        _warn_not_solved(path, tol)
    return path


class _Stop:
    """The user's callback, which remembers that it returned True.

    A solve that is solved at the same check keeps the status SOLVED, and the path ends still.
    """

    def __init__(self, callback: Callback | None) -> None:
        self._callback = callback
        self.asked = False

    def __call__(self, progress: Progress) -> bool:
        if self._callback is not None and self._callback(progress):
            self.asked = True
        return self.asked


def _grid(prob: Problem, n_betas: Any, beta_min_ratio: Any) -> FloatArray:
    count = positive_int(n_betas, "n_betas")
    ratio = positive(beta_min_ratio, "beta_min_ratio")
    if ratio >= 1:
        raise ValueError(f"`beta_min_ratio` must be < 1, got {ratio!r}")
    if prob.beta_max == 0:
        raise ValueError(
            "`betas` must be given for a problem with beta_max = 0, whose solution is zero for "
            "every penalty (are all targets zero?), got None"
        )
    if ratio * prob.beta_max < SMALLEST_BETA:
        raise ValueError(
            f"`beta_min_ratio` must be such that every penalty is >= {SMALLEST_BETA:g}, "
            f"got {ratio!r} for beta_max = {prob.beta_max:g}"
        )
    if count == 1:
        return np.array([prob.beta_max])
    room_for((count,), "n_betas")
    return prob.beta_max * np.geomspace(1.0, ratio, count)


def _given(betas: ArrayLike) -> FloatArray:
    grid = as_real_array(betas, "betas")
    if grid.ndim != 1 or len(grid) == 0:
        raise ValueError(f"`betas` must have 1 dimension and at least one entry, got {grid.shape}")
    given, grid = grid, room_for(grid.shape, "betas")
    with np.errstate(over="ignore"):
        grid[:] = given
    wrong = np.flatnonzero(~(np.isfinite(grid) & (grid >= SMALLEST_BETA)))
    if len(wrong):
        raise ValueError(
            f"`betas` must be finite and >= {SMALLEST_BETA:g}, got {grid[wrong[0]]} at index "
            f"{wrong[0]}"
        )
    return np.asarray(grid)


def _carried(at: Problem, beta: float, sol: Solution, status: Status) -> Solution:
    """Solution of a larger penalty `beta` as one of `at`, at the price of a sum over the rows.

    The coefficients' norms weigh less, and the dual point is shrunk into the smaller set.
    """
    norms = np.linalg.norm(sol.coef.values, axis=1)
    weights = at.pattern_weight[sol.active % len(at.patterns)]  # v_i and w_i have that of pattern i
    penalty = float(np.sum(weights * norms))
    dual = sol.dual * (at.beta / beta)
    dual.flags.writeable = sol.dual.flags.writeable
    less = (beta - at.beta) * penalty
    objective = sol.objective - less
    bound = float(at.dual_objective(dual))
    return dataclasses.replace(
        sol,
        dual=dual,
        objective=objective,
        dual_objective=bound,
        nonconvex_objective=(
            sol.nonconvex_objective - less if sol.nonconvex_objective is not None else None
        ),
        status=status,
        n_iter=0,
        solve_time=0.0,
        history=(Progress(0, objective, bound, len(sol.active), 0.0),),
    )


@contextlib.contextmanager
def _progress_bar(total: int, wanted: bool) -> Iterator[Any]:
    """A tqdm bar over the points, or None."""
    if not wanted:
        yield None
        return
    from tqdm import tqdm

    with tqdm(total=total, desc="solve_path", unit="beta") as bar:
        yield bar


def _warn_not_solved(path: Path, tol: float) -> None:
    from sklearn.exceptions import ConvergenceWarning

    unsolved = [i for i, status in enumerate(path.statuses) if status is not Status.SOLVED]
    kinds = ", ".join(
        f"{count} {name}" for name, count in path._statuses().items() if name != "SOLVED"
    )
    warnings.warn(
        f"solve_path left {len(unsolved)} of {len(path)} points unsolved ({kinds}), the largest "
        f"beta of them {path.betas[unsolved].max():.3g}, the largest relative gap "
        f"{path.relative_gaps[unsolved].max():.3g}, above tol = {tol:g}; standardise the columns "
        "of X, or take larger betas, or raise max_iter or time_limit, or tol",
        ConvergenceWarning,
        stacklevel=3,
    )
