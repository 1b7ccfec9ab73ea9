"""What the regressor and the classifier share: settings, patterns, training, certificate."""

from __future__ import annotations

import dataclasses
import functools
import math
import operator
import time
from typing import Any, ClassVar

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from pyconvexnn._typing import FloatArray
from pyconvexnn._validation import choice, describe, flag, positive, positive_int, resolve_threads
from pyconvexnn.estimators.checks import checked_data
from pyconvexnn.estimators.patterns import as_seed
from pyconvexnn.estimators.samples import Samples, Units, with_intercept
from pyconvexnn.estimators.training import Callback, Output, Settings, Trainer, trainer_of
from pyconvexnn.losses import Loss
from pyconvexnn.networks import ACTIVATIONS, GatedNetwork, slope_of
from pyconvexnn.patterns import PatternSet
from pyconvexnn.solvers import Solution
from pyconvexnn.training import Fit
from pyconvexnn.training.outputs import side_by_side, summed

LATER_ACTIVATIONS = ("threshold", "linear")
PROOF_SECONDS = 10.0  # of ``certify=True``


class BaseConvexMLP(BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """Settings and training of both estimators; no mathematics of its own.

    A subclass names its losses and turns y into the columns of ``_targets``.
    """

    _losses: ClassVar[tuple[str, ...]]

    def __init__(
        self,
        activation: str = "relu",
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
        choice(self._loss_name, "loss", self._losses)
        standard = isinstance(self.scale, str) and self.scale == "standard"
        if not standard and self.scale is not None:
            raise ValueError(f"`scale` must be None or 'standard', got {describe(self.scale)}")
        for name in ("fit_intercept", "output_offset", "warm_start"):
            flag(getattr(self, name), name)
        full = isinstance(self.certify, str) and self.certify == "full"
        if not full and not isinstance(self.certify, (bool, np.bool_)):
            raise ValueError(
                f"`certify` must be True, False or 'full', got {describe(self.certify)}"
            )
        positive(self.intercept_scaling, "intercept_scaling")
        positive(self.tol, "tol")
        positive_int(self.verbose, "verbose", minimum=0)
        resolve_threads(self.threads)
        as_seed(self.random_state)
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
    def _loss_name(self) -> Any:
        """Name of the loss; a loss object is accepted by the one that it bears."""
        return getattr(self.loss, "name", self.loss)

    @property
    def _gated(self) -> bool:
        return bool(self.activation == "gated_relu")

    # ---- training --------------------------------------------------------------------------

    def _samples(
        self,
        X: FloatArray,
        Y: FloatArray,
        sample_weight: FloatArray | None,
        class_weight: FloatArray | None = None,
    ) -> Samples:
        return Samples.of(
            X,
            Y,
            sample_weight,
            class_weight,
            intercept=float(self.intercept_scaling) if self.fit_intercept else None,
            standardise=self.scale is not None,
            merge=not isinstance(self.patterns, PatternSet),
        )

    def _settings(self) -> Settings:
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(Settings)}
        # As Python's own: a sum of NumPy's small numbers and a clock's is rounded to theirs.
        plain = {"output_offset": bool(self.output_offset), "tol": float(self.tol)}
        return Settings(**values | plain | {"slope": float(self.slope)})

    def _targets(
        self, X: Any, y: Any, sample_weight: Any
    ) -> tuple[FloatArray, FloatArray, FloatArray | None, FloatArray | None]:
        """Check data: X, targets (n, K) as the losses want them, and weights of each sample.

        Those that were given and those of its class, or None.
        """
        raise NotImplementedError

    def _fit(
        self, X: Any, y: Any, sample_weight: Any = None, callback: Callback | None = None
    ) -> Any:
        """``fit`` with a callback for the training, for the command line's progress bar."""
        self._check_settings()
        beta = positive(self.beta, "beta")
        settings, data = self._settings(), self._targets(X, y, sample_weight)
        begun = time.perf_counter()
        samples = self._samples(*data)
        trainer = trainer_of(settings, samples)
        if not settings.is_exact:  # whose list is the beginning of the work
            begun = time.perf_counter()
        self._train(samples, trainer, beta, begun, callback)
        return self

    def _train(
        self,
        samples: Samples,
        trainer: Trainer,
        beta: float,
        begun: float,
        callback: Callback | None = None,
    ) -> None:
        """Train all outputs, prove what `certify` says, and set the attributes."""
        outputs = trainer.train(
            beta,
            starts=self._starts(samples) if self.warm_start else None,
            proof={True: PROOF_SECONDS, False: None, "full": math.inf}[self.certify],
            deadline=None if self.time_limit is None else begun + float(self.time_limit),
            callback=callback,
        )
        self._take(samples, outputs, beta)

    def _starts(self, samples: Samples) -> list[Output] | None:
        """What the fit before was for this activation and as many features and outputs, if any."""
        before: list[Output] = getattr(self, "_outputs", [])
        n_outputs = samples.targets.shape[1]
        parts = 1 if self._settings().is_joint else n_outputs
        if len(before) != parts or sum(out.network.n_outputs for out in before) != n_outputs:
            return None
        kinds = {(out.network.activation, out.network.n_features) for out in before}
        if kinds != {(self.activation, samples.data.shape[1])}:
            return None
        units: Units = self._units
        return [
            dataclasses.replace(
                out, network=samples.units.standardised(units.original(out.network))
            )
            for out in before
        ]

    def _take(self, samples: Samples, outputs: list[Output], beta: float) -> None:
        """Set the attributes of a fitted estimator."""
        targets = samples.targets
        self._units, self._outputs = samples.units, outputs
        solutions = [out.solution for out in outputs]
        self.solution_ = solutions[0] if len(outputs) == 1 else solutions
        self.patterns_ = functools.reduce(operator.or_, [out.patterns for out in outputs])
        network = side_by_side([out.network for out in outputs])
        self.network_ = samples.units.original(network)
        self.n_iter_ = max(_iterations(solution) for solution in solutions)
        self.loss_ = network.objective(
            samples.data,
            targets[:, 0] if targets.shape[1] == 1 else targets,
            beta,
            loss=self.loss,
            sample_weight=samples.weight,
        )
        certificates = [out.certificate for out in outputs if out.certificate is not None]
        self.certificate_ = None
        if certificates:
            certificate = summed(certificates)
            best: Any = certificate.best_network
            if best is not None:
                best = samples.units.original(best)
            self.certificate_ = dataclasses.replace(
                certificate,
                dual=samples.on_rows(certificate.dual),
                best_network=best,
            )
        self._set_mlp_attributes(self.n_features_in_)

    def _set_mlp_attributes(self, n_features: int) -> None:
        """Weights in the layout of scikit-learn's MLP estimators."""
        net = self.network_
        if isinstance(net, GatedNetwork):
            net = net.with_vectors()  # matrices have no place there
        W1, W2, b2 = net.W1, net.W2, net.b2
        bias = W1[:, n_features:].sum(axis=1) * float(self.intercept_scaling)
        self.coefs_ = [W1[:, :n_features].T.copy(), W2.copy()]
        self.intercepts_ = [bias, np.zeros(W2.shape[1]) if b2 is None else b2.copy()]
        self.n_layers_ = 3
        self.n_outputs_ = W2.shape[1]

    # ---- prediction ------------------------------------------------------------------------

    def _forward(self, X: Any) -> FloatArray:
        """Output of the network: (n,) for one output, else (n, K)."""
        check_is_fitted(self)
        X = checked_data(self, X, reset=False)
        return self.network_.predict(with_intercept(X, self._units.intercept))


def _iterations(solution: Solution | Fit) -> int:
    """Iterations of the solver, or rounds of column generation."""
    return len(solution.history) if isinstance(solution, Fit) else solution.n_iter
