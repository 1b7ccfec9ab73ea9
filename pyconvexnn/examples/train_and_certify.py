"""Train a ReLU network to its proved global optimum, save it, and prove it again from the file."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
from sklearn.datasets import load_diabetes
from sklearn.preprocessing import scale

import pyconvexnn as cx


def main() -> None:
    """Print objective, lower bound and gap of the network trained, and of the one loaded."""
    data = load_diabetes()
    columns = [data.feature_names.index(name) for name in ("bmi", "bp", "s5")]
    X, y = scale(data.data[:, columns]), scale(data.target)
    X = np.column_stack([X, np.ones(len(X))])  # hidden biases: penalised, like all weights

    # From beta_max on the best network has no neurons; a tenth to a hundredth of it is useful.
    beta = 0.05 * cx.beta_max(X, y).value
    fit = cx.train(X, y, beta, rtol=1e-4)
    print(f"beta: {beta:.4g}")
    print(f"neurons: {fit.network.n_neurons}")
    print(f"objective: {fit.certificate.objective:.6f}")
    print(f"lower bound: {fit.certificate.lower_bound:.6f}")  # of every network of any width
    print(f"relative gap: {fit.certificate.relative_gap:.1e}")

    with tempfile.TemporaryDirectory() as folder:
        fit.network.save(Path(folder, "network.npz"))
        network = cx.load_network(Path(folder, "network.npz"))
    assert isinstance(network, cx.TwoLayerNetwork)  # files may hold gated networks too
    print(f"same predictions when loaded: {(network.predict(X) == fit.network.predict(X)).all()}")

    # Anybody can prove the same about the file alone, without knowing how it was trained.
    certificate = cx.certify(network, X, y, beta, rtol=1e-4)
    print(f"relative gap proved again: {certificate.relative_gap:.1e}")
    print(f"optimal: {certificate.is_optimal}")


if __name__ == "__main__":
    main()
