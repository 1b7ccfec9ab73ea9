"""Hostile proofs of a megabyte: refused within a second, and 64 MB."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pyconvexnn.proofs import checker, files
from tests.proofs.forging import Proof, halved, loose, reseal

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


def wasteful(n: int, d: int, r: int, codes: int) -> Proof:
    """A proof that holds, of more boxes than it needs."""
    X = np.random.default_rng(0).standard_normal((n, d))
    depth = int(np.log2(codes / (4 * r)))
    return loose(X, np.eye(d, r), halved(r, depth))


@pytest.mark.parametrize("exact", [False, True])
@pytest.mark.parametrize(
    "shape", [(20_000, 2, 2), (3000, 40, 40), (300, 5, 5), (2, 10_000, 5), (2, 250, 250)]
)
def test_long_checks_are_refused_in_a_second(
    tmp_path: Path, shape: tuple[int, int, int], exact: bool
) -> None:
    made = wasteful(*shape, codes=60_000)
    file = tmp_path / "a"
    begun = time.process_time()
    why = made.refused(file, exact=exact)
    assert time.process_time() - begun < 1.0
    if shape != (300, 5, 5) or exact:
        assert why is not None
        assert "steps: ask it to be patient" in why
        assert len(file.read_bytes()) < 1_000_000


@pytest.mark.parametrize("exact", [False, True])
def test_long_checks_are_made_when_asked_for(tmp_path: Path, exact: bool) -> None:
    made = wasteful(100, 4, 4, 20_000) if exact else wasteful(10_000, 2, 2, 4000)
    assert "patient" in str(made.refused(tmp_path / "a", exact=exact))
    small = wasteful(100, 4, 4, 300) if exact else wasteful(10_000, 2, 2, 1000)
    assert small.check(tmp_path / "b", exact=exact)["leaves"] > 100
    if not exact:
        head = checker.check(tmp_path / "a", made.X, made.y, patient=True)
        assert head["leaves"] > 2000


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="/proc")
def test_axes_of_nothing_take_no_memory(tmp_path: Path) -> None:
    X = np.random.default_rng(0).standard_normal((20_000, 48))
    made = loose(X, np.empty((48, 0)), [])
    assert "patient" in str(made.refused(tmp_path / "a", exact=True))


def test_all_of_a_check_is_counted_before_it_begins(tmp_path: Path) -> None:
    X, K = np.random.default_rng(0).standard_normal((1000, 3)), 100
    made = loose(X, np.eye(3), halved(3, 4))
    head, Y = made.head, np.ones((1000, K))
    M = head["price_bound"] * K
    head |= {"outputs": K, "penalty": "decoupled", "price_bound": M, "scale": head["scale"] * K}
    arrays = {"dual": np.ones(1000 * K)}
    for name, array in made.arrays.items():
        if name != "dual":
            arrays |= {name.replace("0", str(k)): array for k in range(K)}
    several = Proof(X, Y, made.weight, head, arrays).of_data(X, Y).claiming()
    several.refused(tmp_path / "a")
    assert len((tmp_path / "a").read_bytes()) < 1_500_000
    begun = time.process_time()
    with pytest.raises(checker.ProofError, match="patient"):
        checker.check(tmp_path / "a", X, Y)
    assert time.process_time() - begun < 0.3


def test_numbers_of_many_digits_count_as_more_steps(tmp_path: Path) -> None:
    X = np.random.default_rng(0).standard_normal((100, 4))
    axes = np.where(np.eye(4) > 0, 1.0, 1e-295)
    made = loose(X, axes, halved(4, 4))
    assert made.check(tmp_path / "a")["leaves"] == 256
    with pytest.raises(checker.ProofError, match="patient"):
        made.check(tmp_path / "a", exact=True)
    plain = loose(X, np.eye(4), halved(4, 4))
    assert plain.check(tmp_path / "b", exact=True)["leaves"] == 256


_GROWN = """
import sys, pathlib
sys.path.insert(0, {folder!r})
import checker, numpy as np
X, y, status = np.load("X.npy"), np.load("y.npy"), pathlib.Path("/proc/self/status")
def most():
    return int(status.read_text().split("VmHWM:")[1].split()[0])
before = most()
assert checker.check("a", X, y, exact={exact}, patient=True)["leaves"] > 100
print((most() - before) / 1024)
"""


def test_pipes_and_devices_are_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", "/dev/zero", "/dev/null", tmp_path, 3, None):
        with pytest.raises(checker.ProofError):
            checker.check(path, np.ones((2, 1)), np.ones(2))
    with pytest.raises(FileNotFoundError):
        checker.check(tmp_path / "nothing", np.ones((2, 1)), np.ones(2))
