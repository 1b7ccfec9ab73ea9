"""The solvers that a problem may be given to."""

from __future__ import annotations

import pytest

import pyconvexnn as cx

SOLVERS = ["cd", "newton", "fista"]
Problem = cx.GatedReLUProblem | cx.ReLUProblem


def program_of(solver: str) -> type[cx.GatedReLUProblem] | type[cx.ReLUProblem]:
    """The kind of problem that a solver solves."""
    return cx.ReLUProblem if solver == "cutting_plane" else cx.GatedReLUProblem


@pytest.fixture(params=SOLVERS, scope="session")
def solver(request: pytest.FixtureRequest) -> str:
    """Each solver of the gated program in turn."""
    return str(request.param)
