"""The demo's output: a table for each data set, JSON, and a picture."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich import box
from rich.table import Table

from pyconvexnn import plots
from pyconvexnn.cli.terminal import check_folder
from pyconvexnn.demo import Comparison


def as_table(comparison: Comparison) -> Table:
    """Table of both models on one data set."""
    table = Table(
        title=(
            f"{comparison.dataset}: {comparison.task} ({comparison.score}), "
            f"{comparison.n_train} training and {comparison.n_test} held-out samples, "
            f"{comparison.n_features} features, "
            f"beta = {comparison.beta:g}, {comparison.n_patterns} patterns"
        ),
        title_justify="left",
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        show_edge=False,
    )
    table.add_column("model")
    numbers = (
        "objective",
        "dual\nbound",
        "relative\ngap",
        "neurons",
        "train",
        "held\nout",
        "seconds",
    )
    for name in numbers:
        table.add_column(name, justify="right", no_wrap=True)
    for row in comparison.rows:
        table.add_row(
            row.model,
            f"{row.objective:.4f}",
            "-" if row.dual_bound is None else f"{row.dual_bound:.4f}",
            "-" if row.relative_gap is None else f"{row.relative_gap:.1e}",
            str(row.neurons),
            f"{row.train_score:.3f}",
            f"{row.test_score:.3f}",
            f"{row.seconds:.2f}",
        )
    return table


def note(comparison: Comparison) -> str:
    """Say what the objective is, and what scikit-learn minimises instead."""
    return (
        "Objective: sum of the losses + beta/2 * (squared weights of both layers and hidden "
        "biases b1). scikit-learn does not penalise b1; without it its row would say "
        f"{comparison.mlp_objective_without_b1:.4f}."
    )


def as_json(comparison: Comparison) -> dict[str, Any]:
    """Everything but the solution."""
    data = {
        field.name: getattr(comparison, field.name)
        for field in dataclasses.fields(comparison)
        if field.name != "solution"
    }
    return data | {"rows": [dataclasses.asdict(row) for row in comparison.rows]}


def check_plot(path: Path) -> None:
    """Refuse a plot that could not be written before the demo is computed."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
    except ImportError:
        raise ImportError('--plot needs matplotlib: pip install "pyconvexnn[plot]"') from None
    check_folder(path)
    known = sorted(FigureCanvasAgg.get_supported_filetypes())
    if path.suffix[1:].lower() not in known:
        raise ValueError(f"--plot must end in one of .{', .'.join(known)}; got {path.name}")


def draw(comparisons: Sequence[Comparison], path: Path) -> None:
    """Draw the certificates of all data sets into one file."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5 * len(comparisons), 3.6), layout="constrained")
    for ax, comparison in zip(figure.subplots(1, len(comparisons)), comparisons, strict=True):
        plots.certificate(comparison.solution, ax=ax)
        ax.set_title(f"{comparison.dataset}, beta = {comparison.beta:g}")
    figure.savefig(path, dpi=150)
