"""Trees of boxes that prove a bound of a price: halved until each leaf proves it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pyconvexnn._typing import FloatArray
from pyconvexnn.proofs.checker import Side

_BATCH = 256
_STEPS = 8  # of Frank and Wolfe for the multipliers of a box
_TIE = 1e-7  # of |p| |w|: nearer to its hyperplane than that a neuron counts as on it
_MOST_KNOWN = 16  # neurons whose multipliers are tried


class Tree(NamedTuple):
    """A tree as a proof file has it.

    Attributes
    ----------
    tree : (nodes,) uint32
        In preorder, face after face: the coordinate that is halved, or r and, of a leaf, how many
        multipliers are told.
    places, values : (multipliers,) uint32 and float64
        Which these are, and what.
    """

    tree: NDArray[np.uint32]
    places: NDArray[np.uint32]
    values: FloatArray


class _Known(NamedTuple):
    """Neurons of high price: their directions w, whose multipliers are those of optimality.

    Near a neuron that is best nearby these close boxes that no others close: there the price is
    concave, and its linear bound at the neuron is exact.
    """

    W: FloatArray  # (k, r), of length 1
    m: FloatArray  # (k, n)


def box_tree(
    side: Side, neurons: FloatArray, *, stop: Callable[[int], bool] = lambda nodes: False
) -> Tree | None:
    """Tree of boxes whose leaves prove the bound of `side`.

    Parameters
    ----------
    side : Side
        In floats.
    neurons : (k, r) float64
        Neurons of high price, in the coordinates of the axes.
    stop : callable
        Called with the number of boxes so far; where it returns True, there is no tree.

    Returns
    -------
    Tree or None
    """
    r = side.P.shape[1]
    known = _multipliers_of(side, neurons)
    codes: list[int] = []
    second: dict[int, int] = {}  # second halves; the first half is the box made just before
    told: dict[int, tuple[Any, Any]] = {}  # places and values of multipliers
    waiting: list[tuple[int, FloatArray, FloatArray]] = []

    def add(low: FloatArray, high: FloatArray) -> int:
        codes.append(r)
        waiting.append((len(codes) - 1, low, high))
        return len(codes) - 1

    for face in range(2 * r):
        low, high = -np.ones(r), np.ones(r)
        low[face // 2] = high[face // 2] = 1.0 - 2 * (face % 2)
        add(low, high)
    while waiting:
        if stop(len(codes)):
            return None
        batch = waiting[-_BATCH:]
        del waiting[-_BATCH:]
        low, high = (np.array([box[end] for box in batch]) for end in (1, 2))
        plain = side.multipliers(low, high)
        best, worst = plain.copy(), side.worst(low, high, plain)
        open_ = worst > 0
        if np.any(open_):
            best[open_], worst[open_] = _better(side, known, low[open_], high[open_], best[open_])
        branch = np.argmax(_spreads(side, low, high, best), axis=1)
        for i, (node, *ends) in enumerate(batch):
            if worst[i] > 0:
                k = int(branch[i])
                halves = ends[1].copy(), ends[0].copy()
                halves[0][k] = halves[1][k] = (ends[0][k] + ends[1][k]) / 2
                codes[node] = k
                add(ends[0], halves[0])
                second[node] = add(halves[1], ends[1])
            elif open_[i]:
                places = np.flatnonzero(best[i] != plain[i])
                codes[node] = r + len(places)
                told[node] = places, best[i, places]
    return _in_preorder(codes, second, told, 2 * r)


def _better(
    side: Side, known: _Known, low: FloatArray, high: FloatArray, plain: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Better multipliers of boxes, and what they prove.

    Those of the rows W_k < 0 are chosen, by their directions and steps of Frank and Wolfe; the
    others, of chords, stay. Sums are plain here, and the last ones rigorous.
    """
    n, P = len(side.plus), side.floats[0]
    centre, half = (low + high) / 2, (high - low) / 2
    free = (np.abs(centre @ P.T) < half @ np.abs(P).T) & ~side.plus & (side.W != 0)
    best, least = plain.copy(), np.full(len(plain), np.inf)

    def offer(multipliers: FloatArray) -> FloatArray:
        G = _gradient(side, multipliers)
        most = np.sum(G * centre + np.abs(G) * half, axis=1)
        better = most < least
        best[better], least[better] = multipliers[better], most[better]
        return G

    if len(known.W):
        near = np.argmax(centre @ known.W.T, axis=1)
        offer(np.hstack([np.where(free, known.m[near], plain[:, :n]), known.W[near]]))
    now = plain.copy()
    for step in range(_STEPS if np.any(free) else 1):
        z = centre + np.sign(offer(now)) * half
        now[:, :n] += np.where(free, (z @ P.T > 0) - now[:, :n], 0.0) / (step + 2)
    offer(now)
    return best, side.worst(low, high, best)


def _gradient(side: Side, multipliers: FloatArray) -> FloatArray:
    """Of the linear bounds."""
    n, (P, S) = len(side.plus), side.floats
    g = multipliers[:, n:] @ S.T
    g /= np.maximum(np.linalg.norm(g, axis=1, keepdims=True), 1e-300)
    return np.asarray((side.W * multipliers[:, :n]) @ P + side.linear - side.theta * (g @ S))


def _spreads(side: Side, low: FloatArray, high: FloatArray, multipliers: FloatArray) -> FloatArray:
    """How much bounds vary along each coordinate of boxes: the largest is halved."""
    P = side.floats[0]
    centre, half = (low + high) / 2, (high - low) / 2
    cut = np.abs(centre @ P.T) < half @ np.abs(P).T
    sizes = np.abs(_gradient(side, multipliers)) + (cut * np.abs(side.W)) @ np.abs(P)
    return np.asarray(sizes * half)


def _multipliers_of(side: Side, neurons: FloatArray) -> _Known:
    """The m of least ``|sum_k W_k m_k p_k + linear|`` that hold at each neuron, and its direction.

    They are 1 and 0 on either side of a neuron, and between on the hyperplanes that it lies on.
    """
    from scipy.optimize import lsq_linear  # its import takes a tenth of a second

    P = side.floats[0]
    found: list[tuple[Any, Any]] = []
    for w in neurons[:_MOST_KNOWN]:
        z = P @ w
        m = np.where(z > 0, 1.0, 0.0)
        ties = np.abs(z) <= _TIE * np.linalg.norm(P, axis=1) * np.linalg.norm(w)
        ties &= ~side.plus & (side.W != 0)
        rest = (side.W * np.where(ties, 0.0, m)) @ P + side.linear
        if np.any(ties):
            A = (side.W[ties, np.newaxis] * P[ties]).T
            m[ties] = lsq_linear(A, -rest, bounds=(0.0, 1.0), tol=1e-15).x
            rest = rest + A @ m[ties]
        length = float(np.linalg.norm(rest))
        if length > 0:
            found.append((rest / length, m))
    if not found:
        return _Known(np.empty((0, P.shape[1])), np.empty((0, len(P))))
    return _Known(*(np.array(part) for part in zip(*found, strict=True)))


def _in_preorder(
    codes: list[int], second: dict[int, int], told: dict[int, tuple[Any, Any]], roots: int
) -> Tree:
    order: list[int] = []
    stack = list(range(roots))[::-1]
    while stack:
        node = stack.pop()
        order.append(node)
        if node in second:
            stack += [second[node], second[node] - 1]
    own = [told[node] for node in order if node in told]
    nothing = np.empty(0)
    return Tree(
        np.array([codes[node] for node in order], dtype=np.uint32),
        np.concatenate([nothing, *(places for places, _ in own)]).astype(np.uint32),
        np.concatenate([nothing, *(values for _, values in own)]),
    )
