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
