"""Networks that choose their penalty against scikit-learn's MLP with a grid search.

    python -m bench.cross_validation FOLDER [--only NAME ...] [--results FILE]

Both choose among ten penalties by the mean score of the same five folds: R2 or accuracy. Ours is
``ConvexMLPRegressorCV`` or ``ConvexMLPClassifierCV``; theirs is GridSearchCV over alpha, 100
hidden units, three seeds: by L-BFGS, by Adam where there are more than 1500 rows. Columns are
standardised on the rows of each fold that are trained on, pixels are divided by 255 instead, and
the targets of a regression are standardised beforehand, on all rows; each for both. Of MNIST 1000
images, and gates.

The score chosen is the best of ten on the folds that are shown: too good for both, and more so
for theirs, the best of three seeds too.

Prints Markdown. With ``--results`` what was measured goes into a JSON file as soon as it is known,
and what it has is not measured again. Seconds are processor time of one thread.
"""

from __future__ import annotations

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import argparse
import json
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.model_selection import GridSearchCV, KFold, StratifiedKFold
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

import pyconvexnn as cx
from bench.compare.cases import CLASSES, load_table
from pyconvexnn._typing import FloatArray

REGRESSIONS = ("housing", "winequality-red", "abalone")
SETS = (*CLASSES, "wheat-seeds", *REGRESSIONS, "mnist")
ALPHAS = np.geomspace(1e-4, 1e2, 10)
SEEDS = (0, 1, 2)
FOLDS = 5
MOST_ROWS = 1000  # of MNIST
FEW_ROWS = 1500  # up to which L-BFGS trains theirs
OPTIONS: dict[str, Any] = {"betas": 10, "beta_min_ratio": 1e-3, "certify": False}
# As many as take a minute or two; with 800 rows in 784 columns some tens tell digits apart.
GATES: dict[str, Any] = {"activation": "gated_relu", "patterns": 50}

Result = dict[str, Any]


def load(name: str, folder: Path) -> tuple[FloatArray, Any]:
    """Features and targets."""
    X, y = load_table(name, folder)
    if name == "mnist":
        rows = np.random.default_rng(0).permutation(len(X))[:MOST_ROWS]
        X, y = X[rows] / 255, y[rows]
    if name in REGRESSIONS:
        y = np.asarray(y, float)
        y = (y - y.mean()) / y.std()
    return X, y


def folds(name: str) -> Any:
    """The same for both."""
    kind = KFold if name in REGRESSIONS else StratifiedKFold
    return kind(FOLDS, shuffle=True, random_state=0)


def ours(name: str, X: FloatArray, y: Any) -> Result:
    """Scores of the penalty chosen, one for each fold."""
    kind = cx.ConvexMLPRegressorCV if name in REGRESSIONS else cx.ConvexMLPClassifierCV
    special = GATES if name == "mnist" else {"scale": "standard"}
    start = time.process_time()
    est = kind(cv=folds(name), **OPTIONS, **special).fit(X, y)
    seconds = time.process_time() - start
    return {
        "scores": _scores(est.cv_results_, est.best_index_),
        "seconds": seconds,
        "penalty": est.beta_,
        "ratio": est.beta_ / est.betas_[0],
        "neurons": est.network_.n_neurons,
    }


def theirs(name: str, X: FloatArray, y: Any, seed: int) -> Result:
    """Scores of the best alpha, one for each fold."""
    kind = MLPRegressor if name in REGRESSIONS else MLPClassifier
    solver = "lbfgs" if len(X) <= FEW_ROWS else "adam"
    net = kind(hidden_layer_sizes=(100,), solver=solver, max_iter=1000, random_state=seed)
    scaler = "passthrough" if name == "mnist" else StandardScaler()
    pipe = Pipeline([("scaler", scaler), ("net", net)])
    start = time.process_time()
    search = GridSearchCV(pipe, {"net__alpha": ALPHAS}, cv=folds(name)).fit(X, y)
    seconds = time.process_time() - start
    return {
        "scores": _scores(search.cv_results_, search.best_index_),
        "seconds": seconds,
        "penalty": search.best_params_["net__alpha"],
    }


def row(name: str, X: FloatArray, found: Result) -> tuple[str, bool]:
    """Cells, and whether ours is no more than one standard error of the best below it."""
    our, nets = found["ours"], [found[f"seed {seed}"] for seed in SEEDS]
    means = [float(np.mean(net["scores"])) for net in nets]
    best = int(np.argmax(means))  # of equal ones the first, as GridSearchCV has it
    mean, error = float(np.mean(our["scores"])), _standard_error(our["scores"])
    their_error = _standard_error(nets[best]["scores"])
    reached = mean >= means[best] - their_error
    cells = [
        name,
        f"{X.shape[0]} x {X.shape[1]}",
        "R2" if name in REGRESSIONS else "accuracy",
        f"{mean:.4f} +- {error:.4f}",
        f"{our['penalty']:.3g} ({our['ratio']:.1g})",
        f"{our['seconds']:.0f}",
        f"{means[best]:.4f} +- {their_error:.4f}",
        f"{nets[best]['penalty']:.2g}",
        f"{max(means) - min(means):.4f}",
        f"{sum(net['seconds'] for net in nets) / len(nets):.0f}",
        "yes" if reached else "no",
    ]
    return "| " + " | ".join(cells) + " |", reached


def _scores(results: Result, best: int) -> list[float]:
    return [float(results[f"split{i}_test_score"][best]) for i in range(FOLDS)]


def _standard_error(scores: list[float]) -> float:
    return float(np.std(scores, ddof=1) / np.sqrt(len(scores)))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="of the data files")
    parser.add_argument("--only", nargs="+", choices=SETS, default=SETS, metavar="NAME")
    parser.add_argument("--results", type=Path, help="JSON file that is read and written")
    options = parser.parse_args()
    path = options.results
    known: dict[str, Result] = {}
    if path is not None and path.exists():
        known = json.loads(path.read_text())
    head = ["data", "size", "score", "ours", "beta (/ largest)", "s", "MLP, best seed", "alpha"]
    head += ["spread of seeds", "s a seed", "within 1 se"]
    sys.stdout.write("| " + " | ".join(head) + " |\n" + "|---" * len(head) + "|\n")
    count = 0
    for name in options.only:
        X, y = load(name, options.folder)
        found = known.setdefault(name, {})
        for key in ("ours", *(f"seed {seed}" for seed in SEEDS)):
            if key in found:
                continue
            run = ours(name, X, y) if key == "ours" else theirs(name, X, y, int(key.split()[1]))
            found[key] = run
            if path is not None:
                path.write_text(json.dumps(known, indent=1) + "\n")
        line, reached = row(name, X, found)
        count += reached
        sys.stdout.write(line + "\n")
        sys.stdout.flush()
    sys.stdout.write(f"\nWithin one standard error, or above: {count} of {len(options.only)}.\n")


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main()
