"""Optima by routes that share nothing with train: Clarabel, SciPy's NNLS in every cell, descent."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize, nnls

import pyconvexnn as cx
from pyconvexnn._typing import FloatArray
from tests.relu_reference import clarabel
from tests.training.problems import check, gaussian_task, optimum


def every_cell(X: FloatArray) -> cx.PatternSet:
    cells = cx.enumerate_patterns(X)
    return cells[np.flatnonzero(cells.to_dense().any(axis=1))]


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(60))
def test_the_program_of_all_cells(seed: int) -> None:
    n, r = (10 + seed % 21, 3) if seed % 2 else (8 + seed % 7, 4)
    X, y, beta = gaussian_task(n, r, seed)
    beta *= (1.0, 0.3, 0.1)[seed % 3]
    fit = cx.train(X, y, beta, rtol=3e-7)
    check(fit, X, y, beta, optimum(X, y, beta))
    if len(cells := every_cell(X)) < 200:
        best = clarabel(cx.ReLUProblem(X, y, cells, beta).to_cvxpy())
        assert fit.certificate.objective == pytest.approx(best, rel=1e-6)


def largest_price(X: FloatArray, v: FloatArray, beta: float) -> float:
    """Largest price of all cells and signs, by NNLS; cells surely below beta are skipped."""
    largest = 0.0
    for mask in every_cell(X).to_dense():
        g = X.T @ (mask * v)
        if np.linalg.norm(g) > beta:
            S = np.where(mask, 1.0, -1.0)[:, np.newaxis] * X
            largest = max(largest, *(nnls(S.T, -sign * g)[1] for sign in (1.0, -1.0)))
    return largest


@pytest.mark.parametrize(("n", "r"), [(15, 3), pytest.param(30, 4, marks=pytest.mark.slow)])
def test_no_cell_has_a_neuron_that_pays(n: int, r: int) -> None:
    X, y, beta = gaussian_task(n, r, 11)
    fit = cx.train(X, y, beta, rtol=1e-7)
    cert = fit.certificate
    price = largest_price(X, cert.dual, beta)
    assert price <= cert.price_bound
    assert price * cert.scale <= beta
    assert price <= beta * (1 + 1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("kind", range(3))
def test_descent_from_50_starts(kind: int) -> None:
    n, r, m = ((40, 3, 10), (120, 3, 20), (60, 4, 15))[kind]
    X, y, beta = gaussian_task(n, r, kind)
    fit = cx.train(X, y, beta)
    low = fit.certificate.lower_bound
    worse = 0

    def objective(w: FloatArray) -> tuple[float, FloatArray]:
        U, a = w[: m * r].reshape(m, r), w[m * r :]
        H = np.maximum(X @ U.T, 0)
        e = H @ a - y
        G = ((e[:, np.newaxis] * a) * (H > 0)).T @ X + beta * U
        return 0.5 * float(e @ e) + 0.5 * beta * float(w @ w), np.append(G, H.T @ e + beta * a)

    for seed in range(50):
        w = np.random.default_rng(seed).standard_normal(m * (r + 1))
        found = minimize(objective, w, jac=True, method="L-BFGS-B", options={"maxiter": 2000})
        assert found.fun >= low
        if found.fun > fit.certificate.objective * (1 + 1e-3) and worse < 5:
            worse += 1
            U, a = found.x[: m * r].reshape(m, r), found.x[m * r :]
            net = cx.TwoLayerNetwork.from_arrays(U, a[:, np.newaxis])
            cert = cx.certify(net, X, y, beta, rtol=1e-3)
            assert not cert.is_optimal
            assert cert.best_objective is not None
            assert cert.best_objective < found.fun * (1 - 0.9e-3)
            assert cert.best_objective - cert.lower_bound <= 1e-3 * cert.best_objective
            own = cx.certify(net, X, y, beta, improve=False, rtol=1e-3)
            assert own.lower_bound <= low * (1 + 1e-3)
            if own.price_found > beta * (1 + 1e-3):
                assert own.escape_neuron is not None
                assert own.escape_gain > 0
