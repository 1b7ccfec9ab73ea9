"""Many small calls leave nothing behind."""

from __future__ import annotations

import sys

import pytest

from tests.faults.preload import run_module

MEGABYTE = 1024.0  # in kilobytes


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("rounds", [200, pytest.param(10_000, marks=pytest.mark.slow)])
def test_small_calls_grow_nothing(rounds: int) -> None:
    # 10^4 of them may grow by a megabyte; of fewer even a leak of 100 bytes a call would be less
    # than what is noise, so that all kinds together may.
    lines = run_module("leaky", str(rounds), seconds=3000).stdout.splitlines()
    grown = {name: float(size) for name, size in (line.split(": ") for line in lines)}
    assert len(grown) > 10
    assert max(grown.values()) < MEGABYTE, grown
