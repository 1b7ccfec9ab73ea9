"""PyTorch on the network itself: L-BFGS with strong Wolfe line search, and full-batch Adam.

    sum loss(relu(X U') a, y) + beta/2 (||U||^2 + ||a||^2), float64, the starts of lbfgs_peer

"Tolerance" is the number of starts for L-BFGS, the number of steps (of three starts each) for Adam.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from bench.peers.lbfgs_peer import DELTA, LOSSES, split, start
from bench.peers.protocol import Method, Problem, Session
from bench.peers.shapes import tiny
from bench.peers.trained import Start, Trained

_COMMON: tuple[str, frozenset[str], frozenset[str]] = ("torch.txt", frozenset({"relu"}), LOSSES)
METHODS = (
    Method("torch-lbfgs", *_COMMON, (1, 3, 10), convex=False, torch=True),
    Method("torch-adam", *_COMMON, (1000, 3000, 10000), convex=False, torch=True),
)
ADAM_STARTS = 3
ADAM_RATE = 1e-2  # of the first step; follows half a cosine down to 0


def sum_of_losses(name: str, f: Any, y: Any) -> Any:
    """What `lbfgs_peer.loss` sums, of tensors."""
    import torch

    F = torch.nn.functional
    if name == "squared":
        return 0.5 * ((f - y) ** 2).sum()
    if name == "huber":
        return F.huber_loss(f, y, reduction="sum", delta=DELTA)
    if name == "logistic":
        return F.softplus(-y * f).sum()
    if name == "squared_hinge":
        return 0.5 * (F.relu(1 - y * f) ** 2).sum()
    saturated = torch.special.xlogy(y, y) - y
    return (F.poisson_nll_loss(f, y, reduction="none") + saturated).sum()


class _Torch(Trained):
    def __init__(self, method: str, problem: Problem) -> None:
        import torch

        super().__init__(problem)
        torch.set_num_threads(1)
        self._torch = torch
        self._method = method
        self._X, self._y = torch.from_numpy(problem.X), torch.from_numpy(problem.y)
        self._steps = 0

    def train(self, beta: float, seed: int) -> Start:
        torch, d = self._torch, self._problem.X.shape[1]
        parameters = torch.from_numpy(start(seed, d)).requires_grad_()
        width = len(parameters) // (d + 1)

        def objective() -> Any:
            hidden, output = parameters[: width * d].reshape(width, d), parameters[width * d :]
            f = torch.relu(self._X @ hidden.T) @ output
            return (
                sum_of_losses(self._problem.loss, f, self._y) + 0.5 * beta * (parameters**2).sum()
            )

        if self._method == "torch-lbfgs":
            optimizer = torch.optim.LBFGS(
                [parameters],
                max_iter=5000,
                max_eval=10000,
                tolerance_grad=1e-7,
                tolerance_change=1e-12,
                history_size=20,
                line_search_fn="strong_wolfe",
            )
            steps = 1  # with thousands of iterations inside
            schedule = None
        else:
            optimizer = torch.optim.Adam([parameters], lr=ADAM_RATE)
            steps = self._steps
            schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)

        def closure() -> Any:
            optimizer.zero_grad()
            value = objective()
            value.backward()
            return value

        for _ in range(steps):
            optimizer.step(closure)
            if schedule is not None:
                schedule.step()
        with torch.no_grad():
            value = float(objective())
        found = parameters.detach().numpy().copy()
        return (value if np.isfinite(value) else np.inf), *split(found, d)

    def solve(self, tolerance: float) -> None:
        self._steps = int(tolerance)
        self.best_of(ADAM_STARTS if self._method == "torch-adam" else int(tolerance))


def prepare(method: str, problem: Problem) -> Session:
    """Import torch."""
    names = [m.name for m in METHODS]
    if method not in names:
        raise ValueError(f"`method` must be one of {', '.join(names)}, got {method!r}")
    _Torch(method, tiny(problem)).solve(1)
    return _Torch(method, problem)
