"""Samplers against brute force in NumPy."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import pyconvexnn as cx
from pyconvexnn._typing import FloatArray
from tests import small_data
from tests.small_data import all_cells, bits_of, designs, gaussian, quiet_sample, sample
from tests.vertex_method import every_pattern

METHODS = ["gaussian", "sweep", "vertex", "uniform", "local"]


@pytest.mark.parametrize("coordinates", ["whitened", "raw"])
@pytest.mark.parametrize("name", designs())
def test_samples_are_distinct_patterns_of_their_gates(name: str, coordinates: str) -> None:
    X = designs()[name]
    ps = quiet_sample(X, 40, coordinates=coordinates)
    assert 1 <= len(ps) <= 40
    assert ps.gates is not None
    np.testing.assert_array_equal(bits_of(X, ps.gates), ps.to_dense())
    assert len(np.unique(ps.to_dense(), axis=0)) == len(ps)
    assert ps.to_dense()[:, X.any(axis=1)].any(axis=1).all()  # no pattern is zero
    if len(ps) < 40:
        return  # all cells, listed
    largest = np.abs(ps.gates).max(axis=1)
    assert ((largest >= 0.5) & (largest <= 1)).all()
    # Products of two 26-bit numbers: no entry depends on how a last bit was rounded.
    assert (np.ldexp(np.frexp(ps.gates)[0], 52) % 1 == 0).all()


@pytest.mark.parametrize("coordinates", ["whitened", "raw"])
def test_shorter_samples_are_prefixes(coordinates: str) -> None:
    X = gaussian(50, 4)
    long = cx.sample_patterns(X, 700, coordinates=coordinates)
    for n in (1, 100, 256, 300):
        short = cx.sample_patterns(X, n, coordinates=coordinates)
        assert short == long[:n]
        np.testing.assert_array_equal(short.gates, long[:n].gates)


def test_seeds() -> None:
    X = gaussian(50, 4)
    zero = cx.sample_patterns(X, 20)
    assert cx.sample_patterns(X, 20, seed=0) == zero
    assert cx.sample_patterns(X, 20, seed=np.random.default_rng(0)) == zero
    assert cx.sample_patterns(X, 20, seed=1) != zero
    assert cx.sample_patterns(X, 20, seed=None) != cx.sample_patterns(X, 20, seed=None)
    rng = np.random.default_rng(0)
    first, second = (cx.sample_patterns(X, 20, seed=rng) for _ in range(2))
    assert first == zero
    assert second != zero
    state = np.random.get_state()[1].copy()  # type: ignore[index]  # noqa: NPY002
    cx.sample_patterns(X, 20)
    assert (state == np.random.get_state()[1]).all()  # type: ignore[index]  # noqa: NPY002


def test_raw_gates_are_the_standard_normals_of_the_seed() -> None:
    X = gaussian(50, 4)
    Z = np.random.default_rng(3).standard_normal((256, 4))
    _, first = np.unique(bits_of(X, Z), axis=0, return_index=True)
    kept = np.sort(first)[:30]
    ps = cx.sample_patterns(X, 30, coordinates="raw", seed=3)
    assert ps.gates is not None
    ratio = ps.gates / Z[kept]
    np.testing.assert_allclose(ratio, ratio[:, :1] * np.ones((1, 4)), atol=1e-5)


def test_whitened_gates_are_the_symmetric_root_of_the_gram_matrix() -> None:
    X = gaussian(50, 4) @ gaussian(4, 4, seed=2) * [1.0, 30.0, 1e-3, 1.0] + [0, 0, 0, 5.0]
    norms = np.linalg.norm(X, axis=0)
    values, vectors = np.linalg.eigh((X / norms).T @ (X / norms))
    root = vectors / np.sqrt(values) @ vectors.T
    Z = np.random.default_rng(0).standard_normal((256, 4))
    gates = Z @ root / norms
    _, first = np.unique(bits_of(X, gates), axis=0, return_index=True)
    expected = gates[np.sort(first)][:30]
    ps = cx.sample_patterns(X, 30)
    assert ps.gates is not None
    scale = np.abs(expected).max(axis=1, keepdims=True) / np.abs(ps.gates).max(
        axis=1, keepdims=True
    )
    assert np.abs(ps.gates * scale * norms - expected * norms).max() < 1e-5


def test_whitened_gates_are_uniform_in_the_column_space() -> None:
    X = gaussian(300, 4) @ np.triu(gaussian(4, 4, seed=2)) * [1.0, 1e5, 1e-5, 1.0]
    R = np.linalg.qr(X)[1]
    for coordinates, uniform in [("whitened", True), ("raw", False)]:
        ps = quiet_sample(X, 1500, coordinates=coordinates)
        assert ps.gates is not None
        directions = ps.gates @ R.T
        directions /= np.linalg.norm(directions, axis=1, keepdims=True)
        moment = directions.T @ directions / len(ps)
        assert (np.abs(moment - np.eye(4) / 4).max() < 0.03) == uniform


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(-90, 90), min_size=4, max_size=4))
def test_whitened_patterns_do_not_depend_on_powers_of_two_in_columns(powers: list[int]) -> None:
    X = gaussian(60, 4)
    scaled = X * 2.0 ** np.array(powers)
    ps, other = cx.sample_patterns(X, 80), cx.sample_patterns(scaled, 80)
    assert ps == other
    assert other.gates is not None
    np.testing.assert_array_equal(bits_of(scaled, other.gates), ps.to_dense())


@settings(max_examples=20, deadline=None)
@given(st.lists(st.floats(1e-6, 1e6), min_size=4, max_size=4))
def test_whitened_patterns_hardly_depend_on_units(units: list[float]) -> None:
    X = gaussian(60, 4)
    ps, other = cx.sample_patterns(X, 80), cx.sample_patterns(X * units, 80)
    # Gates agree to 26 bits: a pattern differs only if its gate is that close to a hyperplane.
    assert (ps.packed != other.packed).any(axis=1)[ps.margins(X) > 1e-6].sum() == 0


def test_signs_and_last_bits_of_lapack_do_not_reach_the_patterns(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    X = gaussian(60, 5)
    expected = cx.sample_patterns(X, 500)
    svd, rng = np.linalg.svd, np.random.default_rng(0)

    def other_svd(A: FloatArray, **options: Any) -> tuple[FloatArray, FloatArray, FloatArray]:
        u, s, vt = svd(A, **options)
        vt = vt * rng.choice([-1.0, 1.0], (len(vt), 1))
        return u, s * (1 + 1e-15), vt * (1 + 4e-16 * rng.standard_normal(vt.shape))

    monkeypatch.setattr(np.linalg, "svd", other_svd)
    other = cx.sample_patterns(X, 500)
    assert other == expected
    np.testing.assert_array_equal(other.gates, expected.gates)


def test_a_column_of_next_to_nothing_counts_as_zero() -> None:
    X = gaussian(20, 3) * [1e50, 1e-300, 1e40]
    ps = cx.sample_patterns(X, 20)
    assert ps.gates is not None
    assert not ps.gates[:, 1].any()
    assert ps.gates[:, [0, 2]].all()
    assert ps == cx.sample_patterns(X * [1, 0, 1], 20)


@pytest.mark.parametrize("method", METHODS)
def test_all_cells_are_listed_where_there_are_no_more(method: str) -> None:
    X = gaussian(6, 2)
    X[:, 0] = np.abs(X[:, 0])  # all rows on one side: the all-zero pattern is a cell
    cells = all_cells(X)
    assert len(cells) == 12
    assert bytes(6) in cells
    for n_patterns in (12, 1000, 10**15):
        with pytest.warns(
            UserWarning, match=f"found 11 .*all that these data have.* was {n_patterns}"
        ) as caught:
            ps = sample(X, n_patterns, method)
        assert caught[0].filename == small_data.__file__
        assert {bits.tobytes() for bits in ps.to_dense()} == cells - {bytes(6)}
        assert ps.is_complete is False
        assert ps.gates is not None
        np.testing.assert_array_equal(bits_of(X, ps.gates), ps.to_dense())
    assert len(sample(X, 11, method)) == 11


def test_few_cells_of_many_rows_are_listed() -> None:
    # n rows in one dimension have two cells, whose patterns are 1 and 0 here.
    for row in ([[1.0]], [[1.0, 3.0, 7.0]]):
        X = np.array([[1.0], [2.0], [5.0]]) * row
        with pytest.warns(UserWarning, match="found 1 distinct patterns, which are all"):
            ps = cx.sample_patterns(X, 10**15)
        assert ps.to_dense().tolist() == [[True] * 3]
    # In four dimensions with three rows: all 8 sign vectors but zero.
    with pytest.warns(UserWarning, match="found 7 distinct patterns, which are all"):
        assert len(cx.sample_patterns(gaussian(3, 4), 10**15)) == 7
    assert len(cx.sample_patterns(gaussian(3, 4), 7)) == 7
    # Four cells, however often the two rows are repeated; (0, 0) is left out.
    with pytest.warns(UserWarning, match="found 3 distinct patterns, which are all"):
        assert len(cx.sample_patterns(np.tile(np.eye(2), (10_000, 1)), 4)) == 3


def test_fewer_cells_than_their_bound_are_seen_to_be_all() -> None:
    X = designs()["hypercube"][:, [0, 1, 3]][::2]  # four corners: 14 cells, at most 14
    X = np.vstack([X, X[:1] + X[1:2]])  # five rows, degenerate
    n_cells = len(every_pattern(X))
    assert n_cells < cx.count_patterns(5, 3) - 1
    for method in METHODS:
        with pytest.warns(UserWarning, match=f"found {n_cells} distinct patterns, which are all"):
            ps = sample(X, n_cells + 1, method)
        assert ps.fingerprint == every_pattern(X).fingerprint


def test_the_search_ends_after_200_draws_for_each_pattern() -> None:
    # Two wide cells, one of them all zero, and many thin ones in raw coordinates.
    X = np.c_[1990.0 + np.arange(200), np.ones(200)]
    with pytest.warns(
        UserWarning, match=r"found 1 distinct patterns in 6144 draws, `n_patterns` was 30"
    ) as caught:
        ps = cx.sample_patterns(X, 30, coordinates="raw")
    assert caught[0].filename == __file__
    assert len(ps) == 1
    assert getattr(ps.packed.base, "nbytes", 0) == ps.packed.nbytes  # room for 30 is not kept
    assert not ps.packed.flags.writeable


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", designs())
def test_every_method_gives_distinct_cells_with_gates(name: str, method: str) -> None:
    X = designs()[name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        ps = sample(X, 40, method)
        again = sample(X, 40, method)
    assert ps == again
    assert ps.gates is not None
    np.testing.assert_array_equal(bits_of(X, ps.gates), ps.to_dense())
    # Strictly inside: the opposite gate has the opposite pattern.
    nonzero = X.any(axis=1)
    np.testing.assert_array_equal(bits_of(X, -ps.gates)[:, nonzero], ~ps.to_dense()[:, nonzero])
    assert len(np.unique(ps.to_dense(), axis=0)) == len(ps)
    assert ps.to_dense()[:, nonzero].any(axis=1).all()
    assert ps.to_dense()[:, ~nonzero].all()
    if len(ps) < 40 and name not in ("units", "intercept far away"):
        assert len(ps) == len(every_pattern(X))


@pytest.mark.parametrize("method", METHODS)
def test_shorter_samples_of_every_method_are_prefixes(method: str) -> None:
    X = gaussian(50, 4)
    long = sample(X, 700, method)
    assert len(long) == 700
    for n in (1, 100, 256, 300):
        short = sample(X, n, method)
        assert short == long[:n]
        np.testing.assert_array_equal(short.gates, long[:n].gates)
    assert sample(X, 300, method, seed=1) != long[:300]


def test_zero_rows_in_samples() -> None:
    X = np.array([[1.0], [0.0]])
    assert quiet_sample(X, 9).to_dense().tolist() == [[True, True]]  # and not [False, True]
    assert quiet_sample(np.zeros((3, 2)), 9).to_dense().tolist() == [[True, True, True]]
    X = gaussian(20, 3)
    X[4] = 0
    assert cx.sample_patterns(X, 30).complement().to_dense()[:, 4].all()


def test_kinds_of_input() -> None:
    X = np.round(8 * gaussian(30, 3))
    expected = cx.sample_patterns(X, 50)
    strided = np.zeros((60, 6))
    strided[::2, 1::2] = X
    for other in (
        X.astype(int),
        X.astype(np.float32),
        X.tolist(),
        np.asfortranarray(X),
        strided[::2, 1::2],
    ):
        assert cx.sample_patterns(other, np.int64(50)) == expected  # type: ignore[arg-type]


def test_patterns_are_the_same_on_every_machine() -> None:
    X = (np.arange(90).reshape(30, 3) * 37 % 101 - 50.0) / 8
    raw = cx.sample_patterns(X, 100, coordinates="raw").fingerprint
    whitened = cx.sample_patterns(X, 100).fingerprint
    assert raw[:16] == "cc6bb94e3dcf877a"
    assert whitened[:16] == "d70ec516ffd2ea97"


@pytest.mark.parametrize(
    ("options", "kind", "message"),
    [
        ({"n_patterns": 0}, ValueError, "`n_patterns` must be >= 1, got 0"),
        ({"n_patterns": 2.0}, TypeError, "`n_patterns` must be an integer, got 2.0"),
        ({"n_patterns": True}, TypeError, "`n_patterns` must be an integer, got True"),
        ({"method": "sobol"}, ValueError, "`method` must be one of gaussian, .*got 'sobol'"),
        ({"method": "local"}, ValueError, "`around` must be an array of directions .*got None"),
        (
            {"method": "local", "around": [[1.0, 0.0], [0.0, 0.0]]},
            ValueError,
            "`around` must not have a row of zeros, got one in row 1",
        ),
        ({"method": "local", "around": [[1.0]]}, ValueError, "`around` must have 2 columns"),
        ({"method": "sweep", "around": [[1.0, 2.0]]}, ValueError, "None for method 'sweep'"),
        (
            {"X": gaussian(200, 64), "method": "uniform"},
            ValueError,
            "`X` must have rank at most 63 for method 'uniform', got 64",
        ),
        ({"method": None}, ValueError, "`method` must be one of gaussian, .*got None"),
        ({"coordinates": "polar"}, ValueError, "`coordinates` must be one of whitened, raw"),
        ({"around": [[1.0]]}, ValueError, r"`around` must be None for .*, got \[\[1.0\]\]"),
        ({"seed": -1}, ValueError, "`seed` must be >= 0, got -1"),
        ({"seed": "a"}, TypeError, "`seed` must be an integer, got 'a'"),
        ({"X": [1.0, 2.0]}, ValueError, r"`X` must have 2 dimensions, got shape \(2,\)"),
        ({"X": np.ones((0, 3))}, ValueError, "`X` must have at least one row and one column"),
        ({"X": np.ones((3, 0))}, ValueError, "`X` must have at least one row and one column"),
        ({"X": [[np.inf]]}, ValueError, "`X` must be finite, got infinity"),
        ({"X": [[np.nan]]}, ValueError, "`X` must be finite, got NaN"),
        ({"X": [["a"]]}, TypeError, "`X` must hold real numbers"),
        ({"X": [[1j]]}, TypeError, "`X` must hold real numbers"),
        ({"X": [[1e300]]}, ValueError, "`X` must have its largest entry between"),
        ({"X": gaussian(3, 2)[[0]][:, [0, 0]] * 0 + np.ma.masked}, (TypeError, ValueError), "`X`"),
        (
            {"X": gaussian(200, 20), "n_patterns": 10**15},
            MemoryError,
            "1000000000000000 patterns with their gates take 192000000000000000 bytes",
        ),
        ({"X": gaussian(200, 100), "n_patterns": 10**30}, MemoryError, "smaller `n_patterns`"),
    ],
)
def test_wrong_arguments_of_samplers(
    options: dict[str, Any], kind: type[Exception], message: str
) -> None:
    with pytest.raises(kind, match=message):
        cx.sample_patterns(**{"X": gaussian(5, 2), "n_patterns": 3, **options})
