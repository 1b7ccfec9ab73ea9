"""beta_max over all patterns."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import pyconvexnn as cx
from tests.relu_reference import BETA_MAX
from tests.training.problems import OFFSETS, gaussian_task
from tests.vertex_method import DATA


@pytest.mark.parametrize("name", BETA_MAX)
def test_known_values(name: str) -> None:
    X, y = DATA[name][:2]
    found = cx.beta_max(X, y)
    assert found.value == pytest.approx(BETA_MAX[name], abs=1e-9)
    assert found.value <= found.upper_bound <= found.value * (1 + 1e-4)


@pytest.mark.parametrize(("loss", "output_offset"), OFFSETS)
def test_it_is_that_of_the_enumerated_program(loss: str, output_offset: bool) -> None:
    X, y, _ = gaussian_task(12, 3, 2, loss)
    for activation in ("relu", "leaky_relu", "abs"):
        kind: dict[str, Any] = {
            "activation": activation,
            "loss": loss,
            "output_offset": output_offset,
            "sample_weight": np.linspace(0.0, 2.0, 12),
        }
        expected = cx.ReLUProblem(X, y, cx.enumerate_patterns(X), 1.0, **kind).beta_max
        found = cx.beta_max(X, y, **kind)
        assert found.value == pytest.approx(expected, rel=1e-9)
        assert found.upper_bound >= expected * (1 - 1e-12)


def test_nothing_to_learn() -> None:
    X = np.random.default_rng(0).standard_normal((6, 2))
    for data, y in ((X, np.zeros(6)), (np.zeros((6, 2)), np.ones(6))):
        found = cx.beta_max(data, y)
        assert found.value == 0.0
        assert found.upper_bound <= 1e-300


def test_it_scales() -> None:
    X, y, _ = gaussian_task(20, 3, 0)
    one, other = cx.beta_max(X, y), cx.beta_max(1e6 * X, 1e-3 * y)
    assert other.value == pytest.approx(1e3 * one.value)


def test_a_bound_in_time() -> None:
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((200, 25)), rng.standard_normal(200)
    found = cx.beta_max(X, y, time_limit=0.2)
    assert 0 < found.value < found.upper_bound < 10 * found.value


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rtol": 0.0}, "`rtol` must be > 0"),
        ({"time_limit": 0.0}, "`time_limit` must be > 0"),
        ({"activation": "gated_relu"}, "`activation` must be one of"),
    ],
)
def test_arguments(options: dict[str, Any], message: str) -> None:
    X, y, _ = gaussian_task(10, 3, 5)
    with pytest.raises(ValueError, match=message):
        cx.beta_max(X, y, **options)


def test_of_several_outputs_it_is_the_largest() -> None:
    rng = np.random.default_rng(0)
    X, Y = rng.standard_normal((20, 3)), rng.standard_normal((20, 3)) * [1.0, 5.0, 2.0]
    each = [cx.beta_max(X, y) for y in Y.T]
    found = cx.beta_max(X, Y)
    assert found.value == pytest.approx(max(one.value for one in each), rel=1e-9)
    assert max(one.value for one in each) <= found.upper_bound * (1 + 1e-12)
    assert cx.train(X, Y, 1.001 * found.upper_bound).network.n_neurons == 0
    assert cx.train(X, Y, 0.99 * found.value).network.n_neurons > 0
