"""Cells of CSV and Parquet files as text without spaces around: pandas DataFrames of strings."""

from __future__ import annotations

import io
import os
import re
from pathlib import Path
from typing import Any

from pyconvexnn._cells import available_bytes

_INDEX = re.compile(r"__index_level_\d+__")  # how pandas names an index that has no name
_BYTES_PER_CELL = 100  # of text, while it is read


def read_csv(path: str | os.PathLike[str]) -> Any:
    """Cells of a CSV file, ``""`` where a line has too few; blank lines are left out.

    Raises
    ------
    ValueError
        If the file is empty, not UTF-8 or no CSV file.
    OSError
        If it cannot be read.
    """
    import pandas as pd

    try:
        text = Path(path).read_text(encoding="utf-8-sig")
        first = text.lstrip().partition("\n")[0]
        cells = pd.read_csv(
            io.StringIO(text),
            sep=max(",;\t", key=first.count),
            header=None,
            dtype=str,
            na_filter=False,
            skipinitialspace=True,
        )
    except UnicodeDecodeError:
        raise ValueError(f"{path} is not UTF-8 text") from None
    except pd.errors.EmptyDataError:
        raise ValueError(f"{path} is empty") from None
    except pd.errors.ParserError as error:
        raise ValueError(f"{path} is not a CSV file: {str(error).split('error: ')[-1]}") from None
    # A line with too few cells is filled up by pandas with values that are not text.
    return cells.astype(object).where(cells.notna(), "").astype(str).apply(_stripped)


def read_parquet(path: str | os.PathLike[str]) -> Any:
    """Cells of a Parquet file, ``""`` where a value is missing.

    They are those of the CSV file that pandas would make of it: numbers are written with the
    fewest digits that name them among the numbers of their type, so that doubles come back bit
    for bit.

    Raises
    ------
    ValueError
        If it is no Parquet file, is damaged, or a column holds what is no cell of a table.
    MemoryError
        If it has more cells than fit in memory.
    ImportError
        If pyarrow is not installed.
    OSError
        If the file cannot be opened.
    """
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError:
        raise ImportError(f"{path}: Parquet files need pyarrow: pip install pyarrow") from None
    import pandas as pd

    with Path(path).open("rb") as file:
        try:
            # Not by its path, in which pyarrow would look for partitions.
            parquet = pq.ParquetFile(file)
            schema = parquet.schema_arrow
            kept = [place for place, name in enumerate(schema.names) if not _INDEX.fullmatch(name)]
            _check_types(path, [schema[place] for place in kept], pa.types)
            _check_size(path, parquet.metadata.num_rows, len(kept))
            columns = parquet.read().columns
            cells = pd.DataFrame({place: _as_text(columns[place]) for place in kept}, dtype=object)
        except MemoryError:
            raise
        except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
            first = str(error).partition("\n")[0]
            raise ValueError(f"{path} is not a Parquet file, or damaged: {first}") from None
    cells.columns = [schema.names[place] for place in kept]
    return cells.apply(_stripped)


def _check_types(path: Any, fields: Any, types: Any) -> None:
    """Refuse columns that are neither numbers, text, dates nor truth values."""
    for field in fields:
        if not _is_readable(field.type, types):
            raise ValueError(
                f"{path}: column {field.name!r} must hold numbers, text, dates or truth values, "
                f"got {field.type}"
            )


def _is_readable(kind: Any, types: Any) -> bool:
    if types.is_dictionary(kind):
        return _is_readable(kind.value_type, types)
    tests = ("integer", "floating", "decimal", "boolean", "date", "timestamp", "time", "null")
    text = ("string", "large_string", "string_view")
    return any(getattr(types, f"is_{test}")(kind) for test in tests + text)


def _check_size(path: Any, n_rows: int, n_columns: int) -> None:
    room, needed = available_bytes(), n_rows * n_columns * _BYTES_PER_CELL
    if room is not None and needed > room:
        raise MemoryError(
            f"{path} has {n_rows} rows of {n_columns} columns, which take some {needed} bytes as "
            "text, more than can be had; give fewer rows or columns"
        )


def _as_text(column: Any) -> list[str]:
    """Text of each value of a column."""
    import pyarrow as pa

    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if pa.types.is_boolean(column.type) or pa.types.is_timestamp(column.type):
        # As pandas spells them: True, and no time of day where all are midnight.
        values = column.to_pandas()
        return list(values.astype(str).where(values.notna(), ""))
    return ["" if cell is None else cell for cell in column.cast(pa.string()).to_pylist()]


def _stripped(column: Any) -> Any:
    return column.str.strip()
