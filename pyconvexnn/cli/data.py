"""The table that ``fit`` and ``path`` train on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pyconvexnn import tables
from pyconvexnn._typing import FloatArray
from pyconvexnn.cli.terminal import say


@dataclass(frozen=True)
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
    """

    recipe: tables.Recipe
    X: FloatArray
    y: Any
    classes: list[str] | None

    @property
    def task(self) -> str:
        """Either "regression" or "classification"."""
        return "regression" if self.classes is None else "classification"

    def facts(self) -> dict[str, Any]:
        """What is told of the data, by name."""
        return {
            "task": self.task,
            "target": self.recipe.target,
            "samples": len(self.X),
            "features": len(self.recipe.features),
            "classes": self.classes,
        }


def read_training_data(path: Path, target: str, task: str, header: bool | None) -> TrainingData:
    """Read a table with its target; a task that had to be guessed is told.

    Raises
    ------
    ValueError
        If the file is no table, or a column cannot be used.
    """
    table = tables.read_table(path, header=header)
    recipe = tables.learn_recipe(table, target)
    if task == "auto":
        task = tables.guess_task(table, recipe.target)
        say(f"target {recipe.target!r}: {task} assumed (choose with --task)")
    X, _ = recipe.apply(table)
    if task == "regression":
        return TrainingData(recipe, X, tables.target_numbers(table, recipe.target), None)
    return TrainingData(recipe, X, *tables.target_classes(table, recipe.target))
