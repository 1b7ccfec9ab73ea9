"""Whether SOLVED is true: small random problems of every kind, and those of the comparison.

    python -m bench.truth [N] [--first SEED] [--harness SET] [--data FOLDER]

N random problems (100000), of seeds SEED, SEED + 1 and so on: gated ones and those of every
activation, all losses, weights of rows and of patterns, ridges, linear parts, offsets, outputs,
scales and solvers, to 1e-3, 1e-6 or 1e-9. With ``--harness`` instead the problems of a set of
``bench.compare``, each to all three; with FOLDER its tables too. ``cx.verify``, which shares no
kernel with the solvers, looks at every solution: SOLVED is true where its relative gap is at most
1.01 tol and its infeasibility at most 1e-9. An error of a problem that was accepted is not true.

Where free columns fit every row the optimum is 0, and a gap relative to it is rounding: such a
SOLVED is true where the gap is rounding beside the loss of the fit 0, and is told apart.

Printed are a table of what the solves said, and a line for each that was not true. Ends
with 1 if there is such a line.
"""

from __future__ import annotations

from bench import one_thread  # noqa: F401

# isort: split

import argparse
import sys
import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from tqdm import tqdm

import pyconvexnn as cx
from bench import arguments
from bench.compare.cases import SETS, Case
from pyconvexnn._typing import FloatArray

TOLERANCES = (1e-3, 1e-6, 1e-9)
SLACK = 1.01  # of the gap, for two evaluators that round differently
INFEASIBLE = 1e-9
_ROUNDING = 1e-13  # of the loss of the fit 0: where free columns fit all rows, gaps are no more
SECONDS = 10.0  # for one solve
ACTIVATIONS = ("gated", "relu", "leaky_relu", "abs")
LOSSES = ("squared", "huber", "logistic", "squared_hinge", "hinge", "poisson", "cross_entropy")
LABELS = ("logistic", "squared_hinge", "hinge")

Problem = cx.GatedReLUProblem | cx.ReLUProblem


class Asked(NamedTuple):
    """One solve."""

    problem: Problem
    tol: float
    solver: str


class Answer(NamedTuple):
    """What a solve said, and what an independent evaluator makes of it."""

    status: str  # or an error
    relative_gap: float
    infeasibility: float
    is_true: bool


def random_problem(seed: int) -> Asked | None:
    """Problem of a seed; None where the draw is none, as with one class only."""
    rng = np.random.default_rng([4, seed])
    activation = str(rng.choice(ACTIVATIONS, p=[0.4, 0.3, 0.15, 0.15]))
    gated = activation == "gated"
    loss = str(rng.choice(LOSSES if gated else LOSSES[:-1]))
    X = _features(rng)
    options = _options(rng, len(X), loss)
    K = int(rng.integers(2, 4)) if gated and (loss == "cross_entropy" or rng.random() < 0.2) else 1
    y = _targets(rng, X, K, loss)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # there may be fewer
        patterns = cx.sample_patterns(X, int(rng.integers(1, 25)), seed=rng)
    if rng.random() < 0.3:
        options["pattern_weight"] = rng.choice([0.1, 0.5, 1.0, 2.0], len(patterns))
    if not gated:
        options["activation"] = activation
        options["slope"] = float(rng.choice([0.0, 0.01, 0.5]))
    kind: Any = cx.GatedReLUProblem if gated else cx.ReLUProblem
    try:
        prob: Problem = kind(X, y, patterns, 1.0, **options)
        beta = prob.beta_max * float(10.0 ** rng.uniform(-4, 0.1))
        prob = prob.with_beta(beta)
    except ValueError:
        return None
    solver = "auto"
    if rng.random() < 0.5:
        solver = str(rng.choice(["cd", "newton", "fista"] if gated else ["cutting_plane"]))
    return Asked(prob, float(rng.choice(TOLERANCES)), solver)


def answer(asked: Asked, **options: Any) -> Answer:
    """Solve, and look at the solution with ``cx.verify``."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the status says it
            sol = cx.solve(
                asked.problem, solver=asked.solver, tol=asked.tol, time_limit=SECONDS, **options
            )
        found = cx.verify(asked.problem, sol)
    except Exception as error:  # the problem was accepted
        return Answer(repr(error), np.inf, np.inf, False)
    near = found.relative_gap <= SLACK * asked.tol and found.infeasibility <= INFEASIBLE
    is_true = near or sol.status is not cx.Status.SOLVED
    if not is_true and found.gap <= _ROUNDING * _loss_of_zero(asked.problem):
        return Answer("SOLVED, of 0", found.relative_gap, found.infeasibility, True)
    return Answer(sol.status.name, found.relative_gap, found.infeasibility, is_true)


def _loss_of_zero(prob: Problem) -> float:
    """Loss of the fit 0."""
    weights = prob.sample_weight.reshape(-1, *[1] * (prob.y.ndim - 1)) * np.ones_like(prob.y)
    return prob.loss.value(np.zeros_like(prob.y), prob.y, weights)


def harness(name: str, data: Path | None) -> Iterator[tuple[str, Answer]]:
    """Each problem of a set of the comparison to each tolerance, paths with warm starts."""
    for case in SETS[name]():
        try:
            problems = list(_of_case(case, data))
        except ValueError:
            if data is None:
                continue  # a table that is not at hand
            raise
        for tol in TOLERANCES:
            last = None
            for prob in problems:
                asked = Asked(prob, tol, "auto")
                yield f"{case.name}, beta {prob.beta:.4g}", answer(asked, warm_start=last)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "count", nargs="?", type=arguments.count, default=100_000, help="random problems"
    )
    parser.add_argument("--first", type=int, default=0, metavar="SEED", help="seed of the first")
    parser.add_argument("--harness", choices=list(SETS), help="set of bench.compare instead")
    parser.add_argument("--data", type=arguments.folder, help="folder of its CSV files")
    options = parser.parse_args()
    if options.first < 0:
        parser.error(f"argument --first: must be at least 0, got {options.first}")
    if options.data is not None and options.harness is None:
        parser.error("argument --data: is for --harness")
    answers = _random_answers(options.first, options.count)
    if options.harness is not None:
        answers = harness(options.harness, options.data)
    total = None if options.harness else options.count
    said: Counter[str] = Counter()
    untrue = []
    for name, found in tqdm(answers, total=total, disable=None):
        said[found.status] += 1
        if not found.is_true:
            sizes = f"gap {found.relative_gap:.3g}, infeasibility {found.infeasibility:.3g}"
            untrue.append(f"{name}: {found.status}, {sizes}\n")
    sys.stdout.write("| status | solves |\n|---|---|\n")
    sys.stdout.write("".join(f"| {status} | {count} |\n" for status, count in said.most_common()))
    sys.stdout.write(f"| not confirmed | {len(untrue)} |\n\n")
    sys.stdout.write("".join(untrue))
    sys.exit(1 if untrue else 0)


def _random_answers(first: int, count: int) -> Iterator[tuple[str, Answer]]:
    for seed in range(first, first + count):
        asked = random_problem(seed)
        if asked is None:
            yield f"seed {seed}", Answer("draw refused", 0.0, 0.0, True)
        else:
            name = f"seed {seed} (tol {asked.tol:g}, {asked.solver}, {asked.problem!r})"
            yield name, answer(asked)


def _of_case(case: Case, data: Path | None) -> Iterator[Problem]:
    plain = case.build(data)
    patterns = cx.PatternSet.from_dense(plain.masks)
    kind: Any = {"gated": cx.GatedReLUProblem, "relu": cx.ReLUProblem}[plain.program]
    for beta in plain.betas:
        yield kind(plain.X, plain.y, patterns, float(beta), loss=plain.loss)


def _features(rng: np.random.Generator) -> FloatArray:
    """Few rows: Gaussian, small integers with ties, or equal rows; columns of several scales."""
    n, d = int(rng.integers(2, 40)), int(rng.integers(1, 7))
    X = rng.standard_normal((n, d))
    look = rng.random()
    if look < 0.3:
        X = rng.integers(-2, 3, (n, d)).astype(float)
    elif look < 0.4:
        X = X[rng.integers(0, n, n)]
    elif look < 0.5:
        X = X @ rng.standard_normal((d, 1)) @ rng.standard_normal((1, d))  # of rank 1, to rounding
    if rng.random() < 0.3:
        X = X * 10.0 ** rng.uniform(-3, 3, d)
    if rng.random() < 0.3:
        X[:, -1] = 1.0
    if rng.random() < 0.2:
        X = X * 10.0 ** rng.uniform(-8, 8)
    if not X.any():
        X[0, 0] = 1.0
    return X


def _targets(rng: np.random.Generator, X: FloatArray, K: int, loss: str) -> FloatArray:
    shape = (len(X), K) if K > 1 else len(X)
    if loss == "cross_entropy":
        return np.eye(K)[rng.integers(0, K, len(X))]
    if loss in LABELS:
        return np.where(rng.random(shape) < 0.5, -1.0, 1.0)
    if loss == "poisson":
        return rng.poisson(10.0 ** rng.uniform(-1, 2), shape).astype(float)
    y = rng.standard_normal(shape)
    if rng.random() < 0.3:
        y = np.round(2 * y)
    if rng.random() < 0.3:
        y = y * 10.0 ** rng.uniform(-8, 8)
    return np.asarray(y)


def _options(rng: np.random.Generator, n: int, loss: str) -> dict[str, Any]:
    options: dict[str, Any] = {"loss": loss}
    if loss == "huber":
        options["loss"] = cx.losses.Huber(float(rng.choice([0.01, 1.35, 10.0])))
    if rng.random() < 0.3:
        options["sample_weight"] = rng.choice([0.0, 0.5, 1.0, 3.0, 100.0], n)
    if rng.random() < 0.3:
        options["ridge"] = float(10.0 ** rng.uniform(-6, 1))
    if rng.random() < 0.3:
        options["output_offset"] = True
    if rng.random() < 0.3:
        options["skip"] = float(rng.choice([0.0, 0.1, 1.0, 5.0]))
    return options


if __name__ == "__main__":
    arguments.run(main)
