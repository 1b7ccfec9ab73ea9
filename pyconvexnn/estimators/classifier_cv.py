"""Classification by a convex network whose penalty is chosen by cross-validation."""

from __future__ import annotations

from typing import Any

from pyconvexnn.estimators.classifier import ConvexMLPClassifier
from pyconvexnn.estimators.cross_validation import ChoosesBeta
from pyconvexnn.estimators.documentation import documented


@documented
class ConvexMLPClassifierCV(ChoosesBeta, ConvexMLPClassifier):
    """Two-layer network for classification, its penalty chosen by cross-validation.

    On each fold networks are trained for a falling list of penalties, each from the one before, to
    a relative gap of 1e-2, or until two rounds in a row lower the objective by less than a
    thousandth, and without a proof. The penalty chosen is fitted again to all samples, as
    :class:`ConvexMLPClassifier` does it. `max_iter` and `time_limit` are of each of these
    trainings.

    {model}

    Labels are -1 and +1, and K > 2 classes are K such problems, one class against the rest. With
    the cross entropy all classes are one problem, of units with matrix weights
    (:class:`~pyconvexnn.GatedNetwork`) and an output for each class, for two of them too; it needs
    ``activation="gated_relu"``.

    Parameters
    ----------
    activation : {"relu", "leaky_relu", "abs", "gated_relu"}, default="relu"
        phi: ``t`` for t >= 0 and 0, ``slope t`` or ``-t`` below; or a network with gates.
    {cv first}
    {cv last}
    {settings}
    loss : {"logistic", "squared_hinge", "hinge", "cross_entropy"}, default="logistic"
        Loss, summed over the samples: ``log(1 + exp(-y f))``; ``(1 - y f)_+^2 / 2`` or
        ``(1 - y f)_+``, which have no probabilities, the latter no `output_offset` either; or, for
        gates, ``log sum_j exp(f_j) - f_y``.
    {rest}
    class_weight : dict, "balanced" or None, default=None
        Weights of the classes, each > 0: a sample's loss is multiplied by its class's weight,
        in every problem. ``"balanced"`` is ``n_samples / (K * samples of the
        class)``, samples counted by their weights; None is 1. Scores are not weighted by it.

    Attributes
    ----------
    classes_ : ndarray of shape (K,)
        Class labels, sorted.
    {cv fitted}
    {fitted}

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from pyconvexnn import ConvexMLPClassifierCV
    >>> X, y = load_iris(return_X_y=True)
    >>> est = ConvexMLPClassifierCV(betas=[3.0, 0.3], cv=3, certify=False).fit(X, y)
    >>> est.beta_, est.best_score_ > 0.9
    (0.3, True)
    >>> est.predict_proba(X[:1]).argmax()
    np.int64(0)
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
        loss: str = "logistic",
        tol: float = 1e-4,
        max_iter: int | None = None,
        certify: bool | str = True,
        time_limit: float | None = None,
        warm_start: bool = False,
        threads: int | None = None,
        random_state: Any = 0,
        verbose: int = 0,
        class_weight: Any = None,
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
            class_weight=class_weight,
        )
        self.betas = betas
        self.beta_min_ratio = beta_min_ratio
        self.cv = cv
        self.rule = rule
        self.scoring = scoring
        self.n_jobs = n_jobs
