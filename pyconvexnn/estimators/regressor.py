"""Regression by a convex network, with scikit-learn's interface."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from sklearn.base import RegressorMixin

from pyconvexnn._typing import FloatArray
from pyconvexnn.estimators.base import BaseConvexMLP
from pyconvexnn.estimators.checks import checked_data, checked_weight
from pyconvexnn.estimators.documentation import documented

_LARGEST = np.log(np.finfo(np.float64).max)  # of what has a finite exponential


@documented
class ConvexMLPRegressor(RegressorMixin, BaseConvexMLP):  # type: ignore[misc]
    """Two-layer network for regression, trained to its global optimum, with the proof.

    {model}

    K targets are K such problems; over a list of patterns all over the same.

    Parameters
    ----------
    activation : {"relu", "leaky_relu", "abs", "gated_relu"}, default="relu"
        phi: ``t`` for t >= 0 and 0, ``slope t`` or ``-t`` below; or a network with gates.
    {beta}
    {settings}
    loss : {"squared", "huber", "poisson"} or Loss, default="squared"
        Loss, summed over the samples; ``cx.losses.Huber(delta)`` for another delta than 1.35. With
        "poisson" targets are counts or rates >= 0, and ``predict`` returns the rate ``exp(f)``.
    {rest}

    Attributes
    ----------
    {fitted}

    Examples
    --------
    >>> import numpy as np
    >>> from pyconvexnn import ConvexMLPRegressor
    >>> X = np.linspace(-1, 1, 40).reshape(-1, 1)
    >>> est = ConvexMLPRegressor(beta=0.01).fit(X, np.abs(X[:, 0]))
    >>> est.certificate_.is_optimal
    True
    >>> est.score(X, np.abs(X[:, 0])) > 0.99
    True
    """

    _losses: ClassVar[tuple[str, ...]] = ("squared", "huber", "poisson")

    def __sklearn_tags__(self) -> Any:
        """Tags of scikit-learn: several outputs are accepted."""
        tags = super().__sklearn_tags__()
        tags.target_tags.positive_only = self._loss_name == "poisson"
        tags.target_tags.multi_output = True
        return tags

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> ConvexMLPRegressor:
        """Train the network.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_samples, n_features)
            Samples.
        y : array-like of shape (n_samples,) or (n_samples, K)
            Targets. K columns are K separate problems on the same patterns; one column (n, 1) is
            taken as (n,).
        sample_weight : array-like of shape (n_samples,), optional
            Weights >= 0 of the samples' losses, 1 by default. Integers mean so many equal rows.

        Returns
        -------
        self : ConvexMLPRegressor
            The fitted estimator.

        Raises
        ------
        ValueError, TypeError
            If a setting or the data are not as described; the message names which.
        MemoryError
            If ``patterns="exact"`` means more patterns than a program can hold in memory.
        NotImplementedError
            If a setting asks for what is not available yet.

        Warns
        -----
        ConvergenceWarning
            If the solver stopped before the gap was ``tol``.
        """
        self._fit(X, y, sample_weight)
        return self

    def _targets(
        self, X: Any, y: Any, sample_weight: Any
    ) -> tuple[FloatArray, FloatArray, FloatArray | None, FloatArray | None]:
        X, y = checked_data(self, X, y, multi_output=True, y_numeric=True)
        with np.errstate(over="ignore"):  # infinity, refused where it is trained on
            Y = np.asarray(y, dtype=np.float64).reshape(X.shape[0], -1)
        self.out_activation_ = "exp" if self._loss_name == "poisson" else "identity"
        return X, Y, checked_weight(sample_weight, X), None

    def predict(self, X: Any) -> FloatArray:
        """Output of the network; its exponential, the rate, with ``loss="poisson"``.

        A rate beyond the numbers of float64 is the largest of them.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_samples, n_features)
            Samples.

        Returns
        -------
        y : ndarray of shape (n_samples,) or (n_samples, K)
            Predicted targets.

        Raises
        ------
        ValueError, TypeError
            If X is not as described or has other features than in ``fit``.
        sklearn.exceptions.NotFittedError
            Before ``fit``.
        """
        outputs = self._forward(X)
        return rates(outputs) if self.out_activation_ == "exp" else outputs


def rates(outputs: FloatArray) -> FloatArray:
    """``exp(f)``, or the largest number where it is beyond all."""
    return np.asarray(np.exp(np.minimum(outputs, _LARGEST)))
