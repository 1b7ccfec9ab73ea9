"""Largest price of blocks in cones: compiled projections, each with a bound proved in NumPy.

A price is the length of a vector's projection on a cone, ``min_{a >= 0} ||g + S'a||``, S being the
rows of the data, signed and of length 1 (:mod:`pyconvexnn.problems.cones`). So any a >= 0 is a
proof that the price is no larger, whoever found it: what the compiled projections are trusted with
is to find a good one.
"""

from __future__ import annotations

import numpy as np

from pyconvexnn import _core
from pyconvexnn._bits import unpack
from pyconvexnn._typing import BitArray, FloatArray, IndexArray
from pyconvexnn.problems.cones import Cones, price, unit_rows

_EXACT = 0  # the code of a projection that ended with the nearest point
_FIRST = 32  # patterns of the first round; each is twice as large as the one before
_LOOSE = 1e-12  # of ||g||: a bound that exceeds the projection by more is looked at again
_ENTRIES = 1 << 20  # of a temporary


def largest_price(
    X: FloatArray, packed: BitArray, G: FloatArray, weights: FloatArray, floor: float
) -> float:
    """``max_i max(||Proj_i(g_i)||, ||Proj_i(-g_i)||) / w_i``, never below it but by rounding.

    Prices <= `floor` are not looked for: where there is no other, `floor` is returned.

    Parameters
    ----------
    X : (n, d) float64
        Data.
    packed : (P, n_words) uint64
        Patterns; Proj_i is the projection on the cone of pattern i.
    G : (P, d) float64
        Rows g_i.
    weights : (P,) float64
        w_i > 0.
    floor : float
        >= 0.
    """
    # In units of powers of two, which round nothing, every g_i / w_i has entries below 2.
    _, above = np.frexp(np.max(np.abs(G)))
    _, below = np.frexp(np.min(weights))
    with np.errstate(over="ignore", under="ignore"):
        G = np.ldexp(G, -above) / np.ldexp(weights, -below)[:, np.newaxis]
        best = float(np.ldexp(floor, below - above))
    lengths = np.linalg.norm(G, axis=1)
    order = np.argsort(-lengths, kind="stable")
    order = order[: np.count_nonzero(lengths > best)]  # no projection is longer
    if not len(order):
        return floor
    best = _search(X, packed, G, order, lengths, best)
    with np.errstate(over="ignore", under="ignore"):
        return max(floor, float(np.ldexp(best, above - below)))


def _search(
    X: FloatArray,
    packed: BitArray,
    G: FloatArray,
    order: IndexArray,
    lengths: FloatArray,
    best: float,
) -> float:
    """Largest of the listed patterns' prices and `best`; `order` is that of falling lengths."""
    rows = unit_rows(X)
    projections = _core.ConeProjections(np.asfortranarray(rows), packed)
    start, step = 0, _FIRST
    while start < len(order) and lengths[order[start]] > best:
        patterns = order[start : start + step]
        start, step = start + step, 2 * step
        blocks = np.stack([2 * patterns, 2 * patterns + 1], axis=1).ravel()
        U, _, _, counts = projections.project(blocks, G, threshold=best)
        bounds = held_lengths(projections, rows, packed, G, blocks)[0]
        sure = counts[:, 0] == _EXACT
        sure &= bounds <= np.linalg.norm(U, axis=1) + _LOOSE * lengths[blocks // 2]
        best = float(np.max(bounds[sure], initial=best))
        for t in np.flatnonzero(~sure & (bounds > best)):
            i, sign = blocks[t] // 2, 1.0 - 2.0 * (blocks[t] % 2)
            S = Cones(X).normals(unpack(packed[[i]], len(X))[0])
            best = max(best, min(float(bounds[t]), price(S, sign * G[i])))
    return best


def held_lengths(
    projections: _core.ConeProjections,
    rows: FloatArray,
    packed: BitArray,
    G: FloatArray,
    blocks: IndexArray,
) -> tuple[FloatArray, FloatArray]:
    """``||g + sum_k a_k s_k x_k||`` of the blocks for the a >= 0 of their last projections.

    Block 2 i is that of g_i, block 2 i + 1 that of -g_i. The x_k are `rows`, those of
    `projections`. Beside these lengths ``sum_k a_k ||x_k||_1``, which tells the rounding in them.
    """
    d = rows.shape[1]
    sizes = np.sum(np.abs(rows), axis=1)
    out, reach = np.empty(len(blocks)), np.zeros(len(blocks))
    step = max(1, _ENTRIES // (d * d))
    for start in range(0, len(blocks), step):
        part = blocks[start : start + step]
        patterns = part // 2
        points = G[patterns] * (1.0 - 2.0 * (part % 2))[:, np.newaxis]
        found = [projections.active(int(block)) for block in part]
        counts = np.array([len(k) for k, _ in found])
        k, a = (np.concatenate(lists) for lists in zip(*found, strict=True))
        owner = np.repeat(patterns, counts)
        on = packed[owner, k // 64] >> (k % 64).astype(np.uint64) & np.uint64(1)
        factors = np.maximum(a, 0.0)
        signed = np.where(on == 1, factors, -factors)
        held = np.flatnonzero(counts)
        if len(held):
            first = (np.cumsum(counts) - counts)[held]
            points[held] += np.add.reduceat(signed[:, np.newaxis] * rows[k], first, axis=0)
            reach[start + held] = np.add.reduceat(factors * sizes[k], first)
        out[start : start + step] = np.linalg.norm(points, axis=1)
    return out, reach
