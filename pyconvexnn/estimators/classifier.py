"""Classification by a convex network, with scikit-learn's interface."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from scipy.special import expit, log_expit
from sklearn.base import ClassifierMixin
from sklearn.utils.class_weight import compute_class_weight
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import column_or_1d

from pyconvexnn._typing import FloatArray, IndexArray
from pyconvexnn._validation import choice
from pyconvexnn.estimators.base import BaseConvexMLP
from pyconvexnn.estimators.checks import checked_data, checked_weight, named
from pyconvexnn.estimators.documentation import documented

# Last layers, by the loss: what makes probabilities of outputs.
_OUTPUTS = {"logistic": "logistic", "cross_entropy": "softmax"}  # of the hinges: "identity"


def _has_probabilities(est: ConvexMLPClassifier) -> bool:
    """Whether it has the methods of probabilities; the error that says why it has not."""
    if est._loss_name in ("squared_hinge", "hinge"):
        raise AttributeError("probabilities need `loss` = 'logistic' or 'cross_entropy'")
    return True


@documented
class ConvexMLPClassifier(ClassifierMixin, BaseConvexMLP):  # type: ignore[misc]
    """Two-layer network for classification, trained to its global optimum, with the proof.

    {model}

    Labels are -1 and +1, and K > 2 classes are K such problems, one class against the rest; over a
    list of patterns all over the same. With the cross entropy all classes are one problem, of units
    with matrix weights (:class:`~pyconvexnn.GatedNetwork`) and an output for each class, for two of
    them too; it needs ``activation="gated_relu"``.

    Parameters
    ----------
    activation : {"relu", "leaky_relu", "abs", "gated_relu"}, default="relu"
        phi: ``t`` for t >= 0 and 0, ``slope t`` or ``-t`` below; or a network with gates.
    {beta}
    {settings}
    loss : {"logistic", "squared_hinge", "hinge", "cross_entropy"}, default="logistic"
        Loss, summed over the samples: ``log(1 + exp(-y f))``; ``(1 - y f)_+^2 / 2`` or
        ``(1 - y f)_+``, which have no probabilities, the latter no `output_offset` either; or, for
        gates, ``log sum_j exp(f_j) - f_y``.
    {rest}
    class_weight : dict, "balanced" or None, default=None
        Weights of the classes, each > 0: a sample's loss is multiplied by its class's weight,
        in every problem. ``"balanced"`` is ``n_samples / (K * samples of the
        class)``, samples counted by their weights; None is 1.

    Attributes
    ----------
    classes_ : ndarray of shape (K,)
        Class labels, sorted.
    {fitted}

    Examples
    --------
    >>> import numpy as np
    >>> from pyconvexnn import ConvexMLPClassifier
    >>> X = np.array([[-1.0, -1.0], [-1.0, 1.0], [1.0, -1.0], [1.0, 1.0]])
    >>> est = ConvexMLPClassifier(beta=0.01).fit(X, ["same", "other", "other", "same"])
    >>> est.certificate_.is_optimal
    True
    >>> est.predict([[2.0, 2.0], [-1.0, 2.0]])
    array(['same', 'other'], dtype='<U5')
    """

    _losses: ClassVar[tuple[str, ...]] = ("logistic", "squared_hinge", "hinge", "cross_entropy")

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
            beta,
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
        self.class_weight = class_weight

    def __sklearn_tags__(self) -> Any:
        """Tags of scikit-learn."""
        tags = super().__sklearn_tags__()
        # One check wants a class 1e7 times heavier than the others, in overlapping raw data, to be
        # predicted in 87 % of held-out points. Without an output offset the optimum over all cells
        # is negative where that class has no sample: 74 %. (The tests keep the check of training.)
        tags.classifier_tags.poor_score = True
        return tags

    def _check_settings(self) -> None:
        super()._check_settings()
        if self._loss_name == "cross_entropy" and not self._gated:
            raise ValueError(
                "`activation` must be 'gated_relu' for `loss` = 'cross_entropy', got "
                f"{self.activation!r}"
            )

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> ConvexMLPClassifier:
        """Train the network.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_samples, n_features)
            Samples.
        y : array-like of shape (n_samples,)
            Class labels, numbers or strings, of at least two classes.
        sample_weight : array-like of shape (n_samples,), optional
            Weights >= 0 of the samples' losses, 1 by default; those of the classes multiply them.
            Integers mean so many equal rows.

        Returns
        -------
        self : ConvexMLPClassifier
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
        X, y = checked_data(self, X, y)
        with named("y", y), np.errstate(over="ignore", invalid="ignore"):
            y = column_or_1d(y, warn=True)
            check_classification_targets(y)
        classes, codes = np.unique(y, return_inverse=True)
        if len(classes) < 2:
            only = classes.tolist()[0]
            raise ValueError(f"`y` must have at least two classes, got one class: {only!r}")
        given = checked_weight(sample_weight, X)
        weights = self._class_weights(classes, codes, y, given)
        self.classes_ = classes
        name = str(self._loss_name)
        self.out_activation_ = _OUTPUTS.get(name, "identity")
        Y = class_targets(codes, len(classes), one_hot=name == "cross_entropy")
        return X, Y, given, weights

    def _class_weights(
        self, classes: Any, codes: IndexArray, y: Any, given: FloatArray | None
    ) -> FloatArray | None:
        """Weight of each sample's class, or None when all are 1."""
        if self.class_weight is None:
            return None
        if given is not None and isinstance(self.class_weight, str):
            choice(self.class_weight, "class_weight", ("balanced",))
            totals = np.bincount(codes, given, len(classes))
            if not np.all(totals > 0):
                raise ValueError(
                    "`sample_weight` must have a positive entry in every class for "
                    f"`class_weight` = 'balanced', got none in {classes[totals == 0].tolist()[0]!r}"
                )
            weights = totals.sum() / (len(classes) * totals)
        else:
            with named("class_weight", self.class_weight):
                weights = compute_class_weight(self.class_weight, classes=classes, y=y)
        if not (np.all(weights > 0) and np.all(np.isfinite(weights))):
            raise ValueError(
                f"`class_weight` must hold finite weights > 0, got {self.class_weight!r}"
            )
        return np.asarray(weights[codes], dtype=np.float64)

    def _scores(self, X: Any) -> FloatArray:
        return class_scores(self._forward(X), softmax=self.out_activation_ == "softmax")

    def decision_function(self, X: Any) -> FloatArray:
        """Output of the network, before the sigmoid or the softmax.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_samples, n_features)
            Samples.

        Returns
        -------
        scores : ndarray of shape (n_samples,) or (n_samples, K)
            For two classes one number, positive for ``classes_[1]``, with the cross entropy the
            difference of the two outputs; else one for each class.

        Raises
        ------
        ValueError, TypeError
            If X is not as described or has other features than in ``fit``.
        sklearn.exceptions.NotFittedError
            Before ``fit``.
        """
        return self._scores(X)

    def predict(self, X: Any) -> np.ndarray[Any, Any]:
        """Class of the largest score.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_samples, n_features)
            Samples.

        Returns
        -------
        y : ndarray of shape (n_samples,)
            Class labels.

        Raises
        ------
        ValueError, TypeError
            If X is not as described or has other features than in ``fit``.
        sklearn.exceptions.NotFittedError
            Before ``fit``.
        """
        codes = predicted_codes(self._scores(X))
        return np.asarray(self.classes_[codes])

    @available_if(_has_probabilities)  # type: ignore[untyped-decorator]
    def predict_proba(self, X: Any) -> FloatArray:
        """Probability of each class; there is none with the hinges.

        The sigmoid of the scores; for K > 2 classes divided by its sum over the classes. With the
        cross entropy the softmax of the outputs.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_samples, n_features)
            Samples.

        Returns
        -------
        p : ndarray of shape (n_samples, K)
            Probabilities, in the order of ``classes_``.

        Raises
        ------
        ValueError, TypeError
            If X is not as described or has other features than in ``fit``.
        sklearn.exceptions.NotFittedError
            Before ``fit``.
        """
        return probabilities(self._scores(X), softmax=self.out_activation_ == "softmax")

    @available_if(_has_probabilities)  # type: ignore[untyped-decorator]
    def predict_log_proba(self, X: Any) -> FloatArray:
        """Logarithm of the probability of each class; there is none with the hinges.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_samples, n_features)
            Samples.

        Returns
        -------
        log_p : ndarray of shape (n_samples, K)
            Logarithms of ``predict_proba``.

        Raises
        ------
        ValueError, TypeError
            If X is not as described or has other features than in ``fit``.
        sklearn.exceptions.NotFittedError
            Before ``fit``.
        """
        return log_probabilities(self._scores(X), softmax=self.out_activation_ == "softmax")


def class_targets(codes: IndexArray, n_classes: int, *, one_hot: bool) -> FloatArray:
    """One-hot rows, or labels -1/+1: one column for two classes, else each against the rest."""
    if one_hot:
        return np.eye(n_classes)[codes]
    columns = [1] if n_classes == 2 else list(range(n_classes))
    return np.where(codes[:, None] == columns, 1.0, -1.0)


def class_scores(outputs: FloatArray, *, softmax: bool) -> FloatArray:
    """Scores (n,) of two classes, else (n, K), from the outputs of a network."""
    if softmax and outputs.shape[1] == 2:
        return np.asarray(outputs[:, 1] - outputs[:, 0])  # log-odds, of which it is the sigmoid
    return outputs


def predicted_codes(scores: FloatArray) -> IndexArray:
    """Index of the predicted class: scores (n,) for two classes, else (n, K)."""
    if scores.ndim == 1:
        return np.asarray(scores > 0, dtype=np.int64)
    return np.asarray(scores.argmax(axis=1), dtype=np.int64)


def probabilities(scores: FloatArray, *, softmax: bool = False) -> FloatArray:
    """Probabilities (n, K) of scores (n,) or (n, K): their sigmoids over their sum, or softmax."""
    if scores.ndim == 1:
        return np.column_stack([expit(-scores), expit(scores)])
    return np.exp(log_probabilities(scores, softmax=softmax))


def log_probabilities(scores: FloatArray, *, softmax: bool = False) -> FloatArray:
    """Logarithms of the probabilities; finite where the probabilities underflow."""
    if scores.ndim == 1:
        return np.column_stack([log_expit(-scores), log_expit(scores)])
    logs = scores if softmax else log_expit(scores)
    # Subtracting the largest first: no 0 / 0 when every class is very unlikely.
    logs = logs - logs.max(axis=1, keepdims=True)
    return np.asarray(logs - np.log(np.exp(logs).sum(axis=1, keepdims=True)))
