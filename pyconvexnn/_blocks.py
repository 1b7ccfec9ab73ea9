"""Large arrays in pieces: Python answers Ctrl-C between two of them."""

from __future__ import annotations

from collections.abc import Iterator

BLOCK_ENTRIES = 1 << 20  # some ten milliseconds of elementwise work


def row_blocks(n_rows: int, n_columns: int, *, least: int = 1) -> Iterator[slice]:
    """Slices that cut the rows of a matrix into pieces of about BLOCK_ENTRIES entries.

    Each but the last has at least `least` rows.
    """
    step = max(1, least, BLOCK_ENTRIES // max(1, n_columns))
    return (slice(start, min(start + step, n_rows)) for start in range(0, n_rows, step))
