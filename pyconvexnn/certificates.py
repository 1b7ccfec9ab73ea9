"""Proofs of quality, recomputed in NumPy from raw data by code that did not produce them."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from pyconvexnn._blocks import row_blocks
from pyconvexnn._bounds import lower_bound as lower_bound
from pyconvexnn._bounds import objective_bound as objective_bound
from pyconvexnn._typing import FloatArray
from pyconvexnn.losses import Loss
from pyconvexnn.networks import Network
from pyconvexnn.problems import GatedReLUProblem, ReLUProblem
from pyconvexnn.solvers import Solution
from pyconvexnn.solvers.base import relative_gap

_NO_PROOF = 1e-6  # infeasibility above which a dual point shows nothing
_ENGINES = {
    "patterns": "the dual point of the solver, over every pattern of the data",
    "enumeration": "every cell of the data was priced",
    "branch_and_bound": "branch and bound over all directions",
    "bound": "a relaxation",
    "search": "no bound: neurons were searched for, and more may exist",
}


class Verification(NamedTuple):
    """What a solution is worth, recomputed: see :func:`verify`.

    Attributes
    ----------
    objective, dual_objective : float
        Of the coefficients and of the dual point.
    gap, relative_gap : float
        Their difference, and as `tol` means it; infinite where nothing is proved.
    infeasibility : float
        By how much a price exceeds its penalty, relative to it; 0 to rounding.

    Examples
    --------
    >>> import pyconvexnn as cx
    >>> X, y, ps = cx.datasets.ar(60, 3, 40)
    >>> prob = cx.GatedReLUProblem(X, y, ps, beta=1.0)
    >>> check = cx.verify(prob, cx.solve(prob))
    >>> check.relative_gap <= 1e-6, check.infeasibility <= 1e-12
    (True, True)
    """

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

    Three levels, which ``str`` tells in words: how far the network is from the best over the
    activation patterns that were looked at, what the best neuron is that any search has found
    outside of them, and what is proved about all networks.

    Attributes
    ----------
    objective : float
        Weight-decay objective of the network. Against all patterns it is rounded up.
    lower_bound : float
        Lower bound of the optimum: the dual objective at ``scale * dual``. Against all patterns
        it is rounded down: no rounding makes it too large.
    method : str
        How the price of `dual` was bounded. "enumeration", "branch_and_bound" or "bound", a
        relaxation: over all neurons. "search": not at all, nothing is proved. "patterns": against
        the gated networks whose gates come from one pattern set, or the networks without gates
        whose neurons have their patterns in it.
    rtol : float
        Relative gap at which `is_optimal` is said.
    dual : (n,) or (n, K) float64
        The dual point v; K columns for K outputs, whose objectives and bounds are summed.
    objective_at_zero : float
        Objective of the network without neurons, which the relative gap refers to when the
        objective vanishes.
    beta : float or None
        Penalty, where prices are told.
    price_bound : float
        M, at least ``max |v' act(X u)|`` over all ``||u|| <= 1`` in real arithmetic; inf where
        nothing is known of it. For K outputs that is the largest entry of the vector, over all
        outputs, with the penalty "decoupled", and its Euclidean length with "weight_decay".
    price_found : float
        The largest ``|v' act(X u)|`` of a neuron that was found, to rounding.
    scale : float
        s, at most ``beta / M``.
    restricted_bound : float or None
        Lower bound of the best over the patterns that were looked at; it proves nothing about
        others.
    rounding_slack : float
        What the inflation against rounding costs: `objective` and `lower_bound` in plain floating
        point would be about so much closer.
    escape_neuron : tuple of a (d,) float64 array and a float, or None
        (u, alpha): a neuron that the network lacks, of direction u, ``||u|| = 1``, and of signed
        size alpha: ``sign(alpha) v' act(X u) > beta`` for the network's own v, and adding
        ``alpha act(X u)``, at the price of ``beta |alpha|``, lowers the objective. None where
        none is known. For K outputs alpha is a vector (K,).
    escape_gain : float
        By how much it does, to rounding.
    escape_price : float
        Its ``|v' act(X u)|`` for the network's own v, more than beta; 0 without one.
    best_network : TwoLayerNetwork, GatedNetwork or None
        The best network that was met.
    best_objective : float or None
        Its objective, rounded up.
    fingerprint : str
        SHA-256 of what the certificate is about, :func:`fingerprint`.
    complete : bool
        With "patterns", whether these are all that lower an objective, of the data as
        :func:`pyconvexnn.enumerate_patterns` reads them: the bound is then one over all networks,
        to rounding.
    penalty : str
        :attr:`TwoLayerNetwork.penalty`: with "decoupled" the networks are K of one output each,
        side by side; with "weight_decay" neurons may feed all outputs.

    Examples
    --------
    >>> import numpy as np, pyconvexnn as cx
    >>> X = np.array([[0.0, 0, 1], [0, 1, 1], [1, 0, 1], [1, 1, 1]])
    >>> cert = cx.train(X, [-1, 1, 1, -1], beta=0.1).certificate
    >>> cert.is_optimal, cert.lower_bound <= cert.objective, cert.escape_neuron
    (True, True, None)
    >>> bool(cert.scale * cert.price_bound <= 0.1 * (1 + 1e-12))
    True
    """

    objective: float
    lower_bound: float
    method: str
    rtol: float
    dual: FloatArray = field(repr=False)
    objective_at_zero: float = field(default=0.0, repr=False)
    beta: float | None = field(default=None, repr=False)
    price_bound: float = field(default=math.inf, repr=False)
    price_found: float = field(default=0.0, repr=False)
    scale: float = field(default=1.0, repr=False)
    restricted_bound: float | None = field(default=None, repr=False)
    rounding_slack: float = field(default=0.0, repr=False)
    escape_neuron: tuple[FloatArray, Any] | None = field(default=None, repr=False)
    escape_gain: float = field(default=0.0, repr=False)
    escape_price: float = field(default=0.0, repr=False)
    best_network: Network | None = field(default=None, repr=False)
    best_objective: float | None = field(default=None, repr=False)
    fingerprint: str = field(default="", repr=False)
    complete: bool = field(default=False, repr=False)
    penalty: str = field(default="weight_decay", repr=False)

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
        return self._proves and self.relative_gap <= self.rtol

    def summary(self) -> str:
        """Three lines: what holds over some patterns, what was found, what is proved."""
        return "\n".join([self._over_patterns(), self._found(), self._proved()])

    def __str__(self) -> str:
        """The summary."""
        return self.summary()

    @property
    def _proves(self) -> bool:
        """Whether the lower bound is one, by the method."""
        if self.method == "patterns":
            return True
        return self.method != "search" and self.price_bound < math.inf

    def _over_patterns(self) -> str:
        bound = self.lower_bound if self.method == "patterns" else self.restricted_bound
        start = "over the patterns looked at: "
        if bound is None:
            return start + f"objective {self.objective:.6g}, not compared with the best"
        gap = relative_gap(self.objective, bound, self.objective_at_zero)
        return start + (
            f"objective {self.objective:.6g}, the best is at least {bound:.6g} "
            f"(relative gap {max(gap, 0.0):.1e})"
        )

    def _found(self) -> str:
        start = "best neuron found outside: "
        if self.method == "patterns" and self.complete:
            return start + "there is no pattern outside"
        if self.beta is None:
            return start + "none was looked for"
        if self.escape_neuron is None:
            worth = self.price_found / self.beta
            return start + (
                f"worth {worth:.6g} times its penalty, none that lowers the objective is known"
            )
        return start + (
            f"worth {self.escape_price / self.beta:.6g} times its penalty, adding it lowers the "
            f"objective by {self.escape_gain:.3g}"
        )

    def _proved(self) -> str:
        start = "over all networks: "
        if self.penalty == "decoupled":
            start = "over all networks whose neurons feed one output each: "
        if self.method == "patterns" and not self.complete:
            return start + "nothing is proved, the bound is over the patterns only"
        if not self._proves:
            return start + f"nothing is proved ({_ENGINES[self.method]})"
        verdict = "optimal" if self.is_optimal else "not proved optimal"
        text = start + (
            f"no objective is below {self.lower_bound:.6g} (relative gap "
            f"{max(self.relative_gap, 0.0):.1e}: {verdict} to {self.rtol:g}; "
            f"{_ENGINES[self.method]})"
        )
        if self.is_optimal or self.best_objective is None or self.best_objective >= self.objective:
            return text
        gap = relative_gap(self.best_objective, self.lower_bound, self.objective_at_zero)
        return text + (
            f"; the best network met: objective {self.best_objective:.6g}, relative gap "
            f"{max(gap, 0.0):.1e}"
        )


def fingerprint(
    X: FloatArray,
    y: FloatArray,
    sample_weight: FloatArray,
    beta: float,
    loss: Loss,
    activation: str,
    slope: float,
    output_offset: bool,
    penalty: str = "weight_decay",
) -> str:
    """SHA-256 of the problem that a certificate is about: the very numbers, and this version.

    y is (n,) or (n, K), and `penalty` that of the networks.

    Examples
    --------
    >>> import numpy as np
    >>> from pyconvexnn.losses import Squared
    >>> X, y = np.eye(2), np.ones(2)
    >>> len(fingerprint(X, y, y, 1.0, Squared(), "relu", 0.0, False))
    64
    """
    from pyconvexnn import __version__

    text: tuple[object, ...] = (__version__, X.shape, float(beta), loss, activation)
    text += (float(slope), bool(output_offset))
    if y.ndim == 2:
        text += (y.shape, penalty)
    digest = hashlib.sha256(repr(text).encode())
    for array in (X, y, sample_weight):
        for part in row_blocks(len(array), array[:1].size):
            digest.update(np.ascontiguousarray(array[part], dtype="<f8").tobytes())
    return digest.hexdigest()
