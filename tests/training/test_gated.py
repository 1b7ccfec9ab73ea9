"""Certificates of networks with gates, against the programs over their patterns."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import pyconvexnn as cx
from pyconvexnn._rounding import WrongProductError
from pyconvexnn.training.gated import _Checked
from tests.test_matrix_networks import LOSSES, data, make, problem, targets


def with_ones(X: Any) -> Any:
    return np.column_stack([X, np.ones(len(X))])


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("offset", [False, True])
def test_a_network_of_matrices_far_from_the_best(loss: str, offset: bool) -> None:
    offset = offset and loss != "hinge"  # which has none
    net, X, Y = make(8, K=3, offset=offset), data(30), targets(loss, 30, 3)
    s = np.random.default_rng(1).uniform(0.2, 2, 30)
    options: dict[str, Any] = {"loss": loss, "sample_weight": s}
    cert = cx.certify(net, X, Y, 0.7, **options)
    prob = cx.GatedReLUProblem(
        X, Y, cx.PatternSet.from_gates(X, net.gates), 0.7, output_offset=offset, **options
    )
    sol = cx.solve(prob, tol=1e-9)
    assert cert.method == "patterns"
    assert not cert.is_optimal
    assert cert.objective == net.objective(X, Y, 0.7, **options)
    assert sol.objective * (1 - 1.1e-5) <= cert.lower_bound <= sol.objective * (1 + 1e-12)
    assert cert.dual.shape == (30, 3)
    assert prob.dual_infeasibility(cert.dual) <= 1e-12
    assert prob.dual_objective(cert.dual) == cert.lower_bound
    best: Any = cert.best_network
    assert best.objective(X, Y, 0.7, **options) == cert.best_objective
    assert cert.best_objective == pytest.approx(sol.objective, rel=1.1e-5)
    again = cx.certify(best, X, Y, 0.7, **options)
    assert again.is_optimal
    assert "over the patterns only" in str(again)
    as_it_is = cx.certify(net, X, Y, 0.7, **options, improve=False, method="patterns")
    assert as_it_is.best_network is net
    assert as_it_is.lower_bound == cert.lower_bound


@pytest.mark.parametrize("loss", LOSSES)
def test_what_training_found_is_optimal(loss: str) -> None:
    prob = problem(loss, 2, output_offset=loss != "hinge")
    sol = cx.solve(prob, tol=1e-6)
    net = cx.recover(prob, sol)
    cert = cx.certify(net, prob.X, prob.y, prob.beta, loss=loss)
    assert cert.is_optimal
    assert cert.objective == pytest.approx(sol.objective, rel=1e-12)
    # Over fewer gates, those of the network, the best is no better.
    assert cert.lower_bound >= sol.dual_objective * (1 - 2e-5)
    fine: Any = cx.certify(net, prob.X, prob.y, prob.beta, loss=loss, rtol=1e-9)
    assert fine.best_objective - fine.lower_bound <= 1e-9 * fine.objective


def test_one_output_with_hidden_biases() -> None:
    rng = np.random.default_rng(3)
    X, gates = data(40), rng.standard_normal((9, 3))
    gates[4] = 2.0 * gates[1]  # of one pattern
    y = targets("squared", 40, 1)[:, 0]
    net = cx.GatedNetwork.from_arrays(
        rng.standard_normal((9, 3)), rng.random((9, 1)), gates, b1=rng.standard_normal(9)
    )
    cert = cx.certify(net, X, y, 0.5)
    masks = cx.PatternSet.from_gates(X, gates)
    sol = cx.solve(cx.GatedReLUProblem(with_ones(X), y, masks, 0.5), tol=1e-9)
    assert sol.objective * (1 - 1.1e-5) <= cert.lower_bound <= sol.objective * (1 + 1e-12)
    best: Any = cert.best_network
    assert best.b1 is not None
    assert best.n_features == 3
    assert best.objective(X, y, 0.5) == pytest.approx(sol.objective, rel=1.1e-5)


@pytest.mark.parametrize("loss", ["squared", "logistic"])
def test_outputs_apart_are_programs_of_their_own(loss: str) -> None:
    rng = np.random.default_rng(4)
    X, Y = data(40), targets(loss, 40, 2)
    net = cx.GatedNetwork.from_arrays(
        rng.standard_normal((6, 3)),
        rng.standard_normal((6, 2)),
        rng.standard_normal((6, 3)),
        b1=rng.standard_normal(6),
        b2=[0.3, 0.0],
    )
    cert = cx.certify(net, X, Y, 0.5, loss=loss)
    masks = cx.PatternSet.from_gates(X, net.gates)
    optimum = sum(
        cx.solve(
            cx.GatedReLUProblem(with_ones(X), y, masks, 0.5, loss=loss, output_offset=True),
            tol=1e-9,
        ).objective
        for y in Y.T
    )
    assert optimum * (1 - 1.1e-5) <= cert.lower_bound <= optimum * (1 + 1e-12)
    best: Any = cert.best_network
    assert best.penalty == "decoupled"
    assert best.objective(X, Y, 0.5, loss=loss) == cert.best_objective
    assert cert.best_objective == pytest.approx(optimum, rel=1.1e-5)
    with pytest.raises(NotImplementedError, match="`loss` = 'cross_entropy' of a network with the"):
        cx.certify(net, X, targets("cross_entropy", 40, 2), 0.5, loss="cross_entropy")


@pytest.mark.parametrize("offset", [False, True])
@pytest.mark.parametrize("m", [0, 4])
def test_a_penalty_that_leaves_nothing(m: int, offset: bool) -> None:
    net, X, Y = make(m, offset=offset), data(30), targets("squared", 30, 2)
    cert = cx.certify(net, X, Y, 1e4)
    centred = Y - Y.mean(axis=0) if offset else Y
    assert cert.lower_bound == pytest.approx(np.sum(centred**2) / 2, rel=1e-9)
    best: Any = cert.best_network
    assert best.n_neurons == 0
    assert (best.n_outputs, best.penalty) == (2, "frobenius")
    assert cert.best_objective == pytest.approx(cert.lower_bound, rel=1e-9)


def test_class_numbers_weights_of_zero_and_patterns_of_nothing() -> None:
    net, X = make(5, K=3), data(40)
    gates = np.array(net.gates)
    X[:, 0] = np.abs(X[:, 0])
    gates[2] = [-1.0, 0.0, 0.0]  # on nowhere
    net = replace(net, gates=gates)
    Y = targets("cross_entropy", 40, 3)
    s = np.r_[np.ones(35), np.zeros(5)]
    options: dict[str, Any] = {"loss": "cross_entropy", "sample_weight": s}
    one = cx.certify(net, X, Y, 0.3, **options)
    two = cx.certify(net, X, np.argmax(Y, axis=1), 0.3, **options)
    assert one.lower_bound == two.lower_bound
    assert not one.dual[35:].any()
    best: Any = one.best_network
    assert cx.certify(best, X, Y, 0.3, **options).is_optimal


def test_a_time_limit_and_wrong_targets() -> None:
    net, X, Y = make(6), data(30), targets("squared", 30, 2)
    cert = cx.certify(net, X, Y, 0.1, time_limit=1e-9, rtol=1e-12)
    assert 0.0 <= cert.lower_bound <= cx.certify(net, X, Y, 0.1).lower_bound * (1 + 2e-5)
    with pytest.raises(ValueError, match=r"`y` must have 2 columns, got shape \(30, 3\)"):
        cx.certify(net, X, targets("squared", 30, 3), 0.1)
    with pytest.raises(ValueError, match="`X` must have 3 columns"):
        cx.certify(net, X[:, :2], Y, 0.1)
    with pytest.raises(ValueError, match="`beta` must be > 0"):
        cx.certify(net, X, Y, 0.0)


@pytest.mark.parametrize("K", [1, 3])
def test_outputs_are_checked(K: int) -> None:
    class Wrong(np.ndarray[Any, Any]):
        def __matmul__(self, other: Any) -> Any:
            product = np.asarray(self) @ np.asarray(other)
            product[1, 0] += 1e-6
            return product

    X = np.asfortranarray(data(30))
    net = make(8, K=K) if K > 1 else make(8, K=3).with_vectors()
    checked = _Checked.of(net)
    np.testing.assert_allclose(checked.predict(X), net.predict(X), rtol=1e-12, atol=1e-12)
    with pytest.raises(WrongProductError):
        checked._of_rows(X.view(Wrong))
