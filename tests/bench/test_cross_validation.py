"""The table of cross-validated networks: its rows, and a run of it on a small file."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench import cross_validation as bench


def found(relu: float, gates: list[float], theirs: list[list[float]]) -> dict[str, Any]:
    runs: dict[str, Any] = {"ReLU 0": {"scores": [relu] * 5, "seconds": 4.0}}
    runs |= {f"gates {i}": {"scores": [x] * 5, "seconds": 2.0 + i} for i, x in enumerate(gates)}
    return runs | {f"MLP {i}": {"scores": x, "seconds": 6.0} for i, x in enumerate(theirs)}


def test_a_row_judges_the_best_of_ours_by_their_best_seed() -> None:
    X = np.zeros((30, 2))
    worse, best = [0.5] * 5, [0.7, 0.9, 0.8, 0.8, 0.8]
    error = np.std(best, ddof=1) / np.sqrt(5)  # .0316, mean .8
    line, reached = bench.row("pima", X, found(0.6, [0.7, 0.77, 0.6], [worse, best, worse]))
    cells = [cell.strip() for cell in line.strip("|").split("|")]
    assert cells[:5] == ["pima", "30 x 2", "accuracy", "0.6000 +- 0.0000", "4.0"]
    assert cells[5:8] == ["0.7700 +- 0.0000", "0.1700", "3.0"]
    assert cells[8:] == [f"0.8000 +- {error:.4f}", "0.3000", "6.0", "yes"]
    assert reached
    assert not bench.row("pima", X, found(0.6, [0.7, 0.76, 0.6], [worse, best, worse]))[1]
    assert bench.row("pima", X, found(0.77, [0.7, 0.76, 0.6], [worse, best, worse]))[1]


@pytest.mark.filterwarnings("ignore")  # of networks that ten iterations do not train
def test_a_run_is_written_down_and_continued(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rng = np.random.default_rng(0)
    X = rng.standard_normal((60, 3))
    table = np.column_stack([X, X[:, 0] > 0])
    np.savetxt(tmp_path / "haberman.csv", table, delimiter=",", fmt="%.6g")
    monkeypatch.setattr(bench, "ALPHAS", np.array([0.1, 1.0]))
    monkeypatch.setitem(bench.OPTIONS, "betas", 3)
    written = tmp_path / "results.json"
    command = ["", str(tmp_path), "--only", "haberman", "--results", str(written)]
    monkeypatch.setattr(sys, "argv", command)
    bench.main()
    printed = capsys.readouterr().out
    assert "| haberman | 60 x 3 | accuracy |" in printed
    runs = json.loads(written.read_text())["haberman"]
    assert sorted(runs) == ["MLP 0", "MLP 1", "MLP 2", "ReLU 0", *(f"gates {i}" for i in range(3))]
    assert all(np.mean(run["scores"]) > 0.85 for run in runs.values())  # one column tells
    # Nothing is measured again.
    for name in ("ours", "theirs"):
        monkeypatch.setattr(bench, name, None)
    bench.main()
    assert capsys.readouterr().out == printed
