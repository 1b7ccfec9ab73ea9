"""What a result says, as a flat list of named values: to be compared, and searched for NaN."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Iterator
from typing import Any

import numpy as np

import pyconvexnn as cx

# What two runs of one call need not share.
_CHANGING = {"solve_time", "history", "seconds"}
# Where infinity is an answer: nothing is proved, or a point is not in the domain.
MAY_BE_INFINITE = {
    "price_bound",
    "lower_bound",
    "restricted_bound",
    "dual_objective",
    "upper_bound",
    "infeasibility",
    "gap",
    "escape_price",
}

Fact = tuple[str, Any]


def facts(result: Any, name: str = "") -> Iterator[Fact]:
    """Names and values of everything in a result: arrays, numbers, words."""
    if isinstance(result, np.ndarray):
        yield name, result
    elif isinstance(result, enum.Enum):
        yield name, result.name
    elif result is None or isinstance(result, (bool, int, float, complex, str, np.generic)):
        yield name, result
    elif isinstance(result, cx.PatternSet):
        yield f"{name}.packed", result.packed
        yield from facts(result.gates_found()[0], f"{name}.gates")
    elif dataclasses.is_dataclass(result):
        for field in dataclasses.fields(result):
            if field.name not in _CHANGING and hasattr(result, field.name):
                yield from facts(getattr(result, field.name), f"{name}.{field.name}")
    elif isinstance(result, dict):
        for key, value in result.items():
            yield from facts(value, f"{name}.{key}")
    elif hasattr(result, "_fields"):
        for field_name in result._fields:
            if field_name not in _CHANGING:
                yield from facts(getattr(result, field_name), f"{name}.{field_name}")
    elif isinstance(result, (list, tuple)):
        for place, value in enumerate(result):
            yield from facts(value, f"{name}[{place}]")
    elif hasattr(result, "coefs_"):  # a fitted estimator
        for attribute in ("coefs_", "intercepts_", "loss_", "beta_", "betas_", "classes_"):
            if hasattr(result, attribute):
                yield from facts(getattr(result, attribute), f"{name}.{attribute}")
    else:
        yield name, type(result).__name__


def not_finite(found: list[Fact]) -> str | None:
    """The first value that is NaN, or infinite where that is no answer."""
    for name, value in found:
        array = np.asarray(value)
        if array.dtype.kind not in "fc" or np.isfinite(array).all():
            continue
        if np.isnan(array).any():
            return f"NaN in {name or 'the result'}"
        if name.rpartition(".")[2] not in MAY_BE_INFINITE:
            return f"infinity in {name or 'the result'}"
    return None


def difference(found: list[Fact], wanted: list[Fact]) -> str | None:
    """The first value in which two results differ by more than rounding."""
    if [name for name, _ in found] != [name for name, _ in wanted]:
        return f"other values: {[n for n, _ in found]}, not {[n for n, _ in wanted]}"
    for (name, value), (_, other) in zip(found, wanted, strict=True):
        a, b = np.asarray(value), np.asarray(other)
        if a.shape != b.shape:
            return f"{name or 'the result'} has shape {a.shape}, not {b.shape}"
        numbers = a.dtype.kind in "fiub" and b.dtype.kind in "fiub"
        equal = np.allclose(a, b, rtol=1e-9, atol=0.0) if numbers else np.array_equal(a, b)
        if not equal:
            return f"{name or 'the result'} is {value!r:.200}, not {other!r:.200}"
    return None
