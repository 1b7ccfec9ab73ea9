"""Pictures; each function returns matplotlib Axes. matplotlib is imported when one is drawn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from pyconvexnn._cell_polygons import Hemispheres, sector, shares
from pyconvexnn._cells import bound, reduced
from pyconvexnn._gates import unit_rows
from pyconvexnn._two_layers import TwoLayers
from pyconvexnn._typing import BoolArray, FloatArray, IndexArray
from pyconvexnn._validation import as_matrix, describe
from pyconvexnn.enumeration import count_patterns, enumerate_patterns
from pyconvexnn.patterns import PatternSet
from pyconvexnn.solvers import Path, Progress, Status

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from pyconvexnn.training import Round

__all__ = ["arrangement", "certificate", "path"]

_MOST_CELLS = 20_000  # that a picture shows


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
    if ax is None:
        ax = _new_axes()
    for output, history in enumerate(histories):
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
    if ax is None:
        ax = _new_axes()
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


def arrangement(X: ArrayLike, net: TwoLayers | None = None, *, ax: Axes | None = None) -> Axes:
    """Draw every cell of data with two or three columns, coloured by what a network does there.

    One polygon for each pattern of :func:`~pyconvexnn.enumerate_patterns`, in its order. Areas
    are angles: of all directions u a cell holds the share that its polygon has of the area.

    Two columns: the plane of u, cut into sectors by the lines ``x_k . u = 0``. Three columns, for
    instance two features and a column of ones: the sphere of directions u, in coordinates in
    which the columns of X are orthonormal. The hyperplane of one row, the most central one, cuts
    it in two hemispheres; each is drawn as a disc, its cells on the right opposite to those on
    the left.

    Parameters
    ----------
    X : (n_samples, 2) or (n_samples, 3) array
        Data. Repeated, opposite, collinear and zero rows may occur.
    net : TwoLayerNetwork or GatedNetwork, optional
        A cell's colour is the sum of ``|w_j| |a_j|`` over the neurons whose w_j (of a gated
        network, gate) lies in it: what they cost in the penalty. A neuron between several cells
        counts in equal parts for each; dots mark the neurons. Biases count as the weights of a
        constant column of X, if the network has a feature less than X has columns.
        Without a network the colour is the share of rows that are active in the cell.
    ax : matplotlib Axes, optional
        Where to draw; a new figure of pyplot without.

    Returns
    -------
    matplotlib.axes.Axes
        The Axes drawn on. Its first collection holds the polygons and their values.

    Raises
    ------
    TypeError
        If an argument has the wrong type.
    ValueError
        If X has neither two nor three columns, only zero rows or more than 20,000 cells, or the
        network does not fit to it.
    ImportError
        If matplotlib is not installed.

    Examples
    --------
    >>> import matplotlib
    >>> matplotlib.use("Agg")
    >>> import numpy as np, pyconvexnn as cx
    >>> X = np.c_[np.random.default_rng(0).standard_normal((8, 2)), np.ones(8)]
    >>> ax = cx.plots.arrangement(X, cx.train(X, X[:, 0] ** 2, beta=0.1).network)
    >>> len(ax.collections[0].get_paths()), len(cx.enumerate_patterns(X))
    (58, 58)
    """
    X = as_matrix(X)
    if X.shape[1] not in (2, 3):
        raise ValueError(f"`X` must have 2 or 3 columns, got shape {X.shape}")
    if not X.any():
        raise ValueError("`X` must have a row that is not zero, got none")
    directions, strengths = (None, None) if net is None else _neurons(net, X)
    first = _distinct_rows(X)
    ps = enumerate_patterns(X)
    signs = ps.restrict(first).to_dense()
    rows = X[first]
    if X.shape[1] == 3:
        rows, directions = _orthonormal(X, rows, directions)
    rows = unit_rows(rows)
    values, label, colours = ps.to_dense().mean(axis=1), "share of active rows", "viridis"
    if directions is not None and strengths is not None:
        seen = directions.any(axis=1)  # others are zero on all rows
        directions, strengths = unit_rows(directions[seen]), strengths[seen]
        values = shares(signs, rows, directions) @ strengths
        label, colours = "sum of |w| |a| of the neurons", "YlOrRd"
    if ax is None:
        ax = _new_axes()
    polygons, dots = _polygons(rows, signs, _facets(ps, signs), directions, ax)

    from matplotlib.collections import PolyCollection

    cells = PolyCollection(polygons, array=values, cmap=colours, edgecolor="gray", linewidth=0.3)
    cells.set_clim(0.0, values.max() or 1.0)
    ax.add_collection(cells)
    if dots is not None:
        ax.plot(*dots.T, "o", color="black", markersize=3, label="neurons")
    ax.set_aspect("equal")
    ax.autoscale_view()
    ax.figure.colorbar(cells, ax=ax, label=label)
    return ax


def _distinct_rows(X: FloatArray) -> IndexArray:
    """One row of each hyperplane; ValueError if these make too many cells."""
    rows = reduced(X, snap=True)
    # Distinct lines in the plane make as many cells as that; planes through 0 at least as many.
    count = 2 * rows.count
    if count <= _MOST_CELLS < 2 * bound(rows.count, rows.rank):
        count = count_patterns(X)
    if count > _MOST_CELLS:
        raise ValueError(
            f"`X` must have at most {_MOST_CELLS} cells to be drawn, got {count} or more"
        )
    return rows.rows


def _facets(ps: PatternSet, signs: BoolArray) -> list[IndexArray]:
    """Hyperplanes of the facets of each cell, as columns of `signs`."""
    return [
        np.argmax(signs[i] ^ signs[ps.neighbours(i)], axis=1).astype(np.int64)
        for i in range(len(ps))
    ]


def _polygons(
    rows: FloatArray,
    signs: BoolArray,
    facets: list[IndexArray],
    directions: FloatArray | None,
    ax: Axes,
) -> tuple[list[FloatArray], FloatArray | None]:
    """Polygon of each cell, and places of the directions; names what the axes are."""
    inward = [
        np.where(signs[i, facet], 1.0, -1.0)[:, np.newaxis] * rows[facet]
        for i, facet in enumerate(facets)
    ]
    if rows.shape[1] == 2:
        ax.set_xlabel("u_1")
        ax.set_ylabel("u_2")
        return [sector(normals) for normals in inward], directions
    central = int(np.argmax(np.abs(rows @ rows.T).sum(axis=1)))
    chart = Hemispheres(rows[central])
    polygons = [
        chart.polygon(normals, bool(side))
        for normals, side in zip(inward, signs[:, central], strict=True)
    ]
    ax.set_axis_off()
    if directions is None:
        return polygons, None
    sides = directions @ rows[central] >= 0
    dots = [chart.places(u[np.newaxis], bool(s)) for u, s in zip(directions, sides, strict=True)]
    return polygons, np.concatenate([np.empty((0, 2)), *dots])


def _orthonormal(
    X: FloatArray, rows: FloatArray, directions: FloatArray | None
) -> tuple[FloatArray, FloatArray | None]:
    """Rows and directions in coordinates in which the columns of X are orthonormal."""
    scale = np.abs(X).max(axis=0)
    scale[scale == 0] = 1.0
    _, s, vt = np.linalg.svd(X / scale, full_matrices=False)
    kept = s > 1e-10 * s[0]
    s, vt = s[kept], vt[kept]
    if directions is not None:
        directions = directions * scale @ vt.T * s @ vt
    return rows / scale @ vt.T / s @ vt, directions


def _neurons(net: TwoLayers, X: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Directions (m, d) of the neurons and what they cost, ``|w_j| |a_j|``."""
    if not isinstance(net, TwoLayers):
        raise TypeError(f"`net` must be a network, got {describe(net)}")
    directions: FloatArray = getattr(net, "gates", net.W1)
    weights = net.W1
    if net.b1 is not None:
        weights = np.c_[net.W1, net.b1]
        if directions is net.W1:
            constant = np.flatnonzero((X[0] == X).all(axis=0) & (X[0] != 0))
            if not constant.size:
                raise ValueError(
                    "`X` must have a constant column for the biases of `net`, got none"
                )
            j = constant[-1]
            directions = np.insert(net.W1, j, net.b1 / X[0, j], axis=1)
    if directions.shape[1] != X.shape[1]:
        raise ValueError(
            f"`net` must have weights for the {X.shape[1]} columns of `X`, "
            f"got {directions.shape[1]} (with biases)"
        )
    norms = np.linalg.norm(weights, axis=1) * np.linalg.norm(net.W2, axis=1)
    return directions, norms


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
    if not all(histories):
        raise ValueError("`solution_or_fit` must have a history, got an empty one")
    return histories


def _new_axes() -> Axes:
    try:
        from matplotlib import pyplot
    except ImportError:
        raise ImportError('plots need matplotlib: pip install "pyconvexnn[plot]"') from None
    return pyplot.subplots()[1]
