"""``patterns="exact"``: estimators over every cell of their data, degenerate or not."""

from __future__ import annotations

import copy
import itertools
import pickle
from typing import Any

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import load_iris
from sklearn.exceptions import ConvergenceWarning
from sklearn.preprocessing import scale

import pyconvexnn as cx
from pyconvexnn import _listing
from pyconvexnn._typing import FloatArray
from pyconvexnn.estimators import exact
from pyconvexnn.estimators.exact import exact_patterns
from tests.faults.ctrl_c import seconds_to_stop
from tests.small_data import as_set, gaussian

TABLES = {
    "integers": np.array(list(itertools.product(range(4), range(3))), float),
    "repeated": np.tile(np.array(list(itertools.product(range(3), range(2))), float), (3, 1)),
    "one-hot": np.c_[np.eye(3)[np.arange(14) % 3], gaussian(14, 1)],
    "generic": gaussian(14, 2),
}


def task(name: str) -> tuple[FloatArray, FloatArray]:
    X = TABLES[name]
    rng = np.random.default_rng(len(X))
    y = np.abs(X @ rng.standard_normal(X.shape[1]) - 1.0) + 0.2 * rng.standard_normal(len(X))
    return X, y - y.mean()


def every_cell(X: FloatArray) -> cx.PatternSet:
    cells = cx.enumerate_patterns(X)
    return cells[np.flatnonzero(cells.to_dense().any(axis=1))]


@pytest.mark.parametrize("activation", ["relu", "gated_relu", "leaky_relu", "abs"])
@pytest.mark.parametrize("name", TABLES)
def test_the_regressor_solves_the_program_of_all_cells(name: str, activation: str) -> None:
    X, y = task(name)
    est: Any = cx.ConvexMLPRegressor(
        patterns="exact", activation=activation, beta=0.3, tol=1e-8
    ).fit(X, y)
    data = np.column_stack([X, np.ones(len(X))])
    cells = every_cell(data)
    if activation != "abs":  # whose opposite patterns are the same
        assert as_set(est.patterns_) == as_set(cells)
    problem: Any = (
        cx.GatedReLUProblem(data, y, cells, 0.3)
        if activation == "gated_relu"
        else cx.ReLUProblem(data, y, cells, 0.3, activation=activation)
    )
    best = cx.solve(problem, tol=1e-9).objective
    assert est.solution_.objective == pytest.approx(best, rel=1e-7)
    assert est.certificate_.is_optimal
    assert clone(est).patterns == "exact"


@pytest.mark.parametrize("name", TABLES)
def test_the_regressor_reaches_the_optimum_of_all_networks(name: str) -> None:
    X, y = task(name)
    est: Any = cx.ConvexMLPRegressor(
        patterns="exact", activation="relu", beta=0.3, tol=1e-8, random_state=0
    ).fit(X, y)
    data = np.column_stack([X, np.ones(len(X))])
    fit = cx.train(data, y, 0.3, rtol=1e-7)
    assert est.loss_ == pytest.approx(fit.certificate.objective, rel=1e-6)
    assert est.loss_ >= fit.certificate.lower_bound * (1 - 1e-9)
    again = clone(est).set_params(random_state=1).fit(X, y)
    np.testing.assert_array_equal(again.patterns_.packed, est.patterns_.packed)


@pytest.mark.parametrize("activation", ["relu", "leaky_relu", "abs"])
def test_certificates_of_a_table_of_decimals_agree(activation: str) -> None:
    flowers = load_iris().data[::2]
    X, y = scale(flowers[:, 2:]), scale(flowers[:, 0])
    settings: dict[str, Any] = {"activation": activation, "beta": 1.5, "slope": 0.2}
    est: Any = cx.ConvexMLPRegressor(patterns="exact", tol=1e-6, **settings).fit(X, y)
    data = np.column_stack([X, np.ones(len(X))])
    assert len(est.patterns_) * (2 if activation == "abs" else 1) > 1500
    proof = cx.train(data, y, rtol=1e-6, **settings).certificate
    cert = est.certificate_
    assert cert.is_optimal
    assert proof.is_optimal
    assert cert.objective == pytest.approx(proof.objective, rel=2e-6)
    assert cert.lower_bound <= proof.objective
    assert proof.lower_bound <= cert.objective
    # Every cell is priced: the dual point of the estimator is one for all networks.
    if activation == "relu":
        again = cx.certify(est.network_, data, y, 1.5, method="enumeration", rtol=1e-4)
        assert again.is_optimal
        assert again.objective == pytest.approx(cert.objective, rel=1e-9)


def test_the_classifier_takes_all_cells() -> None:
    X, y = task("integers")
    est: Any = cx.ConvexMLPClassifier(patterns="exact", activation="relu", beta=0.05)
    est.fit(X, y > 0)
    assert len(est.patterns_) == len(every_cell(np.column_stack([X, np.ones(len(X))])))
    assert np.mean(est.predict(X) == (y > 0)) > 0.9


@pytest.mark.parametrize("estimator", [cx.ConvexMLPRegressor, cx.ConvexMLPClassifier])
@pytest.mark.parametrize("activation", ["relu", "gated_relu"])
def test_copies_and_threads(estimator: type, activation: str) -> None:
    X, y = task("one-hot")
    target: Any = y if estimator is cx.ConvexMLPRegressor else y > 0
    est: Any = estimator(patterns="exact", activation=activation, beta=0.1).fit(X, target)
    for other in (pickle.loads(pickle.dumps(est)), copy.deepcopy(est)):
        np.testing.assert_array_equal(other.predict(X), est.predict(X))
        assert other.patterns_ == est.patterns_
    two = clone(est).set_params(threads=2).fit(X, target)
    assert two.patterns_ == est.patterns_
    np.testing.assert_array_equal(two.coefs_[0], est.coefs_[0])


def test_several_outputs_share_the_cells() -> None:
    X, y = task("integers")
    est: Any = cx.ConvexMLPRegressor(patterns="exact", activation="relu", beta=0.3)
    est.fit(X, np.column_stack([y, -(y**2)]))
    assert len(est.solution_) == 2
    alone: Any = clone(est).fit(X, -(y**2))
    assert est.solution_[1].objective == pytest.approx(alone.solution_.objective, rel=1e-12)


def test_the_all_zero_pattern_is_the_only_one_left_out() -> None:
    X, _ = task("generic")
    data = np.column_stack([X, np.ones(len(X))])
    assert len(exact_patterns(data)) == cx.count_patterns(data) - 1
    around = np.vstack([X, -X])  # on which no neuron is off everywhere
    assert exact_patterns(around).is_complete
    with_zero_row = np.vstack([data, np.zeros(3)])
    dense = exact_patterns(with_zero_row).to_dense()
    assert len(dense) == cx.count_patterns(data) - 1
    assert dense[:, -1].all()
    assert dense[:, :-1].any(axis=1).all()
    assert exact_patterns(np.zeros((4, 2))).to_dense().tolist() == [[True] * 4]


def test_the_list_counts_in_the_time_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    X, y = task("integers")
    est: Any = cx.ConvexMLPRegressor(patterns="exact", time_limit=5.0).fit(X, y)
    assert est.certificate_.is_optimal
    clock = itertools.count(0.0, 10.0)  # every look at it finds ten seconds gone
    monkeypatch.setattr("pyconvexnn.estimators.base.time.perf_counter", lambda: next(clock))
    with pytest.warns(ConvergenceWarning, match="TIME_LIMIT"):
        est.fit(X, y)
    assert est.certificate_.lower_bound <= est.loss_


def test_ctrl_c_ends_the_list(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (exact, _listing):  # no end of the list for seconds
        monkeypatch.setattr(module, "available_bytes", lambda: None)
    X = np.random.default_rng(0).integers(0, 10, (700, 8)).astype(float)
    fit = cx.ConvexMLPRegressor(patterns="exact").fit
    assert min(seconds_to_stop(lambda: fit(X, X[:, 0])) for _ in range(2)) < 0.5


def test_a_cell_too_thin_for_a_gate_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    X, y = np.vstack([np.eye(3), [1.0, 1.0, 1e-17]]), [0.0, 0.0, 1.0, 3.0]
    cells = cx.enumerate_patterns(X, snap=False)  # else there are no such cells here
    monkeypatch.setattr("pyconvexnn.estimators.patterns.exact_patterns", lambda _, threads: cells)
    settings: dict[str, Any] = {"patterns": "exact", "beta": 0.01, "fit_intercept": False}
    est: Any = cx.ConvexMLPRegressor("relu", **settings).fit(X, y)
    assert est.certificate_.is_optimal
    with pytest.raises(ValueError, match=r"`patterns` must be .* got 'exact', .* too thin"):
        cx.ConvexMLPRegressor("gated_relu", **settings).fit(X, y)


@pytest.mark.parametrize("name", ["generic", "integers"])
def test_programs_that_memory_cannot_hold_are_refused(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    X, y = task(name)
    room = 50 * exact.bytes_per_pattern(len(X), 3)
    monkeypatch.setattr(exact, "available_bytes", lambda: room)
    with pytest.raises(MemoryError, match=r"`patterns` = 'exact' means .* 'auto', or") as caught:
        cx.ConvexMLPRegressor(patterns="exact").fit(X, y)
    assert "max_patterns" not in str(caught.value)
    monkeypatch.setattr(exact, "available_bytes", lambda: None)
    assert len(cx.ConvexMLPRegressor(patterns="exact").fit(X, y).patterns_) > 50


def test_data_that_cannot_be_listed_are_refused() -> None:
    X = np.array([[1.0, 0.0], [1e-120, 1.0], [2.0, 2.0]])
    with pytest.raises(ValueError, match=r"`patterns` must be 'auto', .* got 'exact': `X` must"):
        cx.ConvexMLPRegressor(patterns="exact").fit(X, X[:, 0])


def test_too_many_cells_are_refused_before_they_are_listed() -> None:
    X = gaussian(400, 30)
    with pytest.raises((ValueError, MemoryError), match="patterns"):
        cx.ConvexMLPRegressor(patterns="exact").fit(X, X[:, 0])
