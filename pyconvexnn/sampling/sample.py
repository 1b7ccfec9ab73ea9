"""The samplers behind one function."""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import ArrayLike

from pyconvexnn._typing import FloatArray
from pyconvexnn._validation import as_generator, as_matrix, choice, describe, positive_int
from pyconvexnn.patterns import PatternSet
from pyconvexnn.sampling.coordinates import coordinates_of
from pyconvexnn.sampling.draws import DRAWS_PER_PATTERN, Sampler, collect
from pyconvexnn.sampling.everything import cell_bound, every_cell
from pyconvexnn.sampling.gaussian import Gaussian
from pyconvexnn.sampling.local import Local
from pyconvexnn.sampling.sweep import Sweep
from pyconvexnn.sampling.uniform import uniform
from pyconvexnn.sampling.vertex import Vertex

METHODS = ("gaussian", "sweep", "vertex", "uniform", "local")
_FEW = 4096  # patterns that are listed where a sampler found too few, to see if there are more


def sample_patterns(
    X: ArrayLike,
    n_patterns: int,
    *,
    method: str = "gaussian",
    coordinates: str = "whitened",
    around: ArrayLike | None = None,
    seed: int | np.random.Generator | None = 0,
) -> PatternSet:
    """DOC."""
    X = as_matrix(X)
    n_patterns = positive_int(n_patterns, "n_patterns")
    choice(method, "method", METHODS)
    choice(coordinates, "coordinates", ["whitened", "raw"])
    centres = _centres(around, method, X.shape[1])
    rng = as_generator(seed)

    n_cells = cell_bound(X, n_patterns)
    if n_cells is not None:
        every = every_cell(X, centres)
        if every is not None:
            return _all(every, n_patterns)
    wanted = n_patterns if n_cells is None else n_cells
    sampler = _sampler(X, method, coordinates, centres, rng, DRAWS_PER_PATTERN * wanted)
    packed, gates, drawn = collect(sampler, X, wanted, n_cells=n_cells)
    if len(packed) < n_patterns:
        if n_cells is None and cell_bound(X, _FEW) is not None:
            every = every_cell(X, centres)
            if every is not None and len(every) <= n_patterns:
                return _all(every, n_patterns)
        warnings.warn(
            f"found {len(packed)} distinct patterns in {drawn} draws, "
            f"`n_patterns` was {n_patterns}",
            UserWarning,
            stacklevel=2,
        )
    return PatternSet.of_gates(X, packed, gates)


def _sampler(
    X: FloatArray,
    method: str,
    coordinates: str,
    centres: FloatArray | None,
    rng: np.random.Generator,
    n_draws: int,
) -> Sampler:
    if method == "uniform":
        return uniform(X, rng)
    if method == "vertex":
        return Vertex(X, rng)
    directions = coordinates_of(X, coordinates)
    if centres is not None:
        return Local(X, directions, rng, centres, n_draws)
    return (Sweep if method == "sweep" else Gaussian)(X, directions, rng)


def _centres(around: ArrayLike | None, method: str, n_features: int) -> FloatArray | None:
    if method != "local":
        if around is not None:
            raise ValueError(f"`around` must be None for method {method!r}, got {describe(around)}")
        return None
    if around is None:
        raise ValueError("`around` must be an array of directions for method 'local', got None")
    centres = as_matrix(around, "around", columns=n_features)
    if not centres.any(axis=1).all():
        row = int(np.argmin(centres.any(axis=1)))
        raise ValueError(f"`around` must not have a row of zeros, got one in row {row}")
    return np.ascontiguousarray(centres)


def _all(every: PatternSet, n_patterns: int) -> PatternSet:
    warnings.warn(
        f"found {len(every)} distinct patterns, which are all that these data have, "
        f"`n_patterns` was {n_patterns}",
        UserWarning,
        stacklevel=3,
    )
    return every
