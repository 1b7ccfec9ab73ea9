"""Training for the command line: the estimators, behind a progress bar."""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

import pyconvexnn as cx
from pyconvexnn.certificates import Certificate
from pyconvexnn.cli.data import TrainingData
from pyconvexnn.cli.models import Model
from pyconvexnn.cli.terminal import Bar, progress, say, told_warnings
from pyconvexnn.networks import ACTIVATIONS
from pyconvexnn.solvers import Status
from pyconvexnn.training import Round

if TYPE_CHECKING:
    from pyconvexnn.estimators.samples import Samples
    from pyconvexnn.estimators.training import Trainer

TIME_LIMIT = 60.0  # seconds of column generation where the user sets none: it may take for ever
N_BETAS, MIN_RATIO = 20, 0.01  # penalties to choose from, the smallest over the largest
FOLDS = 5


@dataclass(frozen=True)
class Trained:
    """A model, what is known of it, and how that came about.

    Attributes
    ----------
    model : Model
        Trained.
    certificate : Certificate
        Its objective and a lower bound, each summed over the classes where they are several.
    n_patterns : int
        Patterns looked at.
    reasons : list of str
        Names of the statuses that are not SOLVED.
    seconds : float
        Of the training.
    beta_max : float or None
        Penalty from which on the best network has no neurons, as far as found; None on a sample
        and for several outputs.
    """

    model: Model
    certificate: Certificate
    n_patterns: int
    reasons: list[str]
    seconds: float
    beta_max: float | None


@dataclass(frozen=True)
class Choice:
    """Penalties compared by cross-validation.

    Attributes
    ----------
    betas : list of float
        Falling.
    scores, errors : list of float
        Mean over the folds of the score on the rows held out, and its standard error.
    best, chosen : int
        Place of the best mean, and of what the rule chooses.
    """

    betas: list[float]
    scores: list[float]
    errors: list[float]
    best: int
    chosen: int

    @property
    def beta(self) -> float:
        """The penalty chosen."""
        return self.betas[self.chosen]


@dataclass(frozen=True)
class Point:
    """One penalty of a path: the model trained with it, and what is known of that."""

    model: Model
    certificate: Certificate


def train(data: TrainingData, chosen: dict[str, Any], beta: float) -> Trained:
    """Train as the options of a command ask for, with a progress bar."""
    estimator = _estimator(data, chosen, beta=beta)
    start = time.perf_counter()
    with progress("training") as bar, told_warnings(but="ConvergenceWarning"):
        # Without a terminal there is no callback, so that nothing stops the solver.
        follow = _follower(bar, estimator.tol) if bar.visible else None
        estimator._fit(data.X, data.y, callback=follow)
        seconds, largest = time.perf_counter() - start, None
        if _over_everything(chosen) and data.targets.shape[1] == 1:
            largest = _trainer(data, estimator)[0].beta_max()
    solutions = estimator.solution_
    solutions = solutions if isinstance(solutions, list) else [solutions]
    return Trained(
        data.model(estimator.network_, estimator._units, beta),
        estimator.certificate_,
        sum(getattr(found, "n_patterns", 0) for found in solutions) or len(estimator.patterns_),
        sorted({found.status.name for found in solutions if found.status is not Status.SOLVED}),
        seconds,
        largest,
    )


def grid(
    data: TrainingData,
    chosen: dict[str, Any],
    n_betas: int = N_BETAS,
    min_ratio: float = MIN_RATIO,
) -> list[float]:
    """Penalties in geometric progression, from the largest useful one down.

    Raises
    ------
    ValueError
        If no penalty is useful, all networks being zero.
    """
    with progress("largest penalty"), told_warnings(but="ConvergenceWarning"):
        largest = _trainer(data, _estimator(data, chosen))[0].beta_max()
    if not largest > 0.0:
        raise ValueError("no penalty has a network that is not zero; are all targets zero?")
    return list((largest * np.geomspace(1.0, min_ratio, n_betas)).tolist())


def train_path(data: TrainingData, chosen: dict[str, Any], betas: Sequence[float]) -> list[Point]:
    """Train for falling penalties.

    Each training begins with the network of the one before and gets an equal share of the time
    left, at most half of it for the proof.
    """
    from pyconvexnn.training.outputs import side_by_side, summed

    estimator = _estimator(data, chosen)
    limit = estimator.time_limit
    points: list[Point] = []
    with progress("training") as bar, told_warnings(but="ConvergenceWarning"):
        trainer, samples = _trainer(data, estimator)
        begun, outputs = time.perf_counter(), None
        for done, beta in enumerate(betas):
            bar.describe(f"beta {beta:.3g}, {done + 1} of {len(betas)}")
            bar.advance_to(done / len(betas))
            now, share = time.perf_counter(), None
            if limit is not None:
                share = max(begun + limit - now, 0.0) / (len(betas) - done)
            outputs = trainer.train(
                beta,
                starts=outputs,
                proof=0.0 if share is None else share / 2,
                deadline=None if share is None else now + share,
            )
            network = samples.units.original(side_by_side([out.network for out in outputs]))
            certificates = [out.certificate for out in outputs if out.certificate is not None]
            points.append(Point(data.model(network, samples.units, beta), summed(certificates)))
    return points


def choose(data: TrainingData, chosen: dict[str, Any], betas: Sequence[float]) -> Choice:
    """Compare falling penalties by cross-validation, as the options ``cv`` and ``rule`` say.

    Rows are shuffled: those of a file are often sorted. On every fold the penalties share the time
    limit.

    Raises
    ------
    ValueError
        If there are too few rows for the folds.
    """
    from sklearn.model_selection import KFold, StratifiedKFold

    if data.classes is None and len(data.X) < 2 * chosen["cv"]:  # R2 needs two rows
        raise ValueError(
            f"--cv must be at most half the number of rows, {len(data.X)}; got {chosen['cv']}"
        )
    kind = KFold if data.classes is None else StratifiedKFold
    settings = {
        "betas": betas,
        "cv": kind(chosen["cv"], shuffle=True, random_state=chosen["seed"]),
        "rule": chosen["rule"],
        "n_jobs": chosen["threads"],
    }
    estimator = _estimator(data, chosen, chooses=True, **settings)
    estimator.set_params(certify=False, threads=None)
    if estimator.time_limit is not None:
        estimator.set_params(time_limit=estimator.time_limit / len(betas))
    with progress("cross-validation"), told_warnings():
        # What the folds came to is told, not what the network of all samples did, made in passing.
        warnings.filterwarnings("ignore", "(training|solve) stopped with status", UserWarning)
        estimator.fit(data.X, data.y)
    if estimator.best_index_ == len(betas) - 1:
        say("the smallest beta was chosen: `pyconvexnn path` with a smaller --min-ratio goes on")
    results = estimator.cv_results_
    folds = np.array([results[f"split{k}_test_score"] for k in range(chosen["cv"])])
    return Choice(
        list(betas),
        results["mean_test_score"].tolist(),
        (folds.std(axis=0, ddof=1) / np.sqrt(len(folds))).tolist(),
        int(np.argmax(results["mean_test_score"])),
        estimator.best_index_,
    )


def _estimator(
    data: TrainingData, chosen: dict[str, Any], *, chooses: bool = False, **more: Any
) -> Any:
    """The estimator that the options of a command ask for, one that chooses beta or not."""
    everything = _over_everything(chosen)
    limit = chosen["time_limit"]
    settings = {
        **more,
        "activation": chosen["activation"],
        "loss": data.loss,
        "patterns": _pattern_option(chosen["patterns"]),
        "fit_intercept": chosen["intercept"],
        "output_offset": chosen["output_offset"],
        "scale": chosen["scale"],
        # All that is told of a network over all patterns is what is proved of it.
        "certify": "full" if everything else True,
        "tol": chosen["tol"],
        "time_limit": TIME_LIMIT if limit is None and everything else limit,
        "threads": chosen["threads"],
        "random_state": chosen["seed"],
    }
    if data.classes is None:
        return (cx.ConvexMLPRegressorCV if chooses else cx.ConvexMLPRegressor)(**settings)
    weight = data.class_weight
    settings["class_weight"] = None if weight is None else dict(enumerate(weight))
    return (cx.ConvexMLPClassifierCV if chooses else cx.ConvexMLPClassifier)(**settings)


def _over_everything(chosen: dict[str, Any]) -> bool:
    """Whether training is column generation over all patterns, not over a list of them."""
    return chosen["patterns"] == "auto" and chosen["activation"] in ACTIVATIONS


def _pattern_option(text: str) -> str | int:
    try:
        return int(text)
    except ValueError:
        return text


def _trainer(data: TrainingData, estimator: Any) -> tuple[Trainer, Samples]:
    """What an estimator trains with, and on."""
    from pyconvexnn.estimators.training import trainer_of

    estimator._check_settings()
    samples = estimator._samples(data.X, data.targets, None, data.sample_weight)
    return trainer_of(estimator._settings(), samples), samples


def _follower(bar: Bar, tol: float) -> Callable[[cx.Progress | Round], bool]:
    """Callback that shows how far the relative gap has come from 1 to tol, in decades."""

    def follow(state: cx.Progress | Round) -> bool:
        if isinstance(state, Round):
            bound, seen = (
                state.lower_bound,
                f"{state.n_neurons} neurons, {state.n_patterns} patterns",
            )
        else:
            bound, seen = state.dual_objective, f"{state.active} neurons"
        gap = (state.objective - bound) / abs(state.objective or 1.0)
        bar.show_gap(gap, tol)
        known = "nothing proved yet" if math.isinf(gap) else f"relative gap {gap:.1e}"
        bar.describe(f"{known}, {seen}")
        return False

    return follow
