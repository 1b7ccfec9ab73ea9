"""Ten classes at once: gated networks with the cross entropy beside scikit-learn, on MNIST.

    python -m bench.digits FOLDER [--ratio R ...] [--patterns P]

FOLDER holds the test images of MNIST as IDX files: 10,000 digits, of which 8,000 are trained on
and 2,000 held out, drawn with seed 0. Pixels are divided by 255. Ours is one convex program,

    min  sum_k cross entropy + beta sum_i ||U_i||_F,    U_i (785 x 10), gates of Gaussian patterns,

with a column of ones in X, at beta = R beta_max, to a relative gap of 1e-4, which is computed again
by ``pyconvexnn.verify`` and asserted. Theirs are ``LogisticRegression`` for each C of a grid, and
``MLPClassifier`` (100 hidden units, Adam) for three seeds, each at scikit-learn's defaults else;
the best accuracy on the held-out rows is shown: too good for all.

Prints Markdown. Seconds are processor time of one thread; ours without verification.
"""

from __future__ import annotations

from bench import one_thread  # noqa: F401

# isort: split

import argparse
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier

import pyconvexnn as cx
from bench import arguments
from bench.compare.cases import load_table
from bench.machine import dgemm_rate
from pyconvexnn._typing import FloatArray

HELD_OUT = 2000
TOL = 1e-4
CS = (0.01, 0.1, 1.0)
SEEDS = (0, 1, 2)

Split = tuple[FloatArray, Any, FloatArray, Any]
Row = tuple[str, float, float, str]  # what, accuracy on the held-out rows, seconds, remarks


def split(folder: Path) -> Split:
    """Rows to train on and their classes, and those held out."""
    X, y = load_table("mnist", folder)
    X = np.column_stack([X / 255, np.ones(len(X))])
    rows = np.random.default_rng(0).permutation(len(X))
    held, kept = rows[: min(HELD_OUT, len(X) // 5)], rows[min(HELD_OUT, len(X) // 5) :]
    return X[kept], y[kept].astype(int), X[held], y[held].astype(int)


def ours(data: Split, ratio: float, n_patterns: int) -> Row:
    """One program of ten outputs."""
    X, y, X_held, y_held = data
    start = time.process_time()
    patterns = cx.sample_patterns(X, n_patterns, seed=0)
    prob = cx.GatedReLUProblem(X, y, patterns, 1.0, loss="cross_entropy")
    prob = prob.with_beta(ratio * prob.beta_max)
    sol = cx.solve(prob, tol=TOL)
    seconds = time.process_time() - start
    gap = cx.verify(prob, sol).relative_gap
    if not gap <= TOL * (1 + 1e-6):
        raise AssertionError(f"relative gap {gap:.3g} at ratio {ratio:g}, above {TOL:g}")
    accuracy = float(np.mean(np.argmax(cx.recover(prob, sol).predict(X_held), axis=1) == y_held))
    return (
        f"gated network, {len(patterns)} patterns, beta = {ratio:g} beta_max",
        accuracy,
        seconds,
        f"relative gap {gap:.1e}, {len(sol.active)} units, {sol.n_iter} iterations",
    )


def theirs(data: Split) -> Iterator[Row]:
    """The best of a linear model and of a network."""
    X, y, X_held, y_held = data

    def best(name: str, models: Callable[[Any], Any], choices: tuple[Any, ...], what: str) -> Row:
        found = []
        for choice in choices:
            start = time.process_time()
            model = models(choice).fit(X[:, :-1], y)
            seconds = time.process_time() - start
            found.append((float(model.score(X_held[:, :-1], y_held)), seconds, choice))
        accuracy, seconds, choice = max(found)
        return name, accuracy, seconds, f"{what} = {choice}, best of {len(choices)}"

    yield best("LogisticRegression", lambda C: LogisticRegression(C=C, max_iter=1000), CS, "C")
    yield best("MLPClassifier", lambda seed: MLPClassifier(random_state=seed), SEEDS, "seed")


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=arguments.folder, help="of the data files")
    parser.add_argument(
        "--ratio",
        nargs="+",
        type=arguments.positive,
        default=[0.1, 0.01],
        metavar="R",
        help="penalties over beta_max",
    )
    parser.add_argument(
        "--patterns", type=arguments.count, default=500, metavar="P", help="patterns drawn"
    )
    options = parser.parse_args()
    data = split(options.folder)
    sys.stdout.write(f"One-thread dgemm: {dgemm_rate():.1f} GF/s.\n\n")
    sys.stdout.write("| model | held-out accuracy | s | |\n|---|---|---|---|\n")
    rows = [ours(data, ratio, options.patterns) for ratio in options.ratio]
    for name, accuracy, seconds, remarks in (*rows, *theirs(data)):
        sys.stdout.write(f"| {name} | {accuracy:.4f} | {seconds:.1f} | {remarks} |\n")
        sys.stdout.flush()


if __name__ == "__main__":
    warnings.simplefilter("ignore")  # scikit-learn's, of fits that end early
    arguments.run(main)
