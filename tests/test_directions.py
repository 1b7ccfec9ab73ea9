"""Equal directions, against every pair."""

from __future__ import annotations

import numpy as np
import pytest

from pyconvexnn._directions import SAME, same_directions
from pyconvexnn._typing import FloatArray


def units(k: int, d: int, seed: int = 0) -> FloatArray:
    U = np.random.default_rng(seed).standard_normal((k, d))
    return np.asarray(U / np.linalg.norm(U, axis=1, keepdims=True))


@pytest.mark.parametrize("even", [False, True])
@pytest.mark.parametrize("d", [1, 2, 5])
def test_the_first_of_all_that_are_equal(d: int, even: bool) -> None:
    rng = np.random.default_rng(d)
    base = units(6, d)
    U = base[rng.integers(0, 6, 80)] * rng.choice([-1.0, 1.0], (80, 1))
    U = U + 1e-14 * rng.standard_normal(U.shape)
    expected = []
    for u in U:
        near = np.linalg.norm(U - u, axis=1) <= 1e-12
        if even:
            near |= np.linalg.norm(U + u, axis=1) <= 1e-12
        expected.append(int(np.argmax(near)))
    assert same_directions(U, even=even).tolist() == expected


def test_nearly_equal_is_not_equal() -> None:
    U = np.array([[1.0, 0.0], [1.0, 5 * SAME], [1.0, 0.5 * SAME], [-1.0, 0.0]])
    assert same_directions(U).tolist() == [0, 1, 0, 3]
    assert same_directions(U, even=True).tolist() == [0, 1, 0, 0]
    assert same_directions(U, same=1e-11).tolist() == [0, 0, 0, 3]


def test_nothing_and_zero_rows() -> None:
    assert same_directions(np.zeros((0, 3))).tolist() == []
    assert same_directions(np.zeros((3, 2))).tolist() == [0, 0, 0]


def test_many_rows_take_no_pairs() -> None:
    U = np.vstack([units(30_000, 20)] * 2)
    np.testing.assert_array_equal(same_directions(U), np.tile(np.arange(30_000), 2))
