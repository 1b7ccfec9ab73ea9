"""The demo: its numbers, by hand, and what the command prints of them."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.neural_network import MLPClassifier, MLPRegressor

import pyconvexnn as cx
from pyconvexnn import demo as computation

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def comparisons() -> list[computation.Comparison]:
    """Little of the demo: one set that is proved, one that is not in the time."""
    settings = computation.SETTINGS[1], computation.SETTINGS[2]
    return computation.run(settings=settings, time_limit=3.0, mlp_seeds=1)


def test_demo_proves_what_can_be_proved(comparisons: list[computation.Comparison]) -> None:
    assert [data.dataset for data in comparisons] == ["breast_cancer", "diabetes"]
    few, everything = comparisons
    assert few.proved
    assert (few.features, everything.features) == (computation.SETTINGS[1].features, None)
    assert not everything.proved
    for data in comparisons:
        ours, mlp = data.rows
        assert (data.fit.certificate.lower_bound, ours.neurons) == (
            data.lower_bound,
            data.fit.network.n_neurons,
        )
        for row in data.rows:
            gap = (row.objective - data.lower_bound) / row.objective
            assert gap == pytest.approx(row.relative_gap, abs=1e-12)
            assert gap >= 0
        assert data.proved == (ours.relative_gap <= data.tol)
        assert mlp.objective >= ours.objective * (1 - 1e-4)
        assert "over all networks: " in data.summary[2]
    assert few.rows[0].test_score > 0.95
    assert everything.rows[0].test_score > 0.3


def test_demo_objective_of_ours(comparisons: list[computation.Comparison]) -> None:
    """The same objective by hand, from the weights."""
    for setting, data in zip(computation.SETTINGS[1:3], comparisons, strict=True):
        split, net = computation.load(setting), data.fit.network
        assert net.b2 is not None
        weights, biases = net.W1[:, :-1], net.W1[:, -1]
        hidden = np.maximum(split.X @ weights.T + 10 * biases, 0)
        f = hidden @ net.W2[:, 0] + net.b2
        if setting.task == "regression":
            loss = 0.5 * np.sum((f - split.y) ** 2)
        else:
            loss = np.sum(np.log1p(np.exp(-np.where(split.y == 1, f, -f))))
        decay = np.sum(weights**2) + np.sum(biases**2) + np.sum(net.W2**2)
        assert data.rows[0].objective == pytest.approx(loss + setting.beta / 2 * decay, rel=1e-9)


@pytest.mark.parametrize("index", [0, 1])
def test_demo_objective_of_the_mlp(comparisons: list[computation.Comparison], index: int) -> None:
    """Train scikit-learn's network again and sum up its objective from the weights."""
    data, setting = comparisons[index], computation.SETTINGS[1 + index]
    split, beta = computation.load(setting), setting.beta
    regression = setting.task == "regression"
    mlp = (MLPRegressor if regression else MLPClassifier)(
        hidden_layer_sizes=(50,),
        solver="lbfgs",
        alpha=beta,
        max_iter=1000,
        max_fun=10_000,
        random_state=0,
    ).fit(split.X, split.y)
    if regression:
        loss = 0.5 * np.sum((mlp.predict(split.X) - split.y) ** 2)
    else:
        loss = -np.sum(np.log(mlp.predict_proba(split.X)[np.arange(len(split.y)), split.y]))
    decay = sum(np.sum(w**2) for w in mlp.coefs_)
    row = data.rows[1]
    # What L-BFGS reaches differs in the last digits between machines and runs.
    without_biases = loss + beta / 2 * decay
    assert row.without_biases == pytest.approx(without_biases, rel=1e-3)
    net = cx.TwoLayerNetwork.from_sklearn(mlp)
    assert net.b1 is not None
    scaled = cx.TwoLayerNetwork.from_arrays(net.W1, net.W2, b1=net.b1 / 10).balance()
    assert scaled.b1 is not None
    squares = sum(np.sum(w**2) for w in (scaled.W1, scaled.b1, scaled.W2))
    assert row.objective == pytest.approx(loss + beta / 2 * squares, rel=1e-3)
    assert row.test_score == pytest.approx(mlp.score(split.X_test, split.y_test), abs=0.02)
    # scikit-learn minimises the same sum, divided by n, without b1.
    assert mlp.loss_ * len(split.y) == pytest.approx(row.without_biases, rel=1e-3)


def test_demo_output(
    run: Any,
    tmp_path: Path,
    comparisons: list[computation.Comparison],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    limits = []

    def given(report: Any, *, time_limit: float) -> list[computation.Comparison]:
        limits.append(time_limit)
        return comparisons

    monkeypatch.setattr(computation, "run", given)
    code, out, err = run("demo", "--plot", tmp_path / "certificate.png", "--time-limit", "4")
    assert (code, limits) == (0, [4.0])
    for text in (
        "breast_cancer, 3 features (mean texture, worst area, worst smoothness)",
        "diabetes, 10 features",
        "ours, proved optimal",
        "ours, not proved optimal",
        "MLPRegressor, seed 0",
        "accuracy",
        "over the patterns looked at: ",
        "best neuron found outside: ",
        "over all networks: no objective is below ",
    ):
        assert text in out
    assert "\x1b" not in out
    assert err == f"pyconvexnn: wrote {tmp_path / 'certificate.png'}\n"
    assert (tmp_path / "certificate.png").read_bytes().startswith(b"\x89PNG")

    code, out, err = run("demo", "--json")
    few, everything = json.loads(out)["datasets"]
    assert (code, err) == (0, "")
    assert (few["proved"], everything["proved"]) == (True, False)
    assert [row["model"] for row in everything["rows"]][1:] == ["MLPRegressor, seed 0"]
    assert few["lower_bound"] == comparisons[0].lower_bound
    assert few["summary"] == comparisons[0].summary

    comparisons = [dataclasses.replace(comparisons[0], proved=False)]
    assert run("demo", "--json")[0] == 3
    assert run("demo", "--time-limit", "0")[0] == 2


@pytest.mark.slow
def test_the_whole_demo() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pyconvexnn", "demo", "--json"],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=True,
        timeout=120,
    )
    assert done.stderr == ""
    datasets = json.loads(done.stdout)["datasets"]
    assert [data["n_features"] for data in datasets] == [3, 3, 10, 30]
    assert [len(data["rows"]) for data in datasets] == [6, 6, 6, 6]
    assert all(data["proved"] for data in datasets[:2])
    assert sum(row["seconds"] for data in datasets for row in data["rows"]) < 60


def test_demo_refuses_a_plot_before_it_computes(run: Any, tmp_path: Path) -> None:
    code, out, err = run("demo", "--plot", tmp_path / "plot.xyz")
    assert (code, out) == (2, "")
    assert "--plot must end in one of .avif" in err or "--plot must end in one of .eps" in err
    code, _, err = run("demo", "--plot", tmp_path / "none" / "plot.png")
    assert code == 2
    assert "the folder of" in err
