"""From convex coefficients to a network: same predictions, same objective."""

from __future__ import annotations

import dataclasses
import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.datasets import load_breast_cancer, load_diabetes

import pyconvexnn as cx
from pyconvexnn._typing import FloatArray
from pyconvexnn.problems import cones
from tests.relu_reference import clarabel, in_cones, solved, with_dual
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


# --- ReLU solutions ------------------------------------------------------------------------------


def relu_problem(activation: str = "relu", seed: int = 0, **options: Any) -> cx.ReLUProblem:
    rng = np.random.default_rng(seed)
    X, y = rng.standard_normal((20, 3)), rng.standard_normal(20)
    patterns = cx.sample_patterns(X, 12, seed=seed)
    return cx.ReLUProblem(X, y, patterns, 0.8, activation=activation, slope=0.2, **options)


def some_solution(prob: cx.ReLUProblem, seed: int = 0) -> cx.Solution:
    """Feasible blocks, not optimal, a third of them zero."""
    rng = np.random.default_rng(seed)
    coef = rng.standard_normal((2, len(prob.patterns), prob.n_features))
    coef *= rng.random(coef.shape[:2])[:, :, np.newaxis] < 0.7
    return with_dual(prob, in_cones(prob, coef))


@pytest.mark.parametrize("activation", ["relu", "leaky_relu", "abs"])
@pytest.mark.parametrize("offset", [False, True])
def test_feasible_blocks_become_neurons(activation: str, offset: bool) -> None:
    prob = relu_problem(activation, output_offset=offset)
    sol = some_solution(prob)
    net = cx.recover(prob, sol)
    assert isinstance(net, cx.TwoLayerNetwork)
    assert net.activation == activation
    assert net.n_neurons == len(sol.active) > 3
    np.testing.assert_allclose(np.linalg.norm(net.W1, axis=1), np.abs(net.W2[:, 0]), rtol=1e-13)
    np.testing.assert_allclose(net.W1 * np.abs(net.W2), sol.coef.values, rtol=1e-11, atol=1e-14)
    np.testing.assert_array_equal(net.W2[:, 0] > 0, sol.active < len(prob.patterns))
    np.testing.assert_allclose(net.predict(prob.X), prob.fit_values(sol.coef), atol=1e-13)
    assert net.objective(prob.X, prob.y, prob.beta) == pytest.approx(sol.objective, rel=1e-12)
    assert (net.b2 is not None) == offset
    # Elsewhere it is the activation that counts, not the pattern of the training data.
    X = np.random.default_rng(5).standard_normal((50, 3))
    inputs = X @ net.W1.T
    slope = {"relu": 0.0, "leaky_relu": 0.2, "abs": -1.0}[activation]
    expected = np.where(inputs > 0, inputs, slope * inputs) @ net.W2[:, 0] + sol.offset
    np.testing.assert_allclose(net.predict(X), expected, atol=1e-13)


def test_what_rounding_has_put_outside_is_projected() -> None:
    prob = relu_problem()
    sol = some_solution(prob)
    rng = np.random.default_rng(1)
    for size in (1e-14, 1e-9, 1e-3):
        values = sol.coef.values + size * rng.standard_normal(sol.coef.values.shape)
        moved = dataclasses.replace(
            sol, coef=cx.SparseBlocks(sol.active, values, sol.coef.n_blocks, signed=True)
        )
        assert prob.infeasibility(moved.coef) > size / 100
        net = cx.recover(prob, moved)
        blocks = np.zeros((2, 12, 3))
        index = [prob_index(prob, w, a) for w, a in zip(net.W1, net.W2[:, 0], strict=True)]
        assert len(set(index)) == len(index)
        assert net.objective(prob.X, prob.y, prob.beta) == pytest.approx(
            sol.objective, rel=100 * size
        )
        for (half, i), w, a in zip(index, net.W1, net.W2[:, 0], strict=True):
            blocks[half, i] = abs(a) * w
        assert prob.infeasibility(blocks) <= 1e-14
        np.testing.assert_allclose(net.predict(prob.X), prob.fit_values(blocks), atol=1e-12)


def prob_index(prob: cx.ReLUProblem, w: FloatArray, a: float) -> tuple[int, int]:
    """Block that a neuron is in the cone of, inside or on an edge."""
    inside = np.where(prob.patterns.to_dense(), 1.0, -1.0) * (prob.X @ w)
    return int(a < 0), int(np.argmax(inside.min(axis=1) / np.linalg.norm(w)))


def test_a_relu_solution_of_zero_is_a_network_without_neurons() -> None:
    prob = relu_problem()
    net = cx.recover(prob, with_dual(prob, np.zeros((2, 12, 3))))
    assert (net.n_neurons, net.n_features) == (0, 3)


def test_verify_of_a_relu_solution_believes_nothing() -> None:
    prob = relu_problem()
    sol = solved(prob)
    true = cx.verify(prob, sol)
    assert true.relative_gap < 1e-5
    assert true.infeasibility <= 1e-12
    liar = dataclasses.replace(sol, objective=0.0, dual_objective=1e9, objective_at_zero=1e-9)
    assert cx.verify(prob, liar) == true
    larger = cx.verify(prob, dataclasses.replace(sol, dual=1.01 * sol.dual))
    assert larger.infeasibility == pytest.approx(0.01, abs=1e-4)
    outside = cx.SparseBlocks.from_dense(-sol.coef.to_dense())
    checked = cx.verify(prob, dataclasses.replace(sol, coef=outside))
    assert checked.infeasibility == prob.infeasibility(outside) > 1e-2


def test_wrong_relu_solutions() -> None:
    prob = relu_problem()
    sol = some_solution(prob)
    few = dataclasses.replace(sol, coef=cx.SparseBlocks.from_dense(np.ones((2, 3, 3))))
    with pytest.raises(ValueError, match="solution of `prob`") as error:
        cx.recover(prob, few)
    assert str(error.value) == (
        "`sol` must be a solution of `prob`, with coefficients of shape (2, 12, 3), got (2, 3, 3)"
    )
    flat = cx.SparseBlocks(sol.coef.indices, sol.coef.values, 24)
    net = cx.recover(prob, dataclasses.replace(sol, coef=flat))
    np.testing.assert_array_equal(net.W1, cx.recover(prob, sol).W1)


# --- gated solutions as ReLU networks ------------------------------------------------------------


def bound(prob: cx.GatedReLUProblem, i: int, u: FloatArray) -> float:
    """1 + 2 kappa of the rows that hold the shortest w with w and w + u in the cone."""
    S = cones.Cones(prob.X).normals(prob.patterns[[i]].to_dense()[0])
    w = cones._shortest(S, np.maximum(-S @ u, 0.0))
    assert w is not None
    held = S[(np.abs(S @ w - np.maximum(-S @ u, 0.0)) < 1e-9 * (1 + np.linalg.norm(w)))]
    if not w.any():
        return 1.0
    sizes = np.linalg.svd(held)[1]
    return float(1 + 2 * sizes[0] / sizes[sizes > 1e-9][-1])


@pytest.mark.parametrize("seed", range(30))
def test_gated_relu_and_decomposition_are_in_order(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n, d = int(rng.integers(5, 25)), int(rng.integers(2, 6))
    X, y = rng.standard_normal((n, d)), rng.standard_normal(n)
    if seed % 3 == 0:
        X[:, -1] = 1.0
    patterns = quiet_patterns(X, 8, seed)
    beta = float(rng.choice([0.02, 0.1, 0.3])) * cx.GatedReLUProblem(X, y, patterns, 1.0).beta_max
    gated = cx.GatedReLUProblem(X, y, patterns, beta, output_offset=seed % 5 == 0)
    relu = cx.ReLUProblem(X, y, patterns, beta, output_offset=seed % 5 == 0)
    sol = cx.solve(gated, tol=1e-9)
    dec = cx.decompose(gated, sol)
    net, blocks = dec.network, np.zeros((2, len(patterns), d))

    np.testing.assert_allclose(
        net.predict(X), gated.fit_values(sol.coef), atol=1e-12 * (1 + np.abs(net.W1).max() ** 2)
    )
    norms = np.linalg.norm(sol.coef.values, axis=1)
    objective = net.objective(X, y, beta)
    assert objective == pytest.approx(
        sol.objective + beta * (dec.growth - 1) * norms.sum(), rel=1e-9
    )
    limits = [bound(gated, i, u) for i, u in zip(sol.active, sol.coef.values, strict=True)]
    best = cx.solve(relu, tol=1e-9)
    assert relu.infeasibility(best.coef) <= 1e-12
    assert best.objective == pytest.approx(clarabel(relu.to_cvxpy()), rel=1e-6)
    assert sol.dual_objective <= best.objective * (1 + 1e-13)
    assert best.dual_objective <= objective * (1 + 1e-13)
    assert objective <= sol.objective + beta * float((np.array(limits) - 1) @ norms) * (1 + 1e-9)

    for w, a in zip(net.W1, net.W2[:, 0], strict=True):
        half, i = prob_index(relu, w, a)
        blocks[half, i] += abs(a) * w
    assert relu.infeasibility(blocks) <= 1e-12
    np.testing.assert_allclose(relu.fit_values(blocks), net.predict(X), atol=1e-9)


def quiet_patterns(X: FloatArray, count: int, seed: int) -> cx.PatternSet:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # there may be fewer
        return cx.sample_patterns(X, count, seed=seed)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("scale", [1e-20, 1.0, 1e20])
def test_a_block_is_split_as_shortly_as_can_be(seed: int, scale: float) -> None:
    import cvxpy as cp

    rng = np.random.default_rng(seed)
    X, u = rng.standard_normal((12, 3)), rng.standard_normal(3)
    if seed % 2:
        X, u = np.round(2 * X), np.round(2 * u)  # many ties
    S = cones.Cones(X).normals(X @ rng.standard_normal(3) >= 0)
    parts = cones.split(S, scale * u)
    assert parts is not None
    v, w = parts[0] / scale, parts[1] / scale
    np.testing.assert_allclose(v - w, u, atol=1e-15 * (1 + np.abs(v).max()))
    assert max(cones.violation(S, v), cones.violation(S, w)) <= 1e-13
    shift = cp.Variable(3)
    lengths = cp.norm2(shift) + cp.norm2(shift + u)
    best = clarabel(cp.Problem(cp.Minimize(lengths), [S @ shift >= 0, S @ (shift + u) >= 0]))
    assert np.linalg.norm(v) + np.linalg.norm(w) == pytest.approx(best, rel=1e-7)


def test_splits_that_need_no_search() -> None:
    S, u = np.eye(2), np.array([2.0, 0.5])
    for sign in (1.0, -1.0):
        parts = cones.split(S, sign * u)
        assert parts is not None
        v, w = parts if sign > 0 else parts[::-1]
        np.testing.assert_array_equal(v, u)
        np.testing.assert_array_equal(w, np.zeros(2))
    parts = cones.split(S, 0 * u)
    assert parts is not None
    assert not parts[0].any()
    assert not parts[1].any()
    # Of a half line and of a point nothing is the difference.
    assert cones.split(np.array([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0]]), u) is None
    assert cones.split(np.array([[1.0, 0.0], [-0.6, 0.8], [-0.6, -0.8]]), u) is None


def test_decomposition_of_zero_and_wrong_arguments() -> None:
    prob = random_problem(ratio=2.0)
    dec = cx.decompose(prob, cx.solve(prob))
    assert dec.network.n_neurons == 0
    assert dec.growth == 1.0
    network, growth = dec
    assert (network, growth) == (dec.network, dec.growth)

    relu = relu_problem()
    for arguments, kind, message in (
        ((relu, None), TypeError, "`prob` must be a GatedReLUProblem, got ReLUProblem"),
        ((prob, None), TypeError, "`sol` must be a Solution, got NoneType"),
        (
            (prob, some_solution(relu)),
            ValueError,
            "`sol` must be a solution of `prob`, with coefficients of shape (30, 4), "
            "got (2, 12, 3)",
        ),
    ):
        with pytest.raises(kind) as error:
            cx.decompose(*arguments)
        assert str(error.value) == message


def test_a_pattern_that_is_no_cell_cannot_be_decomposed() -> None:
    X, y = np.array([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0]]), np.array([1.0, 2.0, 3.0])
    patterns = cx.PatternSet.from_dense([[1, 0, 1], [1, 1, 1]])
    prob = cx.GatedReLUProblem(X, y, patterns, 0.01)
    with pytest.raises(ValueError, match="must be cells") as error:
        cx.decompose(prob, cx.solve(prob))
    assert str(error.value) == (
        "`prob.patterns` must be cells of `prob.X` to decompose a solution, got pattern 1 without "
        "any u that has every non-zero row strictly on its side"
    )


def test_decomposition_with_pattern_weights() -> None:
    weights = np.random.default_rng(1).uniform(0.5, 2, 30)
    prob = random_problem(pattern_weight=weights)
    sol = cx.solve(prob)
    dec = cx.decompose(prob, sol)
    split = [
        cones.split(cones.Cones(prob.X).normals(mask), u)
        for mask, u in zip(prob.patterns[sol.active].to_dense(), sol.coef.values, strict=True)
    ]
    after = sum(
        w * (np.linalg.norm(parts[0]) + np.linalg.norm(parts[1]))
        for w, parts in zip(weights[sol.active], split, strict=True)
        if parts is not None
    )
    before = weights[sol.active] @ np.linalg.norm(sol.coef.values, axis=1)
    assert dec.growth == pytest.approx(after / before, rel=1e-12)
    np.testing.assert_allclose(dec.network.predict(prob.X), prob.fit_values(sol.coef), atol=1e-11)


def test_a_solution_of_other_patterns_is_refused() -> None:
    X = np.random.default_rng(0).standard_normal((60, 4))
    y = np.abs(X[:, 0])
    here, there = (cx.ReLUProblem(X, y, cx.sample_patterns(X, 20, seed=k), 1.0) for k in (0, 9))
    with pytest.raises(
        ValueError, match=r"`sol` must be a solution of `prob`.*outside of the cone"
    ):
        cx.recover(there, cx.solve(here))


@pytest.mark.parametrize("skip", [0.0, 0.1])
@pytest.mark.parametrize("n_outputs", [1, 3])
@pytest.mark.parametrize("ridge", [0.0, 0.2])
def test_a_linear_part_of_a_gated_network_is_a_unit(
    skip: float, n_outputs: int, ridge: float
) -> None:
    rng = np.random.default_rng(2)
    X = rng.standard_normal((40, 3))
    Y = X @ rng.standard_normal((3, n_outputs)) + rng.standard_normal((40, n_outputs))
    patterns = cx.enumerate_patterns(X)
    p = rng.uniform(0.5, 2.0, len(patterns))
    options: dict[str, Any] = {"skip": skip, "ridge": ridge, "output_offset": True}
    prob = cx.GatedReLUProblem(X, Y, patterns, 2.0, pattern_weight=p, **options)
    sol = cx.solve(prob, tol=1e-9)
    net = cx.recover(prob, sol)
    assert not net.gates[-1].any()
    assert net.gates[:-1].any(axis=1).all()
    own = net.W1[-1] * net.W2[-1, 0]
    linear = sol.coef.values[-1] if sol.linear is None else sol.linear
    np.testing.assert_allclose(own, linear, rtol=1e-12)
    np.testing.assert_allclose(
        net.predict(X), prob.fit_values(sol.coef).reshape(net.predict(X).shape), atol=1e-9
    )
    if skip > 0:
        weight = prob.pattern_weight[sol.active]
        value = net.objective(X, Y, 2.0, pattern_weight=weight, ridge=ridge)
        assert value == pytest.approx(sol.objective, rel=1e-9)


@pytest.mark.parametrize("skip", [0.0, 0.1])
@pytest.mark.parametrize("activation", ["relu", "leaky_relu"])
def test_a_linear_part_of_a_relu_network_is_two_neurons(skip: float, activation: str) -> None:
    rng = np.random.default_rng(2)
    X = rng.standard_normal((25, 3))
    y = X @ [1.0, -2.0, 1.0] + rng.standard_normal(25)
    options: dict[str, Any] = {"activation": activation, "slope": 0.2}
    options = options if activation == "leaky_relu" else {}
    prob = cx.ReLUProblem(X, y, cx.enumerate_patterns(X), 0.5, skip=skip, **options)
    sol = cx.solve(prob, tol=1e-8)
    net = cx.recover(prob, sol)
    W = net.W1 * net.W2
    np.testing.assert_allclose(W[-1], W[-2], rtol=1e-12)  # a_j = 1 and -1, w_j opposite
    np.testing.assert_array_equal(net.W1[-1], -net.W1[-2])
    coned = np.count_nonzero(sol.active % len(prob.patterns) < prob.n_coned)
    assert net.n_neurons == coned + 2
    np.testing.assert_allclose(net.predict(X), prob.fit_values(sol.coef), atol=1e-7)


def test_a_linear_part_is_no_sum_of_absolute_values() -> None:
    rng = np.random.default_rng(2)
    X, y = rng.standard_normal((25, 3)), rng.standard_normal(25)
    prob = cx.ReLUProblem(X, y, cx.enumerate_patterns(X), 0.5, skip=0.0, activation="abs")
    sol = cx.solve(prob)
    with pytest.raises(ValueError, match="`prob` must have no linear part beside absolute values"):
        cx.recover(prob, sol)
