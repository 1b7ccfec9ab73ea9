"""Networks that choose their penalty against scikit-learn's MLP with a grid search.

    python -m bench.cross_validation FOLDER [--only NAME ...] [--results FILE]

All choose among ten penalties by the mean score of the same five folds: R2 or accuracy. Ours are
``ConvexMLPRegressorCV`` or ``ConvexMLPClassifierCV``, with ReLUs and an output offset, as theirs
has one, or with gates, as many as are drawn by default. Theirs is GridSearchCV over alpha, 100
hidden units: by L-BFGS, by Adam where there are more than 1500 rows. What is random, gates and the
start of theirs, is tried with three seeds. Columns are standardised on the rows of each fold that
are trained on, pixels are divided by 255 instead, and the targets of a regression are standardised
beforehand, on all rows; each for all. Of MNIST 1000 images, and 50 gates, without ReLUs.

FOLDER holds tables of the UCI repository as CSV files without a header, the target last, and the
test images of MNIST as IDX files.

The score of a seed is the best of ten on the folds that are shown, and the best seed is shown: too
good for all. The settings below were chosen with a look at these folds, too.

Prints Markdown. With ``--results`` what was measured goes into a JSON file as soon as it is known,
and what it has is not measured again. Seconds are processor time of one thread, for a seed.
"""

from __future__ import annotations

from bench import one_thread  # noqa: F401

# isort: split

import argparse
import functools
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
from bench import arguments
from bench.compare.cases import CLASSES, load_table
from pyconvexnn._typing import FloatArray

REGRESSIONS = ("housing", "winequality-red", "abalone")
SETS = (*CLASSES, "wheat-seeds", *REGRESSIONS, "mnist")
ALPHAS = np.geomspace(1e-4, 1e2, 10)
SEEDS = (0, 1, 2)
FOLDS = 5
MOST_ROWS = 1000  # of MNIST
FEW_ROWS = 1500  # up to which L-BFGS trains theirs
OPTIONS: dict[str, Any] = {"betas": 10, "beta_min_ratio": 1e-3, "certify": False, "tol": 1e-2}
OURS: dict[str, dict[str, Any]] = {
    "ReLU": {"output_offset": True},
    "gates": {"activation": "gated_relu"},
}
GATES_OF_MNIST = 50  # more of them do worse on 2000 other images

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


def seeds(name: str) -> dict[str, tuple[int, ...]]:
    """What is trained, and its seeds; one for column generation, which they change little."""
    every = {"ReLU": SEEDS[:1], "gates": SEEDS, "MLP": SEEDS}
    return every if name != "mnist" else {"gates": SEEDS, "MLP": SEEDS}


def ours(kind: str, name: str, X: FloatArray, y: Any, seed: int) -> Result:
    """Scores of the penalty chosen, one for each fold."""
    cls = cx.ConvexMLPRegressorCV if name in REGRESSIONS else cx.ConvexMLPClassifierCV
    special = {"patterns": GATES_OF_MNIST} if name == "mnist" else {"scale": "standard"}
    settings = {**OPTIONS, **OURS[kind], **special, "random_state": seed}
    start = time.process_time()
    est = cls(cv=folds(name), **settings).fit(X, y)
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
    """Cells, and whether ours is no more than one standard error of their best below it."""
    cells = [name, f"{X.shape[0]} x {X.shape[1]}", "R2" if name in REGRESSIONS else "accuracy"]
    best: dict[str, Result] = {}
    for kind in (*OURS, "MLP"):
        runs = [found[f"{kind} {seed}"] for seed in seeds(name).get(kind, ())]
        if not runs:
            cells += [""] * (2 if kind == "ReLU" else 3)
            continue
        best[kind] = max(runs, key=_mean)
        cells.append(f"{_mean(best[kind]):.4f} +- {_standard_error(best[kind]):.4f}")
        if kind != "ReLU":
            means = [_mean(run) for run in runs]
            cells.append(f"{max(means) - min(means):.4f}")
        cells.append(f"{np.mean([run['seconds'] for run in runs]):.1f}")
    least = _mean(best["MLP"]) - _standard_error(best["MLP"])
    reached = max(_mean(best[kind]) for kind in OURS if kind in best) >= least
    cells.append("yes" if reached else "no")
    return "| " + " | ".join(cells) + " |", reached


def _mean(run: Result) -> float:
    return float(np.mean(run["scores"]))


def _standard_error(run: Result) -> float:
    return float(np.std(run["scores"], ddof=1) / np.sqrt(FOLDS))


def _scores(results: Result, best: int) -> list[float]:
    return [float(results[f"split{i}_test_score"][best]) for i in range(FOLDS)]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=arguments.folder, help="of the data files")
    parser.add_argument("--only", nargs="+", choices=SETS, default=SETS, metavar="NAME")
    parser.add_argument("--results", type=Path, help="JSON file that is read and written")
    options = parser.parse_args()
    path = options.results
    known: dict[str, Result] = {}
    if path is not None and path.exists():
        known = json.loads(path.read_text())
    head = ["data", "size", "score", "ReLU", "s", "gates, best seed", "spread", "s"]
    head += ["MLP, best seed", "spread", "s", "within 1 se"]
    sys.stdout.write("| " + " | ".join(head) + " |\n" + "|---" * len(head) + "|\n")
    count, ours_took, theirs_took = 0, 0.0, 0.0
    for name in options.only:
        X, y = load(name, options.folder)
        found = known.setdefault(name, {})
        for kind, seed in [(kind, seed) for kind, all_ in seeds(name).items() for seed in all_]:
            key = f"{kind} {seed}"
            if key in found:
                continue
            run = theirs if kind == "MLP" else functools.partial(ours, kind)
            found[key] = run(name, X, y, seed)
            if path is not None:
                path.write_text(json.dumps(known, indent=1) + "\n")
        line, reached = row(name, X, found)
        count += reached
        ours_took += sum(found[f"gates {seed}"]["seconds"] for seed in SEEDS)
        theirs_took += sum(found[f"MLP {seed}"]["seconds"] for seed in SEEDS)
        sys.stdout.write(line + "\n")
        sys.stdout.flush()
    sys.stdout.write(
        f"\nWithin one standard error, or above: {count} of {len(options.only)}. "
        f"Gates took {ours_took / theirs_took:.2f} times the MLP's seconds.\n"
    )


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    arguments.run(main)
