"""Large arrays in pieces give what they give at once."""

from __future__ import annotations

import numpy as np
import pytest

import pyconvexnn as cx
from pyconvexnn import _blocks
from pyconvexnn._bits import nonzero_rows, zero_rows_of
from pyconvexnn._blocks import row_blocks
from pyconvexnn._gates import Whitened
from pyconvexnn._validation import as_matrix, as_vector
from tests.small_data import gaussian


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_blocks, "BLOCK_ENTRIES", 40)


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize(("n", "d", "least"), [(1, 1, 1), (7, 3, 1), (100, 4, 1), (9, 90, 3)])
def test_blocks_cover_every_row_once(n: int, d: int, least: int) -> None:
    parts = list(row_blocks(n, d, least=least))
    assert [k for part in parts for k in range(n)[part]] == list(range(n))
    assert all(part.stop - part.start >= min(least, n) for part in parts[:-1])
    assert all((part.stop - part.start) * d <= max(40, least * d) for part in parts)


@pytest.mark.usefixtures("small_blocks")
def test_checked_copies_in_pieces() -> None:
    X = gaussian(30, 7)
    for array in (X, np.asfortranarray(X), X.astype(np.float32), X[::-1, ::2]):
        checked = as_matrix(array)
        np.testing.assert_array_equal(checked, array)
        assert checked.flags.f_contiguous
        assert not checked.flags.writeable
        assert as_matrix(checked) is checked
    np.testing.assert_array_equal(as_vector(X[:, 3]), X[:, 3])
    for bad, word in ((np.nan, "NaN"), (-np.inf, "infinity"), (1e70, "1e\\+70")):
        X[29, 6] = bad
        with pytest.raises(ValueError, match=f"`X` must .* got {word}"):
            as_matrix(X)


@pytest.mark.usefixtures("small_blocks")
def test_zero_rows_in_pieces() -> None:
    X = np.asfortranarray(gaussian(130, 3))
    X[[0, 64, 129]] = 0
    assert np.flatnonzero(~nonzero_rows(X)).tolist() == [0, 64, 129]
    assert zero_rows_of(X).tolist() == [1, 1, 2]


def test_gates_do_not_depend_on_the_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    X = gaussian(300, 5) * [1.0, 1e8, 1.0, 1e-9, 1.0]
    methods = ["gaussian", "sweep", "vertex"]
    expected = [cx.sample_patterns(X, 300, method=method) for method in methods]
    whitened = Whitened(np.asfortranarray(X))
    Z = gaussian(4, 5)
    monkeypatch.setattr(_blocks, "BLOCK_ENTRIES", 70)
    for method, ps in zip(methods, expected, strict=True):
        assert cx.sample_patterns(X, 300, method=method) == ps
    pieces = Whitened(np.asfortranarray(X))
    np.testing.assert_array_equal(pieces.gates(Z), whitened.gates(Z))
    np.testing.assert_allclose(pieces.rows() @ pieces.rows().T, whitened.rows() @ whitened.rows().T)


def test_whitened_coordinates_and_directions_are_inverse() -> None:
    X = np.asfortranarray(gaussian(40, 4) * [1.0, 1e5, 1e-5, 3.0])
    whitened = Whitened(X)
    Z = gaussian(6, 4)
    U = whitened.directions(Z)
    np.testing.assert_allclose(whitened.coordinates(U), Z, rtol=1e-9)
    np.testing.assert_allclose((X @ U.T) ** 2 @ np.ones(6), np.sum((X @ U.T) ** 2, axis=1))
    np.testing.assert_allclose(np.sum((X @ U.T) ** 2, axis=0), np.sum(Z**2, axis=1), rtol=1e-9)
    distances = whitened.distances(slice(3, 9), Z)
    rows = whitened.rows()[3:9]
    sizes = np.linalg.norm(rows, axis=1, keepdims=True)
    np.testing.assert_allclose(distances, np.abs(X[3:9] @ U.T) / sizes, rtol=1e-8)
