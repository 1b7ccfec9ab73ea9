"""A BLAS that is wrong now and then: refused, or harmless, but no wrong certificate."""

from __future__ import annotations

import pytest

from tests.faults.preload import preloaded, run_module


@pytest.mark.parametrize(
    ("runs", "period"),
    [
        (8, 0),  # one wrong entry in all
        (8, 100),
        pytest.param(1000, 0, marks=pytest.mark.slow),
        *(pytest.param(200, 10**k, marks=pytest.mark.slow) for k in (2, 3, 4, 6)),
    ],
)
def test_no_wrong_certificate(
    runs: int, period: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    environment = preloaded("wrong_blas.cpp", tmp_path_factory.mktemp("preload"))
    done = run_module("misled", str(runs), str(period), "0", environment=environment, seconds=3000)
    if done.stdout.startswith("not interposed"):
        pytest.skip("this NumPy's products cannot be replaced")
    assert "certified" in done.stdout
    assert period != 100 or "refused" in done.stdout
