"""Polygons of cells: areas are angles, neighbours touch, nothing overlaps."""

from __future__ import annotations

import numpy as np
import pytest

from pyconvexnn._cell_polygons import Hemispheres, sector, shares
from pyconvexnn._typing import FloatArray


def area(polygon: FloatArray) -> float:
    x, y = polygon.T
    return abs(float(x @ np.roll(y, -1) - y @ np.roll(x, -1))) / 2


@pytest.mark.parametrize("degrees", [1e-7, 0.5, 45, 90, 179, 180])
@pytest.mark.parametrize("turn", [0.0, 1.0, 3.0, 6.0])
def test_sectors_lie_between_their_lines(degrees: float, turn: float) -> None:
    sweep = np.radians(degrees)
    ends = turn + np.array([0.0, sweep])
    normals = np.array([[-np.sin(ends[0]), np.cos(ends[0])], [np.sin(ends[1]), -np.cos(ends[1])]])
    if degrees == 180:
        normals = normals[:1]
    for order in (normals, normals[::-1]):
        polygon = sector(order)
        assert (polygon @ normals.T >= -1e-12).all()
        assert np.hypot(*polygon.T).max() == pytest.approx(1.0)
        assert area(polygon) == pytest.approx(sweep / 2, rel=1e-3)


def test_places_are_equal_area() -> None:
    rng = np.random.default_rng(0)
    points = rng.standard_normal((100_000, 3))
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    pole = np.array([2.0, -1.0, 2.0]) / 3
    points = points[points @ pole > 0]
    places = Hemispheres(pole).places(points, True)
    radius = np.hypot(*(places - [-1.1, 0.0]).T)
    assert radius.max() <= 1.0 + 1e-12
    for share in (0.1, 0.5, 0.9):
        assert np.mean(radius**2 < share) == pytest.approx(share, abs=0.01)
    centre = Hemispheres(pole).places(pole[np.newaxis], True)
    np.testing.assert_allclose(centre, [[-1.1, 0.0]], atol=1e-12)


def test_axes_of_a_disc_are_those_of_space_where_they_can_be() -> None:
    chart = Hemispheres(np.array([0.0, 0.0, 1.0]))
    places = chart.places(np.eye(3)[:2], True) - [-1.1, 0.0]
    np.testing.assert_allclose(places, np.eye(2), atol=1e-12)
    np.testing.assert_allclose(chart.places(-np.eye(3)[:1], False), [[0.1, 0.0]], atol=1e-12)


def solid_angle(rays: FloatArray) -> float:
    """Of a triangular cone (Van Oosterom and Strackee)."""
    a, b, c = rays
    top = abs(float(np.linalg.det(rays)))
    return float(2 * np.arctan2(top, 1 + a @ b + b @ c + c @ a))


@pytest.mark.parametrize("seed", range(20))
def test_areas_of_triangles_are_solid_angles(seed: int) -> None:
    rng = np.random.default_rng(seed)
    normals = rng.standard_normal((3, 3)) * [1.0, 1.0, 10.0 ** -(seed % 4)]
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    rays = np.asarray(
        np.linalg.inv(normals).T, np.float64
    )  # n_j . v_k = 0 for j != k, > 0 for j = k
    rays /= np.linalg.norm(rays, axis=1, keepdims=True)
    for order in ([0, 1, 2], [2, 1, 0]):
        polygon = Hemispheres(normals[0]).polygon(normals[order], True)
        # The disc has the area pi, the hemisphere 2 pi; edges are drawn in steps of 3 degrees.
        assert 2 * area(polygon) == pytest.approx(solid_angle(rays), rel=0.01, abs=2e-3)


def test_half_spheres_and_lunes() -> None:
    chart = Hemispheres(np.array([0.0, 0.0, 1.0]))
    assert area(chart.polygon(np.eye(3)[2:], True)) == pytest.approx(np.pi, rel=3e-3)
    for tilt in (0.01, 1.0, 3.1):
        normals = np.array([[0.0, 0.0, 1.0], [np.sin(tilt), 0.0, np.cos(tilt)]])
        for order in (normals, normals[::-1]):
            found = area(chart.polygon(order, True))
            assert found == pytest.approx(np.pi - tilt, rel=3e-3)


def test_points_on_boundaries_belong_to_the_cells_in_equal_parts() -> None:
    rows = np.eye(2)
    signs = np.array([[1, 1], [1, 0], [0, 0], [0, 1]], bool)
    points = np.array([[0.6, 0.8], [1.0, 1e-17], [0.0, -1.0], [-0.8, 0.6]])
    expected = [[1, 0.5, 0, 0], [0, 0.5, 0.5, 0], [0, 0, 0.5, 0], [0, 0, 0, 1]]
    np.testing.assert_array_equal(shares(signs, rows, points), expected)
    assert shares(signs, rows, points[:0]).shape == (4, 0)
