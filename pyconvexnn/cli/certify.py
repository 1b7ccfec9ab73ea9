"""``pyconvexnn certify``."""

from __future__ import annotations

import dataclasses
import tempfile
import time
from pathlib import Path
from typing import Any

import click

import pyconvexnn as cx
from pyconvexnn import tables
from pyconvexnn.cli import options
from pyconvexnn.cli.models import load_model, provable
from pyconvexnn.cli.proofs import print_proof, proof_facts
from pyconvexnn.cli.terminal import check_outputs, progress, say, told_warnings
from pyconvexnn.cli.training import TIME_LIMIT
from pyconvexnn.proofs import with_columns


@click.command()
@options.model_argument
@options.data_argument
@click.option("--target", help="Column to predict: name, or index from 0.  [default: the model's]")
@click.option("--beta", type=float, help="Weight of the penalty, > 0.  [default: the model's]")
@options.tol
@click.option("--time-limit", default=TIME_LIMIT, show_default=True, help="Seconds for the proof.")
@click.option(
    "--improve/--no-improve", default=True, help="Train on, for a better bound; the default."
)
@click.option(
    "--save", type=options.new_file, help="File for the best network met, as a model (.npz)."
)
@click.option(
    "--proof", type=options.new_file, help="File for a proof that others can check (.cxproof)."
)
@options.threads
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of starts.")
@options.json
def certify(
    model: Path, data: Path, as_json: bool, save: Path | None, proof: Path | None, **chosen: Any
) -> int:
    """Prove how far a saved model is from the best of all networks.

    \b
    Examples:
      pyconvexnn certify model.npz houses.csv
      pyconvexnn certify model.npz houses.csv --target price --beta 10 --save better.npz
      pyconvexnn certify model.npz houses.csv --proof model.cxproof

    The objective is that of training, the sum of the losses and beta/2 times the squared weights;
    the lower bound holds for every network with the model's activation and the same columns,
    whatever its patterns. DATA is a CSV or Parquet file; its columns are treated as in training. A
    model of a gated network, or of more than two classes, is refused. Exit code 3 when the model
    was not proved optimal to --tol, or the proof asked for was not written: a longer --time-limit
    or a larger --tol may do. `pyconvexnn verify` checks what --proof writes.

    Keys of --json: model, samples, activation, neurons, beta, loss, objective, lower_bound,
    relative_gap, proved, method, rounding_slack, best_objective, best_neurons, seconds, best_model,
    proof, summary.
    """  # noqa: D301
    check_outputs(save, proof, kept=[model, data])
    loaded = load_model(model)
    units = loaded.units  # of the features, which the penalty refers to
    network = provable(units.standardised(loaded.network), model)
    table = tables.read_table(data, header=loaded.recipe.header)
    X, notes = loaded.recipe.apply(table)
    y, weight = loaded.read_target(table, chosen["target"], model)
    beta = loaded.beta if chosen["beta"] is None else chosen["beta"]
    if beta is None:
        raise click.UsageError(f"{model} does not say its penalty: give --beta")
    for note in notes:
        say(note)
    start = time.perf_counter()
    # A proof takes the place of an older one when it is whole.
    with tempfile.TemporaryDirectory() as folder, progress("proving"), told_warnings():
        new = Path(folder) / "proof"
        certificate = cx.certify(
            network,
            units.data(X),
            y,
            beta,
            loss=loaded.loss,
            sample_weight=weight,
            rtol=chosen["tol"],
            improve=chosen["improve"],
            time_limit=chosen["time_limit"],
            threads=chosen["threads"],
            seed=chosen["seed"],
            proof=None if proof is None else new,
        )
        written = new.exists()
        if proof is not None and written:
            with_columns(new, loaded.to_json(), proof)
    best = certificate.best_network
    facts = {
        "model": str(model),
        "samples": table.n_rows,
        "activation": network.activation,
        "neurons": network.n_neurons,
        "beta": beta,
        "loss": loaded.loss,
        **proof_facts(certificate),
        "rounding_slack": certificate.rounding_slack,
        "best_objective": certificate.best_objective,
        "best_neurons": None if best is None else best.n_neurons,
        "seconds": time.perf_counter() - start,
        "best_model": None if save is None else str(save),
        "proof": str(proof) if written else None,
    }
    if save is not None and best is not None:
        dataclasses.replace(loaded, network=units.original(best), beta=float(beta)).save(save)
    if proof is not None and not written and not as_json:
        facts["proof"] = "not written"
    print_proof(facts, certificate, as_json)
    done = certificate.is_optimal and (proof is None or written)
    return options.OK if done else options.NOT_PROVED
