"""is_unique against linear programs over the polytope of optima, and data that are known."""

from __future__ import annotations

import dataclasses
import warnings
from collections import Counter
from typing import Any

import numpy as np
import pytest
from scipy.optimize import linprog, nnls
from sklearn.exceptions import ConvergenceWarning

import pyconvexnn as cx
from pyconvexnn._typing import FloatArray
from pyconvexnn.problems.cones import Cones, project
from tests.relu_reference import OPTIMA
from tests.small_data import hexagon
from tests.training.problems import LOSSES, WITH_OFFSET, gaussian_task
from tests.vertex_method import DATA, every_pattern

Problem = cx.GatedReLUProblem | cx.ReLUProblem


def fits_at(prob: Problem, v: FloatArray) -> FloatArray:
    """Fits of the neurons whose prices attain the penalty, each once, (n, k): one by one."""
    cones, G, found = Cones(prob.X), prob.adjoint(v), {}
    for i, mask in enumerate(prob.patterns.to_dense()):
        for sign in (1.0, -1.0):
            g, slope, kind = sign * G[i], 0.0, "gated"
            if isinstance(prob, cx.ReLUProblem):
                g, slope, kind = project(cones.normals(mask), g), prob.slope, prob.activation
            elif sign < 0:
                continue
            price = float(np.linalg.norm(g))
            if price < prob.beta * prob.pattern_weight[i] * (1 - 1e-7):
                continue
            u = g / price
            if kind == "abs":
                u = u * np.sign(u[np.argmax(np.abs(u) > 1e-6)])
            key = mask.tobytes() if kind == "gated" else (sign, *(np.round(u, 6) + 0.0).tolist())
            found[key] = sign * np.where(mask, 1.0, slope) * (prob.X @ (g / price))
    return np.array(list(found.values())).reshape(-1, prob.n_samples).T


def widest_range(prob: Problem) -> float:
    """By how much a neuron's size varies over the optima with one fit, of the largest size."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        sol = cx.solve(prob, tol=1e-14)
    counted = prob.sample_weight > 0
    Z, f = fits_at(prob, sol.dual)[counted], prob.fit_values(sol.coef)[counted]
    k = Z.shape[1]
    if k == 0:
        return 0.0
    ones = np.ones((len(f), 1))
    A = np.hstack([Z, ones, -ones]) if prob.output_offset else Z
    a, _ = nnls(A, f)
    ends = [
        linprog(sign * np.eye(A.shape[1])[j], A_eq=A, b_eq=A @ a, bounds=(0, None))
        for j in range(k)
        for sign in (1.0, -1.0)
    ]
    assert all(end.status == 0 for end in ends)
    # The least of a_j, and of -a_j.
    widths = [-low.fun - high.fun for low, high in zip(ends[::2], ends[1::2], strict=True)]
    return float(max(widths)) / max(float(a[:k].max()), 1e-12)


@pytest.mark.parametrize("activation", ["relu", "leaky_relu", "abs"])
@pytest.mark.parametrize("name", sorted(OPTIMA))
def test_known_data_have_unique_optima(name: str, activation: str) -> None:
    X, y = DATA[name][:2]
    for beta in OPTIMA[name]:
        prob = cx.ReLUProblem(
            X, y, cx.enumerate_patterns(X), beta, activation=activation, slope=0.1
        )
        assert cx.is_unique(prob, cx.solve(prob)) is True
        assert cx.is_unique(prob, cx.solve(prob, tol=1e-2)) is True  # refined


def test_gated_networks_of_known_data() -> None:
    answers = {}
    for name in sorted(OPTIMA):
        X, y = DATA[name][:2]
        for beta in OPTIMA[name]:
            prob = cx.GatedReLUProblem(X, y, every_pattern(X), beta)
            answers[name, beta] = cx.is_unique(prob, cx.solve(prob))
            assert answers[name, beta] is (widest_range(prob) < 1e-5)
    # Where a neuron is 0 on a row two gates will do: the patterns are five, the fits dependent.
    assert [key for key, unique in answers.items() if not unique] == [
        ("A", 0.1),
        ("A", 0.5),
        ("F2", 0.5),
    ]


@pytest.mark.parametrize("tol", [1e-3, 1e-12])
def test_the_hexagon_has_many_optima(tol: float) -> None:
    X, y = hexagon()
    prob = cx.ReLUProblem(X, y, cx.enumerate_patterns(X), 0.1)
    sol = cx.solve(prob, tol=tol)
    assert cx.is_unique(prob, sol) is False


def test_corners_moved_a_little_still_have_many() -> None:
    """Six neurons with fits of rank five, whatever the rows are about."""
    X, y = hexagon()
    X = X + 0.1 * np.random.default_rng(0).standard_normal((6, 2))
    prob = cx.ReLUProblem(X, y, cx.enumerate_patterns(X), 0.1)
    assert widest_range(prob) > 0.1
    assert cx.is_unique(prob, cx.solve(prob)) is False


def test_the_hinge_may_have_two_optima_but_is_never_said_to_have_one() -> None:
    X, y = np.array([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [0.0, -1.0]]), np.ones(4)
    square = cx.ReLUProblem(X, y, cx.enumerate_patterns(X), 0.1, loss="hinge")
    assert cx.is_unique(square, cx.solve(square)) is False
    X, y, beta = gaussian_task(12, 3, 0, "hinge")
    prob = cx.ReLUProblem(X, y, cx.enumerate_patterns(X), beta, loss="hinge")
    assert cx.is_unique(prob, cx.solve(prob)) is None


def random_problem(seed: int) -> Problem | None:
    """Small integers more often than not: ties, equal rows and equal prices."""
    rng = np.random.default_rng(seed)
    n, d = int(rng.integers(2, 9)), int(rng.integers(1, 4))
    X = rng.standard_normal((n, d))
    if rng.random() < 0.7:
        X = rng.integers(-2, 3, (n, d)).astype(float)
    loss = LOSSES[int(rng.integers(4))]
    y = rng.integers(-2, 3, n).astype(float)
    if loss in ("logistic", "squared_hinge"):
        y = np.where(rng.random(n) < 0.5, -1.0, 1.0)
    offset = bool(rng.random() < 0.3)
    weight = rng.integers(0, 3, n) if rng.random() < 0.2 else np.ones(n)
    if not X.any() or not weight.any() or (loss == "logistic" and len(set(y[weight > 0])) < 2):
        return None
    cells = cx.enumerate_patterns(X)
    cells = cells[np.flatnonzero(cells.to_dense()[:, X.any(axis=1)].any(axis=1))]
    options: dict[str, Any] = {"loss": loss, "output_offset": offset, "sample_weight": weight}
    kind = int(rng.integers(4))
    prob: Problem = cx.GatedReLUProblem(X, y, cells, 1.0, **options)
    if kind:
        activation = ["relu", "leaky_relu", "abs"][kind - 1]
        prob = cx.ReLUProblem(X, y, cells, 1.0, activation=activation, slope=0.1, **options)
    beta = prob.beta_max * float(rng.choice([0.02, 0.2, 0.6]))
    return prob.with_beta(beta) if beta > 1e-9 else None


def compare(seeds: range) -> Counter[bool | None]:
    """Answers for random problems, each compared with the linear programs."""
    answers: Counter[bool | None] = Counter()
    for seed in seeds:
        prob = random_problem(seed)
        if prob is None:
            continue
        answer = cx.is_unique(prob, cx.solve(prob))
        answers[answer] += 1
        many = widest_range(prob) > 1e-5
        if prob.loss.name in ("huber", "squared_hinge"):
            assert not (answer is True and many)  # False where only the fit differs
        else:
            assert answer is None or answer is not many, seed
    return answers


def test_random_problems() -> None:
    answers = compare(range(30))
    assert answers[True] > 15
    assert answers[False] > 0
    assert answers[None] < 5


@pytest.mark.slow
def test_many_random_problems() -> None:
    answers = compare(range(100, 2000))
    assert answers[None] < 0.05 * answers.total()


@pytest.mark.parametrize("loss", WITH_OFFSET)
@pytest.mark.parametrize("offset", [False, True])
def test_gaussian_data_have_unique_optima(loss: str, offset: bool) -> None:
    X, y, beta = gaussian_task(40, 4, 0, loss)
    cells = cx.sample_patterns(X, 100)
    for prob in (
        cx.GatedReLUProblem(X, y, cells, 0.3 * beta, loss=loss, output_offset=offset),
        cx.ReLUProblem(X, y, cells, 0.3 * beta, loss=loss, output_offset=offset),
    ):
        assert cx.is_unique(prob, cx.solve(prob)) is True


def test_fits_that_differ_where_the_loss_is_zero() -> None:
    """Two rows in the squared hinge: the second may be beyond its margin at any distance."""
    X, y = np.array([[1.0], [1.0]]), np.array([1.0, 1.0])
    patterns = cx.PatternSet.from_dense([[True, False], [True, True]])
    prob = cx.GatedReLUProblem(X, y, patterns, 0.1, loss="squared_hinge", sample_weight=[1.0, 0.0])
    # The second row does not count: it may be on or off.
    assert cx.is_unique(prob, cx.solve(prob)) is False


def test_equal_patterns_are_one_neuron() -> None:
    X, y = DATA["F1"][:2]
    cells = every_pattern(X)
    twice = cx.PatternSet.from_dense(np.vstack([cells.to_dense()] * 2))
    prob = cx.GatedReLUProblem(X, y, twice, 0.5)
    assert cx.is_unique(prob, cx.solve(prob)) is True
    relu = cx.ReLUProblem(X, y, twice, 0.5)
    assert cx.is_unique(relu, cx.solve(relu)) is True
    # With different weights only the cheaper ones are ever used.
    weight = np.repeat([1.0, 1.5], len(cells))
    prob = cx.GatedReLUProblem(X, y, twice, 0.5, pattern_weight=weight)
    assert cx.is_unique(prob, cx.solve(prob)) is True


def test_opposite_neurons_of_abs_are_one() -> None:
    """The one neuron is on a row's hyperplane, so that it is in one cell and its opposite too."""
    X, y = np.array([[1.0, 0.0], [0.0, 1.0], [-1.0, 2.0]]), np.array([2.0, -1.0, 2.0])
    prob = cx.ReLUProblem(X, y, cx.enumerate_patterns(X), 0.3, activation="abs")
    assert cx.is_unique(prob, cx.solve(prob)) is (widest_range(prob) < 1e-5)


def test_no_neurons_at_all_are_unique() -> None:
    X, y = DATA["F1"][:2]
    for offset in (False, True):
        prob = cx.ReLUProblem(X, y, cx.enumerate_patterns(X), 1.0, output_offset=offset)
        for factor in (1.0, 1.5):
            high = prob.with_beta(factor * prob.beta_max)
            assert cx.is_unique(high, cx.solve(high)) is True


def test_a_direction_that_nothing_holds_is_not_sure() -> None:
    """The second row has no residual: a change of it by anything turns the neuron one way."""
    prob = cx.ReLUProblem(np.eye(2), [1.0, 0.0], cx.enumerate_patterns(np.eye(2)), 0.1)
    assert cx.is_unique(prob, cx.solve(prob)) is None
    prob = cx.ReLUProblem(np.eye(2), [1.0, -0.01], cx.enumerate_patterns(np.eye(2)), 0.1)
    assert cx.is_unique(prob, cx.solve(prob)) is True


def test_rows_that_are_nearly_equal_cannot_be_told() -> None:
    answers = []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        X = rng.standard_normal((8, 2))
        X[4:] = X[:4] + 1e-7 * rng.standard_normal((4, 2))
        prob = cx.ReLUProblem(X, rng.standard_normal(8), cx.enumerate_patterns(X), 0.05)
        answers.append(cx.is_unique(prob, cx.solve(prob)))
    assert answers.count(None) > 10
    assert False not in answers


def test_a_bad_solution_is_refined_and_a_wrong_one_refused() -> None:
    X, y = DATA["F4"][:2]
    prob = cx.ReLUProblem(X, y, cx.enumerate_patterns(X), 0.1)
    sol = cx.solve(prob)
    bad = dataclasses.replace(sol, coef=cx.SparseBlocks.from_dense(0 * sol.coef.to_dense()))
    bad = dataclasses.replace(bad, objective=prob.objective_at_zero, dual_objective=0.0)
    assert cx.is_unique(prob, bad) is True
    with pytest.raises(ValueError, match="`sol` must be a solution of `prob`, with coefficients"):
        cx.is_unique(cx.ReLUProblem(X, y, every_pattern(X)[:3], 0.1), sol)
    with pytest.raises(TypeError, match="`sol` must be a Solution, got int"):
        cx.is_unique(prob, 3)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="`prob` must be a GatedReLUProblem or a ReLUProblem, got"):
        cx.is_unique(3, sol)  # type: ignore[arg-type]


def test_a_dual_point_outside_of_the_domain_tells_nothing() -> None:
    X, y, beta = gaussian_task(20, 3, 0, "logistic")
    prob = cx.GatedReLUProblem(X, y, cx.sample_patterns(X, 20), beta, loss="logistic")
    sol = cx.solve(prob)
    wrong = dataclasses.replace(sol, dual=-sol.dual, dual_objective=sol.objective)
    assert cx.is_unique(prob, wrong) is None


def test_any_scale() -> None:
    X, y = DATA["F4"][:2]
    for factor in (1e-40, 1e40):
        prob = cx.ReLUProblem(factor * X, y, cx.enumerate_patterns(X), 0.1 * factor)
        assert cx.is_unique(prob, cx.solve(prob)) is True


def test_a_ridge_leaves_one_optimum() -> None:
    X, y = np.array([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [0.0, -1.0]]), np.ones(4)
    plain = cx.ReLUProblem(X, y, cx.enumerate_patterns(X), beta=0.1)
    assert cx.is_unique(plain, cx.solve(plain)) is False
    bent = cx.ReLUProblem(X, y, cx.enumerate_patterns(X), beta=0.1, ridge=0.01)
    assert cx.is_unique(bent, cx.solve(bent)) is True


@pytest.mark.parametrize("skip", [0.0, 1.0])
def test_linear_parts_are_refused(skip: float) -> None:
    X, y, patterns = cx.datasets.ar(40, 3, 20)
    prob = cx.GatedReLUProblem(X, y, patterns, 1.0, skip=skip)
    with pytest.raises(NotImplementedError, match=f"`skip` = {skip:g} is not available yet"):
        cx.is_unique(prob, cx.solve(prob))
