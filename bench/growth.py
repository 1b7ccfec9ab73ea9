"""The table of how training to a certified optimum grows with n and d.

    python -m bench.growth [--rtol 1e-3] [--limit 60] [--sizes 1000,2 300,4 ...]

``teacher(n, d)`` (d features and a column of ones), beta = 0.1 beta_max, squared loss, one thread.
Seconds are processor time, normalised by this machine's dgemm rate (x GF/s / 104): of the whole
training, and of the pricing of its last dual point alone to each accuracy. Every network's
objective is computed again, and every bound is compared with the best network's.
"""

from __future__ import annotations

import argparse
import time
import warnings

import pyconvexnn as cx
from bench.machine import dgemm_rate
from bench.problems import teacher_problem, trained_dual
from pyconvexnn.pricing import price

SIZES = ("1000,2", "5000,3", "300,4", "2000,4", "500,5", "2000,5", "100,7", "500,7", "2000,7")
ACCURACIES = (1e-1, 1e-2, 1e-3)


def train_cells(n: int, d: int, rtol: float, limit: float, unit: float) -> list[str]:
    """Seconds, gap, patterns, neurons."""
    X, y, beta = teacher_problem(n, d)
    start = time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fit = cx.train(X, y, beta, rtol=rtol, time_limit=limit)
    seconds = (time.process_time() - start) * unit
    objective = fit.network.objective(X, y, beta)
    if not fit.certificate.lower_bound <= objective <= fit.certificate.objective:
        raise AssertionError(f"({n}, {d}): objective {objective!r}, {fit.certificate}")
    return [
        f"{seconds:.2g}",
        f"{fit.certificate.relative_gap:.1e}",
        str(fit.n_patterns),
        str(fit.network.n_neurons),
    ]


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


def main() -> None:
    """Print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rtol", type=float, default=1e-3)
    parser.add_argument("--limit", type=float, default=60.0, help="seconds a step may take")
    parser.add_argument("--sizes", nargs="+", default=SIZES, metavar="N,D")
    options = parser.parse_args()
    train_cells(50, 2, options.rtol, options.limit, 1.0)  # loads what is loaded once
    rate = dgemm_rate()
    unit = rate / 104
    head = ["n, d", f"train to {options.rtol:g}, s", "gap", "patterns", "neurons"]
    head += [f"price to {accuracy:g}, s (boxes)" for accuracy in ACCURACIES]
    print(f"dgemm {rate:.1f} GF/s")  # noqa: T201
    print("| " + " | ".join(head) + " |\n" + "|---" * len(head) + "|")  # noqa: T201
    for size in options.sizes:
        n, d = map(int, size.split(","))
        cells = train_cells(n, d, options.rtol, options.limit, unit)
        cells += [price_cell(n, d, accuracy, options.limit, unit) for accuracy in ACCURACIES]
        print(f"| {n}, {d} | " + " | ".join(cells) + " |", flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
