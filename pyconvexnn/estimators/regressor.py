"""Regression by a convex network, with scikit-learn's interface."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from sklearn.base import RegressorMixin

from pyconvexnn._typing import FloatArray
from pyconvexnn.estimators.base import BaseConvexMLP, Callback


class ConvexMLPRegressor(RegressorMixin, BaseConvexMLP):  # type: ignore[misc]
    r"""Two-layer network for regression, trained to the certified optimum for its patterns.

    The gates g_i of a gated ReLU network are drawn once and stay fixed; with them the patterns
    ``D_i = diag(1[X g_i >= 0])``. Training then solves the convex program

    .. math::
        \min_u \; \tfrac12 \Big\| \sum_i D_i X u_i - y \Big\|^2 + \beta \sum_i \|u_i\|

    whose value is the least of ``1/2 ||f(X) - y||^2 + beta/2 sum_j (||w_j||^2 + a_j^2)`` over all
    networks ``f(x) = sum_j 1[x.g_j >= 0] (x.w_j) a_j`` with gates among the g_i. Neither sum is
    divided by the number of samples. With the other activations phi it is that of
    :class:`~pyconvexnn.ReLUProblem`, the least over all networks ``f(x) = sum_j phi(x.w_j) a_j`` of
    which each neuron has the signs of one D_i: ``x.w_j >= 0`` on the rows x of X that are on,
    ``<= 0`` on the others.

    Parameters
    ----------
    activation : {"gated_relu", "relu", "leaky_relu", "abs"}, default="gated_relu"
        Network to train. The default becomes ``"relu"`` in a later version.
    beta : float, default=1.0
        Weight of the penalty, > 0. It is the ``alpha`` of :class:`sklearn.neural_network.
        MLPRegressor` fitted with ``solver="lbfgs"``, apart from the biases: those of the hidden
        layer are penalised here, and the output has none unless `output_offset` is True.
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
    loss : {"squared", "huber"} or Loss, default="squared"
        Loss, summed over the samples; ``cx.losses.Huber(delta)`` for another delta than 1.35.
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

    Attributes
    ----------
    network_ : GatedNetwork or TwoLayerNetwork
        The trained network. With ``fit_intercept`` it acts on X with a column of
        ``intercept_scaling`` appended. For K outputs each neuron feeds one output.
    coefs_ : list of two arrays, (n_features, m) and (m, K)
        Hidden and output weights, laid out as in MLPRegressor. They do not tell the whole of a
        gated network: neuron j is on where ``network_.gates[j]`` says, not where its own input is
        positive.
    intercepts_ : list of two arrays, (m,) and (K,)
        Hidden biases and the output's, which are zero without ``output_offset``.
    certificate_ : Certificate or None
        Objective of ``network_`` and a lower bound on that of every network with these gates, or
        with neurons of these patterns (``method="patterns"``), each summed over the outputs; None
        for ``certify=False``. With ``patterns="exact"`` these are all networks, of data read as
        ``enumerate_patterns`` reads them.
    solution_ : Solution or list of Solution
        What the solver returned; a list, one for each output, for K > 1.
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
        3, K and ``"identity"``, as MLPRegressor has them.

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

    _losses: ClassVar[tuple[str, ...]] = ("squared", "huber")
    _later_losses: ClassVar[tuple[str, ...]] = ("poisson",)

    def __sklearn_tags__(self) -> Any:
        """Tags of scikit-learn: several outputs are accepted."""
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags

    def fit(self, X: Any, y: Any) -> ConvexMLPRegressor:
        """Train the network.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_samples, n_features)
            Samples.
        y : array-like of shape (n_samples,) or (n_samples, K)
            Targets. K columns are K separate problems on the same patterns; one column (n, 1) is
            taken as (n,).

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
        return self._fit(X, y)

    def _fit(self, X: Any, y: Any, callback: Callback | None = None) -> ConvexMLPRegressor:
        """``fit`` with a callback for the solver, for the command line's progress bar."""
        self._check_settings()
        X, y = self._checked(X, y, multi_output=True, y_numeric=True)
        Y = np.asarray(y, dtype=np.float64).reshape(X.shape[0], -1)
        self.out_activation_ = "identity"
        self._train(X, Y, callback=callback)
        return self

    def predict(self, X: Any) -> FloatArray:
        """Output of the network.

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
        return self._forward(X)
