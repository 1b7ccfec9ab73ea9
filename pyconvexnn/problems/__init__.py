"""What is minimised: data, patterns, loss and penalty, with NumPy references of each formula."""

from pyconvexnn.problems.base import SparseBlocks
from pyconvexnn.problems.gated_relu import GatedReLUProblem
from pyconvexnn.problems.relu import ReLUProblem

__all__ = ["GatedReLUProblem", "ReLUProblem", "SparseBlocks"]
