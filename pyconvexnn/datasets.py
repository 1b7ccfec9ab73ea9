"""Seeded synthetic problems: the recipes that benchmarks, examples and tests share."""

from __future__ import annotations

import numpy as np

from pyconvexnn._typing import FloatArray
from pyconvexnn._validation import as_generator, choice, nonnegative, positive_int, room_for
from pyconvexnn.patterns import PatternSet
from pyconvexnn.sampling import sample_patterns

_LABELS = ("logistic", "hinge", "squared_hinge")  # losses of labels -1 and +1
_LOSSES = ("squared", "huber", *_LABELS, "poisson", "cross_entropy")
_GRID = 2.0**20  # features are multiples of 1 / _GRID: the same numbers whatever the C library


def ar(
    n: int,
    d: int,
    P: int,
    *,
    seed: int | np.random.Generator | None = 0,
    loss: str = "squared",
    n_outputs: int = 1,
) -> tuple[FloatArray, FloatArray, PatternSet]:
    """Correlated features, a noisy ReLU teacher, and patterns of Gaussian gates.

    X holds ``d - 1`` columns with standard normal marginals and correlation 1/2 between
    neighbours, ``x_j = x_{j-1} / 2 + sqrt(3/4) e_j``, and a column of ones. The response is that
    of 8 neurons, ``t = sum_j a_j (X w_j)_+`` with ``a_j ~ N(0, 1)``, ``w_j ~ N(0, I/d)``, divided
    by its standard deviation, plus ``0.3 N(0, 1)``, then standardised.

    Parameters
    ----------
    n, d, P : int
        Samples (at least 2), columns of X (at least 2), patterns.
    seed : int, Generator or None
        Where the randomness comes from. X does not depend on `loss`, X and y not on `P`.
    loss : str
        What y is made for. ``"squared"``, ``"huber"``: the response; ``"logistic"``, ``"hinge"``,
        ``"squared_hinge"``: its sign, -1 or +1; ``"poisson"``: counts of rate exp(response clipped
        to [-2, 2]); ``"cross_entropy"``: one-hot rows, the largest of `n_outputs` responses.
    n_outputs : int
        Number K of responses, of independent teachers.

    Returns
    -------
    X : (n, d) array
    y : (n,) array, or (n, K) if K > 1
    patterns : PatternSet
        `P` distinct non-zero patterns of Gaussian gates in raw coordinates (fewer, and a
        UserWarning, if there are not as many).

    Raises
    ------
    TypeError, ValueError
        If an argument is not as described.

    Notes
    -----
    X is rounded to multiples of 2^-20. X and the patterns are then the same bits on every
    machine; y agrees to 1e-12.

    Examples
    --------
    >>> import pyconvexnn as cx
    >>> X, y, patterns = cx.datasets.ar(100, 5, 50)
    >>> X.shape, y.shape, len(patterns)
    ((100, 5), (100,), 50)
    """
    n, d, P, n_outputs = _check(n, d, P, loss, n_outputs, least_d=2)
    features, targets, gates = as_generator(seed).spawn(3)
    X = features.standard_normal((n, d - 1))
    for j in range(1, d - 1):
        X[:, j] = 0.5 * X[:, j - 1] + np.sqrt(0.75) * X[:, j]
    X = np.column_stack([_on_grid(X), np.ones(n)])
    response = _responses(X, 8, 0.3, n_outputs, targets)
    response = (response - response.mean(axis=0)) / _deviation(response)
    return X, _target(response, loss, targets), _patterns(X, P, gates)


def gauss(
    n: int,
    d: int,
    P: int,
    *,
    seed: int | np.random.Generator | None = 0,
    loss: str = "squared",
    n_outputs: int = 1,
) -> tuple[FloatArray, FloatArray, PatternSet]:
    """Independent features without a column of ones, a ReLU teacher with little noise.

    X is standard normal. The response is that of 10 neurons, ``t = sum_j a_j (X w_j)_+`` with
    ``a_j ~ N(0, 1)``, ``w_j ~ N(0, I/d)``, divided by its standard deviation, plus
    ``0.1 N(0, 1)``.

    Parameters
    ----------
    n, d, P : int
        Samples (at least 2), columns of X, patterns.
    seed, loss, n_outputs
        As for `ar`.

    Returns
    -------
    X : (n, d) array
    y : (n,) array, or (n, K) if K > 1
    patterns : PatternSet
        As for `ar`.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as described.

    Notes
    -----
    X is rounded to multiples of 2^-20. X and the patterns are then the same bits on every
    machine; y agrees to 1e-12.

    Examples
    --------
    >>> import numpy as np
    >>> import pyconvexnn as cx
    >>> X, y, patterns = cx.datasets.gauss(100, 5, 50, loss="logistic")
    >>> np.unique(y)
    array([-1.,  1.])
    """
    n, d, P, n_outputs = _check(n, d, P, loss, n_outputs)
    features, targets, gates = as_generator(seed).spawn(3)
    X = _on_grid(features.standard_normal((n, d)))
    response = _responses(X, 10, 0.1, n_outputs, targets)
    return X, _target(response, loss, targets), _patterns(X, P, gates)


def teacher(
    n: int,
    d: int,
    k: int = 5,
    noise: float = 0.3,
    *,
    seed: int | np.random.Generator | None = 0,
) -> tuple[FloatArray, FloatArray]:
    """A regression with a small network behind it, for training and certification.

    X holds `d` standard normal features and a column of ones. y is the response of `k` neurons,
    ``t = sum_j a_j (X w_j)_+`` with ``a_j ~ N(0, 1)``, ``w_j ~ N(0, I/(d + 1))``, divided by its
    standard deviation, plus ``noise N(0, 1)``.

    Parameters
    ----------
    n, d : int
        Samples (at least 2), features; the column of ones comes on top.
    k : int
        Neurons of the teacher.
    noise : float
        Standard deviation of the noise, at least 0.
    seed : int, Generator or None
        Where the randomness comes from.

    Returns
    -------
    X : (n, d + 1) array
    y : (n,) array

    Raises
    ------
    TypeError, ValueError
        If an argument is not as described.

    Notes
    -----
    X is rounded to multiples of 2^-20: the same bits on every machine; y agrees to 1e-12.

    Examples
    --------
    >>> import pyconvexnn as cx
    >>> X, y = cx.datasets.teacher(100, 4)
    >>> X.shape, y.shape
    ((100, 5), (100,))
    """
    k = positive_int(k, "k")
    nonnegative(noise, "noise")
    n, d, *_ = _check(n, d, k=k)
    features, targets = as_generator(seed).spawn(2)
    X = np.column_stack([_on_grid(features.standard_normal((n, d))), np.ones(n)])
    return X, _responses(X, k, noise, 1, targets)


def _check(
    n: int,
    d: int,
    P: int = 1,
    loss: str = "squared",
    n_outputs: int = 1,
    *,
    least_d: int = 1,
    k: int = 1,
) -> tuple[int, int, int, int]:
    """n, d, P and n_outputs as Python has them: NumPy's integers overflow."""
    n, d = positive_int(n, "n", minimum=2), positive_int(d, "d", minimum=least_d)
    P, n_outputs = positive_int(P, "P"), positive_int(n_outputs, "n_outputs")
    choice(loss, "loss", _LOSSES)
    if n_outputs < 2 and loss == "cross_entropy":
        raise ValueError(f"`n_outputs` must be >= 2 for loss='cross_entropy', got {n_outputs}")
    # X, y, what the teacher's neurons compute, and their weights, before time goes into any.
    sizes = {"n": n, "d": d, "n_outputs": n_outputs, "k": k}
    for rows, columns in (("n", "d"), ("n", "n_outputs"), ("n", "k"), ("d", "k")):
        largest = rows if sizes[rows] >= sizes[columns] else columns
        room_for((sizes[rows], sizes[columns]), largest)
    return n, d, P, n_outputs


def _on_grid(X: FloatArray) -> FloatArray:
    return np.round(X * _GRID) / _GRID


def _responses(
    X: FloatArray, k: int, noise: float, n_outputs: int, rng: np.random.Generator
) -> FloatArray:
    """(n,) or (n, K): each of k neurons, of unit standard deviation before the noise is added."""
    n, d = X.shape
    columns = []
    for _ in range(n_outputs):
        W = rng.standard_normal((d, k)) / np.sqrt(d)
        t = np.maximum(X @ W, 0.0) @ rng.standard_normal(k)
        columns.append(t / _deviation(t) + noise * rng.standard_normal(n))
    return columns[0] if n_outputs == 1 else np.column_stack(columns)


def _deviation(t: FloatArray) -> FloatArray:
    """Standard deviations of columns; 1 where a teacher is silent on all samples."""
    deviation = np.asarray(t.std(axis=0))
    return np.where(deviation > 0.0, deviation, 1.0)


def _target(response: FloatArray, loss: str, rng: np.random.Generator) -> FloatArray:
    if loss in _LABELS:
        return np.where(response >= 0.0, 1.0, -1.0)
    if loss == "poisson":
        return rng.poisson(np.exp(np.clip(response, -2.0, 2.0))).astype(float)
    if loss == "cross_entropy":
        one_hot = np.zeros_like(response)
        np.put_along_axis(one_hot, response.argmax(axis=1)[:, None], 1.0, axis=1)
        return one_hot
    return response


def _patterns(X: FloatArray, P: int, rng: np.random.Generator) -> PatternSet:
    return sample_patterns(X, P, method="gaussian", coordinates="raw", seed=rng)
