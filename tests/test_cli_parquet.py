"""The commands on Parquet files: the same as on CSV files, and models that go from one to other."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest


@pytest.fixture
def twins(tmp_path: Path) -> tuple[Path, Path]:
    """The same table as CSV and as Parquet."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal(40)
    frame = pd.DataFrame(
        {
            "x": x,
            "single": rng.standard_normal(40).astype(np.float32),
            "flag": rng.random(40) < 0.5,
            "color": pd.Categorical(rng.choice(["red", "blue"], 40)),
            "y": np.abs(x) + 0.1 * rng.standard_normal(40),
        }
    )
    frame.to_csv(tmp_path / "data.csv", index=False)
    frame.to_parquet(tmp_path / "data.parquet", index=False)
    return tmp_path / "data.csv", tmp_path / "data.parquet"


def test_a_model_of_one_predicts_the_other(
    run: Any, twins: tuple[Path, Path], tmp_path: Path
) -> None:
    options = ["--target", "y", "--beta", "0.5", "--patterns", "50", "--json"]
    facts, predictions = [], set()
    for number, data in enumerate(twins):
        model = tmp_path / f"{number}.npz"
        code, out, err = run("fit", data, *options, "--save", model)
        assert (code, err) == (
            0,
            "pyconvexnn: target 'y': regression assumed (choose with --task)\n",
        )
        facts.append({k: v for k, v in json.loads(out).items() if k not in ("seconds", "model")})
        for other in twins:
            code, out, err = run("predict", model, other)
            assert (code, err) == (0, "")
            predictions.add(out)
    assert facts[0] == facts[1]
    assert facts[0]["features"] == 6
    assert len(predictions) == 1


def test_certify_and_patterns(run: Any, twins: tuple[Path, Path], tmp_path: Path) -> None:
    model = tmp_path / "m.npz"
    assert run("fit", twins[0], "--target", "y", "--beta", "9", "--save", model)[0] == 0
    for command in (
        ("certify", model),
        ("patterns", "--target", "y", "--sample", "9"),
        ("patterns", "--target", "y"),
    ):
        said = []
        for data in twins:
            code, out, err = run(*command, data, "--json")
            assert (code, err) == (0, "")
            said.append({k: v for k, v in json.loads(out).items() if k != "seconds"})
        assert said[0] == said[1]


def test_columns_by_position(run: Any, twins: tuple[Path, Path], tmp_path: Path) -> None:
    model, bare = tmp_path / "m.npz", tmp_path / "bare.csv"
    csv, parquet = twins
    bare.write_text("".join(csv.read_text().splitlines(keepends=True)[1:]))
    options = ["--target", "-1", "--beta", "9", "--patterns", "9", "--save", model]
    assert run("fit", bare, *options, "--no-header")[0] == 0
    of_bare = run("predict", model, bare)
    assert run("predict", model, parquet) == of_bare
    assert run("fit", parquet, *options, "--no-header")[0] == 0
    assert run("predict", model, bare) == of_bare


@pytest.mark.parametrize("command", ["fit", "predict", "certify", "patterns"])
def test_bad_files_are_one_sentence(
    run: Any, twins: tuple[Path, Path], tmp_path: Path, command: str
) -> None:
    csv, parquet = twins
    model, named, nested = tmp_path / "m.npz", tmp_path / "csv.parquet", tmp_path / "n.parquet"
    assert run("fit", csv, "--target", "y", "--beta", "99", "--save", model)[0] == 0
    named.write_bytes(csv.read_bytes())
    pd.DataFrame({"x": [[1.0], [2.0]], "y": [1.0, 2.0]}).to_parquet(nested)
    damaged = tmp_path / "damaged.parquet"
    damaged.write_bytes(parquet.read_bytes()[:-9])
    nulls = tmp_path / "nulls.parquet"
    frame = pd.read_parquet(parquet)
    frame.loc[3, "x"] = None
    frame.to_parquet(nulls)
    arguments: dict[str, list[Any]] = {
        "fit": ["--target", "y", "--beta", "1", "--save", tmp_path / "o.npz"],
        "predict": [model],
        "certify": [model],
        "patterns": [],
    }
    for path, message in [
        (named, "csv.parquet is not a Parquet file, or damaged"),
        (damaged, "damaged.parquet is not a Parquet file, or damaged"),
        (nested, "column 'x' must hold numbers, text, dates or truth values, got list<"),
        (nulls, "column 'x' must have no missing values (it has 1), got"),
    ]:
        code, out, err = run(command, *arguments[command], path)
        assert (code, out) == (2, "")
        assert message in err
        assert len(err.splitlines()) == 1


def test_help_names_both(run: Any) -> None:
    for command in ("fit", "predict", "certify", "patterns"):
        assert "Parquet" in run(command, "--help")[1]
