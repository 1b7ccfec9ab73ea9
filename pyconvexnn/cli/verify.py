"""``pyconvexnn verify``."""

from __future__ import annotations

import time
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
    help="Column to predict: name, or index from 0.  [default: the proof's, or the last]",
)
@click.option("--exact", is_flag=True, help="In rational numbers instead of inflated floats.")
@options.json
def verify(proof: Path, data: Path, target: str | None, exact: bool, as_json: bool) -> int:
    """Check a proof that `certify --proof` wrote, without solving anything.

    \b
    Examples:
      pyconvexnn verify model.cxproof houses.csv
      pyconvexnn verify model.cxproof houses.csv --exact

    The proof holds for the very numbers of DATA, a CSV or Parquet file, whose columns are treated
    as in training; for a proof that Python wrote, the target is the last column. What is proved is
    that no network of that kind has an objective below the bound printed. The file may come from
    anybody. Its checker is one short module that needs NumPy only (pyconvexnn/proofs/checker.py)
    and runs by itself on X.npy and y.npy. Exit code 3 when the proof is refused.

    Keys of --json: proof, proved, reason, lower_bound, beta, loss, activation, slope,
    output_offset, penalty, samples, features, leaves, arithmetic, seconds.
    """  # noqa: D301
    start = time.perf_counter()
    facts: dict[str, Any] = {"proof": str(proof), "proved": False, "reason": None}
    try:
        X, y, weight = _samples(header(proof), proof, data, target)
        with progress("checking"):
            head = check(proof, X, y, weight, exact=exact)
    except ProofError as error:
        if as_json:
            print_json({**facts, "reason": str(error)})
        say(f"{proof}: refused: {error}")
        return options.NOT_PROVED
    facts |= {
        "proved": True,
        **{name: head[name] for name in ("lower_bound", "beta", "loss", "activation", "slope")},
        "output_offset": bool(head["output_offset"]),
        "penalty": head["penalty"],
        "samples": len(X),
        "features": X.shape[1],
        "leaves": head["leaves"],
        "arithmetic": "rational" if exact else "floats, inflated",
        "seconds": time.perf_counter() - start,
    }
    print_facts(facts, as_json)
    return options.OK


def _samples(
    head: dict[str, Any], proof: Path, data: Path, target: str | None
) -> tuple[FloatArray, FloatArray, FloatArray | None]:
    """Features, targets and weights, as the proof has them from the columns of a table."""
    weight: FloatArray | None = None
    if head.get("columns") is None:
        table = tables.read_table(data)
        name = table.names[tables.find_target(table, "-1" if target is None else target)]
        X, y = tables.features(table, but=name), tables.target_numbers(table, name)
    else:
        try:
            columns = Columns.from_json(head["columns"])
        except ValueError as error:
            raise ProofError(str(error)) from None
        table = tables.read_table(data, header=columns.recipe.header)
        X, notes = columns.recipe.apply(table)
        for note in notes:
            say(note)
        X = columns.units.data(X)
        y, weight = columns.read_target(table, target, proof)
    if head.get("features") == X.shape[1] + 1:
        X = np.column_stack([X, np.ones(len(X))])  # of hidden biases
    return X, y, weight
