"""The variational second-order method (compiled)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from pyconvexnn.solvers.compiled import GatedSolver


@dataclass(frozen=True)
class Newton(GatedSolver):
    """Newton's method in the norms of the blocks.

    With ``w ||u|| = min_{eta >= 0} w (||u||^2 / eta + eta) / 2`` and the blocks eliminated, the
    program is a smooth convex function g of the P norms eta,

        g(eta) = max_a  D(a) - a' K a / 2 + beta sum_i w_i eta_i / 2,
        K = sum_i eta_i / (beta w_i) D_i X X' D_i,    u_i = eta_i / (beta w_i) X' D_i a,

    minimised over eta >= 0 by Newton steps, each a quadratic program in the norms of the active
    blocks and the most violated others. The n x n systems are solved by conjugate gradients with a
    mean-field preconditioner, or for few samples, and where those fail, by a Cholesky factor. Where
    X is large these products are in single precision, whatever X is given in, as long as its
    rounding does not show; objectives, prices and dual points are always in double. A cold start
    goes through larger penalties. Bach, Jenatton, Mairal and Obozinski (2012, section 5) review the
    variational form.

    An iteration is a Newton step, or the fit to a start or at the next penalty of a cold one.
    """

    code: ClassVar[int] = 1
    title: ClassVar[str] = "Newton's method"
    arrays: ClassVar[int] = 4
