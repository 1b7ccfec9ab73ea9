"""The table behind ``patterns="auto"`` of gated networks: python -m bench.auto_patterns [FOLDER].

Takes some minutes. Prints Markdown. Real data of
scikit-learn, and of the CSV files of a folder, standardised, with a column of ones; classes are -1
and +1. Samples are nested: the first patterns of a longer sample are the shorter one.
"""

from __future__ import annotations

from bench import one_thread  # noqa: F401

# isort: split

import sys
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from sklearn import datasets

import pyconvexnn as cx
from bench import arguments
from bench.compare.cases import load_table
from pyconvexnn._typing import FloatArray
from pyconvexnn.estimators.patterns import auto_pattern_count
from pyconvexnn.estimators.samples import with_intercept

RATIOS = (0.1, 0.02, 0.005)  # beta / beta_max, the gated beta_max of the largest sample
FACTORS = (1 / 16, 1 / 4, 1, 4)  # sizes of the samples, in units of "auto"
SEEDS = range(3)
FILES = {
    "pima": "logistic",
    "banknote_authentication": "logistic",
    "abalone": "squared",
    "haberman": "logistic",
}
TOL = 2e-4  # what is asked for is compared with 1 %


def standardised(X: FloatArray) -> FloatArray:
    """Columns of mean 0 and variance 1; constant ones are left out."""
    X = X[:, X.std(axis=0) > 0]
    return np.asarray((X - X.mean(axis=0)) / X.std(axis=0))


def real_sets(folder: Path | None) -> Iterator[tuple[str, FloatArray, FloatArray]]:
    """Name, data with intercept, target (-1 and +1 for classes)."""
    X, y = datasets.load_diabetes(return_X_y=True)
    yield "diabetes", with_intercept(standardised(X), 1.0), (y - y.mean()) / y.std()
    X, y = datasets.load_breast_cancer(return_X_y=True)
    yield "breast_cancer", with_intercept(standardised(X), 1.0), np.where(y == 1, 1.0, -1.0)
    X, y = datasets.load_wine(return_X_y=True)
    yield "wine, class 1", with_intercept(standardised(X), 1.0), np.where(y == 1, 1.0, -1.0)
    X, y = datasets.load_digits(return_X_y=True)
    rows = np.random.default_rng(0).permutation(len(X))[:500]
    odd = np.where(y[rows] % 2 == 1, 1.0, -1.0)
    yield "digits, odd, 500 rows", with_intercept(standardised(X[rows]), 1.0), odd

    for name, loss in FILES.items() if folder is not None else ():
        X, target = load_table(name, folder)
        rows = np.random.default_rng(0).permutation(len(X))[:1500]
        y = np.asarray(target, float)[rows]
        y = (y - y.mean()) / y.std() if loss == "squared" else np.where(y == y.max(), 1.0, -1.0)
        yield name, with_intercept(standardised(X[rows]), 1.0), y


def optima(X: FloatArray, y: FloatArray, loss: str, seed: int) -> FloatArray:
    """Optimal values, (ratios, sizes)."""
    auto = auto_pattern_count(X)
    largest = cx.sample_patterns(X, round(FACTORS[-1] * auto), seed=seed)
    whole = cx.GatedReLUProblem(X, y, largest, 1.0, loss=loss)
    values = [
        cx.solve_path(
            cx.GatedReLUProblem(X, y, largest[: round(factor * auto)], 1.0, loss=loss),
            betas=whole.beta_max * np.array(RATIOS),
            tol=TOL,
        ).objectives
        for factor in FACTORS
    ]
    return np.array(values).T


def main() -> None:
    """Print the table."""
    sys.stdout.write(
        "How much larger, in %, the optimum is than with four times as many patterns; largest of "
        f"{len(SEEDS)} seeds.\n\n"
        "| data (distinct rows, rank) | auto | loss | beta / beta_max | auto / 16 | auto / 4 "
        "| auto |\n|---|---|---|---|---|---|---|\n"
    )
    start = time.process_time()
    worst = np.zeros((len(RATIOS), len(FACTORS) - 1))
    for name, X, y in real_sets(Path(sys.argv[1]) if len(sys.argv) > 1 else None):
        m, r = len(np.unique(X, axis=0)), np.linalg.matrix_rank(X)
        for loss in ("squared", "logistic") if set(y.tolist()) == {-1.0, 1.0} else ("squared",):
            values = np.array([optima(X, y, loss, seed) for seed in SEEDS])
            excess = 100 * (values[..., :-1] / values[..., 1:] - 1).max(axis=0)
            worst = np.maximum(worst, excess)
            for ratio, row in zip(RATIOS, excess, strict=True):
                cells = " | ".join(f"{value:.1f}" for value in row)
                sys.stdout.write(
                    f"| {name} ({m}, {r}) | {auto_pattern_count(X)} | {loss} "
                    f"| {ratio:g} | {cells} |\n"
                )
            sys.stdout.flush()
    for ratio, row in zip(RATIOS, worst, strict=True):
        cells = " | ".join(f"{value:.1f}" for value in row)
        sys.stdout.write(f"| largest | | | {ratio:g} | {cells} |\n")
    sys.stdout.write(f"\n{time.process_time() - start:.0f} s of CPU time.\n")


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    arguments.run(main)
