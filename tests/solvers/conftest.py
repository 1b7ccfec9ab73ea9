"""The solvers that a problem may be given to."""

from __future__ import annotations

import pytest

SOLVERS = ["cd", "newton", "fista"]


@pytest.fixture(params=SOLVERS, scope="session")
def solver(request: pytest.FixtureRequest) -> str:
    """Each solver in turn."""
    return str(request.param)
