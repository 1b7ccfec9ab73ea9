"""What a training run tells of itself."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple


class Round(NamedTuple):
    """State of a training run after one round of pricing.

    Attributes
    ----------
    iteration : int
        Rounds so far.
    objective : float
        Best objective of a network so far.
    lower_bound : float
        Best lower bound over all networks so far; -inf before the first rigorous one.
    price : float
        Largest price found in this round, as a multiple of beta: above 1 some neuron pays.
    n_patterns : int
        Patterns of the restricted program.
    n_neurons : int
        Neurons of its solution.
    method : str
        What priced: "search", or a rigorous engine.
    seconds : float
        Since the start.
    """

    iteration: int
    objective: float
    lower_bound: float
    price: float
    n_patterns: int
    n_neurons: int
    method: str
    seconds: float


RoundCallback = Callable[[Round], object]


class OutputRounds:
    """The rounds of runs for one output after another, told as those of one run for all.

    Objectives and lower bounds are sums over the outputs: of those done, of the one that is being
    trained, and of the empty network for those to come, of which no bound but zero is known. So
    are the numbers of patterns and neurons; the price is that of the round.

    Parameters
    ----------
    objectives : sequence of float
        Of the networks without neurons, one for each output.
    callback : callable, optional
        Called with every Round of the sum. Once it has returned True every run ends at its next
        round, and it is not called again.

    Attributes
    ----------
    history : list of Round
        Of the sum.
    """

    def __init__(self, objectives: Sequence[float], callback: RoundCallback | None) -> None:
        self._to_come, self._callback = list(objectives), callback
        self._objective = self._lower_bound = 0.0
        self._patterns = self._neurons = 0
        self._begun, self._stopped = time.perf_counter(), False
        self.history: list[Round] = []

    def begin(self) -> None:
        """The next output is about to be trained."""
        self._to_come.pop(0)

    def told(self, state: Round) -> bool:
        """Tell a round of the current run; return whether the run is to end."""
        lower = max(state.lower_bound, 0.0) if self._lower_bound > 0.0 else state.lower_bound
        self.history.append(
            state._replace(
                iteration=len(self.history) + 1,
                objective=self._objective + state.objective + math.fsum(self._to_come),
                lower_bound=self._lower_bound + lower,
                n_patterns=self._patterns + state.n_patterns,
                n_neurons=self._neurons + state.n_neurons,
                seconds=time.perf_counter() - self._begun,
            )
        )
        if self._callback is not None and not self._stopped:
            self._stopped = bool(self._callback(self.history[-1]))
        return self._stopped

    def end(self, objective: float, lower_bound: float, n_patterns: int, n_neurons: int) -> None:
        """What the current run has come to."""
        self._objective += objective
        self._lower_bound += lower_bound
        self._patterns += n_patterns
        self._neurons += n_neurons
