"""The tables of large problems, made small."""

from __future__ import annotations

import numpy as np
import pytest

import pyconvexnn as cx
from bench import scale


def test_gated_rows_are_checked() -> None:
    cold, warm = (scale.gated_rows((1400, 50, 60), path, 1.0) for path in (False, True))
    assert len(cold) == len(warm) == len(scale.RATIOS)
    for row in (*cold, *warm):
        cells = [cell.strip() for cell in row.strip("|\n ").split("|")]
        assert cells[0] == "1400, 50, 60"
        assert float(cells[3]) <= scale.GAP


def test_decaying_columns_and_their_training() -> None:
    X, y = scale.decaying(400, 3)
    assert X.shape == (400, 4)
    np.testing.assert_allclose(X[:, :3].std(axis=0), [1.0, 0.5, 0.25], rtol=0.15)
    assert (X[:, 3] == 1.0).all()
    assert y.mean() == pytest.approx(0.0, abs=1e-12)
    cells = scale.train_row("decaying", X, y, 1e-2, 10.0, 1.0).strip("|\n ").split("|")
    assert float(cells[3]) <= 1e-2


def test_a_wrong_answer_is_no_row(monkeypatch: pytest.MonkeyPatch) -> None:
    solve = cx.solve
    monkeypatch.setattr(cx, "solve", lambda prob, *, tol, warm_start: solve(prob, tol=1e-2))
    with pytest.raises(AssertionError, match="GatedReLUProblem"):
        scale.gated_rows((1400, 50, 60), False, 1.0)
