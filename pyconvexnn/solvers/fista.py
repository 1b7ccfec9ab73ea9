"""Accelerated proximal gradient with working sets (compiled)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from pyconvexnn.solvers.compiled import GatedSolver


@dataclass(frozen=True)
class Fista(GatedSolver):
    """FISTA on working sets, with restarts: for loose tolerances and many samples.

    The steps of Beck and Teboulle (2009) in all blocks of a working set at once; their length is
    found by backtracking and grows again slowly. Momentum is dropped where it points uphill or
    raises the objective (O'Donoghue and Candes 2015). A working set is solved until the gap of its
    own program is a tenth of the whole gap, then all patterns are priced and the set is chosen
    anew.

    An iteration is a proximal step.
    """

    code: ClassVar[int] = 2
    title: ClassVar[str] = "accelerated proximal gradient"
    arrays: ClassVar[int] = 7
