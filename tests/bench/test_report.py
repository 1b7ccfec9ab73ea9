"""Tables from hand-made journals whose figures can be worked out by hand."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from bench.compare import report
from bench.compare.journal import Journal, Run, Setup, Skip

FACTS = {"processor": "abacus", "cores": 2, "python": "3.11", "dgemm_gflops": 104.0, "build": "x"}


def made(
    method: str, tolerance: float, seconds: float, objective: float, bound: float, **more: Any
) -> Run:
    fields: dict[str, Any] = {"repeat": 0, "status": "ran", "limit": 2.0, "dgemm": 104.0, **more}
    return Run(
        "gated a 0.1",
        method,
        tolerance,
        fields.pop("repeat"),
        fields.pop("status"),
        fields.pop("limit"),
        fields.pop("dgemm"),
        seconds=seconds,
        objective=[objective],
        bound=[bound],
        best_bound=[bound],
        at_zero=10.0,
        **fields,
    )


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    journal = Journal(tmp_path / "runs.jsonl")
    journal.start_session(FACTS)
    return journal


def row(journal: Journal, method: str) -> report.Row:
    (found,) = [row for row in report.rows(journal) if row.method == method]
    return found


def test_peers_are_charged_against_the_best_bound_we_against_our_own(journal: Journal) -> None:
    journal.add(made("pyconvexnn", 1e-3, 0.1, 1.001, 1.0))
    journal.add(made("peer", 1e-3, 0.2, 1.0011, 0.5))
    journal.add(made("other", 1e-3, 0.2, 1.5, 1.0005))
    assert row(journal, "pyconvexnn").gap == pytest.approx(0.001 / 1.001)
    assert row(journal, "peer").gap == pytest.approx(0.0006 / 1.0011)
    assert row(journal, "other").gap == pytest.approx(0.4995 / 1.5)


def test_time_is_the_least_median_among_tolerances_that_reach_the_gap(journal: Journal) -> None:
    for repeat, seconds in enumerate((0.5, 0.1, 0.2)):
        journal.add(made("pyconvexnn", 1e-6, seconds, 1.0 + 1e-7, 1.0, repeat=repeat))
    journal.add(made("pyconvexnn", 1e-3, 0.05, 1.0005, 1.0))
    times = row(journal, "pyconvexnn").times
    assert times == {1e-3: 0.05, 1e-4: 0.2, 1e-6: 0.2, 1e-8: None}


def test_all_repeats_must_reach_the_gap(journal: Journal) -> None:
    journal.add(made("pyconvexnn", 1e-6, 0.1, 1.0, 1.0, repeat=0))
    journal.add(made("pyconvexnn", 1e-6, 0.1, 1.1, 1.0, repeat=1))
    assert row(journal, "pyconvexnn").times[1e-6] is None


def test_path_counts_its_worst_penalty(journal: Journal) -> None:
    run = made("peer", 1e-3, 1.0, 0.0, 0.0)
    fields = {**vars(run), "objective": [1.0, 2.0], "best_bound": [1.0, 1.9], "bound": [1.0, 1.9]}
    journal.add(Run(**fields))
    assert row(journal, "peer").gap == pytest.approx(0.05)
    assert row(journal, "peer").objective == 3.0


def test_relative_to_the_objective_at_zero_where_the_objective_vanishes(journal: Journal) -> None:
    journal.add(made("peer", 1e-3, 1.0, 1e-12, 0.0))
    assert row(journal, "peer").gap == pytest.approx(1e-3)  # 1e-12 / (1e-10 * 10)


@pytest.mark.parametrize(
    ("fields", "remark"),
    [
        ({"failure": "own objective 1 differs"}, "own objective 1 differs"),
        ({"infeasibility": 1e-3}, "infeasible: 1.0e-03"),
        ({"objective": [0.9]}, "objective 0.9 below the proved bound 1.0"),
    ],
)
def test_wrong_answers_do_not_count_and_say_why(
    journal: Journal, fields: dict[str, Any], remark: str
) -> None:
    journal.add(made("pyconvexnn", 1e-6, 0.1, 1.0, 1.0))
    run = made("peer", 1e-6, 0.1, 1.0, 0.0)
    journal.add(Run(**{**vars(run), **fields}))
    found = row(journal, "peer")
    assert remark in found.remark
    assert found.gap is None
    assert set(found.times.values()) == {None}


def test_every_answer_is_asserted(journal: Journal) -> None:
    journal.add(made("pyconvexnn", 1e-3, 0.1, 1.0005, 1.0))
    journal.add(made("peer", 1e-3, 0.1, 1.5, 0.0))
    journal.add(
        Run(**{**vars(made("broken", 1e-3, 0.1, 1.0, 0.0)), "failure": "no", "objective": []})
    )
    assert report.wrong(journal) == []
    journal.add(made("pyconvexnn 2 threads", 1e-3, 0.1, 1.5, 0.0))
    assert len(report.wrong(journal)) == 1
    journal.add(made("pyconvexnn", 1e-4, 0.1, 1.0005, 1.0))
    journal.add(made("pyconvexnn", 1e-4, 0.1, 1.0005, 1.0, repeat=1, note="TIME_LIMIT"))
    journal.add(made("pyconvexnn", 1e-7, 0.1, 1.0, 1.0, note="TIME_LIMIT", failure="misread"))
    journal.add(made("pyconvexnn", 1e-5, 0.1, 1.0, 1.0, failure="misread"))
    journal.add(made("peer", 1e-6, 0.1, 0.99, 0.0))
    _, first, noted, second, third = report.wrong(journal)
    assert noted == "gated a 0.1 / pyconvexnn to 1e-07: misread"
    assert first.startswith("gated a 0.1 / pyconvexnn to 0.0001: gap 0.000499")
    assert second == "gated a 0.1 / pyconvexnn to 1e-05: misread"
    assert third == "gated a 0.1 / peer to 1e-06: objective 0.99 below the proved bound 1.0"


def test_other_winners_than_before_are_told(tmp_path: Path) -> None:
    runs = []
    for name, peer, close in (("before", 0.05, 0.12), ("now", 0.2, 0.09)):
        journal = Journal(tmp_path / name)
        journal.start_session(FACTS)
        journal.add(made("pyconvexnn", 1e-6, 0.1, 1.0, 1.0))
        journal.add(made("peer", 1e-6, peer, 1.0, 0.0))
        journal.add(made("close", 1e-6, close, 1.0, 0.0))
        journal.add(made("far", 1e-6, peer, 2.0, 0.0))
        runs.append(report.rows(journal))
    assert report.changed(*runs) == ["gated a 0.1 / peer: 0.50 and 2.00 times ours"]
    assert report.changed(runs[0], runs[0]) == []
    ours, *peers = runs[0]
    lost = dataclasses.replace(ours, times=dict.fromkeys(ours.times))
    assert report.changed([lost, *peers], runs[1]) == [
        "gated a 0.1 / peer: 0.00 and 2.00 times ours"
    ]
    never = [dataclasses.replace(row, times=lost.times) for row in peers]
    assert report.changed([ours, *never], runs[0]) == [
        "gated a 0.1 / peer: 0.50 and inf times ours"
    ]


def test_a_trained_network_may_lie_below_the_bound_and_has_no_gap(journal: Journal) -> None:
    journal.add(made("pyconvexnn", 1e-6, 0.1, 1.0, 1.0))
    journal.add(made("network", 1, 0.3, 0.8, 0.0, convex=False))
    late = made("network", 10, 0.3, 0.8, 0.0, convex=False, status="timeout")
    journal.add(Run(**{**vars(late), "objective": [], "seconds": None}))
    found = row(journal, "network")
    assert (found.gap, found.objective) == (None, 0.8)
    assert found.remark == "best objective in 0.3 s"


def test_table_is_normalised_and_shows_limits_skips_and_ratios(journal: Journal) -> None:
    journal.add(Setup("gated a 0.1", "peer", 3.0, 3.5, {"peer": "1.0"}, 1000))
    journal.add(made("pyconvexnn", 1e-6, 0.2, 1.0 + 1e-7, 1.0, dgemm=52.0))
    journal.add(made("peer", 1e-6, 3.0, 1.0 + 1e-7, 1.0, dgemm=52.0, peak_memory=123_000_000))
    journal.add(Run("gated a 0.1", "slow", 1e-6, 0, "timeout", 4.0, 52.0))
    journal.add(Skip("gated a 0.1", "absent", "no wheel | for this Python"))
    lines = report.markdown(journal).splitlines()
    cells = {
        line.split("|")[1].strip(): [cell.strip() for cell in line.split("|")[1:-1]]
        for line in lines
        if line.startswith("| ")
    }
    header = cells["method"]
    ours = dict(zip(header, cells["pyconvexnn"], strict=True))
    peer = dict(zip(header, cells["peer"], strict=True))
    assert ours["s to 1e-06"] == "0.1*"  # 0.2 s at half the reference rate, one run
    assert ours["s to 1e-08"] == ""
    assert (peer["s to 1e-06"], peer["x"], peer["setup s"], peer["MB"]) == (
        "1.5*",
        "15.0",
        "3.0",
        "123",
    )
    assert dict(zip(header, cells["slow"], strict=True))["s to 1e-06"] == "> 2"
    assert cells["absent"][-1] == "skipped: no wheel / for this Python"
    assert list(cells) == ["gated: problem", "a", "method", "pyconvexnn", "absent", "peer", "slow"]
    assert "abacus, 2 cores" in "\n".join(lines)


def test_sessions_are_normalised_each_by_its_own_rate(journal: Journal) -> None:
    journal.add(made("pyconvexnn", 1e-6, 0.2, 1.0, 1.0, repeat=0, dgemm=52.0))
    journal.add(made("pyconvexnn", 1e-6, 0.1, 1.0, 1.0, repeat=1, dgemm=104.0))
    assert row(journal, "pyconvexnn").times[1e-6] == pytest.approx(0.1)


def test_star_is_for_the_tolerance_that_was_run_once(journal: Journal) -> None:
    for repeat in range(3):
        journal.add(made("peer", 1e-3, 0.1, 1.0005, 1.0, repeat=repeat))
    journal.add(made("peer", 1e-6, 9.0, 1.0 + 1e-7, 1.0))
    assert row(journal, "peer").single == {1e-3: False, 1e-4: True, 1e-6: True, 1e-8: False}


def test_summary_and_agreement(journal: Journal) -> None:
    journal.add(made("pyconvexnn", 1e-6, 0.2, 1.0 + 1e-7, 1.0))
    journal.add(made("peer", 1e-6, 3.0, 1.0 + 3e-7, 1.0))
    journal.add(made("stuck", 1e-6, 0.2, 1.1, 1.0))
    journal.add(Run("gated a 0.1", "slow", 1e-6, 0, "timeout", 4.0, 104.0))
    text = report.markdown(journal)
    line = next(line for line in text.splitlines() if line.startswith("| a "))
    cells = [cell.strip() for cell in line.strip("|").split("|")]
    assert cells == ["a", "0.1", "200", "15*", "> 20", "-"]
    journal.add(Run("gated a 0.1", "slow", 1e-7, 0, "timeout", 7.95, 104.0))
    assert "| > 39 " in report.markdown(journal)  # not 40
    assert "agree to 2e-07 relative" in text


def test_failures_that_differ_in_figures_are_said_once(journal: Journal) -> None:
    for repeat, violation in enumerate((2e-3, 1e-3)):
        journal.add(made("peer", 1e-6, 3.0, 1.0, 1.0, repeat=repeat, infeasibility=violation))
    assert row(journal, "peer").remark == "infeasible: 1.0e-03 (2 runs such)"


def test_files_are_written_and_plots_are_pictures(journal: Journal, tmp_path: Path) -> None:
    journal.add(Setup("gated a 0.1", "pyconvexnn", 1.0, 1.0, {}, 1000))
    journal.add(made("pyconvexnn", 1e-6, 0.2, 1.0, 1.0))
    journal.add(made("peer", 1e-6, 3.0, 1.0, 1.0))
    report.write(journal, tmp_path)
    results = json.loads((tmp_path / "results.json").read_text())
    assert [r["method"] for r in results["rows"]] == ["pyconvexnn", "peer"]
    assert results["sessions"] == [FACTS]
    assert (tmp_path / "table.md").read_text() == report.markdown(journal)
    for name in ("profile.png", "scaling.png"):
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")


def test_journal_reads_back_and_drops_a_torn_line(journal: Journal) -> None:
    journal.add(made("pyconvexnn", 1e-6, 0.2, 1.0, 1.0))
    journal.add(Skip("gated a 0.1", "absent", "why"))
    with journal.path.open("a") as file:
        file.write('{"kind": "run", "case": "ga')
    again = Journal(journal.path)
    assert (again.runs, again.skips, again.sessions) == (journal.runs, journal.skips, [FACTS])
    again.add(made("peer", 1e-6, 0.2, 1.0, 1.0))
    assert Journal(journal.path).runs == again.runs
    assert report.markdown(Journal(journal.path)) == report.markdown(again)


def test_a_journal_that_is_only_read_stays_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "runs.jsonl"
    journal = Journal(path)
    journal.start_session(FACTS)
    with path.open("a") as file:
        file.write('{"kind": "ru')
    before = path.read_bytes()
    assert Journal(path, to_read=True).sessions == journal.sessions
    assert path.read_bytes() == before
    for text in ('{"kind": "x"}', "{", "[]", '{"kind": "run"}', "{}"):
        path.write_text(f"{text}\n")
        with pytest.raises(ValueError, match=r"runs.jsonl, line 1: no line of a journal"):
            Journal(path)


def test_journal_of_a_first_torn_line_is_empty(tmp_path: Path) -> None:
    path = tmp_path / "runs.jsonl"
    path.write_text('{"kind": "ses')
    assert Journal(path).sessions == []
    assert path.read_text() == ""
