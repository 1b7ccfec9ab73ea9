"""Several outputs trained one after the other: the sums of what each is alone."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest

import pyconvexnn as cx
from pyconvexnn._typing import FloatArray
from pyconvexnn.training.outputs import alone, one_by_one
from tests.training.problems import LOSSES, gaussian_task


def several(
    n: int, d: int, K: int, loss: str = "squared", seed: int = 0
) -> tuple[FloatArray, FloatArray, float]:
    """Data of `gaussian_task` with K columns of targets of different sizes."""
    tasks = [gaussian_task(n, d, seed + k, loss) for k in range(K)]
    Y = np.column_stack([y for _, y, _ in tasks])
    return tasks[0][0], Y, min(beta for _, _, beta in tasks)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("offset", [False, True])
def test_outputs_are_problems_of_their_own(loss: str, offset: bool) -> None:
    X, Y, beta = several(14, 3, 3, loss)
    weight = np.random.default_rng(0).uniform(0.5, 2.0, 14)
    weight[2] = 0.0
    options: dict[str, Any] = {"loss": loss, "sample_weight": weight}
    kind: dict[str, Any] = {"output_offset": offset, "activation": "leaky_relu", "slope": 0.1}
    fit = cx.train(X, Y, beta, rtol=1e-5, **options, **kind)
    each = [cx.train(X, y, beta, rtol=1e-5, **options, **kind) for y in Y.T]
    cert, net = fit.certificate, fit.network
    assert fit.status is cx.Status.SOLVED
    assert cert.is_optimal
    assert (net.n_outputs, net.penalty, cert.penalty) == (3, "decoupled", "decoupled")
    assert np.all(np.count_nonzero(net.W2, axis=1) == 1)
    assert (net.b2 is None) == (not offset)
    for name in ("objective", "lower_bound", "objective_at_zero"):
        total = sum(getattr(one.certificate, name) for one in each)
        assert getattr(cert, name) == pytest.approx(total, rel=2e-5)
    plain = net.objective(X, Y, beta, **options)
    assert plain <= cert.objective <= plain * (1 + 1e-12)
    assert cert.lower_bound <= cert.objective
    np.testing.assert_allclose(
        net.predict(X), np.column_stack([one.network.predict(X) for one in each]), atol=2e-2
    )
    # The bound is the dual objective of the columns, each a point of its own dual problem.
    assert cert.dual.shape == (14, 3)
    assert np.all(cert.dual[2] == 0.0)
    assert cert.scale * cert.price_bound <= beta * (1 + 1e-12)
    on = weight > 0
    terms = cx.losses.get_loss(loss)
    dual = sum(
        terms.dual_objective(cert.scale * v[on], y[on], weight[on])
        for v, y in zip(cert.dual.T, Y.T, strict=True)
    )
    assert cert.lower_bound == pytest.approx(dual, rel=1e-9)
    if offset:
        assert np.all(np.abs(cert.dual.sum(axis=0)) <= 1e-12 * np.abs(cert.dual).sum(axis=0))
    rng = np.random.default_rng(1)
    U = rng.standard_normal((300, 3))
    H = X @ (U / np.linalg.norm(U, axis=1, keepdims=True)).T
    prices = cert.scale * np.abs(cert.dual.T @ np.where(H > 0, H, 0.1 * H))
    assert np.max(prices) <= beta * (1 + 1e-12)


def test_one_column_is_one_output() -> None:
    X, y, beta = gaussian_task(15, 3, 0)
    one, column = cx.train(X, y, beta), cx.train(X, y[:, np.newaxis], beta)
    assert one.certificate.fingerprint == column.certificate.fingerprint
    assert one.certificate.objective == column.certificate.objective
    np.testing.assert_array_equal(one.network.predict(X), column.network.predict(X))


def test_fingerprints_are_those_of_the_outputs() -> None:
    X, Y, beta = several(10, 2, 2)
    first = cx.train(X, Y, beta).certificate.fingerprint
    assert len(first) == 64
    assert cx.train(X, Y, beta).certificate.fingerprint == first
    assert cx.train(X, Y[:, ::-1], beta).certificate.fingerprint != first


def test_rounds_are_those_of_the_sum() -> None:
    X, Y, beta = several(15, 3, 3)
    told: list[Any] = []
    fit = cx.train(X, Y, beta, callback=told.append)
    assert tuple(told) == fit.history
    assert [state.iteration for state in told] == list(range(1, len(told) + 1))
    for name, way in (("objective", -1.0), ("lower_bound", 1.0), ("seconds", 1.0)):
        values = np.array([getattr(state, name) for state in told])
        assert np.all(np.diff(values[np.isfinite(values)]) * way >= -1e-9 * abs(values[-1]))
    assert told[-1].objective == pytest.approx(fit.certificate.objective, rel=1e-9)
    assert told[-1].n_patterns == fit.n_patterns
    assert all(state.lower_bound <= fit.certificate.objective for state in told)


@pytest.mark.filterwarnings("ignore:train stopped")
def test_a_callback_ends_all_runs() -> None:
    X, Y, beta = several(15, 3, 3)
    told: list[Any] = []

    def stop(state: Any) -> bool:
        told.append(state)
        return len(told) == 2

    fit = cx.train(X, Y, beta, rtol=1e-10, callback=stop)
    assert len(told) == 2
    assert fit.status is cx.Status.INTERRUPTED
    assert len(fit.history) == 4  # one more of each output that was to come
    assert 0 <= fit.certificate.lower_bound <= fit.certificate.objective
    with pytest.raises(ZeroDivisionError):
        cx.train(X, Y, beta, callback=lambda state: 1 / 0)


@pytest.mark.filterwarnings("ignore:train stopped")
def test_outputs_share_the_time() -> None:
    rng = np.random.default_rng(0)
    X, Y = rng.standard_normal((200, 20)), rng.standard_normal((200, 3))
    cx.train(X[:10, :2], Y[:10], 1.0, time_limit=5.0)  # imports
    begun = time.perf_counter()
    fit = cx.train(X, Y, 5.0, time_limit=1.2)
    assert time.perf_counter() - begun < 1.7
    assert fit.status is cx.Status.TIME_LIMIT
    assert all(np.any(column) for column in fit.network.W2.T)  # none got nothing
    assert 0 < fit.certificate.lower_bound < fit.certificate.objective


def test_warm_starts() -> None:
    X, Y, beta = several(15, 3, 2)
    cold = cx.train(X, Y, beta)
    for start in (cold, cold.network, (cold.network.W1, cold.network.W2)):
        warm = cx.train(X, Y, beta, warm_start=start)
        assert warm.certificate.objective <= cold.certificate.objective * (1 + 1e-12)
        assert len(warm.history) < len(cold.history)
    rng = np.random.default_rng(0)
    shared = cx.TwoLayerNetwork.from_arrays(
        rng.standard_normal((4, 2)), rng.standard_normal((4, 2)), b1=rng.standard_normal(4)
    )
    warm = cx.train(X, Y, beta, warm_start=shared)
    assert warm.certificate.objective == pytest.approx(cold.certificate.objective, rel=2e-4)
    with pytest.raises(ValueError, match="`warm_start` must have 2 outputs, got 1"):
        cx.train(X, Y, beta, warm_start=(cold.network.W1, cold.network.W2[:, :1]))
    with pytest.raises(ValueError, match="`warm_start` must have one output, got 2"):
        cx.train(X, Y[:, 0], beta, warm_start=cold)


def test_outputs_without_anything_to_learn() -> None:
    X, Y, beta = several(15, 3, 3)
    Y = Y.copy()
    Y[:, 1] = 0.0
    fit = cx.train(X, Y, beta)
    assert fit.certificate.is_optimal
    assert not fit.network.W2[:, 1].any()
    nothing = cx.train(X, Y, 1e3 * beta)
    assert nothing.network.n_neurons == 0
    assert nothing.network.predict(X).shape == (15, 3)
    assert nothing.certificate.objective == pytest.approx(np.sum(Y**2) / 2, rel=1e-12)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"y": np.ones((9, 2))}, ValueError, "`y` must have 10 entries, got 9"),
        ({"y": np.ones((10, 2, 2))}, ValueError, "`y` must have 1 dimension"),
        ({"y": np.full((10, 2), np.nan)}, ValueError, "`y` must be finite, got NaN"),
        ({"y": np.eye(10)[:, :2], "loss": "logistic"}, ValueError, "`y` must hold only -1 and"),
        ({"y": np.eye(10)[:, :2] - 1, "loss": "poisson"}, ValueError, "`y` must be >= 0"),
        ({"callback": 3}, TypeError, "`callback` must be callable or None, got 3"),
        ({"rtol": 0.0}, ValueError, "`rtol` must be > 0, got 0.0"),
    ],
)
def test_arguments(options: dict[str, Any], error: type[Exception], message: str) -> None:
    X, Y, beta = several(10, 2, 2)
    with pytest.raises(error, match=message):
        cx.train(**{"X": X, "y": Y, "beta": beta, **options})


def test_networks_apart_and_side_by_side() -> None:
    rng = np.random.default_rng(0)
    net = cx.TwoLayerNetwork.from_arrays(
        rng.standard_normal((5, 2)),
        np.where(rng.random((5, 3)) < 0.5, 0.0, rng.standard_normal((5, 3))),
        b1=rng.standard_normal(5),
        b2=rng.standard_normal(3),
        activation="abs",
    )
    X = rng.standard_normal((20, 2))
    parts = alone(net)
    assert [part.n_outputs for part in parts] == [1, 1, 1]
    expected = net.predict(X)
    np.testing.assert_allclose(np.column_stack([p.predict(X) for p in parts]), expected)


def test_the_last_output_gets_no_less() -> None:
    left = [6.0]
    seen: list[tuple[Any, ...]] = []

    def train_output(place: int, proof: float | None, time_left: Any) -> tuple[int, float]:
        seen.append((place, proof, time_left()))
        left[0] -= 1.0
        return 10 * place, 0.5

    assert one_by_one(3, train_output, seconds_left=lambda: left[0], proof=3.0) == [0, 10, 20]
    assert seen == [(0, 1.0, 2.0), (1, 1.25, 2.5), (2, 2.0, 4.0)]
    seen.clear()
    one_by_one(2, train_output, seconds_left=lambda: None)
    assert seen == [(0, None, None), (1, None, None)]
