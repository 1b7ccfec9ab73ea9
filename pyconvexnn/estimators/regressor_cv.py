"""Regression by a convex network whose penalty is chosen by cross-validation."""

from __future__ import annotations

from typing import Any

from pyconvexnn.estimators.cross_validation import ChoosesBeta
from pyconvexnn.estimators.documentation import documented
from pyconvexnn.estimators.regressor import ConvexMLPRegressor
from pyconvexnn.losses import Loss


@documented
class ConvexMLPRegressorCV(ChoosesBeta, ConvexMLPRegressor):
    """Two-layer network for regression, its penalty chosen by cross-validation.

    On each fold networks are trained for a falling list of penalties, each from the one before, to
    a relative gap of 1e-2, or until two rounds in a row lower the objective by less than a
    thousandth, and without a proof. The penalty chosen is fitted again to all samples, as
    :class:`ConvexMLPRegressor` does it. `max_iter` and `time_limit` are of each of these
    trainings.

    {model}

    Parameters
    ----------
    activation : {"relu", "leaky_relu", "abs", "gated_relu"}, default="relu"
        phi: ``t`` for t >= 0 and 0, ``slope t`` or ``-t`` below; or a network with gates.
    {cv first}
    {cv last}
    {settings}
    loss : {"squared", "huber", "poisson"} or Loss, default="squared"
        Loss, summed over the samples; ``cx.losses.Huber(delta)`` for another delta than 1.35. With
        "poisson" targets are counts or rates >= 0, and ``predict`` returns the rate ``exp(f)``.
    {rest}

    Attributes
    ----------
    {cv fitted}
    {fitted}

    Examples
    --------
    >>> import numpy as np
    >>> from pyconvexnn import ConvexMLPRegressorCV
    >>> X = np.random.default_rng(0).uniform(-1, 1, (60, 1))
    >>> y = np.abs(X[:, 0])
    >>> est = ConvexMLPRegressorCV(betas=5, cv=3).fit(X, y)
    >>> bool(est.beta_ == est.betas_[est.best_index_]), est.best_score_ > 0.95
    (True, True)
    >>> est.certificate_.is_optimal
    True
    """

    def __init__(
        self,
        activation: str = "relu",
        *,
        betas: Any = 50,
        beta_min_ratio: float = 1e-2,
        cv: Any = 5,
        rule: str = "best",
        scoring: Any = None,
        n_jobs: int | None = None,
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
        super().__init__(
            activation,
            slope=slope,
            patterns=patterns,
            fit_intercept=fit_intercept,
            intercept_scaling=intercept_scaling,
            output_offset=output_offset,
            scale=scale,
            loss=loss,
            tol=tol,
            max_iter=max_iter,
            certify=certify,
            time_limit=time_limit,
            warm_start=warm_start,
            threads=threads,
            random_state=random_state,
            verbose=verbose,
        )
        self.betas = betas
        self.beta_min_ratio = beta_min_ratio
        self.cv = cv
        self.rule = rule
        self.scoring = scoring
        self.n_jobs = n_jobs
