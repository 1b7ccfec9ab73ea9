"""Pattern sets are made, indexed, joined and restricted as the rows of NumPy matrices are."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import pyconvexnn as cx
from pyconvexnn import _bits
from pyconvexnn._typing import BoolArray
from tests.small_data import (
    LENGTHS,
    bits_of,
    gaussian,
    random_dense,
)

DENSE = hnp.arrays(np.bool_, st.tuples(st.integers(1, 12), st.integers(1, 70)))


# --- making one ---------------------------------------------------------------------------------


@pytest.mark.parametrize("n", LENGTHS)
def test_from_gates_has_the_bits_of_numpy(n: int) -> None:
    X, G = gaussian(n, 4), gaussian(7, 4, seed=1)
    ps = cx.PatternSet.from_gates(X, G)
    np.testing.assert_array_equal(ps.to_dense(), bits_of(X, G))
    np.testing.assert_array_equal(ps.gates, G)
    assert (len(ps), ps.n_samples) == (7, n)


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
    (lambda ps, _: ps[2**63], IndexError, "index 9223372036854775808 is out of bounds"),
    (lambda ps, _: ps[2**70], IndexError, "index 1180591620717411303424 is out of bounds"),
    (lambda ps, _: ps[-(2**70)], IndexError, "index -1180591620717411303424 is out of bounds"),
    (lambda ps, _: ps[[2**63]], IndexError, "is out of bounds"),
    (lambda ps, _: ps[[2**64 - 1]], IndexError, "index 18446744073709551615 is out of bounds"),
    (lambda ps, _: ps[np.array(2**63, np.uint64)], IndexError, "is out of bounds"),
    (lambda ps, _: ps.restrict(2**63), IndexError, "index 9223372036854775808 is out of bounds"),
    (lambda ps, _: ps.restrict([2**64 - 1]), IndexError, "is out of bounds"),
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


def test_sparse_gates_are_refused() -> None:
    from scipy.sparse import csr_array

    packed = np.ones((1, 1), np.uint64)
    with pytest.raises(TypeError, match="`gates` must be a float64 array, got"):
        cx.PatternSet(packed, 1, csr_array([[1.0]]))


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


def test_a_union_that_adds_nothing_keeps_the_gates() -> None:
    X = gaussian(70, 3)
    ps = cx.PatternSet.from_gates(X, gaussian(4, 3, seed=1))
    union = ps | cx.PatternSet.from_dense(ps.to_dense()[::-1])
    assert union == ps
    np.testing.assert_array_equal(union.gates, ps.gates)
    assert (cx.PatternSet.from_dense(ps.to_dense()) | ps).gates is None


def test_a_union_knows_what_either_side_knows() -> None:
    X = np.array([[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]])
    dense = cx.PatternSet.from_dense([[1, 0, 1]])
    strict, tied = (cx.PatternSet.from_gates(X, [gate]) for gate in ([1.0, 2.0], [1.0, 0.0]))
    for union in (dense | strict, strict | dense):
        assert union.complement().to_dense()[:, 2].all()
    assert (strict | tied).complement().gates is not None  # the same pattern: nothing is added
    assert (tied | strict).complement().gates is None
    other = cx.PatternSet.from_gates(X, [[-1.0, 2.0]])
    for union in (other | tied, tied | other):
        assert len(union) == 2
        assert union.gates is not None
        assert union.complement().gates is None


@settings(max_examples=50, deadline=None)
@given(DENSE, st.data())
def test_restrict_selects_columns(dense: BoolArray, data: st.DataObject) -> None:
    n = dense.shape[1]
    rows = data.draw(st.lists(st.integers(-n, n - 1), min_size=1, max_size=130))
    part = cx.PatternSet.from_dense(dense).restrict(rows)
    np.testing.assert_array_equal(part.to_dense(), dense[:, rows])


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 200), st.integers(0, 3), st.data())
def test_restrict_by_shifts_selects_columns(n: int, kind: int, data: st.DataObject) -> None:
    dense = random_dense(600, n, seed=n)  # so many are not unpacked
    start = data.draw(st.integers(0, n - 1))
    rows: Any = slice(start, data.draw(st.integers(start + 1, n)))
    if kind == 1:
        rows = data.draw(st.lists(st.integers(-n, n - 1), min_size=1, max_size=130))
    elif kind == 2:
        rows = np.arange(n) % data.draw(st.integers(2, 9)) != 1
    elif kind == 3:
        rows = np.r_[start:n, 0:n, 0 : start + 1]
    part = cx.PatternSet.from_dense(dense).restrict(rows)
    np.testing.assert_array_equal(part.to_dense(), dense[:, rows])


@pytest.mark.parametrize("shifts_pay", [0, 10**9])
@pytest.mark.parametrize("entries", [10, 200])  # one pattern at a time; three, then two
def test_restrict_takes_what_selects_rows_and_works_in_blocks(
    entries: int, shifts_pay: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_bits, "_BLOCK_ENTRIES", entries)
    monkeypatch.setattr(_bits, "_BLOCK_PATTERNS", 3)
    monkeypatch.setattr(_bits, "_SHIFTS_PAY", shifts_pay)
    X, G = gaussian(70, 3), gaussian(8, 3, seed=1)
    X[2] = 0
    ps = cx.PatternSet.from_gates(X, G)
    for rows in (slice(2, 66, 3), np.arange(70) % 3 == 2, np.array([2, 2, 1]), [5], range(70)):
        part = ps.restrict(rows)
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
