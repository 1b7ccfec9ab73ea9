"""Patterns: counted, enumerated, sampled, in sets, in files; and the data sets."""

from __future__ import annotations

import functools
import operator
from typing import Any

import numpy as np

import pyconvexnn as cx
from tests.wrong_calls import goods
from tests.wrong_calls.array_values import BOOL_MATRICES
from tests.wrong_calls.entry import (
    COLUMN_DATA,
    DATA,
    FREE_DATA,
    REQUIRED_OBJECTS,
    ROW_DATA,
    TARGETS,
    Entry,
)
from tests.wrong_calls.mutations import Mutation, Outcome, always, either, same, without, wrong
from tests.wrong_calls.plain_values import (
    CHOICES,
    FLAGS,
    INDICES,
    NONE,
    NONNEGATIVE,
    READ,
    SEEDS,
    THREADS,
    WRITTEN,
    integers,
)

# Whole enumerations of n = 14 rows of rank 3: most of these data have other cells or none.
_SETTINGS: dict[str, Any] = {"snap": True, "threads": 1}
_SETTING_MUTATIONS: dict[str, Any] = {"snap": FLAGS, "threads": THREADS}


def _sampled(method: str) -> dict[str, Any]:
    return {"X": goods.data(), "n_patterns": 20, "method": method, "seed": 0}


COUNTED = [
    Entry(
        "count_patterns of data",
        cx.count_patterns,
        lambda: {"X": goods.data(), **_SETTINGS},
        {"X": FREE_DATA, **_SETTING_MUTATIONS},
        names={"X": ("X", "r")},
    ),
    Entry(
        "count_patterns of numbers",
        cx.count_patterns,
        lambda: {"X": 100, "r": 3},
        {
            "X": without(
                integers(1), "a list", "a tuple", "an array of one", "an array", "an empty array"
            ),
            "r": [*integers(1), *NONE],
        },
        names={"X": ("X", "n", "r")},
    ),
    Entry(
        "enumerate_patterns",
        cx.enumerate_patterns,
        lambda: {
            "X": goods.data(),
            "max_patterns": 1000,
            "min_margin": 0.01,
            "verify": False,
            "faces": False,
            "progress": False,
            **_SETTINGS,
        },
        {
            "X": FREE_DATA,
            "max_patterns": integers(1),
            "min_margin": [*NONNEGATIVE, *NONE],
            "verify": FLAGS,
            "faces": without(FLAGS, "a NumPy flag"),
            "progress": FLAGS,
            **_SETTING_MUTATIONS,
        },
    ),
    Entry(
        "enumerate_patterns with faces",
        cx.enumerate_patterns,
        lambda: {"X": goods.data()[:, :2], "faces": True, **_SETTINGS},
        {"X": FREE_DATA, "faces": FLAGS},
    ),
    Entry(
        "iter_patterns",
        lambda **arguments: list(cx.iter_patterns(**arguments)),
        lambda: {"X": goods.data(), "block_size": 50, "start": 10, "progress": False, **_SETTINGS},
        {
            "X": FREE_DATA,
            "block_size": [*integers(2), *NONE],
            "start": integers(0),
            "progress": FLAGS,
            **_SETTING_MUTATIONS,
        },
    ),
    Entry(
        "sample_patterns",
        cx.sample_patterns,
        lambda: {
            "X": goods.data(),
            "n_patterns": 20,
            "method": "gaussian",
            "coordinates": "raw",
            "seed": 0,
        },
        {
            "X": FREE_DATA,
            "n_patterns": [*integers(1), *NONE],
            "method": [*CHOICES, *NONE],
            "coordinates": [*CHOICES, *NONE],
            "seed": SEEDS,
        },
    ),
    *(
        Entry(
            f"sample_patterns, {method}",
            cx.sample_patterns,
            functools.partial(_sampled, method),
            {"X": FREE_DATA, "n_patterns": integers(1), "seed": SEEDS},
        )
        for method in ("gaussian", "sweep", "vertex", "uniform")
    ),
    Entry(
        "sample_patterns, local",
        cx.sample_patterns,
        lambda: {
            "X": goods.data(),
            "n_patterns": 20,
            "method": "local",
            "around": np.ones((2, goods.D)),
        },
        {"X": COLUMN_DATA, "around": COLUMN_DATA, "n_patterns": integers(1)},
    ),
]

SETS = [
    Entry(
        "PatternSet",
        cx.PatternSet,
        lambda: {
            "packed": goods.patterns().packed.copy(),
            "n_samples": goods.N,
            "gates": np.array(goods.patterns().gates),
            "zero_rows": np.zeros(1, np.uint64),
            "interior": True,
        },
        {
            "packed": [
                *REQUIRED_OBJECTS,
                wrong("of other integers", lambda good: good.astype(np.int64)),
                wrong("of floats", lambda good: good.astype(np.float64)),
                wrong("of two words", lambda good: np.column_stack([good, good]), any_name=True),
                wrong("bits beyond the last", lambda good: good | np.uint64(1 << 63)),
                wrong("one dimension", lambda good: good[0]),
                wrong("a row less", lambda good: good[:-1], any_name=True),
            ],
            "n_samples": [*integers(1), *NONE],
            "gates": [
                *without(REQUIRED_OBJECTS, "None"),
                wrong("holding NaN", lambda good: good * np.nan),
                wrong("integers", lambda good: good.astype(int)),
                wrong("a row less", lambda good: good[:-1], any_name=True),
                wrong("one dimension", lambda good: good[:, 0]),
                either("no columns", lambda good: good[:, :0]),
                either("of scale 1e300", lambda good: good * 1e300),
            ],
            "zero_rows": [
                *without(REQUIRED_OBJECTS, "None"),
                wrong("of two words", lambda good: np.zeros(2, np.uint64)),
                wrong("of floats", lambda good: np.zeros(1)),
                wrong("bits beyond the last", lambda good: ~good),
            ],
            "interior": FLAGS,
        },
        names={"n_samples": ("n_samples", "packed")},
        expected={
            f"n_samples/{name}": Outcome.WRONG
            for name in ("a billion", "a trillion", "the largest int64", "beyond int64")
        },
    ),
    Entry(
        "PatternSet.from_dense",
        cx.PatternSet.from_dense,
        lambda: {"patterns": goods.dense()},
        {"patterns": BOOL_MATRICES},
    ),
    Entry(
        "PatternSet.from_gates",
        cx.PatternSet.from_gates,
        lambda: {"X": goods.data(), "G": np.ones((2, goods.D))},
        {"X": COLUMN_DATA, "G": COLUMN_DATA},
    ),
    Entry(
        "PatternSet.margins",
        lambda X: goods.patterns().margins(X),
        lambda: {"X": goods.data()},
        {"X": DATA},
        names={"X": ("X",)},
    ),
    Entry(
        "PatternSet.realise",
        lambda X: goods.patterns().realise(X),
        lambda: {"X": goods.data()},
        {"X": ROW_DATA},
    ),
    Entry(
        "PatternSet.neighbours",
        lambda i: goods.every_pattern().neighbours(i),
        lambda: {"i": 3},
        {"i": [*integers(0), *NONE]},
        expected={
            **{f"i/{name}": Outcome.EITHER for name in ("minus one", "too small")},
            "i/a number in words": Outcome.WRONG,
        },
        also=(IndexError,),
    ),
    Entry(
        "PatternSet.restrict",
        lambda rows: goods.patterns().restrict(rows),
        lambda: {"rows": [0, 3, 3]},
        {"rows": INDICES},
        also=(IndexError,),
    ),
    Entry(
        "PatternSet[]",
        lambda index: goods.patterns()[index],
        lambda: {"index": [0, 3, 3]},
        {"index": INDICES},
        also=(IndexError,),
    ),
    Entry(
        "in PatternSet",
        lambda pattern_bits: pattern_bits in goods.patterns(),
        lambda: {"pattern_bits": goods.dense()[0].astype(np.float64)},
        {
            "pattern_bits": [
                *without(TARGETS, "of int64", "of int8", "of bool", "of float32", "of longdouble"),
                wrong("holding 2", lambda good: good * 2),
                wrong("several sets", always(goods.other_patterns())),
            ]
        },
    ),
    Entry(
        "PatternSet | PatternSet",
        lambda self, other: operator.or_(self, other),
        lambda: {"self": goods.patterns(), "other": goods.every_pattern()},
        {
            "other": [
                *REQUIRED_OBJECTS,
                wrong("of a row more", lambda good: goods.other_patterns()),
                same("of no patterns", lambda good: good[:0], lambda good: goods.patterns()),
            ]
        },
        in_python_words=True,
    ),
    Entry(
        "PatternSet.save",
        lambda path: goods.patterns().save(path),
        lambda: {"path": goods.folder() / "written.npz"},
        {"path": WRITTEN},
        also=(OSError,),
    ),
    Entry(
        "load_patterns",
        cx.load_patterns,
        lambda: {"path": goods.patterns_file()},
        {
            "path": [
                *READ,
                wrong("a network", lambda good: goods.network_file()),
            ]
        },
        also=(OSError,),
    ),
]

_SIZES: dict[str, list[Mutation]] = {
    "n": [*integers(2), *NONE],
    "d": [*integers(1), *NONE],
}


def _synthetic(name: str, least_d: int) -> Entry:
    return Entry(
        f"datasets.{name}",
        getattr(cx.datasets, name),
        lambda: {"n": 20, "d": 3, "P": 10, "seed": 0, "loss": "squared", "n_outputs": 2},
        {
            **_SIZES,
            "d": [*integers(least_d), *NONE],
            "P": [*integers(1), *NONE],
            "seed": SEEDS,
            "loss": [*CHOICES, *NONE],
            "n_outputs": [*integers(1), *NONE],
        },
    )


DATASETS = [
    _synthetic("ar", 2),
    _synthetic("gauss", 1),
    Entry(
        "datasets.teacher",
        cx.datasets.teacher,
        lambda: {"n": 20, "d": 3, "k": 2, "noise": 0.5, "seed": 0},
        {**_SIZES, "k": [*integers(1), *NONE], "noise": [*NONNEGATIVE, *NONE], "seed": SEEDS},
    ),
]

ENTRIES = [*COUNTED, *SETS, *DATASETS]
