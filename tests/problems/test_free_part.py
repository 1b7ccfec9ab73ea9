"""The part of a fit without penalty: least squares, conditions of optimality, and no optimum."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.optimize import linprog

import pyconvexnn as cx
from pyconvexnn.losses import get_loss
from pyconvexnn.problems.free_part import (
    _newton_step,
    best_free_part,
    columns,
    imbalance,
    orthonormal,
)
from tests.solvers.test_outputs import targets

RNG = np.random.default_rng(0)
X = RNG.standard_normal((30, 3))


def test_columns() -> None:
    assert columns(4, False, None).shape == (4, 0)
    np.testing.assert_array_equal(columns(4, True, None), np.ones((4, 1)))
    np.testing.assert_array_equal(columns(30, True, X), np.column_stack([np.ones(30), X]))


@pytest.mark.parametrize("K", [1, 3])
def test_the_squared_loss_is_least_squares(K: int) -> None:
    F, Y, s = RNG.standard_normal((30, K)), RNG.standard_normal((30, K)), RNG.uniform(0.1, 2, 30)
    Z = columns(30, True, X)
    f, y, w = (F[:, 0], Y[:, 0], s) if K == 1 else (F, Y, np.repeat(s[:, np.newaxis], K, axis=1))
    root = np.sqrt(s)[:, np.newaxis]
    expected = Z @ np.linalg.lstsq(root * Z, root * (Y - F), rcond=None)[0]
    found = best_free_part(cx.losses.Squared(), f, y, w, Z)
    np.testing.assert_allclose(found.reshape(30, K), expected, atol=1e-12)


@pytest.mark.parametrize(
    "loss", ["squared", "huber", "logistic", "squared_hinge", "poisson", "cross_entropy"]
)
@pytest.mark.parametrize("offset", [False, True])
def test_the_gradient_is_orthogonal_to_the_columns(loss: str, offset: bool) -> None:
    terms = cx.losses.get_loss(loss)
    K = 3 if terms.joint else 2
    Y = targets(RNG.standard_normal((30, K)), loss, np.random.default_rng(1))
    F, s = RNG.standard_normal((30, K)), np.repeat(RNG.uniform(0.5, 2, (30, 1)), K, axis=1)
    Z = columns(30, offset, X)
    free = best_free_part(terms, F, Y, s, Z)
    assert imbalance(terms.gradient(F + free, Y, s), Z) < 1e-11
    for _ in range(5):  # no other is better
        other = free + 0.1 * Z @ RNG.standard_normal((Z.shape[1], K))
        assert terms.value(F + free, Y, s) <= terms.value(F + other, Y, s)


def test_imbalance() -> None:
    assert imbalance(np.zeros(3), np.ones((3, 1))) == 0.0
    whole = 1.0 - 8 * 2.0**-53  # but for rounding
    assert imbalance(np.array([1.0, 1.0]), np.ones((2, 1))) == whole
    assert imbalance(np.array([[1.0, 1.0], [-1.0, 1.0]]), np.ones((2, 1))) == whole
    # A column that meets only what is rounding beside the others.
    z = np.array([[0.0], [0.0], [1.3]])
    assert imbalance(np.array([-0.5, 0.5, -5e-18]), z) == 0.0
    assert imbalance(np.array([-0.5, 0.5, -5e-12]), z) > 0.999
    assert imbalance(np.ones(3), np.zeros((3, 0))) == 0.0


@pytest.mark.parametrize("loss", ["logistic", "cross_entropy", "poisson"])
def test_what_falls_for_ever_is_an_error(loss: str) -> None:
    x = np.array([[1.0], [2.0], [-1.0], [-3.0]])
    y: Any = {
        "logistic": [1, 1, -1, -1],
        "cross_entropy": [0, 0, 1, 1],
        "poisson": [0, 0, 0, 0],
    }[loss]
    z = np.abs(x) if loss == "poisson" else x
    patterns = cx.PatternSet.from_dense([[1, 1, 0, 0]])
    with pytest.raises(ValueError, match=r"`skip` must be above 0, or None, where the linear part"):
        cx.GatedReLUProblem(z, y, patterns, 1.0, loss=loss, skip=0.0)
    cx.GatedReLUProblem(z, y, patterns, 1.0, loss=loss, skip=1e-3)


def test_dependent_columns_are_one() -> None:
    Z = np.column_stack([X, X @ [1.0, 2.0, 3.0], np.zeros(30)])
    y = RNG.standard_normal(30)
    free = best_free_part(cx.losses.Squared(), np.zeros(30), y, np.ones(30), Z)
    np.testing.assert_allclose(free, X @ np.linalg.lstsq(X, y, rcond=None)[0], atol=1e-12)


def test_a_large_fit_that_is_linear_is_undone() -> None:
    # From zero steps of one unit each would have to go 500 of them.
    rng = np.random.default_rng(0)
    Z = np.column_stack([np.ones(20), rng.standard_normal((20, 2))])
    y, s = rng.poisson(1, 20).astype(float), np.ones(20)
    f = rng.standard_normal(20)
    loss = get_loss("poisson")
    near = best_free_part(loss, f, y, s, Z)
    far = Z @ np.array([300.0, 400.0, -500.0])
    assert best_free_part(loss, f + far, y, s, Z) + far == pytest.approx(near, abs=1e-7)


def test_steps_are_not_lost_in_the_rounding_of_what_is_undone() -> None:
    Z, y = np.array([[0.4253336], [0.3867726], [0.1161832]]), np.array([0.0, 0.0, 2.0])
    loss, s = get_loss("poisson"), np.ones(3)
    f = -1.525e15 * Z[:, 0]
    free = best_free_part(loss, f, y, s, Z)
    least = loss.value(best_free_part(loss, 0 * f, y, s, Z), y, s)
    assert loss.value(f + free, y, s) == pytest.approx(least, abs=0.5)  # an ulp of f is 1/8


def test_a_fit_out_of_reach_is_no_separation() -> None:
    # Overlapping labels, and a fit whose steps need more than doubles have.
    Z, y = np.array([[1.0], [2.0], [-1.0], [1.5]]), np.array([1.0, 1.0, -1.0, -1.0])
    loss, s = get_loss("logistic"), np.ones(4)
    for f in (1e13 * np.array([1.0, -2.0, 3.0, 0.5]), 1e200 * np.array([0.0, 1.0, 0.0, -1.0])):
        free = best_free_part(loss, f, y, s, Z)
        assert loss.value(f + free, y, s) <= loss.value(f, y, s)


def test_huber_of_a_tiny_delta_is_least_absolute_deviations() -> None:
    rng = np.random.default_rng(0)
    Z, y, s = rng.standard_normal((25, 4)), 1e7 * rng.standard_cauchy(25), rng.uniform(0.5, 100, 25)
    free = best_free_part(get_loss(cx.losses.Huber(1e-3)), np.zeros(25), y, s, Z)
    # min s'(a + b) with Z c + a - b = y, a, b >= 0.
    cost = np.concatenate([np.zeros(4), s, s])
    A = np.hstack([Z, np.eye(25), -np.eye(25)])
    bounds = [(None, None)] * 4 + [(0, None)] * 50
    least = linprog(cost, A_eq=A, b_eq=y, bounds=bounds).fun
    assert s @ np.abs(free - y) == pytest.approx(least, rel=1e-9)


def test_an_optimum_far_away_is_found() -> None:
    # Of one row against all others, with labels that a line does not separate.
    Z = np.column_stack([np.linspace(-1, 1, 12), np.ones(12)])
    y = np.sign(Z[:, 0] + 0.01)
    y[2], s, loss = -y[2], np.ones(12), get_loss("logistic")
    f = 30.0 * y * (np.arange(12) != 2)
    free = best_free_part(loss, f, y, s, Z)
    assert imbalance(loss.gradient(f + free, y, s), orthonormal(Z)) < 1e-10


def test_overflow_of_counts_is_silent() -> None:
    y, s = np.array([0.0, 1.0, 2.0]), np.full(3, 1e7)
    with np.errstate(all="raise", under="ignore"):
        assert get_loss("poisson").value(np.full(3, 709.0), y, s) == np.inf


def test_newton_steps_of_several_classes() -> None:
    # H of the cross entropy by sums over samples: diag(h) - h h' / sum h, one class left out.
    rng = np.random.default_rng(0)
    loss, Z = get_loss("cross_entropy"), np.linalg.qr(rng.standard_normal((9, 2)))[0]
    f, s = rng.standard_normal((9, 4)), np.tile(rng.random((9, 1)), (1, 4))
    y = np.eye(4)[rng.integers(0, 4, 9)]
    g, p = loss.gradient(f, y, s), np.exp(f) / np.exp(f).sum(axis=1, keepdims=True)
    H = np.zeros((6, 6))
    for z, q, weight in zip(Z, p[:, :3], s[:, 0], strict=True):
        H += weight * np.kron(np.diag(q) - np.outer(q, q), np.outer(z, z))
    step = np.zeros((9, 4))
    step[:, :3] = Z @ np.linalg.solve(H, (Z.T @ g[:, :3]).T.ravel()).reshape(3, 2).T
    found = _newton_step(loss, f, y, s, Z, g, 1e-15)
    assert found == pytest.approx(step, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("loss", ["squared", "huber", "squared_hinge"])
@pytest.mark.parametrize("skip", [None, 0.1])
def test_equal_targets_are_fitted_by_an_offset_exactly(loss: str, skip: float | None) -> None:
    # Whatever else is penalised: the least objective is zero, not the square of a rounding.
    for seed in range(20):
        rng = np.random.default_rng(seed)
        y = np.full(30, 1.0 if loss == "squared_hinge" else rng.standard_normal())
        prob = cx.GatedReLUProblem(
            X,
            y,
            cx.sample_patterns(X, 5),
            1.0,
            loss=loss,
            sample_weight=rng.uniform(0.1, 100.0, 30),
            output_offset=True,
            skip=skip,
        )
        assert prob.objective_at_zero == 0.0
