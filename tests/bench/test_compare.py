"""The command as a whole, without peers that would have to be installed."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

from bench.compare import report
from bench.compare.journal import Journal

ROOT = Path(__file__).parents[2]
COMMAND = [sys.executable, "-m", "bench.compare", "--set", "smoke", "--only", "scipy-lbfgs"]
COMMAND += ["--only", "logistic 0.1 / pyconvexnn"]


def test_killed_and_resumed(tmp_path: Path) -> None:
    command = [*COMMAND, "--out", str(tmp_path)]
    journal = tmp_path / "runs.jsonl"
    process = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        if journal.exists() and journal.read_text().count('"kind": "run"') >= 3:
            break
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    half = Journal(journal).runs
    assert len(half) >= 3

    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    runs = Journal(journal).runs
    assert runs[: len(half)] == half
    keys = [run.key for run in runs]
    assert len(set(keys)) == len(keys)
    assert {run.case.split()[0] for run in runs} == {"gated", "relu"}
    assert {run.method for run in runs} == {"pyconvexnn", "scipy-lbfgs"}
    assert {run.repeat for run in runs} == {0, 1, 2}
    assert all(run.failure is None for run in runs)

    table = (tmp_path / "table.md").read_text()
    assert done.stdout.strip() == table.strip() == report.markdown(Journal(journal)).strip()
    rows = json.loads((tmp_path / "results.json").read_text())["rows"]
    ours = [row for row in rows if row["method"] == "pyconvexnn"]
    assert len(ours) == 2  # the gated program and the ReLU program
    assert all(row["gap"] <= 1e-8 for row in ours)

    # A third time nothing is left to do, and the table is the same.
    again = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert Journal(journal).runs == runs
    assert again.stdout.split("## Time")[1] == done.stdout.split("## Time")[1]


def test_ctrl_c_keeps_what_is_there(tmp_path: Path) -> None:
    command = [*COMMAND, "--out", str(tmp_path)]
    process = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    journal = tmp_path / "runs.jsonl"
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        if journal.exists() and '"kind": "run"' in journal.read_text():
            break
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 130
    assert f"interrupted; the same command goes on from {tmp_path}" in errors
    assert "pyconvexnn" in (tmp_path / "table.md").read_text()


def test_wrong_options_are_one_sentence(tmp_path: Path) -> None:
    for options, message in (
        (["--only", "no such row"], "no row of the set 'smoke' contains no such row"),
        (["--out", str(tmp_path / "file" / "x")], "Not a directory"),
        (["--set", "huge"], "'huge' is not one of"),
        (["--limit", "0"], "0"),
    ):
        (tmp_path / "file").touch()
        done = subprocess.run(
            [sys.executable, "-m", "bench.compare", *options],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode in (1, 2)
        assert message in done.stderr
        assert "Traceback" not in done.stderr


def test_results_of_another_build_are_not_continued(tmp_path: Path) -> None:
    Journal(tmp_path / "runs.jsonl").start_session({"build": "older"})
    done = subprocess.run(
        [*COMMAND, "--out", str(tmp_path)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "another build" in done.stderr
