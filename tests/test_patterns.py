"""Pattern sets and samplers against brute force in NumPy."""

from __future__ import annotations

import copy
import hashlib
import itertools
import pickle
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

import pyconvexnn as cx
from pyconvexnn import _npz, patterns
from pyconvexnn._typing import BoolArray, FloatArray

LENGTHS = [1, 2, 63, 64, 65, 128, 130]
DENSE = hnp.arrays(np.bool_, st.tuples(st.integers(1, 12), st.integers(1, 70)))


def gaussian(n: int, d: int, seed: int = 0) -> FloatArray:
    return np.random.default_rng(seed).standard_normal((n, d))


def bits_of(X: Any, G: Any) -> BoolArray:
    """Signs of X g with the features added in order, which no BLAS and no CPU changes."""
    total = np.zeros((len(G), len(X)))
    for x, g in zip(np.asarray(X, float).T, np.asarray(G, float).T, strict=True):
        total = total + np.outer(g, x)
    return np.asarray(total >= 0)


def random_dense(count: int, n: int, seed: int = 0) -> BoolArray:
    return np.random.default_rng(seed).random((count, n)) < 0.5


def all_cells(X: FloatArray) -> set[bytes]:
    """Cells of generic rows in the plane: one gate between any two neighbouring normals."""
    angles = np.sort(np.concatenate([np.arctan2(X[:, 0], -X[:, 1]) + k * np.pi for k in range(4)]))
    middle = (angles[1:] + angles[:-1]) / 2
    return {bits.tobytes() for bits in bits_of(X, np.c_[np.cos(middle), np.sin(middle)])}


def quiet_sample(*args: Any, **options: Any) -> cx.PatternSet:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return cx.sample_patterns(*args, **options)


# --- making one ---------------------------------------------------------------------------------


@pytest.mark.parametrize("n", LENGTHS)
def test_from_gates_has_the_bits_of_numpy(n: int) -> None:
    X, G = gaussian(n, 4), gaussian(7, 4, seed=1)
    ps = cx.PatternSet.from_gates(X, G)
    np.testing.assert_array_equal(ps.to_dense(), bits_of(X, G))
    np.testing.assert_array_equal(ps.gates, G)
    assert (len(ps), ps.n_samples) == (7, n)


@pytest.mark.parametrize("n", LENGTHS)
def test_row_k_is_bit_k_mod_64_of_word_k_div_64(n: int) -> None:
    dense = random_dense(5, n)
    packed = cx.PatternSet.from_dense(dense).packed
    assert packed.dtype == np.uint64
    assert packed.shape == (5, -(-n // 64))
    for row, words in zip(dense, packed, strict=True):
        number = sum(int(word) << (64 * w) for w, word in enumerate(words))
        assert number == sum(1 << k for k in range(n) if row[k])


@settings(max_examples=50, deadline=None)
@given(DENSE)
def test_from_dense_and_back(dense: BoolArray) -> None:
    ps = cx.PatternSet.from_dense(dense)
    np.testing.assert_array_equal(ps.to_dense(), dense, strict=True)
    assert ps.gates is None


def test_other_kinds_of_arrays_are_converted() -> None:
    X = np.arange(-6, 6).reshape(6, 2)
    G = [[1, -1], [0, 2], [-3, 1]]
    expected = cx.PatternSet.from_gates(X.astype(float), np.array(G, float))
    strided = np.zeros((12, 6))
    strided[::2, ::3] = X
    for other in (X, X.astype(np.float32), X.tolist(), np.asfortranarray(X), strided[::2, ::3]):
        ps = cx.PatternSet.from_gates(other, G)
        assert ps == expected
        assert ps.gates is not None
        assert ps.gates.dtype == np.float64
    for bits in (expected.to_dense().astype(int), expected.to_dense().astype(np.float32).tolist()):
        assert cx.PatternSet.from_dense(bits) == expected
    assert cx.PatternSet.from_dense(expected.to_dense()[:, ::2]) == expected.restrict([0, 2, 4])


def test_a_row_on_the_hyperplane_and_a_zero_row_have_the_bit_1() -> None:
    X = np.array([[1.0, 1.0], [0.0, 0.0], [1.0, -1.0]])
    ps = cx.PatternSet.from_gates(X, [[1, -1], [-1, 1]])
    assert ps.to_dense().tolist() == [[True, True, True], [True, True, False]]


def test_arrays_are_read_only_and_not_the_callers() -> None:
    X, G = gaussian(70, 3), gaussian(4, 3, seed=1)
    ps = cx.PatternSet.from_gates(X, G)
    expected = bits_of(X, G)
    X[:] = G[:] = 0
    np.testing.assert_array_equal(ps.to_dense(), expected)
    assert ps.packed is ps.packed
    for array in (ps.packed, ps.gates):
        assert array is not None
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0
    mine = ps.packed.copy()
    other = cx.PatternSet(mine, 70)
    mine[:] = 0
    assert other == ps


WRONG: list[tuple[Any, type[Exception], str]] = [
    (lambda ps, _: cx.PatternSet(ps.packed, 129), ValueError, r"`packed` must have shape \(any, 3"),
    (lambda ps, _: cx.PatternSet(ps.packed, 60), ValueError, r"`packed` must have shape \(any, 1"),
    (lambda ps, _: cx.PatternSet(~ps.packed, 70), ValueError, "`packed` must have no bit set bey"),
    (lambda ps, _: cx.PatternSet(ps.packed, 0), ValueError, "`n_samples` must be >= 1, got 0"),
    (lambda ps, _: cx.PatternSet(ps.packed.astype(int), 70), TypeError, "must be a uint64 array"),
    (lambda ps, _: cx.PatternSet(ps.packed[0], 70), ValueError, r"must have shape \(any, 2\), got"),
    (lambda _, X: cx.PatternSet(X.tolist(), 70), TypeError, "`packed` must be a uint64 array, got"),
    (
        lambda ps, X: cx.PatternSet(ps.packed, 70, X),
        ValueError,
        r"`gates` must have shape \(4, any",
    ),
    (
        lambda ps, _: cx.PatternSet(ps.packed, 70, zero_rows=~ps.packed[0]),
        ValueError,
        "`zero_rows` must have no bit set beyond the last sample",
    ),
    (
        lambda *_: cx.PatternSet.from_dense([[0, 2]]),
        ValueError,
        "`patterns` must hold only 0 and 1",
    ),
    (lambda *_: cx.PatternSet.from_dense([0, 1]), ValueError, "`patterns` must have 2 dimensions"),
    (lambda *_: cx.PatternSet.from_dense([[], []]), ValueError, "must have at least one column"),
    (lambda *_: cx.PatternSet.from_dense([["a"]]), TypeError, "`patterns` must hold real numbers"),
    (lambda _, X: cx.PatternSet.from_gates(X, X[:, :2]), ValueError, "`G` must have 3 columns"),
    (lambda _, X: cx.PatternSet.from_gates(X, X[0]), ValueError, "`G` must have 2 dimensions"),
    (lambda _, X: cx.PatternSet.from_gates(X * np.nan, X), ValueError, "`X` must be finite, got N"),
    (lambda _, X: cx.PatternSet.from_gates(X, X * np.inf), ValueError, "`G` must be finite, got i"),
    (lambda _, X: cx.PatternSet.from_gates(X[:0], X), ValueError, "`X` must have at least one row"),
    (lambda _, X: cx.PatternSet.from_gates(X, X * 1j), TypeError, "`G` must hold real numbers"),
    (lambda ps, X: ps.margins(X[:9]), ValueError, r"`X` must have 70 rows, got shape \(9, 3\)"),
    (lambda ps, X: ps.margins(X[:, :2]), ValueError, "`X` must be the data of the patterns"),
    (lambda ps, X: ps.margins(-X), ValueError, "`X` must be the data of the patterns"),
    (
        lambda ps, X: cx.PatternSet(ps.packed, 70).margins(X),
        ValueError,
        "the pattern set must have gates, got none",
    ),
    (lambda ps, X: ps.realise(X[:9]), ValueError, "`X` must have 70 rows"),
    (lambda ps, _: ps.restrict([]), ValueError, "`rows` must select at least one row"),
    (lambda ps, _: ps.restrict([70]), IndexError, "70 is out of bounds"),
    (lambda ps, _: ps.restrict([[1]]), IndexError, "`rows` must select rows along one axis"),
    (lambda ps, _: ps.restrict(np.ones(3, bool)), IndexError, "boolean"),
    (lambda ps, _: ps[4], IndexError, "index 4 is out of bounds"),
    (lambda ps, _: ps[-5], IndexError, "index -5 is out of bounds"),
    (lambda ps, _: ps[0, 1], IndexError, r"a pattern set has one axis, got the index \(0, 1\)"),
    (lambda ps, _: ps[None], IndexError, "a pattern set has one axis, got the index None"),
    (lambda ps, _: ps[True], IndexError, "a pattern set has one axis, got the index True"),
    (lambda ps, _: ps[0.5], IndexError, "only integers"),
    (lambda ps, _: [True] in ps, ValueError, "`pattern_bits` must have 70 entries, got 1"),
    (lambda ps, _: [[1, 2], [3]] in ps, ValueError, "`pattern_bits` must be a rectangular array"),
    (lambda ps, X: X[:, 0] in ps, ValueError, "`pattern_bits` must hold only 0 and 1"),
    (
        lambda ps, _: ps | ps.restrict(range(60)),
        ValueError,
        "must have the same number of samples, got 70 and 60",
    ),
    (
        lambda ps, X: ps | cx.PatternSet.from_gates(X[:, :2], X[:, :2]),
        ValueError,
        "must have the same number of features, got 3 and 2",
    ),
    (lambda ps, _: ps | 3, TypeError, "unsupported operand"),
    (lambda ps, _: ps.save(3), TypeError, "`path` must be a string or a path, got 3"),
]


@pytest.mark.parametrize("case", range(len(WRONG)))
def test_wrong_arguments(case: int) -> None:
    call, kind, message = WRONG[case]
    X = gaussian(70, 3)
    ps = cx.PatternSet.from_gates(X, gaussian(4, 3, seed=1))
    with pytest.raises(kind, match=message):
        call(ps, X)


# --- as a container -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "index",
    [
        slice(1, 4),
        slice(None, None, -2),
        [4, 0, 0, -1],
        np.array([], int),
        np.array([True, False, True, True, False, False]),
        ...,
    ],
    ids=str,
)
def test_indexing_is_numpys(index: Any) -> None:
    X, G = gaussian(70, 3), gaussian(6, 3, seed=1)
    part = cx.PatternSet.from_gates(X, G)[index]
    np.testing.assert_array_equal(part.to_dense(), bits_of(X, G)[index])
    np.testing.assert_array_equal(part.gates, G[index])


def test_an_integer_selects_a_set_of_one() -> None:
    X, G = gaussian(70, 3), gaussian(6, 3, seed=1)
    ps = cx.PatternSet.from_gates(X, G)
    indices: list[Any] = [0, 5, -1, np.int64(2), np.array(3)]
    for i in indices:
        np.testing.assert_array_equal(ps[i].to_dense(), bits_of(X, G)[[i]])
        np.testing.assert_array_equal(ps[i].gates, G[[i]])
    assert [one.to_dense()[0].tolist() for one in ps] == ps.to_dense().tolist()


def test_slices_share_memory() -> None:
    ps = cx.PatternSet.from_dense(random_dense(6, 70))
    assert np.shares_memory(ps[2:5].packed, ps.packed)


@pytest.mark.parametrize("n", LENGTHS)
def test_contains(n: int) -> None:
    dense = np.ones((3, n), bool)
    dense[1, 0] = dense[2, -1] = False
    ps = cx.PatternSet.from_dense(dense)
    for row, words in zip(dense, ps.packed, strict=True):
        assert row in ps
        assert row.tolist() in ps
        assert row.astype(np.uint64) in ps
        assert words in ps
    assert dense[0] not in ps[[1, 2]]
    assert ps.packed[0] not in ps[[1, 2]]
    assert dense[0] not in ps[[]]


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 3), st.data())
def test_union_keeps_the_order_and_drops_what_is_there(n: int, data: st.DataObject) -> None:
    some = hnp.arrays(np.bool_, st.tuples(st.integers(0, 8), st.just(n)))
    left, right = data.draw(some), data.draw(some)
    expected = left.tolist()
    for row in right.tolist():
        if row not in expected:
            expected.append(row)
    union = cx.PatternSet.from_dense(left) | cx.PatternSet.from_dense(right)
    assert union.to_dense().tolist() == expected


def test_union_of_gates() -> None:
    X, G = gaussian(70, 3), gaussian(6, 3, seed=1)
    left, right = cx.PatternSet.from_gates(X, G[:4]), cx.PatternSet.from_gates(X, G[2:])
    union = left | right
    np.testing.assert_array_equal(union.gates, G)
    np.testing.assert_array_equal(union.complement().gates, -G)
    assert (left | cx.PatternSet.from_dense(right.to_dense())).gates is None


def test_a_union_knows_what_either_side_knows() -> None:
    X = np.array([[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]])
    dense = cx.PatternSet.from_dense([[1, 0, 1]])
    strict, tied = (cx.PatternSet.from_gates(X, [gate]) for gate in ([1.0, 2.0], [1.0, 0.0]))
    for union in (dense | strict, strict | dense):
        assert union.complement().to_dense()[:, 2].all()
    for union in (strict | tied, tied | strict):
        assert union.gates is not None
        assert union.complement().gates is None


def test_equality_is_of_patterns_in_order() -> None:
    X, G = gaussian(70, 3), gaussian(3, 3, seed=1)
    ps = cx.PatternSet.from_gates(X, G)
    same = cx.PatternSet.from_gates(2 * X, 3 * G)
    assert ps == same
    assert hash(ps) == hash(same)
    assert len({ps, same, ps[::-1]}) == 2
    assert ps != ps[::-1]
    assert ps != ps[:2]
    assert ps != ps.to_dense().tolist()
    one, two = cx.PatternSet.from_dense([[1]]), cx.PatternSet.from_dense([[1, 0]])
    assert np.array_equal(one.packed, two.packed)
    assert one != two


def test_fingerprint_is_of_the_set() -> None:
    dense = random_dense(20, 130)
    ps = cx.PatternSet.from_dense(dense)
    numbers = sorted({tuple(int(w) for w in words) for words in ps.packed})
    text = b"".join(word.to_bytes(8, "big") for words in numbers for word in words)
    assert ps.fingerprint == hashlib.sha256(b"130:" + text).hexdigest()
    shuffled = np.random.default_rng(0).permutation(np.r_[0:20, 0:5])
    assert ps[shuffled].fingerprint == ps.fingerprint
    assert ps[1:].fingerprint != ps.fingerprint
    one, two = cx.PatternSet.from_dense([[1]]), cx.PatternSet.from_dense([[1, 0]])
    assert one.fingerprint != two.fingerprint


@settings(max_examples=50, deadline=None)
@given(DENSE, st.data())
def test_restrict_selects_columns(dense: BoolArray, data: st.DataObject) -> None:
    n = dense.shape[1]
    rows = data.draw(st.lists(st.integers(-n, n - 1), min_size=1, max_size=130))
    part = cx.PatternSet.from_dense(dense).restrict(rows)
    np.testing.assert_array_equal(part.to_dense(), dense[:, rows])


@pytest.mark.parametrize("entries", [10, 200])  # one pattern at a time; three, then two
def test_restrict_takes_what_selects_rows_and_works_in_blocks(
    entries: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patterns, "_BLOCK_ENTRIES", entries)
    X, G = gaussian(70, 3), gaussian(8, 3, seed=1)
    X[2] = 0
    ps = cx.PatternSet.from_gates(X, G)
    for rows in (slice(2, 66, 3), np.arange(70) % 3 == 2, np.array([2, 2, 1]), [5], range(70)):
        part = ps.restrict(rows)  # type: ignore[arg-type]
        X_part = X[rows]
        assert part == cx.PatternSet.from_gates(X_part, G)
        np.testing.assert_array_equal(part.gates, G)
        np.testing.assert_array_equal(  # zero rows are still known
            part.complement().to_dense(), ~part.to_dense() | ~X_part.any(axis=1)
        )


# --- complements, margins -----------------------------------------------------------------------


@pytest.mark.parametrize("n", LENGTHS)
def test_complement_flips_all_bits_but_those_of_zero_rows(n: int) -> None:
    X, G = gaussian(n, 3), gaussian(5, 3, seed=1)
    X[n // 2] = 0
    ps = cx.PatternSet.from_gates(X, G)
    opposite = ps.complement()
    np.testing.assert_array_equal(opposite.to_dense(), ~ps.to_dense() | ~X.any(axis=1))
    np.testing.assert_array_equal(opposite.gates, -G)
    np.testing.assert_array_equal(opposite.to_dense(), bits_of(X, -G))
    assert opposite.complement() == ps
    np.testing.assert_array_equal(opposite.complement().gates, G)
    dense = cx.PatternSet.from_dense(ps.to_dense())
    np.testing.assert_array_equal(dense.complement().to_dense(), ~ps.to_dense())


def test_complement_has_no_gates_where_a_row_lies_on_a_hyperplane() -> None:
    X, G = np.array([[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]]), [[1.0, 0.0]]
    ps = cx.PatternSet.from_gates(X, G)
    assert ps.to_dense().tolist() == [[True, True, True]]
    opposite = ps.complement()
    assert opposite.to_dense().tolist() == [[False, False, True]]
    assert bits_of(X, [[-1.0, 0.0]]).tolist() != opposite.to_dense().tolist()
    assert opposite.gates is None
    realised = opposite.realise(X)
    assert realised.gates is not None
    np.testing.assert_array_equal(bits_of(X, realised.gates), opposite.to_dense())
    assert realised.complement().gates is not None


@pytest.mark.parametrize("scale", [1.0, 1e-40, 1e40])
def test_margins_are_the_sines_to_the_nearest_hyperplane(
    scale: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patterns, "_BLOCK_ENTRIES", 100)
    X, G = gaussian(30, 4), gaussian(10, 4, seed=1)
    sines = np.abs(X @ G.T) / np.outer(np.linalg.norm(X, axis=1), np.linalg.norm(G, axis=1))
    X = np.vstack([X * scale, np.zeros(4)])
    ps = cx.PatternSet.from_gates(X, G / scale)
    np.testing.assert_allclose(ps.margins(X), sines.min(axis=0), rtol=1e-12)


def test_margins_at_the_ends() -> None:
    for seed in range(50):
        x = gaussian(1, 5, seed)
        assert 1 - 1e-15 < cx.PatternSet.from_gates(x, x).margins(x).item() <= 1
    assert cx.PatternSet.from_gates([[2.0]], [[3.0], [-3.0]]).margins([[2.0]]).tolist() == [1, 1]
    assert cx.PatternSet.from_gates([[0.0]], [[3.0]]).margins([[0.0]]).tolist() == [1]
    X = [[1.0, 0.0], [0.0, 1.0]]
    assert cx.PatternSet.from_gates(X, [[0.0, 0.0], [1.0, 0.0]]).margins(X).tolist() == [0, 0]
    assert cx.PatternSet.from_gates(X, X)[[]].margins(X).shape == (0,)


# --- realise ------------------------------------------------------------------------------------


def designs() -> dict[str, FloatArray]:
    X = gaussian(40, 4)
    binary = np.array(list(itertools.product([0.0, 1.0], repeat=3)))
    return {
        "gaussian": X,
        "wide": gaussian(3, 8),
        "one feature": X[:, :1],
        "one sample": X[:1],
        "one number": np.array([[-2.0]]),
        "zero rows": np.vstack([X[:5], np.zeros((2, 4)), X[5:]]),
        "zero column": np.c_[X, np.zeros(40)],
        "rank 2": X[:, :2] @ gaussian(2, 5, seed=3),
        "repeated and opposite rows": np.vstack([X[:9], X[:9], -2 * X[:9]]),
        "intercept far away": np.c_[1990 + 30 * X[:, 0], np.ones(40)],
        "units": X * [1e-25, 1.0, 1e8, 1e25],
        "one-hot": np.c_[np.eye(4)[np.arange(40) % 4], X[:, :2], np.ones(40)],
        "hypercube": np.c_[binary, np.ones(8)],
        "small integers": np.random.default_rng(5).integers(-3, 4, (30, 3)).astype(float),
    }


@pytest.mark.parametrize("name", designs())
def test_realise_finds_gates_of_cells(name: str) -> None:
    X = designs()[name]
    ps = quiet_sample(X, 12)
    found = cx.PatternSet.from_dense(ps.to_dense()).realise(X)
    assert found == ps
    assert found.gates is not None
    np.testing.assert_array_equal(bits_of(X, found.gates), ps.to_dense())
    np.testing.assert_array_equal(bits_of(X, -found.gates), found.complement().to_dense())


def test_realise_names_the_pattern_that_does_not_exist() -> None:
    X = np.array([[1.0, 0.0], [2.0, 0.0], [0.0, 1.0], [0.0, 0.0]])
    good, split, dark = [1, 1, 0, 1], [1, 0, 0, 1], [1, 1, 1, 0]
    assert cx.PatternSet.from_dense([good, good]).realise(X).to_dense().tolist() == [good, good]
    for wrong in (split, dark):  # parallel rows on two sides; a zero row without its bit
        with pytest.raises(ValueError, match="pattern 1: found no gate with every non-zero row"):
            cx.PatternSet.from_dense([good, wrong]).realise(X)
    with pytest.raises(ValueError, match="pattern 0: found no gate"):  # exists as a tie only
        cx.PatternSet.from_dense([[1, 1]]).realise([[1.0], [-1.0]])
    zeros = cx.PatternSet.from_dense([[1, 1]]).realise([[0.0], [0.0]])
    assert zeros.gates is not None
    with pytest.raises(ValueError, match="pattern 0: found no gate"):
        cx.PatternSet.from_dense([[1, 0]]).realise([[0.0], [0.0]])


def test_realise_keeps_gates_that_fit_and_replaces_those_that_do_not() -> None:
    X = gaussian(20, 3)
    ps = cx.sample_patterns(X, 5)
    assert ps.realise(X) is ps
    turned = np.c_[X, np.ones(20)]  # the same patterns exist here, but gates have 4 entries
    gates = ps.realise(turned).gates
    assert gates is not None
    np.testing.assert_array_equal(bits_of(turned, gates), ps.to_dense())
    assert ps.realise(X * [1, 1, -1]).margins(X * [1, 1, -1]).min() > 0


def test_realise_of_thin_cells_is_right_or_refused() -> None:
    for width in 10.0 ** -np.arange(2.0, 16.0):
        X = np.array([[1.0, 0.0], [-1.0, width], [0.3, 0.2]])
        dense = bits_of(X, [[width / 2, 1.0]])
        try:
            gates = cx.PatternSet.from_dense(dense).realise(X).gates
        except ValueError:
            assert width < 1e-8
        else:
            assert gates is not None
            np.testing.assert_array_equal(bits_of(X, gates), dense)


# --- copies and files ---------------------------------------------------------------------------


def sets() -> dict[str, cx.PatternSet]:
    X = gaussian(70, 3)
    X[1] = 0
    ps = cx.PatternSet.from_gates(X, gaussian(5, 3, seed=1))
    return {
        "gates": ps,
        "dense": cx.PatternSet.from_dense(ps.to_dense()),
        "none": ps[[]],
        "one bit": cx.PatternSet.from_dense([[1]]),
        "ties": cx.PatternSet.from_gates(np.eye(2), np.eye(2)),
    }


def assert_same(a: cx.PatternSet, b: cx.PatternSet) -> None:
    assert a == b
    assert (a.gates is None) == (b.gates is None)
    assert not b.packed.flags.writeable
    if a.gates is not None and b.gates is not None:
        np.testing.assert_array_equal(a.gates, b.gates, strict=True)
        assert not b.gates.flags.writeable
        assert (a.complement().gates is None) == (b.complement().gates is None)
    assert a.complement() == b.complement()


@pytest.mark.parametrize("name", sets())
def test_pickle_copy_and_file(name: str, tmp_path: Path) -> None:
    ps = sets()[name]
    for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
        assert_same(ps, pickle.loads(pickle.dumps(ps, protocol)))
    assert_same(ps, copy.copy(ps))
    assert_same(ps, copy.deepcopy(ps))
    path = tmp_path / "patterns"
    ps.save(path)
    assert_same(ps, cx.load_patterns(path))
    assert_same(ps, cx.load_patterns(str(path)))


def test_repr_and_flags() -> None:
    ps = sets()["gates"]
    assert repr(ps) == "PatternSet(n_patterns=5, n_samples=70, gates=True)"
    assert ps.is_complete is False
    assert ps.proof is None
    with pytest.raises(AttributeError):
        ps.n_samples = 3  # type: ignore[misc]


GOOD_META: dict[str, Any] = {"n_samples": 70, "interior": True}


@pytest.mark.parametrize(
    ("meta", "arrays", "reason"),
    [
        ({"n_samples": 70}, {}, "must hold n_samples and interior"),
        ({**GOOD_META, "more": 1}, {}, "must hold n_samples and interior"),
        ({**GOOD_META, "interior": 1}, {}, "must hold n_samples and interior"),
        ({**GOOD_META, "n_samples": 10**30}, {}, "`packed` must have shape"),
        ({**GOOD_META, "n_samples": 129}, {}, r"`packed` must have shape (any, 3), got (5, 2)"),
        ({**GOOD_META, "n_samples": 66}, {}, "`packed` must have no bit set beyond"),
        ({**GOOD_META, "n_samples": "70"}, {}, "`n_samples` must be an integer, got '70'"),
        ({**GOOD_META, "n_samples": 70.0}, {}, "`n_samples` must be an integer"),
        ({**GOOD_META, "n_samples": -1}, {}, "`n_samples` must be >= 1, got -1"),
        (GOOD_META, {"gates": np.ones((4, 3))}, "`gates` must have shape (5, any), got (4, 3)"),
        (GOOD_META, {"gates": np.ones((5, 0))}, "`gates` must have at least one row and one col"),
        (GOOD_META, {"gates": np.full((5, 3), np.nan)}, "gates.npy must be finite"),
        (GOOD_META, {"gates": np.full((5, 3), 1e300)}, "`gates` must have its largest entry"),
        (GOOD_META, {"gates": np.ones((5, 3), np.int64)}, "gates.npy has no plain .npy header"),
        (GOOD_META, {"zero_rows": np.zeros(3, np.uint64)}, "`zero_rows` must have shape (2,)"),
        (GOOD_META, {"zero_rows": np.full(2, 2**63, np.uint64)}, "`zero_rows` must have no bit"),
        (GOOD_META, {"packed": np.zeros((5, 2))}, "packed.npy must have dtype <u8"),
        (GOOD_META, {"other": np.zeros(1)}, "unknown member 'other'"),
    ],
)
def test_files_that_are_no_pattern_set_are_refused(
    meta: dict[str, Any], arrays: dict[str, NDArray[Any]], reason: str, tmp_path: Path
) -> None:
    ps = sets()["gates"]
    assert ps.gates is not None
    good: dict[str, NDArray[Any]] = {
        "packed": ps.packed,
        "gates": ps.gates,
        "zero_rows": np.array([2, 0], np.uint64),
    }
    path = tmp_path / "file"
    _npz.write(path, "patterns", GOOD_META, good)
    assert_same(ps, cx.load_patterns(path))
    _npz.write(path, "patterns", meta, {**good, **arrays})
    with pytest.raises(ValueError, match="`path` must be a pyconvexnn patterns file") as caught:
        cx.load_patterns(path)
    assert reason in str(caught.value)


def test_an_empty_set_of_many_rows_takes_no_memory(tmp_path: Path) -> None:
    n = 2**40
    with (tmp_path / "file").open("wb") as file:
        np.savez(
            file,
            meta=np.frombuffer(
                b'{"format": "pyconvexnn.patterns", "version": 1, '
                b'"n_samples": %d, "interior": false}' % n,
                np.uint8,
            ),
            packed=np.empty((0, n // 64), np.uint64),
            zero_rows=np.zeros(1, np.uint64),
        )
    with pytest.raises(ValueError, match="`zero_rows` must have shape"):
        cx.load_patterns(tmp_path / "file")


def test_a_network_is_no_pattern_set(tmp_path: Path) -> None:
    cx.GatedNetwork.from_arrays([[1.0]], [[1.0]], [[1.0]]).save(tmp_path / "net")
    with pytest.raises(ValueError, match="must be a pyconvexnn patterns file"):
        cx.load_patterns(tmp_path / "net")


# --- sampling -----------------------------------------------------------------------------------


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


def test_all_cells_are_found_and_the_zero_pattern_is_dropped() -> None:
    X = gaussian(6, 2)
    cells = all_cells(X)
    assert len(cells) == 12
    zero = bytes(6)
    with pytest.warns(UserWarning, match=r"found 1[12] distinct patterns in \d+ draws") as caught:
        ps = cx.sample_patterns(X, 1000)
    assert caught[0].filename == __file__
    assert {bits.tobytes() for bits in ps.to_dense()} == cells - {zero}
    assert len(ps) == len(cells - {zero})
    assert ps.is_complete is False


def test_the_bound_on_cells_ends_the_search_at_once() -> None:
    # n rows in one dimension have two cells, whose patterns are 1 and 0 here.
    for row in ([[1.0]], [[1.0, 3.0, 7.0]]):
        X = np.array([[1.0], [2.0], [5.0]]) * row
        with pytest.warns(
            UserWarning, match="found 1 distinct patterns in 256 draws, `n_patterns`"
        ):
            ps = cx.sample_patterns(X, 10**15)
        assert ps.to_dense().tolist() == [[True] * 3]
    # In four dimensions with three rows: all 8 sign vectors but zero.
    with pytest.warns(UserWarning, match="found 7 distinct patterns in 256 draws, `n_patterns` wa"):
        assert len(cx.sample_patterns(gaussian(3, 4), 10**15)) == 7
    assert len(cx.sample_patterns(gaussian(3, 4), 7)) == 7


def test_the_search_ends_after_200_draws_for_each_pattern() -> None:
    X = np.tile(np.eye(2), (10, 1))  # 4 cells; 40 by the bound, which takes all rows for distinct
    with pytest.warns(UserWarning, match="found 3 distinct patterns in 6144 draws, `n_patterns` w"):
        ps = cx.sample_patterns(X, 30)
    assert len(ps) == 3
    assert ps.packed.base is None  # room for 30 is not kept
    assert not ps.packed.flags.writeable


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
        ({"method": "sweep"}, NotImplementedError, "`method` = 'sweep' is not available yet"),
        ({"method": "sobol"}, ValueError, "`method` must be one of gaussian, .*got 'sobol'"),
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


def test_the_bound_on_cells_is_the_formula() -> None:
    from math import comb

    for n, r in itertools.product(range(1, 9), range(1, 6)):
        formula = 2 * sum(comb(n - 1, k) for k in range(r))
        assert patterns._cell_bound(n, r, 10**9) == formula
        assert patterns._cell_bound(n, r, 5) == min(formula, 5)
