"""scikit-learn's MLP with solver "lbfgs", several starts; "tolerance" is their number.

It minimises ``(sum loss + alpha/2 (||W1||^2 + ||w2||^2)) / n``: beta is alpha, but its biases are
not decayed and cannot be turned off. A column of ones in X makes them comparable: the column is
left to scikit-learn's own bias b1, which becomes the weight on the column, and the output's offset
b2 becomes one more neuron, (ones sqrt|b2|)_+ times sign(b2) sqrt|b2|. Its own objective is then
``n loss_`` plus what the decay of b1 and b2 costs us: beta (||b1||^2 / 2 + |b2|). A problem
without a column of ones is refused.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from bench.peers.protocol import Method, Problem, Session
from bench.peers.shapes import balanced, tiny
from bench.peers.trained import Start, Trained

METHODS = (
    Method(
        "sklearn-mlp",
        None,
        frozenset({"relu"}),
        frozenset({"squared", "logistic"}),
        (1, 3, 10),
        convex=False,
    ),
)
WIDTH = 50


class _Mlp(Trained):
    def __init__(self, problem: Problem) -> None:
        ones = np.flatnonzero(np.all(problem.X == 1.0, axis=0))
        if not len(ones):
            raise ValueError("undecayed biases: comparable only when X has a column of ones")
        super().__init__(problem)
        self._ones = int(ones[-1])
        self._X = np.delete(problem.X, self._ones, axis=1)

    def train(self, beta: float, seed: int) -> Start:
        from sklearn.neural_network import MLPClassifier, MLPRegressor

        kind: Any = MLPRegressor if self._problem.loss == "squared" else MLPClassifier
        net = kind(
            hidden_layer_sizes=(WIDTH,),
            solver="lbfgs",
            alpha=beta,
            tol=1e-7,
            max_iter=5000,
            max_fun=10000,
            random_state=seed,
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a start that did not converge is one of several
            net.fit(self._X, self._problem.y)
        bias, offset = net.intercepts_[0], float(net.intercepts_[1][0])
        decay = 0.5 * sum(float(np.sum(weights**2)) for weights in net.coefs_)
        hidden, output = balanced(
            np.insert(net.coefs_[0].T, self._ones, bias, axis=1), net.coefs_[1][:, 0]
        )
        least = 0.5 * float(np.sum(hidden**2) + np.sum(output**2)) + abs(offset)
        own = len(self._X) * net.loss_ + beta * (least - decay)
        extra = np.zeros((1, hidden.shape[1]))
        extra[0, self._ones] = np.sqrt(abs(offset))
        output = np.append(output, np.sign(offset) * np.sqrt(abs(offset)))
        return float(own), np.vstack([hidden, extra]), output


def prepare(method: str, problem: Problem) -> Session:
    """Import scikit-learn."""
    if method != "sklearn-mlp":
        raise ValueError(f"`method` must be 'sklearn-mlp', got {method!r}")
    session = _Mlp(problem)
    _Mlp(tiny(problem)).solve(1)
    return session
