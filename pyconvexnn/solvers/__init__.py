"""How problems are solved."""

from pyconvexnn.solvers.auto import Auto
from pyconvexnn.solvers.base import Progress, Solution, Solver, Status
from pyconvexnn.solvers.coordinate import CoordinateDescent
from pyconvexnn.solvers.cutting_plane import CuttingPlane
from pyconvexnn.solvers.fista import Fista
from pyconvexnn.solvers.newton import Newton
from pyconvexnn.solvers.path import Path, solve_path
from pyconvexnn.solvers.solve import solve

__all__ = [
    "Auto",
    "CoordinateDescent",
    "CuttingPlane",
    "Fista",
    "Newton",
    "Path",
    "Progress",
    "Solution",
    "Solver",
    "Status",
    "solve",
    "solve_path",
]
