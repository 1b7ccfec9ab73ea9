"""The table of ten classes, on a few small images."""

from __future__ import annotations

import gzip
import struct
import sys
from pathlib import Path

import numpy as np
import pytest

from bench import digits


def write_idx(path: Path, items: np.ndarray) -> None:
    head = struct.pack(">HBB", 0, 8, items.ndim) + struct.pack(f">{items.ndim}I", *items.shape)
    with gzip.open(path, "wb") as file:
        file.write(head + items.astype(np.uint8).tobytes())


@pytest.mark.filterwarnings("ignore")  # of networks that few rows do not train
def test_a_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rng = np.random.default_rng(0)
    labels = rng.permutation(np.repeat(np.arange(3), 40))
    images = rng.integers(0, 50, (120, 4, 4))
    images[np.arange(120), labels, 0] += 180  # the class is where the light is
    write_idx(tmp_path / "t10k-images-idx3-ubyte.gz", images)
    write_idx(tmp_path / "t10k-labels-idx1-ubyte.gz", labels)
    command = ["", str(tmp_path), "--ratio", "0.05", "--patterns", "20"]
    monkeypatch.setattr(sys, "argv", command)
    monkeypatch.setattr(digits, "SEEDS", (0,))
    digits.main()
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("| ")]
    ours = lines[1].split(" | ")
    assert ours[0] == "| gated network, 20 patterns, beta = 0.05 beta_max"
    assert float(ours[1]) > 0.9
    assert "relative gap" in ours[3]
    assert [line.split(" ")[1] for line in lines[2:]] == ["LogisticRegression", "MLPClassifier"]


def test_a_gap_that_is_not_reached_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(1)
    X, y = rng.standard_normal((30, 3)), np.arange(30) % 3
    monkeypatch.setattr(digits, "TOL", 1e-300)
    with (
        pytest.warns(UserWarning, match="solve stopped"),
        pytest.raises(AssertionError, match=r"relative gap .* at ratio 0.1, above 1e-300"),
    ):
        digits.ours((X, y, X, y), 0.1, 10)
