"""What a pattern set holds: words, their identity, and nobody else writes to them."""

from __future__ import annotations

import copy
import hashlib
import pickle
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import pyconvexnn as cx
from pyconvexnn import _bits
from tests.small_data import (
    LENGTHS,
    assert_same,
    bits_of,
    gaussian,
    pattern_sets,
    random_dense,
)


@pytest.mark.parametrize("n", LENGTHS)
def test_row_k_is_bit_k_mod_64_of_word_k_div_64(n: int) -> None:
    dense = random_dense(5, n)
    packed = cx.PatternSet.from_dense(dense).packed
    assert packed.dtype == np.uint64
    assert packed.shape == (5, -(-n // 64))
    for row, words in zip(dense, packed, strict=True):
        number = sum(int(word) << (64 * w) for w, word in enumerate(words))
        assert number == sum(1 << k for k in range(n) if row[k])


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


@pytest.mark.parametrize("entries", [0, 10, 10**6])
def test_contains_among_many_that_begin_alike(
    entries: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_bits, "_BLOCK_PATTERNS", entries)
    numbers = np.random.default_rng(0).integers(0, 3, (40, 3), np.uint64)
    ps = cx.PatternSet(numbers, 130)
    known = {tuple(row) for row in numbers.tolist()}
    for words in np.ndindex(3, 3, 3):
        assert (np.array(words, np.uint64) in ps) == (words in known)
    assert len(known) < 27


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


@pytest.mark.parametrize("name", pattern_sets())
def test_pickle_copy_and_file(name: str, tmp_path: Path) -> None:
    ps = pattern_sets()[name]
    for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
        assert_same(ps, pickle.loads(pickle.dumps(ps, protocol)))
    assert_same(ps, copy.copy(ps))
    assert_same(ps, copy.deepcopy(ps))
    path = tmp_path / "patterns"
    ps.save(path)
    assert_same(ps, cx.load_patterns(path))
    assert_same(ps, cx.load_patterns(str(path)))


def test_repr_and_flags() -> None:
    ps = pattern_sets()["gates"]
    assert repr(ps) == "PatternSet(n_patterns=5, n_samples=70, gates=True)"
    assert ps.is_complete is False
    assert ps.proof is None
    with pytest.raises(AttributeError):
        ps.n_samples = 3  # type: ignore[misc]


# --- nobody else writes to it -------------------------------------------------------------------


def sources() -> dict[str, tuple[NDArray[np.uint64], Callable[[], None]]]:
    """Words that the constructor is given, and how the caller changes them afterwards."""
    given: dict[str, tuple[NDArray[np.uint64], Callable[[], None]]] = {}
    array = np.arange(8, dtype=np.uint64).reshape(4, 2)
    given["writeable"] = array, lambda: array.fill(1)

    base = array.copy()
    view = base[:]
    view.flags.writeable = False
    given["read-only view"] = view, lambda: base.fill(1)

    frozen = array.copy()
    frozen.flags.writeable = False

    def thaw() -> None:
        frozen.flags.writeable = True
        frozen.fill(1)

    given["thawed"] = frozen, thaw
    buffer = bytearray(array.tobytes())
    words = np.frombuffer(memoryview(buffer).toreadonly(), np.uint64).reshape(4, 2)
    given["buffer"] = words, lambda: buffer.__setitem__(0, 7)
    return given


@pytest.mark.parametrize("kind", sources())
def test_words_changed_by_their_giver_do_not_change_the_set(kind: str) -> None:
    words, change = sources()[kind]
    before = words.copy()
    zero_rows = np.zeros(2, np.uint64)
    gates = np.ones((4, 3))
    ps = cx.PatternSet(words, 70, gates, zero_rows=zero_rows)
    known, print_ = hash(ps), ps.fingerprint
    change()
    gates[:] = 2.0
    zero_rows[:] = 1
    assert not np.array_equal(words, before)
    np.testing.assert_array_equal(ps.packed, before)
    np.testing.assert_array_equal(ps.gates, np.ones((4, 3)))
    np.testing.assert_array_equal(ps.complement().to_dense(), ~ps.to_dense())
    assert (hash(ps), ps.fingerprint) == (known, print_)


def test_views_of_what_the_giver_can_write_to_are_copied() -> None:
    words = np.array([[5], [3]], np.uint64)
    gates = np.array([[1.0, 2.0], [3.0, 4.0]])
    views = words[:], gates[:]
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


def test_data_changed_by_their_giver_do_not_change_the_set() -> None:
    X, dense = np.asfortranarray(gaussian(9, 2)), random_dense(4, 9)
    G = gaussian(4, 2, seed=1)
    arrays = [X, dense, G]
    for array in arrays:
        array.flags.writeable = False  # which alone makes no array safe to keep
    enumerated, expected = cx.enumerate_patterns(X), cx.enumerate_patterns(X).gates
    (block,) = cx.iter_patterns(X)
    sets = [cx.PatternSet.from_dense(dense), cx.PatternSet.from_gates(X, G), enumerated, block]
    known = [(hash(ps), ps.fingerprint) for ps in sets]
    for array in arrays:
        array.flags.writeable = True
        array[:] = 1
    assert [(hash(ps), ps.fingerprint) for ps in sets] == known
    np.testing.assert_array_equal(enumerated.gates, expected)
    np.testing.assert_array_equal(sets[1].gates, gaussian(4, 2, seed=1))


def derived(tmp_path: Path) -> dict[str, cx.PatternSet]:
    X = gaussian(70, 3)
    ps = cx.enumerate_patterns(X)[:60]
    given = cx.PatternSet.from_gates(X, gaussian(6, 3, seed=1))
    given.save(tmp_path / "file")
    return {
        "enumerated": cx.enumerate_patterns(X),
        "block": next(cx.iter_patterns(X)),
        "wide": cx.enumerate_patterns(X, min_margin=0.01),
        "sample": cx.sample_patterns(X, 20),
        "gates": given,
        "dense": cx.PatternSet.from_dense(given.to_dense()),
        "constructor": cx.PatternSet(given.packed, 70, given.gates),
        "slice": ps[3:30],
        "reversed": ps[::-1],
        "some": ps[[3, 1]],
        "complement": given.complement(),
        "restrict": ps.restrict([3, 1]),
        "many restricted": cx.enumerate_patterns(X).restrict(slice(60)),
        "union": given | ps,
        "no news": given | given[:2],
        "realised": cx.PatternSet(given.packed, 70).realise(X),
        "loaded": cx.load_patterns(tmp_path / "file"),
        "pickle": pickle.loads(pickle.dumps(ps)),
        "copy": copy.deepcopy(given),
    }


def test_no_array_handed_out_can_be_made_writeable(tmp_path: Path) -> None:
    for name, ps in derived(tmp_path).items():
        for array in (ps.packed, ps.gates):
            if array is None:
                assert name == "dense"
                continue
            assert array.flags.c_contiguous, name
            with pytest.raises(ValueError, match="WRITEABLE"):
                array.flags.writeable = True


def test_buffers_of_a_pickle_are_not_shared() -> None:
    ps = cx.enumerate_patterns(gaussian(70, 3))[:50]
    buffers: list[pickle.PickleBuffer] = []
    data = pickle.dumps(ps, 5, buffer_callback=buffers.append)
    assert buffers
    mine = [bytearray(buffer.raw()) for buffer in buffers]
    again = pickle.loads(data, buffers=mine)
    for buffer in mine:
        buffer[:] = bytes(len(buffer))
    assert again == ps
    np.testing.assert_array_equal(again.gates, ps.gates)


# --- as an array --------------------------------------------------------------------------------


@pytest.mark.parametrize("n", LENGTHS)
def test_as_an_array_it_is_the_dense_matrix(n: int) -> None:
    dense = random_dense(5, n)
    ps = cx.PatternSet.from_dense(dense)
    np.testing.assert_array_equal(np.asarray(ps), dense, strict=True)
    np.testing.assert_array_equal(np.array(ps, dtype=float), dense.astype(float), strict=True)
    assert cx.PatternSet.from_dense(ps) == ps
    assert np.asarray(ps[[]]).shape == (0, n)
    np.testing.assert_array_equal(np.mean(ps, axis=0), dense.mean(axis=0))
    for convert in (np.array, np.asarray):
        with pytest.raises(ValueError, match="`copy` must not be False: patterns are packed"):
            convert(ps, copy=False)


def test_an_array_of_many_patterns_is_quick() -> None:
    ps = cx.PatternSet(np.arange(200_000, dtype=np.uint64)[:, np.newaxis], 64)
    start = time.perf_counter()
    assert np.asarray(ps).shape == (200_000, 64)
    assert time.perf_counter() - start < 2.0  # pattern by pattern it takes minutes


def test_operators_with_arrays_are_not_numpys() -> None:
    ps = cx.PatternSet.from_dense([[1, 0], [1, 1]])
    dense = ps.to_dense()
    assert (ps == dense) is False
    assert (dense == ps) is False
    for call in (lambda: dense | ps, lambda: ps | dense, lambda: ps & ps, lambda: np.exp(ps)):  # type: ignore[operator]
        with pytest.raises(TypeError):
            call()


def test_a_set_of_one_is_a_pattern() -> None:
    ps = cx.PatternSet.from_dense(random_dense(6, 70))
    assert all(one in ps for one in ps)
    assert ps[5] not in ps[:5]
    assert ps.complement()[0] not in ps
    message = r"`pattern_bits` must be one pattern of 70 samples, got PatternSet\("
    for other in (ps, ps[[]], ps.restrict([0])[0]):
        with pytest.raises(ValueError, match=message):
            _ = other in ps


# --- memory -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("n", "words_of_one"), [(70, 2), (130, 3)])
def test_nbytes_are_those_of_the_arrays_held(n: int, words_of_one: int) -> None:
    X = gaussian(n, 3)
    ps = cx.enumerate_patterns(X)
    words = len(ps) * words_of_one * 8
    assert ps.packed.nbytes == words
    assert ps.nbytes == words  # gates that nobody asked for are not held
    assert ps.complement().nbytes == words
    assert ps[::-1].nbytes == words
    assert ps.restrict(range(60)).nbytes == len(ps) * 8 + words  # gates and `thin` need all words
    assert pickle.loads(pickle.dumps(ps)).nbytes == words
    gates = ps.gates
    assert gates is not None
    assert ps.nbytes == words + gates.nbytes == words + len(ps) * 3 * 8
    assert ps.restrict(range(60)).nbytes == len(ps) * 8 + gates.nbytes + words
    assert cx.PatternSet.from_dense(ps.to_dense()).nbytes == words
    assert ps[[]].nbytes == 0


def test_a_set_knows_its_data_with_and_without_gates() -> None:
    X = np.vstack([gaussian(30, 2), [[1.0, 1.0], [1.0, 1.0 + 1e-13]]])
    ps = cx.enumerate_patterns(X, snap=False)
    assert len(ps) == 64
    thin = ps.thin
    assert thin.dtype == np.int64
    assert len(thin) == 2
    assert (ps.margins(X)[thin] < 1e-13).all()
    assert (np.delete(ps.margins(X), thin) > 1e-12).all()
    assert ps.gates is not None
    for same in (ps, pickle.loads(pickle.dumps(ps)), ps[:40] | ps[30:]):
        np.testing.assert_array_equal(same.thin, thin)
    np.testing.assert_array_equal(ps[thin].thin, [0, 1])
    np.testing.assert_array_equal(ps.complement().packed[thin], ps.packed[thin[::-1]])
    with pytest.raises(ValueError, match="`thin` must be asked of an enumerated set"):
        _ = cx.PatternSet.from_dense(ps.to_dense()).thin


@pytest.fixture(scope="module")
def many() -> cx.PatternSet:
    words = np.random.default_rng(0).integers(0, 2**63, (200_000, 4), np.uint64)
    words[:, -1] &= np.uint64(255)
    return cx.PatternSet(words, 200)


OPERATIONS: dict[str, tuple[float, Callable[[cx.PatternSet], object]]] = {
    # peak of memory, in sizes of the packed patterns; the dense ones take 6.25
    "constructor": (1.1, lambda ps: cx.PatternSet(ps.packed, 200)),
    "hash": (0.1, hash),
    "==": (0.2, lambda ps: ps == cx.PatternSet.of_arrays(
        ps.packed[:], 200, zero_rows=ps.packed[0], interior=False)),
    "fingerprint": (1.5, lambda ps: ps.fingerprint),
    "complement": (1.1, lambda ps: ps.complement()),
    "restrict slice": (1.0, lambda ps: ps.restrict(slice(3, 103))),
    "restrict rows": (1.5, lambda ps: ps.restrict(np.random.default_rng(0).permutation(200))),
    "| old": (2.5, lambda ps: ps | ps[::2]),
    "| new": (3.5, lambda ps: ps | ps.complement()),
    "bits in": (0.2, lambda ps: np.ones(200) in ps),
    "words in": (0.2, lambda ps: ps.packed[3] in ps),
    "slice": (0.1, lambda ps: ps[10:-10]),
    "mask": (0.8, lambda ps: ps[np.arange(len(ps)) % 2 == 0]),
    "permutation": (1.5, lambda ps: ps[np.random.default_rng(0).permutation(len(ps))]),
    "repr": (0.1, repr),
}  # fmt: skip


@pytest.mark.parametrize("name", OPERATIONS)
def test_operations_stay_on_packed_words(
    name: str, many: cx.PatternSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    share, call = OPERATIONS[name]
    unpacked: list[int] = []
    unpackbits = np.unpackbits

    def counted(array: NDArray[np.uint8], **options: Any) -> NDArray[np.uint8]:
        unpacked.append(len(array))
        return unpackbits(array, **options)

    monkeypatch.setattr(np, "unpackbits", counted)
    call(many[:5])
    unpacked.clear()
    tracemalloc.start()
    try:
        made = call(many)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert sum(unpacked) <= 1  # the zero rows, which are one pattern
    assert peak < share * many.packed.nbytes + (1 << 20)
    assert made is not None


# --- sets of words ------------------------------------------------------------------------------


@pytest.mark.parametrize("multiplier", [0x9E3779B97F4A7C15, 0])  # 0: most keys are the same
@pytest.mark.parametrize("words", [1, 2, 3])
def test_unseen_patterns_are_those_of_a_set(
    words: int, multiplier: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_bits, "_MULTIPLIER", np.uint64(multiplier))
    monkeypatch.setattr(_bits, "_BLOCK_PATTERNS", 7)
    rng = np.random.default_rng(words)
    for sizes in ((0, 0), (0, 9), (9, 0), (1, 1), (40, 60), (300, 500)):
        a, b = (rng.integers(0, 4, (size, words), np.uint64) << np.uint64(60) for size in sizes)
        known = {tuple(row) for row in a.tolist()}
        expected = []
        for row in map(tuple, b.tolist()):
            expected.append(row not in known)
            known.add(row)
        assert _bits.unseen(b, a).tolist() == expected


@pytest.mark.parametrize("words", [1, 2, 3])
def test_distinct_patterns_are_sorted_as_numbers(words: int) -> None:
    rng = np.random.default_rng(words)
    for size in (0, 1, 2, 50, 400):
        a = rng.integers(0, 4, (size, words), np.uint64) << np.uint64(55)
        found = _bits.distinct_sorted(a)
        assert found.dtype == ">u8"
        assert found.tolist() == [list(row) for row in sorted({tuple(r) for r in a.tolist()})]


# --- what is not there yet ----------------------------------------------------------------------
