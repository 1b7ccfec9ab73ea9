"""Exact enumeration against brute force, known counts, and its own witnesses."""

from __future__ import annotations

import copy
import itertools
import pickle
from math import comb
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import nnls

import pyconvexnn as cx
from pyconvexnn import _cells, _core, enumeration
from pyconvexnn._cells import ExactCells, GenericCells
from pyconvexnn._typing import BitArray, BoolArray, FloatArray
from pyconvexnn._witness import CellGates
from tests import lp_tree
from tests.small_data import bits_of, designs, gaussian
from tests.test_exact_cells import resonance, threshold
from tests.test_interrupt import seconds_to_stop
from tests.vertex_method import DATA, all_cells


def as_set(patterns: cx.PatternSet | BoolArray) -> set[bytes]:
    dense = patterns.to_dense() if isinstance(patterns, cx.PatternSet) else patterns
    return {pattern.tobytes() for pattern in dense}


def n_distinct(ps: cx.PatternSet) -> int:
    return len(np.unique(ps.packed, axis=0))


def check_gates(X: FloatArray, ps: cx.PatternSet) -> None:
    """Gates of length 1, with the patterns bit for bit, strictly inside."""
    gates = ps.gates
    assert gates is not None
    nonzero = X.any(axis=1)
    dense = ps.to_dense()
    np.testing.assert_array_equal(bits_of(X, gates), dense)
    np.testing.assert_array_equal(bits_of(X, -gates)[:, nonzero], ~dense[:, nonzero])
    np.testing.assert_allclose(np.linalg.norm(gates, axis=1), 1.0, rtol=1e-12)


def decorate(X: FloatArray, rng: np.random.Generator) -> FloatArray:
    """The rows of X with repeats, opposites, multiples and zeros among them."""
    again = X[rng.integers(0, len(X), 4)] * np.array([[1.0], [-1.0], [1e-8], [-1e8]])
    rows = np.vstack([X, again, np.zeros((2, X.shape[1]))])
    return rows[rng.permutation(len(rows))]


# ------------------------------------------------------------------------------------- counts


@pytest.mark.parametrize("r", range(2, 7))
def test_counts_equal_the_formula(r: int) -> None:
    for n in (r, r + 1, 9, 17, 30):
        ps = cx.enumerate_patterns(gaussian(n, r, seed=n))
        expected = 2 * sum(comb(n - 1, k) for k in range(r))
        assert len(ps) == n_distinct(ps) == expected == cx.count_patterns(n, r)
        assert cx.count_patterns(gaussian(n, r, seed=n)) == expected


def test_count_of_a_number_of_rows() -> None:
    assert cx.count_patterns(10, 1) == 2
    assert cx.count_patterns(10, 10) == cx.count_patterns(10, 20) == 2**10
    assert cx.count_patterns(np.int64(100), 5) == 7852352
    assert cx.count_patterns(10**6, 3) == 2 * (1 + 999999 + comb(999999, 2))
    assert cx.count_patterns(gaussian(100, 100)) == 2**100  # known without listing
    assert cx.count_patterns(gaussian(3000, 2)) == 6000


@pytest.mark.parametrize("name", DATA)
def test_known_data(name: str) -> None:
    X, _, count, _, _ = DATA[name]
    ps = cx.enumerate_patterns(X)
    assert len(ps) == count == cx.count_patterns(X)
    assert as_set(ps) == as_set(all_cells(X))
    check_gates(X, ps)


# ------------------------------------------------------------------------------- against oracles


@pytest.mark.parametrize("part", range(10))
def test_general_position_equals_the_vertex_method(part: int) -> None:
    for seed in range(10 * part, 10 * part + 10):
        rng = np.random.default_rng(seed)
        r = int(rng.integers(1, 6))
        X = rng.standard_normal((int(rng.integers(r, [0, 12, 14, 9, 8, 8][r])), r))
        ps = cx.enumerate_patterns(X)
        assert len(ps) == n_distinct(ps)
        assert as_set(ps) == as_set(all_cells(X))
        check_gates(X, ps)


@pytest.mark.slow
@pytest.mark.parametrize(("n", "r"), [(60, 2), (45, 3), (22, 4), (15, 5), (12, 6)])
def test_larger_general_position_equals_the_vertex_method(n: int, r: int) -> None:
    X = gaussian(n, r, seed=n)
    assert as_set(cx.enumerate_patterns(X)) == as_set(all_cells(X))


@pytest.mark.parametrize("seed", range(20))
def test_odd_rows_and_columns_equal_the_linear_programs(seed: int) -> None:
    rng = np.random.default_rng(seed)
    r = int(rng.integers(2, 4))
    X = rng.standard_normal((int(rng.integers(r, 7)), r))
    if seed % 2:
        X = X @ rng.standard_normal((r, r + 2))  # rank-deficient columns
    X = decorate(X, rng)
    ps = cx.enumerate_patterns(X)
    assert len(ps) == n_distinct(ps) == cx.count_patterns(X)
    assert as_set(ps) == as_set(lp_tree.all_cells(X))
    check_gates(X, ps)


@pytest.mark.parametrize("name", designs())
def test_designs_are_enumerated_or_refused(name: str) -> None:
    X = designs()[name]
    if name == "one-hot":
        with pytest.raises(ValueError, match="general position"):
            cx.enumerate_patterns(X)
        return
    ps = cx.enumerate_patterns(X)
    assert len(ps) == n_distinct(ps) == cx.count_patterns(X)
    check_gates(X, ps)
    sampled = cx.PatternSet.from_gates(
        X, np.random.default_rng(1).standard_normal((500, X.shape[1]))
    )
    assert as_set(sampled) <= as_set(ps)


@pytest.mark.parametrize("noise", [1e-4, 1e-7, 1e-9, 1e-11, 1e-12])
@pytest.mark.parametrize("intercept", [True, False])
def test_rows_close_to_a_grid_equal_whole_numbers(noise: float, intercept: bool) -> None:
    grid = np.array(list(itertools.product(range(3), range(3), range(2), [1])), float)
    X = grid + noise * gaussian(18, 4)
    if intercept:
        X[:, 3] = 1.0
    X = np.asfortranarray(X)
    rows = _core.ReducedRows(X, snap=False)
    lists = []
    generic = GenericCells(rows, 18)
    assert generic.all_dependent_rows() == []
    for cells in (generic, ExactCells(rows, np.zeros(1, np.uint64), 18)):
        out = np.empty((2 * cells.total, 1), np.uint64)
        cells.write(0, cells.total, cells.total, out, 1)
        lists.append(set(out[:, 0].tolist()))
    assert len(lists[0]) == 2 * generic.total
    assert lists[0] == lists[1]


@pytest.mark.parametrize("noise", [1e-13, 1e-15, 1e-17])
def test_rows_that_32_digits_do_not_tell_apart_are_whole_numbers_too(noise: float) -> None:
    rng = np.random.default_rng(3)
    X = rng.standard_normal((6, 4))
    X = np.vstack([X, rng.integers(-2, 3, (6, 6)) @ X + noise * rng.standard_normal((6, 4))])
    ps = cx.enumerate_patterns(X, snap=False)
    exact = ExactCells(
        _core.ReducedRows(np.asfortranarray(X), snap=False), np.zeros(1, np.uint64), 12
    )
    assert len(ps) == n_distinct(ps) == 2 * exact.total == cx.count_patterns(X, snap=False)
    assert sum(map(len, cx.iter_patterns(X, snap=False))) == len(ps)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6))
def test_patterns_follow_the_rows_and_not_the_coordinates(seed: int) -> None:
    rng = np.random.default_rng(seed)
    X = rng.integers(-50, 51, (int(rng.integers(1, 12)), int(rng.integers(1, 4)))).astype(float)
    ps = cx.enumerate_patterns(X)
    T = np.triu(rng.integers(-3, 4, (X.shape[1], X.shape[1])), 1) + np.eye(X.shape[1])
    assert as_set(cx.enumerate_patterns(X @ T)) == as_set(ps)
    order = rng.permutation(len(X))
    assert as_set(cx.enumerate_patterns(X[order])) == as_set(ps.to_dense()[:, order])
    scales = 2.0 ** rng.integers(-20, 20, len(X))
    assert as_set(cx.enumerate_patterns(X * scales[:, np.newaxis])) == as_set(ps)


# ---------------------------------------------------------------------------------- conventions


def test_zero_rows_have_the_bit_one_in_complements_too() -> None:
    X = np.vstack([gaussian(5, 2), np.zeros((2, 2))])
    ps = cx.enumerate_patterns(X)
    assert len(ps) == 10
    assert ps.to_dense()[:, 5:].all()
    assert as_set(ps.complement()) == as_set(ps)
    check_gates(X, ps)


def test_the_all_zero_pattern_is_listed_if_it_exists() -> None:
    X = np.c_[gaussian(5, 1), np.ones(5)]
    ps = cx.enumerate_patterns(X)
    assert np.zeros(5, bool) in ps
    assert np.ones(5, bool) in ps
    around = np.array([[1.0, 0.0], [-1.0, 1.0], [-1.0, -1.0]])
    assert np.zeros(3, bool) not in cx.enumerate_patterns(around)


def test_data_without_a_row_that_is_not_zero() -> None:
    ps = cx.enumerate_patterns(np.zeros((3, 2)))
    assert ps.to_dense().tolist() == [[True, True, True]]
    assert ps.is_complete
    assert cx.count_patterns(np.zeros((3, 2))) == 1
    (block,) = cx.iter_patterns(np.zeros((3, 2)))
    assert block == ps
    assert list(cx.iter_patterns(np.zeros((3, 2)), start=block.cursor)) == []
    check_gates(np.zeros((3, 2)), ps)


def test_decimals_are_read_as_a_lattice() -> None:
    # 0.1 k and 0.3 k are collinear as decimals; as doubles they are not.
    k = np.arange(12.0)
    X = np.c_[0.1 * k, 0.3 * k + 0.1 * (k % 3), 0.7 * (k % 2), np.ones(12)]
    whole = np.c_[k, 3 * k + k % 3, k % 2, np.ones(12)]
    ps = cx.enumerate_patterns(X)
    assert as_set(ps) == as_set(cx.enumerate_patterns(whole))
    assert len(ps) < cx.count_patterns(X, snap=False)
    check_gates(X, ps)


def test_standardised_counts_are_read_as_a_lattice() -> None:
    counts = np.random.default_rng(0).integers(0, 4, (14, 3)).astype(float)
    scaled = (counts - counts.mean(axis=0)) / counts.std(axis=0)
    X, whole = np.c_[scaled, np.ones(14)], np.c_[counts, np.ones(14)]
    ps = cx.enumerate_patterns(X)
    assert as_set(ps) == as_set(cx.enumerate_patterns(whole))
    check_gates(X, ps)
    # Without the intercept an offset is no change of coordinates.
    assert as_set(cx.enumerate_patterns(scaled)) == as_set(lp_tree.all_cells(scaled))


def test_snap_false_takes_the_doubles_as_given() -> None:
    third = np.array([[1.0, 2.0], [0.1, 0.2], [0.3, 0.6], [1.0, 0.0]])
    third[2, 1] = np.nextafter(0.6, 1)
    assert cx.count_patterns(third) == 4
    assert cx.count_patterns(third, snap=False) == 6
    product = gaussian(6, 2) @ gaussian(2, 3, seed=1)
    assert cx.count_patterns(product) == 12
    with pytest.raises(ValueError, match=r"depend on each other up to rounding only.*snap=False"):
        cx.count_patterns(product, snap=False)
    whole = np.c_[np.arange(5.0), np.ones(5), 2 * np.arange(5.0) + 1]
    assert cx.count_patterns(whole, snap=False) == 10


# -------------------------------------------------------------------------------------- streams


@pytest.mark.parametrize(
    "X", [gaussian(40, 3), gaussian(70, 3), threshold(4), designs()["zero rows"]]
)
def test_a_stream_is_cut_and_continued_anywhere(X: FloatArray) -> None:
    whole = list(cx.iter_patterns(X, block_size=10**6))
    every = whole[0]
    assert len(whole) == 1
    half = len(every) // 2
    assert as_set(every) == as_set(cx.enumerate_patterns(X))
    for size in (2, 3, 100, 999):
        at = 0
        for block in cx.iter_patterns(X, block_size=size):
            count = len(block) // 2
            assert 2 <= len(block) <= size
            np.testing.assert_array_equal(block.packed[:count], every.packed[at : at + count])
            np.testing.assert_array_equal(
                block.packed[count:], every.packed[half + at : half + at + count]
            )
            at += count
            assert block.cursor == at
            assert not block.is_complete
        assert at == half
        for start in (1, 7, half - 1, half):
            rest = list(cx.iter_patterns(X, block_size=size, start=start))
            joined = [block.packed[: len(block) // 2] for block in rest]
            np.testing.assert_array_equal(
                np.concatenate([every.packed[:0], *joined]), every.packed[start:half]
            )


def test_threads_change_nothing() -> None:
    X = gaussian(90, 4)
    one = cx.enumerate_patterns(X)
    for threads in (2, 3, -1):
        assert cx.enumerate_patterns(X, threads=threads) == one
        assert cx.count_patterns(X, threads=threads) == len(one)
    blocks = list(cx.iter_patterns(X, block_size=5000))
    for threads in (2, 3):
        assert list(cx.iter_patterns(X, block_size=5000, threads=threads)) == blocks
    X = np.c_[np.eye(3)[np.arange(60) % 3], gaussian(60, 2)]
    messages = set()
    for threads in (1, 2, 3):
        with pytest.raises(ValueError, match="general position") as caught:
            cx.count_patterns(X, threads=threads)
        messages.add(str(caught.value))
    assert len(messages) == 1


def test_a_block_pickles_with_its_cursor() -> None:
    first, second = itertools.islice(cx.iter_patterns(gaussian(30, 3), block_size=50), 2)
    again = pickle.loads(pickle.dumps(second))
    assert again == second
    assert again.cursor == second.cursor == 50
    assert copy.copy(first).cursor == 25
    np.testing.assert_array_equal(again.gates, second.gates)
    assert type(second[:3]) is cx.PatternSet


# ------------------------------------------------------------------------------ gates and margins


@pytest.mark.parametrize(
    ("n", "d", "r"), [(12, 2, 2), (20, 3, 3), (15, 5, 5), (20, 5, 3), (5, 8, 5)]
)
def test_gates_are_as_far_inside_as_can_be(n: int, d: int, r: int) -> None:
    X = gaussian(n, r) @ gaussian(r, d, seed=1) if r < min(n, d) else gaussian(n, d)
    X = X * 10.0 ** np.random.default_rng(2).integers(-3, 4, (n, 1))
    ps = cx.enumerate_patterns(X)
    ps = ps[np.random.default_rng(0).permutation(len(ps))[:40]]
    check_gates(X, ps)
    rows = X / np.linalg.norm(X, axis=1, keepdims=True)
    for bits, margin in zip(ps.to_dense(), ps.margins(X), strict=True):
        # The shortest vector of conv{s_k x_k / |x_k|} is as long as the best margin.
        signed = np.where(bits, 1.0, -1.0)[:, np.newaxis] * rows
        heavy = 1e4
        weights, _ = nnls(np.vstack([signed.T, heavy * np.ones(n)]), np.append(np.zeros(d), heavy))
        shortest = np.linalg.norm(signed.T @ weights) / weights.sum()
        assert margin == pytest.approx(shortest, rel=1e-4, abs=1e-7)
        assert margin <= shortest + 1e-12


def test_thin_cells_have_gates_down_to_rounding() -> None:
    for width in (1e-6, 1e-9, 1e-12):
        X = np.vstack([np.eye(3), [1.0, 1.0, width], gaussian(4, 3)])
        ps = cx.enumerate_patterns(X, snap=False)
        check_gates(X, ps)
        assert ps.margins(X).min() < width


def test_gates_are_computed_when_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    X = gaussian(20, 3)
    calls: list[int] = []
    compute = CellGates.__call__

    def counted(self: CellGates, packed: BitArray) -> FloatArray:
        calls.append(len(packed))
        return compute(self, packed)

    monkeypatch.setattr(CellGates, "__call__", counted)
    ps = cx.enumerate_patterns(X)
    some = ps[5:15]
    opposite, few = some.complement(), some.restrict([1, 2, 3])
    both = ps | some
    again = pickle.loads(pickle.dumps(some))
    assert "gates=True" in repr(some)
    assert calls == []
    gates = some.gates
    assert gates is not None
    np.testing.assert_array_equal(gates, again.gates)
    assert calls == [10, 10]
    assert some.gates is gates
    assert not gates.flags.writeable
    check_gates(X, opposite)
    check_gates(X[1:4], few)
    assert both.gates is not None
    np.testing.assert_array_equal(both.gates[5:15], gates)
    check_gates(X, some[[3, 1]])
    check_gates(X, some.complement())


def test_gates_survive_a_file(tmp_path: Path) -> None:
    X = gaussian(20, 3)
    ps = cx.enumerate_patterns(X)
    ps.save(tmp_path / "all.npz")
    loaded = cx.load_patterns(tmp_path / "all.npz")
    assert loaded == ps
    np.testing.assert_array_equal(loaded.gates, ps.gates)
    assert not loaded.is_complete  # a file proves nothing


def test_a_union_with_samples_has_the_gates_of_both() -> None:
    X = gaussian(20, 3)
    block = next(iter(cx.iter_patterns(X, block_size=60)))
    union = cx.sample_patterns(X, 50) | block
    check_sides = bits_of(X, union.gates)
    np.testing.assert_array_equal(check_sides, union.to_dense())
    assert len(union) == n_distinct(union)


def test_min_margin_leaves_thin_cells_out() -> None:
    X = gaussian(30, 3)
    ps = cx.enumerate_patterns(X)
    for least in (1e-12, 1e-3, 0.05, 0.9):
        wide = cx.enumerate_patterns(X, min_margin=least)
        assert as_set(wide) == as_set(ps[ps.margins(X) >= least])
        assert not wide.is_complete
        check_gates(X, wide)


# ------------------------------------------------------------------------------------ completeness


def test_completeness_follows_what_is_done_with_a_set() -> None:
    X = gaussian(12, 3)
    ps = cx.enumerate_patterns(X)
    sample = cx.sample_patterns(X, 10)
    assert ps.is_complete
    assert "general position" in str(ps.proof)
    assert ps.complement().is_complete
    assert (ps | sample).is_complete
    assert (sample | ps).is_complete
    assert len(sample | ps) == len(ps)
    assert pickle.loads(pickle.dumps(ps)).is_complete
    few = ps.restrict([0, 3, 4, 5])
    assert few.is_complete
    assert as_set(few) == as_set(cx.enumerate_patterns(X[[0, 3, 4, 5]]))
    for part in (sample, ps[:-1], ps[[0, 1]], next(iter(cx.iter_patterns(X)))):
        assert not part.is_complete
        assert part.proof is None


def test_a_complete_set_trains() -> None:
    X, y, _, _, optima = DATA["F2"]
    ps = cx.enumerate_patterns(X)
    prob = cx.GatedReLUProblem(X, y, ps, 0.5)
    sol = cx.solve(prob, tol=1e-9)
    assert sol.objective == pytest.approx(optima[0.5], rel=1e-6)
    assert cx.recover(prob, sol).n_neurons >= 1


# ------------------------------------------------------------------------------ degenerate data


SMALL_DEGENERATE = {
    "one-hot": np.c_[np.eye(3)[np.arange(9) % 3], gaussian(9, 1)],
    "integer grid": np.c_[list(itertools.product(range(3), range(3))), np.ones(9)],
    "collinear decimals": np.c_[0.1 * np.arange(8), 0.3 * (np.arange(8) % 3), np.ones(8)],
    "hypercube": threshold(3),
    "resonance": resonance(3),
}


@pytest.mark.parametrize("name", SMALL_DEGENERATE)
def test_small_degenerate_data_equal_the_linear_programs(name: str) -> None:
    X = SMALL_DEGENERATE[name]
    ps = cx.enumerate_patterns(X)
    assert len(ps) == n_distinct(ps) == cx.count_patterns(X)
    assert as_set(ps) == as_set(lp_tree.all_cells(X))
    assert len(ps) < cx.count_patterns(_core.ReducedRows(np.asfortranarray(X), snap=True).count, 9)
    assert ps.is_complete
    assert "whole numbers" in str(ps.proof)
    check_gates(X, ps)


def test_known_degenerate_counts() -> None:
    assert [cx.count_patterns(threshold(d)) for d in (1, 2, 3, 4)] == [4, 14, 104, 1882]
    assert [cx.count_patterns(resonance(d)) for d in (2, 3, 4)] == [6, 32, 370]


def f32(n: int) -> FloatArray:
    return np.round(gaussian(n, 4) * 2.0**20) / 2.0**20


LARGE_DEGENERATE = {
    "one-hot": np.c_[np.eye(3)[np.arange(100) % 3], gaussian(100, 3)],
    "two integers and noise": np.c_[
        np.random.default_rng(0).integers(0, 9, (200, 2)), gaussian(200, 1), np.ones(200)
    ],
    "decimals": np.c_[np.round(gaussian(120, 3), 2), np.ones(120)],
    "hypercube": threshold(6),
    "one dependent triple": np.vstack(
        [f32(150), f32(150)[40] + f32(150)[90]]  # a sum without rounding
    ),
}


@pytest.mark.parametrize("name", LARGE_DEGENERATE)
def test_large_degenerate_data_are_refused_by_name(name: str) -> None:
    X = LARGE_DEGENERATE[name]
    for call in (
        cx.enumerate_patterns,
        cx.count_patterns,
        lambda X: sum(map(len, cx.iter_patterns(X))),
    ):
        with pytest.raises(ValueError, match=r"general position.*sample_patterns") as caught:
            call(X)
        named = str(caught.value).split("but rows ")[1].split(" are")[0]
        rows = [int(i) for i in named.split(", ")]
        unit = X[rows] / np.linalg.norm(X[rows], axis=1, keepdims=True)
        assert np.linalg.matrix_rank(unit, tol=1e-9) < len(rows)


# ------------------------------------------------------------------------------- arguments, limits


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"max_patterns": 0}, ValueError, "`max_patterns` must be >= 1, got 0"),
        ({"max_patterns": 2.5}, TypeError, "`max_patterns` must be an integer, got 2.5"),
        ({"snap": 1}, TypeError, "`snap` must be True or False, got 1"),
        ({"min_margin": -1}, ValueError, "`min_margin` must be >= 0, got -1.0"),
        ({"verify": True}, NotImplementedError, "`verify` = True is not available yet"),
        ({"faces": True}, NotImplementedError, "`faces` = True is not available yet"),
        ({"threads": 0}, ValueError, "`threads` must be >= 1, or -1 for all cores, got 0"),
        ({"progress": "yes"}, TypeError, "`progress` must be True or False, got 'yes'"),
    ],
)
def test_bad_options(options: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=f"^{message}"):
        cx.enumerate_patterns(gaussian(5, 2), **options)


def test_bad_streams_are_refused_before_the_first_block() -> None:
    X = gaussian(5, 2)
    for options, error, message in [
        ({"block_size": 1}, ValueError, "`block_size` must be >= 2, got 1"),
        ({"start": -1}, ValueError, "`start` must be >= 0, got -1"),
        ({"start": 6}, ValueError, "`start` must be a cursor of this data, at most 5, got 6"),
        ({"start": 1.0}, TypeError, "`start` must be an integer"),
    ]:
        with pytest.raises(error, match=f"^{message}"):
            cx.iter_patterns(X, **options)  # type: ignore[arg-type]


def test_bad_counts() -> None:
    with pytest.raises(TypeError, match="`r` must be given with a number of rows"):
        cx.count_patterns(5)
    with pytest.raises(TypeError, match="`r` must be None for a data matrix, got 2"):
        cx.count_patterns(gaussian(5, 2), 2)
    for n, r in ((0, 2), (2, 0)):
        with pytest.raises(ValueError, match="must be >= 1, got 0"):
            cx.count_patterns(n, r)
    with pytest.raises(ValueError, match="2 dimensions"):
        cx.count_patterns([1.0, 2.0])


def test_too_many_patterns_are_refused_before_starting() -> None:
    X = gaussian(1000, 5)
    count = cx.count_patterns(1000, 5)
    with pytest.raises(ValueError, match=rf"{count} \({count * 128} bytes\), got 5000; use iter_p"):
        cx.enumerate_patterns(X, max_patterns=5000)
    with pytest.raises(
        MemoryError, match=rf"{count} patterns take {count * 128} bytes.*sample_pat"
    ):
        cx.enumerate_patterns(X)
    assert len(next(cx.iter_patterns(X))) == 65536
    with pytest.raises(ValueError, match="more than can be listed; use sample_patterns"):
        cx.iter_patterns(gaussian(70, 70))


def test_max_patterns_counts_what_there_is() -> None:
    assert len(cx.enumerate_patterns(threshold(3), max_patterns=104)) == 104
    with pytest.raises(ValueError, match="the number of patterns, 104 "):
        cx.enumerate_patterns(threshold(3), max_patterns=103)


def test_memory_that_cannot_be_told_is_taken_on_trust(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(enumeration, "available_bytes", lambda: None)
    assert len(cx.enumerate_patterns(gaussian(10, 2))) == 20
    monkeypatch.setattr(enumeration, "available_bytes", lambda: 10)
    with pytest.raises(MemoryError, match="20 patterns take 160 bytes"):
        cx.enumerate_patterns(gaussian(10, 2))
    assert _cells.available_bytes() is not None


def test_progress_is_shown_when_wanted(capsys: pytest.CaptureFixture[str]) -> None:
    ps = cx.enumerate_patterns(gaussian(30, 3), progress=True)
    assert f"{len(ps)}/{len(ps)}" in capsys.readouterr().err
    blocks = list(cx.iter_patterns(gaussian(30, 3), block_size=100, progress=True))
    assert f"{len(ps)}/{len(ps)}" in capsys.readouterr().err
    assert sum(map(len, blocks)) == len(ps)
    cx.enumerate_patterns(gaussian(30, 3))
    assert capsys.readouterr().err == ""


def test_ctrl_c_ends_an_enumeration() -> None:
    X = gaussian(400, 5)
    delays = [seconds_to_stop(lambda: cx.count_patterns(X)) for _ in range(3)]
    assert min(delays) < 0.2, delays
    delays = [seconds_to_stop(lambda: cx.count_patterns(X, threads=2)) for _ in range(3)]
    assert min(delays) < 0.2, delays
    delays = [seconds_to_stop(lambda: sum(map(len, cx.iter_patterns(X)))) for _ in range(3)]
    assert min(delays) < 0.2, delays
