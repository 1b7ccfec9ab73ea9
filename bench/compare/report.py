"""The journal as tables and plots, and what is wrong with it; pure functions of measurements."""

from __future__ import annotations

import dataclasses
import json
import math
import re
import statistics
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tabulate import tabulate

from bench.compare import evaluate, plots
from bench.compare.journal import REFERENCE_GFLOPS, Journal, Run, Setup, Skip
from bench.compare.plots import GAP

OURS = "pyconvexnn"
GAPS = (1e-3, 1e-4, 1e-6, 1e-8)
FEASIBLE = 1e-6  # infeasibility up to which a ReLU solution counts


@dataclass(frozen=True)
class Row:
    """One method on one case."""

    case: str
    method: str
    gap: float | None  # the least that was reached and counts; None without one
    infeasibility: float | None
    times: dict[float, float | None]  # median normalised seconds to each gap; None: not reached
    single: dict[float, bool]  # whether a time is of a single run
    limit: float | None  # normalised seconds, if a run was stopped there
    setup: float
    peak_memory: int | None
    objective: float | None  # least sum over the penalties
    size: int  # samples x features x patterns; 0 if it never started
    judged: bool  # a convex method that was tried: it has a gap, or deserves none
    remark: str


def best_bounds(runs: list[Run]) -> np.ndarray[Any, np.dtype[np.float64]] | None:
    """Best dual bound known for each penalty of a case, from any method's any run."""
    bounds = [run.best_bound for run in runs if run.best_bound]
    return np.max(bounds, axis=0) if bounds else None


def gap_of(run: Run, bounds: np.ndarray[Any, np.dtype[np.float64]] | None) -> float | None:
    """Largest relative gap over the penalties; ours against our own dual points."""
    if run.status != "ran" or run.failure is not None or not run.convex:
        return None
    against = np.array(run.bound) if _is_ours(run.method) and run.bound else bounds
    if against is None:
        return None
    objective = np.array(run.objective)
    scale = np.maximum(np.abs(objective), 1e-10 * run.at_zero)
    return float(np.max((objective - against) / scale))


def _is_ours(method: str) -> bool:
    return method.split()[0] == OURS  # with two threads, too


def failure_of(run: Run, bounds: np.ndarray[Any, np.dtype[np.float64]] | None) -> str | None:
    """Why a run does not count: what the judge said, or an objective that cannot be."""
    if run.failure is not None or run.status != "ran":
        return run.failure
    if run.infeasibility > FEASIBLE:
        return f"infeasible: {run.infeasibility:.1e}"
    return _impossible(run, bounds)


def _impossible(run: Run, bounds: np.ndarray[Any, np.dtype[np.float64]] | None) -> str | None:
    """An objective below a proved bound."""
    if bounds is not None and run.convex and run.objective:
        for objective, bound in zip(run.objective, bounds.tolist(), strict=True):
            if evaluate.below_bound(objective, bound, run.infeasibility):
                return f"objective {objective!r} below the proved bound {bound!r}"
    return None


def wrong(journal: Journal) -> list[str]:
    """Answers of ours that are not what they claim, and of anybody that undercut a bound."""
    lines = []
    for case in dict.fromkeys(run.case for run in journal.runs):
        runs = [run for run in journal.runs if run.case == case]
        bounds = best_bounds(runs)
        for run in runs:
            ours = _is_ours(run.method)
            failure = failure_of(run, bounds) if ours else _impossible(run, bounds)
            if ours and failure is None and run.status == "ran" and not run.note:
                gap = gap_of(run, bounds)
                failure = f"gap {gap}" if gap is None or gap > run.tolerance else None
            if failure is not None:
                lines.append(f"{case} / {run.method} to {run.tolerance:g}: {failure}")
    return list(dict.fromkeys(lines))


def changed(table: list[Row], earlier: list[Row]) -> list[str]:
    """Where another of two methods is the faster one to 1e-6 than earlier, by more than 1.3."""
    before = by_case(earlier)
    lines = []
    for case, own in by_case(table).items():
        now, then = _over_ours(own), _over_ours(before.get(case, []))
        for method in [method for method in now if method in then]:
            low, high = sorted((now[method], then[method]))
            if low < 1.0 < high and (high > 1.3 or low < 1.0 / 1.3):
                lines.append(f"{case} / {method}: {low:.2f} and {high:.2f} times ours")
    return lines


def _over_ours(own: list[Row]) -> dict[str, float]:
    """Times to 1e-6 over ours: infinite where not reached, 0 where ours alone is not."""
    ours = _ours(own)
    times = {row.method: math.inf if (t := row.times[GAP]) is None else t for row in own}
    if ours is None:
        return {method: 0.0 for method, time in times.items() if time < math.inf}
    return {method: time / ours for method, time in times.items()}


def time_to(
    runs: list[Run], bounds: np.ndarray[Any, np.dtype[np.float64]] | None, gap: float
) -> float | None:
    """Least median time, normalised, over the tolerances that reach the gap."""
    repeats = fastest(runs, bounds, gap)
    return statistics.median(run.normalised for run in repeats) if repeats else None


def fastest(
    runs: list[Run], bounds: np.ndarray[Any, np.dtype[np.float64]] | None, gap: float
) -> list[Run]:
    """The runs of the tolerance with the least median time among those that reach the gap."""
    by_tolerance = defaultdict(list)
    for run in runs:
        by_tolerance[run.tolerance].append(run)
    reaching = []
    for repeats in by_tolerance.values():
        gaps = [gap_of(r, bounds) if failure_of(r, bounds) is None else None for r in repeats]
        if all(g is not None and g <= gap for g in gaps):
            reaching.append(repeats)
    return min(
        reaching, key=lambda runs: statistics.median(run.normalised for run in runs), default=[]
    )


def rows(journal: Journal) -> list[Row]:
    """One row for each case and method, in the order of the journal."""
    cases: dict[str, dict[str, None]] = defaultdict(dict)
    lines: list[Run | Skip | Setup] = [*journal.runs, *journal.skips, *journal.setups]
    for line in lines:
        cases[line.case].setdefault(line.method)
    return [
        _row(journal, case, method) for case in cases for method in sorted(cases[case], key=_order)
    ]


def _order(method: str) -> tuple[bool, str]:
    return (method != OURS, method)


def _row(journal: Journal, case: str, method: str) -> Row:
    of_case = [run for run in journal.runs if run.case == case]
    runs = journal.runs_of(case, method)
    bounds = best_bounds(of_case)
    failures = [failure_of(run, bounds) for run in runs]
    counted = [run for run, failure in zip(runs, failures, strict=True) if failure is None]
    gaps = [g for run in counted if (g := gap_of(run, bounds)) is not None]
    ran = [run for run in runs if run.status == "ran"]
    skip = journal.skip_of(case, method)
    remarks = [f"skipped: {skip.reason}"] if skip and not runs else []
    remarks += _once_each([f for f in failures if f is not None])
    remarks += _once_each([run.note for run in runs if run.note])
    remarks += [] if all(run.convex for run in runs) else [_spent(counted)]
    setups = [s for s in journal.setups if (s.case, s.method) == (case, method)]
    return Row(
        case=case,
        method=method,
        gap=min(gaps, default=None),
        infeasibility=max((run.infeasibility for run in ran if run.convex), default=None),
        times={gap: time_to(runs, bounds, gap) for gap in GAPS},
        single={gap: len(fastest(runs, bounds, gap)) == 1 for gap in GAPS},
        limit=max(
            (r.limit * r.dgemm / REFERENCE_GFLOPS for r in runs if r.status == "timeout"),
            default=None,
        ),
        setup=statistics.median(s.cpu for s in setups) if setups else 0.0,
        peak_memory=max((r.peak_memory for r in ran if r.peak_memory), default=None),
        objective=min((sum(run.objective) for run in counted if run.objective), default=None),
        size=max((setup.size for setup in setups), default=0),
        judged=bool(runs) and runs[0].convex,
        remark="; ".join(remarks),
    )


def _once_each(sentences: list[str]) -> list[str]:
    """The last of those that differ in figures only (the tightest tolerance), and how many."""
    kinds: dict[str, list[str]] = defaultdict(list)
    for sentence in sentences:
        kinds[re.sub(r"[-+.\de]+", "#", sentence)].append(sentence)
    return [
        same[-1] if len(same) == 1 else f"{same[-1]} ({len(same)} runs such)"
        for same in kinds.values()
    ]


def _spent(counted: list[Run]) -> str:
    """Of a trained network, which has no gap: the time of its best objective."""
    ended = [run for run in counted if run.objective]
    best = min((sum(run.objective) for run in ended), default=0.0)
    at_best = [run.normalised for run in ended if sum(run.objective) == best]
    return f"best objective in {statistics.median(at_best):.2g} s" if at_best else ""


def markdown(journal: Journal) -> str:
    """The comparison as one Markdown page."""
    table = rows(journal)
    lines = ["# Comparison", ""]
    for facts in journal.sessions:
        lines.append(
            f"- {facts['processor']}, {facts['cores']} cores, Python {facts['python']}, "
            f"g = {facts['dgemm_gflops']} GF/s (one-thread dgemm)"
        )
    lines += [
        "",
        "Times are CPU seconds of one thread (the solver's own time for cvxpy and Clarabel; of "
        "two threads, seconds on the wall), "
        "medians, normalised by g / 104; `*`: of a single run. A time is the least over the "
        "method's tolerances that reach the gap; `> t`: stopped at the time limit t before. "
        "Gaps are recomputed from the returned coefficients: peers against the best bound "
        "known, ours against our own; blocks of a ReLU solution may be outside their cones by "
        f"{FEASIBLE:g}, relatively. `x`: time to 1e-6 over ours; `-`: it failed, or none of its "
        "answers counts; empty: not for it. Setup (imports, matrices, compilers; seconds as "
        "measured) is not in the times. A trained network may use patterns that the program has "
        "not, and lie below its optimum.",
    ]
    lines += ["", "## Time to gap 1e-6 over ours", "", _summary(table)]
    for case, own in by_case(table).items():
        lines += ["", f"## {case}", "", _table(own), "", _agreement(own)]
    return "\n".join(lines) + "\n"


def by_case(table: list[Row]) -> dict[str, list[Row]]:
    """The rows of each case, ours first."""
    cases: dict[str, list[Row]] = defaultdict(list)
    for row in table:
        cases[row.case].append(row)
    return cases


def _ours(own: list[Row]) -> float | None:
    return next((row.times[GAP] for row in own if row.method == OURS), None)


def _summary(table: list[Row]) -> str:
    """A table for each program."""
    programs: dict[str, list[Row]] = defaultdict(list)
    for row in table:
        programs[row.case.split()[0]].append(row)
    return "\n\n".join(_summary_of(program, of_it) for program, of_it in programs.items())


def _summary_of(program: str, table: list[Row]) -> str:
    """A line for each problem, its penalties side by side."""
    methods = sorted({row.method for row in table if row.method != OURS and row.judged})
    problems: dict[str, dict[str, list[Row]]] = defaultdict(dict)
    for case, own in by_case(table).items():
        problem, penalty = case.removeprefix(f"{program} ").rsplit(" ", 1)
        problems[problem][penalty] = own
    body = []
    for problem, penalties in problems.items():
        cells = [[*penalties], [_milliseconds(own) for own in penalties.values()]]
        cells += [[_ratio(own, method) for own in penalties.values()] for method in methods]
        body.append([problem, *(" / ".join(cell) if any(cell) else "" for cell in cells)])
    return _markdown(body, [f"{program}: problem", "beta / beta_max", "ours, ms", *methods])


def _milliseconds(own: list[Row]) -> str:
    ours = _ours(own)
    return "-" if ours is None else _digits(1e3 * ours)


def _ratio(own: list[Row], method: str) -> str:
    """A number, `> r` where stopped before, `-` where no answer counts, nothing if not tried."""
    row, ours = next((row for row in own if row.method == method), None), _ours(own)
    if row is None or ours is None:
        return ""
    time = row.times[GAP]
    if time is not None:
        return _digits(time / ours) + "*" * row.single[GAP]
    return "-" if row.limit is None else f"> {_floor(row.limit / ours)}"


def _digits(number: float) -> str:
    return f"{number:.0f}" if number >= 10.0 else f"{number:.2g}"


def _floor(number: float) -> str:
    """Two digits, never more than it is."""
    unit = 10.0 ** (math.floor(math.log10(number)) - 1)
    return f"{math.floor(number / unit) * unit:.12g}"


def _agreement(own: list[Row]) -> str:
    """How far the two least objectives of convex methods lie apart."""
    values = sorted(row.objective for row in own if row.judged and row.objective is not None)
    if len(values) < 2:
        return ""
    apart = (values[1] - values[0]) / max(abs(values[0]), np.finfo(float).tiny)
    return f"The two best objectives agree to {apart:.0e} relative."


def _table(own: list[Row]) -> str:
    ours = _ours(own)
    cones = own[0].case.startswith("relu")
    headers = ["method", "objective", "gap", *(f"s to {gap:.0e}" for gap in GAPS), "x"]
    headers += [*(["worst infeasibility"] if cones else []), "setup s", "MB", "remark"]
    body = []
    for row in own:
        time = row.times[GAP]
        body.append(
            [
                row.method,
                "" if row.objective is None else f"{row.objective:.7g}",
                "" if row.gap is None else f"{max(row.gap, 0.0):.0e}",
                *(_seconds(row, gap) for gap in GAPS),
                f"{time / ours:.1f}" if time is not None and ours else "",
                *(
                    ["" if row.infeasibility is None else f"{row.infeasibility:.0e}"]
                    if cones
                    else []
                ),
                f"{row.setup:.1f}" if row.setup else "",
                f"{row.peak_memory / 1e6:.0f}" if row.peak_memory else "",
                " ".join(row.remark.replace("|", "/").split()),
            ]
        )
    return _markdown(body, headers)


def _markdown(body: list[list[str]], headers: list[str]) -> str:
    return str(tabulate(body, headers, "github", disable_numparse=True))


def _seconds(row: Row, gap: float) -> str:
    time = row.times[gap]
    if time is not None:
        return f"{time:.3g}{'*' if row.single[gap] else ''}"
    return "" if row.limit is None or not row.judged else f"> {_floor(row.limit)}"


def write(journal: Journal, folder: Path) -> None:
    """``results.json``, ``table.md``, ``profile.png`` and ``scaling.png`` in a folder."""
    results = {
        "sessions": journal.sessions,
        "rows": [dataclasses.asdict(row) for row in rows(journal)],
        "setups": [dataclasses.asdict(setup) for setup in journal.setups],
        "runs": [dataclasses.asdict(run) for run in journal.runs],
    }
    (folder / "results.json").write_text(json.dumps(results, indent=1))
    (folder / "table.md").write_text(markdown(journal))
    plots.write(rows(journal), folder)
