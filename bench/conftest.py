"""One BLAS thread, machine facts in the saved JSON, and the problems that are timed."""

from __future__ import annotations

from bench import one_thread  # noqa: F401

# isort: split
import os
from typing import Any

import pytest

import pyconvexnn as cx
from bench.machine import dgemm_rate


def pytest_report_header() -> str:
    threads = os.environ["OPENBLAS_NUM_THREADS"]
    return f"dgemm {dgemm_rate():.1f} GF/s with {threads} BLAS thread(s); {cx.show_config()}"


def pytest_benchmark_update_machine_info(config: Any, machine_info: dict[str, Any]) -> None:
    machine_info["dgemm_gflops"] = dgemm_rate()
    machine_info["pyconvexnn"] = cx.show_config()


def pytest_terminal_summary(terminalreporter: Any, config: Any) -> None:
    """What benchmarks noted beside their times: ratios, gaps, counts."""
    for benchmark in config._benchmarksession.benchmarks:
        if benchmark.extra_info:
            noted = ", ".join(f"{name} {value:.4g}" for name, value in benchmark.extra_info.items())
            terminalreporter.write_line(f"{benchmark.name}: {noted}")


@pytest.fixture(params=[(200, 10, 200), (500, 20, 500), (1000, 20, 1000)], ids=str)
def size(request: pytest.FixtureRequest) -> tuple[int, int, int]:
    return request.param  # type: ignore[no-any-return]
