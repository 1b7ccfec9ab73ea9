"""Ctrl-C, time limits and other threads during long work."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable

import numpy as np
import pytest

import pyconvexnn as cx
from pyconvexnn.pricing.rows import SignedRows
from pyconvexnn.pricing.search import search


def long_problem() -> cx.GatedReLUProblem:
    """A problem that no machine solves to 1e-15 within a minute."""
    rng = np.random.default_rng(3)
    X, y = rng.standard_normal((300, 8)), rng.standard_normal(300)
    return cx.GatedReLUProblem(X, y, cx.sample_patterns(X, 300, seed=1), 1e-4)


def hard_problem(n: int, P: int) -> cx.GatedReLUProblem:
    """Columns of all sizes and a small penalty: Newton's method takes to factors of n x n."""
    rng = np.random.default_rng(3)
    X, y = rng.standard_normal((n, 8)) * np.logspace(-3, 3, 8), rng.standard_normal(n)
    return cx.GatedReLUProblem(X, y, cx.sample_patterns(X, P, seed=1), 1e-3)


def seconds_to_stop(work: Callable[[], object], after: float = 0.3) -> float:
    """Seconds from a Ctrl-C, sent while `work` runs, to its KeyboardInterrupt."""
    sent = 0.0
    ended = threading.Event()

    def press() -> None:
        nonlocal sent
        ended.wait(after)
        sent = time.perf_counter()
        os.kill(os.getpid(), signal.SIGINT)
        # One that falls into a destructor is lost, as Python has it: the work must not go on.
        while not ended.wait(5.0):
            os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=press)
    thread.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            work()
        return time.perf_counter() - sent
    finally:
        ended.set()
        thread.join()


@pytest.mark.parametrize("solver", ["cd", "newton", "fista"])
def test_ctrl_c_ends_a_solve(solver: str) -> None:
    # No machine solves it to 1e-15 within seconds; Newton's method factors matrices of 1000 rows.
    prob = hard_problem(1000, 800) if solver == "newton" else long_problem()
    # The least of three: a busy machine may keep any one of them waiting.
    delays = [seconds_to_stop(lambda: cx.solve(prob, tol=1e-15, solver=solver)) for _ in range(3)]
    assert min(delays) < 0.2, delays


# Where the ReLU solver is when the key is pressed: n, d, P, ratio, and the check of the gap after
# which it is there.
PHASES: dict[str, tuple[int, int, int, float, Callable[[cx.Progress], bool]]] = {
    "first pricing": (5000, 20, 2000, 0.03, lambda at: False),
    "cuts": (3000, 20, 1500, 0.03, lambda at: at.iteration == 1),
    "master problem": (600, 20, 400, 1e-6, lambda at: at.active > 300),
    "projections": (200, 300, 80, 0.01, lambda at: at.iteration == 1),
    "faces": (600, 20, 100, 1e-3, lambda at: at.iteration > 0),  # from the optimum on
}


@pytest.mark.parametrize("phase", PHASES)
def test_ctrl_c_ends_each_phase_of_a_relu_solve(phase: str) -> None:
    n, d, P, ratio, reached = PHASES[phase]
    X, y, patterns = cx.datasets.gauss(n, d, P)
    prob = cx.ReLUProblem(X, y, patterns, 1.0)
    prob = prob.with_beta(ratio * prob.beta_max)
    start = cx.solve(prob) if phase == "faces" else None

    def delay() -> float:
        sent: list[float] = []

        def press() -> None:
            sent.append(time.perf_counter())
            os.kill(os.getpid(), signal.SIGINT)

        timer = threading.Timer(0.05, press)
        if phase == "first pricing":
            timer.start()

        def callback(at: cx.Progress) -> None:
            if reached(at) and not timer.is_alive() and not sent:
                timer.start()

        with pytest.raises(KeyboardInterrupt):
            cx.solve(prob, tol=1e-300, warm_start=start, callback=callback)
        timer.join()
        return time.perf_counter() - sent[0]

    delays = [delay() for _ in range(3)]
    assert min(delays) < 0.2, delays


@pytest.mark.parametrize("solver", ["newton", "fista"])
def test_ctrl_c_ends_a_large_solve(solver: str) -> None:
    rng = np.random.default_rng(3)
    X, y = rng.standard_normal((20_000, 100)), rng.standard_normal(20_000)
    patterns = cx.PatternSet.from_gates(X, rng.standard_normal((2000, 100)))
    prob = cx.GatedReLUProblem(X, y, patterns, 1.0)
    delays = [seconds_to_stop(lambda: cx.solve(prob, tol=1e-9, solver=solver)) for _ in range(3)]
    assert min(delays) < 0.2, delays


def test_ctrl_c_ends_products_and_factors_of_large_matrices() -> None:
    # Most of the time is spent in factors of 3000 x 3000 and in what they are made of.
    prob = hard_problem(3000, 600)
    solver = cx.solvers.Newton(tol=1e-15)
    seen: list[cx.Progress] = []
    delays = [
        seconds_to_stop(lambda: solver.solve(prob, callback=seen.append), after)
        for after in (0.3, 1.0, 1.7)
    ]
    assert sorted(delays)[1] < 0.2, delays


def test_ctrl_c_ends_a_threaded_solve_with_a_callback() -> None:
    prob = long_problem()
    delays = [
        seconds_to_stop(
            lambda: cx.solve(
                prob, tol=1e-15, solver="cd", threads=2, callback=lambda progress: False
            )
        )
        for _ in range(3)
    ]
    assert min(delays) < 0.2, delays


def test_ctrl_c_ends_a_local_search() -> None:
    rng = np.random.default_rng(3)
    X, v = rng.standard_normal((8000, 40)), rng.standard_normal(8000)
    rows = SignedRows.of(X, v)
    delays = [seconds_to_stop(lambda: search(X, v, rows, n_starts=500, rng=rng)) for _ in range(3)]
    assert min(delays) < 0.2, delays


def test_ctrl_c_ends_a_path() -> None:
    prob = long_problem()
    delays = [
        seconds_to_stop(lambda: cx.solve_path(prob, beta_min_ratio=1e-4, n_betas=10**5, tol=1e-12))
        for _ in range(3)
    ]
    assert min(delays) < 0.2, delays


def test_ctrl_c_ends_the_passes_over_all_patterns() -> None:
    rng = np.random.default_rng(3)
    X = np.asfortranarray(rng.standard_normal((20_000, 100)))
    G = rng.standard_normal((20_000, 100))
    delays = [seconds_to_stop(lambda: cx.PatternSet.from_gates(X, G)) for _ in range(3)]
    assert min(delays) < 0.2, delays


@pytest.mark.parametrize("method", ["gaussian", "sweep", "vertex", "uniform", "local"])
def test_ctrl_c_ends_a_large_sample(method: str) -> None:
    # 0.3 s after the start: while the data are copied and brought into coordinates, or cells
    # are drawn.
    X = np.random.default_rng(3).standard_normal((150_000, 40))
    around = np.eye(2, 40) if method == "local" else None
    delays = [
        seconds_to_stop(lambda: cx.sample_patterns(X, 5000, method=method, around=around))
        for _ in range(3)
    ]
    assert min(delays) < 0.2, delays


def test_ctrl_c_ends_the_search_for_gates() -> None:
    X = np.random.default_rng(3).standard_normal((2000, 30))
    delays = [
        seconds_to_stop(lambda: cx.sample_patterns(X, 2000, method="vertex")) for _ in range(3)
    ]
    assert min(delays) < 0.2, delays


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
