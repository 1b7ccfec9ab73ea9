"""train and certify on data and networks that are made to mislead them."""

from __future__ import annotations

import time
import warnings
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer, load_diabetes
from sklearn.exceptions import ConvergenceWarning
from sklearn.preprocessing import StandardScaler

import pyconvexnn as cx
from pyconvexnn._typing import FloatArray
from tests.training.problems import LOSSES, check, gaussian_task, late, optimum


def perturbed(
    net: cx.TwoLayerNetwork, how: str, t: float, rng: np.random.Generator
) -> cx.TwoLayerNetwork:
    """A network that is worse by more the larger t is."""
    W1, W2 = net.W1.copy(), net.W2.copy()
    if how == "noise":
        W1 += t * rng.standard_normal(W1.shape)
    elif how == "unbalanced":
        W1, W2 = W1 * (1 + t), W2 / (1 + t)  # the same function
    elif how == "useless neuron":
        W1, W2 = np.vstack([W1, t * np.ones(W1.shape[1])]), np.vstack([W2, [[0.0]]])
    elif how == "missing neuron":
        keep = np.argsort(-np.abs(W2[:, 0]))
        W1, W2 = W1[keep], W2[keep]
        W1[-1] *= max(1 - t, 0.0)
    return cx.TwoLayerNetwork.from_arrays(W1, W2)


@pytest.mark.parametrize("how", ["noise", "unbalanced", "useless neuron", "missing neuron"])
@pytest.mark.parametrize("rtol", [1e-2, 1e-4])
def test_worse_networks_are_not_called_optimal(how: str, rtol: float) -> None:
    X, y, beta = gaussian_task(20, 3, 6)
    net = cx.train(X, y, beta, rtol=1e-8).network
    best, t = net.objective(X, y, beta), 1e-4
    while t < 1e3:
        worse = perturbed(net, how, t, np.random.default_rng(0))
        if worse.objective(X, y, beta) > best * (1 + 2 * rtol):
            break
        t *= 1.2
    assert worse.objective(X, y, beta) > best * (1 + 2 * rtol)
    for improve in (True, False):
        cert = cx.certify(worse, X, y, beta, rtol=rtol, improve=improve)
        assert not cert.is_optimal
        assert cert.lower_bound <= best
        assert cert.objective >= worse.objective(X, y, beta)
    assert cx.certify(net, X, y, beta, rtol=rtol).is_optimal


def quietly(*args: Any, **options: Any) -> cx.Fit:
    """Fit that may end without a proof, which its status must then say."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        fit = cx.train(*args, **options)
    assert (fit.status is cx.Status.SOLVED) == fit.certificate.is_optimal
    return fit


@pytest.mark.parametrize("exponent", [-6, -3, 3, 6])
def test_columns_in_any_units(exponent: int) -> None:
    X, y, beta = gaussian_task(14, 3, 1)
    scale = np.array([10.0**exponent, 1.0, 10.0**-exponent])
    for factors in (scale, np.full(3, 10.0**exponent)):
        Z, b = X * factors, beta * float(np.max(factors))
        fit = quietly(Z, y, b, rtol=1e-5)
        check(fit, Z, y, b, optimum(Z, y, b))


DATA: dict[str, FloatArray] = {
    "constant column": np.column_stack([gaussian_task(12, 3, 2)[0], np.full(12, 7.0)])[
        :, [0, 1, 3]
    ],
    "only constant columns": np.ones((12, 2)),
    "duplicated rows": gaussian_task(12, 3, 2)[0][np.arange(12) // 2],
    "opposite rows": gaussian_task(12, 3, 2)[0] * np.where(np.arange(12) % 2, -1.0, 1.0)[:, None],
    "integers": np.random.default_rng(1).integers(-1, 2, (12, 3)).astype(float),
    "fewer rows than columns": np.random.default_rng(2).standard_normal((12, 30)),
    "far from zero": gaussian_task(12, 3, 2)[0] + 1000.0,
    "nearly dependent": gaussian_task(12, 3, 2)[0] @ np.diag([1.0, 1.0, 1e-9]),
    "one column": gaussian_task(12, 3, 2)[0][:, :1],
}


@pytest.mark.parametrize("name", DATA)
@pytest.mark.parametrize("ratio", [0.5, 0.05])
def test_degenerate_data(name: str, ratio: float) -> None:
    X = DATA[name][:7] if name == "fewer rows than columns" else DATA[name]
    y = gaussian_task(12, 3, 2)[1][: len(X)]
    beta = ratio * cx.beta_max(X, y).value
    fit = quietly(X, y, beta, rtol=1e-6, time_limit=20.0)
    Z = X @ np.linalg.qr(X.T)[0] if len(X) < X.shape[1] else X
    check(fit, X, y, beta, optimum(Z, y, beta))


def test_one_row() -> None:
    X = np.array([[1.0, -2.0, 0.5]])
    for loss in LOSSES:
        y = np.array([4.0 if loss == "poisson" else 1.0])
        fit = cx.train(X, y, 0.1, loss=loss)
        check(fit, X, y, 0.1, optimum(X @ X.T / 5.25**0.5, y, 0.1, loss=loss), loss=loss)
        assert fit.network.n_neurons == 1
    fit = cx.train(X, np.ones(1), 0.1, loss="poisson")  # exp(0) = 1
    assert fit.network.n_neurons == 0
    assert fit.certificate.is_optimal
    y = np.array([1.0])
    fit = cx.train(X, y, 0.1, output_offset=True)  # the offset alone fits it
    assert fit.network.n_neurons == 0
    assert fit.certificate.is_optimal
    assert fit.certificate.objective <= 1e-12
    with pytest.raises(ValueError, match=r"`y` must hold both -1 and \+1"):
        cx.train(X, y, 0.1, loss="logistic", output_offset=True)


def test_targets_of_zero_and_large_penalties() -> None:
    X, y, _ = gaussian_task(15, 3, 3)
    for target, beta in ((0 * y, 1e-3), (y, 1.01 * cx.beta_max(X, y).upper_bound), (y, 1e12)):
        fit = cx.train(X, target, beta)
        assert fit.network.n_neurons == 0
        assert fit.certificate.is_optimal
        assert cx.certify(fit.network, X, target, beta).is_optimal


@pytest.mark.parametrize("ratio", [1e-3, 1e-5, 1e-8])
def test_tiny_penalties(ratio: float) -> None:
    X, y, _ = gaussian_task(10, 3, 4)
    beta = ratio * cx.beta_max(X, y).value
    start = time.perf_counter()
    fit = quietly(X, y, beta, time_limit=3.0)
    assert time.perf_counter() - start < 3.5
    cert = fit.certificate
    assert 0.0 <= cert.lower_bound <= cert.objective <= 0.5 * y @ y
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        best = cx.solve(cx.ReLUProblem(X, y, cx.enumerate_patterns(X), beta), tol=1e-7)
    assert cert.lower_bound <= best.objective * (1 + 1e-8)
    assert cert.objective >= best.dual_objective * (1 - 1e-8)
    if cert.is_optimal:
        assert cert.objective <= best.objective * (1 + 2e-4)


def test_weights_of_any_size() -> None:
    X, y, beta = gaussian_task(20, 3, 4, "logistic")
    for weight in (1e-6, 1e6):
        fit = cx.train(
            X, y, beta * weight, loss="logistic", sample_weight=np.full(20, weight), rtol=1e-5
        )
        best = optimum(X, y, beta, loss="logistic")
        assert fit.certificate.is_optimal
        assert fit.certificate.objective == pytest.approx(best * weight, rel=2e-5)
        assert fit.certificate.lower_bound <= best * weight * (1 + 1e-8)


@pytest.mark.parametrize(
    ("n", "d", "limit"),
    [(400, 6, 0.5), (2000, 10, 1.0), pytest.param(20_000, 30, 3.0, marks=pytest.mark.slow)],
)
def test_time_limits_hold(n: int, d: int, limit: float) -> None:
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((n, d)), rng.standard_normal(n)
    beta = 0.05 * float(np.linalg.norm(X.T @ y))
    fits, certs = [], []

    def train() -> None:
        fits.append(quietly(X, y, beta, time_limit=limit, rtol=1e-8))

    def certify() -> None:
        certs.append(cx.certify(fits[-1].network, X, y, beta, time_limit=limit, rtol=1e-8))

    assert late(train, limit) < 0.5
    assert late(certify, limit) < 0.5
    for cert in (*(fit.certificate for fit in fits), *certs):
        assert 0.0 < cert.lower_bound < cert.objective


@pytest.mark.slow
@pytest.mark.parametrize("name", ["diabetes", "breast_cancer"])
def test_real_data_with_all_features(name: str) -> None:
    X, y = (load_diabetes if name == "diabetes" else load_breast_cancer)(return_X_y=True)
    X = np.column_stack([StandardScaler().fit_transform(X), np.ones(len(X))])
    loss = "squared" if name == "diabetes" else "logistic"
    y = (y - y.mean()) / y.std() if name == "diabetes" else 2.0 * y - 1.0
    beta = 0.1 * cx.beta_max(X, y, loss=loss, time_limit=1.0).value
    start = time.perf_counter()
    fit = quietly(X, y, beta, loss=loss, time_limit=5.0)
    assert time.perf_counter() - start < 5.5
    cert = fit.certificate
    again = cx.certify(fit.network, X, y, beta, loss=loss, time_limit=5.0)
    assert time.perf_counter() - start < 11.0
    for proof in (cert, again):
        lines = str(proof).splitlines()
        assert [line.split(":")[0] for line in lines] == [
            "over the patterns looked at",
            "best neuron found outside",
            "over all networks",
        ]
        assert 0.0 < proof.lower_bound <= proof.objective
        assert proof.method in ("bound", "branch_and_bound")
        assert proof.is_optimal == (proof.relative_gap <= proof.rtol)
    assert cert.restricted_bound is not None
    # Over the patterns that were looked at it is close to the best.
    assert cert.objective <= cert.restricted_bound * (1 + 1e-2)


def exact_objective(
    net: cx.TwoLayerNetwork, X: FloatArray, y: FloatArray, beta: float, *, b2: float
) -> Fraction:
    """Objective for the squared loss in rational numbers."""
    rows, W1 = ([[Fraction(x) for x in row] for row in A.tolist()] for A in (X, net.W1))
    W2 = [Fraction(a) for a in net.W2[:, 0].tolist()]
    total = Fraction(0)
    for row, target in zip(rows, y.tolist(), strict=True):
        hidden = [sum(a * b for a, b in zip(row, w, strict=True)) for w in W1]
        output = sum(max(h, 0) * a for h, a in zip(hidden, W2, strict=True)) + Fraction(b2)
        total += (output - Fraction(target)) ** 2
    return (total + Fraction(beta) * sum(a * a for a in [*W2, *(b for w in W1 for b in w)])) / 2


@pytest.mark.parametrize("seed", range(10))
def test_no_escape_is_told_that_is_rounding_of_far_targets(seed: int) -> None:
    rng = np.random.default_rng(seed)
    X = rng.choice([-1.0, 1.0], (10, 2))
    y = 1e7 + rng.standard_normal(10)
    fit = cx.train(X, y, 0.3, output_offset=True, rtol=1e-2)
    if fit.certificate.escape_neuron is None:
        return
    u, alpha = fit.certificate.escape_neuron
    assert fit.network.b2 is not None
    net, b2, root = fit.network, float(fit.network.b2[0]), abs(alpha) ** 0.5
    more = cx.TwoLayerNetwork.from_arrays(
        np.vstack([net.W1, root * u]), np.vstack([net.W2, [[np.copysign(root, alpha)]]])
    )
    before = exact_objective(net, X, y, 0.3, b2=b2)
    assert exact_objective(more, X, y, 0.3, b2=b2) < before


@pytest.mark.parametrize("loss", ["squared", "huber"])
def test_a_best_offset_may_be_tiny(loss: str) -> None:
    y = np.array([1.0, -1.0, 1e-70])
    X = np.array([[1.0, 2.0], [2.0, 1.0], [1.0, -1.0]])
    fit = cx.train(X, y, 10.0, loss=loss, output_offset=True)
    assert fit.certificate.is_optimal
    assert fit.network.n_neurons == 0
    assert fit.certificate.objective == pytest.approx(1.0)


def test_too_many_dimensions_for_a_proof() -> None:
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((50, 45)), rng.standard_normal(50)
    with pytest.warns(ConvergenceWarning, match=r"MAX_ITER.*raise rtol or beta.*relaxation"):
        fit = cx.train(X, y, 0.5 * cx.beta_max(X, y).value, rtol=1e-6)
    assert fit.status is cx.Status.MAX_ITER
    assert 0.0 < fit.certificate.lower_bound < fit.certificate.objective
