"""Training and proving for the command line: column generation, or an estimator on patterns."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

import pyconvexnn as cx
from pyconvexnn._typing import FloatArray
from pyconvexnn._validation import positive
from pyconvexnn.certificates import Certificate
from pyconvexnn.cli.models import Model
from pyconvexnn.cli.terminal import Bar, progress, told_warnings
from pyconvexnn.networks import ACTIVATIONS, Network
from pyconvexnn.solvers import Status
from pyconvexnn.training import Round

TIME_LIMIT = 60.0  # seconds of column generation where the user sets none: it may take for ever
_BETA_MAX_LIMIT = 1.0


@dataclass(frozen=True)
class Trained:
    """A network, what is known of it, and how that came about.

    Attributes
    ----------
    network : GatedNetwork or TwoLayerNetwork
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

    network: Network
    certificate: Certificate
    n_patterns: int
    reasons: list[str]
    seconds: float
    beta_max: float | None = None


def targets_of(codes: Any, classes: list[str] | None) -> FloatArray:
    """Columns of targets, one for each output: numbers as they are, classes as -1 and +1."""
    from pyconvexnn.estimators.classifier import signs

    return codes[:, np.newaxis] if classes is None else signs(codes, len(classes))


def train(X: FloatArray, y: Any, classes: list[str] | None, options: dict[str, Any]) -> Trained:
    """Train as the options of the command ask for, with a progress bar.

    Without gates and without a number of patterns that is column generation over all patterns;
    otherwise an estimator on a sample.
    """
    import pyconvexnn.estimators  # noqa: F401  # loads scikit-learn before the clock starts

    everything = options["patterns"] == "auto" and options["activation"] in ACTIVATIONS
    start = time.perf_counter()
    with progress("training") as bar, told_warnings(but="ConvergenceWarning"):
        found = (_generate if everything else _sample)(X, y, classes, options, bar)
        seconds = time.perf_counter() - start
        largest = _beta_max(X, y, classes, options) if everything else None
    return Trained(*found, seconds=seconds, beta_max=largest)


def score(model: Model, X: FloatArray, y: Any) -> float:
    """R2 of a regression, accuracy of a classification."""
    from sklearn.metrics import r2_score

    predictions = model.predict(X)["prediction"]
    if model.classes is None:
        return float(r2_score(y, predictions))
    return float(np.mean(np.array(model.classes)[y] == predictions))


# ---- over all patterns -------------------------------------------------------------------------


def _generate(
    X: FloatArray, y: Any, classes: list[str] | None, options: dict[str, Any], bar: Bar
) -> tuple[Network, Certificate, int, list[str]]:
    """One run of column generation for each output, within its share of the time."""
    from pyconvexnn.estimators.outputs import side_by_side, summed
    from pyconvexnn.estimators.samples import with_intercept

    data = with_intercept(X, 1.0 if options["intercept"] else None)
    rtol, limit = positive(options["tol"], "tol"), options["time_limit"]
    limit = TIME_LIMIT if limit is None else positive(limit, "time_limit")
    deadline = time.perf_counter() + limit
    columns = targets_of(y, classes).T
    fits = []
    for done, column in enumerate(columns):
        left = max(deadline - time.perf_counter(), 1e-3)
        fit = cx.train(
            data,
            column,
            options["beta"],
            activation=options["activation"],
            loss="squared" if classes is None else "logistic",
            rtol=rtol,
            time_limit=left / (len(columns) - done),
            threads=options["threads"],
            seed=options["seed"],
            callback=_round_follower(bar, rtol) if bar.visible else None,
        )
        fits.append(fit)
    networks = [fit.network for fit in fits]
    return (
        networks[0] if len(fits) == 1 else side_by_side(networks),
        summed([fit.certificate for fit in fits]),
        sum(fit.n_patterns for fit in fits),
        _reasons(fit.status for fit in fits),
    )


def _beta_max(
    X: FloatArray, y: Any, classes: list[str] | None, options: dict[str, Any]
) -> float | None:
    """Largest penalty worth trying, for one output; its bound is not shown and may be loose."""
    from pyconvexnn.estimators.samples import with_intercept

    columns = targets_of(y, classes).T
    if len(columns) != 1:
        return None
    return cx.beta_max(
        with_intercept(X, 1.0 if options["intercept"] else None),
        columns[0],
        activation=options["activation"],
        loss="squared" if classes is None else "logistic",
        rtol=0.5,
        time_limit=min(_BETA_MAX_LIMIT, options["time_limit"] or TIME_LIMIT),
        threads=options["threads"],
    ).value


def _round_follower(bar: Bar, tol: float) -> Callable[[Round], bool]:
    """Callback that shows how far the proved gap has come from 1 to tol, in decades."""

    def follow(state: Round) -> bool:
        gap = (state.objective - state.lower_bound) / abs(state.objective or 1.0)
        bar.show_gap(gap, tol)
        known = "nothing proved yet" if math.isinf(gap) else f"relative gap {gap:.1e}"
        bar.describe(f"{known}, {state.n_neurons} neurons, {state.n_patterns} patterns")
        return False

    return follow


# ---- over a sample -----------------------------------------------------------------------------


def _sample(
    X: FloatArray, y: Any, classes: list[str] | None, options: dict[str, Any], bar: Bar
) -> tuple[Network, Certificate, int, list[str]]:
    """Fit the estimator of the task."""
    kind = cx.ConvexMLPRegressor if classes is None else cx.ConvexMLPClassifier
    estimator: Any = kind(
        options["activation"],
        options["beta"],
        patterns=_pattern_option(options["patterns"]),
        fit_intercept=options["intercept"],
        tol=options["tol"],
        time_limit=options["time_limit"],
        threads=options["threads"],
        random_state=options["seed"],
    )
    # Without a terminal there is no callback, so that nothing stops the solver.
    estimator._fit(X, y, callback=_gap_follower(bar, estimator.tol) if bar.visible else None)
    solutions = estimator.solution_
    solutions = solutions if isinstance(solutions, list) else [solutions]
    return (
        estimator.network_,
        estimator.certificate_,
        len(estimator.patterns_),
        _reasons(sol.status for sol in solutions),
    )


def _pattern_option(text: str) -> str | int:
    try:
        return int(text)
    except ValueError:
        return text


def _gap_follower(bar: Bar, tol: float) -> Callable[[cx.Progress], bool]:
    """Callback that shows how far the relative gap has come from 1 to tol, in decades."""

    def follow(state: cx.Progress) -> bool:
        gap = state.gap / abs(state.objective) if state.objective else 0.0
        bar.show_gap(gap, tol)
        bar.describe(f"relative gap {min(max(gap, tol), 1.0):.1e}, {state.active} neurons")
        return False

    return follow


def _reasons(statuses: Any) -> list[str]:
    return sorted({status.name for status in statuses if status is not Status.SOLVED})
