"""Training for the command line: the estimators, behind a progress bar."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

import pyconvexnn as cx
from pyconvexnn.certificates import Certificate
from pyconvexnn.cli.data import TrainingData
from pyconvexnn.cli.models import Model
from pyconvexnn.cli.terminal import Bar, progress, told_warnings
from pyconvexnn.networks import ACTIVATIONS
from pyconvexnn.solvers import Status
from pyconvexnn.training import Round

if TYPE_CHECKING:
    from pyconvexnn.estimators.samples import Samples
    from pyconvexnn.estimators.training import Trainer

TIME_LIMIT = 60.0  # seconds of column generation where the user sets none: it may take for ever


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
class Point:
    """One penalty of a path: the model trained with it, and what is known of that."""

    model: Model
    certificate: Certificate


def train(data: TrainingData, chosen: dict[str, Any]) -> Trained:
    """Train as the options of a command ask for, with a progress bar."""
    estimator = estimator_of(data, chosen, chosen["beta"])
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
        data.model(estimator.network_, estimator._units, chosen["beta"]),
        estimator.certificate_,
        sum(getattr(found, "n_patterns", 0) for found in solutions) or len(estimator.patterns_),
        sorted({found.status.name for found in solutions if found.status is not Status.SOLVED}),
        seconds,
        largest,
    )


def train_path(
    data: TrainingData, chosen: dict[str, Any], n_betas: int, min_ratio: float
) -> list[Point]:
    """Train for penalties in geometric progression, from the largest useful one down.

    Each training begins with the network of the one before and gets an equal share of the time
    left, at most half of it for the proof.

    Raises
    ------
    ValueError
        If no penalty is useful, all networks being zero.
    """
    from pyconvexnn.estimators.outputs import side_by_side, summed

    estimator = estimator_of(data, chosen, beta=1.0)
    limit = estimator.time_limit
    points: list[Point] = []
    with progress("training") as bar, told_warnings(but="ConvergenceWarning"):
        trainer, samples = _trainer(data, estimator)
        largest = trainer.beta_max()
        if not largest > 0.0:
            raise ValueError("no penalty has a network that is not zero; are all targets zero?")
        begun, outputs = time.perf_counter(), None
        for done, beta in enumerate((largest * np.geomspace(1.0, min_ratio, n_betas)).tolist()):
            bar.describe(f"beta {beta:.3g}, {done + 1} of {n_betas}")
            bar.advance_to(done / n_betas)
            now, share = time.perf_counter(), None
            if limit is not None:
                share = max(begun + limit - now, 0.0) / (n_betas - done)
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


def estimator_of(data: TrainingData, chosen: dict[str, Any], beta: float) -> Any:
    """The estimator that the options of a command ask for."""
    everything = _over_everything(chosen)
    limit = chosen["time_limit"]
    settings = {
        "beta": beta,
        "activation": chosen["activation"],
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
        return cx.ConvexMLPRegressor(**settings)
    weight = data.class_weight
    settings["class_weight"] = None if weight is None else dict(enumerate(weight))
    return cx.ConvexMLPClassifier(**settings)


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
    samples = estimator._samples(data.X, data.targets, data.sample_weight)
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
