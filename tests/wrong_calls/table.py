"""The table of wrong calls: every entry point, each of its arguments, changed in every way."""

from __future__ import annotations

import functools
import zlib
from dataclasses import dataclass

from tests.wrong_calls import (
    entries_networks,
    entries_patterns,
    entries_problems,
    entries_training,
)
from tests.wrong_calls.entry import Entry
from tests.wrong_calls.mutations import Mutation, Outcome

ENTRIES: list[Entry] = [
    *entries_patterns.ENTRIES,
    *entries_problems.ENTRIES,
    *entries_networks.ENTRIES,
    *entries_training.ENTRIES,
]
DEFAULT = 100  # that every run of the tests makes, about


@dataclass(frozen=True)
class Case:
    """One call."""

    entry: Entry
    argument: str
    mutation: Mutation

    @property
    def id(self) -> str:
        return f"{self.entry.name}/{self.argument}/{self.mutation.name}"

    @property
    def outcome(self) -> Outcome:
        key = f"{self.argument}/{self.mutation.name}"
        return self.entry.expected.get(key, self.mutation.outcome)

    @property
    def names(self) -> tuple[str, ...]:
        """How the message may name the argument."""
        if self.mutation.any_name:
            own = tuple(self.entry.good())
            return own + tuple(name for names in self.entry.names.values() for name in names)
        return self.entry.names.get(self.argument, (self.argument,))


@functools.cache
def cases() -> dict[str, Case]:
    """All cases by their id."""
    table: dict[str, Case] = {}
    for entry in ENTRIES:
        for argument, mutations in entry.mutations.items():
            for mutation in mutations:
                case = Case(entry, argument, mutation)
                if case.id in table:
                    raise ValueError(f"two cases {case.id}")
                table[case.id] = case
    return table


@functools.cache
def default_cases() -> frozenset[str]:
    """Some of the cases, always the same: as many of every entry point, spread over it."""
    chosen: list[str] = []
    for entry in ENTRIES:
        own = [case.id for case in cases().values() if case.entry is entry]
        # In an order of their own, which a new case does not change.
        own.sort(key=lambda name: zlib.crc32(name.encode()))
        chosen += own[: max(1, round(DEFAULT / len(ENTRIES)))]
    return frozenset(chosen)
