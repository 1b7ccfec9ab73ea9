"""Which vectors are the same but for their lengths: neurons of one direction are one neuron."""

from __future__ import annotations

import numpy as np

from pyconvexnn._typing import FloatArray, IndexArray

SAME = 1e-12  # of unit vectors: nearer to each other they are one


def same_directions(U: FloatArray, *, even: bool = False, same: float = SAME) -> IndexArray:
    """For every unit row the first row that it is equal to, shape (k,).

    A row joins the first one within `same` of it that has joined none itself; with `even` a row
    and its opposite are equal.

    Parameters
    ----------
    U : (k, d) float64
        Rows of length 1, or zero.
    even : bool
        Whether u and -u are the same.
    same : float
        Largest distance of equal rows.
    """
    first = np.arange(len(U))
    # Equal rows have equal products with any vector: only rows next to each other in that order
    # are compared, not every pair.
    probe = np.random.default_rng(0).standard_normal(U.shape[1])
    heights = U @ (probe / np.linalg.norm(probe))
    if even:
        heights = np.abs(heights)
    order = np.argsort(heights, kind="stable")
    cuts = np.flatnonzero(np.diff(heights[order]) > 2.0 * same) + 1
    for run in np.split(order, cuts):
        rest = np.sort(run)
        while len(rest) > 1:
            leader = U[rest[0]]
            distance = np.linalg.norm(U[rest] - leader, axis=1)
            if even:
                distance = np.minimum(distance, np.linalg.norm(U[rest] + leader, axis=1))
            near = distance <= same
            near[0] = True
            first[rest[near]] = rest[0]
            rest = rest[~near]
    return first
