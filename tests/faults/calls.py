"""The long calls of the package by name, and small ones: each returns all that it found, as bytes.

Imported by the tests and by the processes that they start.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

import pyconvexnn as cx
from pyconvexnn.pricing import price

Call = Callable[[], str]


def digest(*found: Any) -> str:
    """Hash of arrays and numbers, bit for bit."""
    contents = hashlib.sha256()
    for one in found:
        array = np.ascontiguousarray(one)
        contents.update(f"{array.dtype} {array.shape}".encode() + array.tobytes())
    return contents.hexdigest()[:32]


def of_patterns(patterns: cx.PatternSet) -> str:
    return digest(patterns.packed, patterns.gates)


def of_solution(sol: cx.Solution) -> str:
    numbers = (sol.objective, sol.dual_objective, sol.n_iter, sol.offset)
    return digest(sol.coef.indices, sol.coef.values, sol.dual, *numbers)


def of_certificate(cert: cx.Certificate) -> str:
    return digest(cert.objective, cert.lower_bound, cert.dual, cert.price_bound)


def of_fit(fit: cx.Fit) -> str:
    return digest(fit.network.W1, fit.network.W2) + of_certificate(fit.certificate)


def gated(n: int, d: int, P: int, ratio: float = 0.02, loss: str = "squared") -> Any:
    X, y, patterns = cx.datasets.gauss(n, d, P, loss=loss)
    prob = cx.GatedReLUProblem(X, y, patterns, 1.0, loss=loss)
    return prob.with_beta(ratio * prob.beta_max)


def relu(n: int, d: int, P: int, ratio: float = 0.02, loss: str = "squared") -> Any:
    X, y, patterns = cx.datasets.gauss(n, d, P, loss=loss)
    prob = cx.ReLUProblem(X, y, patterns, 1.0, loss=loss)
    return prob.with_beta(ratio * prob.beta_max)


def solve(prob: Any, solver: str = "auto", tol: float = 1e-8, threads: int = 1) -> str:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # how far it came is not the question
        return of_solution(cx.solve(prob, solver=solver, tol=tol, threads=threads, max_iter=20_000))


def solve_path(prob: Any, n_betas: int) -> str:
    path = cx.solve_path(prob, n_betas=n_betas, tol=1e-8)
    return "".join(of_solution(sol) for sol in path)


def enumerate_patterns(n: int, d: int, threads: int = 1) -> str:
    X = np.random.default_rng(0).standard_normal((n, d))
    return of_patterns(cx.enumerate_patterns(X, threads=threads))


def sample_patterns(n: int, d: int, P: int, method: str) -> str:
    X = np.random.default_rng(0).standard_normal((n, d))
    around = np.eye(2, d) if method == "local" else None
    return of_patterns(cx.sample_patterns(X, P, method=method, around=around))


def train(n: int, d: int, rtol: float = 1e-4, threads: int = 1) -> str:
    X, y = cx.datasets.teacher(n, d)
    beta = 0.1 * cx.beta_max(X, y).value
    return of_fit(cx.train(X, y, beta, rtol=rtol, threads=threads))


def certify(n: int, d: int, *, improve: bool = True, threads: int = 1, **options: Any) -> str:
    X, y = cx.datasets.teacher(n, d)
    rng = np.random.default_rng(0)
    net = cx.TwoLayerNetwork.from_arrays(rng.standard_normal((5, d + 1)), 0.1 * np.ones((5, 1)))
    beta = 0.1 * cx.beta_max(X, y).value
    return of_certificate(cx.certify(net, X, y, beta, improve=improve, threads=threads, **options))


def fit(n: int, d: int, activation: str, classes: bool = False) -> str:
    X, y = cx.datasets.teacher(n, d)
    kind: Any = cx.ConvexMLPClassifier if classes else cx.ConvexMLPRegressor
    found = kind(activation, beta=1.0, certify=False).fit(X, y > 0 if classes else y)
    return digest(found.predict(X), *found.coefs_)


def find_price(n: int, d: int, method: str, threads: int = 1) -> str:
    rng = np.random.default_rng(0)
    found = price(
        rng.standard_normal((n, d)), rng.standard_normal(n), method=method, threads=threads
    )
    return digest(found.bound, found.value, found.neurons)


# A fifth of a second or so each: longer than a kernel goes on without asking for signals.
LONG: dict[str, Call] = {
    "solve cd": lambda: solve(gated(300, 10, 200, 0.003), "cd"),
    "solve newton": lambda: solve(gated(800, 20, 800, 0.005), "newton"),
    "solve fista": lambda: solve(gated(400, 10, 300, 0.002), "fista"),
    "solve hinge": lambda: solve(gated(300, 10, 200, loss="hinge")),
    "solve cutting plane": lambda: solve(relu(800, 15, 200, 0.01), "cutting_plane"),
    "solve_path": lambda: solve_path(gated(300, 10, 200), 50),
    "enumerate_patterns": lambda: enumerate_patterns(50, 4),
    "sample_patterns gaussian": lambda: sample_patterns(5000, 20, 2000, "gaussian"),
    "sample_patterns sweep": lambda: sample_patterns(5000, 20, 1000, "sweep"),
    "sample_patterns vertex": lambda: sample_patterns(500, 10, 300, "vertex"),
    "sample_patterns uniform": lambda: sample_patterns(300, 5, 3000, "uniform"),
    "sample_patterns local": lambda: sample_patterns(5000, 20, 1000, "local"),
    "train": lambda: train(300, 3),
    "certify": lambda: certify(200, 3),
    "certify enumeration": lambda: certify(80, 3, method="enumeration", improve=False),
    "fit relu": lambda: fit(200, 3, "relu"),
    "fit gated_relu": lambda: fit(300, 5, "gated_relu", classes=True),
    "price branch_and_bound": lambda: find_price(120, 7, "branch_and_bound"),
    "price enumeration": lambda: find_price(60, 4, "enumeration"),
    "price search": lambda: find_price(1000, 10, "search"),
}

# A hundredth of a second or less each, and what every kernel allocates.
SMALL: dict[str, Call] = {
    "solve cd": lambda: solve(gated(20, 3, 8), "cd", 1e-6),
    "solve newton": lambda: solve(gated(20, 3, 8), "newton", 1e-6),
    "solve fista": lambda: solve(gated(20, 3, 8), "fista", 1e-6),
    "solve hinge": lambda: solve(gated(20, 3, 8, loss="hinge"), "newton", 1e-6),
    "solve cutting plane": lambda: solve(relu(20, 3, 8), "cutting_plane", 1e-6),
    # On data large enough that threads are started.
    "solve threads": lambda: solve(relu(30, 3, 40, 0.1), "cutting_plane", 1e-2, threads=4),
    "enumerate_patterns": lambda: enumerate_patterns(8, 3),
    "enumerate_patterns threads": lambda: enumerate_patterns(100, 3, threads=4),
    "sample_patterns uniform": lambda: sample_patterns(12, 3, 9, "uniform"),
    "price branch_and_bound": lambda: find_price(10, 3, "branch_and_bound"),
    "price threads": lambda: find_price(30, 3, "branch_and_bound", threads=4),
    "price enumeration": lambda: find_price(8, 3, "enumeration"),
}
