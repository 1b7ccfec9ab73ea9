"""Descent of several outputs: its gradient against differences, and where it ends."""

from __future__ import annotations

import numpy as np
import pytest

import pyconvexnn as cx
from pyconvexnn import _blocks
from pyconvexnn.training.clock import Clock
from pyconvexnn.training.descent import _Slope, descend
from pyconvexnn.training.shared_task import SharedTask
from pyconvexnn.training.task import Task
from tests.training.problems import LOSSES
from tests.training.test_outputs import several

RNG = np.random.default_rng(0)


def task_of(loss: str, activation: str, offset: bool) -> tuple[SharedTask, cx.TwoLayerNetwork]:
    X, Y, beta = several(12, 3, 2, loss)
    weight = np.random.default_rng(1).uniform(0.5, 2.0, 12)
    weight[4] = 0.0
    tasks = Task.of_outputs(
        X, Y, beta, activation=activation, slope=0.2, loss=loss, sample_weight=weight,
        output_offset=offset,
    )  # fmt: skip
    task, rng = SharedTask(tuple(tasks)), np.random.default_rng(0)
    W1, W2 = 0.5 * rng.standard_normal((5, 3)), 0.5 * rng.standard_normal((5, 2))
    return task, task.network(W1, W2, np.array([0.1, -0.2]))


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("activation", ["relu", "leaky_relu", "abs"])
def test_objective_and_gradient(
    loss: str, activation: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    task, net = task_of(loss, activation, offset=activation != "relu")
    slope = _Slope(task, net)
    w = slope.weights(net)
    again = slope.network(w)
    np.testing.assert_array_equal(again.W1, net.W1)
    np.testing.assert_array_equal(again.W2, net.W2)
    assert (again.b2 is None) == (net.b2 is None) == (activation == "relu")
    value, gradient = slope(w)
    assert value == pytest.approx(task.objective(net), rel=1e-13)
    steps = 1e-6 * np.eye(len(w))
    differences = [(slope(w + h)[0] - slope(w - h)[0]) / 2e-6 for h in steps]
    np.testing.assert_allclose(gradient, differences, rtol=1e-5, atol=1e-6)
    monkeypatch.setattr(_blocks, "BLOCK_ENTRIES", 7)
    np.testing.assert_allclose(slope(w)[1], gradient, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("offset", [False, True])
def test_descent_ends_lower(offset: bool) -> None:
    task, net = task_of("squared", "relu", offset)
    down = descend(task, net, Clock(None), RNG)
    assert task.objective(down) < 0.9 * task.objective(net.balance())
    assert down.n_neurons == net.n_neurons
    again = descend(task, down, Clock(None), RNG)
    assert task.objective(again) <= task.objective(down) * (1 + 1e-12)


def test_without_time_or_neurons_there_is_the_network() -> None:
    task, net = task_of("squared", "relu", False)
    clock = Clock(1e-9)
    assert task.objective(descend(task, net, clock, RNG)) <= task.objective(net.balance()) * (
        1 + 1e-12
    )
    nothing = task.network(np.zeros((0, 3)), np.zeros((0, 2)))
    assert descend(task, nothing, Clock(None), RNG).n_neurons == 0
