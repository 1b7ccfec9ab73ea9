"""Verification from raw data, which must see through a wrong solution; the certificate object."""

from __future__ import annotations

import copy
import dataclasses
import math
import pickle
from typing import Any

import numpy as np
import pytest

import pyconvexnn as cx
from pyconvexnn.certificates import fingerprint
from pyconvexnn.losses import Huber, Squared
from pyconvexnn.problems import gated_relu

LOSSES = ["squared", "logistic"]


def random_problem(loss: str = "squared", beta: float | None = None) -> cx.GatedReLUProblem:
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((70, 4)), rng.standard_normal(70)
    return cx.GatedReLUProblem(
        X,
        np.sign(y) if loss == "logistic" else y,
        cx.sample_patterns(X, 30),
        beta or 2.0,
        loss=loss,
        sample_weight=rng.integers(0, 3, 70),
        pattern_weight=rng.uniform(0.5, 2, 30),
    )


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("tol", [1e-2, 1e-9])
def test_verify_recomputes_every_number(loss: str, tol: float) -> None:
    prob = random_problem(loss)
    sol = cx.solve(prob, tol=tol)
    checked = cx.verify(prob, sol)

    dense, s, v = prob.patterns.to_dense(), prob.sample_weight, sol.dual
    f = sum((d * (prob.X @ u) for d, u in zip(dense, sol.coef.to_dense(), strict=True)), 0.0 * v)
    penalty = prob.pattern_weight @ np.linalg.norm(sol.coef.to_dense(), axis=1)
    on = s > 0
    if loss == "squared":
        value = s @ (f - prob.y) ** 2 / 2
        dual = v @ prob.y - np.sum(v[on] ** 2 / s[on]) / 2
    else:
        value = s @ np.log1p(np.exp(-prob.y * f))
        p = (prob.y * v)[on] / s[on]
        dual = -s[on] @ (p * np.log(p) + (1 - p) * np.log(1 - p))
    objective = value + prob.beta * penalty
    assert checked.objective == pytest.approx(objective, rel=1e-12)
    assert checked.dual_objective == pytest.approx(dual, rel=1e-12)
    assert checked.gap == checked.objective - checked.dual_objective
    assert checked.relative_gap == checked.gap / checked.objective
    assert checked.relative_gap <= tol * (1 + 1e-9)
    prices = [
        np.linalg.norm(prob.X.T @ (d * v)) / (w * prob.beta)
        for d, w in zip(dense, prob.pattern_weight, strict=True)
    ]
    assert checked.infeasibility == pytest.approx(max(0.0, max(prices) - 1), abs=1e-14)
    assert checked.infeasibility <= 1e-12
    assert all(type(number) is float for number in checked)
    names = ("objective", "dual_objective", "gap", "relative_gap", "infeasibility")
    assert checked._fields == names


def test_verify_believes_nothing_that_the_solution_says() -> None:
    prob = random_problem()
    sol = cx.solve(prob, tol=1e-9)
    true = cx.verify(prob, sol)
    liar = dataclasses.replace(
        sol, objective=0.0, dual_objective=1e9, objective_at_zero=1e-9, n_iter=0, history=()
    )
    assert cx.verify(prob, liar) == true

    too_large = cx.verify(prob, dataclasses.replace(sol, dual=1.01 * sol.dual))
    assert too_large.infeasibility == pytest.approx(0.01, abs=1e-6)
    elsewhere = dataclasses.replace(sol, coef=cx.SparseBlocks.from_dense(2 * sol.coef.to_dense()))
    assert cx.verify(prob, elsewhere).objective > true.objective
    assert cx.verify(prob, elsewhere).relative_gap > 1e-2
    nothing = dataclasses.replace(
        sol, coef=cx.SparseBlocks.from_dense(np.zeros((30, 4))), dual=np.zeros(70)
    )
    at_zero = prob.sample_weight @ prob.y**2 / 2
    assert cx.verify(prob, nothing) == pytest.approx((at_zero, 0.0, at_zero, 1.0, 0.0))


def test_the_dual_point_of_another_penalty_proves_nothing() -> None:
    prob = random_problem(beta=1.0)
    check = cx.verify(prob.with_beta(0.1), cx.solve(prob))
    assert check.infeasibility > 1
    assert check.gap == check.relative_gap == math.inf


def test_verify_of_a_dual_point_outside_the_domain_of_the_loss() -> None:
    prob = random_problem("logistic")
    sol = cx.solve(prob)
    outside = cx.verify(prob, dataclasses.replace(sol, dual=-sol.dual))
    assert outside.dual_objective == -math.inf
    assert outside.gap == outside.relative_gap == math.inf


def test_verify_uses_no_compiled_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    prob = random_problem()
    sol = cx.solve(prob)
    expected = cx.verify(prob, sol)
    monkeypatch.setattr(gated_relu, "_core", None)
    assert cx.verify(prob, sol) == expected


@pytest.mark.parametrize("beta", [1e-20, 1e-100, 1e-119])
def test_verify_next_to_a_tiny_beta(beta: float) -> None:
    rng = np.random.default_rng(0)
    X = rng.standard_normal((10, 20))  # the data can be fitted exactly
    prob = cx.GatedReLUProblem(X, rng.standard_normal(10), cx.sample_patterns(X, 5), beta)
    sol = cx.solve(prob, tol=1e-6)
    checked = cx.verify(prob, sol)
    assert checked.objective == pytest.approx(sol.objective, abs=1e-20)
    assert 0 <= checked.dual_objective <= checked.objective
    assert checked.relative_gap <= 1e-6 * (1 + 1e-9)


def test_verify_wrong_arguments() -> None:
    prob = random_problem()
    sol = cx.solve(prob)
    short = dataclasses.replace(sol, dual=sol.dual[:-1])
    few = dataclasses.replace(sol, coef=cx.SparseBlocks.from_dense(np.ones((3, 4))))
    nan = dataclasses.replace(sol, dual=sol.dual * np.nan)
    cases: list[tuple[Any, Any, type[Exception], str]] = [
        (sol, sol, TypeError, "`prob` must be a GatedReLUProblem or a ReLUProblem, got Solution"),
        (prob, None, TypeError, "`sol` must be a Solution, got NoneType"),
        (prob, short, ValueError, "`v` must have 70 entries, got 69"),
        (prob, few, ValueError, "`coef` must have shape (30, 4), got (3, 4)"),
        (prob, nan, ValueError, "`v` must be finite, got NaN"),
    ]
    for first, second, kind, message in cases:
        with pytest.raises(kind) as error:
            cx.verify(first, second)
        assert str(error.value) == message


# --- the certificate ----------------------------------------------------------------------------


def certificate(objective: float, lower_bound: float, rtol: float = 1e-4) -> cx.Certificate:
    return cx.Certificate(objective, lower_bound, "patterns", rtol, np.array([0.5, -0.5]))


@pytest.mark.parametrize(
    ("objective", "bound", "relative", "optimal"),
    [
        (8.0, 6.0, 0.25, False),
        (8.0, 8.0, 0.0, True),
        (8.0, 8.0 * (1 - 1e-5), 1e-5, True),
        (8.0, 8.0 * (1 - 1e-3), 1e-3, False),
        (-8.0, -10.0, 0.25, False),
        (0.0, 0.0, 0.0, True),
        (0.0, -1e-30, math.inf, False),
        (5.0, -math.inf, math.inf, False),
        (5.0, 5.0 + 1e-12, 0.0, True),  # the bound may exceed the objective by rounding
    ],
)
def test_certificates(objective: float, bound: float, relative: float, optimal: bool) -> None:
    cert = certificate(objective, bound)
    assert cert.gap == objective - bound
    assert cert.relative_gap == pytest.approx(relative, abs=1e-11)
    assert cert.is_optimal is optimal


def test_an_objective_of_zero_is_judged_by_that_of_the_empty_network() -> None:
    cert = dataclasses.replace(certificate(0.0, -1e-12), objective_at_zero=100.0)
    assert cert.relative_gap == pytest.approx(1e-4)
    assert dataclasses.replace(cert, objective=8.0, lower_bound=6.0).relative_gap == 0.25


def test_optimal_means_at_most_rtol() -> None:
    assert certificate(1.0, 0.75, rtol=0.25).is_optimal
    assert not certificate(1.0, 0.75, rtol=0.2499).is_optimal


def test_a_certificate_is_frozen_and_pickles() -> None:
    cert = certificate(2.0, 1.5)
    with pytest.raises(dataclasses.FrozenInstanceError):
        cert.lower_bound = 2.0  # type: ignore[misc]
    assert repr(cert) == (
        "Certificate(objective=2.0, lower_bound=1.5, method='patterns', rtol=0.0001)"
    )
    for other in (copy.deepcopy(cert), pickle.loads(pickle.dumps(cert))):
        assert repr(other) == repr(cert)
        np.testing.assert_array_equal(other.dual, cert.dual)


def over_all(**changes: Any) -> cx.Certificate:
    """A certificate over all patterns."""
    cert = dataclasses.replace(
        certificate(2.0, 1.9998),
        method="enumeration",
        rtol=1e-3,
        beta=0.5,
        price_bound=0.5001,
        price_found=0.50005,
        scale=0.9998,
        restricted_bound=1.9999,
    )
    return dataclasses.replace(cert, **changes)


def test_only_a_proof_makes_optimal() -> None:
    assert over_all().is_optimal
    assert over_all(method="branch_and_bound").is_optimal
    assert over_all(method="bound").is_optimal
    assert not over_all(lower_bound=1.9).is_optimal
    # Whatever the numbers say: nothing bounds the price.
    assert not over_all(method="search").is_optimal
    assert not over_all(price_bound=math.inf).is_optimal
    assert not over_all(method="search", lower_bound=2.0, price_bound=0.5).is_optimal
    assert not over_all(lower_bound=math.nan).is_optimal
    assert not over_all(objective=math.inf, lower_bound=1.0).is_optimal


def test_a_certificate_tells_three_levels() -> None:
    patterns, found, proved = over_all().summary().splitlines()
    assert patterns == (
        "over the patterns looked at: objective 2, the best is at least 1.9999 "
        "(relative gap 5.0e-05)"
    )
    assert found == (
        "best neuron found outside: worth 1.0001 times its penalty, none that lowers the objective "
        "is known"
    )
    assert proved == (
        "over all networks: no objective is below 1.9998 (relative gap 1.0e-04: optimal to 0.001; "
        "every cell of the data was priced)"
    )
    assert str(over_all()) == over_all().summary()
    escape = over_all(
        lower_bound=1.0,
        escape_neuron=(np.ones(2), -1.0),
        escape_gain=0.25,
        escape_price=1.25,
        method="bound",
    ).summary()
    assert "worth 2.5 times its penalty, adding it lowers the objective by 0.25" in escape
    assert "(relative gap 5.0e-01: not proved optimal to 0.001; a relaxation)" in escape
    for unproved in (over_all(method="search"), over_all(price_bound=math.inf)):
        assert (
            unproved.summary().splitlines()[2].startswith("over all networks: nothing is proved (")
        )
    first, second, third = certificate(2.0, 1.5).summary().splitlines()
    assert "the best is at least 1.5 (relative gap 2.5e-01)" in first
    assert second == "best neuron found outside: none was looked for"
    assert third == "over all networks: nothing is proved, the bound is over the patterns only"
    every = dataclasses.replace(certificate(2.0, 1.5), complete=True)
    first, second, third = every.summary().splitlines()
    assert "the best is at least 1.5 (relative gap 2.5e-01)" in first
    assert second == "best neuron found outside: there is no pattern outside"
    assert third == (
        "over all networks: no objective is below 1.5 (relative gap 2.5e-01: not proved optimal to "
        "0.0001; the dual point of the solver, over every pattern of the data)"
    )
    # What says nothing of patterns is not more for it.
    assert over_all(complete=True).summary() == over_all().summary()
    assert "not compared" in over_all(restricted_bound=None).summary()
    better = over_all(objective=3.0, best_objective=2.0).summary()
    assert better.endswith("the best network met: objective 2, relative gap 1.0e-04")


def test_fingerprints_tell_problems_apart() -> None:
    X, y, w = np.eye(3), np.arange(3.0), np.ones(3)
    plain: dict[str, Any] = {
        "X": X,
        "y": y,
        "sample_weight": w,
        "beta": 1.0,
        "loss": Squared(),
        "activation": "relu",
        "slope": 0.01,
        "output_offset": False,
    }
    first = fingerprint(**plain)
    assert len(first) == 64
    assert fingerprint(**{**plain, "X": np.asfortranarray(X)}) == first
    changes: list[dict[str, Any]] = [
        {"X": X + 1e-16 * (X == 0)},
        {"y": y + 1},
        {"sample_weight": 2 * w},
        {"beta": 2.0},
        {"loss": Huber()},
        {"loss": Huber(2.0)},
        {"activation": "abs"},
        {"slope": 0.02},
        {"output_offset": True},
    ]
    assert len({first} | {fingerprint(**{**plain, **change}) for change in changes}) == 10
