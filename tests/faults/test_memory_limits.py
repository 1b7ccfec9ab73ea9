"""Too little memory: an exception, nothing lost, and the interpreter goes on."""

from __future__ import annotations

import sys

import pytest

from tests.faults.calls import SMALL
from tests.faults.preload import preloaded, run_module

RIGHT = ("MemoryError: ", "ValueError: ")


@pytest.mark.skipif(sys.platform != "linux", reason="limits the address space as Linux does")
@pytest.mark.parametrize("megabytes", [60, pytest.param(200, marks=pytest.mark.slow)])
def test_much_is_asked_of_a_small_process(megabytes: int) -> None:
    lines = run_module("confined", str(megabytes)).stdout.splitlines()
    refused = 0
    for name, what in zip(lines[::2], lines[1::2], strict=True):
        assert what == "done" or what.startswith(RIGHT), name
        refused += what != "done"
    assert refused >= 8


@pytest.fixture(scope="module")
def failing(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return preloaded("failing_new.cpp", tmp_path_factory.mktemp("preload"))


def test_some_allocations_fail(failing: dict[str, str]) -> None:
    run_module("starved", "97", *SMALL, environment=failing)


@pytest.mark.slow
@pytest.mark.parametrize("name", SMALL)
def test_each_allocation_fails(failing: dict[str, str], name: str) -> None:
    run_module("starved", "1", name, environment=failing)
