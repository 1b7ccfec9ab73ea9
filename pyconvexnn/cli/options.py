"""Options that several commands have, and the exit codes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

OK, NOT_PROVED, BAD_INPUT, INTERRUPTED = 0, 3, 2, 130

existing_file = click.Path(exists=True, dir_okay=False, path_type=Path)
new_file = click.Path(dir_okay=False, path_type=Path)

model_argument = click.argument("model", metavar="MODEL.npz", type=existing_file)
data_argument = click.argument("data", metavar="DATA", type=existing_file)

target = click.option(
    "--target", required=True, help="Column to predict: its name, or its index from 0."
)
activation = click.option(
    "--activation",
    default="relu",
    show_default=True,
    help="One of relu, leaky_relu, abs, gated_relu.",
)
task = click.option(
    "--task",
    type=click.Choice(["auto", "regression", "classification"]),
    default="auto",
    show_default=True,
    help="auto: as --loss says, else classification for text or at most 10 different integers.",
)
intercept = click.option(
    "--intercept/--no-intercept", default=True, help="Hidden biases; the default."
)
output_offset = click.option(
    "--output-offset/--no-output-offset",
    default=False,
    help="A constant added to the output, not penalised.",
)
scale = click.option(
    "--scale",
    type=click.Choice(["standard"]),
    help="standard: train on columns of mean 0 and variance 1.",
)
loss = click.option(
    "--loss",
    type=click.Choice(
        ["squared", "huber", "poisson", "logistic", "squared_hinge", "hinge", "cross_entropy"]
    ),
    help="The first three for a regression, the others for classes.  [default: squared, logistic]",
)
class_weight = click.option(
    "--class-weight",
    type=click.Choice(["balanced"]),
    help="balanced: rare classes count as much as frequent ones.",
)


def folds(help: str) -> Callable[[Any], Any]:  # click's name for it
    """Option ``--cv``, whose help differs."""
    return click.option("--cv", type=click.IntRange(min=2), metavar="N", help=help)


patterns = click.option(
    "--patterns",
    default="auto",
    show_default=True,
    help="auto: all, of a network with gates 20000 or fewer; N: so many drawn; exact: all, listed.",
)
rule = click.option(
    "--rule",
    type=click.Choice(["best", "1se"]),
    default="best",
    show_default=True,
    help="1se: the largest beta within one standard error of the best.",
)
header = click.option(
    "--header/--no-header", default=None, help="Of a CSV file; found out by itself."
)
tol = click.option("--tol", default=1e-4, show_default=True, help="Relative gap to prove.")
threads = click.option("--threads", type=int, help="Threads; -1 for all cores.  [default: 1]")
seed = click.option(
    "--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of all randomness."
)
json = click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")


def of_training(command: Any) -> Any:
    """Options of every command that trains, in the order of its help."""
    several = activation, patterns, task, loss, intercept, output_offset, scale, class_weight
    for option in reversed((*several, header, tol)):
        command = option(command)
    return command
