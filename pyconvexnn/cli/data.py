"""The table that ``fit`` and ``path`` train on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import numpy as np

from pyconvexnn import tables
from pyconvexnn._typing import FloatArray
from pyconvexnn.cli.models import LOSSES, Model, targets_of
from pyconvexnn.cli.terminal import say
from pyconvexnn.networks import Network

if TYPE_CHECKING:
    from pyconvexnn.estimators.samples import Units

_UNEVEN = 100.0


@dataclass(frozen=True, eq=False)
class TrainingData:
    """A table as arrays.

    Attributes
    ----------
    recipe : Recipe
        From the columns of the table to X.
    X : (n_samples, n_features) float64
        Features.
    y : (n_samples,) array
        Numbers, or codes of the classes.
    classes : list of str or None
        None for a regression.
    class_weight : list of float or None
        Weight of each class; None for 1.
    loss : str
        Its name.
    """

    recipe: tables.Recipe
    X: FloatArray
    y: Any
    classes: list[str] | None
    class_weight: list[float] | None = None
    loss: str = "squared"

    @property
    def task(self) -> str:
        """Either "regression" or "classification"."""
        return "regression" if self.classes is None else "classification"

    @property
    def targets(self) -> FloatArray:
        """Columns of targets, one for each output: numbers, -1 and +1, or 0 and 1."""
        return targets_of(self.y, self.classes, self.loss)

    @property
    def sample_weight(self) -> FloatArray | None:
        """Weight of each sample; None for 1."""
        return None if self.class_weight is None else np.array(self.class_weight)[self.y]

    def model(self, network: Network, units: Units, beta: float) -> Model:
        """Model of a network that was trained on these data."""
        return Model(
            network=network,
            recipe=self.recipe,
            classes=self.classes,
            units=units,
            beta=beta,
            class_weight=self.class_weight,
            loss=self.loss,
        )

    def facts(self) -> dict[str, Any]:
        """What is told of the data, by name."""
        return {
            "task": self.task,
            "target": self.recipe.target,
            "samples": len(self.X),
            "features": len(self.recipe.features),
            "classes": self.classes,
        }


def read_training_data(path: Path, chosen: dict[str, Any]) -> TrainingData:
    """Read a table with its target; tells a task that was guessed, and columns that are hard.

    Parameters
    ----------
    path : Path
        CSV or Parquet file.
    chosen : dict
        The options ``target``, ``task``, ``loss``, ``header``, ``scale`` and ``class_weight``.

    Raises
    ------
    ValueError
        If the file is no table, or a column cannot be used.
    """
    table = tables.read_table(path, header=chosen["header"])
    recipe = tables.learn_recipe(table, chosen["target"])
    target, task = recipe.target, chosen["task"]
    if task == "auto" and chosen["loss"] is not None:
        task = next(task for task, losses in LOSSES.items() if chosen["loss"] in losses)
    elif task == "auto":
        task = tables.guess_task(table, target)
        say(f"target {target!r}: {task} assumed (choose with --task)")
    for column in recipe.columns:
        _tell_mixed(column)
    X, _ = recipe.apply(table)
    if chosen["scale"] is None and _are_uneven(X):
        say("the columns are far from zero or of different sizes: --scale standard makes it easier")
    loss = chosen["loss"] or LOSSES[task][0]
    if loss not in LOSSES[task]:
        raise click.UsageError(
            f"--loss must be one of {', '.join(LOSSES[task])} for a {task}, got {loss}"
        )
    weighted = chosen["class_weight"] is not None
    if task == "regression":
        if weighted:
            raise click.UsageError("--class-weight goes with a classification only")
        return TrainingData(recipe, X, tables.target_numbers(table, target), None, loss=loss)
    y, classes = tables.target_classes(table, target)
    balanced = len(y) / (len(classes) * np.bincount(y).astype(np.float64))
    return TrainingData(recipe, X, y, classes, balanced.tolist() if weighted else None, loss)


def _tell_mixed(column: tables.Column) -> None:
    """Say it of a column of text that is mostly of numbers: perhaps one is misspelled."""
    categories = column.categories or ()
    text = [category for category in categories if not tables.is_number(category)]
    if text and 2 * len(text) < len(categories):
        say(
            f"column {column.name!r} holds numbers but also {text[0]!r}: it is taken as text, of "
            f"{len(categories)} different values"
        )


def _are_uneven(X: FloatArray) -> bool:
    """Whether what varies in one column is small beside the values of another, or its own."""
    with np.errstate(over="ignore", invalid="ignore"):
        deviations, sizes = X.std(axis=0), np.sqrt(np.mean(X**2, axis=0))
    varied = deviations > 0.0
    return bool(varied.any() and sizes[varied].max() > _UNEVEN * deviations[varied].min())
