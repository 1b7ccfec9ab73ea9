"""The bounds of prices that boxes are tried for: loose ones first, down to what is asked for."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import NamedTuple

from pyconvexnn._bounds import lower_bound
from pyconvexnn._typing import FloatArray
from pyconvexnn.losses import Loss
from pyconvexnn.proofs.boxes import BoxTree, Tree
from pyconvexnn.proofs.checker import Side

_RATIO = 4.0  # of what bounds of one rung and the next have to spare
_HALVINGS = 24  # of what a bound of a price may have to spare, as a logarithm
_LEAST = 1e-12  # relative: a bound of a price that has less to spare is the known one
_WEAKEST = 0.5  # of the bound that is known: a weaker one is not worth a file
_SAMPLE = 1 << 17  # products with leaves by which the time of a check is told, about
_CHECKS = 1.5  # times what is expected of it
_BELOW = 1.0 - 1e-14  # more than the roundings of a few operations


class Group(NamedTuple):
    """Columns of a dual point whose prices make one bound together."""

    columns: list[int]
    v: FloatArray  # (n, columns)
    y: FloatArray  # (n, columns)
    bounds: list[float]  # of the prices of each, known


class Scaled(NamedTuple):
    """What bounds of prices prove: the scale s and M of each column, ``s M <= beta``."""

    value: float
    scale: list[float]
    levels: list[float]


class Dual(NamedTuple):
    """A dual point, and what its price says."""

    loss: Loss
    weight: FloatArray
    beta: float
    output_offset: bool
    groups: Sequence[Group]

    def scaled(self, factor: float) -> Scaled:
        """The lower bound, and best scales, where bounds of prices are `factor` times the known."""
        K = sum(len(group.columns) for group in self.groups)
        scale, levels, values = [0.0] * K, [0.0] * K, []
        for group in self.groups:
            bounds = [factor * bound for bound in group.bounds]
            M = math.hypot(*bounds) / _BELOW
            if not 0.0 < M < math.inf:
                continue
            value, s, _ = lower_bound(
                self.loss,
                group.v,
                group.y,
                self.weight,
                self.beta,
                M,
                output_offset=self.output_offset,
            )
            values.append(value)
            if s == 0.0:
                continue
            raised = [m * (self.beta / (s * M)) for m in bounds]
            squares = sum((Fraction(s) * Fraction(m)) ** 2 for m in raised)
            assert squares <= Fraction(self.beta) ** 2
            for k, m in zip(group.columns, raised, strict=True):
                scale[k], levels[k] = s, m
        return Scaled(math.fsum(values), scale, levels)


def rungs(dual: Dual, aim: Callable[[float], float]) -> tuple[float, list[float]]:
    """The lower bound to be proved, and factors of the known bounds of prices to be tried for it.

    Parameters
    ----------
    dual : Dual
        Its known bounds can be proved.
    aim : callable
        The lower bound that is asked for, of the one that is known: no larger.

    Returns
    -------
    float
        That, or half of the known one.
    list of float
        Falling: the last is the largest with that lower bound, or about; the first leaves half of
        the known one.
    """
    known = dual.scaled(1.0).value
    wanted = max(aim(known), _WEAKEST * known)
    low, high = math.log(_LEAST), math.log(1e3)  # of the factor less 1
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if dual.scaled(1.0 + math.exp(middle)).value >= wanted:
            low = middle
        else:
            high = middle
    spare = math.exp(low)
    factors = [1.0 + spare if spare > 2 * _LEAST else 1.0]
    spare = max(spare, 1e-9)
    while dual.scaled(1.0 + _RATIO * spare).value > _WEAKEST * known:
        spare *= _RATIO
        if spare > 1e3:
            break
        factors.append(1.0 + spare)
    return wanted, factors[::-1]


class Trees:
    """The trees of both signs of some columns.

    Parameters
    ----------
    sides : callable
        What trees are to prove where prices are bounded so, by names.
    neurons : dict of (k, r) float64
        Of high price, by these names too, in the coordinates of the axes.
    seconds_left : callable
        For trees and for the check of them.
    most : int
        Boxes of a tree.

    Attributes
    ----------
    looked : int
        Most boxes of all trees that there were.
    """

    def __init__(
        self,
        sides: Callable[[Scaled], dict[str, Side]],
        neurons: dict[str, FloatArray],
        seconds_left: Callable[[], float],
        most: int,
    ) -> None:
        self._sides, self._neurons, self._left, self._most = sides, neurons, seconds_left, most
        self._trees: dict[str, BoxTree] = {}
        self.looked = 0

    def climb(self, rungs: Sequence[Scaled]) -> tuple[Scaled, dict[str, Tree]] | None:
        """The trees of the strongest bounds for which there is time, and boxes enough."""
        reached: tuple[Scaled, list[str]] | None = None
        for scaled in rungs:
            sides = self._sides(scaled)
            if not self._grow(sides):
                break
            reached = scaled, list(sides)
        if reached is None:
            return None
        return reached[0], {name: self._trees[name].tree() for name in reached[1]}

    def _grow(self, sides: dict[str, Side]) -> bool:
        """Whether all trees prove these, which otherwise prove what they did."""
        for name in sides:
            if name not in self._trees:
                if self._left() <= 0.0:
                    return False
                self._trees[name] = BoxTree(sides[name], self._neurons[name])
        each = max(
            (_seconds_of_check(self._trees[name], side) for name, side in sides.items()), default=0
        )
        finished: list[BoxTree] = []
        for name, side in sides.items():
            tree = self._trees[name]
            others = sum(one.boxes for one in self._trees.values()) - tree.boxes

            def stop(boxes: int, others: int = others) -> bool:
                self.looked = max(self.looked, boxes + others)
                kept = 0.5 * (boxes + others) * each * _CHECKS
                return boxes > self._most or self._left() <= kept

            if not tree.prove(side, stop=stop):
                for one in finished:
                    one.undo()
                return False
            finished.append(tree)
        return True


def _seconds_of_check(tree: BoxTree, side: Side) -> float:
    """Seconds that the checker takes for a leaf, about."""
    low, high = tree.leaves(min(max(_SAMPLE // max(side.P.size, 1), 8), 256))
    begun = time.perf_counter()
    side.worst(low, high, side.multipliers(low, high))
    return (time.perf_counter() - begun) / max(len(low), 1)
