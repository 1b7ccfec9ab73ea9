"""The ReLU program over given activation patterns: blocks that stay in the cones of their patterns.

Also the one of other activations with a kink at zero.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pyconvexnn import _core
from pyconvexnn._bits import nonzero_rows, pack
from pyconvexnn._typing import ArrayLike, BoolArray, FloatArray, IndexArray
from pyconvexnn._validation import choice
from pyconvexnn.losses import Loss
from pyconvexnn.networks import ACTIVATIONS, slope_of
from pyconvexnn.patterns import PatternSet
from pyconvexnn.problems import cvxpy_programs
from pyconvexnn.problems.base import SparseBlocks, as_blocks, unpacked
from pyconvexnn.problems.cones import Cones, price, violation
from pyconvexnn.problems.masked import PatternProblem, finite_fit, not_overflown
from pyconvexnn.problems.prices import largest_price

if TYPE_CHECKING:
    import cvxpy


@dataclass(frozen=True, eq=False, init=False, repr=False)
class ReLUProblem(PatternProblem):
    r"""Two-layer ReLU networks with the given activation patterns, as a convex program.

    .. math::

        \min_{v_i, w_i \in K_i,\, b} \;
        \sum_k s_k\, \ell\big((\sum_i D_i X (v_i - w_i))_k + b,\, y_k\big)
        \;+\; \beta \sum_i p_i (\|v_i\|_2 + \|w_i\|_2)
        \;+\; \tfrac{\rho}{2} \sum_i (\|v_i\|_2^2 + \|w_i\|_2^2), \qquad
        K_i = \{u : (2\,\mathrm{diag}(\text{pattern } i) - I) X u \ge 0\}.

    D_i is diag(pattern i), with the slope of the activation in place of 0. On K_i the network's
    activation of X u is D_i X u, so the optimum is that of the non-convex weight-decay problem
    ``sum loss + beta/2 sum_j (||u_j||^2 + alpha_j^2)`` over networks ``sum_j act(X u_j) alpha_j``
    whose neurons have these patterns; over all networks if the set is complete (Pilanci, Ergen,
    ICML 2020; p_i = 1). No factor 1/n anywhere. Without `output_offset` b = 0; with it b is free
    and not penalised, and every method that takes coefficients means them with their best offset,
    :meth:`best_offset`.

    Coefficients are an array (2, P, d), ``(v, w)``, or SparseBlocks of 2 P blocks, of which block
    i is v_i and block P + i is w_i.

    Parameters
    ----------
    X : (n_samples, n_features) array
        Data; float64 inside. Its largest entry is between 1e-60 and 1e60 in size.
    y : (n_samples,) array
        Targets; -1 and +1 for the losses of labels.
    patterns : PatternSet
        P activation patterns of the n_samples rows. With "abs" a pattern and its opposite have the
        same blocks: only the one of less weight is kept, or else the first, so that
        ``prob.patterns``, which the coefficients refer to, may be fewer than these.
    beta : float
        Penalty, >= 1e-120.
    activation : {"relu", "leaky_relu", "abs"}
        ``t`` for t >= 0, and 0, ``slope t`` or ``-t`` for t < 0.
    slope : float
        Of "leaky_relu", in [0, 1); the others have their own, which ``prob.slope`` tells.
    loss : str or Loss
        "squared": ``(f - y)^2 / 2``; "huber": the same up to ``|f - y| = 1.35``, linear beyond, or
        ``cx.losses.Huber(delta)``; for labels "logistic": ``log(1 + exp(-y f))``,
        "hinge": ``(1 - y f)_+`` and "squared_hinge": ``(1 - y f)_+^2 / 2``; for counts "poisson":
        ``exp(f) - y f + (y log y - y)``, y >= 0.
    sample_weight : (n_samples,) array, optional
        s_k >= 0, 1 by default; a row of weight 0 does not count in the loss, but its inequality is
        one of its pattern's still.
    pattern_weight : (P,) array, optional
        p_i > 0, 1 by default.
    ridge : float
        rho, 0 or >= 1e-120.
    skip : float, optional
        A linear part ``X c`` is added to the fit: with ``skip > 0`` at the penalty
        ``beta skip (||v|| + ||w||)`` and the ridge's of v and w, c = v - w (so that the ridge of c
        is half of it, at v = -w), as a last block without a cone, of the pattern all of whose bits
        are set, which ``prob.patterns`` and the coefficients then have; with 0 without penalty, and
        every method that takes coefficients means them with their best c.
    output_offset : bool
        Whether b is free. The logistic loss then needs both labels among the rows of positive
        weight, and the hinge cannot have it.

    Raises
    ------
    ValueError, TypeError
        Naming the argument, the rule and the value.

    Examples
    --------
    >>> import numpy as np, pyconvexnn as cx
    >>> X, y = np.array([[1.0, 0.0], [0.0, 1.0]]), np.array([3.0, -2.0])
    >>> prob = cx.ReLUProblem(X, y, cx.enumerate_patterns(X), beta=1.0)
    >>> prob.beta_max
    3.0
    >>> coef = np.zeros((2, len(prob.patterns), 2))
    >>> i = prob.patterns.to_dense().tolist().index([True, False])
    >>> coef[0, i] = [2.0, 0.0]   # of v_i; -2 in the second feature would leave the cone
    >>> prob.objective(coef), prob.infeasibility(coef)
    (4.5, 0.0)
    """

    activation: str
    slope: float

    def __init__(
        self,
        X: ArrayLike,
        y: ArrayLike,
        patterns: PatternSet,
        beta: float,
        *,
        activation: str = "relu",
        slope: float = 0.01,
        loss: str | Loss = "squared",
        sample_weight: ArrayLike | None = None,
        pattern_weight: ArrayLike | None = None,
        ridge: float = 0.0,
        output_offset: bool = False,
        skip: float | None = None,
    ) -> None:
        activation = choice(activation, "activation", ACTIVATIONS)
        slope = slope_of(activation, slope)
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
        object.__setattr__(self, "activation", activation)
        object.__setattr__(self, "slope", slope)
        if activation == "abs":
            self._drop_opposites()

    @property
    def n_coned(self) -> int:
        """Number of patterns whose blocks have cones: all but a linear part's."""
        return len(self.patterns) - bool(self.skip)

    @functools.cached_property
    def beta_max(self) -> float:
        """Smallest beta whose optimum is zero, for these patterns.

        ``max_i max(||Proj_i(g_i)||, ||Proj_i(-g_i)||) / p_i``, ``g_i = X^T D_i v0``, Proj_i the
        projection on K_i and v0 = -loss'(b). b is the best offset of zero coefficients, 0 in a
        problem without one. To rounding; never below but by that.
        """
        v0 = -self._loss_gradient(self._fit_of_zero)
        g = (1.0 - self.slope) * _core.MaskedProducts(self.X, self.patterns.packed).adjoint(v0)
        if self.slope != 0.0:
            g += self.slope * (v0 @ self.X)
        return self._price_of_adjoints(g, 0.0)

    # --- independent NumPy references: slow and obvious --------------------------------------

    def gradient(self, coef: Any) -> FloatArray:
        """Gradient of the loss part, (2, P, d): rows ``X^T D_i s l'(f)``, and for w their opposite.

        f is :meth:`fit_values`.
        """
        g = super().gradient(coef)
        return np.stack([g, -g])

    def nonconvex_objective(self, coef: Any) -> float:
        """Weight-decay objective of the network of the coefficients.

        ``sum_k s_k l(f(x_k), y_k) + beta/2 sum_j p_j (||u_j||^2 + alpha_j^2)`` with the neurons
        ``u_j = v_i / sqrt(||v_i||)``, ``alpha_j = sqrt(||v_i||)``, and for w_i the opposite alpha:
        f is the network's own, with the activation of X u_j and not the patterns. It is
        :meth:`objective` for coefficients in their cones.
        """
        blocks = self._blocks(coef)
        patterns, values = self._by_pattern(blocks)
        signs = np.where(blocks.indices < len(self.patterns), 1.0, -1.0)
        linear = patterns >= self.n_coned
        with np.errstate(over="ignore", invalid="ignore"):
            Z = self.X @ blocks.values.T
            f = np.where((Z > 0) | linear, Z, self.slope * Z) @ signs
            f = self._with_free_part(finite_fit(f, blocks))
            norms = np.linalg.norm(values, axis=1)
            penalty = self.beta * float(self.pattern_weight[patterns] @ norms)
            penalty += 0.5 * self.ridge * float(np.sum(norms**2))
            return not_overflown(self._loss_value(f) + penalty, blocks)

    def infeasibility(self, coef: Any) -> float:
        """How far the coefficients are from their cones: 0 inside.

        ``max (-s_k x_k'u)_+ / (||x_k|| ||u||)`` over the blocks u = v_i, w_i that are not zero and
        the rows x_k that are not, s_k = +1 where pattern i is on and -1 where it is off.
        """
        blocks = self._blocks(coef)
        patterns, _ = self._by_pattern(blocks)
        cones, largest = Cones(self.X), 0.0
        for part, masks in unpacked(self.patterns, patterns):
            for i, mask, u in zip(patterns[part], masks, blocks.values[part], strict=True):
                if i >= self.n_coned:
                    continue
                # Of any length the same; the square of a large one overflows.
                largest = max(largest, violation(cones.normals(mask), u / np.max(np.abs(u))))
        return largest

    def to_cvxpy(self) -> cvxpy.Problem:
        """Return the same problem as a ``cvxpy.Problem``, cones included.

        Its variables "V" and "W" have shape (P, d); with an output offset there is a third, "b",
        and with ``skip = 0`` another, "C".

        Raises
        ------
        ImportError
            Without cvxpy (``pip install "pyconvexnn[reference]"``).
        """
        return cvxpy_programs.of_relu(self)

    @classmethod
    def _as_targets(cls, y: ArrayLike, loss: Loss, n: int) -> FloatArray:
        if loss.joint:
            raise ValueError(
                f"`loss` must be one of a single output for networks of ReLUs, got {loss.name!r}: "
                "that needs a GatedReLUProblem, or a classifier with `activation` = 'gated_relu'"
            )
        y = super()._as_targets(y, loss, n)
        if y.ndim == 2:
            raise ValueError(
                f"`y` must have one column for a ReLUProblem, got shape {y.shape}; solve one "
                "problem for each column, or train networks with several outputs by cx.train"
            )
        return y

    # --- what makes it a PatternProblem --------------------------------------------------------

    @property
    def _kind(self) -> str:
        slope = f", slope={self.slope:g}" if self.activation == "leaky_relu" else ""
        return f", activation={self.activation!r}{slope}"

    def _blocks(self, coef: Any) -> SparseBlocks:
        return as_blocks(coef, len(self.patterns), self.n_features, signed=True)

    def _by_pattern(self, blocks: SparseBlocks) -> tuple[IndexArray, FloatArray]:
        patterns = blocks.indices % len(self.patterns)
        signs = np.where(blocks.indices < len(self.patterns), 1.0, -1.0)
        return patterns, signs[:, np.newaxis] * blocks.values

    def _factors(self, masks: BoolArray) -> FloatArray:
        return np.where(masks, 1.0, self.slope)

    def _largest_price(self, v: FloatArray, floor: float) -> float:
        return self._price_of_adjoints(self._adjoint(v), floor)

    def _price_of_adjoints(self, G: FloatArray, floor: float) -> float:
        coned, weight = slice(self.n_coned), self.pattern_weight
        for g, w in zip(G[self.n_coned :], weight[self.n_coned :], strict=True):
            floor = max(floor, float(np.linalg.norm(g)) / float(w))
        return largest_price(self.X, self.patterns.packed[coned], G[coned], weight[coned], floor)

    def _excess(self, v: FloatArray) -> float:
        G, cones, total = self._adjoint(v), Cones(self.X), 0.0
        allowed = self.beta * self.pattern_weight
        # No projection is longer than what is projected.
        for i in np.flatnonzero(np.linalg.norm(G, axis=1) > allowed):
            S = cones.normals(self.patterns[[int(i)]].to_dense()[0])
            for g in (G[i], -G[i]):
                size = price(S, g) if i < self.n_coned else float(np.linalg.norm(g))
                total += 0.5 * max(size - float(allowed[i]), 0.0) ** 2
        return total

    def _drop_opposites(self) -> None:
        """Keep the lightest of patterns that are opposite to each other, the first of equals."""
        counted = pack(nonzero_rows(self.X)[np.newaxis])
        here, there = self.patterns.packed & counted, ~self.patterns.packed & counted
        kept = np.ones(len(self.patterns), bool)
        lighter: set[bytes] = set()
        for i in np.argsort(self.pattern_weight[: self.n_coned], kind="stable"):
            kept[i] = there[i].tobytes() not in lighter
            if kept[i]:
                lighter.add(here[i].tobytes())
        if not kept.all():
            weight = self.pattern_weight[kept]
            weight.flags.writeable = False
            object.__setattr__(self, "patterns", self.patterns[kept])
            object.__setattr__(self, "pattern_weight", weight)
