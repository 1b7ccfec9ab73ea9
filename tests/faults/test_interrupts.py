"""Ctrl-C during long work: soon a KeyboardInterrupt, and nothing is left of it."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

import pyconvexnn as cx
from pyconvexnn.pricing.rows import SignedRows
from pyconvexnn.pricing.search import search
from tests.faults.calls import LONG
from tests.faults.ctrl_c import seconds_to_stop

ROOT = Path(__file__).parents[2]


class Victim:
    """The other end of `victim.py`: a process that outlives what is done to it."""

    def __init__(self) -> None:
        command = [sys.executable, "-m", "tests.faults.victim"]
        self.process = subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def call(self, name: str, press_after: float | None = None) -> tuple[list[str], float]:
        """What it answers, in words, and when it was interrupted, on the monotonic clock."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{'' if press_after is None else 'press '}{name}\n")
        self.process.stdin.flush()
        assert self._line() == ["begin"]
        sent = 0.0
        if press_after is not None:
            time.sleep(press_after)
            sent = time.monotonic()
            self.process.send_signal(signal.SIGINT)
        return self._line(), sent

    def _line(self) -> list[str]:
        assert self.process.stdout is not None
        return self.process.stdout.readline().split()


@pytest.fixture(scope="module")
def victim() -> Iterator[Victim]:
    started = Victim()
    with started.process:
        yield started
        assert started.process.stdin is not None
        started.process.stdin.close()
    assert started.process.returncode == 0


def interrupt_at_random(victim: Victim, name: str, times: int, checks: int) -> None:
    """Presses at random moments of a call; after some of them the call must do as before."""
    victim.call(name)  # imports
    (said, expected, seconds), _ = victim.call(name)
    assert said == "done"
    moments = random.Random(name)
    delays = []
    for k in range(times):
        answer, sent = victim.call(name, moments.uniform(0.0, float(seconds)))
        if answer[0] == "interrupted":
            delays.append(float(answer[1]) - sent)
        else:  # it had ended, or Python dropped the exception
            assert answer[0] in ("done", "lost"), answer
            assert answer[1] == expected
        if (k + 1) % (times // checks) == 0:
            assert victim.call(name)[0][:2] == ["done", expected]
    assert len(delays) > 0.3 * times
    assert max(delays) < 1.0, sorted(delays)[-5:]


@pytest.mark.parametrize("name", LONG)
def test_ctrl_c_at_a_few_moments(victim: Victim, name: str) -> None:
    interrupt_at_random(victim, name, 6, 1)


@pytest.mark.slow
@pytest.mark.parametrize("name", LONG)
def test_ctrl_c_at_many_moments(victim: Victim, name: str) -> None:
    interrupt_at_random(victim, name, 200, 50)


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
