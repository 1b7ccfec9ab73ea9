"""Model files of the command line: a network with the recipe for its columns and its classes."""

from __future__ import annotations

import math
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pyconvexnn import networks, tables
from pyconvexnn._typing import FloatArray

if TYPE_CHECKING:
    from pyconvexnn.estimators.samples import Units

_MADE_BY = "pyconvexnn fit 1"
# Losses of each task, the one without --loss first.
LOSSES = {
    "regression": ("squared", "huber", "poisson"),
    "classification": ("logistic", "squared_hinge", "hinge", "cross_entropy"),
}
PROBABILISTIC = ("logistic", "cross_entropy")


@dataclass(frozen=True, eq=False)
class Model:
    """What ``predict`` and ``certify`` need to know.

    Attributes
    ----------
    network : GatedNetwork or TwoLayerNetwork
        Of the features as they are, with the column of its hidden biases if there is one. It has
        one output for a number and for two classes, else one for each class; with the cross
        entropy always the latter.
    recipe : Recipe
        From the columns of a table to the network's features.
    classes : list of str or None
        None for a regression.
    units : Units
        Of the features in training, to which the penalty refers.
    beta : float or None
        Penalty that it was trained with, if the file says so.
    class_weight : list of float or None
        Weight of each class in training; None for 1.
    loss : str
        Name of the loss that it was trained with.
    """

    network: networks.Network
    recipe: tables.Recipe
    classes: list[str] | None
    units: Units
    beta: float | None = None
    class_weight: list[float] | None = None
    loss: str = "squared"

    def save(self, path: Path) -> None:
        """Write the model, a network file with JSON beside the weights."""
        units = self.units
        extra = {
            "made_by": _MADE_BY,
            "recipe": self.recipe.to_json(),
            "classes": self.classes,
            "intercept_scaling": units.intercept,
            "mean": None if units.mean is None else units.mean.tolist(),
            "scale": None if units.scale is None else units.scale.tolist(),
            "beta": self.beta,
            "class_weight": self.class_weight,
            "loss": self.loss,
        }
        networks.write_network(path, self.network, extra)

    def predict(self, X: FloatArray) -> dict[str, list[Any]]:
        """Columns to print: the prediction and, for classes, the probability of each.

        Of counts the prediction is the rate; the hinges have no probabilities.
        """
        from pyconvexnn.estimators.classifier import class_scores, predicted_codes, probabilities
        from pyconvexnn.estimators.regressor import rates
        from pyconvexnn.estimators.samples import with_intercept

        outputs = self.network.predict(with_intercept(X, self.units.intercept))
        if self.classes is None:
            return {"prediction": (rates(outputs) if self.loss == "poisson" else outputs).tolist()}
        softmax = self.loss == "cross_entropy"
        scores = class_scores(outputs, softmax=softmax)
        columns: dict[str, list[Any]] = {
            "prediction": [self.classes[code] for code in predicted_codes(scores)]
        }
        if self.loss in PROBABILISTIC:
            each = probabilities(scores, softmax=softmax).T
            for name, values in zip(self.classes, each, strict=True):
                columns[f"probability {name}"] = values.tolist()
        return columns

    def score(self, X: FloatArray, y: Any) -> float | None:
        """R2 of a regression, accuracy for codes of classes; None for a single sample."""
        if len(X) < 2:
            return None
        predictions = self.predict(X)["prediction"]
        if self.classes is not None:
            return float(np.mean(np.array(self.classes)[y] == predictions))
        from sklearn.metrics import r2_score

        return float(r2_score(y, predictions))


def load_model(path: Path) -> Model:
    """Read a model; the file may be anybody's, so everything in it is checked.

    Raises
    ------
    ValueError
        If it is no model.
    """
    from pyconvexnn.estimators.samples import Units

    if not zipfile.is_zipfile(path):
        raise ValueError(f"{path} is not a saved model; the order is MODEL.npz DATA")
    network, extra = networks.read_network(path)
    if extra.get("made_by") != _MADE_BY:
        raise ValueError(f"{path} is a network but not a model that `pyconvexnn fit` saved")
    try:
        recipe = tables.Recipe.from_json(extra.get("recipe"))
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    classes, scaling = extra.get("classes"), extra.get("intercept_scaling")
    mean, scale, weight = extra.get("mean"), extra.get("scale"), extra.get("class_weight")
    beta, n_features = extra.get("beta"), len(recipe.features)
    known = LOSSES["regression" if classes is None else "classification"]
    loss = extra.get("loss", known[0])  # files of earlier versions do not say it
    if loss not in known:
        raise ValueError(f"{path}: its loss must be one of {', '.join(known)}; got {loss!r}")
    if (
        not (classes is None or _is_class_list(classes))
        or not (scaling is None or _is_positive(scaling))
        or (network.n_features, network.n_outputs)
        != (n_features + (scaling is not None), _n_outputs(classes, loss))
    ):
        raise ValueError(f"{path}: its network does not fit its recipe for the columns")
    if (
        not (scale is None or _are_floats(scale, n_features, positive=True))
        or not (mean is None or (scale is not None and _are_floats(mean, n_features)))
        or not (weight is None or _are_floats(weight, len(classes or ()), positive=True))
    ):
        raise ValueError(f"{path}: its means, scales or class weights are damaged")
    if not (beta is None or _is_positive(beta)):
        raise ValueError(f"{path}: its penalty must be > 0, got {beta!r}")
    units = Units(
        scaling,
        None if mean is None else np.array(mean),
        None if scale is None else np.array(scale),
    )
    return Model(network, recipe, classes, units, beta, weight, loss)


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


def _is_positive(value: Any) -> bool:
    return isinstance(value, float) and 0.0 < value < math.inf


def _are_floats(values: Any, count: int, *, positive: bool = False) -> bool:
    return (
        isinstance(values, list)
        and len(values) == count
        and all(isinstance(value, float) and math.isfinite(value) for value in values)
        and (not positive or all(map(_is_positive, values)))
    )


def _is_class_list(classes: Any) -> bool:
    return (
        isinstance(classes, list)
        and len(classes) >= 2
        and all(isinstance(name, str) for name in classes)
        and len(set(classes)) == len(classes)
    )


def _n_outputs(classes: list[str] | None, loss: str) -> int:
    if classes is None or (len(classes) == 2 and loss != "cross_entropy"):
        return 1
    return len(classes)
