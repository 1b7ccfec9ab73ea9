"""The problems of the comparison, and the sets of them: smoke, standard, full."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import sklearn.datasets

import pyconvexnn as cx
from bench.compare import evaluate
from bench.peers.protocol import FloatArray, Problem

Table = tuple[FloatArray, Any]  # features, target
SCIKIT = ("diabetes", "breast_cancer", "wine", "digits")
PATH = tuple(np.geomspace(1.0, 0.01, 50).tolist())  # penalties of a path over beta_max


@dataclass(frozen=True)
class Case:
    """One row of the comparison: data, program, penalties as ratios of the gated beta_max."""

    data: str  # "ar", "gauss", or the name of a real data set
    program: str  # "gated" | "relu"
    ratios: tuple[float, ...]  # one, or a path
    shape: tuple[int, int, int] = (0, 0, 0)  # n, d, P of a recipe
    loss: str = "squared"
    outputs: int = 1
    most_patterns: int = 1000  # of a table, two for each row otherwise
    target: float = 10.0  # how many times faster than the best peer we want to be
    longest: float = 120.0  # seconds that any solve may take
    threads: int = 1  # methods of more are left out
    single: bool = False  # X rounded to float32

    @property
    def name(self) -> str:
        """Unique, readable, and what ``--only`` looks into."""
        size = f"({','.join(map(str, self.shape))})" if any(self.shape) else ""
        outputs = f" K={self.outputs}" if self.outputs > 1 else ""
        at = f"{self.ratios[0]:g}" if len(self.ratios) == 1 else f"path{len(self.ratios)}"
        return f"{self.program} {self.data}{size} {self.loss}{outputs} {at}"

    def build(self, folder: Path | None) -> Problem:
        """Data, patterns and penalties in plain arrays; files of `folder` for real data."""
        if self.data in ("ar", "gauss"):
            recipe = getattr(cx.datasets, self.data)
            X, y, patterns = recipe(*self.shape, loss=self.loss, n_outputs=self.outputs)
            X = X.astype(np.float32).astype(np.float64) if self.single else X
        else:
            X, target = load_table(self.data, folder)
            X, y = standardised(X), self._targets(target)
            n_patterns = min(2 * len(X), self.most_patterns)
            patterns = cx.sample_patterns(X, n_patterns, coordinates="raw", seed=0)
        problem = Problem(self.name, self.program, self.loss, X, y, patterns.to_dense(), np.ones(1))
        betas = gated_beta_max(problem) * np.array(self.ratios)
        return dataclasses.replace(problem, betas=betas, single=self.single)

    def _targets(self, target: Any) -> FloatArray:
        if self.loss == "squared":
            target = np.asarray(target, float)
            return np.asarray((target - target.mean()) / target.std())
        # Several classes: the most frequent one (the first of equals) against the rest.
        classes, counts = np.unique(target, return_counts=True)
        return np.where(target == classes[counts.argmax()], 1.0, -1.0)

    def limit(self, ours: float | None) -> float:
        """Seconds that a peer may take for one solve, `ours` being our time to 1e-6."""
        if ours is None:
            return self.longest
        return min(max(2.0, 1.2 * self.target * ours), self.longest)


def gated_beta_max(problem: Problem) -> float:
    """``max_i ||X' D_i v0||``, v0 = -loss'(0): the reference of every penalty."""
    v0 = -evaluate.loss_gradient(problem, np.zeros_like(problem.y))
    return float(evaluate.gated_prices(problem, v0).max())


def standardised(X: FloatArray) -> FloatArray:
    """Columns of mean 0 and deviation 1, constant ones dropped, and a column of ones."""
    X = X[:, X.std(axis=0) > 0]
    return np.column_stack([(X - X.mean(axis=0)) / X.std(axis=0), np.ones(len(X))])


def load_table(name: str, folder: Path | None) -> Table:
    """Features as numbers (text one-hot) and the target column."""
    if name in SCIKIT:
        X, y = getattr(sklearn.datasets, f"load_{name}")(return_X_y=True)
        return np.asarray(X, float), y
    if folder is None:
        raise ValueError(f"`data` must be the folder of {name}, got None")
    if name == "mnist":
        return load_idx(folder / "t10k-images-idx3-ubyte.gz"), load_idx(
            folder / "t10k-labels-idx1-ubyte.gz"
        ).ravel()
    frame = pd.read_csv(folder / f"{name}.csv", header=None)
    features = pd.get_dummies(frame.iloc[:, :-1])
    return features.to_numpy(float), frame.iloc[:, -1].to_numpy()


def load_idx(path: Path) -> FloatArray:
    """An IDX file of bytes, one row for each item."""
    import gzip

    with gzip.open(path) as file:
        raw = file.read()
    n_axes = raw[3]
    shape = np.frombuffer(raw, ">u4", n_axes, 4)
    items = np.frombuffer(raw, np.uint8, offset=4 + 4 * n_axes)
    return items.reshape(int(shape[0]), -1).astype(float)


def _gated(shape: tuple[int, int, int], *ratios: float, **more: Any) -> list[Case]:
    targets = {0.5: 5.0}
    return [Case("ar", "gated", (r,), shape, target=targets.get(r, 10.0), **more) for r in ratios]


def _relu(shape: tuple[int, int, int], *ratios: float, loss: str = "squared") -> list[Case]:
    target = 50.0 if shape[0] >= 100 else 15.0
    return [
        Case(data, "relu", (r,), shape, loss, target=target)
        for data in ("ar", "gauss")
        for r in ratios
    ]


def _table(name: str, loss: str) -> list[Case]:
    return [Case(name, "gated", (r,), loss=loss) for r in (0.1, 0.02)]


def _relu_tables(loss: str) -> list[Case]:
    return [
        Case(name, "relu", (r,), loss=loss, most_patterns=200)
        for name in SCIKIT
        for r in (0.3, 0.1, 0.02)
        if name != "diabetes" or loss in ("squared", "huber")
    ]


GATED = [(200, 10, 200), (500, 20, 500), (1000, 20, 1000), (1000, 10, 5000), (2000, 50, 1000)]
LARGE = [(5000, 100, 500), (20000, 100, 2000), (60000, 784, 1000)]
RELU = [(50, 5, 50), (100, 5, 100), (200, 10, 100), (500, 10, 100), (1000, 20, 200)]
LARGE_RELU = [
    (2000, 20, 1000),
    (5000, 20, 500),
    (2000, 50, 300),
    (1000, 100, 200),
    (10000, 30, 500),
]
CLASSES = ("sonar", "ionosphere", "pima", "banknote_authentication", "haberman", "glass")
FILES = {
    **dict.fromkeys((*CLASSES, "wheat-seeds", "mnist"), "logistic"),
    **dict.fromkeys(("abalone", "housing", "winequality-red"), "squared"),
}


def smoke() -> list[Case]:
    """Three small problems that show that everything works."""
    cases = [
        *_gated((100, 5, 50), 0.1),
        *_gated((100, 5, 50), 0.1, loss="logistic"),
        Case("gauss", "relu", (0.1,), (50, 5, 50)),
    ]
    return [dataclasses.replace(case, longest=5.0) for case in cases]


def standard() -> list[Case]:
    """What decides: gated and ReLU sizes, a path, three outputs, scikit-learn's tables."""
    return [
        *(case for shape in GATED for case in _gated(shape, 0.1, 0.02)),
        *(case for shape in RELU for case in _relu(shape, 0.1, 0.01)),
        Case("ar", "gated", PATH, (1000, 20, 1000)),
        *_gated((500, 20, 500), 0.1, outputs=3),
        *(
            case
            for name in SCIKIT
            for case in _table(name, "squared" if name == "diabetes" else "logistic")
        ),
        *_relu_tables("squared"),
    ]


def full() -> list[Case]:
    """Everything: more ratios and sizes, every loss, and the tables of a folder."""
    more = [
        *(case for shape in GATED for case in _gated(shape, 0.5, 0.005)),
        *(
            case
            for shape in LARGE
            for case in _gated(shape, 0.5, 0.1, 0.02, 0.005, threads=2, single=shape == LARGE[-1])
        ),
        *(case for shape in LARGE_RELU for case in _relu(shape, 0.3, 0.1, 0.03)),
        Case("ar", "gated", PATH, (500, 20, 500)),
        *(
            case
            for K in (3, 10)
            for shape in GATED[1:3]
            for case in _gated(shape, 0.1, 0.02, outputs=K)
        ),
        *(
            case
            for loss in ("huber", "logistic", "squared_hinge", "hinge", "poisson")
            for case in _gated((500, 20, 500), 0.5, 0.1, 0.02, 0.005, loss=loss)
        ),
        *(
            case
            for K in (3, 10)
            for case in _gated((500, 20, 500), 0.1, 0.02, loss="cross_entropy", outputs=K)
        ),
        *(
            case
            for loss in ("huber", "logistic", "squared_hinge")
            for case in _relu((200, 10, 100), 0.1, 0.01, loss=loss)
        ),
        *_relu_tables("logistic"),
        *(case for name, loss in FILES.items() for case in _table(name, loss)),
    ]
    return list(dict.fromkeys([*standard(), *more]))


SETS: dict[str, Callable[[], list[Case]]] = {"smoke": smoke, "standard": standard, "full": full}
