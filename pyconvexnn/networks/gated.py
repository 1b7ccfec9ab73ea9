"""Networks whose neurons are switched on and off by fixed gates."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike

from pyconvexnn import _core
from pyconvexnn._bits import distinct_rows
from pyconvexnn._directions import same_directions
from pyconvexnn._gates import unit_rows
from pyconvexnn._typing import BoolArray, FloatArray, IndexArray
from pyconvexnn._validation import as_real_array, describe
from pyconvexnn.networks.base import TwoLayers, as_weights
from pyconvexnn.networks.neurons import add_up


@dataclass(frozen=True, eq=False, repr=False)
class GatedNetwork(TwoLayers):
    r"""Two-layer gated ReLU network with fixed gates g_j.

    .. math:: f(x) = \sum_{j=1}^m 1[x^T g_j \ge 0] \, (x^T w_j + b_{1j}) \, a_j + b_2

    Here w_j, a_j are the rows of W1, W2. The gates' bits are computed by the same compiled
    function as the patterns of a :class:`pyconvexnn.PatternSet`: a row of the training data has
    exactly the bits that it was trained with, on a gate's hyperplane as well.

    What :class:`GatedReLUProblem` trains with K > 1 outputs are units of matrix weights U_j (d, K)
    and a gain a_j, which is a number:

    .. math:: f(x) = \sum_{j=1}^m 1[x^T g_j \ge 0] \, a_j \, U_j^T x + b_2

    They are given as W1 of three dimensions, and are :attr:`U` and :attr:`a` of the network, whose
    :attr:`penalty` is "frobenius", ``beta / 2 sum_j (|U_j|_F^2 + a_j^2)``.

    Parameters
    ----------
    W1 : (n_neurons, n_features) or (n_neurons, n_features, n_outputs) array
        Hidden weights, or the matrices U_j. Those of one output are taken as (n_neurons,
        n_features).
    W2 : (n_neurons, n_outputs) array
        Output weights. With matrices the gains, (n_neurons,) or (n_neurons, 1).
    gates : (n_neurons, n_features) array
        Gates. There may be no neurons at all: then all three have no rows.
    b1 : (n_neurons,) array, optional
        Hidden biases; decayed like W1. None with matrices, where a column of ones in X, which the
        gates are zero for, does the same.
    b2 : (n_outputs,) array, optional
        Output offsets; not decayed.

    Raises
    ------
    TypeError, ValueError
        If an array is not real and finite, or the shapes do not fit together.

    Examples
    --------
    >>> import pyconvexnn as cx
    >>> net = cx.GatedNetwork.from_arrays(W1=[[2.0, 0.0]], W2=[[3.0]], gates=[[1.0, -1.0]])
    >>> net
    GatedNetwork(n_neurons=1, n_features=2, n_outputs=1)
    >>> net.predict([[1.0, 0.0], [1.0, 1.0], [0.0, 1.0]])
    array([6., 6., 0.])
    >>> U = [[[2.0, 5.0], [0.0, 1.0]]]   # one unit, two features, two outputs
    >>> net = cx.GatedNetwork.from_arrays(U, [3.0], gates=[[1.0, -1.0]])
    >>> net.penalty, net.U.shape, net.a.tolist()
    ('frobenius', (1, 2, 2), [3.0])
    >>> net.predict([[1.0, 0.0], [1.0, 1.0], [0.0, 1.0]])
    array([[ 6., 15.],
           [ 6., 18.],
           [ 0.,  0.]])
    """

    W1: FloatArray
    W2: FloatArray
    gates: FloatArray
    b1: FloatArray | None = None
    b2: FloatArray | None = None

    activation: ClassVar[str] = "gated_relu"

    def __post_init__(self) -> None:
        """Convert the arrays, check them against each other and freeze them."""
        W1, n_outputs = as_real_array(self.W1, "W1"), None
        shape = W1.shape
        if W1.ndim == 3:
            if self.b1 is not None:
                raise ValueError(
                    f"`b1` must be None with matrices `W1`, here of shape {shape}, got "
                    + describe(self.b1)
                )
            n_outputs = shape[2]
            object.__setattr__(self, "W1", W1.reshape(shape[0], shape[1] * n_outputs))
            gains = as_real_array(self.W2, "W2")
            object.__setattr__(self, "W2", gains[:, np.newaxis] if gains.ndim == 1 else gains)
        self._check_weights(n_outputs)
        if n_outputs is not None:
            # Read-only like what it is a view of.
            kept = shape if n_outputs > 1 else shape[:2]
            object.__setattr__(self, "W1", self.W1.reshape(kept))
        gates = as_weights(self.gates, "gates", rows=len(self.W1), columns=self.W1.shape[1])
        object.__setattr__(self, "gates", gates)

    @classmethod
    def from_arrays(
        cls,
        W1: ArrayLike,
        W2: ArrayLike,
        gates: ArrayLike,
        b1: ArrayLike | None = None,
        b2: ArrayLike | None = None,
    ) -> GatedNetwork:
        """Network of these weights, copied; the same as the constructor, for any array-like."""
        return cls(W1, W2, gates, b1, b2)  # type: ignore[arg-type]  # __post_init__ converts

    @property
    def n_outputs(self) -> int:
        """Number K of outputs."""
        return int(self.W1.shape[2] if self.has_matrices else self.W2.shape[1])

    @property
    def has_matrices(self) -> bool:
        """Whether units have matrix weights U_j (d, K), K > 1, and a gain."""
        return self.W1.ndim == 3

    @property
    def U(self) -> FloatArray:  # noqa: N802  # the name of the matrices in every formula
        """Weights of the units, (m, d, K): :attr:`a` are their gains.

        AttributeError for a network of several outputs whose neurons have output weights W2.
        """
        self._check_gains("U")
        return self.W1 if self.has_matrices else self.W1[:, :, np.newaxis]

    @property
    def a(self) -> FloatArray:
        """Gains of the units, (m,); AttributeError where there is no :attr:`U`."""
        self._check_gains("a")
        return self.W2[:, 0]

    @property
    def penalty(self) -> str:
        """The penalty in :meth:`objective`.

        ``"weight_decay"``, ``beta / 2 sum_j (|w_j|^2 + b_1j^2 + a_j^2)``, for one output;
        ``"decoupled"``, ``beta / 2 sum_j (|w_j|^2 + b_1j^2 + |a_j|_1^2)``, for several;
        ``"frobenius"``, ``beta / 2 sum_j (|U_j|_F^2 + a_j^2)``, for units of matrix weights.
        """
        return "frobenius" if self.has_matrices else super().penalty

    def with_vectors(self) -> GatedNetwork:
        """Return the same function with one neuron for each column of the matrices U_j.

        Neuron ``j K + k`` has the weights ``U_j[:, k]``, the gate g_j, and feeds output k with
        weight a_j. The penalty is another. A network without matrices is returned as it is.

        Examples
        --------
        >>> import pyconvexnn as cx
        >>> net = cx.GatedNetwork.from_arrays([[[2.0, 5.0]]], [3.0], gates=[[1.0]])
        >>> net = net.with_vectors()
        >>> net.W1.tolist(), net.W2.tolist()
        ([[2.0], [5.0]], [[3.0, 0.0], [0.0, 3.0]])
        """
        if not self.has_matrices:
            return self
        m, d, K = self.W1.shape
        return GatedNetwork(
            self.W1.transpose(0, 2, 1).reshape(m * K, d),
            np.asarray(np.kron(self.W2, np.eye(K)), dtype=np.float64),
            np.repeat(self.gates, K, axis=0),
            b2=self.b2,
        )

    def __reduce__(self) -> tuple[Any, ...]:
        """Copy and unpickle through the constructor: its arrays are read-only again."""
        return GatedNetwork, (self.W1, self.W2, self.gates, self.b1, self.b2)

    @property
    def _kind(self) -> str:
        return ", penalty='frobenius'" if self.has_matrices else ""

    def _check_gains(self, name: str) -> None:
        if self.W2.shape[1] != 1:
            raise AttributeError(
                f"a GatedNetwork of {self.n_outputs} outputs without matrix weights has no "
                f"`{name}`: neuron j has the weights W1[j] and the output weights W2[j]"
            )

    def _of_rows(self, rows: FloatArray) -> FloatArray:
        if not self.has_matrices:
            return super()._of_rows(rows)
        outputs, off = np.empty((len(rows), self.n_outputs)), self._off(rows)
        for k in range(self.n_outputs):  # no more than (c, m) numbers at a time
            hidden = self._product(rows, self.W1[:, :, k].T)
            hidden[off] = 0.0
            outputs[:, k] = self._product(hidden, self.W2)[:, 0]
        return outputs

    def _off(self, rows: FloatArray) -> BoolArray:
        """Which neurons are off at which rows, (c, m)."""
        packed = _core.sign_patterns(rows, self.gates).astype("<u8", copy=False)
        bits = np.unpackbits(packed.view(np.uint8), axis=1, count=len(rows), bitorder="little")
        return np.asarray(bits.T == 0)

    def _activate(self, rows: FloatArray, hidden: FloatArray) -> None:
        hidden[self._off(rows)] = 0.0

    def _merged(
        self, U: FloatArray, C: FloatArray, neurons: IndexArray
    ) -> tuple[FloatArray, FloatArray, IndexArray]:
        # The very same gates: of nearly the same ones the bits differ somewhere.
        _, gate = distinct_rows(self.gates[neurons])
        if self.W2.shape[1] == 1:
            # Behind a gate a neuron is linear: x'(sum_j w_j a_j), whatever their directions.
            blocks, kept = add_up(U * C, gate)
            lengths = np.linalg.norm(blocks, axis=1, keepdims=True)
            first = np.unique(gate, return_index=True)[1]
            return unit_rows(blocks), lengths, neurons[first[kept]]
        first = np.arange(len(U))
        order = np.argsort(gate, kind="stable")
        for of_one in np.split(order, np.flatnonzero(np.diff(gate[order])) + 1):
            first[of_one] = of_one[same_directions(U[of_one], even=True)]
        turned = np.sign(np.sum(U * U[first], axis=1, keepdims=True))
        sums, kept = add_up(turned * C, first)
        return U[kept], sums, neurons[kept]

    def _of_neurons(self, neurons: IndexArray) -> dict[str, FloatArray]:
        return {"gates": self.gates[neurons]}
