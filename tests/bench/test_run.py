"""The order of runs, what ends a method, and a comparison that goes on where it was stopped."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from bench.compare import evaluate, report
from bench.compare import run as run_module
from bench.compare.cases import Case
from bench.compare.client import Reply
from bench.compare.journal import Journal
from bench.compare.run import Comparison, Entrant, accepts
from bench.peers import ours_peer
from bench.peers.protocol import Answer, Method, Problem

GATED = Case("ar", "gated", (0.5,), (20, 3, 8), target=10.0)
RELU = dataclasses.replace(GATED, program="relu")


class ScriptedPeer:
    """In place of a process: our own solver, spoiled as the module's name says."""

    log: list[tuple[str, float]] = []  # noqa: RUF012 - shared on purpose

    def __init__(self, how: str) -> None:
        self.how = how
        self.alive = True

    @classmethod
    def start(cls, python: object, module: str) -> ScriptedPeer:
        return cls(module)

    def __enter__(self) -> ScriptedPeer:
        return self

    def __exit__(self, *args: object) -> None:
        pass

    def load(self, method: str, problem: Path, time_limit: float) -> Reply:
        if self.how == "unloadable":
            return Reply("error", "MemoryError: 9 GB")
        assert self.alive
        self.problem = Problem.load(problem)
        gated = dataclasses.replace(self.problem, program="gated")
        self.session = ours_peer.prepare("pyconvexnn", gated)
        return Reply("ok", cpu=0.5, wall=0.6, versions={"x": "1"})

    def solve(self, tolerance: float, answer: Path, time_limit: float) -> Reply:
        assert self.alive
        self.log.append((self.how, tolerance))
        if self.how == "killed" and len(self.log) == 7:
            raise KeyboardInterrupt
        if self.how == "slow" and tolerance < 1e-3:
            self.alive = False
            return Reply("timeout", "no answer")
        if self.how == "crashes":
            self.alive = False
            return Reply("crashed", "the process ended with SIGSEGV")
        self.session.solve(tolerance)
        said = self.session.answer()
        assert said.coef is not None
        coef = said.coef
        if self.how == "wrong":
            said = dataclasses.replace(said, coef=1.1 * coef)
        if self.how == "liar":  # claims what its wrong coefficients do not give
            said = dataclasses.replace(said, coef=0.0 * coef)
        if self.problem.program == "relu":
            coef = np.zeros((1, *self.problem.blocks))
            coef[0, 0, 0] = 1e-3 * (self.problem.X[0] * (-1.0) ** self.problem.masks[0, 0])
            value = evaluate.objective(self.problem, self.problem.betas[0], coef[0])
            said = Answer(objective=np.array([value]), coef=coef)
        if self.how == "timeless":
            said = dataclasses.replace(said, seconds=-1.0)
        said.save(answer)
        return Reply("ok", cpu=2.0 if self.how == "long" else 0.01, wall=0.02, peak=1000)


@pytest.fixture(autouse=True)
def scripted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_module, "Peer", ScriptedPeer)
    ScriptedPeer.log = []


def entrant(how: str, *, name: str | None = None, **more: Any) -> Entrant:
    fields: dict[str, Any] = {"tolerances": (1e-3, 1e-6), **more}
    method = Method(
        name or how, None, frozenset({"gated", "relu"}), frozenset({"squared"}), **fields
    )
    return Entrant(method, how, SimpleNamespace(python="", reason=None))  # type: ignore[arg-type]


OURS = entrant("right", name="pyconvexnn")


def compared(folder: Path, *entrants: Entrant, case: Case = GATED, **more: Any) -> Journal:
    journal = Journal(folder / "runs.jsonl")
    Comparison(journal, 104.0, **more).run(case, entrants, lambda text: None)
    return journal


def row(journal: Journal, method: str) -> report.Row:
    (found,) = [row for row in report.rows(journal) if row.method == method]
    return found


def test_methods_take_turns_three_times(tmp_path: Path) -> None:
    compared(tmp_path, OURS, entrant("peer"))
    turn = [("right", 1e-3), ("right", 1e-6), ("peer", 1e-3), ("peer", 1e-6)]
    assert ScriptedPeer.log == 3 * turn


def test_ours_is_proved_and_the_peer_measured_against_it(tmp_path: Path) -> None:
    journal = compared(tmp_path, OURS, entrant("peer"))
    for method in ("pyconvexnn", "peer"):
        found = row(journal, method)
        assert found.gap is not None
        assert found.gap <= 1e-6
        assert found.times[1e-6] == 0.01
        assert found.remark == ""


def test_two_threads_are_charged_on_the_wall(tmp_path: Path) -> None:
    journal = compared(tmp_path, OURS, entrant("two", threads=2))
    assert row(journal, "pyconvexnn").times[1e-6] == 0.01
    assert row(journal, "two").times[1e-6] == 0.02


@pytest.mark.parametrize("how", ["wrong", "liar"])
def test_wrong_coefficients_are_a_failure(tmp_path: Path, how: str) -> None:
    found = row(compared(tmp_path, OURS, entrant(how)), how)
    assert "differs from" in found.remark
    assert found.gap is None
    assert set(found.times.values()) == {None}


def test_infeasible_relu_solution_is_a_failure(tmp_path: Path) -> None:
    found = row(compared(tmp_path, entrant("peer"), case=RELU), "peer")
    assert "infeasible: a block violates its cone" in found.remark
    assert found.gap is None


def test_after_a_timeout_no_tighter_tolerance_and_no_repetition(tmp_path: Path) -> None:
    slow = entrant("slow", tolerances=(1e-3, 1e-4, 1e-6))
    journal = compared(tmp_path, OURS, slow)
    asked = [tolerance for how, tolerance in ScriptedPeer.log if how == "slow"]
    assert asked == [1e-3, 1e-4, 1e-3, 1e-3]
    assert row(journal, "slow").limit == 2.0
    assert row(journal, "slow").times[1e-8] is None


def test_a_limit_for_all_replaces_the_one_from_our_time(tmp_path: Path) -> None:
    compared(tmp_path, OURS, entrant("peer"), limit=33.0)
    assert {run.limit for run in Journal(tmp_path / "runs.jsonl").runs} == {33.0}


def test_a_crash_ends_the_method_and_says_so(tmp_path: Path) -> None:
    journal = compared(tmp_path, OURS, entrant("crashes"))
    assert [how for how, _ in ScriptedPeer.log].count("crashes") == 1
    assert row(journal, "crashes").remark == "the process ended with SIGSEGV"


def test_what_cannot_be_loaded_or_installed_is_skipped_with_its_reason(tmp_path: Path) -> None:
    absent = SimpleNamespace(python=None, reason="no matching distribution")
    missing = dataclasses.replace(entrant("missing"), environment=absent)  # type: ignore[arg-type]
    journal = compared(tmp_path, OURS, entrant("unloadable"), missing)
    assert row(journal, "unloadable").remark == "skipped: MemoryError: 9 GB"
    assert row(journal, "missing").remark == "skipped: no matching distribution"


def test_a_failed_install_and_a_shorter_limit_are_tried_again(tmp_path: Path) -> None:
    absent = SimpleNamespace(python=None, reason="no network")
    missing = dataclasses.replace(entrant("peer"), environment=absent)  # type: ignore[arg-type]
    assert row(compared(tmp_path, OURS, missing), "peer").remark == "skipped: no network"
    found = row(compared(tmp_path, OURS, entrant("peer")), "peer")
    assert found.times[1e-6] == 0.01
    assert found.remark == ""

    compared(tmp_path, OURS, entrant("slow"), limit=1.0)
    ScriptedPeer.log = []
    compared(tmp_path, OURS, entrant("slow"), limit=1.0)
    assert ScriptedPeer.log == []
    compared(tmp_path, OURS, entrant("slow"), limit=60.0)
    assert ("slow", 1e-6) in ScriptedPeer.log


def test_impossible_seconds_are_a_failure(tmp_path: Path) -> None:
    found = row(compared(tmp_path, OURS, entrant("timeless")), "timeless")
    assert found.remark == "charged seconds must be finite and > 0, got -0.5"
    assert set(found.times.values()) == {None}


def test_long_runs_are_not_repeated_when_asked(tmp_path: Path) -> None:
    journal = compared(tmp_path, OURS, entrant("long"), repeat_below=1.0)
    assert [how for how, _ in ScriptedPeer.log].count("long") == 2
    assert all(run.repeat == 0 for run in journal.runs_of(GATED.name, "long"))
    assert row(journal, "long").single[1e-6]


def test_methods_are_asked_only_what_they_can() -> None:
    logistic = dataclasses.replace(GATED, loss="logistic")
    path = dataclasses.replace(GATED, ratios=(0.5, 0.1))
    several = dataclasses.replace(GATED, outputs=2)
    network = entrant("network", convex=False)
    assert not accepts(OURS.method, logistic)
    assert not accepts(OURS.method, several)
    assert accepts(OURS.method, path)
    assert not accepts(network.method, path)
    assert accepts(network.method, RELU)
    two = dataclasses.replace(OURS.method, threads=2)
    assert not accepts(two, GATED)
    assert accepts(two, dataclasses.replace(GATED, threads=2))


def test_stopped_and_resumed_gives_the_same_table(tmp_path: Path) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    for folder in (whole, parts):
        folder.mkdir()
    complete = compared(whole, OURS, entrant("peer"))
    ScriptedPeer.log = []
    with pytest.raises(KeyboardInterrupt):
        compared(parts, OURS, entrant("killed", name="peer"))
    half = Journal(parts / "runs.jsonl")
    assert 0 < len(half.runs) < len(complete.runs)
    with half.path.open("a") as file:  # killed while writing
        file.write('{"kind": "run", "case')
    resumed = compared(parts, OURS, entrant("peer"))
    assert resumed.runs[: len(half.runs)] == half.runs
    assert sorted(run.key for run in resumed.runs) == sorted(run.key for run in complete.runs)
    assert report.markdown(resumed) == report.markdown(complete)
    again = compared(parts, OURS, entrant("peer"))
    assert again.runs == resumed.runs
