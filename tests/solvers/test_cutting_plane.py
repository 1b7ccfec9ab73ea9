"""The ReLU program by cutting planes: another solver, known optima, closed forms, optimality."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import pyconvexnn as cx
from pyconvexnn._typing import FloatArray
from pyconvexnn.problems import cones
from tests.relu_reference import OPTIMA, clarabel, optimum
from tests.small_data import quiet_sample
from tests.vertex_method import DATA, all_cells

SLOPES = {"relu": 0.0, "leaky_relu": 0.1, "abs": -1.0}
LOSSES = ["squared", "huber", "squared_hinge", "logistic"]
LABELS = ("logistic", "squared_hinge")
SHAPES = ["plain", "wide", "rows repeated", "intercept"]


def random_problem(
    seed: int,
    *,
    loss: str = "squared",
    activation: str = "relu",
    shape: str = "plain",
    weighted: bool = False,
    offset: bool = False,
    ratio: float = 0.1,
) -> cx.ReLUProblem:
    """Small random sizes, data, targets and weights."""
    rng = np.random.default_rng(seed)
    n, d = int(rng.integers(6, 25)), int(rng.integers(1, 6))
    if shape == "wide":
        n, d = min(n, 9), n
    X = rng.standard_normal((n, d))
    if shape == "rows repeated":
        X = X[rng.integers(0, n, n + 6)]
    if shape == "intercept":
        X = np.column_stack([X, np.ones(n)])
    n, d = X.shape
    y = np.maximum(X @ rng.standard_normal((d, 3)), 0) @ np.ones(3) + rng.standard_normal(n)
    if loss in LABELS:
        y = np.where(y > np.median(y), 1.0, -1.0)
    patterns = quiet_sample(X, 15, seed=seed)
    weights: dict[str, Any] = {
        "sample_weight": 1.0 + rng.integers(0, 3, n),
        "pattern_weight": rng.uniform(0.5, 2, len(patterns)),
    }
    whole = cx.ReLUProblem(
        X,
        y,
        patterns,
        1.0,
        loss=loss,
        activation=activation,
        slope=0.1,
        output_offset=offset,
        **(weights if weighted else {}),
    )
    return whole.with_beta(ratio * whole.beta_max)


def proved(prob: cx.ReLUProblem, tol: float) -> cx.Solution:
    """Solution whose every number NumPy confirms."""
    sol = cx.solve(prob, tol=tol)
    checked = cx.verify(prob, sol)
    assert sol.status is cx.Status.SOLVED
    assert checked.infeasibility <= 1e-12
    assert checked.relative_gap <= tol * (1 + 1e-6) + 1e-14
    scale = max(sol.objective, 1e-10 * prob.objective_at_zero)
    assert sol.objective == pytest.approx(checked.objective, abs=1e-11 * scale)
    assert sol.dual_objective == pytest.approx(checked.dual_objective, abs=1e-11 * scale)
    assert sol.nonconvex_objective == pytest.approx(sol.objective, abs=1e-9 * scale)
    return sol


# --- another solver -----------------------------------------------------------------------------


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("seed", range(15))
def test_clarabel(loss: str, seed: int) -> None:
    prob = random_problem(
        seed,
        loss=loss,
        activation=list(SLOPES)[seed % 3],
        shape=SHAPES[seed % 4],
        weighted=seed % 2 == 1,
        offset=seed % 5 >= 3,
        ratio=(0.5, 0.1, 0.02)[seed // 3 % 3],
    )
    sol = proved(prob, 1e-8)
    theirs = clarabel(prob.to_cvxpy())
    assert sol.objective == pytest.approx(theirs, rel=2e-5 if loss == "logistic" else 1e-6)


# --- known optima -------------------------------------------------------------------------------

KNOWN = [
    (name, beta, activation, expected)
    for name, optima in OPTIMA.items()
    for beta, values in optima.items()
    for activation, expected in zip(SLOPES, values, strict=True)
    if expected is not None
]


@pytest.mark.parametrize(("name", "beta", "activation", "expected"), KNOWN)
def test_known_optima_over_every_cell(
    name: str, beta: float, activation: str, expected: float
) -> None:
    X, y, *_ = DATA[name]
    patterns = cx.PatternSet.from_dense(all_cells(X))  # of the leaky ReLU the all-zero one counts
    prob = cx.ReLUProblem(X, y, patterns, beta, activation=activation, slope=0.1)
    sol = proved(prob, 1e-10)
    assert sol.objective == pytest.approx(expected, abs=1e-6)
    network = cx.recover(prob, sol)
    assert network.objective(X, y, beta) == pytest.approx(expected, abs=1e-6)


def hub(t: float, beta: float) -> float:
    return t * t / 2 if t <= beta else beta * t - beta * beta / 2


@pytest.mark.parametrize("beta", [0.05, 0.5, 1.5, 5.0])
def test_orthonormal_rows(beta: float) -> None:
    rng = np.random.default_rng(0)
    X, y = np.linalg.qr(rng.standard_normal((6, 4)))[0].T, rng.standard_normal(4)  # X X' = I
    masks = np.array(list(itertools.product([False, True], repeat=4)))
    prob = cx.ReLUProblem(X, y, cx.PatternSet.from_dense(masks), beta)
    sol = proved(prob, 1e-13)
    plus, minus = np.maximum(y, 0), np.maximum(-y, 0)
    sizes = [float(np.linalg.norm(part)) for part in (plus, minus)]
    assert sol.objective == pytest.approx(sum(hub(size, beta) for size in sizes), rel=1e-12)
    fit = [max(0.0, 1 - beta / size) for size in sizes]
    np.testing.assert_allclose(prob.fit_values(sol.coef), fit[0] * plus - fit[1] * minus, atol=2e-6)
    # One neuron each for the positive and the negative targets, along X'y_+ and X'y_-.
    network = cx.recover(prob, sol)
    assert len(np.unique(np.sign(network.W2))) == sum(size > beta for size in sizes)
    for u, alpha in zip(network.W1, network.W2[:, 0], strict=True):
        along = X.T @ (plus if alpha > 0 else minus)
        np.testing.assert_allclose(u / np.linalg.norm(u), along / np.linalg.norm(along), atol=1e-6)


@pytest.mark.parametrize("beta", [0.05, 0.5, 3.0, 9.0])
@pytest.mark.parametrize("target", [1.7, -1.7])
def test_one_sample(beta: float, target: float) -> None:
    x = np.array([[3.0, -1.0, 0.5]])
    size = float(np.linalg.norm(x))
    prob = cx.ReLUProblem(x, [target], cx.PatternSet.from_dense([[1], [0]]), beta)
    sol = proved(prob, 1e-13)
    assert sol.objective == pytest.approx(hub(size * 1.7, beta) / size**2, rel=1e-12)
    fit = np.sign(target) * max(0.0, 1.7 - beta / size)
    assert prob.fit_values(sol.coef)[0] == pytest.approx(fit, abs=1e-6)


@pytest.mark.parametrize("beta", [0.05, 0.5, 3.0, 20.0])
def test_one_feature(beta: float) -> None:
    # The features x_+ and (-x)_+ have disjoint supports: two scalar soft-thresholds.
    rng = np.random.default_rng(1)
    x, y = rng.standard_normal(9), 3 * rng.standard_normal(9)
    prob = cx.ReLUProblem(x[:, None], y, cx.PatternSet.from_dense([x > 0, x < 0]), beta)
    sol = proved(prob, 1e-13)
    expected, fit = y @ y / 2, np.zeros(9)
    for feature in (np.maximum(x, 0), np.maximum(-x, 0)):
        product, square = feature @ y, feature @ feature
        a = np.sign(product) * max(0.0, abs(product) - beta) / square
        expected, fit = expected - a * a * square / 2, fit + a * feature
    assert sol.objective == pytest.approx(expected, rel=1e-12)
    np.testing.assert_allclose(prob.fit_values(sol.coef), fit, atol=1e-5)


# --- other activations --------------------------------------------------------------------------


@pytest.mark.parametrize("activation", SLOPES)
def test_the_program_as_the_papers_write_it(activation: str) -> None:
    X, y, *_ = DATA["F4"]
    masks = all_cells(X)
    slope = SLOPES[activation]
    prob = cx.ReLUProblem(
        X, y, cx.PatternSet.from_dense(masks), 0.3, activation=activation, slope=0.1
    )
    # abs needs one pattern of each opposite pair, and the reference has them all.
    assert len(prob.patterns) == len(masks) // (2 if activation == "abs" else 1)
    assert proved(prob, 1e-9).objective == pytest.approx(optimum(X, y, masks, 0.3, slope), rel=1e-6)


def test_a_leaky_relu_without_slope_is_the_relu() -> None:
    prob = random_problem(3, shape="intercept")
    leaky = cx.ReLUProblem(
        prob.X, prob.y, prob.patterns, prob.beta, activation="leaky_relu", slope=0.0
    )
    sols = cx.solve(prob, tol=1e-9), cx.solve(leaky, tol=1e-9)
    np.testing.assert_array_equal(sols[0].coef.to_dense(), sols[1].coef.to_dense())


@pytest.mark.parametrize("beta", [0.05, 0.5, 5.0])
def test_a_slope_next_to_one_is_linear_regression(beta: float) -> None:
    # min over u of ||X u - y||^2 / 2 + beta ||u||: every u lies in some cell.
    X, y, *_ = DATA["F4"]
    patterns = cx.PatternSet.from_dense(all_cells(X))
    prob = cx.ReLUProblem(X, y, patterns, beta, activation="leaky_relu", slope=1 - 1e-9)
    linear = cx.GatedReLUProblem(X, y, cx.PatternSet.from_dense(np.ones((1, 6))), beta)
    expected = cx.solve(linear, tol=1e-11).objective
    assert proved(prob, 1e-9).objective == pytest.approx(expected, rel=1e-7)


@pytest.mark.parametrize("seed", range(5))
def test_blocks_are_the_prox_of_what_the_others_leave(seed: int) -> None:
    # With D_i X orthogonal on the rows that count each block is the prox of the norm on its cone
    # at D_i X'(y - fit of the others): (1 - beta / ||p||)_+ p, p the projection.
    rng = np.random.default_rng(seed)
    d, beta = 4, 0.3
    Q = np.linalg.qr(rng.standard_normal((d, d)))[0]
    X = np.vstack([Q, rng.standard_normal((9, d))])  # of weight 0: inequalities alone
    y = np.concatenate([2 * rng.standard_normal(d), np.zeros(9)])
    prob = cx.ReLUProblem(
        X,
        y,
        cx.sample_patterns(X, 12, seed=seed),
        beta,
        activation="abs",
        sample_weight=np.repeat([1.0, 0.0], [d, 9]),
    )
    sol = proved(prob, 1e-12)
    cone, coef = cones.Cones(X), sol.coef.to_dense()
    assert len(sol.active) >= 1
    residual = y - prob.fit_values(sol.coef)
    for half, sign in enumerate((1.0, -1.0)):
        for mask, u in zip(prob.patterns.to_dense(), coef[half], strict=True):
            D = np.where(mask, 1.0, -1.0)[:d]
            z = u + sign * Q.T @ (D * residual[:d])
            p = cones.project(cone.normals(mask), z)
            shrink = max(0.0, 1 - beta / max(float(np.linalg.norm(p)), 1e-300))
            # What one block can gain, half the square of its distance, is at most the gap.
            assert np.linalg.norm(u - shrink * p) <= math.sqrt(2 * max(sol.gap, 0.0)) + 1e-9


# --- conditions of optimality -------------------------------------------------------------------


@given(
    seed=st.integers(0, 10**6),
    loss=st.sampled_from(LOSSES),
    activation=st.sampled_from(list(SLOPES)),
    shape=st.sampled_from(SHAPES),
    weighted=st.booleans(),
    offset=st.booleans(),
    ratio=st.floats(0.02, 0.95),
)
@settings(max_examples=60, deadline=None, derandomize=True)
def test_conditions_of_optimality(
    seed: int,
    loss: str,
    activation: str,
    shape: str,
    weighted: bool,
    offset: bool,
    ratio: float,
) -> None:
    prob = random_problem(
        seed,
        loss=loss,
        activation=activation,
        shape=shape,
        weighted=weighted,
        offset=offset,
        ratio=ratio,
    )
    sol = proved(prob, 1e-9)
    P, rounding = len(prob.patterns), 1e-12 * prob.objective_at_zero
    gap = max(sol.gap, 0.0) + rounding
    cone, g = cones.Cones(prob.X), prob.adjoint(sol.dual)
    blocks = {int(b): u for b, u in zip(sol.coef.indices, sol.coef.values, strict=True)}
    slack = 0.0
    for i, mask in enumerate(prob.patterns.to_dense()):
        beta = prob.beta * prob.pattern_weight[i]
        for b, sign in ((i, 1.0), (P + i, -1.0)):
            # 1. No projection of the adjoint at the dual point is longer than beta.
            p = cones.project(cone.normals(mask), sign * g[i])
            assert np.linalg.norm(p) <= beta * (1 + 1e-11)
            if b not in blocks:
                continue
            u, size = blocks[b], float(np.linalg.norm(blocks[b]))
            # 2. Complementarity: beta ||u|| - u'g >= 0, in all at most the gap.
            part = beta * size - sign * float(u @ g[i])
            assert part >= -rounding
            slack += part
            # 3. So u lies along its projection, whose length is beta.
            away = float(np.linalg.norm(u / size - p / beta))
            assert away**2 <= 2 * gap / (beta * size) + 1e-14
    assert slack <= gap
    # 4. And the dual point is -loss gradient, as the loss's conjugate is strongly convex.
    v = -prob.loss.gradient(prob.fit_values(sol.coef), prob.y, prob.sample_weight)
    curvature = 0.25 if loss == "logistic" else 1.0
    assert np.sum((v - sol.dual) ** 2 / (2 * curvature * prob.sample_weight)) <= gap
    # 5. v'f = beta R.
    f = prob.fit_values(sol.coef) - prob.best_offset(sol.coef)
    penalty = (
        prob.beta * prob.pattern_weight[sol.active % P] @ np.linalg.norm(sol.coef.values, axis=1)
    )
    assert abs(penalty - sol.dual @ f) <= gap
    if offset:
        assert abs(sol.dual.sum()) <= 1e-12 * np.abs(sol.dual).sum()


def test_the_optimum_as_a_function_of_beta() -> None:
    # p*(beta) is concave with slope R, the penalty at the optimum: R falls, the loss rises.
    prob = random_problem(8, ratio=1.0)
    betas = prob.beta_max * np.geomspace(0.01, 1.2, 12)
    sols = [proved(prob.with_beta(b), 1e-12) for b in betas.tolist()]
    value = np.array([sol.objective for sol in sols])
    R = np.array([np.linalg.norm(sol.coef.values, axis=1).sum() for sol in sols])
    assert np.all(np.diff(value) >= 0)
    assert np.all(np.diff(R) <= 1e-6)
    assert np.all(np.diff(value - betas * R) >= -1e-6)
    slopes = np.diff(value) / np.diff(betas)
    assert np.all(slopes <= R[:-1] + 1e-6)
    assert np.all(slopes >= R[1:] - 1e-6)
    assert R[-1] == 0.0  # beyond beta_max


# --- the network --------------------------------------------------------------------------------


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("activation", SLOPES)
@pytest.mark.parametrize("offset", [False, True])
def test_the_network_has_the_objective_and_predicts_anywhere(
    loss: str, activation: str, offset: bool
) -> None:
    for weighted, tol in ((False, 1e-2), (True, 1e-8)):
        prob = random_problem(
            11, loss=loss, activation=activation, weighted=weighted, offset=offset, ratio=0.05
        )
        sol = cx.solve(prob, tol=tol)
        network = cx.recover(prob, sol)
        assert isinstance(network, cx.TwoLayerNetwork)
        P, slope = len(prob.patterns), SLOPES[activation]

        # u = v / sqrt(||v||), alpha = sqrt(||v||), of w the opposite alpha.
        norms = np.linalg.norm(sol.coef.values, axis=1)
        U, signs = network.W1, np.where(sol.active < P, 1.0, -1.0)
        alpha = network.W2[:, 0]
        assert len(U) == len(sol.active) >= 1
        np.testing.assert_allclose(alpha, signs * np.sqrt(norms), rtol=1e-13)
        np.testing.assert_allclose(np.linalg.norm(U, axis=1), np.abs(alpha), rtol=1e-13)
        np.testing.assert_allclose(U * np.abs(alpha)[:, None], sol.coef.values, atol=1e-13)

        p = prob.pattern_weight[sol.active % P]

        def activated(t: FloatArray, slope: float = slope) -> FloatArray:
            return np.maximum(t, 0) - slope * np.maximum(-t, 0)

        fit = activated(prob.X @ U.T) @ alpha + sol.offset
        decay = p @ (np.sum(U**2, axis=1) + alpha**2) / 2
        value = prob.loss.value(fit, prob.y, prob.sample_weight) + prob.beta * decay
        objective = network.objective(
            prob.X,
            prob.y,
            prob.beta,
            loss=loss,
            sample_weight=prob.sample_weight,
            pattern_weight=p,
        )
        for number in (value, objective, sol.nonconvex_objective):
            assert number == pytest.approx(sol.objective, rel=1e-9)

        new = np.random.default_rng(1).standard_normal((50, prob.n_features)) * 3
        expected = np.full(50, sol.offset)
        for u, a in zip(U, alpha, strict=True):
            expected += a * activated(new @ u)
        np.testing.assert_allclose(network.predict(new), expected, rtol=1e-12, atol=1e-12)
        assert offset or sol.offset == 0.0
        assert (network.b2 is None) == (not offset)


def test_repeated_rows_and_patterns_change_nothing() -> None:
    prob = random_problem(5, shape="intercept")
    counts = np.random.default_rng(0).integers(1, 4, prob.n_samples)
    rows = np.repeat(np.arange(prob.n_samples), counts)
    order = np.random.default_rng(1).permutation(len(prob.patterns))
    weighted = cx.ReLUProblem(
        prob.X, prob.y, prob.patterns, prob.beta, sample_weight=counts, output_offset=True
    )
    repeated = cx.ReLUProblem(
        prob.X[rows],
        prob.y[rows],
        prob.patterns.restrict(rows)[np.concatenate([order, order[:5]])],
        prob.beta,
        output_offset=True,
    )
    one, other = proved(weighted, 1e-10), proved(repeated, 1e-10)
    assert one.objective == pytest.approx(other.objective, rel=2e-10)


@pytest.mark.parametrize("c", [1e-20, 1e-6, 1e7])
def test_scale(c: float) -> None:
    prob = random_problem(4)
    value = proved(prob, 1e-10).objective
    wide = cx.ReLUProblem(c * prob.X, prob.y, prob.patterns, c * prob.beta)
    assert proved(wide, 1e-10).objective == pytest.approx(value, rel=2e-10)
    tall = cx.ReLUProblem(prob.X, c * prob.y, prob.patterns, c * prob.beta)
    assert proved(tall, 1e-10).objective == pytest.approx(c * c * value, rel=2e-10)
    heavy = cx.ReLUProblem(
        prob.X,
        prob.y,
        prob.patterns,
        prob.beta,
        sample_weight=np.full(prob.n_samples, c),
        pattern_weight=np.full(len(prob.patterns), c),
    )
    assert proved(heavy, 1e-10).objective == pytest.approx(c * value, rel=2e-10)
