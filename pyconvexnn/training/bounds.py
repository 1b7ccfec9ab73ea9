"""What priced dual points prove, and the certificate that says so."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from pyconvexnn._rounding import balanced
from pyconvexnn._typing import FloatArray
from pyconvexnn.certificates import Certificate, lower_bound, objective_bound
from pyconvexnn.networks import TwoLayerNetwork
from pyconvexnn.pricing import Price
from pyconvexnn.training.escape import Escape
from pyconvexnn.training.shared_task import AnyTask
from pyconvexnn.training.task import Task


@dataclass(frozen=True, eq=False)
class Bound:
    """A lower bound ``D(scale * dual)`` of the optimum, rounded down.

    Attributes
    ----------
    value : float
    slack : float
        What its rounding costs.
    dual : (n,) or (n, K) float64
        v, on the rows that count.
    price_bound, price_found : float
        M >= the largest ``||v' act(X u)||`` of a neuron of length 1, and the largest one found.
    scale : float
        At most beta / M.
    method : str
        What M was found with.
    """

    value: float
    slack: float
    dual: FloatArray
    price_bound: float
    price_found: float
    scale: float
    method: str


def dual_point(task: AnyTask, v: FloatArray) -> FloatArray:
    """Dual point to be priced for a bound: with output offsets its columns sum to zero exactly."""
    if not task.output_offset:
        return v
    return balanced(v) if v.ndim == 1 else np.column_stack([balanced(column) for column in v.T])


def proved_bound(task: Task, v: FloatArray, found: Price) -> Bound:
    """Lower bound of the optimum that a rigorous price of :func:`dual_point` proves."""
    return bound_of_price(task, v, found.bound, found.value, found.method)


def bound_of_price(
    task: AnyTask, v: FloatArray, price_bound: float, price_found: float, method: str
) -> Bound:
    """Lower bound of the optimum from a dual point and a rigorous bound of its price."""
    value, scale, _ = lower_bound(
        task.loss,
        v,
        task.y,
        task.weight,
        task.beta,
        price_bound,
        output_offset=task.output_offset,
    )
    if not price_bound < math.inf:
        value, scale = 0.0, 0.0  # no loss is negative
    plain = task.dual_objective(scale * v)
    slack = max(0.0, plain - value) if plain > -math.inf else 0.0
    return Bound(value, slack, v, price_bound, price_found, scale, method)


def estimated_bound(task: Task, v: FloatArray, price_bound: float) -> float:
    """The same in plain floating point, at a scale <= 1, for a price that may be too small."""
    return task.dual_objective(v * (task.beta / max(price_bound, task.beta)))


def certificate(
    task: AnyTask,
    net: TwoLayerNetwork,
    bound: Bound,
    rtol: float,
    *,
    best: TwoLayerNetwork,
    restricted_bound: float | None = None,
    escape: Escape,
) -> Certificate:
    """Certificate of a network; objectives are recomputed from the data as given, rounded up."""
    targets = task.targets

    def objective(net: TwoLayerNetwork) -> tuple[float, float]:
        return objective_bound(
            net, task.whole_data, targets, task.beta, task.loss, task.whole_weight
        )

    above, slack = objective(net)
    best_above = above if best is net else objective(best)[0]
    if best_above > above:
        best, best_above = net, above
    return Certificate(
        objective=above,
        lower_bound=bound.value,
        method=bound.method,
        rtol=rtol,
        dual=task.everywhere(bound.dual),
        objective_at_zero=task.objective_at_zero,
        beta=task.beta,
        price_bound=bound.price_bound,
        price_found=bound.price_found,
        scale=bound.scale,
        restricted_bound=restricted_bound,
        rounding_slack=slack + bound.slack,
        escape_neuron=escape.neuron,
        escape_gain=escape.gain,
        escape_price=escape.price,
        best_network=best,
        best_objective=best_above,
        fingerprint=task.fingerprint(),
    )
