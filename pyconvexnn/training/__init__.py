"""Training to a proved global optimum, and proofs for networks trained elsewhere."""

from pyconvexnn.training.beta_max import BetaMax, beta_max
from pyconvexnn.training.certify import certify
from pyconvexnn.training.rounds import Round
from pyconvexnn.training.stationarity import Stationarity, stationarity
from pyconvexnn.training.train import Fit, train

__all__ = [
    "BetaMax",
    "Fit",
    "Round",
    "Stationarity",
    "beta_max",
    "certify",
    "stationarity",
    "train",
]
