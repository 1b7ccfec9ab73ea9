"""Large problems: the gated program on single-precision data, and training to a proof.

    python -m bench.scale [--parts gated train] [--size N,D,P] [--path] [--digits FOLDER]

Gated: ``cx.datasets.ar(60000, 784, 1000)`` in float32, squared loss, to the relative gap 1e-5, each
penalty from zero, or with ``--path`` from the solution before. ``cx.verify`` recomputes all that
is claimed, in float64.

Training, beta = 0.1 times the lower end of ``cx.beta_max``, squared loss: ``teacher(50000, d)`` for
d <= 4; columns 2^-j times standard normal, j < 6, and one of ones, of a teacher on these columns,
to 1e-2; and with FOLDER, of the IDX files, 10000 digits as 784 pixels, odd ones from even ones,
where a relaxation is all that is proved. Objectives are computed again and compared with the
bounds.

One thread. Seconds are processor time, normalised by this machine's dgemm rate (x GF/s / 104);
GB the most memory that the process has held so far, data included.
"""

from __future__ import annotations

from bench import one_thread  # noqa: F401

# isort: split

import argparse
import resource
import sys
import time
import warnings
from pathlib import Path

import numpy as np

import pyconvexnn as cx
from bench import arguments
from bench.compare.cases import load_table
from bench.machine import dgemm_rate
from pyconvexnn._typing import FloatArray

RATIOS = (0.5, 0.1, 0.02)
GAP = 1e-5
# Rows, features, relative gap asked for, seconds allowed.
TEACHERS = ((50_000, 2, 1e-3, None), (50_000, 3, 1e-3, None), (50_000, 4, 1e-3, None))
DECAYING = (20_000, 6, 1e-2, 60.0)
DIGITS = (1e-2, 60.0)


def gigabytes() -> float:
    """The most that this process has held."""
    held = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return held / (1e9 if sys.platform == "darwin" else 1e6)


def decaying(n: int, d: int, *, seed: int = 0) -> tuple[FloatArray, FloatArray]:
    """Columns 2^-j N(0, 1), j < d, and one of ones; a teacher of 5 neurons on them; standardised y.

    The teacher's response has the noise 0.3 beside a standard deviation of 1.
    """
    rng = np.random.default_rng(seed)
    X = np.column_stack([rng.standard_normal((n, d)) * 0.5 ** np.arange(d), np.ones(n)])
    response = np.maximum(X @ rng.standard_normal((d + 1, 5)), 0.0) @ rng.standard_normal(5)
    y = response / response.std() + 0.3 * rng.standard_normal(n)
    return X, (y - y.mean()) / y.std()


def gated_rows(size: tuple[int, int, int], path: bool, unit: float) -> list[str]:
    """Rows of the gated table, one for each ratio."""
    n, d, P = size
    X, y, patterns = cx.datasets.ar(n, d, P)
    X, y = X.astype(np.float32), y.astype(np.float32)
    prob = cx.GatedReLUProblem(X, y, patterns, 1.0)
    rows, last = [], None
    for ratio in RATIOS:
        at = prob.with_beta(ratio * prob.beta_max)
        start = time.process_time()
        sol = cx.solve(at, tol=GAP, warm_start=last)
        seconds = (time.process_time() - start) * unit
        held = gigabytes()
        last = sol if path else None
        found = cx.verify(at, sol)
        differences = (
            abs(found.objective / sol.objective - 1.0),
            abs(found.dual_objective / sol.dual_objective - 1.0),
            found.infeasibility,
        )
        if not (max(differences) <= 1e-12 and found.relative_gap <= GAP):
            raise AssertionError(f"{at!r}: {sol.relative_gap!r}, {found}")
        cells = [f"{n}, {d}, {P}", f"{ratio:g}", f"{seconds:.1f}", f"{found.relative_gap:.1e}"]
        rows.append(_row([*cells, str(len(sol.active)), str(sol.n_iter), f"{held:.2f}"]))
    return rows


def train_row(
    name: str, X: FloatArray, y: FloatArray, rtol: float, limit: float | None, unit: float
) -> str:
    """A row of the training table."""
    beta = 0.1 * cx.beta_max(X, y).value
    start = time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the table says what is proved
        fit = cx.train(X, y, beta, rtol=rtol, time_limit=limit)
    seconds = (time.process_time() - start) * unit
    proof, objective = fit.certificate, fit.network.objective(X, y, beta)
    if not proof.lower_bound <= objective <= proof.objective:
        raise AssertionError(f"{name}: objective {objective!r}, {proof}")
    cells = [name, f"{rtol:g}", f"{seconds:.1f}", f"{proof.relative_gap:.1e}", proof.method]
    return _row([*cells, str(fit.n_patterns), str(fit.network.n_neurons), f"{gigabytes():.2f}"])


def train_rows(digits: Path | None, unit: float) -> list[str]:
    """Rows of the training table."""
    rows = []
    for n, d, rtol, limit in TEACHERS:
        X, y = cx.datasets.teacher(n, d)
        rows.append(train_row(f"teacher {n}, {d}", X, y, rtol, limit, unit))
    n, d, rtol, limit = DECAYING
    rows.append(train_row(f"decaying {n}, {d}", *decaying(n, d), rtol, limit, unit))
    if digits is not None:
        pixels, labels = load_table("mnist", digits)
        odd = np.where(labels % 2 == 1, 1.0, -1.0)
        rows.append(train_row("odd digits", pixels / 255.0, odd, *DIGITS, unit))
    return rows


def _row(cells: list[str]) -> str:
    return "| " + " | ".join(cells) + " |\n"


def _head(cells: list[str]) -> str:
    return _row(cells) + "|---" * len(cells) + "|\n"


def main() -> None:
    """Print Markdown tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--parts",
        nargs="+",
        choices=("gated", "train"),
        default=("gated", "train"),
        help="of the run",
    )
    parser.add_argument("--size", default="60000,784,1000", metavar="N,D,P", help="gated problem")
    parser.add_argument("--path", action="store_true", help="start from the penalty before")
    parser.add_argument("--digits", type=arguments.folder, help="folder of the IDX files")
    options = parser.parse_args()
    X, y = cx.datasets.teacher(50, 2)
    cx.train(X, y, 0.1 * cx.beta_max(X, y).value)  # loads what is loaded once
    rate = dgemm_rate()
    sys.stdout.write(f"dgemm {rate:.1f} GF/s\n\n")
    if "gated" in options.parts:
        n, d, P = map(int, options.size.split(","))
        sys.stdout.write(_head(["n, d, P", "ratio", "s", "gap", "active", "steps", "GB"]))
        sys.stdout.write("".join(gated_rows((n, d, P), options.path, rate / 104)) + "\n")
    if "train" in options.parts:
        head = ["data", "rtol", "s", "gap", "proof", "patterns", "neurons", "GB"]
        sys.stdout.write(_head(head) + "".join(train_rows(options.digits, rate / 104)))


if __name__ == "__main__":
    arguments.run(main)
