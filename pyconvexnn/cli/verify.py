"""``pyconvexnn verify``."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np

from pyconvexnn import tables
from pyconvexnn._typing import FloatArray
from pyconvexnn.cli import options
from pyconvexnn.cli.models import Columns
from pyconvexnn.cli.terminal import print_facts, print_json, progress, say
from pyconvexnn.proofs import ProofError, check, header


@click.command()
@click.argument("proof", metavar="PROOF.cxproof", type=options.existing_file)
@options.data_argument
@click.option(
    "--target",
    multiple=True,
    help="Column to predict: name, or index from 0; again for each output of a proof that Python "
    "wrote.  [default: the proof's, or the last ones]",
)
@click.option("--exact", is_flag=True, help="In rational numbers instead of inflated floats.")
@options.json
def verify(proof: Path, data: Path, target: tuple[str, ...], exact: bool, as_json: bool) -> int:
    """Check a proof that `certify --proof` wrote, without solving anything.

    \b
    Examples:
      pyconvexnn verify model.cxproof houses.csv
      pyconvexnn verify model.cxproof houses.csv --exact

    The proof holds for the very numbers of DATA, a CSV or Parquet file, whose columns are treated
    as in training; for a proof that Python wrote, the targets are the last columns, one for each
    output. What is proved is that no network of that kind has an objective below the bound printed.
    The file may come from anybody. Its checker is one short module that needs NumPy only
    (pyconvexnn/proofs/checker.py) and runs by itself on X.npy and y.npy. Exit code 3 when the proof
    is refused.

    What the file says of the columns is printed too, so that it is seen what it is a proof of: the
    target, the features, what is subtracted from them, what they are then divided by, the classes
    and their weights.

    Keys of --json: proof, proved, reason, lower_bound, beta, loss, delta, activation, slope,
    output_offset, penalty, target, columns, mean, scale, classes, class_weight, samples, features,
    leaves, arithmetic, seconds.
    """  # noqa: D301
    start = time.perf_counter()
    facts: dict[str, Any] = {"proof": str(proof), "proved": False, "reason": None}
    try:
        (X, y, weight), told = _samples(header(proof), proof, data, target)
        with progress("checking"):
            head = check(proof, X, y, weight, exact=exact)
    except ProofError as error:
        if as_json:
            print_json({**facts, "reason": str(error)})
        say(f"{proof}: refused: {error}")
        return options.NOT_PROVED
    facts |= {
        "proved": True,
        **{name: head[name] for name in ("lower_bound", "beta", "loss")},
        "delta": head["delta"] if head["loss"] == "huber" else None,
        "activation": head["activation"],
        "slope": head["slope"],
        "output_offset": bool(head["output_offset"]),
        "penalty": head["penalty"],
        **told,
        "samples": len(X),
        "features": X.shape[1],
        "leaves": head["leaves"],
        "arithmetic": "rational" if exact else "floats, inflated",
        "seconds": time.perf_counter() - start,
    }
    print_facts(facts, as_json)
    return options.OK


def _samples(
    head: dict[str, Any], proof: Path, data: Path, target: tuple[str, ...]
) -> tuple[tuple[FloatArray, FloatArray, FloatArray | None], dict[str, Any]]:
    """Features, targets and weights, as the proof has them from the columns of a table; and how."""
    weight: FloatArray | None = None
    if head.get("columns") is None:
        table = tables.read_table(data)
        X, y, names = _of_numbers(table, target or _last(head, table))
        told: dict[str, Any] = {"target": names}
        told["columns"] = [name for name in table.names if name not in names]
    else:
        if len(target) > 1:
            raise click.UsageError(f"--target may be given once: {proof} is of one column")
        try:
            columns = Columns.from_json(head["columns"])
        except ValueError as error:
            raise ProofError(str(error)) from None
        table = tables.read_table(data, header=columns.recipe.header)
        X, notes = columns.recipe.apply(table)
        for note in notes:
            say(note)
        X = columns.units.data(X)
        y, weight = columns.read_target(table, target[0] if target else None, proof)
        told = columns.to_json()
        told |= {"target": [target[0] if target else columns.recipe.target]}
        told["columns"] = columns.recipe.features
    if head.get("features") == X.shape[1] + 1:
        X = np.column_stack([X, np.ones(len(X))])  # of hidden biases
    keys = ("target", "columns", "mean", "scale", "classes", "class_weight")
    return (X, y, weight), {key: told.get(key) for key in keys}


def _last(head: dict[str, Any], table: tables.Table) -> list[str]:
    """As many columns as a proof has outputs, the last ones."""
    outputs = head.get("outputs")
    if type(outputs) is not int or not 0 < outputs < len(table.names):
        raise ProofError("its outputs are not those of the table")
    return [str(k) for k in range(-outputs, 0)]


def _of_numbers(
    table: tables.Table, targets: Sequence[str]
) -> tuple[FloatArray, FloatArray, list[str]]:
    """Features, targets of the shape that the proof has them in, and their names."""
    names = [table.names[tables.find_target(table, target)] for target in targets]
    y = np.column_stack([tables.target_numbers(table, name) for name in names])
    return tables.features(table, but=targets), y if len(names) > 1 else y[:, 0], names
