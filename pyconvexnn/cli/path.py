"""``pyconvexnn path``."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import click
from rich import box
from rich.table import Table

from pyconvexnn.cli import options, training
from pyconvexnn.cli.data import TrainingData, read_training_data
from pyconvexnn.cli.pictures import check_plot, draw_path
from pyconvexnn.cli.proofs import proof_facts
from pyconvexnn.cli.terminal import check_folder, console, print_facts, print_json, say

Row = dict[str, Any]  # what is told of one penalty, by name


@click.command()
@options.data_argument
@options.target
@click.option(
    "--n-betas",
    type=click.IntRange(min=2),
    default=20,
    show_default=True,
    help="How many penalties.",
)
@click.option(
    "--min-ratio",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    default=0.01,
    show_default=True,
    help="The smallest of them over the largest.",
)
@options.activation
@options.patterns
@options.task
@options.intercept
@options.output_offset
@options.scale
@options.class_weight
@options.header
@options.tol
@click.option(
    "--time-limit",
    type=float,
    help="Seconds for all of them, shared alike.  "
    f"[default: {training.TIME_LIMIT:g} over all patterns, else none]",
)
@click.option("--out", type=options.new_file, help="Write the table to this CSV file, too.")
@click.option("--plot", type=options.new_file, help="Draw it into this file.")
@options.threads
@options.seed
@options.json
def path(data: Path, as_json: bool, out: Path | None, plot: Path | None, **chosen: Any) -> int:
    """Train for a list of penalties, from the largest useful one down.

    \b
    Examples:
      pyconvexnn path houses.csv --target price --scale standard --output-offset
      pyconvexnn path houses.csv --target price --n-betas 10 --out path.csv --plot path.png

    One line for each penalty beta: the objective, its gap to the best of all networks (of any
    width; with --patterns N or gates: of networks on the patterns drawn), the neurons, and R2 or
    the share of right classes on DATA. The largest beta is where the best network begins to be
    zero. The options are those of `pyconvexnn fit`, where they are explained; each network is found
    from the one before. Exit code 3 when one of them was not proved to --tol.

    Keys of --json: task, target, samples, features, classes, activation, output_offset, scale,
    class_weight, loss, score, seconds, points; of each point: beta, objective, lower_bound,
    relative_gap, proved, method, neurons, train_score.
    """  # noqa: D301
    if out is not None:
        check_folder(out)
    if plot is not None:
        check_plot(plot)
    read = read_training_data(data, chosen)
    start = time.perf_counter()
    points = training.train_path(read, chosen, chosen["n_betas"], chosen["min_ratio"])
    rows = [_row(point, read) for point in points]
    facts = {
        **read.facts(),
        "activation": chosen["activation"],
        "output_offset": chosen["output_offset"],
        "scale": chosen["scale"],
        "class_weight": chosen["class_weight"],
        "loss": points[0].model.loss,
        "score": "R2" if read.classes is None else "accuracy",
        "seconds": time.perf_counter() - start,
    }
    if as_json:
        print_json({**facts, "points": rows})
    else:
        print_facts(facts, as_json)
        click.echo()
        console().print(_as_table(rows, facts["score"]))
    if out is not None:
        _write(rows, out)
    if plot is not None:
        draw_path(rows, facts["score"], plot)
        say(f"wrote {plot}")
    unproved = [row for row in rows if not row["proved"]]
    if not unproved:
        return options.OK
    largest = max(row["relative_gap"] for row in unproved)
    say(
        f"not proved: {len(unproved)} of {len(rows)} have a relative gap above --tol "
        f"{chosen['tol']:g}, at most {largest:.3g}. Standardised columns, a larger --min-ratio or "
        "more time make it easier"
    )
    return options.NOT_PROVED


def _row(point: training.Point, data: TrainingData) -> Row:
    certificate = point.certificate
    return {
        "beta": point.model.beta,
        **proof_facts(certificate),
        "neurons": point.model.network.n_neurons,
        "train_score": point.model.score(data.X, data.y),
    }


def _as_table(rows: list[Row], score_name: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False)
    for name in ("beta", "objective", "gap", "neurons", f"train {score_name}"):
        table.add_column(name, justify="right", no_wrap=True)
    for row in rows:
        score = row["train_score"]
        table.add_row(
            f"{row['beta']:.6g}",
            f"{row['objective']:.6g}",
            f"{max(row['relative_gap'], 0.0):.1e}",
            str(row["neurons"]),
            "" if score is None else f"{score:.4f}",
        )
    return table


def _write(rows: list[Row], out: Path) -> None:
    import pandas as pd

    pd.DataFrame(rows).to_csv(out, index=False, lineterminator="\n")
