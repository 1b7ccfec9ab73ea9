"""Coordinates in which directions are drawn."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from pyconvexnn._bits import nonzero_rows
from pyconvexnn._gates import Whitened, round_rows, unit_rows
from pyconvexnn._typing import FloatArray


class Coordinates(Protocol):
    """A linear map from coordinates z to gates u, and the rows y with ``y . z = x . u``."""

    rank: int
    """How many coordinates count: the rank of the data, or a bound on it."""

    def gates(self, Z: FloatArray) -> FloatArray:
        """Gates of the rows of Z, rounded, their largest entries in [1/2, 1]."""

    def directions(self, Z: FloatArray) -> FloatArray:
        """Gates of the rows of Z, neither rounded nor scaled."""

    def coordinates(self, U: FloatArray) -> FloatArray:
        """Rows Z whose gates are the rows of U."""

    def distances(self, part: slice, Z: FloatArray) -> FloatArray:
        """``|y . z| / |y|`` of some rows and all z, (part, len(Z)); 0 for zero rows."""


class Raw:
    """The coordinates of the data: ``u = z``."""

    def __init__(self, X: FloatArray) -> None:
        self._X = X
        self.rank = min(int(nonzero_rows(X).sum()), X.shape[1])

    def gates(self, Z: FloatArray) -> FloatArray:
        """Gates of the rows of Z, rounded."""
        return round_rows(Z)

    def directions(self, Z: FloatArray) -> FloatArray:
        """Return Z."""
        return Z

    def coordinates(self, U: FloatArray) -> FloatArray:
        """Return U."""
        return U

    def distances(self, part: slice, Z: FloatArray) -> FloatArray:
        """Sines of the angles between unit vectors z and the hyperplanes of some rows."""
        return np.asarray(np.abs(unit_rows(self._X[part]) @ Z.T))


def coordinates_of(X: FloatArray, name: str) -> Coordinates:
    """Coordinates of that name."""
    return Whitened(X) if name == "whitened" else Raw(X)
