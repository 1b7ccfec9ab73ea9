"""Which patterns an estimator's program is over, where it is over a list of them."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from pyconvexnn._bits import distinct_rows
from pyconvexnn._gates import Whitened
from pyconvexnn._typing import FloatArray
from pyconvexnn._validation import positive_int
from pyconvexnn.estimators.exact import exact_patterns
from pyconvexnn.patterns import PatternSet
from pyconvexnn.sampling import sample_patterns
from pyconvexnn.sampling.everything import cell_bound

AUTO_MOST = 20_000
AUTO_LEAST = 1000
ROWS_FOR_WHITENING = 10  # for each column
AUTO_WORK = 2**32  # m r P, the multiplications of a pass over all patterns


def auto_pattern_count(X: FloatArray) -> int:
    """Patterns that ``patterns="auto"`` draws for gates, from data X with their intercept column.

    ``P = 20 000``; no more than ``2^32 / (m r)``, but at least 1000; and no more than the
    ``2 sum_{k<r} C(m - 1, k)`` cells that there can be, all of which are then listed. Here r is the
    rank of X and m the number of its distinct rows: repeated rows change nothing.

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
    """
    distinct = X[distinct_rows(X)[0]]
    count = AUTO_MOST
    if distinct.size * AUTO_MOST > AUTO_WORK:  # else the rank, a factorisation, does not matter
        work = len(distinct) * max(1, Whitened(distinct).rank)
        count = min(AUTO_MOST, max(AUTO_LEAST, AUTO_WORK // work))
    cells = cell_bound(distinct, count)
    return count if cells is None else cells


def draw_patterns(
    setting: Any, X: FloatArray, random_state: Any, threads: int | None
) -> PatternSet:
    """Patterns that a setting of `patterns` other than a PatternSet means.

    Parameters
    ----------
    setting : "auto", "exact" or int
        What the estimator was given.
    X : (n, d) float64
        Data with their intercept column.
    random_state : int, RandomState, Generator or None
        Seed of what is drawn.
    threads : int, optional
        None is 1, -1 all cores.
    """
    if isinstance(setting, str) and setting == "exact":
        return exact_patterns(X, threads=threads)
    seed = as_seed(random_state)
    # Gates of whitened data are drawn with no regard to the units of the columns. With few rows
    # for each column they tell any rows from any others, and a network learns nothing by them:
    # 800 images of digits, 50 gates: 79 % of others are recognised, in their own units 86 %.
    whitened = len(X) >= ROWS_FOR_WHITENING * X.shape[1]
    coordinates = "whitened" if whitened else "raw"
    if setting != "auto":
        return sample_patterns(X, int(setting), coordinates=coordinates, seed=seed)
    with warnings.catch_warnings():
        # "auto" asks for up to so many: fewer cells than that are no news to the user.
        warnings.simplefilter("ignore", UserWarning)
        return sample_patterns(X, auto_pattern_count(X), coordinates=coordinates, seed=seed)


def given_patterns(patterns: PatternSet, X: FloatArray, *, has_intercept: bool) -> PatternSet:
    """The user's patterns, with gates that have them on these data.

    Raises
    ------
    ValueError
        If they are not patterns of the rows of X.
    """
    if patterns.n_samples != len(X):
        raise ValueError(
            f"`patterns` must be patterns of the {len(X)} rows of X, "
            f"got patterns of {patterns.n_samples} rows"
        )
    try:
        return patterns.realise(X)
    except ValueError as error:
        columns = "X with its intercept column" if has_intercept else "X"
        raise ValueError(f"`patterns` must be patterns of {columns}; {error}") from None


def as_seed(random_state: Any) -> int | np.random.Generator | None:
    """Seed of the library's functions: scikit-learn's old RandomState seeds a Generator."""
    if isinstance(random_state, np.random.RandomState):
        words = random_state.randint(0, 2**32, size=4, dtype=np.uint64)
        return np.random.default_rng(words)
    if random_state is None or isinstance(random_state, np.random.Generator):
        return random_state
    return positive_int(random_state, "random_state", minimum=0)
