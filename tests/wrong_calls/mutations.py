"""What a wrong call is made with: one argument of a good call, changed."""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any


class Outcome(enum.Enum):
    """How a call must end."""

    WRONG = "raises"
    SAME = "ends as with the equivalent plain argument"  # a float64 array, a Python number
    EITHER = "raises, or has a right answer"


@dataclass(frozen=True)
class Mutation:
    """One way to change an argument.

    Attributes
    ----------
    name : str
        What the argument becomes, in words.
    make : callable
        The changed argument, of the good one.
    outcome : Outcome
    plain : callable or None
        Of a mutation that must end the SAME: the equivalent plain argument, of the good one.
    any_name : bool
        Whether the message may name another argument of the call: of two that do not fit to each
        other either may be the wrong one.
    """

    name: str
    make: Callable[[Any], Any]
    outcome: Outcome
    plain: Callable[[Any], Any] | None = None
    any_name: bool = False


def wrong(name: str, make: Callable[[Any], Any], *, any_name: bool = False) -> Mutation:
    return Mutation(name, make, Outcome.WRONG, any_name=any_name)


def either(name: str, make: Callable[[Any], Any], *, any_name: bool = True) -> Mutation:
    return Mutation(name, make, Outcome.EITHER, any_name=any_name)


def same(
    name: str, make: Callable[[Any], Any], plain: Callable[[Any], Any] | None = None
) -> Mutation:
    return Mutation(name, make, Outcome.SAME, plain or (lambda good: good), any_name=True)


def always(value: Any) -> Callable[[Any], Any]:
    """Make the same value of every good one."""
    return lambda good: value


def wrong_values(values: dict[str, Any]) -> list[Mutation]:
    return [wrong(name, always(value)) for name, value in values.items()]


def without(mutations: Iterable[Mutation], *names: str) -> list[Mutation]:
    """All mutations but some; each of these must be there."""
    mutations = list(mutations)
    unknown = set(names) - {mutation.name for mutation in mutations}
    if unknown:
        raise ValueError(f"no mutations {sorted(unknown)}")
    return [mutation for mutation in mutations if mutation.name not in names]
