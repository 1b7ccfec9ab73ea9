"""``pyconvexnn patterns``: counts, files and samples of a table."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pyconvexnn as cx
from pyconvexnn import __main__


@pytest.fixture
def run(capfd: pytest.CaptureFixture[str]) -> Any:
    def call(*arguments: str | Path) -> tuple[int, str, str]:
        code = __main__.main(["patterns", *(str(argument) for argument in arguments)])
        return code, *capfd.readouterr()

    return call


@pytest.fixture
def table(tmp_path: Path) -> tuple[Path, Any]:
    """30 rows, 3 features and a target with a header."""
    X = np.random.default_rng(0).standard_normal((30, 3))
    path = tmp_path / "table.csv"
    np.savetxt(
        path,
        np.column_stack([X, X[:, 0]]),
        delimiter=",",
        header="a,b,c,y",
        comments="",
        fmt="%.17g",
    )
    return path, X


def test_most_that_there_can_be(run: Any, table: tuple[Path, Any]) -> None:
    path, _ = table
    code, out, err = run(path, "--target", "y", "--json")
    assert (code, err) == (0, "")
    assert json.loads(out) == {
        "samples": 30,
        "features": 3,
        "distinct hyperplanes": 30,
        "rank": 3,
        "patterns at most": cx.count_patterns(30, 3),
    }


def test_rows_that_are_all_zero_have_one_pattern(run: Any, tmp_path: Path) -> None:
    (tmp_path / "zeros.csv").write_text("0,0\n0,0\n")
    for options in ([], ["--count"]):
        code, out, _ = run(tmp_path / "zeros.csv", "--json", *options)
        assert code == 0
        assert 1 in json.loads(out).values()


def test_count_with_intercept(run: Any, table: tuple[Path, Any]) -> None:
    path, X = table
    code, out, _ = run(path, "--target", "y", "--intercept", "--count", "--json")
    assert code == 0
    facts = json.loads(out)
    assert facts["rank"] == 4
    assert facts["patterns"] == cx.count_patterns(np.column_stack([X, np.ones(30)]))


def test_all_columns_without_a_target(run: Any, table: tuple[Path, Any]) -> None:
    facts = json.loads(run(table[0], "--json")[1])
    assert (facts["features"], facts["rank"]) == (4, 3)  # y repeats the first column


def test_all_of_them_in_a_file(run: Any, table: tuple[Path, Any], tmp_path: Path) -> None:
    path, X = table
    code, out, _ = run(path, "--target", "y", "--out", tmp_path / "all.npz")
    assert code == 0
    assert "complete" in out
    assert cx.load_patterns(tmp_path / "all.npz") == cx.enumerate_patterns(X)


def test_sample_to_stdout_and_to_a_file(run: Any, table: tuple[Path, Any], tmp_path: Path) -> None:
    path, X = table
    expected = cx.sample_patterns(X, 5, seed=3)
    code, out, err = run(path, "--target", "y", "--sample", 5, "--seed", 3)
    assert (code, err) == (0, "")
    bits = np.array([[int(digit) for digit in line] for line in out.split()], bool)
    np.testing.assert_array_equal(bits, expected.to_dense())
    run(path, "--target", "y", "--sample", 5, "--seed", 3, "--out", tmp_path / "some.npz")
    assert cx.load_patterns(tmp_path / "some.npz") == expected


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--count", "--sample", "3"], "--count goes with neither"),
        (["--target", "z"], "has no column 'z'"),
        (["--sample", "3", "--method", "magic"], "`method` must be one of"),
        (["--sample", "0"], "0 is not in the range"),
        (["--out", "nowhere/all.npz"], "folder of nowhere/all.npz does not exist"),
    ],
)
def test_bad_input(run: Any, table: tuple[Path, Any], arguments: list[str], message: str) -> None:
    code, out, err = run(table[0], *arguments)
    assert (code, out) == (2, "")
    assert message in err
    assert err.count("\n") == 1


def test_more_patterns_than_memory_is_one_sentence(run: Any, tmp_path: Path) -> None:
    path = tmp_path / "wide.csv"
    np.savetxt(path, np.random.default_rng(0).standard_normal((200, 12)), delimiter=",")
    code, _, err = run(path, "--out", tmp_path / "all.npz")
    assert code == 2
    assert f"{cx.count_patterns(200, 12)} patterns take" in err
    assert "sample_patterns" in err
