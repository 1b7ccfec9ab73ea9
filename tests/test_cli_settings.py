"""Scales, offsets and class weights: in ``fit``, in the model file, and in ``certify``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import pyconvexnn as cx
from pyconvexnn import networks


@pytest.fixture
def frame() -> pd.DataFrame:
    """Columns far from zero, a target far from zero, and two classes, one of them rare."""
    rng = np.random.default_rng(3)
    x = rng.standard_normal((40, 2))
    y = np.abs(x[:, 0]) + 0.1 * rng.standard_normal(40)
    kind = np.where(y > 1.2, "rare", "often")
    return pd.DataFrame({"p": 50 + 9 * x[:, 0], "q": 1e-3 * x[:, 1], "y": 30 + y, "kind": kind})


@pytest.fixture
def numbers(frame: pd.DataFrame, tmp_path: Path) -> Path:
    frame[["p", "q", "y"]].to_csv(tmp_path / "numbers.csv", index=False)
    return tmp_path / "numbers.csv"


@pytest.fixture
def classes(frame: pd.DataFrame, tmp_path: Path) -> Path:
    frame[["p", "q", "kind"]].to_csv(tmp_path / "classes.csv", index=False)
    return tmp_path / "classes.csv"


def standardised(frame: pd.DataFrame, weight: Any = None) -> Any:
    """The two columns, of (weighted) mean 0 and variance 1, and ones."""
    X = frame[["p", "q"]].to_numpy()
    X = X - np.average(X, axis=0, weights=weight)
    return np.column_stack([X / np.sqrt(np.average(X**2, axis=0, weights=weight)), np.ones(len(X))])


def predictions(run: Any, model: Path, data: Path) -> Any:
    code, out, _ = run("predict", model, data, "--json")
    assert code == 0
    return json.loads(out)["prediction"]


def test_a_scale_and_an_offset(
    run: Any, frame: pd.DataFrame, numbers: Path, tmp_path: Path
) -> None:
    """The optimum of standardised columns, for a network of the columns as they are."""
    model = tmp_path / "m.npz"
    options = ["--target", "y", "--beta", "0.1", "--scale", "standard", "--output-offset"]
    code, out, _ = run("fit", numbers, *options, "--save", model, "--json")
    facts = json.loads(out)
    assert (code, facts["scale"], facts["output_offset"]) == (0, "standard", True)
    fit = cx.train(standardised(frame), frame["y"], 0.1, output_offset=True)
    assert facts["objective"] == pytest.approx(fit.certificate.objective, rel=2e-4)
    assert facts["lower_bound"] <= fit.certificate.objective
    X = frame[["p", "q"]].to_numpy()
    est: Any = cx.ConvexMLPRegressor(beta=0.1, scale="standard", output_offset=True)
    est.fit(X, frame["y"])
    assert predictions(run, model, numbers) == pytest.approx(est.predict(X).tolist(), rel=1e-9)
    net = cx.load_network(model)
    assert net.b2 is not None
    assert 25 < net.b2[0] < 35
    assert facts["train_score"] == pytest.approx(est.score(X, frame["y"]), rel=1e-12)

    code, out, err = run("certify", model, numbers, "--json")
    proof = json.loads(out)
    assert (code, err, proof["proved"]) == (0, "", True)
    assert proof["objective"] == pytest.approx(facts["objective"], rel=1e-9)

    better = tmp_path / "better.npz"
    code, out, _ = run("certify", model, numbers, "--json", "--beta", "0.05", "--save", better)
    best = json.loads(out)["best_objective"]
    assert best < json.loads(out)["objective"]
    code, out, _ = run("certify", better, numbers, "--json", "--tol", "1e-3")
    assert (code, json.loads(out)["objective"]) == (0, pytest.approx(best, rel=1e-9))


def test_uneven_columns_are_told(run: Any, numbers: Path, tmp_path: Path) -> None:
    options = ["--target", "y", "--beta", "1e3", "--patterns", "9", "--save", tmp_path / "m.npz"]
    told = "the columns are far from zero or of different sizes: --scale standard"
    assert told in run("fit", numbers, *options)[2]
    assert told not in run("fit", numbers, *options, "--scale", "standard")[2]
    numbers.write_text("x,y\n1,1\n2,2\n3,4\n")
    assert told not in run("fit", numbers, *options, "--task", "regression")[2]
    numbers.write_text("x,y\n1001,1\n1002,2\n1003,4\n")
    assert told in run("fit", numbers, *options, "--task", "regression")[2]


def test_a_scale_of_gates_without_biases(
    run: Any, frame: pd.DataFrame, numbers: Path, tmp_path: Path
) -> None:
    model = tmp_path / "m.npz"
    options = ["--target", "y", "--beta", "0.1", "--scale", "standard", "--no-intercept"]
    options += ["--activation", "gated_relu", "--patterns", "30"]
    assert run("fit", numbers, *options, "--save", model)[0] == 0
    X = frame[["p", "q"]].to_numpy()
    est: Any = cx.ConvexMLPRegressor(
        "gated_relu", 0.1, scale="standard", fit_intercept=False, patterns=30
    ).fit(X, frame["y"])
    assert predictions(run, model, numbers) == est.predict(X).tolist()


def test_balanced_classes(run: Any, frame: pd.DataFrame, classes: Path, tmp_path: Path) -> None:
    model = tmp_path / "m.npz"
    options = ["--target", "kind", "--beta", "0.5", "--scale", "standard", "--save", model]
    code, out, _ = run("fit", classes, *options, "--class-weight", "balanced", "--json")
    facts = json.loads(out)
    rare = (frame["kind"] == "rare").to_numpy()
    weight = np.where(rare, 20 / rare.sum(), 20 / (~rare).sum())
    y = np.where(rare, 1.0, -1.0)
    X = standardised(frame, weight)
    fit = cx.train(X, y, 0.5, loss="logistic", sample_weight=weight)
    assert (code, facts["class_weight"]) == (0, "balanced")
    assert facts["objective"] == pytest.approx(fit.certificate.objective, rel=2e-4)
    code, out, _ = run("certify", model, classes, "--json")
    assert (code, json.loads(out)["proved"]) == (0, True)
    assert json.loads(out)["objective"] == pytest.approx(facts["objective"], rel=1e-9)
    facts = json.loads(run("fit", classes, *options, "--json")[1])
    assert facts["class_weight"] is None
    code, out, _ = run("certify", model, classes, "--json")
    assert (code, json.loads(out)["proved"]) == (0, True)


def test_beta_auto(run: Any, numbers: Path, tmp_path: Path) -> None:
    """The penalty and the network that ``path --cv`` would choose."""
    model, other = tmp_path / "m.npz", tmp_path / "n.npz"
    options = ["--target", "y", "--scale", "standard", "--output-offset", "--tol", "1e-3"]
    more = ["--rule", "1se", "--patterns", "40"]
    code, out, _ = run("fit", numbers, *options, *more, "--beta", "auto", "--save", model, "--json")
    facts = json.loads(out)
    code_of_path, out, _ = run(
        "path", numbers, *options, *more, "--cv", "5", "--save", other, "--json"
    )
    path = json.loads(out)
    assert (code, code_of_path) == (0, 0)
    assert facts["beta"] == path["beta"]
    assert facts["held_out_score"] == path["held_out_score"]
    assert predictions(run, model, numbers) == pytest.approx(
        predictions(run, other, numbers), abs=0.05
    )
    betas = [row["beta"] for row in path["points"]]
    np.testing.assert_allclose(np.array(betas) / betas[0], np.geomspace(1, 0.01, 20), rtol=1e-12)


def test_the_smallest_of_all_is_told(run: Any, numbers: Path, tmp_path: Path) -> None:
    options = ["--target", "y", "--scale", "standard", "--output-offset", "--min-ratio", "0.5"]
    code, _, err = run("path", numbers, *options, "--n-betas", "2", "--cv", "3")
    assert code == 0
    assert "the smallest beta was chosen: `pyconvexnn path` with a smaller --min-ratio" in err


def test_settings_that_are_refused(run: Any, numbers: Path, tmp_path: Path) -> None:
    options = ["--target", "y", "--beta", "1", "--save", tmp_path / "m.npz"]
    for more, message in [
        (["--class-weight", "balanced"], "--class-weight goes with a classification only"),
        (["--class-weight", "equal"], "Invalid value for '--class-weight'"),
        (["--cv", "3"], "--cv goes with --beta auto only"),
        (["--scale", "minmax"], "Invalid value for '--scale': 'minmax' is not 'standard'"),
    ]:
        code, out, err = run("fit", numbers, *options, *more)
        assert (code, out) == (2, "")
        assert message in err


def test_model_files_of_anybody(run: Any, classes: Path, tmp_path: Path) -> None:
    model, other = tmp_path / "m.npz", tmp_path / "n.npz"
    options = ["--target", "kind", "--beta", "9", "--scale", "standard"]
    assert run("fit", classes, *options, "--class-weight", "balanced", "--save", model)[0] == 0
    network, extra = networks.read_network(model)
    assert len(extra["mean"]) == len(extra["scale"]) == len(extra["class_weight"]) == 2
    changes: list[dict[str, Any]] = [
        {"mean": [0.0]},
        {"mean": [0.0, "1"]},
        {"mean": 3.0},
        {"scale": None},  # with a mean
        {"scale": [1.0, 0.0]},
        {"scale": [1.0, -1.0]},
        {"scale": [1.0]},
        {"class_weight": [1.0, 1.0, 1.0]},
        {"class_weight": [1.0, 0.0]},
        {"class_weight": {}},
    ]
    networks.write_network(other, network, extra | {"classes": ["yes", "yes"]})
    assert "its classes are damaged" in run("predict", other, classes)[2]
    for change in changes:
        networks.write_network(other, network, extra | change)
        for command in ("predict", "certify"):
            code, out, err = run(command, other, classes)
            assert (code, out) == (2, ""), change
            assert "its means, scales or class weights are damaged" in err


def test_counts(run: Any, frame: pd.DataFrame, tmp_path: Path) -> None:
    """Rates are predicted, and the certificate is that of the Poisson loss."""
    data, model = tmp_path / "counts.csv", tmp_path / "m.npz"
    frame["count"] = np.random.default_rng(1).poisson(np.exp(frame["y"] - 30))
    frame[["p", "q", "count"]].to_csv(data, index=False)
    options: list[Any] = [
        "--target",
        "count",
        "--task",
        "regression",
        "--loss",
        "poisson",
        "--beta",
        "1",
    ]
    options += ["--scale", "standard", "--output-offset", "--save", model]
    code, out, _ = run("fit", data, *options, "--json")
    facts = json.loads(out)
    assert (code, facts["loss"]) == (0, "poisson")
    X = frame[["p", "q"]].to_numpy()
    est: Any = cx.ConvexMLPRegressor(loss="poisson", beta=1.0, scale="standard", output_offset=True)
    est.fit(X, frame["count"])
    rates = predictions(run, model, data)
    assert min(rates) > 0
    assert rates == pytest.approx(est.predict(X).tolist(), rel=1e-9)
    code, out, _ = run("certify", model, data, "--json")
    proof = json.loads(out)
    assert (code, proof["loss"]) == (0, "poisson")
    assert proof["objective"] == pytest.approx(facts["objective"], rel=1e-9)


@pytest.mark.parametrize("several", [False, True])
def test_the_cross_entropy(run: Any, frame: pd.DataFrame, tmp_path: Path, several: bool) -> None:
    data, model = tmp_path / "kinds.csv", tmp_path / "m.npz"
    if several:
        frame.loc[::5, "kind"] = "other"
    frame[["p", "q", "kind"]].to_csv(data, index=False)
    options: list[Any] = [
        "--target",
        "kind",
        "--loss",
        "cross_entropy",
        "--activation",
        "gated_relu",
    ]
    options += ["--patterns", "30", "--scale", "standard", "--save", model]
    code, out, _ = run("fit", data, *options, "--beta", "0.5", "--json")
    assert (code, json.loads(out)["loss"]) == (0, "cross_entropy")
    est: Any = cx.ConvexMLPClassifier(
        "gated_relu", 0.5, patterns=30, scale="standard", loss="cross_entropy"
    )
    X = frame[["p", "q"]].to_numpy()
    est.fit(X, frame["kind"])
    columns = json.loads(run("predict", model, data, "--json")[1])
    assert columns["prediction"] == est.predict(X).tolist()
    p = np.column_stack([columns[f"probability {name}"] for name in est.classes_])
    np.testing.assert_allclose(p, est.predict_proba(X), atol=1e-12)
    assert run("fit", data, *options, "--beta", "auto", "--cv", "2")[0] == 0


def test_a_hinge_has_no_probabilities(run: Any, classes: Path, tmp_path: Path) -> None:
    model = tmp_path / "m.npz"
    options = ["--target", "kind", "--beta", "0.5", "--scale", "standard", "--save", model]
    assert run("fit", classes, *options, "--loss", "squared_hinge")[0] == 0
    columns = json.loads(run("predict", model, classes, "--json")[1])
    assert list(columns) == ["prediction"]
    assert set(columns["prediction"]) == {"often", "rare"}
    code, out, _ = run("certify", model, classes, "--json")
    assert (code, json.loads(out)["loss"]) == (0, "squared_hinge")


def test_a_loss_of_the_other_task(run: Any, numbers: Path, classes: Path, tmp_path: Path) -> None:
    save = ["--beta", "1", "--save", tmp_path / "m.npz"]
    task = ["--task", "classification"]
    code, _, err = run("fit", classes, "--target", "kind", "--loss", "poisson", *task, *save)
    assert code == 2
    assert "--loss must be one of logistic, squared_hinge, hinge, cross_entropy for a class" in err
    task = ["--task", "regression"]
    code, _, err = run("fit", numbers, "--target", "y", "--loss", "hinge", *task, *save)
    assert code == 2
    assert "--loss must be one of squared, huber, poisson for a regression, got hinge" in err
    code, _, err = run("fit", classes, "--target", "kind", "--loss", "poisson", *save)
    assert code == 2
    assert "column 'kind' must hold finite numbers, got 'rare'" in err
    code, _, err = run("fit", classes, "--target", "kind", "--loss", "cross_entropy", *save)
    assert code == 2
    assert "`activation` must be 'gated_relu' for `loss` = 'cross_entropy', got 'relu'" in err


def test_a_model_file_of_a_loss_that_is_none(run: Any, numbers: Path, tmp_path: Path) -> None:
    model = tmp_path / "m.npz"
    options = ["--target", "y", "--beta", "1e3", "--patterns", "9", "--save", model]
    assert run("fit", numbers, *options, "--loss", "huber")[0] == 0
    network, extra = networks.read_network(model)
    assert extra["loss"] == "huber"
    networks.write_network(model, network, extra | {"loss": "logistic"})
    code, _, err = run("predict", model, numbers)
    assert code == 2
    assert "its loss must be one of squared, huber, poisson; got 'logistic'" in err
    del extra["loss"]  # as in files of earlier versions
    networks.write_network(model, network, extra)
    assert run("predict", model, numbers)[0] == 0
