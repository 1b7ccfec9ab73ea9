"""The one judge of every answer: objective, dual bound and infeasibility from the raw arrays.

Slow and obvious NumPy that shares nothing with the package, so that it can judge the package too.
Notation: ``f`` predictions, ``v`` a dual point, ``D(v) = -sum loss*(-v)``; at the optimum
``v = -loss'(f)``. Weak duality: ``D(v) <= optimum`` when every block's price is at most beta:

    gated   ||X' D_i v||
    relu    max_{|u| <= 1, S_i X u >= 0} +-v' D_i X u = min_{l >= 0} ||+-X' D_i v + X' S_i l||

with ``S_i = 2 D_i - I``. The products stay in chunks of patterns: no (n, P d) matrix is made.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, special

from bench.peers.protocol import Answer, FloatArray, Problem

Indices = NDArray[np.intp]
HUBER = 1.35  # delta
CHUNK = 256  # patterns whose products are held at once
FEASIBLE = 1e-6  # relative violation of a cone above which an answer has failed
_SQUARES_FROM = 1e-100  # dual points beyond are scaled before they are squared
EPS = float(np.finfo(float).eps)


# Losses: value, derivative, conjugate ---------------------------------------------------------


@np.errstate(over="ignore")  # an infinite loss is a true answer
def loss_value(problem: Problem, f: FloatArray) -> float:
    """``sum_k loss(f_k, y_k)`` for predictions f of the shape of y."""
    y = problem.y
    match problem.loss:
        case "squared":
            terms = (f - y) ** 2 / 2
        case "huber":
            r = np.abs(f - y)
            terms = np.where(r <= HUBER, np.minimum(r, HUBER) ** 2 / 2, HUBER * (r - HUBER / 2))
        case "logistic":
            terms = np.logaddexp(0, -y * f)
        case "squared_hinge":
            terms = np.maximum(1 - y * f, 0) ** 2 / 2
        case "hinge":
            terms = np.maximum(1 - y * f, 0)
        case "poisson":
            terms = np.exp(f) - y * f + (special.xlogy(y, y) - y)
        case "cross_entropy":
            terms = special.logsumexp(f, axis=1) - (y * f).sum(axis=1)
        case unknown:
            raise ValueError(f"`loss` must be a loss of the package, got {unknown!r}")
    return float(terms.sum())


@np.errstate(over="ignore")
def loss_gradient(problem: Problem, f: FloatArray) -> FloatArray:
    """``loss'(f_k, y_k)`` for each k (a subgradient of the hinge), the shape of y."""
    y = problem.y
    match problem.loss:
        case "squared":
            gradient = f - y
        case "huber":
            gradient = np.clip(f - y, -HUBER, HUBER)
        case "logistic":
            gradient = -y * special.expit(-y * f)
        case "squared_hinge":
            gradient = -y * np.maximum(1 - y * f, 0)
        case "hinge":
            gradient = np.where(y * f < 1, -y, 0.0)
        case "poisson":
            gradient = np.exp(f) - y
        case "cross_entropy":
            gradient = special.softmax(f, axis=1) - y
        case unknown:
            raise ValueError(f"`loss` must be a loss of the package, got {unknown!r}")
    return np.asarray(gradient)


@np.errstate(over="ignore")
def dual_value(problem: Problem, v: FloatArray) -> float:
    """``D(v) = -sum_k loss*(-v_k)`` for v in the domain, up to rounding at its edge."""
    y = problem.y
    match problem.loss:
        case "squared" | "huber":
            terms = v * (y - v / 2)
        case "logistic":
            p = np.clip(y * v, 0, 1)
            terms = special.entr(p) + special.entr(1 - p)
        case "squared_hinge":
            terms = y * v - v**2 / 2
        case "hinge":
            terms = y * v
        case "poisson":
            t = np.maximum(y - v, 0)
            terms = special.entr(t) + t + (special.xlogy(y, y) - y)
        case "cross_entropy":
            terms = special.entr(np.maximum(y - v, 0))
        case unknown:
            raise ValueError(f"`loss` must be a loss of the package, got {unknown!r}")
    return float(terms.sum())


def clipped(problem: Problem, v: FloatArray) -> FloatArray:
    """The point of the conjugate's domain near v; v itself where it lies inside."""
    y = problem.y
    match problem.loss:
        case "huber":
            return np.clip(v, -HUBER, HUBER)
        case "logistic" | "hinge":
            return np.asarray(y * np.clip(y * v, 0, 1))
        case "squared_hinge":
            return np.asarray(y * np.maximum(y * v, 0))
        case "poisson":
            return np.minimum(v, y)
        case "cross_entropy":  # y - v holds probabilities
            p = np.maximum(y - v, 0)
            total = p.sum(axis=1, keepdims=True)
            return np.asarray(y - np.where(total > 0, p, y) / np.where(total > 0, total, 1))
    return v


def scale_limit(problem: Problem, v: FloatArray) -> float:
    """The largest s with s v in the conjugate's domain, v being inside."""
    largest = float(np.abs(v).max(initial=0))
    match problem.loss:
        case "huber":
            return HUBER / largest if largest > 0 else np.inf
        case "logistic" | "hinge":
            return 1 / largest if largest > 0 else np.inf
        case "poisson" | "cross_entropy":
            above = v > 0
            with np.errstate(over="ignore"):
                return float((problem.y[above] / v[above]).min(initial=np.inf))
    return np.inf


# Predictions, objectives, feasibility ---------------------------------------------------------


def _chunks(kept: Indices) -> Iterator[Indices]:
    """`kept` (indices of patterns) in pieces of at most CHUNK."""
    for start in range(0, len(kept), CHUNK):
        yield kept[start : start + CHUNK]


def predictions(problem: Problem, coef: FloatArray) -> FloatArray:
    """``f = sum_i D_i X u_i``, u_i = v_i - w_i for relu; the shape of y. Zero blocks cost nothing.

    coef : problem.blocks
    """
    u = coef[0] - coef[1] if problem.program == "relu" else coef
    f = np.zeros_like(problem.y, dtype=float)
    for i in _chunks(np.flatnonzero(u.reshape(len(u), -1).any(axis=1))):
        outputs = np.einsum("kd,id...->ik...", problem.X, u[i], optimize=True)
        f += np.einsum("ik,ik...->k...", problem.masks[i].astype(float), outputs)
    return f


def objective(problem: Problem, beta: float, coef: FloatArray) -> float:
    """``sum loss + beta sum ||block||`` of the coefficients, problem.blocks in shape."""
    n_blocks = coef.shape[0] * (coef.shape[1] if problem.program == "relu" else 1)
    norms = np.linalg.norm(coef.reshape(n_blocks, -1), axis=1)
    return loss_value(problem, predictions(problem, coef)) + beta * float(norms.sum())


def network_objective(
    problem: Problem, beta: float, hidden: FloatArray, output: FloatArray
) -> float:
    """``sum loss + beta/2 sum_j (||u_j||^2 + a_j^2)`` of ``f = sum_j (X u_j)_+ a_j``.

    hidden : (m, d), output : (m,)
    """
    f = np.maximum(problem.X @ hidden.T, 0) @ output
    return loss_value(problem, f) + beta / 2 * float((hidden**2).sum() + (output**2).sum())


def at_zero(problem: Problem) -> float:
    """The objective of the zero coefficients."""
    return loss_value(problem, np.zeros_like(problem.y, dtype=float))


def infeasibility(problem: Problem, coef: FloatArray) -> float:
    """``max (-s_k x_k'v)_+ / (||x_k|| ||v||)`` over blocks v, w and rows k; gated: 0.

    Zero blocks and zero rows violate nothing.
    """
    if problem.program == "gated":
        return 0.0
    lengths = np.linalg.norm(problem.X, axis=1)
    X = problem.X / np.where(lengths > 0, lengths, 1)[:, None]
    worst = 0.0
    for half in coef:
        norms = np.linalg.norm(half, axis=1)
        for i in _chunks(np.flatnonzero(norms)):
            inside = (half[i] / norms[i, None]) @ X.T * np.where(problem.masks[i], 1, -1)
            worst = max(worst, -float(inside.min()))
    return worst


# Dual bounds ----------------------------------------------------------------------------------


def residual_dual(problem: Problem, coef: FloatArray) -> FloatArray:
    """``v = -loss'(f)``, which is dual optimal when coef is optimal; the shape of y."""
    return -loss_gradient(problem, predictions(problem, coef))


def gated_prices(problem: Problem, v: FloatArray) -> FloatArray:
    """``||X' D_i v||`` (Frobenius for several outputs) for each pattern: (P,)."""
    n = len(problem.X)
    weighted = (problem.X[:, :, None] * v.reshape(n, 1, -1)).reshape(n, -1)
    prices = [
        np.linalg.norm(problem.masks[i].astype(float) @ weighted, axis=1)
        for i in _chunks(np.arange(len(problem.masks)))
    ]
    return np.concatenate(prices)


def _rounding(problem: Problem, w: FloatArray) -> float:
    """What rounding can have taken from the norm of X' D w in any pattern, to first order."""
    sums = np.abs(problem.X).T @ np.abs(w)
    return len(problem.X) * EPS * float(np.linalg.norm(sums))


def price(problem: Problem, v: FloatArray) -> float:
    """An upper bound on the largest price of any block for v, tight up to rounding."""
    prices = gated_prices(problem, v) * (1 + 1e-12) + _rounding(problem, v)
    if problem.program == "gated":
        return float(prices.max())
    highest = 0.0
    # l = 0 shows that a block's price is at most prices[i]: in falling order, the first one
    # that is not above the maximum so far ends the search.
    for i in np.argsort(-prices):
        if prices[i] <= highest:
            break
        for sign in (1.0, -1.0):
            value = _cone_price(problem, i, sign * v, highest)
            highest = max(highest, min(value, prices[i]))
    return float(highest)


def _cone_price(problem: Problem, i: int, v: FloatArray, enough: float) -> float:
    """``min_{l >= 0} ||X' D_i v + X' S_i l||`` from above, exactly only where above `enough`.

    Any l >= 0 gives a valid value. At the minimum the vector r = X' D_i v + X' S_i l lies in the
    cone, ``S_i X r >= 0``: rows that r violates join the least squares until there are none.
    """
    A = np.where(problem.masks[i], 1.0, -1.0)[:, None] * problem.X
    lengths = np.linalg.norm(A, axis=1)
    w = np.where(problem.masks[i], v, 0.0)
    start = r = problem.X.T @ w
    rows = np.zeros(len(A), dtype=bool)
    value = np.inf
    for _ in range(100):
        inside = A @ r
        inside[rows | (inside >= -1e-14 * np.linalg.norm(r) * lengths)] = 0.0
        worst = np.argsort(inside / np.where(lengths > 0, lengths, 1))[: 4 * A.shape[1]]
        worst = worst[inside[worst] < 0]
        rows[worst] = True
        try:
            multipliers, _ = optimize.nnls(A[rows].T, -start) if rows.any() else (np.zeros(0), 0)
        except RuntimeError:  # its iteration limit: what there is already is valid
            break
        r = start + A[rows].T @ multipliers
        total = np.abs(w)
        total[rows] += multipliers
        value = min(value, float(np.linalg.norm(r)) * (1 + 1e-12) + _rounding(problem, total))
        if value <= enough or len(worst) == 0 or np.linalg.norm(r) <= 1e-13 * np.linalg.norm(start):
            break
    return value


def dual_bound(problem: Problem, beta: float, v: FloatArray) -> float:
    """A lower bound on the optimum from any v, (n,) or (n, K): the best D(s v) with s feasible.

    v is first clipped to the domain of the conjugate; s <= beta / price keeps s v feasible for
    every block. Up to the rounding of the final sum the bound is rigorous. At least 0 = D(0).
    """
    if problem.program == "relu" and problem.y.ndim > 1:
        raise ValueError("`problem` must have one output for a relu program, got several")
    if not np.isfinite(v).all():
        return 0.0
    v = clipped(problem, v)
    largest = float(np.abs(v).max(initial=0.0))
    if largest > 0 and not _SQUARES_FROM <= largest <= 1 / _SQUARES_FROM:
        v = v / largest  # else squares vanish or overflow, and a price of 0 would bound nothing
    highest = price(problem, v)
    limit = min(beta / highest if highest > 0 else np.inf, scale_limit(problem, v))
    return _maximum(lambda s: dual_value(problem, s * v), limit)


def _maximum(function: Callable[[float], float], limit: float) -> float:
    """The largest value met of a concave function on [0, limit]."""
    high = min(limit, 1.0)
    best = max(function(0.0), function(high))
    while high < limit and (value := function(min(2 * high, limit))) > best:
        high, best = min(2 * high, limit), value
    high = min(2 * high, limit)  # the maximiser is not beyond
    if high > 0:
        found = optimize.minimize_scalar(
            lambda s: -function(s),
            bounds=(0.0, high),
            method="bounded",
            options={"xatol": 1e-12 * high, "maxiter": 200},
        )
        best = max(best, -float(found.fun))
    return best


def relative_gap(objective: float, bound: float, at_zero: float) -> float:
    """``(objective - bound) / max(|objective|, 1e-10 at_zero)``."""
    return (objective - bound) / max(abs(objective), 1e-10 * at_zero)


def below_bound(objective: float, bound: float, infeasibility: float = 0.0) -> bool:
    """Whether an objective is impossibly low: under the bound by more than rounding explains.

    Blocks outside of their cones may lie under the optimum in proportion to how far outside:
    relatively by at most a tenth of the infeasibility, as measured on solutions of three solvers.
    """
    slack = 1e-9 + infeasibility
    return objective < bound - slack * max(abs(objective), abs(bound))


# Verdicts -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Judgement:
    """What one answer for one penalty is worth; numbers that a failure hides are NaN."""

    objective: float  # recomputed here
    own_objective: float  # what the method claims
    bound_from_residual: float  # 0 where not asked for: valid for every loss
    bound_from_dual: float  # of the method's own dual point; 0 without one
    infeasibility: float
    failure: str | None  # one sentence, or None


def judge(
    problem: Problem, answer: Answer, k: int = 0, *, accuracy: float = 1e-6, bounds: bool = True
) -> Judgement:
    """The answer for penalty k, recomputed.

    accuracy : how far the method's own objective may lie from ours, relative to the objective (or
        a thousandth of that at zero, where it is smaller). It catches wrong conversions of
        penalties and wrong blocks, which are off by percents; a method that evaluates its
        formula at the coefficients it returns agrees to rounding, one that repeats the claim
        of a solver to about that solver's tolerance, which is then what to pass.
    bounds : False leaves out the dual bounds, the costly part for relu programs.

    A network (``hidden``, ``output``) may use patterns that the problem does not have, so its
    objective may lie below bounds of the convex program without being wrong.
    """
    failed = _malformed(problem, answer, k)
    if failed is not None:
        return Judgement(np.nan, np.nan, 0.0, 0.0, np.nan, failed)
    own = float(answer.objective[k])
    beta = float(problem.betas[k])
    outside, v = 0.0, None
    if answer.coef is not None:
        coef = answer.coef[k]
        value, outside = objective(problem, beta, coef), infeasibility(problem, coef)
        v = residual_dual(problem, coef)
    else:
        assert answer.hidden is not None
        assert answer.output is not None
        value = network_objective(problem, beta, answer.hidden[k], answer.output[k])
    scale = max(abs(value), 1e-3 * at_zero(problem))
    failure = None
    if not np.isfinite(value):
        failure = f"the objective of the returned arrays is {value}"
    elif abs(own - value) > accuracy * scale:
        failure = f"own objective {own:.9g} differs from {value:.9g}, that of the returned arrays"
    elif outside > FEASIBLE:
        failure = f"infeasible: a block violates its cone by {outside:.1e} > {FEASIBLE:.0e}"
    from_residual = dual_bound(problem, beta, v) if bounds and v is not None else 0.0
    from_dual = (
        dual_bound(problem, beta, answer.dual[k]) if bounds and answer.dual is not None else 0.0
    )
    return Judgement(value, own, from_residual, from_dual, outside, failure)


def judge_path(
    problem: Problem, answer: Answer, *, accuracy: float = 1e-6, bounds: bool = True
) -> tuple[Judgement, ...]:
    """A judgement for each penalty."""
    return tuple(
        judge(problem, answer, k, accuracy=accuracy, bounds=bounds)
        for k in range(len(problem.betas))
    )


def _malformed(problem: Problem, answer: Answer, k: int) -> str | None:
    """A sentence about arrays of a wrong shape or that are not finite."""
    B, d = len(problem.betas), problem.X.shape[1]
    shapes: dict[str, tuple[int, ...]] = {"objective": (B,)}
    if answer.coef is not None:
        shapes["coef"] = (B, *problem.blocks)
    elif answer.hidden is not None and answer.output is not None:
        m = (np.shape(answer.output) or (0,))[-1]
        shapes |= {"hidden": (B, m, d), "output": (B, m)}
    else:
        return "neither coefficients nor a network came back"
    if answer.dual is not None:
        shapes["dual"] = (B, *problem.y.shape)
    for name, shape in shapes.items():
        kind = np.asarray(getattr(answer, name)).dtype.kind
        if kind not in "fiu":
            return f"`{name}` must hold real numbers, got dtype kind {kind!r}"
        got = np.shape(getattr(answer, name))
        if got != shape:
            return f"`{name}` must have shape {shape}, got {got}"
        # A dual point that is not finite proves nothing and hurts nothing.
        if name != "dual" and not np.isfinite(getattr(answer, name)[k]).all():
            return f"`{name}` holds NaN or infinity"
    return None
