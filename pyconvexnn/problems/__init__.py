"""What is minimised: data, patterns, loss and penalty, with NumPy references of each formula."""

from pyconvexnn.problems.base import SparseBlocks
from pyconvexnn.problems.gated_relu import GatedReLUProblem

__all__ = ["GatedReLUProblem", "SparseBlocks"]
