"""The judge of the comparison, against loops, numerical maximisation and weak duality."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize

from bench.compare import evaluate
from bench.peers.protocol import Answer, FloatArray, Problem

SCALAR = ("squared", "huber", "logistic", "squared_hinge", "hinge", "poisson")
LOSSES = (*SCALAR, "cross_entropy")


def random_problem(
    program: str, loss: str = "squared", K: int = 0, *, seed: int = 0, shape: tuple[int, ...] = ()
) -> Problem:
    n, d, P = shape or (12, 3, 5)
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, d))
    y = rng.standard_normal((n, K) if K else n)
    if loss in ("logistic", "squared_hinge", "hinge"):
        y = np.where(y >= 0, 1.0, -1.0)
    elif loss == "poisson":
        y = rng.poisson(np.exp(y)).astype(float)
    elif loss == "cross_entropy":
        y = np.eye(K)[y.argmax(axis=1)]
    masks = (X @ rng.standard_normal((d, P)) >= 0).T
    return Problem("random", program, loss, X, y, masks, np.array([0.7, 0.3]))


def every_problem(seed: int = 0) -> list[Problem]:
    programs = [random_problem(p, loss, seed=seed) for p in ("gated", "relu") for loss in SCALAR]
    several = [random_problem("gated", loss, 3, seed=seed) for loss in ("squared", "cross_entropy")]
    return programs + several


def one_loss(loss: str, f: Any, y: Any) -> float:
    """The loss of one sample, formula by formula, for numbers or rows."""
    if loss == "cross_entropy":
        return math.log(sum(math.exp(a) for a in f)) - float(f @ y)
    if loss == "squared":
        return float(np.sum((f - y) ** 2)) / 2
    a, b = float(f), float(y)
    r = abs(a - b)
    return {
        "huber": lambda: r * r / 2 if r <= 1.35 else 1.35 * r - 1.35**2 / 2,
        "logistic": lambda: math.log(1 + math.exp(-a * b)),
        "squared_hinge": lambda: max(1 - a * b, 0) ** 2 / 2,
        "hinge": lambda: max(1 - a * b, 0),
        "poisson": lambda: math.exp(a) - a * b + (b * math.log(b) if b > 0 else 0) - b,
    }[loss]()


def in_cones(problem: Problem, rng: np.random.Generator) -> FloatArray:
    """Coefficients of a relu program in their cones: random directions, one of each cell."""
    coef = np.zeros(problem.blocks)
    for u in rng.standard_normal((4000, problem.X.shape[1])):
        hit = (problem.masks == (problem.X @ u >= 0)).all(axis=1)
        coef[rng.integers(2), hit] = u * rng.exponential()
    return coef


@pytest.mark.parametrize("problem", every_problem(), ids=lambda p: f"{p.program}-{p.loss}")
def test_objective_is_the_sum_of_its_definition(problem: Problem) -> None:
    coef = np.random.default_rng(1).standard_normal(problem.blocks)
    expected = 0.0
    for k, x in enumerate(problem.X):
        f = np.zeros(problem.y.shape[1:])
        for i, mask in enumerate(problem.masks):
            if mask[k]:
                f = f + x @ (coef[0, i] - coef[1, i] if problem.program == "relu" else coef[i])
        expected += one_loss(problem.loss, f, problem.y[k])
    halves = coef if problem.program == "relu" else coef[None]
    norms = [math.sqrt(float((block**2).sum())) for half in halves for block in half]
    expected += 0.7 * sum(norms)
    assert evaluate.objective(problem, 0.7, coef) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("loss", LOSSES)
def test_gradient_is_the_slope_of_the_value(loss: str) -> None:
    problem = random_problem("gated", loss, 3 if loss == "cross_entropy" else 0)
    rng = np.random.default_rng(2)
    f, step = rng.standard_normal((2, *problem.y.shape))
    gradient = evaluate.loss_gradient(problem, f)
    up, down = (evaluate.loss_value(problem, f + s * 1e-6 * step) for s in (1, -1))
    assert (up - down) / 2e-6 == pytest.approx(float((gradient * step).sum()), rel=1e-6)


@pytest.mark.parametrize("loss", SCALAR)
@pytest.mark.parametrize("label", [1.0, -1.0, 3.0])
def test_conjugate_is_the_maximum_of_its_definition(loss: str, label: float) -> None:
    y = abs(label) if loss == "poisson" else (label if loss in SCALAR[:2] else np.sign(label))
    base = random_problem("gated", loss)
    problem = dataclasses.replace(base, X=base.X[:1], y=np.array([y]), masks=base.masks[:, :1])
    inside = {"squared": (-4, 4), "huber": (-1.3, 1.3), "poisson": (-4, y - 0.1)}
    low, high = inside.get(loss, (0.1, 3 if loss == "squared_hinge" else 0.9))
    for share in np.linspace(0, 1, 5):
        v = low + share * (high - low)
        if loss not in inside:
            v *= y  # the labels' side
        found = optimize.minimize_scalar(
            lambda f, v=v: v * f + one_loss(loss, f, y),
            bounds=(-30, 30),
            method="bounded",
            options={"xatol": 1e-10},
        )
        # -loss*(-v) = min_f loss(f) + v f
        value = evaluate.dual_value(problem, np.array([v]))
        assert value == pytest.approx(float(found.fun), abs=1e-7)


def test_conjugate_of_cross_entropy() -> None:
    problem = random_problem("gated", "cross_entropy", 3)
    f = np.random.default_rng(3).standard_normal(problem.y.shape)
    v = -evaluate.loss_gradient(problem, f)
    # Fenchel's equality holds at v = -loss'(f).
    expected = evaluate.loss_value(problem, f) + float((v * f).sum())
    assert evaluate.dual_value(problem, v) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("loss", LOSSES)
def test_nothing_overflows(loss: str) -> None:
    problem = random_problem("gated", loss, 3 if loss == "cross_entropy" else 0)
    f = 1e4 * np.where(np.arange(problem.y.size).reshape(problem.y.shape) % 2, 1.0, -1.0)
    value, gradient = evaluate.loss_value(problem, f), evaluate.loss_gradient(problem, f)
    assert not math.isnan(value)
    assert not np.isnan(gradient).any()
    bound = evaluate.dual_bound(problem, 0.5, -gradient)
    assert 0 <= bound <= min(value, evaluate.at_zero(problem)) * (1 + 1e-12)


@pytest.mark.parametrize("problem", every_problem(), ids=lambda p: f"{p.program}-{p.loss}")
def test_clipped_points_lie_in_the_domain(problem: Problem) -> None:
    v = 5 * np.random.default_rng(4).standard_normal(problem.y.shape)
    inside = evaluate.clipped(problem, v)
    np.testing.assert_allclose(evaluate.clipped(problem, inside), inside, atol=1e-15)
    limit = evaluate.scale_limit(problem, inside)
    assert limit >= 1 - 1e-15
    if math.isfinite(limit):  # the edge is in the domain, what is beyond is not
        edge = limit * inside
        np.testing.assert_allclose(evaluate.clipped(problem, edge), edge, atol=1e-13)
        assert np.abs(evaluate.clipped(problem, 1.01 * edge) - 1.01 * edge).max() > 1e-4


@settings(deadline=None, max_examples=60)
@given(seed=st.integers(0, 10**6), size=st.floats(1e-3, 1e3), beta=st.floats(1e-3, 30))
def test_no_dual_bound_exceeds_any_objective(seed: int, size: float, beta: float) -> None:
    rng = np.random.default_rng(seed)
    for problem in every_problem(seed % 1000):
        v = size * rng.standard_normal(problem.y.shape)
        coef = rng.standard_normal(problem.blocks) * rng.exponential()
        if problem.program == "relu":
            coef[:] = 0.0
            u = rng.standard_normal(problem.X.shape[1])
            masks = problem.masks.copy()
            masks[0] = problem.X @ u >= 0  # so that a block is in its cone
            problem = dataclasses.replace(problem, masks=masks)
            coef[rng.integers(2), 0] = u
            assert evaluate.infeasibility(problem, coef) <= 1e-14
        value = evaluate.objective(problem, beta, coef)
        for point in (v, evaluate.residual_dual(problem, coef)):
            bound = evaluate.dual_bound(problem, beta, point)
            assert 0 <= bound <= value * (1 + 1e-12)
            assert not evaluate.below_bound(value, bound)


def test_price_is_the_largest_over_all_blocks() -> None:
    """By constrained maximisation, one block and sign at a time; the search prunes nothing due."""
    for seed in range(3):
        problem = random_problem("relu", seed=seed)
        v = np.random.default_rng(seed + 10).standard_normal(len(problem.y))
        best = 0.0
        for mask in problem.masks:
            g, A = problem.X.T @ (mask * v), np.where(mask, 1, -1)[:, None] * problem.X
            for sign in (1, -1):
                found = optimize.minimize(
                    lambda u, g=g, sign=sign: -sign * g @ u,
                    np.zeros(len(g)),
                    jac=lambda u, g=g, sign=sign: -sign * g,
                    constraints=[
                        {"type": "ineq", "fun": lambda u, A=A: A @ u, "jac": lambda u, A=A: A},
                        {"type": "ineq", "fun": lambda u: 1 - u @ u, "jac": lambda u: -2 * u},
                    ],
                    method="SLSQP",
                    options={"ftol": 1e-14, "maxiter": 500},
                )
                best = max(best, -float(found.fun))
        assert evaluate.price(problem, v) == pytest.approx(best, rel=1e-6)


def test_price_search_prunes_nothing_due() -> None:
    """Every block and sign by least squares on all rows, where a few decide after the first."""
    late = 0
    for seed in range(20):
        problem = random_problem("relu", seed=seed, shape=(25, 4, 30))
        v = np.random.default_rng(seed + 50).standard_normal(len(problem.y))
        highest = np.zeros(len(problem.masks))
        for i, mask in enumerate(problem.masks):
            A = np.where(mask, 1, -1)[:, None] * problem.X
            for sign in (1, -1):
                _, distance = optimize.nnls(A.T, -sign * problem.X.T @ (mask * v))
                highest[i] = max(highest[i], distance)
        assert evaluate.price(problem, v) == pytest.approx(highest.max(), rel=1e-9)
        late += int(highest.argmax() != evaluate.gated_prices(problem, v).argmax())
    assert late >= 5


def test_price_of_a_gated_problem_by_loops() -> None:
    problem = random_problem("gated", K=3)
    v = np.random.default_rng(5).standard_normal(problem.y.shape)
    norms = [np.linalg.norm(problem.X[mask].T @ v[mask]) for mask in problem.masks]
    np.testing.assert_allclose(evaluate.gated_prices(problem, v), norms, rtol=1e-13)
    assert max(norms) <= evaluate.price(problem, v) <= max(norms) * (1 + 1e-11)


def test_bound_at_the_largest_penalty_is_the_objective_at_zero() -> None:
    for problem in every_problem():
        v = -evaluate.loss_gradient(problem, np.zeros_like(problem.y))
        beta = evaluate.price(problem, v)
        bound = evaluate.dual_bound(problem, beta, v)
        assert bound == pytest.approx(evaluate.at_zero(problem), rel=1e-9)


def test_bound_of_one_orthonormal_block_is_analytic() -> None:
    """X = I, one pattern of ones: soft thresholding of the whole vector."""
    y = np.array([3.0, 4.0])
    problem = Problem("I", "gated", "squared", np.eye(2), y, np.ones((1, 2), bool), np.ones(1))
    solution = (y * (1 - 1 / 5))[None]
    optimum = 0.5 * 1**2 + 1 * 4.0
    assert evaluate.objective(problem, 1.0, solution) == pytest.approx(optimum, rel=1e-15)
    for scale in (1.0, 1e-6, 1e6):  # any scaling of the dual point will do
        bound = evaluate.dual_bound(problem, 1.0, scale * y)
        assert bound == pytest.approx(optimum, rel=1e-11)


def test_infeasibility_is_the_sine_of_the_angle_to_the_cone() -> None:
    X = np.array([[2.0, 0.0], [0.0, 3.0], [0.0, 0.0]])
    masks = np.array([[True, True, True], [True, False, True]])
    problem = Problem("axes", "relu", "squared", X, np.zeros(3), masks, np.ones(1))
    coef = np.zeros((2, 2, 2))
    assert evaluate.infeasibility(problem, coef) == 0
    coef[0, 0] = (1.0, 1.0)
    coef[1, 1] = (1.0, -2.0)
    assert evaluate.infeasibility(problem, coef) == 0
    angle = 1e-3
    coef[1, 0] = 1e-9 * np.array([math.cos(angle), -math.sin(angle)])  # size does not matter
    assert evaluate.infeasibility(problem, coef) == pytest.approx(math.sin(angle), rel=1e-12)


def test_network_objective_by_loops() -> None:
    problem = random_problem("relu")
    rng = np.random.default_rng(6)
    hidden, output = rng.standard_normal((4, 3)), rng.standard_normal(4)
    expected = 0.0
    for x, y in zip(problem.X, problem.y, strict=True):
        f = sum(max(float(u @ x), 0) * a for u, a in zip(hidden, output, strict=True))
        expected += (f - y) ** 2 / 2
    expected += 0.35 * (float((hidden**2).sum()) + float((output**2).sum()))
    value = evaluate.network_objective(problem, 0.7, hidden, output)
    assert value == pytest.approx(expected, rel=1e-13)


def test_gap_and_impossible_objectives() -> None:
    assert evaluate.relative_gap(2.0, 1.5, 10.0) == 0.25
    assert evaluate.relative_gap(0.0, -1e-12, 1.0) == pytest.approx(1e-2)
    assert not evaluate.below_bound(1.0, 1.0 + 1e-12)
    assert evaluate.below_bound(1.0, 1.0 + 1e-8)
    assert not evaluate.below_bound(1.0, 1.0 + 1e-8, infeasibility=1e-7)


def feasible_answer(problem: Problem) -> Answer:
    if problem.program == "relu":
        half = in_cones(problem, np.random.default_rng(7))
        assert half.any()
    else:
        half = np.random.default_rng(7).standard_normal(problem.blocks)
    coef = np.stack([half, 2 * half])
    pairs = zip(problem.betas, coef, strict=True)
    values = np.array([evaluate.objective(problem, b, c) for b, c in pairs])
    return Answer(values, coef=coef, dual=np.zeros((2, *problem.y.shape)))


@pytest.mark.parametrize("problem", every_problem(), ids=lambda p: f"{p.program}-{p.loss}")
def test_judge_accepts_what_is_right(problem: Problem) -> None:
    answer = feasible_answer(problem)
    for k, verdict in enumerate(evaluate.judge_path(problem, answer)):
        assert verdict.failure is None
        assert verdict.objective == verdict.own_objective == answer.objective[k]
        assert verdict.bound_from_dual == 0
        assert 0 <= verdict.bound_from_residual <= verdict.objective


def test_judge_names_what_is_wrong() -> None:
    problem = random_problem("relu")
    right = feasible_answer(problem)
    assert right.coef is not None

    def failure(**changes: object) -> str:
        answer = dataclasses.replace(right, **changes)  # type: ignore[arg-type]
        return evaluate.judge(problem, answer, 1).failure or ""

    assert failure() == ""
    assert "own objective" in failure(coef=1.01 * right.coef)
    assert "own objective" in failure(objective=right.objective * (1 + 3e-6))
    assert failure(coef=right.coef[:, 0]) == "`coef` must have shape (2, 2, 5, 3), got (2, 5, 3)"
    assert failure(objective=np.ones(3)) == "`objective` must have shape (2,), got (3,)"
    assert failure(dual=np.ones(3)) == "`dual` must have shape (2, 12), got (3,)"
    assert failure(coef=np.full(problem.blocks, np.nan)[None].repeat(2, 0)).startswith(
        "`coef` holds"
    )
    assert failure(objective=np.full(2, np.inf)).startswith("`objective` holds")
    assert failure(coef=None) == "neither coefficients nor a network came back"
    assert failure(dual=np.full((2, 12), np.nan)) == ""  # proves nothing, hurts nothing
    hidden, output = np.ones((2, 4, 2)), np.ones((2, 4))
    wrong = failure(coef=None, hidden=hidden, output=output)
    assert wrong == "`hidden` must have shape (2, 4, 3), got (2, 4, 2)"


def test_judge_reports_an_infeasible_relu_solution() -> None:
    problem = random_problem("relu")
    coef = np.random.default_rng(8).standard_normal((2, *problem.blocks))
    pairs = zip(problem.betas, coef, strict=True)
    values = np.array([evaluate.objective(problem, b, c) for b, c in pairs])
    verdict = evaluate.judge(problem, Answer(values, coef=coef))
    assert verdict.failure is not None
    assert verdict.failure.startswith("infeasible")
    assert verdict.infeasibility > 0.01


def test_judge_a_network() -> None:
    problem = random_problem("relu")
    rng = np.random.default_rng(9)
    hidden, output = rng.standard_normal((2, 4, 3)), rng.standard_normal((2, 4))
    values = np.array(
        [
            evaluate.network_objective(problem, b, u, a)
            for b, u, a in zip(problem.betas, hidden, output, strict=True)
        ]
    )
    verdict = evaluate.judge(problem, Answer(values, hidden=hidden, output=output), 1)
    assert verdict.failure is None
    assert verdict.objective == values[1]
    wrong = evaluate.judge(problem, Answer(values, hidden=hidden, output=2 * output), 1)
    assert "own objective" in (wrong.failure or "")


@pytest.mark.parametrize("problem", every_problem(), ids=lambda p: f"{p.program} {p.loss}")
@pytest.mark.parametrize("power", [-310, -300, -200, -160, -20])
def test_a_dual_point_of_any_smallness_bounds_as_its_ray_does(problem: Problem, power: int) -> None:
    v = evaluate.clipped(problem, -evaluate.loss_gradient(problem, np.zeros_like(problem.y)))
    expected = evaluate.dual_bound(problem, 0.3, v)
    small = evaluate.dual_bound(problem, 0.3, v * 10.0**power)
    assert small <= expected + 1e-6 * (1 + abs(expected))
    assert small <= evaluate.at_zero(problem)
    # Denormals have lost their direction, and probabilities y - v are rounded to y.
    if power > -300 and problem.loss != "cross_entropy":
        assert small == pytest.approx(expected, rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("power", [150, 200, 300])
def test_a_huge_dual_point_bounds_as_its_ray_does(power: int) -> None:
    problem = random_problem("gated")
    expected = evaluate.dual_bound(problem, 0.3, problem.y)
    huge = evaluate.dual_bound(problem, 0.3, problem.y * 10.0**power)
    assert huge == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("name", ["coef", "objective", "dual"])
@pytest.mark.parametrize("kind", ["str", "complex", "object"])
def test_judge_names_arrays_that_hold_no_numbers(name: str, kind: str) -> None:
    problem = random_problem("gated")
    coef = np.zeros((2, *problem.blocks))
    objective = np.full(2, evaluate.at_zero(problem))
    answer = Answer(objective=objective, coef=coef, dual=np.zeros((2, *problem.y.shape)))
    wrong = dataclasses.replace(answer, **{name: getattr(answer, name).astype(kind)})
    failure = evaluate.judge(problem, wrong).failure
    assert failure is not None
    assert f"`{name}` must hold real numbers" in failure


def test_judge_of_an_output_without_axes() -> None:
    problem = random_problem("relu")
    hidden = np.zeros((2, 1, problem.X.shape[1]))
    answer = Answer(objective=np.zeros(2), hidden=hidden, output=np.array(1.0))
    failure = evaluate.judge(problem, answer).failure
    assert failure is not None
    assert "`hidden` must have shape" in failure or "`output` must have shape" in failure
