"""Other threads, forks and new processes beside the kernels, and the end of the interpreter."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import pyconvexnn as cx
from tests.faults import calls

# Each with so many threads of its own, on data large enough to start them.
CALLS: dict[str, Callable[[int], str]] = {
    "solve gated": lambda threads: calls.solve(
        calls.gated(300, 4, 4000, 0.3), "fista", 1e-3, threads=threads
    ),
    "solve relu": lambda threads: calls.solve(calls.relu(60, 4, 80, 0.1), threads=threads),
    "enumerate": lambda threads: calls.enumerate_patterns(100, 3, threads=threads),
    "train": lambda threads: calls.train(60, 3, threads=threads),
    "certify": lambda threads: calls.certify(60, 3, threads=threads),
}


def call_with_threads(name: str) -> str:
    """For processes that import it by name."""
    return CALLS[name](2)


@pytest.mark.parametrize("name", CALLS)
def test_calls_side_by_side_do_as_alone(name: str) -> None:
    expected = CALLS[name](1)
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(CALLS[name], [1 + k % 2 for k in range(8)]))
    assert found == [expected] * 8


def test_different_calls_side_by_side() -> None:
    expected = [call(1) for call in CALLS.values()]
    with ThreadPoolExecutor(8) as pool:
        running = [[pool.submit(call, 2) for call in CALLS.values()] for _ in range(2)]
        for row in running:
            assert [one.result() for one in row] == expected


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
@pytest.mark.parametrize("name", CALLS)
def test_a_forked_child(name: str) -> None:
    expected = CALLS[name](2)
    child = os.fork()
    if child == 0:
        # os._exit: the child must not run pytest's own clean-up.
        same = False
        try:
            same = CALLS[name](2) == expected
        finally:
            os._exit(0 if same else 1)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            assert os.waitstatus_to_exitcode(status) == 0
            return
        time.sleep(0.01)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    pytest.fail("the forked child hangs")


def test_new_processes_do_the_same() -> None:
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        running = pool.map_async(call_with_threads, CALLS)
        assert running.get(timeout=120) == [call(1) for call in CALLS.values()]


def test_another_thread_runs_during_a_solve() -> None:
    prob = calls.gated(300, 8, 300, 1e-6)
    steps = 0
    done = threading.Event()

    def count() -> None:
        nonlocal steps
        while not done.is_set():
            steps += 1

    thread = threading.Thread(target=count)
    thread.start()
    with pytest.warns(match="TIME_LIMIT"):
        sol = cx.solve(prob, tol=1e-15, time_limit=0.5, solver="cd")
    done.set()
    thread.join()
    assert sol.status is cx.Status.TIME_LIMIT
    assert steps > 10_000


def test_solves_of_one_problem_agree() -> None:
    # Its lazy properties are asked for by several threads at once.
    rng = np.random.default_rng(5)
    X, y = rng.standard_normal((80, 4)), rng.standard_normal(80)
    patterns = cx.sample_patterns(X, 40, seed=1)
    alone = cx.solve(cx.GatedReLUProblem(X, y, patterns, 1.0), tol=1e-8)
    prob = cx.GatedReLUProblem(X, y, patterns, 1.0)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: cx.solve(prob, tol=1e-8, threads=2), range(4)))
    for sol in found:
        np.testing.assert_array_equal(sol.coef.values, alone.coef.values)


@pytest.mark.parametrize("callback", ["None", "lambda progress: False"])
def test_the_interpreter_ends_quietly_beside_a_solve(callback: str) -> None:
    # A daemon thread is left inside the kernel when the interpreter is torn down.
    program = f"""
import threading, time
import numpy as np
import pyconvexnn as cx
rng = np.random.default_rng(3)
X, y = rng.standard_normal((300, 8)), rng.standard_normal(300)
prob = cx.GatedReLUProblem(X, y, cx.sample_patterns(X, 300, seed=1), 1e-4)
started = threading.Event()
def work():
    started.set()
    cx.solve(prob, tol=1e-15, solver="cd", callback={callback})
threading.Thread(target=work, daemon=True).start()
started.wait()
time.sleep(0.3)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
