"""Networks in files: what travels, and every kind of damage."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import pyconvexnn as cx
from pyconvexnn import _npz
from pyconvexnn.networks import read_network, write_network
from tests.networks.examples import assert_same, make


def test_extra_travels_with_the_network(tmp_path: Path) -> None:
    extra = {"classes": ["nä", "yes"], "columns": {"a": [1, 2.5, None, True]}, "empty": {}}
    write_network(tmp_path / "net", make(), extra)
    net, found = read_network(tmp_path / "net")
    assert found == extra
    assert_same(make(), net)
    assert_same(make(), cx.load_network(tmp_path / "net"))
    make().save(tmp_path / "plain")
    assert read_network(tmp_path / "plain")[1] == {}


META: dict[str, Any] = {"activation": "gated_relu", "extra": {}}


@pytest.mark.parametrize(
    ("meta", "arrays", "reason"),
    [
        ({}, {}, "must hold activation and the object extra"),
        ({**META, "extra": []}, {}, "must hold activation and the object extra"),
        ({**META, "code": "x"}, {}, "must hold activation and the object extra"),
        (
            {**META, "activation": "tanh"},
            {},
            "`activation` must be one of gated_relu, relu, leaky_relu, abs; got 'tanh'",
        ),
        (
            {**META, "activation": []},
            {},
            "`activation` must be one of gated_relu, relu, leaky_relu, abs; got []",
        ),
        (META, {"W1": np.ones((3, 3))}, "`W2` must have 3 rows, got shape (5, 1)"),
        (META, {"gates": np.ones((5, 2))}, "`gates` must have 3 columns, got shape (5, 2)"),
        (META, {"b1": np.ones(4)}, "`b1` must have 5 entries, got 4"),
        (META, {"b2": np.ones(0)}, "`b2` must have 1 entries, got 0"),
        (META, {"W2": np.full((5, 1), np.inf)}, "W2.npy must be finite"),
        (META, {"W2": np.full((5, 1), 1e200)}, "`W2` must have its largest entry"),
        (META, {"W1": np.ones((5, 3), np.float32)}, "W1.npy has no plain .npy header"),
        (META, {"W1": np.ones((5, 3), np.uint64)}, "W1.npy must have dtype <f8"),
        (META, {"W1": np.ones(5)}, "W1.npy must have dtype <f8 and 2 dimensions"),
        (META, {"b3": np.ones(1)}, "unknown member 'b3'"),
    ],
)
def test_files_that_are_no_network_are_refused(
    meta: dict[str, Any], arrays: dict[str, NDArray[Any]], reason: str, tmp_path: Path
) -> None:
    net, path = make(), tmp_path / "net"
    good = {"W1": net.W1, "W2": net.W2, "gates": net.gates}
    _npz.write(path, "network", META, good)
    assert_same(net, cx.load_network(path))
    _npz.write(path, "network", meta, {**good, **arrays})
    with pytest.raises(ValueError, match="`path` must be a pyconvexnn network file") as caught:
        cx.load_network(path)
    assert reason in str(caught.value)


def test_a_network_without_gates_or_of_another_kind_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "net"
    _npz.write(path, "network", META, {"W1": make().W1, "W2": make().W2})
    with pytest.raises(ValueError, match="member 'gates' is missing"):
        cx.load_network(path)
    cx.PatternSet.from_dense([[1, 0]]).save(path)
    with pytest.raises(ValueError, match="must be a pyconvexnn network file"):
        cx.load_network(path)
    with pytest.raises(FileNotFoundError):
        cx.load_network(tmp_path / "none")


@pytest.mark.parametrize(
    ("meta", "gates", "reason"),
    [
        ({"activation": "relu"}, False, "its JSON part must hold a slope"),
        ({"activation": "gated_relu", "slope": 0.1}, True, "its JSON part must hold no slope"),
        ({"activation": "gated_relu"}, False, "member 'gates' is missing"),
        ({"activation": "relu", "slope": 0.1}, True, "member 'gates' is there without use"),
        ({"activation": "relu", "slope": "0"}, False, "`slope` must be a real number, got '0'"),
        ({"activation": "leaky_relu", "slope": 2.0}, False, "`slope` must be < 1, got 2.0"),
    ],
)
def test_files_of_mixed_kinds_are_refused(
    meta: dict[str, Any], gates: bool, reason: str, tmp_path: Path
) -> None:
    net = make()
    arrays = {"W1": net.W1, "W2": net.W2} | ({"gates": net.gates} if gates else {})
    _npz.write(tmp_path / "net", "network", {**meta, "extra": {}}, arrays)
    with pytest.raises(ValueError, match="`path` must be a pyconvexnn network file") as caught:
        cx.load_network(tmp_path / "net")
    assert reason in str(caught.value)
