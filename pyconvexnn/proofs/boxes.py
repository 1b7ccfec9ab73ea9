"""Trees of boxes that prove a bound of a price: halved until each leaf proves it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pyconvexnn._typing import FloatArray, IndexArray
from pyconvexnn.proofs.checker import Side

_BATCH = 256  # boxes at a time, at most
_CHUNK = 1 << 17  # numbers of an array, about: larger ones would not stay in the cache
_STEPS = 12  # of Frank and Wolfe for the multipliers of a box, at most
_TIE = 1e-7  # of |p| |w|: nearer to its hyperplane than that a neuron counts as on it
_MOST_KNOWN = 16  # neurons whose multipliers are tried
_NEAR = 1.0 + 1e-9  # rows so much farther than a box reaches are not cut by it, whatever rounding
_TINY = 1e-300
_ROOM = 64  # nodes that there is memory for at first

_Told = tuple[NDArray[np.uint32], FloatArray]  # places and values of the multipliers of a leaf
_NOTHING: _Told = np.empty(0, np.uint32), np.empty(0)


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


class _Before(NamedTuple):
    """What a tree was before it grew."""

    boxes: int
    halved: IndexArray  # those of its leaves that may since have been
    told: dict[int, _Told]


class BoxTree:
    """A tree that grows until its leaves prove a bound, and then a smaller one.

    Parameters
    ----------
    side : Side
        In floats; the bounds to come are of the same data, signs and axes.
    neurons : (k, r) float64
        Neurons of high price, in the coordinates of the axes.

    Attributes
    ----------
    boxes : int
        Its nodes.
    """

    def __init__(self, side: Side, neurons: FloatArray) -> None:
        self._r = r = side.P.shape[1]
        self._known = _multipliers_of(side, neurons)
        self._ends = np.empty((max(_ROOM, 2 * r), 2, r))
        self._codes = np.full(len(self._ends), r, dtype=np.int64)
        self._second = np.zeros(len(self._ends), dtype=np.int64)  # the first half is the one before
        self._most = np.full(len(self._ends), np.inf)  # what was proved of a leaf, <= 0
        self._told: dict[int, _Told] = {}
        self._theta = np.inf
        self._before = _Before(2 * r, np.empty(0, np.int64), {})
        self.boxes = 2 * r
        for face in range(2 * r):
            self._ends[face, 0], self._ends[face, 1] = -1.0, 1.0
            self._ends[face, :, face // 2] = 1.0 - 2 * (face % 2)

    def prove(self, side: Side, *, stop: Callable[[int], bool] = lambda boxes: False) -> bool:
        """Halve leaves until all prove the bound of `side`, smaller than that before.

        Parameters
        ----------
        side : Side
            In floats, of the data of the first.
        stop : callable
            Called with the number of boxes so far.

        Returns
        -------
        bool
            False where `stop` returns True: the tree is then what it was.
        """
        leaves = self._preorder()
        leaves = leaves[self._codes[leaves] == self._r]
        # A smaller bound raises what was left of a box by no more than this.
        lengths = np.linalg.norm(np.abs(self._ends[leaves]).max(axis=1), axis=1)
        lengths *= np.linalg.norm(side.S)
        if np.isfinite(self._theta):
            self._most[leaves] += (self._theta - side.theta) * lengths
        waiting = leaves[self._most[leaves] > 0].tolist()
        self._before = _Before(self.boxes, np.array(waiting, np.int64), dict(self._told))
        looking = _Looking(side, self._known)
        size = min(max(_CHUNK // (len(side.P) + 1), 16), _BATCH)
        while waiting:
            if stop(self.boxes):
                self.undo()
                return False
            nodes = np.array(waiting[-size:])
            del waiting[-size:]  # the last ones are halves of boxes nearby: few rows cut them
            most, branch, told = looking.at(self._ends[nodes, 0], self._ends[nodes, 1])
            self._most[nodes] = most
            self._told |= {int(nodes[place]): own for place, own in told.items()}
            waiting += self._halve(nodes[most > 0], branch[most > 0])
        self._theta = side.theta
        return True

    def undo(self) -> None:
        """Be the tree again that there was before the last bound. There is no going on then."""
        self.boxes, halved, self._told = self._before
        self._codes[halved], self._second[halved] = self._r, 0

    def tree(self) -> Tree:
        """What proves the last bound that was proved, and not undone."""
        order = self._preorder()
        codes = self._codes[order]
        leaves = np.flatnonzero(codes == self._r)
        own = [self._told[node] for node in order[leaves].tolist()]
        codes[leaves] += np.array([len(places) for places, _ in own], dtype=np.int64)
        return Tree(
            codes.astype(np.uint32),
            np.concatenate([_NOTHING[0], *(places for places, _ in own)]),
            np.concatenate([_NOTHING[1], *(values for _, values in own)]),
        )

    def leaves(self, most: int) -> tuple[FloatArray, FloatArray]:
        """Ends (b, r) of some of the boxes that are not halved, at most so many."""
        ends = self._ends[: self.boxes][self._codes[: self.boxes] == self._r][:most]
        return ends[:, 0], ends[:, 1]

    def _halve(self, nodes: IndexArray, k: IndexArray) -> list[int]:
        first = self.boxes + 2 * np.arange(len(nodes))
        self.boxes += 2 * len(nodes)
        if self.boxes > len(self._codes):
            more = 2 * self.boxes - len(self._codes)
            self._ends = np.concatenate([self._ends, np.empty((more, 2, self._r))])
            self._codes = np.concatenate([self._codes, np.empty(more, np.int64)])
            self._second = np.concatenate([self._second, np.empty(more, np.int64)])
            self._most = np.concatenate([self._most, np.empty(more)])
        middle = (self._ends[nodes, 0, k] + self._ends[nodes, 1, k]) / 2
        self._codes[nodes], self._second[nodes] = k, first + 1
        for half, end in ((first, 1), (first + 1, 0)):
            self._ends[half] = self._ends[nodes]
            self._ends[half, end, k] = middle
            self._codes[half], self._second[half] = self._r, 0
            self._most[half] = np.inf
        return [int(half) for half in np.column_stack([first, first + 1]).ravel()]

    def _preorder(self) -> IndexArray:
        order: list[int] = []
        second = self._second[: self.boxes].tolist()
        stack = list(range(2 * self._r))[::-1]
        while stack:
            node = stack.pop()
            order.append(node)
            if second[node]:
                stack += [second[node], second[node] - 1]
        return np.array(order, dtype=np.int64)


def box_tree(
    side: Side, neurons: FloatArray, *, stop: Callable[[int], bool] = lambda boxes: False
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
    tree = BoxTree(side, neurons)
    return tree.tree() if tree.prove(side, stop=stop) else None


class _Boxes(NamedTuple):
    """Boxes that are neither closed nor known to stay open. Minus rows are those of W_k < 0."""

    own: IndexArray  # (b,), which of the boxes these are
    C: FloatArray  # (b, r), centres
    H: FloatArray  # (b, r), half-widths
    free: NDArray[np.bool_]  # (b, minus), rows that the box cuts
    mid: FloatArray  # (b, minus), products of rows with the centre
    fixed: FloatArray  # (b, r), gradients without minus rows and length
    over: FloatArray  # (b,), and what is to be added to that
    spread: FloatArray  # (b, r), of what rows may do along each coordinate
    m: FloatArray  # (b, minus), multipliers
    z: FloatArray  # (b, r), means of the corners where bounds were largest, and of the centre
    t: FloatArray  # (b, minus), products of minus rows with these

    def where(self, kept: NDArray[np.bool_]) -> _Boxes:
        """Some of them."""
        return self if kept.all() else _Boxes._make(part[kept] for part in self)


class _Looking:
    """Looks for multipliers that close boxes.

    Over a box, the chords of plus rows leave a concave function; by the multipliers m of minus rows
    and g of the length it has linear bounds, the best of which is its largest value. Those of plus
    rows are best as they are. Sums are plain here; the margin has room for their rounding too.
    """

    def __init__(self, side: Side, known: _Known) -> None:
        self.side, self.known = side, known
        self.P, S = side.floats
        self.sizes, self.squares = np.abs(self.P), S.T @ S
        self.margin = 2.0 * side.margin

    def at(
        self, low: FloatArray, high: FloatArray
    ) -> tuple[FloatArray, IndexArray, dict[int, _Told]]:
        """What is proved of boxes, the coordinates to halve, and multipliers of closed ones."""
        minus, boxes = self._start(low, high)
        W, P = -self.side.W[minus], self.P[minus]
        most, branch = np.full(len(low), np.inf), np.zeros(len(low), np.int64)
        told: dict[int, _Told] = {}

        def close(boxes: _Boxes, G: FloatArray, m: FloatArray, w: FloatArray | None) -> Any:
            proved = np.sum(G * boxes.C + np.abs(G) * boxes.H, axis=1) + boxes.over + self.margin
            most[boxes.own] = np.minimum(most[boxes.own], proved)
            for i in np.flatnonzero(proved <= 0):
                if w is None:
                    told[int(boxes.own[i])] = _NOTHING
                    continue
                rows = np.flatnonzero(boxes.free[i])
                places = np.concatenate([minus[rows], len(self.P) + np.arange(P.shape[1])])
                values = np.concatenate([m[i, rows], w[i]])
                told[int(boxes.own[i])] = places.astype(np.uint32), values
            return proved > 0

        for step in range(_STEPS + 1):
            G = self._gradient(boxes.fixed - (W * boxes.m) @ P, boxes.z)
            branch[boxes.own] = np.argmax(np.abs(G) * boxes.H + boxes.spread, axis=1)
            kept = close(boxes, G, boxes.m, boxes.z if step else None)
            # No multipliers close a box where the concave function is above zero somewhere.
            reached = np.sum(boxes.fixed * boxes.z, axis=1) - np.maximum(boxes.t, 0.0) @ W
            lengths = np.sum((boxes.z @ self.squares) * boxes.z, axis=1)
            reached += boxes.over - self.side.theta * np.sqrt(np.maximum(lengths, 0.0))
            kept &= reached <= 0
            boxes, G = boxes.where(kept), G[kept]
            if step == 0 and len(self.known.W) and len(boxes.own):
                near = np.argmax(boxes.C @ self.known.W.T, axis=1)
                m = np.where(boxes.free, self.known.m[near][:, minus], boxes.m)
                w = self.known.W[near]
                kept = close(boxes, self._gradient(boxes.fixed - (W * m) @ P, w), m, w)
                boxes, G = boxes.where(kept), G[kept]
            if not len(boxes.own):
                break
            y = np.sign(G) * boxes.H
            t = boxes.mid + y @ P.T
            part = 1.0 / (step + 2)
            boxes = boxes._replace(
                m=boxes.m + np.where(boxes.free, part * ((t > 0) - boxes.m), 0.0),
                z=boxes.z + part * (boxes.C + y - boxes.z),
                t=boxes.t + part * (t - boxes.t),
            )
        return most, branch, told

    def _start(self, low: FloatArray, high: FloatArray) -> tuple[IndexArray, _Boxes]:
        """The minus rows that may be cut, and boxes with the multipliers of chords."""
        side = self.side
        C, H = (low + high) / 2, (high - low) / 2
        # Rows that the box around all of them does not cut are linear in all of them.
        least, last = low.min(axis=0), high.max(axis=0)
        mid = self.P @ ((least + last) / 2)
        cut = (np.abs(mid) <= _NEAR * (self.sizes @ ((last - least) / 2))) & (side.W != 0)
        fixed = side.linear + np.where(cut, 0.0, side.W * (mid > 0)) @ self.P
        plus, minus = np.flatnonzero(cut & side.plus), np.flatnonzero(cut & ~side.plus)

        W = side.W[plus]
        mid, reach = C @ self.P[plus].T, H @ self.sizes[plus].T
        free = np.abs(mid) < reach
        over = 0.5 * np.where(free, reach - mid * mid / np.maximum(reach, _TINY), 0.0) @ W
        fixed = fixed + (W * _chords(mid, reach)) @ self.P[plus]
        spread = (free * W) @ self.sizes[plus]

        mid, reach = C @ self.P[minus].T, H @ self.sizes[minus].T
        free = np.abs(mid) < reach
        spread -= (free * side.W[minus]) @ self.sizes[minus]
        m = _chords(mid, reach)
        own = np.arange(len(C))
        return minus, _Boxes(own, C, H, free, mid, fixed, over, spread * H, m, C, mid)

    def _gradient(self, rows: FloatArray, w: FloatArray) -> FloatArray:
        """Of the linear bounds, those of the length touching it at w."""
        g = w @ self.squares
        lengths = np.sqrt(np.maximum(np.sum(g * w, axis=1, keepdims=True), _TINY))
        return np.asarray(rows - g * (self.side.theta / lengths))


def _chords(mid: FloatArray, reach: FloatArray) -> FloatArray:
    """The multipliers of chords: of rows that are not cut 1 or 0."""
    return np.asarray(np.clip(0.5 + 0.5 * mid / np.maximum(reach, _TINY), 0.0, 1.0))


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
