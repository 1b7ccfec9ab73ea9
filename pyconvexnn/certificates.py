"""Proofs of quality, recomputed in NumPy from raw data by code that did not produce them."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from pyconvexnn._blocks import row_blocks
from pyconvexnn._rounding import down, exact_dot, freivalds, growth, underflow, up
from pyconvexnn._typing import FloatArray
from pyconvexnn.losses import Loss
from pyconvexnn.networks import Network, TwoLayerNetwork, activate, slope_of
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


class LowerBound(NamedTuple):
    """``D(scale dual) >= value``: see :func:`lower_bound`."""

    value: float
    scale: float
    dual: FloatArray


def lower_bound(
    loss: Loss,
    v: FloatArray,
    y: FloatArray,
    sample_weight: FloatArray,
    beta: float,
    price_bound: float,
    *,
    output_offset: bool = False,
) -> LowerBound:
    r"""Lower bound of the optimum over all networks, in real arithmetic, from one dual point.

    For every s in [0, beta / M] with s v in the domain of D

    .. math:: D(s v) \le \min_{u_j, \alpha_j, b} \sum_k s_k \ell(f(x_k), y_k)
        + \tfrac\beta2 \sum_j (\|u_j\|^2 + \|\alpha_j\|_2^2)

    if M is at least ``max ||v' act(X u)||_2`` over all ``||u|| <= 1`` and, with an output offset
    b, every column of v sums to zero exactly. Losses of several outputs add up.

    Parameters
    ----------
    loss : Loss
        Loss.
    v : (n,) or (n, K) float64
        Dual point; a column for each of several outputs. With `output_offset` as
        :func:`pyconvexnn._rounding.balanced` returns it, and priced so.
    y : (n,) or (n, K) float64
        Targets.
    sample_weight : (n,) float64
        Weights >= 0.
    beta : float
        Penalty, > 0.
    price_bound : float
        M; inf gives the bound 0, of a loss that is not negative.
    output_offset : bool
        Whether networks have a free offset.

    Returns
    -------
    LowerBound
        value, never above ``D(scale v)`` in real arithmetic; scale, the best or about; v.

    Raises
    ------
    ValueError
        If v does not sum to zero where it must.

    Examples
    --------
    >>> import numpy as np
    >>> from pyconvexnn.losses import Squared
    >>> y = np.array([3.0, -4.0])
    >>> value, scale, _ = lower_bound(Squared(), y, y, np.ones(2), 1.0, 5.0)
    >>> round(value, 12), round(scale, 12)   # .2 * 25 - .2^2 * 25 / 2
    (4.5, 0.2)
    """
    columns = v.reshape(len(v), -1).T
    if output_offset and any(math.fsum(column.tolist()) != 0.0 for column in columns):
        raise ValueError("`v` must sum to zero exactly with an output offset: see `balanced`")
    limit = math.inf if price_bound == 0.0 else max(down(beta / price_bound), 0.0)
    entries = v.ravel(), y.ravel(), np.repeat(sample_weight, len(columns))
    scale = loss.best_scale(*entries, limit)
    value = loss.dual_bound(*entries, scale)
    # No loss is negative, and D(0) = 0.
    return LowerBound(value, scale, v) if value >= 0.0 else LowerBound(0.0, 0.0, v)


def objective_bound(
    net: TwoLayerNetwork,
    X: FloatArray,
    y: FloatArray,
    beta: float,
    loss: Loss,
    sample_weight: FloatArray,
) -> tuple[float, float]:
    r"""Weight-decay objective of a network, rounded up, and by how much.

    An upper bound of the objective in real arithmetic of the network and data as given:

    .. math:: \sum_k s_k \ell(f(x_k), y_k)
        + \tfrac\beta2 \sum_j (\|w_j\|^2 + b_{1j}^2 + \|a_j\|_2^2).

    f is computed with an error of at most ``(d + m + 8) u`` times the same sums of absolute
    values; the loss is convex, so it is largest at one of the ends of what f may be.

    Parameters
    ----------
    net : TwoLayerNetwork
        With K outputs.
    X : (n, d) float64
        Data.
    y : (n,) or (n, K) float64
        Targets.
    beta : float
        Penalty, >= 0.
    loss : Loss
        Loss; those of several outputs add up.
    sample_weight : (n,) float64
        Weights >= 0.

    Returns
    -------
    tuple of float
        The bound, and the bound less the objective in plain floating point.

    Raises
    ------
    WrongProductError
        If this machine multiplies matrices wrongly.

    Examples
    --------
    >>> import numpy as np, pyconvexnn as cx
    >>> net = cx.TwoLayerNetwork.from_arrays([[1.0]], [[2.0]])
    >>> data = np.array([[1.0], [-1.0]]), np.array([1.0, 1.0])
    >>> above, slack = objective_bound(net, *data, 0.1, cx.losses.Squared(), np.ones(2))
    >>> above >= net.objective(*data, 0.1), slack < 1e-13
    (True, True)
    """
    f, error = _outputs(net, X)
    weights = [net.W1.ravel(), net.W2.ravel(), *([] if net.b1 is None else [net.b1])]
    w = np.concatenate(weights)
    squares = exact_dot(w, w)
    penalty = 0.0 if squares == 0.0 else up(up(up(0.5 * beta) * up(squares)))
    f, error, y = f.ravel(), error.ravel(), y.ravel()
    sample_weight = np.repeat(sample_weight, net.n_outputs)
    above = loss.value_bound(f, error, y, sample_weight)
    if penalty:
        above = up(above + penalty)
    plain = loss.value(f, y, sample_weight) + 0.5 * beta * squares
    return above, max(0.0, above - plain)


def _outputs(net: TwoLayerNetwork, X: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Outputs (n, K) of a network, and what each may be wrong by; some rows at a time."""
    b1 = np.zeros(net.n_neurons) if net.b1 is None else net.b1
    alive = np.any(net.W2 != 0, axis=1) & (np.any(net.W1 != 0, axis=1) | (b1 != 0))
    W, A, b1 = net.W1[alive], net.W2[alive], b1[alive]
    (m, d), b2 = W.shape, np.zeros(net.n_outputs) if net.b2 is None else net.b2
    f = np.tile(b2, (len(X), 1))
    if m == 0:
        return f, np.zeros_like(f)
    slope = slope_of(net.activation, net.slope)
    sizes = np.empty_like(f)
    sides = np.abs(W)
    reach = np.stack([np.einsum("jd,j->d", sides, np.abs(a)) for a in A.T])
    for part in row_blocks(len(X), max(m, d)):
        rows = X[part]
        hidden = rows @ W.T
        freivalds(rows, W.T, hidden)
        hidden += b1
        activate(hidden, slope)
        for k in range(net.n_outputs):
            f[part, k] = np.einsum("kj,j->k", hidden, A[:, k]) + b2[k]
            sizes[part, k] = np.einsum("kd,d->k", np.abs(rows), reach[k])
    sizes += np.sum(np.abs(b1[:, np.newaxis] * A), axis=0) + np.abs(b2)
    lost = underflow((d + m + 8) * (1.0 + np.sum(np.abs(A), axis=0)))
    error = growth(d + m + 8)
    return f, error * (1.0 + error) * sizes + lost


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
