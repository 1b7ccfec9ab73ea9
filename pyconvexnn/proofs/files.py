"""Proof files, as :mod:`pyconvexnn.proofs.checker` reads them."""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from pyconvexnn._files import writing
from pyconvexnn._rounding import balanced
from pyconvexnn._typing import FloatArray
from pyconvexnn.losses import Huber, Loss
from pyconvexnn.pricing import price
from pyconvexnn.pricing.rows import SignedRows
from pyconvexnn.proofs.checker import (
    MAGIC,
    ProofError,
    Side,
    check,
    digest,
    dual_objective,
    read,
)
from pyconvexnn.proofs.ladder import Dual, Group, Scaled, Trees, rungs

_MOST_BOXES = 500_000  # of a tree
_ROOM = 1e-9  # relative: what is proved of a price, above the bound that is known
_JOINT_RTOL = 1e-4  # of the prices of single columns, where neurons feed all outputs
_SEARCH_SHARE = 0.1  # of the time left, for neurons, and for bounds of single columns


@dataclass(frozen=True, eq=False)
class Claim:
    """What a file is to prove: no network of a kind is below a bound on these data.

    Attributes
    ----------
    X : (n, d) float64
        Data, with the column of ones if there is one.
    y : (n,) or (n, K) float64
        Targets.
    weight : (n,) float64
        Of the samples.
    beta : float
        Penalty.
    loss : Loss
        Loss.
    activation, slope : str and float
        Activation, and its slope below zero.
    output_offset : bool
        Whether networks have a free offset.
    penalty : str
        "weight_decay", or "decoupled" where each neuron feeds one output.
    dual : (n,) or (n, K) float64
        v.
    price_bound : float
        M, of v or with "decoupled" of each of its columns.
    method : str
        How that was found.
    """

    X: FloatArray
    y: FloatArray
    weight: FloatArray
    beta: float
    loss: Loss
    activation: str
    slope: float
    output_offset: bool
    penalty: str
    dual: FloatArray
    price_bound: float
    method: str


class Proved(NamedTuple):
    """What became of a proof."""

    bound: float | None
    """The lower bound of the file, None without one."""
    aim: float
    """What it was to be."""
    boxes: int
    """Looked at."""


def prove(
    path: str | os.PathLike[str],
    claim: Claim,
    *,
    aim: Callable[[float], float],
    seconds_left: Callable[[], float] = lambda: math.inf,
    seed: int = 0,
) -> Proved:
    """Write the proof of a claim, and check it.

    Parameters
    ----------
    path : str or path
    claim : Claim
    aim : callable
        The lower bound to be proved, of the largest that can be, less than that of the claim by
        some 1e-9 of it; of several outputs that neurons feed together by more. At least half of it.
    seconds_left : callable
        For all of it, now. Where they, or the boxes, do not do for the aim, the file proves less.
    seed : int
        Of searches.

    Returns
    -------
    Proved
        No bound, and no file, where not even half of the bound was proved.
    """
    n = len(claim.X)
    Y, V = claim.y.reshape(n, -1), claim.dual.reshape(n, -1)
    if claim.output_offset:
        V = np.column_stack([balanced(v) for v in V.T])
    K = V.shape[1]

    def limit(part: float) -> float | None:
        left = seconds_left()
        return None if math.isinf(left) else part * left

    axes = [SignedRows.of(claim.X, v, claim.slope).basis for v in V.T]
    neurons = {}
    for k, v in enumerate(V.T):
        found = price(
            claim.X,
            v,
            slope=claim.slope,
            method="search",
            seed=seed,
            time_limit=limit(_SEARCH_SHARE / K),
        )
        for sign in "+-":
            neurons[f"{k}{sign}"] = found.neurons[found.signs == float(sign + "1")] @ axes[k]
    groups = []
    for group in [list(range(K))] if claim.penalty == "weight_decay" else [[k] for k in range(K)]:
        bounds = [
            _level(claim, V[:, k], axes[k], len(group), limit(_SEARCH_SHARE / K), seed)
            for k in group
        ]
        groups.append(Group(group, V[:, group], Y[:, group], bounds))
    dual = Dual(claim.loss, claim.weight, claim.beta, claim.output_offset, groups)

    def sides(scaled: Scaled) -> dict[str, Side]:
        return {
            f"{k}{sign}": Side(
                claim.X, float(sign + "1") * v, axes[k], claim.slope, scaled.levels[k], False
            )
            for k, v in enumerate(V.T)
            if scaled.scale[k] > 0.0 and np.any(v)
            for sign in "+-"
        }

    trees = Trees(sides, neurons, seconds_left, _MOST_BOXES)
    wanted, factors = rungs(dual, aim)
    climbed = trees.climb([dual.scaled(factor) for factor in factors])
    if climbed is None:
        return Proved(None, wanted, trees.looked)
    (_, scale, levels), grown = climbed
    arrays = {"dual": np.ascontiguousarray(V.T).ravel()}
    arrays |= {f"axes{name[:-1]}": axes[int(name[:-1])].ravel() for name in grown}
    for name, tree in grown.items():
        arrays |= {part + name: array for part, array in tree._asdict().items()}
    delta = claim.loss.delta if isinstance(claim.loss, Huber) else 0.0
    values = [
        dual_objective(claim.loss.name, delta, V[:, k], Y[:, k], claim.weight, scale[k])
        for k in range(K)
    ]
    from pyconvexnn import __version__

    bound = max(0.0, math.nextafter(math.fsum(values), -math.inf))
    head = {
        "version": __version__,
        "numpy": np.__version__,
        "data": digest(claim.X, claim.y, claim.weight),
        "samples": n,
        "features": claim.X.shape[1],
        "outputs": K,
        "beta": float(claim.beta),
        "loss": claim.loss.name,
        "delta": delta,
        "activation": claim.activation,
        "slope": float(claim.slope),
        "output_offset": claim.output_offset,
        "penalty": claim.penalty,
        "method": claim.method,
        "scale": scale,
        "price_bound": levels,
        "lower_bound": bound,
    }
    with writing(path) as file:
        file.write(_content(head, arrays))
        file.flush()
        check(file.name, claim.X, claim.y, claim.weight, patient=True)
    return Proved(bound, wanted, trees.looked)


def header(path: str | os.PathLike[str]) -> dict[str, Any]:
    """What a file says of itself; nothing of it is checked but the checksum.

    Raises
    ------
    ProofError
        If it is no proof file.
    """
    try:
        return read(path)[0]
    except (LookupError, TypeError, ValueError, ArithmeticError, RuntimeError) as bad:
        raise ProofError(bad if isinstance(bad, ProofError) else f"it is damaged: {bad!r}") from bad


def with_columns(
    path: str | os.PathLike[str], columns: dict[str, Any], new: str | os.PathLike[str]
) -> None:
    """Write a proof anew, with how its data come from the columns of a table."""
    head, arrays = read(path)
    del head["arrays"]
    with writing(new) as file:
        file.write(_content({**head, "columns": columns}, arrays))


def _level(
    claim: Claim, v: FloatArray, S: FloatArray, outputs: int, time_limit: float | None, seed: int
) -> float:
    """A bound of the price of a column that boxes can prove."""
    if not np.any(v):
        return 0.0
    M = claim.price_bound
    if outputs > 1:
        M = price(
            claim.X, v, slope=claim.slope, rtol=_JOINT_RTOL, seed=seed, time_limit=time_limit
        ).bound
    side = Side(claim.X, v, S, claim.slope, M, False)
    return float(M * (1.0 + _ROOM) + 4.0 * (side.margin + (M - side.theta)))


def _content(head: dict[str, Any], arrays: dict[str, Any]) -> bytes:
    kinds = {name: "f8" if array.dtype.kind == "f" else "u4" for name, array in arrays.items()}
    listed = [[name, kind, arrays[name].size] for name, kind in kinds.items()]
    text = json.dumps({**head, "arrays": listed}, allow_nan=False).encode("ascii")
    held = [arrays[name].astype("<" + kind).tobytes() for name, kind in kinds.items()]
    data = b"\n".join([MAGIC, text, b"".join(held)])
    return data + hashlib.sha256(data).digest()
