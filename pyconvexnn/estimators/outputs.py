"""Outputs trained on their own, side by side: one network, one certificate."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from pyconvexnn._rounding import down, up
from pyconvexnn.certificates import Certificate
from pyconvexnn.networks import GatedNetwork, Network

_BY_STRENGTH = ("enumeration", "branch_and_bound", "bound", "patterns", "search")


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


def summed(certificates: Sequence[Certificate]) -> Certificate:
    """Certificate of networks side by side, each of an output of its own.

    The sum of the bounds is a bound of the sum; what is said of prices is the worst of them. Each
    dual point is scaled by its own factor first, so that the sum is the dual objective of them all.
    """
    if len(certificates) == 1:
        return certificates[0]
    first = certificates[0]
    known = [c.restricted_bound for c in certificates if c.restricted_bound is not None]
    escape = max(certificates, key=lambda cert: cert.escape_gain)
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
        escape_neuron=escape.escape_neuron,
        escape_gain=escape.escape_gain,
        escape_price=escape.escape_price,
        complete=all(cert.complete for cert in certificates),
    )


def _scaled_bound(cert: Certificate) -> float:
    """Bound of the prices of the scaled dual point; inf where nothing is known of the other."""
    return up(cert.scale * cert.price_bound) if math.isfinite(cert.price_bound) else math.inf
