"""Hostile proofs of a megabyte: refused within a second, and 64 MB."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pyconvexnn._typing import FloatArray
from pyconvexnn.proofs import checker, files
from tests.proofs.forging import Proof, reseal

MODULE = Path(str(checker.__file__))
_MEASURED = """
import pathlib, sys, time
sys.path.insert(0, {folder!r})
import checker, numpy as np
X, y, status = np.load("X.npy"), np.load("y.npy"), pathlib.Path("/proc/self/status")
def most():
    return int(status.read_text().split("VmHWM:")[1].split()[0])
checker.check("good", X, y)
for name in sys.argv[2:]:
    pathlib.Path("/proc/self/clear_refs").write_text("5")
    before, begun = most(), time.process_time()
    try:
        checker.check(name, X, y, exact=sys.argv[1] == "exact")
    except checker.ProofError:
        print(name, time.process_time() - begun, (most() - before) / 1024)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="/proc")
@pytest.mark.parametrize("arithmetic", ["floats", "exact"])
def test_hostile_files_take_little(proof: Proof, tmp_path: Path, arithmetic: str) -> None:
    proof.check(tmp_path / "good")
    lines = (tmp_path / "good").read_bytes().split(b"\n", 2)
    texts = {
        "lists": b"[" + b"[]," * 330_000 + b"0]",
        "chains": b"[" + (b"[" * 900 + b"]" * 900 + b",") * 550 + b"0]",
        "deep": b"[" * 500_000 + b"]" * 500_000,
        "objects": b"[" + b'{"":{}},' * 120_000 + b"0]",
        "digits": b"[" + b"9" * 1_000_000 + b"]",
        "decimals": b"[1." + b"9" * 1_000_000 + b"]",
        "letters": b'["\xf0\x9f\x98\x80' + b"a" * 990_000 + b'"]',
        "bytes": b"\xff" * 1_000_000,
        "nothing": b"",
    }
    for count in (-1, 10**15, 10**30, 1.5, "9", None, [1]):
        head = {**proof.head, "arrays": [["dual", "f8", count]]}
        texts[f"count{count}"] = json.dumps(head).encode()
    kinds: list[Any] = [3, "a", {}, None, [[1, "f8", 1]], [["dual", "O", 1]], [[["a"], "u4", 1]]]
    for listed in kinds:
        texts[f"listed{listed}".replace(" ", "")] = json.dumps({"arrays": listed}).encode()
    for name, text in texts.items():
        data = b"\n".join([lines[0], text, lines[2]])
        (tmp_path / name).write_bytes(reseal(data))
    trees = {
        "leaves": np.full(240_000, 3),
        "halves": np.zeros(240_000),
        "told": np.full(240_000, 2**32 - 1),
        "comb": np.array([1] * 44 + [2] * 44 + [3] * 89),
    }
    for name, tree in trees.items():
        proof.holding({"tree0+": tree.astype(np.uint32)}).refused(tmp_path / name)
    arrays = {"axes0": np.ones(120_000), "dual": np.ones(120_000)}
    for name, array in arrays.items():
        proof.holding({name: array}).refused(tmp_path / name)
    # One that proves all its leaves but the last.
    codes, stack = [], [16]
    while stack:
        left = stack.pop()
        codes.append(1 + left % 2 if left else 3)
        stack += [left - 1] * 2 if left else []
    none = np.empty(0, np.uint32)
    loose: dict[str, Any] = {"tree0+": np.array([*codes, 3, 3, 3, 3], np.uint32), "places0+": none}
    loose |= {"values0+": np.empty(0)}
    proof.holding(loose).with_price(1e3).refused(tmp_path / "last")
    names = [*texts, *trees, *arrays, "last"]
    np.save(tmp_path / "X.npy", proof.X)
    np.save(tmp_path / "y.npy", proof.y)
    script = _MEASURED.format(folder=str(MODULE.parent))
    done = subprocess.run(
        [sys.executable, "-c", script, arithmetic, *names],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    measured = [line.split() for line in done.stdout.splitlines()]
    assert [name for name, *_ in measured] == names
    for name, seconds, megabytes in measured:
        assert float(seconds) < 1.0, name
        assert float(megabytes) < 64.0, name


def loose(X: FloatArray, axes: FloatArray, trees: list[int]) -> Proof:
    """A proof of so little that any boxes do."""
    n, d = X.shape
    y = v = np.ones(n)
    M = 9.0 * float(np.abs(X).sum())
    head = {"samples": n, "features": d, "outputs": 1, "beta": 1.0, "loss": "squared"}
    head |= {"delta": 0.0, "activation": "relu", "slope": 0.0, "output_offset": False}
    head |= {"penalty": "weight_decay", "scale": [(1 - 1e-14) / M], "price_bound": [M]}
    arrays: dict[str, Any] = {"dual": v, "axes0": axes.ravel()}
    for sign in "+-":
        arrays |= {f"tree0{sign}": np.array(trees, np.uint32), f"values0{sign}": np.empty(0)}
        arrays |= {f"places0{sign}": np.empty(0, np.uint32)}
    return Proof(X, y, np.ones(n), head, arrays).of_data(X, y).claiming()


def halved(r: int, depth: int) -> list[int]:
    """Trees whose boxes are all halved so often, along any coordinates that they have."""
    codes = []
    for face in range(2 * r):
        stack = [(0, face // 2)]
        while stack:
            level, own = stack.pop()
            codes.append((own + 1 + level % (r - 1)) % r if level < depth else r)
            stack += [(level + 1, own)] * 2 * (level < depth)
    return codes


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="/proc")
@pytest.mark.parametrize("exact", [False, True])
def test_the_boxes_at_a_time_are_few_where_they_are_large(tmp_path: Path, exact: bool) -> None:
    rng = np.random.default_rng(0)
    if exact:  # numbers of very different sizes have thousands of digits
        X, r = rng.standard_normal((100, 4)), 4
        axes = np.where(np.eye(4) > 0, 1.0, 1e-295 * rng.standard_normal((4, 4)))
    else:
        X, r = rng.standard_normal((2, 40_000)), 2
        axes = np.eye(40_000, 2)
    made = loose(X, axes, halved(r, 5 if exact else 8))
    (tmp_path / "a").write_bytes(files._content(made.head, made.arrays))
    for name in ("X", "y"):
        np.save(tmp_path / f"{name}.npy", getattr(made, name))
    script = _GROWN.format(folder=str(MODULE.parent), exact=exact)
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert float(done.stdout) < 64.0


_GROWN = """
import sys, pathlib
sys.path.insert(0, {folder!r})
import checker, numpy as np
X, y, status = np.load("X.npy"), np.load("y.npy"), pathlib.Path("/proc/self/status")
def most():
    return int(status.read_text().split("VmHWM:")[1].split()[0])
before = most()
assert checker.check("a", X, y, exact={exact})["leaves"] > 100
print((most() - before) / 1024)
"""


def test_pipes_and_devices_are_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", "/dev/zero", "/dev/null", tmp_path, 3, None):
        with pytest.raises(checker.ProofError):
            checker.check(path, np.ones((2, 1)), np.ones(2))
    with pytest.raises(FileNotFoundError):
        checker.check(tmp_path / "nothing", np.ones((2, 1)), np.ones(2))
