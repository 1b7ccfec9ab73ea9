"""train: known optima, the enumerated program, closed forms, warm starts, limits, arguments."""

from __future__ import annotations

import os
import signal
import threading
import time
import warnings
from typing import Any

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPRegressor

import pyconvexnn as cx
from pyconvexnn._typing import FloatArray
from pyconvexnn.training import Round
from tests.relu_reference import OPTIMA
from tests.training.problems import OFFSETS, check, gaussian_task, optimum
from tests.vertex_method import DATA

KNOWN = [(name, beta) for name, values in OPTIMA.items() for beta in values]


@pytest.mark.parametrize(("name", "beta"), KNOWN)
def test_known_optima(name: str, beta: float) -> None:
    X, y = DATA[name][:2]
    kinds = [("relu", 0.01), ("leaky_relu", 0.1), ("abs", 0.01)]
    for (activation, slope), best in zip(kinds, OPTIMA[name][beta], strict=True):
        if best is not None:
            fit = cx.train(X, y, beta, activation=activation, slope=slope, rtol=1e-7)
            check(fit, X, y, beta, fit.certificate.objective)
            assert fit.certificate.objective == pytest.approx(
                best, abs=2e-8 if name != "A" else 1e-6
            )
            assert fit.network.activation == activation


@pytest.mark.parametrize("seed", range(20))
def test_the_enumerated_program_has_the_same_optimum(seed: int) -> None:
    X, y, beta = gaussian_task(8 + seed % 13, 3, seed)
    beta *= (1.0, 0.3, 0.1)[seed % 3]
    fit = cx.train(X, y, beta, rtol=1e-7, seed=seed)
    check(fit, X, y, beta, optimum(X, y, beta))


@pytest.mark.parametrize(("loss", "output_offset"), OFFSETS)
@pytest.mark.parametrize("activation", ["relu", "leaky_relu", "abs"])
def test_losses_offsets_and_activations(loss: str, output_offset: bool, activation: str) -> None:
    X, y, beta = gaussian_task(12, 2, 3, loss)
    rng = np.random.default_rng(0)
    options: dict[str, Any] = {"loss": loss, "sample_weight": rng.uniform(0.5, 2.0, 12)}
    kind: dict[str, Any] = {"activation": activation, "output_offset": output_offset, **options}
    fit = cx.train(X, y, beta, rtol=1e-6, **kind)
    check(fit, X, y, beta, optimum(X, y, beta, **kind), **options)
    assert (fit.network.b2 is not None) == output_offset


def test_orthonormal_rows_have_a_closed_form() -> None:
    X = np.linalg.qr(np.random.default_rng(0).standard_normal((7, 4)))[0].T
    y = np.array([2.0, -1.0, 0.5, -3.0])

    def huber(t: float, beta: float) -> float:
        return 0.5 * t**2 if t <= beta else beta * t - 0.5 * beta**2

    for beta in (0.3, 2.5, 3.1, 4.0):
        best = sum(huber(float(np.linalg.norm(np.maximum(s * y, 0))), beta) for s in (1, -1))
        fit = cx.train(X, y, beta, rtol=1e-8)  # n < d
        check(fit, X, y, beta, best)
        assert fit.network.n_neurons == sum(beta < size for size in (4.25**0.5, 10**0.5))


def test_one_sample_and_one_feature() -> None:
    x, beta = np.array([[3.0, 4.0]]), 2.0
    fit = cx.train(x, [-2.0], beta, rtol=1e-9)
    check(fit, x, [-2.0], beta, (beta * 5 * 2 - 0.5 * beta**2) / 25)
    x = np.array([[1.0], [-2.0], [0.5], [-1.0]])
    y = np.array([1.0, 3.0, -1.0, 0.5])
    best = 0.5 * y @ y
    for side in (np.maximum(x[:, 0], 0), np.maximum(-x[:, 0], 0)):
        best -= 0.5 * max(abs(side @ y) - 0.3, 0) ** 2 / (side @ side)
    check(cx.train(x, y, 0.3, rtol=1e-9), x, y, 0.3, best)


def test_nothing_to_learn() -> None:
    X = np.random.default_rng(0).standard_normal((10, 3))
    for data, y in ((X, np.zeros(10)), (np.zeros((10, 3)), np.ones(10))):
        fit = cx.train(data, y, 0.1)
        assert fit.network.n_neurons == 0
        assert fit.certificate.is_optimal
        assert fit.certificate.lower_bound <= 0.5 * y @ y
        assert fit.certificate.objective == pytest.approx(0.5 * y @ y, rel=1e-14)


@pytest.mark.parametrize("output_offset", [False, True])
def test_from_beta_max_on_there_are_no_neurons(output_offset: bool) -> None:
    X, y, _ = gaussian_task(15, 3, 0)
    most = cx.beta_max(X, y, output_offset=output_offset)
    above = cx.train(X, y, most.upper_bound * 1.001, output_offset=output_offset, rtol=1e-6)
    below = cx.train(X, y, most.value * 0.999, output_offset=output_offset, rtol=1e-9)
    assert above.network.n_neurons == 0
    assert above.certificate.is_optimal
    assert below.network.n_neurons > 0


@pytest.mark.parametrize("factor", [1e-6, 1e6])
def test_units_do_not_matter(factor: float) -> None:
    X, y, beta = gaussian_task(15, 3, 1)
    best = optimum(X, y, beta)
    check(cx.train(X * factor, y, beta * factor), X * factor, y, beta * factor, best)
    check(cx.train(X, y * factor, beta * factor), X, y * factor, beta * factor, best * factor**2)


def test_degenerate_data() -> None:
    X, y, beta = gaussian_task(10, 3, 2)
    best = optimum(X, y, beta)
    # A row twice is one row of twice the weight; zero rows and columns, and dependent columns.
    twice, targets = np.vstack([X, X[:3]]), np.concatenate([y, y[:3]])
    weight = np.ones(10)
    weight[:3] = 2.0
    by_weight = cx.train(X, y, beta, sample_weight=weight, rtol=1e-6)
    check(
        cx.train(twice, targets, beta, rtol=1e-6),
        twice,
        targets,
        beta,
        by_weight.certificate.best_objective or np.nan,
    )
    wide = (
        np.column_stack([X, np.zeros(10), np.zeros(10)])
        @ np.linalg.qr(np.random.default_rng(0).standard_normal((5, 5)))[0]
    )
    check(cx.train(wide, y, beta, rtol=1e-6), wide, y, beta, best)
    zeros, more = np.vstack([X, np.zeros((2, 3))]), np.concatenate([y, [3.0, -4.0]])
    check(cx.train(zeros, more, beta, rtol=1e-6), zeros, more, beta, best + 12.5)


def test_rows_without_weight_do_not_count() -> None:
    X, y, beta = gaussian_task(14, 3, 4)
    weight = np.ones(14)
    weight[[1, 5, 6]] = 0.0
    fit = cx.train(X, y, beta, sample_weight=weight, rtol=1e-7)
    counted = weight > 0
    check(fit, X, y, beta, optimum(X[counted], y[counted], beta), sample_weight=weight)
    assert not fit.certificate.dual[~counted].any()


def test_many_features_and_few_rows() -> None:
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((5, 200)), rng.standard_normal(5)
    fit = cx.train(X, y, 2.0, rtol=1e-6)
    rotated = np.linalg.qr(X.T)[0]
    check(fit, X, y, 2.0, optimum(X @ rotated, y, 2.0))
    assert fit.network.n_features == 200


# --- starts ------------------------------------------------------------------------------------


def test_warm_starts() -> None:
    X, y, beta = gaussian_task(20, 3, 5)
    cold = cx.train(X, y, beta, rtol=1e-6)
    mlp = MLPRegressor(
        hidden_layer_sizes=(8,), alpha=beta, solver="lbfgs", max_iter=50, random_state=0
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        mlp.fit(X[:, :-1], y)
    net = cold.network
    starts: list[Any] = [net, cold, (net.W1, net.W2), (net.W1[:, :-1], net.W2, net.W1[:, -1]), mlp]
    for start in starts:
        warm = cx.train(X, y, beta, rtol=1e-6, warm_start=start)
        check(warm, X, y, beta, cold.certificate.objective)
    first: list[Round] = []
    cx.train(X, y, beta, rtol=1e-6, warm_start=net, callback=first.append)
    assert first[0].objective <= cold.certificate.objective


@pytest.mark.parametrize(
    ("start", "error", "message"),
    [
        (3, TypeError, "`warm_start` must be a TwoLayerNetwork"),
        ((np.ones((2, 3)),), ValueError, "`warm_start` must be a network or arrays"),
        ((np.ones((2, 4)), np.ones((2, 1))), ValueError, "must have 3 features, got 4"),
        ((np.ones((2, 3)), np.ones((2, 2))), ValueError, "must have one output, got 2"),
        ((np.ones((2, 1)), np.ones((2, 1)), np.ones(2)), ValueError, "must have no hidden biases"),
    ],
)
def test_no_warm_start(start: Any, error: type[Exception], message: str) -> None:
    X, y, beta = gaussian_task(10, 3, 5)
    with pytest.raises(error, match=message):
        cx.train(X, y, beta, warm_start=start)


# --- determinism and limits ---------------------------------------------------------------------


def same(a: cx.Fit, b: cx.Fit) -> bool:
    return np.array_equal(a.network.W1, b.network.W1) and (
        a.certificate.lower_bound == b.certificate.lower_bound
    )


def test_a_seed_decides_everything_and_threads_nothing() -> None:
    X, y = cx.datasets.teacher(40, 3)
    fits = [cx.train(X, y, 5.0, seed=s, threads=t) for s, t in ((1, 1), (1, 1), (1, 2), (2, 1))]
    assert same(fits[0], fits[1])
    assert same(fits[0], fits[2])
    assert fits[0].certificate.objective == pytest.approx(fits[3].certificate.objective, rel=1e-4)


def hard() -> tuple[FloatArray, FloatArray]:
    """No machine proves the optimum of this within a minute."""
    rng = np.random.default_rng(0)
    return rng.standard_normal((300, 20)), rng.standard_normal(300)


@pytest.mark.parametrize("limit", [0.05, 0.6])
def test_time_limit(limit: float) -> None:
    X, y = hard()
    start = time.perf_counter()
    with pytest.warns(ConvergenceWarning, match="TIME_LIMIT"):
        fit = cx.train(X, y, 20.0, time_limit=limit)
    assert time.perf_counter() - start < limit + 0.5
    assert fit.status is cx.Status.TIME_LIMIT
    assert 0 <= fit.certificate.lower_bound < fit.certificate.objective
    assert not fit.certificate.is_optimal


def test_a_callback_sees_the_rounds_and_ends_the_run() -> None:
    X, y = cx.datasets.teacher(30, 3)
    rounds: list[Round] = []
    fit = cx.train(X, y, 1.0, callback=rounds.append)
    assert tuple(rounds) == fit.history
    objectives = [r.objective for r in rounds]
    bounds = [r.lower_bound for r in rounds]
    assert objectives == sorted(objectives, reverse=True)
    assert bounds == sorted(bounds)
    assert [r.iteration for r in rounds] == list(range(1, len(rounds) + 1))
    assert rounds[-1].method in ("enumeration", "branch_and_bound")
    with pytest.warns(ConvergenceWarning, match="the callback returned True"):
        fit = cx.train(X, y, 1.0, callback=lambda r: r.iteration == 2)
    assert fit.status is cx.Status.INTERRUPTED
    assert len(fit.history) == 2
    assert fit.certificate.lower_bound >= 0

    def fails(_: Round) -> None:
        raise RuntimeError("from the callback")

    with pytest.raises(RuntimeError, match="from the callback"):
        cx.train(X, y, 1.0, callback=fails)


@pytest.mark.parametrize("phase", ["search", "branch_and_bound"])
def test_ctrl_c_ends_each_phase(phase: str) -> None:
    X, y = hard()
    sent: list[float] = []

    def press() -> None:
        sent.append(time.perf_counter())
        os.kill(os.getpid(), signal.SIGINT)

    def delay() -> float:
        sent.clear()
        timer = threading.Timer(0.05, press)
        if phase == "search":
            timer.start()

        def callback(at: Round) -> None:
            late = at.method == "search" and at.price <= 1.0
            if late and phase != "search" and not timer.is_alive() and not sent:
                timer.start()

        with pytest.raises(KeyboardInterrupt):
            cx.train(X, y, 20.0 if phase == "search" else 90.0, callback=callback, rtol=1e-6)
        timer.join()
        return time.perf_counter() - sent[0]

    assert min(delay() for _ in range(2)) < 0.2


def test_a_summary_in_three_levels() -> None:
    X, y, beta = gaussian_task(20, 3, 5)
    text = str(cx.train(X, y, beta).certificate)
    assert "over the patterns looked at: objective" in text
    assert "times its penalty" in text
    assert "optimal to 0.0001" in text


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"beta": 0.0}, ValueError, "`beta` must be > 0"),
        ({"activation": "tanh"}, ValueError, "`activation` must be one of"),
        ({"slope": 1.0}, ValueError, "`slope` must be < 1"),
        ({"loss": "cross_entropy"}, ValueError, "of a single output for .*, got 'cross_entropy'"),
        (
            {"loss": "hinge", "y": np.tile([-1.0, 1.0], 5), "output_offset": True},
            ValueError,
            "`output_offset` must be False",
        ),
        ({"loss": "logistic"}, ValueError, "`y` must hold only -1 and \\+1"),
        ({"sample_weight": -np.ones(10)}, ValueError, "`sample_weight` must be >= 0"),
        ({"rtol": 0.0}, ValueError, "`rtol` must be > 0"),
        ({"time_limit": -1.0}, ValueError, "`time_limit` must be > 0"),
        ({"threads": 0}, ValueError, "`threads` must be >= 1"),
        ({"seed": -1}, ValueError, "`seed` must be >= 0"),
        ({"callback": 3}, TypeError, "`callback` must be callable"),
        ({"output_offset": 3}, TypeError, "`output_offset` must be True or False"),
        ({"y": np.full(10, np.nan)}, ValueError, "`y` must be finite"),
        ({"X": np.ones(10)}, ValueError, "`X` must have 2 dimensions"),
        ({"X": np.ones((0, 3))}, ValueError, "`X` must have at least one row"),
        ({"X": [[1.0, 2.0], [3.0]]}, ValueError, "`X` must be a rectangular array"),
    ],
)
def test_arguments(options: dict[str, Any], error: type[Exception], message: str) -> None:
    X, y, beta = gaussian_task(10, 3, 5)
    with pytest.raises(error, match=message):
        cx.train(**{"X": X, "y": y, "beta": beta, **options})
