"""Proofs of quality, recomputed in NumPy from raw data by code that did not produce them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from pyconvexnn._typing import FloatArray
from pyconvexnn.problems import GatedReLUProblem, ReLUProblem
from pyconvexnn.solvers import Solution
from pyconvexnn.solvers.base import relative_gap

_NO_PROOF = 1e-6  # infeasibility above which a dual point shows nothing


class Verification(NamedTuple):
    """What a solution is worth, recomputed: see :func:`verify`."""

    objective: float
    dual_objective: float
    gap: float
    relative_gap: float
    infeasibility: float


def verify(prob: GatedReLUProblem | ReLUProblem, sol: Solution) -> Verification:
    """Recompute objective, dual bound and infeasibility from ``sol.coef`` and ``sol.dual``.

    Everything is computed in NumPy from the problem's data; no compiled kernel takes part, but
    that compiled projections propose the multipliers which prove the prices of a ReLU problem.
    Whatever they propose, no price is understated.

    Parameters
    ----------
    prob : GatedReLUProblem or ReLUProblem
        Data, patterns and penalty.
    sol : Solution
        Its `coef` and `dual` are looked at, nothing else.

    Returns
    -------
    Verification
        ``objective`` of the coefficients, at their best offset where the problem has one;
        ``dual_objective`` D(v), a lower bound of the optimum when
        ``infeasibility = max(0, max_i ||X^T D_i v|| / (beta w_i) - 1)`` is zero (to rounding,
        1e-12); their difference `gap`; `relative_gap` as `tol` means it. With an output offset v
        must also sum to zero: where ``|sum v| > 1e-12 sum |v|`` that quotient is an infeasibility,
        and ``dual_objective`` is -inf. Above an infeasibility of 1e-6, as when the solution is of
        another problem, nothing is proved: both gaps are infinite. Of a ReLU problem the prices
        are the lengths of the projections of ``X^T D_i v`` and its opposite on the cone of
        pattern i, and the infeasibility is at least that of the coefficients,
        :meth:`ReLUProblem.infeasibility`.

    Raises
    ------
    ValueError
        When the shapes of the solution are not those of the problem.

    Examples
    --------
    >>> import numpy as np, pyconvexnn as cx
    >>> rng = np.random.default_rng(0)
    >>> X, y = rng.standard_normal((40, 3)), rng.standard_normal(40)
    >>> prob = cx.GatedReLUProblem(X, y, cx.sample_patterns(X, 20), beta=1.0)
    >>> cx.verify(prob, cx.solve(prob, tol=1e-6)).relative_gap <= 1e-6
    True
    """
    if not isinstance(prob, (GatedReLUProblem, ReLUProblem)):
        raise TypeError(
            "`prob` must be a GatedReLUProblem or a ReLUProblem, got " + type(prob).__name__
        )
    if not isinstance(sol, Solution):
        raise TypeError(f"`sol` must be a Solution, got {type(sol).__name__}")
    objective = prob.objective(sol.coef)
    dual_objective = prob.dual_objective(sol.dual)
    infeasibility = prob.dual_infeasibility(sol.dual)
    if isinstance(prob, ReLUProblem):
        infeasibility = max(infeasibility, prob.infeasibility(sol.coef))
    proved = dual_objective if infeasibility <= _NO_PROOF else -np.inf
    return Verification(
        objective,
        dual_objective,
        objective - proved,
        relative_gap(objective, proved, prob.objective_at_zero),
        infeasibility,
    )


@dataclass(frozen=True, eq=False)
class Certificate:
    """A network's objective beside a lower bound of what any network of its kind can reach.

    Attributes
    ----------
    objective : float
        Weight-decay objective of the network.
    lower_bound : float
        Lower bound of the optimum: the dual objective at `dual`.
    method : str
        "patterns": against the gated networks whose gates come from one pattern set, or the
        networks without gates whose neurons have their patterns in it.
    rtol : float
        Relative gap at which `is_optimal` is said.
    objective_at_zero : float
        Objective of the network without neurons, which the relative gap refers to when the
        objective vanishes.
    dual : (n,) or (n, K) float64
        The dual point v; K columns for K outputs, whose objectives and bounds are summed.
    """

    objective: float
    lower_bound: float
    method: str
    rtol: float
    dual: FloatArray = field(repr=False)
    objective_at_zero: float = field(default=0.0, repr=False)

    @property
    def gap(self) -> float:
        """``objective - lower_bound``."""
        return self.objective - self.lower_bound

    @property
    def relative_gap(self) -> float:
        """``gap / max(|objective|, 1e-10 objective at zero)``."""
        return relative_gap(self.objective, self.lower_bound, self.objective_at_zero)

    @property
    def is_optimal(self) -> bool:
        """Whether the relative gap is at most `rtol`: proved, not guessed."""
        return self.relative_gap <= self.rtol
