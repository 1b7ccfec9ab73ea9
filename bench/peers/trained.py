"""Peers that train the network itself: the best of several starts for each penalty."""

from __future__ import annotations

import abc

import numpy as np

from bench.peers.protocol import Answer, FloatArray, Problem

Start = tuple[float, FloatArray, FloatArray]  # objective, the rows u_j, and a


class Trained(abc.ABC):
    """The best network for each penalty, filled by a `train(beta, seed)`."""

    def __init__(self, problem: Problem) -> None:
        self._problem = problem
        self._best: list[Start] = []

    @abc.abstractmethod
    def train(self, beta: float, seed: int) -> Start:
        """What comes of one start."""

    def best_of(self, starts: int) -> None:
        """Train from each start, for every penalty."""
        self._best = [
            min((self.train(float(beta), seed) for seed in range(starts)), key=lambda run: run[0])
            for beta in self._problem.betas
        ]

    def solve(self, tolerance: float) -> None:
        """From so many starts."""
        self.best_of(int(tolerance))

    def answer(self) -> Answer:
        """The networks."""
        return Answer(
            np.array([value for value, _, _ in self._best]),
            hidden=np.array([hidden for _, hidden, _ in self._best]),
            output=np.array([output for _, _, output in self._best]),
        )
