"""The tables of how enumeration, and training to a certified optimum, grow with n and d.

    python -m bench.growth [--rtol 1e-3] [--limit 60] [--seeds 5]
        [--enumerate 100,3 ...] [--tree 10,3 ...] [--train 100,2 ...]
    python -m bench.growth --sizes 1000,2 300,4 ...

Without ``--sizes``, three tables with fitted laws, of the default sizes in some eight minutes:

1. Every pattern of a Gaussian matrix (N rows, D columns) from ``cx.iter_patterns``: number, seconds
   (the least of five runs where they are short), patterns a second. At the sizes of ``--tree``
   also by the textbook's tree of linear programs, which must give the same set. Numbers must be
   those of the formula ``2 sum_{k<D} C(N-1, k)``.
2. ``cx.train`` to the gap ``--rtol`` over all networks, bound and all, against n: ``teacher(n, d)``
   (d features and a column of ones), beta = 0.1 beta_max, squared loss. Geometric means over
   seeds of the data.
3. The same against d. ``> x``: a seed was not proved within the limit (of the clock); such
   sizes join no fit.

With ``--sizes`` instead the table of single trainings of seed 0, and of the pricing of their last
dual points alone to each accuracy.

Laws are least squares of log seconds, with 95 % intervals, once over all sizes and once over the
upper half of them, where set-up weighs less. Seconds are processor time of one thread, normalised
by this machine's dgemm rate (x GF/s / 104). Every network's objective is computed again in NumPy
and must lie between the bound and what was claimed.
"""

from __future__ import annotations

from bench import one_thread  # noqa: F401

# isort: split

import argparse
import sys
import time
import warnings
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

import pyconvexnn as cx
from bench import arguments, laws
from bench.compare import evaluate
from bench.machine import dgemm_rate
from bench.peers.protocol import Problem
from bench.problems import teacher_problem, trained_dual
from pyconvexnn._typing import FloatArray
from pyconvexnn.pricing import price
from tests import lp_tree

ACCURACIES = (1e-1, 1e-2, 1e-3)
ENUMERATED = (
    *("100,3", "300,3", "1000,3", "3000,3"),
    *("50,4", "100,4", "200,4", "400,4"),
    *("30,5", "50,5", "100,5", "150,5"),
    *("30,6", "40,6", "60,6", "80,6"),
    *("20,8", "25,8", "30,8", "40,8"),
)
TREES = ("10,3", "15,3", "20,3", "30,3", "10,4", "15,4", "10,5")
TRAINED = (
    *(f"{n},{d}" for d in (2, 3, 4) for n in (100, 300, 1000, 3000, 10000, 30000, 100000)),
    *(f"{n},{d}" for d in (5, 6) for n in (100, 300, 1000, 3000)),
    *("100,7", "100,8", "1000,7"),
)
FEW = 5e6  # patterns up to which an enumeration is run five times
CLOSE = 1e-9  # relative difference between two evaluators of one objective


class Training(NamedTuple):
    """One fit; seconds are normalised."""

    seconds: float
    proved: bool
    relative_gap: float
    n_patterns: int
    n_neurons: int


def train(n: int, d: int, rtol: float, limit: float, unit: float, seed: int = 0) -> Training:
    """Train on the teacher's data and check objective and bound."""
    X, y, beta = teacher_problem(n, d, seed)
    start = time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the table says what is proved
        fit = cx.train(X, y, beta, rtol=rtol, time_limit=limit)
    seconds = (time.process_time() - start) * unit
    proof, objective = fit.certificate, fit.network.objective(X, y, beta)
    plain = Problem("", "relu", "squared", X, y, np.zeros((1, n), bool), np.array([beta]))
    again = evaluate.network_objective(plain, beta, fit.network.W1, fit.network.W2[:, 0])
    if not (
        proof.lower_bound <= objective <= proof.objective
        and abs(again - objective) <= CLOSE * objective
    ):
        raise AssertionError(f"({n}, {d}): objective {objective!r}, {again!r}, {proof}")
    proved = proof.relative_gap <= rtol
    return Training(seconds, proved, proof.relative_gap, fit.n_patterns, fit.network.n_neurons)


def price_cell(n: int, d: int, rtol: float, limit: float, unit: float) -> str:
    """Seconds and boxes; where time ran out, the accuracy reached."""
    X, beta, v, neurons = trained_dual(n, d)
    start = time.process_time()
    found = price(
        X, v, floor=beta, rtol=rtol, method="branch_and_bound", starts=neurons, time_limit=limit
    )
    seconds = (time.process_time() - start) * unit
    if found.value > found.bound:
        raise AssertionError(f"({n}, {d}): bound {found.bound!r} below {found.value!r}")
    if found.status is not cx.Status.SOLVED:
        return f"> {seconds:.2g} ({found.bound / beta - 1:.2g})"
    return f"{seconds:.2g} ({found.n_nodes})"


def single_rows(sizes: Iterable[tuple[int, int]], rtol: float, limit: float, unit: float) -> None:
    """The table of single trainings, and of prices alone."""
    head = ["n, d", f"train to {rtol:g}, s", "gap", "patterns", "neurons"]
    _row([*head, *(f"price to {accuracy:g}, s (boxes)" for accuracy in ACCURACIES)], rule=True)
    for n, d in sizes:
        fit = train(n, d, rtol, limit, unit)
        cells = [f"{'' if fit.proved else '> '}{fit.seconds:.2g}", f"{fit.relative_gap:.1e}"]
        cells += [str(fit.n_patterns), str(fit.n_neurons)]
        cells += [price_cell(n, d, accuracy, limit, unit) for accuracy in ACCURACIES]
        _row([f"{n}, {d}", *cells])


# Enumeration ------------------------------------------------------------------------------------


def stream_seconds(X: FloatArray) -> tuple[int, float]:
    """Number of patterns, which is checked, and processor seconds of streaming them all."""
    expected = cx.count_patterns(*X.shape)
    seconds = []
    for _ in range(5 if expected < FEW else 1):
        start = time.process_time()
        count = sum(map(len, cx.iter_patterns(X)))
        seconds.append(time.process_time() - start)
        if count != expected:
            raise AssertionError(f"{X.shape}: {count} patterns, the formula says {expected}")
    return expected, min(seconds)


def tree_seconds(X: FloatArray) -> float:
    """Processor seconds of the tree of linear programs, whose patterns must be ours."""
    start = time.process_time()
    cells = lp_tree.all_cells(X)
    seconds = time.process_time() - start
    ours = cx.enumerate_patterns(X).to_dense()
    same = {row.tobytes() for row in ours} == {row.tobytes() for row in cells}
    if not (same and len(cells) == len(ours) == cx.count_patterns(*X.shape)):
        raise AssertionError(f"{X.shape}: {len(ours)} patterns, the tree has {len(cells)}")
    return seconds


def enumeration_rows(
    sizes: Sequence[tuple[int, int]], trees: Sequence[tuple[int, int]], unit: float
) -> None:
    """The table of enumeration, and its laws."""
    head = ["n, columns", "patterns", "s", "million patterns/s", "LP tree, s", "LP tree over ours"]
    _row(head, rule=True)
    counts: list[float] = []
    ours: list[float] = []
    theirs: dict[int, list[tuple[float, float]]] = {}  # by columns
    for size in [*trees, *sizes]:
        X = np.random.default_rng(0).standard_normal(size)
        count, seconds = stream_seconds(X)
        seconds *= unit
        tree = tree_seconds(X) * unit if size in trees else None
        rate = f"{count / seconds / 1e6:.2g}"
        cells = [f"{size[0]}, {size[1]}", str(count), f"{seconds:.2g}", rate]
        _row([*cells, *(["", ""] if tree is None else [f"{tree:.2g}", f"{tree / seconds:.0f}"])])
        if tree is not None:
            theirs.setdefault(size[1], []).append((count, tree))
        if size in sizes:
            counts.append(count)
            ours.append(seconds)
    _say("\nseconds ~ patterns^a, a:\n")
    _row(["", "all sizes", "upper half of the numbers"], rule=True)
    columns = sorted({d for _, d in sizes})
    for d in columns:
        rows = [i for i, size in enumerate(sizes) if size[1] == d]
        _row([f"{d} columns", *_powers([counts[i] for i in rows], [ours[i] for i in rows])])
    if len(columns) > 1:
        _row(["all", *_powers(counts, ours)])
    for d, points in theirs.items():
        if len(points) > 2:
            numbers, tree_took = zip(*points, strict=True)
            _row([f"LP tree, {d} columns", *_powers(numbers, tree_took)])


# Training ---------------------------------------------------------------------------------------


def training_rows(
    sizes: Sequence[tuple[int, int]], rtol: float, limit: float, seeds: int, unit: float
) -> None:
    """The tables of training against n for each d, against d for each n, and their laws."""
    runs = {}
    for n, d in sorted(sizes, key=lambda size: (size[1], size[0])):
        if sys.stderr.isatty():
            sys.stderr.write(f"training {n}, {d}\n")
        runs[n, d] = [train(n, d, rtol, limit, unit, seed) for seed in range(seeds)]
    _say(f"\nSeconds of training to {rtol:g}, geometric mean and extremes of {seeds} seeds:\n")
    all_n, all_d = (sorted({size[axis] for size in runs}) for axis in (0, 1))
    _row(["d \\ n", *map(str, all_n)], rule=True)
    for d in all_d:
        _row([str(d), *(_training_cell(runs.get((n, d))) for n in all_n)])
    proved = {size: fits for size, fits in runs.items() if all(fit.proved for fit in fits)}
    _say("\nseconds ~ n^a, a:\n")
    _row(["d", "n", "all sizes", "upper half of them"], rule=True)
    for d in all_d:
        points = [(n, fit.seconds) for n, e in proved if e == d for fit in proved[n, d]]
        if len({n for n, _ in points}) > 2:
            sizes_of, seconds = zip(*points, strict=True)
            _row([str(d), f"{min(sizes_of)} to {max(sizes_of)}", *_powers(sizes_of, seconds)])
    _say("\nseconds ~ c^d, c:\n")
    _row(["n", "d", "all", "upper half of them"], rule=True)
    for n in all_n:
        points = [(d, fit.seconds) for m, d in proved if m == n for fit in proved[n, d]]
        if len({d for d, _ in points}) > 3:
            steps, seconds = zip(*points, strict=True)
            _row([str(n), f"{min(steps)} to {max(steps)}", *_factors(steps, seconds)])


def _training_cell(fits: list[Training] | None) -> str:
    if fits is None:
        return ""
    seconds = [fit.seconds for fit in fits]
    mean = np.exp(np.mean(np.log(seconds)))
    if not all(fit.proved for fit in fits):
        return f"> {mean:.2g} (gap {max(fit.relative_gap for fit in fits):.1e})"
    return f"{mean:.2g} ({min(seconds):.2g} to {max(seconds):.2g})"


def _powers(sizes: Sequence[float], seconds: Sequence[float]) -> list[str]:
    return [laws.power_text(laws.power(*points)) for points in _all_and_larger(sizes, seconds)]


def _factors(steps: Sequence[float], seconds: Sequence[float]) -> list[str]:
    return [laws.factor_text(laws.factor(*points)) for points in _all_and_larger(steps, seconds)]


def _all_and_larger(
    sizes: Sequence[float], seconds: Sequence[float]
) -> list[tuple[Sequence[float], Sequence[float]]]:
    top = laws.larger(sizes)
    return [(sizes, seconds), ([sizes[i] for i in top], [seconds[i] for i in top])]


# Printing ---------------------------------------------------------------------------------------


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def _row(cells: Sequence[str], *, rule: bool = False) -> None:
    _say("| " + " | ".join(cells) + " |" + ("\n" + "|---" * len(cells) + "|" if rule else ""))


def _size(text: str) -> tuple[int, int]:
    n, d = map(int, text.split(","))
    if n < 2 or d < 1:
        raise argparse.ArgumentTypeError(f"must have N >= 2 and D >= 1, got {text}")
    return n, d


def main() -> None:
    """Print Markdown tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rtol", type=arguments.positive, default=1e-3)
    parser.add_argument(
        "--limit", type=arguments.positive, default=60.0, help="seconds a step may take"
    )
    parser.add_argument("--seeds", type=arguments.count, default=5, help="trainings of each size")
    pairs: dict[str, Any] = {"nargs": "*", "type": _size, "metavar": "N,D"}
    single = {**pairs, "nargs": "+"}
    parser.add_argument("--sizes", **single, help="of single trainings and prices alone")
    for name, sizes in (("enumerate", ENUMERATED), ("tree", TREES), ("train", TRAINED)):
        parser.add_argument(f"--{name}", **pairs, default=[_size(size) for size in sizes])
    options = parser.parse_args()
    train(50, 2, options.rtol, options.limit, 1.0)  # loads what is loaded once
    rate = dgemm_rate()
    unit = rate / 104
    _say(f"dgemm {rate:.1f} GF/s\n")
    if options.sizes:
        single_rows(options.sizes, options.rtol, options.limit, unit)
        return
    enumeration_rows(options.enumerate, options.tree, unit)
    training_rows(options.train, options.rtol, options.limit, options.seeds, unit)


if __name__ == "__main__":
    arguments.run(main)
