"""What the regressor and the classifier share: settings, patterns, training, certificate."""

from __future__ import annotations

import dataclasses
import time
import warnings
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted, validate_data

from pyconvexnn._gates import Whitened
from pyconvexnn._typing import FloatArray
from pyconvexnn._validation import as_matrix, choice, describe, positive, positive_int
from pyconvexnn.certificates import Certificate, verify
from pyconvexnn.estimators.exact import exact_patterns
from pyconvexnn.losses import Loss
from pyconvexnn.networks import ACTIVATIONS, GatedNetwork, Network, slope_of
from pyconvexnn.patterns import PatternSet
from pyconvexnn.problems import GatedReLUProblem, ReLUProblem
from pyconvexnn.recovery import recover
from pyconvexnn.sampling import sample_patterns
from pyconvexnn.sampling.everything import cell_bound
from pyconvexnn.solvers import Progress, Solution, solve
from pyconvexnn.solvers.solve import Problem

LATER_ACTIVATIONS = ("threshold", "linear")

AUTO_MOST = 20_000
AUTO_MOST_CONES = 1000  # where every pattern costs a projection on its cone
AUTO_LEAST = 1000
AUTO_WORK = 2**32  # m r P, the multiplications of a pass over all patterns

Callback = Callable[[Progress], bool]


def auto_pattern_count(
    X: FloatArray, sample_weight: FloatArray | None = None, *, gated: bool = True
) -> int:
    """Patterns that ``patterns="auto"`` draws from data X with their intercept column.

    ``P = 20 000``, or 1000 for a network without gates; no more than ``2^32 / (m r)``, but at
    least 1000; and no more than the ``2 sum_{k<r} C(m - 1, k)`` cells that there can be, all of
    which are then listed. Here r is the rank of X and m the number of its distinct rows, those of
    weight 0 left out: repeated rows, or integer weights instead, change nothing.

    Notes
    -----
    The sample is as large as costs little, not as large as makes the optimum that of all
    patterns: no affordable number does. With four times as many the optimum still falls by so
    many percent, the largest of three seeds; data standardised, squared loss, and logistic where
    there are classes:

    ==============  ========  ====  ========  ====  =====  =====
    beta/beta_max   diabetes  pima  banknote  aba.  hab.   others
    ==============  ========  ====  ========  ====  =====  =====
    0.1             1.1       0.9   1.0       0.7   1.0    1.2-3.6
    0.02            5.2       4.6   1.6       1.9   5.3    2.1-6.5
    0.005           8.1       6.8   2.7       8.8   6.9    3.3-8.8
    ==============  ========  ====  ========  ====  =====  =====

    (banknote authentication, abalone, haberman; the others are breast_cancer, one class of wine
    and 500 digits.) The gain depends neither on m nor on r in a way that a rule could use. The
    second bound keeps passes over all patterns short: 100 000 rows of 20 features get 2147.
    ``python -m bench.auto_patterns FOLDER`` in the sources prints the table, set by set.

    Without gates every pattern costs projections on its cone, and a neuron must have the signs of
    one: 1000 patterns are solved in seconds, and more still lower the optimum much. Four times as
    many, beta_max being that of gated networks (``bench.auto_patterns --relu``):

    ==============  ========  =============  =========  ========
    beta/beta_max   diabetes  breast_cancer  wine       digits
    ==============  ========  =============  =========  ========
    0.1             10.6      0.0            10.2-13.1  2.0-2.8
    0.02            4.9       7.8-10.1       15.9-16.9  8.4-10.5
    0.005           4.6       19.2-21.7      17.1-17.2  14.1-17.2
    ==============  ========  =============  =========  ========
    """
    counted = X if sample_weight is None else X[sample_weight > 0]
    distinct = np.unique(counted, axis=0)
    most = AUTO_MOST if gated else AUTO_MOST_CONES
    count = most
    if distinct.size * most > AUTO_WORK:  # else the rank, a factorisation, does not matter
        work = len(distinct) * max(1, Whitened(distinct).rank)
        count = min(most, max(AUTO_LEAST, AUTO_WORK // work))
    cells = cell_bound(distinct, count)
    return count if cells is None else cells


def with_intercept(X: FloatArray, scaling: float | None) -> FloatArray:
    """X as the network sees it: with a column of ``scaling`` appended, unless that is None."""
    data = np.empty((X.shape[0], X.shape[1] + (scaling is not None)), order="F")
    data[:, : X.shape[1]] = X
    if scaling is not None:
        data[:, -1] = scaling
    data.flags.writeable = False  # so that nobody below copies it
    return as_matrix(data, "X")


class BaseConvexMLP(BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """Settings and training of both estimators; no mathematics of its own.

    A subclass names its losses and turns y into the columns of ``_train``.
    """

    _losses: ClassVar[tuple[str, ...]]
    _later_losses: ClassVar[tuple[str, ...]]

    def __init__(
        self,
        activation: str = "gated_relu",
        beta: float = 1.0,
        *,
        slope: float = 0.01,
        patterns: Any = "auto",
        fit_intercept: bool = True,
        intercept_scaling: float = 1.0,
        output_offset: bool = False,
        scale: str | None = None,
        loss: str | Loss = "squared",
        tol: float = 1e-4,
        max_iter: int | None = None,
        certify: bool | str = True,
        time_limit: float | None = None,
        warm_start: bool = False,
        threads: int | None = None,
        random_state: Any = 0,
        verbose: int = 0,
    ) -> None:
        self.activation = activation
        self.beta = beta
        self.slope = slope
        self.patterns = patterns
        self.fit_intercept = fit_intercept
        self.intercept_scaling = intercept_scaling
        self.output_offset = output_offset
        self.scale = scale
        self.loss = loss
        self.tol = tol
        self.max_iter = max_iter
        self.certify = certify
        self.time_limit = time_limit
        self.warm_start = warm_start
        self.threads = threads
        self.random_state = random_state
        self.verbose = verbose

    # ---- settings --------------------------------------------------------------------------

    def _check_settings(self) -> None:
        """Raise for a setting that is wrong, and by name for one that is not built yet."""
        known = ("gated_relu", *ACTIVATIONS)
        choice(self.activation, "activation", known, later=LATER_ACTIVATIONS)
        if not self._gated:
            slope_of(self.activation, self.slope)
        # A loss object is accepted by the name that it bears.
        loss = getattr(self.loss, "name", self.loss)
        choice(loss, "loss", self._losses, later=self._later_losses)
        if self.scale is not None:
            choice(self.scale, "scale", (), later=("standard",))
        for name in ("fit_intercept", "output_offset", "warm_start"):
            if not isinstance(getattr(self, name), (bool, np.bool_)):
                raise TypeError(
                    f"`{name}` must be True or False, got {describe(getattr(self, name))}"
                )
        if self.warm_start:
            raise NotImplementedError("`warm_start` = True is not available yet; use False")
        if self.certify not in (True, False) and self.certify != "full":
            raise ValueError(f"`certify` must be True, False or 'full', got {self.certify!r}")
        if self.certify == "full" and not self._gated:
            raise NotImplementedError(
                f"`certify` = 'full' is not available yet for `activation` = {self.activation!r}; "
                "use True, against the patterns used"
            )
        positive(self.beta, "beta")
        positive(self.intercept_scaling, "intercept_scaling")
        positive(self.tol, "tol")
        if self.max_iter is not None:
            positive_int(self.max_iter, "max_iter")
        if self.time_limit is not None:
            positive(self.time_limit, "time_limit")
        self._check_patterns()

    def _check_patterns(self) -> None:
        if isinstance(self.patterns, str):
            choice(self.patterns, "patterns", ("auto", "exact"))
        elif not isinstance(self.patterns, PatternSet):
            if isinstance(self.patterns, (bool, float)) or not hasattr(self.patterns, "__index__"):
                raise TypeError(
                    "`patterns` must be 'auto', 'exact', an integer or a PatternSet, "
                    f"got {describe(self.patterns)}"
                )
            positive_int(self.patterns, "patterns")

    @property
    def _exact(self) -> bool:
        return isinstance(self.patterns, str) and self.patterns == "exact"

    @property
    def _gated(self) -> bool:
        return bool(self.activation == "gated_relu")

    # ---- data ------------------------------------------------------------------------------

    def _with_intercept(self, X: FloatArray) -> FloatArray:
        return with_intercept(X, self.intercept_scaling if self.fit_intercept else None)

    def _draw_patterns(self, data: FloatArray, sample_weight: FloatArray | None) -> PatternSet:
        """Patterns of the setting ``patterns`` on the data with its intercept column."""
        if isinstance(self.patterns, PatternSet):
            return self._given_patterns(self.patterns, data)
        if self._exact:
            return exact_patterns(data, threads=self.threads)
        seed = _seed(self.random_state)
        if self.patterns != "auto":
            return sample_patterns(data, int(self.patterns), seed=seed)
        with warnings.catch_warnings():
            # "auto" asks for up to so many: fewer cells than that are no news to the user.
            warnings.simplefilter("ignore", UserWarning)
            count = auto_pattern_count(data, sample_weight, gated=self._gated)
            return sample_patterns(data, count, seed=seed)

    def _given_patterns(self, patterns: PatternSet, data: FloatArray) -> PatternSet:
        """Give the user's patterns gates that have them on these data."""
        if patterns.n_samples != data.shape[0]:
            raise ValueError(
                f"`patterns` must be patterns of the {data.shape[0]} rows of X, "
                f"got patterns of {patterns.n_samples} rows"
            )
        try:
            return patterns.realise(data)
        except ValueError as error:
            columns = "X with its intercept column" if self.fit_intercept else "X"
            raise ValueError(f"`patterns` must be patterns of {columns}; {error}") from None

    def _checked(self, *data: Any, **options: Any) -> Any:
        """scikit-learn's checks of X, or of X and y; float64."""
        try:
            return validate_data(self, *data, dtype=np.float64, **options)
        except OverflowError as error:
            raise ValueError(f"`X` and `y` must hold numbers of float64's range: {error}") from None

    # ---- training --------------------------------------------------------------------------

    def _train(
        self,
        X: FloatArray,
        Y: FloatArray,
        *,
        sample_weight: FloatArray | None = None,
        callback: Callback | None = None,
    ) -> None:
        """Solve one scalar problem for each column of Y, all on the same patterns."""
        data = self._with_intercept(X)
        begun = time.perf_counter()
        patterns = self._draw_patterns(data, sample_weight)
        problems = [self._problem(data, column, patterns, sample_weight) for column in Y.T]
        if not self._exact:  # whose list is the beginning of the work
            begun = time.perf_counter()
        solutions = self._solve(problems, callback, begun)
        networks = self._networks(problems, solutions)

        scalar = len(problems) == 1
        self.patterns_ = problems[0].patterns
        self.solution_ = solutions[0] if scalar else solutions
        self.network_ = networks[0] if scalar else side_by_side(networks)
        self.n_iter_ = max(sol.n_iter for sol in solutions)
        self.loss_ = self.network_.objective(
            data, Y[:, 0] if scalar else Y, self.beta, loss=self.loss, sample_weight=sample_weight
        )
        self.certificate_ = self._certificate(problems, solutions) if self.certify else None
        self._set_mlp_attributes(X.shape[1])

    def _problem(
        self,
        data: FloatArray,
        y: FloatArray,
        patterns: PatternSet,
        sample_weight: FloatArray | None,
    ) -> Problem:
        """One scalar problem of the setting ``activation``."""
        options: dict[str, Any] = {
            "loss": self.loss,
            "sample_weight": sample_weight,
            "output_offset": bool(self.output_offset),
        }
        if self._gated:
            return GatedReLUProblem(data, y, patterns, self.beta, **options)
        options |= {"activation": self.activation, "slope": self.slope}
        return ReLUProblem(data, y, patterns, self.beta, **options)

    def _solve(
        self, problems: Sequence[Problem], callback: Callback | None, begun: float
    ) -> list[Solution]:
        """Solve the problems one after the other, each within its share of ``time_limit``."""
        deadline = None if self.time_limit is None else begun + self.time_limit
        solutions = []
        for done, problem in enumerate(problems):
            # What is left is shared alike, so that the last class gets no less than the first.
            left = None if deadline is None else max(deadline - time.perf_counter(), 1e-9)
            solutions.append(
                solve(
                    problem,
                    tol=self.tol,
                    max_iter=self.max_iter,
                    time_limit=None if left is None else left / (len(problems) - done),
                    threads=self.threads,
                    callback=callback,
                    verbose=self.verbose,
                )
            )
        return solutions

    def _networks(
        self, problems: Sequence[Problem], solutions: Sequence[Solution]
    ) -> list[Network]:
        """Turn the solutions into networks."""
        try:
            return [recover(prob, sol) for prob, sol in zip(problems, solutions, strict=True)]
        except ValueError as error:
            if not self._exact:
                raise
            raise ValueError(
                "`patterns` must be 'auto', an integer or a PatternSet for these data, got "
                f"'exact', of which the solution uses a pattern without a gate: {error}"
            ) from None

    def _certificate(
        self, problems: Sequence[Problem], solutions: Sequence[Solution]
    ) -> Certificate:
        """Set the network's objective against the sum of the columns' dual bounds."""
        checks = [verify(problem, sol) for problem, sol in zip(problems, solutions, strict=True)]
        duals = [sol.dual for sol in solutions]
        return Certificate(
            objective=self.loss_,
            lower_bound=sum(check.dual_objective for check in checks),
            method="patterns",
            rtol=self.tol,
            dual=duals[0] if len(duals) == 1 else np.column_stack(duals),
            objective_at_zero=sum(sol.objective_at_zero for sol in solutions),
        )

    def _set_mlp_attributes(self, n_features: int) -> None:
        """Weights in the layout of scikit-learn's MLP estimators."""
        W1, W2, b2 = self.network_.W1, self.network_.W2, self.network_.b2
        bias = W1[:, n_features:].sum(axis=1) * self.intercept_scaling
        self.coefs_ = [W1[:, :n_features].T.copy(), W2.copy()]
        self.intercepts_ = [bias, np.zeros(W2.shape[1]) if b2 is None else b2.copy()]
        self.n_layers_ = 3
        self.n_outputs_ = W2.shape[1]

    # ---- prediction ------------------------------------------------------------------------

    def _forward(self, X: Any) -> FloatArray:
        """Output of the network: (n,) for one output, else (n, K)."""
        check_is_fitted(self)
        X = self._checked(X, reset=False)
        return self.network_.predict(self._with_intercept(X))


def _seed(random_state: Any) -> int | np.random.Generator | None:
    """Seed for ``sample_patterns``: scikit-learn's old RandomState seeds a Generator."""
    if isinstance(random_state, np.random.RandomState):
        words = random_state.randint(0, 2**32, size=4, dtype=np.uint64)
        return np.random.default_rng(words)
    if random_state is None or isinstance(random_state, np.random.Generator):
        return random_state
    return positive_int(random_state, "random_state", minimum=0)


def side_by_side(networks: Sequence[Network]) -> Network:
    """One network with the neurons of all; neuron j feeds only the output it came from."""
    W2 = np.zeros((sum(net.n_neurons for net in networks), len(networks)))
    offsets = [net.b2 for net in networks if net.b2 is not None]  # of all networks, or of none
    start = 0
    for output, net in enumerate(networks):
        W2[start : start + net.n_neurons, output] = net.W2[:, 0]
        start += net.n_neurons
    hidden = ("W1", "gates") if isinstance(networks[0], GatedNetwork) else ("W1",)
    weights: dict[str, Any] = {
        name: np.vstack([getattr(net, name) for net in networks]) for name in hidden
    }
    b2 = None if not offsets else np.concatenate(offsets)
    return dataclasses.replace(networks[0], W2=W2, b2=b2, **weights)
