"""Cells of two or three dimensions as polygons in discs of radius 1 whose areas are angles."""

from __future__ import annotations

import math

import numpy as np

from pyconvexnn._typing import BoolArray, FloatArray

_STEP = math.radians(3.0)  # between two points of a curved edge
_ON = 1e-9  # |row . point| of unit vectors that counts as zero
_APART = 1.1  # distance of the centres of two discs from the middle


def sector(normals: FloatArray) -> FloatArray:
    """Sector of the unit disc ``{u : n . u >= 0}`` for one or two different normals n, (v, 2)."""
    a, b = normals[0], normals[-1]
    cross = a[0] * b[1] - a[1] * b[0]
    first = b if cross > 0 else a
    sweep = math.pi - abs(math.atan2(cross, a @ b))
    start = math.atan2(-first[0], first[1])
    angles = start + np.linspace(0.0, sweep, _points(sweep))
    return np.vstack([np.zeros(2), np.c_[np.cos(angles), np.sin(angles)]])


class Hemispheres:
    """Chart of the sphere: on either side of a plane, an equal-area disc (Lambert's azimuthal).

    Parameters
    ----------
    pole : (3,) float64
        Unit normal of the plane. The disc of the positive side is the left one.
    """

    def __init__(self, pole: FloatArray) -> None:
        self._pole = pole
        # Two axes at right angles to the pole, next to the first two of space where possible.
        axes = np.eye(3)[np.sort(np.argsort(np.abs(pole), kind="stable")[:2])]
        self._axes = np.linalg.qr(np.vstack([pole, axes]).T)[0][:, 1:].T
        self._axes *= np.sign(np.sum(self._axes * axes, axis=1, keepdims=True))

    def places(self, points: FloatArray, side: bool) -> FloatArray:
        """Places in the plane of unit vectors (v, 3) of one side."""
        height = np.abs(points @ self._pole)[:, np.newaxis]
        centre = [-_APART if side else _APART, 0.0]
        return np.asarray(points @ self._axes.T / np.sqrt(1.0 + height) + centre)

    def polygon(self, normals: FloatArray, side: bool) -> FloatArray:
        """Polygon of the cell that these inward unit normals of its facets cut out, (v, 2)."""
        return self.places(_boundary(normals), side)


def _boundary(normals: FloatArray) -> FloatArray:
    """Points along the boundary of a cell on the sphere, in turn, (v, 3)."""
    if len(normals) == 1:
        start = np.linalg.qr(np.c_[normals[0], np.eye(3)])[0][:, 1]
        return _arc(normals[0], start, 2 * math.pi)
    # The normals span the dual cone; seen from inside it they follow each other like the facets.
    axis = normals.sum(axis=0)
    first = np.cross(axis, normals[0])
    second = np.cross(axis, first)
    order = np.argsort(np.arctan2(normals @ second, normals @ first))
    normals = normals[order]
    ends = np.cross(normals, np.roll(normals, -1, axis=0))
    ends /= np.linalg.norm(ends, axis=1, keepdims=True)
    starts = np.roll(ends, 1, axis=0)
    lengths = np.arctan2(
        np.sum(normals * np.cross(starts, ends), axis=1), np.sum(starts * ends, axis=1)
    )
    return np.concatenate(
        [
            _arc(normal, start, abs(length))
            for normal, start, length in zip(normals, starts, lengths.tolist(), strict=True)
        ]
    )


def _arc(normal: FloatArray, start: FloatArray, length: float) -> FloatArray:
    """Points of a great circle from `start` on, to the left of which `normal` points; no end."""
    count = _points(length) - 1
    angles = length / count * np.arange(count)[:, np.newaxis]
    return np.asarray(np.cos(angles) * start + np.sin(angles) * np.cross(normal, start))


def _points(angle: float) -> int:
    """Number of points of an arc, both ends included."""
    return 1 + max(1, math.ceil(angle / _STEP))


def shares(signs: BoolArray, rows: FloatArray, points: FloatArray) -> FloatArray:
    """Part of each point that belongs to each cell, (n_cells, n_points); columns add up to one.

    A point on the boundary of several cells belongs to them in equal parts.

    Parameters
    ----------
    signs : (n_cells, n_rows) bool
        Sides of the hyperplanes ``row . u = 0``.
    rows : (n_rows, d) float64
        Of length 1.
    points : (n_points, d) float64
        Of length 1.
    """
    products = rows @ points.T
    products[np.abs(products) < _ON] = 0.0
    outside = signs @ np.maximum(-products, 0.0) + ~signs @ np.maximum(products, 0.0)
    inside = outside <= outside.min(axis=0) + _ON * _ON
    return np.asarray(inside / inside.sum(axis=0))
