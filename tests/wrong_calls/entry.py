"""A public entry point: how it is called well, and how each of its arguments can be wrong."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.wrong_calls.array_values import (
    HUGE_MATRICES,
    MATRICES,
    NO_NEGATIVES,
    NO_ZEROS,
    ONLY_COUNTS,
    ONLY_LABELS,
    OTHER_COLUMNS,
    OTHER_ROWS,
    VECTORS,
)
from tests.wrong_calls.mutations import Mutation, Outcome
from tests.wrong_calls.plain_values import NONE, OBJECTS

# A matrix of any size, of the rows of other arguments, of their columns, of both.
FREE_DATA = [*MATRICES, *HUGE_MATRICES, *NONE]
ROW_DATA = [*FREE_DATA, *OTHER_ROWS]
COLUMN_DATA = [*FREE_DATA, *OTHER_COLUMNS]
DATA = [*FREE_DATA, *OTHER_ROWS, *OTHER_COLUMNS]
TARGETS = [*VECTORS, *NONE]
LABELS = [*TARGETS, *ONLY_LABELS]
COUNTS = [*TARGETS, *ONLY_COUNTS]
WEIGHTS = [*VECTORS, *NO_NEGATIVES]
POSITIVE_WEIGHTS = [*WEIGHTS, *NO_ZEROS]
REQUIRED_OBJECTS = [*OBJECTS, *NONE]


@dataclass(frozen=True)
class Entry:
    """One entry point.

    Attributes
    ----------
    name : str
        As users write it, and perhaps which way of calling it.
    call : callable
        Of the arguments by name.
    good : callable
        Arguments that work, made anew by each call.
    mutations : mapping
        For each argument how it can be changed.
    names : mapping
        How messages may name an argument, where that is not its own name alone.
    expected : mapping
        Outcomes that differ from those of the mutations, by "argument/mutation".
    also : tuple of exceptions
        Beside the three kinds that any call may raise: what the contract (api.md) says "stays
        what it is", or is not available yet.
    in_python_words : bool
        Whether Python itself words the errors: of ``a | b``, of sequences, of enumerations;
        or scikit-learn, of an estimator that is not fitted.
    """

    name: str
    call: Callable[..., Any]
    good: Callable[[], dict[str, Any]]
    mutations: Mapping[str, Sequence[Mutation]]
    names: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    expected: Mapping[str, Outcome] = field(default_factory=dict)
    also: tuple[type[BaseException], ...] = ()
    in_python_words: bool = False
