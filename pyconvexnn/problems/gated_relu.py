"""The gated ReLU program over given activation patterns."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pyconvexnn import _core
from pyconvexnn._typing import ArrayLike, FloatArray
from pyconvexnn._validation import (
    as_matrix,
    as_real_array,
    as_vector,
    describe,
    nonnegative,
    positive,
)
from pyconvexnn.losses import Loss, get_loss
from pyconvexnn.patterns import PatternSet
from pyconvexnn.problems.base import SparseBlocks, as_blocks, unpacked

if TYPE_CHECKING:
    import cvxpy

# Prices, which are compared with beta, are square roots of sums that vanish below 1e-308.
SMALLEST_BETA = 1e-120
# Prices are products of X, y and s, and are squared.
LARGEST_WEIGHT = 1e20
# With an offset sum_k v_k is zero: |sum v| / sum |v| is at most that, in any order of summation.
BALANCED = 1e-12


@dataclass(frozen=True, eq=False, init=False, repr=False)
class GatedReLUProblem:
    r"""Group lasso over the blocks ``D_i X`` of the given activation patterns.

    .. math::

        \min_{u_1 \ldots u_P \in R^d,\, b} \;
        \sum_k s_k\, \ell\big((\sum_i D_i X u_i)_k + b,\, y_k\big)
        \;+\; \beta \sum_i w_i \|u_i\|_2, \qquad D_i = \mathrm{diag}(\text{pattern } i).

    Its optimum is that of the non-convex weight-decay problem
    ``sum loss + beta/2 sum_j w_j (||u_j||^2 + alpha_j^2)`` over gated networks
    ``sum_j D_j X u_j alpha_j`` with these gates, of any width >= the number of active blocks
    (Mishkin, Sahiner, Pilanci, ICML 2022). No factor 1/n anywhere. Without `output_offset`
    b = 0; with it b is free and not penalised, and every method that takes coefficients u means
    them with their best offset, :meth:`best_offset`.

    Parameters
    ----------
    X : (n_samples, n_features) array
        Data; float64 inside. Its largest entry is between 1e-60 and 1e60 in size.
    y : (n_samples,) array
        Targets; -1 and +1 for the losses of labels.
    patterns : PatternSet
        P activation patterns of the n_samples rows.
    beta : float
        Penalty, >= 1e-120.
    loss : str or Loss
        "squared": ``(f - y)^2 / 2``; "huber": the same up to ``|f - y| = 1.35``, linear beyond, or
        ``cx.losses.Huber(delta)``; for labels "logistic": ``log(1 + exp(-y f))``, and
        "squared_hinge": ``(1 - y f)_+^2 / 2``.
    sample_weight : (n_samples,) array, optional
        s_k >= 0, 1 by default; a row of weight 0 does not count.
    pattern_weight : (P,) array, optional
        w_i > 0, 1 by default.
    output_offset : bool
        Whether b is free. The logistic loss then needs both labels among the rows of positive
        weight.
    ridge, skip
        Not available yet: anything but the default raises NotImplementedError.

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

    X: FloatArray
    y: FloatArray
    patterns: PatternSet
    beta: float
    loss: Loss
    sample_weight: FloatArray
    pattern_weight: FloatArray
    ridge: float
    output_offset: bool
    skip: None

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
        skip: None = None,
    ) -> None:
        X = as_matrix(X)
        n = X.shape[0]
        y = as_real_array(y, "y")
        if y.ndim == 2 and y.shape[0] == n and y.shape[1] > 1:
            raise NotImplementedError(
                f"`y` with several columns is not available yet, got shape {y.shape}; "
                "solve one problem for each column"
            )
        y = as_vector(y, length=n)
        loss = get_loss(loss)
        loss.check_targets(y)
        _check_patterns(patterns, n)
        beta = _as_beta(beta)
        sample_weight = _as_weights(sample_weight, "sample_weight", n)
        if sample_weight.min() < 0 or sample_weight.max() <= 0:
            raise ValueError(
                "`sample_weight` must be >= 0 and not all 0, got minimum "
                f"{sample_weight.min()} and maximum {sample_weight.max()}"
            )
        if sample_weight.max() > LARGEST_WEIGHT:
            raise ValueError(
                f"`sample_weight` must be <= {LARGEST_WEIGHT:g}, got {sample_weight.max()}"
            )
        pattern_weight = _as_weights(pattern_weight, "pattern_weight", len(patterns))
        if pattern_weight.min() <= 0:
            raise ValueError(f"`pattern_weight` must be > 0, got {pattern_weight.min()}")
        ridge = nonnegative(ridge, "ridge")
        for name, given, available in (
            ("ridge", ridge, 0.0),
            ("skip", skip, None),
        ):
            if not (given is available or (np.isscalar(given) and given == available)):
                raise NotImplementedError(f"`{name}` = {describe(given)} is not available yet")
        if not isinstance(output_offset, (bool, np.bool_)):
            raise TypeError(f"`output_offset` must be True or False, got {describe(output_offset)}")
        if output_offset:
            loss.check_offset(y, sample_weight)
        for name, value in (
            ("X", X),
            ("y", y),
            ("patterns", patterns),
            ("beta", beta),
            ("loss", loss),
            ("sample_weight", sample_weight),
            ("pattern_weight", pattern_weight),
            ("ridge", ridge),
            ("output_offset", bool(output_offset)),
            ("skip", None),
        ):
            object.__setattr__(self, name, value)

    def __setstate__(self, state: dict[str, Any]) -> None:
        # Arrays come out of a pickle or a deep copy writeable.
        for value in state.values():
            if isinstance(value, np.ndarray):
                value.flags.writeable = False
        self.__dict__.update(state)

    def with_beta(self, beta: float) -> GatedReLUProblem:
        """Return the same problem with another penalty: arrays are shared, not copied or checked.

        Parameters
        ----------
        beta : float
            Penalty, >= 1e-120.

        Returns
        -------
        GatedReLUProblem
            With `beta_max` and `objective_at_zero`, if they are known here: both are the same
            for every penalty.

        Raises
        ------
        ValueError, TypeError
            If `beta` is not as described.

        Examples
        --------
        >>> import pyconvexnn as cx
        >>> X, y, ps = cx.datasets.ar(30, 3, 10)
        >>> prob = cx.GatedReLUProblem(X, y, ps, beta=1.0)
        >>> half = prob.with_beta(0.5 * prob.beta_max)
        >>> half.X is prob.X, half.beta / prob.beta_max
        (True, 0.5)
        """
        other = object.__new__(type(self))
        # The caches are entries beside the fields; neither of them depends on beta.
        other.__dict__.update(self.__dict__, beta=_as_beta(beta))
        return other

    # --- sizes -----------------------------------------------------------------------------

    @property
    def n_samples(self) -> int:
        """n, the rows of X."""
        return int(self.X.shape[0])

    @property
    def n_features(self) -> int:
        """d, the columns of X."""
        return int(self.X.shape[1])

    @functools.cached_property
    def beta_max(self) -> float:
        """Smallest beta whose optimum is zero: ``max_i ||X^T D_i v0|| / w_i``, v0 = -loss'(b).

        b is the best offset of zero coefficients, 0 in a problem without one.
        """
        v0 = -self.loss.gradient(self._fit_of_zero, self.y, self.sample_weight)
        return _core.group_norm_max(self.X, self.patterns.packed, v0, self.pattern_weight)

    @functools.cached_property
    def objective_at_zero(self) -> float:
        """Objective of all-zero coefficients."""
        return self.loss.value(self._fit_of_zero, self.y, self.sample_weight)

    # --- independent NumPy references: slow and obvious --------------------------------------

    def fit_values(self, coef: Any) -> FloatArray:
        """``sum_i D_i X u_i + b`` of coefficients (SparseBlocks or (P, d) array), shape (n,).

        b is their best offset, 0 in a problem without one.
        """
        return self._with_offset(self._fit_values(self._blocks(coef)))

    def best_offset(self, coef: Any) -> float:
        """The b of least objective for these coefficients; 0 in a problem without an offset.

        Where several are best, as may be with the Huber loss and the squared hinge, it is any of
        them, and ``sol.offset`` may be another.
        """
        return self._best_offset(self._fit_values(self._blocks(coef)))

    def objective(self, coef: Any) -> float:
        """Objective of coefficients (SparseBlocks or (P, d) array) at their best offset."""
        blocks = self._blocks(coef)
        with np.errstate(over="ignore"):
            norms = np.linalg.norm(blocks.values, axis=1)
            penalty = self.beta * float(np.sum(self.pattern_weight[blocks.indices] * norms))
            f = self._with_offset(self._fit_values(blocks))
            fit = self.loss.value(f, self.y, self.sample_weight)
        if not np.isfinite(fit + penalty):
            raise ValueError("`coef` must be small enough that the objective does not overflow")
        return fit + penalty

    def gradient(self, coef: Any) -> FloatArray:
        """Gradient of the loss part, rows ``X^T D_i s l'(f)``, shape (P, d); f = fit_values."""
        return self._adjoint(self.loss.gradient(self.fit_values(coef), self.y, self.sample_weight))

    def adjoint(self, v: Any) -> FloatArray:
        """Rows ``X^T D_i v`` of every pattern, shape (P, d)."""
        return self._adjoint(self._dual_point(v))

    def dual_objective(self, v: Any) -> float:
        """``D(v) = -sum_k s_k l*(-v_k / s_k)``; a lower bound of the optimum if v is feasible.

        Feasible means ``max_i ||X^T D_i v|| / w_i <= beta``; it is not checked here
        (:func:`pyconvexnn.verify` does). Rows of weight zero must carry v = 0, or D = -inf. With an
        offset v must sum to zero, ``|sum v| <= 1e-12 sum |v|``, or D = -inf.
        """
        v = self._dual_point(v)
        weight = self.sample_weight
        counted = weight > 0
        if np.any(v[~counted] != 0) or self._imbalance(v) > BALANCED:
            return -np.inf
        y = self.y[counted]
        if self.output_offset and self.loss.shifts:
            # sum v = 0: any constant may go from y, and far from zero its rounding is all there is.
            y = y - np.mean(y)
        return self.loss.dual_objective(v[counted], y, weight[counted])

    def dual_infeasibility(self, v: Any) -> float:
        """``max(0, max_i ||X^T D_i v|| / (w_i beta) - 1)``.

        With an offset at least ``|sum v| / sum |v|``, where that is above its rounding, 1e-12.
        """
        v = self._dual_point(v)
        norms = np.linalg.norm(self._adjoint(v), axis=1) / self.pattern_weight
        imbalance = self._imbalance(v)
        return max(
            0.0, float(norms.max()) / self.beta - 1.0, imbalance if imbalance > BALANCED else 0.0
        )

    def to_cvxpy(self) -> cvxpy.Problem:
        """Return the same problem as a ``cvxpy.Problem``.

        Its variable "U" has shape (P, d); with an output offset there is a second one, "b".

        Raises
        ------
        ImportError
            Without cvxpy (``pip install "pyconvexnn[reference]"``).
        """
        try:
            import cvxpy as cp
        except ImportError:
            raise ImportError('to_cvxpy needs cvxpy: pip install "pyconvexnn[reference]"') from None
        masks = self.patterns.to_dense().T.astype(float)
        U = cp.Variable((len(self.patterns), self.n_features), name="U")
        f = cp.sum(cp.multiply(masks, self.X @ U.T), axis=1)
        if self.output_offset:
            f = f + cp.Variable(name="b")
        match self.loss.name:
            case "squared":
                losses = cp.square(f - self.y) / 2
            case "huber":
                losses = cp.huber(f - self.y, self.loss.parameter) / 2
            case "squared_hinge":
                losses = cp.square(cp.pos(1 - cp.multiply(self.y, f))) / 2
            case _:
                losses = cp.logistic(-cp.multiply(self.y, f))
        fit = cp.sum(cp.multiply(self.sample_weight, losses))
        penalty = cp.sum(cp.multiply(self.pattern_weight, cp.norm2(U, axis=1)))
        return cp.Problem(cp.Minimize(fit + self.beta * penalty))

    def __repr__(self) -> str:
        return (
            f"GatedReLUProblem(n={self.n_samples}, d={self.n_features}, P={len(self.patterns)}, "
            f"beta={self.beta:g}, loss={self.loss.name!r}"
            f"{', output_offset=True' if self.output_offset else ''})"
        )

    @property
    def _fit_of_zero(self) -> FloatArray:
        return self._with_offset(np.zeros(self.n_samples))

    def _best_offset(self, f: FloatArray) -> float:
        return self.loss.best_offset(f, self.y, self.sample_weight) if self.output_offset else 0.0

    def _with_offset(self, f: FloatArray) -> FloatArray:
        return f + self._best_offset(f) if self.output_offset else f

    def _imbalance(self, v: FloatArray) -> float:
        """``|sum v| / sum |v|`` in a problem with an offset."""
        total = float(np.sum(np.abs(v)))
        return abs(float(np.sum(v))) / total if self.output_offset and total > 0 else 0.0

    def _blocks(self, coef: Any) -> SparseBlocks:
        return as_blocks(coef, len(self.patterns), self.n_features)

    def _dual_point(self, v: Any) -> FloatArray:
        # As small as it likes to be: next to a tiny beta it is tiny.
        return as_vector(v, "v", length=self.n_samples, smallest=0.0)

    def _fit_values(self, blocks: SparseBlocks) -> FloatArray:
        f = np.zeros(self.n_samples)
        with np.errstate(over="ignore", invalid="ignore"):
            for part, masks in unpacked(self.patterns, blocks.indices):
                f += np.sum(masks.T * (self.X @ blocks.values[part].T), axis=1)
        if not np.isfinite(f).all():
            raise ValueError("`coef` must be small enough that the fit does not overflow")
        return f

    def _adjoint(self, v: FloatArray) -> FloatArray:
        out = np.empty((len(self.patterns), self.n_features))
        for part, masks in unpacked(self.patterns, np.arange(len(self.patterns))):
            out[part] = (masks * v) @ self.X
        return out


def _as_beta(beta: float) -> float:
    beta = positive(beta, "beta")
    if beta < SMALLEST_BETA:
        raise ValueError(f"`beta` must be >= {SMALLEST_BETA:g}, got {beta!r}")
    return beta


def _as_weights(weights: ArrayLike | None, name: str, length: int) -> FloatArray:
    return as_vector(np.ones(length) if weights is None else weights, name, length=length)


def _check_patterns(patterns: object, n: int) -> None:
    if not isinstance(patterns, PatternSet):
        raise TypeError(f"`patterns` must be a PatternSet, got {type(patterns).__name__}")
    if patterns.n_samples != n:
        raise ValueError(
            f"`patterns` must be of the {n} rows of `X`, got patterns of {patterns.n_samples} rows"
        )
    if len(patterns) == 0:
        raise ValueError("`patterns` must hold at least one pattern, got none")
