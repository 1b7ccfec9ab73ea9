"""The choice of the penalty: folds, scores, rules, and the refit."""

from __future__ import annotations

import math
import re
import warnings
from typing import Any

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import r2_score
from sklearn.model_selection import KFold, StratifiedKFold

import pyconvexnn as cx
from pyconvexnn._typing import FloatArray
from pyconvexnn.estimators import cross_validation
from pyconvexnn.estimators.cross_validation import FOLD_TOL, Fold, _Stall
from pyconvexnn.training import Round
from tests.estimators.tasks import BOTH_CV, SINGLE, make_data, targets, with_ones
from tests.faults.ctrl_c import seconds_to_stop


def scores_of(est: Any) -> FloatArray:
    """(folds, penalties)."""
    results = est.cv_results_
    names = [name for name in results if name.startswith("split")]
    assert names == [f"split{k}_test_score" for k in range(len(names))]
    return np.array([results[name] for name in names])


# ---- folds ------------------------------------------------------------------------------------


@pytest.mark.parametrize("activation", ["relu", "gated_relu"])
@pytest.mark.parametrize("estimator", BOTH_CV)
@pytest.mark.parametrize("weighted", [False, True])
def test_scores_are_those_of_a_loop(estimator: type, activation: str, weighted: bool) -> None:
    X, y = make_data()
    # Class weights change the losses but not the scores.
    t: Any = y if estimator is cx.ConvexMLPRegressorCV else np.digitize(y, [0.0])
    own: dict[str, Any] = (
        {} if estimator is cx.ConvexMLPRegressorCV else {"class_weight": {0: 2.0, 1: 1.0}}
    )
    weight = np.random.default_rng(0).uniform(0.2, 2.0, 60) if weighted else None
    patterns: Any = "auto" if activation == "relu" else 40
    folds = (KFold if not own else StratifiedKFold)(3, shuffle=True, random_state=0)
    settings: dict[str, Any] = {"patterns": patterns, "scale": "standard", "tol": 1e-6, **own}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cross_validation, "FOLD_TOL", 1e-6)
        est: Any = estimator(activation, betas=[5.0, 0.5], cv=folds, certify=False, **settings)
        est.fit(X, t, weight)
    expected, neurons = np.zeros((3, 2)), np.zeros((3, 2))
    single = SINGLE[estimator](activation, certify=False, **settings)
    for k, (train, test) in enumerate(folds.split(X, t)):
        parts = [None, None] if weight is None else [weight[train], weight[test]]
        for j, beta in enumerate(est.betas_):
            one: Any = clone(single).set_params(beta=beta)
            one.fit(X[train], t[train], parts[0])
            expected[k, j] = one.score(X[test], t[test], parts[1])
            neurons[k, j] = one.network_.n_neurons
    np.testing.assert_allclose(scores_of(est), expected, atol=1e-3 if not own else 1e-12)
    results = est.cv_results_
    np.testing.assert_allclose(results["mean_test_score"], scores_of(est).mean(axis=0))
    np.testing.assert_allclose(results["std_test_score"], scores_of(est).std(axis=0))
    assert results["rank_test_score"][est.best_index_] == 1
    assert est.best_score_ == results["mean_test_score"].max()
    assert est.beta_ == est.betas_[est.best_index_] == results["beta"][est.best_index_]
    assert results["params"] == [{"beta": beta} for beta in est.betas_]
    assert np.all(results["mean_fit_time"] > 0)
    assert np.all(np.diff(results["mean_n_neurons"]) > 0)
    # The refit is that of the estimator without a choice.
    refit: Any = clone(single).set_params(beta=est.beta_).fit(X, t, weight)
    np.testing.assert_array_equal(est.predict(X), refit.predict(X))
    np.testing.assert_array_equal(est.coefs_[0], refit.coefs_[0])


def test_folds_are_trained_to_a_gap_of_their_own() -> None:
    X, y = make_data()
    tight: Any = cx.ConvexMLPRegressorCV(betas=6, cv=3, tol=1e-6, certify=False)
    rough = scores_of(tight.fit(X, y))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cross_validation, "FOLD_TOL", 1e-6)
        exact = scores_of(clone(tight).fit(X, y))
    assert FOLD_TOL == 1e-2
    assert 0.0 < np.abs(rough - exact).max() < 0.05


def round_of(iteration: int, objective: float) -> Round:
    return Round(iteration, objective, 0.0, 1.0, 10, 3, "search", 0.1)


def test_a_training_stalls_when_two_rounds_in_a_row_lower_the_objective_little() -> None:
    stall = _Stall()
    told = [10.0, 9.0, 8.999, 8.0, 7.999, 7.998]
    assert [stall(round_of(k + 1, value)) for k, value in enumerate(told)] == [False] * 5 + [True]
    # Another output begins: it is not compared with the one before.
    assert [stall(round_of(k + 1, 7.998)) for k in range(3)] == [False, False, True]


def test_folds_end_where_they_stall(monkeypatch: pytest.MonkeyPatch) -> None:
    # Near interpolation: what is left is a percent of the objective, and many rounds.
    rng = np.random.default_rng(0)
    X = rng.standard_normal((80, 6))
    y = np.sin(2 * X[:, 0]) + rng.standard_normal(80)
    fits: list[Any] = []
    train = cx.estimators.training.Trainer.train

    def told(self: Any, *args: Any, **options: Any) -> Any:
        outputs = train(self, *args, **options)
        fits.append(outputs[0].solution)
        return outputs

    monkeypatch.setattr(cx.estimators.training.Trainer, "train", told)
    est: Any = cx.ConvexMLPRegressorCV(betas=[0.003], cv=2, tol=1e-2, certify=False)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # a stall is nothing to warn of
        est.fit(X, y)
        monkeypatch.setattr(cross_validation, "_STALLED", -math.inf)
        est.fit(X, y)
    spared = 0
    for stalled, full in zip(fits[:2], fits[3:5], strict=True):
        assert stalled.status is cx.Status.INTERRUPTED
        assert full.status is cx.Status.SOLVED
        spared += len(full.history) - len(stalled.history)
        found = stalled.history[-1].objective, full.history[-1].objective
        assert found[1] <= found[0] < 1.05 * found[1]
    assert spared > 0


@pytest.mark.parametrize("estimator", BOTH_CV)
@pytest.mark.parametrize("activation", ["relu", "gated_relu"])
def test_folds_in_processes_of_their_own_change_no_bit(estimator: type, activation: str) -> None:
    X, y = make_data()
    t, weight = targets(estimator, y), np.arange(60) % 3 + 0.5
    est: Any = estimator(
        activation,
        betas=3,
        cv=3,
        certify=False,
        patterns=40 if activation == "gated_relu" else "auto",
        random_state=np.random.default_rng(3),  # every fold has one that is at the same place
    )
    one, two = clone(est).fit(X, t, weight), clone(est).set_params(n_jobs=2).fit(X, t, weight)
    np.testing.assert_array_equal(scores_of(one), scores_of(two))
    np.testing.assert_array_equal(one.betas_, two.betas_)
    np.testing.assert_array_equal(one.predict(X), two.predict(X))


def test_any_way_to_say_what_the_folds_are() -> None:
    X, y = make_data()
    make: Any = lambda cv: cx.ConvexMLPRegressorCV(betas=[1.0, 0.1], cv=cv, certify=False)  # noqa: E731
    expected = scores_of(make(3).fit(X, y))
    pairs = list(KFold(3).split(X))
    masks = [tuple(np.isin(np.arange(60), rows) for rows in pair) for pair in pairs]
    for cv in (KFold(3), pairs, iter(pairs), masks):
        np.testing.assert_array_equal(scores_of(make(cv).fit(X, y)), expected)
    single = make([pairs[0]]).set_params(rule="1se").fit(X, y)  # one fold has no standard error
    np.testing.assert_array_equal(scores_of(single), expected[:1])
    classes: Any = cx.ConvexMLPClassifierCV(betas=[1.0], cv=3, certify=False)
    np.testing.assert_array_equal(
        scores_of(clone(classes).fit(X, y > 0)),
        scores_of(classes.set_params(cv=StratifiedKFold(3)).fit(X, y > 0)),
    )


@pytest.mark.parametrize("activation", ["relu", "gated_relu"])
def test_given_patterns_are_restricted_to_the_folds(activation: str) -> None:
    X, y = make_data()
    some = cx.sample_patterns(with_ones(X), 40)
    est: Any = cx.ConvexMLPRegressorCV(
        activation, patterns=some, betas=[1.0, 0.1], cv=3, certify=False, tol=1e-2
    ).fit(X, y)
    assert est.patterns_ == some
    expected = []
    for train, test in KFold(3).split(X):
        one = cx.ConvexMLPRegressor(activation, 0.1, patterns=some.restrict(train), tol=1e-8)
        expected.append(one.fit(X[train], y[train]).score(X[test], y[test]))
    np.testing.assert_allclose(scores_of(est)[:, 1], expected, atol=0.03)


@pytest.mark.parametrize("activation", ["relu", "gated_relu"])
def test_a_fold_that_lacks_a_class(activation: str) -> None:
    X, y = make_data()
    t = np.digitize(y, [-0.3, 0.3])
    order = np.argsort(t, kind="stable")
    X, t = X[order], t[order]
    lacking = [
        (np.flatnonzero(t != 2), np.flatnonzero(t == 2)),
        *KFold(2, shuffle=True, random_state=0).split(X),
    ]
    est: Any = cx.ConvexMLPClassifierCV(
        activation,
        betas=[1.0, 0.1],
        cv=lacking,
        certify=False,
        patterns="auto" if activation == "relu" else 40,
    ).fit(X, t)
    assert est.classes_.tolist() == [0, 1, 2]
    # No label of the class that training never saw.
    np.testing.assert_array_equal(scores_of(est)[0], [0.0, 0.0])
    assert scores_of(est)[1:].min() > 0.5
    one = np.flatnonzero(t == 0)
    two: Any = clone(est).set_params(cv=[(one, one)]).fit(X, t == 0)
    np.testing.assert_array_equal(scores_of(two)[0], [1.0, 1.0])
    # With an offset that is free no network would be best.
    with pytest.raises(ValueError, match=r"must hold both -1 and \+1 among the rows"):
        two.set_params(output_offset=True).fit(X, t == 0)


@pytest.mark.slow
@pytest.mark.parametrize("n_jobs", [None, 2])
def test_ctrl_c_ends_all_folds(n_jobs: int | None) -> None:
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((1500, 30)), rng.standard_normal(1500)
    est: Any = cx.ConvexMLPRegressorCV(n_jobs=n_jobs, cv=3, betas=[1e-3])
    for after in (0.5, 6.0):  # while processes start, and while they train
        assert seconds_to_stop(lambda: est.fit(X, y), after) < 1.0
    assert clone(est).fit(X[:40, :2], y[:40]).betas_.tolist() == [1e-3]


# ---- scores -----------------------------------------------------------------------------------


def test_scoring() -> None:
    X, y = make_data()

    def largest_error(est: Any, X: FloatArray, y: FloatArray) -> float:
        return -float(np.abs(est.predict(X) - y).max())

    make: Any = lambda scoring: cx.ConvexMLPRegressorCV(  # noqa: E731
        betas=[1.0, 0.1], cv=3, scoring=scoring, certify=False
    )
    plain = scores_of(make(None).fit(X, y))
    np.testing.assert_array_equal(scores_of(make("r2").fit(X, y)), plain)
    errors = scores_of(make("neg_mean_squared_error").fit(X, y))
    for k, (_, test) in enumerate(KFold(3).split(X)):
        spread = np.var(y[test])
        np.testing.assert_allclose(errors[k], -(1 - plain[k]) * spread, rtol=1e-9)
    assert np.all(scores_of(make(largest_error).fit(X, y)) < 0)
    classes: Any = cx.ConvexMLPClassifierCV(
        betas=[1.0, 0.1], cv=3, scoring="neg_log_loss", certify=False
    )
    assert np.all(scores_of(classes.fit(X, np.where(y > 0, "up", "down"))) < 0)
    with pytest.raises(ValueError, match="scoring"):
        make("r3").fit(X, y)


def test_weights_are_of_losses_and_scores() -> None:
    X, y = make_data()
    weight = np.where(np.arange(60) % 4 == 0, 0.0, 1.0)
    wrong = np.where(weight == 0, 100.0, y)
    make: Any = lambda: cx.ConvexMLPRegressorCV(betas=[1.0, 0.1], cv=3, certify=False)  # noqa: E731
    clean = scores_of(make().fit(X, y, weight))
    np.testing.assert_array_equal(scores_of(make().fit(X, wrong, weight)), clean)
    kept = np.flatnonzero(weight)
    folds = [
        (
            np.searchsorted(kept, np.intersect1d(a, kept)),
            np.searchsorted(kept, np.intersect1d(b, kept)),
        )
        for a, b in KFold(3).split(X)
    ]
    without = make().set_params(cv=folds).fit(X[kept], y[kept])
    np.testing.assert_allclose(scores_of(without), clean, rtol=1e-12)


def test_the_score_is_the_mean_of_r2_with_the_weights() -> None:
    X, y = make_data()
    weight = np.random.default_rng(0).uniform(0.2, 2.0, 60)
    est: Any = cx.ConvexMLPRegressorCV(betas=[1e5], cv=2, certify=False, output_offset=True)
    est.fit(X, y, weight)
    for k, (train, test) in enumerate(KFold(2).split(X)):
        mean = np.average(y[train], weights=weight[train])  # the network is its offset
        expected = r2_score(y[test], np.full(len(test), mean), sample_weight=weight[test])
        assert scores_of(est)[k, 0] == pytest.approx(expected, rel=1e-9)


def hand_made(scores: Any, rule: str) -> Any:
    est: Any = cx.ConvexMLPRegressorCV(rule=rule)
    scores = np.asarray(scores, dtype=float)
    est.betas_ = np.geomspace(10.0, 0.1, scores.shape[1])
    ones = np.ones(scores.shape[1])
    est._take_scores([Fold(row, ones, ones.astype(np.int64), 0) for row in scores])
    return est


def test_the_rules_on_hand_made_scores() -> None:
    scores = [[0.1, 0.70, 0.76, 0.90], [0.2, 0.74, 0.84, 0.80], [0.3, 0.78, 0.88, 0.70]]
    mean = np.mean(scores, axis=0)  # .2, .74, .82667, .8: the third is best
    error = np.std([0.76, 0.84, 0.88], ddof=1) / math.sqrt(3)  # .035
    assert mean[1] < mean[2] - error < mean[3]
    assert hand_made(scores, "best").best_index_ == 2
    assert hand_made(scores, "1se").best_index_ == 2
    scores[0][1] = 0.90  # mean .80667: within it
    one = hand_made(scores, "1se")
    assert (one.best_index_, one.beta_) == (1, one.betas_[1])
    assert one.best_score_ == pytest.approx(np.mean([0.90, 0.74, 0.78]))
    assert one.cv_results_["rank_test_score"].tolist() == [4, 2, 1, 3]
    assert hand_made(scores, "best").best_index_ == 2
    # Of equal scores the largest penalty; with one fold there is no standard error.
    assert hand_made([[0.5, 0.7, 0.7], [0.5, 0.7, 0.7]], "best").best_index_ == 1
    assert hand_made([[0.6, 0.7, 0.8]], "1se").best_index_ == 2


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_scores_that_are_not_finite_are_refused(value: float) -> None:
    X, y = make_data()
    est: Any = cx.ConvexMLPRegressorCV(betas=[1.0], scoring=lambda est, X, y: value)
    with pytest.raises(ValueError, match=f"`scoring` must give a finite score in .*, got {value}"):
        est.fit(X, y)
    with (
        pytest.warns(UserWarning, match="R\\^2 score is not well-defined"),
        pytest.raises(ValueError, match="too few rows"),
    ):
        cx.ConvexMLPRegressorCV(betas=[1.0], cv=4).fit(X[:4], y[:4])


# ---- the refit --------------------------------------------------------------------------------


def test_only_the_refit_certifies(monkeypatch: pytest.MonkeyPatch) -> None:
    X, y = make_data()
    proofs: list[Any] = []
    for way in ("Generating", "OnPatterns"):
        cls = getattr(cx.estimators.training, way)

        def told(self: Any, *args: Any, proof: Any, train: Any = cls.train, **options: Any) -> Any:
            proofs.append(proof)
            return train(self, *args, proof=proof, **options)

        monkeypatch.setattr(cls, "train", told)
    for activation in ("relu", "gated_relu"):
        est: Any = cx.ConvexMLPRegressorCV(activation, betas=[1.0, 0.5], cv=2)
        for certify, last in ((True, 10.0), ("full", math.inf), (False, None)):
            proofs.clear()
            est.set_params(certify=certify, patterns="auto" if activation == "relu" else 30)
            est.fit(X, y)
            assert proofs == [None] * 4 + [last]
            assert (est.certificate_ is None) == (certify is False)


def test_one_warning_for_all_folds() -> None:
    X, y = make_data()
    est = cx.ConvexMLPRegressorCV(betas=[1.0, 0.01], cv=3, max_iter=1, certify=False)
    with pytest.warns(ConvergenceWarning) as caught:
        est.fit(X, y)
    messages = [str(warning.message) for warning in caught]
    assert len(messages) == 2  # and that of the refit
    assert re.match(
        r"[1-6] of 6 trainings on folds ended before their tolerance 0\.01; ", messages[0]
    )
    assert "status MAX_ITER" in messages[1]
    assert caught[0].filename == __file__


def test_folds_do_not_tell_again_that_there_are_fewer_patterns() -> None:
    X, y = make_data(12, 2)
    est: Any = cx.ConvexMLPRegressorCV("gated_relu", patterns=5000, betas=[1.0], cv=3)
    with pytest.warns(UserWarning, match="distinct patterns, which are all") as caught:
        est.fit(X, y)
    assert len(caught) == 1


def test_a_bar_is_shown_on_demand(capsys: pytest.CaptureFixture[str]) -> None:
    X, y = make_data()
    est = cx.ConvexMLPRegressorCV(betas=[1.0], cv=3, certify=False)
    est.fit(X, y)
    assert capsys.readouterr().err == ""
    expected = est.cv_results_["mean_test_score"]
    est.set_params(verbose=1).fit(X, y)
    assert "cross-validation" in capsys.readouterr().err
    np.testing.assert_array_equal(est.cv_results_["mean_test_score"], expected)
