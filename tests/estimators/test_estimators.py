"""Both estimators: scikit-learn's contract, settings, and the numbers against NumPy."""

from __future__ import annotations

import copy
import functools
import pickle
import re
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from scipy import sparse
from scipy.optimize import nnls
from sklearn.base import clone
from sklearn.datasets import make_blobs
from sklearn.exceptions import ConvergenceWarning, DataConversionWarning, NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

import pyconvexnn as cx
from pyconvexnn._typing import FloatArray
from pyconvexnn.estimators.patterns import auto_pattern_count
from pyconvexnn.networks import Network

BOTH = [cx.ConvexMLPRegressor, cx.ConvexMLPClassifier]
UNGATED = {"relu": 0.0, "leaky_relu": 0.1, "abs": -1.0}  # and what they multiply t < 0 with
ACTIVATIONS = ["gated_relu", *UNGATED]


def make_data(n: int = 60, d: int = 3, seed: int = 0) -> tuple[FloatArray, FloatArray]:
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, d))
    return X, np.maximum(X[:, 0], 0) - np.maximum(X[:, -1], 0) / 2 + 0.1 * rng.standard_normal(n)


def targets(estimator: type, y: FloatArray) -> Any:
    """The target as it suits the estimator: numbers, or two classes."""
    return y if estimator is cx.ConvexMLPRegressor else np.where(y > 0, "up", "down")


def with_ones(X: FloatArray, scaling: float = 1.0) -> FloatArray:
    return np.column_stack([X, np.full(len(X), scaling)])


# ---- scikit-learn's contract ------------------------------------------------------------------


# Its data are far from zero, where the solver stops at its limit of iterations and says so.
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")
@parametrize_with_checks(  # type: ignore[untyped-decorator]
    [estimator(activation) for activation in ("gated_relu", "relu") for estimator in BOTH]
)
def test_scikit_learn_check(estimator: Any, check: Any) -> None:
    check(estimator)


@pytest.mark.parametrize("estimator", BOTH)
def test_clone_pickle_deepcopy(estimator: type) -> None:
    X, y = make_data()
    fitted: Any = estimator(beta=0.5, patterns=20).fit(X, targets(estimator, y))
    assert clone(fitted).get_params() == fitted.get_params()
    for other in (pickle.loads(pickle.dumps(fitted)), copy.deepcopy(fitted)):
        np.testing.assert_array_equal(other.predict(X), fitted.predict(X))
        assert other.certificate_.gap == fitted.certificate_.gap
    again = clone(fitted).fit(X, targets(estimator, y))
    np.testing.assert_array_equal(again.coefs_[0], fitted.coefs_[0])


@pytest.mark.parametrize("estimator", BOTH)
def test_in_pipeline_and_search(estimator: type) -> None:
    X, y = make_data()
    t = targets(estimator, y)
    model = make_pipeline(StandardScaler(), estimator(patterns=20))
    assert cross_val_score(model, X, t, cv=3).mean() > 0.5
    search = GridSearchCV(estimator(patterns=20), {"beta": [0.1, 100.0]}, cv=3).fit(X, t)
    assert search.best_params_ == {"beta": 0.1}


@pytest.mark.parametrize("estimator", BOTH)
def test_data_frames_keep_names(estimator: type) -> None:
    X, y = make_data()
    t = targets(estimator, y)
    plain: Any = estimator(patterns=20).fit(X, t)
    for frame in (
        pd.DataFrame(X, columns=["a", "b", "c"]),
        pl.DataFrame(X, schema=["a", "b", "c"]),
    ):
        fitted: Any = estimator(patterns=20).fit(frame, t)
        assert fitted.feature_names_in_.tolist() == ["a", "b", "c"]
        np.testing.assert_array_equal(fitted.predict(frame), plain.predict(X))
        with pytest.raises(ValueError, match="feature names should match"):
            fitted.predict(
                frame.rename({"a": "z"})
                if isinstance(frame, pl.DataFrame)
                else frame.rename(columns={"a": "z"})
            )
    assert not hasattr(plain, "feature_names_in_")


@pytest.mark.parametrize("estimator", BOTH)
def test_layouts_and_dtypes_agree(estimator: type) -> None:
    X, y = make_data()
    X = np.round(4 * X)
    t = targets(estimator, y)
    expected = estimator(patterns=20).fit(X, t).predict(X)
    wide = np.zeros((2 * len(X), 6))
    wide[::2, ::2] = X
    for other in (
        X.astype(np.float32),
        X.astype(int),
        np.asfortranarray(X),
        wide[::2, ::2],
        X.tolist(),
    ):
        fitted: Any = estimator(patterns=20).fit(other, t)
        np.testing.assert_array_equal(fitted.predict(other), expected)


# ---- settings ---------------------------------------------------------------------------------


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
        ({"scale": "standard"}, NotImplementedError, "`scale` = 'standard' is not available yet"),
        ({"scale": "minmax"}, ValueError, "`scale` must be None; got 'minmax'"),
        ({"output_offset": 1}, TypeError, "`output_offset` must be True or False, got 1"),
        ({"warm_start": True}, NotImplementedError, "`warm_start` = True is not available yet"),
        ({"certify": "half"}, ValueError, "`certify` must be True, False or 'full', got 'half'"),
        (
            {"activation": "relu", "certify": "full"},
            NotImplementedError,
            "`certify` = 'full' is not available yet for `activation` = 'relu'; use True",
        ),
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
    ("estimator", "later", "foreign"),
    [
        (cx.ConvexMLPRegressor, "poisson", "logistic"),
        (cx.ConvexMLPClassifier, "cross_entropy", "squared"),
    ],
)
def test_losses_of_the_other_task(estimator: type, later: str, foreign: str) -> None:
    X, y = make_data(20)
    with pytest.raises(NotImplementedError, match=f"`loss` = '{later}' is not available yet"):
        estimator(loss=later).fit(X, targets(estimator, y))
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
        estimator(patterns=10).fit(X * 1e200, t)
    with pytest.raises(NotFittedError):
        estimator().predict(X)
    with pytest.raises(ValueError, match="X has 2 features, but"):
        estimator(patterns=10).fit(X, t).predict(X[:, :2])


@pytest.mark.parametrize("estimator", BOTH)
def test_constant_columns_and_small_data(estimator: type) -> None:
    X, y = make_data(30, 1)
    t = targets(estimator, y)
    X = np.column_stack([np.zeros(30), np.full(30, 7.0), X])
    assert estimator().fit(X, t).certificate_.is_optimal
    assert estimator(fit_intercept=False).fit(X[:, 2:], t).certificate_.is_optimal
    assert estimator().fit([[0.0], [1.0]], t[np.argsort(y)[[0, -1]]]).certificate_.is_optimal


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_regressor_of_one_sample(activation: str) -> None:
    # One active pattern: min 1/2 (|x|^2 s - y)^2 + beta |x| s, x = (2, 1), y = 4, beta = 1.
    est = cx.ConvexMLPRegressor(activation, beta=1.0, tol=1e-10).fit([[2.0]], [4.0])
    assert est.predict([[2.0]])[0] == pytest.approx(4.0 - 1 / np.sqrt(5.0), abs=1e-8)


@pytest.mark.parametrize("estimator", BOTH)
@pytest.mark.parametrize("activation", ["gated_relu", "relu"])
def test_zero_network_above_beta_max(estimator: type, activation: str) -> None:
    X, y = make_data()
    est: Any = estimator(activation, beta=1e4).fit(X, targets(estimator, y))
    assert est.network_.n_neurons == 0
    assert est.certificate_.is_optimal
    assert [w.shape for w in est.coefs_] == [(3, 0), (0, 1)]
    assert [b.shape for b in est.intercepts_] == [(0,), (1,)]
    assert est.predict(X).shape == (60,)


@pytest.mark.parametrize("estimator", BOTH)
@pytest.mark.parametrize("activation", ["gated_relu", "relu"])
def test_warning_when_not_converged(estimator: type, activation: str) -> None:
    X, y = make_data()
    make = functools.partial(estimator, activation, beta=1e-3, tol=1e-10)
    with pytest.warns(ConvergenceWarning, match="status MAX_ITER"):
        est: Any = make(max_iter=1).fit(X, targets(estimator, y))
    assert not est.certificate_.is_optimal
    assert est.certificate_.lower_bound <= est.certificate_.objective
    with pytest.warns(ConvergenceWarning, match="status TIME_LIMIT"):
        make(time_limit=1e-9).fit(X, targets(estimator, y))


# ---- patterns ---------------------------------------------------------------------------------


def test_patterns_auto_integer_and_given() -> None:
    X, y = make_data()
    data = with_ones(X)
    assert cx.ConvexMLPRegressor().fit(X, y).patterns_ == cx.sample_patterns(
        data, auto_pattern_count(data)
    )
    sampled = cx.ConvexMLPRegressor(patterns=30, random_state=5).fit(X, y)
    expected = cx.sample_patterns(with_ones(X), 30, seed=5)
    assert sampled.patterns_ == expected
    given = cx.ConvexMLPRegressor(patterns=expected).fit(X, y)
    assert given.patterns_ == expected
    np.testing.assert_array_equal(given.predict(X), sampled.predict(X))


def test_patterns_without_gates() -> None:
    X, y = make_data()
    data = with_ones(X)
    est = cx.ConvexMLPRegressor("relu").fit(X, y)
    assert est.patterns_ == cx.sample_patterns(data, auto_pattern_count(data, gated=False))
    some = cx.sample_patterns(data, 30)
    bare = cx.PatternSet.from_dense(some.to_dense())
    for patterns in (some, bare):
        est = cx.ConvexMLPRegressor("relu", patterns=patterns).fit(X, y)
        assert est.patterns_ == some
    with pytest.raises(ValueError, match="`patterns` must be patterns of the 59 rows of X, got"):
        cx.ConvexMLPRegressor("relu", patterns=some).fit(X[1:], y[1:])
    both = some | some.complement()
    assert len(cx.ConvexMLPRegressor("abs", patterns=both).fit(X, y).patterns_) == 30


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
        (100_000, 60, 1000),
    ],
)
def test_auto_count(n: int, d: int, count: int) -> None:
    assert auto_pattern_count(random_rows(n, d)) == count


@pytest.mark.parametrize(("n", "d", "count"), [(3, 2, 6), (40, 3, 1000), (200, 4, 1000)])
def test_auto_count_without_gates(n: int, d: int, count: int) -> None:
    assert auto_pattern_count(random_rows(n, d), gated=False) == count


@pytest.mark.parametrize(("n", "d"), [(8, 3), (200, 4), (9000, 70)])
def test_auto_count_depends_on_distinct_rows_and_rank_only(n: int, d: int) -> None:
    X = random_rows(n, d)
    expected = auto_pattern_count(X)
    rng = np.random.default_rng(1)
    assert auto_pattern_count(np.vstack([X, X])) == expected
    assert auto_pattern_count(X[rng.permutation(np.repeat(np.arange(n), 3))]) == expected
    assert auto_pattern_count(np.column_stack([X, X[:, 0] - X[:, 1]])) == expected
    assert auto_pattern_count(1000 * X) == expected
    weight = np.repeat([1.0, 0.0], [n, 50])
    more = np.vstack([X, rng.standard_normal((50, d))])
    assert auto_pattern_count(more, weight) == expected


def test_auto_is_the_same_number_of_patterns_for_repeated_rows() -> None:
    X, y = make_data()
    once = cx.ConvexMLPRegressor().fit(X, y)
    twice = cx.ConvexMLPRegressor().fit(np.repeat(X, 2, axis=0), np.repeat(y, 2))
    assert len(once.patterns_) == len(twice.patterns_)


def test_auto_takes_what_there_is() -> None:
    # Three points on a line and the ones column: 2 * 3 cells, the empty one apart.
    est = cx.ConvexMLPRegressor(beta=0.1).fit([[0.0], [1.0], [2.0]], [1.0, 0.0, 1.0])
    assert len(est.patterns_) == 5
    with pytest.warns(UserWarning, match="found 5 distinct patterns"):
        cx.ConvexMLPRegressor(patterns=50).fit([[0.0], [1.0], [2.0]], [1.0, 0.0, 1.0])


def test_given_patterns_without_fitting_gates() -> None:
    X, y = make_data(12, 2)
    bits = cx.sample_patterns(with_ones(X), 6)
    bare = cx.PatternSet.from_dense(bits.to_dense())
    est: Any = cx.ConvexMLPRegressor(patterns=bare, beta=0.1).fit(X, y)
    assert est.patterns_ == bits
    assert est.certificate_.is_optimal
    # Gates without the intercept's entry: found anew, for the same patterns.
    linear = cx.sample_patterns(X, 6)
    assert cx.ConvexMLPRegressor(patterns=linear).fit(X, y).patterns_ == linear
    with pytest.raises(ValueError, match="`patterns` must be patterns of the 11 rows of X, got"):
        cx.ConvexMLPRegressor(patterns=bits).fit(X[:11], y[:11])
    with pytest.raises(ValueError, match="`patterns` must be patterns of X with its intercept"):
        cx.ConvexMLPRegressor(patterns=cx.PatternSet.from_dense([[1, 0] * 6])).fit(
            [[float(k)] for k in range(12)], y
        )


def test_random_state() -> None:
    X, y = make_data()

    def gates(random_state: Any) -> FloatArray:
        est = cx.ConvexMLPRegressor(patterns=8, random_state=random_state).fit(X, y)
        assert est.patterns_.gates is not None
        return est.patterns_.gates

    np.testing.assert_array_equal(gates(3), gates(np.random.default_rng(3)))
    legacy = gates(np.random.RandomState(3))
    np.testing.assert_array_equal(legacy, gates(np.random.RandomState(3)))
    assert not np.array_equal(gates(None), gates(None))


def test_threads_do_not_change_the_result() -> None:
    X, y = make_data()
    one, two = (cx.ConvexMLPRegressor(threads=k).fit(X, y) for k in (1, 2))
    np.testing.assert_array_equal(one.predict(X), two.predict(X))


# ---- the numbers ------------------------------------------------------------------------------


def by_hand(net: Network, data: FloatArray) -> FloatArray:
    """Outputs (n, K) of a network, in NumPy."""
    hidden = data @ net.W1.T
    if isinstance(net, cx.GatedNetwork):
        return ((data @ net.gates.T >= 0) * hidden) @ net.W2
    return np.where(hidden > 0, hidden, UNGATED[net.activation] * hidden) @ net.W2


@pytest.mark.parametrize("scaling", [None, 1.0, 10.0])
def test_regression_objective_bound_and_layout(scaling: float | None) -> None:
    X, y = make_data()
    est: Any = cx.ConvexMLPRegressor(
        beta=0.5,
        tol=1e-8,
        fit_intercept=scaling is not None,
        intercept_scaling=scaling or 1.0,
        patterns=50,
    ).fit(X, y)
    data = X if scaling is None else with_ones(X, scaling)
    net = est.network_
    f = by_hand(net, data)[:, 0]
    np.testing.assert_allclose(est.predict(X), f, atol=1e-12)
    objective = 0.5 * np.sum((f - y) ** 2) + 0.25 * (np.sum(net.W1**2) + np.sum(net.W2**2))
    assert est.loss_ == pytest.approx(objective, rel=1e-12)
    assert est.certificate_ is not None
    assert est.certificate_.objective == est.loss_
    assert est.certificate_.method == "patterns"
    assert est.solution_.objective == pytest.approx(objective, rel=1e-9)

    v = est.certificate_.dual
    norms = [np.linalg.norm(data.T @ (bits * v)) for bits in est.patterns_.to_dense()]
    assert max(norms) <= 0.5 * (1 + 1e-12)
    assert est.certificate_.lower_bound == pytest.approx(v @ y - v @ v / 2, rel=1e-9)
    assert est.certificate_.is_optimal

    hidden = X @ est.coefs_[0] + est.intercepts_[0]
    np.testing.assert_allclose(hidden, data @ net.W1.T, atol=1e-12)
    np.testing.assert_array_equal(est.coefs_[1], net.W2)
    np.testing.assert_array_equal(est.intercepts_[1], [0.0])
    assert (est.n_layers_, est.n_outputs_, est.out_activation_) == (3, 1, "identity")
    assert est.n_iter_ >= 1


@pytest.mark.parametrize("activation", UNGATED)
@pytest.mark.parametrize("offset", [False, True])
def test_regression_without_gates(activation: str, offset: bool) -> None:
    X, y = make_data()
    slope, data = UNGATED[activation], with_ones(X, 10.0)
    est: Any = cx.ConvexMLPRegressor(
        activation,
        beta=0.5,
        slope=0.1,
        tol=1e-8,
        intercept_scaling=10.0,
        output_offset=offset,
        patterns=50,
    ).fit(X, y)
    net = est.network_
    assert (net.activation, net.b2 is None) == (activation, not offset)

    # coefs_ and intercepts_ are the whole network.
    hidden = X @ est.coefs_[0] + est.intercepts_[0]
    hidden = np.where(hidden > 0, hidden, slope * hidden)
    f = (hidden @ est.coefs_[1] + est.intercepts_[1])[:, 0]
    np.testing.assert_allclose(est.predict(X), f, atol=1e-12)
    objective = 0.5 * np.sum((f - y) ** 2) + 0.25 * (np.sum(net.W1**2) + np.sum(net.W2**2))
    assert est.loss_ == pytest.approx(objective, rel=1e-12)
    assert est.solution_.objective == pytest.approx(objective, rel=1e-9)

    # Prices of the dual point: |Proj_K(g)| is the distance of g from the polar cone.
    v = est.certificate_.dual
    prices = []
    for bits in est.patterns_.to_dense():
        normals = np.where(bits, 1.0, -1.0)[:, np.newaxis] * data
        g = data.T @ (np.where(bits, 1.0, slope) * v)
        prices += [nnls(normals.T, side)[1] for side in (g, -g)]
    assert max(prices) <= 0.5 * (1 + 1e-9)
    assert est.certificate_.lower_bound == pytest.approx(v @ y - v @ v / 2, rel=1e-9)
    assert est.certificate_.method == "patterns"
    assert est.certificate_.is_optimal


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_several_outputs_are_separate_problems(activation: str) -> None:
    X, y = make_data()
    Y = np.column_stack([y, X[:, 2], np.zeros(len(y))])
    make = functools.partial(cx.ConvexMLPRegressor, activation, beta=0.5, slope=0.1, tol=1e-6)
    est = make().fit(X, Y)
    singles: list[Any] = [make().fit(X, column) for column in Y.T]
    assert est.predict(X).shape == Y.shape
    np.testing.assert_allclose(est.predict(X), by_hand(est.network_, with_ones(X)), atol=1e-12)
    for k, single in enumerate(singles):
        np.testing.assert_allclose(est.predict(X)[:, k], single.predict(X), atol=1e-12)
    assert est.loss_ == pytest.approx(sum(single.loss_ for single in singles), rel=1e-12)
    bounds = [single.certificate_.lower_bound for single in singles if single.certificate_]
    assert est.certificate_ is not None
    assert est.certificate_.lower_bound == pytest.approx(sum(bounds), rel=1e-12)
    assert est.certificate_.dual.shape == Y.shape
    assert isinstance(est.solution_, list)
    assert [sol.objective for sol in est.solution_] == [s.solution_.objective for s in singles]
    assert np.all(np.count_nonzero(est.network_.W2, axis=1) == 1)
    assert [w.shape[0] for w in est.coefs_] == [3, est.network_.n_neurons]


def test_column_target_is_a_vector() -> None:
    X, y = make_data()
    est = cx.ConvexMLPRegressor(patterns=20).fit(X, y[:, None])
    np.testing.assert_array_equal(
        est.predict(X), cx.ConvexMLPRegressor(patterns=20).fit(X, y).predict(X)
    )
    labels = targets(cx.ConvexMLPClassifier, y)[:, None]
    with pytest.warns(DataConversionWarning):
        cx.ConvexMLPClassifier(patterns=20).fit(X, labels)


def test_certify_false() -> None:
    X, y = make_data()
    assert cx.ConvexMLPRegressor(certify=False).fit(X, y).certificate_ is None
    assert cx.ConvexMLPRegressor(certify="full").fit(X, y).certificate_ is not None


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_two_classes(activation: str) -> None:
    X, y = make_data()
    t = np.where(y > 0, "up", "down")
    est = cx.ConvexMLPClassifier(activation, slope=0.1, beta=0.1, tol=1e-7).fit(X, t)
    assert est.classes_.tolist() == ["down", "up"]
    scores = est.decision_function(X)
    assert scores.shape == (60,)
    f = by_hand(est.network_, with_ones(X))[:, 0]
    np.testing.assert_allclose(scores, f, atol=1e-12)
    signs = np.where(t == "up", 1.0, -1.0)
    net = est.network_
    decay = 0.05 * (np.sum(net.W1**2) + np.sum(net.W2**2))
    assert est.loss_ == pytest.approx(np.sum(np.log1p(np.exp(-signs * f))) + decay, rel=1e-12)
    p = est.predict_proba(X)
    np.testing.assert_allclose(p[:, 1], 1 / (1 + np.exp(-f)), rtol=1e-12)
    np.testing.assert_allclose(p.sum(axis=1), 1.0, rtol=1e-12)
    np.testing.assert_allclose(np.exp(est.predict_log_proba(X)), p, rtol=1e-12)
    np.testing.assert_array_equal(est.predict(X), np.where(f > 0, "up", "down"))
    assert est.score(X, t) > 0.95


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_more_classes_one_against_the_rest(activation: str) -> None:
    X, y = make_data(90)
    t = np.digitize(y, [-0.3, 0.3])
    est: Any = cx.ConvexMLPClassifier(activation, beta=0.1).fit(X, t)
    rest = [cx.ConvexMLPClassifier(activation, beta=0.1).fit(X, t == k) for k in range(3)]
    scores = est.decision_function(X)
    assert scores.shape == (90, 3)
    for k, binary in enumerate(rest):
        np.testing.assert_allclose(scores[:, k], binary.decision_function(X), atol=1e-12)
    assert est.loss_ == pytest.approx(sum(binary.loss_ for binary in rest), rel=1e-12)
    p = 1 / (1 + np.exp(-scores))
    np.testing.assert_allclose(
        est.predict_proba(X), p / p.sum(axis=1, keepdims=True), rtol=1e-10, atol=1e-300
    )
    np.testing.assert_array_equal(est.predict(X), scores.argmax(axis=1))
    assert est.n_outputs_ == 3
    assert [sol.status for sol in est.solution_] == [cx.Status.SOLVED] * 3
    assert np.all(np.count_nonzero(est.network_.W2, axis=1) == 1)
    assert est.certificate_ is not None
    assert est.certificate_.relative_gap <= 1e-4


def test_probabilities_far_out_are_finite() -> None:
    X, y = make_data(90)
    est = cx.ConvexMLPClassifier(beta=0.1).fit(X, np.digitize(y, [-0.3, 0.3]))
    p = est.predict_proba(1e6 * X)
    assert np.isfinite(p).all()
    np.testing.assert_allclose(p.sum(axis=1), 1.0)
    assert np.isfinite(est.predict_log_proba(1e6 * X)).all()


def test_class_weight_repeats_rows() -> None:
    X, y = make_data()
    t = np.where(y > 0.2, 1, 0)
    patterns = cx.sample_patterns(with_ones(X), 40)
    assert patterns.gates is not None
    weighted = cx.ConvexMLPClassifier(patterns=patterns, class_weight={1: 3}, tol=1e-9).fit(X, t)
    repeats = np.where(t == 1, 3, 1)
    X3, t3 = np.repeat(X, repeats, axis=0), np.repeat(t, repeats)
    repeated = cx.ConvexMLPClassifier(
        patterns=cx.PatternSet.from_gates(with_ones(X3), patterns.gates), tol=1e-9
    ).fit(X3, t3)
    assert weighted.loss_ == pytest.approx(repeated.loss_, rel=1e-8)
    np.testing.assert_allclose(
        weighted.decision_function(X), repeated.decision_function(X), atol=1e-3
    )
    balanced = cx.ConvexMLPClassifier(class_weight="balanced").fit(X, t)
    by_dict = {k: 60 / (2 * np.sum(t == k)) for k in (0, 1)}
    np.testing.assert_array_equal(
        balanced.predict(X), cx.ConvexMLPClassifier(class_weight=by_dict).fit(X, t).predict(X)
    )
    with pytest.raises(ValueError, match="`class_weight` must hold weights > 0"):
        cx.ConvexMLPClassifier(class_weight={0: 0.0}).fit(X, t)


def test_one_class() -> None:
    X, _ = make_data(10)
    with pytest.raises(ValueError, match="`y` must have at least two classes, got one class: 'a'"):
        cx.ConvexMLPClassifier().fit(X, ["a"] * 10)
    with pytest.raises(ValueError, match="Unknown label type"):
        cx.ConvexMLPClassifier().fit(X, X[:, 0])


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_the_time_limit_is_shared_by_the_classes() -> None:
    rng = np.random.default_rng(0)
    X = rng.standard_normal((300, 8))
    est: Any = cx.ConvexMLPClassifier(beta=1e-4, tol=1e-14, patterns=300, time_limit=0.6)
    est.fit(X, rng.integers(0, 3, 300))
    # Each class got its third: none was left without a step.
    assert [sol.n_iter > 0 for sol in est.solution_] == [True] * 3
    assert max(sol.solve_time for sol in est.solution_) < 0.6


@pytest.mark.parametrize("estimator", [cx.ConvexMLPRegressor, cx.ConvexMLPClassifier])
def test_integers_beyond_float64_are_refused(estimator: type) -> None:
    with pytest.raises(ValueError, match="`X` and `y` must hold numbers of float64's range"):
        estimator().fit([[10**400], [1]], [0, 1])


def test_classes_of_overlapping_blobs_are_learned() -> None:
    # What the tag `poor_score` takes out of scikit-learn's checks, and more.
    X, y = make_blobs(n_samples=300, random_state=0)
    X = (X - X.mean(axis=0)) / X.std(axis=0)
    for classes in (y, np.where(y == 2, 1, y)):
        est = cx.ConvexMLPClassifier().fit(X, classes)
        assert np.mean(est.predict(X) == classes) > 0.9
    X, y = make_blobs(centers=3, random_state=0, cluster_std=20)
    weight = {0: 1000, 1: 1e-4, 2: 1e-4}
    free = cx.ConvexMLPClassifier(class_weight=weight, output_offset=True).fit(X[::2], y[::2])
    assert np.mean(free.predict(X[1::2]) == 0) > 0.87
    held = cx.ConvexMLPClassifier(class_weight=weight).fit(X[::2], y[::2])
    assert np.mean(held.predict(X[::2])[y[::2] == 0] == 0) == 1.0
