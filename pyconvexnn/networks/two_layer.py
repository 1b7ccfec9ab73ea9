"""Networks without gates: an activation that is linear on either side of zero."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from pyconvexnn._directions import same_directions
from pyconvexnn._typing import FloatArray, IndexArray
from pyconvexnn._validation import choice
from pyconvexnn.networks.activations import ACTIVATIONS, activate, slope_of
from pyconvexnn.networks.base import TwoLayers, torch_modules
from pyconvexnn.networks.neurons import add_up, row_norms


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
