"""Distinct patterns of random gates."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike

from pyconvexnn import _core
from pyconvexnn._bits import zero_rows_of
from pyconvexnn._gates import Whitened, round_rows
from pyconvexnn._typing import BitArray, FloatArray
from pyconvexnn._validation import as_generator, as_matrix, choice, describe, positive_int
from pyconvexnn.patterns import PatternSet

_BATCH = 256  # gates drawn at a time; part of what a seed means
_DRAWS_PER_PATTERN = 200  # after this many draws for each pattern asked for, a sampler gives up,
_DRAWS_WITHOUT_NEWS = 10_000  # or after this many, and as many for each found, without a new one


def sample_patterns(
    X: ArrayLike,
    n_patterns: int,
    *,
    method: str = "gaussian",
    coordinates: str = "whitened",
    around: ArrayLike | None = None,
    seed: int | np.random.Generator | None = 0,
) -> PatternSet:
    """Distinct activation patterns ``1[X u >= 0]`` of random gates u.

    With ``coordinates="whitened"`` the gates are Gaussian in the coordinates in which X has
    orthonormal columns: ``u = C (C X'X C)^(-1/2) z``, z standard normal, C the inverse column
    norms (a pseudo-inverse where X has not full rank). Units of the columns then do not matter,
    and columns that are nearly collinear, or far from zero like years, are cut through as well.
    With ``coordinates="raw"`` the gates are ``u = z``.

    The all-zero pattern (but for zero rows of X, whose bit is always 1) is left out: it
    contributes nothing. The first patterns of a longer sample are the shorter sample.

    Parameters
    ----------
    X : (n_samples, n_features) array
        Data.
    n_patterns : int
        Number of patterns wanted.
    method : str
        ``"gaussian"``. (``"sweep"``, ``"vertex"``, ``"uniform"`` and ``"local"`` follow.)
    coordinates : str
        ``"whitened"`` or ``"raw"``.
    around : None
        For ``method="local"``, which follows.
    seed : int, Generator or None
        Where the randomness comes from; None takes fresh entropy.

    Returns
    -------
    PatternSet
        With a gate for each pattern. Fewer patterns than asked for, and a UserWarning, if
        ``200 * n_patterns`` draws did not yield as many, 10 000 and 200 for each pattern found
        brought nothing new, or no more exist: n rows in r dimensions
        have at most ``2 sum_{k<r} C(n - 1, k)`` patterns. Small cells are met late: drawing many
        patterns of data with few rows and features does not find them all.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as described.
    NotImplementedError
        For a method that follows.
    MemoryError
        If so many patterns cannot be held; raised before any is drawn.

    Notes
    -----
    Gates are rounded to 26 bits of their largest entry (in the whitened coordinates' units), so
    that LAPACKs that differ in the last bits draw the same patterns, unless the columns of X are
    dependent to 7 digits or more. A column 2^500 times smaller than the largest counts as zero.

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
    """
    X = as_matrix(X)
    n_patterns = positive_int(n_patterns, "n_patterns")
    choice(method, "method", ["gaussian"], later=["sweep", "vertex", "uniform", "local"])
    choice(coordinates, "coordinates", ["whitened", "raw"])
    if around is not None:
        raise ValueError(f"`around` must be None for method 'gaussian', got {describe(around)}")
    rng = as_generator(seed)

    zero_rows = zero_rows_of(X)
    n_rows = int(X.any(axis=1).sum())
    rank = min(n_rows, X.shape[1])
    to_gates: Callable[[FloatArray], FloatArray] = round_rows
    if coordinates == "whitened":
        whitened = Whitened(X)
        rank, to_gates = whitened.rank, whitened.gates
    # If every row of X is zero there is one cell, and its pattern is kept.
    n_cells = _cell_bound(n_rows, rank, n_patterns + 1) if n_rows else 1
    dropped = zero_rows.tobytes() if n_rows else None

    wanted = min(n_patterns, n_cells)
    packed, gates = _allocate(wanted, len(zero_rows), X.shape[1])
    seen: set[bytes] = set()
    found = drawn = 0
    last_new = 0
    while (
        found < wanted
        and len(seen) < n_cells
        and drawn < _DRAWS_PER_PATTERN * wanted
        and drawn - last_new <= _DRAWS_WITHOUT_NEWS + _DRAWS_PER_PATTERN * len(seen)
    ):
        batch = to_gates(rng.standard_normal((_BATCH, X.shape[1])))
        drawn += _BATCH
        for words, gate in zip(_core.sign_patterns(X, batch), batch, strict=True):
            key = words.tobytes()
            if key in seen:
                continue
            seen.add(key)
            last_new = drawn
            if key == dropped:
                continue
            packed[found], gates[found] = words, gate
            found += 1
            if found == wanted:
                break
    if found < n_patterns:
        warnings.warn(
            f"found {found} distinct patterns in {drawn} draws, `n_patterns` was {n_patterns}",
            UserWarning,
            stacklevel=2,
        )
    # Full arrays are handed over as they are; of those with room left the set makes copies.
    packed.flags.writeable = gates.flags.writeable = found < wanted
    return PatternSet.of_gates(X, packed[:found], gates[:found])


def _cell_bound(n_rows: int, rank: int, limit: int) -> int:
    """``2 sum_{k<rank} C(n_rows - 1, k)``, or `limit` if that is less."""
    total, term = 0, 2
    for k in range(rank):
        total += term
        term = term * (n_rows - 1 - k) // (k + 1)
        if term <= 0 or total >= limit:
            break
    return min(total, limit)


def _allocate(n_patterns: int, n_words: int, n_features: int) -> tuple[BitArray, FloatArray]:
    """Room for patterns and gates, or the MemoryError that says how much was asked for."""
    try:
        return np.empty((n_patterns, n_words), np.uint64), np.empty((n_patterns, n_features))
    except (MemoryError, ValueError, OverflowError):
        size = 8 * n_patterns * (n_words + n_features)
        raise MemoryError(
            f"{n_patterns} patterns with their gates take {size} bytes, more than can be had; "
            "ask for a smaller `n_patterns`"
        ) from None
