"""SciPy's L-BFGS on the network itself: non-convex, several starts, always available.

    F(U, a) = sum_k loss(f_k, y_k) + beta/2 (||U||^2 + ||a||^2),  f = sum_j (X u_j)_+ a_j

"Tolerance" is the number of starts, of which the best counts.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from bench.peers.protocol import FloatArray, Method, Problem, Session
from bench.peers.shapes import tiny
from bench.peers.trained import Start, Trained

LOSSES = frozenset({"squared", "huber", "logistic", "squared_hinge", "poisson"})
METHODS = (
    Method(
        "scipy-lbfgs",
        None,
        frozenset({"relu"}),
        LOSSES,
        (1, 3, 10),
        convex=False,
    ),
)
WIDTH = 50
DELTA = 1.35  # of the Huber loss


def loss(name: str, f: FloatArray, y: FloatArray) -> tuple[float, FloatArray]:
    """Sum of the losses, and the derivative in each f."""
    if name == "squared":
        return float(0.5 * np.sum((f - y) ** 2)), f - y
    if name == "huber":
        r = f - y
        inside = np.clip(r, -DELTA, DELTA)
        return float(np.sum(inside * (r - 0.5 * inside))), inside
    if name == "logistic":
        z = y * f
        derivative = -y * np.exp(-np.logaddexp(0.0, z))
        return float(np.sum(np.logaddexp(0.0, -z))), derivative
    if name == "squared_hinge":
        margin = np.maximum(1.0 - y * f, 0.0)
        return float(0.5 * np.sum(margin**2)), -y * margin
    if name == "poisson":
        # A long step may overflow: infinity makes the line search shorten it.
        with np.errstate(over="ignore"):
            rate = np.exp(f)
        saturated = np.where(y > 0, y * np.log(np.where(y > 0, y, 1.0)), 0.0) - y
        return float(np.sum(rate - y * f + saturated)), rate - y
    raise ValueError(f"`name` must be one of {', '.join(sorted(LOSSES))}, got {name!r}")


def network_objective(
    problem: Problem, beta: float
) -> Callable[[FloatArray], tuple[float, FloatArray]]:
    """F and its gradient as a function of one vector: U row by row, then a."""
    X, y, d = problem.X, problem.y, problem.X.shape[1]

    def objective(parameters: FloatArray) -> tuple[float, FloatArray]:
        hidden, output = split(parameters, d)
        active = np.maximum(X @ hidden.T, 0.0)
        value, slope = loss(problem.loss, active @ output, y)
        back = np.where(active > 0, slope[:, None] * output, 0.0)
        gradient = np.concatenate([(back.T @ X).ravel(), active.T @ slope])
        value += 0.5 * beta * float(parameters @ parameters)
        return value, gradient + beta * parameters

    return objective


def split(parameters: FloatArray, d: int) -> tuple[FloatArray, FloatArray]:
    """The rows u_j, and a."""
    width = len(parameters) // (d + 1)
    return parameters[: width * d].reshape(width, d), parameters[width * d :]


def start(seed: int, d: int, width: int = WIDTH) -> FloatArray:
    """Random parameters, f of order 1."""
    rng = np.random.default_rng([seed, d])
    hidden = rng.standard_normal((width, d)) / np.sqrt(d)
    output = rng.standard_normal(width) / np.sqrt(width)
    return np.concatenate([hidden.ravel(), output])


class _Lbfgs(Trained):
    def train(self, beta: float, seed: int) -> Start:
        from scipy.optimize import minimize

        found = minimize(
            network_objective(self._problem, beta),
            start(seed, self._problem.X.shape[1]),
            jac=True,
            method="L-BFGS-B",
            options={"maxiter": 5000, "maxfun": 10000, "gtol": 1e-7, "ftol": 1e-12, "maxcor": 20},
        )
        return float(found.fun), *split(np.asarray(found.x), self._problem.X.shape[1])


def prepare(method: str, problem: Problem) -> Session:
    """Import SciPy."""
    if method != "scipy-lbfgs":
        raise ValueError(f"`method` must be 'scipy-lbfgs', got {method!r}")
    _Lbfgs(tiny(problem)).solve(1)
    return _Lbfgs(problem)
