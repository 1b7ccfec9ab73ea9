"""The table behind ``solver="auto"``: seconds of each solver, by size, penalty and tolerance.

    python -m bench.auto_solver [--tol 1e-2 1e-3 1e-6] [--limit 20]

One thread, processor time, the least of up to three runs; every answer's gap is recomputed by
:func:`pyconvexnn.verify`, and a miss raises.
"""

from __future__ import annotations

import argparse
import time
import warnings

import pyconvexnn as cx
from pyconvexnn.solvers.auto import pick

SIZES = ((200, 10, 200), (500, 20, 500), (1000, 10, 5000), (2000, 50, 1000), (20000, 20, 500))
RATIOS = (0.5, 0.1, 0.02, 0.005)
SOLVERS = ("cd", "newton", "fista")


def seconds(problem: cx.GatedReLUProblem, solver: str, tol: float, limit: float) -> float:
    """Least processor time of up to three runs; infinite where the limit or tol is missed."""
    least, spent = float("inf"), 0.0
    for _ in range(3):
        start = time.process_time()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            solution = cx.solve(problem, solver=solver, tol=tol, time_limit=limit)
        taken = time.process_time() - start
        if solution.status is not cx.Status.SOLVED:
            return float("inf")
        found = cx.verify(problem, solution)
        if found.relative_gap > tol * (1 + 1e-6) or found.infeasibility > 1e-12:
            raise AssertionError(f"{solver} at tol {tol:g}: {found}")
        least, spent = min(least, taken), spent + taken
        if spent > 2.0:
            break
    return least


def main() -> None:
    """Print a Markdown table, the fastest solver of each row in bold."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tol", type=float, nargs="+", default=[1e-2, 1e-3, 1e-6])
    parser.add_argument("--limit", type=float, default=20.0, help="seconds a solve may take")
    options = parser.parse_args()
    print("| n, d, P | beta ratio | tol | " + " | ".join(SOLVERS) + ' | "auto" |')  # noqa: T201
    print("|---" * (len(SOLVERS) + 4) + "|")  # noqa: T201
    for n, d, P in SIZES:
        X, y, patterns = cx.datasets.ar(n, d, P)
        base = cx.GatedReLUProblem(X, y, patterns, 1.0)
        for ratio in RATIOS:
            problem = base.with_beta(ratio * base.beta_max)
            for tol in options.tol:
                times = {s: seconds(problem, s, tol, options.limit) for s in SOLVERS}
                least = min(times.values())
                cells = [f"**{t:.2g}**" if t == least else f"{t:.2g}" for t in times.values()]
                auto = pick(problem).__name__.lower()
                print(  # noqa: T201
                    f"| {n}, {d}, {P} | {ratio:g} | {tol:g} | "
                    + " | ".join(cells)
                    + f" | {auto} |",
                    flush=True,
                )


if __name__ == "__main__":
    main()
