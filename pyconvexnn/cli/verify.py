"""``pyconvexnn verify``."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click
import numpy as np

from pyconvexnn import tables
from pyconvexnn._typing import FloatArray
from pyconvexnn.cli import options
from pyconvexnn.cli.models import Columns, load_model, provable
from pyconvexnn.cli.terminal import print_facts, print_json, progress, say
from pyconvexnn.losses import Huber
from pyconvexnn.proofs import ProofError, check, header
from pyconvexnn.solvers.base import relative_gap

if TYPE_CHECKING:
    from pyconvexnn.estimators.samples import Units


@click.command()
@click.argument("proof", metavar="PROOF.cxproof", type=options.existing_file)
@options.data_argument
@click.option(
    "--target",
    multiple=True,
    help="Column to predict: name, or index from 0; again for each output of a proof that Python "
    "wrote.  [default: the proof's, or the last ones]",
)
@click.option(
    "--weight", help="Column of sample weights: name, or index from 0; of a proof of Python."
)
@click.option("--exact", is_flag=True, help="In decimals without rounding, not only in floats.")
@click.option("--patient", is_flag=True, help="Also where that takes longer than about a second.")
@click.option(
    "--model",
    type=options.existing_file,
    help="Also say how far this model (.npz) is from the bound.",
)
@click.option(
    "--numbers",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder for X.npy, y.npy and weights.npy, with which the checker runs by itself.",
)
@options.json
def verify(
    proof: Path,
    data: Path,
    target: tuple[str, ...],
    weight: str | None,
    exact: bool,
    patient: bool,
    model: Path | None,
    numbers: Path | None,
    as_json: bool,
) -> int:
    """Check a proof that `certify --proof` wrote, without solving anything.

    \b
    Examples:
      pyconvexnn verify model.cxproof houses.csv
      pyconvexnn verify model.cxproof houses.csv --exact --model model.npz
      pyconvexnn verify model.cxproof houses.csv --numbers checked

    The proof holds for the very numbers of DATA, a CSV or Parquet file, whose columns are treated
    as in training; for a proof that Python wrote, the targets are the last columns, one for each
    output. What is proved is that no network of that kind, of the columns, units and weights that
    are printed, has an objective below the bound printed. The file may come from anybody, and so
    may what it says of the columns: look whether they are those that you mean.

    A proof of very many boxes, for the rows that there are, is refused before they are looked at,
    unless --patient is given; with --exact fewer are many.

    Its checker is one short module that needs NumPy only (pyconvexnn/proofs/checker.py) and runs by
    itself: python checker.py model.cxproof X.npy y.npy weights.npy. X has the features, minus
    `mean` and then divided by `scale` where these are printed, and last a column of `intercept`; y
    is -1 and +1 for the first and the second of two classes.

    Exit code 3 when the proof is refused.

    Keys of --json: proof, proved, reason, lower_bound, beta, loss, delta, activation, slope,
    output_offset, penalty, target, columns, ignored, mean, scale, intercept, classes, class_weight,
    samples, features, leaves, arithmetic, model, objective, relative_gap, seconds.
    """  # noqa: D301
    start = time.perf_counter()
    facts: dict[str, Any] = {"proof": str(proof), "proved": False, "reason": None}
    try:
        told = header(proof)
        read = _samples(told, proof, data, target, weight)
        if told.get("samples") != len(read.X):
            raise ProofError(f"it is of {told.get('samples')} rows, {data} has {len(read.X)}")
        if numbers is not None:
            read.save(numbers)
        with progress("checking"):
            head = check(proof, read.X, read.y, read.weight, exact=exact, patient=patient)
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
        **read.told,
        "samples": len(read.X),
        "features": read.X.shape[1],
        "leaves": head["leaves"],
        "arithmetic": "exact decimals" if exact else "floats, inflated",
        **_distance(model, head, read),
        "seconds": time.perf_counter() - start,
    }
    print_facts(facts, as_json)
    return options.OK


class _Samples(NamedTuple):
    """Data as a proof has them from the columns of a table."""

    X: FloatArray
    y: FloatArray
    weight: FloatArray | None
    names: list[str]  # of the columns of features
    told: dict[str, Any]  # what is printed of them

    def save(self, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        weight = np.ones(len(self.X)) if self.weight is None else self.weight
        for name, array in (("X", self.X), ("y", self.y), ("weights", weight)):
            np.save(folder / f"{name}.npy", array)


def _samples(
    head: dict[str, Any], proof: Path, data: Path, targets: tuple[str, ...], weight: str | None
) -> _Samples:
    columns = None
    if head.get("columns") is not None:
        if len(targets) > 1 or weight is not None:
            raise click.UsageError(
                f"--target may be given once and --weight not at all: {proof} says what it is of"
            )
        try:
            columns = Columns.from_json(head["columns"])
        except ValueError as error:
            raise ProofError(str(error)) from None
    table = tables.read_table(data, header=None if columns is None else columns.recipe.header)
    if weight is not None:
        weight = table.names[tables.find_target(table, weight)]
    if columns is None:
        found = _of_numbers(table, targets or _last(head, table, weight), weight)
    else:
        found = _of_columns(table, columns, targets[0] if targets else None, proof)
    used = {*found.told["target"], *found.names, weight}
    told = {"ignored": [name for name in table.names if name not in used] or None}
    X, intercept = found.X, found.told.get("intercept")
    if head.get("features") == X.shape[1] + 1 and columns is None:
        X, intercept = np.column_stack([X, np.ones(len(X))]), 1.0  # of hidden biases
    keys = ("target", "columns", "ignored", "mean", "scale", "intercept", "classes", "class_weight")
    told |= found.told | {"intercept": intercept}
    return found._replace(X=X, told={key: told.get(key) for key in keys})


def _of_columns(table: tables.Table, columns: Columns, target: str | None, proof: Path) -> _Samples:
    """As a model has them."""
    X, notes = columns.recipe.apply(table)
    for note in notes:
        say(note)
    y, weight = columns.read_target(table, target, proof)
    units, recipe = columns.units, columns.recipe
    data = units.data(X)
    if not _are_own(units, X, weight):
        say(f"the mean and scale that {proof} says are not those of {table.path}")
    told = columns.to_json() | {"intercept": units.intercept, "columns": recipe.features}
    told["target"] = [recipe.target if target is None else target]
    return _Samples(data, y, weight, recipe.find_columns(table), told)


def _are_own(units: Units, X: FloatArray, weight: FloatArray | None) -> bool:
    """Whether means and scales are those of the data."""
    if units.scale is None:
        return True
    try:
        own = type(units).of(X, weight, units.intercept)
    except ValueError:
        return False
    tiny = 1e-6 * float(np.max(units.scale))
    pairs: Any = [(units.scale, own.scale), (units.mean, own.mean)]
    return all(
        theirs is None or np.allclose(theirs, ours, rtol=1e-6, atol=tiny) for theirs, ours in pairs
    )


def _last(head: dict[str, Any], table: tables.Table, weight: str | None) -> list[str]:
    """As many columns as a proof has outputs, the last ones."""
    outputs = head.get("outputs")
    names = [name for name in table.names if name != weight]
    if type(outputs) is not int or not 0 < outputs < len(names):
        raise ProofError("its outputs are not those of the table")
    return names[-outputs:]


def _of_numbers(table: tables.Table, targets: Sequence[str], weight: str | None) -> _Samples:
    """All columns, targets of the shape that the proof has them in."""
    names = [table.names[tables.find_target(table, target)] for target in targets]
    y = np.column_stack([tables.target_numbers(table, name) for name in names])
    others = [*names, *([] if weight is None else [weight])]
    features = [name for name in table.names if name not in others]
    return _Samples(
        tables.features(table, but=others),
        y if len(names) > 1 else y[:, 0],
        None if weight is None else tables.target_numbers(table, weight),
        features,
        {"target": names, "columns": features},
    )


def _distance(model: Path | None, head: dict[str, Any], read: _Samples) -> dict[str, Any]:
    """Objective of a model in the problem of a proof, and its gap."""
    if model is None:
        return {"model": None, "objective": None, "relative_gap": None}
    loaded, columns = load_model(model), head.get("columns")
    network = provable(loaded.units.standardised(loaded.network), model)
    kind = {"relu": 0.0, "leaky_relu": network.slope, "abs": -1.0}[network.activation]
    has_offset = network.b2 is not None and bool(np.any(network.b2))
    if columns is None or any(loaded.to_json()[name] != columns[name] for name in columns):
        raise click.UsageError(f"{model} and the proof differ in their columns, units or weights")
    if kind != head["slope"] or has_offset > head["output_offset"]:
        raise click.UsageError(f"{model} is not of the kind of network that the proof is about")
    loss = Huber(head["delta"]) if head["loss"] == "huber" else head["loss"]
    objective = network.objective(
        read.X, read.y, head["beta"], loss=loss, sample_weight=read.weight
    )
    gap = relative_gap(objective, head["lower_bound"], 0.0)
    return {"model": str(model), "objective": objective, "relative_gap": gap}
