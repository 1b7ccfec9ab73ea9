"""Model files of the command line: a network with the recipe for its columns and its classes."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pyconvexnn import networks, tables
from pyconvexnn._typing import FloatArray

_MADE_BY = "pyconvexnn fit 1"


@dataclass(frozen=True)
class Model:
    """What ``predict`` and ``certify`` need to know.

    Attributes
    ----------
    network : GatedNetwork or TwoLayerNetwork
        It has one output for a number and for two classes, else one for each class.
    recipe : Recipe
        From the columns of a table to the network's features.
    classes : list of str or None
        None for a regression.
    intercept_scaling : float or None
        Value of the column appended to the features; None for no such column.
    beta : float or None
        Penalty that it was trained with, if the file says so.
    """

    network: networks.Network
    recipe: tables.Recipe
    classes: list[str] | None
    intercept_scaling: float | None
    beta: float | None = None

    @property
    def loss(self) -> str:
        """Name of the loss that such models are trained with."""
        return "squared" if self.classes is None else "logistic"

    def data(self, X: FloatArray) -> FloatArray:
        """What the network acts on: features with the column of its hidden biases."""
        from pyconvexnn.estimators.samples import with_intercept

        return with_intercept(X, self.intercept_scaling)

    def save(self, path: Path) -> None:
        """Write the model, a network file with JSON beside the weights."""
        extra = {
            "made_by": _MADE_BY,
            "recipe": self.recipe.to_json(),
            "classes": self.classes,
            "intercept_scaling": self.intercept_scaling,
            "beta": self.beta,
        }
        networks.write_network(path, self.network, extra)

    def predict(self, X: FloatArray) -> dict[str, list[Any]]:
        """Columns to print: the prediction and, for classes, the probability of each."""
        from pyconvexnn.estimators.classifier import predicted_codes, probabilities

        scores = self.network.predict(self.data(X))
        if self.classes is None:
            return {"prediction": scores.tolist()}
        columns: dict[str, list[Any]] = {
            "prediction": [self.classes[code] for code in predicted_codes(scores)]
        }
        for name, values in zip(self.classes, probabilities(scores).T, strict=True):
            columns[f"probability {name}"] = values.tolist()
        return columns


def load_model(path: Path) -> Model:
    """Read a model; the file may be anybody's, so everything in it is checked.

    Raises
    ------
    ValueError
        If it is no model.
    """
    if not zipfile.is_zipfile(path):
        raise ValueError(f"{path} is not a saved model; the order is MODEL.npz DATA.csv")
    network, extra = networks.read_network(path)
    if extra.get("made_by") != _MADE_BY:
        raise ValueError(f"{path} is a network but not a model that `pyconvexnn fit` saved")
    try:
        recipe = tables.Recipe.from_json(extra.get("recipe"))
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    classes, scaling = extra.get("classes"), extra.get("intercept_scaling")
    beta = extra.get("beta")
    shape = network.n_features, network.n_outputs
    if (
        not (classes is None or _is_class_list(classes))
        or not (scaling is None or isinstance(scaling, float))
        or shape != (len(recipe.features) + (scaling is not None), _n_outputs(classes))
    ):
        raise ValueError(f"{path}: its network does not fit its recipe for the columns")
    if not (beta is None or (isinstance(beta, float) and beta > 0.0)):
        raise ValueError(f"{path}: its penalty must be > 0, got {beta!r}")
    return Model(network, recipe, classes, scaling, beta)


def provable(network: networks.Network, path: Path) -> networks.TwoLayerNetwork:
    """Return the network of a model, if it is one that ``certify`` can prove anything about.

    Raises
    ------
    ValueError
        For gates and for several outputs.
    """
    printed = "(`fit` printed what is proved {})"
    if not isinstance(network, networks.TwoLayerNetwork):
        raise ValueError(
            f"{path} is a gated network; certify proves only relu, leaky_relu and abs networks "
            + printed.format("over its own patterns")
        )
    if network.n_outputs != 1:
        raise ValueError(
            f"{path} is a network of {network.n_outputs} outputs; certify proves only networks of "
            f"one output {printed.format('of the sum over the outputs')}"
        )
    return network


def _is_class_list(classes: Any) -> bool:
    return (
        isinstance(classes, list)
        and len(classes) >= 2
        and all(isinstance(name, str) for name in classes)
    )


def _n_outputs(classes: list[str] | None) -> int:
    return 1 if classes is None or len(classes) == 2 else len(classes)
