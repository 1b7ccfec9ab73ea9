"""Cells of the arrangement, and what neurons cost there."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from pyconvexnn._cell_polygons import Hemispheres, sector, shares
from pyconvexnn._cells import bound, reduced
from pyconvexnn._gates import unit_rows
from pyconvexnn._typing import BoolArray, FloatArray, IndexArray
from pyconvexnn._validation import as_matrix, describe
from pyconvexnn.enumeration import count_patterns, enumerate_patterns
from pyconvexnn.networks.base import TwoLayers
from pyconvexnn.patterns import PatternSet
from pyconvexnn.plots.common import axes_of, costs

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MOST_CELLS = 20_000  # that a picture shows


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
    ax = axes_of(ax)
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
    if net.b1 is not None and directions is net.W1:
        constant = np.flatnonzero((X[0] == X).all(axis=0) & (X[0] != 0))
        if not constant.size:
            raise ValueError("`X` must have a constant column for the biases of `net`, got none")
        j = constant[-1]
        directions = np.insert(net.W1, j, net.b1 / X[0, j], axis=1)
    if directions.shape[1] != X.shape[1]:
        raise ValueError(
            f"`net` must have weights for the {X.shape[1]} columns of `X`, "
            f"got {directions.shape[1]} (with biases)"
        )
    return directions, costs(net)
