"""Pattern sets in files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import pyconvexnn as cx
from pyconvexnn import _npz
from tests.small_data import (
    assert_same,
    pattern_sets,
)

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
        (GOOD_META, {"data": np.ones((70, 3))}, "there must be no gates then"),
        (GOOD_META, {"zero_rows": np.zeros(3, np.uint64)}, "`zero_rows` must have shape (2,)"),
        (GOOD_META, {"zero_rows": np.full(2, 2**63, np.uint64)}, "`zero_rows` must have no bit"),
        (GOOD_META, {"packed": np.zeros((5, 2))}, "packed.npy must have dtype <u8"),
        (GOOD_META, {"other": np.zeros(1)}, "unknown member 'other'"),
    ],
)
def test_files_that_are_no_pattern_set_are_refused(
    meta: dict[str, Any], arrays: dict[str, NDArray[Any]], reason: str, tmp_path: Path
) -> None:
    ps = pattern_sets()["gates"]
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


# Between (1, 1, 0) and (1, 1, 1e-15) there are cells that no gate of doubles is in.
THIN = np.vstack([np.eye(3), [1.0, 1.0, 0.0], [1.0, 1.0, 1e-15], [1.0, -1.0, 2.0]])


def test_thin_cells_are_saved_with_what_finds_the_gates_of_the_others(tmp_path: Path) -> None:
    path = tmp_path / "file"
    ps = cx.enumerate_patterns(THIN, snap=False)
    thin, margins = ps.thin, ps.margins(THIN)
    assert 0 < len(thin) < len(ps)
    wide = np.setdiff1d(np.arange(len(ps)), thin)
    assert (margins[thin] == 0).all()
    np.testing.assert_array_equal(margins[wide], ps[wide].margins(THIN))
    assert margins[wide].min() > 0.1
    for one in (ps, ps[::-1], ps.complement()):
        one.save(path)
        again = cx.load_patterns(path)
        assert again == one
        assert not again.is_complete
        np.testing.assert_array_equal(again.thin, one.thin)
        np.testing.assert_array_equal(again.margins(THIN), one.margins(THIN))
        assert again.complement() == one.complement()
        with pytest.raises(ValueError, match="too thin for a float64 gate"):
            _ = again.gates
        wide = np.setdiff1d(np.arange(len(one)), one.thin)
        assert_same(again[wide], one[wide])
    with pytest.raises(ValueError, match="`X` must be the data of the patterns"):
        ps.margins(-THIN)


def test_sets_without_some_gates_are_saved_without_any(tmp_path: Path) -> None:
    path = tmp_path / "file"
    faces = np.random.default_rng(0).standard_normal((6, 3))  # not decimals: no ties in doubles
    tied = cx.enumerate_patterns(np.vstack([faces, -faces[:3]]), faces=True)
    for one in (cx.enumerate_patterns(THIN, snap=False).restrict([0, 1, 2, 5]), tied):
        one.save(path)
        again = cx.load_patterns(path)
        assert again == one
        assert again.gates is None


def test_data_that_are_not_those_of_the_patterns(tmp_path: Path) -> None:
    path = tmp_path / "file"
    ps = cx.enumerate_patterns(THIN, snap=False)
    arrays: dict[str, NDArray[Any]] = {"packed": ps.packed, "zero_rows": np.zeros(1, np.uint64)}
    meta = {"n_samples": 6, "interior": True}
    _npz.write(path, "patterns", meta, {**arrays, "data": THIN[::-1]})
    with pytest.raises(ValueError, match="too thin for a float64 gate"):
        _ = cx.load_patterns(path).gates  # gates are checked, whoever wrote the data
    _npz.write(path, "patterns", meta, {**arrays, "data": THIN[:5]})
    with pytest.raises(ValueError, match="`data` must have 6 rows, and there must be no gates"):
        cx.load_patterns(path)
