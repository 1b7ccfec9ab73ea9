"""The module that a user of PyTorch writes: two linear layers with biases, trained by Adam.

    sum loss(f, y) + beta/2 (||W||^2 + ||b / c||^2 + ||a||^2),  f = sum_j (W x + b)_j+ a_j + b_2

in float64, all rows in each step, PyTorch's own random starts. X has a last column of a constant c,
which is left to the biases b of the first layer: b / c is the weight on it. "Tolerance" is the
number of starts, the best of which counts. In the answer the last unit is b_2, which is not
decayed: weight 1 / c on the constant column, b_2 in the output.

Not in the comparison of `bench.compare`, whose networks have no offset: for `bench.networks`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from bench.peers.protocol import Method, Problem, Session
from bench.peers.shapes import tiny
from bench.peers.torch_peer import ADAM_RATE, sum_of_losses
from bench.peers.trained import Start, Trained

METHODS = (
    Method(
        "torch-module",
        "torch.txt",
        frozenset({"relu"}),
        frozenset({"squared", "logistic"}),
        (1, 10),
        convex=False,
        torch=True,
    ),
)
WIDTH = 100  # as many as scikit-learn has by default
STEPS = 2000


class _Module(Trained):
    def __init__(self, problem: Problem, steps: int) -> None:
        import torch

        torch.set_num_threads(1)
        self._torch = torch
        super().__init__(problem)
        self._steps = steps
        self._constant = float(problem.X[0, -1])
        if not np.all(problem.X[:, -1] == self._constant) or self._constant == 0.0:
            raise ValueError("biases: the last column of X must be a constant other than 0")
        self._X = torch.from_numpy(problem.X[:, :-1].copy())
        self._y = torch.from_numpy(problem.y)

    def train(self, beta: float, seed: int) -> Start:
        torch, nn = self._torch, self._torch.nn
        torch.manual_seed(seed)
        first = nn.Linear(self._X.shape[1], WIDTH, dtype=torch.float64)
        second = nn.Linear(WIDTH, 1, dtype=torch.float64)
        net = nn.Sequential(first, nn.ReLU(), second)
        optimizer = torch.optim.Adam(net.parameters(), lr=ADAM_RATE)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, self._steps)

        def objective() -> Any:
            squares = (first.weight**2).sum() + (second.weight**2).sum()
            decay = squares + (first.bias**2).sum() / self._constant**2
            f = net(self._X)[:, 0]
            return sum_of_losses(self._problem.loss, f, self._y) + 0.5 * beta * decay

        for _ in range(self._steps):
            optimizer.zero_grad()
            objective().backward()
            optimizer.step()
            schedule.step()
        with torch.no_grad():
            value = float(objective())
        W, b, a, offset = (part.detach().numpy() for part in net.parameters())
        hidden = np.zeros((WIDTH + 1, W.shape[1] + 1))
        hidden[:WIDTH] = np.column_stack([W, b / self._constant])
        hidden[WIDTH, -1] = 1.0 / self._constant
        return (value if np.isfinite(value) else np.inf), hidden, np.append(a[0], offset)


def prepare(method: str, problem: Problem) -> Session:
    """Import torch."""
    if method != "torch-module":
        raise ValueError(f"`method` must be 'torch-module', got {method!r}")
    _Module(tiny(problem), 2).solve(1)
    return _Module(problem, STEPS)
