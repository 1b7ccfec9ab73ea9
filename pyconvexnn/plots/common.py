"""What pictures share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pyconvexnn._typing import FloatArray
from pyconvexnn._validation import describe
from pyconvexnn.networks.base import TwoLayers
from pyconvexnn.networks.neurons import hidden_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def axes_of(ax: Axes | None) -> Axes:
    """The Axes given, checked; without any those of a new figure of pyplot."""
    try:
        from matplotlib import axes, pyplot
    except ImportError:
        raise ImportError('plots need matplotlib: pip install "pyconvexnn[plot]"') from None
    if ax is None:
        return pyplot.subplots()[1]
    if not isinstance(ax, axes.Axes):
        raise TypeError(f"`ax` must be Axes of matplotlib or None, got {describe(ax)}")
    return ax


def costs(net: TwoLayers) -> FloatArray:
    """``|w_j| |a_j|`` of the neurons, biases counted among the weights: what they cost."""
    return np.asarray(np.linalg.norm(hidden_of(net), axis=1) * np.linalg.norm(net.W2, axis=1))
