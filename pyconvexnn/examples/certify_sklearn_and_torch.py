"""Prove how far networks of scikit-learn and PyTorch are from the best one, and improve them."""

from __future__ import annotations

import numpy as np
from sklearn.neural_network import MLPRegressor

import pyconvexnn as cx

BETA = 1.0  # in: sum of the squared errors / 2 + BETA / 2 * sum of the squared weights


def from_sklearn(X: np.ndarray, y: np.ndarray) -> cx.TwoLayerNetwork:
    """Train with ``alpha = beta``; scikit-learn does not decay hidden biases, which cost here."""
    mlp = MLPRegressor(hidden_layer_sizes=30, alpha=BETA, solver="lbfgs", max_iter=2000)
    return cx.TwoLayerNetwork.from_sklearn(mlp.set_params(random_state=0).fit(X, y))


def from_torch(X: np.ndarray, y: np.ndarray) -> cx.TwoLayerNetwork:
    """Train with MSELoss, the mean of the squared errors: ``weight_decay = 2 beta / n``."""
    import torch

    torch.manual_seed(0)
    torch.set_num_threads(1)  # the products are small
    layers = torch.nn.Linear(2, 30), torch.nn.ReLU(), torch.nn.Linear(30, 1)
    module = torch.nn.Sequential(*layers).double()
    optimizer = torch.optim.SGD(module.parameters(), 0.05, 0.9, weight_decay=2 * BETA / len(y))
    for _ in range(1000):
        optimizer.zero_grad()
        torch.nn.MSELoss()(module(torch.tensor(X))[:, 0], torch.tensor(y)).backward()
        optimizer.step()
    return cx.TwoLayerNetwork.from_torch(module)


def main() -> None:
    """Print what is known of each network, and three networks that come from it."""
    X = np.random.default_rng(0).standard_normal((200, 2))
    y = np.abs(X[:, 0]) - np.maximum(X[:, 1], 0)
    for name, train in [("scikit-learn", from_sklearn), ("PyTorch", from_torch)]:
        try:
            net = train(X, y)
        except ModuleNotFoundError:
            print(f"{name}: not installed")
            continue
        cert = cx.certify(net, X, y, BETA, rtol=1e-3)
        print(f"{name}: {cert.objective:.4f}, {net.n_neurons} neurons")
        print(f"{name}, lower bound: {cert.lower_bound:.4f}, gap: {cert.relative_gap:.1e}")
        small = cx.prune(net, X)  # the same predictions on X
        print(f"{name}, pruned: {small.objective(X, y, BETA):.4f}, {small.n_neurons} neurons")
        if cert.escape_neuron is not None and net.b1 is not None:
            u, alpha = cert.escape_neuron  # the last weight of u is its bias
            W1, W2 = np.vstack([net.W1, u[:-1]]), np.vstack([net.W2, [[alpha]]])
            grown = cx.TwoLayerNetwork.from_arrays(W1, W2, np.append(net.b1, u[-1]), net.b2)
            print(f"{name}, and escape neuron: {grown.balance().objective(X, y, BETA):.4f}")
        print(f"{name}, trained on: {cert.best_objective:.4f}, {cert.best_network}")


if __name__ == "__main__":
    main()
