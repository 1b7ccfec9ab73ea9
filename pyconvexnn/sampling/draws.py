"""What every sampler returns, draw by draw, and the loop that keeps what is new."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np

from pyconvexnn._bits import zero_rows_of
from pyconvexnn._typing import BitArray, FloatArray
from pyconvexnn._validation import describe
from pyconvexnn._witness import CellGates

BATCH = 256  # draws at a time; part of what a seed means
DRAWS_PER_PATTERN = 200  # after this many draws for each pattern asked for, a sampler gives up,
_DRAWS_WITHOUT_NEWS = 10_000  # or after this many, and as many for each found, without a new one


class Draws(NamedTuple):
    """Some draws: their patterns, with gates if these came first, and how many were made."""

    packed: BitArray
    gates: FloatArray | None
    n_draws: int


class Sampler(Protocol):
    """A stream of patterns."""

    def draw(self) -> Draws | None:
        """Return the next draws; None if there are no more."""


class Sample(NamedTuple):
    """Distinct patterns with gates, in the order in which they were met."""

    packed: BitArray
    gates: FloatArray
    drawn: int


def collect(sampler: Sampler, X: FloatArray, wanted: int, *, n_cells: int | None = None) -> Sample:
    """First `wanted` distinct patterns of a sampler, or those met before it gives up.

    The all-zero pattern (but for zero rows of X) is left out, and so are cells that no float64
    gate was found for. `n_cells` is a bound on the number of cells, if there is one.
    """
    zero_rows = zero_rows_of(X)
    dropped = zero_rows.tobytes() if X.any() else None
    packed, gates = allocate(wanted, len(zero_rows), X.shape[1])
    find: CellGates | None = None
    seen: set[bytes] = set()
    found = drawn = last_new = sure = 0
    ended = False
    batch, place = Draws(packed[:0], None, 0), 0
    while not ended and found < wanted:
        if place == len(batch.packed):
            following = sampler.draw()
            ended = following is None
            batch, place = following or batch._replace(n_draws=0), 0
            drawn += batch.n_draws
            if batch.gates is None:
                find = find or CellGates(X)
        while place < len(batch.packed) and found < wanted and not ended:
            words = batch.packed[place]
            key = words.tobytes()
            if key not in seen:
                seen.add(key)
                last_new = drawn
                if key != dropped:
                    packed[found] = words
                    if batch.gates is not None:
                        gates[found] = batch.gates[place]
                    found += 1
            place += 1
        ended = ended or (
            place == len(batch.packed)
            and (
                drawn >= DRAWS_PER_PATTERN * wanted
                or drawn - last_new > _DRAWS_WITHOUT_NEWS + DRAWS_PER_PATTERN * len(seen)
                or (n_cells is not None and len(seen) >= n_cells)
            )
        )
        if find is not None and (ended or found == wanted):
            new, margins = find.with_margins(packed[sure:found])
            kept = sure + np.flatnonzero(margins > 0)
            gates[sure : sure + len(kept)] = new[kept - sure]
            packed[sure : sure + len(kept)] = packed[kept]
            found = sure = sure + len(kept)
    # Full arrays are handed over as they are; of those with room left the set makes copies.
    packed.flags.writeable = gates.flags.writeable = found < wanted
    return Sample(packed[:found], gates[:found], drawn)


def allocate(n_patterns: int, n_words: int, n_features: int) -> tuple[BitArray, FloatArray]:
    """Room for patterns and gates, or the MemoryError that says how much was asked for."""
    try:
        return np.empty((n_patterns, n_words), np.uint64), np.empty((n_patterns, n_features))
    except (MemoryError, ValueError, OverflowError):
        size = 8 * n_patterns * (n_words + n_features)
        raise MemoryError(
            f"`n_patterns` must be so small that they fit in memory, got {describe(n_patterns)}: "
            f"{describe(n_patterns)} patterns with their gates take {describe(size)} bytes; ask "
            "for a smaller `n_patterns`"
        ) from None
