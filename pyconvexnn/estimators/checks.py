"""scikit-learn's checks of data, in our words: the argument, the rule, the value."""

from __future__ import annotations

import contextlib
import numbers
from collections.abc import Iterator
from typing import Any

import numpy as np
from sklearn.utils.validation import check_array, validate_data

from pyconvexnn._typing import FloatArray
from pyconvexnn._validation import as_vector, describe, real, room_for

# What scikit-learn raises, and what somebody else's arrays do when they are converted.
_ERRORS = (
    *(ValueError, TypeError, ArithmeticError, LookupError),
    *(AttributeError, OSError, RuntimeError),
)


@contextlib.contextmanager
def named(name: str, value: Any) -> Iterator[None]:
    """Errors of scikit-learn about an argument with its name and value before their own words."""
    try:
        yield
    except _ERRORS as error:
        if f"`{name}` must" in str(error):
            raise
        only_type = isinstance(error, TypeError) and not isinstance(error, ValueError)
        kind = TypeError if only_type else ValueError  # an invalid parameter is both
        raise kind(
            f"`{name}` must be as scikit-learn takes it, got {describe(value)}: {error}"
        ) from None


def checked_data(estimator: Any, X: Any, *y: Any, **options: Any) -> Any:
    """``validate_data`` of X, or of X and y; float64."""
    for name, value in zip(("X", "y"), (X, *y)):  # noqa: B905  # y is there in `fit` only
        with named(name, value):
            _check_kind(value, name)
    _check_sizes(X, *y)
    with np.errstate(over="ignore"):  # beyond float64 is infinity, refused
        try:
            return validate_data(estimator, X, *y, dtype=np.float64, **options)
        except _ERRORS as error:
            # scikit-learn says which, but for some errors: X it is if it is wrong without y.
            with named("X", X):
                if not y:
                    raise
                check_array(X, dtype=np.float64, input_name="X")
            with named("y", y[0]):
                raise error


def checked_weight(sample_weight: Any, X: FloatArray) -> FloatArray | None:
    """Weights of the samples, (n,) and >= 0, some > 0, or None."""
    if sample_weight is None:
        return None
    if isinstance(sample_weight, numbers.Real):  # of every sample, as scikit-learn has it
        sample_weight = np.full(len(X), real(sample_weight, "sample_weight"))
    weight = as_vector(sample_weight, "sample_weight", length=len(X))
    if np.any(weight < 0):
        raise ValueError(f"`sample_weight` must be >= 0, got {float(weight.min())}")
    if not np.any(weight > 0):
        raise ValueError("`sample_weight` must have a positive entry, got only zeros")
    return weight


def _check_kind(value: Any, name: str) -> None:
    """Refuse what scikit-learn would take for other numbers than it holds."""
    if isinstance(value, np.ma.MaskedArray):  # of which it forgets the mask
        raise TypeError(f"`{name}` must be an array without a mask, got a masked array")
    if name == "y" and hasattr(value, "toarray"):
        raise TypeError(f"`y` must be a dense array, got a sparse {type(value).__name__}")
    dtype = getattr(value, "dtype", None)
    if isinstance(dtype, np.dtype) and dtype.kind in "mMV":
        raise TypeError(f"`{name}` must hold numbers or classes, got dtype {dtype}")


def _check_sizes(X: Any, *y: Any) -> None:
    """Refuse arrays beyond the memory, or of other lengths, before their entries are looked at."""
    if not isinstance(X, np.ndarray) or X.ndim != 2:
        return
    room_for(X.shape, "X")
    for targets in y:
        if isinstance(targets, np.ndarray) and targets.ndim and len(targets) != len(X):
            raise ValueError(
                f"`y` must have an entry for each of the {len(X)} rows of `X`, got {len(targets)}: "
                "inconsistent numbers of samples"
            )
