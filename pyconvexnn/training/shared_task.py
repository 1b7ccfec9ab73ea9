"""A task of several outputs whose neurons may feed all of them."""

from __future__ import annotations

import dataclasses
import functools
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from pyconvexnn._typing import FloatArray
from pyconvexnn.losses import Loss
from pyconvexnn.networks import TwoLayerNetwork
from pyconvexnn.training.task import Task


@dataclass(frozen=True, eq=False)
class SharedTask:
    """A weight-decay problem over all networks of K outputs: the penalty is that of all weights.

    Names, shapes and meanings are those of :class:`Task`, with a column for each output where that
    has (n,).

    Attributes
    ----------
    parts : tuple of K Task
        One for each output, of the same data.
    """

    parts: tuple[Task, ...]

    @property
    def n_outputs(self) -> int:
        """K."""
        return len(self.parts)

    @property
    def first(self) -> Task:
        """The part of the first output, of which all but the targets is that of every part."""
        return self.parts[0]

    @property
    def data(self) -> FloatArray:
        """Features of the rows that count, (n, d), as given."""
        return self.first.data

    @functools.cached_property
    def y(self) -> FloatArray:
        """Targets of these rows, (n, K)."""
        return np.column_stack([part.y for part in self.parts])

    @functools.cached_property
    def targets(self) -> FloatArray:
        """Targets of all rows, (n_samples, K)."""
        return np.column_stack([part.targets for part in self.parts])

    @property
    def weight(self) -> FloatArray:
        """Weights of the rows that count, (n,)."""
        return self.first.weight

    @property
    def whole_data(self) -> FloatArray:
        """Features of all rows."""
        return self.first.whole_data

    @property
    def whole_weight(self) -> FloatArray:
        """Weights of all rows."""
        return self.first.whole_weight

    @property
    def beta(self) -> float:
        """The penalty."""
        return self.first.beta

    @property
    def loss(self) -> Loss:
        """The loss; those of the outputs add up."""
        return self.first.loss

    @property
    def slope(self) -> float:
        """Slope of the activation below zero."""
        return self.first.slope

    @property
    def output_offset(self) -> bool:
        """Whether the networks have free output offsets b2."""
        return self.first.output_offset

    @property
    def objective_at_zero(self) -> float:
        """Objective of the network without neurons, at its best offsets."""
        return sum(part.objective_at_zero for part in self.parts)

    def at(self, shares: FloatArray) -> list[Task]:
        """The outputs' own tasks, each at a part of the penalty; shares (K,)."""
        return [part.with_beta(self.beta * r) for part, r in zip(self.parts, shares, strict=True)]

    def turned(self, Q: FloatArray) -> SharedTask:
        """The task of the targets ``Y Q``, Q (K, K) orthogonal: for the squared loss the same."""
        columns = (self.targets @ Q).T
        return SharedTask(tuple(map(self.first.with_targets, columns)))

    def activate(self, Z: FloatArray) -> FloatArray:
        """Act, entry by entry."""
        return self.first.activate(Z)

    def best_offset(self, f: FloatArray) -> FloatArray:
        """Best output offsets of a fit (n, K), (K,); zeros where the networks have none."""
        return np.array([part.best_offset(g) for part, g in zip(self.parts, f.T, strict=True)])

    def residual(self, f: FloatArray) -> FloatArray:
        """``V = -s loss'(f)``, shape (n, K)."""
        return np.column_stack([p.residual(g) for p, g in zip(self.parts, f.T, strict=True)])

    def value(self, f: FloatArray) -> float:
        """Loss of a fit (n, K)."""
        return sum(part.value(g) for part, g in zip(self.parts, f.T, strict=True))

    def dual_objective(self, V: FloatArray) -> float:
        """``D(V)`` in plain floating point."""
        return sum(part.dual_objective(v) for part, v in zip(self.parts, V.T, strict=True))

    def objective(self, net: TwoLayerNetwork) -> float:
        """Weight-decay objective of a network in the features as given."""
        return net.objective(
            self.data, self.y, self.beta, loss=self.loss, sample_weight=self.weight
        )

    def everywhere(self, V: FloatArray) -> FloatArray:
        """A dual point of the counted rows on all rows, 0 on the others."""
        return self.first.everywhere(V)

    def fingerprint(self) -> str:
        """What a certificate is about."""
        return self.first.fingerprint(self.targets, "weight_decay")

    def network(
        self, W1: FloatArray, W2: FloatArray, b2: FloatArray | None = None
    ) -> TwoLayerNetwork:
        """Network of the features as given, of this activation, and with offsets if they are due.

        Zero ones, unless they are given.
        """
        if b2 is None or not self.output_offset:
            b2 = np.zeros(self.n_outputs) if self.output_offset else None
        return dataclasses.replace(self.first.network(W1, W2[:, :1]), W2=W2, b2=b2)


AnyTask: TypeAlias = Task | SharedTask
