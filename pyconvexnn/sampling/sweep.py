"""Great circles: cells weighted by their mean widths."""

from __future__ import annotations

import numpy as np

from pyconvexnn import _core
from pyconvexnn._bits import nonzero_rows
from pyconvexnn._blocks import BLOCK_ENTRIES, row_blocks
from pyconvexnn._typing import FloatArray
from pyconvexnn.sampling.coordinates import Coordinates
from pyconvexnn.sampling.draws import Draws

_CIRCLES = 16  # of one batch of draws; part of what a seed means
_CELLS = 16  # taken from each of them
_LEAST_ARC = 1e-9  # crossings closer than this are those of one hyperplane, or rounding


class Sweep:
    """Draws great circles, each through two Gaussian points, and some of the cells they cross."""

    def __init__(self, X: FloatArray, coordinates: Coordinates, rng: np.random.Generator) -> None:
        self._X, self._coordinates, self._rng = X, coordinates, rng
        self._used = nonzero_rows(X)

    def draw(self) -> Draws:
        """Return the next draws."""
        Z = self._rng.standard_normal((_CIRCLES, 2, self._X.shape[1]))
        places = self._rng.random((_CIRCLES, _CELLS))
        step = max(1, BLOCK_ENTRIES // len(self._X))
        middles = np.concatenate(
            [
                self._middles(Z[start : start + step], places[start : start + step])
                for start in range(0, _CIRCLES, step)
            ]
        )
        points = np.cos(middles)[..., np.newaxis] * Z[:, :1]
        points += np.sin(middles)[..., np.newaxis] * Z[:, 1:]
        gates = self._coordinates.gates(points.reshape(_CIRCLES * _CELLS, -1))
        return Draws(_core.sign_patterns(self._X, gates), gates, len(gates))

    def _middles(self, Z: FloatArray, places: FloatArray) -> FloatArray:
        """Angles in the middle of arcs between crossings: which arcs, `places` in [0, 1) say."""
        D = self._coordinates.directions(Z.reshape(2 * len(Z), -1))
        products = np.empty((len(self._X), len(D)))
        for part in row_blocks(*self._X.shape):
            products[part] = self._X[part] @ D.T
        a, b = products[self._used, ::2].T, products[self._used, 1::2].T
        # Row i is crossed where a_i cos t + b_i sin t = 0, and at t + pi.
        crossings = np.sort(np.arctan2(-a, b) % np.pi, axis=1)
        arcs = np.diff(crossings, axis=1, append=crossings[:, :1] + np.pi)
        middles = np.empty_like(places)
        for k, arc in enumerate(arcs):
            wide = np.flatnonzero(arc > _LEAST_ARC)
            chosen = (places[k] * (2 * len(wide))).astype(np.int64)
            first = wide[chosen // 2]
            middles[k] = crossings[k, first] + arc[first] / 2 + np.pi * (chosen % 2)
        return middles
