"""How solves, trainings and paths went."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from pyconvexnn._typing import FloatArray
from pyconvexnn.plots.common import axes_of
from pyconvexnn.solvers import Path, Progress, Status

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from pyconvexnn.training import Round


def certificate(solution_or_fit: Any, *, ax: Axes | None = None) -> Axes:
    """Draw objective and lower bound against the seconds of a solve or a training.

    The optimum lies between the two curves all the time; where they meet it is proved.

    Parameters
    ----------
    solution_or_fit : Solution, Fit, or fitted ConvexMLPRegressor or ConvexMLPClassifier
        Anything with a ``history`` of :class:`~pyconvexnn.Progress`, whose bound is the dual one
        over the patterns of the problem, or of :class:`~pyconvexnn.training.Round`, whose bound is
        over all patterns. An estimator with several outputs is drawn with one pair of curves for
        each.
    ax : matplotlib Axes, optional
        Where to draw; a new figure of pyplot without.

    Returns
    -------
    matplotlib.axes.Axes
        The Axes drawn on.

    Raises
    ------
    TypeError
        If the argument has no history.
    ValueError
        If its history is empty.
    ImportError
        If matplotlib is not installed.

    Examples
    --------
    >>> import matplotlib
    >>> matplotlib.use("Agg")
    >>> import numpy as np, pyconvexnn as cx
    >>> X = np.random.default_rng(0).standard_normal((40, 3))
    >>> prob = cx.GatedReLUProblem(X, X[:, 0], cx.sample_patterns(X, 20), beta=0.1)
    >>> ax = cx.plots.certificate(cx.solve(prob))
    >>> ax.get_xlabel(), [line.get_label() for line in ax.lines]
    ('seconds', ['objective', 'dual bound'])
    """
    histories = _histories(solution_or_fit)
    ax = axes_of(ax)
    for output, history in enumerate(histories):
        if not history:  # of an output for which no time was left
            continue
        seconds = np.array([progress.seconds for progress in history])
        objective = np.array([progress.objective for progress in history])
        name, bound = _bounds(history)
        bound[~np.isfinite(bound)] = np.nan
        suffix = "" if len(histories) == 1 else f", output {output}"
        (line,) = ax.plot(seconds, objective, marker=".", label=f"objective{suffix}")
        color = line.get_color()
        ax.plot(seconds, bound, "--", marker=".", color=color, label=f"{name}{suffix}")
        ax.fill_between(seconds, bound, objective, color=color, alpha=0.15, linewidth=0)
    ax.set_xlabel("seconds")
    ax.set_ylabel("objective")
    ax.legend()
    return ax


def path(path: Path, *, ax: Axes | None = None) -> Axes:
    """Draw objective and number of neurons against the penalty.

    The penalty falls from left to right. The objective and its dual bound are divided by the
    objective of the zero network; neurons are counted on a second axis at the right. Crosses
    mark points whose status is not SOLVED.

    Parameters
    ----------
    path : Path
        What :func:`pyconvexnn.solve_path` returned.
    ax : matplotlib Axes, optional
        Where to draw; a new figure of pyplot without.

    Returns
    -------
    matplotlib.axes.Axes
        The Axes of the objective; the other is the last of ``ax.figure.axes``.

    Raises
    ------
    TypeError
        If the argument is not a Path.
    ValueError
        If it has no points.
    ImportError
        If matplotlib is not installed.

    Examples
    --------
    >>> import matplotlib
    >>> matplotlib.use("Agg")
    >>> import pyconvexnn as cx
    >>> X, y, ps = cx.datasets.ar(40, 3, 20)
    >>> ax = cx.plots.path(cx.solve_path(cx.GatedReLUProblem(X, y, ps, 1.0), n_betas=10))
    >>> ax.get_xscale(), [line.get_label() for line in ax.lines]
    ('log', ['objective', 'dual bound'])
    """
    if not isinstance(path, Path):
        raise TypeError(f"`path` must be a Path, got {type(path).__name__}")
    if not len(path):
        raise ValueError("`path` must have at least one point, got none")
    ax = axes_of(ax)
    order = np.argsort(-path.betas, kind="stable")
    # Without a largest penalty, all targets being zero, the penalties stand for themselves.
    ratio = path.betas[order] / (path.beta_max or 1.0)
    zero = path[0].objective_at_zero or 1.0  # of every point
    objective = path.objectives[order] / zero
    bound = path.dual_objectives[order] / zero
    bound[~np.isfinite(bound)] = np.nan
    (line,) = ax.plot(ratio, objective, marker=".", label="objective")
    color = line.get_color()
    ax.plot(ratio, bound, "--", color=color, label="dual bound")
    ax.fill_between(ratio, bound, objective, color=color, alpha=0.15, linewidth=0)
    unsolved = np.array([status is not Status.SOLVED for status in path.statuses])[order]
    if unsolved.any():
        ax.plot(ratio[unsolved], objective[unsolved], "x", color=color, label="not solved")
    right = ax.twinx()
    (steps,) = right.plot(ratio, path.n_active[order], color="C1", marker=".", label="neurons")
    right.set_ylabel("neurons")
    right.set_ylim(bottom=0)
    ax.set_xscale("log")
    ax.invert_xaxis()
    ax.set_xlabel("beta / beta_max" if path.beta_max else "beta")
    ax.set_ylabel("objective / objective at zero")
    ax.legend(handles=[*ax.lines, steps], loc="center left")
    return ax


def _bounds(history: Sequence[Progress] | Sequence[Round]) -> tuple[str, FloatArray]:
    """Bounds of a history, and what kind they are of."""
    if hasattr(history[0], "lower_bound"):
        return "lower bound", np.array([state.lower_bound for state in history])  # type: ignore[union-attr]
    return "dual bound", np.array([state.dual_objective for state in history])  # type: ignore[union-attr]


def _histories(source: Any) -> list[Sequence[Progress] | Sequence[Round]]:
    """Histories of a solution, of several, of a Fit, or of an estimator that keeps them."""
    source = getattr(source, "solution_", source)
    solutions = source if isinstance(source, list) else [source]
    if not solutions or not all(hasattr(solution, "history") for solution in solutions):
        raise TypeError(
            "`solution_or_fit` must be a Solution, a Fit or a fitted estimator, "
            f"got {type(source).__name__}"
        )
    histories = [solution.history for solution in solutions]
    if not any(histories):
        raise ValueError("`solution_or_fit` must have a history, got an empty one")
    return histories
