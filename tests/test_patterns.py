"""Pattern sets against brute force in NumPy."""

from __future__ import annotations

import copy
import hashlib
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

import pyconvexnn as cx
from pyconvexnn import _bits, _npz
from pyconvexnn._typing import BoolArray
from pyconvexnn.patterns import pattern_set
from tests.small_data import bits_of, designs, gaussian, quiet_sample, random_dense

LENGTHS = [1, 2, 63, 64, 65, 128, 130]
DENSE = hnp.arrays(np.bool_, st.tuples(st.integers(1, 12), st.integers(1, 70)))


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
    monkeypatch.setattr(_bits, "_BLOCK_ENTRIES", entries)
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
    monkeypatch.setattr(pattern_set, "_BLOCK_ENTRIES", 100)
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


def test_sparse_gates_are_refused() -> None:
    from scipy.sparse import csr_array

    packed = np.ones((1, 1), np.uint64)
    with pytest.raises(TypeError, match="`gates` must be a float64 array, got"):
        cx.PatternSet(packed, 1, csr_array([[1.0]]))


# --- what NumPy makes of one, and who else holds its memory --------------------------------------


@pytest.mark.parametrize("n", LENGTHS)
def test_numpy_sees_the_dense_booleans(n: int) -> None:
    dense = random_dense(5, n)
    ps = cx.PatternSet.from_dense(dense)
    np.testing.assert_array_equal(np.asarray(ps), dense)
    assert np.asarray(ps).dtype == np.bool_
    assert np.array(ps, dtype=float).dtype == np.float64
    np.testing.assert_array_equal(np.array(ps, dtype=float), dense)
    np.testing.assert_array_equal(np.mean(ps, axis=0), dense.mean(axis=0))
    with pytest.raises(ValueError, match="`copy` must not be False"):
        np.array(ps, copy=False)


def test_memory_is_packed_words_and_gates_once_computed() -> None:
    X = gaussian(130, 3)
    ps = cx.enumerate_patterns(X)
    assert ps.nbytes == len(ps) * 3 * 8  # 130 rows are 3 words
    assert ps.packed is ps.packed
    assert ps.gates is not None
    assert ps.nbytes == len(ps) * (3 * 8 + 3 * 8)
    assert cx.PatternSet.from_dense(ps.to_dense()).nbytes == ps.packed.nbytes


def test_nobody_can_write_into_a_set() -> None:
    words = np.array([[5], [3]], np.uint64)
    gates = np.array([[1.0, 2.0], [3.0, 4.0]])
    views = [words[:], gates[:]]
    for view in views:
        view.flags.writeable = False  # but its base is not
    ps = cx.PatternSet(views[0], 3, views[1])
    before = hash(ps)
    words[0, 0] = 7
    gates[0, 0] = 9.0
    assert (hash(ps), int(ps.packed[0, 0])) == (before, 5)
    assert ps.gates is not None
    assert ps.gates[0, 0] == 1.0
    with pytest.raises(ValueError, match="read-only"):
        ps.packed[0, 0] = 1
    words.flags.writeable = False
    assert cx.PatternSet(words, 3).packed is words or np.shares_memory(
        cx.PatternSet(words, 3).packed, words
    )


@pytest.mark.parametrize("index", [2, -3, 2**63, 2**70])
def test_an_index_beyond_the_set_is_an_index_error(index: int) -> None:
    with pytest.raises(IndexError):
        cx.PatternSet.from_dense([[1], [0]])[index]
