"""What is trained: data, loss and penalty, and the coordinates in which it is done."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np

from pyconvexnn._typing import ArrayLike, BoolArray, FloatArray
from pyconvexnn._validation import as_matrix, as_real_array, describe
from pyconvexnn.certificates import fingerprint
from pyconvexnn.losses import Loss
from pyconvexnn.networks import GatedNetwork, TwoLayerNetwork
from pyconvexnn.patterns import PatternSet
from pyconvexnn.problems import ReLUProblem

_RATE = 5e8  # operations a second of a QR factorisation, at the least
_SHARE = 0.1  # of the time limit that one may take


@dataclass(frozen=True, eq=False)
class Task:
    """A weight-decay problem over all networks of one output.

    Rows of weight 0 are left out: they count in no objective, and their hyperplanes would only
    cut cells in two.

    Attributes
    ----------
    whole : ReLUProblem
        The problem as the user gave it, checked; its one pattern means nothing.
    counted : (n_samples,) bool
        Rows of positive weight.
    data : (n, d) float64
        Their features, as given.
    X : (n, r) float64
        The same in the coordinates in which networks are trained: where there are fewer rows than
        features, and time, ``data @ basis``; otherwise `data` itself. No optimal neuron has a part
        orthogonal to all rows, and lengths are the same.
    basis : (d, r) float64 or None
        Orthonormal columns that span the rows; None where X is `data`.
    y, weight : (n,) float64
        Targets and weights of these rows.
    """

    whole: ReLUProblem
    counted: BoolArray
    data: FloatArray
    X: FloatArray
    basis: FloatArray | None
    y: FloatArray
    weight: FloatArray

    @classmethod
    def of(
        cls,
        X: ArrayLike,
        y: ArrayLike,
        beta: float,
        *,
        activation: str,
        slope: float,
        loss: str | Loss,
        sample_weight: ArrayLike | None,
        output_offset: bool,
        time_limit: float | None = None,
    ) -> Task:
        """Check the arguments and make the task; errors are those of ReLUProblem.

        With a time limit, of which the `basis` would take too much, there is none.
        """
        X = as_matrix(X)
        whole = ReLUProblem(
            X,
            y,
            PatternSet.from_dense(np.ones((1, len(X)), bool)),
            beta,
            activation=activation,
            slope=slope,
            loss=loss,
            sample_weight=sample_weight,
            output_offset=output_offset,
        )
        counted = whole.sample_weight > 0
        every = bool(counted.all())
        data = whole.X if every else _frozen(whole.X[counted])
        basis = None
        if data.shape[0] < data.shape[1] and _turns(data, time_limit):
            basis = np.linalg.qr(data.T)[0]
        return cls(
            whole,
            counted,
            data,
            data if basis is None else _frozen(data @ basis),
            basis,
            whole.y if every else whole.y[counted],
            whole.sample_weight if every else whole.sample_weight[counted],
        )

    @classmethod
    def of_outputs(cls, X: ArrayLike, y: ArrayLike, beta: float, **options: Any) -> list[Task]:
        """One task for each column of y (n, K), or one of y (n,) alone, of the same data.

        Options and errors are those of :meth:`of`.
        """
        columns = columns_of(y)
        first = cls.of(X, columns[0], beta, **options)
        return [first, *map(first.with_targets, columns[1:])]

    @classmethod
    def of_network(
        cls,
        net: TwoLayerNetwork,
        X: ArrayLike,
        y: ArrayLike,
        beta: float,
        *,
        loss: str | Loss,
        sample_weight: ArrayLike | None,
        time_limit: float | None = None,
    ) -> tuple[list[Task], TwoLayerNetwork]:
        """Make the tasks of a network's outputs, and the same network without hidden biases.

        Those are weights on a column of ones, the last of the tasks' data. An output offset that
        is not zero makes them tasks of networks with one.
        """
        X = as_matrix(X, columns=net.n_features)
        columns = columns_of(y)
        if len(columns) != net.n_outputs:
            raise ValueError(
                f"`y` must have {net.n_outputs} columns, one for each output, got {describe(y)}"
                if net.n_outputs > 1
                else f"`y` must have 1 dimension for a network of one output, got {describe(y)}"
            )
        tasks = cls.of_outputs(
            X if net.b1 is None else np.column_stack([X, np.ones(len(X))]),
            y,
            beta,
            activation=net.activation,
            slope=net.slope,
            loss=loss,
            sample_weight=sample_weight,
            output_offset=net.b2 is not None and bool(np.any(net.b2 != 0.0)),
            time_limit=time_limit,
        )
        W1 = net.W1 if net.b1 is None else np.column_stack([net.W1, net.b1])
        b2 = net.b2 if tasks[0].output_offset else None
        same = TwoLayerNetwork.from_arrays(
            W1, net.W2, b2=b2, activation=net.activation, slope=net.slope
        )
        return tasks, same

    def with_targets(self, y: ArrayLike) -> Task:
        """The same with other targets, for all rows."""
        whole = ReLUProblem(
            self.whole.X,
            y,
            self.whole.patterns,
            self.beta,
            activation=self.whole.activation,
            slope=self.slope if self.whole.activation == "leaky_relu" else 0.0,
            loss=self.loss,
            sample_weight=self.whole.sample_weight,
            output_offset=self.output_offset,
        )
        return dataclasses.replace(self, whole=whole, y=whole.y[self.counted])

    def with_beta(self, beta: float) -> Task:
        """The same with another penalty."""
        return dataclasses.replace(self, whole=self.whole.with_beta(beta))

    @property
    def beta(self) -> float:
        """The penalty."""
        return self.whole.beta

    @property
    def loss(self) -> Loss:
        """The loss."""
        return self.whole.loss

    @property
    def slope(self) -> float:
        """Slope of the activation below zero."""
        return self.whole.slope

    @property
    def output_offset(self) -> bool:
        """Whether the networks have a free output offset b2."""
        return self.whole.output_offset

    @property
    def targets(self) -> FloatArray:
        """Targets of all rows, (n_samples,)."""
        return self.whole.y

    @property
    def whole_data(self) -> FloatArray:
        """Features of all rows."""
        return self.whole.X

    @property
    def whole_weight(self) -> FloatArray:
        """Weights of all rows."""
        return self.whole.sample_weight

    @property
    def objective_at_zero(self) -> float:
        """Objective of the network without neurons, at its best offset."""
        return self.whole.objective_at_zero

    def fingerprint(self, y: FloatArray | None = None, penalty: str = "weight_decay") -> str:
        """What a certificate is about, for targets (n_samples, K) of several outputs or its own."""
        whole = self.whole
        return fingerprint(
            whole.X,
            self.targets if y is None else y,
            whole.sample_weight,
            self.beta,
            self.loss,
            whole.activation,
            self.slope,
            self.output_offset,
            penalty,
        )

    def problem(self, patterns: PatternSet) -> ReLUProblem:
        """The convex program over some patterns of the rows of X."""
        return ReLUProblem(
            self.X,
            self.y,
            patterns,
            self.beta,
            activation=self.whole.activation,
            slope=self.slope if self.whole.activation == "leaky_relu" else 0.0,
            loss=self.loss,
            sample_weight=self.weight,
            output_offset=self.output_offset,
        )

    def outputs(self, U: FloatArray) -> FloatArray:
        """``act(X u)`` for the rows u (k, r) of U, shape (n, k)."""
        return self.activate(self.X @ U.T)

    def activate(self, Z: FloatArray) -> FloatArray:
        """Act, entry by entry."""
        return np.where(Z > 0, Z, self.slope * Z)

    def best_offset(self, f: FloatArray) -> float:
        """Best output offset of a fit; 0 where the networks have none."""
        return self.loss.best_offset(f, self.y, self.weight) if self.output_offset else 0.0

    def value(self, f: FloatArray) -> float:
        """Loss of a fit."""
        return self.loss.value(f, self.y, self.weight)

    def residual(self, f: FloatArray) -> FloatArray:
        """``v = -s loss'(f)``, shape (n,)."""
        return -self.loss.gradient(f, self.y, self.weight)

    def dual_objective(self, v: FloatArray) -> float:
        """``D(v)`` in plain floating point."""
        y = self.y
        if self.output_offset and self.loss.shifts:
            # sum v = 0: any constant may go from y, and far from zero its rounding is all there is.
            y = y - np.mean(y)
        return self.loss.dual_objective(v, y, self.weight)

    def objective(self, net: TwoLayerNetwork) -> float:
        """Weight-decay objective of a network in the features as given."""
        return net.objective(
            self.data, self.y, self.beta, loss=self.loss, sample_weight=self.weight
        )

    def inside(self, U: FloatArray) -> FloatArray:
        """Neurons (k, d) of the features as given, in the coordinates of X: (k, r)."""
        return U if self.basis is None else U @ self.basis

    def outside(self, U: FloatArray) -> FloatArray:
        """Neurons (k, r) in the coordinates of X, in the features as given: (k, d)."""
        return U if self.basis is None else U @ self.basis.T

    def everywhere(self, v: FloatArray) -> FloatArray:
        """A dual point of the counted rows, (n,) or (n, K), on all rows; 0 on the others."""
        out = np.zeros((len(self.counted), *v.shape[1:]))
        out[self.counted] = v
        return out

    def network(
        self, W1: FloatArray, W2: FloatArray, b2: FloatArray | None = None
    ) -> TwoLayerNetwork:
        """Network of the features as given, of this activation, and with an offset if it is due."""
        if b2 is None and self.output_offset:
            b2 = np.zeros(1)
        kind: dict[str, Any] = {"activation": self.whole.activation}
        if self.whole.activation == "leaky_relu":
            kind["slope"] = self.slope
        return TwoLayerNetwork.from_arrays(W1, W2, b2=b2 if self.output_offset else None, **kind)


def columns_of(y: ArrayLike) -> list[ArrayLike]:
    """The columns of targets (n, K), K > 1, checked; otherwise the targets alone."""
    array = as_real_array(y, "y")
    if array.ndim != 2 or array.shape[1] == 1:
        return [y]
    return list(as_matrix(array, "y").T)


def check_network(net: object) -> None:
    """Raise unless it is a network that a Task can be about."""
    if isinstance(net, GatedNetwork):
        raise NotImplementedError(
            "`net` = a GatedNetwork is not available yet here; `certify` proves how far it is from "
            "the best over its own patterns"
        )
    if not isinstance(net, TwoLayerNetwork):
        raise TypeError(
            f"`net` must be a TwoLayerNetwork, got {type(net).__name__} (make one with "
            "TwoLayerNetwork.from_arrays or from_sklearn, or pass fit.network)"
        )


def _turns(X: FloatArray, time_limit: float | None) -> bool:
    """Whether there is time for a factorisation of the rows."""
    n, d = X.shape
    return time_limit is None or 4.0 * n * n * d / _RATE <= _SHARE * time_limit


def _frozen(A: FloatArray) -> FloatArray:
    """Fortran-ordered and read-only: what every problem of these data takes without copying it."""
    out = np.array(A, order="F")
    out.flags.writeable = False
    return out
