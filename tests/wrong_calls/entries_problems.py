"""Convex programs, their solutions, and what is made of these."""

from __future__ import annotations

import dataclasses
import functools
import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

import pyconvexnn as cx
from tests.wrong_calls import goods
from tests.wrong_calls.array_values import HUGE_MATRICES, NO_ARRAYS, VECTORS
from tests.wrong_calls.entry import (
    COUNTS,
    LABELS,
    POSITIVE_WEIGHTS,
    REQUIRED_OBJECTS,
    ROW_DATA,
    TARGETS,
    WEIGHTS,
    Entry,
)
from tests.wrong_calls.mutations import Mutation, always, either, same, without, wrong
from tests.wrong_calls.plain_values import (
    CHOICES,
    FLAGS,
    NONE,
    NONNEGATIVE,
    OBJECTS,
    POSITIVE,
    RATIOS,
    SLOPES,
    THREADS,
    integers,
)


class OwnLoss(cx.losses.Squared):
    """A loss that the solvers do not know."""


LOSSES = [
    *CHOICES,
    *NONE,
    wrong("the class", always(cx.losses.Squared)),
    wrong("of a user", always(OwnLoss())),
    either("Huber's", always(cx.losses.Huber(0.5))),
    either("the hinge", always("hinge")),
    either("the cross entropy", always("cross_entropy")),
    either("Poisson's", always("poisson")),
    either("logistic", always("logistic")),
]
CALLBACKS = [
    *OBJECTS[:-2],
    either("returning NaN", always(lambda progress: float("nan"))),
    either("returning True", always(lambda progress: True)),
]
PATTERNS = [
    *REQUIRED_OBJECTS,
    wrong("of a row more", lambda good: goods.other_patterns(), any_name=True),
    wrong("of no patterns", lambda good: good[:0]),
    wrong("the bits", lambda good: good.to_dense()),
    either("repeated", lambda good: good[[0, 0, 1, 1, 2, 2, 3, 3]]),
]


def _problem_arguments(**more: Any) -> dict[str, Any]:
    return {
        "X": goods.data(),
        "y": goods.targets(),
        "patterns": goods.patterns(),
        "beta": 0.5,
        "loss": "squared",
        "sample_weight": goods.weights(),
        "pattern_weight": np.arange(1.0, 9.0),
        "ridge": 0.25,
        "output_offset": True,
        "skip": 0.5,
        **more,
    }


_PROBLEM: dict[str, list[Mutation]] = {
    "X": ROW_DATA,
    "y": TARGETS,
    "patterns": PATTERNS,
    "beta": [*POSITIVE, *NONE],
    "loss": LOSSES,
    "sample_weight": WEIGHTS,
    "pattern_weight": POSITIVE_WEIGHTS,
    "ridge": [*NONNEGATIVE, *NONE],
    "output_offset": FLAGS,
    "skip": NONNEGATIVE,
}
_NOT_YET = (NotImplementedError,)

MADE = [
    Entry("GatedReLUProblem", cx.GatedReLUProblem, _problem_arguments, _PROBLEM, also=_NOT_YET),
    Entry(
        "GatedReLUProblem of labels",
        cx.GatedReLUProblem,
        lambda: _problem_arguments(loss="logistic", y=goods.labels()),
        {"y": LABELS, "sample_weight": WEIGHTS},
    ),
    Entry(
        "GatedReLUProblem of counts",
        cx.GatedReLUProblem,
        lambda: _problem_arguments(loss="poisson", y=goods.counts()),
        {"y": COUNTS, "sample_weight": WEIGHTS},
    ),
    Entry(
        "GatedReLUProblem of several outputs",
        cx.GatedReLUProblem,
        lambda: _problem_arguments(y=goods.two_targets()),
        {"y": without(ROW_DATA, "one dimension")},
    ),
    Entry(
        "GatedReLUProblem with a free part",
        cx.GatedReLUProblem,
        lambda: _problem_arguments(skip=0.0),
        {"X": ROW_DATA, "y": TARGETS, "sample_weight": WEIGHTS},
    ),
    Entry(
        "ReLUProblem",
        cx.ReLUProblem,
        lambda: _problem_arguments(activation="leaky_relu", slope=0.25),
        {**_PROBLEM, "activation": [*CHOICES, *NONE], "slope": [*SLOPES, *NONE]},
        also=_NOT_YET,
    ),
    Entry(
        "ReLUProblem of labels",
        cx.ReLUProblem,
        lambda: _problem_arguments(
            activation="abs", loss="hinge", y=goods.labels(), output_offset=False
        ),
        {"X": ROW_DATA, "y": LABELS},
    ),
]

# Coefficients and dual points: any shape but one is wrong.
_SHAPED = [
    *without(NO_ARRAYS, "constant", "a generator"),
    *HUGE_MATRICES,
    *NONE,
    wrong("an entry less", lambda good: good[:-1]),
    wrong("an entry more", lambda good: np.concatenate([good, good])),
]


def _blocks(good: Any) -> cx.SparseBlocks:
    return cx.SparseBlocks.from_dense(good, signed=len(good) == 2)


_COEFFICIENTS = [
    *_SHAPED,
    wrong("masked blocks", lambda good: np.ma.MaskedArray(good, mask=good > 0)),
    wrong("of other blocks", lambda good: cx.SparseBlocks(np.array([0]), np.ones((1, 2)), 3)),
    wrong("a solution", lambda good: goods.solution()),
    same("a list", lambda good: good.tolist()),
    same("in Fortran order", lambda good: np.asfortranarray(good)),
    same("sparse blocks", _blocks),
]


def _methods(
    kind: str,
    problem: Any,
    coef: Any,
    v: Any,
    more: tuple[str, ...] = (),
    *,
    duals: Sequence[Mutation] = (*VECTORS, *NONE),
) -> list[Entry]:
    """Methods of a problem of coefficients and of dual points."""
    entries = [
        Entry(
            f"{kind}.{method}",
            lambda coef, method=method: getattr(problem(), method)(coef),
            lambda: {"coef": coef()},
            {"coef": _COEFFICIENTS},
        )
        for method in ("objective", "gradient", "fit_values", "best_offset", *more)
    ]
    return entries + [
        Entry(
            f"{kind}.{method}",
            lambda v, method=method: getattr(problem(), method)(v),
            lambda: {"v": v()},
            {"v": duals},
        )
        for method in ("dual_objective", "dual_infeasibility", "adjoint")
    ]


METHODS = [
    *_methods(
        "GatedReLUProblem",
        goods.gated,
        lambda: goods.solution().coef.to_dense(),
        lambda: np.array(goods.solution().dual),
    ),
    *_methods(
        "GatedReLUProblem of several outputs",
        lambda: goods.gated("several"),
        lambda: goods.solution("several").coef.to_dense(),
        lambda: np.array(goods.solution("several").dual),
        duals=_SHAPED,
    ),
    *_methods(
        "ReLUProblem",
        goods.relu,
        lambda: goods.solution("relu").coef.to_dense(),
        lambda: np.array(goods.solution("relu").dual),
        ("infeasibility", "nonconvex_objective"),
    ),
    *(
        Entry(
            f"{kind}.with_beta",
            lambda beta, problem=problem: problem().with_beta(beta),
            lambda: {"beta": 0.5},
            {"beta": [*POSITIVE, *NONE]},
        )
        for kind, problem in (("GatedReLUProblem", goods.gated), ("ReLUProblem", goods.relu))
    ),
    Entry(
        "SparseBlocks",
        cx.SparseBlocks,
        lambda: {
            "indices": np.array([1, 3]),
            "values": np.ones((2, goods.D)),
            "n_blocks": 8,
            "signed": False,
        },
        {
            "indices": [
                *REQUIRED_OBJECTS,
                wrong("falling", always(np.array([3, 1])), any_name=True),
                wrong("repeated", always(np.array([1, 1]))),
                wrong("too large", always(np.array([1, 8]))),
                wrong("negative", always(np.array([-1, 1]))),
                wrong("floats", always(np.array([1.0, 3.0]))),
                wrong("booleans", always(np.array([True, False]))),
                wrong("more", always(np.array([1, 2, 3])), any_name=True),
                wrong("huge", always(np.broadcast_to(1, (10**11,))), any_name=True),
            ],
            "values": [
                *without(_SHAPED, "an entry more", "objects"),
                wrong("an entry for each", always(np.ones(2))),
            ],
            "n_blocks": [*integers(0), *NONE],
            "signed": FLAGS,
        },
        expected={},
    ),
    Entry(
        "SparseBlocks.from_dense",
        cx.SparseBlocks.from_dense,
        lambda: {"dense": np.eye(4, goods.D), "signed": False},
        {
            "dense": without(_SHAPED, "an entry less", "an entry more", "huge bytes", "a scalar"),
            "signed": without(FLAGS, "None"),
        },
    ),
]

_SOLVER: dict[str, Any] = {
    "solver": "auto",
    "tol": 1e-3,
    "max_iter": 10_000,
    "time_limit": 5.0,
    "threads": 1,
    "callback": None,
    "verbose": 0,
}
_SOLVERS: dict[str, list[Mutation]] = {
    "solver": [*CHOICES, *NONE],
    "tol": [*POSITIVE, *NONE],
    "max_iter": integers(1),
    "time_limit": POSITIVE,
    "threads": THREADS,
    "callback": CALLBACKS,
    "verbose": without(
        [*integers(0), *NONE],
        *("a billion", "a trillion", "the largest int64", "beyond int64", "beyond uint64"),
        *("beyond float64", "of 5000 digits"),
    ),
}
_WARM_STARTS = [
    *without(_COEFFICIENTS, "None", "a solution"),
    same("none", always(None), always(None)),
]


def _solving(kind: str, problem: Any) -> list[Entry]:
    return [
        Entry(
            f"solve a {kind} program",
            cx.solve,
            lambda: {
                "prob": problem(),
                **_SOLVER,
                "warm_start": goods.solution(kind).coef.to_dense(),
            },
            {"prob": REQUIRED_OBJECTS, **_SOLVERS, "warm_start": _WARM_STARTS},
        ),
        Entry(
            f"solve_path of a {kind} program",
            cx.solve_path,
            lambda: {"prob": problem(), **_SOLVER, "n_betas": 4, "beta_min_ratio": 0.25},
            {
                "prob": REQUIRED_OBJECTS,
                **_SOLVERS,
                "n_betas": [*integers(1), *NONE],
                "beta_min_ratio": [*RATIOS, *NONE],
            },
        ),
        Entry(
            f"solve_path of a {kind} program, betas",
            cx.solve_path,
            lambda: {"prob": problem(), **_SOLVER, "betas": np.array([2.0, 1.0, 0.5])},
            {
                "betas": [
                    *without(
                        VECTORS,
                        "an entry more",
                        "an entry less",
                        "one entry",
                        "a column",
                        "a frame",
                    ),
                    *POSITIVE_WEIGHTS[-5:],
                ]
            },
        ),
    ]


SOLVED = [*_solving("gated", goods.gated), *_solving("relu", goods.relu)]


def _with(**changes: Any) -> Any:
    return lambda good: dataclasses.replace(good, **changes)


_WRONG_SOLUTIONS = [
    *REQUIRED_OBJECTS,
    wrong("of another problem", lambda good: goods.solution("several")),
    wrong("with no blocks", _with(coef=None)),
    wrong("with an array of blocks", _with(coef=np.ones((2, 2)))),
    wrong("the coefficients", lambda good: good.coef),
]
_WRONG_PROBLEMS = [*REQUIRED_OBJECTS, wrong("a solution", always(goods.solution))]
_DUALS = [
    wrong("with no dual point", _with(dual=None)),
    wrong("with a dual point of NaN", _with(dual=np.full(goods.N, np.nan))),
    wrong("with a shorter dual point", _with(dual=np.ones(goods.N - 1))),
]


def _solved(kind: str) -> dict[str, Any]:
    problem: Any = goods.gated() if kind == "gated" else goods.relu()
    return {"prob": problem, "sol": goods.solution(kind)}


def _of_solution(name: str, call: Any, kinds: tuple[str, ...], more: list[Mutation]) -> list[Entry]:
    return [
        Entry(
            f"{name} of a {kind} program",
            call,
            functools.partial(_solved, kind),
            {
                "prob": [
                    *_WRONG_PROBLEMS,
                    wrong("of several outputs", lambda good: goods.gated("several"), any_name=True),
                ],
                "sol": [*_WRONG_SOLUTIONS, *more],
            },
            names={"sol": ("sol", "coef", "v")},
            also=_NOT_YET,
        )
        for kind in kinds
    ]


USED = [
    *_of_solution("verify", cx.verify, ("gated", "relu"), _DUALS),
    *_of_solution("recover", cx.recover, ("gated", "relu"), []),
    *_of_solution("decompose", cx.decompose, ("gated",), []),
    # What is not accurate enough is solved again: the dual point may not be looked at.
    *_of_solution("is_unique", cx.is_unique, ("gated", "relu"), []),
    Entry(
        "Path[]",
        lambda index: operator.getitem(goods.path(), index),
        lambda: {"index": 1},
        {"index": [wrong("too large", always(99)), wrong("a half", always(0.5)), *NONE]},
        also=(IndexError,),
        in_python_words=True,
    ),
    Entry(
        "Status",
        cx.Status,
        lambda: {"value": 1},
        {"value": [wrong("unknown", always(99)), wrong("a word", always("spam")), *NONE]},
        in_python_words=True,
    ),
    Entry(
        "losses.Huber",
        cx.losses.Huber,
        lambda: {"delta": 0.5},
        {"delta": [*POSITIVE, *NONE]},
    ),
    Entry(
        "losses.get_loss",
        cx.losses.get_loss,
        lambda: {"loss": "squared"},
        {"loss": LOSSES},
        also=_NOT_YET,
    ),
]

ENTRIES = [*MADE, *METHODS, *SOLVED, *USED]
