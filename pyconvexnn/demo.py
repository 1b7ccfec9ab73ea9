"""The demo: ReLU networks trained to their global optimum beside scikit-learn's own MLP.

Two data sets of scikit-learn, each with few features, where the optimum is proved, and with all,
where it is told what could be. Only computation; the command line prints what ``run`` returns.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.datasets import load_breast_cancer, load_diabetes
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import r2_score
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.preprocessing import StandardScaler

from pyconvexnn._typing import FloatArray
from pyconvexnn.losses import get_loss
from pyconvexnn.networks import TwoLayerNetwork
from pyconvexnn.solvers.base import relative_gap
from pyconvexnn.training import Fit, train

TEST_SIZE = 0.25
SPLIT_SEED = 0
TIME_LIMIT = 6.0  # seconds of our training on each data set
MLP_SEEDS = 5
HIDDEN_UNITS = 50
MLP_ITERATIONS = 1000  # enough for L-BFGS to stop by itself on these data
# The column that hidden biases are weights on: they cost a hundredth of weights, so that the
# problem is scikit-learn's, which does not penalise them, but for 1e-3 of the objective or so.
BIAS_COLUMN = 10.0


@dataclass(frozen=True)
class Setting:
    """One data set of the demo, the features used of it (None: all) and the penalty."""

    name: str
    task: str
    features: tuple[str, ...] | None
    beta: float


SETTINGS = (
    Setting("diabetes", "regression", ("bmi", "bp", "s5"), beta=10.0),
    # The three features that the authors of the data set separate the classes with.
    Setting(
        "breast_cancer",
        "classification",
        ("mean texture", "worst area", "worst smoothness"),
        beta=1.0,
    ),
    Setting("diabetes", "regression", None, beta=30.0),
    Setting("breast_cancer", "classification", None, beta=10.0),
)


@dataclass(frozen=True)
class Row:
    """One trained model.

    The objective is that of our problem, summed over the samples, the penalty included; the gap is
    its distance from the lower bound that our training has proved for all networks. What
    scikit-learn minimises is ``without_biases``.
    """

    model: str
    objective: float
    without_biases: float | None
    relative_gap: float
    neurons: int
    train_score: float
    test_score: float
    seconds: float


@dataclass(frozen=True)
class Comparison:
    """What one data set gave: our row, scikit-learn's, and what is proved about all of them."""

    dataset: str
    task: str
    loss: str
    score: str
    features: tuple[str, ...] | None
    beta: float
    tol: float
    n_train: int
    n_test: int
    n_features: int
    n_patterns: int
    lower_bound: float
    proved: bool
    method: str
    summary: list[str]
    rows: tuple[Row, ...]
    fit: Fit


@dataclass(frozen=True)
class Split:
    """Training and held-out part of a data set, standardised on the former."""

    X: FloatArray
    y: FloatArray
    X_test: FloatArray
    y_test: FloatArray


def run(
    report: Callable[[str], object] = lambda text: None,
    *,
    settings: Sequence[Setting] = SETTINGS,
    time_limit: float = TIME_LIMIT,
    mlp_seeds: int = MLP_SEEDS,
) -> list[Comparison]:
    """Train and compare on every data set.

    Parameters
    ----------
    report : callable, optional
        Told what is being done.
    settings : sequence of Setting
        Data sets.
    time_limit : float
        Seconds of our training on each.
    mlp_seeds : int
        How often scikit-learn's network is trained.

    Returns
    -------
    list of Comparison
        One for each of `settings`.
    """
    return [compare(setting, report, time_limit, mlp_seeds) for setting in settings]


def load(setting: Setting) -> Split:
    """Load one data set with its fixed split; a regression's target is standardised as well."""
    regression = setting.task == "regression"
    data = (load_diabetes if regression else load_breast_cancer)()
    X, y = data.data, data.target
    if setting.features is not None:
        X = X[:, [list(data.feature_names).index(name) for name in setting.features]]
    X, X_test, y, y_test = train_test_split(
        X, y, test_size=TEST_SIZE, random_state=SPLIT_SEED, stratify=None if regression else y
    )
    scaler = StandardScaler().fit(X)
    if regression:
        mean, deviation = y.mean(), y.std()
        y, y_test = (y - mean) / deviation, (y_test - mean) / deviation
    return Split(scaler.transform(X), y, scaler.transform(X_test), y_test)


def compare(
    setting: Setting, report: Callable[[str], object], time_limit: float, mlp_seeds: int
) -> Comparison:
    """Train our network once and scikit-learn's from several seeds on one data set."""
    regression = setting.task == "regression"
    split = load(setting)
    title = f"{setting.name}, {split.X.shape[1]} features"
    report(f"{title}: our network")
    fit, seconds = _train(setting, split, time_limit)
    proof = fit.certificate

    def gap(objective: float) -> float:
        return relative_gap(objective, proof.lower_bound, proof.objective_at_zero)

    rows = [
        Row(
            "ours, proved optimal" if proof.is_optimal else "ours, not proved optimal",
            proof.objective,
            None,
            proof.relative_gap,
            fit.network.n_neurons,
            _score(setting, fit.network, split.X, split.y),
            _score(setting, fit.network, split.X_test, split.y_test),
            seconds,
        )
    ]
    for seed in range(mlp_seeds):
        report(f"{title}: scikit-learn's network, seed {seed}")
        mlp, seconds = _train_mlp(setting, split, seed)
        objective, without_biases = mlp_objective(mlp, split.X, split.y, setting.beta)
        rows.append(
            Row(
                f"{type(mlp).__name__}, seed {seed}",
                objective,
                without_biases,
                gap(objective),
                HIDDEN_UNITS,
                float(mlp.score(split.X, split.y)),
                float(mlp.score(split.X_test, split.y_test)),
                seconds,
            )
        )
    return Comparison(
        dataset=setting.name,
        task=setting.task,
        loss=_loss(setting),
        score="R2" if regression else "accuracy",
        features=setting.features,
        beta=setting.beta,
        tol=proof.rtol,
        n_train=len(split.y),
        n_test=len(split.y_test),
        n_features=split.X.shape[1],
        n_patterns=fit.n_patterns,
        lower_bound=proof.lower_bound,
        proved=proof.is_optimal,
        method=proof.method,
        summary=proof.summary().splitlines(),
        rows=tuple(rows),
        fit=fit,
    )


def mlp_objective(mlp: Any, X: FloatArray, y: FloatArray, beta: float) -> tuple[float, float]:
    r"""Weight-decay objective of a fitted MLPRegressor or MLPClassifier (two classes).

    .. math::
        \sum_k \ell(f(x_k), y_k) + \tfrac\beta2 \big(\|W_1\|^2 + \|b_1\|^2 / c^2 + \|W_2\|^2\big)

    with f computed from its weights, c our column of the hidden biases, and b_2 free, after every
    neuron has been balanced, which leaves f as it is and makes the penalty least; and the value of
    what scikit-learn minimises: without b_1, not balanced.
    """
    (W1, W2), (b1, b2) = mlp.coefs_, mlp.intercepts_
    f = (np.maximum(X @ W1 + b1, 0.0) @ W2 + b2)[:, 0]
    classes = getattr(mlp, "classes_", None)
    loss = get_loss("squared" if classes is None else "logistic")
    targets = y if classes is None else np.where(y == classes[1], 1.0, -1.0)
    decay = float(np.sum(W1**2) + np.sum(W2**2))
    value = loss.value(f, targets, np.ones(len(f)))
    norms = np.sqrt(np.sum(W1**2, axis=0) + (b1 / BIAS_COLUMN) ** 2)
    return value + beta * float(norms @ np.abs(W2[:, 0])), value + beta / 2 * decay


def _train(setting: Setting, split: Split, time_limit: float) -> tuple[Fit, float]:
    y = split.y if setting.task == "regression" else np.where(split.y == 1, 1.0, -1.0)
    start = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # the certificate says it
        fit = train(
            _with_bias_column(split.X),
            y,
            setting.beta,
            loss=_loss(setting),
            output_offset=True,
            time_limit=time_limit,
        )
    return fit, time.perf_counter() - start


def _train_mlp(setting: Setting, split: Split, seed: int) -> tuple[Any, float]:
    mlp = (MLPRegressor if setting.task == "regression" else MLPClassifier)(
        hidden_layer_sizes=(HIDDEN_UNITS,),
        solver="lbfgs",
        alpha=setting.beta,
        max_iter=MLP_ITERATIONS,
        max_fun=10 * MLP_ITERATIONS,
        random_state=seed,
    )
    start = time.perf_counter()
    mlp.fit(split.X, split.y)
    return mlp, time.perf_counter() - start


def _score(setting: Setting, net: TwoLayerNetwork, X: FloatArray, y: FloatArray) -> float:
    """R2, or accuracy."""
    f = net.predict(_with_bias_column(X))
    return float(r2_score(y, f) if setting.task == "regression" else np.mean((f > 0) == (y == 1)))


def _with_bias_column(X: FloatArray) -> FloatArray:
    return np.column_stack([X, np.full(len(X), BIAS_COLUMN)])


def _loss(setting: Setting) -> str:
    return "squared" if setting.task == "regression" else "logistic"
