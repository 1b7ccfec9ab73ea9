"""Other threads, forks and new processes beside the kernels, and the end of the interpreter."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

import pyconvexnn as cx

def test_another_thread_runs_during_a_solve() -> None:
    prob = long_problem()
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


def test_solves_in_several_python_threads_agree() -> None:
    rng = np.random.default_rng(5)
    X, y = rng.standard_normal((80, 4)), rng.standard_normal(80)
    prob = cx.GatedReLUProblem(X, y, cx.sample_patterns(X, 40, seed=1), 1.0)
    alone = cx.solve(prob, tol=1e-8)
    found: list[cx.Solution] = []
    threads = [
        threading.Thread(target=lambda: found.append(cx.solve(prob, tol=1e-8, threads=2)))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    for sol in found:
        np.testing.assert_array_equal(sol.coef.values, alone.coef.values)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_solve_in_a_forked_child() -> None:
    rng = np.random.default_rng(5)
    X, y = rng.standard_normal((80, 4)), rng.standard_normal(80)
    prob = cx.GatedReLUProblem(X, y, cx.sample_patterns(X, 40, seed=1), 1.0)
    expected = cx.solve(prob, threads=2).objective
    child = os.fork()
    if child == 0:
        # os._exit: the child must not run pytest's own clean-up.
        same = cx.solve(prob, threads=2).objective == expected
        os._exit(0 if same else 1)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            assert os.waitstatus_to_exitcode(status) == 0
            return
        time.sleep(0.01)
    os.kill(child, signal.SIGKILL)
    pytest.fail("the forked child hangs")


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
