"""Trained networks: frozen weights, predictions and the non-convex objective. No training here."""

from __future__ import annotations

import dataclasses
import os
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, TypeAlias, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pyconvexnn import _core
from pyconvexnn._typing import FloatArray
from pyconvexnn._validation import as_matrix, as_vector, choice, nonnegative
from pyconvexnn.losses import Loss, get_loss

_BLOCK_ENTRIES = 1 << 20  # entries of the (rows, neurons) temporary in predict


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


Net = TypeVar("Net", bound="_TwoLayers")


class _TwoLayers(ABC):
    """What the networks have in common: all but their hidden layer."""

    W1: FloatArray
    W2: FloatArray
    b1: FloatArray | None
    b2: FloatArray | None

    @property
    def n_neurons(self) -> int:
        """Number m of neurons."""
        return len(self.W1)

    @property
    def n_features(self) -> int:
        """Number d of features."""
        return int(self.W1.shape[1])

    @property
    def n_outputs(self) -> int:
        """Number K of outputs."""
        return int(self.W2.shape[1])

    @property
    def penalty(self) -> str:
        """The penalty in :meth:`objective`.

        ``"weight_decay"``, ``beta / 2 sum_j (|w_j|^2 + b_1j^2 + a_j^2)``, for one output;
        ``"decoupled"``, ``beta / 2 sum_j (|w_j|^2 + b_1j^2 + |a_j|_1^2)``, for several.
        """
        return "weight_decay" if self.n_outputs == 1 else "decoupled"

    def predict(self, X: ArrayLike) -> FloatArray:
        """Return the outputs f(x) for the rows of X.

        Parameters
        ----------
        X : (n_samples, n_features) array
            Data.

        Returns
        -------
        (n_samples,) or (n_samples, n_outputs) float64
            The former for one output.

        Raises
        ------
        TypeError, ValueError
            If X is not a finite real matrix with `n_features` columns.

        Examples
        --------
        >>> import pyconvexnn as cx
        >>> net = cx.GatedNetwork.from_arrays([[1, 1]], [[1, -2]], gates=[[0, 1]], b2=[5, 0])
        >>> net.predict([[1, 1], [1, -1]])
        array([[ 7., -4.],
               [ 5.,  0.]])
        """
        outputs = self._outputs(as_matrix(X, columns=self.n_features))
        return outputs[:, 0] if self.n_outputs == 1 else outputs

    def objective(
        self,
        X: ArrayLike,
        y: ArrayLike,
        beta: float,
        *,
        loss: str | Loss = "squared",
        sample_weight: ArrayLike | None = None,
        ridge: float = 0.0,
        pattern_weight: ArrayLike | None = None,
    ) -> float:
        r"""Non-convex training objective of the network as it is, balanced or not.

        .. math::

            \sum_k s_k \ell(f(x_k), y_k)
            + \frac\beta2 \sum_j p_j (\|w_j\|^2 + b_{1j}^2 + \|a_j\|_1^2)
            + \frac\rho2 \sum_j (\|w_j\|^2 + b_{1j}^2) \|a_j\|^2

        (for one output ``|a_j|_1^2`` is ``a_j^2``; for several the losses of the outputs add up;
        b_2 enters f and is not penalised).
        A balanced network with one neuron for each block ``w_j a_j`` of a convex problem has the
        convex objective, p and rho being that problem's pattern weights and ridge.

        Parameters
        ----------
        X : (n_samples, n_features) array
            Data.
        y : (n_samples,) or (n_samples, n_outputs) array
            Targets; the latter for several outputs.
        beta : float
            Penalty, >= 0.
        loss : str or Loss
            ``"squared"``, ``"huber"``, ``"logistic"``, ``"squared_hinge"``, or a loss object.
        sample_weight : (n_samples,) array, optional
            Weights s >= 0; 1 by default.
        ridge : float
            rho >= 0.
        pattern_weight : (n_neurons,) array, optional
            Weights p > 0, one for each neuron; 1 by default.

        Returns
        -------
        float
            The objective.

        Raises
        ------
        TypeError, ValueError
            If an argument is not as described, or the objective overflows.

        Examples
        --------
        >>> import pyconvexnn as cx
        >>> net = cx.GatedNetwork.from_arrays([[1.0]], [[2.0]], gates=[[1.0]])
        >>> net.objective([[1.0], [-1.0]], [1.0, 1.0], beta=0.1)   # (1 + 1) / 2 + .1 (1 + 4) / 2
        1.25
        """
        X = as_matrix(X, columns=self.n_features)
        targets = self._as_targets(y, len(X))
        beta, ridge, loss = nonnegative(beta, "beta"), nonnegative(ridge, "ridge"), get_loss(loss)
        weights = _as_positive(sample_weight, "sample_weight", len(X), zero=True)
        blocks = _as_positive(pattern_weight, "pattern_weight", self.n_neurons, zero=False)
        for column in targets.T:
            loss.check_targets(column, "y")
        with np.errstate(over="ignore", invalid="ignore"):
            outputs = self._outputs(X)
            value = sum(
                loss.value(f, t, weights) for f, t in zip(outputs.T, targets.T, strict=True)
            )
            hidden = np.sum(self.W1**2, axis=1)
            if self.b1 is not None:
                hidden = hidden + self.b1**2
            outer = np.sum(np.abs(self.W2), axis=1) ** 2
            value += beta / 2 * float(np.sum(blocks * (hidden + outer)))
            value += ridge / 2 * float(np.sum(hidden * np.sum(self.W2**2, axis=1)))
        if not np.isfinite(value):
            raise ValueError("the objective overflows: rescale `X`, `y` or the weights")
        return value

    def balance(self: Net) -> Net:
        """Return the same function with each neuron at its least penalty: ``|w_j| = |a_j|_1``.

        w_j includes b_1j. Neurons that contribute nothing, as w_j or a_j is zero, become zero.
        The penalty of :meth:`objective` is then ``beta sum_j |w_j| |a_j|_1``.

        Examples
        --------
        >>> import pyconvexnn as cx
        >>> net = cx.GatedNetwork.from_arrays([[1.0]], [[4.0]], gates=[[1.0]]).balance()
        >>> net.W1.item(), net.W2.item()
        (2.0, 2.0)
        """
        w = self.W1 if self.b1 is None else np.column_stack([self.W1, self.b1])
        hidden = np.sqrt(_row_norms(w))
        outer = np.sqrt(np.sum(np.abs(self.W2), axis=1))
        alive = (hidden > 0) & (outer > 0)
        # Of two roots, as the quotient of the norms itself could overflow.
        up = np.where(alive, outer / np.where(alive, hidden, 1.0), 0.0)
        down = np.where(alive, hidden / np.where(alive, outer, 1.0), 0.0)
        return dataclasses.replace(  # type: ignore[type-var]  # every subclass is a dataclass
            self,
            W1=self.W1 * up[:, np.newaxis],
            W2=self.W2 * down[:, np.newaxis],
            b1=None if self.b1 is None else self.b1 * up,
        )

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the network to exactly this path, as an uncompressed ``.npz`` without pickle.

        Raises
        ------
        OSError
            If the file cannot be written.

        See Also
        --------
        pyconvexnn.load_network : reads it.
        """
        write_network(path, self, {})  # type: ignore[arg-type]  # the subclasses are Network

    def __repr__(self) -> str:
        """Sizes, not contents."""
        return (
            f"{type(self).__name__}(n_neurons={self.n_neurons}, n_features={self.n_features}, "
            f"n_outputs={self.n_outputs}{self._kind})"
        )

    @property
    def _kind(self) -> str:
        """What `repr` says of the hidden layer."""
        return ""

    @abstractmethod
    def _activate(self, rows: FloatArray, hidden: FloatArray) -> None:
        """Turn the (c, m) inputs of the neurons for some Fortran-ordered rows into their outputs.

        In place.
        """

    def _check_weights(self) -> None:
        """Convert the arrays, check them against each other and freeze them."""
        W1 = _as_weights(self.W1, "W1")
        W2 = _as_weights(self.W2, "W2", rows=len(W1))
        b1 = None if self.b1 is None else as_vector(self.b1, "b1", length=len(W1))
        b2 = None if self.b2 is None else as_vector(self.b2, "b2", length=W2.shape[1])
        for name, value in [("W1", W1), ("W2", W2), ("b1", b1), ("b2", b2)]:
            object.__setattr__(self, name, value)

    def _outputs(self, X: FloatArray) -> FloatArray:
        """Return the outputs (n, K), a block of rows at a time; X as `as_matrix` returns it.

        Nothing overflows: the entries of all factors are at most LARGEST_SCALE = 1e60 in size.
        """
        outputs = np.zeros((len(X), self.n_outputs))
        step = max(1, _BLOCK_ENTRIES // max(1, self.n_neurons))
        for start in range(0, len(X) if self.n_neurons else 0, step):
            rows = np.asfortranarray(X[start : start + step])
            hidden = rows @ self.W1.T
            if self.b1 is not None:
                hidden += self.b1
            self._activate(rows, hidden)
            outputs[start : start + step] = hidden @ self.W2
        if self.b2 is not None:
            outputs += self.b2
        return outputs

    def _as_targets(self, y: ArrayLike, n_samples: int) -> FloatArray:
        """Targets as an (n, K) matrix."""
        if self.n_outputs == 1:
            return as_vector(y, "y", length=n_samples)[:, np.newaxis]
        targets = as_matrix(y, "y", columns=self.n_outputs)
        if len(targets) != n_samples:
            raise ValueError(f"`y` must have {n_samples} rows, got shape {targets.shape}")
        return targets


@dataclass(frozen=True, eq=False, repr=False)
class GatedNetwork(_TwoLayers):
    r"""Two-layer gated ReLU network with fixed gates g_j.

    .. math:: f(x) = \sum_{j=1}^m 1[x^T g_j \ge 0] \, (x^T w_j + b_{1j}) \, a_j + b_2

    Here w_j, a_j are the rows of W1, W2. The gates' bits are computed by the same compiled
    function as the patterns of a :class:`pyconvexnn.PatternSet`: a row of the training data has
    exactly the bits that it was trained with, on a gate's hyperplane as well.

    Parameters
    ----------
    W1 : (n_neurons, n_features) array
        Hidden weights.
    W2 : (n_neurons, n_outputs) array
        Output weights.
    gates : (n_neurons, n_features) array
        Gates. There may be no neurons at all: then all three have no rows.
    b1 : (n_neurons,) array, optional
        Hidden biases; decayed like W1.
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
    """

    W1: FloatArray
    W2: FloatArray
    gates: FloatArray
    b1: FloatArray | None = None
    b2: FloatArray | None = None

    activation: ClassVar[str] = "gated_relu"

    def __post_init__(self) -> None:
        """Convert the arrays, check them against each other and freeze them."""
        self._check_weights()
        gates = _as_weights(self.gates, "gates", rows=len(self.W1), columns=self.W1.shape[1])
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

    def __reduce__(self) -> tuple[Any, ...]:
        """Copy and unpickle through the constructor: its arrays are read-only again."""
        return GatedNetwork, (self.W1, self.W2, self.gates, self.b1, self.b2)

    def _activate(self, rows: FloatArray, hidden: FloatArray) -> None:
        packed = _core.sign_patterns(rows, self.gates).astype("<u8", copy=False)
        bits = np.unpackbits(packed.view(np.uint8), axis=1, count=len(rows), bitorder="little")
        hidden[bits.T == 0] = 0.0


@dataclass(frozen=True, eq=False, repr=False)
class TwoLayerNetwork(_TwoLayers):
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

    def __reduce__(self) -> tuple[Any, ...]:
        """Copy and unpickle through the constructor: its arrays are read-only again."""
        return TwoLayerNetwork, (self.W1, self.W2, self.b1, self.b2, self.activation, self.slope)

    @property
    def _kind(self) -> str:
        slope = f", slope={self.slope:g}" if self.activation == "leaky_relu" else ""
        return f", activation={self.activation!r}{slope}"

    def _activate(self, rows: FloatArray, hidden: FloatArray) -> None:
        slope = slope_of(self.activation, self.slope)
        np.multiply(hidden, slope, out=hidden, where=hidden < 0)


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

    arrays = {"W1": net.W1, "W2": net.W2}
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

    matrices = dict.fromkeys(("W1", "W2"), ("<f8", 2))
    others = {"gates": ("<f8", 2), "b1": ("<f8", 1), "b2": ("<f8", 1)}
    return _npz.read(path, "network", matrices, others, _from_file)


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
    if gated != (slope is None):
        raise ValueError(f"its JSON part must hold {'no' if gated else 'a'} slope")
    if gated:
        return GatedNetwork(**arrays), extra
    return TwoLayerNetwork(**arrays, activation=activation, slope=slope), extra


def _as_weights(
    array: ArrayLike, name: str, *, rows: int | None = None, columns: int | None = None
) -> FloatArray:
    """Read-only C-ordered matrix; unlike data it may have no rows, but not no columns."""
    shape: tuple[int, ...] = getattr(array, "shape", ())
    if len(shape) == 2 and shape[0] == 0 and shape[1] > 0:
        weights = np.zeros(shape)
        if columns not in (None, shape[1]):
            raise ValueError(f"`{name}` must have {columns} columns, got shape {shape}")
    else:
        weights = np.array(as_matrix(array, name, columns=columns), order="C")
    if rows not in (None, len(weights)):
        raise ValueError(f"`{name}` must have {rows} rows, got shape {weights.shape}")
    weights.flags.writeable = False
    return weights


def _as_positive(values: ArrayLike | None, name: str, length: int, *, zero: bool) -> FloatArray:
    """Weights (length,), > 0 or >= 0; ones by default."""
    if values is None:
        return np.ones(length)
    weights = as_vector(values, name, length=length)
    wrong = weights[(weights < 0) if zero else (weights <= 0)]
    if wrong.size:
        raise ValueError(f"`{name}` must be {'>=' if zero else '>'} 0, got {float(wrong[0])}")
    return weights


def _row_norms(A: FloatArray) -> FloatArray:
    """Euclidean norms of the rows, without underflow."""
    largest = np.abs(A).max(axis=1, initial=0.0)
    safe = np.where(largest == 0, 1.0, largest)
    return np.asarray(largest * np.linalg.norm(A / safe[:, np.newaxis], axis=1))
