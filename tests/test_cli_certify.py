"""The command line over all patterns: ``fit`` by column generation, and ``certify``."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer

import pyconvexnn as cx
from pyconvexnn import networks
from pyconvexnn.training.outputs import summed


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """Regression, classes a and b, and three classes, on two columns."""
    rng = np.random.default_rng(1)
    X = rng.standard_normal((25, 2))
    y = np.abs(X[:, 0]) + 0.1 * rng.standard_normal(25)
    lines = ["p,q,number,two,three"]
    for (p, q), value in zip(X.tolist(), y.tolist(), strict=True):
        two, three = "ab"[value > 0.8], "xyz"[int(value > 0.5) + int(value > 1)]
        lines.append(f"{p!r},{q!r},{value!r},{two},{three}")
    path = tmp_path / "table.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def only(table: Path, target: str) -> Path:
    """The two columns and one target."""
    rows = [line.split(",") for line in table.read_text().split()]
    place = rows[0].index(target)
    path = table.with_name(f"{target}.csv")
    path.write_text("".join(f"{row[0]},{row[1]},{row[place]}\n" for row in rows))
    return path


def arrays(table: Path) -> tuple[Any, Any, Any, Any]:
    """Columns with ones, and the three targets."""
    rows = [line.split(",") for line in table.read_text().split()[1:]]
    X = np.array([[float(row[0]), float(row[1]), 1.0] for row in rows])
    number, two, three = (np.array([row[k] for row in rows]) for k in (2, 3, 4))
    return X, number.astype(float), two, three


# ---- fit --------------------------------------------------------------------------------------


@pytest.mark.parametrize("activation", ["relu", "leaky_relu", "abs"])
def test_fit_of_numbers_is_the_global_optimum(
    run: Any, table: Path, tmp_path: Path, activation: str
) -> None:
    model = tmp_path / "m.npz"
    options = ["--target", "number", "--beta", "0.5", "--save", model, "--json"]
    options += ["--activation", activation]
    code, out, _ = run("fit", only(table, "number"), *options)
    facts = json.loads(out)
    X, y, _, _ = arrays(table)
    fit = cx.train(X, y, 0.5, activation=activation)
    assert (code, facts["proved"], facts["activation"]) == (0, True, activation)
    assert facts["objective"] == fit.certificate.objective
    assert facts["lower_bound"] == fit.certificate.lower_bound
    assert facts["method"] == fit.certificate.method
    assert facts["neurons"] == fit.network.n_neurons
    assert facts["summary"] == fit.certificate.summary().splitlines()
    assert facts["patterns"] == fit.n_patterns
    largest = cx.beta_max(X, y, activation=activation)
    assert facts["beta_max"] == pytest.approx(largest.value, rel=1e-6)
    np.testing.assert_array_equal(networks.load_network(model).predict(X), fit.network.predict(X))
    residual = fit.network.predict(X) - y
    r2 = 1 - np.sum(residual**2) / np.sum((y - y.mean()) ** 2)
    assert facts["train_score"] == pytest.approx(r2, rel=1e-9)


def test_fit_says_the_three_levels(run: Any, table: Path, tmp_path: Path) -> None:
    options = ["--target", "two", "--beta", "0.5", "--save", tmp_path / "m.npz"]
    code, out, _ = run("fit", only(table, "two"), *options)
    assert code == 0
    assert re.search(r"^classes +a, b$", out, re.M)
    assert re.search(r"^loss +logistic$", out, re.M)
    assert re.search(r"^proved +yes$", out, re.M)
    _, levels = out.split("\n\n")
    X, _, two, _ = arrays(table)
    fit = cx.train(X, np.where(two == "b", 1.0, -1.0), 0.5, loss="logistic")
    assert levels.rstrip("\n") == fit.certificate.summary()


def test_fit_of_three_classes_sums_up(run: Any, table: Path, tmp_path: Path) -> None:
    model = tmp_path / "m.npz"
    options = ["--target", "three", "--beta", "1", "--save", model, "--no-intercept", "--json"]
    code, out, _ = run("fit", only(table, "three"), *options)
    facts = json.loads(out)
    X, _, _, three = arrays(table)
    fits = [
        cx.train(X[:, :2], np.where(three == name, 1.0, -1.0), 1.0, loss="logistic")
        for name in "xyz"
    ]
    assert (code, facts["proved"], facts["classes"]) == (0, True, ["x", "y", "z"])
    assert facts["beta_max"] is None
    for name in ("objective", "lower_bound"):
        values = [getattr(fit.certificate, name) for fit in fits]
        assert facts[name] == pytest.approx(sum(values), rel=1e-12)
    scores = np.column_stack([fit.network.predict(X[:, :2]) for fit in fits])
    np.testing.assert_allclose(networks.load_network(model).predict(X[:, :2]), scores, atol=1e-12)
    assert facts["train_score"] == np.mean(np.array(["x", "y", "z"])[scores.argmax(1)] == three)


def test_sum_of_certificates() -> None:
    X = np.random.default_rng(0).standard_normal((10, 2))
    certificates = [cx.train(X, y, 0.1).certificate for y in X.T]
    total = summed(certificates)
    assert summed(certificates[:1]) is certificates[0]
    assert total.objective >= sum(cert.objective for cert in certificates)
    assert total.lower_bound <= sum(cert.lower_bound for cert in certificates)
    assert total.restricted_bound == pytest.approx(
        sum(cert.restricted_bound or 0.0 for cert in certificates)
    )
    assert total.dual.shape == (10, 2)
    assert total.is_optimal
    assert "optimal to 0.0001" in str(total)


def test_fit_out_of_time_is_exit_code_3(run: Any, tmp_path: Path) -> None:
    cancer = tmp_path / "cancer.csv"
    frame = load_breast_cancer(as_frame=True).frame
    (frame / frame.std()).assign(target=frame["target"]).to_csv(cancer, index=False)
    model = tmp_path / "m.npz"
    options = ["--target", "target", "--beta", "1", "--time-limit", "0.5", "--save", model]
    code, out, err = run("fit", cancer, *options, "--json")
    assert code == 3
    assert json.loads(out)["proved"] is False
    assert "not proved: relative gap" in err
    assert "TIME_LIMIT" in err
    assert "more time may do" in err
    assert "Warning" not in err
    assert run("predict", model, cancer)[0] == 0


# ---- certify ----------------------------------------------------------------------------------


@pytest.fixture
def fitted(run: Any, table: Path, tmp_path: Path) -> tuple[Path, Path]:
    """Model of the classes a and b, proved optimal, and its table."""
    model, data = tmp_path / "two.npz", only(table, "two")
    assert run("fit", data, "--target", "two", "--beta", "0.5", "--save", model)[0] == 0
    return model, data


def test_certify_agrees_with_fit(run: Any, table: Path, fitted: tuple[Path, Path]) -> None:
    code, out, err = run("certify", *fitted, "--json")
    facts = json.loads(out)
    X, _, two, _ = arrays(table)
    y = np.where(two == "b", 1.0, -1.0)
    net = cx.load_network(fitted[0])
    assert isinstance(net, cx.TwoLayerNetwork)
    cert = cx.certify(net, X, y, 0.5, loss="logistic")
    assert (code, err) == (0, "")
    assert (facts["proved"], facts["beta"], facts["loss"]) == (True, 0.5, "logistic")
    assert facts["objective"] == cert.objective
    assert facts["lower_bound"] == cert.lower_bound
    assert facts["method"] == cert.method
    assert facts["rounding_slack"] == cert.rounding_slack
    assert facts["summary"] == cert.summary().splitlines()
    code, out, _ = run("certify", *fitted)
    assert code == 0
    assert cert.summary() in out
    assert re.search(r"^proved +yes$", out, re.M)


def test_certify_of_another_penalty_saves_the_better_network(
    run: Any, fitted: tuple[Path, Path], tmp_path: Path
) -> None:
    better = tmp_path / "better.npz"
    arguments = ["--target", "two", "--beta", "0.2", "--save", better, "--json"]
    code, out, _ = run("certify", *fitted, *arguments)
    facts = json.loads(out)
    assert code == 3
    assert facts["best_objective"] < facts["objective"] * (1 - 1e-3)
    assert facts["lower_bound"] >= facts["best_objective"] * (1 - 1e-3)
    code, out, _ = run("certify", better, fitted[1], "--json", "--tol", "1e-3")
    assert code == 0
    assert json.loads(out)["beta"] == 0.2
    assert json.loads(out)["objective"] == pytest.approx(facts["best_objective"], rel=1e-12)
    assert run("predict", better, fitted[1])[0] == 0


def test_certify_without_training(run: Any, fitted: tuple[Path, Path]) -> None:
    code, out, _ = run("certify", *fitted, "--no-improve", "--tol", "0.5", "--json")
    facts = json.loads(out)
    assert (code, facts["best_objective"]) == (0, facts["objective"])
    tight = json.loads(run("certify", *fitted, "--json")[1])
    assert facts["lower_bound"] <= tight["objective"]


def test_certify_of_numbers_without_a_header(run: Any, table: Path, tmp_path: Path) -> None:
    model, data = tmp_path / "m.npz", only(table, "number")
    data.write_text("".join(data.read_text().splitlines(keepends=True)[1:]))
    arguments = ["--target", "-1", "--beta", "0.5", "--task", "regression", "--no-intercept"]
    assert run("fit", data, *arguments, "--save", model)[0] == 0
    code, out, err = run("certify", model, data, "--json")
    assert (code, err) == (0, "")
    assert json.loads(out)["proved"] is True


def test_certify_refuses(run: Any, fitted: tuple[Path, Path], table: Path, tmp_path: Path) -> None:
    model, data = fitted
    gated, silent, several = tmp_path / "g.npz", tmp_path / "s.npz", tmp_path / "k.npz"
    options = ["--target", "two", "--beta", "0.5", "--patterns", "9"]
    assert run("fit", data, *options, "--activation", "gated_relu", "--save", gated)[0] == 0
    three = only(table, "three")
    options = ["--target", "three", "--beta", "9", "--patterns", "9"]
    assert run("fit", three, *options, "--save", several)[0] == 0
    network, extra = networks.read_network(model)
    networks.write_network(silent, network, {k: v for k, v in extra.items() if k != "beta"})
    other = tmp_path / "other.csv"
    other.write_text(data.read_text().replace(",a", ",c"))
    for arguments, message in [
        ((gated, data), f"{gated} is a gated network; certify proves only relu, leaky_"),
        ((several, three), f"{several} is a network of 3 outputs; certify proves"),
        ((silent, data), "does not say its penalty: give --beta"),
        ((model, other), "column 'two' must hold the classes a, b, got 'c' in row"),
        ((model, data, "--target", "none"), "has no column 'none'"),
        ((model, data, "--beta", "0"), "`beta` must be > 0"),
        ((model, data, "--tol", "0"), "`rtol` must be > 0"),
        ((model, data, "--time-limit", "-1"), "`time_limit` must be > 0"),
        ((model, data, "--threads", "0"), "`threads` must be >= 1"),
        ((model, data, "--save", tmp_path / "no" / "m.npz"), "the folder of"),
        ((data, model), "two.csv is not a saved model; the order is MODEL.npz DATA"),
        ((model, data, "--target", "p"), f"column 'p' is a feature of {model} and cannot be its"),
        ((model, data, "--target", "1"), f"column 'q' is a feature of {model} and cannot be its"),
    ]:
        code, out, err = run("certify", *arguments)
        assert (code, out) == (2, ""), message
        assert message in err
        assert len(err.splitlines()) == 1
