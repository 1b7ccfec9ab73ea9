"""The ReLU program's formulas against dense features, Clarabel and closed forms."""

from __future__ import annotations

import copy
import dataclasses
import itertools
import math
import pickle
from typing import Any

import cvxpy as cp
import numpy as np
import pytest
import scipy.special
from hypothesis import given, settings
from hypothesis import strategies as st

import pyconvexnn as cx
from pyconvexnn._typing import BoolArray, FloatArray
from pyconvexnn.problems import cones
from tests.problems.test_gated_relu import (
    HUBER,
    LOSSES,
    OFFSETS,
    WITH_OFFSET,
    loss_of,
    slope_of,
    targets_of,
)
from tests.relu_reference import BETA_MAX, OPTIMA, clarabel, in_cones, optimum, solved, with_dual
from tests.vertex_method import DATA, all_cells, every_pattern

SLOPES = {"relu": 0.0, "leaky_relu": 0.1, "abs": -1.0}


@dataclasses.dataclass
class Data:
    """One random problem, its patterns being some cells of X."""

    X: FloatArray
    y: FloatArray
    masks: BoolArray
    s: FloatArray
    w: FloatArray
    beta: float
    loss: str
    activation: str

    @property
    def features(self) -> FloatArray:
        """[D_1 X ... D_P X, -D_1 X ... -D_P X]."""
        D = np.where(self.masks, 1.0, SLOPES[self.activation])
        half = np.hstack([diagonal[:, np.newaxis] * self.X for diagonal in D])
        return np.hstack([half, -half])

    def problem(self, **changes: Any) -> cx.ReLUProblem:
        options = {
            "activation": self.activation,
            "slope": 0.1,
            "loss": self.loss,
            "sample_weight": self.s,
            "pattern_weight": self.w,
            **changes,
        }
        return cx.ReLUProblem(
            self.X, self.y, cx.PatternSet.from_dense(self.masks), self.beta, **options
        )


def random_data(
    loss: str = "squared",
    activation: str = "relu",
    seed: int = 0,
    n: int = 9,
    d: int = 3,
    P: int = 5,
    beta: float = 0.7,
) -> Data:
    rng = np.random.default_rng(seed)
    X, y = rng.standard_normal((n, d)), rng.standard_normal(n)
    masks: list[BoolArray] = []
    while len(masks) < P:  # distinct, and none the opposite of another
        mask = X @ rng.standard_normal(d) >= 0
        if not any((mask == other).all() or (mask != other).all() for other in masks):
            masks.append(mask)
    return Data(
        X=X,
        y=targets_of(loss, y),
        masks=np.array(masks),
        s=rng.uniform(0.1, 3, n),
        w=rng.uniform(0.1, 3, P),
        beta=beta,
        loss=loss,
        activation=activation,
    )


def gaussian_blocks(P: int = 5, d: int = 3, seed: int = 5) -> FloatArray:
    return np.random.default_rng(seed).standard_normal((2, P, d))


# --- formulas -----------------------------------------------------------------------------------


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("activation", SLOPES)
def test_objective_fit_gradient_and_adjoint_are_those_of_the_features(
    loss: str, activation: str
) -> None:
    data, C = random_data(loss, activation), gaussian_blocks() / 4
    prob, features = data.problem(), data.features
    C[0, 2] = C[1, 3] = 0.0
    fit = features @ C.ravel()
    penalty = float(np.tile(data.w, 2) @ np.linalg.norm(C.reshape(10, 3), axis=1))
    expected = data.s @ loss_of(loss, fit, data.y) + data.beta * penalty
    gradient = (features.T @ (data.s * slope_of(loss, fit, data.y))).reshape(2, 5, 3)
    signed = cx.SparseBlocks.from_dense(C)
    plain = cx.SparseBlocks(signed.indices, signed.values, 10)
    for coef in (C, signed, plain, C.tolist()):
        np.testing.assert_allclose(prob.fit_values(coef), fit, rtol=1e-12, atol=1e-13)
        assert prob.objective(coef) == pytest.approx(expected, rel=1e-13)
        np.testing.assert_allclose(prob.gradient(coef), gradient, rtol=1e-11, atol=1e-12)
    v = np.random.default_rng(3).standard_normal(9)
    np.testing.assert_allclose(
        prob.adjoint(v), (features.T @ v).reshape(2, 5, 3)[0], rtol=1e-11, atol=1e-13
    )
    assert prob.objective_at_zero == pytest.approx(
        data.s @ loss_of(loss, np.zeros(9), data.y), rel=1e-13
    )


@pytest.mark.parametrize("loss", WITH_OFFSET)
def test_an_offset_is_the_best(loss: str) -> None:
    data, C = random_data(loss), gaussian_blocks() / 4
    prob = data.problem(output_offset=True)
    b, alone = prob.best_offset(C), data.features @ C.ravel()
    np.testing.assert_allclose(prob.fit_values(C), alone + b, atol=1e-13)
    values = [data.s @ loss_of(loss, alone + b + t, data.y) for t in (0, -1e-4, 1e-4, -1.0, 1.0)]
    assert min(values[1:]) >= values[0] * (1 - 1e-14)
    assert data.problem().best_offset(C) == 0.0
    program = prob.to_cvxpy()
    variables = {v.name(): v for v in program.variables()}
    variables["V"].value, variables["W"].value, variables["b"].value = C[0], C[1], b
    assert program.objective.value == pytest.approx(prob.objective(C), rel=1e-12)


def test_infeasibility_is_the_largest_angle_to_a_cone() -> None:
    data, C = random_data(), gaussian_blocks()
    data.X[4] = 0.0
    prob, worst = data.problem(), 0.0
    for half, i, k in itertools.product(range(2), range(5), range(9)):
        x, u, sign = data.X[k], C[half, i], 1.0 if data.masks[i, k] else -1.0
        if x.any():
            worst = max(worst, -sign * (x @ u) / (np.linalg.norm(x) * np.linalg.norm(u)))
    assert worst > 0.1
    for scale in (1.0, 1e-100, 1e100):
        assert prob.infeasibility(scale * C) == pytest.approx(worst, rel=1e-13)
    inside = in_cones(prob, C)
    assert np.linalg.norm(inside) > 0.1
    assert prob.infeasibility(inside) <= 1e-15
    assert prob.infeasibility(0.0 * C) == 0.0
    inside[1, 3] = C[1, 3]
    assert prob.infeasibility(inside) > 1e-3


@pytest.mark.parametrize("activation", SLOPES)
def test_prices_are_those_of_the_second_order_cone_program(activation: str) -> None:
    data = random_data(activation=activation)
    prob, v = data.problem(), np.random.default_rng(3).standard_normal(9)
    prices = []
    for mask, weight in zip(data.masks, data.w, strict=True):
        g = data.X.T @ (np.where(mask, 1.0, SLOPES[activation]) * v)
        for sign in (1.0, -1.0):
            c = cp.Variable(3)
            inside = cp.multiply(np.where(mask, 1.0, -1.0), data.X @ c) >= 0
            program = cp.Problem(cp.Maximize(sign * g @ c), [cp.norm2(c) <= 1, inside])
            prices.append(clarabel(program) / weight)
    largest = max(prices)
    assert prob.dual_infeasibility(v) == pytest.approx(largest / data.beta - 1, rel=1e-6)
    assert prob.dual_infeasibility(v * data.beta / largest * 0.999) == 0.0
    assert prob.dual_infeasibility(v * data.beta / largest * 1.001) == pytest.approx(1e-3, rel=1e-4)
    at_zero = dataclasses.replace(data, y=v, s=np.ones(9)).problem()
    assert at_zero.beta_max == pytest.approx(largest, rel=1e-7)


@given(
    st.integers(0, 10**6),
    st.sampled_from(OFFSETS),
    st.sampled_from(list(SLOPES)),
    st.floats(0, 1),
)
@settings(max_examples=40, deadline=None)
def test_weak_duality(seed: int, kind: tuple[str, bool], activation: str, scale: float) -> None:
    loss, offset = kind
    data = random_data(loss, activation, seed)
    data.y[:2] = (1.0, 0.0 if loss == "poisson" else -1.0)
    prob, rng = data.problem(output_offset=offset), np.random.default_rng(seed + 1)
    most = 0 if loss == "poisson" else 1  # exp(140) is no dual point
    V, U = (rng.standard_normal((2, 5, 3)) * 10 ** rng.uniform(-3, most) for _ in "VU")
    v = -data.s * slope_of(loss, prob.fit_values(V), data.y)
    v *= scale * min(1.0, 1 / (1 + prob.dual_infeasibility(v)))
    if offset and abs(v.sum()) > 1e-13 * np.abs(v).sum():  # next to no dual point at all
        return
    assert prob.dual_infeasibility(v) <= 1e-12
    assert prob.dual_objective(v) <= prob.objective(in_cones(prob, U)) * (1 + 1e-12)


@pytest.mark.parametrize("loss", ["squared", "huber"])
@pytest.mark.parametrize("activation", SLOPES)
def test_with_an_offset_a_constant_may_go_from_the_targets(loss: str, activation: str) -> None:
    data = random_data(loss, activation, seed=4)
    prob = data.problem(output_offset=True)
    sol = solved(prob)
    for shift in (2.5, -1e6):
        other = dataclasses.replace(data, y=data.y + shift).problem(output_offset=True)
        rounding = 1e-14 * (1 + abs(shift))
        assert other.beta_max == pytest.approx(prob.beta_max, rel=rounding)
        assert other.objective_at_zero == pytest.approx(prob.objective_at_zero, rel=rounding)
        assert other.objective(sol.coef) == pytest.approx(sol.objective, rel=rounding)
        assert other.dual_objective(sol.dual) == pytest.approx(sol.dual_objective, rel=rounding)
        assert other.best_offset(sol.coef) == pytest.approx(sol.offset + shift, rel=1e-12)


@pytest.mark.parametrize("loss", WITH_OFFSET)
@pytest.mark.parametrize("activation", SLOPES)
def test_an_offset_is_the_free_part_of_a_pattern_that_is_on_everywhere(
    loss: str, activation: str
) -> None:
    # Of a ones column whose norms are not counted all but the constant stays: M16 of the notes.
    data = random_data(loss, activation, seed=6, beta=0.1 if loss == "poisson" else 0.7)
    data.y[:2] = (1.0, 0.0 if loss == "poisson" else -1.0)
    prob = data.problem(output_offset=True)
    V, W = cp.Variable((5, 3)), cp.Variable((5, 3))
    free = cp.Variable(2, nonneg=True)  # of both signs of the block that is on everywhere
    D = np.where(data.masks, 1.0, SLOPES[activation])
    f = sum(cp.multiply(D[i], data.X @ (V[i] - W[i])) for i in range(5)) + free[0] - free[1]
    margin = cp.multiply(data.y, f)
    losses = {
        "squared": cp.square(f - data.y) / 2,
        "huber": cp.huber(f - data.y, HUBER) / 2,
        "logistic": cp.logistic(-margin),
        "squared_hinge": cp.square(cp.pos(1 - margin)) / 2,
        "poisson": cp.exp(f) - margin + scipy.special.xlogy(data.y, data.y) - data.y,
    }
    penalty = data.w @ (cp.norm2(V, axis=1) + cp.norm2(W, axis=1))
    inside = [
        cp.multiply(np.where(mask, 1.0, -1.0), data.X @ U[i]) >= 0
        for i, mask in enumerate(data.masks)
        for U in (V, W)
    ]
    program = cp.Problem(cp.Minimize(data.s @ losses[loss] + data.beta * penalty), inside)
    sol = solved(prob)
    assert sol.objective == pytest.approx(clarabel(program), rel=1e-6)
    # The offset is profiled out of the dual too: the slope of the loss sums to zero.
    v = -data.s * slope_of(loss, prob.fit_values(sol.coef), data.y)
    assert abs(v.sum()) <= 1e-13 * np.abs(v).sum()
    checked = cx.verify(prob, sol)
    assert checked.infeasibility <= 1e-12
    assert checked.dual_objective <= sol.objective
    assert checked.relative_gap <= 1e-4


def test_an_offset_needs_dual_points_of_sum_zero() -> None:
    data, v = random_data(), np.zeros(9)
    v[:2] = 1e-3, -1e-3 * (1 + 1e-9)
    assert data.problem().dual_infeasibility(v) == 0.0
    prob = data.problem(output_offset=True)
    assert prob.dual_infeasibility(v) == pytest.approx(5e-10, rel=1e-6)
    assert prob.dual_objective(v) == -math.inf


@pytest.mark.parametrize("loss", LOSSES)
def test_to_cvxpy_states_the_same_problem(loss: str) -> None:
    prob = random_data(loss).problem()
    program = prob.to_cvxpy()
    assert isinstance(program, cp.Problem)
    assert program.is_dcp()
    variables = {v.name(): v for v in program.variables()}
    assert set(variables) == {"V", "W"}
    for seed in range(5):
        C = gaussian_blocks(seed=seed)
        variables["V"].value, variables["W"].value = C
        assert program.objective.value == pytest.approx(prob.objective(C), rel=1e-12)
        assert any(np.max(c.violation()) > 1e-3 for c in program.constraints)
        variables["V"].value, variables["W"].value = in_cones(prob, C)
        assert all(np.max(c.violation()) < 1e-14 for c in program.constraints)


def test_to_cvxpy_without_cvxpy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "cvxpy", None)
    with pytest.raises(ImportError) as error:
        random_data().problem().to_cvxpy()
    assert str(error.value) == 'to_cvxpy needs cvxpy: pip install "pyconvexnn[reference]"'


# --- optima --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", OPTIMA)
def test_known_optima(name: str) -> None:
    X, y, *_ = DATA[name]
    patterns = cx.PatternSet.from_dense(all_cells(X))  # of the leaky ReLU the all-zero one counts
    for beta, optima in OPTIMA[name].items():
        for activation, expected in zip(SLOPES, optima, strict=True):
            if expected is not None:
                prob = cx.ReLUProblem(X, y, patterns, beta, activation=activation, slope=0.1)
                sol = solved(prob)
                assert sol.objective == pytest.approx(expected, abs=1e-6)
                assert cx.verify(prob, sol).dual_objective == pytest.approx(expected, rel=1e-4)
                network = cx.recover(prob, sol)
                assert network.objective(X, y, beta) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("name", BETA_MAX)
def test_beta_max_of_the_known_data(name: str) -> None:
    X, y, *_ = DATA[name]
    assert cx.ReLUProblem(X, y, every_pattern(X), 1.0).beta_max == pytest.approx(
        BETA_MAX[name], abs=1e-9
    )


@pytest.mark.parametrize(("loss", "offset"), OFFSETS)
@pytest.mark.parametrize("activation", SLOPES)
def test_zero_is_optimal_exactly_from_beta_max_on(loss: str, activation: str, offset: bool) -> None:
    data = random_data(loss, activation, seed=2)
    prob = data.problem(output_offset=offset)
    for ratio in (1.001, 0.9):
        other = prob.with_beta(ratio * prob.beta_max)
        value = clarabel(other.to_cvxpy())
        below = value < prob.objective_at_zero * (1 - 1e-7)
        assert below == (ratio < 1)
        at_zero = with_dual(other, np.zeros((2, 5, 3)))
        assert (cx.verify(other, at_zero).relative_gap < 1e-9) == (ratio > 1)


CASES = {
    "plain": {"n": 12, "d": 3, "P": 8},
    "wide": {"n": 4, "d": 7, "P": 6},
    "line": {"n": 8, "d": 1, "P": 1},
    "weighted": {"n": 10, "d": 3, "P": 7},
    "duplicates": {"n": 8, "d": 3, "P": 7},
    "intercept": {"n": 12, "d": 3, "P": 7},
}


def case(name: str, loss: str, activation: str) -> Data:
    data = random_data(loss, activation, seed=len(name), beta=0.3, **CASES[name])
    if name != "weighted":
        data.s, data.w = np.ones_like(data.s), np.ones_like(data.w)
    if name == "duplicates":  # and rows that are zero, opposite or parallel, and equal patterns
        more = [data.X, data.X[:3], -2 * data.X[2:5], np.zeros((1, 3))]
        masks = [data.masks, data.masks[:, :3], ~data.masks[:, 2:5], data.masks[:, :1]]
        data.X, data.masks = np.vstack(more), np.hstack(masks)
        data.y, data.s = np.concatenate([data.y, data.y[:7]]), np.ones(15)
        data.masks, data.w = np.vstack([data.masks, data.masks[:2]]), np.ones(9)
    if name == "intercept":
        data.X[:, -1] = 1.0
        g = np.random.default_rng(0).standard_normal((30, 3))
        data.masks = np.unique(g @ data.X.T >= 0, axis=0)
        data.w = np.ones(len(data.masks))
    return data


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("activation", SLOPES)
@pytest.mark.parametrize("loss", WITH_OFFSET)
def test_a_solution_is_verified_and_recovered(loss: str, activation: str, name: str) -> None:
    data = case(name, loss, activation)
    if name == "intercept" and activation == "abs":
        data.w = np.ones(len(data.masks))
    for offset in (False, True):
        prob = data.problem(output_offset=offset)
        sol = solved(prob)
        checked = cx.verify(prob, sol)
        assert checked.objective == sol.objective
        assert checked.infeasibility <= 1e-12
        assert -1e-12 <= checked.relative_gap <= (1e-4 if loss in ("logistic", "poisson") else 1e-5)
        assert sol.objective == pytest.approx(clarabel(prob.to_cvxpy()), rel=1e-6, abs=1e-8)
        network = cx.recover(prob, sol)
        P = len(prob.patterns)
        objective = network.objective(
            prob.X,
            prob.y,
            prob.beta,
            loss=loss,
            sample_weight=prob.sample_weight,
            pattern_weight=prob.pattern_weight[sol.active % P] if len(sol.active) else None,
        )
        assert objective == pytest.approx(sol.objective, rel=1e-9)
        np.testing.assert_allclose(network.predict(prob.X), prob.fit_values(sol.coef), atol=1e-12)


# --- properties ---------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(8))
def test_projection_and_prox_of_a_cone(seed: int) -> None:
    rng = np.random.default_rng(seed)
    X, z, t = rng.standard_normal((rng.integers(2, 20), 4)), rng.standard_normal(4), 0.2
    S = cones.Cones(X).normals(X @ rng.standard_normal(4) >= 0)
    point = cones.project(S, z)
    assert np.min(S @ point) >= -1e-15
    # Moreau: z is the sum of its projections on the cone and its polar, which are orthogonal.
    assert abs(point @ (z - point)) <= 1e-14
    assert cones.price(-S, z - point) >= 0
    assert cones.price(S, z - point) <= 1e-14
    assert cones.price(S, z) == pytest.approx(np.linalg.norm(point), abs=1e-14)
    # The prox of the norm on the cone shrinks the projection.
    shrunk = max(0.0, 1 - t / max(float(np.linalg.norm(point)), 1e-300)) * point
    u = cp.Variable(4)
    clarabel(cp.Problem(cp.Minimize(cp.sum_squares(u - z) / 2 + t * cp.norm2(u)), [S @ u >= 0]))
    np.testing.assert_allclose(u.value, shrunk, atol=1e-5)


@pytest.mark.parametrize("seed", range(4))
def test_optimality_conditions(seed: int) -> None:
    data = random_data(seed=seed, n=14, P=9, beta=0.4)
    prob = data.problem(sample_weight=None, pattern_weight=None)
    sol = solved(prob)
    f, blocks = prob.fit_values(sol.coef), sol.coef.to_dense()
    v, cone = prob.y - f, cones.Cones(prob.X)
    for half, sign in enumerate((1.0, -1.0)):
        for mask, g, u in zip(data.masks, sign * prob.adjoint(v), blocks[half], strict=True):
            point, norm = cones.project(cone.normals(mask), g), float(np.linalg.norm(u))
            assert np.linalg.norm(point) <= prob.beta * (1 + 1e-4)
            if norm > 1e-3:
                np.testing.assert_allclose(u, norm * point / prob.beta, atol=1e-3 * norm)
    norms = np.sum(np.linalg.norm(blocks, axis=2))
    assert v @ f == pytest.approx(prob.beta * norms, rel=1e-4)


def test_of_opposite_patterns_abs_needs_one() -> None:
    X, y, *_ = DATA["F4"]
    masks = all_cells(X)
    prob = cx.ReLUProblem(X, y, cx.PatternSet.from_dense(masks), 0.1, activation="abs")
    assert len(prob.patterns) == len(prob.pattern_weight) == len(masks) // 2 == 16
    kept = prob.patterns.to_dense()
    assert {tuple(m) for m in kept} | {tuple(~m) for m in kept} == {tuple(m) for m in masks}
    assert clarabel(prob.to_cvxpy()) == pytest.approx(optimum(X, y, masks, 0.1, -1.0), rel=1e-6)
    assert len(cx.ReLUProblem(X, y, cx.PatternSet.from_dense(masks), 0.1).patterns) == 32


def test_of_opposite_patterns_the_lightest_is_kept() -> None:
    X = np.array([[1.0, 2.0], [0.0, 0.0], [-1.0, 1.0]])
    # The zero row's bit says nothing; pattern 3 repeats pattern 0.
    masks = [[1, 1, 0], [0, 1, 1], [1, 1, 1], [1, 1, 0], [0, 0, 0]]
    weights = {
        (1, 1, 1, 1, 1): [0, 2, 3],
        (2, 1, 1, 2, 1): [1, 2],
        (1, 2, 3, 1, 2): [0, 3, 4],
        (2, 1, 1, 1, 1): [1, 2],
    }
    for weight, kept in weights.items():
        prob = cx.ReLUProblem(
            X,
            np.ones(3),
            cx.PatternSet.from_dense(masks),
            1.0,
            activation="abs",
            pattern_weight=weight,
        )
        np.testing.assert_array_equal(prob.patterns.to_dense(), np.array(masks, bool)[kept])
        np.testing.assert_array_equal(prob.pattern_weight, np.array(weight, float)[kept])
        assert not prob.pattern_weight.flags.writeable


def hub(t: float, beta: float) -> float:
    return t * t / 2 if t <= beta else beta * t - beta * beta / 2


@pytest.mark.parametrize("beta", [0.05, 0.5, 1.5, 5.0])
def test_orthonormal_rows(beta: float) -> None:
    rng = np.random.default_rng(0)
    X, y = np.linalg.qr(rng.standard_normal((6, 4)))[0].T, rng.standard_normal(4)
    masks = np.array(list(itertools.product([False, True], repeat=4)))
    prob = cx.ReLUProblem(X, y, cx.PatternSet.from_dense(masks), beta)
    sol = solved(prob)
    plus, minus = np.maximum(y, 0), np.maximum(-y, 0)
    sizes = [float(np.linalg.norm(part)) for part in (plus, minus)]
    assert sol.objective == pytest.approx(sum(hub(size, beta) for size in sizes), abs=1e-6)
    fit = [max(0.0, 1 - beta / size) for size in sizes]
    np.testing.assert_allclose(prob.fit_values(sol.coef), fit[0] * plus - fit[1] * minus, atol=1e-3)
    assert prob.beta_max == pytest.approx(max(sizes), rel=1e-13)


@pytest.mark.parametrize("beta", [0.05, 0.5, 3.0, 9.0])
@pytest.mark.parametrize("target", [1.7, -1.7])
def test_one_sample(beta: float, target: float) -> None:
    x = np.array([[3.0, -1.0, 0.5]])
    size = float(np.linalg.norm(x))
    prob = cx.ReLUProblem(x, [target], cx.PatternSet.from_dense([[1], [0]]), beta)
    sol = solved(prob)
    assert sol.objective == pytest.approx(hub(size * 1.7, beta) / size**2, abs=1e-6)
    fit = np.sign(target) * max(0.0, 1.7 - beta / size)
    assert prob.fit_values(sol.coef)[0] == pytest.approx(fit, abs=1e-4)
    assert prob.beta_max == pytest.approx(1.7 * size, rel=1e-14)


@pytest.mark.parametrize("beta", [0.05, 0.5, 3.0, 20.0])
def test_one_feature(beta: float) -> None:
    rng = np.random.default_rng(1)
    x, y = rng.standard_normal(9), 3 * rng.standard_normal(9)
    prob = cx.ReLUProblem(x[:, None], y, cx.PatternSet.from_dense([x > 0, x < 0]), beta)
    sol = solved(prob)
    expected, fit = y @ y / 2, np.zeros(9)
    for feature in (np.maximum(x, 0), np.maximum(-x, 0)):
        product, square = feature @ y, feature @ feature
        a = np.sign(product) * max(0.0, abs(product) - beta) / square
        expected, fit = expected - a * a * square / 2, fit + a * feature
    assert sol.objective == pytest.approx(expected, rel=1e-6)
    np.testing.assert_allclose(prob.fit_values(sol.coef), fit, atol=1e-3)


# --- the object ----------------------------------------------------------------------------------


def test_sizes_and_text() -> None:
    prob = random_data("logistic").problem()
    assert (prob.n_samples, prob.n_features, len(prob.patterns)) == (9, 3, 5)
    assert repr(prob) == (
        "ReLUProblem(n=9, d=3, P=5, beta=0.7, activation='relu', loss='logistic')"
    )
    leaky = random_data(activation="leaky_relu").problem(output_offset=True)
    assert repr(leaky) == (
        "ReLUProblem(n=9, d=3, P=5, beta=0.7, activation='leaky_relu', slope=0.1, "
        "loss='squared', output_offset=True)"
    )
    for activation, slope in SLOPES.items():
        prob = random_data(activation=activation).problem()
        assert (prob.activation, prob.slope) == (activation, slope)
    with pytest.raises(dataclasses.FrozenInstanceError):
        prob.beta = 2.0  # type: ignore[misc]


@pytest.mark.parametrize("again", [copy.deepcopy, lambda p: pickle.loads(pickle.dumps(p))])
def test_copies_are_the_same_problem(again: Any) -> None:
    prob, C = random_data("huber", "abs").problem(output_offset=True), gaussian_blocks()
    beta_max = prob.beta_max
    other = again(prob)
    assert other.objective(C) == prob.objective(C)
    assert other.beta_max == beta_max
    assert (other.activation, other.slope, other.patterns) == ("abs", -1.0, prob.patterns)
    for name in ("X", "y", "sample_weight", "pattern_weight"):
        assert not getattr(other, name).flags.writeable, name


def test_another_beta() -> None:
    prob, C = random_data(activation="leaky_relu").problem(), gaussian_blocks()
    other = prob.with_beta(1.4)
    assert isinstance(other, cx.ReLUProblem)
    assert other.X is prob.X
    assert (other.beta, other.slope, other.beta_max) == (1.4, 0.1, prob.beta_max)
    norms = prob.pattern_weight @ np.linalg.norm(C, axis=2).sum(axis=0)
    assert other.objective(C) - prob.objective(C) == pytest.approx(0.7 * norms, rel=1e-12)


def test_integer_sample_weights_are_repeated_rows() -> None:
    data, C = random_data(activation="leaky_relu"), gaussian_blocks()
    counts = np.array([1, 2, 1, 3, 1, 4, 1, 5, 1])
    rows = np.repeat(np.arange(9), counts)
    weighted = data.problem(sample_weight=counts)
    data.X, data.y, data.masks = data.X[rows], data.y[rows], data.masks[:, rows]
    repeated = data.problem(sample_weight=None)
    assert weighted.objective(C) == pytest.approx(repeated.objective(C), rel=1e-13)
    np.testing.assert_allclose(weighted.gradient(C), repeated.gradient(C), atol=1e-11)
    assert weighted.beta_max == pytest.approx(repeated.beta_max, rel=1e-12)
    assert weighted.infeasibility(C) == pytest.approx(repeated.infeasibility(C), rel=1e-13)


X_GOOD, Y_GOOD = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]), np.array([1.0, -1.0, 1.0])
PS_GOOD = cx.PatternSet.from_dense([[1, 0, 1], [0, 1, 1]])


@pytest.mark.parametrize(
    ("changes", "kind", "message"),
    [
        (
            {"activation": "tanh"},
            ValueError,
            "`activation` must be one of relu, leaky_relu, abs; got 'tanh'",
        ),
        (
            {"activation": None},
            ValueError,
            "`activation` must be one of relu, leaky_relu, abs; got None",
        ),
        ({"slope": 1}, ValueError, "`slope` must be < 1, got 1.0"),
        ({"slope": -0.5}, ValueError, "`slope` must be >= 0, got -0.5"),
        ({"slope": "0"}, TypeError, "`slope` must be a real number, got '0'"),
        ({"X": X_GOOD[:2]}, ValueError, "`y` must have 2 entries, got 3"),
        ({"y": Y_GOOD * np.nan}, ValueError, "`y` must be finite, got NaN"),
        ({"beta": 0}, ValueError, "`beta` must be > 0, got 0.0"),
        ({"patterns": 3}, TypeError, "`patterns` must be a PatternSet, got int"),
        ({"ridge": -0.5}, ValueError, "`ridge` must be >= 0, got -0.5"),
        ({"skip": -0.5}, ValueError, "`skip` must be >= 0, got -0.5"),
        (
            {"loss": "cross_entropy"},
            ValueError,
            "`loss` must be one of a single output for networks of ReLUs, got 'cross_entropy': "
            "that needs a GatedReLUProblem, or a classifier with `activation` = 'gated_relu'",
        ),
        (
            {"y": X_GOOD},
            ValueError,
            "`y` must have one column for a ReLUProblem, got shape (3, 2); solve one problem for "
            "each column, or train networks with several outputs by cx.train",
        ),
        ({"pattern_weight": np.ones(3)}, ValueError, "`pattern_weight` must have 2 entries, got 3"),
    ],
)
def test_wrong_arguments(changes: dict[str, Any], kind: type[Exception], message: str) -> None:
    arguments: dict[str, Any] = {"X": X_GOOD, "y": Y_GOOD, "patterns": PS_GOOD, "beta": 1.0}
    with pytest.raises(kind) as error:
        cx.ReLUProblem(**(arguments | changes))
    assert type(error.value) is kind
    assert str(error.value) == message


@pytest.mark.parametrize("method", ["objective", "gradient", "fit_values", "infeasibility"])
def test_wrong_coefficients(method: str) -> None:
    function = getattr(cx.ReLUProblem(X_GOOD, Y_GOOD, PS_GOOD, 1.0), method)
    with pytest.raises(ValueError, match=r"^`coef` must have shape \(2, 2, 2\), got \(2, 2\)$"):
        function(np.ones((2, 2)))
    with pytest.raises(ValueError, match=r"^`coef` must have shape \(2, 2, 2\), got \(2, 2\)$"):
        function(cx.SparseBlocks.from_dense(np.ones((2, 2))))
    with pytest.raises(ValueError, match=r"^`coef` must be finite, got NaN or infinity$"):
        function(np.full((2, 2, 2), np.nan))


def test_a_cone_that_is_a_point_or_a_line() -> None:
    # Rows all around: of the pattern that is on everywhere no u but zero is left.
    X = np.array([[1.0, 0.0], [-1.0, 1.0], [-1.0, -1.0]])
    prob = cx.ReLUProblem(X, np.ones(3), cx.PatternSet.from_dense([[1, 1, 1]]), 1e-3)
    assert prob.beta_max <= 1e-15
    assert prob.infeasibility(np.ones((2, 1, 2))) > 0.5
    # Opposite rows: a half line.
    X = np.array([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0]])
    prob = cx.ReLUProblem(X, [0.0, 0.0, 2.0], cx.PatternSet.from_dense([[1, 1, 1]]), 1e-3)
    assert prob.beta_max == pytest.approx(2.0, rel=1e-14)


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("apart", [0.0, 1e-15, 1e-13, 1e-11])
def test_rows_that_are_nearly_the_same(seed: int, apart: float) -> None:
    rng = np.random.default_rng(seed)
    X, g = rng.standard_normal((60, 9)), rng.standard_normal(9)
    mask = np.tile(X @ rng.standard_normal(9) >= 0, 3)
    expected = cones.project(cones.Cones(X).normals(mask[:60]), g)
    copies = [X, X * (1 + apart), X + apart * rng.standard_normal(X.shape)]
    S = cones.Cones(np.vstack(copies)).normals(mask)
    np.testing.assert_allclose(cones.project(S, g), expected, atol=1e-13 + 1e3 * apart)
    assert cones.price(S, g) == pytest.approx(np.linalg.norm(expected), abs=1e-13 + 1e3 * apart)
    parts = cones.split(S, g)
    assert parts is not None
    assert max(cones.violation(S, part) for part in parts) <= 1e-13 + 10 * apart


def test_the_largest_residual_of_a_huber_problem_is_delta() -> None:
    data = random_data("huber", seed=3)
    data.y *= 100
    prob = data.problem()
    sol = solved(prob)
    assert np.max(np.abs(sol.dual) / data.s) <= HUBER * (1 + 1e-12)
    assert cx.verify(prob, sol).relative_gap < 1e-5
