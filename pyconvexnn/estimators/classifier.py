"""Classification by a convex network, with scikit-learn's interface."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from scipy.special import expit, log_expit
from sklearn.base import ClassifierMixin
from sklearn.utils.class_weight import compute_class_weight
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import column_or_1d

from pyconvexnn._typing import FloatArray, IndexArray
from pyconvexnn.estimators.base import BaseConvexMLP, Callback


class ConvexMLPClassifier(ClassifierMixin, BaseConvexMLP):  # type: ignore[misc]
    r"""Two-layer network for classification, trained to the certified optimum for its patterns.

    The gates g_i of a gated ReLU network are drawn once and stay fixed; with them the patterns
    ``D_i = diag(1[X g_i >= 0])``. With labels ``y_k`` in {-1, +1} training solves

    .. math::
        \min_u \; \sum_k s_k \log\big(1 + e^{-y_k f_k}\big) + \beta \sum_i \|u_i\|,
        \qquad f = \sum_i D_i X u_i

    whose value is the least of ``sum_k s_k log(1 + exp(-y_k f(x_k))) + beta/2 sum_j (||w_j||^2 +
    a_j^2)`` over all networks ``f(x) = sum_j 1[x.g_j >= 0] (x.w_j) a_j`` with gates among the
    g_i. Neither sum is divided by the number of samples. With the other activations phi it is that
    of :class:`~pyconvexnn.ReLUProblem`, the least over all networks ``f(x) = sum_j phi(x.w_j) a_j``
    of which each neuron has the signs of one D_i: ``x.w_j >= 0`` on the rows x of X that are on,
    ``<= 0`` on the others. K > 2 classes are K
    such problems, one class against the rest, on the same patterns.

    Parameters
    ----------
    activation : {"gated_relu", "relu", "leaky_relu", "abs"}, default="gated_relu"
        Network to train. The default becomes ``"relu"`` in a later version.
    beta : float, default=1.0
        Weight of the penalty, > 0. For two classes it is the ``alpha`` of
        :class:`sklearn.neural_network.MLPClassifier` fitted with ``solver="lbfgs"``, apart from
        the biases: those of the hidden layer are penalised here, and the output has none
        unless `output_offset` is True.
    slope : float, default=0.01
        Of ``activation="leaky_relu"``, in [0, 1); not used by the others.
    patterns : "auto", "exact", int or PatternSet, default="auto"
        Patterns to choose from. An integer draws that many distinct ones from Gaussian gates.
        ``"auto"`` draws 20 000 of them for a gated network and 1000 for another, fewer where the
        data are large or have fewer; the rule, and what more of them would bring, are those of
        :func:`~pyconvexnn.estimators.base.auto_pattern_count`. A :class:`~pyconvexnn.PatternSet`
        of the rows of X is used as it is; gates are found by
        :meth:`~pyconvexnn.PatternSet.realise` unless it has gates for the features followed by
        the intercept column.
        ``"exact"`` takes every pattern that X with the intercept column has, listed by
        :func:`~pyconvexnn.enumerate_patterns`: the optimum is then that of all networks, of any
        width, and with any gates g that have ``x.g != 0`` on all rows but zero ones. n distinct
        rows of rank r have up to ``2 sum_{k<r} C(n - 1, k)`` patterns, fewer if they are
        degenerate: 324 000 for n = 100, r = 4. To list these takes hundredths of a second, to
        solve two seconds with gates and ten without; the time grows with the number. A
        MemoryError says when they are too many.
    fit_intercept : bool, default=True
        Whether a column of ``intercept_scaling`` is appended to X. It is the bias of the hidden
        units, penalised like a feature.
    intercept_scaling : float, default=1.0
        Value of that column; the larger, the less the bias is penalised.
    output_offset : bool, default=False
        Whether the output has an offset of its own, which is not penalised.
    scale : None, default=None
        None leaves X as it is, so that ``beta`` keeps its meaning; other values are not
        available yet.
    loss : {"logistic"}, default="logistic"
        Loss, summed over the samples.
    tol : float, default=1e-4
        Relative duality gap at which the solver stops.
    max_iter : int, default=None
        Most iterations of the solver; None is the solver's own limit.
    certify : bool or "full", default=True
        Whether ``certificate_`` is computed, by the dual point of the solution. It is against the
        patterns used; ``"full"``, for a gated network the same, is against all patterns for
        another, which is not available yet.
    time_limit : float, default=None
        Most seconds for solving, shared alike by the outputs; the best network so far is kept,
        with its gap. With ``patterns="exact"`` the time for listing them counts, but is not cut.
    warm_start : bool, default=False
        True is not available yet.
    threads : int, default=None
        Threads of the compiled code: None is 1, -1 all cores. The result does not depend on it.
    random_state : int, RandomState, Generator or None, default=0
        Seed of the patterns; None draws new ones in every fit.
    verbose : int, default=0
        Passed to :func:`pyconvexnn.solve`.
    class_weight : dict, "balanced" or None, default=None
        Weights s of the classes, each > 0: a sample's loss is multiplied by its class's weight,
        in every one of the K problems. ``"balanced"`` is ``n_samples / (K * samples of the
        class)``; None is 1.

    Attributes
    ----------
    classes_ : ndarray of shape (K,)
        Class labels, sorted.
    network_ : GatedNetwork or TwoLayerNetwork
        The trained network. With ``fit_intercept`` it acts on X with a column of
        ``intercept_scaling`` appended. It has one output for two classes, else one for each
        class, and each neuron feeds one output.
    coefs_ : list of two arrays, (n_features, m) and (m, 1 or K)
        Hidden and output weights, laid out as in MLPClassifier. They do not tell the whole of a
        gated network: neuron j is on where ``network_.gates[j]`` says, not where its own input is
        positive.
    intercepts_ : list of two arrays, (m,) and (1 or K,)
        Hidden biases and the output's, which are zero without ``output_offset``.
    certificate_ : Certificate or None
        Objective of ``network_`` and a lower bound on that of every network with these gates, or
        with neurons of these patterns (``method="patterns"``), each summed over the outputs; None
        for ``certify=False``. With ``patterns="exact"`` these are all networks, of data read as
        ``enumerate_patterns`` reads them.
    solution_ : Solution or list of Solution
        What the solver returned; a list, one for each class, for K > 2.
    patterns_ : PatternSet
        Patterns that the network was chosen from; for ``"abs"`` one of each pair of opposites.
    loss_ : float
        Objective of ``network_``, the penalty included.
    n_iter_ : int
        Iterations of the solver, the largest over the outputs.
    n_features_in_ : int
        Number of features.
    feature_names_in_ : array of shape (n_features_in_,)
        Their names, if X had names that are all strings.
    n_layers_, n_outputs_, out_activation_
        3, the number of outputs and ``"logistic"``, as MLPClassifier has them.

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

    _losses: ClassVar[tuple[str, ...]] = ("logistic",)
    _later_losses: ClassVar[tuple[str, ...]] = ("squared_hinge", "hinge", "cross_entropy")

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

    def fit(self, X: Any, y: Any) -> ConvexMLPClassifier:
        """Train the network.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_samples, n_features)
            Samples.
        y : array-like of shape (n_samples,)
            Class labels, numbers or strings, of at least two classes.

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
        return self._fit(X, y)

    def _fit(self, X: Any, y: Any, callback: Callback | None = None) -> ConvexMLPClassifier:
        """``fit`` with a callback for the solver, for the command line's progress bar."""
        self._check_settings()
        X, y = self._checked(X, y)
        y = column_or_1d(y, warn=True)
        check_classification_targets(y)
        classes, codes = np.unique(y, return_inverse=True)
        if len(classes) < 2:
            only = classes.tolist()[0]
            raise ValueError(f"`y` must have at least two classes, got one class: {only!r}")
        weights = self._sample_weight(classes, codes, y)
        self.classes_ = classes
        self.out_activation_ = "logistic"
        self._train(X, signs(codes, len(classes)), sample_weight=weights, callback=callback)
        return self

    def _sample_weight(self, classes: Any, codes: IndexArray, y: Any) -> FloatArray | None:
        """Weight of each sample by its class, or None when all are 1."""
        if self.class_weight is None:
            return None
        weights = compute_class_weight(self.class_weight, classes=classes, y=y)
        if not np.all(weights > 0):
            raise ValueError(f"`class_weight` must hold weights > 0, got {self.class_weight!r}")
        return np.asarray(weights[codes], dtype=np.float64)

    def decision_function(self, X: Any) -> FloatArray:
        """Output of the network before the sigmoid.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_samples, n_features)
            Samples.

        Returns
        -------
        scores : ndarray of shape (n_samples,) or (n_samples, K)
            For two classes one number, positive for ``classes_[1]``; else one for each class.

        Raises
        ------
        ValueError, TypeError
            If X is not as described or has other features than in ``fit``.
        sklearn.exceptions.NotFittedError
            Before ``fit``.
        """
        return self._forward(X)

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
        codes = predicted_codes(self._forward(X))
        return np.asarray(self.classes_[codes])

    def predict_proba(self, X: Any) -> FloatArray:
        """Probability of each class.

        The sigmoid of the scores; for K > 2 classes divided by its sum over the classes.

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
        return probabilities(self._forward(X))

    def predict_log_proba(self, X: Any) -> FloatArray:
        """Logarithm of the probability of each class.

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
        return log_probabilities(self._forward(X))


def signs(codes: IndexArray, n_classes: int) -> FloatArray:
    """Labels -1/+1: one column for two classes, else a column for each class against the rest."""
    columns = [1] if n_classes == 2 else list(range(n_classes))
    return np.where(codes[:, None] == columns, 1.0, -1.0)


def predicted_codes(scores: FloatArray) -> IndexArray:
    """Index of the predicted class: scores (n,) for two classes, else (n, K)."""
    if scores.ndim == 1:
        return np.asarray(scores > 0, dtype=np.int64)
    return np.asarray(scores.argmax(axis=1), dtype=np.int64)


def probabilities(scores: FloatArray) -> FloatArray:
    """Probabilities (n, K) of scores (n,) or (n, K)."""
    if scores.ndim == 1:
        return np.column_stack([expit(-scores), expit(scores)])
    return np.exp(log_probabilities(scores))


def log_probabilities(scores: FloatArray) -> FloatArray:
    """Logarithms of the probabilities; finite where the probabilities underflow."""
    if scores.ndim == 1:
        return np.column_stack([log_expit(-scores), log_expit(scores)])
    logs = log_expit(scores)
    # Subtracting the largest first: no 0 / 0 when every class is very unlikely.
    logs = logs - logs.max(axis=1, keepdims=True)
    return np.asarray(logs - np.log(np.exp(logs).sum(axis=1, keepdims=True)))
