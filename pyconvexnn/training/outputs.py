"""Outputs trained on their own, side by side: one network, one certificate."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np

from pyconvexnn._rounding import down, up
from pyconvexnn._typing import FloatArray
from pyconvexnn.certificates import Certificate
from pyconvexnn.networks import GatedNetwork, Network, TwoLayerNetwork

_BY_STRENGTH = ("enumeration", "branch_and_bound", "bound", "patterns", "search")

Output = TypeVar("Output")


def one_by_one(
    n_outputs: int,
    train_output: Callable[[int, float | None, Callable[[], float | None]], tuple[Output, float]],
    *,
    seconds_left: Callable[[], float | None],
    proof: float | None = None,
) -> list[Output]:
    """Train outputs one after the other; the last gets no less time than the first.

    Parameters
    ----------
    n_outputs : int
        How many there are.
    train_output : callable
        Called with the place of an output, the seconds of proving that are for it, and a function
        that says how many seconds are left for it in all, None for no limit. Returns the output,
        and the seconds that proving took beside training.
    seconds_left : callable
        Seconds left for all outputs, or None.
    proof : float, optional
        Most seconds of proving, over all outputs, ``inf`` for no limit; None: nothing is proved.
    """
    outputs: list[Output] = []
    for place in range(n_outputs):
        parts = n_outputs - place

        def time_left(parts: int = parts) -> float | None:
            seconds = seconds_left()
            return None if seconds is None else seconds / parts

        part = None if proof is None else proof / parts
        output, spent = train_output(place, part, time_left)
        if proof is not None:
            proof = max(proof - spent, 0.0)
        outputs.append(output)
    return outputs


def side_by_side(networks: Sequence[Network]) -> Network:
    """One network with the neurons of all; neuron j feeds only the output it came from."""
    if len(networks) == 1:
        return networks[0]
    W2 = np.zeros((sum(net.n_neurons for net in networks), len(networks)))
    offsets = [net.b2 for net in networks if net.b2 is not None]  # of all networks, or of none
    start = 0
    for output, net in enumerate(networks):
        W2[start : start + net.n_neurons, output] = net.W2[:, 0]
        start += net.n_neurons
    hidden = ("W1", "gates") if isinstance(networks[0], GatedNetwork) else ("W1",)
    weights: dict[str, Any] = {
        name: np.vstack([getattr(net, name) for net in networks]) for name in hidden
    }
    b2 = None if not offsets else np.concatenate(offsets)
    return dataclasses.replace(networks[0], W2=W2, b2=b2, **weights)


def alone(net: TwoLayerNetwork) -> list[TwoLayerNetwork]:
    """For each output the network of one output whose neurons are those that feed it."""
    parts = []
    for k, column in enumerate(net.W2.T):
        fed = column != 0
        weights: dict[str, FloatArray | None] = {
            "W1": net.W1[fed],
            "W2": column[fed, np.newaxis],
            "b1": None if net.b1 is None else net.b1[fed],
            "b2": None if net.b2 is None else net.b2[k : k + 1],
        }
        parts.append(dataclasses.replace(net, **weights))  # type: ignore[arg-type]
    return parts


def summed(certificates: Sequence[Certificate]) -> Certificate:
    """Certificate of networks side by side, each of an output of its own.

    The sum of the bounds is a bound of the sum; what is said of prices is the worst of them. Each
    dual point is scaled by its own factor first, so that the sum is the dual objective of them all.
    The size of a neuron that helps is a vector (K,), zero but for the output that it helps.
    """
    if len(certificates) == 1:
        return certificates[0]
    first = certificates[0]
    known = [c.restricted_bound for c in certificates if c.restricted_bound is not None]
    helped, escape = max(enumerate(certificates), key=lambda found: found[1].escape_gain)
    neuron = escape.escape_neuron
    if neuron is not None:
        neuron = neuron[0], neuron[1] * np.eye(len(certificates))[helped]
    return Certificate(
        objective=up(math.fsum(cert.objective for cert in certificates)),
        lower_bound=down(math.fsum(cert.lower_bound for cert in certificates)),
        method=max((cert.method for cert in certificates), key=_BY_STRENGTH.index),
        rtol=first.rtol,
        dual=np.column_stack([cert.scale * cert.dual for cert in certificates]),
        objective_at_zero=sum(cert.objective_at_zero for cert in certificates),
        beta=first.beta,
        price_bound=max(_scaled_bound(cert) for cert in certificates),
        price_found=max(cert.scale * cert.price_found for cert in certificates),
        restricted_bound=math.fsum(known) if len(known) == len(certificates) else None,
        rounding_slack=sum(cert.rounding_slack for cert in certificates),
        escape_neuron=neuron,
        escape_gain=escape.escape_gain,
        escape_price=escape.escape_price,
        complete=all(cert.complete for cert in certificates),
        penalty="decoupled",
    )


def _scaled_bound(cert: Certificate) -> float:
    """Bound of the prices of the scaled dual point; inf where nothing is known of the other."""
    return up(cert.scale * cert.price_bound) if math.isfinite(cert.price_bound) else math.inf
