"""Cells at random vertices of the arrangement, the same in all coordinates."""

from __future__ import annotations

import numpy as np

from pyconvexnn._bits import nonzero_rows, pack
from pyconvexnn._blocks import BLOCK_ENTRIES
from pyconvexnn._gates import Whitened, unit_rows
from pyconvexnn._typing import BitArray, BoolArray, FloatArray, IndexArray
from pyconvexnn.sampling.draws import BATCH, Draws
from pyconvexnn.sampling.subsets import ordered_subsets

_PARALLEL = 1e-9  # unit rows closer than this (or their opposites) are one hyperplane
_DEPENDENT = 1e-5  # a row this close to the span of those drawn before: the draw is void
_THROUGH = 1e-9  # hyperplanes this close to a vertex pass through it
_NO_PART = 1e-7  # coordinates up to this are zero
_CUBES = 1 << 24  # r^3 summed over matrices that are factored in one call


class Vertex:
    """Draws r - 1 rows S in a random order, one more row q, and a side of each of them.

    The r - 1 hyperplanes meet in a ray; the side of q says on which half. A hyperplane that does
    not contain the ray has it on one side. One that does, x = sum_k J_k x_S(k), has the sides of
    S to tell: the first k with J_k not zero decides, as at ``ray + sum_k eps^k w_k`` with
    ``x_S(j) . w_k`` zero but for the drawn side at j = k. Quotients of determinants and linear
    dependence are all this uses, so it is the same in all coordinates of the columns.
    """

    def __init__(self, X: FloatArray, rng: np.random.Generator) -> None:
        self._rng = rng
        self._used = nonzero_rows(X)
        rows = unit_rows(Whitened(X).rows()[self._used])
        first, self._flipped = parallel_classes(rows)
        distinct, self._class = np.unique(first, return_inverse=True)
        self._rows = rows[distinct]

    def draw(self) -> Draws:
        """Return the next draws; void ones have no pattern."""
        n, rank = self._rows.shape
        chosen = ordered_subsets(self._rng, BATCH, n, rank)
        sides = self._rng.integers(0, 2, (BATCH, rank)) > 0
        step = max(1, min(BLOCK_ENTRIES // len(self._used), _CUBES // rank**3))
        found = [
            self._patterns(chosen[start : start + step], sides[start : start + step])
            for start in range(0, BATCH, step)
        ]
        return Draws(np.concatenate(found), None, BATCH)

    def _patterns(self, chosen: IndexArray, sides: BoolArray) -> BitArray:
        meeting, apart = chosen[:, :-1], chosen[:, -1]
        Q, R = np.linalg.qr(self._rows[meeting].transpose(0, 2, 1), mode="complete")
        sizes = np.abs(np.diagonal(R, axis1=1, axis2=2)).min(axis=1, initial=1.0)
        rays = Q[:, :, -1]
        beside = np.einsum("kj,kj->k", self._rows[apart], rays)
        rays = np.where((beside > 0) == sides[:, -1], 1.0, -1.0)[:, np.newaxis] * rays
        valid = np.flatnonzero((sizes > _DEPENDENT) & (np.abs(beside) > _THROUGH))
        products = rays[valid] @ self._rows.T
        bits = products > 0
        through = np.abs(products) <= _THROUGH
        np.put_along_axis(bits, meeting[valid], sides[valid, :-1], axis=1)
        np.put_along_axis(through, meeting[valid], False, axis=1)
        for i in np.flatnonzero(through.any(axis=1)):
            k, also = valid[i], np.flatnonzero(through[i])
            parts = np.linalg.solve(R[k, :-1], Q[k, :, :-1].T @ self._rows[also].T).T
            decisive = np.argmax(np.abs(parts) > _NO_PART, axis=1)
            value = parts[np.arange(len(also)), decisive]
            bits[i, also] = (value > 0) == sides[k, decisive]
        dense = np.ones((len(valid), len(self._used)), np.bool_)
        dense[:, self._used] = bits[:, self._class] ^ self._flipped
        return pack(dense)


def parallel_classes(rows: FloatArray) -> tuple[IndexArray, BoolArray]:
    """For each unit row the first row parallel to it, and whether they are opposite."""
    first = np.arange(len(rows))
    flipped = np.zeros(len(rows), np.bool_)
    # Parallel rows share this key; few others do.
    key = np.abs(rows @ np.random.default_rng(1).standard_normal(rows.shape[1]))
    order = np.argsort(key, kind="stable")
    starts = np.flatnonzero(np.diff(key[order], prepend=-1.0) > 10 * _PARALLEL)
    ends = np.append(starts[1:], len(rows))
    for start, end in zip(starts[ends > starts + 1], ends[ends > starts + 1], strict=True):
        members = np.sort(order[start:end])
        while members.size:
            one = rows[members[0]]
            ahead = np.abs(rows[members] - one).max(axis=1) <= _PARALLEL
            behind = np.abs(rows[members] + one).max(axis=1) <= _PARALLEL
            first[members[ahead | behind]] = members[0]
            flipped[members[behind]] = True
            members = members[~(ahead | behind)]
    return first, flipped
