"""Patterns of the cells that neurons lie in, or on the borders of."""

from __future__ import annotations

import numpy as np

from pyconvexnn._bits import distinct_rows, nonzero_rows, pack, unseen, zero_rows_of
from pyconvexnn._blocks import row_blocks
from pyconvexnn._typing import BitArray, FloatArray

_TIE = 1e-9  # of |x| |u|: nearer to its hyperplane than that a neuron counts as on it


def cells_around(
    X: FloatArray, U: FloatArray, rng: np.random.Generator, *, most: int = 4
) -> BitArray:
    """Distinct patterns of cells whose closures hold the neurons u, at most `most` for each.

    A neuron on no hyperplane lies in one cell. Any other is a point of several: that of ``u +
    delta g`` for small delta > 0 has, for the rows with ``x.u = 0``, the bits ``x.g > 0``. The g
    are random, each with its opposite. The all-zero pattern is left out, bits of zero rows are 1.

    Parameters
    ----------
    X : (n, r) float64
        Data.
    U : (k, r) float64
        Neurons, none zero.
    rng : Generator
        For the g.
    most : int
        Patterns for each neuron.

    Returns
    -------
    (P, ceil(n / 64)) uint64
        Packed patterns.
    """
    counted = nonzero_rows(X)
    lengths = np.linalg.norm(X, axis=1)
    found: list[BitArray] = [pack(np.empty((0, len(X)), bool))]
    U = U / np.linalg.norm(U, axis=1, keepdims=True)
    nearest = _TIE * lengths
    nearest[~counted] = -1.0
    for part in row_blocks(len(U), len(X)):
        for z in U[part] @ X.T:
            ties = np.flatnonzero(np.abs(z) <= nearest)
            bits = z > 0
            bits[~counted] = True
            if not len(ties):
                found.append(pack(bits[np.newaxis]))
                continue
            g = rng.standard_normal((most, X.shape[1]))
            sides = X[ties] @ g.T > 0
            sides = np.stack([sides, ~sides], axis=2).reshape(len(ties), -1).T
            first, _ = distinct_rows(pack(sides))
            sides = sides[np.sort(first)[:most]]
            several = np.repeat(bits[np.newaxis], len(sides), axis=0)
            several[:, ties] = sides
            found.append(pack(several))
    packed = np.concatenate(found)
    nothing = zero_rows_of(X)[np.newaxis]
    return packed[unseen(packed, nothing)]
