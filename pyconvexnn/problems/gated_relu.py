"""The gated ReLU program over given activation patterns."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pyconvexnn import _core
from pyconvexnn._typing import ArrayLike, FloatArray
from pyconvexnn.losses import Loss
from pyconvexnn.patterns import PatternSet
from pyconvexnn.problems import cvxpy_programs
from pyconvexnn.problems.base import SparseBlocks, as_blocks, block_norms
from pyconvexnn.problems.masked import SMALLEST_BETA as SMALLEST_BETA
from pyconvexnn.problems.masked import PatternProblem

if TYPE_CHECKING:
    import cvxpy


@dataclass(frozen=True, eq=False, init=False, repr=False)
class GatedReLUProblem(PatternProblem):
    r"""Group lasso over the blocks ``D_i X`` of the given activation patterns.

    .. math::

        \min_{u_1 \ldots u_P \in R^d,\, b} \;
        \sum_k s_k\, \ell\big((\sum_i D_i X u_i)_k + b,\, y_k\big)
        \;+\; \sum_i \big(\beta\, w_i \|u_i\|_2 + \tfrac{\rho}{2} \|u_i\|_2^2\big),
        \qquad D_i = \mathrm{diag}(\text{pattern } i),\ \rho = \text{ridge}.

    Its optimum is that of the non-convex weight-decay problem
    ``sum loss + beta/2 sum_j w_j (||u_j||^2 + alpha_j^2)`` over gated networks
    ``sum_j D_j X u_j alpha_j`` with these gates, of any width >= the number of active blocks
    (Mishkin, Sahiner, Pilanci, ICML 2022). No factor 1/n anywhere. Without `output_offset`
    b = 0; with it b is free and not penalised, and every method that takes coefficients u means
    them with their best offset, :meth:`best_offset`.

    With K > 1 outputs blocks U_i are matrices (d, K) with Frobenius norms, b is (K,), and the loss
    is the sum over all entries of the fit (n, K), or one of all outputs: the cross entropy. A
    block is then a unit of matrix weights, with the penalty ``beta / 2 (||U||_F^2 + a^2)``.

    Parameters
    ----------
    X : (n_samples, n_features) array
        Data; float64 inside. Its largest entry is between 1e-60 and 1e60 in size.
    y : (n_samples,) array, or (n_samples, K) for K > 1 outputs
        Targets; -1 and +1 for the losses of labels. For the cross entropy one-hot rows, or class
        numbers 0 to K - 1, which become one-hot rows.
    patterns : PatternSet
        P activation patterns of the n_samples rows.
    beta : float
        Penalty, >= 1e-120.
    loss : str or Loss
        "squared": ``(f - y)^2 / 2``; "huber": the same up to ``|f - y| = 1.35``, linear beyond, or
        ``cx.losses.Huber(delta)``; for labels "logistic": ``log(1 + exp(-y f))``,
        "hinge": ``(1 - y f)_+`` and "squared_hinge": ``(1 - y f)_+^2 / 2``; for counts "poisson":
        ``exp(f) - y f + (y log y - y)``, y >= 0; for classes "cross_entropy":
        ``log sum_j exp(f_j) - y'f``, y one-hot.
    sample_weight : (n_samples,) array, optional
        s_k >= 0, 1 by default; a row of weight 0 does not count.
    pattern_weight : (P,) array, optional
        w_i > 0, 1 by default.
    output_offset : bool
        Whether b is free. The logistic loss then needs both labels among the rows of positive
        weight, the cross entropy every class, and the hinge cannot have it.
    ridge : float
        rho, 0 or >= 1e-120.
    skip : float, optional
        A linear part ``X c``, c (d,) or (d, K), is added to the fit: with ``skip > 0`` at the
        penalty ``beta skip ||c|| + rho ||c||^2 / 2``, as a last block, of the pattern all of whose
        bits are set, which ``prob.patterns`` and the coefficients then have; with 0 without
        penalty, and every method that takes coefficients means them with their best c. The hinge
        cannot have the latter.

    Raises
    ------
    ValueError, TypeError
        Naming the argument, the rule and the value.

    Examples
    --------
    >>> import numpy as np, pyconvexnn as cx
    >>> X, y = np.array([[1.0, 0.0], [0.0, 1.0]]), np.array([3.0, 0.0])
    >>> ps = cx.PatternSet.from_dense([[True, False]])
    >>> prob = cx.GatedReLUProblem(X, y, ps, beta=1.0)
    >>> prob.beta_max
    3.0
    >>> sol = cx.solve(prob, tol=1e-9)
    >>> sol.coef.to_dense().round(6).tolist()
    [[2.0, 0.0]]
    >>> prob = cx.GatedReLUProblem(X, y, ps, beta=1.0, output_offset=True)
    >>> cx.solve(prob, tol=1e-9).coef.to_dense().round(6).tolist()   # and b = 0.5
    [[1.0, 0.0]]
    """

    def __init__(
        self,
        X: ArrayLike,
        y: ArrayLike,
        patterns: PatternSet,
        beta: float,
        *,
        loss: str | Loss = "squared",
        sample_weight: ArrayLike | None = None,
        pattern_weight: ArrayLike | None = None,
        ridge: float = 0.0,
        output_offset: bool = False,
        skip: float | None = None,
    ) -> None:
        self._set(
            X,
            y,
            patterns,
            beta,
            loss=loss,
            sample_weight=sample_weight,
            pattern_weight=pattern_weight,
            ridge=ridge,
            output_offset=output_offset,
            skip=skip,
        )

    @functools.cached_property
    def beta_max(self) -> float:
        """Smallest beta whose optimum is zero: ``max_i ||X^T D_i v0|| / w_i``, v0 = -loss'(b).

        b is the best offset of zero coefficients, 0 in a problem without one.
        """
        v0 = -self._loss_gradient(self._fit_of_zero)
        if self.y.ndim == 1:
            return _core.group_norm_max(self.X, self.patterns.packed, v0, self.pattern_weight)
        G = _core.MaskedProducts(self.X, self.patterns.packed).adjoint(np.asfortranarray(v0))
        return float(np.max(block_norms(G) / self.pattern_weight))

    def to_cvxpy(self) -> cvxpy.Problem:
        """Return the same problem as a ``cvxpy.Problem``.

        Its variable "U" has shape (P, d); with an output offset there is another one, "b", and
        with ``skip = 0`` one, "C". With K > 1 outputs "U" is (P, d K), output by output.

        Raises
        ------
        ImportError
            Without cvxpy (``pip install "pyconvexnn[reference]"``).
        """
        return cvxpy_programs.of_gated_relu(self)

    def _blocks(self, coef: Any) -> SparseBlocks:
        return as_blocks(coef, len(self.patterns), self.n_features, n_outputs=self.n_outputs)

    def _prices(self, v: FloatArray) -> FloatArray:
        """``||X^T D_i v||``, (P,)."""
        return block_norms(self._adjoint(v))

    def _largest_price(self, v: FloatArray, floor: float) -> float:
        return float(np.max(self._prices(v) / self.pattern_weight))

    def _excess(self, v: FloatArray) -> float:
        over = np.maximum(self._prices(v) - self.beta * self.pattern_weight, 0.0)
        return 0.5 * float(np.sum(over**2))
