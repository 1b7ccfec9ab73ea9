"""Tables for the command line: CSV and Parquet files to arrays, and the recipe to do it again.

Every cell is read as text and interpreted here, so that what happens to a column does not depend
on guesses of a reader: it is a column of numbers if every cell is a decimal number, else of
categories, which become one column of 0 and 1 each. The recipe is plain JSON, saved with the
model and replayed on the table to predict. A Parquet file is read as the CSV file of its cells,
so that a model of the one predicts the other, with the same bits.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pyconvexnn import _table_files
from pyconvexnn._typing import BoolArray, FloatArray, IndexArray

PARQUET_SUFFIXES = (".parquet", ".pq")
MAX_CATEGORIES = 100  # of a column of text; beyond that it is a name or an error, no category
MAX_INTEGER_CLASSES = 10  # a target of so few different integers is taken as classes

_NUMBER = r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?"
_INEXACT = 2.0**53  # several whole numbers may be this double
_INFINITE = r"[+-]?(?i:inf|infinity)"
_MISSING = frozenset({"", "?", "na", "n/a", "#n/a", "nan", "-nan", "null", "none", "<na>"})


@dataclass(frozen=True)
class Table:
    """Cells of a file as text, without spaces around: a pandas DataFrame of strings."""

    path: str
    cells: Any
    header: bool

    @property
    def names(self) -> list[str]:
        """Names of the columns; ``"column 0"`` and so on without a header."""
        return list(self.cells.columns)

    @property
    def n_rows(self) -> int:
        """Number of rows, the header not counted."""
        return len(self.cells)

    def refusal(self, name: str, rule: str, row: int) -> ValueError:
        """Error that names a column, the rule it breaks, the cell and its row."""
        cell = self.cells[name].iloc[row]
        return ValueError(
            f"{self.path}: column {name!r} {rule}, got {cell!r} in row {row + 1}"
            f"{' below the header' if self.header else ''}"
        )


@dataclass(frozen=True)
class Column:
    """How one column becomes features: a number, or 0/1 for each of its categories."""

    name: str
    categories: tuple[str, ...] | None = None

    @property
    def features(self) -> list[str]:
        """Names of the features it becomes."""
        if self.categories is None:
            return [self.name]
        return [f"{self.name}={category}" for category in self.categories]


@dataclass(frozen=True)
class Recipe:
    """What was done to the columns of a table; ``apply`` does it to another.

    Attributes
    ----------
    header : bool
        Whether the table had a header; columns are then found by name, else by position.
    columns : tuple of Column
        The columns that become features.
    target : str
        Name of the target's column.
    target_index : int
        Its position.
    """

    header: bool
    columns: tuple[Column, ...]
    target: str
    target_index: int

    @property
    def features(self) -> list[str]:
        """Names of all features, in the order of the columns of X."""
        return [feature for column in self.columns for feature in column.features]

    def apply(self, table: Table) -> tuple[FloatArray, list[str]]:
        """Features of a table, and a sentence for each column with categories not known.

        A category that the recipe does not know is zero in every column of its block.

        Parameters
        ----------
        table : Table
            Read with the recipe's ``header``. The target's column may be missing.

        Returns
        -------
        X : ndarray of shape (n_rows, len(features))
            Features.
        notes : list of str
            What the user should be told.

        Raises
        ------
        ValueError
            If a column is missing or has other contents than the recipe says.
        """
        return _blocks(table, self.columns, self.find_columns(table))

    def find_columns(self, table: Table) -> list[str]:
        """Names in the table of the recipe's columns, in the recipe's order."""
        if self.header:
            known = set(table.names)
            for column in self.columns:
                if column.name not in known:
                    raise ValueError(f"{table.path} has no column {column.name!r}")
            return [column.name for column in self.columns]
        names = table.names
        if len(names) == len(self.columns) + 1:
            del names[self.target_index]
        if len(names) != len(self.columns):
            raise ValueError(
                f"{table.path} must have {len(self.columns)} columns, or one more with the "
                f"target at index {self.target_index}, got {len(table.names)}"
            )
        return names

    def to_json(self) -> dict[str, Any]:
        """Return the recipe as plain JSON."""
        return {
            "header": self.header,
            "columns": [
                {
                    "name": column.name,
                    "categories": None if column.categories is None else list(column.categories),
                }
                for column in self.columns
            ],
            "target": self.target,
            "target_index": self.target_index,
        }

    @classmethod
    def from_json(cls, data: Any) -> Recipe:
        """Recipe of ``to_json``; the file it comes from may be anybody's, so all is checked.

        Raises
        ------
        ValueError
            If it is no recipe.
        """
        try:
            recipe = cls(
                header=_checked(data["header"], bool),
                columns=tuple(_column_from_json(column) for column in data["columns"]),
                target=_checked(data["target"], str),
                target_index=_checked(data["target_index"], int),
            )
        except (KeyError, TypeError) as error:
            raise ValueError(f"the recipe for the columns is damaged ({error})") from None
        if not recipe.columns or not 0 <= recipe.target_index <= len(recipe.columns):
            raise ValueError("the recipe for the columns is damaged (no columns, or no target)")
        # A table of few columns must not become one of very many.
        if _repeats([column.name for column in recipe.columns]):
            raise ValueError("the recipe for the columns is damaged (a column twice)")
        return recipe


def _checked(value: Any, kind: type) -> Any:
    if type(value) is not kind:
        raise TypeError(f"expected {kind.__name__}, got {value!r:.40}")
    return value


def _column_from_json(data: Any) -> Column:
    categories = data["categories"]
    if categories is not None:
        categories = tuple(_checked(category, str) for category in _checked(categories, list))
        if len(categories) > MAX_CATEGORIES or _repeats(categories):
            raise TypeError(f"a category twice, or more than {MAX_CATEGORIES}")
    return Column(_checked(data["name"], str), categories)


def _repeats(names: Sequence[str]) -> bool:
    return len(set(names)) < len(names)


# ---- reading ---------------------------------------------------------------------------------


def read_table(path: str | os.PathLike[str], *, header: bool | None = None) -> Table:
    """Read a CSV file: comma, semicolon or tab, UTF-8, one row a line, quotes as usual.

    A file whose name ends in ``.parquet`` or ``.pq`` is read as a Parquet file, by pyarrow.

    Parameters
    ----------
    path : str or path
        File.
    header : bool, optional
        Whether the first line names the columns; None finds out. It does if somewhere below text
        there are only numbers, and without any column of numbers if none of its cells comes again.
        A Parquet file has names, which False ignores.

    Returns
    -------
    Table
        Its cells, as text without spaces around.

    Raises
    ------
    ValueError
        If the file is no table: empty, not UTF-8, lines of different lengths, a name twice.
    ImportError
        If it is a Parquet file and pyarrow is not installed.
    OSError
        If it cannot be read.
    """
    given = None
    if Path(path).suffix.lower() in PARQUET_SUFFIXES:
        cells = _table_files.read_parquet(path)
        if header is not False:
            given = [name.strip() for name in cells.columns]
    else:
        cells = _table_files.read_csv(path)
        if _has_header(cells) if header is None else header:
            given, cells = cells.iloc[0].tolist(), cells.iloc[1:].reset_index(drop=True)
    if not cells.size:
        raise ValueError(f"{path} has no rows{' below its header' if given else ''}")
    names = [f"column {i}" for i in range(cells.shape[1])]
    if given is not None:
        names = [name or default for name, default in zip(given, names, strict=True)]
        twice = [name for i, name in enumerate(names) if name in names[:i]]
        if twice:
            raise ValueError(f"{path}: the column name {twice[0]!r} occurs twice")
    cells.columns = names
    return Table(str(path), cells, given is not None)


def _has_header(cells: Any) -> bool:
    """Whether the first row names the columns: see ``read_table``."""
    if len(cells) < 2:
        return False
    first, rest = cells.iloc[0], cells.iloc[1:]
    named = ~_is_number(first) & ~_is_missing(first)
    below = np.array([_is_number(rest[column]).all() for column in rest])
    if (named & below).any():
        return True
    return bool(named.all()) and not any((rest[column] == first[column]).any() for column in rest)


# ---- cells -----------------------------------------------------------------------------------


def _is_number(cells: Any) -> BoolArray:
    """Whether each cell of a Series is a decimal number."""
    return np.asarray(cells.str.fullmatch(_NUMBER), dtype=bool)


def is_number(text: str) -> bool:
    """Whether a text is a decimal number."""
    return re.fullmatch(_NUMBER, text) is not None


def _is_missing(cells: Any) -> BoolArray:
    """Whether each cell of a Series stands for a missing value."""
    return np.asarray(cells.str.lower().isin(_MISSING), dtype=bool)


def _refuse_missing(table: Table, name: str) -> None:
    missing = np.flatnonzero(_is_missing(table.cells[name]))
    if missing.size:
        raise table.refusal(
            name, f"must have no missing values (it has {missing.size})", int(missing[0])
        )


def _numbers(table: Table, name: str) -> FloatArray:
    """Return a column as numbers, or raise the sentence that says where it has none."""
    _refuse_missing(table, name)
    cells = table.cells[name]
    numbers = _is_number(cells)
    values = np.array([float(cell) for cell in cells.where(numbers, "nan")])
    wrong = np.flatnonzero(~np.isfinite(values))  # 1e999 too
    if wrong.size:
        raise table.refusal(name, "must hold finite numbers", int(wrong[0]))
    return values


def _one_hot(table: Table, name: str, categories: tuple[str, ...]) -> tuple[FloatArray, list[str]]:
    """Turn a column into 0/1 for each category; also its values that are none of them."""
    _refuse_missing(table, name)
    cells = _spelled(table.cells[name].to_numpy(dtype=object), categories)
    unknown = sorted(set(cells) - set(categories))
    return np.array(cells[:, np.newaxis] == np.array(categories, dtype=object), float), unknown


def _spelled(cells: Any, known: Sequence[str]) -> Any:
    """Cells with truth values spelled as the known ones are: files write True, true and TRUE."""
    spelling = {name.lower(): name for name in known if name.lower() in ("true", "false")}
    if not spelling:
        return cells
    same = [c if c in known else spelling.get(c.lower(), c) for c in cells]
    return np.array(same, dtype=object)


# ---- fitting ---------------------------------------------------------------------------------


def find_target(table: Table, target: str) -> int:
    """Position of the target: a name of the header first, else an index from 0 (or from -1).

    Raises
    ------
    ValueError
        If there is no such column.
    """
    names = table.names
    if target in names:  # without a header too: messages call columns so
        return names.index(target)
    try:
        index = int(target)
    except ValueError:
        index = len(names)
    if -len(names) <= index < len(names):
        return index % len(names)
    columns = ", ".join(names[:8]) + (", ..." if names[8:] else "")
    known = columns if table.header else f"an index below {len(names)} (there is no header)"
    raise ValueError(f"{table.path} has no column {target!r}; it has {known}")


def learn_recipe(table: Table, target: str) -> Recipe:
    """Recipe for all columns but the target.

    Raises
    ------
    ValueError
        If the target is not found, there is no other column, a value is missing, or a column of
        text has more than 100 different values.
    """
    index = find_target(table, target)
    names = table.names
    columns = [_learn_column(table, name) for i, name in enumerate(names) if i != index]
    if not columns:
        raise ValueError(f"{table.path} has no column besides the target {names[index]!r}")
    return Recipe(table.header, tuple(columns), names[index], index)


def features(table: Table, but: Sequence[str] = ()) -> FloatArray:
    """Features of all columns but some, as `learn_recipe` makes them.

    Raises
    ------
    ValueError
        As `learn_recipe` does.
    """
    targets = {find_target(table, target) for target in but}
    names = [name for i, name in enumerate(table.names) if i not in targets]
    if not names:
        raise ValueError(f"{table.path} has no column besides {', '.join(but)}")
    return _blocks(table, [_learn_column(table, name) for name in names], names)[0]


def _blocks(
    table: Table, columns: Sequence[Column], names: Sequence[str]
) -> tuple[FloatArray, list[str]]:
    """Features of columns that have these names in the table, and what the user should be told."""
    blocks, notes = [], []
    for column, name in zip(columns, names, strict=True):
        if column.categories is None:
            blocks.append(_numbers(table, name)[:, np.newaxis])
        else:
            block, unknown = _one_hot(table, name, column.categories)
            blocks.append(block)
            if unknown:
                notes.append(
                    f"column {column.name!r} has values that were not in the training data "
                    f"({', '.join(map(repr, unknown[:3]))}{', ...' if unknown[3:] else ''}); "
                    "they count as none of its categories"
                )
    return np.hstack(blocks), notes


def _learn_column(table: Table, name: str) -> Column:
    _refuse_missing(table, name)
    cells = table.cells[name]
    text = np.flatnonzero(~_is_number(cells))
    if not text.size or _only_infinities(cells.iloc[text]):
        _numbers(table, name)  # refuses infinities, rather than taking them for categories
        return Column(name)
    categories = sorted(set(cells))
    if len(categories) > MAX_CATEGORIES:
        raise table.refusal(
            name,
            f"must hold numbers, or text of at most {MAX_CATEGORIES} different values "
            f"(it has {len(categories)})",
            int(text[0]),
        )
    return Column(name, tuple(categories))


def _only_infinities(cells: Any) -> bool:
    return bool(cells.str.fullmatch(_INFINITE).all())


def guess_task(table: Table, name: str) -> str:
    """Task of a target: classification for text or at most 10 different integers."""
    _refuse_missing(table, name)
    cells = table.cells[name]
    if not _is_number(cells).all():
        return "regression" if _only_infinities(cells[~_is_number(cells)]) else "classification"
    values = np.unique(_numbers(table, name))
    few = len(values) <= MAX_INTEGER_CLASSES and bool((values == np.round(values)).all())
    return "classification" if few else "regression"


def target_numbers(table: Table, name: str) -> FloatArray:
    """Target of a regression.

    Raises
    ------
    ValueError
        If a value is missing or no finite number; the message says where.
    """
    return _numbers(table, name)


def target_classes(table: Table, name: str) -> tuple[IndexArray, list[str]]:
    """Target of a classification: codes, and the classes that they stand for.

    Classes that are all numbers are compared and sorted as numbers, so that 1 and 1.0 are one.

    Raises
    ------
    ValueError
        If a value is missing, a number is 2^53 or more, or there is only one class.
    """
    _refuse_missing(table, name)
    cells = table.cells[name]
    if _is_number(cells).all():
        numbers = _numbers(table, name)
        wrong = np.flatnonzero(np.abs(numbers) >= _INEXACT)
        if wrong.size:
            raise table.refusal(
                name, "must hold text or numbers below 2^53 as classes", int(wrong[0])
            )
        values, codes = np.unique(numbers, return_inverse=True)
        classes = [class_name(v) for v in values.tolist()]
    else:
        labels, codes = np.unique(cells.to_numpy(dtype=str), return_inverse=True)
        classes = [str(label) for label in labels]
    if len(classes) < 2:
        raise ValueError(
            f"{table.path}: the target {name!r} must have at least two classes, "
            f"got one: {classes[0]!r}"
        )
    return np.asarray(codes, dtype=np.int64), classes


def known_classes(table: Table, name: str, classes: list[str]) -> IndexArray:
    """Codes of the classes in a column, of those that a model knows.

    Raises
    ------
    ValueError
        If a value is missing or none of them; the message says where.
    """
    _refuse_missing(table, name)
    cells = table.cells[name]
    values = _spelled(cells.to_numpy(dtype=object), classes)
    if _is_number(cells).all():
        values = np.array([class_name(v) for v in _numbers(table, name).tolist()], dtype=object)
    places = {label: place for place, label in enumerate(classes)}
    codes = np.array([places.get(value, -1) for value in values], dtype=np.int64)
    wrong = np.flatnonzero(codes < 0)
    if wrong.size:
        shown = ", ".join(classes[:20]) + (", ..." if classes[20:] else "")
        raise table.refusal(name, f"must hold the classes {shown}", int(wrong[0]))
    return codes


def class_name(value: float) -> str:
    """Name of a class that is a number: 1 and 1.0 are one."""
    return str(int(value)) if value == round(value) else repr(float(value))
