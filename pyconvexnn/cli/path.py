"""``pyconvexnn path``."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import click
from rich import box
from rich.table import Table

from pyconvexnn._files import writing
from pyconvexnn.cli import options, training
from pyconvexnn.cli.data import TrainingData, read_training_data
from pyconvexnn.cli.pictures import check_plot, draw_path
from pyconvexnn.cli.proofs import proof_facts
from pyconvexnn.cli.terminal import check_outputs, console, print_facts, print_json, say

Row = dict[str, Any]  # what is told of one penalty, by name


@click.command()
@options.data_argument
@options.target
@click.option(
    "--n-betas",
    type=click.IntRange(min=2),
    default=training.N_BETAS,
    show_default=True,
    help="How many penalties.",
)
@click.option(
    "--min-ratio",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    default=training.MIN_RATIO,
    show_default=True,
    help="The smallest of them over the largest.",
)
@options.folds("Compare them by cross-validation with so many folds, too.")
@options.rule
@click.option("--save", type=options.new_file, help="File for the model chosen by --cv (.npz).")
@options.of_training
@click.option(
    "--time-limit",
    type=float,
    help="Seconds for all of them, shared alike; the folds of --cv come on top.  "
    f"[default: {training.TIME_LIMIT:g} over all patterns, else none]",
)
@click.option("--out", type=options.new_file, help="Write the table to this CSV file, too.")
@click.option("--plot", type=options.new_file, help="Draw it into this file.")
@options.threads
@options.seed
@options.json
def path(
    data: Path,
    as_json: bool,
    out: Path | None,
    plot: Path | None,
    save: Path | None,
    **chosen: Any,
) -> int:
    """Train for a list of penalties, from the largest useful one down.

    \b
    Examples:
      pyconvexnn path houses.csv --target price --scale standard --output-offset
      pyconvexnn path houses.csv --target price --cv 5 --save model.npz
      pyconvexnn path houses.csv --target price --n-betas 10 --out path.csv --plot path.png

    One line for each penalty beta: the objective, its gap to the best of all networks (of any
    width; with --patterns N or gates: of networks on the patterns drawn), the neurons, and R2 or
    the share of right classes on DATA. The largest beta is where the best network begins to be
    zero. With --cv the score on rows held out is added, the mean over the folds and its standard
    error, and --rule chooses a beta; the folds are of shuffled rows, and trained to a gap of 1e-2,
    two at a time with --threads 2. The options are those of `pyconvexnn fit`, where they are
    explained; each network is found from the one before. Exit code 3 when one of them was not
    proved to --tol.

    Keys of --json: task, target, samples, features, classes, activation, output_offset, scale,
    class_weight, loss, score, folds, rule, best_beta, beta, held_out_score, seconds, model, points;
    of each point: beta, objective, lower_bound, relative_gap, proved, method, neurons, train_score,
    held_out_score, standard_error.
    """  # noqa: D301
    check_outputs(out, save, plot, kept=[data])
    if save is not None and chosen["cv"] is None:
        raise click.UsageError("--save needs --cv, which chooses one; to train with one use fit")
    if plot is not None:
        check_plot(plot)
    read = read_training_data(data, chosen)
    start = time.perf_counter()
    betas, choice = training.grid(read, chosen, chosen["n_betas"], chosen["min_ratio"]), None
    if chosen["cv"] is not None:  # first, as there may be too few rows
        choice = training.choose(read, chosen, betas)
    points = training.train_path(read, chosen, betas)
    if choice is not None and save is not None:
        points[choice.chosen].model.save(save)
    rows = [_row(point, read) | _held_out(choice, place) for place, point in enumerate(points)]
    facts = {
        **read.facts(),
        "activation": chosen["activation"],
        "output_offset": chosen["output_offset"],
        "scale": chosen["scale"],
        "class_weight": chosen["class_weight"],
        "loss": points[0].model.loss,
        "score": "R2" if read.classes is None else "accuracy",
        "folds": chosen["cv"],
        "rule": None if choice is None else chosen["rule"],
        "best_beta": None if choice is None else choice.betas[choice.best],
        "beta": None if choice is None else choice.beta,
        "held_out_score": None if choice is None else choice.scores[choice.chosen],
        "seconds": time.perf_counter() - start,
        "model": None if save is None else str(save),
    }
    if as_json:
        print_json({**facts, "points": rows})
    else:
        print_facts(facts, as_json)
        click.echo()
        console().print(_as_table(rows, facts["score"], choice))
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
        f"{chosen['tol']:g}, at most {largest:.3g}. A larger --min-ratio or more time makes it "
        "easier"
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


def _held_out(choice: training.Choice | None, place: int) -> Row:
    return {
        "held_out_score": None if choice is None else choice.scores[place],
        "standard_error": None if choice is None else choice.errors[place],
    }


def _as_table(rows: list[Row], score: str, choice: training.Choice | None) -> Table:
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False)
    names = ["beta", "objective", "gap", "neurons", f"train\n{score}"]
    if choice is not None:
        names += [f"held out\n{score}", "standard\nerror", ""]
    for name in names:
        table.add_column(name, justify="right", no_wrap=True)
    for place, row in enumerate(rows):
        cells = [
            f"{row['beta']:.6g}",
            f"{row['objective']:.6g}",
            f"{max(row['relative_gap'], 0.0):.1e}",
            str(row["neurons"]),
            _as_score(row["train_score"]),
        ]
        if choice is not None:
            mark = {choice.best: "best", choice.chosen: "chosen"}.get(place, "")
            cells += [_as_score(row["held_out_score"]), _as_score(row["standard_error"])]
            cells.append(mark)
        table.add_row(*cells)
    return table


def _as_score(score: float | None) -> str:
    return "" if score is None else f"{score:.4f}"


def _write(rows: list[Row], out: Path) -> None:
    import pandas as pd

    with writing(out) as file:
        pd.DataFrame(rows).to_csv(file, index=False, lineterminator="\n")
