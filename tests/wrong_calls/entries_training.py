"""Training, certificates, the largest penalty, stationarity; and the estimators."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

import pyconvexnn as cx
from tests.wrong_calls import goods
from tests.wrong_calls.entries_problems import CALLBACKS, LOSSES, PATTERNS
from tests.wrong_calls.entry import (
    COLUMN_DATA,
    DATA,
    LABELS,
    REQUIRED_OBJECTS,
    ROW_DATA,
    TARGETS,
    WEIGHTS,
    Entry,
)
from tests.wrong_calls.mutations import Mutation, Outcome, always, either, same, without, wrong
from tests.wrong_calls.plain_values import (
    CHOICES,
    FLAGS,
    NONE,
    OBJECTS,
    POSITIVE,
    RATIOS,
    SEEDS,
    SLOPES,
    THREADS,
    WRITTEN,
    integers,
)

_NOT_YET = (NotImplementedError,)
_NO_LIMIT = 60.0  # nothing that is compared with another training may depend on the time


def _in_time(entry: Entry, seconds: float) -> list[Entry]:
    """An entry point, and the same within so much time for what may be hard to train on."""

    def parts(hard: bool) -> dict[str, list[Mutation]]:
        chosen = {
            argument: [m for m in mutations if (m.outcome is Outcome.EITHER) == hard]
            for argument, mutations in entry.mutations.items()
        }
        return {argument: mutations for argument, mutations in chosen.items() if mutations}

    return [
        dataclasses.replace(entry, mutations=parts(hard=False)),
        dataclasses.replace(
            entry,
            name=f"{entry.name} within a time limit",
            good=lambda: {**entry.good(), "time_limit": seconds},
            mutations=parts(hard=True),
        ),
    ]


def _task(**more: Any) -> dict[str, Any]:
    return {
        "X": goods.data(),
        "y": goods.targets(),
        "loss": "squared",
        "sample_weight": goods.weights(),
        "time_limit": _NO_LIMIT,
        "threads": 1,
        **more,
    }


_KIND: dict[str, Any] = {"activation": "leaky_relu", "slope": 0.25, "output_offset": True}
_KINDS: dict[str, list[Mutation]] = {
    "activation": [*CHOICES, *NONE],
    "slope": [*SLOPES, *NONE],
    "output_offset": FLAGS,
}
_TASK: dict[str, list[Mutation]] = {
    "X": ROW_DATA,
    "y": TARGETS,
    "loss": LOSSES,
    "sample_weight": WEIGHTS,
    "time_limit": POSITIVE,
    "threads": THREADS,
}
_BETA: list[Mutation] = [*POSITIVE, *NONE]

_TRAINED = [
    Entry(
        "train",
        cx.train,
        lambda: _task(**_KIND, beta=0.5, rtol=1e-2, warm_start=None, seed=0, callback=None),
        {
            **_TASK,
            **_KINDS,
            "beta": _BETA,
            "rtol": [*POSITIVE, *NONE],
            "warm_start": [
                *OBJECTS,
                wrong("of other features", lambda good: _network(5, 1)),
                wrong("of two outputs", lambda good: _network(goods.D, 2)),
                wrong("arrays of NaN", always((np.full((1, goods.D), np.nan), np.ones((1, 1))))),
                wrong("arrays that do not fit", always((np.ones((2, goods.D)), np.ones((3, 1))))),
                wrong("one array", always((np.ones((2, goods.D)),))),
                wrong("five arrays", always([np.ones((1, goods.D))] * 5)),
                wrong("a gated network", lambda good: goods.gated_network()),
                either("of scale 1e50", lambda good: _network(goods.D, 1, 1e50)),
                either("no neurons", lambda good: _network(goods.D, 1, rows=0)),
            ],
            "seed": SEEDS,
            "callback": CALLBACKS,
        },
        names={"warm_start": ("warm_start", "W1", "W2")},
        also=_NOT_YET,
    ),
    Entry(
        "train, labels",
        cx.train,
        lambda: _task(beta=0.5, rtol=1e-2, y=goods.labels(), loss="logistic"),
        {"X": ROW_DATA, "y": LABELS, "sample_weight": WEIGHTS, "beta": _BETA},
    ),
    Entry(
        "train, two outputs",
        cx.train,
        lambda: _task(beta=0.5, rtol=1e-2, y=goods.two_targets()),
        {"y": without(ROW_DATA, "one dimension")},
    ),
    Entry(
        "certify",
        cx.certify,
        lambda: _task(
            net=goods.network(),
            beta=0.5,
            method="auto",
            rtol=1e-2,
            improve=True,
            seed=0,
            proof=None,
        ),
        {
            **_TASK,
            "X": DATA,
            "net": [
                *REQUIRED_OBJECTS,
                wrong("of two outputs", lambda good: goods.two_outputs(), any_name=True),
            ],
            "beta": _BETA,
            "method": [*CHOICES, *NONE],
            "rtol": [*POSITIVE, *NONE],
            "improve": FLAGS,
            "seed": SEEDS,
            "proof": [
                mutation
                for mutation in WRITTEN
                if mutation.outcome is Outcome.WRONG and mutation.name != "None"
            ],
        },
        also=(*_NOT_YET, OSError),
    ),
    Entry(
        "certify a gated network",
        cx.certify,
        lambda: _task(net=goods.gated_network(), beta=0.5, rtol=1e-2, improve=False, method="auto"),
        {**_TASK, "X": DATA, "beta": _BETA, "method": [*CHOICES, *NONE]},
        also=_NOT_YET,
    ),
    Entry(
        "beta_max",
        cx.beta_max,
        lambda: _task(**_KIND, rtol=1e-2),
        {**_TASK, **_KINDS, "rtol": [*POSITIVE, *NONE]},
        also=_NOT_YET,
    ),
    Entry(
        "stationarity",
        cx.stationarity,
        lambda: {
            "net": goods.network(),
            "X": goods.data(),
            "y": goods.targets(),
            "beta": 0.5,
            "loss": "squared",
            "sample_weight": goods.weights(),
            "tol": 1e-3,
        },
        {
            "net": [*REQUIRED_OBJECTS, wrong("gated", lambda good: goods.gated_network())],
            "X": DATA,
            "y": TARGETS,
            "beta": _BETA,
            "loss": LOSSES,
            "sample_weight": WEIGHTS,
            "tol": [*POSITIVE, *NONE],
        },
        also=_NOT_YET,
    ),
]


def _network(d: int, K: int, size: float = 1.0, rows: int = 2) -> cx.TwoLayerNetwork:
    W1 = size * np.ones((rows, d))
    return cx.TwoLayerNetwork.from_arrays(W1, size * np.ones((rows, K)))


# What scikit-learn takes: numbers in words are numbers; a np.matrix is refused.
_IN_WORDS = ("an array of strings", "an array of bytes", "a list of strings")


def _by_sklearn(mutations: list[Mutation]) -> list[Mutation]:
    return [
        *without(mutations, *_IN_WORDS, "a np.matrix", "a frame of words"),
        *(same(m.name, m.make) for m in mutations if m.name in (*_IN_WORDS, "a frame of words")),
        wrong("a np.matrix", lambda good: np.asmatrix(good)),
    ]


# --- estimators -----------------------------------------------------------------------------------

_SETTINGS: dict[str, Any] = {
    "activation": "leaky_relu",
    "slope": 0.25,
    "patterns": "auto",
    "fit_intercept": True,
    "intercept_scaling": 1.0,
    "output_offset": True,
    "scale": None,
    "tol": 1e-2,
    "max_iter": 20,  # which ends what would go on for long, at the same place in every run
    "certify": False,
    "time_limit": _NO_LIMIT,
    "warm_start": False,
    "threads": 1,
    "random_state": 0,
    "verbose": 0,
}
_SETTING_MUTATIONS: dict[str, list[Mutation]] = {
    "activation": [*CHOICES, *NONE],
    "slope": [*SLOPES, *NONE],
    "patterns": [
        *without(REQUIRED_OBJECTS, "a number", "False"),
        *without(PATTERNS, *[mutation.name for mutation in REQUIRED_OBJECTS])[:1],
        wrong("minus one", always(-1)),
        wrong("a half", always(0.5)),
        either("every one", always("exact")),
        either("a few", always(5)),
        either("as many as an int64", always(2**63 - 1)),
    ],
    "fit_intercept": FLAGS,
    "intercept_scaling": [*POSITIVE, *NONE],
    "output_offset": FLAGS,
    "scale": without(CHOICES, "in capitals", "with a space", "a NumPy string"),
    "tol": [*POSITIVE, *NONE],
    "max_iter": integers(1),
    "certify": without(FLAGS, "a number", "zero", "a float"),
    "time_limit": POSITIVE,
    "warm_start": FLAGS,
    "threads": THREADS,
    "random_state": SEEDS,
    "verbose": without(
        [*integers(0), *NONE],
        *("a billion", "a trillion", "the largest int64", "beyond int64", "beyond uint64"),
        *("beyond float64", "of 5000 digits"),
    ),
}
_NUMBERS = [
    *without(TARGETS, *_IN_WORDS),
    *(same(m.name, m.make) for m in TARGETS if m.name in _IN_WORDS),
]
_CLASSES = [
    *without(
        TARGETS,
        *("an array of strings", "an array of bytes", "a list of strings"),
        *("of int64", "of int8", "of bool", "of float32"),
    ),
    wrong("of one class", lambda good: np.ones(len(good))),
    wrong("continuous", lambda good: np.linspace(0.0, 1.0, len(good))),
    either("in two words", lambda good: np.where(np.asarray(good) > 0, "spam", "eggs")),
]


def _fitting(cls: type, **settings: Any) -> Any:
    def fit(X: Any, y: Any, sample_weight: Any, **parameters: Any) -> Any:
        return cls(**{**settings, **parameters}).fit(X, y, sample_weight)

    return fit


def _estimator(cls: type, target: Any, mutations: Any, **settings: Any) -> list[Entry]:
    """``fit`` of an estimator with its settings."""

    def good() -> dict[str, Any]:
        return {"X": goods.data(), "y": target(), "sample_weight": goods.weights(), **settings}

    entry = Entry(
        f"{cls.__name__}.fit",
        _fitting(cls),
        good,
        {
            "X": _by_sklearn(ROW_DATA),
            "sample_weight": WEIGHTS,
            **_SETTING_MUTATIONS,
            **mutations,
        },
        # Of every sample, as scikit-learn has it.
        expected={"sample_weight/a scalar": Outcome.EITHER},
        also=_NOT_YET,
    )
    return _in_time(entry, 0.05)


_LOSS = [*without(LOSSES, "logistic", "the hinge", "the cross entropy")]
_CV: dict[str, list[Mutation]] = {
    "betas": [
        *without(
            integers(1),
            *("a list", "a tuple", "an array of one", "an array", "an array of no dimension"),
            *("a billion", "a trillion", "the largest int64", "beyond int64"),
            *("beyond uint64", "beyond float64", "of 5000 digits", "of int8"),
        ),
        wrong("a list with zero", always([1.0, 0.0])),
        wrong("a list with NaN", always([1.0, float("nan")])),
        wrong("huge", always(10**12)),
        either("a list", always([0.5, 1.0])),
    ],
    "beta_min_ratio": [*RATIOS, *NONE],
    "cv": [
        *without(OBJECTS, "False", "a list", "an empty tuple", "a number"),
        wrong("one", always(1)),
        wrong("minus one", always(-1)),
        wrong("too many", always(1000)),
        wrong("no folds", always([])),
        wrong("folds out of range", always([(np.array([0, 99]), np.array([1]))])),
        wrong("empty folds", always([(np.empty(0, int), np.arange(3))])),
    ],
    "rule": [*CHOICES, *NONE],
    "scoring": [
        *without(OBJECTS, "a class"),
        wrong("of NaN", always(lambda est, X, y, **more: float("nan"))),
        wrong("of words", always(lambda est, X, y, **more: "spam")),
    ],
    "n_jobs": [
        wrong("zero", always(0)),
        wrong("a half", always(0.5)),
        wrong("a word", always("spam")),
        same("None", always(None), always(1)),
    ],
}
_REG = _SETTINGS
_CLA = {**_SETTINGS, "loss": "logistic", "class_weight": None}
_CV_SETTINGS = {
    "betas": 2,
    "beta_min_ratio": 0.25,
    "cv": 2,
    "rule": "best",
    "scoring": None,
    "n_jobs": 1,
}
_CLASS_WEIGHTS = [
    *without(OBJECTS, "a dict"),
    wrong("of NaN", always({-1.0: float("nan"), 1.0: 1.0})),
    wrong("negative", always({-1.0: -1.0, 1.0: 1.0})),
    wrong("zero for one", always({-1.0: 0.0, 1.0: 1.0})),
    wrong("words for one", always({-1.0: "spam", 1.0: 1.0})),
    either("of other classes", always({5: 1.0})),
    either("large", always({-1.0: 1e300, 1.0: 1.0})),
    same("of ones", always({-1.0: 1.0, 1.0: 1.0}), always(None)),
]

ESTIMATORS = [
    *_estimator(
        cx.ConvexMLPRegressor,
        goods.targets,
        {"y": _NUMBERS, "beta": _BETA, "loss": _LOSS},
        **_REG,
        beta=0.5,
        loss="squared",
    ),
    *_estimator(
        cx.ConvexMLPClassifier,
        goods.labels,
        {"y": _CLASSES, "beta": _BETA, "loss": LOSSES, "class_weight": _CLASS_WEIGHTS},
        **_CLA,
        beta=0.5,
    ),
    *_estimator(
        cx.ConvexMLPRegressorCV,
        goods.targets,
        {"y": _NUMBERS, "loss": _LOSS, **_CV},
        **_REG,
        **_CV_SETTINGS,
        loss="squared",
    ),
    *_estimator(
        cx.ConvexMLPClassifierCV,
        goods.labels,
        {"y": _CLASSES, "loss": LOSSES, "class_weight": _CLASS_WEIGHTS, **_CV},
        **_CLA,
        **_CV_SETTINGS,
    ),
]


def _fitted(cls: type, target: Any, **settings: Any) -> Any:
    """A fitted estimator, once for each kind."""
    made: list[Any] = []

    def fitted() -> Any:
        if not made:
            made.append(cls(certify=False, **settings).fit(goods.data(), target()))
        return made[0]

    return fitted


def _predictions(cls: type, target: Any, methods: tuple[str, ...], **settings: Any) -> list[Entry]:
    fitted = _fitted(cls, target, **settings)
    return [
        *(
            Entry(
                f"{cls.__name__}.{method}",
                lambda X, method=method: getattr(fitted(), method)(X),
                lambda: {"X": goods.data()},
                {"X": _by_sklearn(COLUMN_DATA)},
            )
            for method in methods
        ),
        Entry(
            f"{cls.__name__}.predict, not fitted",
            lambda X: cls().predict(X),
            lambda: {"X": goods.data()},
            {"X": [wrong("as it is", lambda good: good)]},
            in_python_words=True,
        ),
    ]


PREDICTIONS = [
    *_predictions(cx.ConvexMLPRegressor, goods.targets, ("predict",)),
    *_predictions(
        cx.ConvexMLPClassifier,
        goods.labels,
        ("predict", "predict_proba", "predict_log_proba", "decision_function"),
    ),
    *_predictions(cx.ConvexMLPRegressorCV, goods.targets, ("predict",), betas=2, cv=2),
    *_predictions(
        cx.ConvexMLPClassifierCV,
        goods.labels,
        ("predict", "predict_proba", "predict_log_proba", "decision_function"),
        betas=2,
        cv=2,
    ),
]

TRAINED = [
    *(part for entry in _TRAINED[:-1] for part in _in_time(entry, 0.5)),
    _TRAINED[-1],  # stationarity, which has no time limit
]
ENTRIES = [*TRAINED, *ESTIMATORS, *PREDICTIONS]
