"""Neurons of a network as directions with sizes: taken apart, added up, put together again."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING

import numpy as np

from pyconvexnn._typing import FloatArray, IndexArray

if TYPE_CHECKING:
    from pyconvexnn.networks.base import Net, TwoLayers

_CANCELLED = 1e-15  # of the sizes that were added up: what is left of them is rounding


def units(net: TwoLayers) -> tuple[FloatArray, FloatArray]:
    """Hidden weights at length 1 or zero, (m, d), and the output weights (m, K) that then belong.

    The former have the hidden biases as a last column, if there are any; matrix weights are rows
    of d K numbers, and the latter (m, 1).
    """
    hidden = hidden_of(net)
    lengths = row_norms(hidden)[:, np.newaxis]
    return hidden / np.where(lengths > 0, lengths, 1.0), net.W2 * lengths


def with_units(net: Net, U: FloatArray, C: FloatArray, neurons: IndexArray) -> Net:
    """Balanced network of units and their output weights; those without any are left out.

    Everything else is that of `net`: gates, say, are those of its neurons of the given numbers.
    """
    sizes = np.sqrt(net._outer_norms(C))
    kept = np.flatnonzero(sizes > 0)
    sizes = sizes[kept, np.newaxis]
    hidden = U[kept] * sizes
    return dataclasses.replace(  # type: ignore[type-var]  # every subclass is a dataclass
        net,
        W1=hidden[:, : math.prod(net.W1.shape[1:])].reshape(len(kept), *net.W1.shape[1:]),
        W2=C[kept] / sizes,
        b1=None if net.b1 is None else hidden[:, -1],
        **net._of_neurons(neurons[kept]),
    )


def add_up(C: FloatArray, first: IndexArray) -> tuple[FloatArray, IndexArray]:
    """Sums of the rows with the same number `first`, (k, ...), and these numbers, ascending.

    Entries that cancel to rounding are zero.
    """
    kept, place = np.unique(first, return_inverse=True)
    sums, sizes = np.zeros((2, len(kept), *C.shape[1:]))
    np.add.at(sums, place, C)
    np.add.at(sizes, place, np.abs(C))
    return np.where(np.abs(sums) > _CANCELLED * sizes, sums, 0.0), kept


def hidden_of(net: TwoLayers) -> FloatArray:
    """Hidden weights (m, d) with the biases as a last column, if any; matrices as rows."""
    W1 = net.W1 if net.W1.ndim == 2 else net.W1.reshape(net.n_neurons, math.prod(net.W1.shape[1:]))
    return W1 if net.b1 is None else np.column_stack([W1, net.b1])


def row_norms(A: FloatArray) -> FloatArray:
    """Euclidean norms of the rows, without underflow."""
    largest = np.abs(A).max(axis=1, initial=0.0)
    safe = np.where(largest == 0, 1.0, largest)
    return np.asarray(largest * np.linalg.norm(A / safe[:, np.newaxis], axis=1))
