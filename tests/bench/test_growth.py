"""Fitted laws, and the tables of growth made small."""

from __future__ import annotations

import sys

import numpy as np
import pytest

import pyconvexnn as cx
from bench import growth, laws
from bench.compare import evaluate
from tests import lp_tree


def table(text: str, first: str) -> list[list[str]]:
    """Rows below the head that begins with a cell."""
    lines = text.splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith(f"| {first} |")) + 2
    rows = []
    for line in lines[start:]:
        if not line.startswith("|"):
            break
        rows.append([cell.strip() for cell in line.strip("|").split("|")])
    return rows


def test_the_exponent_of_a_power() -> None:
    sizes = np.array([1.0, 10.0, 100.0, 1e4])
    exact = laws.power(sizes, 3.0 * sizes**1.5)
    assert exact is not None
    assert exact == pytest.approx((1.5, 0.0, 1.0), abs=1e-6)
    # Noise of 10 %: the interval holds the exponent, and is not wide.
    sizes = np.geomspace(1.0, 1e4, 40)
    noise = np.random.default_rng(0).normal(0.0, 0.1, 40)
    found = laws.power(sizes, sizes**0.7 * np.exp(noise))
    assert found is not None
    assert abs(found.slope - 0.7) < found.half_width < 0.03
    assert 0.99 < found.r2 < 1.0
    assert laws.power_text(found).startswith("0.7")


def test_the_factor_of_an_exponential() -> None:
    steps = [2, 3, 4, 5]
    text = laws.factor_text(laws.factor(steps, [0.1 * 2.5**d for d in steps]))
    assert text == "2.50, 2.50 to 2.50 (R2 1.00)"


def test_no_law_of_too_few_points() -> None:
    assert laws.power([1, 2], [1.0, 2.0]) is None
    assert laws.power([5, 5, 6], [1.0, 2.0, 3.0]) is None
    assert laws.power_text(None) == laws.factor_text(None) == ""


def test_the_larger_half() -> None:
    assert laws.larger([10, 20, 30, 40, 40, 10]) == [2, 3, 4]
    assert laws.larger([1, 3, 2]) == [1, 2]


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> None:
    monkeypatch.setattr(growth, "dgemm_rate", lambda: 104.0)
    monkeypatch.setattr(sys, "argv", ["", *arguments])
    growth.main()


def test_a_run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    sizes = ["--enumerate", "10,3", "20,3", "40,3", "--tree", "5,2", "6,3"]
    run(monkeypatch, *sizes, "--train", "20,2", "40,2", "80,2", "--seeds", "1")
    printed = capsys.readouterr().out
    rows = table(printed, "n, columns")
    # 2 n in the plane; 2 (1 + (n - 1) + (n - 1)(n - 2) / 2) in space.
    assert [row[:2] for row in rows] == [
        ["5, 2", "10"],
        ["6, 3", "32"],
        ["10, 3", "92"],
        ["20, 3", "382"],
        ["40, 3", "1562"],
    ]
    assert [bool(row[4]) for row in rows] == [True, True, False, False, False]
    assert float(rows[0][5]) > 1.0  # a tree of linear programs is slower
    assert [row[0] for row in table(printed, "d \\ n")] == ["2"]
    assert "> " not in table(printed, "d \\ n")[0][1]
    assert table(printed, "d")[0][:2] == ["2", "20 to 80"]
    assert table(printed, "n") == []  # one number of features is no growth


def test_single_trainings(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run(monkeypatch, "--sizes", "30,2")
    (row,) = table(capsys.readouterr().out, "n, d | train to 0.001, s")
    assert row[0] == "30, 2"
    assert float(row[2]) <= 1e-3
    assert len(row) == 8


def test_what_is_not_proved_joins_no_law(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    slow = growth.Training(60.0, False, 0.5, 10, 3)
    quick = growth.Training(2.0, True, 1e-4, 10, 3)
    monkeypatch.setattr(growth, "train", lambda n, *_: slow if n == 400 else quick)
    growth.training_rows([(n, 2) for n in (50, 100, 200, 400)], 1e-3, 60.0, 2, 1.0)
    printed = capsys.readouterr().out
    assert table(printed, "d \\ n")[0] == ["2", *["2 (2 to 2)"] * 3, "> 60 (gap 5.0e-01)"]
    assert table(printed, "d")[0][1] == "50 to 200"


def test_a_wrong_count_or_set_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    X = np.random.default_rng(0).standard_normal((6, 2))
    repeated = np.vstack([X, X[:1]])  # not in general position: fewer cells than the formula's
    with pytest.raises(AssertionError, match="12 patterns, the formula says 14"):
        growth.stream_seconds(repeated)
    monkeypatch.setattr(lp_tree, "all_cells", lambda X: cx.enumerate_patterns(X).to_dense()[:-1])
    with pytest.raises(AssertionError, match="12 patterns, the tree has 11"):
        growth.tree_seconds(X)


def test_a_network_that_is_not_what_is_claimed(monkeypatch: pytest.MonkeyPatch) -> None:
    network_objective = evaluate.network_objective
    monkeypatch.setattr(
        evaluate, "network_objective", lambda *args: 1.001 * network_objective(*args)
    )
    with pytest.raises(AssertionError, match="objective"):
        growth.train(30, 2, 1e-3, 10.0, 1.0)
