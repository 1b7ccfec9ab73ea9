"""Every loss, with and without an output offset: another solver, exact cases, any scale."""

from __future__ import annotations

import pickle
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import pyconvexnn as cx
from pyconvexnn._typing import FloatArray
from pyconvexnn.losses import Loss
from tests.solvers.conftest import LOSSES

LABELS = ("logistic", "squared_hinge")


def random_problem(
    loss: str | Loss, ratio: float, seed: int = 0, n: int = 40, P: int = 15, **options: Any
) -> cx.GatedReLUProblem:
    """A noisy ReLU teacher with an offset, at a fraction of beta_max."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, 3))
    y = np.maximum(X @ rng.standard_normal((3, 4)), 0).sum(axis=1) + 0.3 * rng.standard_normal(n)
    if cx.losses.get_loss(loss).name in LABELS:
        y = np.where(y > np.quantile(y, 0.3), 1.0, -1.0)
    if loss == "poisson":
        y = np.round(np.maximum(y, 0.0))
    return at_ratio(X, y, cx.sample_patterns(X, P, seed=seed), ratio, loss=loss, **options)


def at_ratio(
    X: FloatArray, y: FloatArray, patterns: cx.PatternSet, ratio: float, **options: Any
) -> cx.GatedReLUProblem:
    beta_max = cx.GatedReLUProblem(X, y, patterns, 1.0, **options).beta_max
    return cx.GatedReLUProblem(X, y, patterns, ratio * beta_max, **options)


def proved(prob: cx.GatedReLUProblem, tol: float) -> cx.Solution:
    """Solution whose gap and offset NumPy confirms."""
    sol = cx.solve(prob, tol=tol)
    checked = cx.verify(prob, sol)
    assert checked.infeasibility <= 1e-12
    assert checked.relative_gap <= tol * (1 + 1e-6) + 1e-14
    assert checked.objective == pytest.approx(sol.objective, rel=1e-11)
    # The best offset may not be unique, its objective is.
    alone = prob.fit_values(sol.coef) - prob.best_offset(sol.coef)
    penalty = prob.beta * prob.pattern_weight[sol.active] @ np.linalg.norm(sol.coef.values, axis=1)
    value = prob.loss.value(alone + sol.offset, prob.y, prob.sample_weight)
    assert value + penalty == pytest.approx(checked.objective, rel=1e-11)
    return sol


@pytest.mark.parametrize("loss", LOSSES, ids=str)
@pytest.mark.parametrize("offset", [False, True])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("ratio", [0.5, 0.05])
def test_clarabel(loss: Any, offset: bool, weighted: bool, ratio: float) -> None:
    rng = np.random.default_rng(4)
    weights: dict[str, Any] = {
        "sample_weight": rng.integers(0, 4, 40),
        "pattern_weight": rng.uniform(0.5, 2, 15),
    }
    prob = random_problem(loss, ratio, output_offset=offset, **(weights if weighted else {}))
    sol = proved(prob, 1e-9)
    program = prob.to_cvxpy()
    theirs = program.solve(solver="CLARABEL")
    assert sol.objective == pytest.approx(theirs, rel=1e-6)
    found = program.var_dict["U"].value
    assert sol.dual_objective <= prob.objective(found) * (1 + 1e-12)
    if offset and prob.loss.name in ("squared", "logistic"):
        assert sol.offset == pytest.approx(float(program.var_dict["b"].value), abs=1e-2)
    assert offset or sol.offset == 0.0


@pytest.mark.parametrize("loss", LOSSES, ids=str)
def test_integer_weights_are_repeated_rows(loss: Any) -> None:
    counts = np.random.default_rng(0).integers(0, 4, 40)
    prob = random_problem(loss, 0.1, sample_weight=counts, output_offset=True)
    rows = np.repeat(np.arange(40), counts)
    repeated = cx.GatedReLUProblem(
        prob.X[rows],
        prob.y[rows],
        prob.patterns.restrict(rows),
        prob.beta,
        loss=loss,
        output_offset=True,
    )
    assert repeated.beta_max == pytest.approx(prob.beta_max, rel=1e-12)
    one, other = proved(prob, 1e-10), proved(repeated, 1e-10)
    assert one.objective == pytest.approx(other.objective, rel=1e-9)


@pytest.mark.parametrize("loss", ["squared", "huber", cx.losses.Huber(0.3)], ids=str)
@pytest.mark.parametrize("shift", [1.0, -1000.0])
def test_the_offset_follows_the_targets(loss: Any, shift: float) -> None:
    prob = random_problem(loss, 0.1, output_offset=True)
    moved = cx.GatedReLUProblem(
        prob.X, prob.y + shift, prob.patterns, prob.beta, loss=loss, output_offset=True
    )
    sol, other = proved(prob, 1e-10), proved(moved, 1e-10)
    assert other.objective == pytest.approx(sol.objective, rel=1e-9)
    assert other.offset - sol.offset == pytest.approx(shift, abs=1e-3)


@pytest.mark.parametrize("loss", ["squared", "huber"])
def test_targets_far_from_zero(loss: str) -> None:
    prob = random_problem(loss, 0.1, output_offset=True)
    far = cx.GatedReLUProblem(
        prob.X, prob.y + 2.0**27, prob.patterns, prob.beta, loss=loss, output_offset=True
    )
    checked = cx.verify(far, cx.solve(far, tol=1e-6))
    # The bound is that of targets around zero, to the rounding of the targets themselves.
    assert checked.objective == pytest.approx(cx.solve(prob, tol=1e-9).objective, rel=2e-6)
    assert -1e-8 <= checked.relative_gap <= 2e-6
    assert checked.infeasibility <= 1e-12


@pytest.mark.parametrize("loss", LOSSES, ids=str)
def test_beta_max_from_both_sides(loss: Any) -> None:
    above = random_problem(loss, 1 + 1e-9, output_offset=True)
    sol = proved(above, 1e-9)
    assert len(sol.active) == 0
    assert sol.objective == pytest.approx(above.objective_at_zero, rel=1e-13)
    below = proved(random_problem(loss, 0.99, output_offset=True), 1e-9)
    assert len(below.active) > 0
    assert below.objective < sol.objective


def test_zero_blocks_have_the_offset_of_the_targets_alone() -> None:
    X, patterns = np.ones((5, 1)), cx.PatternSet.from_dense(np.ones((1, 5), bool))
    y = np.array([3.0, -1.0, 0.5, 100.0, 2.0])

    def offset(y: FloatArray, loss: Any) -> float:
        sol = proved(cx.GatedReLUProblem(X, y, patterns, 1e4, loss=loss, output_offset=True), 1e-9)
        assert len(sol.active) == 0
        return float(sol.offset)

    assert offset(y, "squared") == pytest.approx(y.mean(), rel=1e-14)
    assert offset(y, cx.losses.Huber(1e-3)) == pytest.approx(2.0, abs=1e-13)  # the median
    labels = np.array([1.0, 1.0, 1.0, -1.0, 1.0])
    assert offset(labels, "logistic") == pytest.approx(np.log(4), rel=1e-13)
    assert offset(labels, "squared_hinge") == pytest.approx(0.6, rel=1e-13)  # 4 (1-b) = 1+b
    assert offset(np.full(5, 0.1), "squared") == 0.1
    assert offset(np.ones(5), "squared_hinge") >= 1 - 1e-12


@pytest.mark.parametrize("loss", LOSSES, ids=str)
def test_a_block_that_is_an_offset_costs_more_than_the_offset(loss: Any) -> None:
    # X one column of ones, one pattern of all rows: that block does nothing that b does not.
    rng = np.random.default_rng(1)
    y = rng.standard_normal(9)
    y = np.sign(y) if cx.losses.get_loss(loss).name in LABELS else y
    y = np.abs(y) if loss == "poisson" else y
    patterns = cx.PatternSet.from_dense(np.ones((1, 9), bool))
    prob = cx.GatedReLUProblem(np.ones((9, 1)), y, patterns, 1e-6, loss=loss, output_offset=True)
    sol = proved(prob, 1e-9)
    assert len(sol.active) == 0
    assert prob.beta_max <= 1e-12


@pytest.mark.parametrize("beta", [0.1, 1.0])
def test_two_groups_by_hand(beta: float) -> None:
    # Rows 0, 1 on and 2, 3 off: f = u + b and b. The best b given u leaves u (2 - 2 * 2 / 4) / 2
    # of curvature 1: soft-threshold of the difference of the means 3 - 1 by beta.
    X, y = np.ones((4, 1)), np.array([2.5, 3.5, 0.5, 1.5])
    patterns = cx.PatternSet.from_dense([[True, True, False, False]])
    sol = proved(cx.GatedReLUProblem(X, y, patterns, beta, output_offset=True), 1e-13)
    assert sol.coef.to_dense()[0, 0] == pytest.approx(2 - beta, rel=1e-6)
    assert sol.offset == pytest.approx(1 + beta / 2, rel=1e-6)
    expected = 0.5 + 2 * (beta / 2) ** 2 + beta * (2 - beta)
    assert sol.objective == pytest.approx(expected, rel=1e-12)


@given(
    loss=st.sampled_from(LOSSES),
    size=st.floats(-6, 6),
    spread=st.floats(0, 10),
    offset=st.booleans(),
    seed=st.integers(0, 20),
)
@settings(max_examples=40, deadline=None)
def test_any_scale(loss: Any, size: float, spread: float, offset: bool, seed: int) -> None:
    rng = np.random.default_rng(seed)
    X, y = rng.standard_normal((30, 3)), 10.0**size * rng.standard_normal(30)
    if cx.losses.get_loss(loss).name in LABELS:
        y = np.sign(y)
    y = np.abs(y) if loss == "poisson" else y
    options: dict[str, Any] = {
        "loss": loss,
        "output_offset": offset,
        "sample_weight": 10.0 ** (spread * rng.uniform(-1, 1, 30)),
    }
    prob = at_ratio(X, y, cx.sample_patterns(X, 10, seed=seed), 0.1, **options)
    with warnings.catch_warnings():
        # Weights over 20 orders of magnitude may leave a gap; it must be said, and be true.
        warnings.simplefilter("ignore")
        sol = cx.solve(prob, tol=1e-6)
    checked = cx.verify(prob, sol)
    assert checked.infeasibility <= 1e-12
    assert checked.objective <= prob.objective_at_zero * (1 + 1e-9)
    assert checked.dual_objective <= checked.objective * (1 + 1e-9)
    assert sol.status is not cx.Status.SOLVED or checked.relative_gap <= 1e-6 * (1 + 1e-3)
    # The Huber loss is solved for targets up to about 1e4 delta; beyond only the bound is right.
    assert spread > 2 or size > 3 or sol.status is cx.Status.SOLVED


@pytest.mark.parametrize("offset", [False, True])
@pytest.mark.parametrize("size", [1e2, 1e3])
def test_huber_far_from_its_bend(size: float, offset: bool) -> None:
    # Nearly least absolute deviations: of most rows the curvature is zero.
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((60, 3)), size * rng.standard_normal(60)
    options: dict[str, Any] = {"loss": cx.losses.Huber(1.0), "output_offset": offset}
    prob = at_ratio(X, y, cx.sample_patterns(X, 20), 0.1, **options)
    sol = proved(prob, 1e-6)
    assert np.mean(np.abs(prob.fit_values(sol.coef) - y) > 1.0) > 0.5


@pytest.mark.parametrize("loss", LOSSES, ids=str)
def test_the_network_has_the_offset(loss: Any, tmp_path: Path) -> None:
    prob = random_problem(loss, 0.1, output_offset=True)
    sol = pickle.loads(pickle.dumps(cx.solve(pickle.loads(pickle.dumps(prob)), tol=1e-9)))
    net = cx.recover(prob, sol)
    assert net.b2 is not None
    assert net.b2.tolist() == [sol.offset]
    assert sol.offset != 0.0
    objective = net.objective(prob.X, prob.y, prob.beta, loss=loss)
    assert objective == pytest.approx(sol.objective, rel=1e-10)
    net.save(tmp_path / "net.npz")
    again = cx.load_network(tmp_path / "net.npz")
    np.testing.assert_array_equal(again.predict(prob.X), net.predict(prob.X))


def test_a_zero_solution_is_a_constant_network() -> None:
    prob = random_problem("huber", 1.1, output_offset=True)
    net = cx.recover(prob, cx.solve(prob))
    assert net.n_neurons == 0
    np.testing.assert_allclose(
        net.predict(prob.X), np.full(40, prob.best_offset(np.zeros((15, 3))))
    )


def test_a_warm_start_needs_no_offset() -> None:
    prob = random_problem("huber", 0.1, output_offset=True)
    first = cx.solve(prob, tol=1e-6)
    again = cx.solve(prob, tol=1e-6, warm_start=first)
    assert again.n_iter == 0
    assert again.objective <= first.objective * (1 + 1e-12)


@pytest.mark.parametrize("loss", ["squared", "huber", cx.losses.Huber(0.5)], ids=str)
def test_regressors_pass_both_on(loss: Any) -> None:
    rng = np.random.default_rng(0)
    X = rng.standard_normal((50, 2))
    Y = np.abs(X) + 7.0
    est = cx.ConvexMLPRegressor(beta=0.5, patterns=20, loss=loss, output_offset=True, tol=1e-6)
    est.fit(X, Y[:, 0])
    assert est.certificate_ is not None
    assert est.certificate_.is_optimal
    assert isinstance(est.solution_, cx.Solution)
    assert est.intercepts_[1].tolist() == [est.solution_.offset]
    np.testing.assert_allclose(est.predict(X), Y[:, 0], atol=0.5)
    both = est.fit(X, Y)
    assert both.certificate_ is not None
    assert both.certificate_.is_optimal
    assert both.intercepts_[1].shape == (2,)
    np.testing.assert_allclose(both.predict(X), Y, atol=0.5)


def test_classifiers_pass_the_offset_on() -> None:
    rng = np.random.default_rng(0)
    X = rng.standard_normal((60, 2))
    for classes in (2, 3):
        y = np.digitize(X[:, 0], [-0.5, 0.5] if classes == 3 else [-0.5])
        est = cx.ConvexMLPClassifier(beta=0.1, patterns=20, output_offset=True).fit(X, y)
        assert est.certificate_ is not None
        assert est.certificate_.is_optimal
        assert est.score(X, y) > 0.9
        assert np.all(est.intercepts_[1] != 0)
