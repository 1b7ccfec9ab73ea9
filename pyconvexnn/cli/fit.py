"""``pyconvexnn fit``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from pyconvexnn.cli import options, training
from pyconvexnn.cli.data import read_training_data
from pyconvexnn.cli.proofs import print_proof, proof_facts
from pyconvexnn.cli.terminal import check_outputs, say


def _number_or_auto(ctx: click.Context, param: click.Parameter, value: Any) -> Any:
    return value if value == "auto" else click.FLOAT.convert(value, param, ctx)


@click.command()
@options.data_argument
@options.target
@click.option(
    "--beta",
    required=True,
    metavar="NUMBER|auto",
    callback=_number_or_auto,
    help="Weight of the penalty, > 0: beta/2 times the squared weights; auto: chosen by --cv.",
)
@options.folds("Folds of the cross-validation for --beta auto.  [default: 5]")
@options.rule
@click.option("--save", required=True, type=options.new_file, help="File for the model (.npz).")
@options.of_training
@click.option(
    "--time-limit",
    type=float,
    help="Seconds; the best network so far is saved. The folds of --cv come on top.  "
    f"[default: {training.TIME_LIMIT:g} over all patterns, else none]",
)
@options.threads
@options.seed
@options.json
def fit(data: Path, as_json: bool, save: Path, **chosen: Any) -> int:
    """Train on a CSV or Parquet file and save the model.

    \b
    Examples:
      pyconvexnn fit houses.csv --target price --beta 10 --scale standard \\
          --output-offset --save model.npz
      pyconvexnn fit iris.csv --target -1 --beta auto --save iris.npz
      pyconvexnn fit iris.csv --target -1 --beta 0.1 --activation gated_relu \\
          --loss cross_entropy --save iris.npz

    The network is an ordinary one with ReLUs, trained to the optimum over all widths and all
    activation patterns, and the lower bound printed holds for all such networks. A proof to --tol
    is usual up to about six features; with many it is out of reach, and what could be proved is
    told (exit code 3). With --patterns N, and for networks with gates, the bound holds for networks
    on the patterns drawn. --patterns exact lists every pattern first, which takes few features or
    few rows; of networks with gates it is the one way to the best of all.

    What is minimised is the sum of the losses and beta/2 times the squared weights. The best
    network has no neurons from "beta max" on, which is told for all patterns and one output: begin
    with a tenth to a hundredth of it. --beta auto compares 20 penalties down to a hundredth of it
    by cross-validation, as `pyconvexnn path --cv 5` shows it.

    Columns far from zero or of different sizes are hard: --scale standard trains on standardised
    columns, to which beta then refers; the model takes the columns as they are. The target of a
    regression is used as it is: --output-offset saves the network from having to learn its mean.
    Columns of text become one column of 0 and 1 for each value. A missing value is refused. Two
    classes give one network output, more classes one output for each. --loss poisson is for counts,
    whose rates are then predicted; --loss cross_entropy trains all classes as one problem, with
    --activation gated_relu; with the hinges no probabilities are predicted.

    Keys of --json: task, target, samples, features, classes, activation, output_offset, scale,
    class_weight, beta, held_out_score, beta_max, loss, patterns, objective, lower_bound,
    relative_gap, proved, method, neurons, train_score, seconds, model, summary.
    """  # noqa: D301
    check_outputs(save, kept=[data])
    beta, choice = chosen["beta"], None
    if beta != "auto" and chosen["cv"] is not None:
        raise click.UsageError("--cv goes with --beta auto only")
    read = read_training_data(data, chosen)
    if beta == "auto":
        folds = {"cv": chosen["cv"] or training.FOLDS}
        choice = training.choose(read, chosen | folds, training.grid(read, chosen))
        beta = choice.beta
    trained = training.train(read, chosen, beta)
    model, certificate = trained.model, trained.certificate
    model.save(save)
    facts = {
        **read.facts(),
        "activation": model.network.activation,
        "output_offset": chosen["output_offset"],
        "scale": chosen["scale"],
        "class_weight": chosen["class_weight"],
        "beta": model.beta,
        "held_out_score": None if choice is None else choice.scores[choice.chosen],
        "beta_max": trained.beta_max,
        "loss": model.loss,
        "patterns": trained.n_patterns,
        **proof_facts(certificate),
        "neurons": model.network.n_neurons,
        "train_score": model.score(read.X, read.y),
        "seconds": trained.seconds,
        "model": str(save),
    }
    print_proof(facts, certificate, as_json)
    if not certificate.is_optimal:
        easier = "A larger --beta" if chosen["scale"] else "--scale standard or a larger --beta"
        say(
            f"not proved: relative gap {certificate.relative_gap:.3g} is above --tol "
            f"{certificate.rtol:g} (stopped with status {', '.join(trained.reasons)}); the model "
            f"is saved all the same. {easier} makes it easier"
            + (", more time may do" if "TIME_LIMIT" in trained.reasons else "")
        )
        return options.NOT_PROVED
    return options.OK
