"""What a training run tells of itself."""

from __future__ import annotations

from collections.abc import Callable
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
