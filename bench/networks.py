"""What a user would train otherwise, on real tables: scikit-learn's and PyTorch's networks.

    python -m bench.networks FOLDER [--only NAME ...] [--tools sklearn torch] [--seeds 10]
        [--limit 15]

One problem for all, that which scikit-learn comes nearest to:

    sum loss + beta/2 (||W||^2 + ||a||^2 + ||b||^2 / 100),  f(x) = sum_j (w_j'x + b_j)_+ a_j + b_2

Squared loss and R2, or logistic loss (the most frequent class against the rest) and accuracy. The
share of the hidden biases b (ours are weights on a column of tens) is ours alone: scikit-learn does
not decay biases, minimises the rest, and its networks are judged with that share, of which the last
lines tell how large it was. Three quarters of the rows are trained on, the others are held out.

1. Each tool chooses beta on its own: the best mean score of the same three folds of the training
   rows, among the same multiples of beta_max; of equal ones the largest. Ours is
   ``ConvexMLP*CV``, the others train one seed for each fold and beta.
2. At each beta that one of them chose, each is trained on all training rows: ours by ``cx.train``
   to a gap of 1e-4 within ``--limit`` seconds; the others from ``--seeds`` starts, of which the
   least objective counts. scikit-learn: 100 units, L-BFGS. PyTorch: 100 units, Adam, 2000
   steps of all rows, the rate falling from 0.01 to 0 (bench/peers/torch_module_peer.py), in an
   environment of its own, which is made under .peers.

Printed for each table and beta: the lower bound of all networks of any width, proved by our
training, and of each tool the objective, its certified distance ``1 - bound / objective``, its
distance from the best objective that any of them reached (which says more where the bound is
loose), the score on the rows held out, and seconds; those of choosing beta apart. Seconds are
processor time of one thread, normalised by the machine's dgemm rate (x GF/s / 104). A last line of
each tool sums up.

Every objective is computed again in NumPy from the weights, and must agree with what the tool says,
and with the bound.

FOLDER holds tables of the UCI repository as CSV files without a header, the target last. Names with
a colon are tables cut to some columns. All of them take a quarter of an hour; the first time
PyTorch is installed, under .peers.
"""

from __future__ import annotations

from bench import one_thread  # noqa: F401

# isort: split

import argparse
import sys
import warnings
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import numpy as np
from sklearn.model_selection import train_test_split

import pyconvexnn as cx
from bench import arguments
from bench.compare import evaluate
from bench.compare.cases import load_table
from bench.machine import dgemm_rate
from bench.trainers import BIAS_COLUMN, RTOL, Data, Ours, Sklearn, Tool, Torch, Trained

# Columns that are kept, None for all; those of the demo where it has the table.
TABLES: dict[str, tuple[int, ...] | None] = {
    "haberman": None,
    "diabetes:bmi,bp,s5": (2, 3, 8),
    "breast_cancer:texture,area,smoothness": (1, 23, 24),
    "housing:rm,ptratio,lstat": (5, 10, 12),
    "banknote_authentication": None,
    "pima": None,
    "glass": None,
    "diabetes": None,
    "housing": None,
    "breast_cancer": None,
    "ionosphere": None,
}
REGRESSIONS = ("diabetes", "housing")
RATIOS = (0.3, 0.1, 0.03, 0.01, 0.003, 0.001, 0.0003)  # of beta_max
AGREEMENT = 1e-6  # of a tool's own objective with ours, relative
NAMES = {"ours": "ours", "sklearn": "scikit-learn", "torch": "PyTorch"}


def load(name: str, folder: Path) -> Data:
    """Table, its two parts, and the penalties to choose from."""
    table = name.partition(":")[0]
    columns = TABLES[name]
    X, y = load_table(table, folder)
    X = X if columns is None else X[:, columns]
    regression = table in REGRESSIONS
    if not regression:
        classes, counts = np.unique(y, return_counts=True)
        y = np.where(y == classes[counts.argmax()], 1.0, -1.0)
    X, X_test, y, y_test = train_test_split(
        X, y, test_size=0.25, random_state=0, stratify=None if regression else y
    )
    X_test, X = X_test[:, X.std(axis=0) > 0], X[:, X.std(axis=0) > 0]
    if regression:
        y, y_test = (y - y.mean()) / y.std(), (y_test - y.mean()) / y.std()
    mean, deviation = X.mean(axis=0), X.std(axis=0)
    X, X_test = (
        np.column_stack([(part - mean) / deviation, np.full(len(part), BIAS_COLUMN)])
        for part in (X, X_test)
    )
    loss = "squared" if regression else "logistic"
    largest = cx.beta_max(X, y, loss=loss, output_offset=True).value
    return Data(name, loss, X, y, X_test, y_test, largest * np.array(RATIOS))


# The table --------------------------------------------------------------------------------------


def judged(data: Data, beta: float, tool: str, trained: Trained, bound: float) -> float:
    """The objective, computed again; an error where it is not what was claimed, or impossible."""
    net = trained.net
    f = net.predict(data.X)
    objective = evaluate.loss_value(data.problem(np.array([beta])), f) + beta * net.decay
    where = f"{data.name}, beta {beta:g}, {tool}: objective {objective!r}"
    if abs(objective - trained.claimed) > AGREEMENT * objective:
        raise AssertionError(f"{where}, claimed {trained.claimed!r}")
    if evaluate.below_bound(objective, bound):
        raise AssertionError(f"{where}, below the bound {bound!r}")
    return objective


class Line(NamedTuple):
    """What the tools made of a table at one penalty that one of them chose."""

    ratio: float
    chosen_by: list[str]
    bound: float
    objectives: dict[str, float]
    scores: dict[str, float]
    seconds: dict[str, float]
    biases: dict[str, float]  # their share of the objective

    @property
    def above(self) -> dict[str, float]:
        """Relative distances from the best objective."""
        best = min(self.objectives.values())
        return {tool: value / best - 1 for tool, value in self.objectives.items()}

    @property
    def distances(self) -> dict[str, float]:
        """Certified relative distances from the optimum."""
        return {tool: max(1 - self.bound / x, 0.0) for tool, x in self.objectives.items()}

    def cells(self) -> list[str]:
        """Of the table, those of the tools with slashes between."""
        return [
            f"{self.ratio:g} ({', '.join(NAMES[tool] for tool in self.chosen_by)})",
            f"{self.bound:.5g}",
            " / ".join(f"{x:.5g}" for x in self.objectives.values()),
            " / ".join(f"{x:.1e}" for x in self.distances.values()),
            " / ".join(f"{x:.1e}" if x else "best" for x in self.above.values()),
            " / ".join(f"{x:.3f}" for x in self.scores.values()),
            " / ".join(f"{x:.2g}" for x in self.seconds.values()),
        ]


def lines_of(
    data: Data, tools: dict[str, Tool], unit: float
) -> tuple[list[Line], dict[str, float]]:
    """A line for each penalty that a tool chose, and the seconds that choosing took each."""
    chosen = {tool: does.choose(data) for tool, does in tools.items()}
    lines = []
    for index in sorted({index for index, _ in chosen.values()}):
        beta = float(data.betas[index])
        found = {tool: does.train(data, beta) for tool, does in tools.items()}
        bound = found["ours"].bound
        objectives = {tool: judged(data, beta, tool, one, bound) for tool, one in found.items()}
        lines.append(
            Line(
                RATIOS[index],
                [tool for tool, (at, _) in chosen.items() if at == index],
                bound,
                objectives,
                {t: x.net.score(data, data.X_test, data.y_test) for t, x in found.items()},
                {tool: one.seconds * unit for tool, one in found.items()},
                {
                    tool: beta / 2 * float(np.sum(one.net.hidden[:, -1] ** 2)) / objectives[tool]
                    for tool, one in found.items()
                },
            )
        )
    return lines, {tool: seconds * unit for tool, (_, seconds) in chosen.items()}


def summary(lines: Sequence[Line], choosing: dict[str, float]) -> str:
    """Each tool over all lines."""
    proved = sum(line.distances["ours"] <= RTOL for line in lines)
    text = f"\n{len(lines)} lines; ours proved to {RTOL:g} in {proved}.\n"
    for tool in lines[0].objectives:
        above = [line.above[tool] for line in lines]
        own = [line.scores[tool] for line in lines if tool in line.chosen_by]
        text += (
            f"{NAMES[tool]}: best objective in {above.count(0.0)}, above it by at most "
            f"{max(above):.1e} (median {np.median(above):.1e}), "
            f"hidden biases' share at most {max(line.biases[tool] for line in lines):.1e}; "
            f"mean score held out at its own penalty {np.mean(own):.3f}; "
            f"{sum(line.seconds[tool] for line in lines):.3g} s of training, "
            f"{choosing[tool]:.3g} s of choosing.\n"
        )
    return text


def main() -> None:
    """Print a Markdown table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=arguments.folder, help="of the CSV files")
    parser.add_argument("--only", nargs="+", choices=TABLES, default=list(TABLES), metavar="NAME")
    others = ("sklearn", "torch")
    parser.add_argument("--tools", nargs="*", choices=others, default=others, help="beside ours")
    parser.add_argument("--seeds", type=arguments.count, default=10, help="starts of the others")
    parser.add_argument(
        "--limit", type=arguments.positive, default=15.0, help="seconds of our training"
    )
    options = parser.parse_args()
    tables = {name: load(name, options.folder) for name in options.only}
    rate = dgemm_rate()
    with ExitStack() as stack:
        tools: dict[str, Tool] = {"ours": Ours(options.limit)}
        if "sklearn" in options.tools:
            tools["sklearn"] = Sklearn(options.seeds)
        if "torch" in options.tools:
            tools["torch"] = Torch(options.seeds, stack)
        order = " / ".join(NAMES[tool] for tool in tools)
        _say(f"dgemm {rate:.1f} GF/s; {order}\n")
        head = ["data", "rows + held out x features", "beta / beta_max (chosen by)", "lower bound"]
        head += ["objective", "certified distance", "above the best known", "held out"]
        head += ["training, s", "choosing beta, s"]
        _say(_row(head) + "\n" + "|---" * len(head) + "|")
        every: list[Line] = []
        total = dict.fromkeys(tools, 0.0)
        for name, data in tables.items():
            lines, choosing = lines_of(data, tools, rate / 104)
            label = [name, f"{len(data.y)} + {len(data.y_test)} x {data.X.shape[1] - 1}"]
            took = [" / ".join(f"{seconds:.2g}" for seconds in choosing.values())]
            for line in lines:
                _say(_row([*label, *line.cells(), *took]))
                label, took = ["", ""], [""]
            every += lines
            total = {tool: total[tool] + seconds for tool, seconds in choosing.items()}
    _say(summary(every, total))


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    arguments.run(main)
