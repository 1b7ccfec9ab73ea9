"""scnn (distribution pyscnn): R-FISTA on the gated program, augmented Lagrangian on the ReLU one.

scnn minimises ``loss / n + lam sum ||block||``, so that beta is n lam. Its tolerance is on the
squared norm of the smallest subgradient. It would rescale the columns of X, use float32, and make
patterns of gates, of which it drops and reorders some: all three are turned off here. It imports
linalg_backends (as ``lab``), cvxpy, SciPy and tqdm, but neither torchvision nor scikit-learn, which
its metadata ask for: therefore the file for pip's ``--no-deps``.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from bench.peers.protocol import Answer, FloatArray, Method, Problem, Session
from bench.peers.shapes import tiny

METHODS = (
    Method(
        "scnn-rfista",
        "pyscnn.txt",
        frozenset({"gated"}),
        frozenset({"squared"}),
        (1e-5, 1e-6, 1e-7, 1e-8, 1e-9, 1e-10, 1e-12, 1e-14),
        torch=True,
    ),
    Method(
        "scnn-al",
        "pyscnn.txt",
        frozenset({"relu"}),
        frozenset({"squared"}),
        (1e-5, 1e-6, 1e-7, 1e-8, 1e-9, 1e-10, 1e-12),
        torch=True,
    ),
)
ITERATIONS = 1_000_000  # the default, 10 000, ends before a small tolerance is met


class _Scnn:
    def __init__(self, problem: Problem) -> None:
        import scnn.optimize
        import scnn.private.interface.models
        import torch

        torch.set_num_threads(1)
        self._problem = problem
        masks = problem.masks.T.astype(float)
        # The one place where scnn makes patterns of gates; we have patterns without gates.
        scnn.private.interface.models.compute_activation_patterns = lambda X, G, **_: (masks, G)
        self._parameters: list[FloatArray] = []

    def _model(self) -> Any:
        from scnn.models import ConvexGatedReLU, ConvexReLU

        kind = ConvexReLU if self._problem.program == "relu" else ConvexGatedReLU
        return kind(np.zeros(self._problem.blocks[:-3:-1]))  # G: (d, P)

    def _regularizers(self) -> list[Any]:
        from scnn.regularizers import NeuronGL1

        return [NeuronGL1(beta / len(self._problem.X)) for beta in self._problem.betas]

    def solve(self, tolerance: float) -> None:
        from scnn.metrics import Metrics
        from scnn.optimize import optimize_path
        from scnn.solvers import AL, RFISTA

        problem, model = self._problem, self._model()
        if problem.program == "relu":
            # Their bound on a violation is absolute, in units of X v: 1e-8 is meant to leave a
            # relative one below 1e-6.
            solver = AL(model, ITERATIONS, ITERATIONS, tol=tolerance, constraint_tol=1e-8)
        else:
            solver = RFISTA(model, ITERATIONS, tol=tolerance)
        models, _ = optimize_path(
            model,
            solver,
            self._regularizers(),
            Metrics(metric_freq=ITERATIONS),
            problem.X,
            problem.y,
            return_convex=True,
            unitize_data=False,
            dtype="float64",
        )
        self._parameters = [np.array(model.parameters) for model in models]

    def answer(self) -> Answer:
        import lab
        from scnn.private.interface.models import build_internal_model

        problem, n = self._problem, len(self._problem.X)
        X, y = lab.tensor(problem.X), lab.tensor(problem.y[:, None])
        relu = problem.program == "relu"
        plain = {"ignore_lagrange_penalty": True} if relu else {}
        own = []
        for regularizer, parameters in zip(self._regularizers(), self._parameters, strict=True):
            inner = build_internal_model(self._model(), regularizer, X)
            weights = parameters if relu else parameters[0]
            inner.weights = lab.tensor(weights)
            own.append(n * float(inner.objective(X, y, **plain)))
        coef = np.array(self._parameters).reshape(-1, *problem.blocks)
        return Answer(np.array(own), coef)


def prepare(method: str, problem: Problem) -> Session:
    """Import torch and scnn."""
    names = [m.name for m in METHODS]
    if method not in names:
        raise ValueError(f"`method` must be one of {', '.join(names)}, got {method!r}")
    _Scnn(tiny(problem)).solve(1e-2)
    return _Scnn(problem)
