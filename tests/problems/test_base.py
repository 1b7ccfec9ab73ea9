"""Sparse blocks: what they store, and what they refuse."""

from __future__ import annotations

import copy
import dataclasses
import pickle
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import pyconvexnn as cx
from pyconvexnn._typing import FloatArray
from pyconvexnn.problems import base
from pyconvexnn.problems.base import as_blocks, unpacked

SIDE = st.integers(0, 6)
DENSE = st.tuples(SIDE, st.integers(1, 4)).flatmap(
    lambda shape: hnp.arrays(np.float64, shape, elements=st.sampled_from([0.0, 0.0, 1.5, -2.0]))
)


@given(DENSE)
@settings(deadline=None)
def test_dense_and_back(dense: FloatArray) -> None:
    blocks = cx.SparseBlocks.from_dense(dense)
    np.testing.assert_array_equal(blocks.to_dense(), dense)
    np.testing.assert_array_equal(blocks.indices, np.flatnonzero(np.abs(dense).sum(axis=1)))
    assert blocks.shape == dense.shape
    assert blocks.indices.dtype == np.int64
    for again in (copy.deepcopy(blocks), pickle.loads(pickle.dumps(blocks))):
        np.testing.assert_array_equal(again.to_dense(), dense)


@pytest.mark.parametrize("dtype", [np.int8, np.int64, np.uint8, np.uint64])
@pytest.mark.parametrize("kind", [np.float32, np.float64, np.int32])
def test_kinds_of_arrays(dtype: Any, kind: Any) -> None:
    values = np.arange(1, 7).reshape(3, 2).astype(kind)
    blocks = cx.SparseBlocks(np.array([0, 2, 3], dtype), values, 5)
    assert blocks.indices.dtype == np.int64
    assert blocks.values.dtype == np.float64
    assert blocks.values.flags.c_contiguous
    expected = [[1, 2], [0, 0], [3, 4], [5, 6], [0, 0]]
    np.testing.assert_array_equal(blocks.to_dense(), expected)
    assert repr(blocks) == "SparseBlocks(3 of 5 blocks, shape (5, 2))"


def test_fields_cannot_be_set() -> None:
    blocks = cx.SparseBlocks(np.array([1]), np.ones((1, 2)), 3)
    with pytest.raises(dataclasses.FrozenInstanceError):
        blocks.n_blocks = 4  # type: ignore[misc]


INDICES, VALUES = np.array([0, 2]), np.ones((2, 3))
ORDER = "`indices` must be ascending numbers in [0, 4), got "
ROWS = "`values` must be real numbers, one row for each of the 2 `indices`, got "


@pytest.mark.parametrize(
    ("indices", "values", "n_blocks", "kind", "message"),
    [
        ([2, 0], VALUES, 4, ValueError, ORDER + "[2, 0]"),
        ([2, 2], VALUES, 4, ValueError, ORDER + "[2, 2]"),
        ([0, 4], VALUES, 4, ValueError, ORDER + "[0, 4]"),
        ([-1, 0], VALUES, 4, ValueError, ORDER + "[-1, 0]"),
        # Differences of unsigned integers wrap around.
        (np.array([2, 0], np.uint64), VALUES, 4, ValueError, ORDER + "[2, 0]"),
        (np.array([9, 1], np.uint8), VALUES, 4, ValueError, ORDER + "[9, 1]"),
        (
            np.array([0, 2**63 + 1], np.uint64),
            VALUES,
            4,
            ValueError,
            ORDER + "[0, 9223372036854775809]",
        ),
        (
            [0.0, 2.0],
            VALUES,
            4,
            ValueError,
            "`indices` must be 1-D integers, got an array of shape (2,) and dtype float64",
        ),
        (
            [[0, 2]],
            VALUES,
            4,
            ValueError,
            "`indices` must be 1-D integers, got an array of shape (1, 2) and dtype int64",
        ),
        (
            INDICES,
            np.ones((3, 3)),
            4,
            ValueError,
            ROWS + "an array of shape (3, 3) and dtype float64",
        ),
        (INDICES, np.ones(2), 4, ValueError, ROWS + "an array of shape (2,) and dtype float64"),
        (
            INDICES,
            VALUES * 1j,
            4,
            ValueError,
            ROWS + "an array of shape (2, 3) and dtype complex128",
        ),
        (INDICES, VALUES * np.nan, 4, ValueError, "`values` must be finite, got NaN or infinity"),
        (INDICES, VALUES * np.inf, 4, ValueError, "`values` must be finite, got NaN or infinity"),
        (INDICES, VALUES, "4", TypeError, "`n_blocks` must be an integer, got '4'"),
        (INDICES, VALUES, 4.0, TypeError, "`n_blocks` must be an integer, got 4.0"),
        ([], np.ones((0, 3)), -1, ValueError, "`n_blocks` must be >= 0, got -1"),
    ],
)
def test_wrong_blocks(
    indices: Any, values: Any, n_blocks: Any, kind: type[Exception], message: str
) -> None:
    with pytest.raises(kind) as error:
        cx.SparseBlocks(indices, values, n_blocks)
    assert str(error.value) == message


def test_as_blocks_takes_dense_and_sparse() -> None:
    dense = np.array([[0.0, 0.0], [3.0, 0.0]])
    blocks = cx.SparseBlocks.from_dense(dense)
    assert as_blocks(blocks, 2, 2) is blocks
    for given_kind in (dense, dense.tolist(), dense.astype(np.float32), dense.astype(int)):
        np.testing.assert_array_equal(as_blocks(given_kind, 2, 2).to_dense(), dense)


@pytest.mark.parametrize(
    ("coef", "kind", "message"),
    [
        (np.ones((3, 2)), ValueError, "`coef` must have shape (2, 2), got (3, 2)"),
        (np.ones(2), ValueError, "`coef` must have shape (2, 2), got (2,)"),
        (np.ones((1, 2, 2)), ValueError, "`coef` must have shape (2, 2), got (1, 2, 2)"),
        (
            cx.SparseBlocks.from_dense(np.ones((2, 3))),
            ValueError,
            "`coef` must have shape (2, 2), got (2, 3)",
        ),
        (np.full((2, 2), np.nan), ValueError, "`coef` must be finite, got NaN or infinity"),
        (np.full((2, 2), 1j), TypeError, "`coef` must hold real numbers, got dtype complex128"),
        (None, TypeError, "`coef` must hold real numbers, got dtype object"),
        ([["a", "b"]], TypeError, "`coef` must hold real numbers, got dtype <U1"),
    ],
)
def test_wrong_coefficients(coef: Any, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind) as error:
        as_blocks(coef, 2, 2)
    assert str(error.value) == message


@pytest.mark.parametrize("count", [0, 1, 15, 16, 17, 35])
def test_unpacked_lists_every_pattern_once(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base, "BLOCK_ENTRIES", 16 * 70 + 3)  # 16 patterns at a time
    dense = np.random.default_rng(count).random((count + 5, 70)) < 0.5
    order = np.random.default_rng(1).permutation(count + 5)[:count]
    parts = list(unpacked(cx.PatternSet.from_dense(dense), order))
    positions = [k for part, _ in parts for k in range(count)[part]]
    assert positions == list(range(count))
    for part, masks in parts:
        np.testing.assert_array_equal(masks, dense[order[part]])


# --- blocks of both signs ------------------------------------------------------------------------


def test_signed_blocks_are_pairs() -> None:
    dense = np.zeros((2, 3, 2))
    dense[0, 2], dense[1, 1] = (1.0, 2.0), (3.0, 0.0)
    blocks = cx.SparseBlocks.from_dense(dense)
    assert (blocks.signed, blocks.n_blocks, blocks.shape) == (True, 6, (2, 3, 2))
    assert blocks.indices.tolist() == [2, 4]
    assert repr(blocks) == "SparseBlocks(2 of 6 blocks, shape (2, 3, 2))"
    for again in (blocks, copy.deepcopy(blocks), pickle.loads(pickle.dumps(blocks))):
        np.testing.assert_array_equal(again.to_dense(), dense)
    flat = cx.SparseBlocks(blocks.indices, blocks.values, 6)
    for coef in (dense, dense.tolist(), blocks, flat):
        found = as_blocks(coef, 3, 2, signed=True)
        assert found.signed
        np.testing.assert_array_equal(found.to_dense(), dense)
    with pytest.raises(ValueError, match=r"^`coef` must have shape \(6, 2\), got \(2, 3, 2\)$"):
        as_blocks(blocks, 6, 2)
    with pytest.raises(ValueError, match=r"^`coef` must have shape \(2, 2, 2\), got \(6, 2\)$"):
        as_blocks(flat, 2, 2, signed=True)


def test_wrong_signed_blocks() -> None:
    with pytest.raises(ValueError, match=r"^`n_blocks` must be even for signed blocks, got 5$"):
        cx.SparseBlocks(INDICES, VALUES, 5, signed=True)
    with pytest.raises(TypeError, match=r"^`signed` must be True or False, got 1$"):
        cx.SparseBlocks(INDICES, VALUES, 4, signed=1)  # type: ignore[arg-type]


def test_blocks_of_several_outputs() -> None:
    dense = np.zeros((4, 2, 3))
    dense[[1, 3]] = np.arange(12.0).reshape(2, 2, 3) + 1
    blocks = cx.SparseBlocks.from_dense(dense, signed=False)
    assert (blocks.shape, blocks.indices.tolist(), blocks.signed) == ((4, 2, 3), [1, 3], False)
    np.testing.assert_array_equal(blocks.to_dense(), dense)
    assert as_blocks(blocks, 4, 2, n_outputs=3) is blocks
    np.testing.assert_array_equal(as_blocks(dense, 4, 2, n_outputs=3).values, dense[[1, 3]])
    with pytest.raises(ValueError, match=r"`coef` must have shape \(4, 2, 2\), got \(4, 2, 3\)"):
        as_blocks(blocks, 4, 2, n_outputs=2)
    with pytest.raises(ValueError, match=r"`coef` must have shape \(4, 2\), got \(4, 2, 3\)"):
        as_blocks(dense, 4, 2)
