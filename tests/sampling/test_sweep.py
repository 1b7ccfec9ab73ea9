"""Great circles against crossings found one by one."""

from __future__ import annotations

import numpy as np
import pytest

import pyconvexnn as cx
from pyconvexnn.sampling.coordinates import Coordinates, Raw, coordinates_of
from pyconvexnn.sampling.sweep import Sweep
from tests.small_data import bits_of, gaussian


@pytest.mark.parametrize("coordinates", ["raw", "whitened"])
def test_gates_lie_on_great_circles_in_the_middle_of_their_arcs(coordinates: str) -> None:
    X = np.asfortranarray(gaussian(30, 4) * [1.0, 3.0, 1.0, 0.1])
    drawn = Sweep(X, coordinates_of(X, coordinates), np.random.default_rng(5)).draw()
    assert drawn.gates is not None
    Z = np.random.default_rng(5).standard_normal((16, 2, 4))
    to_gate: Coordinates = coordinates_of(X, coordinates)
    for k in range(16):
        u, v = to_gate.directions(Z[k])
        for gate in drawn.gates[16 * k : 16 * (k + 1)]:
            parts, rest, *_ = np.linalg.lstsq(np.c_[u, v], gate, rcond=None)
            assert rest[0] < 1e-12 * (gate @ gate)  # in the plane of the circle
            # As far from the next crossing on one side as on the other.
            angle = np.arctan2(parts[1], parts[0])
            crossings = np.arctan2(-(X @ u), X @ v)
            ahead = (crossings - angle) % np.pi
            np.testing.assert_allclose(ahead.min(), np.pi - ahead.max(), atol=1e-6)


def test_cells_of_a_circle_are_equally_likely() -> None:
    # In the plane there is one circle: every cell, however thin, as often as another.
    X = np.asfortranarray(gaussian(10, 2))
    sampler = Sweep(X, Raw(X), np.random.default_rng(0))
    packed = np.concatenate([sampler.draw().packed for _ in range(40)])
    _, counts = np.unique(packed, axis=0, return_counts=True)
    assert len(counts) == 20
    expected = len(packed) / 20
    assert ((counts - expected) ** 2 / expected).sum() < 43.8  # 0.1 % of chi-square, 19 degrees


def test_repeated_rows_are_crossed_once() -> None:
    X = gaussian(20, 3)
    many = np.vstack([X, 3 * X, -0.7 * X])
    ps = cx.sample_patterns(many, 200, method="sweep", coordinates="raw")
    bits = ps.to_dense()
    assert (bits[:, :20] == bits[:, 20:40]).all()
    assert (bits[:, :20] != bits[:, 40:]).all()
    np.testing.assert_array_equal(bits_of(many, ps.gates), bits)


def test_sweep_meets_more_cells_than_gaussian_gates() -> None:
    X = gaussian(50, 3)
    counts = {}
    for method in ("gaussian", "sweep"):
        drawn = [cx.sample_patterns(X, 1, method=method, seed=seed) for seed in range(600)]
        counts[method] = len({ps.packed.tobytes() for ps in drawn})
    assert counts["sweep"] > 1.1 * counts["gaussian"]
    one = cx.sample_patterns(X, 5, method="sweep")
    np.testing.assert_array_equal(bits_of(X, one.gates), one.to_dense())
