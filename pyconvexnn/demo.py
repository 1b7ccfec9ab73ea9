"""The demo: certified training on two data sets of scikit-learn, beside scikit-learn's own MLP.

Only computation; the command line prints what ``run`` returns.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.datasets import load_breast_cancer, load_diabetes
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.preprocessing import StandardScaler

from pyconvexnn._typing import FloatArray
from pyconvexnn.estimators import ConvexMLPClassifier, ConvexMLPRegressor
from pyconvexnn.losses import get_loss
from pyconvexnn.solvers import Solution

TEST_SIZE = 0.25
SEED = 0
HIDDEN_UNITS = 50
MLP_ITERATIONS = 10_000  # enough for L-BFGS to stop by itself on these data


@dataclass(frozen=True)
class Setting:
    """One data set of the demo and the penalty used on it, chosen for the held-out score."""

    name: str
    task: str
    beta: float


SETTINGS = (
    Setting("diabetes", "regression", beta=30.0),
    Setting("breast_cancer", "classification", beta=3.0),
)


@dataclass(frozen=True)
class Row:
    """One trained model. The objective is summed over the samples, the penalty included."""

    model: str
    objective: float
    dual_bound: float | None
    relative_gap: float | None
    neurons: int
    train_score: float
    test_score: float
    seconds: float


@dataclass(frozen=True)
class Comparison:
    """What one data set gave: our row, scikit-learn's, and how both came about."""

    dataset: str
    task: str
    loss: str
    score: str
    beta: float
    tol: float
    proved: bool
    n_train: int
    n_test: int
    n_features: int
    n_patterns: int
    rows: tuple[Row, Row]
    mlp_objective_without_b1: float
    solution: Solution


@dataclass(frozen=True)
class Split:
    """Training and held-out part of a data set, standardised on the former."""

    X: FloatArray
    y: FloatArray
    X_test: FloatArray
    y_test: FloatArray


def run(report: Callable[[str], object] = lambda text: None) -> list[Comparison]:
    """Train and compare on every data set.

    Parameters
    ----------
    report : callable, optional
        Told what is being done.

    Returns
    -------
    list of Comparison
        One for each of ``SETTINGS``.
    """
    return [compare(setting, report) for setting in SETTINGS]


def load(setting: Setting) -> Split:
    """Load one data set with its fixed split; a regression's target is standardised as well."""
    regression = setting.task == "regression"
    X, y = (load_diabetes if regression else load_breast_cancer)(return_X_y=True)
    X, X_test, y, y_test = train_test_split(
        X, y, test_size=TEST_SIZE, random_state=SEED, stratify=None if regression else y
    )
    scaler = StandardScaler().fit(X)
    if regression:
        mean, deviation = y.mean(), y.std()
        y, y_test = (y - mean) / deviation, (y_test - mean) / deviation
    return Split(scaler.transform(X), y, scaler.transform(X_test), y_test)


def compare(setting: Setting, report: Callable[[str], object]) -> Comparison:
    """Train our estimator and scikit-learn's on one data set."""
    regression = setting.task == "regression"
    split = load(setting)
    report(f"{setting.name}: gated ReLU network")
    ours: Any = (ConvexMLPRegressor if regression else ConvexMLPClassifier)(beta=setting.beta)
    our_seconds = _timed_fit(ours, split)
    report(f"{setting.name}: scikit-learn's MLP")
    mlp = (MLPRegressor if regression else MLPClassifier)(
        hidden_layer_sizes=(HIDDEN_UNITS,),
        solver="lbfgs",
        alpha=setting.beta,
        max_iter=MLP_ITERATIONS,
        max_fun=10 * MLP_ITERATIONS,
        random_state=SEED,
    )
    mlp_seconds = _timed_fit(mlp, split)

    certificate = ours.certificate_
    our_row = _row(
        "gated ReLU network, global optimum for its patterns"
        if certificate.is_optimal
        else "gated ReLU network, not proved optimal",
        ours,
        split,
        objective=certificate.objective,
        dual_bound=certificate.lower_bound,
        relative_gap=certificate.relative_gap,
        neurons=ours.network_.n_neurons,
        seconds=our_seconds,
    )
    mlp_row = _row(
        f"scikit-learn {type(mlp).__name__}: a ReLU network, another model than the gated one",
        mlp,
        split,
        objective=mlp_objective(mlp, split.X, split.y, setting.beta),
        dual_bound=None,
        relative_gap=None,
        neurons=HIDDEN_UNITS,
        seconds=mlp_seconds,
    )
    return Comparison(
        dataset=setting.name,
        task=setting.task,
        loss=ours.loss,
        score="R2" if regression else "accuracy",
        beta=setting.beta,
        tol=ours.tol,
        proved=certificate.is_optimal,
        n_train=len(split.y),
        n_test=len(split.y_test),
        n_features=split.X.shape[1],
        n_patterns=len(ours.patterns_),
        rows=(our_row, mlp_row),
        mlp_objective_without_b1=mlp_row.objective
        - setting.beta / 2 * float(np.sum(mlp.intercepts_[0] ** 2)),
        solution=ours.solution_,
    )


def mlp_objective(mlp: Any, X: FloatArray, y: FloatArray, beta: float) -> float:
    r"""Weight-decay objective of a fitted MLPRegressor or MLPClassifier (two classes).

    .. math::
        \sum_k \ell(f(x_k), y_k) + \tfrac\beta2 \big(\|W_1\|^2 + \|b_1\|^2 + \|W_2\|^2\big)

    with f computed from its weights: b_1 counts as decayed, as it is in our networks (scikit-learn
    does not decay it), and b_2 is free.
    """
    (W1, W2), (b1, b2) = mlp.coefs_, mlp.intercepts_
    f = (np.maximum(X @ W1 + b1, 0.0) @ W2 + b2)[:, 0]
    classes = getattr(mlp, "classes_", None)
    loss = get_loss("squared" if classes is None else "logistic")
    targets = y if classes is None else np.where(y == classes[1], 1.0, -1.0)
    decay = float(np.sum(W1**2) + np.sum(b1**2) + np.sum(W2**2))
    return loss.value(f, targets, np.ones(len(f))) + beta / 2 * decay


def _timed_fit(model: Any, split: Split) -> float:
    start = time.perf_counter()
    model.fit(split.X, split.y)
    return time.perf_counter() - start


def _row(name: str, model: Any, split: Split, **facts: Any) -> Row:
    return Row(
        model=name,
        train_score=float(model.score(split.X, split.y)),
        test_score=float(model.score(split.X_test, split.y_test)),
        **facts,
    )
