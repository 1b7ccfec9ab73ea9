"""Run the methods on a case, in turns, and note what came out."""

from __future__ import annotations

import dataclasses
import hashlib
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bench.compare import evaluate, report
from bench.compare.cases import Case
from bench.compare.client import Peer, Reply
from bench.compare.journal import REFERENCE_GFLOPS, Journal, Run, Setup, Skip
from bench.peers.protocol import Answer, Method, Problem

if TYPE_CHECKING:
    from bench.compare.environments import Environment

LOAD_LIMIT = 300.0  # seconds for imports, matrices and compilation


@dataclass(frozen=True)
class Entrant:
    """A method with the module that speaks for it and the environment it runs in."""

    method: Method
    module: str
    environment: Environment

    def start(self) -> Peer:
        """A fresh process of the peer."""
        assert self.environment.python is not None
        return Peer.start(self.environment.python, self.module)


def accepts(method: Method, case: Case) -> bool:
    """Whether a method says that it can solve such a case."""
    return (
        case.program in method.programs
        and case.loss in method.losses
        and (case.outputs == 1 or method.outputs)
        and (len(case.ratios) == 1 or method.convex)
        and method.threads <= case.threads
    )


@dataclass(frozen=True)
class Comparison:
    """The settings that all cases share.

    Attributes
    ----------
    repeats : int
        Solves of each method and tolerance, in turns with the others'; times are medians.
    repeat_below : float
        Seconds; a run that took longer is not repeated.
    limit : float, optional
        Seconds for every solve, instead of what `Case.limit` makes of our own time.
    """

    journal: Journal
    dgemm: float
    data: Path | None = None
    repeats: int = 3
    repeat_below: float = float("inf")
    limit: float | None = None

    def run(
        self, case: Case, entrants: Sequence[Entrant], progress: Callable[[str], object]
    ) -> None:
        """Measure what the journal does not hold yet; `progress` hears of each solve."""
        for entrant in entrants:
            reason = entrant.environment.reason
            if reason is not None and not self.journal.skip_of(case.name, entrant.method.name):
                self.journal.add(Skip(case.name, entrant.method.name, reason, installed=False))
        able = [e for e in entrants if e.environment.reason is None]
        if not any(True for e in able for _ in self._missing(case, e.method)):
            return
        problem = case.build(self.data)
        with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
            path = Path(folder) / "problem.npz"
            problem.save(path)
            judge = Judge(problem, Path(folder) / "answer.npz")
            peers: dict[str, Peer] = {}
            for repeat in range(self.repeats):
                for entrant in able:
                    for tolerance in self._missing(case, entrant.method, repeat):
                        name = entrant.method.name
                        progress(f"{case.name}: {name} {tolerance:g}")
                        if name not in peers or not peers[name].alive:  # killed at its limit
                            peers[name] = stack.enter_context(entrant.start())
                            if not self._loaded(problem, name, peers[name], path):
                                break
                        self.journal.add(
                            self._solved(
                                case, entrant.method, tolerance, repeat, peers[name], judge
                            )
                        )

    def _loaded(self, problem: Problem, name: str, peer: Peer, path: Path) -> bool:
        reply = peer.load(name, path, LOAD_LIMIT)
        if reply.status != "ok":
            self.journal.add(Skip(problem.name, name, reply.reason))
            return False
        size = problem.X.size * len(problem.masks)
        self.journal.add(Setup(problem.name, name, reply.cpu, reply.wall, reply.versions, size))
        return True

    def _missing(self, case: Case, method: Method, repeat: int | None = None) -> Iterator[float]:
        """Tolerances still to be run; asked again after each run, as that may end a method."""
        for r in range(self.repeats) if repeat is None else [repeat]:
            for tolerance in method.tolerances:
                if self._wanted(case, method, tolerance, r):
                    yield tolerance

    def _wanted(self, case: Case, method: Method, tolerance: float, repeat: int) -> bool:
        if self.journal.cannot_load(case.name, method.name):
            return False
        runs = [
            run
            for run in self.journal.runs_of(case.name, method.name)
            if not (run.status == "timeout" and run.limit < self._least_limit(case, method))
        ]
        if any(run.key == (case.name, method.name, tolerance, repeat) for run in runs):
            return False
        # Nothing after a failure; after a time-out no tighter tolerance, and no repetition.
        grid = method.tolerances
        for stopped in (r for r in runs if r.status != "ran"):
            if stopped.status == "failed" or grid.index(stopped.tolerance) <= grid.index(tolerance):
                return False
        same = [r for r in runs if r.tolerance == tolerance]
        return not any((r.seconds or 0.0) > self.repeat_below for r in same)

    def _least_limit(self, case: Case, method: Method) -> float:
        """What a time-out must have had to stand: half, as our time differs between sessions."""
        return 0.5 * self._limit(case, method) if self.limit is None else self.limit

    def _limit(self, case: Case, method: Method) -> float:
        if self.limit is not None:
            return self.limit
        if method.name == report.OURS:
            return case.longest
        runs = [run for run in self.journal.runs if run.case == case.name]
        own = [run for run in runs if run.method == report.OURS]
        ours = report.time_to(own, report.best_bounds(runs), 1e-6)
        return case.limit(None if ours is None else ours * REFERENCE_GFLOPS / self.dgemm)

    def _solved(
        self, case: Case, method: Method, tolerance: float, repeat: int, peer: Peer, judge: Judge
    ) -> Run:
        limit = self._limit(case, method)
        judge.path.unlink(missing_ok=True)
        # The limit is on what is charged: cvxpy's own work is not, and on a busy machine the clock
        # on the wall runs faster.
        reply = peer.solve(tolerance, judge.path, 1.5 * limit + 3.0)
        key = (case.name, method.name, tolerance, repeat)
        run = Run(*key, "ran", limit, self.dgemm, convex=method.convex)
        if reply.status == "timeout":
            return dataclasses.replace(run, status="timeout")
        if reply.status != "ok":
            return dataclasses.replace(run, status="failed", failure=reply.reason)
        judged = judge(run, reply, method.threads)
        late = judged.seconds is not None and judged.seconds > limit
        return dataclasses.replace(run, status="timeout") if late else judged


class Judge:
    """Turns an answer's file into the figures of a run; equal answers are judged once."""

    def __init__(self, problem: Problem, path: Path) -> None:
        self.problem = problem
        self.path = path
        self._verdicts: dict[str, tuple[evaluate.Judgement, ...]] = {}

    def __call__(self, run: Run, reply: Reply, threads: int = 1) -> Run:
        """`run` with times, objective, bounds, and the failure if the answer is wrong."""
        try:
            answer = Answer.load(self.path)
            verdicts = self._verdict(answer)
        except Exception as error:  # whatever a broken peer wrote
            sentence = f"no answer that can be judged: {type(error).__name__}"
            return dataclasses.replace(run, status="failed", failure=sentence)
        seconds = reply.cpu if threads == 1 else reply.wall
        if answer.seconds is not None:  # on the wall: charged as far as the process had the core
            seconds = answer.seconds * min(1.0, reply.cpu / reply.wall)
        if not (np.isfinite(seconds) and seconds > 0):
            sentence = f"charged seconds must be finite and > 0, got {seconds}"
            return dataclasses.replace(run, status="failed", failure=sentence)
        failures = dict.fromkeys(v.failure for v in verdicts if v.failure is not None)
        run = dataclasses.replace(
            run,
            seconds=seconds,
            cpu=reply.cpu,
            wall=reply.wall,
            peak_memory=reply.peak,
            failure="; ".join(failures) or None,
            note=answer.note,
            at_zero=evaluate.at_zero(self.problem),
            infeasibility=float(np.nan_to_num(max(v.infeasibility for v in verdicts))),
        )
        if failures:
            return run
        residual = [v.bound_from_residual for v in verdicts]
        own = [v.bound_from_dual for v in verdicts]
        return dataclasses.replace(
            run,
            objective=[v.objective for v in verdicts],
            bound=residual if answer.dual is None else own,
            best_bound=np.maximum(residual, own).tolist() if run.convex else [],
        )

    def _verdict(self, answer: Answer) -> tuple[evaluate.Judgement, ...]:
        arrays = (answer.objective, answer.coef, answer.hidden, answer.output, answer.dual)
        contents = hashlib.sha256()
        for array in arrays:
            contents.update(b"-" if array is None else np.ascontiguousarray(array).tobytes())
        key = contents.hexdigest()
        if key not in self._verdicts:
            self._verdicts[key] = evaluate.judge_path(self.problem, answer)
        return self._verdicts[key]
