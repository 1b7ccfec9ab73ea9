"""What the estimators that choose their penalty share: grid, folds, choice, refit."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import numbers
import threading
import time
import warnings
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np
from joblib import Parallel, delayed
from scipy.stats import rankdata
from sklearn.base import clone, is_classifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import check_scoring
from sklearn.model_selection import check_cv

from pyconvexnn._typing import FloatArray, IndexArray
from pyconvexnn._validation import (
    as_real_array,
    choice,
    describe,
    positive,
    positive_int,
    room_for,
)
from pyconvexnn.estimators.base import BaseConvexMLP
from pyconvexnn.estimators.checks import named
from pyconvexnn.estimators.training import trainer_of
from pyconvexnn.patterns import PatternSet
from pyconvexnn.problems.masked import SMALLEST_BETA
from pyconvexnn.solvers import Progress, Status
from pyconvexnn.training import Round

RULES = ("best", "1se")
FOLD_TOL = 1e-2  # relative gap to which folds are trained; a finer one moves scores by .01
_STALLED = 1e-3  # of the objective: two rounds in a row that lower it by less are the last
_DONE = (Status.SOLVED, Status.INTERRUPTED)  # the latter at a stall


class Fold(NamedTuple):
    """What one fold tells of every penalty, in their order.

    Attributes
    ----------
    scores : (k,) float64
        On the rows held out.
    seconds : (k,) float64
        Of training.
    neurons : (k,) int64
        Of the network.
    unsolved : int
        Trainings that ended before their tolerance.
    """

    scores: FloatArray
    seconds: FloatArray
    neurons: IndexArray
    unsolved: int


class ChoosesBeta(BaseConvexMLP):
    """Cross-validation for an estimator; a mixin before it.

    It has the settings of that estimator but `beta`, and those named here.
    """

    betas: Any
    beta_min_ratio: float
    cv: Any
    rule: str
    scoring: Any
    n_jobs: int | None

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Any:
        """Choose the penalty, and train the network with it on all samples.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_samples, n_features)
            Samples.
        y : array-like of shape (n_samples,) or, of a regressor, (n_samples, K)
            Targets, or class labels.
        sample_weight : array-like of shape (n_samples,), optional
            Weights >= 0 of the samples, in the losses and in the scores; 1 by default.

        Returns
        -------
        self : object
            The fitted estimator.

        Raises
        ------
        ValueError, TypeError
            If a setting or the data are not as described, or a score is not finite; the message
            names which.
        MemoryError
            If ``patterns="exact"`` means more patterns than a program can hold in memory.
        NotImplementedError
            If a setting asks for what is not available yet.

        Warns
        -----
        ConvergenceWarning
            If trainings on folds, or the last one, stopped before their tolerance.
        """
        self._check_settings()
        choice(self.rule, "rule", RULES)
        self._check_scoring()
        _check_jobs(self.n_jobs)
        X, Y, *weights = self._targets(X, y, sample_weight)
        samples = self._samples(X, Y, *weights)
        trainer = trainer_of(self._settings(), samples)
        self.betas_ = _grid(self.betas, self.beta_min_ratio, trainer.beta_max)

        y = self._as_given(Y)
        jobs = [
            delayed(_try_betas)(self._for_fold(), X, Y, y, *weights, train, test, self.betas_)
            for train, test in _folds(self.cv, X, y, classifier=is_classifier(self))
        ]
        if not jobs:
            raise ValueError(f"`cv` must give at least one fold, got none from {self.cv!r}")
        parallel = Parallel(n_jobs=self.n_jobs, return_as="generator")
        with _without_convergence_warnings():
            folds = list(_with_bar(parallel(jobs), len(jobs), shown=self.verbose > 0))
        self._take_scores(folds)
        self._train(samples, trainer, self.beta_, time.perf_counter())
        return self

    def _check_scoring(self) -> None:
        if isinstance(self.scoring, (list, tuple, set, dict)):
            raise TypeError(f"`scoring` must give a number, got {describe(self.scoring)}")
        with named("scoring", self.scoring):
            check_scoring(self, self.scoring)

    def _as_given(self, Y: FloatArray) -> Any:
        """Targets as scores want them: labels of classes, or numbers, (n,) or (n, K)."""
        if not is_classifier(self):
            return Y[:, 0] if Y.shape[1] == 1 else Y
        codes = Y[:, 0] > 0 if Y.shape[1] == 1 else Y.argmax(axis=1)
        return self.classes_[codes.astype(np.int64)]

    def _for_fold(self) -> Any:
        """An estimator of the same settings, and what it has to know to predict."""
        parts = {  # the folds themselves are made already, perhaps by a generator
            name: clone(value, safe=False)
            for name, value in self.get_params(deep=False).items()
            if name not in ("betas", "cv")
        }
        other = type(self)(**parts)
        for name in ("n_features_in_", "classes_", "out_activation_"):
            if hasattr(self, name):
                setattr(other, name, getattr(self, name))
        return other

    def _take_scores(self, folds: list[Fold]) -> None:
        """Set `cv_results_`, and the penalty that the rule chooses."""
        scores = np.array([fold.scores for fold in folds])
        mean = scores.mean(axis=0)
        if not np.all(np.isfinite(mean)):
            raise ValueError(
                "`scoring` must give a finite score in every fold, got "
                f"{scores[~np.isfinite(scores)][0]} (are there too few rows for `cv`?)"
            )
        self.cv_results_ = {
            "beta": self.betas_.copy(),
            "params": [{"beta": beta} for beta in self.betas_.tolist()],
            **{f"split{i}_test_score": row for i, row in enumerate(scores)},
            "mean_test_score": mean,
            "std_test_score": scores.std(axis=0),
            "rank_test_score": rankdata(-mean, method="min").astype(np.int32),
            "mean_fit_time": np.mean([fold.seconds for fold in folds], axis=0),
            "mean_n_neurons": np.mean([fold.neurons for fold in folds], axis=0),
        }
        best = int(mean.argmax())  # of equal ones the largest penalty
        if self.rule == "1se" and len(folds) > 1:
            error = scores[:, best].std(ddof=1) / np.sqrt(len(folds))
            best = int(np.argmax(mean >= mean[best] - error))
        self.best_index_ = best
        self.beta_ = float(self.betas_[best])
        self.best_score_ = float(mean[best])
        unsolved = sum(fold.unsolved for fold in folds)
        if unsolved:
            warnings.warn(
                f"{unsolved} of {scores.size} trainings on folds ended before their tolerance "
                f"{max(float(self.tol), FOLD_TOL):g}; larger penalties or more time would do",
                ConvergenceWarning,
                stacklevel=3,
            )


def _folds(cv: Any, X: FloatArray, y: Any, *, classifier: bool) -> list[tuple[Any, Any]]:
    """Rows to train and to score on, of every fold."""
    rows = np.arange(len(X))
    with named("cv", cv):
        splits = check_cv(cv, y, classifier=classifier).split(X, y)
        return [(rows[train], rows[test]) for train, test in splits]


def _check_jobs(n_jobs: Any) -> None:
    if n_jobs is None:
        return
    if isinstance(n_jobs, (bool, np.bool_)) or not isinstance(n_jobs, numbers.Integral):
        raise TypeError(f"`n_jobs` must be an integer or None, got {describe(n_jobs)}")
    if n_jobs == 0:
        raise ValueError("`n_jobs` must not be 0, got 0")


def _try_betas(
    est: Any,
    X: FloatArray,
    Y: FloatArray,
    y: Any,
    weight: FloatArray | None,
    class_weight: FloatArray | None,
    train: IndexArray,
    test: IndexArray,
    betas: FloatArray,
) -> Fold:
    """Train on some rows for each penalty, from the one before, and score on the others.

    Parameters
    ----------
    est : ChoosesBeta
        Settings; it is changed.
    X, Y, y : arrays of n rows
        Data, targets for the losses, and for the score.
    weight, class_weight : (n,) float64 or None
        Weights that the user gave, of losses and of the score, and those of the classes.
    train, test : integers
        Rows.
    betas : (k,) float64
        Penalties, falling.
    """
    settings = dataclasses.replace(est._settings(), verbose=0)
    settings = dataclasses.replace(settings, tol=max(settings.tol, FOLD_TOL))
    if isinstance(est.patterns, PatternSet):
        settings = dataclasses.replace(settings, patterns=est.patterns.restrict(train))
    weights = [None if w is None else w[train] for w in (weight, class_weight)]
    if not X[train].size or (weight is not None and not np.any(weights[0])):
        raise ValueError(
            "`cv` must leave rows of positive weight to train on in every fold, got one without"
        )
    samples = est._samples(X[train], Y[train], *weights)
    scorer = check_scoring(est, est.scoring)
    options = {} if weight is None else {"sample_weight": weight[test]}
    scores, seconds, neurons = [], [], []
    unsolved, outputs = 0, None
    # In a thread of its own the filters are those of all threads, which `fit` has set.
    alone = threading.current_thread() is threading.main_thread()
    with _without_convergence_warnings() if alone else contextlib.nullcontext():
        trainer = trainer_of(settings, samples)
        for beta in betas.tolist():
            begun = time.perf_counter()
            deadline = None if est.time_limit is None else begun + float(est.time_limit)
            outputs = trainer.train(
                beta, starts=outputs, proof=None, deadline=deadline, callback=_Stall()
            )
            seconds.append(time.perf_counter() - begun)
            unsolved += any(out.solution.status not in _DONE for out in outputs)
            est._take(samples, outputs, beta)
            neurons.append(est.network_.n_neurons)
            scores.append(_as_score(scorer(est, X[test], y[test], **options)))
    return Fold(np.array(scores), np.array(seconds), np.array(neurons), unsolved)


class _Stall:
    """Ends a training once rounds lower the objective no more; to be called with each.

    Near interpolation a hundred rounds more would follow, for a percent of the objective.
    """

    def __init__(self) -> None:
        self._objective, self._stalled = math.inf, 0

    def __call__(self, state: Progress | Round) -> bool:
        if isinstance(state, Progress) or state.iteration == 1:
            self._stalled = 0  # solvers of one program end soon; another output begins
        elif state.objective > (1 - _STALLED) * self._objective:
            self._stalled += 1
        else:
            self._stalled = 0
        self._objective = state.objective
        return self._stalled >= 2


def _as_score(score: Any) -> float:
    try:
        return float(score)
    except (TypeError, ValueError):
        raise TypeError(f"`scoring` must give a number, got {describe(score)}") from None


def _grid(betas: Any, ratio: Any, largest: Any) -> FloatArray:
    """Penalties, falling: those given, or so many in geometric progression from the largest."""
    if hasattr(betas, "__index__") and not isinstance(betas, (bool, np.ndarray)):
        count, ratio = positive_int(betas, "betas"), positive(ratio, "beta_min_ratio")
        if ratio >= 1:
            raise ValueError(f"`beta_min_ratio` must be < 1, got {ratio!r}")
        room_for((count,), "betas")
        top = max(largest(), SMALLEST_BETA / ratio)
        return np.asarray(top * np.geomspace(1.0, ratio, count))
    if isinstance(betas, (bool, float, str)):
        raise TypeError(f"`betas` must be an integer or an array, got {describe(betas)}")
    grid = as_real_array(betas, "betas").astype(np.float64)
    if grid.ndim != 1 or not len(grid):
        raise ValueError(f"`betas` must have 1 dimension and an entry, got shape {grid.shape}")
    wrong = grid[~(np.isfinite(grid) & (grid >= SMALLEST_BETA))]
    if len(wrong):
        raise ValueError(f"`betas` must be finite and >= {SMALLEST_BETA:g}, got {wrong[0]}")
    return np.sort(grid)[::-1].copy()


@contextlib.contextmanager
def _without_convergence_warnings() -> Iterator[None]:
    """Nothing is said of single trainings: one warning is, of all folds."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        # Folds have fewer patterns than all samples, of which it is said.
        warnings.filterwarnings("ignore", "found .* distinct patterns", UserWarning)
        yield


def _with_bar(folds: Iterable[Fold], total: int, *, shown: bool) -> Iterable[Fold]:
    """The folds as they are done, with a tqdm bar if it is to be shown."""
    if not shown:
        return folds
    from tqdm import tqdm

    bar: Iterable[Fold] = tqdm(folds, desc="cross-validation", unit="fold", total=total)
    return bar
