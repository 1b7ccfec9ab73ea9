"""What networks with one or two features compute."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pyconvexnn._typing import FloatArray, IndexArray
from pyconvexnn._validation import as_array, as_matrix, as_vector, describe
from pyconvexnn.networks.base import TwoLayers
from pyconvexnn.plots.common import axes_of, costs

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_POINTS = 300  # of a curve, and of each side of a plane
_MARGIN = 0.1  # shown around the data, as a share of their range
_LEVELS = 21


class _Kinks(NamedTuple):
    """Where neurons switch: ``normal . x + offset = 0``, with the width to draw them."""

    normals: FloatArray
    offsets: FloatArray
    widths: FloatArray


class _Function(NamedTuple):
    """A network as a function of the columns of X that vary, the others being constant."""

    net: TwoLayers
    row: FloatArray  # of X, for the columns that are constant
    drawn: IndexArray  # columns that vary
    names: list[str]  # of these

    def __call__(self, points: FloatArray) -> FloatArray:
        """Outputs (p, K) at points (p, 1) or (p, 2)."""
        rows = np.tile(self.row, (len(points), 1))
        rows[:, self.drawn] = points
        return self.net.predict(rows).reshape(len(points), -1)

    def kinks(self) -> _Kinks:
        """Kinks of the neurons that have one and contribute something; jumps at gates."""
        net, strengths = self.net, costs(self.net)
        directions: FloatArray = getattr(net, "gates", net.W1)
        normals = directions[:, self.drawn]
        offsets = np.delete(directions, self.drawn, axis=1) @ np.delete(self.row, self.drawn)
        if directions is net.W1 and net.b1 is not None:
            offsets = offsets + net.b1
        kept = (strengths > 0) & normals.any(axis=1)
        widths = 0.5 + 2.0 * strengths / strengths.max(initial=1e-300)
        return _Kinks(normals[kept], offsets[kept], widths[kept])


def neurons(net: Any, X: ArrayLike, y: ArrayLike, *, ax: Axes | None = None) -> Axes:
    r"""Draw the function of a network with one or two features, its kinks, and the data.

    A neuron's function has its kink where ``x . w_j + b_1j = 0`` (a gated one jumps where
    ``x . g_j = 0``); the wider it is drawn, the more the neuron costs, ``|w_j| |a_j|``.

    Two features: the plane, with kinks as lines. For a regression colours are the outputs of
    the network and, in the dots, the targets. For a classification they are classes, of the region
    as the network has it and of the dots as the data have it: by the sign of one output, by the
    largest of several. One feature: the outputs as curves over it, with kinks as ticks.

    Parameters
    ----------
    net : TwoLayerNetwork, GatedNetwork, or fitted ConvexMLPRegressor or ConvexMLPClassifier
        What is drawn.
    X : (n_samples, n_features) array
        Data, as the network or the estimator takes them. One or two columns must vary: all
        others, such as a column of ones for the intercept, are kept at their constant.
    y : (n_samples,) array
        Targets. They are classes if `net` is a classifier or has several outputs, or if they are
        -1 and +1 or no numbers. The classes of a network are then those of y, sorted: one for each
        output, or two for one output, of which the second is that of positive outputs.
    ax : matplotlib Axes, optional
        Where to draw; a new figure of pyplot without.

    Returns
    -------
    matplotlib.axes.Axes
        The Axes drawn on.

    Raises
    ------
    TypeError
        If `net` is no network and no fitted estimator, or the data are not real numbers.
    ValueError
        If X has not the columns of `net`, if other than one or two of them vary, or if y does not
        fit to X and `net`.
    ImportError
        If matplotlib is not installed.

    Examples
    --------
    >>> import matplotlib
    >>> matplotlib.use("Agg")
    >>> import numpy as np, pyconvexnn as cx
    >>> X = np.random.default_rng(0).standard_normal((40, 2))
    >>> net = cx.train(X, np.abs(X[:, 0]), beta=0.1).network
    >>> ax = cx.plots.neurons(net, X, np.abs(X[:, 0]))
    >>> len(ax.collections[-1].get_segments()) == net.n_neurons
    True
    """
    function, X, classes = _function(net, X)
    targets, classes = _targets(y, len(X), function.net.n_outputs, classes)
    ax = axes_of(ax)
    points = X[:, function.drawn]
    if len(function.drawn) == 1:
        _draw_curves(function, points[:, 0], targets, classes, ax)
    else:
        _draw_plane(function, points, targets, classes, ax)
    return ax


def _function(net: Any, X: ArrayLike) -> tuple[_Function, FloatArray, NDArray[Any] | None]:
    """The function, X as the network takes it, and the classes that an estimator knows."""
    network, classes, names = getattr(net, "network_", net), None, None
    if not isinstance(network, TwoLayers):
        raise TypeError(f"`net` must be a network or a fitted estimator, got {describe(net)}")
    if network is net:
        data = as_matrix(X, columns=network.n_features)
    else:
        classes, names = getattr(net, "classes_", None), getattr(net, "feature_names_in_", None)
        data = as_matrix(X, columns=net.n_features_in_)
        if net.fit_intercept:
            data = np.column_stack([data, np.full(len(data), net.intercept_scaling)])
    drawn = np.flatnonzero((data != data[0]).any(axis=0))
    if len(drawn) not in (1, 2):
        raise ValueError(f"`X` must have 1 or 2 columns that vary, got {len(drawn)}")
    labels = [f"x_{j + 1}" if names is None else str(names[j]) for j in drawn]
    return _Function(network, data[0], drawn, labels), data, classes


def _targets(
    y: ArrayLike, n_samples: int, n_outputs: int, classes: NDArray[Any] | None
) -> tuple[FloatArray, NDArray[Any] | None]:
    """Targets and None, or the index of each row's class and the classes."""
    labels = as_array(y, "y")
    if classes is None and n_outputs == 1:
        fits = labels.ndim > 0 and len(labels) == n_samples
        if labels.dtype.kind in "fiu" and not (fits and np.isin(labels, (-1, 1)).all()):
            return as_vector(y, "y", length=n_samples), None
        if labels.dtype.kind in "fiu":
            classes = np.array([-1, 1])
    if labels.shape != (n_samples,):
        raise ValueError(
            f"`y` must hold a class for each of the {n_samples} rows of `X`, "
            f"got shape {labels.shape}"
        )
    if classes is None:
        try:
            classes = np.unique(labels)
        except (TypeError, ArithmeticError) as error:  # of decimals that are NaN
            raise TypeError(f"`y` must hold classes that can be sorted, got {error}") from None
        if len(classes) != max(2, n_outputs):
            raise ValueError(
                f"`y` must hold {max(2, n_outputs)} classes, as the outputs of `net` tell, "
                f"got {len(classes)}"
            )
    codes = np.minimum(np.searchsorted(classes, labels), len(classes) - 1)
    wrong = labels[classes[codes] != labels]
    if wrong.size:
        raise ValueError(f"`y` must hold only the classes of `net`, got {wrong.tolist()[0]!r}")
    return codes.astype(np.float64), classes


def _range(values: FloatArray) -> tuple[float, float]:
    """What is shown of an axis on which there are these data."""
    low, high = float(values.min()), float(values.max())
    return low - _MARGIN * (high - low), high + _MARGIN * (high - low)


def _color(k: int) -> Any:
    from matplotlib import colormaps

    return colormaps["tab10"](k % 10)


def _draw_curves(
    function: _Function, x: FloatArray, targets: FloatArray, classes: Any, ax: Axes
) -> None:
    """Outputs over one feature; a class is at the output that it should have, -1 or 1."""
    low, high = _range(x)
    normals, offsets, widths = function.kinks()
    with np.errstate(over="ignore"):  # far outside
        kinks = -offsets / normals[:, 0]
    seen = (low < kinks) & (kinks < high)
    # With points on either side of the kinks: corners are sharp, and jumps upright.
    sides = kinks[seen] + 1e-9 * (high - low) * np.array([[-1.0], [1.0]])
    grid = np.sort(np.append(np.linspace(low, high, _POINTS), sides))
    curves = function(grid[:, np.newaxis]).T
    for k, curve in enumerate(curves):
        name = "network" if len(curves) == 1 else f"output of {classes[k]}"
        ax.plot(grid, curve, color="black" if len(curves) == 1 else _color(k), label=name)
    if classes is None:
        ax.plot(x, targets, ".", color=_color(0), label="data")
    for k, name in enumerate([] if classes is None else classes):
        own = x[targets == k]
        height = -1.0 if len(curves) == 1 and k == 0 else 1.0
        ax.plot(own, np.full(len(own), height), ".", color=_color(k), label=str(name))
    ax.vlines(
        kinks[seen],
        0.0,
        0.05,
        transform=ax.get_xaxis_transform(),
        linewidths=widths[seen],
        color="black",
        label="kinks",
    )
    ax.set_xlabel(function.names[0])
    ax.set_ylabel("output")
    ax.legend()


def _draw_plane(
    function: _Function, points: FloatArray, targets: FloatArray, classes: Any, ax: Axes
) -> None:
    """Outputs, or classes, over two features."""
    from matplotlib.collections import LineCollection

    (left, right), (bottom, top) = _range(points[:, 0]), _range(points[:, 1])
    first, second = np.meshgrid(
        np.linspace(left, right, _POINTS), np.linspace(bottom, top, _POINTS)
    )
    outputs = function(np.column_stack([first.ravel(), second.ravel()]))
    if classes is None:
        shown = outputs.reshape(first.shape)
        both = np.concatenate([outputs[:, 0], targets])
        levels = np.linspace(both.min(), both.max(), _LEVELS)
        if levels[0] == levels[-1]:
            levels = levels[0] + np.linspace(-1.0, 1.0, _LEVELS)
        colors: dict[str, Any] = {"cmap": "viridis", "vmin": levels[0], "vmax": levels[-1]}
        filled = ax.contourf(first, second, shown, levels, **colors)
        ax.figure.colorbar(filled, ax=ax, label="output")
        ax.scatter(points[:, 0], points[:, 1], c=targets, edgecolors="black", **colors)
    else:
        from matplotlib.colors import ListedColormap

        codes = outputs[:, 0] > 0 if outputs.shape[1] == 1 else outputs.argmax(axis=1)
        ax.imshow(
            codes.reshape(first.shape).astype(float),
            cmap=ListedColormap([_color(k) for k in range(len(classes))]),
            vmin=-0.5,
            vmax=len(classes) - 0.5,
            alpha=0.3,
            origin="lower",
            extent=(left, right, bottom, top),
            aspect="auto",
            interpolation="nearest",
        )
        for k, name in enumerate(classes):
            own = points[targets == k]
            ax.scatter(own[:, 0], own[:, 1], color=_color(k), edgecolors="black", label=str(name))
        ax.legend()
    kinks = function.kinks()
    segments, widths = _segments(kinks, (left, bottom), (right, top))
    ax.add_collection(LineCollection(segments, linewidths=widths, colors="black", alpha=0.6))
    ax.set_xlim(left, right)
    ax.set_ylim(bottom, top)
    ax.set_xlabel(function.names[0])
    ax.set_ylabel(function.names[1])


def _segments(
    kinks: _Kinks, low: tuple[float, float], high: tuple[float, float]
) -> tuple[list[FloatArray], list[float]]:
    """What a box has of the kinks' lines, (2, 2) each, and the widths of those that it meets."""
    corner, size = np.array(low), np.subtract(high, low)
    segments, kept = [], []
    for normal, offset, width in zip(*kinks, strict=True):
        # In the unit square: a t_1 + b t_2 + c = 0.
        (a, b), c = (normal * size).tolist(), float(normal @ corner + offset)
        ends = [(t, -(c + a * t) / b) for t in (0.0, 1.0) if b]
        ends += [(-(c + b * t) / a, t) for t in (0.0, 1.0) if a]
        inside = [end for end in ends if min(end) >= 0.0 and max(end) <= 1.0]
        if len(set(inside)) > 1:
            segments.append(corner + size * np.array([min(inside), max(inside)]))
            kept.append(float(width))
    return segments, kept
