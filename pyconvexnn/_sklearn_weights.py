"""Weights of scikit-learn's multi-layer perceptrons, by their attributes."""

from __future__ import annotations

from typing import Any

from pyconvexnn._typing import FloatArray
from pyconvexnn._validation import describe


def weights_of(mlp: Any) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """W1 (m, d), W2 (m, K), b1 and b2 of a fitted perceptron; see TwoLayerNetwork.from_sklearn."""
    if isinstance(mlp, type) or not hasattr(mlp, "hidden_layer_sizes"):
        raise TypeError(f"`mlp` must be an MLPRegressor or an MLPClassifier, got {describe(mlp)}")
    kind = type(mlp).__name__
    if not (hasattr(mlp, "coefs_") and hasattr(mlp, "intercepts_")):
        from sklearn.exceptions import NotFittedError

        raise NotFittedError(f"`mlp` must be fitted, got an {kind} that is not")
    if mlp.activation != "relu":
        raise NotImplementedError(
            f"`mlp` must have activation 'relu', got {mlp.activation!r}: no network here has "
            "another one of scikit-learn's"
        )
    if len(mlp.coefs_) != 2:
        raise NotImplementedError(
            f"`mlp` must have one hidden layer, got {len(mlp.coefs_) - 1}: networks here have two "
            "layers"
        )
    # The link of its last layer; for classes that are no alternatives there are several outputs.
    link, n_outputs = mlp.out_activation_, mlp.coefs_[1].shape[1]
    if link != "identity" and not (link == "logistic" and n_outputs == 1):
        raise NotImplementedError(
            "`mlp` must be a regressor or of two classes, with the squared or the logistic loss; "
            f"got one whose outputs go through {link!r}"
        )
    return mlp.coefs_[0].T, mlp.coefs_[1], mlp.intercepts_[0], mlp.intercepts_[1]
