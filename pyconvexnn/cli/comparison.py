"""The demo's output: a table for each data set, and JSON."""

from __future__ import annotations

import dataclasses
from typing import Any

from rich import box
from rich.table import Table

from pyconvexnn.demo import BIAS_COLUMN, HIDDEN_UNITS, Comparison

NOTE = (
    "Objective: sum of the losses + beta/2 * (squared weights of both layers, and of the hidden "
    f"biases over {BIAS_COLUMN:g}). Gap: distance of a row from the lower bound, below which no "
    "network of any width is, over its objective. scikit-learn minimises nearly the same, with "
    f"{HIDDEN_UNITS} neurons and no penalty on the biases; "
    "its neurons are scaled here to cost least, which leaves the function as it is."
)


def title(comparison: Comparison) -> str:
    """What was trained on."""
    of = "" if comparison.features is None else f" ({', '.join(comparison.features)})"
    return (
        f"{comparison.dataset}, {comparison.n_features} features{of}: {comparison.task}, "
        f"{comparison.n_train} training and {comparison.n_test} held-out samples, "
        f"beta = {comparison.beta:g}"
    )


def as_table(comparison: Comparison) -> Table:
    """Table of all models on one data set."""
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False)
    table.add_column("ReLU network")
    scores = f"{comparison.score},\ntrain", f"{comparison.score},\nheld out"
    numbers = ("objective", "lower\nbound", "gap", "neurons", *scores, "seconds")
    for name in numbers:
        table.add_column(name, justify="right", no_wrap=True)
    for place, row in enumerate(comparison.rows):
        table.add_row(
            row.model,
            f"{row.objective:.4f}",
            "" if place else f"{comparison.lower_bound:.4f}",
            f"{row.relative_gap:.1e}",
            str(row.neurons),
            f"{row.train_score:.3f}",
            f"{row.test_score:.3f}",
            f"{row.seconds:.2f}",
        )
    return table


def as_json(comparison: Comparison) -> dict[str, Any]:
    """Everything but the fit."""
    data = {
        field.name: getattr(comparison, field.name)
        for field in dataclasses.fields(comparison)
        if field.name != "fit"
    }
    return data | {"rows": [dataclasses.asdict(row) for row in comparison.rows]}
