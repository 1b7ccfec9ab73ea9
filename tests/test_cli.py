"""The command line: its output, its files, its exit codes."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_diabetes, load_iris

import pyconvexnn as cx
from pyconvexnn import __main__, networks

ROOT = Path(__file__).parents[1]


def environment(**changes: str) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), **changes}


@pytest.fixture
def iris(tmp_path: Path) -> Path:
    frame = load_iris(as_frame=True).frame
    frame["target"] = frame["target"].map(dict(enumerate(["setosa", "versicolor", "virginica"])))
    frame["site"] = ["north", "south"] * 75
    frame.to_csv(tmp_path / "iris.csv", index=False)
    return tmp_path / "iris.csv"


@pytest.fixture
def numbers(tmp_path: Path) -> Path:
    """Regression without a header; the target is the last of four columns."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((80, 3))
    np.savetxt(tmp_path / "numbers.csv", np.column_stack([X, np.abs(X[:, 0])]), delimiter=",")
    return tmp_path / "numbers.csv"


# ---- fit and predict --------------------------------------------------------------------------


def test_fit_and_predict_classes(run: Any, iris: Path, tmp_path: Path) -> None:
    model = tmp_path / "iris.npz"
    options = ["--activation", "gated_relu", "--beta", "0.1", "--save", model]
    code, out, err = run("fit", iris, "--target", "target", *options)
    assert code == 0
    assert "classification assumed" in err
    assert re.search(r"^classes +setosa, versicolor, virginica$", out, re.M)
    assert re.search(r"^proved +yes, over the patterns$", out, re.M)

    code, out, err = run("predict", model, iris)
    assert (code, err) == (0, "")
    header, *rows = out.splitlines()
    assert header == "prediction,probability setosa,probability versicolor,probability virginica"
    X = np.column_stack([load_iris().data, np.tile([[1, 0], [0, 1]], (75, 1))])
    est = cx.ConvexMLPClassifier("gated_relu", beta=0.1).fit(
        X, load_iris().target_names[load_iris().target]
    )
    assert [row.split(",")[0] for row in rows] == est.predict(X).tolist()
    probabilities = [[float(cell) for cell in row.split(",")[1:]] for row in rows]
    np.testing.assert_allclose(probabilities, est.predict_proba(X), rtol=1e-9, atol=1e-15)

    code, out, _ = run("predict", model, iris, "--json")
    assert json.loads(out)["prediction"] == est.predict(X).tolist()


def test_fit_and_predict_numbers(run: Any, numbers: Path, tmp_path: Path) -> None:
    model, out_file = tmp_path / "m.npz", tmp_path / "p.csv"
    arguments = ["--target", "-1", "--beta", "0.01", "--save", model, "--patterns", "50"]
    arguments += ["--activation", "gated_relu"]
    code, out, err = run("fit", numbers, *arguments, "--no-intercept", "--json")
    assert code == 0
    facts = json.loads(out)
    data = np.loadtxt(numbers, delimiter=",")
    est: Any = cx.ConvexMLPRegressor("gated_relu", beta=0.01, patterns=50, fit_intercept=False)
    est.fit(data[:, :3], data[:, 3])
    assert facts["task"] == "regression"
    assert facts["samples"] == 80
    assert facts["features"] == 3
    assert facts["patterns"] == 50
    assert facts["objective"] == pytest.approx(est.loss_, rel=1e-12)
    assert facts["lower_bound"] == pytest.approx(est.certificate_.lower_bound, rel=1e-12)
    assert facts["proved"] is True
    assert facts["train_score"] == pytest.approx(est.score(data[:, :3], data[:, 3]))

    code, out, err = run("predict", model, numbers, "--out", out_file)
    assert (code, out, err) == (0, "", "")
    header, *rows = out_file.read_text().splitlines()
    assert header == "prediction"
    np.testing.assert_array_equal([float(row) for row in rows], est.predict(data[:, :3]))
    assert cx.load_network(model).n_features == 3


def test_fit_and_predict_without_gates(run: Any, numbers: Path, tmp_path: Path) -> None:
    model = tmp_path / "m.npz"
    options = ["--target", "3", "--beta", "0.01", "--save", model, "--patterns", "200", "--json"]
    code, out, _ = run("fit", numbers, *options)
    facts = json.loads(out)
    assert code == 0
    assert facts["proved"]
    assert isinstance(cx.load_network(model), cx.TwoLayerNetwork)
    code, out, _ = run("predict", model, numbers)
    f = np.array(out.split()[1:], float)
    data = np.loadtxt(numbers, delimiter=",")
    est = cx.ConvexMLPRegressor("relu", beta=0.01, patterns=200).fit(data[:, :3], data[:, 3])
    np.testing.assert_allclose(f, est.predict(data[:, :3]), atol=1e-12)
    assert facts["objective"] == pytest.approx(est.loss_, rel=1e-12)


def test_fit_on_every_pattern(run: Any, tmp_path: Path) -> None:
    path, model = tmp_path / "grid.csv", tmp_path / "m.npz"
    path.write_text("a,b,y\n" + "".join(f"{a},{b},{a * b}\n" for a in range(4) for b in range(4)))
    options = ["--target", "y", "--beta", "0.3", "--save", model, "--task", "regression"]
    options += ["--patterns", "exact", "--activation", "gated_relu", "--json"]
    code, out, _ = run("fit", path, *options)
    assert code == 0
    facts = json.loads(out)
    X = np.array([[a, b, 1.0] for a in range(4) for b in range(4)])
    assert facts["patterns"] == cx.count_patterns(X) - 1
    assert facts["proved"]
    path.write_text(path.read_text().replace("\n3,3,", "\n1e-120,3,"))
    code, _, err = run("fit", path, *options)
    assert code == 2
    assert "`patterns` must be 'auto', an integer or a PatternSet for these data" in err


def test_two_classes_of_numbers(run: Any, tmp_path: Path) -> None:
    path, model = tmp_path / "d.csv", tmp_path / "m.npz"
    path.write_text("x,y\n" + "".join(f"{k},{int(k > 4)}\n" for k in range(10)))
    code, out, _ = run("fit", path, "--target", "y", "--beta", "0.01", "--save", model, "--json")
    assert code == 0
    assert json.loads(out)["classes"] == ["0", "1"]
    _, out, _ = run("predict", model, path)
    header, *rows = out.splitlines()
    assert header == "prediction,probability 0,probability 1"
    assert [row[0] for row in rows] == list("0000011111")
    code, out, err = run(
        "fit", path, "--target", "y", "--beta", "0.01", "--save", model, "--task", "regression"
    )
    assert re.search(r"^task +regression$", out, re.M)
    assert err == ""


def test_unknown_category_is_told(run: Any, iris: Path, tmp_path: Path) -> None:
    model = tmp_path / "m.npz"
    run("fit", iris, "--target", "target", "--beta", "30", "--patterns", "20", "--save", model)
    iris.write_text(iris.read_text().replace("north", "west"))
    code, out, err = run("predict", model, iris)
    assert code == 0
    assert len(out.splitlines()) == 151
    assert err == (
        "pyconvexnn: column 'site' has values that were not in the training data ('west'); "
        "they count as none of its categories\n"
    )


def test_numbers_with_a_misspelled_one_are_told(run: Any, tmp_path: Path) -> None:
    table, model = tmp_path / "t.csv", tmp_path / "t.npz"
    rows = "".join(f"{k},{k % 3},{k % 2}\n" for k in range(9))
    table.write_text(f"size,b,kind\n{rows}0x10,1,0\n")
    code, _, err = run("fit", table, "--target", "kind", "--beta", "9", "--save", model)
    assert code == 0
    told = "column 'size' holds numbers but also '0x10': it is taken as text, of 10 different"
    assert told in err
    table.write_text("size,kind\n" + "red,0\n4,1\n" * 3)
    err = run("fit", table, "--target", "kind", "--beta", "9", "--save", model)[2]
    assert "holds numbers" not in err


def test_exit_code_3_when_not_proved(run: Any, numbers: Path, tmp_path: Path) -> None:
    model = tmp_path / "m.npz"
    code, out, err = run(
        "fit",
        numbers,
        "--target",
        "3",
        "--beta",
        "1e-6",
        "--save",
        model,
        "--time-limit",
        "1e-6",
        "--json",
    )
    assert code == 3
    assert json.loads(out)["proved"] is False
    assert "not proved: relative gap" in err
    assert "Warning" not in err
    assert run("predict", model, numbers)[0] == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--beta", "-1"], "`beta` must be > 0, got -1.0"),
        (["--beta", "x"], "Invalid value for '--beta': 'x' is not a valid float"),
        (["--beta", "1", "--target", "nope"], "has no column 'nope'"),
        (["--beta", "1", "--patterns", "0"], "`patterns` must be >= 1, got 0"),
        (["--beta", "1", "--patterns", "many"], "`patterns` must be one of auto, exact; got"),
        (
            ["--beta", "1", "--activation", "threshold"],
            "`activation` = 'threshold' is not available yet",
        ),
        (
            ["--beta", "1", "--task", "regression"],
            "'target' must hold finite numbers, got 'setosa'",
        ),
        (["--beta", "1", "--save", "no/such/folder/m.npz"], "the folder of no/such/folder/m.npz"),
        (["--beta", "1", "--tol", "0"], "`tol` must be > 0"),
        (["--beta", "1", "--threads", "0"], "`threads` must be >= 1"),
        (
            ["--beta", "1", "--seed", "-3"],
            "Invalid value for '--seed': -3 is not in the range x>=0",
        ),
        (["--beta", "1", "--bet", "2"], "No such option"),
        ([], "Missing option '--beta'"),
    ],
)
def test_bad_input_is_one_sentence(
    run: Any, iris: Path, tmp_path: Path, arguments: Sequence[str], message: str
) -> None:
    defaults = ["--target", "target", "--save", tmp_path / "m.npz"]
    code, out, err = run("fit", iris, *defaults, *arguments)
    assert (code, out) == (2, "")
    assert message in err
    assert "Traceback" not in err
    assert len([line for line in err.splitlines() if "(choose with --task)" not in line]) == 1


def test_bad_files(run: Any, iris: Path, numbers: Path, tmp_path: Path) -> None:
    model = tmp_path / "m.npz"
    assert run("fit", numbers, "--target", "3", "--beta", "9", "--save", model)[0] == 0
    for arguments, message in [
        (("predict", model, tmp_path / "none.csv"), "does not exist"),
        (("predict", tmp_path / "none.npz", iris), "does not exist"),
        (("predict", iris, iris), "is not a saved model; the order is MODEL.npz DATA"),
        (("predict", model, iris), "must have 3 columns"),
        (("predict", model, numbers, "--out", tmp_path / "a" / "b"), "the folder of"),
    ]:
        code, out, err = run(*arguments)
        assert (code, out) == (2, "")
        assert message in err
        assert len(err.splitlines()) == 1


def test_networks_that_are_no_models(run: Any, numbers: Path, tmp_path: Path) -> None:
    model, other = tmp_path / "m.npz", tmp_path / "n.npz"
    run("fit", numbers, "--target", "3", "--beta", "9", "--save", model)
    network, extra = networks.read_network(model)
    network.save(other)
    code, _, err = run("predict", other, numbers)
    assert code == 2
    assert "is a network but not a model that `pyconvexnn fit` saved" in err
    for change in (
        {"recipe": None},
        {"recipe": {**extra["recipe"], "columns": extra["recipe"]["columns"][:2]}},
        {"classes": ["a", "b", "c"]},
        {"classes": [1, 2]},
        {"classes": "ab"},
        {"classes": ["a"]},
        {"classes": 3},
        {"intercept_scaling": "1"},
        {"intercept_scaling": None},
        {"beta": "1"},
        {"beta": -1.0},
    ):
        networks.write_network(other, network, extra | change)
        code, out, err = run("predict", other, numbers)
        assert (code, out) == (2, ""), change
        assert len(err.splitlines()) == 1


# ---- the rest ---------------------------------------------------------------------------------


def test_config(run: Any) -> None:
    code, out, err = run("config")
    assert (code, err) == (0, "")
    assert re.search(rf"^version +{re.escape(cx.__version__)}$", out, re.M)
    assert json.loads(run("config", "--json")[1])["cores"] >= 1


def test_version(run: Any) -> None:
    assert run("--version")[1].strip().endswith(cx.__version__)


def test_typos_are_answered(run: Any) -> None:
    assert run("dmeo") == (2, "", "pyconvexnn: no command 'dmeo'; did you mean 'demo'?\n")
    assert run("xyz") == (
        2,
        "",
        "pyconvexnn: no command 'xyz'; there are demo, fit, certify, verify, predict, path, "
        "patterns, config\n",
    )
    assert run("--jsn")[0] == 2


def test_without_the_extra(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(__main__, "NEEDED", ("click", "no_such_package"))
    code, out, err = run("demo")
    assert (code, out) == (2, "")
    assert "needs no_such_package; install it with pip install" in err
    assert len(err.splitlines()) == 1


@pytest.fixture
def hard(tmp_path: Path) -> Path:
    """Data far from zero, on which the solver takes many seconds."""
    X, y = load_diabetes(return_X_y=True)
    np.savetxt(tmp_path / "hard.csv", np.column_stack([X + 10, y]), delimiter=",")
    return tmp_path / "hard.csv"


def test_ctrl_c(hard: Path, tmp_path: Path) -> None:
    arguments = ["fit", str(hard), "--target", "-1", "--beta", "1e-4", "--tol", "1e-12"]
    process = subprocess.Popen(
        [sys.executable, "-m", "pyconvexnn", *arguments, "--save", str(tmp_path / "m.npz")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
    )
    assert process.stderr is not None
    process.stderr.readline()  # "target ...: ... assumed"
    process.stderr.readline()  # "the columns are far from zero ...": training starts
    time.sleep(1.5)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=10)
    # Python ends by the signal itself, 130 to a shell, if it arrives in the import of some modules.
    assert process.returncode in (130, -signal.SIGINT)
    assert out == ""
    assert err.strip() == "pyconvexnn: interrupted"
    assert not (tmp_path / "m.npz").exists()


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="needs a pseudo-terminal")
@pytest.mark.parametrize(("seconds", "shown"), [("2", True), ("1e-6", False)])
def test_progress_on_a_terminal_after_a_second(
    hard: Path, tmp_path: Path, seconds: str, shown: bool
) -> None:
    main, side = os.openpty()
    arguments = ["fit", str(hard), "--target", "-1", "--beta", "1e-4", "--tol", "1e-12"]
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "pyconvexnn",
            *arguments,
            "--time-limit",
            seconds,
            "--save",
            str(tmp_path / "m.npz"),
        ],
        stdout=subprocess.PIPE,
        stderr=side,
        env=environment(TERM="xterm", NO_COLOR="1", COLUMNS="100"),
    )
    os.close(side)
    written = b""
    while True:
        try:
            piece = os.read(main, 4096)
        except OSError:  # the other side has ended
            break
        if not piece:
            break
        written += piece
    os.close(main)
    out, _ = process.communicate(timeout=30)
    assert process.returncode == 3
    assert b"\x1b" not in out
    assert (b"relative gap 1.0e+00" in written or b"neurons" in written) is shown
    assert re.search(rb"\x1b\[[0-9;]*3[0-9]m", written) is None  # NO_COLOR
