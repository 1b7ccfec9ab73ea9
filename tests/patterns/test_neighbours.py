"""Neighbours: Hamming distance one after merging equal rows, by comparing all pairs."""

from __future__ import annotations

import copy
import itertools
import pickle
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pyconvexnn as cx
from pyconvexnn._typing import BoolArray, FloatArray
from pyconvexnn.patterns import neighbours
from pyconvexnn.patterns.neighbours import NeighbourIndex, hyperplanes_of
from tests.small_data import gaussian, pattern_sets, random_dense
from tests.test_exact_cells import braid, threshold


def data_sets() -> dict[str, FloatArray]:
    rng = np.random.default_rng(0)
    X = gaussian(9, 3)
    return {
        "generic": X,
        "two words": np.vstack([gaussian(9, 2), np.zeros((50, 2)), gaussian(20, 2)]),
        "three words": np.vstack([gaussian(20, 2), np.zeros((95, 2)), -gaussian(25, 2)]),
        "one row": X[:1],
        "zero rows": np.vstack([np.zeros((2, 3)), X, np.zeros((1, 3))]),
        "repeated and opposite rows": np.vstack([X[:5], -2 * X[:5], 3 * X[:2], X[5:6]]),
        "decimals": np.vstack([X[:4].round(1), -0.1 * X[:4].round(1)]),
        "only zeros": np.zeros((3, 2)),
        "hypercube": threshold(3),
        "braid": braid(4),
        "small integers": rng.integers(-1, 2, (12, 3)).astype(float),
        "one-hot": np.c_[np.eye(3)[np.arange(7) % 3], X[:7, :1]],
    }


def groups_of(X: FloatArray) -> list[list[int]]:
    """Rows that are multiples of each other, by their directions."""
    groups: list[list[int]] = []
    for k in np.flatnonzero(X.any(axis=1)):
        for group in groups:
            a, b = X[group[0]] / np.linalg.norm(X[group[0]]), X[k] / np.linalg.norm(X[k])
            if np.abs(a - b).max() < 1e-9 or np.abs(a + b).max() < 1e-9:
                group.append(int(k))
                break
        else:
            groups.append([int(k)])
    return groups


def across(dense: BoolArray, groups: list[list[int]], i: int) -> list[int]:
    """Patterns that differ from pattern i in all rows of one group and in no other row."""
    wanted = {tuple(group) for group in map(sorted, groups)}
    return [j for j in range(len(dense)) if tuple(np.flatnonzero(dense[i] ^ dense[j])) in wanted]


def check(ps: cx.PatternSet, groups: list[list[int]]) -> None:
    dense = ps.to_dense()
    pairs = set()
    for i in range(len(ps)):
        found = ps.neighbours(i)
        assert found.dtype == np.int64
        assert found.tolist() == across(dense, groups, i)
        pairs |= {(i, j) for j in found.tolist()}
    assert pairs == {(j, i) for i, j in pairs}


@pytest.mark.parametrize("name", data_sets())
def test_neighbours_of_enumerated_sets(name: str) -> None:
    X = data_sets()[name]
    ps = cx.enumerate_patterns(X)
    groups = groups_of(X)
    for one in (ps, ps[::3], ps[[1, 1, 0]] if len(ps) > 1 else ps, ps.complement(), ps[:0]):
        check(one, groups)
    check(pickle.loads(pickle.dumps(ps[::2])), groups)
    check(copy.deepcopy(ps[1::2]), groups)
    check(cx.enumerate_patterns(X, min_margin=0.05), groups)
    for block in cx.iter_patterns(X, block_size=20):
        check(block, groups)
    kept = np.r_[len(X) - 1, 0 : len(X) : 2]
    if len(X) < 20:
        check(ps.restrict(kept), groups_of(X[kept]))


@pytest.mark.parametrize("seed", range(20))
def test_neighbours_of_small_integers(seed: int) -> None:
    rng = np.random.default_rng(seed)
    X = rng.integers(-1, 2, (rng.integers(1, 9), rng.integers(1, 5))).astype(float)
    check(cx.enumerate_patterns(X), groups_of(X))


def test_a_complete_set_tells_its_hyperplanes_without_the_data(tmp_path: Path) -> None:
    for name, X in data_sets().items():
        ps = cx.enumerate_patterns(X)
        ps.save(tmp_path / "all.npz")
        loaded = cx.load_patterns(tmp_path / "all.npz")
        for i in range(0, len(ps), 7):
            np.testing.assert_array_equal(loaded.neighbours(i), ps.neighbours(i), err_msg=name)


def test_a_part_knows_the_hyperplanes_of_the_whole() -> None:
    # Opposite corners of four cells: without the data their two rows look like one.
    ps = cx.enumerate_patterns(np.eye(2))
    dense = ps.to_dense()
    two = ps[np.flatnonzero(dense[:, 0] == dense[:, 1])]
    assert two.neighbours(0).size == 0
    assert two.gates is not None
    assert two[::-1].neighbours(0).size == 0  # also after the gates were asked for
    assert cx.PatternSet.from_dense(two.to_dense()).neighbours(0).tolist() == [1]


def test_unions() -> None:
    X = np.vstack([gaussian(6, 3), -gaussian(2, 3)])
    ps = cx.enumerate_patterns(X)
    sample = cx.sample_patterns(X, 10)
    for union in (ps[:9] | ps[5:], sample | ps, sample | ps[:9], ps[:9] | sample):
        check(union, groups_of(X))
    other = cx.enumerate_patterns(gaussian(8, 3))
    union = ps[:4] | other[:4]
    check(union, columns(union.to_dense()))


def columns(dense: BoolArray) -> list[list[int]]:
    """Rows of the data that agree, or disagree, in all patterns, but for constant ones."""
    groups: dict[bytes, list[int]] = {}
    for k, bits in enumerate(dense.T):
        if bits.any() and not bits.all():
            groups.setdefault((bits ^ bits[0]).tobytes(), []).append(k)
    return list(groups.values())


@pytest.mark.parametrize("entries", [1, 100, 10**6])
def test_sets_without_data(entries: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbours, "_BLOCK_ENTRIES", entries)
    everything = np.array(list(itertools.product([False, True], repeat=5)))
    some = [
        everything,
        everything[:, [0, 0, 1, 2, 1, 3, 4]] ^ np.array([0, 1, 0, 0, 0, 0, 1], bool),
        random_dense(40, 4),
        np.hstack([random_dense(60, 3)] * 30),
    ]
    sets = [*map(cx.PatternSet.from_dense, some), *pattern_sets().values()]
    for ps in sets:
        check(ps, columns(ps.to_dense()))


def test_keys_that_patterns_share_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    def poor(packed: Any) -> Any:
        return packed[:, 0] & np.uint64(1)

    X = gaussian(8, 3)
    ps = cx.enumerate_patterns(X)
    monkeypatch.setattr(neighbours, "_keys", poor)
    monkeypatch.setattr(neighbours, "_keys_of_rows", lambda n: (np.arange(n) == 0).astype("u8"))
    check(ps, groups_of(X))


def test_keys_are_linear() -> None:
    dense = random_dense(50, 200)
    packed = cx.PatternSet.from_dense(dense).packed
    rows = neighbours._keys_of_rows(200)
    expected = [np.bitwise_xor.reduce(rows[bits]) for bits in dense]
    np.testing.assert_array_equal(neighbours._keys(packed), expected)
    assert len(np.unique(rows)) == 200


def test_hyperplanes_of_patterns() -> None:
    ps = cx.PatternSet.from_dense([[1, 1, 0, 1, 0], [1, 0, 1, 1, 1], [1, 1, 0, 0, 1]])
    numbers = hyperplanes_of(ps.packed, 5)
    assert numbers[0] == -1
    assert numbers[1] == numbers[2] >= 0
    assert len(set(numbers.tolist())) == 4
    assert hyperplanes_of(ps.packed[:0], 5).tolist() == [-1] * 5
    no_face = np.zeros(1, np.bool_)
    assert NeighbourIndex(ps.packed[:1], np.full(5, -1), no_face).of(ps.packed, 0).size == 0


@pytest.mark.parametrize("i", [1.0, "0", True, None, slice(1), [0], np.arange(2)])
def test_what_is_no_index(i: Any) -> None:
    with pytest.raises(TypeError, match=r"integer"):
        cx.enumerate_patterns(np.eye(2)).neighbours(i)


def test_places_out_of_bounds() -> None:
    ps = cx.enumerate_patterns(np.eye(2))
    for i in (4, -5, 2**64, np.uint64(2**64 - 1), np.array(4)):
        with pytest.raises(IndexError, match="out of bounds for axis 0 with size 4"):
            ps.neighbours(i)  # type: ignore[arg-type]
    np.testing.assert_array_equal(ps.neighbours(-1), ps.neighbours(3))
    np.testing.assert_array_equal(ps.neighbours(np.int64(2)), ps.neighbours(2))  # type: ignore[arg-type]


def test_repeated_calls_are_quick() -> None:
    ps = cx.enumerate_patterns(gaussian(90, 4))
    assert len(ps) > 200_000
    ps.neighbours(0)
    start = time.perf_counter()
    sizes = [ps.neighbours(i).size for i in range(0, len(ps), 500)]
    assert time.perf_counter() - start < 0.001 * len(sizes)
    # A simple arrangement of planes: every cell has at least as many facets as dimensions.
    assert min(sizes) >= 3
