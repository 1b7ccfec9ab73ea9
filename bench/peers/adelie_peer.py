"""adelie: coordinate descent with pivot screening, patterns as a bool matrix, paths in C++.

adelie minimises ``loss / n + lmda sum ||block||``, several outputs ``loss / (n K)``: beta is n lmda
and n K lmda. Its binomial labels are 0 and 1; `diagnostic.objective` adds
the constants that its losses lack. The coefficient of feature j and output k has index ``j K + k``.
"""

from __future__ import annotations

import contextlib
import logging
from typing import Any

import numpy as np

from bench.peers.protocol import Answer, Method, Problem, Session
from bench.peers.shapes import refuse_above, tiny

METHODS = (
    Method(
        "adelie",
        "adelie.txt",
        frozenset({"gated", "relu"}),
        frozenset({"squared", "logistic", "poisson", "cross_entropy"}),
        (1e-5, 1e-7, 1e-9, 1e-10, 1e-11, 1e-12, 1e-13, 1e-14, 1e-15, 1e-16),
        outputs=True,
    ),
    # With cones at adelie's defaults only a very tight outer tolerance is feasible to 1e-6; with
    # these a loose one is, when they do not fail ("pinball: max iterations reached").
    Method(
        "adelie-tight-cones",
        "adelie.txt",
        frozenset({"relu"}),
        frozenset({"squared", "logistic"}),
        (1e-7, 1e-9, 1e-10, 1e-11, 1e-12),
    ),
    Method(
        "adelie 2 threads",
        "adelie.txt",
        frozenset({"gated"}),
        frozenset({"squared"}),
        (1e-5, 1e-7, 1e-9, 1e-10, 1e-11, 1e-12, 1e-13, 1e-14, 1e-15, 1e-16),
        threads=2,
    ),
)
THREADS = {method.name: method.threads for method in METHODS}
CONES = {"adelie-tight-cones": {"pinball_tol": 1e-14}}


class _Errors(logging.Handler):
    """adelie logs its errors and returns what it has."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.last = ""

    def emit(self, record: logging.LogRecord) -> None:
        self.last = record.getMessage()


class _Adelie:
    def __init__(self, method: str, problem: Problem) -> None:
        import adelie

        self._adelie = adelie
        self._problem = problem
        self._state: Any = None
        self._errors = _Errors()
        logging.getLogger().addHandler(self._errors)
        relu = problem.program == "relu"
        n, d = problem.X.shape
        blocks = len(problem.masks) * (2 if relu else 1)
        outputs = problem.y.shape[1] if problem.y.ndim == 2 else 1
        self._scale = float(n * outputs)
        # Kept: adelie's objects hold references, not copies.
        self._X = np.asfortranarray(problem.X)
        self._masks = np.asfortranarray(problem.masks.T)
        self._matrix = adelie.matrix.convex_relu(self._X, self._masks, gated=not relu)
        self._glm = self._loss()
        self._options = {
            "groups": np.arange(blocks) * d,
            "penalty": np.ones(blocks),
            "constraints": self._cones(CONES.get(method, {})) if relu else None,
            "lmda_path": problem.betas / self._scale,
            "intercept": False,  # the default adds one
            "early_exit": False,  # the default stops at 90 % deviance explained
            "progress_bar": False,
            "n_threads": THREADS[method],
        }

    def _loss(self) -> Any:
        glm, y = self._adelie.glm, self._problem.y
        if self._problem.loss == "squared":
            return glm.gaussian(y) if y.ndim == 1 else glm.multigaussian(np.asfortranarray(y))
        if self._problem.loss == "logistic":
            return glm.binomial((y + 1.0) / 2.0)
        if self._problem.loss == "poisson":
            return glm.poisson(y)
        return glm.multinomial(np.asfortranarray(y))

    def _cones(self, configs: dict[str, float]) -> list[Any]:
        """``(2 D_i - I) X v_i >= 0`` and the same for w_i."""
        X, masks = self._problem.X, self._problem.masks
        if self._problem.y.ndim == 2:
            raise NotImplementedError("adelie's cones are for one output")
        refuse_above(8.0 * X.size * len(masks), "the matrices of its cones")
        lower, upper = np.zeros(len(X)), np.full(len(X), np.inf)
        matrices = [np.where(mask[:, None], X, -X) for mask in masks]
        linear = self._adelie.constraint.linear
        return [
            linear(A, lower=lower, upper=upper, configs=configs or None)
            for _ in "vw"
            for A in matrices
        ]

    def solve(self, tolerance: float) -> None:
        self._errors.last = ""
        tolerances = {"tol": tolerance}
        if self._problem.loss != "squared":  # inner solves at their default: several times faster
            tolerances = {"tol": max(tolerance, 1e-7), "irls_tol": tolerance}
        options = {**self._options, **tolerances}
        self._state = self._adelie.grpnet(self._matrix, self._glm, **options)
        if len(self._state.lmdas) < len(self._problem.betas):
            raise RuntimeError(self._errors.last or "adelie stopped before the end of the path")

    def answer(self) -> Answer:
        state, options = self._state, self._options
        claimed = self._adelie.diagnostic.objective(
            self._matrix,
            self._glm,
            state.betas,
            state.intercepts,
            state.lmdas,
            groups=options["groups"],
            penalty=options["penalty"],
        )
        coef = np.asarray(state.betas.todense()).reshape(-1, *self._problem.blocks)
        return Answer(self._scale * claimed, coef, note=self._errors.last)


def prepare(method: str, problem: Problem) -> Session:
    """Make the matrix object and the cones of the ReLU program."""
    if method not in THREADS:
        raise ValueError(f"`method` must be one of {', '.join(THREADS)}, got {method!r}")
    with contextlib.suppress(RuntimeError):  # its cones may fail on these rows and not on all
        _Adelie(method, tiny(problem)).solve(1e-3)
    return _Adelie(method, problem)
