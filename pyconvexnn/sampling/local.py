"""Cells around given directions."""

from __future__ import annotations

import math

import numpy as np

from pyconvexnn import _core
from pyconvexnn._bits import nonzero_rows
from pyconvexnn._blocks import row_blocks
from pyconvexnn._gates import unit_rows
from pyconvexnn._typing import FloatArray
from pyconvexnn.sampling.coordinates import Coordinates
from pyconvexnn.sampling.draws import BATCH, Draws

_MOST_DISTANCES = 1 << 24  # kept, of all directions together
_SAME = 1e-12  # distances closer than this are those of one hyperplane


class Local:
    """Draws Gaussian perturbations of unit vectors z, by turns, of growing size.

    The c-th perturbation of a direction has standard deviation t_m in every coordinate, t_m the
    distance of the m-th nearest hyperplane and m the least number of hyperplanes that can have c
    cells near a point, ``sum_{k<r} C(m, k) >= c``.
    """

    def __init__(
        self,
        X: FloatArray,
        coordinates: Coordinates,
        rng: np.random.Generator,
        around: FloatArray,
        n_draws: int,
    ) -> None:
        self._X, self._coordinates, self._rng, self._around = X, coordinates, rng, around
        self._centres = unit_rows(coordinates.coordinates(around))
        count = len(around)
        self._cells = [1]  # that m = 0, 1, ... hyperplanes can have near a point
        most = min(len(X), max(64, _MOST_DISTANCES // count))
        while len(self._cells) <= most and self._cells[-1] < n_draws // count + 2:
            m = len(self._cells)
            self._cells.append(sum(math.comb(m, k) for k in range(min(m + 1, coordinates.rank))))
        self._sizes = self._distances(len(self._cells) - 1)
        self._drawn = -count

    def draw(self) -> Draws:
        """Return the next draws, first the directions themselves."""
        count = len(self._around)
        if self._drawn < 0:
            gates = self._around[self._drawn + count :][:BATCH]
        else:
            draws = self._drawn + np.arange(BATCH)
            m = np.searchsorted(np.array(self._cells, dtype=object), draws // count + 1)
            sizes = self._sizes[draws % count, np.clip(m, 1, self._sizes.shape[1]) - 1]
            Z = self._rng.standard_normal((BATCH, self._X.shape[1]))
            near = np.isfinite(sizes)
            Z[near] = self._centres[draws[near] % count] + sizes[near, np.newaxis] * Z[near]
            gates = self._coordinates.gates(Z)
        self._drawn += len(gates)
        return Draws(_core.sign_patterns(self._X, gates), gates, len(gates))

    def _distances(self, most: int) -> FloatArray:
        """For each direction the distances of the nearest hyperplanes, and then infinity."""
        nearest = np.empty((len(self._centres), 0))
        used = nonzero_rows(self._X)
        for part in row_blocks(len(self._X), max(self._X.shape[1], len(self._centres))):
            distances = self._coordinates.distances(part, self._centres)[used[part]]
            both = np.hstack([nearest, distances.T])
            both.sort(axis=1)
            # Repeated rows count once: the later ones go to the end.
            both[:, 1:][np.diff(both, axis=1) < _SAME] = np.inf
            nearest = np.sort(both, axis=1)[:, :most]
        nearest[~self._centres.any(axis=1)] = np.inf
        room = np.full((len(nearest), 1), np.inf)
        return np.hstack([nearest, room])
