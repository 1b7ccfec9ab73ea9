"""The table of networks that users train otherwise, without PyTorch; its module beside it."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from bench import networks as bench
from bench import trainers
from bench.compare import evaluate
from bench.peers import torch_module_peer
from pyconvexnn._typing import FloatArray


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    X = np.column_stack([3.0 + 2.0 * rng.standard_normal((80, 3)), np.ones(80)])
    table = np.column_stack([X, X[:, 0] + 0.3 * rng.standard_normal(80) > 3.0])
    np.savetxt(tmp_path / "haberman.csv", table, delimiter=",", fmt="%.6g")
    return tmp_path


def test_a_table_is_standardised_on_what_is_trained_on(folder: Path) -> None:
    data = bench.load("haberman", folder)
    assert data.X.shape == (60, 4)  # the constant column is gone, there is one of tens
    assert data.X_test.shape == (20, 4)
    np.testing.assert_allclose(data.X.mean(axis=0), [0, 0, 0, 10], atol=1e-12)
    np.testing.assert_allclose(data.X.std(axis=0), [1, 1, 1, 0], atol=1e-12)
    assert (data.X_test[:, 3] == 10.0).all()
    assert abs(data.X_test.mean(axis=0)[0]) > 1e-6
    assert sorted(set(data.y)) == [-1.0, 1.0]
    np.testing.assert_allclose(data.betas / data.betas[0], np.array(bench.RATIOS) / 0.3)


def test_columns_are_cut_and_regressions_standardised() -> None:
    cut, whole = (bench.load(name, Path()) for name in ("diabetes:bmi,bp,s5", "diabetes"))
    np.testing.assert_array_equal(cut.X[:, :3], whole.X[:, [2, 3, 8]])
    assert abs(cut.y.mean()) < 1e-12
    assert cut.y.std() == pytest.approx(1.0)
    assert (cut.loss, len(cut.y), len(cut.y_test)) == ("squared", 331, 111)


def test_a_run(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(bench, "RATIOS", (0.3, 0.05))
    monkeypatch.setattr(bench, "dgemm_rate", lambda: 104.0)
    command = ["", str(folder), "--only", "haberman", "--tools", "sklearn", "--seeds", "2"]
    monkeypatch.setattr(sys, "argv", command)
    bench.main()
    printed = capsys.readouterr().out
    lines = [line for line in printed.splitlines() if line.startswith("| ")]
    assert 1 <= len(lines) - 1 <= 2
    cells = [cell.strip() for cell in lines[1].strip("|").split("|")]
    assert cells[:2] == ["haberman", "60 + 20 x 3"]
    objectives = [float(x) for x in cells[4].split(" / ")]
    distances = [float(x) for x in cells[5].split(" / ")]
    assert 0.999 * float(cells[3]) <= objectives[0] <= objectives[1]
    assert distances[0] <= 1e-4  # three features: proved
    assert distances[0] <= distances[1] < 0.1
    assert all(float(x) > 0.7 for x in cells[7].split(" / "))  # one column tells
    assert f"{len(lines) - 1} lines; ours proved to 0.0001 in {len(lines) - 1}." in printed


def test_what_is_told_of_all_lines() -> None:
    def line(ours: float, theirs: float, by: str) -> bench.Line:
        objectives = {"ours": ours, "torch": theirs}
        scores = {"ours": 0.5, "torch": 0.75 if by == "torch" else 0.25}
        biases = {"ours": 0.01, "torch": 0.001}
        return bench.Line(0.1, [by], 9.0, objectives, scores, {"ours": 1.0, "torch": 2.0}, biases)

    lines = [line(9.0, 10.0, "ours"), line(12.0, 10.0, "torch"), line(10.0, 10.0, "torch")]
    assert lines[0].cells()[3:5] == ["0.0e+00 / 1.0e-01", "best / 1.1e-01"]
    said = bench.summary(lines, {"ours": 3.0, "torch": 4.0}).split("\n")
    assert said[1] == "3 lines; ours proved to 0.0001 in 1."
    assert said[2].startswith("ours: best objective in 2, above it by at most 2.0e-01 (median 0")
    assert said[3].startswith("PyTorch: best objective in 2, above it by at most 1.1e-01")
    assert "share at most 1.0e-03" in said[3]
    assert said[3].endswith("own penalty 0.750; 6 s of training, 4 s of choosing.")


def trained(data: trainers.Data, offset: float) -> trainers.Trained:
    """One unit of the first column, its objective by hand."""
    net = trainers.Net(np.array([[2.0, 0.0, 0.0, 0.1]]), np.array([0.5]), offset)
    f = 0.5 * np.maximum(2.0 * data.X[:, 0] + 1.0, 0.0) + offset
    claimed = np.logaddexp(0.0, -data.y * f).sum() + 3.0 / 2 * (4.0 + 0.01 + 0.25)
    return trainers.Trained(net, float(claimed), 1.0)


def test_objectives_are_judged(folder: Path) -> None:
    data = bench.load("haberman", folder)
    right = trained(data, -1.5)  # the offset is not decayed
    assert bench.judged(data, 3.0, "x", right, 1.0) == pytest.approx(right.claimed, rel=1e-12)
    with pytest.raises(AssertionError, match=r"beta 3, x: objective .* claimed"):
        bench.judged(data, 3.0, "x", right._replace(claimed=1.001 * right.claimed), 1.0)
    with pytest.raises(AssertionError, match="below the bound"):
        bench.judged(data, 3.0, "x", right, 1.001 * right.claimed)


def test_networks_of_scikit_learn_in_our_problem(folder: Path) -> None:
    data = bench.load("haberman", folder)
    best = trainers.Sklearn(2).train(data, 1.0)
    # `judged` compares what scikit-learn says, plus the biases' share, with the weights.
    value = bench.judged(data, 1.0, "sklearn", best, 0.0)
    ours = trainers.Ours(10.0).train(data, 1.0)
    assert ours.bound <= bench.judged(data, 1.0, "ours", ours, ours.bound) <= value


@pytest.mark.parametrize(("scores", "first"), [([1, 3, 3], 1), ([0.1 + 0.2, 0.3], 0), ([2, 1], 0)])
def test_of_equal_scores_the_largest_penalty(scores: list[float], first: int) -> None:
    assert trainers.first_best(scores) == first


def test_the_module_of_pytorch(folder: Path) -> None:
    """Its own objective, where PyTorch is installed, is that of the arrays it returns."""
    pytest.importorskip("torch")
    data = bench.load("haberman", folder)
    problem = data.problem(np.array([3.0]))
    session = torch_module_peer.prepare("torch-module", problem)
    session.solve(1)
    answer = session.answer()
    assert answer.hidden is not None
    assert answer.output is not None
    hidden: FloatArray = answer.hidden[0]
    f = np.maximum(data.X @ hidden.T, 0.0) @ answer.output[0]
    squares = np.sum(hidden[:-1] ** 2) + np.sum(answer.output[0, :-1] ** 2)
    value = evaluate.loss_value(problem, f) + 1.5 * squares
    assert answer.objective[0] == pytest.approx(value, rel=1e-9)
