"""``patterns="exact"``: every cell of the data, where a program over them can be held."""

from __future__ import annotations

from pyconvexnn._bits import n_words, zero_rows_of
from pyconvexnn._cells import EndlessListError, available_bytes
from pyconvexnn._listing import TooManyPatternsError
from pyconvexnn._typing import FloatArray
from pyconvexnn.enumeration import enumerate_patterns
from pyconvexnn.patterns import PatternSet

_INSTEAD = "use an integer or 'auto', or pyconvexnn.train, which needs no list"


def exact_patterns(X: FloatArray, *, threads: int | None = None) -> PatternSet:
    """Every pattern of the data but the all-zero one, which lowers no optimum.

    A neuron that is off on all rows is nothing to ReLU and gates; to the other activations its
    opposite, on all rows, is the same or cheaper.

    Parameters
    ----------
    X : (n, d) float64
        Data with their intercept column.
    threads : int, optional
        None is 1, -1 all cores.

    Returns
    -------
    PatternSet
        Its gates are found when they are asked for.

    Raises
    ------
    ValueError
        If X cannot be enumerated; naming `patterns`.
    MemoryError
        If the program over so many patterns does not fit in memory: before they are listed where
        the rows are in general position, else as soon as so many are found.
    """
    size = bytes_per_pattern(*X.shape)
    room = available_bytes()
    most = None if room is None else max(1, room // size)
    try:
        every = enumerate_patterns(X, max_patterns=most, threads=threads)
    except TooManyPatternsError as error:
        raise MemoryError(
            f"`patterns` = 'exact' means {error.n_patterns} patterns or more here, and the program "
            f"over them takes some {error.n_patterns * size} bytes, more than can be had; "
            + _INSTEAD
        ) from None
    except (MemoryError, EndlessListError) as error:
        raise MemoryError(f"`patterns` = 'exact': {str(error).split(';')[0]}; {_INSTEAD}") from None
    except ValueError as error:
        raise ValueError(
            "`patterns` must be 'auto', an integer or a PatternSet for these data, got 'exact': "
            f"{error}"
        ) from None
    if not X.any():
        return every
    kept = (every.packed != zero_rows_of(X)).any(axis=1)
    return every if kept.all() else every[kept]


def bytes_per_pattern(n: int, d: int) -> int:
    """Bytes that solving takes for each pattern, about: its bits twice, and vectors of d.

    Measured at n, d = 200, 4 and 27, 8: 180 and 290 with gates, 460 and 700 without.
    """
    return 16 * n_words(n) + 64 * (d + 4)
