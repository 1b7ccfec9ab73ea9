"""The samplers behind one function."""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import ArrayLike

from pyconvexnn._typing import FloatArray
from pyconvexnn._validation import as_generator, as_matrix, choice, describe, positive_int
from pyconvexnn.patterns import PatternSet
from pyconvexnn.sampling.coordinates import coordinates_of
from pyconvexnn.sampling.draws import DRAWS_PER_PATTERN, Sampler, collect
from pyconvexnn.sampling.everything import cell_bound, every_cell
from pyconvexnn.sampling.gaussian import Gaussian
from pyconvexnn.sampling.local import Local
from pyconvexnn.sampling.sweep import Sweep
from pyconvexnn.sampling.uniform import uniform
from pyconvexnn.sampling.vertex import Vertex

METHODS = ("gaussian", "sweep", "vertex", "uniform", "local")
_FEW = 4096  # patterns that are listed where a sampler found too few, to see if there are more


def sample_patterns(
    X: ArrayLike,
    n_patterns: int,
    *,
    method: str = "gaussian",
    coordinates: str = "whitened",
    around: ArrayLike | None = None,
    seed: int | np.random.Generator | None = 0,
) -> PatternSet:
    """Distinct activation patterns ``1[X u >= 0]``, drawn at random.

    Every pattern comes with a gate u that has it. The all-zero pattern (but for zero rows of X,
    whose bit is always 1) is left out: it contributes nothing. If `n_patterns` reaches the
    number of patterns the data can have, all of them are listed instead.

    Parameters
    ----------
    X : (n_samples, n_features) array
        Data.
    n_patterns : int
        Number of patterns wanted.
    method : str
        ``"gaussian"``: gates with Gaussian coordinates; cells are met in proportion to their
        solid angles. ``"sweep"``: of random great circles, each through two Gaussian points, the
        middles of arcs between crossings; in proportion to mean widths. ``"vertex"``: a cell at
        the ray where r - 1 random rows vanish (r = rank X), on random sides of them.
        ``"uniform"``: all cells with equal probabilities, without replacement. ``"local"``: the
        cells of the directions `around`, then those near them. See Notes.
    coordinates : str
        Where ``"gaussian"``, ``"sweep"`` and ``"local"`` draw: ``"whitened"``, in which X has
        orthonormal columns, or ``"raw"``, those of X. The others do not depend on coordinates.
    around : (n_directions, n_features) array, optional
        For ``method="local"`` only: directions, none zero, of any length.
    seed : int, Generator or None
        Where the randomness comes from; None takes fresh entropy.

    Returns
    -------
    PatternSet
        With a gate for each pattern. The first patterns of a longer sample are the shorter
        sample, unless that is all patterns. A UserWarning says how many were found if they are
        all that there are, or if 200 draws for each pattern asked for did not yield as many, or
        10 000 and 200 for each pattern found brought nothing new: Gaussian gates, above all, may
        never meet small cells.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as described. ``"uniform"`` also refuses data of rank above 63, and
        rows of which :func:`enumerate_patterns` cannot tell whether they depend on each other: use
        ``"vertex"``.
    MemoryError
        If so many patterns cannot be held; raised before any is drawn.

    See Also
    --------
    enumerate_patterns : all patterns.

    Notes
    -----
    *Which method.* A convex program with sampled patterns is far from the one with all of them
    unless there are many; the method matters less. ``"gaussian"`` is the default: fast, and best
    for few patterns of the ReLU program, which gains most from large cells. For the gated program
    ``"uniform"`` is a little better, and better still with some hundreds of patterns is to take
    half of them ``"local"``, around the gates that a first solution uses. To see many different
    cells take ``"uniform"``, or ``"vertex"`` where few of its draws are cells (rows of which many
    depend on each other, like one-hot columns): they do not miss small cells.
    ``"sweep"`` meets more small cells than Gaussian gates do, at up to twice the price;
    ``"vertex"`` and ``"uniform"`` have to find a gate for each cell: ten microseconds for 100
    rows in 5 dimensions, half a millisecond for 500 rows in 20.

    Share of all cells met after 0.1, 1 and 10 draws for each cell there is (Gaussian data):

    ========  =====================  =========================
    method    n = 50, d = 3 (2452)   n = 100, d = 4 (323 600)
    ========  =====================  =========================
    gaussian  0.09   0.39   0.71     0.07   0.27   0.55
    sweep     0.09   0.53   0.93     0.08   0.39   0.75
    vertex    0.10   0.63   1.00     0.10   0.60   1.00
    uniform   0.10   1      1        0.10   1      1
    ========  =====================  =========================

    How much larger (in %) the optimum is with so many patterns than with all of them, for data
    of five noisy ReLU neurons, d counting a column of ones, beta = 0.02 beta_max, means of ten
    data sets; "half local": Gaussian, then as many around the gates that its optimum uses:

    ==========  ==================  ========================  ========================
    method      ReLU                gated                     gated
                n = 100, d = 4      n = 100, d = 4            n = 40, d = 6
    patterns:   10   30   100  300  10   30   100  300  1000  10   30   100  300  1000
    ==========  ==================  ========================  ========================
    gaussian    77   25   9.7  3.9  79   50   32   21   15    103  55   33   21   15
       (raw)    74   24   8.5  3.7  75   49   31   20   14    99   57   34   23   15
    sweep       125  43   16   6.3  95   50   35   23   14    130  72   36   23   15
    vertex      135  32   14   5.4  111  44   31   21   14    96   52   31   19   12
    uniform     107  32   10   4.2  83   49   30   18   12    87   46   28   19   12
    half local  -                   131  62   36   20   10    217  68   34   18   10
    ==========  ==================  ========================  ========================

    (``python -m bench.sampling_tables`` in the sources measures both again.)

    *Whitened* gates are ``u = C (C X'X C)^(-1/2) z``, C the inverse column norms (a
    pseudo-inverse where X has not full rank). Units of the columns then do not matter, and
    columns that are nearly collinear, or far from zero like years, are cut through as well.
    These gates are rounded to 26 bits of their largest entry (in the whitened coordinates'
    units), so that LAPACKs that differ in the last bits draw the same patterns, unless the
    columns of X are dependent to 7 digits or more. A column 2^500 times smaller than the largest
    counts as zero.

    *Vertex* draws depend on determinants of rows only: an invertible transformation of the
    columns changes nothing (but for rounding), and rows in special position are dealt with by
    bookkeeping. For *uniform* the distribution stays the same, and the cells are those of
    :func:`enumerate_patterns` with ``snap=True``. Gates of both are those that
    ``enumerate_patterns`` gives; a cell too thin for a float64 gate is left out.

    *Local* sampling starts with the patterns of the directions themselves (also where one lies
    on a hyperplane). The c-th perturbation of a direction, of length 1 in the coordinates, adds
    a Gaussian vector with standard deviation t, the distance of its m-th nearest hyperplane; m is
    the least number of hyperplanes that can have c cells near a point, ``sum_{k<r} C(m, k) >= c``.

    Examples
    --------
    >>> import numpy as np
    >>> import pyconvexnn as cx
    >>> X = np.random.default_rng(0).standard_normal((20, 3))
    >>> ps = cx.sample_patterns(X, 50)
    >>> ps
    PatternSet(n_patterns=50, n_samples=20, gates=True)
    >>> bool(np.all((X @ ps.gates.T >= 0).T == ps.to_dense()))
    True
    >>> cx.sample_patterns(1000 * X, 10) == ps[:10]
    True
    >>> mixed = X @ np.array([[1.0, 2.0, 0.0], [0.0, 1.0, 3.0], [1.0, 0.0, 1.0]])
    >>> cx.sample_patterns(mixed, 50, method="vertex") == cx.sample_patterns(
    ...     X, 50, method="vertex"
    ... )
    True
    >>> near = cx.sample_patterns(X, 5, method="local", around=ps.gates[:1])
    >>> [int(bits.sum()) for bits in near.to_dense() ^ ps.to_dense()[0]]
    [0, 1, 1, 3, 2]
    """
    X = as_matrix(X)
    n_patterns = positive_int(n_patterns, "n_patterns")
    choice(method, "method", METHODS)
    choice(coordinates, "coordinates", ["whitened", "raw"])
    centres = _centres(around, method, X.shape[1])
    rng = as_generator(seed)

    n_cells = cell_bound(X, n_patterns)
    if n_cells is not None:
        every = every_cell(X, centres)
        if every is not None:
            return _all(every, n_patterns)
    wanted = n_patterns if n_cells is None else n_cells
    sampler = _sampler(X, method, coordinates, centres, rng, DRAWS_PER_PATTERN * wanted)
    packed, gates, drawn = collect(sampler, X, wanted, n_cells=n_cells)
    if len(packed) < n_patterns:
        if n_cells is None and cell_bound(X, _FEW) is not None:
            every = every_cell(X, centres)
            if every is not None and len(every) <= n_patterns:
                return _all(every, n_patterns)
        warnings.warn(
            f"found {len(packed)} distinct patterns in {drawn} draws, "
            f"`n_patterns` was {describe(n_patterns)}",
            UserWarning,
            stacklevel=2,
        )
    return PatternSet.of_gates(X, packed, gates)


def _sampler(
    X: FloatArray,
    method: str,
    coordinates: str,
    centres: FloatArray | None,
    rng: np.random.Generator,
    n_draws: int,
) -> Sampler:
    if method == "uniform":
        return uniform(X, rng)
    if method == "vertex":
        return Vertex(X, rng)
    directions = coordinates_of(X, coordinates)
    if centres is not None:
        return Local(X, directions, rng, centres, n_draws)
    return (Sweep if method == "sweep" else Gaussian)(X, directions, rng)


def _centres(around: ArrayLike | None, method: str, n_features: int) -> FloatArray | None:
    if method != "local":
        if around is not None:
            raise ValueError(f"`around` must be None for method {method!r}, got {describe(around)}")
        return None
    if around is None:
        raise ValueError("`around` must be an array of directions for method 'local', got None")
    centres = as_matrix(around, "around", columns=n_features)
    if not centres.any(axis=1).all():
        row = int(np.argmin(centres.any(axis=1)))
        raise ValueError(f"`around` must not have a row of zeros, got one in row {row}")
    return np.ascontiguousarray(centres)


def _all(every: PatternSet, n_patterns: int) -> PatternSet:
    warnings.warn(
        f"found {len(every)} distinct patterns, which are all that these data have, "
        f"`n_patterns` was {describe(n_patterns)}",
        UserWarning,
        stacklevel=3,
    )
    return every
