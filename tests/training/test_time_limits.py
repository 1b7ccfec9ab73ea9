"""Time limits and Ctrl-C on data so large that one step of some kind could take all the time."""

from __future__ import annotations

import os
import signal
import threading
import time

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning

import pyconvexnn as cx
from pyconvexnn._typing import FloatArray
from pyconvexnn.training.clock import Clock
from tests.training.problems import late


def large(n: int, d: int) -> tuple[FloatArray, FloatArray, float]:
    rng = np.random.default_rng(0)
    X = rng.standard_normal((n, d))
    y = np.maximum(X @ rng.standard_normal((d, 5)), 0.0) @ rng.standard_normal(5)
    return X, y + 0.3 * rng.standard_normal(n), 5.0 * np.sqrt(n)


def check_bounds(cert: cx.Certificate) -> None:
    """There is a network better than none, and a bound that says something."""
    assert np.isfinite(cert.price_bound)
    assert cert.best_objective is not None
    assert 0.0 < cert.lower_bound < cert.best_objective < cert.objective_at_zero
    assert not cert.is_optimal


@pytest.mark.parametrize("shape", [(20_000, 30), (1500, 200), (40_000, 5), (200, 4000)])
def test_train_holds_its_limit(shape: tuple[int, int]) -> None:
    X, y, beta = large(*shape)
    fits: list[cx.Fit] = []

    def train() -> None:
        with pytest.warns(ConvergenceWarning, match="TIME_LIMIT"):
            fits.append(cx.train(X, y, beta, time_limit=0.5))

    assert late(train, 0.5) < 0.5
    fit = fits[-1]
    assert fit.status is cx.Status.TIME_LIMIT
    check_bounds(fit.certificate)
    assert fit.network is fit.certificate.best_network


@pytest.mark.parametrize("improve", [True, False])
def test_certify_holds_its_limit(improve: bool) -> None:
    X, y, beta = large(10_000, 30)
    rng = np.random.default_rng(1)
    net = cx.TwoLayerNetwork.from_arrays(rng.standard_normal((4, 30)) / 40, np.ones((4, 1)) / 40)
    certs: list[cx.Certificate] = []

    def certify() -> None:
        certs.append(cx.certify(net, X, y, beta, time_limit=0.4, improve=improve))

    assert late(certify, 0.4) < 0.5
    cert = certs[-1]
    assert 0.0 < cert.lower_bound < cert.objective
    assert cert.escape_neuron is not None
    if improve:
        check_bounds(cert)


def test_a_limit_that_nothing_fits_in() -> None:
    X, y, beta = large(5000, 60)
    with pytest.warns(ConvergenceWarning, match="TIME_LIMIT"):
        fit = cx.train(X, y, beta, time_limit=1e-6)
    check_bounds(fit.certificate)
    assert fit.history == ()


@pytest.mark.parametrize("seed", range(8))
def test_no_time_for_a_program_and_a_neuron_that_no_row_is_on(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Clock, "is_short", property(lambda _: True))
    rng = np.random.default_rng(seed)
    X = np.column_stack([rng.uniform(-0.5, 0.5, 6), np.ones(6)])
    y = 1.0 + rng.uniform(0.0, 1.0, 6)
    with pytest.warns(ConvergenceWarning, match="TIME_LIMIT"):
        fit = cx.train(X, y, 0.1, activation="abs", time_limit=10.0)
    check_bounds(fit.certificate)


def test_ctrl_c() -> None:
    for n, d, seconds in ((40_000, 5, 0.1), (1500, 200, 0.2), (1500, 200, 0.4)):
        X, y, beta = large(n, d)
        delays = []
        for _ in range(2):
            sent: list[float] = []

            def press(sent: list[float] = sent) -> None:
                sent.append(time.perf_counter())
                os.kill(os.getpid(), signal.SIGINT)

            timer = threading.Timer(seconds, press)
            timer.start()
            with pytest.raises(KeyboardInterrupt):
                cx.train(X, y, beta)
            timer.join()
            delays.append(time.perf_counter() - sent[0])
            if delays[-1] < 0.2:
                break
        assert min(delays) < 0.2


def test_the_clock_keeps_time_for_the_end() -> None:
    clock = Clock(10.0)
    assert clock.left == pytest.approx(10.0, abs=0.1)
    clock.reserve(1_000_000, clock.seconds)
    assert clock.left == pytest.approx(8.0, abs=0.1)
    clock.reserve(10**9, clock.seconds)  # no more than a part of all
    assert clock.left == pytest.approx(7.0, abs=0.1)
    assert clock.share(0.5) == pytest.approx(3.5, abs=0.1)
    assert not clock.is_over
    assert not clock.is_short
    assert Clock(1e-9).is_over
    endless = Clock(None)
    endless.reserve(1000, 0.0)
    assert endless.left is None
    assert endless.share(0.5) is None
    assert not endless.is_over
    assert not endless.is_short


def test_what_is_loaded_first_is_no_reason_to_do_little() -> None:
    clock = Clock(1.0)
    time.sleep(0.3)  # imports
    clock.reserve(1000, clock.seconds)
    assert not clock.is_short
    assert clock.left == pytest.approx(0.7, abs=0.1)
