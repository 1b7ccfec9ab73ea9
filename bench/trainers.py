"""Three ways to a network with weight decay, for `bench.networks`: ours, scikit-learn's, PyTorch's.

Each chooses a penalty by cross-validation and trains at one, and hands back a network in the
notation of one problem, in which it can be judged; see there for what it is.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
from sklearn.metrics import r2_score
from sklearn.model_selection import GridSearchCV, KFold, StratifiedKFold
from sklearn.neural_network import MLPClassifier, MLPRegressor

import pyconvexnn as cx
from bench.compare import environments
from bench.compare.client import Peer
from bench.peers.protocol import Answer, Problem
from bench.peers.shapes import balanced
from pyconvexnn._typing import FloatArray

FOLDS = 3
BIAS_COLUMN = 10.0
WIDTH = 100
RTOL = 1e-4
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

    @property
    def decay(self) -> float:
        """Half the sum of squares that beta is the weight of."""
        return 0.5 * float(np.sum(self.hidden**2) + np.sum(self.output**2))

    def at_its_best(self, claimed: float, beta: float) -> tuple[float, Net]:
        """What the same function, each unit balanced, costs where this costs `claimed`; and it."""
        net = Net(*balanced(self.hidden, self.output), self.offset)
        return claimed - beta * (self.decay - net.decay), net

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
    bound: float = 0.0  # of all networks, where the tool proves one


class Tool(Protocol):
    """Who chooses a penalty and trains."""

    def choose(self, data: Data) -> tuple[int, float]:
        """Index of the chosen penalty, processor seconds."""

    def train(self, data: Data, beta: float) -> Trained:
        """The network at a penalty, of all training rows."""


class Ours:
    """`cx.train`, and the estimators that choose a penalty."""

    def __init__(self, limit: float) -> None:
        self.limit = limit

    def choose(self, data: Data) -> tuple[int, float]:
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
        return first_best(est.cv_results_["mean_test_score"]), seconds

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
        offset = 0.0 if fit.network.b2 is None else float(np.squeeze(fit.network.b2))
        net = Net(fit.network.W1, fit.network.W2[:, 0], offset)
        return Trained(net, fit.certificate.objective, seconds, fit.certificate.lower_bound)


class Sklearn:
    """Its MLP, by L-BFGS."""

    def __init__(self, seeds: int) -> None:
        self.seeds = seeds

    def choose(self, data: Data) -> tuple[int, float]:
        start = time.process_time()
        search = GridSearchCV(
            self._mlp(data, 0), {"alpha": data.betas}, cv=data.folds, refit=False
        ).fit(data.X[:, :-1], data.y)
        seconds = time.process_time() - start
        return first_best(search.cv_results_["mean_test_score"]), seconds

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
        net = Net(np.column_stack([W.T, weights]), a[:, 0], float(offset[0]))
        return net.at_its_best(claimed, beta)


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
        scores, seconds = [], 0.0
        for rows, others in data.folds.split(data.X, data.y):
            found = list(self._answers(data.problem(data.betas, rows), 1))
            seconds += found[0].seconds
            scores.append([one.net.score(data, data.X[others], data.y[others]) for one in found])
        return first_best(np.mean(scores, axis=0)), seconds

    def train(self, data: Data, beta: float) -> Trained:
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
        for own, hidden, output, beta in zip(
            answer.objective, answer.hidden, answer.output, problem.betas, strict=True
        ):
            # The last unit is the offset.
            raw = Net(hidden[:-1], output[:-1], float(output[-1]))
            claimed, net = raw.at_its_best(float(own), float(beta))
            yield Trained(net, claimed, reply.cpu)


def first_best(scores: Any) -> int:
    """Of equal scores that of the largest penalty; rounding of a mean is no difference."""
    scores = np.asarray(scores)
    return int(np.flatnonzero(scores >= scores.max() - 1e-12)[0])
