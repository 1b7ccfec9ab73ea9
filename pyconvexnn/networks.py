"""Trained networks: frozen weights, predictions and the non-convex objective. No training here."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any, ClassVar, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pyconvexnn import _core
from pyconvexnn._directions import same_directions
from pyconvexnn._gates import unit_rows
from pyconvexnn._two_layers import TwoLayers, add_up, as_weights, row_norms, torch_modules
from pyconvexnn._typing import BoolArray, FloatArray, IndexArray
from pyconvexnn._validation import as_real_array, choice, describe, nonnegative

ACTIVATIONS = ("relu", "leaky_relu", "abs")  # of networks without gates


def slope_of(activation: str, slope: Any) -> float:
    """What an activation multiplies negative numbers with; `slope` is that of "leaky_relu".

    Raises
    ------
    ValueError, TypeError
        If `slope` is no number in [0, 1).
    """
    slope = nonnegative(slope, "slope")
    if slope >= 1.0:
        raise ValueError(f"`slope` must be < 1, got {slope!r}")
    return {"relu": 0.0, "leaky_relu": float(slope), "abs": -1.0}[activation]


def activate(hidden: FloatArray, slope: float) -> None:
    """Multiply negative entries with the slope, 0 <= slope < 1 or -1, in place."""
    if slope == 0.0:
        np.maximum(hidden, 0.0, out=hidden)
    elif slope == -1.0:
        np.abs(hidden, out=hidden)
    else:
        np.maximum(hidden, slope * hidden, out=hidden)


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
            hidden = rows @ self.W1[:, :, k].T
            hidden[off] = 0.0
            outputs[:, k] = hidden @ self.W2[:, 0]
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
        _, gate = np.unique(self.gates[neurons] + 0.0, axis=0, return_inverse=True)
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


@dataclass(frozen=True, eq=False, repr=False)
class TwoLayerNetwork(TwoLayers):
    r"""Two-layer network with an activation that is linear on either side of zero.

    .. math:: f(x) = \sum_{j=1}^m \phi(x^T w_j + b_{1j}) \, a_j + b_2, \qquad
        \phi(t) = t \;(t \ge 0), \quad \kappa t \;(t < 0)

    Here w_j, a_j are the rows of W1, W2, and kappa is 0 for "relu", `slope` for "leaky_relu" and
    -1 for "abs".

    Parameters
    ----------
    W1 : (n_neurons, n_features) array
        Hidden weights.
    W2 : (n_neurons, n_outputs) array
        Output weights. There may be no neurons at all: then both have no rows.
    b1 : (n_neurons,) array, optional
        Hidden biases; decayed like W1.
    b2 : (n_outputs,) array, optional
        Output offsets; not decayed.
    activation : {"relu", "leaky_relu", "abs"}
        phi.
    slope : float
        kappa of "leaky_relu", in [0, 1); of no meaning for the others.

    Raises
    ------
    TypeError, ValueError
        If an array is not real and finite, or the shapes do not fit together.

    Examples
    --------
    >>> import pyconvexnn as cx
    >>> net = cx.TwoLayerNetwork.from_arrays(W1=[[2.0, 0.0]], W2=[[3.0]])
    >>> net
    TwoLayerNetwork(n_neurons=1, n_features=2, n_outputs=1, activation='relu')
    >>> net.predict([[1.0, 0.0], [-1.0, 1.0]])
    array([6., 0.])
    """

    W1: FloatArray
    W2: FloatArray
    b1: FloatArray | None = None
    b2: FloatArray | None = None
    activation: str = "relu"
    slope: float = 0.01

    def __post_init__(self) -> None:
        """Convert the arrays, check them against each other and freeze them."""
        self._check_weights()
        choice(self.activation, "activation", ACTIVATIONS)
        slope_of(self.activation, self.slope)
        object.__setattr__(self, "slope", float(self.slope))

    @classmethod
    def from_arrays(
        cls,
        W1: ArrayLike,
        W2: ArrayLike,
        b1: ArrayLike | None = None,
        b2: ArrayLike | None = None,
        activation: str = "relu",
        slope: float = 0.01,
    ) -> TwoLayerNetwork:
        """Network of these weights, copied; the same as the constructor, for any array-like."""
        return cls(W1, W2, b1, b2, activation, slope)  # type: ignore[arg-type]

    @classmethod
    def from_sklearn(cls, mlp: Any) -> TwoLayerNetwork:
        """Network of a fitted multi-layer perceptron of scikit-learn with one hidden layer.

        Its outputs are those of the last layer: what ``MLPRegressor.predict`` returns, and the
        log-odds behind ``MLPClassifier.predict_proba`` for two classes, of which
        ``mlp.classes_[1]`` is the positive one. Its objective is what the estimator was trained
        on, with ``beta = alpha``, but for the hidden biases: scikit-learn does not decay them.

        Parameters
        ----------
        mlp : MLPRegressor or MLPClassifier
            Fitted, with ``activation="relu"``.

        Raises
        ------
        NotFittedError
            If it is not fitted.
        NotImplementedError
            For another activation, several hidden layers, more than two classes, or classes that
            are no alternatives.
        TypeError
            If it is no such estimator.

        Examples
        --------
        >>> import numpy as np
        >>> import pyconvexnn as cx
        >>> from sklearn.neural_network import MLPRegressor
        >>> X = np.arange(6.0)[:, np.newaxis]
        >>> mlp = MLPRegressor(hidden_layer_sizes=5, solver="lbfgs", random_state=0)
        >>> net = cx.TwoLayerNetwork.from_sklearn(mlp.fit(X, np.abs(X[:, 0] - 2)))
        >>> net.n_neurons, bool(np.allclose(net.predict(X), mlp.predict(X)))
        (5, True)
        """
        from pyconvexnn import _sklearn_weights  # not needed by every program

        return cls(*_sklearn_weights.weights_of(mlp))

    @classmethod
    def from_torch(cls, module: Any) -> TwoLayerNetwork:
        """Network of a PyTorch module with one hidden layer.

        Its objective is what PyTorch minimises with ``weight_decay=w`` and a loss that is the mean
        over n samples, but for the factor n and the output's bias, which PyTorch decays too: with
        ``beta = n w`` for ``BCEWithLogitsLoss`` (here "logistic", labels -1 and +1), and for
        ``MSELoss``, which has no factor 1/2, ``beta = n w / 2``.

        Parameters
        ----------
        module : torch.nn.Module
            A chain of Linear, an activation, and Linear: ``nn.Sequential``, or a module of one's
            own whose ``forward`` is such a chain, as torch.fx traces it. The activation is ReLU,
            LeakyReLU of a slope in [0, 1) or, for the absolute value, -1, or ``abs``. Weights of
            any precision and on any device are copied as doubles. Identity, Flatten and Dropout
            are passed over, and a ``squeeze`` of one output at the end.

        Raises
        ------
        NotImplementedError
            If it is another kind of module, named in the message, or has hooks.
        TypeError
            If it is no module.
        ValueError
            If weights are not finite.
        ImportError
            If torch is not installed.

        Examples
        --------
        >>> import torch  # doctest: +SKIP
        >>> import pyconvexnn as cx
        >>> module = torch.nn.Sequential(
        ...     torch.nn.Linear(3, 5), torch.nn.ReLU(), torch.nn.Linear(5, 1)
        ... )  # doctest: +SKIP
        >>> cx.TwoLayerNetwork.from_torch(module)  # doctest: +SKIP
        TwoLayerNetwork(n_neurons=5, n_features=3, n_outputs=1, activation='relu')
        """
        return cls(**torch_modules("from_torch").weights_of(module))

    def __reduce__(self) -> tuple[Any, ...]:
        """Copy and unpickle through the constructor: its arrays are read-only again."""
        return TwoLayerNetwork, (self.W1, self.W2, self.b1, self.b2, self.activation, self.slope)

    @property
    def penalty(self) -> str:
        """The penalty in :meth:`objective`, and so the networks that this one competes with.

        ``"weight_decay"``, ``beta / 2 sum_j (|w_j|^2 + b_1j^2 + |a_j|_2^2)``; ``"decoupled"`` where
        there are several outputs and every neuron feeds at most one of them: ``|a_j|_2`` is
        ``|a_j|_1`` then, and what the network competes with is K networks side by side, one for
        each output.
        """
        fed = np.count_nonzero(self.W2, axis=1)
        return "weight_decay" if self.n_outputs == 1 or np.any(fed > 1) else "decoupled"

    def _outer_norms(self, C: FloatArray) -> FloatArray:
        return row_norms(C)  # where a neuron feeds one output this is the other norm, too

    @property
    def _kind(self) -> str:
        slope = f", slope={self.slope:g}" if self.activation == "leaky_relu" else ""
        return f", activation={self.activation!r}{slope}"

    def _activate(self, rows: FloatArray, hidden: FloatArray) -> None:
        activate(hidden, slope_of(self.activation, self.slope))

    def _merged(
        self, U: FloatArray, C: FloatArray, neurons: IndexArray
    ) -> tuple[FloatArray, FloatArray, IndexArray]:
        sums, kept = add_up(C, same_directions(U, even=self.activation == "abs"))
        return U[kept], sums, neurons[kept]

    def _of_neurons(self, neurons: IndexArray) -> dict[str, FloatArray]:
        return {}


Network: TypeAlias = GatedNetwork | TwoLayerNetwork


def load_network(path: str | os.PathLike[str]) -> Network:
    """Read a network written by its method `save`, or by the command line.

    Nothing in the file is trusted: it may come from anybody.

    Parameters
    ----------
    path : str or path
        File.

    Returns
    -------
    GatedNetwork or TwoLayerNetwork
        Its predictions are those of the one saved, bit for bit.

    Raises
    ------
    ValueError
        If the file is not a network, in whatever way.
    FileNotFoundError
        If there is no such file.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> import pyconvexnn as cx
    >>> net = cx.GatedNetwork.from_arrays([[2.0]], [[3.0]], gates=[[1.0]])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     net.save(pathlib.Path(folder, "net.npz"))
    ...     cx.load_network(pathlib.Path(folder, "net.npz")).predict([[1.0], [-1.0]])
    array([6., 0.])
    """
    return read_network(path)[0]


def write_network(path: str | os.PathLike[str], net: Network, extra: dict[str, Any]) -> None:
    """Write a network and a JSON object that belongs to it.

    Raises
    ------
    TypeError, ValueError
        If `extra` is not JSON: strings, booleans, None, finite numbers, lists and dicts of these.
    OSError
        If the file cannot be written.
    """
    from pyconvexnn import _npz  # its imports (zipfile, json) are needed by files only

    matrices = isinstance(net, GatedNetwork) and net.has_matrices
    arrays = {"U" if matrices else "W1": net.W1, "W2": net.W2}
    arrays |= {name: b for name, b in [("b1", net.b1), ("b2", net.b2)] if b is not None}
    meta: dict[str, Any] = {"activation": net.activation, "extra": extra}
    if isinstance(net, GatedNetwork):
        arrays["gates"] = net.gates
    else:
        meta["slope"] = net.slope
    _npz.write(path, "network", meta, arrays)


def read_network(path: str | os.PathLike[str]) -> tuple[Network, dict[str, Any]]:
    """Read what :func:`write_network` wrote, with :func:`load_network`'s checks and errors.

    The JSON object is somebody's: only its syntax is checked.
    """
    from pyconvexnn import _npz  # its imports (zipfile, json) are needed by files only

    others = {"W1": ("<f8", 2), "U": ("<f8", 3), "gates": ("<f8", 2)}
    others |= {"b1": ("<f8", 1), "b2": ("<f8", 1)}
    return _npz.read(path, "network", {"W2": ("<f8", 2)}, others, _from_file)


def _from_file(
    meta: dict[str, Any], arrays: dict[str, NDArray[Any]]
) -> tuple[Network, dict[str, Any]]:
    extra, slope = meta.get("extra"), meta.pop("slope", None)
    if set(meta) != {"activation", "extra"} or not isinstance(extra, dict):
        raise ValueError("its JSON part must hold activation and the object extra")
    activation = choice(meta["activation"], "activation", [GatedNetwork.activation, *ACTIVATIONS])
    gated = activation == GatedNetwork.activation
    if gated != ("gates" in arrays):
        raise ValueError(f"member 'gates' is {'missing' if gated else 'there without use'}")
    if "W1" not in arrays and "U" not in arrays:
        raise ValueError("member 'W1' is missing")
    if "U" in arrays and (not gated or "W1" in arrays):
        raise ValueError("member 'U' is there without use")
    if gated != (slope is None):
        raise ValueError(f"its JSON part must hold {'no' if gated else 'a'} slope")
    if gated:
        arrays |= {"W1": arrays.pop("U")} if "U" in arrays else {}
        return GatedNetwork(**arrays), extra
    return TwoLayerNetwork(**arrays, activation=activation, slope=slope), extra
