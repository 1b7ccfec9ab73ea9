"""What the docstrings of the estimators have in common, written once."""

from __future__ import annotations

import inspect
import textwrap
from typing import TypeVar

_Class = TypeVar("_Class", bound=type)

_MODEL = """
A network ``f(x) = sum_j phi(x.w_j) a_j`` of any width m is trained to the global optimum of its
weight-decay problem

.. math::
    \\min_{m,\\, w_j,\\, a_j} \\; \\sum_k s_k \\, \\ell\\big(f(x_k), y_k\\big)
    + \\frac\\beta2 \\sum_{j=1}^m \\big(\\|w_j\\|_2^2 + a_j^2\\big)

which is a convex program with two blocks for each activation pattern of the data
(:class:`~pyconvexnn.ReLUProblem`; Pilanci and Ergen, ICML 2020). The patterns that matter are
generated (:func:`~pyconvexnn.train`), and ``certificate_`` says how far the network is from the
best of all. Neither sum is divided by the number of samples. x is a row of X with the intercept
column. Networks with gates, ``f(x) = sum_j 1[x.g_j >= 0] (x.w_j) a_j``, are trained over gates g_j
that are drawn beforehand (:class:`~pyconvexnn.GatedReLUProblem`; Mishkin, Sahiner and Pilanci,
ICML 2022).
"""

_BETA = """
beta : float, default=1.0
    Weight of the penalty, > 0. It is the ``alpha`` of scikit-learn's MLP estimators fitted with
    ``solver="lbfgs"``, apart from the biases: those of the hidden layer are penalised here, and
    the output has none unless `output_offset` is True. From :func:`~pyconvexnn.beta_max` on the
    best network has no neurons: begin with a tenth to a hundredth of it.
"""

_SETTINGS = """
slope : float, default=0.01
    Of ``activation="leaky_relu"``, in [0, 1); not used by the others.
patterns : "auto", "exact", int or PatternSet, default="auto"
    Patterns to choose from. ``"auto"``: all of them, without listing them; for gates up to 20 000
    that are drawn, fewer where the data are large or have fewer, by the rule of
    :func:`~pyconvexnn.estimators.patterns.auto_pattern_count`. An integer draws that many distinct
    ones from Gaussian gates, of whitened data, or of X as it is where it has fewer than ten rows
    for each column. A :class:`~pyconvexnn.PatternSet` of the rows of X is used as it is;
    gates are found by :meth:`~pyconvexnn.PatternSet.realise` unless it has gates for the features
    followed by the intercept column.
    ``"exact"`` lists every pattern that X with the intercept column has, by
    :func:`~pyconvexnn.enumerate_patterns`: the optimum is then that of all networks, and with any
    gates g that have ``x.g != 0`` on all rows but zero ones. n distinct rows of rank r have up to
    ``2 sum_{k<r} C(n - 1, k)`` patterns, fewer if they are degenerate: 324 000 for n = 100, r = 4.
    To list these takes hundredths of a second, to solve two seconds with gates and ten without;
    the time grows with the number. A MemoryError says when they are too many.
fit_intercept : bool, default=True
    Whether a column of `intercept_scaling` is appended to X. It is the bias of the hidden units,
    penalised like a feature.
intercept_scaling : float, default=1.0
    Value of that column; the larger, the less the bias is penalised.
output_offset : bool, default=False
    Whether the output has an offset of its own, which is not penalised.
scale : {None, "standard"}, default=None
    None leaves X as it is, so that `beta` keeps its meaning. ``"standard"`` trains on columns of
    variance 1, and of mean 0 if there is an intercept: `beta`, ``loss_`` and ``certificate_`` are
    of that problem, while ``network_`` and the weights are those of X as given.
"""

_REST = """
tol : float, default=1e-4
    Relative duality gap at which training stops, and up to which an optimum counts as proved.
max_iter : int, default=None
    Most iterations of the solver, or rounds of generating patterns; None is the solver's own
    limit, and no limit of rounds.
certify : bool or "full", default=True
    What ``certificate_`` says. Over all patterns: the bound proved within 10 seconds after the
    training, fewer where more would not help, or, with ``"full"``, in all the time that it takes;
    a proof to `tol` is usual up to about six features. Over a list of patterns: the bound over
    that list, without gates and with ``"full"`` the bound over all networks. False: nothing,
    ``certificate_`` is None.
time_limit : float, default=None
    Most seconds of training and proving, shared alike by the outputs; the best network so far is
    kept, with its gap. With ``patterns="exact"`` the time for listing them counts, but is not cut.
warm_start : bool, default=False
    Whether ``fit`` starts from the fit before, if that was of the same activation and as many
    features and outputs; over a list of patterns if that list was the same. The result is the same
    to `tol`.
threads : int, default=None
    Threads of the compiled code: None is 1, -1 all cores. The result does not depend on it.
random_state : int, RandomState, Generator or None, default=0
    Seed of the patterns drawn and of the searches; None is another one in every fit.
verbose : int, default=0
    Above 0: a progress bar.
"""

_CV_FIRST = """
betas : int or array-like of shape (k,), default=50
    Penalties tried, or how many: then in geometric progression from the largest useful one down,
    from which on the best network has no neurons. It is that of all samples; for gates that over
    the patterns drawn.
"""

_CV_LAST = """
beta_min_ratio : float, default=1e-2
    Of the smallest penalty to the largest, where `betas` is a number; in (0, 1). Where the smallest
    one is chosen, one smaller still may be better.
cv : int, splitter or iterable, default=5
    Folds, as scikit-learn's ``cross_val_score`` takes them: an integer is so many, stratified for
    classes, not shuffled; where the order of the rows means something, pass
    ``KFold(5, shuffle=True, random_state=0)``.
rule : {"best", "1se"}, default="best"
    Which penalty is chosen: that of the best mean score, or the largest whose mean score is no more
    than one standard error of the best one below it.
scoring : str or callable, default=None
    Score, as scikit-learn names them; None is that of the estimator's ``score``.
n_jobs : int, default=None
    Folds at a time, in processes of their own (joblib): None is 1, -1 one for each core. The
    result does not depend on it.
"""

_FITTED = """
network_ : TwoLayerNetwork or GatedNetwork
    The trained network. With `fit_intercept` it acts on X with a column of `intercept_scaling`
    appended. It has an output for each target or class, one for two classes; each neuron feeds
    one output. With the cross entropy there is an output for each of two classes too, and units
    have matrix weights: :attr:`GatedNetwork.U`.
coefs_ : list of two arrays, (n_features, m) and (m, K)
    Hidden and output weights in the layout of scikit-learn's MLP estimators, which predict the same
    with them. Of a gated network they do not tell the whole: neuron j is on where
    ``network_.gates[j]`` says, not where its own input is positive. Each unit of matrix weights is
    K neurons there, one for each output: those of ``network_.with_vectors()``.
intercepts_ : list of two arrays, (m,) and (K,)
    Hidden biases and the outputs' offsets, which are zero without `output_offset`.
certificate_ : Certificate or None
    Objective of the network and a lower bound of that of every network, or of those over the
    list of patterns (``method="patterns"``), each summed over the outputs; see `certify`. Its
    ``dual`` belongs to the rows of X.
solution_ : Fit, Solution or list of these
    What generating patterns, or the solver, returned; a list, one for each output, for K > 1, but
    one with the cross entropy. The
    status is SOLVED when training has ended at `tol`, proved or not. It is of the rows that were
    trained on: those of weight 0 are left out, and equal rows are one if weights are integers.
patterns_ : PatternSet
    Patterns that the network was chosen from, or the last ones generated, on the same rows; for
    ``"abs"`` one of each pair of opposites.
loss_ : float
    Objective of the network, the penalty included.
n_iter_ : int
    Iterations of the solver, or rounds of generating patterns; the largest over the outputs.
n_features_in_ : int
    Number of features.
feature_names_in_ : array of shape (n_features_in_,)
    Their names, if X had names that are all strings.
n_layers_, n_outputs_, out_activation_
    3, K and the last layer's activation, as scikit-learn's MLP estimators have them: "identity",
    "logistic", "softmax" with the cross entropy, or "exp" with the Poisson loss.
"""

_CV_FITTED = """
beta_ : float
    The penalty chosen.
betas_ : ndarray of shape (k,)
    Penalties tried, falling.
best_score_ : float
    Mean score of ``beta_`` on the rows held out.
best_index_ : int
    Its index in ``betas_``.
cv_results_ : dict of arrays
    For each penalty, as GridSearchCV has them: ``beta``, ``params``, ``split0_test_score`` and so
    on, ``mean_test_score``, ``std_test_score``, ``rank_test_score``, ``mean_fit_time``, and
    ``mean_n_neurons``.
"""

_PARTS = {
    "{model}": _MODEL,
    "{beta}": _BETA,
    "{settings}": _SETTINGS,
    "{rest}": _REST,
    "{cv first}": _CV_FIRST,
    "{cv last}": _CV_LAST,
    "{fitted}": _FITTED,
    "{cv fitted}": _CV_FITTED,
}


def documented(cls: _Class) -> _Class:
    """Put the common parts, named in braces on lines of their own, into a docstring."""
    text = inspect.cleandoc(cls.__doc__ or "")
    for name, part in _PARTS.items():
        text = text.replace(name, textwrap.dedent(part).strip("\n"))
    cls.__doc__ = text
    return cls
