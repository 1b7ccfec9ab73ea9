"""What was measured, one JSON line each, written the moment it is known.

A comparison that is stopped, or killed, goes on from here; the tables are made from nothing else.
"""

from __future__ import annotations

import dataclasses
import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

REFERENCE_GFLOPS = 104.0  # normalised seconds are seconds * g / 104


@dataclass(frozen=True)
class Run:
    """One solve of one method, judged. Lists have one entry for each penalty."""

    case: str
    method: str
    tolerance: float
    repeat: int
    status: str  # "ran" | "timeout" | "failed"
    limit: float  # seconds that it was given
    dgemm: float  # GF/s of this session
    seconds: float | None = None  # charged: CPU seconds, or the solver's own where it says so
    cpu: float | None = None
    wall: float | None = None
    peak_memory: int | None = None  # bytes, of the whole process
    objective: list[float] = field(default_factory=list)  # recomputed
    bound: list[float] = field(default_factory=list)  # of its own dual point, or its residual
    best_bound: list[float] = field(default_factory=list)  # best that it gives away
    convex: bool = True  # False: a trained network, which no bound of the program binds
    at_zero: float = 0.0
    infeasibility: float = 0.0
    failure: str | None = None  # why the answer does not count
    note: str = ""

    @property
    def normalised(self) -> float:
        """Charged seconds where one-thread dgemm would run at REFERENCE_GFLOPS."""
        return (self.seconds or float("nan")) * self.dgemm / REFERENCE_GFLOPS

    @property
    def key(self) -> tuple[str, str, float, int]:
        """What is not measured twice."""
        return (self.case, self.method, self.tolerance, self.repeat)


@dataclass(frozen=True)
class Setup:
    """Imports, matrices and compilation before the first solve, counted apart."""

    case: str
    method: str
    cpu: float
    wall: float
    versions: dict[str, str]
    size: int  # samples x features x patterns


@dataclass(frozen=True)
class Skip:
    """A method that could not take part in a case, and why."""

    case: str
    method: str
    reason: str
    installed: bool = True  # False: tried again in the next session


class Journal:
    """The lines of one file; reading it back gives the same."""

    def __init__(self, path: Path, *, to_read: bool = False) -> None:
        self.path = path
        self.sessions: list[dict[str, Any]] = []
        self.runs: list[Run] = []
        self.setups: list[Setup] = []
        self.skips: list[Skip] = []
        if path.exists():
            whole, _, torn = path.read_bytes().rpartition(b"\n")
            if torn and not to_read:  # the last line was being written when the process was killed
                os.truncate(path, len(whole) + (1 if whole else 0))
            for number, line in enumerate(whole.splitlines(), 1):
                try:
                    self._keep(json.loads(line))
                except (ValueError, TypeError, LookupError, AttributeError) as error:
                    raise ValueError(f"{path}, line {number}: no line of a journal") from error

    def _keep(self, fields: dict[str, Any]) -> None:
        kind = fields.pop("kind")
        if kind == "session":
            self.sessions.append(fields)
        elif kind == "run":
            self.runs.append(Run(**fields))
        elif kind == "setup":
            self.setups.append(Setup(**fields))
        elif kind == "skip":
            self.skips.append(Skip(**fields))
        else:
            raise ValueError(kind)

    def start_session(self, facts: dict[str, Any]) -> None:
        """Note the machine on which the following lines are measured."""
        self._write("session", facts)

    def add(self, line: Run | Setup | Skip) -> None:
        """Write one line through to the disk."""
        kind = {Run: "run", Setup: "setup", Skip: "skip"}[type(line)]
        self._write(kind, dataclasses.asdict(line))

    def _write(self, kind: str, fields: dict[str, Any]) -> None:
        text = json.dumps({"kind": kind, **fields})
        with self.path.open("a") as file:
            file.write(text + "\n")
            file.flush()
            os.fsync(file.fileno())
        self._keep(json.loads(text))

    def runs_of(self, case: str, method: str) -> list[Run]:
        """Runs of one method on one case, in the order they were made."""
        return [run for run in self.runs if (run.case, run.method) == (case, method)]

    def cannot_load(self, case: str, method: str) -> bool:
        """Whether a method refused the case, which it would do again."""
        return any(s.installed for s in self.skips if (s.case, s.method) == (case, method))

    def skip_of(self, case: str, method: str) -> Skip | None:
        """Why a method did not take part, if it did not."""
        found = (s for s in self.skips if (s.case, s.method) == (case, method))
        return next(found, None)
