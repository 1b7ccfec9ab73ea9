"""Model files of the command line: a network with the recipe for its columns and its classes."""

from __future__ import annotations

import dataclasses
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


@dataclass(frozen=True, eq=False, kw_only=True)
class Columns:
    """How the data of a training come from the columns of a table.

    Attributes
    ----------
    recipe : Recipe
        From the columns to the features.
    classes : list of str or None
        None for a regression.
    units : Units
        Of the features in training, to which the penalty refers.
    class_weight : list of float or None
        Weight of each class in training; None for 1.
    loss : str
        Name of the loss.
    """

    recipe: tables.Recipe
    classes: list[str] | None
    units: Units
    class_weight: list[float] | None = None
    loss: str = "squared"

    def to_json(self) -> dict[str, Any]:
        """Return this as plain JSON."""
        units = self.units
        return {
            "recipe": self.recipe.to_json(),
            "classes": self.classes,
            "intercept_scaling": units.intercept,
            "mean": None if units.mean is None else units.mean.tolist(),
            "scale": None if units.scale is None else units.scale.tolist(),
            "class_weight": self.class_weight,
            "loss": self.loss,
        }

    @classmethod
    def from_json(cls, data: Any) -> Columns:
        """Columns of ``to_json``; the file it comes from may be anybody's, so all is checked.

        Raises
        ------
        ValueError
            If it is not that.
        """
        from pyconvexnn.estimators.samples import Units

        if not isinstance(data, dict):
            raise ValueError("its columns must be an object")
        recipe = tables.Recipe.from_json(data.get("recipe"))
        classes, scaling = data.get("classes"), data.get("intercept_scaling")
        mean, scale, weight = data.get("mean"), data.get("scale"), data.get("class_weight")
        known = LOSSES["regression" if classes is None else "classification"]
        loss = data.get("loss", known[0])  # files of earlier versions do not say it
        if loss not in known:
            raise ValueError(f"its loss must be one of {', '.join(known)}; got {loss!r}")
        if not (classes is None or _is_class_list(classes)):
            raise ValueError("its classes are damaged")
        if not (scaling is None or _is_positive(scaling)):
            raise ValueError("its intercept scaling is damaged")
        n_features = len(recipe.features)
        if (
            not (scale is None or _are_floats(scale, n_features, positive=True))
            or not (mean is None or (scale is not None and _are_floats(mean, n_features)))
            or not (weight is None or _are_floats(weight, len(classes or ()), positive=True))
        ):
            raise ValueError("its means, scales or class weights are damaged")
        units = Units(
            scaling,
            None if mean is None else np.array(mean),
            None if scale is None else np.array(scale),
        )
        return cls(recipe=recipe, classes=classes, units=units, class_weight=weight, loss=loss)

    def read_target(
        self, table: tables.Table, target: str | None, owner: Path
    ) -> tuple[FloatArray, FloatArray | None]:
        """Target in a table, numbers or -1 and +1, and weights of the rows, None for 1.

        Raises
        ------
        ValueError
            If `target`, the column to take instead of that of training, is a feature.
        """
        if target is not None:
            name = table.names[tables.find_target(table, target)]
            if name in self.recipe.find_columns(table):
                raise ValueError(
                    f"column {name!r} is a feature of {owner} and cannot be its target"
                )
        else:
            recipe = self.recipe
            place = recipe.target if recipe.header else str(recipe.target_index)
            name = table.names[tables.find_target(table, place)]
        if self.classes is None:
            return tables.target_numbers(table, name), None
        codes = tables.known_classes(table, name, self.classes)
        weight = None if self.class_weight is None else np.array(self.class_weight)[codes]
        return targets_of(codes, self.classes, self.loss)[:, 0], weight


@dataclass(frozen=True, eq=False, kw_only=True)
class Model(Columns):
    """What ``predict`` and ``certify`` need to know.

    Attributes
    ----------
    network : GatedNetwork or TwoLayerNetwork
        Of the features as they are, with the column of its hidden biases if there is one. It has
        one output for a number and for two classes, else one for each class; with the cross
        entropy always the latter.
    beta : float or None
        Penalty that it was trained with, if the file says so.
    """

    network: networks.Network
    beta: float | None = None

    def save(self, path: Path) -> None:
        """Write the model, a network file with JSON beside the weights."""
        extra = {"made_by": _MADE_BY, "beta": self.beta, **self.to_json()}
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
    if not (path.is_file() and zipfile.is_zipfile(path)):
        raise ValueError(f"{path} is not a saved model; the order is MODEL.npz DATA")
    network, extra = networks.read_network(path)
    if extra.get("made_by") != _MADE_BY:
        raise ValueError(f"{path} is a network but not a model that `pyconvexnn fit` saved")
    try:
        columns = Columns.from_json(extra)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    beta, n_features = extra.get("beta"), len(columns.recipe.features)
    if (network.n_features, network.n_outputs) != (
        n_features + (columns.units.intercept is not None),
        _n_outputs(columns.classes, columns.loss),
    ):
        raise ValueError(f"{path}: its network does not fit its recipe for the columns")
    if not (beta is None or _is_positive(beta)):
        raise ValueError(f"{path}: its penalty must be > 0, got {beta!r}")
    known = {field.name: getattr(columns, field.name) for field in dataclasses.fields(columns)}
    return Model(network=network, beta=beta, **known)


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


def targets_of(y: Any, classes: list[str] | None, loss: str) -> FloatArray:
    """Columns of targets, one for each output: numbers as they are, classes as the loss is of."""
    from pyconvexnn.estimators.classifier import class_targets

    if classes is None:
        return np.asarray(y[:, np.newaxis])
    return class_targets(y, len(classes), one_hot=loss == "cross_entropy")


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
