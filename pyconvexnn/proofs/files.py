"""Proof files, as :mod:`pyconvexnn.proofs.checker` reads them."""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from pyconvexnn._bounds import lower_bound
from pyconvexnn._files import writing
from pyconvexnn._rounding import balanced
from pyconvexnn._typing import FloatArray
from pyconvexnn.losses import Huber, Loss
from pyconvexnn.pricing import price
from pyconvexnn.pricing.rows import SignedRows
from pyconvexnn.proofs.boxes import box_tree
from pyconvexnn.proofs.checker import (
    MAGIC,
    ProofError,
    Side,
    check,
    digest,
    dual_objective,
    read,
)

_MOST_BOXES = 500_000
_ROOM = 1e-9  # relative: what is proved of a price, above the bound that is known
_JOINT_RTOL = 1e-4  # of the prices of single columns, where neurons feed all outputs
_BELOW = 1.0 - 1e-14  # more than the roundings of a few operations


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


def prove(
    path: str | os.PathLike[str], claim: Claim, *, stop: Callable[[], bool], seed: int = 0
) -> float | None:
    """Write the proof of a claim, and check it.

    Returns
    -------
    float or None
        The lower bound that the file proves, less than that of the claim by some 1e-9 of it; None,
        and no file, when `stop` says so before there is a proof, or the boxes are too many.
    """
    n = len(claim.X)
    Y, V = claim.y.reshape(n, -1), claim.dual.reshape(n, -1)
    if claim.output_offset:
        V = np.column_stack([balanced(v) for v in V.T])
    K = V.shape[1]
    joint = claim.penalty == "weight_decay"
    scale, levels, arrays = [0.0] * K, [0.0] * K, {"dual": np.ascontiguousarray(V.T).ravel()}
    found = [price(claim.X, v, slope=claim.slope, method="search", seed=seed) for v in V.T]
    axes = [SignedRows.of(claim.X, v, claim.slope).basis for v in V.T]
    for group in [list(range(K))] if joint else [[k] for k in range(K)]:
        bounds = [_level(claim, V[:, k], axes[k], len(group), seed) for k in group]
        s, raised = _scaled(claim, V[:, group], Y[:, group], bounds)
        for k, M in zip(group, raised, strict=True):
            scale[k], levels[k] = s, M
    values = []
    delta = claim.loss.delta if isinstance(claim.loss, Huber) else 0.0
    for k, v in enumerate(V.T):
        values.append(dual_objective(claim.loss.name, delta, v, Y[:, k], claim.weight, scale[k]))
        if scale[k] == 0.0 or not np.any(v):
            continue
        arrays[f"axes{k}"] = axes[k].ravel()
        for name, sign in ((f"{k}+", 1.0), (f"{k}-", -1.0)):
            side = Side(claim.X, sign * v, axes[k], claim.slope, levels[k], False)
            neurons = found[k].neurons[found[k].signs == sign] @ axes[k]
            tree = box_tree(side, neurons, stop=lambda boxes: boxes > _MOST_BOXES or stop())
            if tree is None:
                return None
            arrays |= {part + name: array for part, array in tree._asdict().items()}
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
        check(file.name, claim.X, claim.y, claim.weight)
    return bound


def header(path: str | os.PathLike[str]) -> dict[str, Any]:
    """What a file says of itself; nothing of it is checked but the checksum.

    Raises
    ------
    ProofError
        If it is no proof file.
    """
    try:
        return read(path)[0]
    except (LookupError, TypeError, ValueError, ArithmeticError, RuntimeError) as error:
        raise ProofError(str(error) or repr(error)) from error


def with_columns(
    path: str | os.PathLike[str], columns: dict[str, Any], new: str | os.PathLike[str]
) -> None:
    """Write a proof anew, with how its data come from the columns of a table."""
    head, arrays = read(path)
    del head["arrays"]
    with writing(new) as file:
        file.write(_content({**head, "columns": columns}, arrays))


def _level(claim: Claim, v: FloatArray, S: FloatArray, outputs: int, seed: int) -> float:
    """A bound of the price of a column that boxes can prove."""
    if not np.any(v):
        return 0.0
    M = claim.price_bound
    if outputs > 1:
        M = price(claim.X, v, slope=claim.slope, rtol=_JOINT_RTOL, seed=seed).bound
    side = Side(claim.X, v, S, claim.slope, M, False)
    return float(M * (1.0 + _ROOM) + 4.0 * (side.margin + (M - side.theta)))


def _scaled(
    claim: Claim, V: FloatArray, Y: FloatArray, bounds: list[float]
) -> tuple[float, list[float]]:
    """The best s for bounds M_k of prices, and M_k raised until ``s (sum M_k^2)^1/2`` is beta."""
    M = math.hypot(*bounds) / _BELOW
    if not 0.0 < M < math.inf:
        return 0.0, [0.0] * len(bounds)
    s = lower_bound(
        claim.loss, V, Y, claim.weight, claim.beta, M, output_offset=claim.output_offset
    ).scale
    if s == 0.0:
        return 0.0, [0.0] * len(bounds)
    raised = [m * (claim.beta / (s * M)) for m in bounds]
    assert sum((Fraction(s) * Fraction(m)) ** 2 for m in raised) <= Fraction(claim.beta) ** 2
    return s, raised


def _content(head: dict[str, Any], arrays: dict[str, Any]) -> bytes:
    kinds = {name: "f8" if array.dtype.kind == "f" else "u4" for name, array in arrays.items()}
    listed = [[name, kind, arrays[name].size] for name, kind in kinds.items()]
    text = json.dumps({**head, "arrays": listed}, allow_nan=False).encode("ascii")
    held = [arrays[name].astype("<" + kind).tobytes() for name, kind in kinds.items()]
    data = b"\n".join([MAGIC, text, b"".join(held)])
    return data + hashlib.sha256(data).digest()
