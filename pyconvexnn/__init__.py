"""Two-layer neural networks trained to their global optimum by convex programming.

Importing this package loads NumPy and nothing else of weight: SciPy is loaded where it is
needed, never by a solve, scikit-learn with the estimators.
"""

from __future__ import annotations

import importlib
import importlib.util
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if importlib.util.find_spec("pyconvexnn._core") is None:
    raise ImportError(
        "pyconvexnn's compiled part `_core` is missing: this is a source tree that was not built, "
        "and its folder hides an installed package; use the console script `pyconvexnn`, start "
        "Python in another folder, or run `pip install -e .` here"
    )

from pyconvexnn import losses
from pyconvexnn._runtime import show_config
from pyconvexnn.certificates import Certificate, Verification, verify
from pyconvexnn.networks import GatedNetwork, TwoLayerNetwork, load_network
from pyconvexnn.patterns import PatternSet, load_patterns
from pyconvexnn.problems import GatedReLUProblem, ReLUProblem, SparseBlocks
from pyconvexnn.recovery import Decomposition, decompose, recover
from pyconvexnn.solvers import Path, Progress, Solution, Status, solve, solve_path

if TYPE_CHECKING:
    import pyconvexnn.datasets as datasets
    import pyconvexnn.plots as plots
    from pyconvexnn.enumeration import count_patterns, enumerate_patterns, iter_patterns
    from pyconvexnn.estimators import (
        ConvexMLPClassifier,
        ConvexMLPClassifierCV,
        ConvexMLPRegressor,
        ConvexMLPRegressorCV,
    )
    from pyconvexnn.pruning import prune
    from pyconvexnn.sampling import sample_patterns
    from pyconvexnn.training.beta_max import BetaMax, beta_max
    from pyconvexnn.training.certify import certify
    from pyconvexnn.training.stationarity import Stationarity, stationarity
    from pyconvexnn.training.train import Fit, train
    from pyconvexnn.uniqueness import is_unique

# Loaded on first use: they import scikit-learn or matplotlib, or are not needed by every program.
_LAZY = {
    "BetaMax": "pyconvexnn.training",
    "ConvexMLPClassifier": "pyconvexnn.estimators",
    "ConvexMLPClassifierCV": "pyconvexnn.estimators",
    "ConvexMLPRegressor": "pyconvexnn.estimators",
    "ConvexMLPRegressorCV": "pyconvexnn.estimators",
    "Fit": "pyconvexnn.training",
    "Stationarity": "pyconvexnn.training",
    "beta_max": "pyconvexnn.training",
    "certify": "pyconvexnn.training",
    "count_patterns": "pyconvexnn.enumeration",
    "datasets": "pyconvexnn",
    "enumerate_patterns": "pyconvexnn.enumeration",
    "iter_patterns": "pyconvexnn.enumeration",
    "is_unique": "pyconvexnn.uniqueness",
    "plots": "pyconvexnn",
    "prune": "pyconvexnn.pruning",
    "sample_patterns": "pyconvexnn.sampling",
    "stationarity": "pyconvexnn.training",
    "train": "pyconvexnn.training",
}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module 'pyconvexnn' has no attribute {name!r}")
    if _LAZY[name] == __name__:
        return importlib.import_module(f"{__name__}.{name}")
    return getattr(importlib.import_module(_LAZY[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)


__all__ = [
    "BetaMax",
    "Certificate",
    "ConvexMLPClassifier",
    "ConvexMLPClassifierCV",
    "ConvexMLPRegressor",
    "ConvexMLPRegressorCV",
    "Decomposition",
    "Fit",
    "GatedNetwork",
    "GatedReLUProblem",
    "Path",
    "PatternSet",
    "Progress",
    "ReLUProblem",
    "Solution",
    "SparseBlocks",
    "Stationarity",
    "Status",
    "TwoLayerNetwork",
    "Verification",
    "__version__",
    "beta_max",
    "certify",
    "count_patterns",
    "datasets",
    "decompose",
    "enumerate_patterns",
    "is_unique",
    "iter_patterns",
    "load_network",
    "load_patterns",
    "losses",
    "plots",
    "prune",
    "recover",
    "sample_patterns",
    "show_config",
    "solve",
    "solve_path",
    "stationarity",
    "train",
    "verify",
]
