"""SOLVED is true: an independent evaluator looks at small random problems of every kind."""

from __future__ import annotations

import dataclasses
import sys
from collections import Counter

import numpy as np
import pytest

import pyconvexnn as cx
from bench import truth


def look_at(seeds: range) -> Counter[str]:
    """Statuses of the solves; nobody says SOLVED falsely."""
    said: Counter[str] = Counter()
    for seed in seeds:
        asked = truth.random_problem(seed)
        if asked is None:
            continue
        found = truth.answer(asked)
        assert found.is_true, (seed, found)
        said[found.status] += 1
    return said


def test_solved_is_true() -> None:
    said = look_at(range(300))
    assert said.total() > 250
    assert said["SOLVED"] > 0.95 * said.total()


@pytest.mark.slow
def test_solved_is_true_of_many() -> None:
    said = look_at(range(300, 3300))
    assert said["SOLVED"] > 0.95 * said.total()
    assert said["SOLVED, of 0"] <= 2


def test_the_problems_are_of_every_kind() -> None:
    drawn = [asked for asked in map(truth.random_problem, range(300)) if asked is not None]
    problems = [asked.problem for asked in drawn]
    assert {prob.loss.name for prob in problems} == set(truth.LOSSES)
    kinds = {getattr(prob, "activation", "gated") for prob in problems}
    assert kinds == set(truth.ACTIVATIONS)
    assert {asked.tol for asked in drawn} == set(truth.TOLERANCES)
    assert {asked.solver for asked in drawn} == {"auto", "cd", "newton", "fista", "cutting_plane"}
    for trait in ("output_offset", "ridge", "skip"):
        assert any(getattr(prob, trait) for prob in problems)
    assert any(prob.skip == 0.0 for prob in problems)
    assert any(prob.n_outputs > 1 for prob in problems)
    assert any((prob.sample_weight == 0).any() for prob in problems)
    assert any((prob.pattern_weight != 1).any() for prob in problems)


def test_a_false_solved_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    solve = cx.solve

    def boastful(prob: truth.Problem, **options: object) -> cx.Solution:
        sol = solve(prob, tol=0.1)
        return dataclasses.replace(sol, status=cx.Status.SOLVED, dual=0.5 * sol.dual)

    monkeypatch.setattr(cx, "solve", boastful)
    monkeypatch.setattr(sys, "argv", ["truth", "5", "--first", "20"])
    with pytest.raises(SystemExit) as ended:
        truth.main()
    assert ended.value.code == 1
    table, _, lines = capsys.readouterr().out.partition("\n\n")
    assert "| not confirmed | " in table
    assert "seed 2" in lines


def test_a_set_of_the_comparison() -> None:
    found = list(truth.harness("smoke", None))
    assert len(found) == 9
    for name, answer in found:
        assert answer.status == "SOLVED", name
        assert answer.is_true, name
        assert np.isfinite(answer.relative_gap)
