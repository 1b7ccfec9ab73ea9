"""Block coordinate descent with working sets (compiled)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from pyconvexnn.solvers.compiled import GatedSolver


@dataclass(frozen=True)
class CoordinateDescent(GatedSolver):
    """Proximal block coordinate descent on working sets, accelerated.

    Each epoch takes one proximal gradient step in every block of the working set; a working set
    is solved until the gap of its own program is a fifth of the whole gap, then the patterns are
    priced and the set is chosen anew (Johnson and Guestrin 2015; Massias, Gramfort and Salmon
    2018). Patterns that the gap shows to be zero at every optimum are priced no more (gap-safe
    screening: Ndiaye, Fercoq, Gramfort and Salmon 2017) until the last gap, which is that over
    all patterns. Anderson extrapolation (Bertrand and Massias 2021) and, every ten epochs, a
    truncated Newton step on the non-zero blocks speed it up; either is taken only where the
    objective falls.

    An iteration is an epoch, or one of conjugate gradients in a Newton step.
    """

    code: ClassVar[int] = 0
    title: ClassVar[str] = "coordinate descent"
    arrays: ClassVar[int] = 15
