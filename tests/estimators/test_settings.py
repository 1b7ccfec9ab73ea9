"""Settings of the estimators and data that do not fit: what is accepted, and the messages."""

from __future__ import annotations

import functools
import re
from typing import Any

import numpy as np
import pytest
from scipy import sparse
from sklearn.exceptions import ConvergenceWarning, DataConversionWarning, NotFittedError

import pyconvexnn as cx
from pyconvexnn._typing import FloatArray
from pyconvexnn.estimators.patterns import auto_pattern_count
from tests.estimators.tasks import ACTIVATIONS, BOTH, make_data, targets, with_ones


@pytest.mark.parametrize("estimator", BOTH)
@pytest.mark.parametrize(
    ("setting", "error", "message"),
    [
        ({"beta": 0.0}, ValueError, "`beta` must be > 0, got 0.0"),
        ({"beta": -1.0}, ValueError, "`beta` must be > 0, got -1.0"),
        ({"beta": np.inf}, ValueError, "`beta` must be finite, got inf"),
        ({"beta": "1"}, TypeError, "`beta` must be a real number, got '1'"),
        ({"tol": 0}, ValueError, "`tol` must be > 0"),
        ({"max_iter": 0}, ValueError, "`max_iter` must be >= 1, got 0"),
        ({"max_iter": 2.5}, TypeError, "`max_iter` must be an integer, got 2.5"),
        ({"time_limit": 0}, ValueError, "`time_limit` must be > 0"),
        ({"intercept_scaling": 0}, ValueError, "`intercept_scaling` must be > 0"),
        ({"threads": 0}, ValueError, "`threads` must be >= 1, or -1 for all cores, got 0"),
        ({"verbose": -1}, ValueError, "`verbose` must be >= 0, got -1"),
        ({"random_state": -1}, ValueError, "`random_state` must be >= 0, got -1"),
        ({"random_state": "a"}, TypeError, "`random_state` must be an integer, got 'a'"),
        ({"fit_intercept": "no"}, TypeError, "`fit_intercept` must be True or False, got 'no'"),
        ({"patterns": 0}, ValueError, "`patterns` must be >= 1, got 0"),
        ({"patterns": 2.0}, TypeError, "`patterns` must be 'auto', 'exact', an integer or a Patt"),
        ({"patterns": True}, TypeError, "`patterns` must be 'auto', 'exact', an integer or a Patt"),
        ({"patterns": "all"}, ValueError, "`patterns` must be one of auto, exact; got 'all'"),
        (
            {"activation": "threshold"},
            NotImplementedError,
            "`activation` = 'threshold' is not available yet; available: gated_relu, relu, ",
        ),
        ({"activation": "linear"}, NotImplementedError, "`activation` = 'linear' is not available"),
        ({"activation": "tanh"}, ValueError, "`activation` must be one of gated_relu, relu,"),
        ({"activation": "leaky_relu", "slope": 1.0}, ValueError, "`slope` must be < 1, got 1.0"),
        ({"activation": "relu", "slope": "a"}, TypeError, "`slope` must be a real number, got 'a'"),
        ({"scale": "minmax"}, ValueError, "`scale` must be None or 'standard', got 'minmax'"),
        ({"output_offset": 1}, TypeError, "`output_offset` must be True or False, got 1"),
        ({"warm_start": 1}, TypeError, "`warm_start` must be True or False, got 1"),
        ({"certify": "half"}, ValueError, "`certify` must be True, False or 'full', got 'half'"),
        ({"certify": None}, ValueError, "`certify` must be True, False or 'full', got None"),
        ({"loss": "absolute"}, ValueError, "`loss` must be one of "),
    ],
)
def test_wrong_settings(
    estimator: type, setting: dict[str, Any], error: type[Exception], message: str
) -> None:
    X, y = make_data(20)
    with pytest.raises(error, match=re.escape(message)):
        estimator(**setting).fit(X, targets(estimator, y))


@pytest.mark.parametrize(
    ("estimator", "foreign"),
    [(cx.ConvexMLPRegressor, "logistic"), (cx.ConvexMLPClassifier, "squared")],
)
def test_losses_of_the_other_task(estimator: type, foreign: str) -> None:
    X, y = make_data(20)
    with pytest.raises(ValueError, match=f"got '{foreign}'"):
        estimator(loss=foreign).fit(X, targets(estimator, y))


@pytest.mark.parametrize("estimator", BOTH)
def test_wrong_data(estimator: type) -> None:
    X, y = make_data(20)
    t = targets(estimator, y)
    with pytest.raises(TypeError, match="Sparse data was passed for X"):
        estimator().fit(sparse.csr_array(X), t)
    with pytest.raises(ValueError, match="Input X contains NaN"):
        estimator().fit(np.where(X > 1, np.nan, X), t)
    with pytest.raises(ValueError, match="Input X contains infinity"):
        estimator().fit(np.where(X > 1, np.inf, X), t)
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        estimator().fit(X, t[:-1])
    with pytest.raises(ValueError, match="Complex data not supported"):
        estimator().fit(X * 1j, t)
    with pytest.raises(ValueError, match="0 sample"):
        estimator().fit(X[:0], t[:0])
    with pytest.raises(ValueError, match="0 feature"):
        estimator().fit(X[:, :0], t)
    with pytest.raises(ValueError, match="`X` must have its largest entry between"):
        estimator().fit(X * 1e200, t)
    with pytest.raises(ValueError, match=r"`X` must be as scikit-learn takes it, got .*too large"):
        estimator().fit([[10**400], [1]], [0, 1])
    with pytest.raises(NotFittedError):
        estimator().predict(X)
    with pytest.raises(ValueError, match="X has 2 features, but"):
        estimator(patterns=10).fit(X, t).predict(X[:, :2])


@pytest.mark.parametrize("estimator", BOTH)
def test_wrong_sample_weights(estimator: type) -> None:
    X, y = make_data(20)
    fit = functools.partial(estimator().fit, X, targets(estimator, y))
    for weight, message in [
        (-np.ones(20), "`sample_weight` must be >= 0, got -1.0"),
        (np.zeros(20), "`sample_weight` must have a positive entry, got only zeros"),
        (np.full(20, np.nan), "`sample_weight` must be finite, got NaN"),
        (np.full(20, np.inf), "`sample_weight` must be finite, got infinity"),
        (np.ones(19), "`sample_weight` must have 20 entries, got 19"),
        (np.ones((20, 2)), "`sample_weight` must have 1 dimension, got shape (20, 2)"),
    ]:
        with pytest.raises(ValueError, match=re.escape(message)):
            fit(weight)


def test_wrong_class_weights() -> None:
    X, y = make_data(20)
    t = targets(cx.ConvexMLPClassifier, y)
    for value in (0.0, -1.0, np.inf, np.nan):
        with pytest.raises(ValueError, match="`class_weight` must hold finite weights > 0, got"):
            cx.ConvexMLPClassifier(class_weight={"up": value}).fit(X, t)
    with pytest.raises(ValueError, match="balanced"):
        cx.ConvexMLPClassifier(class_weight="balance").fit(X, t)
    with pytest.raises(ValueError, match="`class_weight` must be one of balanced; got 'balance'"):
        cx.ConvexMLPClassifier(class_weight="balance").fit(X, t, np.ones(20))
    with pytest.raises(ValueError, match="not in class_weight"):
        cx.ConvexMLPClassifier(class_weight={"left": 1.0}).fit(X, t)
    with pytest.raises(ValueError, match=r"a positive entry in every class .* got none in 'up'"):
        cx.ConvexMLPClassifier(class_weight="balanced").fit(X, t, np.where(t == "up", 0.0, 1.0))


def test_one_class() -> None:
    X, _ = make_data(10)
    with pytest.raises(ValueError, match="`y` must have at least two classes, got one class: 'a'"):
        cx.ConvexMLPClassifier().fit(X, ["a"] * 10)
    with pytest.raises(ValueError, match="Unknown label type"):
        cx.ConvexMLPClassifier().fit(X, X[:, 0])


def test_column_target_is_a_vector() -> None:
    X, y = make_data()
    est = cx.ConvexMLPRegressor().fit(X, y[:, None])
    np.testing.assert_array_equal(est.predict(X), cx.ConvexMLPRegressor().fit(X, y).predict(X))
    labels = targets(cx.ConvexMLPClassifier, y)[:, None]
    with pytest.warns(DataConversionWarning):
        cx.ConvexMLPClassifier().fit(X, labels)


@pytest.mark.parametrize("activation", ["relu", "gated_relu"])
@pytest.mark.parametrize("estimator", BOTH)
def test_constant_columns_and_small_data(estimator: type, activation: str) -> None:
    make = functools.partial(estimator, activation)
    X, y = make_data(30, 1)
    t = targets(estimator, y)
    X = np.column_stack([np.zeros(30), np.full(30, 7.0), X])
    assert make().fit(X, t).certificate_.is_optimal
    assert make(scale="standard").fit(X, t).certificate_.is_optimal
    assert make(fit_intercept=False).fit(X[:, 2:], t).certificate_.is_optimal
    assert make().fit([[0.0], [1.0]], t[np.argsort(y)[[0, -1]]]).certificate_.is_optimal


@pytest.mark.parametrize("estimator", BOTH)
@pytest.mark.parametrize("activation", ["gated_relu", "relu"])
def test_zero_network_above_beta_max(estimator: type, activation: str) -> None:
    X, y = make_data()
    est: Any = estimator(activation, beta=1e4, scale="standard").fit(X, targets(estimator, y))
    assert est.network_.n_neurons == 0
    assert est.certificate_.is_optimal
    assert [w.shape for w in est.coefs_] == [(3, 0), (0, 1)]
    assert [b.shape for b in est.intercepts_] == [(0,), (1,)]
    assert est.predict(X).shape == (60,)


@pytest.mark.parametrize("estimator", BOTH)
@pytest.mark.parametrize("activation", ["gated_relu", "relu"])
@pytest.mark.parametrize("certify", [True, False, "full"])
def test_warning_when_not_converged(estimator: type, activation: str, certify: Any) -> None:
    X, y = make_data()
    make = functools.partial(estimator, activation, beta=1e-3, tol=1e-10, certify=certify)
    with pytest.warns(ConvergenceWarning, match="status MAX_ITER") as caught:
        est: Any = make(max_iter=1).fit(X, targets(estimator, y))
    assert len(caught) == 1
    assert est.solution_.status is cx.Status.MAX_ITER
    assert est.n_iter_ == 1
    if certify:
        assert not est.certificate_.is_optimal
        assert est.certificate_.lower_bound <= est.certificate_.objective
    else:
        assert est.certificate_ is None
    with pytest.warns(ConvergenceWarning, match="status TIME_LIMIT"):
        make(time_limit=1e-9).fit(X, targets(estimator, y))


# ---- patterns ---------------------------------------------------------------------------------


def test_patterns_of_gates_auto_integer_and_given() -> None:
    X, y = make_data()
    data = with_ones(X)
    assert cx.ConvexMLPRegressor("gated_relu").fit(X, y).patterns_ == cx.sample_patterns(
        data, auto_pattern_count(data)
    )
    sampled = cx.ConvexMLPRegressor("gated_relu", patterns=30, random_state=5).fit(X, y)
    expected = cx.sample_patterns(with_ones(X), 30, seed=5)
    assert sampled.patterns_ == expected
    given = cx.ConvexMLPRegressor("gated_relu", patterns=expected).fit(X, y)
    assert given.patterns_ == expected
    np.testing.assert_array_equal(given.predict(X), sampled.predict(X))


def test_patterns_without_gates() -> None:
    X, y = make_data()
    data = with_ones(X)
    est: Any = cx.ConvexMLPRegressor().fit(X, y)
    assert est.patterns_.n_samples == 60
    assert len(est.patterns_) == est.solution_.n_patterns < 100  # generated, not drawn
    assert isinstance(est.solution_, cx.Fit)
    some = cx.sample_patterns(data, 30)
    bare = cx.PatternSet.from_dense(some.to_dense())
    for patterns in (some, bare):
        est = cx.ConvexMLPRegressor(patterns=patterns).fit(X, y)
        assert est.patterns_ == some
        assert isinstance(est.solution_, cx.Solution)
    with pytest.raises(ValueError, match="`patterns` must be patterns of the 59 rows of X, got"):
        cx.ConvexMLPRegressor(patterns=some).fit(X[1:], y[1:])
    both = some | some.complement()
    assert len(cx.ConvexMLPRegressor("abs", patterns=both).fit(X, y).patterns_) == 30
    drawn: Any = cx.ConvexMLPRegressor(patterns=30).fit(X, y)
    assert drawn.patterns_ == some
    assert drawn.loss_ >= est.certificate_.lower_bound


def random_rows(n: int, d: int) -> FloatArray:
    return np.random.default_rng(0).standard_normal((n, d))


@pytest.mark.parametrize(
    ("n", "d", "count"),
    [
        (3, 2, 6),  # all cells
        (20, 3, 2 * (1 + 19 + 19 * 18 // 2)),
        (200, 4, 20_000),
        (8000, 100, 2**32 // (8000 * 100)),
        (100_000, 5, 2**32 // (100_000 * 5)),
        (150_000, 30, 1000),
    ],
)
def test_auto_count(n: int, d: int, count: int) -> None:
    assert auto_pattern_count(random_rows(n, d)) == count


@pytest.mark.parametrize(("n", "d"), [(8, 3), (200, 4), (5000, 50)])
def test_auto_count_depends_on_distinct_rows_and_rank_only(n: int, d: int) -> None:
    X = random_rows(n, d)
    expected = auto_pattern_count(X)
    rng = np.random.default_rng(1)
    assert auto_pattern_count(np.vstack([X, X])) == expected
    assert auto_pattern_count(X[rng.permutation(np.repeat(np.arange(n), 2))]) == expected
    assert auto_pattern_count(np.column_stack([X, X[:, 0] - X[:, 1]])) == expected
    assert auto_pattern_count(1000 * X) == expected


def test_auto_is_the_same_number_of_patterns_for_repeated_rows() -> None:
    X, y = make_data(20)
    once = cx.ConvexMLPRegressor("gated_relu").fit(X, y)
    twice = cx.ConvexMLPRegressor("gated_relu").fit(np.repeat(X, 2, axis=0), np.repeat(y, 2))
    assert len(once.patterns_) == len(twice.patterns_)


def test_auto_takes_what_there_is() -> None:
    # Three points on a line and the ones column: 2 * 3 cells, the empty one apart.
    X, y = [[0.0], [1.0], [2.0]], [1.0, 0.0, 1.0]
    est = cx.ConvexMLPRegressor("gated_relu", beta=0.1).fit(X, y)
    assert len(est.patterns_) == 5
    with pytest.warns(UserWarning, match="found 5 distinct patterns"):
        cx.ConvexMLPRegressor("gated_relu", patterns=50).fit(X, y)


def test_given_patterns_without_fitting_gates() -> None:
    X, y = make_data(12, 2)
    bits = cx.sample_patterns(with_ones(X), 6)
    bare = cx.PatternSet.from_dense(bits.to_dense())
    est: Any = cx.ConvexMLPRegressor("gated_relu", patterns=bare, beta=0.1).fit(X, y)
    assert est.patterns_ == bits
    assert est.certificate_.is_optimal
    # Gates without the intercept's entry: found anew, for the same patterns.
    linear = cx.sample_patterns(X, 6)
    assert cx.ConvexMLPRegressor("gated_relu", patterns=linear).fit(X, y).patterns_ == linear
    with pytest.raises(ValueError, match="`patterns` must be patterns of the 11 rows of X, got"):
        cx.ConvexMLPRegressor(patterns=bits).fit(X[:11], y[:11])
    line = cx.PatternSet.from_dense([[1, 0] * 6])
    with pytest.raises(ValueError, match="`patterns` must be patterns of X with its intercept"):
        cx.ConvexMLPRegressor(patterns=line).fit([[float(k)] for k in range(12)], y)


def test_random_state() -> None:
    X, y = make_data()

    def gates(random_state: Any) -> FloatArray:
        est = cx.ConvexMLPRegressor("gated_relu", patterns=8, random_state=random_state).fit(X, y)
        assert est.patterns_.gates is not None
        return est.patterns_.gates

    np.testing.assert_array_equal(gates(3), gates(np.random.default_rng(3)))
    legacy = gates(np.random.RandomState(3))
    np.testing.assert_array_equal(legacy, gates(np.random.RandomState(3)))
    assert not np.array_equal(gates(None), gates(None))


@pytest.mark.parametrize(
    "random_state", [None, np.random.RandomState(0), np.random.default_rng(0), np.int64(7)]
)
def test_random_state_of_generated_patterns_does_not_move_the_optimum(random_state: Any) -> None:
    X, y = make_data()
    expected = cx.ConvexMLPRegressor(beta=0.5, tol=1e-6).fit(X, y).loss_
    est = cx.ConvexMLPRegressor(beta=0.5, tol=1e-6, random_state=random_state).fit(X, y)
    assert est.loss_ == pytest.approx(expected, rel=2e-6)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_threads_do_not_change_the_result(activation: str) -> None:
    X, y = make_data()
    one, two = (cx.ConvexMLPRegressor(activation, threads=k).fit(X, y) for k in (1, 2))
    np.testing.assert_array_equal(one.predict(X), two.predict(X))
