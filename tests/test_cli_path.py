"""``pyconvexnn path``: the points are the optima of their penalties."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_diabetes
from sklearn.model_selection import KFold

import pyconvexnn as cx


@pytest.fixture
def frame() -> pd.DataFrame:
    rng = np.random.default_rng(1)
    X = rng.standard_normal((25, 2))
    y = np.abs(X[:, 0]) + 0.1 * rng.standard_normal(25)
    kinds = np.array(["x", "y", "z"])[(y > 0.5).astype(int) + (y > 1)]
    return pd.DataFrame({"p": X[:, 0], "q": X[:, 1], "y": y, "kind": kinds})


@pytest.fixture
def numbers(frame: pd.DataFrame, tmp_path: Path) -> Path:
    frame[["p", "q", "y"]].to_csv(tmp_path / "numbers.csv", index=False)
    return tmp_path / "numbers.csv"


@pytest.fixture
def classes(frame: pd.DataFrame, tmp_path: Path) -> Path:
    frame[["p", "q", "kind"]].to_csv(tmp_path / "classes.csv", index=False)
    return tmp_path / "classes.csv"


def with_ones(frame: pd.DataFrame) -> Any:
    return np.column_stack([frame[["p", "q"]], np.ones(len(frame))])


def test_every_point_is_a_global_optimum(run: Any, frame: pd.DataFrame, numbers: Path) -> None:
    code, out, err = run("path", numbers, "--target", "y", "--n-betas", "5", "--json")
    facts = json.loads(out)
    assert (code, err) == (0, "pyconvexnn: target 'y': regression assumed (choose with --task)\n")
    X, points = with_ones(frame), facts["points"]
    largest = cx.beta_max(X, frame["y"]).value
    betas = [point["beta"] for point in points]
    np.testing.assert_allclose(betas, largest * np.geomspace(1, 0.01, 5), rtol=1e-6)
    for point in points:
        optimum = cx.train(X, frame["y"], point["beta"]).certificate
        assert point["proved"]
        assert point["lower_bound"] <= optimum.objective
        assert optimum.lower_bound <= point["objective"] <= optimum.objective * (1 + 1e-4)
        assert 0 <= point["relative_gap"] <= 1e-4
        assert point["method"] in ("enumeration", "branch_and_bound", "bound")
    assert points[0]["neurons"] == 0
    assert points[-1]["neurons"] > 1
    scores = [point["train_score"] for point in points]
    assert scores[0] < 0
    assert scores[-1] > 0.9
    assert (facts["loss"], facts["score"], facts["samples"]) == ("squared", "R2", 25)


def test_over_patterns_it_is_solve_path(run: Any, frame: pd.DataFrame, numbers: Path) -> None:
    for activation in ("gated_relu", "relu"):
        options = ["--target", "y", "--activation", activation, "--patterns", "40", "--seed", "3"]
        options += ["--n-betas", "4", "--min-ratio", "0.1", "--tol", "1e-6", "--json"]
        code, out, _ = run("path", numbers, *options)
        X, y = with_ones(frame), frame["y"].to_numpy()
        # With fewer than ten rows for each column gates are drawn in the units of the columns.
        patterns = cx.sample_patterns(X, 40, coordinates="raw", seed=3)
        kind = cx.GatedReLUProblem if activation == "gated_relu" else cx.ReLUProblem
        path = cx.solve_path(kind(X, y, patterns, 1.0), n_betas=4, beta_min_ratio=0.1)
        points = json.loads(out)["points"]
        assert code == 0
        np.testing.assert_allclose([point["beta"] for point in points], path.betas, rtol=1e-12)
        for point, solution in zip(points, path, strict=True):
            assert point["objective"] == pytest.approx(solution.objective, rel=2e-6)
            assert point["method"] == "patterns"


def test_three_classes_are_summed_up(
    run: Any, frame: pd.DataFrame, classes: Path, tmp_path: Path
) -> None:
    table, picture = tmp_path / "path.csv", tmp_path / "path.png"
    options = ["--target", "kind", "--n-betas", "2", "--min-ratio", "0.03"]
    options += ["--class-weight", "balanced"]
    code, out, err = run("path", classes, *options, "--out", table, "--plot", picture)
    assert code == 0
    assert err.endswith(f"pyconvexnn: wrote {picture}\n")
    assert re.search(r"^classes +x, y, z$", out, re.M)
    assert re.search(r"^ +train *\n *beta +objective +gap +neurons +accuracy *$", out, re.M)
    assert picture.read_bytes().startswith(b"\x89PNG")
    rows = pd.read_csv(table)
    weight = 25 / (3 * frame["kind"].map(frame["kind"].value_counts()).to_numpy())
    for row in rows.itertuples():
        optimum = sum(
            cx.train(
                with_ones(frame),
                np.where(frame["kind"] == name, 1.0, -1.0),
                row.beta,
                loss="logistic",
                sample_weight=weight,
            ).certificate.objective
            for name in "xyz"
        )
        assert row.objective == pytest.approx(optimum, rel=2e-4)
        assert f"{row.objective:.6g}" in out
    assert rows["train_score"].iloc[-1] > rows["train_score"].iloc[0]


def test_cross_validation(run: Any, frame: pd.DataFrame, numbers: Path, tmp_path: Path) -> None:
    """Scores of networks trained by hand on the folds, and the model of the beta chosen."""
    model, table, picture = tmp_path / "m.npz", tmp_path / "path.csv", tmp_path / "path.png"
    options = ["--target", "y", "--n-betas", "7", "--min-ratio", "0.005", "--cv", "3"]
    options += ["--patterns", "60", "--seed", "1", "--output-offset"]
    found = {}
    for rule in ("best", "1se"):
        more = ["--rule", rule, "--out", table, "--plot", picture]
        code, out, _ = run("path", numbers, *options, *more, "--save", model, "--json")
        facts = json.loads(out)
        assert (code, facts["folds"], facts["rule"]) == (0, 3, rule)
        found[rule] = facts
        chosen = [row for row in facts["points"] if row["beta"] == facts["beta"]]
        assert len(chosen) == 1
        assert facts["held_out_score"] == chosen[0]["held_out_score"]
        proof = json.loads(run("certify", model, numbers, "--json", "--no-improve")[1])
        assert proof["beta"] == facts["beta"]
        assert proof["objective"] == pytest.approx(chosen[0]["objective"], rel=1e-9)
    assert pd.read_csv(table)["held_out_score"].tolist() == pytest.approx(
        [row["held_out_score"] for row in facts["points"]]
    )
    assert picture.read_bytes().startswith(b"\x89PNG")

    points = found["best"]["points"]
    X, y = frame[["p", "q"]].to_numpy(), frame["y"].to_numpy()
    scores = np.empty((3, 7))
    folds = KFold(3, shuffle=True, random_state=1).split(X)
    for fold, (train, test) in enumerate(folds):
        est: Any = cx.ConvexMLPRegressor(
            patterns=60, output_offset=True, random_state=1, tol=1e-2, warm_start=True
        )
        for place, row in enumerate(points):
            est.set_params(beta=row["beta"]).fit(X[train], y[train])
            scores[fold, place] = est.score(X[test], y[test])
    errors = scores.std(axis=0, ddof=1) / np.sqrt(3)
    assert [row["held_out_score"] for row in points] == pytest.approx(scores.mean(axis=0))
    assert [row["standard_error"] for row in points] == pytest.approx(errors)

    best = max(points, key=lambda row: row["held_out_score"])
    assert found["best"]["beta"] == found["best"]["best_beta"] == best["beta"]
    least = best["held_out_score"] - best["standard_error"]
    within = [row["beta"] for row in points if row["held_out_score"] >= least]
    assert found["1se"]["best_beta"] == best["beta"]
    assert found["1se"]["beta"] == max(within) > best["beta"]


def test_cross_validation_in_words(run: Any, classes: Path) -> None:
    options = ["--target", "kind", "--n-betas", "3", "--cv", "2", "--patterns", "30"]
    code, out, _ = run("path", classes, *options)
    assert code == 0
    assert re.search(r"^folds +2$", out, re.M)
    heads = re.search(
        r"^ +train +held out +standard *\n.*neurons +accuracy +accuracy +error", out, re.M
    )
    assert heads is not None
    table = out[heads.start() :].splitlines()
    assert max(len(line.rstrip()) for line in table) < 80  # as wide as a terminal
    assert len(re.findall(r" chosen *$", out, re.M)) == 1


def test_what_is_not_proved_is_exit_code_3(run: Any, tmp_path: Path) -> None:
    X, y = load_diabetes(return_X_y=True)
    np.savetxt(tmp_path / "d.csv", np.column_stack([X * 20, y]), delimiter=",")
    options = ["--target", "-1", "--time-limit", "0.5", "--n-betas", "3", "--json"]
    code, out, err = run("path", tmp_path / "d.csv", *options)
    assert code == 3
    points = json.loads(out)["points"]
    assert not all(point["proved"] for point in points)
    assert re.search(r"not proved: \d of 3 have a relative gap above --tol 0\.0001, at most", err)
    assert "Warning" not in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--n-betas", "1"], "Invalid value for '--n-betas': 1 is not in the range x>=2"),
        (["--min-ratio", "1"], "Invalid value for '--min-ratio': 1.0 is not in the range 0<x<1"),
        (["--target", "none"], "has no column 'none'"),
        (["--tol", "0"], "`tol` must be > 0"),
        (["--time-limit", "0"], "`time_limit` must be > 0"),
        (["--patterns", "0"], "`patterns` must be >= 1, got 0"),
        (["--activation", "sine"], "`activation` must be one of"),
        (["--out", "no/folder/x.csv"], "the folder of no/folder/x.csv does not exist"),
        (["--plot", "x.xyz"], "--plot must end in one of"),
        (["--save", "m.npz"], "--save needs --cv, which chooses one; to train with one use fit"),
        (["--cv", "1"], "Invalid value for '--cv': 1 is not in the range x>=2"),
        (["--cv", "13"], "--cv must be at most half the number of rows, 25; got 13"),
        (["--rule", "2se"], "Invalid value for '--rule'"),
    ],
)
def test_bad_input_is_one_sentence(
    run: Any, numbers: Path, arguments: list[str], message: str
) -> None:
    code, out, err = run("path", numbers, "--target", "y", "--task", "regression", *arguments)
    assert (code, out) == (2, "")
    assert message in err
    assert err.count("\n") == 1


def test_a_target_of_zeros(run: Any, tmp_path: Path) -> None:
    (tmp_path / "zeros.csv").write_text("x,y\n1,0.0\n2,0.0\n")
    code, _, err = run("path", tmp_path / "zeros.csv", "--target", "y", "--task", "regression")
    assert code == 2
    assert "no penalty has a network that is not zero; are all targets zero?" in err
