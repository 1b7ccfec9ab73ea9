"""The pictures that commands draw into files; matplotlib is imported when one is drawn."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pyconvexnn.cli.terminal import check_outputs

if TYPE_CHECKING:
    from pyconvexnn.demo import Comparison


def check_plot(path: Path) -> None:
    """Refuse a plot that could not be written before the work."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
    except ImportError:
        raise ImportError('--plot needs matplotlib: pip install "pyconvexnn[plot]"') from None
    check_outputs(path)
    known = sorted(FigureCanvasAgg.get_supported_filetypes())
    if path.suffix[1:].lower() not in known:
        raise ValueError(f"--plot must end in one of .{', .'.join(known)}; got {path.name}")


def draw_demo(comparisons: Sequence[Comparison], path: Path) -> None:
    """Draw the certificates of all data sets into one file, two in a row."""
    from matplotlib.figure import Figure

    from pyconvexnn import plots

    n_rows = (len(comparisons) + 1) // 2
    figure = Figure(figsize=(10, 3.4 * n_rows), layout="constrained")
    places = figure.subplots(n_rows, 2, squeeze=False).ravel()
    for ax, comparison in zip(places, comparisons, strict=False):
        plots.certificate(comparison.fit, ax=ax)
        ax.set_title(
            f"{comparison.dataset}, {comparison.n_features} features, beta = {comparison.beta:g}"
        )
    for ax in places[len(comparisons) :]:
        ax.set_axis_off()
    figure.savefig(path, dpi=150)


def draw_path(rows: Sequence[dict[str, Any]], score: str, path: Path) -> None:
    """Draw a path into a file: objective, bound and neurons, and beside them the scores.

    Parameters
    ----------
    rows : sequence of dict
        What ``pyconvexnn path`` tells of each penalty.
    score : str
        What the scores are.
    path : Path
        File.
    """
    from matplotlib.figure import Figure

    def column(name: str) -> Any:
        return np.array([row[name] for row in rows], dtype=float)

    figure = Figure(figsize=(10, 3.8), layout="constrained")
    left, right = figure.subplots(1, 2)
    beta = column("beta")
    left.plot(beta, column("objective"), marker=".", label="objective")
    bound = column("lower_bound")
    bound[~np.isfinite(bound)] = np.nan
    left.plot(beta, bound, "--", color="C0", label="lower bound")
    neurons = left.twinx()
    neurons.plot(beta, column("neurons"), marker=".", color="C1", label="neurons")
    neurons.set_ylabel("neurons")
    neurons.set_ylim(bottom=0)
    left.legend(handles=[*left.lines, *neurons.lines], loc="center left")
    right.plot(beta, column("train_score"), marker=".", label="training")
    if rows[0]["held_out_score"] is not None:
        right.errorbar(
            beta,
            column("held_out_score"),
            column("standard_error"),
            marker=".",
            capsize=2,
            label="held out",
        )
    right.set_ylabel(score)
    right.legend(loc="lower right")
    for ax in (left, right):
        ax.set_xscale("log")
        ax.invert_xaxis()
        ax.set_xlabel("beta")
    figure.savefig(path, dpi=150)
