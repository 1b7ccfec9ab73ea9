"""Gaussian gates: cells weighted by their solid angles."""

from __future__ import annotations

import numpy as np

from pyconvexnn import _core
from pyconvexnn._typing import FloatArray
from pyconvexnn.sampling.coordinates import Coordinates
from pyconvexnn.sampling.draws import BATCH, Draws


class Gaussian:
    """Draws standard normal z."""

    def __init__(self, X: FloatArray, coordinates: Coordinates, rng: np.random.Generator) -> None:
        self._X, self._coordinates, self._rng = X, coordinates, rng

    def draw(self) -> Draws:
        """Return the next draws."""
        Z = self._rng.standard_normal((BATCH, self._X.shape[1]))
        gates = self._coordinates.gates(Z)
        return Draws(_core.sign_patterns(self._X, gates), gates, BATCH)
