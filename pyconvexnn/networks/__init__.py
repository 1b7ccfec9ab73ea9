"""Trained networks: frozen weights, predictions and the non-convex objective. No training here."""

from __future__ import annotations

from pyconvexnn.networks.activations import ACTIVATIONS, activate, slope_of
from pyconvexnn.networks.files import Network, load_network, read_network, write_network
from pyconvexnn.networks.gated import GatedNetwork
from pyconvexnn.networks.two_layer import TwoLayerNetwork

__all__ = [
    "ACTIVATIONS",
    "GatedNetwork",
    "Network",
    "TwoLayerNetwork",
    "activate",
    "load_network",
    "read_network",
    "slope_of",
    "write_network",
]
