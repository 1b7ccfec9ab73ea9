"""What two-layer networks have in common: all but their hidden layer."""

from __future__ import annotations

import dataclasses
import os
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike

from pyconvexnn._blocks import row_blocks
from pyconvexnn._files import writing
from pyconvexnn._typing import FloatArray, IndexArray
from pyconvexnn._validation import as_matrix, as_real_array, as_vector, nonnegative
from pyconvexnn.losses import Loss, get_loss
from pyconvexnn.networks.neurons import hidden_of, row_norms, units, with_units

if TYPE_CHECKING:
    import torch

Net = TypeVar("Net", bound="TwoLayers")


class TwoLayers(ABC):
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
        """The penalty in :meth:`objective`, and so the networks that this one competes with.

        ``"weight_decay"``, ``beta / 2 sum_j (|w_j|^2 + b_1j^2 + |a_j|_2^2)``: of all weights alike.
        ``"decoupled"``, ``beta / 2 sum_j (|w_j|^2 + b_1j^2 + |a_j|_1^2)``: K outputs are K problems
        of their own, at whose optimum a neuron feeds one output. That is the penalty of a
        TwoLayerNetwork of several outputs each of whose neurons feeds at most one, where both have
        the same value, and of a GatedNetwork of several outputs; one of matrix weights has a
        penalty of its own.
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
            + \frac\beta2 \sum_j p_j (\|w_j\|^2 + b_{1j}^2 + \|a_j\|^2)
            + \frac\rho2 \sum_j (\|w_j\|^2 + b_{1j}^2) \|a_j\|_2^2

        (``|a_j|`` is the norm of :attr:`penalty`; the losses of several outputs add up, but for the
        cross entropy, which is one of all; b_2 enters f and is not penalised). For matrix weights
        ``|w_j|`` is ``|U_j|_F`` and a_j a number.
        A balanced network with one neuron for each block ``w_j a_j`` of a convex problem has the
        convex objective, p and rho being that problem's pattern weights and ridge.

        Parameters
        ----------
        X : (n_samples, n_features) array
            Data.
        y : (n_samples,) or (n_samples, n_outputs) array
            Targets; the latter for several outputs. For the cross entropy one-hot rows, or class
            numbers 0 to K - 1.
        beta : float
            Penalty, >= 0.
        loss : str or Loss
            ``"squared"``, ``"huber"``, ``"logistic"``, ``"squared_hinge"``,
            ``"hinge"``, ``"poisson"``, ``"cross_entropy"`` of two outputs or more, or a loss
            object.
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
        loss = get_loss(loss)
        targets = self._as_targets(y, len(X), loss)
        beta, ridge = nonnegative(beta, "beta"), nonnegative(ridge, "ridge")
        weights = _as_positive(sample_weight, "sample_weight", len(X), zero=True)
        blocks = _as_positive(pattern_weight, "pattern_weight", self.n_neurons, zero=False)
        for column in [targets] if loss.joint else targets.T:
            loss.check_targets(column, "y")
        with np.errstate(over="ignore", invalid="ignore"):
            outputs = self._outputs(X)
            if loss.joint:
                value = loss.value(outputs, targets, np.tile(weights, (self.n_outputs, 1)).T)
            else:
                value = sum(
                    loss.value(f, t, weights) for f, t in zip(outputs.T, targets.T, strict=True)
                )
            hidden = np.sum(hidden_of(self) ** 2, axis=1)
            outer = self._outer_norms(self.W2) ** 2
            value += beta / 2 * float(np.sum(blocks * (hidden + outer)))
            value += ridge / 2 * float(np.sum(hidden * np.sum(self.W2**2, axis=1)))
        if not np.isfinite(value):
            raise ValueError("the objective overflows: rescale `X`, `y` or the weights")
        return value

    def balance(self: Net) -> Net:
        """Return the same function with each neuron at its least penalty: ``|w_j| = |a_j|``.

        w_j includes b_1j, or is the matrix U_j with its Frobenius norm, and ``|a_j|`` is the norm
        of :attr:`penalty`. Neurons that contribute nothing, as w_j or a_j is zero, become zero. The
        penalty of :meth:`objective` is then ``beta sum_j |w_j| |a_j|``.

        Examples
        --------
        >>> import pyconvexnn as cx
        >>> net = cx.GatedNetwork.from_arrays([[1.0]], [[4.0]], gates=[[1.0]]).balance()
        >>> net.W1.item(), net.W2.item()
        (2.0, 2.0)
        """
        hidden = np.sqrt(row_norms(hidden_of(self)))
        outer = np.sqrt(self._outer_norms(self.W2))
        alive = (hidden > 0) & (outer > 0)
        # Of two roots, as the quotient of the norms itself could overflow.
        up = np.where(alive, outer / np.where(alive, hidden, 1.0), 0.0)
        down = np.where(alive, hidden / np.where(alive, outer, 1.0), 0.0)
        return dataclasses.replace(  # type: ignore[type-var]  # every subclass is a dataclass
            self,
            W1=self.W1 * up.reshape(-1, *[1] * (self.W1.ndim - 1)),
            W2=self.W2 * down[:, np.newaxis],
            b1=None if self.b1 is None else self.b1 * up,
        )

    def merge(self: Net) -> Net:
        r"""Return the same function with one neuron for each direction, balanced.

        Neurons whose ``(w_j, b_1j)`` are positive multiples of each other add up to one,

        .. math::

            \sum_j \phi(x^T w_j + b_{1j}) \, a_j = \phi(x^T u + b) \sum_j \|(w_j, b_{1j})\| \, a_j
            \quad \text{for } (w_j, b_{1j}) = \|(w_j, b_{1j})\| \, (u, b),

        and the penalty is no larger: a sum's norm is at most the sum of norms. So do opposite ones
        where phi is "abs". In a gated network neurons of one gate do: for one output and for matrix
        weights all of them, else those on one line. Neurons that contribute nothing go. The
        function is the same for every x, to rounding: directions within 1e-12 of each other are
        equal.

        Returns
        -------
        The same kind of network
            Balanced, the largest neurons first.

        See Also
        --------
        pyconvexnn.prune : far fewer neurons that have the same outputs on some data.

        Examples
        --------
        >>> import pyconvexnn as cx
        >>> net = cx.TwoLayerNetwork.from_arrays([[1.0], [2.0], [-1.0]], [[3.0], [0.5], [1.0]])
        >>> net.merge().W1.tolist()   # 1 * 3 + 2 * 0.5 = 2 * 2
        [[2.0], [-1.0]]
        """
        U, C = units(self)
        sizes = self._outer_norms(C)
        order = np.argsort(-sizes, kind="stable")
        order = order[: np.count_nonzero(sizes)]
        merged, sums, first = self._merged(U[order], C[order], order)
        again = np.argsort(-self._outer_norms(sums), kind="stable")
        return with_units(self, merged[again], sums[again], first[again])

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
        from pyconvexnn.networks.files import write_network  # which knows every kind of network

        write_network(path, self, {})  # type: ignore[arg-type]  # the subclasses are Network

    def to_torch(self) -> torch.nn.Module:
        """Return the network as a PyTorch module of doubles, with weights of its own.

        A chain of Linear, ReLU and Linear; in place of ReLU, LeakyReLU, which of slope -1 is the
        absolute value. A gated network is a module of its own kind, whose gates are a buffer: they
        are not trained.

        Returns
        -------
        torch.nn.Module
            Of a tensor (n_samples, n_features) of doubles it makes one of (n_samples, n_outputs),
            for one output too.

        Raises
        ------
        ImportError
            If torch is not installed.

        Notes
        -----
        Outputs are those of :meth:`predict` up to rounding. A gate's sign can differ where
        ``x . g_j`` is zero but for rounding: see :meth:`to_onnx`.

        Examples
        --------
        >>> import pyconvexnn as cx
        >>> net = cx.TwoLayerNetwork.from_arrays([[2.0, 0.0]], [[3.0]])
        >>> net.to_torch()  # doctest: +SKIP
        Sequential(
          (0): Linear(in_features=2, out_features=1, bias=False)
          (1): ReLU()
          (2): Linear(in_features=1, out_features=1, bias=False)
        )
        """
        return torch_modules("to_torch").module_of(self)

    def to_onnx(self, path: str | os.PathLike[str]) -> None:
        """Write the network to exactly this path as an ONNX model.

        Its input ``X`` is (batch, n_features), its output ``y`` (batch, n_outputs), both of
        doubles; runtimes of operator set 13, of the year 2021, and later read it.

        Raises
        ------
        TypeError
            If `path` is neither a string nor a path.
        ImportError
            If onnx is not installed.
        OSError
            If the file cannot be written.

        Notes
        -----
        Outputs are those of :meth:`predict` up to rounding. A gated network jumps where
        ``x . g_j = 0``. On which side such a row is, :meth:`predict` decides by adding up products
        feature by feature, as in training; others add in orders of their own, so that the
        gate of a row can differ whose product is zero but for rounding.

        The ``network_`` of an estimator acts on X with an intercept column. To have a model of X
        itself, without gates, make a network of the estimator's weights first:
        ``cx.TwoLayerNetwork.from_arrays(est.coefs_[0].T, est.coefs_[1], *est.intercepts_)``.

        Examples
        --------
        >>> import pathlib, tempfile
        >>> import onnx.reference
        >>> import numpy as np, pyconvexnn as cx
        >>> net = cx.TwoLayerNetwork.from_arrays([[2.0, 0.0]], [[3.0]])
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = pathlib.Path(folder, "net.onnx")
        ...     net.to_onnx(path)
        ...     model = onnx.reference.ReferenceEvaluator(str(path))
        >>> model.run(None, {"X": np.array([[1.0, 0.0], [-1.0, 1.0]])})[0].tolist()
        [[6.0], [0.0]]
        """
        from pyconvexnn import _onnx_graph  # not needed by every program

        with writing(path) as file:
            file.write(_onnx_graph.model_of(self).SerializeToString())  # type: ignore[arg-type]

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

    def _outer_norms(self, C: FloatArray) -> FloatArray:
        """Norms of output weights (m, K) in the penalty, (m,)."""
        return np.asarray(np.sum(np.abs(C), axis=1))

    @abstractmethod
    def _activate(self, rows: FloatArray, hidden: FloatArray) -> None:
        """Turn the (c, m) inputs of the neurons for some Fortran-ordered rows into their outputs.

        In place.
        """

    @abstractmethod
    def _merged(
        self, U: FloatArray, C: FloatArray, neurons: IndexArray
    ) -> tuple[FloatArray, FloatArray, IndexArray]:
        """Sums of the neurons that are one: as `units` gives them, with their numbers in here."""

    @abstractmethod
    def _of_neurons(self, neurons: IndexArray) -> dict[str, FloatArray]:
        """Fields that belong to neurons, beside weights and biases, for some of them."""

    def _check_weights(self, n_outputs: int | None = None) -> None:
        """Convert the arrays, check them against each other and freeze them.

        There is a column of W2 for each output, unless their number is given: then there is one.
        """
        W1 = as_weights(self.W1, "W1")
        W2 = as_weights(self.W2, "W2", rows=len(W1), columns=1 if n_outputs else None)
        b1 = None if self.b1 is None else as_vector(self.b1, "b1", length=len(W1))
        # An offset is only added: it may be as small as it likes, as best offsets are by rounding.
        b2 = None
        if self.b2 is not None:
            b2 = as_vector(self.b2, "b2", length=n_outputs or W2.shape[1], smallest=0.0)
        for name, value in [("W1", W1), ("W2", W2), ("b1", b1), ("b2", b2)]:
            object.__setattr__(self, name, value)

    def _outputs(self, X: FloatArray) -> FloatArray:
        """Return the outputs (n, K), a block of rows at a time; X as `as_matrix` returns it.

        Nothing overflows: the entries of all factors are at most LARGEST_SCALE = 1e60 in size.
        """
        outputs = np.zeros((len(X), self.n_outputs))
        for part in row_blocks(len(X) if self.n_neurons else 0, self.n_neurons):
            outputs[part] = self._of_rows(np.asfortranarray(X[part]))
        if self.b2 is not None:
            outputs += self.b2
        return outputs

    def _of_rows(self, rows: FloatArray) -> FloatArray:
        """Outputs (c, K) for some Fortran-ordered rows, without b2."""
        hidden = self._product(rows, self.W1.T)
        if self.b1 is not None:
            hidden += self.b1
        self._activate(rows, hidden)
        return self._product(hidden, self.W2)

    def _product(self, A: FloatArray, B: FloatArray) -> FloatArray:
        return np.asarray(A @ B)

    def _as_targets(self, y: ArrayLike, n_samples: int, loss: Loss) -> FloatArray:
        """Targets as an (n, K) matrix."""
        if loss.joint:
            if self.n_outputs == 1:
                raise ValueError(
                    f"`loss` = {loss.name!r} must be of a network of several outputs, got one"
                )
            if as_real_array(y, "y").ndim == 1:
                return loss.as_targets(as_vector(y, "y", length=n_samples), "y", self.n_outputs)
        if self.n_outputs == 1:
            return as_vector(y, "y", length=n_samples)[:, np.newaxis]
        targets = as_matrix(y, "y", columns=self.n_outputs)
        if len(targets) != n_samples:
            raise ValueError(f"`y` must have {n_samples} rows, got shape {targets.shape}")
        return targets


def torch_modules(caller: str) -> Any:
    """The module that knows torch, or the error that says how to get that."""
    try:
        from pyconvexnn import _torch_modules
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise ImportError(f"{caller} needs PyTorch: pip install torch") from None
    return _torch_modules


def as_weights(
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
