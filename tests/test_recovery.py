"""From convex coefficients to a network: same predictions, same objective."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.datasets import load_breast_cancer, load_diabetes

import pyconvexnn as cx
from pyconvexnn._typing import FloatArray
from tests.vertex_method import DATA, every_pattern

LOSSES = ["squared", "logistic"]  # the others, and offsets: tests/solvers/test_offset.py


def random_problem(
    loss: str = "squared", ratio: float = 0.1, **options: Any
) -> cx.GatedReLUProblem:
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((60, 4)), rng.standard_normal(60)
    y = np.sign(y) if loss == "logistic" else y
    patterns = cx.sample_patterns(X, 30)
    beta = ratio * cx.GatedReLUProblem(X, y, patterns, 1.0, loss=loss).beta_max
    return cx.GatedReLUProblem(X, y, patterns, beta, loss=loss, **options)


def weight_decay(prob: cx.GatedReLUProblem, net: cx.GatedNetwork, p: FloatArray) -> float:
    """Non-convex objective of a network from its definition, one neuron at a time."""
    f, decay = np.zeros(prob.n_samples), 0.0
    for w, a, g, weight in zip(net.W1, net.W2[:, 0], net.gates, p, strict=True):
        f += (prob.X @ g >= 0) * (prob.X @ w) * a
        decay += weight * (w @ w + a * a) / 2
    if prob.loss.name == "squared":
        value = prob.sample_weight @ (f - prob.y) ** 2 / 2
    else:
        value = prob.sample_weight @ np.logaddexp(0, -prob.y * f)
    return float(value + prob.beta * decay)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("tol", [1e-1, 1e-8])
def test_the_network_has_the_convex_objective(loss: str, weighted: bool, tol: float) -> None:
    rng = np.random.default_rng(1)
    weights: dict[str, Any] = {
        "sample_weight": rng.integers(0, 4, 60),
        "pattern_weight": rng.uniform(0.5, 2, 30),
    }
    prob = random_problem(loss, **(weights if weighted else {}))
    sol = cx.solve(prob, tol=tol)
    net = cx.recover(prob, sol)
    p = prob.pattern_weight[sol.active]
    assert weight_decay(prob, net, p) == pytest.approx(sol.objective, rel=1e-9)
    objective = net.objective(
        prob.X,
        prob.y,
        prob.beta,
        loss=prob.loss,
        sample_weight=prob.sample_weight,
        pattern_weight=p,
    )
    assert objective == pytest.approx(sol.objective, rel=1e-9)
    np.testing.assert_allclose(net.predict(prob.X), prob.fit_values(sol.coef), atol=1e-12)


def test_neurons_are_the_active_blocks_in_balance() -> None:
    prob = random_problem()
    sol = cx.solve(prob)
    net = cx.recover(prob, sol)
    assert isinstance(net, cx.GatedNetwork)
    assert net.n_neurons == len(sol.active) > 1
    assert (net.W1.shape, net.W2.shape) == ((len(sol.active), 4), (len(sol.active), 1))
    assert (net.b1, net.b2, net.penalty) == (None, None, "weight_decay")
    np.testing.assert_allclose(net.W1 * net.W2, sol.coef.values, rtol=1e-13)
    np.testing.assert_allclose(np.linalg.norm(net.W1, axis=1), net.W2[:, 0], rtol=1e-13)
    assert prob.patterns.gates is not None
    np.testing.assert_array_equal(net.gates, prob.patterns.gates[sol.active])


def test_no_other_split_of_the_layers_is_better() -> None:
    prob = random_problem()
    sol = cx.solve(prob)
    net = cx.recover(prob, sol)
    for seed in range(5):
        c = np.random.default_rng(seed).uniform(0.8, 1.25, (net.n_neurons, 1))
        other = cx.GatedNetwork.from_arrays(c * net.W1, net.W2 / c, net.gates)
        assert other.objective(prob.X, prob.y, prob.beta) > sol.objective * (1 + 1e-6)
        np.testing.assert_allclose(other.predict(prob.X), net.predict(prob.X), atol=1e-12)
    # Nor is any network of these gates below the bound.
    rng = np.random.default_rng(0)
    for size in (1e-2, 0.3):
        W1 = net.W1 + size * rng.standard_normal(net.W1.shape)
        near = cx.GatedNetwork.from_arrays(W1, net.W2, net.gates)
        assert near.objective(prob.X, prob.y, prob.beta) >= sol.dual_objective


@pytest.mark.parametrize("name", ["diabetes", "breast_cancer"])
def test_real_data(name: str) -> None:
    load = load_diabetes if name == "diabetes" else load_breast_cancer
    X, y = load(return_X_y=True)
    X = np.column_stack([(X - X.mean(axis=0)) / X.std(axis=0), np.ones(len(X))])
    loss = "squared" if name == "diabetes" else "logistic"
    y = (y - y.mean()) / y.std() if name == "diabetes" else 2.0 * y - 1
    prob = cx.GatedReLUProblem(X, y, cx.sample_patterns(X, 50), 5.0, loss=loss)
    sol = cx.solve(prob, tol=1e-5)
    net = cx.recover(prob, sol)
    assert net.objective(X, y, 5.0, loss=loss) == pytest.approx(sol.objective, rel=1e-9)


def test_one_problem_for_each_column_makes_one_network() -> None:
    rng = np.random.default_rng(2)
    X = rng.standard_normal((50, 3))
    Y = np.where(np.eye(3)[rng.integers(0, 3, 50)] > 0, 1.0, -1.0)
    patterns = cx.sample_patterns(X, 25)
    nets, total = [], 0.0
    for column in Y.T:
        prob = cx.GatedReLUProblem(X, column, patterns, 0.8, loss="logistic")
        sol = cx.solve(prob)
        net = cx.recover(prob, sol)
        own = net.objective(X, column, 0.8, loss="logistic")
        assert own == pytest.approx(sol.objective, rel=1e-9)
        nets.append(net)
        total += sol.objective
    W2 = np.zeros((sum(net.n_neurons for net in nets), 3))
    start = 0
    for k, net in enumerate(nets):
        W2[start : start + net.n_neurons, k] = net.W2[:, 0]
        start += net.n_neurons
    joint = cx.GatedNetwork.from_arrays(
        np.vstack([net.W1 for net in nets]), W2, np.vstack([net.gates for net in nets])
    )
    assert joint.objective(X, Y, 0.8, loss="logistic") == pytest.approx(total, rel=1e-9)


def test_a_zero_solution_is_a_network_without_neurons() -> None:
    prob = random_problem(ratio=2.0)
    net = cx.recover(prob, cx.solve(prob))
    assert net.n_neurons == 0
    assert net.n_features == 4
    np.testing.assert_array_equal(net.predict(prob.X), np.zeros(60))
    assert net.objective(prob.X, prob.y, prob.beta) == pytest.approx(prob.y @ prob.y / 2)


@pytest.mark.parametrize("name", DATA)
def test_gates_found_by_linear_programming_will_do(name: str) -> None:
    X, y, _, _, optima = DATA[name]
    beta, optimum = next(iter(optima.items()))
    bare = cx.GatedReLUProblem(X, y, every_pattern(X), beta)
    sol = cx.solve(bare, tol=1e-9)
    with pytest.raises(ValueError, match="gates") as error:
        cx.recover(bare, sol)
    assert str(error.value) == (
        "`prob.patterns` must have gates to recover a network, got a set without; "
        "build the problem with `patterns.realise(X)`"
    )
    prob = cx.GatedReLUProblem(X, y, bare.patterns.realise(X), beta)
    net = cx.recover(prob, sol)
    assert net.objective(X, y, beta) == pytest.approx(optimum, abs=1e-6)


def test_rows_on_the_hyperplane_of_a_gate_keep_their_bit() -> None:
    # Gates and data are small integers: many products are exactly zero.
    rng = np.random.default_rng(3)
    X, y = rng.integers(-2, 3, (40, 3)).astype(float), rng.standard_normal(40)
    gates = rng.integers(-1, 2, (15, 3)).astype(float)
    assert np.sum(X @ gates.T == 0) > 50
    prob = cx.GatedReLUProblem(X, y, cx.PatternSet.from_gates(X, gates), 0.5)
    sol = cx.solve(prob, tol=1e-9)
    net = cx.recover(prob, sol)
    np.testing.assert_allclose(net.predict(X), prob.fit_values(sol.coef), atol=1e-12)
    assert net.objective(X, y, 0.5) == pytest.approx(sol.objective, rel=1e-9)


@given(
    x=st.floats(-29, 29), y=st.floats(-29, 29), ratio=st.floats(0.1, 0.9), seed=st.integers(0, 99)
)
@settings(max_examples=25, deadline=None)
def test_any_scale_of_data_and_targets(x: float, y: float, ratio: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    X, t = 10.0**x * rng.standard_normal((12, 2)), 10.0**y * rng.standard_normal(12)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # there may be fewer patterns
        patterns = cx.sample_patterns(X, 8)
    beta = ratio * cx.GatedReLUProblem(X, t, patterns, 1.0).beta_max
    prob = cx.GatedReLUProblem(X, t, patterns, beta)
    sol = cx.solve(prob, tol=1e-5)
    net = cx.recover(prob, sol)
    assert net.objective(X, t, beta) == pytest.approx(sol.objective, rel=1e-9)


def test_the_network_owns_its_arrays() -> None:
    prob = random_problem()
    sol = cx.solve(prob)
    net = cx.recover(prob, sol)
    before = net.predict(prob.X)
    sol.coef.values[...] = 7.0
    np.testing.assert_array_equal(net.predict(prob.X), before)
    with pytest.raises(ValueError, match="read-only"):
        net.W1[0, 0] = 1.0


def test_wrong_arguments() -> None:
    prob, other = random_problem(), random_problem()
    sol = cx.solve(prob)
    smaller = cx.GatedReLUProblem(other.X, other.y, other.patterns[:7], 1.0)
    for arguments, kind, message in (
        (
            (None, sol),
            TypeError,
            "`prob` must be a GatedReLUProblem or a ReLUProblem, got NoneType",
        ),
        (
            (sol, prob),
            TypeError,
            "`prob` must be a GatedReLUProblem or a ReLUProblem, got Solution",
        ),
        ((prob, sol.coef), TypeError, "`sol` must be a Solution, got SparseBlocks"),
        (
            (smaller, sol),
            ValueError,
            "`sol` must be a solution of `prob`, with coefficients of shape (7, 4), got (30, 4)",
        ),
    ):
        with pytest.raises(kind) as error:
            cx.recover(*arguments)
        assert str(error.value) == message


def test_gates_of_other_data_are_refused() -> None:
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((50, 3)), rng.standard_normal(50)
    patterns = cx.sample_patterns(X, 30)
    prob = cx.GatedReLUProblem(X + 1.0, y, patterns, 0.5)
    with pytest.raises(ValueError, match=r"must have gates that yield its patterns on `prob\.X`"):
        cx.recover(prob, cx.solve(prob))
