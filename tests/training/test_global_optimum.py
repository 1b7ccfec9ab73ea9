"""Trained networks and certificates against optima by routes that share nothing with them.

Clarabel on the program of all cells, SciPy's NNLS in every cell, SciPy's descent from 50 starts.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.optimize import nnls

import pyconvexnn as cx
from pyconvexnn._typing import FloatArray
from tests.relu_reference import clarabel
from tests.training.descent import descend
from tests.training.problems import OFFSETS, check, gaussian_task, optimum


def every_cell(X: FloatArray) -> cx.PatternSet:
    cells = cx.enumerate_patterns(X)
    return cells[np.flatnonzero(cells.to_dense().any(axis=1))]


def by_clarabel(X: FloatArray, y: FloatArray, beta: float) -> float:
    """Optimum of the program of all cells, at most 900 of them."""
    cells = every_cell(X)
    assert len(cells) <= 900
    return clarabel(cx.ReLUProblem(X, y, cells, beta).to_cvxpy())


def sizes(seed: int) -> tuple[int, int]:
    """(n, r) with at most 900 cells."""
    return (10 + seed % 21, 3) if seed % 2 else (8 + seed % 7, 4)


# Small in the suite; in the slow part all sizes.
PROBLEMS = [(6 + seed % 4, 3 if seed % 3 else 2, seed) for seed in range(10)]
LARGER = [(*sizes(seed), seed) for seed in range(10, 60)]


@pytest.mark.parametrize(
    ("n", "r", "seed"),
    [*PROBLEMS, *(pytest.param(*size, marks=pytest.mark.slow) for size in LARGER)],
)
def test_the_optimum_is_that_of_the_program_of_all_cells(n: int, r: int, seed: int) -> None:
    X, y, beta = gaussian_task(n, r, seed)
    beta *= (1.0, 0.3, 0.1)[seed % 3]
    fit = cx.train(X, y, beta, rtol=3e-7)
    best = by_clarabel(X, y, beta)
    cert = fit.certificate
    assert cert.is_optimal
    assert cert.objective == pytest.approx(best, rel=1e-6)
    # Clarabel's own accuracy is 1e-9 or, for some, 1e-8 and 1e-7; ours is proved.
    assert cert.lower_bound <= best * (1 + 1e-8)
    assert fit.network.objective(X, y, beta) == pytest.approx(cert.objective, rel=1e-13)
    check(fit, X, y, beta, optimum(X, y, beta))


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
    cert = cx.train(X, y, beta, rtol=1e-7).certificate
    price = largest_price(X, cert.dual, beta)
    assert price > 0.99 * beta  # the neurons of the network have prices of beta
    assert price <= cert.price_bound * (1 + 1e-12)
    assert price * cert.scale <= beta * (1 + 1e-12)
    assert price <= beta * (1 + 1e-6)


@pytest.mark.parametrize(
    ("n", "r", "m", "n_seeds"),
    [
        (25, 3, 6, 4),
        pytest.param(40, 3, 10, 50, marks=pytest.mark.slow),
        pytest.param(120, 3, 20, 50, marks=pytest.mark.slow),
        pytest.param(60, 4, 15, 50, marks=pytest.mark.slow),
    ],
)
def test_descent_never_ends_below_the_bound(n: int, r: int, m: int, n_seeds: int) -> None:
    X, y, beta = gaussian_task(n, r, n)
    beta *= 0.2
    fit = cx.train(X, y, beta)
    low = fit.certificate.lower_bound
    for seed in range(n_seeds):
        net, reached = descend(X, y, beta, m, seed)
        assert reached >= low
        check_escape(net, X, y, beta)
        if reached <= fit.certificate.objective * (1 + 1e-3):
            continue
        cert = cx.certify(net, X, y, beta, rtol=1e-3)
        assert not cert.is_optimal
        assert cert.best_objective is not None
        assert cert.best_network is not None
        assert cert.best_objective < reached * (1 - 0.9e-3)
        assert cert.best_network.objective(X, y, beta) <= cert.best_objective
        assert cert.best_objective - cert.lower_bound <= 1e-3 * cert.best_objective
    # Stopped early, they are all worse.
    net, reached = descend(X, y, beta, m, 0, most=20)
    assert reached > fit.certificate.objective * (1 + 1e-3)
    check_escape(net, X, y, beta)


def check_escape(net: cx.TwoLayerNetwork, X: FloatArray, y: FloatArray, beta: float) -> None:
    """A price that is attained above beta comes with a neuron that lowers the objective."""
    own = cx.certify(net, X, y, beta, improve=False, rtol=1e-3)
    v = y - net.predict(X)
    assert own.price_found <= own.price_bound
    if own.price_found <= beta * (1 + 1e-3):
        return
    assert own.escape_neuron is not None
    u, alpha = own.escape_neuron
    assert np.sign(alpha) * (v @ np.maximum(X @ u, 0)) > beta
    root = abs(alpha) ** 0.5
    more = cx.TwoLayerNetwork.from_arrays(
        np.vstack([net.W1, root * u]), np.vstack([net.W2, [[np.copysign(root, alpha)]]])
    )
    before, after = net.objective(X, y, beta), more.objective(X, y, beta)
    assert after < before
    assert before - after == pytest.approx(own.escape_gain, rel=1e-6)


@pytest.mark.parametrize("seed", range(6))
def test_escape_neurons_of_random_networks(seed: int) -> None:
    X, y, beta = gaussian_task(30 + 20 * seed, 2 + seed % 3, seed)
    rng = np.random.default_rng(seed)
    W1, W2 = rng.standard_normal((4, X.shape[1])), rng.standard_normal((4, 1))
    check_escape(cx.TwoLayerNetwork.from_arrays(W1, W2), X, y, 0.3 * beta)


@pytest.mark.parametrize(
    ("n", "r"),
    [(60, 3), *(pytest.param(n, r, marks=pytest.mark.slow) for n in (100, 200) for r in (2, 3, 4))],
)
def test_certify_closes_the_gap_of_any_network(n: int, r: int) -> None:
    X, y, beta = gaussian_task(n, r, n + r)
    for factor, m, most in ((1.0, 5, 30), (0.1, 20, 200)):
        net, _ = descend(X, y, factor * beta, m, 0, most=most)
        cert = cx.certify(net, X, y, factor * beta, rtol=1e-3)
        assert cert.best_objective is not None
        assert 0 <= cert.best_objective - cert.lower_bound <= 1e-3 * cert.best_objective


SCENARIOS = [(f, s, o) for f, o in OFFSETS for s in ("relu", "leaky_relu", "abs")]


@pytest.mark.slow
@pytest.mark.parametrize(("loss", "activation", "output_offset"), SCENARIOS)
def test_losses_activations_and_offsets(loss: str, activation: str, output_offset: bool) -> None:
    for seed in range(3):
        X, y, beta = gaussian_task(14, 3, seed, loss)
        kind: dict[str, Any] = {"activation": activation, "output_offset": output_offset}
        beta *= (0.5, 0.1, 0.02)[seed]
        fit = cx.train(X, y, beta, loss=loss, rtol=1e-6, **kind)
        check(fit, X, y, beta, optimum(X, y, beta, loss=loss, **kind), loss=loss)
