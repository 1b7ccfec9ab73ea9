"""What `import pyconvexnn` adds to NumPy's own import: at most 30 ms."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

PROGRAM = """
import time, numpy
start = time.perf_counter()
import pyconvexnn
print(time.perf_counter() - start)
"""


def seconds_added() -> float:
    kept = {name: text for name, text in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True, env=kept
    )
    return float(done.stdout)


@pytest.mark.benchmark(group="import")
def test_import(benchmark: BenchmarkFixture) -> None:
    seconds_added()  # compiles the byte code
    added: list[float] = []
    benchmark.pedantic(lambda: added.append(seconds_added()), rounds=7)
    benchmark.extra_info["milliseconds_added_to_numpy"] = 1e3 * statistics.median(added)
    assert statistics.median(added) <= 0.030
