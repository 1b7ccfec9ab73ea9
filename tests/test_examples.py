"""The programs of the folder examples run, and what they print is true."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest

import pyconvexnn.examples

ROOT = Path(__file__).parents[1]
NAMES = sorted(path.stem for path in Path(pyconvexnn.examples.__path__[0]).glob("[!_]*.py"))
NUMBER = r"-?\d+\.?\d*(?:e-?\d+)?"


def run(name: str) -> str:
    """What an example prints; it warns of nothing."""
    command = [sys.executable, "-W", "error", "-m", f"pyconvexnn.examples.{name}"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def number(text: str, after: str) -> float:
    """The number behind these words."""
    (found,) = re.findall(rf"^{re.escape(after)}\D*?({NUMBER})", text, re.MULTILINE)
    return float(found)


def test_every_example_is_short_and_run_here() -> None:
    assert len(NAMES) == 5
    for name in NAMES:
        assert f"test_{name}" in globals()
        path = ROOT / "pyconvexnn" / "examples" / f"{name}.py"
        assert len(path.read_text().splitlines()) <= 60


def test_train_and_certify() -> None:
    text = run("train_and_certify")
    objective, bound = number(text, "objective:"), number(text, "lower bound:")
    assert 0 <= objective - bound <= 1e-4 * objective
    assert number(text, "relative gap:") <= 1e-4
    assert number(text, "relative gap proved again:") <= 1e-4
    assert 1 <= number(text, "neurons:") <= 30
    assert "same predictions when loaded: True\n" in text
    assert "optimal: True\n" in text


@pytest.mark.slow
def test_certify_sklearn_and_torch() -> None:
    text = run("certify_sklearn_and_torch")
    names = ["scikit-learn"]
    if importlib.util.find_spec("torch") is None:
        assert "PyTorch: not installed\n" in text
    else:
        names.append("PyTorch")
    for name in names:
        objective, best = number(text, f"{name}:"), number(text, f"{name}, trained on:")
        bound = number(text, f"{name}, lower bound:")
        assert bound <= best <= objective
        assert best - bound <= 1e-3 * best + 1e-4
        assert number(text, f"{name}, pruned:") <= objective
        assert number(text, f"{name}, and escape neuron:") <= objective


@pytest.mark.slow
def test_pipeline() -> None:
    text = run("pipeline")
    assert number(text, "chosen beta:") in (0.1, 1.0, 10.0)
    assert number(text, "score of cross-validation:") > 0.94
    assert number(text, "score on held-out rows:") > 0.94
    assert number(text, "relative gap over these patterns:") <= 1e-4
    assert "same probabilities when loaded: True\n" in text


@pytest.mark.slow
def test_compare_with_cvxpy() -> None:
    text = run("compare_with_cvxpy")
    for name in ("GatedReLUProblem", "ReLUProblem"):
        objective, other = (
            number(text, f"{name} objective:"),
            number(text, f"{name} objective of cvxpy:"),
        )
        assert objective == pytest.approx(other, rel=1e-6)
        assert number(text, f"{name} proved gap:") <= 1e-9
        assert number(text, f"{name} relative difference:") <= 1e-6


@pytest.mark.slow
def test_choose_beta() -> None:
    text = run("choose_beta")
    rows = re.findall(rf"^beta +({NUMBER}): R2 ({NUMBER}), ", text, re.MULTILINE)
    table = {float(beta): float(mean) for beta, mean in rows}
    assert len(table) == 8
    chosen = number(text, "chosen beta:")
    assert table[chosen] == number(text, "score of cross-validation:")
    better = [beta for beta, mean in table.items() if mean > table[chosen]]
    assert all(beta < chosen for beta in better)  # of the good ones it is the largest
    assert table[chosen] > max(table.values()) - 0.1
    assert number(text, "score on held-out rows:") > 0.25
    assert number(text, "relative gap:") <= 1e-4
