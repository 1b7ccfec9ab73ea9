"""What the programs over activation patterns share: data, fit, loss, offset, dual objective."""

from __future__ import annotations

import functools
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from pyconvexnn._typing import ArrayLike, BoolArray, FloatArray, IndexArray
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
from pyconvexnn.problems.base import SparseBlocks, unpacked

if TYPE_CHECKING:
    import cvxpy

# Prices, which are compared with beta, are square roots of sums that vanish below 1e-308.
SMALLEST_BETA = 1e-120
# Prices are products of X, y and s, and are squared.
LARGEST_WEIGHT = 1e20
# With an offset sum_k v_k is zero: |sum v| / sum |v| is at most that, in any order of summation.
BALANCED = 1e-12

Problem = TypeVar("Problem", bound="PatternProblem")


@dataclass(frozen=True, eq=False, init=False, repr=False)
class PatternProblem(ABC):
    r"""A loss of ``f = sum_b D_b X c_b + b`` and a penalty ``beta sum_b w_b ||c_b||``.

    A block b belongs to one of the patterns; subclasses say to which, with which sign and factors
    D_b, and what the blocks must satisfy beside.
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

    def _set(
        self,
        X: ArrayLike,
        y: ArrayLike,
        patterns: PatternSet,
        beta: float,
        *,
        loss: str | Loss,
        sample_weight: ArrayLike | None,
        pattern_weight: ArrayLike | None,
        ridge: float,
        output_offset: bool,
        skip: None,
    ) -> None:
        """Check the arguments of a constructor and set the fields."""
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

    def with_beta(self: Problem, beta: float) -> Problem:
        """Return the same problem with another penalty: arrays are shared, not copied or checked.

        Parameters
        ----------
        beta : float
            Penalty, >= 1e-120.

        Returns
        -------
        The same kind of problem
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
    def objective_at_zero(self) -> float:
        """Objective of all-zero coefficients."""
        return self.loss.value(self._fit_of_zero, self.y, self.sample_weight)

    # --- independent NumPy references: slow and obvious --------------------------------------

    def fit_values(self, coef: Any) -> FloatArray:
        """Return the fit f, offset included, of coefficients (SparseBlocks or array), shape (n,).

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
        """Objective of coefficients (SparseBlocks or array) at their best offset."""
        blocks = self._blocks(coef)
        with np.errstate(over="ignore"):
            norms = np.linalg.norm(blocks.values, axis=1)
            patterns, _ = self._by_pattern(blocks)
            penalty = self.beta * float(np.sum(self.pattern_weight[patterns] * norms))
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

        Feasible means that no price of v is above beta; it is not checked here
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
        """By which fraction of beta the largest price of v exceeds it; 0 if v is feasible.

        With an offset at least ``|sum v| / sum |v|``, where that is above its rounding, 1e-12.
        """
        v = self._dual_point(v)
        imbalance = self._imbalance(v)
        return max(
            0.0,
            self._largest_price(v, self.beta) / self.beta - 1.0,
            imbalance if imbalance > BALANCED else 0.0,
        )

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}(n={self.n_samples}, d={self.n_features}, "
            f"P={len(self.patterns)}, beta={self.beta:g}{self._kind}, loss={self.loss.name!r}"
            f"{', output_offset=True' if self.output_offset else ''})"
        )

    # --- what the subclasses say ---------------------------------------------------------------

    @property
    def _kind(self) -> str:
        """What `repr` says of the subclass's own fields."""
        return ""

    @abstractmethod
    def _blocks(self, coef: Any) -> SparseBlocks:
        """Coefficients as a user gives them, checked."""

    @abstractmethod
    def _largest_price(self, v: FloatArray, floor: float) -> float:
        """Price of v: the largest c'g_b / w_b of a block, g_b being its rows of -gradient at v.

        c is any vector of length <= 1 that the block may be. Prices <= `floor` are not looked for:
        where there is no other, it or any smaller number is returned.
        """

    def _by_pattern(self, blocks: SparseBlocks) -> tuple[IndexArray, FloatArray]:
        """Pattern of every stored block, and its coefficients with the sign that they have in f."""
        return blocks.indices, blocks.values

    def _factors(self, masks: BoolArray) -> BoolArray | FloatArray:
        """Diagonals of D for some patterns (c, n)."""
        return masks

    # --- shared ----------------------------------------------------------------------------------

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

    def _unpacked(self, indices: IndexArray) -> Iterator[tuple[slice, BoolArray | FloatArray]]:
        """Diagonals of D of the listed patterns, (c, n) at a time, with their positions."""
        for part, masks in unpacked(self.patterns, indices):
            yield part, self._factors(masks)

    def _dual_point(self, v: Any) -> FloatArray:
        # As small as it likes to be: next to a tiny beta it is tiny.
        return as_vector(v, "v", length=self.n_samples, smallest=0.0)

    def _fit_values(self, blocks: SparseBlocks) -> FloatArray:
        f = np.zeros(self.n_samples)
        patterns, values = self._by_pattern(blocks)
        with np.errstate(over="ignore", invalid="ignore"):
            for part, D in self._unpacked(patterns):
                f += np.sum(D.T * (self.X @ values[part].T), axis=1)
        if not np.isfinite(f).all():
            raise ValueError("`coef` must be small enough that the fit does not overflow")
        return f

    def _adjoint(self, v: FloatArray) -> FloatArray:
        out = np.empty((len(self.patterns), self.n_features))
        for part, D in self._unpacked(np.arange(len(self.patterns))):
            out[part] = (D * v) @ self.X
        return out

    def _to_cvxpy(
        self, f: Any, norms: Sequence[Any], constraints: Sequence[Any] = ()
    ) -> cvxpy.Problem:
        """Return the program of a fit without offset and the norms (P,) of blocks, in cvxpy."""
        import cvxpy as cp

        if self.output_offset:
            f = f + cp.Variable(name="b")
        match self.loss.name:
            case "squared":
                losses = cp.square(f - self.y) / 2
            case "huber":
                losses = cp.huber(f - self.y, self.loss.parameter) / 2
            case "squared_hinge":
                losses = cp.square(cp.pos(1 - cp.multiply(self.y, f))) / 2
            case "hinge":
                losses = cp.pos(1 - cp.multiply(self.y, f))
            case "poisson":
                y = self.y
                rest = y * np.log(np.where(y > 0, y, 1.0)) - y
                losses = cp.exp(f) - cp.multiply(y, f) + rest
            case _:
                losses = cp.logistic(-cp.multiply(self.y, f))
        fit = cp.sum(cp.multiply(self.sample_weight, losses))
        penalty = sum(cp.sum(cp.multiply(self.pattern_weight, norm)) for norm in norms)
        return cp.Problem(cp.Minimize(fit + self.beta * penalty), list(constraints))


def import_cvxpy() -> Any:
    """Return the module cvxpy, or raise the error that says how to get it."""
    try:
        import cvxpy
    except ImportError:
        raise ImportError('to_cvxpy needs cvxpy: pip install "pyconvexnn[reference]"') from None
    return cvxpy


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
