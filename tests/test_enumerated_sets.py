"""What is had of an enumeration: streams, gates, proofs of completeness, limits."""

from __future__ import annotations

import copy
import itertools
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.optimize import nnls

import pyconvexnn as cx
from pyconvexnn import _cells, _listing
from pyconvexnn._typing import BitArray, FloatArray
from pyconvexnn._witness import CellGates
from tests.faults.ctrl_c import seconds_to_stop
from tests.small_data import (
    as_set,
    bits_of,
    check_gates,
    designs,
    gaussian,
    left_open,
    n_distinct,
)
from tests.test_exact_cells import threshold
from tests.vertex_method import DATA

# -------------------------------------------------------------------------------------- streams


@pytest.mark.parametrize("X", [gaussian(40, 3), gaussian(70, 3), designs()["zero rows"]])
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


def test_a_stream_of_degenerate_data_goes_on_behind_every_block() -> None:
    X = threshold(4)
    every = cx.enumerate_patterns(X)
    for size in (2, 7, 100, 4000):
        blocks = list(cx.iter_patterns(X, block_size=size))
        assert all(2 <= len(block) <= size for block in blocks)
        assert sum(map(len, blocks)) == len(every)
        assert set().union(*map(as_set, blocks)) == as_set(every)
        for k in range(0, len(blocks), 1 + len(blocks) // 10):
            rest = list(cx.iter_patterns(X, block_size=size, start=blocks[k].cursor))
            assert rest == blocks[k + 1 :]
            assert [block.cursor for block in rest] == [b.cursor for b in blocks[k + 1 :]]


def test_blocks_of_many_rows_stay_small() -> None:
    X = gaussian(100_000, 2)
    blocks = cx.iter_patterns(X, block_size=10**30)
    first = next(blocks)
    assert first.packed.nbytes <= 1 << 26
    assert 2 * first.cursor == len(first)
    X = gaussian(6, 3)
    assert [len(block) for block in cx.iter_patterns(X, block_size=10**30)] == [32]


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
    assert all(cx.enumerate_patterns(X, threads=t) == cx.enumerate_patterns(X) for t in (2, 3))
    X = left_open(12)
    messages = set()
    for threads in (1, 2, 3):
        with pytest.raises(ValueError, match="beyond exact arithmetic") as caught:
            cx.count_patterns(X, threads=threads)
        messages.add(str(caught.value))
    assert len(messages) == 1


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_sets_pickle_by_any_protocol_before_their_gates_are_known(protocol: int) -> None:
    X = gaussian(12, 3)
    ps = pickle.loads(pickle.dumps(cx.enumerate_patterns(X), protocol))
    check_gates(X, ps)


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


def test_a_union_of_parts_of_one_enumeration_computes_no_gates() -> None:
    X = gaussian(70, 3)
    ps = cx.enumerate_patterns(X)
    blocks = list(cx.iter_patterns(X, block_size=1000))
    unions = [ps[:50] | ps[40:90], blocks[0] | blocks[1], ps.complement()[:9] | ps[:9]]
    part = ps.restrict(range(60))
    few = part[:40] | part[100:140]
    for union in unions:
        assert union.nbytes == union.packed.nbytes
        check_gates(X, union)
    check_gates(X[:60], few)
    thin = np.vstack([np.eye(3), [1.0, 1.0, 1e-17]])
    ps = cx.enumerate_patterns(thin, snap=False)
    assert (ps[:-1] | ps[1:]).fingerprint == ps.fingerprint


def test_a_block_loses_its_cursor_with_its_gates() -> None:
    X = gaussian(20, 3)
    block = next(cx.iter_patterns(X, block_size=60))
    turned = X * [1.0, 1.0, -1.0]
    realised = block.realise(turned)
    assert type(realised) is cx.PatternSet
    assert realised == block
    check_sides = bits_of(turned, realised.gates)
    np.testing.assert_array_equal(check_sides, block.to_dense())


def test_gates_of_rows_far_apart_in_size_raise_no_underflow() -> None:
    X = np.array([[1e50, 1e-35, 1], [1e40, -1e-40, 3], [1, 1, -1]])
    with np.errstate(all="raise"):
        assert cx.enumerate_patterns(X).gates is not None


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
    for index in (..., slice(None, None, -1), np.r_[5, 0 : len(ps)], np.ones(len(ps), bool)):
        assert ps[index].is_complete  # no true subset
    for part in (
        sample,
        ps[:-1],
        ps[[0, 1]],
        ps[[0] * len(ps)],
        ps[ps.to_dense()[:, 0]],
        next(iter(cx.iter_patterns(X))),
    ):
        assert not part.is_complete
        assert part.proof is None


def test_a_complete_set_trains() -> None:
    X, y, _, _, optima = DATA["F2"]
    ps = cx.enumerate_patterns(X)
    prob = cx.GatedReLUProblem(X, y, ps, 0.5)
    sol = cx.solve(prob, tol=1e-9)
    assert sol.objective == pytest.approx(optima[0.5], rel=1e-6)
    assert cx.recover(prob, sol).n_neurons >= 1


# ------------------------------------------------------------------------------- arguments, limits


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"max_patterns": 0}, ValueError, "`max_patterns` must be >= 1, got 0"),
        ({"max_patterns": 2.5}, TypeError, "`max_patterns` must be an integer, got 2.5"),
        ({"snap": 1}, TypeError, "`snap` must be True or False, got 1"),
        ({"min_margin": -1}, ValueError, "`min_margin` must be >= 0, got -1.0"),
        ({"verify": 1}, TypeError, "`verify` must be True or False, got 1"),
        ({"faces": 1}, TypeError, "`faces` must be True or False, got 1"),
        ({"faces": True, "min_margin": 0.1}, ValueError, "`min_margin` must be 0 with `faces=T"),
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


def test_max_patterns_holds_for_wide_cells_of_degenerate_data() -> None:
    X = threshold(3)
    wide = len(cx.enumerate_patterns(X, min_margin=0.1))
    assert wide < 104
    assert len(cx.enumerate_patterns(X, min_margin=0.1, max_patterns=wide)) == wide
    with pytest.raises(ValueError, match=f"number of patterns, {wide} "):
        cx.enumerate_patterns(X, min_margin=0.1, max_patterns=wide - 1)


def test_a_listing_that_was_stopped_does_not_say_how_many_there_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(_listing, "_STEP", 1000)
    with pytest.raises(ValueError, match=r"number of patterns, \d+ or more \(\d+ bytes\), got 5"):
        cx.enumerate_patterns(threshold(4), max_patterns=5)


def test_a_list_that_outgrows_the_memory_says_how_long_it_would_be(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(_listing, "_STEP", 100)
    monkeypatch.setattr(_listing, "available_bytes", lambda: 8 * 200)  # 200 more patterns
    # There is room for 200 at first, then for 400, and then it would be for 800: 400 more.
    with pytest.raises(MemoryError, match="800 patterns take 6400 bytes"):
        cx.enumerate_patterns(threshold(4))


def test_memory_that_cannot_be_told_is_taken_on_trust(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_listing, "available_bytes", lambda: None)
    assert len(cx.enumerate_patterns(gaussian(10, 2))) == 20
    monkeypatch.setattr(_listing, "available_bytes", lambda: 10)
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
