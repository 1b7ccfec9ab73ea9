"""The two ways to train: programs over a list of patterns, and column generation over all."""

from __future__ import annotations

import functools
import math
import time
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pyconvexnn._typing import FloatArray
from pyconvexnn.certificates import Certificate, verify
from pyconvexnn.estimators.patterns import as_seed, draw_patterns, given_patterns
from pyconvexnn.estimators.samples import Samples
from pyconvexnn.losses import Loss, get_loss
from pyconvexnn.networks import Network, TwoLayerNetwork
from pyconvexnn.patterns import PatternSet
from pyconvexnn.problems import GatedReLUProblem, ReLUProblem
from pyconvexnn.recovery import recover
from pyconvexnn.solvers import Progress, Solution, solve
from pyconvexnn.solvers.progress_bar import progress_bar
from pyconvexnn.solvers.solve import Problem
from pyconvexnn.training import Fit, Round, beta_max, certify
from pyconvexnn.training.clock import Clock
from pyconvexnn.training.outputs import one_by_one
from pyconvexnn.training.train import generate

_BETA_MAX_SECONDS = 1.0
_LEAST_SECONDS = 1e-9  # of a time limit that is over

Callback = Callable[[Progress | Round], object]


@dataclass(frozen=True)
class Settings:
    """What the estimators' settings say of training; meanings as there."""

    activation: str
    slope: float
    patterns: Any
    loss: str | Loss
    output_offset: bool
    tol: float
    max_iter: int | None
    threads: int | None
    random_state: Any
    verbose: int

    @property
    def is_gated(self) -> bool:
        """Whether the network has gates."""
        return self.activation == "gated_relu"

    @property
    def is_joint(self) -> bool:
        """Whether the loss is one of all outputs together, which are one program then."""
        return get_loss(self.loss).joint

    @property
    def is_exact(self) -> bool:
        """Whether every pattern is listed first."""
        return isinstance(self.patterns, str) and self.patterns == "exact"


@dataclass(frozen=True, eq=False)
class Output:
    """One trained output, or all of them where they are one program.

    Attributes
    ----------
    network : GatedNetwork or TwoLayerNetwork
        In the units of training.
    solution : Solution or Fit
        What the solver or the column generation returned.
    patterns : PatternSet
        Patterns of the program, on the rows of the samples.
    certificate : Certificate or None
        None where none was asked for.
    """

    network: Network
    solution: Solution | Fit
    patterns: PatternSet
    certificate: Certificate | None


@dataclass(frozen=True, eq=False)
class Work:
    """One output to be trained.

    Attributes
    ----------
    place : int
        Which output.
    beta : float
        Penalty.
    start : Output or None
        Where to start.
    proof : float or None
        Most seconds of proving, ``inf`` for no limit; None: no certificate.
    time_left : callable
        Seconds left for this output, None for no limit.
    callback : callable or None
        Called with the state of the training; returning True ends it.
    """

    place: int
    beta: float
    start: Output | None
    proof: float | None
    time_left: Callable[[], float | None]
    callback: Callback | None


class Trainer(ABC):
    """Trains the outputs of samples one after the other, for any penalty.

    A joint loss makes one of all of them.
    """

    def __init__(self, settings: Settings, samples: Samples) -> None:
        self._settings, self._samples = settings, samples
        Y = samples.targets
        self._targets = [Y] if settings.is_joint else list(Y.T)

    @abstractmethod
    def beta_max(self) -> float:
        """Smallest penalty, about, from which on no output has neurons."""

    def train(
        self,
        beta: float,
        *,
        starts: Sequence[Output] | None,
        proof: float | None,
        deadline: float | None = None,
        callback: Callback | None = None,
    ) -> list[Output]:
        """Train, from other outputs if there are any.

        Parameters
        ----------
        beta : float
            Penalty.
        starts : sequence of Output, optional
            One for each output, of another penalty or of other data.
        proof : float, optional
            Most seconds of proving, over all outputs, ``inf`` for no limit; None: no certificate.
        deadline : float, optional
            Time of ``perf_counter`` at which everything ends.
        callback : callable, optional
            Called with the state of every output's training; returning True ends it.
        """

        def train_output(
            place: int, proof: float | None, time_left: Callable[[], float | None]
        ) -> tuple[Output, float]:
            start = None if starts is None else starts[place]
            return self._train_output(Work(place, beta, start, proof, time_left, callback))

        return one_by_one(
            len(self._targets),
            train_output,
            seconds_left=functools.partial(_seconds_left, deadline),
            proof=proof,
        )

    @abstractmethod
    def _train_output(self, work: Work) -> tuple[Output, float]:
        """Train one output; return it, and the seconds that proving took beside training."""


def trainer_of(settings: Settings, samples: Samples) -> Trainer:
    """The way to train that the settings ask for; patterns are drawn or listed here."""
    every = isinstance(settings.patterns, str) and settings.patterns == "auto"
    if every and not settings.is_gated:
        return Generating(settings, samples)
    return OnPatterns(settings, samples)


class OnPatterns(Trainer):
    """One program for each output, all over the same patterns.

    Another output is a start where it is of the same patterns.
    """

    def __init__(self, settings: Settings, samples: Samples) -> None:
        super().__init__(settings, samples)
        data = samples.data
        if isinstance(settings.patterns, PatternSet):
            has_intercept = samples.units.intercept is not None
            patterns = given_patterns(settings.patterns, data, has_intercept=has_intercept)
        else:
            patterns = draw_patterns(
                settings.patterns, data, settings.random_state, settings.threads
            )
        self._problems = [self._problem(targets, patterns) for targets in self._targets]

    def beta_max(self) -> float:
        """Smallest penalty from which on no output has neurons."""
        return max(problem.beta_max for problem in self._problems)

    def _train_output(self, work: Work) -> tuple[Output, float]:
        settings, problem = self._settings, self._problems[work.place].with_beta(work.beta)
        solution = solve(
            problem,
            tol=settings.tol,
            max_iter=settings.max_iter,
            time_limit=work.time_left(),
            warm_start=None if work.start is None else _same_blocks(work.start, problem),
            threads=settings.threads,
            callback=work.callback,
            verbose=settings.verbose,
        )
        network = self._network(problem, solution)
        certificate = None
        if work.proof is not None:
            limit = work.time_left()
            certificate = self._certificate(problem, solution, network, work.proof, limit)
        return Output(network, solution, problem.patterns, certificate), 0.0

    def _problem(self, y: FloatArray, patterns: PatternSet) -> Problem:
        settings, samples = self._settings, self._samples
        options: dict[str, Any] = {
            "loss": settings.loss,
            "sample_weight": samples.weight,
            "output_offset": settings.output_offset,
        }
        if settings.is_gated:
            return GatedReLUProblem(samples.data, y, patterns, 1.0, **options)
        options |= {"activation": settings.activation, "slope": settings.slope}
        return ReLUProblem(samples.data, y, patterns, 1.0, **options)

    def _network(self, problem: Problem, solution: Solution) -> Network:
        try:
            return recover(problem, solution)
        except ValueError as error:
            if not self._settings.is_exact:
                raise
            raise ValueError(
                "`patterns` must be 'auto', an integer or a PatternSet for these data, got "
                f"'exact', of which the solution uses a pattern without a gate: {error}"
            ) from None

    def _certificate(
        self,
        problem: Problem,
        solution: Solution,
        network: Network,
        proof: float,
        time_limit: float | None,
    ) -> Certificate:
        """Against the patterns; with all the time that it takes against all, without gates."""
        settings = self._settings
        if proof == math.inf and isinstance(network, TwoLayerNetwork):
            return certify(
                network,
                problem.X,
                problem.y,
                problem.beta,
                loss=settings.loss,
                sample_weight=problem.sample_weight,
                rtol=settings.tol,
                improve=False,
                time_limit=time_limit,
                threads=settings.threads,
            )
        return Certificate(
            objective=network.objective(
                problem.X,
                problem.y,
                problem.beta,
                loss=settings.loss,
                sample_weight=problem.sample_weight,
            ),
            lower_bound=verify(problem, solution).dual_objective,
            method="patterns",
            rtol=settings.tol,
            dual=solution.dual,
            objective_at_zero=solution.objective_at_zero,
            complete=not settings.is_gated and (settings.is_exact or problem.patterns.is_complete),
        )


class Generating(Trainer):
    """Column generation for each output: no list of patterns is needed."""

    def __init__(self, settings: Settings, samples: Samples) -> None:
        super().__init__(settings, samples)
        seed = as_seed(settings.random_state)  # a number: every training begins with it
        self._rng = np.random.default_rng(seed) if seed is None else seed

    def beta_max(self) -> float:
        """Smallest penalty, as far as found, from which on no output has neurons."""
        problem = self._problem_options()
        return max(
            beta_max(
                self._samples.data,
                column,
                **problem,
                rtol=0.5,
                time_limit=_BETA_MAX_SECONDS,
                threads=self._settings.threads,
            ).value
            for column in self._targets
        )

    def _train_output(self, work: Work) -> tuple[Output, float]:
        settings = self._settings
        shown = settings.verbose > 0
        with progress_bar(work.callback, "train", "round", _shown_facts, shown=shown) as told:
            found = generate(
                Clock(work.time_left()),
                self._samples.data,
                self._targets[work.place],
                work.beta,
                **self._problem_options(),
                rtol=settings.tol,
                warm_start=None if work.start is None else work.start.network,
                threads=settings.threads,
                seed=self._rng,
                callback=told,
                proof_limit=None if work.proof == math.inf else work.proof or 0.0,
                max_rounds=settings.max_iter,
            )
        fit = found.fit
        wanted = not found.is_trained or work.proof == math.inf
        if wanted and not fit.certificate.is_optimal:
            _warn_not_solved(fit, settings.tol)
        certificate = None if work.proof is None else fit.certificate
        return Output(fit.network, fit, found.patterns, certificate), found.proof_seconds

    def _problem_options(self) -> dict[str, Any]:
        settings = self._settings
        return {
            "activation": settings.activation,
            "slope": settings.slope,
            "loss": settings.loss,
            "sample_weight": self._samples.weight,
            "output_offset": settings.output_offset,
        }


def _same_blocks(start: Output, problem: Problem) -> Any:
    """Coefficients of a solution over the same patterns, else None."""
    same = np.array_equal(start.patterns.packed, problem.patterns.packed)
    if not same or not isinstance(start.solution, Solution):
        return None
    return start.solution.coef


def _seconds_left(deadline: float | None) -> float | None:
    """Time left, > 0."""
    return None if deadline is None else max(deadline - time.perf_counter(), _LEAST_SECONDS)


def _shown_facts(state: Round) -> dict[str, Any]:
    return {
        "objective": f"{state.objective:.6g}",
        "bound": f"{state.lower_bound:.6g}",
        "neurons": state.n_neurons,
        "patterns": state.n_patterns,
    }


def _warn_not_solved(fit: Fit, tol: float) -> None:
    from sklearn.exceptions import ConvergenceWarning

    bound = fit.certificate.restricted_bound
    warnings.warn(
        f"training stopped with status {fit.status.name} after {len(fit.history)} rounds, "
        f"objective {fit.certificate.objective:.6g}, "
        + ("" if bound is None else f"{bound:.6g} at least over the patterns looked at, ")
        + f"a relative gap of {fit.certificate.relative_gap:.3g} proved, tol = {tol:g}; "
        "standardise the columns of X, or raise beta, or max_iter or time_limit, or tol",
        ConvergenceWarning,
        stacklevel=3,
    )
