"""All four estimators: what scikit-learn and its tools expect of them."""

from __future__ import annotations

import copy
import functools
import pickle
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import polars as pl
import pytest
import sklearn
from sklearn.base import clone
from sklearn.ensemble import StackingClassifier, StackingRegressor
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV, cross_val_score, cross_validate
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

import pyconvexnn as cx
from tests.estimators.tasks import ACTIVATIONS, BOTH, BOTH_CV, UNGATED, make_data, targets

FAST: dict[str, Any] = {"tol": 1e-2, "certify": False}
# Most data of scikit-learn's checks are noise whose targets have a deviation of 40: with a small
# penalty networks of a hundred neurons pass through all of them, which takes minutes.
QUICK = [
    cx.ConvexMLPRegressor(beta=20.0, max_iter=2, **FAST),
    cx.ConvexMLPClassifier(**FAST),
    cx.ConvexMLPRegressor("gated_relu", patterns=50),
    cx.ConvexMLPRegressor("gated_relu", patterns=50, loss="poisson"),
    cx.ConvexMLPClassifier("gated_relu", patterns=50),
    cx.ConvexMLPClassifier("gated_relu", patterns=50, loss="cross_entropy"),
    cx.ConvexMLPClassifier("gated_relu", patterns=50, loss="squared_hinge"),
    cx.ConvexMLPClassifier("gated_relu", patterns=50, loss="hinge"),
    cx.ConvexMLPRegressorCV("gated_relu", betas=3, cv=2, patterns=50),
    cx.ConvexMLPClassifierCV("gated_relu", betas=3, cv=2, patterns=50),
]
LONG = [
    *(estimator(activation) for estimator in BOTH for activation in ACTIVATIONS),
    *(cx.ConvexMLPRegressorCV(a, betas=[80.0, 40.0], cv=2, max_iter=3, **FAST) for a in UNGATED),
    *(cx.ConvexMLPClassifierCV(a, betas=[2.0, 1.0], cv=2, **FAST) for a in UNGATED),
]
quiet = [  # some data are far from zero, where training may end before its tolerance and says so
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning"),
    pytest.mark.filterwarnings("ignore:found .* distinct patterns:UserWarning"),  # of 50
]


def below_zero(estimator: Any) -> dict[str, str]:
    """Checks whose targets are no rates, though the estimator's tags say that it needs these."""
    is_poisson = estimator.loss == "poisson"
    return {"check_regressor_multioutput": "targets below zero"} if is_poisson else {}


@quiet[0]
@quiet[1]
@quiet[2]
@parametrize_with_checks(QUICK, expected_failed_checks=below_zero)  # type: ignore[untyped-decorator]
def test_scikit_learn_check(estimator: Any, check: Any) -> None:
    check(estimator)


@pytest.mark.slow
@quiet[0]
@quiet[1]
@quiet[2]
@parametrize_with_checks(LONG)  # type: ignore[untyped-decorator]
def test_scikit_learn_check_of_every_activation(estimator: Any, check: Any) -> None:
    check(estimator)


# ---- copies -----------------------------------------------------------------------------------


@pytest.mark.parametrize("activation", ["relu", "gated_relu"])
@pytest.mark.parametrize("estimator", BOTH)
def test_clone_pickle_deepcopy(estimator: type, activation: str, tmp_path: Path) -> None:
    X, y = make_data()
    fitted: Any = estimator(activation, beta=0.5).fit(X, targets(estimator, y))
    assert clone(fitted).get_params() == fitted.get_params()
    joblib.dump(fitted, tmp_path / "model")
    copies = (
        pickle.loads(pickle.dumps(fitted)),
        copy.deepcopy(fitted),
        joblib.load(tmp_path / "model"),
    )
    for other in copies:
        np.testing.assert_array_equal(other.predict(X), fitted.predict(X))
        assert other.certificate_.gap == fitted.certificate_.gap
        other.set_params(warm_start=True).fit(X, targets(estimator, y))
        assert other.loss_ == pytest.approx(fitted.loss_, rel=1e-4)
    again = clone(fitted).fit(X, targets(estimator, y))
    np.testing.assert_array_equal(again.coefs_[0], fitted.coefs_[0])
    if activation == "relu":
        assert (tmp_path / "model").stat().st_size < 30_000  # the patterns looked at, not the data


SERVE = """
import sys
from concurrent.futures import ThreadPoolExecutor
import joblib, numpy as np
model, rows, out = sys.argv[1:]
est, X = joblib.load(model), np.load(rows)
with ThreadPoolExecutor(4) as pool:
    every = list(pool.map(lambda _: getattr(est, "predict_proba", est.predict)(X), range(40)))
assert all(np.array_equal(every[0], one) for one in every)
np.save(out, every[0])
"""


@pytest.mark.parametrize("estimator", [cx.ConvexMLPRegressor, cx.ConvexMLPClassifierCV])
def test_a_fresh_process_and_four_threads_predict_the_same(estimator: type, tmp_path: Path) -> None:
    X, y = make_data()
    new = 3 * make_data(2000, seed=1)[0]
    settings: dict[str, Any] = {"betas": [0.5, 0.1]} if estimator in BOTH_CV else {"beta": 0.1}
    est: Any = estimator(scale="standard", output_offset=True, certify=False, **settings)
    est.fit(X, targets(estimator, y))
    model, rows, out = (tmp_path / name for name in ("model.joblib", "rows.npy", "out.npy"))
    joblib.dump(est, model)
    np.save(rows, new)
    subprocess.run([sys.executable, "-c", SERVE, model, rows, out], check=True, timeout=120)
    predict = getattr(est, "predict_proba", est.predict)
    expected = predict(new)
    np.testing.assert_array_equal(np.load(out), expected)
    with ThreadPoolExecutor(4) as pool:
        for served in pool.map(lambda _: predict(new), range(20)):
            np.testing.assert_array_equal(served, expected)


def test_fits_in_threads_are_those_one_after_another() -> None:
    X, y = make_data()
    alone = [cx.ConvexMLPRegressor(beta=b).fit(X, y).predict(X) for b in (0.5, 1.0, 2.0, 4.0)]
    with ThreadPoolExecutor(4) as pool:
        fits = pool.map(lambda b: cx.ConvexMLPRegressor(beta=b).fit(X, y), (0.5, 1.0, 2.0, 4.0))
        for est, expected in zip(fits, alone, strict=True):
            np.testing.assert_array_equal(est.predict(X), expected)


# ---- scikit-learn's tools ---------------------------------------------------------------------


@pytest.mark.parametrize("activation", ["relu", "gated_relu"])
@pytest.mark.parametrize("estimator", BOTH)
def test_in_pipeline_and_search(estimator: type, activation: str) -> None:
    X, y = make_data()
    t = targets(estimator, y)
    est = estimator(activation, patterns=20 if activation == "gated_relu" else "auto", **FAST)
    model = make_pipeline(StandardScaler(), est)
    assert cross_val_score(model, X, t, cv=3).mean() > 0.5
    search = GridSearchCV(est, {"beta": [0.1, 100.0], "scale": [None, "standard"]}, cv=3)
    assert search.fit(X, t).best_params_["beta"] == 0.1


@pytest.mark.parametrize("estimator", BOTH_CV)
def test_the_choice_of_beta_in_a_pipeline(estimator: type) -> None:
    X, y = make_data()
    t = targets(estimator, y)
    model = make_pipeline(StandardScaler(), estimator(betas=[10.0, 0.3], cv=3, certify=False))
    assert model.fit(X, t)[-1].beta_ == 0.3
    assert model.score(X, t) > 0.9


def test_stacking() -> None:
    X, y = make_data()
    first: list[Any] = [("net", cx.ConvexMLPRegressor(beta=0.3, **FAST)), ("line", Ridge())]
    stack = StackingRegressor(first, cx.ConvexMLPRegressor(beta=0.3, **FAST), cv=3).fit(X, y)
    assert stack.score(X, y) > 0.9
    t = np.digitize(y, [-0.3, 0.3])
    first = [("net", cx.ConvexMLPClassifier(beta=0.3, **FAST)), ("line", LogisticRegression())]
    both = StackingClassifier(first, cx.ConvexMLPClassifier(beta=0.3, **FAST), cv=3).fit(X, t)
    assert both.score(X, t) > 0.85
    assert both.transform(X).shape == (60, 6)  # predict_proba of both


@pytest.mark.parametrize("estimator", BOTH)
def test_search_with_weights(estimator: type) -> None:
    # Rows of weight 0 have wrong targets: scores and fits that saw them would be bad.
    X, y = make_data(90)
    t, weight = targets(estimator, y), np.ones(90)
    weight[::3] = 0.0
    t[::3] = t[::3][::-1].copy()
    est = estimator(beta=0.1, **FAST)
    plain: Any = cross_validate(est, X, t, cv=3, params={"sample_weight": weight})
    with sklearn.config_context(enable_metadata_routing=True):
        est.set_fit_request(sample_weight=True).set_score_request(sample_weight=True)
        routed = cross_validate(est, X, t, cv=3, params={"sample_weight": weight})
        assert routed["test_score"].min() > 0.75
        assert np.all(routed["test_score"] > plain["test_score"])
        pipe = Pipeline(
            [("scale", StandardScaler().set_fit_request(sample_weight=True)), ("est", est)]
        )
        search = GridSearchCV(pipe, {"est__beta": [0.1, 100.0]}, cv=3)
        search.fit(X, t, sample_weight=weight)
        assert search.best_score_ > 0.8
        whole = search.best_estimator_
    kept = weight > 0
    alone = Pipeline([("scale", StandardScaler()), ("est", clone(est).set_params(beta=0.1))])
    alone.fit(X[kept], t[kept])
    assert whole[-1].loss_ == pytest.approx(alone[-1].loss_, rel=1e-2)
    assert whole.score(X[kept], t[kept]) > 0.8


@pytest.mark.parametrize("estimator", BOTH_CV)
def test_weights_are_routed_to_the_choice_of_beta(estimator: type) -> None:
    X, y = make_data()
    t, weight = targets(estimator, y), np.arange(60) % 3.0
    est = estimator(betas=[1.0, 0.1], cv=3, certify=False)
    expected = clone(est).fit(X, t, weight).cv_results_["mean_test_score"]
    with sklearn.config_context(enable_metadata_routing=True):
        pipe = make_pipeline("passthrough", est.set_fit_request(sample_weight=True))
        pipe.fit(X, t, sample_weight=weight)
    np.testing.assert_array_equal(pipe[-1].cv_results_["mean_test_score"], expected)
    assert not np.array_equal(clone(est).fit(X, t).cv_results_["mean_test_score"], expected)


# ---- data -------------------------------------------------------------------------------------


@pytest.mark.parametrize("estimator", [*BOTH, *BOTH_CV])
def test_data_frames_keep_names(estimator: type) -> None:
    X, y = make_data()
    t = targets(estimator, y)
    settings: dict[str, Any] = {"betas": [1.0], "cv": 2} if estimator in BOTH_CV else {}
    make = functools.partial(estimator, **settings, **FAST)
    plain: Any = make().fit(X, t)
    frame: Any
    for frame in (
        pd.DataFrame(X, columns=["a", "b", "c"]),
        pl.DataFrame(X, schema=["a", "b", "c"]),
    ):
        fitted: Any = make().fit(frame, t)
        assert fitted.feature_names_in_.tolist() == ["a", "b", "c"]
        np.testing.assert_array_equal(fitted.predict(frame), plain.predict(X))
        with pytest.raises(ValueError, match="feature names should match"):
            fitted.predict(
                frame.rename({"a": "z"})
                if isinstance(frame, pl.DataFrame)
                else frame.rename(columns={"a": "z"})
            )
    assert not hasattr(plain, "feature_names_in_")
    frame = pd.DataFrame(X, columns=["a", "b", "c"])
    pipe = make_pipeline(StandardScaler(), make()).set_output(transform="pandas").fit(frame, t)
    assert pipe[-1].feature_names_in_.tolist() == ["a", "b", "c"]
    np.testing.assert_array_equal(
        pipe.predict(frame), make_pipeline(StandardScaler(), make()).fit(frame, t).predict(frame)
    )


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("estimator", BOTH)
def test_layouts_and_dtypes_agree(estimator: type, activation: str) -> None:
    X, y = make_data()
    X = np.round(4 * X)
    t = targets(estimator, y)
    patterns: Any = 20 if activation == "gated_relu" else "auto"
    make = functools.partial(estimator, activation, 2.0, patterns=patterns, **FAST)
    expected = make().fit(X, t).predict(X)
    wide = np.zeros((2 * len(X), 6))
    wide[::2, ::2] = X
    for other in (
        X.astype(np.float32),
        X.astype(int),
        np.asfortranarray(X),
        wide[::2, ::2],
        X.tolist(),
    ):
        fitted: Any = make().fit(other, t)
        np.testing.assert_array_equal(fitted.predict(other), expected)
