"""What a user would train otherwise, on real tables: scikit-learn's and PyTorch's networks.

    python -m bench.networks FOLDER [--only NAME ...] [--tools sklearn torch] [--seeds 10]
        [--limit 15]

One problem for all, that which scikit-learn comes nearest to:

    sum loss + beta/2 (||W||^2 + ||a||^2 + ||b||^2 / 100),  f(x) = sum_j (w_j'x + b_j)_+ a_j + b_2

Squared loss and R2, or logistic loss (the most frequent class against the rest) and accuracy. The
share of the hidden biases b (ours are weights on a column of tens) is ours alone: scikit-learn does
not decay biases, minimises the rest, and its networks are judged with that share, some thousandths
of the objective or less. Three quarters of the rows are trained on, the others are held out.

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
processor time of one thread, normalised by the machine's dgemm rate (x GF/s / 104).

Every objective is computed again in NumPy from the weights, and must agree with what the tool says,
and with the bound.

FOLDER holds tables of the UCI repository as CSV files without a header, the target last. Names with
a colon are tables cut to some columns.
"""

from __future__ import annotations

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import argparse
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from sklearn.metrics import r2_score
from sklearn.model_selection import GridSearchCV, KFold, StratifiedKFold, train_test_split
from sklearn.neural_network import MLPClassifier, MLPRegressor

import pyconvexnn as cx
from bench.compare import environments, evaluate
from bench.compare.cases import load_table
from bench.compare.client import Peer
from bench.machine import dgemm_rate
from bench.peers.protocol import Answer, Problem
from pyconvexnn._typing import FloatArray

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
RATIOS = (0.3, 0.1, 0.03, 0.01, 0.003)  # of beta_max
FOLDS = 3
BIAS_COLUMN = 10.0
WIDTH = 100
RTOL = 1e-4
AGREEMENT = 1e-6  # of a tool's own objective with ours, relative
OURS = "ours"
NAMES = {OURS: "ours", "sklearn": "scikit-learn", "torch": "PyTorch"}
LONGEST = 1200.0  # seconds that a worker may take for one answer


@dataclass(frozen=True)
class Data:
    """A table in two parts, standardised on the first; a last column of tens in both."""

    name: str
    loss: str
    X: FloatArray
    y: FloatArray
    X_test: FloatArray
    y_test: FloatArray
    betas: FloatArray

    @property
    def folds(self) -> Any:
        """The same for all."""
        kind = KFold if self.loss == "squared" else StratifiedKFold
        return kind(FOLDS, shuffle=True, random_state=0)

    def problem(self, betas: FloatArray, rows: Any = slice(None)) -> Problem:
        """Training rows as the harness has them; a network needs no patterns."""
        X, y = self.X[rows], self.y[rows]
        return Problem(self.name, "relu", self.loss, X, y, np.zeros((1, len(X)), bool), betas)


class Net(NamedTuple):
    """``f(x) = sum_j (x'u_j)_+ a_j + offset``, the last entry of x being ten."""

    hidden: FloatArray
    output: FloatArray
    offset: float

    def predict(self, X: FloatArray) -> FloatArray:
        return np.asarray(np.maximum(X @ self.hidden.T, 0.0) @ self.output + self.offset)

    def score(self, data: Data, X: FloatArray, y: FloatArray) -> float:
        """R2 or accuracy."""
        f = self.predict(X)
        if data.loss == "squared":
            return float(r2_score(y, f))
        return float(np.mean((f > 0) == (y > 0)))


class Trained(NamedTuple):
    """What a tool made of the training rows at a penalty."""

    net: Net
    claimed: float
    seconds: float


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


# The tools: choose beta, train at one ----------------------------------------------------------


class Ours:
    """`cx.train`, and the estimators that choose a penalty."""

    def __init__(self, limit: float) -> None:
        self.limit = limit
        self.bound = 0.0  # of the last training

    def choose(self, data: Data) -> tuple[int, float]:
        """Index of the chosen penalty, seconds."""
        regression = data.loss == "squared"
        cls = cx.ConvexMLPRegressorCV if regression else cx.ConvexMLPClassifierCV
        est = cls(
            betas=data.betas,
            cv=data.folds,
            intercept_scaling=BIAS_COLUMN,
            output_offset=True,
            certify=False,
            tol=1e-3,
        )
        start = time.process_time()
        est.fit(data.X[:, :-1], data.y)
        seconds = time.process_time() - start
        return _first_best(est.cv_results_["mean_test_score"]), seconds

    def train(self, data: Data, beta: float) -> Trained:
        start = time.process_time()
        fit = cx.train(
            data.X,
            data.y,
            beta,
            loss=data.loss,
            output_offset=True,
            rtol=RTOL,
            time_limit=self.limit,
        )
        seconds = time.process_time() - start
        self.bound = fit.certificate.lower_bound
        offset = 0.0 if fit.network.b2 is None else float(np.squeeze(fit.network.b2))
        net = Net(fit.network.W1, fit.network.W2[:, 0], offset)
        return Trained(net, fit.certificate.objective, seconds)


class Sklearn:
    """Its MLP, by L-BFGS."""

    def __init__(self, seeds: int) -> None:
        self.seeds = seeds

    def choose(self, data: Data) -> tuple[int, float]:
        """Index of the chosen penalty, seconds."""
        start = time.process_time()
        search = GridSearchCV(
            self._mlp(data, 0), {"alpha": data.betas}, cv=data.folds, refit=False
        ).fit(data.X[:, :-1], data.y)
        seconds = time.process_time() - start
        return _first_best(search.cv_results_["mean_test_score"]), seconds

    def train(self, data: Data, beta: float) -> Trained:
        """The best of all seeds in our problem."""
        start = time.process_time()
        nets = [
            self._mlp(data, seed).set_params(alpha=beta).fit(data.X[:, :-1], data.y)
            for seed in range(self.seeds)
        ]
        seconds = time.process_time() - start
        runs = [self._in_our_problem(data, beta, net) for net in nets]
        claimed, best = min(runs, key=lambda run: run[0])
        return Trained(best, claimed, seconds)

    @staticmethod
    def _mlp(data: Data, seed: int) -> Any:
        cls = MLPRegressor if data.loss == "squared" else MLPClassifier
        return cls(
            hidden_layer_sizes=(WIDTH,),
            solver="lbfgs",
            tol=1e-7,
            max_iter=5000,
            max_fun=10000,
            random_state=seed,
        )

    @staticmethod
    def _in_our_problem(data: Data, beta: float, mlp: Any) -> tuple[float, Net]:
        (W, a), (b, offset) = mlp.coefs_, mlp.intercepts_
        weights = b / BIAS_COLUMN
        claimed = len(data.y) * mlp.loss_ + beta / 2 * float(weights @ weights)
        return claimed, Net(np.column_stack([W.T, weights]), a[:, 0], float(offset[0]))


class Torch:
    """PyTorch's module in a process of its own."""

    def __init__(self, seeds: int, stack: ExitStack) -> None:
        found = environments.ensure("torch.txt")
        if found.python is None:
            raise RuntimeError(f"PyTorch cannot be installed: {found.reason}")
        self.seeds = seeds
        self._folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        self._peer = stack.enter_context(Peer.start(found.python, "bench.peers.torch_module_peer"))

    def choose(self, data: Data) -> tuple[int, float]:
        """Index of the chosen penalty, seconds."""
        scores, seconds = [], 0.0
        for rows, others in data.folds.split(data.X, data.y):
            found = list(self._answers(data.problem(data.betas, rows), 1))
            seconds += found[0].seconds
            scores.append([one.net.score(data, data.X[others], data.y[others]) for one in found])
        return _first_best(np.mean(scores, axis=0)), seconds

    def train(self, data: Data, beta: float) -> Trained:
        """The best of all seeds."""
        return next(self._answers(data.problem(np.array([beta])), self.seeds))

    def _answers(self, problem: Problem, starts: int) -> Iterator[Trained]:
        """A network for each penalty, with the seconds of all of them."""
        files = self._folder / "problem.npz", self._folder / "answer.npz"
        problem.save(files[0])
        for reply in (
            self._peer.load("torch-module", files[0], LONGEST),
            self._peer.solve(starts, files[1], LONGEST),
        ):
            if reply.status != "ok":
                raise RuntimeError(f"PyTorch on {problem.name}: {reply.reason}")
        answer = Answer.load(files[1])
        assert answer.hidden is not None
        assert answer.output is not None
        for own, hidden, output in zip(answer.objective, answer.hidden, answer.output, strict=True):
            # The last unit is the offset.
            net = Net(hidden[:-1], output[:-1], float(output[-1]))
            yield Trained(net, float(own), reply.cpu)


def _first_best(scores: Any) -> int:
    """Of equal scores that of the largest penalty; rounding of a mean is no difference."""
    scores = np.asarray(scores)
    return int(np.flatnonzero(scores >= scores.max() - 1e-12)[0])


# The table --------------------------------------------------------------------------------------


def judged(data: Data, beta: float, tool: str, trained: Trained, bound: float) -> float:
    """The objective, computed again; an error where it is not what was claimed, or impossible."""
    net = trained.net
    squares = float(np.sum(net.hidden**2) + np.sum(net.output**2))
    f = net.predict(data.X)
    objective = evaluate.loss_value(data.problem(np.array([beta])), f) + beta / 2 * squares
    where = f"{data.name}, beta {beta:g}, {tool}: objective {objective!r}"
    if abs(objective - trained.claimed) > AGREEMENT * objective:
        raise AssertionError(f"{where}, claimed {trained.claimed!r}")
    if evaluate.below_bound(objective, bound):
        raise AssertionError(f"{where}, below the bound {bound!r}")
    return objective


def rows(data: Data, tools: dict[str, Any], unit: float) -> list[list[str]]:
    """Cells of one line for each penalty that a tool chose."""
    chosen = {tool: does.choose(data) for tool, does in tools.items()}
    lines: list[list[str]] = []
    for index in sorted({index for index, _ in chosen.values()}):
        beta = float(data.betas[index])
        found = {tool: does.train(data, beta) for tool, does in tools.items()}
        bound = tools[OURS].bound
        values = {tool: judged(data, beta, tool, one, bound) for tool, one in found.items()}
        best = min(values.values())
        by = ", ".join(NAMES[tool] for tool, (at, _) in chosen.items() if at == index)
        scores = [one.net.score(data, data.X_test, data.y_test) for one in found.values()]
        first = not lines
        lines.append(
            [
                data.name if first else "",
                f"{len(data.y)} + {len(data.y_test)} x {data.X.shape[1] - 1}" if first else "",
                f"{RATIOS[index]:g} ({by})",
                f"{bound:.5g}",
                " / ".join(f"{value:.5g}" for value in values.values()),
                " / ".join(f"{max(1 - bound / value, 0):.1e}" for value in values.values()),
                " / ".join(_above(value, best) for value in values.values()),
                " / ".join(f"{score:.3f}" for score in scores),
                " / ".join(f"{one.seconds * unit:.2g}" for one in found.values()),
                " / ".join(f"{s * unit:.2g}" for _, s in chosen.values()) if first else "",
            ]
        )
    return lines


def _above(value: float, best: float) -> str:
    return "best" if value == best else f"{value / best - 1:.1e}"


def main() -> None:
    """Print a Markdown table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="of the CSV files")
    parser.add_argument("--only", nargs="+", choices=TABLES, default=list(TABLES), metavar="NAME")
    others = ("sklearn", "torch")
    parser.add_argument("--tools", nargs="*", choices=others, default=others, help="beside ours")
    parser.add_argument("--seeds", type=int, default=10, help="starts of the others")
    parser.add_argument("--limit", type=float, default=15.0, help="seconds of our training")
    options = parser.parse_args()
    rate = dgemm_rate()
    with ExitStack() as stack:
        tools: dict[str, Any] = {OURS: Ours(options.limit)}
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
        for name in options.only:
            for cells in rows(load(name, options.folder), tools, rate / 104):
                _say(_row(cells))


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main()
