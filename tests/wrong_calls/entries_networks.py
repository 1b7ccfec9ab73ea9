"""Networks: made, evaluated, pruned, written, drawn."""

from __future__ import annotations

from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from sklearn.linear_model import LinearRegression
from sklearn.neural_network import MLPRegressor

import pyconvexnn as cx
from tests.wrong_calls import goods
from tests.wrong_calls.entries_problems import LOSSES
from tests.wrong_calls.entry import (
    COLUMN_DATA,
    DATA,
    POSITIVE_WEIGHTS,
    REQUIRED_OBJECTS,
    ROW_DATA,
    TARGETS,
    WEIGHTS,
    Entry,
)
from tests.wrong_calls.mutations import Mutation, Outcome, always, either, without, wrong
from tests.wrong_calls.plain_values import (
    CHOICES,
    NONE,
    NONNEGATIVE,
    OBJECTS,
    READ,
    SLOPES,
    WRITTEN,
)

_NOT_YET = (NotImplementedError,)
# A layer may have no neurons; its rows are told by the other's.
_LAYER = without(ROW_DATA, "no rows")
_VECTOR = without(TARGETS, "None")


def _layers() -> dict[str, Any]:
    rng = np.random.default_rng(7)
    return {
        "W1": rng.standard_normal((4, goods.D)),
        "W2": rng.standard_normal((4, 2)),
        "b1": rng.standard_normal(4),
        "b2": rng.standard_normal(2),
    }


_LAYERS: dict[str, list[Mutation]] = {"W1": _LAYER, "W2": _LAYER, "b1": _VECTOR, "b2": _VECTOR}

MADE = [
    *(
        Entry(
            name,
            call,
            lambda: {**_layers(), "activation": "leaky_relu", "slope": 0.25},
            {**_LAYERS, "activation": [*CHOICES, *NONE], "slope": [*SLOPES, *NONE]},
            expected={f"{b}/one entry": Outcome.WRONG for b in ("b1", "b2")},
        )
        for name, call in (
            ("TwoLayerNetwork", cx.TwoLayerNetwork),
            ("TwoLayerNetwork.from_arrays", cx.TwoLayerNetwork.from_arrays),
        )
    ),
    *(
        Entry(
            name,
            call,
            lambda: {**_layers(), "gates": np.random.default_rng(8).standard_normal((4, goods.D))},
            {**_LAYERS, "gates": DATA},
        )
        for name, call in (
            ("GatedNetwork", cx.GatedNetwork),
            ("GatedNetwork.from_arrays", cx.GatedNetwork.from_arrays),
        )
    ),
    Entry(
        "TwoLayerNetwork.from_sklearn",
        cx.TwoLayerNetwork.from_sklearn,
        lambda: {"mlp": _fitted_mlp()},
        {
            "mlp": [
                *REQUIRED_OBJECTS,
                wrong("not fitted", always(MLPRegressor())),
                wrong("another estimator", always(LinearRegression())),
                wrong("the class", always(MLPRegressor)),
                wrong("of another activation", lambda good: _fitted_mlp(activation="tanh")),
                wrong("of three layers", lambda good: _fitted_mlp(hidden_layer_sizes=(3, 3))),
                wrong("with NaN", lambda good: _spoilt(good)),
            ]
        },
        names={"mlp": ("mlp", "coefs_", "W1", "W2", "b1", "b2")},
        also=_NOT_YET,
    ),
    Entry(
        "TwoLayerNetwork.from_torch",
        cx.TwoLayerNetwork.from_torch,
        lambda: {"module": None},
        {"module": REQUIRED_OBJECTS},
        also=(ImportError,),
    ),
]


def _fitted_mlp(**options: Any) -> MLPRegressor:
    options = {"hidden_layer_sizes": (3,), "max_iter": 1000, "tol": 1.0, **options}
    return MLPRegressor(solver="lbfgs", random_state=0, **options).fit(
        goods.data(), goods.targets()
    )


def _spoilt(mlp: Any) -> Any:
    mlp.coefs_[0][0, 0] = np.nan
    return mlp


def _network_methods(kind: str, network: Any) -> list[Entry]:
    return [
        Entry(
            f"{kind}.predict",
            lambda X: network().predict(X),
            lambda: {"X": goods.data()},
            {"X": COLUMN_DATA},
        ),
        Entry(
            f"{kind}.objective",
            lambda **arguments: network().objective(**arguments),
            lambda: {
                "X": goods.data(),
                "y": goods.targets(),
                "beta": 0.5,
                "loss": "squared",
                "sample_weight": goods.weights(),
                "ridge": 0.25,
                "pattern_weight": np.arange(1.0, network().n_neurons + 1),
            },
            {
                "X": DATA,
                "y": TARGETS,
                "beta": [*NONNEGATIVE, *NONE],
                "loss": LOSSES,
                "sample_weight": WEIGHTS,
                "ridge": [*NONNEGATIVE, *NONE],
                "pattern_weight": POSITIVE_WEIGHTS,
            },
            also=_NOT_YET,
        ),
        Entry(
            f"{kind}.save",
            lambda path: network().save(path),
            lambda: {"path": goods.folder() / "net.npz"},
            {"path": WRITTEN},
            also=(OSError,),
        ),
        Entry(
            f"{kind}.to_onnx",
            lambda path: network().to_onnx(path),
            lambda: {"path": goods.folder() / "net.onnx"},
            {"path": WRITTEN},
            also=(OSError,),
        ),
    ]


METHODS = [
    *_network_methods("TwoLayerNetwork", goods.network),
    *_network_methods("GatedNetwork", goods.gated_network),
    Entry(
        "TwoLayerNetwork of two outputs.predict",
        lambda X: goods.two_outputs().predict(X),
        lambda: {"X": goods.data()},
        {"X": COLUMN_DATA},
    ),
    Entry(
        "TwoLayerNetwork of two outputs.objective",
        lambda **arguments: goods.two_outputs().objective(**arguments),
        lambda: {"X": goods.data(), "y": goods.two_targets(), "beta": 0.5},
        {"X": DATA, "y": ROW_DATA},
    ),
    Entry(
        "load_network",
        cx.load_network,
        lambda: {"path": goods.network_file()},
        {"path": [*READ, wrong("a pattern set", lambda good: goods.patterns_file())]},
        also=(OSError,),
    ),
    Entry(
        "prune",
        cx.prune,
        lambda: {"net": goods.two_outputs(), "X": goods.data()},
        {"net": REQUIRED_OBJECTS, "X": COLUMN_DATA},
    ),
]

_AXES = OBJECTS


def _plot(name: str, good: Any, mutations: Any) -> Entry:
    def call(**arguments: Any) -> Any:
        try:
            getattr(cx.plots, name)(**arguments)
        finally:
            plt.close("all")

    return Entry(f"plots.{name}", call, lambda: {**good(), "ax": None}, {**mutations, "ax": _AXES})


PLOTS = [
    _plot("path", lambda: {"path": goods.path()}, {"path": REQUIRED_OBJECTS}),
    _plot(
        "certificate",
        lambda: {"solution_or_fit": goods.fit()},
        {
            "solution_or_fit": [
                *REQUIRED_OBJECTS,
                wrong("a network", lambda good: good.network),
                wrong("not fitted", always(cx.ConvexMLPRegressor())),
            ]
        },
    ),
    _plot(
        "neurons",
        lambda: {"net": goods.network(), "X": goods.data(), "y": goods.targets()},
        {
            "net": [*REQUIRED_OBJECTS, wrong("not fitted", always(cx.ConvexMLPRegressor()))],
            "X": DATA,
            "y": without(
                TARGETS,
                *("an array of strings", "an array of bytes", "a list of strings", "words"),
                "of bool",
            ),
        },
    ),
    _plot(
        "arrangement",
        lambda: {"X": goods.data(), "net": goods.network()},
        {
            "X": COLUMN_DATA,
            "net": [*OBJECTS, either("of other features", lambda good: _wide_network())],
        },
    ),
]


def _wide_network() -> cx.TwoLayerNetwork:
    return cx.TwoLayerNetwork.from_arrays(np.ones((2, 5)), np.ones((2, 1)))


ENTRIES = [*MADE, *METHODS, *PLOTS]
