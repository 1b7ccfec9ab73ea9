"""The solvers that a problem may be given to, and the losses that it may have."""

from __future__ import annotations

from typing import Any

import pytest

import pyconvexnn as cx

SOLVERS = ["cd", "newton", "fista"]
# All of one output that an output offset may go with: not the hinge.
LOSSES: list[Any] = [
    "squared",
    "logistic",
    "squared_hinge",
    "huber",
    cx.losses.Huber(0.3),
    "poisson",
]
Problem = cx.GatedReLUProblem | cx.ReLUProblem


def program_of(solver: str) -> type[cx.GatedReLUProblem] | type[cx.ReLUProblem]:
    """The kind of problem that a solver solves."""
    return cx.ReLUProblem if solver == "cutting_plane" else cx.GatedReLUProblem


@pytest.fixture(params=SOLVERS, scope="session")
def solver(request: pytest.FixtureRequest) -> str:
    """Each solver of the gated program in turn."""
    return str(request.param)
